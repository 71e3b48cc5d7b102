//! From workflow to repository: the record a workflow makes and keeps overwriting while it runs.
//!
//! Record ids show from Archive on (ironclad-api.md §0); the record keeps its workflow's number.

use serde_json::{Map, Value, json};

use super::clock::stamp;
use super::durations;
use super::record_schema;
use super::store::{Attachment, Record, Store};
use super::workflow_document::{Content, Document};
use super::workflow_state::{Step, Workflow};
use super::workflow_view;

impl Store {
    /// Does what follows from a workflow having reached a step: events, packets, and its record.
    pub(crate) fn settle(&mut self, workflow_id: &str) {
        let Some(workflow) = self.workflows.iter().find(|workflow| workflow.id == workflow_id) else { return };
        let step = workflow.step;
        self.emit("workflow_step_updated", workflow_id);
        match step {
            Step::Review | Step::Sign => {}
            Step::Archive => {
                self.add_packet(workflow_id, "signed");
                self.file(workflow_id);
            }
            Step::Complete => {
                self.file(workflow_id);
                self.emit("workflow_completed", workflow_id);
            }
        }
        self.emit("workflow_updated", workflow_id);
    }

    /// Adds a signature packet PDF under one of the three packet attributes, replacing an earlier one.
    pub(crate) fn add_packet(&mut self, workflow_id: &str, attribute: &str) {
        let Some(at) = self.workflows.iter().position(|workflow| workflow.id == workflow_id) else { return };
        let Some(workflow) = self.workflows.get(at) else { return };
        if workflow.signers.is_empty() {
            return;
        }
        let tail = if attribute == "sentSignaturePacket" { " (1)" } else { "" };
        let filename = format!("{} ({}){tail}.pdf", workflow.title, workflow.suffix());
        let document = Document::new(attribute, filename, Content::Packet, &mut self.fresh());
        if let Some(workflow) = self.workflows.get_mut(at) {
            workflow.documents.retain(|one| one.attribute != attribute && one.attribute != "partiallySigned");
            workflow.documents.push(document);
        }
    }

    /// Writes the workflow's record, making it the first time and overwriting it afterwards.
    pub(crate) fn file(&mut self, workflow_id: &str) {
        let Some(at) = self.workflows.iter().position(|workflow| workflow.id == workflow_id) else { return };
        let Some(workflow) = self.workflows.get(at) else { return };
        let (existing, relations) = (workflow.record_ids.first().cloned(), relations(workflow));
        let mut record = draw(workflow);
        let known = existing.as_ref().and_then(|id| self.record(id)).cloned();
        match known {
            Some(old) => {
                record.id = old.id;
                record.parent_id = old.parent_id;
                record.parent_link_type = old.parent_link_type;
                record.children = old.children;
                record.amends = old.amends;
            }
            None => record.id = self.random.uuid(),
        }
        let id = record.id.clone();
        match self.record_mut(&id) {
            Some(place) => *place = record,
            None => self.records.push(record),
        }
        if let Some(workflow) = self.workflows.get_mut(at) {
            workflow.record_ids = vec![id.clone()];
        }
        self.relate(&id, &relations);
    }

    fn relate(&mut self, id: &str, relations: &Relations) {
        self.set_parent(id, relations.parent.clone().map(|parent| (parent, None)));
        for child in &relations.children {
            self.set_parent(child, Some((id.to_owned(), None)));
        }
        if let Some(record) = self.record_mut(id) {
            record.links.clone_from(&relations.links);
        }
    }

    /// Moves a record under a parent of the given link type, or from under one; both sides are kept in step.
    pub(crate) fn set_parent(&mut self, id: &str, parent: Option<(String, Option<String>)>) {
        let old = self.record(id).and_then(|record| record.parent_id.clone());
        if let Some(before) = old.and_then(|old| self.record_mut(&old)) {
            before.children.retain(|child| child != id);
        }
        let (parent_id, link_type) = parent.map_or((None, None), |(id, link_type)| (Some(id), link_type));
        if let Some(record) = self.record_mut(id) {
            record.parent_id.clone_from(&parent_id);
            record.parent_link_type = link_type;
        }
        if let Some(parent) = parent_id.and_then(|parent| self.record_mut(&parent)) {
            parent.children.push(id.to_owned());
        }
    }
}

#[derive(Debug, Default)]
struct Relations {
    parent: Option<String>,
    children: Vec<String>,
    links: Vec<String>,
}

fn relations(workflow: &Workflow) -> Relations {
    let mut relations = Relations::default();
    for (id, node) in &workflow.template.schema {
        let target = workflow.attributes.get(id).and_then(|value| value.get("recordId")).and_then(Value::as_str);
        let Some(target) = target else { continue };
        match node.get("type").and_then(Value::as_str) {
            Some("parentRecord") => relations.parent = Some(target.to_owned()),
            Some("childRecord") => relations.children.push(target.to_owned()),
            Some("linkedRecord") => relations.links.push(target.to_owned()),
            Some(_) | None => {}
        }
    }
    relations
}

fn draw(workflow: &Workflow) -> Record {
    let attachments = workflow.documents.iter().filter(|document| document.attribute == "signed");
    let chosen = workflow.attributes.get("recordType").and_then(Value::as_str);
    let kind = chosen.and_then(record_schema::record_type_named);
    Record {
        number: workflow.number,
        kind: kind.map_or_else(|| workflow.template.backstage.record_type.clone(), str::to_owned),
        name: workflow.title.clone(),
        updated: Some(workflow.updated),
        properties: properties(workflow),
        attachments: attachments
            .map(|document| Attachment {
                key: "signedCopy".into(),
                filename: document.filename.clone(),
                content_type: super::documents::PDF_MIME.into(),
            })
            .collect(),
        source: Some(json!({ "type": "workflow", "workflowId": workflow.id })),
        ..Record::default()
    }
}

fn properties(workflow: &Workflow) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut attributes = workflow.attributes.clone();
    attributes.extend(workflow_view::formulas(workflow));
    for (attribute, key) in &workflow.template.backstage.property_keys {
        let (Some(value), Some(kind)) = (attributes.get(attribute), record_schema::property_type(key)) else {
            continue;
        };
        properties.insert(key.clone(), json!({ "type": kind, "value": as_property(kind, value) }));
    }
    let mut add = |key: &str, kind: &str, value: Value| {
        properties.entry(key).or_insert(json!({ "type": kind, "value": value }));
    };
    let renews = workflow.attributes.get("autoRenews") == Some(&Value::Bool(true));
    add("standard_renewalType", "string", json!(if renews { "Auto-Renew" } else { "None" }));
    add("agreementDate", "date", json!(stamp(workflow.updated)));
    add("standard_executedDate", "date", json!(stamp(workflow.updated)));
    add("workflowId", "string", json!(workflow.id));
    properties
}

fn as_property(kind: &str, value: &Value) -> Value {
    match (kind, value) {
        ("duration", _) => durations::iso(value).map_or_else(|| value.clone(), Value::from),
        // Multi-selects are plain strings in the repository (ironclad-api.md §6.2).
        ("string", Value::Array(items)) => {
            json!(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        ("reference", Value::Object(map)) => {
            let mut reference = map.clone();
            reference.insert("subTypeId".into(), json!("entity"));
            Value::Object(reference)
        }
        _ => value.clone(),
    }
}
