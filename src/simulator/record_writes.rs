//! Creating and changing records.
//!
//! Everything is checked before anything changes, so a refused request leaves no half-written record. A record of a
//! running workflow takes the change and loses it when the workflow changes next (ironclad-api.md §0).

use serde_json::{Map, Value};

use super::errors::ApiError;
use super::exchange::{Call, Outcome, Reply};
use super::record_schema;
use super::record_values::check_property;
use super::record_view;
use super::records::{style, unknown};
use super::store::{Record, Store};

/// Members of `POST /records`.
pub(crate) const CREATE_MEMBERS: &[&str] = &[
    "type",
    "name",
    "properties",
    "links",
    "links[].recordId",
    "parent",
    "parent.recordId",
    "parent.parentLinkType",
    "children",
    "children[].recordId",
    "propertiesToAmend",
];

/// Members of `PATCH /records/{id}`; no others are allowed in any mode (ironclad-api.md §8.18).
pub(crate) const PATCH_MEMBERS: &[&str] = &[
    "type",
    "name",
    "addProperties",
    "removeProperties",
    "addLinks",
    "addLinks[].recordId",
    "removeLinks",
    "removeLinks[].recordId",
    "setParent",
    "setParent.recordId",
    "setParent.parentLinkType",
    "removeParent",
    "addChildren",
    "addChildren[].recordId",
    "removeChildren",
    "removeChildren[].recordId",
    "addPropertiesToAmend",
    "removePropertiesToAmend",
];

/// `POST /records`.
pub(crate) fn create(store: &mut Store, call: &Call) -> Outcome {
    let style = style(call)?;
    let body = call.object()?;
    let kind = required_text(body, "type")?;
    let name = required_text(body, "name")?;
    check_kind(kind)?;
    let properties = match body.get("properties") {
        None => return Err(ApiError::missing("properties", "properties is required")),
        Some(value) => checked_properties(value, "properties")?,
    };
    let links = record_ids(store, body, "links")?;
    let children = children(store, body, "children", "")?;
    let parent = parent(store, body, "parent")?;
    let amends = amended(body, "propertiesToAmend", parent.as_ref())?;
    let (kind, name) = (kind.to_owned(), name.to_owned());
    let (id, number, now) = (store.random.uuid(), store.take_number(), store.clock.now());
    store.records.push(Record {
        id: id.clone(),
        number,
        kind,
        name,
        updated: Some(now),
        properties,
        links,
        amends,
        ..Record::default()
    });
    if parent.is_some() {
        store.set_parent(&id, parent);
    }
    children.iter().for_each(|child| store.set_parent(child, Some((id.clone(), None))));
    let record = store.record(&id).ok_or_else(|| unknown(&id))?;
    Ok(Reply::changed(record_view::full(store, record, style)))
}

/// `PATCH /records/{id}`.
pub(crate) fn update(store: &mut Store, call: &Call) -> Outcome {
    let style = style(call)?;
    let id = store.record(call.segment(0)).ok_or_else(|| unknown(call.segment(0)))?.id.clone();
    let body = call.object()?;
    if body.is_empty() {
        return Err(ApiError::missing("body", "at least one change is required"));
    }
    let change = Change::read(store, body, &id)?;
    let before = status(store, &id);
    change.apply(store, &id);
    if status(store, &id) != before {
        status_changed(store, &id);
    }
    let record = store.record(&id).ok_or_else(|| unknown(&id))?;
    Ok(Reply::changed(record_view::full(store, record, style)))
}

/// The contract status a record shows now.
pub(crate) fn status(store: &Store, id: &str) -> Option<Value> {
    let effective = record_view::effective(store, store.record(id)?);
    super::lifecycle::contract_status(&effective, store.clock.today())
}

/// Records the event of a changed contract status; its payload is a guess (ironclad-api.md §10.2).
pub(crate) fn status_changed(store: &mut Store, id: &str) {
    let event = "record_contract_status_changed";
    let now = status(store, id).unwrap_or_default();
    store.emit_payload(event, serde_json::json!({ "event": event, "recordID": id, "contractStatus": now }));
}

#[derive(Debug)]
struct Change {
    kind: Option<String>,
    name: Option<String>,
    add: Map<String, Value>,
    remove: Vec<String>,
    add_links: Vec<String>,
    remove_links: Vec<String>,
    parent: Option<(String, Option<String>)>,
    remove_parent: bool,
    add_children: Vec<String>,
    remove_children: Vec<String>,
    add_amends: Vec<String>,
    remove_amends: Vec<String>,
}

impl Change {
    fn read(store: &Store, body: &Map<String, Value>, id: &str) -> Result<Self, ApiError> {
        let kind = optional_text(body, "type")?;
        if let Some(kind) = &kind {
            check_kind(kind)?;
        }
        let parent = parent(store, body, "setParent")?;
        if parent.as_ref().is_some_and(|(parent, _)| parent == id) {
            return Err(ApiError::invalid("setParent", "a record cannot be its own parent"));
        }
        let current =
            store.record(id).and_then(|record| Some((record.parent_id.clone()?, record.parent_link_type.clone())));
        Ok(Self {
            kind,
            name: optional_text(body, "name")?,
            add: body
                .get("addProperties")
                .map_or(Ok(Map::new()), |value| checked_properties(value, "addProperties"))?,
            remove: ids(body, "removeProperties")?,
            add_links: record_ids(store, body, "addLinks")?,
            remove_links: record_ids(store, body, "removeLinks")?,
            add_amends: amended(body, "addPropertiesToAmend", parent.as_ref().or(current.as_ref()))?,
            parent,
            remove_parent: body.get("removeParent") == Some(&Value::Bool(true)),
            add_children: children(store, body, "addChildren", id)?,
            remove_children: record_ids(store, body, "removeChildren")?,
            remove_amends: ids(body, "removePropertiesToAmend")?,
        })
    }

    fn apply(self, store: &mut Store, id: &str) {
        let now = store.clock.now();
        if let Some(record) = store.record_mut(id) {
            record.kind = self.kind.unwrap_or_else(|| record.kind.clone());
            record.name = self.name.unwrap_or_else(|| record.name.clone());
            record.properties.retain(|key, _| !self.remove.contains(key));
            record.properties.extend(self.add);
            record.links.retain(|link| !self.remove_links.contains(link));
            let new = self.add_links.into_iter().filter(|link| !record.links.contains(link)).collect::<Vec<_>>();
            record.links.extend(new);
            record.amends.retain(|key| !self.remove_amends.contains(key));
            record.amends.extend(self.add_amends);
            record.updated = Some(now);
        }
        if self.remove_parent {
            store.set_parent(id, None);
        }
        if self.parent.is_some() {
            store.set_parent(id, self.parent);
        }
        self.remove_children.iter().for_each(|child| store.set_parent(child, None));
        self.add_children.iter().for_each(|child| store.set_parent(child, Some((id.to_owned(), None))));
    }
}

fn required_text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, ApiError> {
    let Some(value) = body.get(name) else { return Err(ApiError::missing(name, format!("{name} is required"))) };
    let text = value.as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| ApiError::invalid(name, format!("{name} must be a non-empty string")))
}

fn optional_text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    if !body.contains_key(name) {
        return Ok(None);
    }
    required_text(body, name).map(|text| Some(text.to_owned()))
}

fn check_kind(kind: &str) -> Result<(), ApiError> {
    if record_schema::record_types().contains_key(kind) {
        return Ok(());
    }
    Err(ApiError::invalid("type", format!("unknown record type {kind}")))
}

fn checked_properties(value: &Value, param: &str) -> Result<Map<String, Value>, ApiError> {
    let Some(map) = value.as_object() else {
        return Err(ApiError::invalid(param, format!("{param} must be an object")));
    };
    for (key, property) in map {
        check_property(key, property).map_err(|message| ApiError::invalid(format!("{param}.{key}"), message))?;
    }
    Ok(map.clone())
}

fn ids(body: &Map<String, Value>, name: &str) -> Result<Vec<String>, ApiError> {
    let Some(value) = body.get(name) else { return Ok(Vec::new()) };
    let items = value.as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(&Value::Null));
    let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    texts.ok_or_else(|| ApiError::invalid(name, format!("{name} must be an array of strings")))
}

fn record_ids(store: &Store, body: &Map<String, Value>, name: &str) -> Result<Vec<String>, ApiError> {
    let Some(value) = body.get(name) else { return Ok(Vec::new()) };
    let Some(items) = value.as_array() else {
        return Err(ApiError::invalid(name, format!("{name} must be an array")));
    };
    items.iter().map(|item| record_id(store, item, name)).collect()
}

/// Resolves `{recordId}`; both UUIDs and Ironclad IDs are taken.
fn record_id(store: &Store, item: &Value, name: &str) -> Result<String, ApiError> {
    let Some(id) = item.get("recordId").and_then(Value::as_str) else {
        return Err(ApiError::missing(format!("{name}.recordId"), "recordId is required"));
    };
    let found = store.record(id).map(|record| record.id.clone());
    found.ok_or_else(|| ApiError::invalid(name, format!("couldn't find a record matching the id {id}")))
}

fn children(store: &Store, body: &Map<String, Value>, name: &str, own: &str) -> Result<Vec<String>, ApiError> {
    let ids = record_ids(store, body, name)?;
    for id in &ids {
        let parent = store.record(id).and_then(|record| record.parent_id.as_deref());
        if id == own || parent.is_some_and(|parent| parent != own) {
            return Err(ApiError::invalid(name, format!("record {id} cannot be added as a child")));
        }
    }
    Ok(ids)
}

fn parent(store: &Store, body: &Map<String, Value>, name: &str) -> Result<Option<(String, Option<String>)>, ApiError> {
    let Some(value) = body.get(name) else { return Ok(None) };
    let id = record_id(store, value, name)?;
    let link_type = match value.get("parentLinkType").map(|kind| kind.as_str().unwrap_or_default()) {
        None => None,
        Some(kind @ ("amendment" | "obligation")) => Some(kind.to_owned()),
        Some(_) => {
            let message = "parentLinkType must be one of [amendment, obligation]";
            return Err(ApiError::invalid(format!("{name}.parentLinkType"), message));
        }
    };
    Ok(Some((id, link_type)))
}

/// Keys of the parent's properties to replace; only an amendment may have any (ironclad-api.md §8.17).
fn amended(
    body: &Map<String, Value>,
    name: &str,
    parent: Option<&(String, Option<String>)>,
) -> Result<Vec<String>, ApiError> {
    let Some(value) = body.get(name) else { return Ok(Vec::new()) };
    let Some(map) = value.as_object() else {
        return Err(ApiError::invalid(name, format!("{name} must be an object")));
    };
    let amendment = parent.is_some_and(|(_, link_type)| link_type.as_deref() == Some("amendment"));
    if !amendment && !map.is_empty() {
        return Err(ApiError::invalid(name, format!("{name} needs a parent with parentLinkType amendment")));
    }
    for (key, how) in map {
        if record_schema::property_type(key).is_none() {
            return Err(ApiError::invalid(format!("{name}.{key}"), format!("unknown property {key}")));
        }
        if how.get("amendmentType").and_then(Value::as_str) != Some("replace") {
            return Err(ApiError::invalid(format!("{name}.{key}"), "amendmentType must be replace"));
        }
    }
    Ok(map.keys().cloned().collect())
}
