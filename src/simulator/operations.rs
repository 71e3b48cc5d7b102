//! The table of operations: method, path, scope, query parameters, body members.
//!
//! One table drives routing, authorisation and strict mode, so they cannot disagree. Literal paths come before those
//! with a capture in the same place.

use super::exchange::{Call, Outcome};
use super::store::Store;
use super::{
    approvals, async_launch, launch, record_actions, record_writes, records, schemas, scim, signing, webhooks,
    workflow_actions, workflow_attributes, workflow_documents, workflows,
};

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Short name, shown in the request log.
    pub(crate) name: &'static str,
    /// HTTP method.
    pub(crate) method: &'static str,
    /// Path with `{captures}`.
    pub(crate) path: &'static str,
    /// Scope a token needs; none where any valid token will do.
    pub(crate) scope: Option<&'static str>,
    /// Query parameters it takes.
    pub(crate) query: &'static [&'static str],
    /// Body members it takes, in the form `strict::check_body` reads.
    pub(crate) body: &'static [&'static str],
    /// Whether other members are refused outside strict mode too.
    pub(crate) closed: bool,
    /// What it does.
    pub(crate) run: fn(&mut Store, &Call) -> Outcome,
}

impl Operation {
    const fn new(
        name: &'static str,
        route: (&'static str, &'static str),
        scope: &'static str,
        run: fn(&mut Store, &Call) -> Outcome,
    ) -> Self {
        let (method, path) = route;
        Self { name, method, path, scope: Some(scope), query: &[], body: &[], closed: false, run }
    }

    const fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    const fn body(mut self, members: &'static [&'static str]) -> Self {
        self.body = members;
        self
    }

    const fn closed(mut self) -> Self {
        self.closed = true;
        self
    }

    const fn any_token(mut self) -> Self {
        self.scope = None;
        self
    }
}

const COMMENT: &[&str] = &["comment", "comment.message", "comment.addUsersToWorkflow"];
const PAGE: &[&str] = &["page", "pageSize"];
const LAUNCH: &[&str] = &["template", "attributes", "creator", "creator.type", "creator.email", "creator.id", "name"];
const LIST_WORKFLOWS: &[&str] =
    &["page", "pageSize", "hydrateEntities", "status", "template", "lastUpdated", "filter", "search"];
const LIST_RECORDS: &[&str] = &[
    "page",
    "pageSize",
    "hydrateEntities",
    "types",
    "lastUpdated",
    "filter",
    "sortField",
    "sortDirection",
    "addressAsObject",
    "search",
];
const ATTRIBUTES: &[&str] =
    &["updates", "updates[].action", "updates[].path", "updates[].value", "comment", "user", "user.type", "user.email"];
const APPROVAL: &[&str] = &["status", "user", "user.email", "user.type"];
const WEBHOOK: &[&str] = &["events", "targetURL", "status"];

/// Every operation, in the order of matching.
#[rustfmt::skip]
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("listWorkflows", ("GET", "/public/api/v1/workflows"), "public.workflows.readWorkflows", workflows::list)
        .query(LIST_WORKFLOWS),
    Operation::new("launchWorkflow", ("POST", "/public/api/v1/workflows"), "public.workflows.createWorkflows", launch::launch)
        .query(&["useDefaultValues"]).body(launch::MEMBERS).closed(),
    Operation::new("launchWorkflowAsync", ("POST", "/public/api/v1/workflows/async"), "public.workflows.createWorkflows", async_launch::accept)
        .query(&["useDefaultValues"]).body(LAUNCH),
    Operation::new("getAsyncLaunch", ("GET", "/public/api/v1/workflows/async/{asyncJobId}"), "public.workflows.createWorkflows", async_launch::status),
    Operation::new("getWorkflow", ("GET", "/public/api/v1/workflows/{id}"), "public.workflows.readWorkflows", workflows::get)
        .query(&["hydrateEntities"]),
    Operation::new("updateWorkflowAttributes", ("PATCH", "/public/api/v1/workflows/{id}/attributes"), "public.workflows.updateWorkflows", workflow_attributes::patch)
        .body(ATTRIBUTES),
    Operation::new("listApprovals", ("GET", "/public/api/v1/workflows/{id}/approvals"), "public.workflows.readApprovals", approvals::list),
    Operation::new("listApprovalRequests", ("GET", "/public/api/v1/workflows/{id}/approval-requests"), "public.workflows.readApprovals", approvals::requests)
        .query(&["page", "pageSize", "actorDetails", "requestType"]),
    Operation::new("updateApproval", ("PATCH", "/public/api/v1/workflows/{id}/approvals/{roleId}"), "public.workflows.updateApprovals", approvals::update)
        .body(APPROVAL),
    Operation::new("pauseWorkflow", ("POST", "/public/api/v1/workflows/{id}/pause"), "public.workflows.pauseAndResume", workflow_actions::pause)
        .body(COMMENT),
    Operation::new("resumeWorkflow", ("POST", "/public/api/v1/workflows/{id}/resume"), "public.workflows.pauseAndResume", workflow_actions::resume)
        .body(COMMENT),
    Operation::new("cancelWorkflow", ("POST", "/public/api/v1/workflows/{id}/cancel"), "public.workflows.cancel", workflow_actions::cancel)
        .body(COMMENT),
    Operation::new("revertToReview", ("PATCH", "/public/api/v1/workflows/{id}/revert-to-review"), "public.workflows.revertToReview", workflow_actions::revert)
        .body(APPROVAL),
    Operation::new("getSignStatus", ("GET", "/public/api/v1/workflows/{id}/sign-status"), "public.workflows.readSignStatus", signing::status),
    Operation::new("listSignatures", ("GET", "/public/api/v1/workflows/{id}/signatures"), "public.workflows.readSignatures", signing::signatures),
    Operation::new("sendSignatureRequest", ("POST", "/public/api/v1/workflows/{id}/sign-status/send-signature-request"), "public.workflows.sendSignatureRequests", signing::send),
    Operation::new("listWorkflowDocuments", ("GET", "/public/api/v1/workflows/{id}/documents"), "public.workflows.readDocuments", workflow_documents::list),
    Operation::new("downloadWorkflowDocument", ("GET", "/public/api/v1/workflows/{id}/document/{key}/download"), "public.workflows.readDocuments", workflow_documents::download),
    Operation::new("listWorkflowSchemas", ("GET", "/public/api/v1/workflow-schemas"), "public.workflows.readSchemas", schemas::list)
        .query(&["form"]),
    Operation::new("getWorkflowSchema", ("GET", "/public/api/v1/workflow-schemas/{id}"), "public.workflows.readSchemas", schemas::get)
        .query(&["form"]),
    Operation::new("listRecords", ("GET", "/public/api/v1/records"), "public.records.readRecords", records::list)
        .query(LIST_RECORDS),
    Operation::new("createRecord", ("POST", "/public/api/v1/records"), "public.records.createRecords", record_writes::create)
        .query(&["addressAsObject"]).body(record_writes::CREATE_MEMBERS),
    Operation::new("listRecordsMetadata", ("GET", "/public/api/v1/records/metadata"), "public.records.readSchemas", records::metadata),
    Operation::new("getRecord", ("GET", "/public/api/v1/records/{id}"), "public.records.readRecords", records::get)
        .query(&["hydrateEntities", "addressAsObject"]),
    Operation::new("updateRecord", ("PATCH", "/public/api/v1/records/{id}"), "public.records.updateRecords", record_writes::update)
        .query(&["addressAsObject"]).body(record_writes::PATCH_MEMBERS).closed(),
    Operation::new("runRecordAction", ("POST", "/public/api/v1/records/{id}/actions"), "public.records.applyContractAction", record_actions::run)
        .body(&["type", "properties"]),
    Operation::new("downloadRecordAttachment", ("GET", "/public/api/v1/records/{id}/attachments/{key}"), "public.records.readAttachments", records::attachment),
    Operation::new("createWebhook", ("POST", "/public/api/v1/webhooks"), "public.webhooks.createWebhooks", webhooks::create)
        .body(WEBHOOK),
    Operation::new("listWebhooks", ("GET", "/public/api/v1/webhooks"), "public.webhooks.readWebhooks", webhooks::list)
        .query(PAGE),
    Operation::new("getWebhookVerificationKey", ("GET", "/public/api/v1/webhooks/verification-key"), "", webhooks::verification_key)
        .any_token(),
    Operation::new("getWebhook", ("GET", "/public/api/v1/webhooks/{id}"), "public.webhooks.readWebhooks", webhooks::get),
    Operation::new("updateWebhook", ("PATCH", "/public/api/v1/webhooks/{id}"), "public.webhooks.updateWebhooks", webhooks::update)
        .body(WEBHOOK),
    Operation::new("deleteWebhook", ("DELETE", "/public/api/v1/webhooks/{id}"), "public.webhooks.deleteWebhooks", webhooks::delete),
    Operation::new("scimListUsers", ("GET", "/scim/v2/Users"), "scim.users.readUsers", scim::list)
        .query(&["startIndex", "count", "filter", "excludedAttributes"]),
    Operation::new("scimGetUser", ("GET", "/scim/v2/Users/{id}"), "scim.users.readUsers", scim::get)
        .query(&["excludedAttributes"]),
];

/// The operation behind a method and path, with the captured segments percent-decoded.
pub(crate) fn find(method: &str, path: &str) -> Option<(&'static Operation, Vec<String>)> {
    OPERATIONS
        .iter()
        .filter(|operation| operation.method == method)
        .find_map(|operation| Some((operation, captures(operation.path, path)?)))
}

fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    let mut captured = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(captured),
            (Some(part), Some(text)) if part.starts_with('{') && !text.is_empty() => {
                captured.push(percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned());
            }
            (Some(part), Some(text)) if part == text => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_paths_win_over_captures() {
        let name = |method, path| find(method, path).map(|(operation, _)| operation.name);
        assert_eq!(name("GET", "/public/api/v1/records/metadata"), Some("listRecordsMetadata"));
        assert_eq!(name("GET", "/public/api/v1/records/IC-1"), Some("getRecord"));
        assert_eq!(name("GET", "/public/api/v1/webhooks/verification-key"), Some("getWebhookVerificationKey"));
        assert_eq!(name("PUT", "/public/api/v1/webhooks"), None);
    }

    #[test]
    fn captured_segments_are_decoded_once() {
        let (_, captured) = find("GET", "/public/api/v1/records/a%2Fb%20c").expect("found");
        assert_eq!(captured, ["a/b c"]);
    }

    #[test]
    fn every_scope_is_one_the_client_has() {
        for scope in OPERATIONS.iter().filter_map(|operation| operation.scope) {
            assert!(crate::simulator::scopes::ALL.contains(&scope), "{scope}");
        }
    }
}
