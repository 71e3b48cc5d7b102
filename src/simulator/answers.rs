//! Turning checked answers into what a workflow keeps: dates in UTC, users and records looked up, files taken in.

use serde_json::{Map, Value, json};

use super::clock::{parse_instant, stamp};
use super::documents_source::type_of;
use super::errors::ApiError;
use super::exchange::Part;
use super::store::Store;
use super::templates::Template;
use super::workflow_document::{Content, Document};

/// Answers ready to be kept.
#[derive(Debug)]
pub(crate) struct Given {
    /// Everything but documents.
    pub(crate) attributes: Map<String, Value>,
    /// Documents, authored by the launcher.
    pub(crate) documents: Vec<Document>,
}

/// Resolves all answers of a launch.
///
/// # Errors
/// 400 for a user, record, entity or file that cannot be found.
pub(crate) fn resolve(
    store: &mut Store,
    template: &Template,
    answers: &Map<String, Value>,
    files: Option<&[Part]>,
) -> Result<Given, ApiError> {
    let mut given = Given { attributes: Map::new(), documents: Vec::new() };
    for (id, value) in answers {
        let node = template.schema.get(id).unwrap_or(&Value::Null);
        if !holds_documents(node) {
            given.attributes.insert(id.clone(), resolve_value(store, node, id, value)?);
            continue;
        }
        let items = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        for item in items {
            let (filename, content) = source(item, id, files)?;
            let document = Document::new(id, filename, content, &mut store.fresh());
            given.documents.push(document.by("launcher"));
        }
    }
    Ok(given)
}

/// Whether a schema node is a document or a list of them.
pub(crate) fn holds_documents(node: &Value) -> bool {
    let kind = |pointer: &str| node.pointer(pointer).and_then(Value::as_str) == Some("document");
    kind("/type") || kind("/elementType/type")
}

fn bad(id: &str, why: &str) -> ApiError {
    let mut error = ApiError::invalid("attributes", format!("invalid value for attribute {id}: {why}"));
    error.key_path = Some(id.to_owned());
    error
}

/// One value as a workflow keeps it.
///
/// # Errors
/// 400 naming the attribute when what it refers to does not exist.
pub(crate) fn resolve_value(store: &Store, node: &Value, id: &str, value: &Value) -> Result<Value, ApiError> {
    let kind = node.get("type").and_then(Value::as_str).unwrap_or("string");
    let text = value.as_str().unwrap_or_default();
    match kind {
        "date" => Ok(parse_instant(text).map_or_else(|| value.clone(), |at| json!(stamp(at)))),
        "monetaryAmount" => Ok(money(value)),
        "entity_reference" => {
            let found = store.entity(text).ok_or_else(|| bad(id, "no such entity"))?;
            Ok(json!({ "recordId": found.id, "readableId": found.readable_id() }))
        }
        "linkedRecord" | "parentRecord" | "childRecord" => {
            let found = store.record(text).ok_or_else(|| bad(id, "no such record"))?;
            if kind == "childRecord" && found.parent_id.is_some() {
                return Err(bad(id, "the record already has a parent"));
            }
            Ok(json!({ "recordId": found.id, "readableId": found.ironclad_id() }))
        }
        "array" => rows(store, node, id, value),
        "string" if id.starts_with("approver") => {
            let found = store.person_named(text).ok_or_else(|| bad(id, "invalid user for user attribute"))?;
            Ok(json!(found.id))
        }
        _ => Ok(value.clone()),
    }
}

fn money(value: &Value) -> Value {
    let amount = value.get("amount").and_then(Value::as_str).and_then(|text| text.trim().parse::<f64>().ok());
    match amount {
        Some(amount) => json!({ "currency": value.get("currency"), "amount": amount }),
        None => value.clone(),
    }
}

fn rows(store: &Store, node: &Value, id: &str, value: &Value) -> Result<Value, ApiError> {
    let Some(columns) = node.pointer("/elementType/schema").and_then(Value::as_object) else {
        return Ok(value.clone());
    };
    let mut resolved = Vec::new();
    for row in value.as_array().into_iter().flatten().filter_map(Value::as_object) {
        let mut cells = Map::new();
        for (column, cell) in row {
            let node = columns.get(column).unwrap_or(&Value::Null);
            cells.insert(column.clone(), resolve_value(store, node, id, cell)?);
        }
        resolved.push(Value::Object(cells));
    }
    Ok(Value::Array(resolved))
}

fn source(item: &Value, id: &str, files: Option<&[Part]>) -> Result<(String, Content), ApiError> {
    if let Some(name) = item.get("file").and_then(Value::as_str) {
        let Some(parts) = files else {
            return Err(bad(id, "a file needs a multipart/form-data body"));
        };
        let Some(part) = parts.iter().find(|part| part.name == name) else {
            return Err(ApiError::missing(name, format!("missing required form-data part '{name}'")));
        };
        let filename = part.filename.clone().unwrap_or_else(|| name.to_owned());
        let content_type = part.content_type.clone().unwrap_or_else(|| type_of(&filename).to_owned());
        return Ok((filename, Content::Held(part.bytes.clone(), content_type)));
    }
    let url = item.get("url").and_then(Value::as_str).unwrap_or_default();
    let parsed = url::Url::parse(url).map_err(|_| bad(id, "not a URL"))?;
    // A top-level domain that can never resolve stands for every unreachable URL (RFC 2606).
    if parsed.host_str().is_some_and(|host| host.ends_with(".invalid")) {
        let message = format!("could not fetch the document at {url}");
        return Err(ApiError::new(400, "CONTENT_UNAVAILABLE", message).at("attributes"));
    }
    let last = parsed.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let filename = if last.contains('.') { last.to_owned() } else { String::from("document.pdf") };
    Ok((filename, Content::Fetched(url.to_owned())))
}
