//! What webhooks would have been sent.
//!
//! Nothing is delivered: the simulator makes no outgoing requests. Each event is kept with the envelope of §10.2 and
//! the target URLs that were registered for it, for tests to read under `/__simulator/events`.

use serde_json::{Map, Value, json};

use super::clock::stamp;
use super::identity::COMPANY_ID;
use super::store::Store;

/// Every event the vendor's webhook accepts (ironclad-api.md §10.1).
pub(crate) const EVENTS: &[&str] = &[
    "*",
    "workflow_launched",
    "workflow_updated",
    "workflow_cancelled",
    "workflow_completed",
    "workflow_approval_status_changed",
    "workflow_attribute_updated",
    "workflow_comment_added",
    "workflow_comment_removed",
    "workflow_comment_updated",
    "workflow_comment_reaction_added",
    "workflow_comment_reaction_removed",
    "workflow_counterparty_invite_sent",
    "workflow_counterparty_invite_revoked",
    "workflow_documents_added",
    "workflow_documents_removed",
    "workflow_documents_updated",
    "workflow_documents_renamed",
    "workflow_document_edited",
    "workflow_changed_turn",
    "workflow_paused",
    "workflow_resumed",
    "workflow_signature_packet_cancelled",
    "workflow_signature_packet_document_moved",
    "workflow_signature_packet_fully_signed",
    "workflow_signature_packet_sent",
    "workflow_signature_packet_signatures_collected",
    "workflow_signature_packet_signer_first_viewed",
    "workflow_signature_packet_signer_viewed",
    "workflow_signature_packet_uploaded",
    "workflow_signer_added",
    "workflow_signer_removed",
    "workflow_signer_reassigned",
    "workflow_step_updated",
    "workflow_roles_assigned",
    "record_contract_status_changed",
    "workflow_deleted",
    "obligation_created",
    "obligation_status_changed",
    "obligation_due_date_changed",
    "obligation_assignee_changed",
    "obligation_updated",
    "obligations_extraction_completed",
];

impl Store {
    /// Records an event of a workflow with the usual three payload members.
    pub(crate) fn emit(&mut self, event: &str, workflow_id: &str) {
        let found = self.workflows.iter().find(|workflow| workflow.id == workflow_id);
        let template_id = found.map(|workflow| workflow.template.id.clone()).unwrap_or_default();
        let payload = json!({ "event": event, "templateID": template_id, "workflowID": workflow_id });
        self.emit_payload(event, payload);
    }

    /// Records an approval given or withdrawn; its payload has no `templateID` (ironclad-api.md §10.2).
    pub(crate) fn emit_approval(&mut self, workflow_id: &str, role_id: &str, status: &str, user_id: &str) {
        let found = self.workflows.iter().find(|workflow| workflow.id == workflow_id);
        let role = found.and_then(|one| one.groups.iter().flatten().find(|approval| approval.role_id == role_id));
        let name = role.map(|approval| approval.display_name.clone()).unwrap_or_default();
        let email = self.person(user_id).map(|person| person.email.clone()).unwrap_or_default();
        let event = "workflow_approval_status_changed";
        let payload = json!({
            "approvalID": role_id, "approvalName": name, "event": event, "status": status,
            "userEmail": email, "userID": user_id, "workflowID": workflow_id,
        });
        self.emit_payload(event, payload);
    }

    /// Records an event with a payload of its own.
    pub(crate) fn emit_payload(&mut self, event: &str, payload: Value) {
        let now = stamp(self.clock.now());
        let listening = self.webhooks.iter().filter(|hook| hook.listens_to(event));
        let deliveries: Vec<Value> =
            listening.map(|hook| json!({ "webhookID": hook.id, "targetURL": hook.target_url })).collect();
        let mut entry = Map::new();
        entry.insert("companyID".into(), json!(COMPANY_ID));
        entry.insert("timestamp".into(), json!(now));
        entry.insert("payload".into(), payload);
        entry.insert("deliveries".into(), Value::Array(deliveries));
        self.events.push(Value::Object(entry));
    }
}
