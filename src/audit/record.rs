//! The open line of one call: who, what, where, what was decided, how it ended.
//!
//! Nothing of the arguments stands in a line but ids and names; the rest is a digest, by which a line can be held against
//! a call that somebody kept. The words of a contract are its parties' business.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::format_description};

use super::{chain, log::AuditLog};
use crate::{
    error::{CallError, Code, Outcome},
    manifest::{Entry, placeholders},
    visible::visible,
};

/// The longest id that a line repeats; anything longer is no id.
const ID_CHARACTERS: usize = 200;

/// How much of a name a sentence repeats.
const NAME_CHARACTERS: usize = 80;

/// What policy decided of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It was let through.
    Allowed,
    /// Policy refused it.
    Denied,
    /// The person said no, or nobody could be asked.
    Declined,
    /// It was only tried out.
    DryRun,
}

impl Decision {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Declined => "declined",
            Self::DryRun => "dry_run",
        }
    }
}

/// Who calls, as far as the log is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// The agent: its configured name, or the MCP client's own.
    pub agent: String,
    /// Who stands behind the agent, by their authorization server's name for them; `None` where nobody is verified.
    pub caller: Option<String>,
    /// The Ironclad user on whose behalf it is done.
    pub as_user: Option<String>,
}

/// What became of the request of a call, for its line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Ironclad's HTTP status.
    pub status: Option<u16>,
    /// Ironclad's id of the request.
    pub request_id: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
}

/// The open line of one call; written when the call ends, however it ends.
#[derive(Debug)]
pub struct Record {
    log: Arc<AuditLog>,
    who: Who,
    tool: String,
    /// What a call does, with `{argument}` for what it names.
    deed: String,
    /// What stands for each of those: an id, or a name where one was learned.
    said: Vec<(String, String)>,
    /// Whom it was done for: the other party of a contract.
    counterparty: Option<String>,
    /// The plan that the call keeps to.
    plan: Option<String>,
    /// Who said yes.
    approver: Option<String>,
    object: Map<String, Value>,
    /// The digest of the arguments, where they say more than the ids.
    digest: Option<String>,
    is_write: bool,
    decision: Decision,
    rule: String,
    sent: Sent,
    times_sent: Arc<AtomicU32>,
    /// The server's end cuts the call off.
    is_cut: bool,
    began: Instant,
    closed: bool,
}

impl Record {
    /// Opens the line of a call.
    #[must_use]
    pub fn open(log: Arc<AuditLog>, entry: &Entry, arguments: &Map<String, Value>, who: Who) -> Self {
        let object = object(entry, arguments);
        let more = arguments.keys().any(|name| !object.contains_key(name) && !ABOUT_THE_CALL.contains(&name.as_str()));
        Self {
            log,
            who: Who {
                agent: visible(&who.agent).into_owned(),
                caller: who.caller.map(|caller| visible(&caller).into_owned()),
                ..who
            },
            tool: entry.name.clone(),
            deed: entry.deed.clone(),
            said: said(&entry.deed, arguments),
            counterparty: None,
            plan: None,
            approver: None,
            object,
            digest: more.then(|| digest(arguments)),
            is_write: entry.effect.is_write(),
            decision: Decision::Allowed,
            rule: String::new(),
            sent: Sent::default(),
            times_sent: Arc::default(),
            is_cut: false,
            began: Instant::now(),
            closed: false,
        }
    }

    /// Notes what was decided, and by which rule.
    pub fn decide(&mut self, decision: Decision, rule: &str) {
        self.decision = decision;
        self.rule = rule.to_owned();
    }

    /// Notes that the person said no, or could not be asked; the rule that would have allowed it stays.
    pub fn decline(&mut self) {
        self.decision = Decision::Declined;
    }

    /// Notes what became of the request.
    pub fn sent(&mut self, sent: Sent) {
        self.sent = sent;
    }

    /// How often the request went out, but for the times when Ironclad surely did nothing. Whoever sends it counts, so
    /// that a record of a dropped call knows whether it may have taken effect.
    #[must_use]
    pub fn times_sent(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.times_sent)
    }

    /// Notes an id that only the answer held, such as a launched workflow's.
    pub fn found(&mut self, name: &str, id: &str) {
        self.object.insert(name.to_owned(), id.into());
    }

    /// Notes the name of what the id in `argument` stands for, which the sentence then says instead.
    pub fn named(&mut self, argument: &str, name: &str) {
        let place = self.said.iter_mut().find(|(known, _)| known == argument);
        if let (Some((_, said)), Some(name)) = (place, short(name)) {
            *said = name;
        }
    }

    /// Notes the other party of the contract.
    pub fn concerns(&mut self, counterparty: &str) {
        self.counterparty = short(counterparty);
    }

    /// Notes who said yes: a person's name, or how they were asked.
    pub fn approved_by(&mut self, approver: &str) {
        self.approver = short(approver);
    }

    /// Notes the plan that the call keeps to, by its id.
    pub fn by_plan(&mut self, id: &str) {
        self.plan = Some(id.to_owned());
    }

    /// The rule that decided, with the plan and who approved it.
    fn whole_rule(&self) -> String {
        let mut rule = self.rule.clone();
        for (what, name) in [("plan", &self.plan), ("approved by", &self.approver)] {
            if let Some(name) = name {
                rule.push_str(&format!("; {what} {name}"));
            }
        }
        rule
    }

    /// Puts the intent of a write on disk.
    ///
    /// # Errors
    /// The log cannot be written, so the write must not be sent.
    pub fn intend(&self) -> io::Result<()> {
        self.log.append(&self.line("intent", None), true)
    }

    /// Writes the line of a call that was answered.
    pub fn succeeded(mut self) {
        self.close("ok", None);
    }

    /// Writes the line of a call that failed.
    pub fn failed(mut self, error: &CallError) {
        self.sent.status = self.sent.status.or(error.status);
        if self.sent.request_id.is_none() {
            self.sent.request_id.clone_from(&error.request_id);
        }
        // A call that was held back has the code too, and was not sent.
        let outcome = if error.outcome == Some(Outcome::Unknown) { "unknown" } else { "error" };
        self.close(outcome, Some(error.code));
    }

    /// Writes the line of a call that the server's end cut off, before anybody cancelled it.
    pub fn cut(mut self) {
        self.is_cut = true;
    }

    /// Writes nothing: the call only asked a question and will come again with the answer.
    pub fn postponed(mut self) {
        self.closed = true;
    }

    fn close(&mut self, outcome: &str, code: Option<Code>) {
        self.closed = true;
        if let Err(error) = self.log.append(&self.line(outcome, code), false) {
            tracing::warn!(%error, tool = self.tool, "the audit log cannot be written");
        }
    }

    fn line(&self, outcome: &str, code: Option<Code>) -> Map<String, Value> {
        let mut line = Map::with_capacity(16);
        line.insert("time".into(), timestamp().into());
        line.insert("agent".into(), self.who.agent.as_str().into());
        if let Some(caller) = &self.who.caller {
            line.insert("caller".into(), caller.as_str().into());
        }
        line.insert("as_user".into(), self.who.as_user.as_deref().into());
        line.insert("tool".into(), self.tool.as_str().into());
        let mut object = self.object.clone();
        // What was refused outright was not looked at.
        if let Some(digest) = self.digest.as_deref().filter(|_| self.decision != Decision::Denied) {
            object.insert("arguments".into(), digest.into());
        }
        line.insert("object".into(), object.into());
        line.insert("decision".into(), self.decision.as_str().into());
        line.insert("rule".into(), self.whole_rule().into());
        line.insert("outcome".into(), outcome.into());
        line.insert("code".into(), code.map(Code::as_str).into());
        line.insert("status".into(), self.sent.status.into());
        line.insert("request_id".into(), self.sent.request_id.as_deref().into());
        line.insert("attempts".into(), self.sent.attempts.max(self.times_sent.load(Ordering::Acquire)).into());
        line.insert("duration_ms".into(), u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).into());
        line.insert("sentence".into(), self.sentence(outcome, code).into());
        line
    }

    fn sentence(&self, outcome: &str, code: Option<Code>) -> String {
        let agent = &self.who.agent;
        let acting = self.who.as_user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        let approved = self.approver.as_ref().map(|approver| format!(", approved by {approver}")).unwrap_or_default();
        let (tool, deed) = (&self.tool, self.whole_deed());
        match (self.decision, outcome) {
            (Decision::Denied, _) => format!("{agent} was refused {tool} ({})", self.rule),
            (Decision::Declined, _) => format!("{agent} was not allowed to call {tool}: nobody said yes"),
            (Decision::DryRun, _) => format!("{agent} tried {tool} out{acting}; nothing was sent"),
            (Decision::Allowed, "ok") => format!("{agent} {deed}{acting}{approved}"),
            (Decision::Allowed, "intent") => format!("{agent} is about to send {tool}{acting}{approved}"),
            (Decision::Allowed, "unknown") => {
                format!("{agent} sent {tool}{acting}, and it is not known whether it took effect")
            }
            (Decision::Allowed, "cancelled") if self.is_cut => {
                format!("the call of {tool} by {agent}{acting} was cut off, because the server had to stop")
            }
            (Decision::Allowed, "cancelled") => format!("{agent} cancelled its call of {tool}{acting}"),
            (Decision::Allowed, _) => {
                format!("{agent} called {tool}{acting}, which failed: {}", code.map_or("error", Code::as_str))
            }
        }
    }
}

impl Record {
    /// The deed with the other party, and the number by which people know a contract.
    fn whole_deed(&self) -> String {
        let mut deed = String::with_capacity(self.deed.len() + 64);
        let mut rest = self.deed.as_str();
        while let Some((before, (name, after))) = rest.split_once('{').and_then(|(b, r)| Some((b, r.split_once('}')?)))
        {
            deed.push_str(before);
            deed.push_str(self.said.iter().find(|(known, _)| known == name).map_or("(none)", |(_, said)| said));
            rest = after;
        }
        deed.push_str(rest);
        if let Some(counterparty) = &self.counterparty {
            deed.push_str(" for ");
            deed.push_str(counterparty);
        }
        if let Some(number) = self.object.get("ironclad_id").and_then(Value::as_str) {
            deed.push_str(&format!(" ({number})"));
        }
        deed
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.closed {
            let in_doubt = self.is_write && self.times_sent.load(Ordering::Acquire) > 0;
            let outcome = if in_doubt { "unknown" } else { "cancelled" };
            self.close(outcome, Some(Code::Cancelled));
        }
    }
}

pub(super) fn timestamp() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::now_utc().format(&format).unwrap_or_default()
}

/// The ids among the arguments: those of the path, and those that the deed names.
fn object(entry: &Entry, arguments: &Map<String, Value>) -> Map<String, Value> {
    let named = placeholders(&entry.deed).filter(|name| name.ends_with("_id"));
    let names = entry.path_arguments().chain(named);
    names.filter_map(|name| Some((name.to_owned(), id(arguments.get(name)?)?.into()))).collect()
}

/// Arguments that say how a call is made and not what is done: a preview and the call itself have one digest.
const ABOUT_THE_CALL: [&str; 3] = ["dry_run", "plan", "force_after_unknown"];

/// SHA-256 over the arguments as JSON without blanks, the members of every object in the order of their names.
fn digest(arguments: &Map<String, Value>) -> String {
    let mut sink = Sink(Sha256::new());
    let told = arguments.iter().filter(|(name, _)| !ABOUT_THE_CALL.contains(&name.as_str()));
    // A digest takes everything, so there is nothing to fail.
    let _ = write_members(told, &mut sink);
    format!("sha256:{}", chain::hex(&sink.0.finalize()))
}

struct Sink(Sha256);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_value(value: &Value, out: &mut Sink) -> io::Result<()> {
    match value {
        Value::Object(members) => write_members(members.iter(), out),
        Value::Array(items) => {
            out.write_all(b"[")?;
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.write_all(b",")?;
                }
                write_value(item, out)?;
            }
            out.write_all(b"]")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(serde_json::to_writer(out, value)?),
    }
}

fn write_members<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, out: &mut Sink) -> io::Result<()> {
    let mut members: Vec<_> = members.collect();
    members.sort_by_key(|(name, _)| *name);
    out.write_all(b"{")?;
    for (at, (name, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b":")?;
        write_value(value, out)?;
    }
    out.write_all(b"}")
}

/// A name as a sentence can hold it; `None` where nothing is left of it.
fn short(name: &str) -> Option<String> {
    let name = visible(name.trim());
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(NAME_CHARACTERS).collect();
    (!name.is_empty()).then_some(name)
}

fn id(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    let is_plain = !text.chars().any(char::is_control) && matches!(visible(text), Cow::Borrowed(_));
    (text.chars().count() <= ID_CHARACTERS && is_plain).then_some(text)
}

fn said(deed: &str, arguments: &Map<String, Value>) -> Vec<(String, String)> {
    let said = placeholders(deed).filter_map(|name| Some((name.to_owned(), id(arguments.get(name)?)?.to_owned())));
    said.collect()
}
