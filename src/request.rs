//! Builds the request of a call: manifest entry and checked arguments in, plain data out.
//!
//! Pure, so that `dry_run` can show exactly what would be sent. An id fills exactly one path segment.

use std::{fmt, path::PathBuf};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::{
    arguments::Args,
    error::ArgumentFault,
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
    /// Documents that go along, to which the body refers by their parts.
    pub files: Vec<Upload>,
    /// Whether it may be sent again, and how its failure reads.
    pub effect: Effect,
}

/// A document that goes along with a request, in a part of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The name of its part, to which the body refers.
    pub part: String,
    /// The file's name, without any folder.
    pub filename: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Its size in bytes.
    pub size: u64,
    /// Where its bytes are.
    pub content: Content,
}

/// Where the bytes of a document are.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// In a file, read when it is sent.
    File(PathBuf),
    /// In memory.
    Bytes(Bytes),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
        }
    }
}

impl Upload {
    /// The document as `dry_run` shows it: its name and size, never what it holds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"part": self.part, "filename": self.filename, "media_type": self.media_type, "size": self.size})
    }
}

/// The Ironclad user on whose behalf requests are made; both forms may be given, and neither.
///
/// It goes into headers, and with a static token into bodies that have a `creator` or `user` member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ActingUser {
    /// `x-as-user-email`
    pub email: Option<String>,
    /// `x-as-user-id`
    pub id: Option<String>,
}

impl ActingUser {
    /// How the user is named: by e-mail address, else by id; `None` where nobody is named.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.email.as_deref().or(self.id.as_deref())
    }

    fn to_json(&self) -> Option<Value> {
        match (&self.email, &self.id) {
            (Some(email), _) => Some(json!({ "type": "email", "email": email })),
            (None, Some(id)) => Some(json!({ "type": "id", "id": id })),
            (None, None) => None,
        }
    }
}

/// Builds the request of one call.
#[must_use]
pub fn build(entry: &Entry, args: &Args, acting_user: Option<&ActingUser>) -> Request {
    let template = &entry.request;
    let mut request = Request {
        api: template.api,
        method: template.method,
        path: path(entry, args),
        query: template.query.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        body: None,
        files: Vec::new(),
        effect: entry.effect,
    };
    for (name, parameter) in &entry.parameters {
        let Some(value) = args.get(name) else { continue };
        match parameter.place {
            // An empty list means no filter; sent as an empty value it would match nothing.
            Place::Query if value.as_array().is_some_and(Vec::is_empty) => {}
            Place::Query => {
                request.query.push((parameter.wire.clone().unwrap_or_else(|| name.clone()), query_text(value)));
            }
            Place::Body => {
                let own = format!("/{name}");
                let pointer = parameter.wire.as_deref().unwrap_or(&own);
                insert(request.body.get_or_insert_with(|| Value::Object(Map::new())), pointer, value.clone());
            }
            Place::Path | Place::Item | Place::Local | Place::Conditions => {}
        }
    }
    if let (Some(pointer), Some(user)) = (&template.acting_user, acting_user.and_then(ActingUser::to_json)) {
        insert(request.body.get_or_insert_with(|| Value::Object(Map::new())), pointer, user);
    }
    request
}

fn path(entry: &Entry, args: &Args) -> String {
    let mut path = entry.request.api.root().to_owned();
    for segment in entry.request.path.split('/').skip(1) {
        path.push('/');
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => path.push_str(&self::segment(args.text(name).unwrap_or_default())),
            None => path.push_str(segment),
        }
    }
    path
}

/// An id as one segment of a path.
#[must_use]
pub fn segment(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

/// The longest query that is sent, in bytes once encoded: a URL of the `http` crate ends at 65,534.
const QUERY_BYTES: usize = 60_000;

/// The fault of the argument that makes the query too long for a URL, if it is.
#[must_use]
pub fn overlong(entry: &Entry, args: &Args) -> Option<ArgumentFault> {
    let in_query = |name: &str| entry.parameters.get(name).is_some_and(|parameter| parameter.place == Place::Query);
    let query = args.iter().filter(|(name, _)| in_query(name));
    let encoded = |value| utf8_percent_encode(&query_text(value), NON_ALPHANUMERIC).map(str::len).sum::<usize>();
    let sizes: Vec<(&str, usize)> = query.map(|(name, value)| (name, encoded(value))).collect();
    if sizes.iter().map(|(_, size)| size).sum::<usize>() <= QUERY_BYTES {
        return None;
    }
    let (longest, _) = sizes.into_iter().max_by_key(|(_, size)| *size)?;
    Some(ArgumentFault::new(longest, "is too long for a URL", "a shorter value"))
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
    /// A read of the Public API at a path below its root, encoded already.
    #[must_use]
    pub fn look_up(below: &str) -> Self {
        Self {
            api: Api::Public,
            method: Method::Get,
            path: format!("{}{below}", Api::Public.root()),
            query: Vec::new(),
            body: None,
            files: Vec::new(),
            effect: Effect::Read,
        }
    }

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
        if !self.files.is_empty() {
            shown.insert("files".into(), self.files.iter().map(Upload::to_json).collect());
        }
        shown.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::{arguments::ArgumentCheck, manifest, tool_schema};

    const ORIGIN: &str = "https://na1.ironcladapp.com";

    fn entry(request: &Value, parameters: &Value) -> Entry {
        let manifest = json!({"group": "things", "tools": [{
            "name": "change_thing", "title": "T", "description": "WRITE: changes a thing.", "effect": "write",
            "scope": "s", "bucket": "other", "deed": "changed it", "answer": {"kind": "empty"},
            "request": request, "parameters": parameters}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    fn args(values: &Value) -> Args {
        let mut args = Args::default();
        for (name, value) in values.as_object().unwrap() {
            args.replace(name, value.clone());
        }
        args
    }

    fn placed(place: &str, wire: Option<&str>) -> Value {
        json!({"in": place, "wire": wire, "required": place == "path", "schema": {"type": "string"}})
    }

    /// The request of a call with one argument `a`.
    fn one(parameter: &Value, value: &Value) -> Request {
        let entry = entry(&json!({"api": "public", "method": "POST", "path": "/things"}), &json!({ "a": parameter }));
        build(&entry, &args(&json!({ "a": value })), None)
    }

    #[test]
    fn an_id_fills_its_segment_below_the_root_of_its_api() {
        let path = |api: &str, id: &str| {
            let request = json!({"api": api, "method": "POST", "path": "/things/{id}/parts"});
            build(&entry(&request, &json!({"id": placed("path", None)})), &args(&json!({ "id": id })), None).path
        };
        assert_eq!(path("public", "IC-12"), "/public/api/v1/things/IC-12/parts");
        assert_eq!(path("scim", "a_b.c~d"), "/scim/v2/things/a_b.c~d/parts");
        assert_eq!(path("public", "a b/ö:+"), "/public/api/v1/things/a%20b%2F%C3%B6%3A%2B/parts");
    }

    #[test]
    fn several_ids_each_fill_their_own_segment() {
        let request = json!({"api": "public", "method": "PATCH", "path": "/a/{b}/c/{d}"});
        let entry = entry(&request, &json!({"d": placed("path", None), "b": placed("path", None)}));
        assert_eq!(build(&entry, &args(&json!({"d": "2", "b": "1"})), None).path, "/public/api/v1/a/1/c/2");
    }

    #[test]
    fn query_values_are_text_and_a_list_is_one_value_with_commas() {
        let table = [
            (json!("Equals([a], 'b')"), "Equals([a], 'b')"),
            (json!(["active", "paused"]), "active,paused"),
            (json!(true), "true"),
            (json!(12), "12"),
        ];
        for (value, expected) in table {
            let request = one(&placed("query", Some("wireName")), &value);
            assert_eq!(request.query, [("wireName".to_owned(), expected.to_owned())], "{value}");
            assert_eq!(request.body, None);
        }
        assert_eq!(one(&placed("query", Some("wireName")), &json!([])).query, []);
        assert_eq!(one(&placed("query", None), &json!("x")).query[0].0, "a");
    }

    #[test]
    fn a_body_value_goes_where_its_pointer_says() {
        let value = json!({"x": [1]});
        let table = [
            (None, json!({ "a": value })),
            (Some("/other"), json!({ "other": value })),
            (Some("/comment/message"), json!({"comment": {"message": value}})),
            (Some("/"), value.clone()),
        ];
        for (wire, expected) in table {
            assert_eq!(one(&placed("body", wire), &value).body, Some(expected), "{wire:?}");
        }
    }

    #[test]
    fn members_of_one_object_come_together() {
        let request = json!({"api": "public", "method": "POST", "path": "/things"});
        let parameters =
            json!({"m": placed("body", Some("/c/m")), "n": placed("body", Some("/c/n")), "o": placed("body", None)});
        let body = build(&entry(&request, &parameters), &args(&json!({"n": 1, "m": 2, "o": 3})), None).body;
        assert_eq!(body, Some(json!({"c": {"m": 2, "n": 1}, "o": 3})));
    }

    #[test]
    fn what_filters_locally_is_not_sent() {
        let request = one(&placed("item", Some("/name")), &json!("nda"));
        assert_eq!((request.query, request.body), (Vec::new(), None));
    }

    #[test]
    fn what_is_always_the_same_comes_first_and_what_is_absent_is_left_out() {
        let request = json!({"api": "public", "method": "POST", "path": "/things", "query": {"form": "launch"}});
        let entry = entry(&request, &json!({"a": placed("query", None), "b": placed("body", None)}));
        let always = ("form".to_owned(), "launch".to_owned());
        assert_eq!(build(&entry, &Args::default(), None).query, std::slice::from_ref(&always));
        assert_eq!(build(&entry, &args(&json!({"a": "x"})), None).query, [always, ("a".to_owned(), "x".to_owned())]);
        assert_eq!(
            build(&entry, &args(&json!({"dry_run": true, "fields": ["x"], "cursor": "c", "limit": 5})), None).body,
            None
        );
    }

    #[test]
    fn the_acting_user_goes_into_bodies_that_have_a_place_for_one() {
        let with = json!({"api": "public", "method": "POST", "path": "/things", "acting_user": "/creator"});
        let without = json!({"api": "public", "method": "POST", "path": "/things"});
        let parameters = json!({"a": placed("body", None)});
        let values = args(&json!({"a": 1}));
        let email = ActingUser { email: Some("ana@example.com".into()), ..ActingUser::default() };
        let email = Some(&email);
        let body = |request: &Value, values: &Args, user| build(&entry(request, &parameters), values, user).body;
        let creator = json!({"type": "email", "email": "ana@example.com"});
        assert_eq!(body(&with, &values, email), Some(json!({"a": 1, "creator": creator})));
        assert_eq!(body(&with, &Args::default(), email), Some(json!({ "creator": creator })));
        let id = Some(&ActingUser { id: Some("6a6b".into()), ..ActingUser::default() });
        assert_eq!(body(&with, &Args::default(), id), Some(json!({"creator": {"type": "id", "id": "6a6b"}})));
        assert_eq!(body(&with, &values, None), Some(json!({"a": 1})));
        assert_eq!(body(&without, &values, email), Some(json!({"a": 1})));
        assert_eq!(body(&without, &Args::default(), email), None);
    }

    #[test]
    fn a_dry_run_shows_method_path_query_and_body() {
        let request = json!({"api": "public", "method": "PATCH", "path": "/things/{id}", "query": {"form": "launch"}});
        let parameters = json!({"id": placed("path", None), "a": placed("body", None)});
        let shown = build(&entry(&request, &parameters), &args(&json!({"id": "x y", "a": 1})), None).to_json();
        let path = "/public/api/v1/things/x%20y";
        assert_eq!(shown, json!({"method": "PATCH", "path": path, "query": {"form": "launch"}, "body": {"a": 1}}));
        let bare = json!({"api": "public", "method": "DELETE", "path": "/things"});
        let shown = build(&entry(&bare, &json!({})), &Args::default(), None).to_json();
        assert_eq!(shown, json!({"method": "DELETE", "path": "/public/api/v1/things"}));
    }

    /// The segments of a path as a server sees them, after a URL parser has had its way.
    fn segments(path: &str) -> Vec<String> {
        let url = Url::parse(&format!("{ORIGIN}{path}")).unwrap();
        assert_eq!((url.origin().ascii_serialization().as_str(), url.query(), url.fragment()), (ORIGIN, None, None));
        let decoded = |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8().unwrap().into_owned();
        url.path_segments().unwrap().map(decoded).collect()
    }

    fn any_id() -> impl Strategy<Value = String> {
        let nasty = "[./\\\\%?#:;@&=+~a2eE \\t\\n]{0,8}";
        prop_oneof![any::<String>(), nasty, "[%.2eEfF/]{1,7}", "[A-Za-z0-9_-]{1,30}"]
    }

    proptest! {
        #[test]
        fn an_id_that_is_let_through_never_leaves_its_segment(id in any_id(), other in any_id()) {
            let request = json!({"api": "public", "method": "POST", "path": "/things/{id}/parts/{other}/end"});
            let entry = entry(&request, &json!({"id": placed("path", None), "other": placed("path", None)}));
            let check = ArgumentCheck::compile(tool_schema::argument_schema(&entry)).unwrap();
            let given = json!({"id": id, "other": other}).as_object().unwrap().clone();
            if let Ok(args) = check.check(&entry, given) {
                let built = build(&entry, &args, None);
                prop_assert!(built.path.is_ascii());
                let expected = ["public", "api", "v1", "things", &id, "parts", &other, "end"];
                prop_assert_eq!(segments(&built.path), expected);
            }
        }
    }
}
