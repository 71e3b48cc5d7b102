//! `/webhooks`: register, list, look at, change and delete; and the verification key.
//!
//! A target URL can have one registration only; the vendor answers a duplicate with 400 and misspells the parameter
//! (`tagetURL`), which is kept (ironclad-api.md §8.22).

use serde_json::{Value, json};

use super::clock::stamp;
use super::errors::ApiError;
use super::events::EVENTS;
use super::exchange::{Call, Outcome, Reply};
use super::identity::COMPANY_ID;
use super::paging::Page;
use super::store::Store;

/// A fixed 2048-bit RSA public key; the simulator signs nothing with it.
const VERIFICATION_KEY: &str = include_str!("verification_key.pem");

/// A registered webhook.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    /// 24 hex digits.
    pub(crate) id: String,
    /// Event names or `*`.
    pub(crate) events: Vec<String>,
    /// Where deliveries would go.
    pub(crate) target_url: String,
    status: &'static str,
    changed: Option<(String, String)>,
    tags: Vec<&'static str>,
}

impl Webhook {
    /// Whether it would be sent this event.
    pub(crate) fn listens_to(&self, event: &str) -> bool {
        self.status == "enabled" && self.events.iter().any(|one| one == "*" || one == event)
    }

    /// The vendor's object.
    pub(crate) fn json(&self) -> Value {
        let mut body = json!({
            "id": self.id,
            "events": self.events,
            "targetURL": self.target_url,
            "companyId": COMPANY_ID,
            "status": self.status,
            "consecutiveFailureCount": 0,
        });
        if let Some(map) = body.as_object_mut() {
            if let Some((at, by)) = &self.changed {
                map.insert("statusLastUpdatedAt".into(), json!(at));
                map.insert("statusLastUpdatedBy".into(), json!(by));
            }
            if !self.tags.is_empty() {
                map.insert("tags".into(), json!(self.tags));
            }
        }
        body
    }
}

/// `POST /webhooks`.
pub(crate) fn create(store: &mut Store, call: &Call) -> Outcome {
    let body = call.object()?;
    let events = events(body.get("events"))?;
    let target_url = target(body.get("targetURL"))?;
    let status = status(body.get("status"))?.unwrap_or("enabled");
    refuse_duplicate(store, &target_url, &events, None)?;
    let id = store.random.hex(24);
    let tags = call.actor.tags.clone();
    let hook = Webhook { id, events, target_url, status, changed: None, tags };
    let reply = hook.json();
    store.webhooks.push(hook);
    Ok(Reply::changed(reply).with_status(201))
}

/// `GET /webhooks`.
pub(crate) fn list(store: &mut Store, call: &Call) -> Outcome {
    let page = Page::of(&call.query)?;
    let list = page.cut(&store.webhooks).iter().map(Webhook::json).collect();
    Ok(Reply::ok(page.envelope_without_count(list)))
}

/// `GET /webhooks/{id}`.
pub(crate) fn get(store: &mut Store, call: &Call) -> Outcome {
    let at = position(store, call.segment(0))?;
    Ok(Reply::ok(store.webhooks.get(at).map(Webhook::json).unwrap_or_default()))
}

/// `PATCH /webhooks/{id}`.
pub(crate) fn update(store: &mut Store, call: &Call) -> Outcome {
    let at = position(store, call.segment(0))?;
    let body = call.object()?;
    let new_events = body.get("events").map(|value| events(Some(value))).transpose()?;
    let new_target = body.get("targetURL").map(|value| target(Some(value))).transpose()?;
    let new_status = status(body.get("status"))?;
    if let Some(url) = &new_target {
        refuse_duplicate(store, url, new_events.as_deref().unwrap_or_default(), Some(at))?;
    }
    let now = stamp(store.clock.now());
    let Some(hook) = store.webhooks.get_mut(at) else { return Err(unknown()) };
    hook.events = new_events.unwrap_or_else(|| hook.events.clone());
    hook.target_url = new_target.unwrap_or_else(|| hook.target_url.clone());
    if let Some(status) = new_status {
        hook.status = status;
        hook.changed = Some((now, call.user_id().to_owned()));
    }
    Ok(Reply::changed(hook.json()))
}

/// `DELETE /webhooks/{id}`.
pub(crate) fn delete(store: &mut Store, call: &Call) -> Outcome {
    let at = position(store, call.segment(0))?;
    store.webhooks.remove(at);
    Ok(Reply::no_content())
}

/// `GET /webhooks/verification-key`.
pub(crate) fn verification_key(_store: &mut Store, _call: &Call) -> Outcome {
    Ok(Reply::text("application/x-pem-file; charset=utf-8", VERIFICATION_KEY.to_owned()))
}

fn position(store: &Store, id: &str) -> Result<usize, ApiError> {
    store.webhooks.iter().position(|hook| hook.id == id).ok_or_else(unknown)
}

fn unknown() -> ApiError {
    ApiError::not_found("webhookId", "webhook does not exist")
}

fn events(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let Some(value) = value else { return Err(ApiError::missing("events", "events is required")) };
    let names: Option<Vec<String>> =
        value.as_array().map(|items| items.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    let all_text = value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    let Some(names) = names.filter(|names| !names.is_empty() && all_text) else {
        return Err(ApiError::invalid("events", "events must be a non-empty array of event types"));
    };
    if names.iter().all(|name| EVENTS.contains(&name.as_str())) {
        return Ok(names);
    }
    let message = format!("invalid event type; {} are acceptable event types", EVENTS.join(", "));
    Err(ApiError::invalid("events", message))
}

fn target(value: Option<&Value>) -> Result<String, ApiError> {
    let Some(value) = value else { return Err(ApiError::missing("targetURL", "targetURL is required")) };
    let text = value.as_str().unwrap_or_default();
    match url::Url::parse(text) {
        Ok(url) if url.scheme() == "https" => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err(ApiError::invalid("targetURL", "targetURL must be an https URL")),
    }
}

fn status(value: Option<&Value>) -> Result<Option<&'static str>, ApiError> {
    match value.map(Value::as_str) {
        None => Ok(None),
        Some(Some("enabled")) => Ok(Some("enabled")),
        Some(Some("disabled")) => Ok(Some("disabled")),
        Some(Some(_) | None) => Err(ApiError::invalid("status", "status must be enabled or disabled")),
    }
}

fn refuse_duplicate(store: &Store, url: &str, events: &[String], own: Option<usize>) -> Result<(), ApiError> {
    let others = store.webhooks.iter().enumerate().filter(|(at, _)| Some(*at) != own);
    let Some((_, other)) = others.into_iter().find(|(_, hook)| hook.target_url == url) else { return Ok(()) };
    let shared = events.iter().find(|event| other.events.contains(event)).or(other.events.first());
    let event = shared.map(String::as_str).unwrap_or("*");
    Err(ApiError::invalid("tagetURL", format!("webhook already exists for event {event} and target URL")))
}
