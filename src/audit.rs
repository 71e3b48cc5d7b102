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
        // Empty, or a first line that a process did not finish.
        return if from == 0 && LINE_START.starts_with(tail.get(..LINE_START.len()).unwrap_or(&tail)) {
            Ok((0, None))
        } else {
            Err(no_log())
        };
    };
    let (lines, _) = tail.split_at(end);
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let hash = serde_json::from_slice::<Value>(last).ok().and_then(|line| Some(line.get("hash")?.as_str()?.to_owned()));
    Ok((from + end as u64 + 1, Some(hash.ok_or_else(no_log)?)))
}

/// How every line begins.
const LINE_START: &[u8] = br#"{"time":"#;

/// Appending would cut off what somebody keeps in the file.
fn no_log() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file holds something else than an audit log")
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::{error::Outcome, manifest};

    fn entry(effect: &str) -> Entry {
        let (prefix, method) = if effect == "read" { ("", "GET") } else { ("WRITE: ", "PATCH") };
        let manifest = json!({"group": "things", "tools": [{
            "name": "set_part", "title": "T", "description": format!("{prefix}does it."), "effect": effect,
            "scope": "s", "bucket": "other",
            "deed": "set part {part_id} of thing {thing_id} from {template_id} to {status}",
            "request": {"api": "public", "method": method, "path": "/things/{thing_id}/parts/{part_id}"},
            "parameters": {
                "thing_id": {"in": "path", "required": true, "schema": {"type": "string"}},
                "part_id": {"in": "path", "required": true, "schema": {"type": "string"}},
                "template_id": {"in": "body", "schema": {"type": "string"}},
                "status": {"in": "body", "schema": {"type": "string"}},
                "comment": {"in": "body", "schema": {"type": "string"}}},
            "answer": {"kind": "empty"}}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    /// A folder with a log in it.
    struct Place {
        folder: TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("state/audit.jsonl")
        }

        fn log(&self) -> Arc<AuditLog> {
            Arc::new(AuditLog::new(Target::File(self.path())))
        }

        fn record(&self, effect: &str) -> Record {
            open(&self.log(), effect)
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.path()).unwrap()
        }

        /// Every line of a log whose chain is whole.
        fn lines(&self) -> Vec<Value> {
            follow(&self.text()).unwrap()
        }

        /// The only line.
        fn line(&self) -> Value {
            let mut lines = self.lines();
            assert_eq!(lines.len(), 1);
            lines.remove(0)
        }
    }

    /// The lines of a log, or `None` where the chain that binds each to the one before is broken.
    fn follow(text: &str) -> Option<Vec<Value>> {
        let mut prev = GENESIS.to_owned();
        let mut lines = Vec::new();
        for line in text.split_inclusive('\n') {
            let parsed: Value = serde_json::from_str(line).ok()?;
            let (hashed, hash) = line.rsplit_once(",\"hash\":\"")?;
            let whole = hash == format!("{}\"}}\n", hex(&Sha256::digest(hashed.as_bytes())));
            if !whole || parsed["prev"] != prev {
                return None;
            }
            parsed["hash"].as_str()?.clone_into(&mut prev);
            lines.push(parsed);
        }
        Some(lines)
    }

    fn arguments() -> Map<String, Value> {
        let arguments = json!({"thing_id": "t1", "part_id": "p1", "template_id": "tpl", "status": "approved",
            "comment": "secret terms"});
        arguments.as_object().unwrap().clone()
    }

    fn who() -> Who {
        Who { agent: "claude".into(), as_user: Some("ana@example.com".into()) }
    }

    fn open(log: &Arc<AuditLog>, effect: &str) -> Record {
        let mut record = Record::open(Arc::clone(log), &entry(effect), &arguments(), who());
        record.decide(Decision::Allowed, "access.things=full");
        record
    }

    fn fail(record: Record, code: Code) {
        record.failed(&CallError::new(code, "m", "h"));
    }

    fn sent(attempts: u32) -> Sent {
        Sent { status: Some(200), request_id: Some("r1".into()), attempts }
    }

    #[test]
    fn a_call_is_one_line_that_says_who_did_what_where() {
        let place = Place::new();
        let mut record = place.record("write");
        record.sent(sent(2));
        record.succeeded();
        let line = place.line();
        let expected = [
            ("agent", json!("claude")),
            ("as_user", json!("ana@example.com")),
            ("tool", json!("set_part")),
            ("object", json!({"thing_id": "t1", "part_id": "p1", "template_id": "tpl"})),
            ("decision", json!("allowed")),
            ("rule", json!("access.things=full")),
            ("outcome", json!("ok")),
            ("code", Value::Null),
            ("status", json!(200)),
            ("request_id", json!("r1")),
            ("attempts", json!(2)),
            ("sentence", json!("claude set part p1 of thing t1 from tpl to approved as ana@example.com")),
        ];
        for (name, value) in expected {
            assert_eq!(line[name], value, "{name}");
        }
        assert!(line["duration_ms"].is_u64());
        let time = line["time"].as_str().unwrap();
        let rfc3339 = time::format_description::well_known::Rfc3339;
        assert!(OffsetDateTime::parse(time, &rfc3339).is_ok() && time.ends_with('Z') && time.len() == 24, "{time}");
    }

    #[test]
    fn the_members_of_a_line_are_the_contracts_in_its_order() {
        let place = Place::new();
        place.record("read").succeeded();
        let line = place.line();
        let names: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = "time agent as_user tool object decision rule outcome code status request_id attempts \
             duration_ms sentence prev hash";
        assert_eq!(names.join(" "), wanted);
    }

    #[test]
    fn what_was_decided_and_how_it_ended_each_have_their_words() {
        type Ending = fn(Record);
        let table: [(&str, Ending, [&str; 3], &str); 6] = [
            (
                "denied",
                |mut record| {
                    record.decide(Decision::Denied, "access.things=read");
                    fail(record, Code::AccessDenied);
                },
                ["denied", "error", "access_denied"],
                "was refused set_part (access.things=read)",
            ),
            (
                "declined",
                |mut record| {
                    record.decline();
                    fail(record, Code::ConfirmationDeclined);
                },
                ["declined", "error", "confirmation_declined"],
                "nobody said yes",
            ),
            (
                "dry run",
                |mut record| {
                    record.decide(Decision::DryRun, "access.things=full");
                    record.succeeded();
                },
                ["dry_run", "ok", ""],
                "tried set_part out as ana@example.com; nothing was sent",
            ),
            (
                "not found",
                |record| fail(record, Code::NotFound),
                ["allowed", "error", "not_found"],
                "failed: not_found",
            ),
            (
                "unknown",
                |record| fail(record, Code::OutcomeUnknown),
                ["allowed", "unknown", "outcome_unknown"],
                "not known",
            ),
            ("dropped", drop, ["allowed", "cancelled", "cancelled"], "cancelled its call of set_part"),
        ];
        for (name, end, expected, sentence) in table {
            let place = Place::new();
            end(place.record("write"));
            let line = place.line();
            let found = ["decision", "outcome", "code"].map(|member| line[member].as_str().unwrap_or_default());
            assert_eq!(found, expected, "{name}");
            assert!(line["sentence"].as_str().unwrap().contains(sentence), "{name}: {}", line["sentence"]);
        }
    }

    #[test]
    fn a_dropped_write_that_was_sent_is_of_unknown_outcome() {
        for (effect, attempts, outcome) in
            [("write", 1, "unknown"), ("write", 0, "cancelled"), ("read", 1, "cancelled")]
        {
            let place = Place::new();
            let mut record = place.record(effect);
            record.sent(Sent { attempts, ..Sent::default() });
            drop(record);
            assert_eq!(place.line()["outcome"], outcome, "{effect} {attempts}");
        }
    }

    #[test]
    fn the_intent_of_a_write_stands_before_its_outcome() {
        let place = Place::new();
        let record = place.record("write");
        record.intend().unwrap();
        assert_eq!(place.line()["outcome"], "intent", "it is on disk before the call goes on");
        record.succeeded();
        let outcomes: Vec<Value> = place.lines().iter().map(|line| line["outcome"].clone()).collect();
        assert_eq!(outcomes, ["intent", "ok"]);
    }

    #[test]
    fn a_question_writes_no_line() {
        let place = Place::new();
        place.record("write").postponed();
        assert!(!place.path().exists());
    }

    #[test]
    fn a_failure_brings_its_status_and_request_id_where_nothing_better_is_known() {
        let place = Place::new();
        let mut error = CallError::new(Code::NotFound, "m", "h").with_outcome(Outcome::Refused);
        error.status = Some(404);
        error.request_id = Some("r2".into());
        place.record("read").failed(&error);
        assert_eq!((&place.line()["status"], &place.line()["request_id"]), (&json!(404), &json!("r2")));
    }

    #[test]
    fn an_object_holds_ids_and_nothing_else() {
        let place = Place::new();
        let log = place.log();
        let bad = [json!("a\nb"), json!("x".repeat(201)), json!(5), json!({"a": 1}), Value::Null];
        for id in &bad {
            let mut arguments = arguments();
            arguments.insert("thing_id".into(), id.clone());
            Record::open(Arc::clone(&log), &entry("read"), &arguments, who()).succeeded();
        }
        let text = place.text();
        assert!(!text.contains("secret terms") && !text.contains(&"x".repeat(201)));
        for line in place.lines() {
            assert_eq!(line["object"], json!({"part_id": "p1", "template_id": "tpl"}));
            assert!(line["sentence"].as_str().unwrap().contains("of thing (none) from"));
        }
    }

    #[test]
    fn an_id_that_only_the_answer_held_is_added() {
        let place = Place::new();
        let mut record = place.record("write");
        record.found("id", "w1");
        record.succeeded();
        assert_eq!(place.line()["object"]["id"], "w1");
    }

    #[test]
    fn two_logs_on_one_file_share_one_chain() {
        let place = Place::new();
        let (one, two) = (place.log(), place.log());
        for _ in 0..3 {
            open(&one, "read").succeeded();
            open(&two, "read").succeeded();
            open(&two, "read").succeeded();
        }
        assert_eq!(place.lines().len(), 9);
    }

    #[test]
    fn lines_written_at_once_share_one_chain() {
        let place = Place::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let log = place.log();
                scope.spawn(move || (0..10).for_each(|_| open(&log, "read").succeeded()));
            }
        });
        assert_eq!(place.lines().len(), 40);
    }

    #[test]
    fn an_append_waits_for_whoever_holds_the_file() {
        let place = Place::new();
        place.record("read").succeeded();
        let held = File::open(place.path()).unwrap();
        held.lock().unwrap();
        let record = place.record("write");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                record.succeeded();
                tell.send(())
            });
            assert!(told.recv_timeout(std::time::Duration::from_millis(50)).is_err());
            held.unlock().unwrap();
            told.recv().unwrap();
        });
        assert_eq!(place.lines().len(), 2);
    }

    #[test]
    fn a_file_that_holds_something_else_is_left_as_it_is() {
        for kept in ["export PATH=/bin", "line one\nline two\n", "{\"a\": 1}\n", "[settings]\nhalf"] {
            let place = Place::new();
            std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
            std::fs::write(place.path(), kept).unwrap();
            assert!(place.record("write").intend().is_err(), "{kept}");
            place.record("read").succeeded();
            assert_eq!(std::fs::read_to_string(place.path()).unwrap(), kept);
        }
    }

    #[test]
    fn a_first_line_that_was_not_finished_is_dropped() {
        let place = Place::new();
        std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
        std::fs::write(place.path(), "{\"time\":\"2026-11-2").unwrap();
        place.record("read").succeeded();
        assert_eq!(place.lines().len(), 1);
    }

    #[test]
    fn a_half_written_last_line_is_dropped_and_the_chain_goes_on() {
        for reopened in [true, false] {
            let place = Place::new();
            let log = place.log();
            open(&log, "read").succeeded();
            let mut file = OpenOptions::new().append(true).open(place.path()).unwrap();
            file.write_all(b"{\"time\":\"2026-01-").unwrap();
            open(&if reopened { place.log() } else { log }, "read").succeeded();
            assert_eq!(place.lines().len(), 2, "reopened: {reopened}");
        }
        let place = Place::new();
        std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
        std::fs::write(place.path(), "{\"time\":").unwrap();
        place.record("read").succeeded();
        assert_eq!(place.lines().len(), 1, "nothing but half a line");
    }

    #[test]
    fn a_line_that_was_changed_or_taken_out_shows() {
        let place = Place::new();
        let log = place.log();
        (0..3).for_each(|_| open(&log, "read").succeeded());
        let text = place.text();
        let without_second: String =
            text.split_inclusive('\n').enumerate().filter(|(n, _)| *n != 1).map(|(_, l)| l).collect();
        assert!(follow(&text).is_some());
        assert_eq!(follow(&text.replacen("claude", "codex1", 1)), None);
        assert_eq!(follow(&without_second), None);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_an_error_before_a_write_and_a_warning_after() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for path in [folder.path().to_owned(), folder.path().join("file/audit.jsonl")] {
            let record = open(&Arc::new(AuditLog::new(Target::File(path.clone()))), "write");
            assert!(record.intend().is_err(), "{}", path.display());
            record.succeeded();
        }
    }

    #[test]
    fn a_log_recovers_once_its_place_can_be_written() {
        let place = Place::new();
        std::fs::write(place.folder.path().join("state"), "in the way").unwrap();
        let log = place.log();
        let record = open(&log, "write");
        assert!(record.intend().is_err());
        std::fs::remove_file(place.folder.path().join("state")).unwrap();
        record.intend().unwrap();
        record.succeeded();
        assert_eq!(place.lines().len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_the_log() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::new();
        place.record("read").succeeded();
        assert_eq!(std::fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
