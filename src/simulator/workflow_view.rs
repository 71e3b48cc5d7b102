//! A workflow as the API shows it (ironclad-api.md §8.1).
//!
//! Every node of the schema says `readOnly: true`, also for attributes that can be changed: that is what the live
//! service does, and clients must not trust it (§6.1).

use serde_json::{Map, Value, json};

use super::clock::stamp;
use super::durations;
use super::person_view;
use super::signing_state::PacketState;
use super::store::Store;
use super::workflow_state::{Status, Step, Workflow};

const SYSTEM_NODES: [(&str, &str, &str); 5] = [
    ("signed", "document", "Signed"),
    ("partiallySigned", "document", "Partially Signed"),
    ("sentSignaturePacket", "document", "Sent Signature Packet"),
    ("launchType", "string", "Launch Type"),
    ("agreementDate", "date", "Agreement Date"),
];

/// The whole object; `hydrate` spells entities out.
pub(crate) fn full(store: &Store, workflow: &Workflow, origin: &str, hydrate: bool) -> Value {
    let mut body = json!({
        "id": workflow.id,
        "ironcladId": workflow.ironclad_id(),
        "title": workflow.title,
        "template": workflow.template.id,
        "step": workflow.step.name(),
        "schema": schema(workflow),
        "attributes": attributes(store, workflow, hydrate),
        "isCancelled": workflow.status == Status::Cancelled,
        "isComplete": workflow.status == Status::Completed,
        "status": workflow.status.name(),
        "created": stamp(workflow.created),
        "lastUpdated": stamp(workflow.updated),
        "roles": roles(store, workflow),
        "approvals": approvals_state(workflow, origin),
        "signatures": signatures_state(workflow, origin),
        "isRevertibleToReview": workflow.is_revertible(),
    });
    if let Some(map) = body.as_object_mut() {
        if let Some(person) = store.person(&workflow.creator_id) {
            map.insert("creator".into(), person_view::creator(person));
        }
        if !workflow.record_ids.is_empty() {
            map.insert("recordIds".into(), json!(workflow.record_ids));
        }
    }
    body
}

/// Schema nodes of the form, its formulas and the system's own attributes.
pub(crate) fn schema(workflow: &Workflow) -> Map<String, Value> {
    let backstage = &workflow.template.backstage;
    let mut nodes = Map::new();
    for (id, node) in &workflow.template.schema {
        let mut shown = read_node(node);
        if let Some(key) = backstage.property_keys.get(id) {
            shown.insert("propertyKey".into(), json!(key));
        }
        nodes.insert(id.clone(), Value::Object(shown));
    }
    for (id, name) in &backstage.formulas {
        let node = json!({ "type": "monetaryAmount", "displayName": name, "readOnly": true });
        nodes.insert(id.clone(), node);
    }
    nodes.entry("draft").or_insert_with(|| {
        let element = json!({ "type": "document", "displayName": "Draft", "readOnly": true });
        json!({
            "type": "array", "displayName": "Draft", "elementType": element, "visible": true, "readOnly": true,
        })
    });
    for (id, kind, name) in SYSTEM_NODES {
        let node = json!({ "type": kind, "displayName": name, "readOnly": true });
        nodes.entry(id).or_insert(node);
    }
    if workflow.rolled_back {
        let node = json!({ "type": "boolean", "displayName": "Review Rollbacked", "readOnly": true });
        nodes.insert("reviewRollbacked".into(), node);
    }
    nodes
}

fn read_node(node: &Value) -> Map<String, Value> {
    let text = |name: &str| node.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut shown = Map::new();
    shown.insert("type".into(), json!(text("type")));
    shown.insert("displayName".into(), json!(text("displayName")));
    if let Some(element) = node.get("elementType") {
        let mut inner = read_node(element);
        if let Some(columns) = element.get("schema").and_then(Value::as_object) {
            let columns = columns.iter().map(|(id, column)| (id.clone(), Value::Object(read_node(column))));
            inner.insert("schema".into(), Value::Object(columns.collect()));
        }
        shown.insert("elementType".into(), Value::Object(inner));
        shown.insert("visible".into(), json!(true));
    } else if text("type").ends_with("Record") {
        shown.insert("schema".into(), json!({}));
    }
    shown.insert("readOnly".into(), json!(true));
    shown
}

/// Values of all attributes that have one.
pub(crate) fn attributes(store: &Store, workflow: &Workflow, hydrate: bool) -> Map<String, Value> {
    let mut values = Map::new();
    for (id, node) in &workflow.template.schema {
        if let Some(value) = workflow.attributes.get(id) {
            values.insert(id.clone(), shown_value(store, node, value, hydrate));
        } else if is_table(node) {
            values.insert(id.clone(), json!([{}]));
        }
    }
    values.extend(formulas(workflow));
    for document in &workflow.documents {
        let shown = document.json(&workflow.id, &store.people);
        let node = workflow.template.schema.get(&document.attribute);
        let many = document.attribute == "draft" || node.is_some_and(|node| node.get("elementType").is_some());
        if let Some(Value::Array(list)) = values.get_mut(&document.attribute)
            && many
        {
            list.push(shown);
        } else {
            let value = if many { Value::Array(vec![shown]) } else { shown };
            values.insert(document.attribute.clone(), value);
        }
    }
    if workflow.rolled_back {
        values.insert("reviewRollbacked".into(), json!(true));
    }
    values.insert("launchType".into(), json!("api"));
    values.insert("readableId".into(), json!(workflow.ironclad_id()));
    values.insert("currentTurnParty".into(), json!("not tracked"));
    values
}

fn is_table(node: &Value) -> bool {
    node.pointer("/elementType/type").and_then(Value::as_str) == Some("object")
}

fn shown_value(store: &Store, node: &Value, value: &Value, hydrate: bool) -> Value {
    let entity = node.get("type").and_then(Value::as_str) == Some("entity_reference");
    let id = value.get("recordId").and_then(Value::as_str).filter(|_| entity && hydrate);
    let Some(found) = id.and_then(|id| store.entity(id)) else { return value.clone() };
    json!({
        "recordId": found.id,
        "readableId": found.readable_id(),
        "name": found.name,
        "status": "ACTIVE",
    })
}

/// The values of computed attributes.
pub(crate) fn formulas(workflow: &Workflow) -> Map<String, Value> {
    let number = |id: &str| workflow.attributes.get(id).and_then(Value::as_f64);
    let price = workflow.attributes.get("pricePerSeat");
    let Some(amount) = price.and_then(|price| price.get("amount")).and_then(Value::as_f64) else { return Map::new() };
    let currency = price.and_then(|price| price.get("currency")).cloned().unwrap_or_default();
    let discount = 1.0 - number("discountPercent").unwrap_or_default() / 100.0;
    let total = number("seats").unwrap_or(1.0) * amount * discount;
    let years = workflow.attributes.get("subscriptionTerm").map_or(1.0, durations::years);
    let cents = |value: f64| (value * 100.0).round() / 100.0;
    let mut values = Map::new();
    for id in workflow.template.backstage.formulas.keys() {
        let value = match id.as_str() {
            "orderTotal" => total,
            "pricePerSeatPerYear" => amount * discount / years,
            _ => continue,
        };
        values.insert(id.clone(), json!({ "currency": currency, "amount": cents(value) }));
    }
    values
}

/// Approvers, internal signers and the owner (ironclad-api.md §8.1).
pub(crate) fn roles(store: &Store, workflow: &Workflow) -> Vec<Value> {
    let role = |id: &str, name: &str, user_id: &str| {
        let assignees: Vec<Value> = store.person(user_id).map(person_view::assignee).into_iter().collect();
        json!({ "id": id, "displayName": name, "assignees": assignees })
    };
    let approvers = workflow.groups.iter().flatten();
    let mut all: Vec<Value> = approvers.map(|one| role(&one.role_id, &one.display_name, &one.user_id)).collect();
    let internal = workflow.signers.iter().filter_map(|signer| Some((signer, signer.user_id.as_ref()?)));
    all.extend(internal.map(|(signer, user_id)| role(&signer.role_id, &signer.role_name, user_id)));
    all.push(role("owner", "Workflow Owner", &workflow.creator_id));
    all
}

fn over(workflow: &Workflow) -> Option<Value> {
    let cancelled = workflow.status == Status::Cancelled;
    cancelled.then(|| json!({ "state": "not_applicable", "message": "This workflow has been cancelled" }))
}

fn approvals_state(workflow: &Workflow, origin: &str) -> Value {
    if let Some(state) = over(workflow) {
        return state;
    }
    let open = workflow.groups.iter().flatten().any(|approval| !approval.approved);
    if workflow.step == Step::Review && open {
        let url = format!("{origin}/public/api/v1/workflows/{}/approvals", workflow.id);
        return json!({ "state": "in_progress", "url": url });
    }
    if workflow.groups.is_empty() {
        return json!({ "state": "not_applicable", "message": "This workflow has no approvals" });
    }
    json!({ "state": "completed" })
}

fn signatures_state(workflow: &Workflow, origin: &str) -> Value {
    if let Some(state) = over(workflow) {
        return state;
    }
    if workflow.signers.is_empty() {
        return json!({ "state": "not_applicable", "message": "This workflow has no signers" });
    }
    match workflow.step {
        Step::Review => json!({ "state": "not_started" }),
        Step::Sign => {
            let url = format!("{origin}/public/api/v1/workflows/{}/signatures", workflow.id);
            json!({ "state": "in_progress", "url": url })
        }
        Step::Archive | Step::Complete => json!({ "state": "completed" }),
    }
}

/// The sign status of §9.2.
pub(crate) fn sign_status(workflow: &Workflow) -> Value {
    let signer = |(order, signer): (usize, &super::signing_state::SignerState)| {
        let mut shown = json!({
            "name": signer.name,
            "email": signer.email,
            "roleName": signer.role_name,
            "status": signer.status.name(),
            "routingOrder": order,
            "type": if signer.user_id.is_some() { "internal" } else { "external" },
        });
        if let (Some(user_id), Some(map)) = (&signer.user_id, shown.as_object_mut()) {
            map.insert("userId".into(), json!(user_id));
        }
        shown
    };
    json!({
        "signers": workflow.signers.iter().enumerate().map(signer).collect::<Vec<_>>(),
        "routing": "sequential",
        "status": workflow.packet.name(),
        "requireSignedDocumentUpload": false,
        "provider": if workflow.packet == PacketState::NotSent && workflow.signers.is_empty() {
            "None"
        } else {
            "Ironclad Signature"
        },
    })
}
