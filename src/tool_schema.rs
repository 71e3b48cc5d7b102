//! Makes the JSON Schemas of a tool from its manifest entry.
//!
//! Two schemas come from the same parameters: the published one keeps to the profile of `schema_profile.rs`; the one
//! that arguments are checked against is stricter (no unknown members) and looser (an open value may be any JSON).

use serde_json::{Map, Value, json};

use crate::manifest::{Answer, Entry};

/// Marks a node whose type only Ironclad knows; published as its declared type, checked as anything.
pub const OPEN: &str = "x-open";

/// The items that a list call brings when it names no `limit`.
pub const DEFAULT_LIMIT: u64 = 20;

/// The most items that a list call may ask for; Ironclad's own pages hold fewer.
pub const LARGEST_LIMIT: u64 = 1000;

/// The `inputSchema` that clients see.
#[must_use]
pub fn input_schema(entry: &Entry) -> Map<String, Value> {
    let mut properties = Map::new();
    for (name, parameter) in &entry.parameters {
        properties.insert(name.clone(), Value::Object(published(&parameter.schema)));
    }
    for (name, schema) in server_arguments(entry) {
        properties.insert(name.into(), schema);
    }
    let required: Vec<Value> =
        entry.parameters.iter().filter(|(_, p)| p.required).map(|(name, _)| name.as_str().into()).collect();
    let mut schema = object_schema(properties);
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

/// The arguments that every read, write or list has, whatever its endpoint.
fn server_arguments(entry: &Entry) -> Vec<(&'static str, Value)> {
    let mut arguments = Vec::new();
    if entry.is_list() {
        arguments.push(("cursor", json!({"type": "string", "description": "next_cursor of the page before."})));
        arguments.push(("limit", json!({"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT})));
    }
    if matches!(entry.answer, Answer::Document {}) {
        arguments.push(("save", json!({"type": "boolean"})));
    }
    if entry.effect.is_write() {
        arguments.extend(write_arguments());
    } else {
        let description = "Dotted paths to keep.";
        arguments.push(("fields", json!({"type": "array", "items": {"type": "string"}, "description": description})));
    }
    arguments
}

fn object_schema(properties: Map<String, Value>) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), "object".into()), ("properties".to_owned(), properties.into())])
}

/// The arguments that every write has; the server's instructions tell what they are for.
#[must_use]
pub fn write_arguments() -> Vec<(&'static str, Value)> {
    vec![
        ("dry_run", json!({"type": "boolean", "description": "Show; send nothing."})),
        ("plan", json!({"type": "string"})),
        ("force_after_unknown", json!({"type": "boolean"})),
    ]
}

/// A schema without the marks that only our own check understands.
#[must_use]
pub fn published(node: &Map<String, Value>) -> Map<String, Value> {
    map_children(node, published).into_iter().filter(|(key, _)| key != OPEN).collect()
}

/// The schema that arguments are checked against.
#[must_use]
pub fn argument_schema(entry: &Entry) -> Map<String, Value> {
    let mut schema = input_schema(entry);
    let mut properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, parameter) in &entry.parameters {
        properties.insert(name.clone(), Value::Object(parameter.schema.clone()));
    }
    schema.insert("properties".into(), properties.into());
    checked(&schema)
}

fn checked(node: &Map<String, Value>) -> Map<String, Value> {
    if node.contains_key(OPEN) {
        return Map::new();
    }
    let mut node = map_children(node, checked);
    let closed = node.get("properties").and_then(Value::as_object).is_some_and(|members| !members.is_empty());
    if closed && !node.contains_key("additionalProperties") {
        node.insert("additionalProperties".into(), false.into());
    }
    node
}

fn map_children(
    node: &Map<String, Value>,
    change: fn(&Map<String, Value>) -> Map<String, Value>,
) -> Map<String, Value> {
    let mut node = node.clone();
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        for child in properties.values_mut() {
            if let Value::Object(members) = child {
                *members = change(members);
            }
        }
    }
    if let Some(Value::Object(items)) = node.get_mut("items") {
        *items = change(items);
    }
    node
}

/// The `outputSchema` that clients see: shallow, and true of every answer that the tool can give.
#[must_use]
pub fn output_schema(entry: &Entry) -> Map<String, Value> {
    let mut schema = match &entry.answer {
        Answer::Page { members, page, .. } => return page_schema(members, page.is_some()),
        Answer::Object { members, page, .. } => object_schema(with_url(members, page.is_some())),
        Answer::Form { members } | Answer::Job { members, .. } => object_schema(members.clone()),
        Answer::Empty {} => object_schema(empty_members(entry)),
        Answer::Document {} => object_schema(document_members()),
    };
    if entry.effect.is_write()
        && let Some(Value::Object(properties)) = schema.get_mut("properties")
    {
        properties.insert("dry_run".into(), json!({"type": "boolean"}));
        properties.insert("request".into(), json!({"type": "object"}));
        if matches!(entry.answer, Answer::Object { .. }) {
            properties.insert("truncated".into(), json!({"type": "boolean"}));
        }
        for (name, kind) in [("sentence", "string"), ("plan", "string"), ("plan_expires", "string")] {
            properties.insert(name.into(), json!({ "type": kind }));
        }
        for (name, items) in [("diff", "object"), ("notifies", "string"), ("notes", "string")] {
            properties.insert(name.into(), json!({"type": "array", "items": {"type": items}}));
        }
    }
    schema
}

fn with_url(members: &Map<String, Value>, has_page: bool) -> Map<String, Value> {
    let mut members = members.clone();
    if has_page {
        members.insert("url".into(), json!({"type": "string"}));
    }
    members
}

/// Nothing is required: the TypeScript SDK holds the error object of a failed call to this schema, too, and would show the
/// model a complaint about `items` in its place.
fn page_schema(members: &Map<String, Value>, has_page: bool) -> Map<String, Value> {
    object_schema(Map::from_iter([
        ("items".to_owned(), json!({"type": "array", "items": object_schema(with_url(members, has_page))})),
        ("has_more".to_owned(), json!({"type": "boolean"})),
        ("next_cursor".to_owned(), json!({"type": "string"})),
        ("total".to_owned(), json!({"type": "integer"})),
    ]))
}

fn empty_members(entry: &Entry) -> Map<String, Value> {
    let ids = entry.path_arguments().map(|name| (name.to_owned(), json!({"type": "string"})));
    let mut members: Map<String, Value> = ids.collect();
    members.insert("done".into(), json!({"type": "boolean"}));
    members
}

fn document_members() -> Map<String, Value> {
    let text = ["workflow_id", "document_key", "filename", "media_type", "sha256", "uri", "path"];
    let mut members: Map<String, Value> = text.iter().map(|name| ((*name).into(), json!({"type": "string"}))).collect();
    members.insert("size".into(), json!({"type": "integer"}));
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn entry(effect: &str, parameters: &Value, answer: &Value) -> Entry {
        let (prefix, method) = match effect {
            "read" => ("", "GET"),
            "write" => ("WRITE: ", "POST"),
            _ => ("WRITE, IRREVERSIBLE: ", "DELETE"),
        };
        let manifest = json!({"group": "things", "tools": [{
            "name": "any_thing", "title": "T", "description": format!("{prefix}does it."), "effect": effect,
            "scope": "s", "bucket": "other", "deed": "did it", "answer": answer, "parameters": parameters,
            "request": {"api": "public", "method": method, "path": "/things"}}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    fn object() -> Value {
        json!({"kind": "object", "members": {"id": {"type": "string"}}})
    }

    fn names(schema: &Map<String, Value>) -> Vec<&str> {
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_server_adds_its_own_arguments_by_effect_and_answer() {
        let page = |paging: &str| json!({"kind": "page", "paging": paging, "members": {}});
        let table = [
            ("read", object(), vec!["a", "fields"]),
            ("read", page("numbered"), vec!["a", "cursor", "limit", "fields"]),
            ("read", json!({"kind": "document"}), vec!["a", "save", "fields"]),
            ("write", object(), vec!["a", "dry_run", "plan", "force_after_unknown"]),
            ("destroy", json!({"kind": "empty"}), vec!["a", "dry_run", "plan", "force_after_unknown"]),
        ];
        let parameters = json!({"a": {"in": "query", "schema": {"type": "string"}}});
        for (effect, answer, expected) in table {
            let schema = input_schema(&entry(effect, &parameters, &answer));
            assert_eq!(names(&schema), expected, "{effect} {answer}");
            assert!(!schema.contains_key("required"));
        }
        for paging in ["numbered", "scim", "whole"] {
            let schema = input_schema(&entry("read", &json!({}), &page(paging)));
            assert_eq!(schema["properties"]["limit"]["maximum"], 1000, "{paging}");
        }
    }

    #[test]
    fn required_arguments_are_named_in_the_order_of_the_manifest() {
        let given = |required: bool| json!({"in": "body", "required": required, "schema": {"type": "string"}});
        let parameters = json!({"z": given(true), "m": given(false), "a": given(true)});
        assert_eq!(input_schema(&entry("write", &parameters, &object()))["required"], json!(["z", "a"]));
    }

    #[test]
    fn an_open_value_is_published_with_its_type_and_checked_as_anything() {
        let open = json!({"type": "string", "x-open": true});
        let item = json!({"type": "object", "properties": {"value": open.clone()}});
        let parameters = json!({
            "value": {"in": "body", "schema": open},
            "updates": {"in": "body", "schema": {"type": "array", "items": item}}});
        let entry = entry("write", &parameters, &object());
        let published = Value::from(input_schema(&entry));
        assert!(!published.to_string().contains(OPEN), "{published}");
        assert_eq!(published.pointer("/properties/value"), Some(&json!({"type": "string"})));
        assert_eq!(published.pointer("/properties/updates/items/properties/value"), Some(&json!({"type": "string"})));
        let checked = Value::from(argument_schema(&entry));
        assert_eq!(checked.pointer("/properties/value"), Some(&json!({})));
        assert_eq!(checked.pointer("/properties/updates/items/properties/value"), Some(&json!({})));
    }

    #[test]
    fn objects_with_named_members_are_closed_in_the_check_and_maps_stay_open() {
        let named = json!({"type": "object", "properties": {"id": {"type": "string"}}});
        let parameters = json!({
            "parent": {"in": "body", "schema": named},
            "links": {"in": "body", "schema": {"type": "array", "items": named}},
            "attributes": {"in": "body", "schema": {"type": "object"}}});
        let entry = entry("write", &parameters, &object());
        let checked = Value::from(argument_schema(&entry));
        for closed in ["", "/properties/parent", "/properties/links/items"] {
            assert_eq!(checked.pointer(&format!("{closed}/additionalProperties")), Some(&false.into()), "{closed:?}");
        }
        assert_eq!(checked.pointer("/properties/attributes/additionalProperties"), None);
        let published = Value::from(input_schema(&entry)).to_string();
        assert!(!published.contains("additionalProperties"), "{published}");
    }

    #[test]
    fn a_write_may_answer_with_its_dry_run_and_a_cut_one_says_so() {
        let none = json!({});
        assert_eq!(names(&output_schema(&entry("read", &none, &object()))), ["id"]);
        let written = output_schema(&entry("write", &none, &object()));
        let tried = ["sentence", "plan", "plan_expires", "diff", "notifies", "notes"];
        assert_eq!(names(&written), [&["id", "dry_run", "request", "truncated"][..], &tried].concat());
        let done = output_schema(&entry("destroy", &none, &json!({"kind": "empty"})));
        assert_eq!(names(&done), [&["done", "dry_run", "request"][..], &tried].concat());
    }

    #[test]
    fn a_list_answers_an_envelope_whatever_api_is_behind_it() {
        for paging in ["numbered", "scim", "whole"] {
            let answer =
                json!({"kind": "page", "paging": paging, "page": "/x/{id}", "members": {"id": {"type": "string"}}});
            let schema = output_schema(&entry("read", &json!({}), &answer));
            assert_eq!(names(&schema), ["items", "has_more", "next_cursor", "total"]);
            assert!(!schema.contains_key("required"));
            let item = &schema["properties"]["items"]["items"];
            assert_eq!(names(item.as_object().unwrap()), ["id", "url"]);
        }
    }
}
