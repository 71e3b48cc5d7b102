//! Records who called what, where, and what was decided: one JSON line a call.
//!
//! A [`Record`] is a guard: whatever becomes of the call, its line is written, a dropped future's too. Lines are chained
//! by hash, across processes that share a file (an advisory lock is held for each append), so a line that is changed or
//! taken out shows. A write has an intent line on disk before its request is sent.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::format_description};

use crate::{
    error::{CallError, Code},
    manifest::{Entry, placeholders},
};

/// What stands for `prev` in the first line of a log.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How much of a log's end is read to find its last line.
const TAIL_BYTES: u64 = 64 * 1024;

/// The longest id that a line repeats; anything longer is no id.
const ID_CHARACTERS: usize = 200;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Appended to a file, made with its folders when the first line is written.
    File(PathBuf),
    /// Standard error, for collectors.
    Stderr,
}

/// An open audit log.
#[derive(Debug)]
pub struct AuditLog {
    target: Target,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    /// The file's length after our own last line; another length means that somebody else wrote.
    length: u64,
    last_hash: Option<String>,
}

impl AuditLog {
    /// A log that opens its target when the first line is written.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, state: Mutex::new(State::default()) }
    }

    /// Where lines go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Appends one line, chained to the one before.
    fn append(&self, line: &Map<String, Value>, sync: bool) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.target {
            Target::Stderr => {
                let (text, hash) = chained(line, state.last_hash.as_deref().unwrap_or(GENESIS));
                state.last_hash = Some(hash);
                io::stderr().lock().write_all(text.as_bytes())
            }
            Target::File(path) => {
                let appended = state.append(path, line, sync);
                if appended.is_err() {
                    // The next line starts afresh: the file may have been moved, or the disk may be full.
                    *state = State::default();
                }
                appended
            }
        }
    }
}

impl State {
    fn append(&mut self, path: &Path, line: &Map<String, Value>, sync: bool) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(path)?,
        };
        file.lock()?;
        let written = self.append_locked(&mut file, line, sync);
        file.unlock()?;
        self.file = Some(file);
        written
    }

    fn append_locked(&mut self, file: &mut File, line: &Map<String, Value>, sync: bool) -> io::Result<()> {
        let length = file.metadata()?.len();
        if self.last_hash.is_none() || length != self.length {
            let (whole, hash) = last_line(file, length)?;
            if whole != length {
                // A process died while it wrote: half a line would break the chain for good.
                file.set_len(whole)?;
            }
            self.length = whole;
            self.last_hash = Some(hash.unwrap_or_else(|| GENESIS.to_owned()));
        }
        let (text, hash) = chained(line, self.last_hash.as_deref().unwrap_or(GENESIS));
        file.write_all(text.as_bytes())?;
        if sync {
            file.sync_data()?;
        }
        self.length += text.len() as u64;
        self.last_hash = Some(hash);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The length of the file's whole lines, and the hash of the last of them.
fn last_line(file: &mut File, length: u64) -> io::Result<(u64, Option<String>)> {
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        return Ok((if from == 0 { 0 } else { length }, None));
    };
    let (lines, _) = tail.split_at(end);
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let hash = serde_json::from_slice::<Value>(last).ok().and_then(|line| Some(line.get("hash")?.as_str()?.to_owned()));
    Ok((from + end as u64 + 1, hash))
}

/// The line's text with `prev` and `hash`, and the hash: SHA-256 over the line up to the hash member.
fn chained(line: &Map<String, Value>, prev: &str) -> (String, String) {
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.pop();
    text.push_str(&format!(r#","prev":"{prev}""#));
    let hash = hex(&Sha256::digest(text.as_bytes()));
    text.push_str(&format!(",\"hash\":\"{hash}\"}}\n"));
    (text, hash)
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

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
    fn as_str(self) -> &'static str {
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
    deed: String,
    object: Map<String, Value>,
    is_write: bool,
    decision: Decision,
    rule: String,
    sent: Sent,
    began: Instant,
    closed: bool,
}

impl Record {
    /// Opens the line of a call.
    #[must_use]
    pub fn open(log: Arc<AuditLog>, entry: &Entry, arguments: &Map<String, Value>, who: Who) -> Self {
        Self {
            log,
            who,
            tool: entry.name.clone(),
            deed: deed(&entry.deed, arguments),
            object: object(entry, arguments),
            is_write: entry.effect.is_write(),
            decision: Decision::Allowed,
            rule: String::new(),
            sent: Sent::default(),
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

    /// Notes an id that only the answer held, such as a launched workflow's.
    pub fn found(&mut self, name: &str, id: &str) {
        self.object.insert(name.to_owned(), id.into());
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
        let outcome = if error.code == Code::OutcomeUnknown { "unknown" } else { "error" };
        self.close(outcome, Some(error.code));
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
        line.insert("as_user".into(), self.who.as_user.as_deref().into());
        line.insert("tool".into(), self.tool.as_str().into());
        line.insert("object".into(), self.object.clone().into());
        line.insert("decision".into(), self.decision.as_str().into());
        line.insert("rule".into(), self.rule.as_str().into());
        line.insert("outcome".into(), outcome.into());
        line.insert("code".into(), code.map(Code::as_str).into());
        line.insert("status".into(), self.sent.status.into());
        line.insert("request_id".into(), self.sent.request_id.as_deref().into());
        line.insert("attempts".into(), self.sent.attempts.into());
        line.insert("duration_ms".into(), u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).into());
        line.insert("sentence".into(), self.sentence(outcome, code).into());
        line
    }

    fn sentence(&self, outcome: &str, code: Option<Code>) -> String {
        let agent = &self.who.agent;
        let acting = self.who.as_user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        let (tool, deed) = (&self.tool, &self.deed);
        match (self.decision, outcome) {
            (Decision::Denied, _) => format!("{agent} was refused {tool} ({})", self.rule),
            (Decision::Declined, _) => format!("{agent} was not allowed to call {tool}: nobody said yes"),
            (Decision::DryRun, _) => format!("{agent} tried {tool} out{acting}; nothing was sent"),
            (Decision::Allowed, "ok") => format!("{agent} {deed}{acting}"),
            (Decision::Allowed, "intent") => format!("{agent} is about to send {tool}{acting}"),
            (Decision::Allowed, "unknown") => {
                format!("{agent} sent {tool}{acting}, and it is not known whether it took effect")
            }
            (Decision::Allowed, "cancelled") => format!("{agent} cancelled its call of {tool}{acting}"),
            (Decision::Allowed, _) => {
                format!("{agent} called {tool}{acting}, which failed: {}", code.map_or("error", Code::as_str))
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.closed {
            let outcome = if self.is_write && self.sent.attempts > 0 { "unknown" } else { "cancelled" };
            self.close(outcome, Some(Code::Cancelled));
        }
    }
}

fn timestamp() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::now_utc().format(&format).unwrap_or_default()
}

/// The ids among the arguments: those of the path, and those that the deed names.
fn object(entry: &Entry, arguments: &Map<String, Value>) -> Map<String, Value> {
    let named = placeholders(&entry.deed).filter(|name| name.ends_with("_id"));
    let names = entry.path_arguments().chain(named);
    names.filter_map(|name| Some((name.to_owned(), id(arguments.get(name)?)?.into()))).collect()
}

fn id(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    (text.chars().count() <= ID_CHARACTERS && !text.chars().any(char::is_control)).then_some(text)
}

fn deed(template: &str, arguments: &Map<String, Value>) -> String {
    let mut deed = template.to_owned();
    for name in placeholders(template) {
        let value = arguments.get(name).and_then(id).unwrap_or("(none)");
        deed = deed.replace(&format!("{{{name}}}"), value);
    }
    deed
}
