//! What has to be looked up and checked between the arguments and the request, as the entry's `prepare` names it.
//!
//! What is found out is kept to the end of the call: it explains a refusal, and stands beside the answer as notes.

use serde_json::Value;

use super::{Call, attribute_types, failure, filter, launch, record_action, record_properties, subject::Looked};
use crate::{
    answer::Answer,
    arguments::Args,
    audit::Record,
    catalog::Tool,
    error::{CallError, Code, Outcome},
    formula::Formula,
    ironclad::Failure,
    manifest::{Entry, Preparation},
    request::Request,
};

/// What a preparation found out.
#[derive(Default)]
pub(super) struct Found {
    /// What was normalised, and what the caller should know.
    pub(super) notes: Vec<String>,
    /// What an update would change, `{path, before, after}` each, where the object was read.
    pub(super) diff: Option<Vec<Value>>,
    /// The object of the write, where it was read just now.
    pub(super) looked: Option<Looked>,
    subject: Subject,
}

/// What a refusal or an answer is explained by.
#[derive(Default)]
enum Subject {
    #[default]
    Nothing,
    Launch(launch::Launch),
    Filter(Formula),
    Record,
}

impl Found {
    pub(super) fn notes(notes: Vec<String>) -> Self {
        Self { notes, ..Self::default() }
    }
}

/// Looks up and checks what the entry wants, and puts the arguments into the form that is sent.
pub(super) async fn prepare(call: Call<'_>, tool: &Tool, args: &mut Args) -> Result<Found, CallError> {
    let entry = &tool.entry;
    match entry.prepare {
        None => Ok(Found::default()),
        Some(Preparation::AttributeTypes) => attribute_types::check(call, entry, args).await,
        Some(Preparation::LaunchForm) => {
            let mut launch = launch::prepare(call, tool, args).await?;
            let notes = std::mem::take(&mut launch.notes);
            Ok(Found { notes, subject: Subject::Launch(launch), ..Found::default() })
        }
        Some(Preparation::RecordProperties) => {
            let found = record_properties::check(call, entry, args).await?;
            Ok(Found { subject: Subject::Record, ..found })
        }
        Some(Preparation::RecordAction) => record_action::check(entry, args).map(Found::notes),
        Some(Preparation::RecordFilter | Preparation::WorkflowFilter) => {
            let formula = filter::check(call, entry, args)?;
            Ok(Found { subject: formula.map_or(Subject::Nothing, Subject::Filter), ..Found::default() })
        }
    }
}

impl Found {
    /// Tells the audit log by name what ids stand for.
    pub(super) fn name(&self, args: &Args, record: &mut Record) {
        if let Subject::Launch(launch) = &self.subject {
            launch.name(args, record);
        }
    }

    /// Puts what goes along into the request, and sends it where it has to go.
    pub(super) fn address(&mut self, request: &mut Request) {
        if let Subject::Launch(launch) = &mut self.subject {
            launch.address(request);
        }
    }

    /// The name of the template that would be launched.
    pub(super) fn template(&self) -> Option<String> {
        if let Subject::Launch(launch) = &self.subject { launch.template_name() } else { None }
    }

    /// The launch that becomes a job to be waited for.
    pub(super) fn waited_launch(&self) -> Option<&launch::Launch> {
        if let Subject::Launch(launch) = &self.subject { Some(launch).filter(|launch| launch.is_job()) } else { None }
    }

    /// An answer with what the caller should know beside it.
    pub(super) fn annotate(self, answer: Answer) -> Answer {
        let mut notes = self.notes;
        if matches!(self.subject, Subject::Record) {
            notes.extend(record_properties::source_note(&answer.structured));
        }
        answer.with_notes(notes)
    }

    /// A failure in the words of what was checked.
    pub(super) async fn refusal(self, call: Call<'_>, entry: &Entry, (args, failure): (&Args, &Failure)) -> CallError {
        match self.subject {
            Subject::Launch(launch) => launch.refusal(call, entry, failure),
            Subject::Filter(formula) => filter::refusal(call, entry, (args, &formula), failure).await,
            Subject::Nothing | Subject::Record => failure::call_error(entry, failure),
        }
    }
}

/// A look-up before a write failed: whatever became of it, the write was not sent.
pub(super) fn not_read(entry: &Entry, failure: &Failure, what: &str) -> CallError {
    let mut error = failure::call_error(entry, failure);
    if error.code == Code::OutcomeUnknown {
        error.code = Code::UpstreamUnavailable;
        error.message = format!("{} was not sent: {what} could not be read", entry.name);
        error.hint = Some("nothing was changed; try again in a moment".into());
    }
    error.with_outcome(Outcome::NotSent)
}
