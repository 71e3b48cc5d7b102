//! What a dry run, a plan and a question to a person tell of a write.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::placeholders;

/// What would happen, to what, and who hears of it: words for people, and members of the object that change.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preview {
    /// What the call would do, as it stands behind "would": `pause`. What it is done to is put behind it.
    pub would: String,
    /// The object that the call is about; it is read first, to show it and to notice when it changes.
    #[serde(default)]
    pub subject: Option<Subject>,
    /// What members of that object become, for the difference; `{argument}` alone stands for an argument, null is gone.
    #[serde(default)]
    pub becomes: Map<String, Value>,
    /// Who is notified, as far as that is known.
    #[serde(default)]
    pub tells: Vec<Told>,
    /// What cannot be taken back.
    #[serde(default)]
    pub lasting: Option<String>,
}

/// An object that a write is about; the path's first argument is its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A workflow.
    Workflow,
    /// A workflow with the approval of one role.
    Approval,
    /// A workflow with its signers.
    Signing,
    /// A record.
    Record,
    /// A webhook.
    Webhook,
}

impl Subject {
    /// What it is called.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Workflow | Self::Approval | Self::Signing => "workflow",
            Self::Record => "record",
            Self::Webhook => "webhook",
        }
    }

    /// The scopes that reading it takes. How signing goes is read only where the operator asked for the scope of it by
    /// name: a client that may not have it would be given no token at all, and a workflow names its signers too.
    #[must_use]
    pub fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Workflow | Self::Signing => &["public.workflows.readWorkflows"],
            Self::Approval => &["public.workflows.readWorkflows", "public.workflows.readApprovals"],
            Self::Record => &["public.records.readRecords"],
            Self::Webhook => &["public.webhooks.readWebhooks"],
        }
    }
}

/// Somebody whom Ironclad notifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// Whoever the comment mentions.
    Mentioned,
    /// The signers, by e-mail.
    Signers,
}

impl Preview {
    /// What is wrong with it, for an entry with these arguments.
    pub(super) fn faults(&self, known: impl Fn(&str) -> bool, has_path: bool, destroys: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let texts = self.becomes.values().filter_map(Value::as_str);
        for argument in texts.chain([self.would.as_str()]).flat_map(placeholders) {
            if !known(argument) {
                faults.push(format!("preview names {argument}, which is no argument"));
            }
        }
        if self.subject.is_some() && !has_path {
            faults.push("preview has a subject, and the path has no argument that could name it".into());
        }
        if destroys != self.lasting.is_some() {
            faults.push("preview tells what is lasting exactly where the effect is destroy".into());
        }
        faults
    }
}
