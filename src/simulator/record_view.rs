//! A record as the API shows it (ironclad-api.md §8.15).
//!
//! Addresses are kept as objects and flattened here, because `addressAsObject` is false unless asked for; amendments
//! are applied here too, so a parent always shows what its children say now.

use serde_json::{Map, Value, json};

use super::clock::stamp;
use super::lifecycle;
use super::store::{Record, Store};

/// How a reply wants records shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style<'a> {
    /// `http://host:port`, for absolute links.
    pub(crate) origin: &'a str,
    /// `addressAsObject`.
    pub(crate) address_as_object: bool,
    /// `hydrateEntities`.
    pub(crate) hydrate: bool,
}

/// The whole object.
pub(crate) fn full(store: &Store, record: &Record, style: Style<'_>) -> Value {
    let effective = effective(store, record);
    let mut body = json!({
        "id": record.id,
        "ironcladId": record.ironclad_id(),
        "type": record.kind,
        "name": record.name,
        "lastUpdated": record.updated.map(stamp),
        "properties": shown(store, &effective, style),
        "attachments": attachments(record, style.origin),
        "links": record.links.iter().map(|id| json!({ "recordId": id })).collect::<Vec<_>>(),
        "childIds": record.children,
    });
    let Some(map) = body.as_object_mut() else { return body };
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(name.to_owned(), value);
        }
    };
    add("parentId", record.parent_id.as_ref().map(|id| json!(id)));
    add("parentLinkType", record.parent_link_type.as_ref().map(|kind| json!(kind)));
    add("contractStatus", lifecycle::contract_status(&effective, store.clock.today()));
    add("source", record.source.clone());
    let amendments: Vec<String> = amendments(store, record).map(Record::ironclad_id).collect();
    add("amendments", (!amendments.is_empty()).then(|| json!(amendments)));
    body
}

fn amendments<'a>(store: &'a Store, record: &'a Record) -> impl Iterator<Item = &'a Record> {
    let children = record.children.iter().filter_map(|id| store.record(id));
    children.filter(|child| child.parent_link_type.as_deref() == Some("amendment"))
}

/// The properties after all amendments; a changed one carries its `originalValue` (ironclad-api.md §6.2).
pub(crate) fn effective(store: &Store, record: &Record) -> Map<String, Value> {
    let mut properties = record.properties.clone();
    for child in amendments(store, record) {
        for key in &child.amends {
            let Some(new) = child.properties.get(key) else { continue };
            let mut merged = new.clone();
            let original = properties.get(key).and_then(|old| old.get("originalValue").or_else(|| old.get("value")));
            if let (Some(original), Some(map)) = (original, merged.as_object_mut()) {
                map.insert("originalValue".into(), original.clone());
            }
            properties.insert(key.clone(), merged);
        }
    }
    properties
}

fn shown(store: &Store, properties: &Map<String, Value>, style: Style<'_>) -> Map<String, Value> {
    let one = |(key, property): (&String, &Value)| {
        let kind = property.get("type").and_then(Value::as_str);
        let mut property = property.clone();
        match kind {
            Some("address") if !style.address_as_object => flatten(&mut property),
            Some("reference") if style.hydrate => hydrate(store, &mut property),
            Some(_) | None => {}
        }
        (key.clone(), property)
    };
    properties.iter().map(one).collect()
}

fn flatten(property: &mut Value) {
    let Some(map) = property.as_object_mut() else { return };
    for name in ["value", "originalValue"] {
        if let Some(text) = map.get(name).map(one_line) {
            map.insert(name.to_owned(), json!(text));
        }
    }
    map.insert("type".into(), json!("string"));
}

/// An address on one line.
fn one_line(address: &Value) -> String {
    if let Some(text) = address.as_str() {
        return text.to_owned();
    }
    let part = |name: &str| address.get(name).and_then(Value::as_str).unwrap_or_default();
    let lines = address.get("lines").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let region = format!("{} {}", part("region"), part("postcode"));
    let rest = [part("locality"), region.trim(), part("country")];
    let parts: Vec<&str> = lines.chain(rest).filter(|piece| !piece.is_empty()).collect();
    parts.join(", ")
}

fn hydrate(store: &Store, property: &mut Value) {
    let id = property.pointer("/value/recordId").and_then(Value::as_str);
    let Some(entity) = id.and_then(|id| store.entity(id)) else { return };
    let attributes = json!({ "name": { "type": "string", "value": entity.name } });
    if let Some(value) = property.get_mut("value").and_then(Value::as_object_mut) {
        value.insert("attributes".into(), attributes);
    }
}

fn attachments(record: &Record, origin: &str) -> Map<String, Value> {
    let one = |attachment: &super::store::Attachment| {
        let href = format!("{origin}/public/api/v1/records/{}/attachments/{}", record.id, attachment.key);
        let shown = json!({ "filename": attachment.filename, "contentType": attachment.content_type, "href": href });
        (attachment.key.clone(), shown)
    };
    record.attachments.iter().map(one).collect()
}
