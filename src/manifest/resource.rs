//! What an entry reads, as a resource; and what a person can choose from where something has to be filled in.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// What an entry reads, as a resource: something that a person attaches to a conversation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The URI, such as `ironclad://workflows/{id}`: its variables stand for the arguments in the entry's path, in order.
    pub uri: String,
    /// A name for programs.
    pub name: String,
    /// A short title for people.
    pub title: String,
    /// What is in it, for a person or model choosing one.
    pub description: String,
    /// What completes each variable.
    #[serde(default)]
    pub complete: IndexMap<String, Source>,
    /// Whether the resources that there are get listed, and not only the template; it must have one variable.
    #[serde(default)]
    pub listed: bool,
}

/// What there is to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The ids of published templates.
    TemplateId,
    /// The names of published templates.
    TemplateName,
    /// The Ironclad IDs of workflows that are not over.
    WorkflowId,
    /// The ids of records.
    RecordId,
    /// The ids of record types.
    RecordType,
    /// The ids of people.
    UserId,
    /// The e-mail addresses of people.
    UserEmail,
    /// The keys of the documents of the workflow that was chosen before.
    DocumentKey,
}
