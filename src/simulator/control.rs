//! `/__simulator/`: looking into the simulator and moving it, for tests and demonstrations. No sign-in is needed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::clock::stamp;
use super::dispatch::{Inner, World};
use super::errors::ApiError;
use super::exchange::{Outcome, Payload, Reply};
use super::faults::{self, Faults};
use super::incoming::Incoming;
use super::store::{IdForm, Store};
use super::templates::Template;

/// Method, path and meaning of every control endpoint.
const INDEX: &[(&str, &str, &str)] = &[
    ("GET", "/__simulator/", "this list"),
    ("POST", "/__simulator/reset", "data, faults, limits and logs as at the start; sign-ins stay"),
    ("GET", "/__simulator/state", "counts, and every workflow and record in brief"),
    ("GET", "/__simulator/requests", "the request log; query: method, operation, path (prefix), after (seq)"),
    ("DELETE", "/__simulator/requests", "empties the request log"),
    ("GET", "/__simulator/connections", "how many connections are open and requests under way, this one among both"),
    ("GET", "/__simulator/events", "what webhooks would have been sent"),
    ("DELETE", "/__simulator/events", "empties the event list"),
    ("GET", "/__simulator/faults", "the grammar of faults"),
    ("POST", "/__simulator/faults", "text body: faults from now on; empty for none"),
    ("POST", "/__simulator/workflows/{id}/sign", "{\"signer\": role name}, or everybody in turn; \"decline\": true"),
    ("POST", "/__simulator/workflows/{id}/advance", "one step on: Review, Sign, Archive, Complete"),
    ("POST", "/__simulator/templates", "adds a template, or replaces the one with the same id"),
    ("POST", "/__simulator/templates/{id}/republish", "gives a template a new id; the old one is gone"),
    ("POST", "/__simulator/tokens/expire", "every issued access token becomes expired"),
    ("POST", "/__simulator/tokens/revoke", "every issued access and refresh token is refused from now on"),
    (
        "POST",
        "/__simulator/oauth",
        "{\"scopes\": [of the client] or null for all, \"namesRefusedScope\": bool, \"tokenSeconds\": n, for new tokens}",
    ),
    ("POST", "/__simulator/rate-limits", "{\"enabled\": bool, \"limits\": {bucket: n}, \"windowSeconds\": n}"),
    ("POST", "/__simulator/async-launch", "{\"milliseconds\": n}: how long asynchronous launches take"),
    ("POST", "/__simulator/archive", "{\"records\": n}: how many plain records there are besides the seeded ones"),
    ("POST", "/__simulator/large-exhibit", "{\"bytes\": n}: the size of the large exhibit"),
    ("POST", "/__simulator/filters", "{\"type\": bool}: whether [type] works in record filters"),
];

/// Answers a path under `/__simulator/`.
pub(crate) fn answer(world: &World, inner: &mut Inner, request: &Incoming, payload: &Payload) -> Reply {
    route(world, inner, request, payload).unwrap_or_else(|error| Reply::ok(error.body()).with_status(error.status))
}

fn route(world: &World, inner: &mut Inner, request: &Incoming, payload: &Payload) -> Outcome {
    let path = request.path.trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", []) => Ok(Reply::ok(index(&world.origin))),
        ("POST", ["reset"]) => {
            world.reset(inner);
            Ok(Reply::no_content())
        }
        ("GET", ["state"]) => Ok(Reply::ok(state(world.store(inner)))),
        ("GET", ["requests"]) => Ok(Reply::ok(inner.log.list(&request.query))),
        ("DELETE", ["requests"]) => {
            inner.log.clear();
            Ok(Reply::no_content())
        }
        ("GET", ["connections"]) => {
            let (open, requests) = (world.misfortunes.connections(), world.misfortunes.under_way());
            Ok(Reply::ok(json!({ "open": open, "requests": requests })))
        }
        ("GET", ["events"]) => {
            let events = &world.store(inner).events;
            Ok(Reply::ok(json!({ "count": events.len(), "list": events })))
        }
        ("DELETE", ["events"]) => {
            world.store(inner).events.clear();
            Ok(Reply::no_content())
        }
        ("GET", ["faults"]) => Ok(Reply::text("text/plain; charset=utf-8", faults::GRAMMAR.to_owned())),
        ("POST", ["faults"]) => set_faults(world, request),
        ("POST", ["workflows", id, "sign"]) => sign(world, inner, id, payload),
        ("POST", ["workflows", id, "advance"]) => {
            let store = world.store(inner);
            store.advance(id)?;
            brief_workflow(store, id)
        }
        ("POST", ["templates"]) => put_template(world.store(inner), payload),
        ("POST", ["templates", id, "republish"]) => republish(world.store(inner), id),
        ("POST", ["tokens", "expire"]) => Ok(Reply::changed(json!({ "expired": inner.sessions.expire_all() }))),
        ("POST", ["tokens", "revoke"]) => Ok(Reply::changed(json!({ "revoked": inner.sessions.revoke_all() }))),
        ("POST", ["oauth"]) => set_oauth(inner, payload),
        ("POST", ["rate-limits"]) => set_limits(inner, payload),
        ("POST", ["async-launch"]) => {
            let wait = member(payload, "milliseconds").and_then(Value::as_u64);
            let wait = wait.ok_or_else(|| ApiError::missing("milliseconds", "milliseconds is required"))?;
            world.store(inner).launch_time = Duration::from_millis(wait);
            Ok(Reply::no_content())
        }
        ("POST", [what @ ("archive" | "large-exhibit")]) => resize(world.store(inner), what, payload),
        ("POST", ["filters"]) => {
            world.store(inner).type_in_filters = member(payload, "type") == Some(&Value::Bool(true));
            Ok(Reply::no_content())
        }
        _ => Err(ApiError::new(404, "NOT_FOUND", "no such control endpoint; GET /__simulator/ lists them")),
    }
}

fn index(origin: &str) -> Value {
    let one = |(method, path, what): &(&str, &str, &str)| json!({ "method": method, "path": path, "what": what });
    json!({
        "simulator": "Ironclad",
        "baseUrl": origin,
        "publicApi": format!("{origin}/public/api/v1"),
        "scim": format!("{origin}/scim/v2"),
        "oauth": format!("{origin}/oauth"),
        "control": INDEX.iter().map(one).collect::<Vec<_>>(),
    })
}

fn member<'a>(payload: &'a Payload, name: &str) -> Option<&'a Value> {
    match payload {
        Payload::Json(body) => body.get(name),
        Payload::Empty | Payload::Parts(_) | Payload::Unreadable(_) => None,
    }
}

fn resize(store: &mut Store, what: &str, payload: &Payload) -> Outcome {
    match what {
        "archive" => store.archived = size(payload, "records")?,
        _ => store.resize_large_documents(size(payload, "bytes")?),
    }
    Ok(Reply::no_content())
}

fn size(payload: &Payload, name: &'static str) -> Result<usize, ApiError> {
    let size = member(payload, name).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| ApiError::missing(name, format!("{name} is required, a whole number")))
}

fn set_faults(world: &World, request: &Incoming) -> Outcome {
    let text = String::from_utf8_lossy(&request.body);
    let parsed = Faults::parse(text.trim()).map_err(|error| ApiError::invalid("faults", error.to_string()))?;
    world.misfortunes.replace(parsed);
    Ok(Reply::no_content())
}

fn sign(world: &World, inner: &mut Inner, id: &str, payload: &Payload) -> Outcome {
    let store = world.store(inner);
    let signer = member(payload, "signer").and_then(Value::as_str);
    if member(payload, "decline") == Some(&Value::Bool(true)) {
        let (workflow, now) = store.workflow_mut(id, IdForm::Either)?;
        let next = workflow.next_signer().unwrap_or_default();
        workflow.decline(signer.unwrap_or(&next), now)?;
    } else {
        store.sign(id, signer)?;
    }
    brief_workflow(store, id)
}

fn brief_workflow(store: &Store, id: &str) -> Outcome {
    let workflow = store.workflow(id, IdForm::Either)?;
    Ok(Reply::changed(json!({
        "id": workflow.id,
        "ironcladId": workflow.ironclad_id(),
        "title": workflow.title,
        "step": workflow.step.name(),
        "status": workflow.status.name(),
    })))
}

fn put_template(store: &mut Store, payload: &Payload) -> Outcome {
    let Payload::Json(body) = payload else { return Err(ApiError::missing("body", "a JSON template is required")) };
    let parsed = serde_json::from_value::<Template>(body.clone());
    let template = parsed.map_err(|error| ApiError::invalid("body", error.to_string()))?;
    let id = template.id.clone();
    let template = Arc::new(template);
    match store.templates.iter_mut().find(|one| one.id == id) {
        Some(place) => *place = template,
        None => store.templates.push(template),
    }
    Ok(Reply::changed(json!({ "id": id })))
}

fn republish(store: &mut Store, id: &str) -> Outcome {
    let fresh = store.random.hex(24);
    let Some(place) = store.templates.iter_mut().find(|template| template.id == id) else {
        return Err(ApiError::not_found("templateId", "no such template"));
    };
    *place = Arc::new(Template { id: fresh.clone(), ..Template::clone(place) });
    Ok(Reply::changed(json!({ "id": fresh, "previousId": id })))
}

fn set_oauth(inner: &mut Inner, payload: &Payload) -> Outcome {
    let sessions = &mut inner.sessions;
    match member(payload, "scopes") {
        None => {}
        Some(Value::Null) => sessions.client.registered = None,
        Some(scopes) => {
            let scopes: Option<Vec<String>> = serde_json::from_value(scopes.clone()).ok();
            let scopes = scopes.ok_or_else(|| ApiError::invalid("scopes", "scopes must be an array of texts"))?;
            sessions.client.registered = Some(scopes);
        }
    }
    if let Some(named) = member(payload, "namesRefusedScope").and_then(Value::as_bool) {
        sessions.client.names_refused = named;
    }
    if let Some(seconds) = member(payload, "tokenSeconds").and_then(Value::as_u64) {
        sessions.lifetime = Duration::from_secs(seconds);
    }
    Ok(Reply::no_content())
}

fn set_limits(inner: &mut Inner, payload: &Payload) -> Outcome {
    if let Some(enabled) = member(payload, "enabled").and_then(Value::as_bool) {
        inner.limits.set_enabled(enabled);
    }
    for (bucket, limit) in member(payload, "limits").and_then(Value::as_object).into_iter().flatten() {
        let limit = limit.as_u64().and_then(|limit| u32::try_from(limit).ok());
        let limit = limit.ok_or_else(|| ApiError::invalid("limits", "limits must be non-negative integers"))?;
        inner.limits.set_limit(bucket, limit);
    }
    if let Some(seconds) = member(payload, "windowSeconds").and_then(Value::as_f64) {
        let window =
            Duration::try_from_secs_f64(seconds).map_err(|_| ApiError::invalid("windowSeconds", "no duration"))?;
        inner.limits.set_window(window);
    }
    Ok(Reply::changed(json!({ "enabled": inner.limits.enabled() })))
}

fn state(store: &Store) -> Value {
    let workflows = store.workflows.iter().map(|workflow| {
        json!({
            "id": workflow.id,
            "ironcladId": workflow.ironclad_id(),
            "title": workflow.title,
            "template": workflow.template.name,
            "step": workflow.step.name(),
            "status": workflow.status.name(),
            "lastUpdated": stamp(workflow.updated),
            "recordIds": workflow.record_ids,
        })
    });
    let records = store.records.iter().map(|record| {
        json!({
            "id": record.id,
            "ironcladId": record.ironclad_id(),
            "type": record.kind,
            "name": record.name,
            "parentId": record.parent_id,
        })
    });
    json!({
        "counts": {
            "workflows": store.workflows.len(),
            "records": store.records.len() + store.archived,
            "entities": store.entities.len(),
            "templates": store.templates.len(),
            "users": store.people.len(),
            "webhooks": store.webhooks.len(),
            "events": store.events.len(),
        },
        "workflows": workflows.collect::<Vec<_>>(),
        "records": records.collect::<Vec<_>>(),
    })
}
