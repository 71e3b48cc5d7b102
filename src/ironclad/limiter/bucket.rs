//! The vendor's rate-limit buckets, and which of them a request draws on (ironclad-api.md §5).

use std::str::FromStr;

use crate::manifest::{Api, Method};

/// What all buckets together allow in a minute.
const COMPANY: usize = 4_500;

/// One of the vendor's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Reads of workflows and of what lies below them.
    WorkflowsRead,
    /// Everything that changes workflows, but for signatures.
    WorkflowsWrite,
    /// Sending for signature.
    SignStatus,
    /// Changes of signatures.
    Signatures,
    /// Signature requests, whatever the method.
    SignatureRequests,
    /// Reads of records.
    RecordsRead,
    /// Writes of records.
    RecordsWrite,
    /// The export of all records.
    RecordsExport,
    /// Reads of entities.
    EntitiesRead,
    /// Writes of entities.
    EntitiesWrite,
    /// Reads of obligations.
    ObligationsRead,
    /// Writes of obligations.
    ObligationsWrite,
    /// Starting an export.
    ExportsCreate,
    /// Asking how an export stands.
    ExportsStatus,
    /// Fetching what was exported.
    ExportsDownload,
    /// Writes of attribute sources.
    AttributeSourcesWrite,
    /// Webhooks, whatever the method.
    Webhooks,
    /// Reads of users.
    ScimUsersRead,
    /// Writes of users.
    ScimUsersWrite,
    /// Reads of groups.
    ScimGroupsRead,
    /// Writes of groups.
    ScimGroupsWrite,
    /// Everything else of the Public API.
    Other,
}

/// Each bucket's name in manifests and settings, and the requests a minute that it allows the whole company.
const TABLE: [(Bucket, &str, usize); 22] = [
    (Bucket::WorkflowsRead, "workflows-read", 400),
    (Bucket::WorkflowsWrite, "workflows-write", 40),
    (Bucket::SignStatus, "sign-status", 50),
    (Bucket::Signatures, "signatures", 50),
    (Bucket::SignatureRequests, "signature-requests", 40),
    (Bucket::RecordsRead, "records-read", 600),
    (Bucket::RecordsWrite, "records-write", 200),
    (Bucket::RecordsExport, "records-export", 10),
    (Bucket::EntitiesRead, "entities-read", 600),
    (Bucket::EntitiesWrite, "entities-write", 200),
    (Bucket::ObligationsRead, "obligations-read", 600),
    (Bucket::ObligationsWrite, "obligations-write", 200),
    (Bucket::ExportsCreate, "exports-create", 20),
    (Bucket::ExportsStatus, "exports-status", 600),
    (Bucket::ExportsDownload, "exports-download", 20),
    (Bucket::AttributeSourcesWrite, "attribute-sources-write", 40),
    (Bucket::Webhooks, "webhooks", 600),
    (Bucket::ScimUsersRead, "scim-users-read", 600),
    (Bucket::ScimUsersWrite, "scim-users-write", 50),
    (Bucket::ScimGroupsRead, "scim-groups-read", 200),
    (Bucket::ScimGroupsWrite, "scim-groups-write", 50),
    (Bucket::Other, "other", 800),
];

impl Bucket {
    /// All buckets, in the order of their numbers.
    #[must_use]
    pub fn all() -> [Self; TABLE.len()] {
        TABLE.map(|(bucket, ..)| bucket)
    }

    /// The bucket that a request draws on.
    #[must_use]
    pub fn of(api: Api, method: Method, path: &str) -> Self {
        let below = path.strip_prefix(api.root()).unwrap_or(path);
        let mut segments = below.split('/').skip(1);
        let [first, second, third] = [(); 3].map(|()| segments.next().unwrap_or_default());
        let either = |read, write| if method == Method::Get { read } else { write };
        match (api, first) {
            (Api::Scim, "Groups") => either(Self::ScimGroupsRead, Self::ScimGroupsWrite),
            (Api::Scim, _) => either(Self::ScimUsersRead, Self::ScimUsersWrite),
            (Api::Public, "workflows") => either(Self::WorkflowsRead, Self::of_signing(method, third)),
            (Api::Public, "records") if second == "export" => either(Self::RecordsExport, Self::RecordsWrite),
            (Api::Public, "records") => either(Self::RecordsRead, Self::RecordsWrite),
            (Api::Public, "entities") => either(Self::EntitiesRead, Self::EntitiesWrite),
            (Api::Public, "obligations") => either(Self::ObligationsRead, Self::ObligationsWrite),
            (Api::Public, "exports") if third == "download" => Self::ExportsDownload,
            (Api::Public, "exports") => either(Self::ExportsStatus, Self::ExportsCreate),
            (Api::Public, "webhooks") => Self::Webhooks,
            // The paths of these two are not in the vendor's document; their names are.
            (Api::Public, "signature-requests") => Self::SignatureRequests,
            (Api::Public, "attribute-sources") => either(Self::Other, Self::AttributeSourcesWrite),
            (Api::Public, _) => Self::Other,
        }
    }

    fn of_signing(method: Method, below: &str) -> Self {
        match (below, method) {
            ("sign-status", Method::Post | Method::Patch) => Self::SignStatus,
            ("signatures", Method::Post | Method::Patch) => Self::Signatures,
            _ => Self::WorkflowsWrite,
        }
    }

    /// The bucket of a name in the manifests.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|(_, known, _)| *known == name).map(|(bucket, ..)| *bucket)
    }

    /// The bucket's name in the manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE.get(self as usize).map_or("other", |(_, name, _)| name)
    }

    /// Whether any request that only reads draws on it.
    #[must_use]
    pub fn has_reads(self) -> bool {
        match self {
            Self::WorkflowsRead
            | Self::SignatureRequests
            | Self::RecordsRead
            | Self::RecordsExport
            | Self::EntitiesRead
            | Self::ObligationsRead
            | Self::ExportsStatus
            | Self::ExportsDownload
            | Self::Webhooks
            | Self::ScimUsersRead
            | Self::ScimGroupsRead
            | Self::Other => true,
            Self::WorkflowsWrite
            | Self::SignStatus
            | Self::Signatures
            | Self::RecordsWrite
            | Self::EntitiesWrite
            | Self::ObligationsWrite
            | Self::ExportsCreate
            | Self::AttributeSourcesWrite
            | Self::ScimUsersWrite
            | Self::ScimGroupsWrite => false,
        }
    }

    /// Requests a minute that the vendor allows the whole company.
    #[must_use]
    pub fn limit(self) -> usize {
        TABLE.get(self as usize).map_or(0, |(.., limit)| *limit)
    }
}

/// What a limit holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The requests of one bucket.
    Bucket(Bucket),
    /// All requests together.
    Company,
}

impl Scope {
    /// Requests a minute that the vendor documents.
    #[must_use]
    pub fn documented(self) -> usize {
        match self {
            Self::Bucket(bucket) => bucket.limit(),
            Self::Company => COMPANY,
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "company" {
            return Ok(Self::Company);
        }
        Bucket::named(text).map(Self::Bucket).ok_or_else(|| {
            let known = TABLE.map(|(_, name, _)| name).join(", ");
            format!("{text:?} is no bucket; there are company, {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_draws_on_the_bucket_that_the_vendor_counts_it_in() {
        let table = [
            (Method::Get, "/workflows", "workflows-read"),
            (Method::Get, "/workflows/a/sign-status", "workflows-read"),
            (Method::Post, "/workflows", "workflows-write"),
            (Method::Patch, "/workflows/a/approvals/b", "workflows-write"),
            (Method::Post, "/workflows/a/sign-status/send-signature-request", "sign-status"),
            (Method::Delete, "/workflows/a/sign-status", "workflows-write"),
            (Method::Patch, "/workflows/a/signatures/b", "signatures"),
            (Method::Get, "/workflow-schemas", "other"),
            (Method::Post, "/search/conversational", "other"),
            (Method::Get, "/records", "records-read"),
            (Method::Get, "/records/metadata", "records-read"),
            (Method::Get, "/records/export", "records-export"),
            (Method::Post, "/records/a/actions", "records-write"),
            (Method::Get, "/entities/a", "entities-read"),
            (Method::Patch, "/entities/a", "entities-write"),
            (Method::Get, "/obligations", "obligations-read"),
            (Method::Post, "/obligations", "obligations-write"),
            (Method::Post, "/exports", "exports-create"),
            (Method::Get, "/exports/a", "exports-status"),
            (Method::Get, "/exports/a/download", "exports-download"),
            (Method::Get, "/webhooks", "webhooks"),
            (Method::Delete, "/webhooks/a", "webhooks"),
            (Method::Get, "/signature-requests/a", "signature-requests"),
            (Method::Get, "/attribute-sources", "other"),
            (Method::Put, "/attribute-sources/a", "attribute-sources-write"),
        ];
        for (method, path, expected) in table {
            let drawn = Bucket::of(Api::Public, method, &format!("/public/api/v1{path}"));
            assert_eq!(drawn.name(), expected, "{method:?} {path}");
        }
        let table = [
            (Method::Get, "/Users", "scim-users-read"),
            (Method::Patch, "/Users/a", "scim-users-write"),
            (Method::Get, "/Groups", "scim-groups-read"),
            (Method::Post, "/Groups", "scim-groups-write"),
        ];
        for (method, path, expected) in table {
            assert_eq!(Bucket::of(Api::Scim, method, &format!("/scim/v2{path}")).name(), expected, "{method:?} {path}");
        }
    }

    #[test]
    fn every_bucket_is_known_by_its_name() {
        for (index, bucket) in Bucket::all().into_iter().enumerate() {
            assert_eq!(bucket as usize, index, "{bucket:?} stands at its number");
            assert_eq!(bucket.name().parse(), Ok(Scope::Bucket(bucket)));
            assert_eq!(Scope::Bucket(bucket).documented(), bucket.limit());
            assert!(bucket.limit() > 0);
        }
        assert_eq!("company".parse(), Ok(Scope::Company));
        let refused = "workflow-writes".parse::<Scope>().unwrap_err();
        assert!(refused.contains("company, workflows-read, workflows-write"), "{refused}");
    }
}
