//! All contract data of the simulated company, in memory.
//!
//! Every id is drawn from one generator in the order of the calls, so the same requests against the same seed get
//! the same ids. Look-ups are linear: a few hundred items do not need an index.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::clock::Clock;
use super::errors::ApiError;
use super::exchange::Actor;
use super::people::{self, Person};
use super::random::Random;
use super::templates::{self, Template};
use super::webhooks::Webhook;
use super::workflow_document::{Content, Fresh};
use super::workflow_state::Workflow;

/// An entry of the repository.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// UUID.
    pub(crate) id: String,
    /// The number of its Ironclad ID.
    pub(crate) number: u32,
    /// Record-type key.
    pub(crate) kind: String,
    /// Name.
    pub(crate) name: String,
    /// When it last changed.
    pub(crate) updated: Option<OffsetDateTime>,
    /// Property id to `{type, value}`, addresses as objects, amendments not applied.
    pub(crate) properties: Map<String, Value>,
    /// Attachments.
    pub(crate) attachments: Vec<Attachment>,
    /// Ids of linked records.
    pub(crate) links: Vec<String>,
    /// Id of the parent.
    pub(crate) parent_id: Option<String>,
    /// `amendment` or `obligation`.
    pub(crate) parent_link_type: Option<String>,
    /// Ids of the children.
    pub(crate) children: Vec<String>,
    /// Where it came from; records made by API have none.
    pub(crate) source: Option<Value>,
    /// Property ids of the parent that this amendment replaces.
    pub(crate) amends: Vec<String>,
}

/// A file of a record.
#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    /// `signedCopy` or another key of the metadata.
    pub(crate) key: String,
    /// File name.
    pub(crate) filename: String,
    /// Media type.
    pub(crate) content_type: String,
}

/// A counterparty.
#[derive(Debug, Clone)]
pub(crate) struct Entity {
    /// UUID.
    pub(crate) id: String,
    /// The number of `ENTITY-<n>`.
    pub(crate) number: u32,
    /// Name.
    pub(crate) name: String,
}

/// An asynchronous launch.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Nanoid.
    pub(crate) id: String,
    /// The body as it was sent.
    pub(crate) payload: Map<String, Value>,
    /// Whom it acts as.
    pub(crate) actor: Actor,
    /// `useDefaultValues`.
    pub(crate) use_defaults: bool,
    /// When it runs.
    pub(crate) due: Instant,
    /// The workflow's id or the refusal, once it ran.
    pub(crate) outcome: Option<Result<String, ApiError>>,
}

/// Which forms of a workflow id a path takes (ironclad-api.md §0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdForm {
    /// 24 hex digits or `IC-<n>`.
    Either,
    /// 24 hex digits only.
    HexOnly,
}

/// The company's data.
#[derive(Debug)]
pub(crate) struct Store {
    /// Source of timestamps.
    pub(crate) clock: Clock,
    /// Source of ids.
    pub(crate) random: Random,
    /// Published designs.
    pub(crate) templates: Vec<Arc<Template>>,
    /// Users, in order of joining.
    pub(crate) people: Vec<Person>,
    /// Workflows, oldest first.
    pub(crate) workflows: Vec<Workflow>,
    /// Records, oldest first.
    pub(crate) records: Vec<Record>,
    /// How many more records there are than those, as `archive` makes them.
    pub(crate) archived: usize,
    /// Counterparties.
    pub(crate) entities: Vec<Entity>,
    /// Registered webhooks.
    pub(crate) webhooks: Vec<Webhook>,
    /// Asynchronous launches.
    pub(crate) jobs: Vec<Job>,
    /// What webhooks would have been sent, oldest first.
    pub(crate) events: Vec<Value>,
    /// How long an asynchronous launch takes.
    pub(crate) launch_time: Duration,
    /// Whether `[type]` may be used in record filters; the vendor's behaviour is disputed (§4).
    pub(crate) type_in_filters: bool,
    next_number: u32,
}

impl Store {
    /// The six templates and 25 people, and nothing else.
    pub(crate) fn new(seed: u64, clock: Clock) -> Self {
        Self {
            clock,
            random: Random::new(seed),
            templates: templates::templates().into_iter().map(Arc::new).collect(),
            people: people::people(),
            workflows: Vec::new(),
            records: Vec::new(),
            archived: 0,
            entities: Vec::new(),
            webhooks: Vec::new(),
            jobs: Vec::new(),
            events: Vec::new(),
            launch_time: Duration::from_millis(400),
            type_in_filters: false,
            next_number: 0,
        }
    }

    /// The next number of the counter that workflows and records share.
    pub(crate) const fn take_number(&mut self) -> u32 {
        self.next_number = self.next_number.saturating_add(1);
        self.next_number
    }

    /// Ids and a time for something new.
    pub(crate) fn fresh(&mut self) -> Fresh<'_> {
        let now = self.clock.now();
        Fresh { random: &mut self.random, now }
    }

    /// A user by id.
    pub(crate) fn person(&self, id: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.id == id)
    }

    /// A user by id or e-mail address.
    pub(crate) fn person_named(&self, id_or_email: &str) -> Option<&Person> {
        let matches = |person: &&Person| person.id == id_or_email || person.email.eq_ignore_ascii_case(id_or_email);
        self.people.iter().find(matches)
    }

    /// A published template by id.
    pub(crate) fn template(&self, id: &str) -> Option<Arc<Template>> {
        self.templates.iter().find(|template| template.id == id).cloned()
    }

    fn position(&self, id: &str, form: IdForm) -> Result<usize, ApiError> {
        let readable = form == IdForm::Either && id.starts_with("IC-");
        let by_number = |workflow: &Workflow| readable && workflow.ironclad_id() == id;
        let found = self.workflows.iter().position(|workflow| workflow.id == id || by_number(workflow));
        found.ok_or_else(|| ApiError::not_found("workflowId", "workflow does not exist"))
    }

    /// A workflow.
    ///
    /// # Errors
    /// 404 `NOT_FOUND`, `param: workflowId`.
    pub(crate) fn workflow(&self, id: &str, form: IdForm) -> Result<&Workflow, ApiError> {
        let at = self.position(id, form)?;
        self.workflows.get(at).ok_or_else(|| ApiError::not_found("workflowId", "workflow does not exist"))
    }

    /// A workflow to change, with the present time.
    ///
    /// # Errors
    /// As `workflow`.
    pub(crate) fn workflow_mut(&mut self, id: &str, form: IdForm) -> Result<(&mut Workflow, OffsetDateTime), ApiError> {
        let at = self.position(id, form)?;
        let now = self.clock.now();
        let found = self.workflows.get_mut(at);
        found
            .map(|workflow| (workflow, now))
            .ok_or_else(|| ApiError::not_found("workflowId", "workflow does not exist"))
    }

    /// Gives every generated large document another size.
    pub(crate) fn resize_large_documents(&mut self, bytes: usize) {
        for document in self.workflows.iter_mut().flat_map(|workflow| &mut workflow.documents) {
            if let Content::Large(size) = &mut document.content {
                *size = bytes;
            }
        }
    }

    /// A record by UUID or `IC-<n>`.
    pub(crate) fn record(&self, id: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.is(id))
    }

    /// A record to change.
    pub(crate) fn record_mut(&mut self, id: &str) -> Option<&mut Record> {
        self.records.iter_mut().find(|record| record.is(id))
    }

    /// A counterparty by UUID or `ENTITY-<n>`.
    pub(crate) fn entity(&self, id: &str) -> Option<&Entity> {
        self.entities.iter().find(|entity| entity.id == id || entity.readable_id() == id)
    }
}

impl Record {
    /// `IC-<n>`.
    pub(crate) fn ironclad_id(&self) -> String {
        format!("IC-{}", self.number)
    }

    fn is(&self, id: &str) -> bool {
        self.id == id || (id.starts_with("IC-") && self.ironclad_id() == id)
    }

    /// The workflow behind it, when one made it.
    pub(crate) fn workflow_id(&self) -> Option<&str> {
        self.source.as_ref()?.get("workflowId")?.as_str()
    }
}

impl Entity {
    /// `ENTITY-<n>`.
    pub(crate) fn readable_id(&self) -> String {
        format!("ENTITY-{}", self.number)
    }
}
