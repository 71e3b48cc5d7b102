//! The log of requests, for tests to judge what a client really sent.
//!
//! `applied` says whether a request changed state: it tells a write that was lost from one that was doubled. `fault` names
//! what struck it, and `gone` says that the client went away before its answer was whole. Secrets are shown as their kind
//! only.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::exchange::Payload;
use super::faults::Fault;
use super::incoming::Incoming;
use super::visit::Visit;

const KEPT: usize = 10_000;
const BODY_SHOWN: usize = 256 * 1024;
const SECRET_FIELDS: [&str; 6] =
    ["client_secret", "refresh_token", "code", "code_verifier", "access_token", "password"];

/// The newest requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    entries: VecDeque<(u64, Value)>,
    next: u64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Result<'a> {
    /// HTTP status.
    pub(crate) status: u16,
    /// The operation's name; empty when none was reached.
    pub(crate) operation: &'a str,
    /// Whether it changed state.
    pub(crate) applied: bool,
    /// The acting user's id; empty when nobody was signed in.
    pub(crate) user_id: &'a str,
    /// The code of the refusal, if it was refused.
    pub(crate) code: Option<&'a str>,
}

impl RequestLog {
    /// Adds a request and what became of it.
    pub(crate) fn add(
        &mut self,
        (visit, time): (Visit, &str),
        request: &Incoming,
        payload: &Payload,
        result: Result<'_>,
    ) {
        self.next = self.next.saturating_add(1);
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        let mut query = Map::new();
        for (name, value) in request.query.pairs() {
            query.insert(name.clone(), json!(masked(name, value)));
        }
        let entry = json!({
            "seq": self.next,
            "time": time,
            "method": request.method,
            "path": request.path,
            "query": query,
            "headers": headers(request),
            "body": body(request, payload),
            "status": result.status,
            "operation": result.operation,
            "user": result.user_id,
            "code": result.code,
            "applied": result.applied,
            "fault": visit.fault.map(Fault::name),
            "gone": false,
        });
        self.entries.push_back((visit.number, entry));
    }

    /// Marks the request whose client went away; `false` where it is not in the log.
    pub(crate) fn left(&mut self, visit: Visit) -> bool {
        let entry = self.entries.iter_mut().rev().find(|(number, _)| *number == visit.number);
        let gone = entry.and_then(|(_, entry)| entry.get_mut("gone"));
        gone.map(|gone| *gone = true.into()).is_some()
    }

    /// All entries that satisfy the filters: `method`, `operation`, `path` (prefix) and `after` (sequence number).
    pub(crate) fn list(&self, query: &super::exchange::Query) -> Value {
        let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let after = query.get("after").and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        let kept = self.entries.iter().map(|(_, entry)| entry).filter(|entry| {
            query.get("method").is_none_or(|method| text(entry, "method").eq_ignore_ascii_case(method))
                && query.get("operation").is_none_or(|name| text(entry, "operation") == name)
                && query.get("path").is_none_or(|prefix| text(entry, "path").starts_with(prefix))
                && entry.get("seq").and_then(Value::as_u64).unwrap_or_default() > after
        });
        let list: Vec<&Value> = kept.collect();
        json!({ "count": list.len(), "list": list })
    }

    /// Forgets all entries; sequence numbers go on.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// How many requests were seen since the start.
    pub(crate) const fn seen(&self) -> u64 {
        self.next
    }
}

fn masked<'a>(name: &str, value: &'a str) -> &'a str {
    if SECRET_FIELDS.contains(&name) { "(hidden)" } else { value }
}

fn headers(request: &Incoming) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in &request.headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let text = if matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie") {
            text.split(' ').next().unwrap_or_default().to_owned()
        } else {
            text
        };
        shown.insert(name.as_str().to_owned(), json!(text));
    }
    shown
}

fn body(request: &Incoming, payload: &Payload) -> Value {
    if request.body.len() > BODY_SHOWN && !matches!(payload, Payload::Parts(_)) {
        return json!({ "bytes": request.body.len() });
    }
    match payload {
        Payload::Empty => Value::Null,
        Payload::Json(value) => hide(value.clone()),
        Payload::Parts(parts) => {
            let shown = parts.iter().map(|part| {
                let data = serde_json::from_slice::<Value>(&part.bytes).ok().filter(|_| part.filename.is_none());
                json!({
                    "name": part.name,
                    "filename": part.filename,
                    "contentType": part.content_type,
                    "bytes": part.bytes.len(),
                    "data": data,
                })
            });
            json!({ "multipart": shown.collect::<Vec<_>>() })
        }
        Payload::Unreadable(_) => {
            let pairs = url::form_urlencoded::parse(&request.body);
            let fields: Map<String, Value> =
                pairs.map(|(name, value)| (name.to_string(), json!(masked(&name, &value)))).collect();
            Value::Object(fields)
        }
    }
}

fn hide(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        for name in SECRET_FIELDS {
            if let Some(secret) = map.get_mut(name).filter(|secret| secret.is_string()) {
                *secret = json!("(hidden)");
            }
        }
    }
    value
}
