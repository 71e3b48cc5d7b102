//! Builds the request of a call: manifest entry and checked arguments in, plain data out.
//!
//! Pure, so that `dry_run` can show exactly what would be sent. An id fills exactly one path segment.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::{
    arguments::Args,
    manifest::{Api, Effect, Entry, Method, Place},
};

/// RFC 3986 §2.3: what never needs encoding.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request to Ironclad, host and credentials apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which API.
    pub api: Api,
    /// The HTTP method.
    pub method: Method,
    /// The path from the origin, encoded.
    pub path: String,
    /// Query parameters, not encoded.
    pub query: Vec<(String, String)>,
    /// The JSON body.
    pub body: Option<Value>,
    /// Whether it may be sent again, and how its failure reads.
    pub effect: Effect,
}

/// Whom a static token acts for; it goes into bodies that have a `creator` or `user` member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActingUser<'a> {
    /// By e-mail address.
    Email(&'a str),
    /// By user id.
    Id(&'a str),
}

impl ActingUser<'_> {
    fn to_json(self) -> Value {
        match self {
            Self::Email(email) => json!({ "type": "email", "email": email }),
            Self::Id(id) => json!({ "type": "id", "id": id }),
        }
    }
}

/// Builds the request of one call.
#[must_use]
pub fn build(entry: &Entry, args: &Args, acting_user: Option<ActingUser<'_>>) -> Request {
    let template = &entry.request;
    let mut request = Request {
        api: template.api,
        method: template.method,
        path: path(entry, args),
        query: template.query.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        body: None,
        effect: entry.effect,
    };
    for (name, parameter) in &entry.parameters {
        let Some(value) = args.get(name) else { continue };
        match parameter.place {
            Place::Query => {
                request.query.push((parameter.wire.clone().unwrap_or_else(|| name.clone()), query_text(value)));
            }
            Place::Body => {
                let own = format!("/{name}");
                let pointer = parameter.wire.as_deref().unwrap_or(&own);
                insert(request.body.get_or_insert_with(|| Value::Object(Map::new())), pointer, value.clone());
            }
            Place::Path | Place::Item => {}
        }
    }
    if let (Some(pointer), Some(user)) = (&template.acting_user, acting_user) {
        insert(request.body.get_or_insert_with(|| Value::Object(Map::new())), pointer, user.to_json());
    }
    request
}

fn path(entry: &Entry, args: &Args) -> String {
    let mut path = entry.request.api.root().to_owned();
    for segment in entry.request.path.split('/').skip(1) {
        path.push('/');
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => path.extend(utf8_percent_encode(args.text(name).unwrap_or_default(), SEGMENT)),
            None => path.push_str(segment),
        }
    }
    path
}

/// A list is one value with commas (ironclad-api.md §4).
fn query_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(query_text).collect::<Vec<_>>().join(","),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Puts a value at a JSON pointer, making the objects on the way; `/` alone is the whole body.
fn insert(body: &mut Value, pointer: &str, value: Value) {
    let mut place = body;
    for step in pointer.split('/').skip(1).filter(|step| !step.is_empty()) {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(members) = place else { return };
        place = members.entry(step).or_insert(Value::Null);
    }
    *place = value;
}

impl Request {
    /// The request as `dry_run` shows it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("method".into(), self.method.as_str().into());
        shown.insert("path".into(), self.path.as_str().into());
        if !self.query.is_empty() {
            let query = self.query.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
            shown.insert("query".into(), Value::Object(query.collect()));
        }
        if let Some(body) = &self.body {
            shown.insert("body".into(), body.clone());
        }
        shown.into()
    }
}
