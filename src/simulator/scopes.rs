//! The scopes registered on the simulator's one OAuth client.
//!
//! All of the vendor's are registered unless a setting names fewer; two of them client credentials may not have
//! (ironclad-api.md §2).

/// Every scope of the Public API and the user and group scopes of SCIM.
pub(crate) const ALL: &[&str] = &[
    "public.entities.createEntities",
    "public.entities.deleteEntities",
    "public.entities.readEntities",
    "public.entities.readRelationshipTypes",
    "public.entities.updateEntities",
    "public.export.createReports",
    "public.export.readReports",
    "public.obligations.createObligations",
    "public.obligations.deleteObligations",
    "public.obligations.readObligations",
    "public.obligations.updateObligations",
    "public.records.applyContractAction",
    "public.records.createAttachments",
    "public.records.createComments",
    "public.records.createRecords",
    "public.records.createSmartImportRecords",
    "public.records.deleteAttachments",
    "public.records.deleteRecords",
    "public.records.readAttachments",
    "public.records.readRecords",
    "public.records.readSchemas",
    "public.records.readSmartImportRecords",
    "public.records.updateRecords",
    "public.search.conversational",
    "public.webhooks.createWebhooks",
    "public.webhooks.deleteWebhooks",
    "public.webhooks.readWebhooks",
    "public.webhooks.updateWebhooks",
    "public.workflows.cancel",
    "public.workflows.cancelSignatureRequests",
    "public.workflows.createComments",
    "public.workflows.createDocuments",
    "public.workflows.createEmbeddableSignerUrls",
    "public.workflows.createSignatureRecipientUrls",
    "public.workflows.createWorkflows",
    "public.workflows.deleteScheduledSignatureRequest",
    "public.workflows.deleteSigners",
    "public.workflows.pauseAndResume",
    "public.workflows.readApprovals",
    "public.workflows.readComments",
    "public.workflows.readDocuments",
    "public.workflows.readEmailCommunications",
    "public.workflows.readParticipants",
    "public.workflows.readRoleAssignees",
    "public.workflows.readSchemas",
    "public.workflows.readSignStatus",
    "public.workflows.readSignatures",
    "public.workflows.readTurnHistory",
    "public.workflows.readWorkflows",
    "public.workflows.remindSigners",
    "public.workflows.revertToReview",
    "public.workflows.scheduleSendSignatureRequest",
    "public.workflows.sendSignatureRequests",
    "public.workflows.updateApprovals",
    "public.workflows.updateRoleAssignment",
    "public.workflows.updateScheduledSignatureRequest",
    "public.workflows.updateSignaturePacket",
    "public.workflows.updateSigners",
    "public.workflows.updateWorkflows",
    "public.workflows.uploadSignedDocuments",
    "scim.groups.createGroups",
    "scim.groups.deleteGroups",
    "scim.groups.readGroups",
    "scim.groups.updateGroups",
    "scim.schemas.readSchemas",
    "scim.users.createUsers",
    "scim.users.deleteUsers",
    "scim.users.readUsers",
    "scim.users.updateUsers",
];

const CODE_ONLY: &[&str] = &["public.search.conversational", "public.workflows.readSignStatus"];

/// What the client was registered with, and how it is told of a scope that it was not.
#[derive(Debug)]
pub(crate) struct Registration {
    /// The scopes; none is all there are.
    pub(crate) registered: Option<Vec<String>>,
    /// Whether a refusal at the token endpoint names the scope; nothing says whether the vendor's does.
    pub(crate) names_refused: bool,
}

impl Registration {
    /// Registered with these scopes; none is all there are.
    pub(crate) fn new(registered: Option<Vec<String>>) -> Self {
        Self { registered, names_refused: true }
    }

    /// The scopes a grant may ask for.
    pub(crate) fn offered(&self, client_credentials: bool) -> Vec<String> {
        let registered = |scope: &&str| self.registered.as_ref().is_none_or(|all| all.iter().any(|one| one == scope));
        let allowed = ALL.iter().copied().filter(|scope| !(client_credentials && CODE_ONLY.contains(scope)));
        allowed.filter(registered).map(str::to_owned).collect()
    }
}

/// Reads a space-separated list; nothing asked for means everything offered.
///
/// # Errors
/// The first scope that is not offered.
pub(crate) fn parse(text: &str, offered: Vec<String>) -> Result<Vec<String>, String> {
    let asked: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if asked.is_empty() {
        return Ok(offered);
    }
    match asked.iter().find(|scope| !offered.contains(scope)) {
        Some(unknown) => Err(unknown.clone()),
        None => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_api_has_sixty_scopes_and_client_credentials_two_fewer() {
        let public = |scopes: &[String]| scopes.iter().filter(|scope| scope.starts_with("public.")).count();
        let all = Registration::new(None);
        assert_eq!(public(&all.offered(false)), 60);
        assert_eq!(public(&all.offered(true)), 58);
        let few = Registration::new(Some(vec!["public.records.readRecords".into(), "public.nonsense".into()]));
        assert_eq!(few.offered(true), ["public.records.readRecords"]);
    }

    #[test]
    fn one_unknown_scope_fails_the_whole_request() {
        let asked = "public.records.readRecords public.records.nope";
        let offered = || Registration::new(None).offered(false);
        assert_eq!(parse(asked, offered()), Err("public.records.nope".into()));
        assert_eq!(parse("", offered()).map(|all| all.len()), Ok(ALL.len()));
    }
}
