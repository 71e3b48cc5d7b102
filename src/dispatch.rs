//! The path of one call: the only file that knows the order of the steps.

mod attribute_types;
mod audit_search;
mod consent;
mod document;
mod drain;
mod failure;
mod filter;
mod form_answer;
mod hold;
mod job;
mod launch;
mod list;
mod local;
mod plans;
mod prepare;
mod preview;
mod rate;
mod receive;
mod record_action;
mod record_properties;
mod scopes;
mod subject;
mod touch;
mod untrusted;
mod verify;
mod whoami;

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::{Arc, atomic::Ordering},
};

pub use drain::{Drain, Grace};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::time::Instant;

use self::{
    consent::{Case, Settled},
    preview::Wanted,
};
pub use self::{
    hold::Holds,
    plans::{Clock, Plans},
};
pub use crate::ironclad::Progress;
use crate::{
    agents::Agent,
    answer::{self, Answer, Fields, Gathered, ObjectReader, Shape, Window},
    arguments::Args,
    audit::{AuditLog, Decision, Record, Sent, Who},
    catalog::{Catalog, Tool},
    cursor::{CursorKey, Spot, call_digest},
    download::DownloadFolder,
    error::{ArgumentFault, CallError, Code, Outcome},
    forms::{Forms, Template},
    ironclad::{
        Client, Errand, Exchange, Failure, Head, Receiver,
        json::Json,
        limiter::{Bucket, Share},
    },
    keys::Ring,
    launch_tools::GENERAL,
    manifest::{self, Entry},
    policy::{self, Verdict},
    record_types::{RecordTypes, Types},
    request::{self, Request},
    tool_schema::DEFAULT_LIMIT,
    traces::TRACEPARENT,
    upload::UploadFolders,
};

/// What every call needs.
pub struct Dispatch {
    /// Every tool that there is.
    pub catalog: Arc<Catalog>,
    /// The way to Ironclad.
    pub client: Client,
    /// The templates' launch forms.
    pub forms: Forms,
    /// The types of record properties.
    pub records: RecordTypes,
    /// The folders that documents may be read from.
    pub upload_folders: UploadFolders,
    /// The writes whose twins are held back.
    pub holds: Holds,
    /// The folder that documents may be saved into.
    pub download_folder: DownloadFolder,
    /// Where calls are recorded.
    pub audit: Arc<AuditLog>,
    /// The calls that are under way.
    pub drain: Drain,
    /// The key of list cursors.
    pub cursor_key: CursorKey,
    /// The keys of the state that a client brings back with a person's answer.
    pub state_keys: Ring,
    /// The plans of dry runs, and the calls that wait for a person.
    pub plans: Plans,
    /// Whether bodies name the acting user, as a static token wants it.
    pub user_in_bodies: bool,
    /// `--max-result-bytes`
    pub max_result_bytes: usize,
    /// `--max-document-bytes`
    pub max_document_bytes: u64,
}

/// Who calls, and how a person is asked on their side.
pub struct Caller<'a> {
    /// The agent, with what goes for its calls.
    pub agent: Agent,
    /// The person behind the client, if the client can ask one.
    pub person: Option<&'a dyn Person>,
    /// Where the client wants to hear how a long call goes on.
    pub progress: Option<&'a dyn Progress>,
    /// When the client gives up, if it said so.
    pub deadline: Option<Instant>,
    /// The largest document that comes whole or not at all, where that is what the caller needs.
    pub document_bytes: Option<u64>,
}

impl Caller<'_> {
    /// On whose behalf requests of this call are sent.
    fn errand(&self) -> Errand<'_> {
        let share = self.agent.share().map_or(Share::WHOLE, Share::percent);
        Errand {
            agent: self.agent.identity(),
            share,
            progress: self.progress,
            deadline: self.deadline,
            ..Errand::of(self.agent.user())
        }
    }
}

/// A call under way: the path with all it needs, and who walks it.
#[derive(Clone, Copy)]
struct Call<'a> {
    dispatch: &'a Dispatch,
    caller: &'a Caller<'a>,
}

impl Deref for Call<'_> {
    type Target = Dispatch;

    fn deref(&self) -> &Dispatch {
        self.dispatch
    }
}

impl Call<'_> {
    /// Sends a request that the record does not count, such as a look-up.
    async fn look_up<R: Receiver>(&self, request: &Request, receiver: &mut R) -> Result<(Head, R::Answer), Failure> {
        self.client.send(request, receiver, self.caller.errand()).await.result
    }

    async fn template(&self, id: &str) -> Result<Arc<Template>, Failure> {
        self.forms.template(&self.client, self.caller.errand(), id).await
    }

    fn learned(&self, template_id: &str) -> BTreeSet<String> {
        self.forms.learned(self.caller.agent.user(), template_id)
    }

    async fn record_types(&self) -> Result<Arc<Types>, Failure> {
        self.records.types(&self.client, self.caller.errand()).await
    }
}

/// Somebody who can say yes or no.
pub trait Person: Sync {
    /// Asks whether to go on.
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Consent>;

    /// Whether the call waits while the person thinks, so that things may change meanwhile.
    fn is_waited_for(&self) -> bool;
}

/// What a person is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The question.
    pub text: &'a str,
    /// What the answer counts for: the very request, and the object as it was shown.
    pub binding: &'a str,
}

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Yes.
    Given,
    /// No, or nothing.
    Refused,
    /// The client must bring the answer with a second call.
    Postponed,
    /// The answer was brought before.
    Spent,
}

/// How a call ended well.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every call ends with an answer; it is moved once")]
pub enum Reached {
    /// With an answer.
    Answer(Answer),
    /// With a question that the client must bring the answer to.
    Question,
}

/// The part of a list that a call wants, and the digest that its cursors carry.
struct Place {
    window: Window,
    digest: [u8; 8],
}

/// A call that is ready to be sent.
struct Prepared {
    args: Args,
    place: Option<Place>,
    request: Request,
}

impl Dispatch {
    /// Runs one call from its arguments to its answer.
    ///
    /// # Errors
    /// What went wrong, in the caller's words.
    pub async fn call(
        &self,
        tool: &Tool,
        arguments: Map<String, Value>,
        caller: Caller<'_>,
    ) -> Result<Reached, CallError> {
        let name = counted_as(tool);
        let (timer, span) = (self.client.metrics().call(name), self.client.traces().call(name));
        // On the heap: every future around it holds it, and would be as large again.
        let recorded: BoxFuture<'_, _> = Box::pin(self.recorded(tool, arguments, caller));
        let mut reached = span.around(recorded).await;
        let code = match &reached {
            Ok(Reached::Answer(_)) => "ok",
            Ok(Reached::Question) => "input_required",
            Err(error) => error.code.as_str(),
        };
        if let Some(traceparent) = span.traceparent() {
            tell(&mut reached, TRACEPARENT, traceparent);
        }
        timer.ended(code);
        span.ended(code);
        reached
    }

    async fn recorded(
        &self,
        tool: &Tool,
        arguments: Map<String, Value>,
        caller: Caller<'_>,
    ) -> Result<Reached, CallError> {
        let as_user = caller.agent.user().name().map(str::to_owned);
        let subject = caller.agent.principal().map(|principal| principal.subject.clone());
        let who = Who { agent: caller.agent.name.clone(), caller: subject, as_user };
        let named = plans::filled(self, tool, &arguments);
        let named = launch::named(tool, &named);
        // Before the record, so that it outlives it: while a line is unwritten the call is under way.
        let passage = self.drain.enter(tool.entry.effect.is_write());
        let mut record = Record::open(Arc::clone(&self.audit), &tool.entry, &named, who);
        if passage.is_refused() {
            let error = failure::not_begun(&tool.entry);
            record.decide(Decision::Denied, "the server is stopping");
            record.failed(&error);
            return Err(error);
        }
        let sent = record.times_sent();
        let reached = tokio::select! {
            biased;
            reached = (Call { dispatch: self, caller: &caller }).steps(tool, arguments, &mut record) => reached,
            () = passage.cut(&sent) => {
                let error = failure::cut(&tool.entry, sent.load(Ordering::Acquire) > 0);
                record.cut();
                return Err(error);
            }
        };
        match reached {
            Ok(Reached::Answer(answer)) => {
                note_ids(&tool.entry, &answer, &mut record);
                let mut answer = untrusted::marked(&tool.entry, answer, self.max_result_bytes);
                record.succeeded();
                answer.meta.extend(self.rate(&tool.entry));
                Ok(Reached::Answer(answer))
            }
            Ok(Reached::Question) => {
                record.postponed();
                Ok(Reached::Question)
            }
            Err(mut error) => {
                record.failed(&error);
                let rate = self.rate(&tool.entry);
                error.meta = (!rate.is_empty()).then(|| Box::new(rate));
                Err(untrusted::told(error))
            }
        }
    }

    /// How the rate limit stands that a tool's requests draw on; nothing where no limit is kept to.
    fn rate(&self, entry: &Entry) -> Map<String, Value> {
        let bucket = Bucket::named(&entry.bucket);
        let standing = bucket.and_then(|bucket| Some((bucket, self.client.standing(bucket)?)));
        standing.map(|(bucket, standing)| rate::meta(bucket, standing)).unwrap_or_default()
    }
}

/// Puts a member into the `_meta` of a call's result.
fn tell(reached: &mut Result<Reached, CallError>, name: &str, value: String) {
    let meta = match reached {
        Ok(Reached::Answer(answer)) => &mut answer.meta,
        Ok(Reached::Question) => return,
        Err(error) => &mut **error.meta.get_or_insert_default(),
    };
    meta.insert(name.to_owned(), value.into());
}

/// What a tool is counted as: the names of typed launch tools follow from those of the customer's templates.
fn counted_as(tool: &Tool) -> &str {
    if tool.launch.is_some() { GENERAL } else { &tool.entry.name }
}

/// The arguments, if they fit the tool and repeat nothing that stands for hidden characters.
fn checked(tool: &Tool, arguments: Map<String, Value>) -> Result<Args, CallError> {
    let checked = tool.arguments().and_then(|check| check.check(&tool.entry, arguments));
    let args = checked.map_err(|faults| CallError::invalid_arguments(&tool.name, faults))?;
    untrusted::refuse_echoes(tool, &args)?;
    Ok(args)
}

impl Call<'_> {
    async fn steps(
        self,
        tool: &Tool,
        mut arguments: Map<String, Value>,
        record: &mut Record,
    ) -> Result<Reached, CallError> {
        let entry = &tool.entry;
        let verdict = self.decide(tool, record)?;
        let plan = plans::take(self, tool, &mut arguments).await?;
        let mut args = checked(tool, arguments)?;
        plans::hold(tool, &args, plan.as_ref(), (self.caller.agent.policy(), record))?;
        let place = self.place(entry, &args)?;
        if let Some(local) = entry.local {
            return local::answer(self, local, entry, (&args, place)).await.map(Reached::Answer);
        }
        touch::check(self, tool, &args, record).await?;
        let asks = matches!(verdict, Verdict::Ask { .. });
        let given = given(&args, asks || plan.is_some());
        let mut found = prepare::prepare(self, tool, &mut args).await?;
        found.name(&args, record);
        if let Some(fault) = request::overlong(entry, &args) {
            return Err(CallError::invalid_arguments(&tool.name, vec![fault]));
        }
        let mut request = request::build(entry, &args, self.user_in_bodies.then_some(self.caller.agent.user()));
        found.address(&mut request);
        if let (manifest::Answer::Page { paging, .. }, Some(place)) = (&entry.answer, &place) {
            let pages = Gathered::new(*paging, place.window, self.max_result_bytes);
            request.query.extend(pages.wanted(0).into_iter().flat_map(|page| page.query(*paging)));
        }
        let wanted = Wanted { tool, args: &given };
        if args.flag("dry_run") {
            record.decide(Decision::DryRun, verdict.rule());
            return self.tried((wanted, &args), &request, found).await.map(Reached::Answer);
        }
        let is_write = entry.effect.is_write();
        if is_write {
            // Before a plan is used up, or a person asked.
            let agent_and_request = (self.caller.agent.identity(), &request);
            self.holds.check(entry, &args, agent_and_request)?;
            hold::elsewhere(&*self.plans.shared, (tool, &args), agent_and_request).await?;
        }
        let plan_id = plan.as_ref().map(|plan| plan.id.clone());
        let case = Case {
            wanted,
            args: &args,
            request: &request,
            plan,
            asks,
            template: found.template(),
            diff: found.diff.clone(),
            looked: found.looked.take(),
        };
        if consent::settle(self, case, record).await? == Settled::Postponed {
            return Ok(Reached::Question);
        }
        let prepared = Prepared { args, place, request };
        if !is_write {
            return self.deliver(entry, &prepared, found, record).await.map(Reached::Answer);
        }
        self.write(tool, &prepared, found, (plan_id, record)).await.map(Reached::Answer)
    }

    /// Makes a write; a plan whose write was surely not sent is given back.
    async fn write(
        self,
        tool: &Tool,
        prepared: &Prepared,
        found: prepare::Found,
        (plan_id, record): (Option<String>, &mut Record),
    ) -> Result<Answer, CallError> {
        let written = self.write_on_record(tool, prepared, found, record).await;
        if let (Err(error), Some(id)) = (&written, plan_id)
            && error.outcome == Some(Outcome::NotSent)
            && record.times_sent().load(Ordering::Acquire) == 0
        {
            plans::give_back(self, &id).await;
        }
        written
    }

    /// Sends a write, which is on record before, and held afterwards unless its outcome becomes known.
    async fn write_on_record(
        self,
        tool: &Tool,
        prepared: &Prepared,
        found: prepare::Found,
        record: &mut Record,
    ) -> Result<Answer, CallError> {
        let entry = &tool.entry;
        let sending = self.holds.sending((self.caller.agent.identity(), &prepared.request), record.times_sent());
        let sending = sending.marked(&self.plans.shared, (tool, &prepared.args)).await?;
        record.intend().map_err(|error| audit_unavailable(&error))?;
        let delivered = self.deliver(entry, prepared, found, record).await;
        sending.settled(delivered, entry, &prepared.args).await
    }

    async fn deliver(
        self,
        entry: &Entry,
        prepared: &Prepared,
        found: prepare::Found,
        record: &mut Record,
    ) -> Result<Answer, CallError> {
        if matches!(entry.answer, manifest::Answer::Job { .. }) {
            return job::status(self, entry, prepared, record).await;
        }
        if matches!(entry.answer, manifest::Answer::Document {}) {
            return document::download(self, entry, prepared, record).await;
        }
        if let Some(launch) = found.waited_launch() {
            let job = job::Job { call: self, entry, launch };
            let answer = job.run(&prepared.request, record).await?;
            return Ok(found.annotate(answer));
        }
        match self.send(entry, prepared, record).await {
            Ok(answer) => Ok(found.annotate(answer)),
            Err(failure) => Err(found.refusal(self, entry, (&prepared.args, &failure)).await),
        }
    }

    fn decide(&self, tool: &Tool, record: &mut Record) -> Result<Verdict, CallError> {
        let verdict = policy::decide(&tool.entry, self.caller.agent.policy());
        let verdict = verdict.map_err(|denial| self.denied(&tool.entry, &denial, record))?;
        record.decide(Decision::Allowed, verdict.rule());
        self.within_scopes(tool, &self.caller.agent, record)?;
        Ok(verdict)
    }

    fn denied(&self, entry: &Entry, denial: &policy::Denial, record: &mut Record) -> CallError {
        record.decide(Decision::Denied, &denial.rule);
        let agent = self.caller.agent.policy().agent.as_ref().map(|agent| format!("the agent {}", agent.name));
        let whom = agent.unwrap_or_else(|| "this server".to_owned());
        let message = format!("{} is not granted to {whom} ({})", entry.name, denial.rule);
        CallError::new(Code::AccessDenied, message, denial.hint.clone()).with_outcome(Outcome::NotSent)
    }

    /// The answer of a dry run: what would be sent, what it would do, and the plan that does just that.
    async fn tried(
        &self,
        (wanted, args): (Wanted<'_>, &Args),
        request: &Request,
        mut found: prepare::Found,
    ) -> Result<Answer, CallError> {
        let entry = &wanted.tool.entry;
        let looked = match found.looked.take() {
            Some(looked) => Some(looked),
            None => subject::look(*self, entry, args).await.unwrap_or_else(|error| {
                let why = error.code.as_str();
                found.notes.push(format!("it could not be looked at ({why}), so what would change is not shown"));
                None
            }),
        };
        let (template, diff) = (found.template(), found.diff.take());
        let preview = preview::of(*self, Wanted { args, ..wanted }, template.as_deref(), (diff, looked.as_ref()));
        let (plan, sealed, expires) = plans::of_dry_run(*self, wanted, (request, looked.as_ref())).await?;
        if !plan.stands_alone() {
            found.notes.push("the arguments are too large for the plan: give them again beside it".into());
        }
        found.notes.extend(looked.and_then(|looked| looked.missing));
        Ok(answer::dry_run(request)
            .with("sentence", preview.sentence.into())
            .with_diff(preview.diff)
            .with("notifies", preview.notifies.into())
            .with("plan", sealed.into())
            .with("plan_expires", expires.into())
            .with_notes(found.notes))
    }

    /// The part of a list that a call wants.
    fn place(&self, entry: &Entry, args: &Args) -> Result<Option<Place>, CallError> {
        if !entry.is_list() {
            return Ok(None);
        }
        let which = args.iter().filter(|(name, _)| !matches!(*name, "cursor" | "limit" | "fields"));
        let mut which: Vec<String> = which.map(|(name, value)| format!("{name}={value}")).collect();
        which.sort();
        let digest = call_digest(&entry.name, &which.join("&"));
        let from = match args.text("cursor") {
            None => Spot::default(),
            Some(cursor) => self.cursor_key.open(&digest, cursor).ok_or_else(|| {
                let message = "is not a cursor of this list: it was altered, or belongs to other arguments";
                let expected = "next_cursor of the page before with the same arguments, or nothing to start again";
                CallError::invalid_arguments(&entry.name, vec![ArgumentFault::new("cursor", message, expected)])
            })?,
        };
        let limit = args.get("limit").and_then(Value::as_u64).unwrap_or(DEFAULT_LIMIT).max(1);
        Ok(Some(Place { window: Window { from, limit }, digest }))
    }

    async fn send(&self, entry: &Entry, prepared: &Prepared, record: &mut Record) -> Result<Answer, Failure> {
        let Prepared { args, place, request } = prepared;
        let fields = if entry.effect.is_write() { None } else { Fields::of(args) };
        let shape = Shape { origin: self.client.origin(), max_bytes: self.max_result_bytes, fields };
        match (&entry.answer, place) {
            (manifest::Answer::Page { paging, .. }, Some(place)) => {
                let list = list::List { call: self, entry, args, shape: &shape, paging: *paging };
                list.gather(request, place, record).await
            }
            (manifest::Answer::Form { .. }, _) => {
                let learned = self.learned(args.text("template_id").unwrap_or_default());
                let known = (&learned, self.caller.agent.user().name());
                let shaped = receive::Shaped::new(|raw| form_answer::shape(raw, &shape, known));
                self.exchange(request, shaped, record).await.map(|(_, answer)| answer)
            }
            (manifest::Answer::Empty {}, _) => {
                let (head, body) = self.exchange(request, receive::Nothing::default(), record).await?;
                answer::empty(entry, args, &body).map_err(|error| Failure::Unsound(head, (&error).into()))
            }
            (
                manifest::Answer::Object { .. }
                | manifest::Answer::Page { .. }
                | manifest::Answer::Job { .. }
                | manifest::Answer::Document {},
                _,
            ) => {
                let object = Json::new(ObjectReader::new(entry, &shape));
                self.exchange(request, object, record).await.map(|(_, answer)| answer)
            }
        }
    }

    async fn exchange<T: Send>(
        &self,
        request: &Request,
        mut receiver: impl Receiver<Answer = T>,
        record: &mut Record,
    ) -> Result<(Head, T), Failure> {
        let times_sent = record.times_sent();
        let errand = Errand { sent: Some(&times_sent), ..self.caller.errand() };
        let exchange = self.client.send(request, &mut receiver, errand).await;
        record.sent(sent(&exchange));
        exchange.result
    }
}

/// What became of a request, for the audit log.
fn sent<T>(exchange: &Exchange<T>) -> Sent {
    let head = match &exchange.result {
        Ok((head, _)) | Err(Failure::Refused { head, .. } | Failure::Unsound(head, _)) => Some(head),
        Err(
            Failure::NoToken(_)
            | Failure::Barred(_)
            | Failure::OverBudget(_)
            | Failure::NeverArrived(_)
            | Failure::Lost(_)
            | Failure::Unreadable(_),
        ) => None,
    };
    Sent {
        status: head.map(|head| head.status),
        request_id: head.and_then(|head| head.request_id.clone()),
        attempts: exchange.attempts,
    }
}

fn audit_unavailable(error: &std::io::Error) -> CallError {
    CallError::new(
        Code::AuditUnavailable,
        format!("nothing was sent: the audit log cannot be written ({error})"),
        "the operator must make the path of --audit-log writable, or set --audit-log -",
    )
    .with_outcome(Outcome::NotSent)
}

/// The arguments as they were given, kept where a plan may be made of them.
fn given(args: &Args, is_wanted: bool) -> Args {
    if is_wanted || args.flag("dry_run") { args.clone() } else { Args::default() }
}

/// A write's answer may hold an id that no argument had, such as a launched workflow's.
fn note_ids(entry: &Entry, answer: &Answer, record: &mut Record) {
    if !entry.effect.is_write() || entry.path_arguments().next().is_some() {
        return;
    }
    for (member, name) in [("id", "id"), ("ironcladId", "ironclad_id"), ("asyncJobId", "async_job_id")] {
        if let Some(id) = answer.structured.get(member).and_then(Value::as_str) {
            record.found(name, id);
        }
    }
}
