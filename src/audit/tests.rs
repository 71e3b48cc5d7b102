use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::*;
use crate::{
    error::{CallError, Code, Outcome},
    manifest::{self, Entry},
};

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
        let link = chain::link(line.as_bytes()).ok()?;
        if link.prev != prev {
            return None;
        }
        prev = link.hash;
        lines.push(serde_json::from_str(line).ok()?);
    }
    Some(lines)
}

fn arguments() -> Map<String, Value> {
    let arguments = json!({"thing_id": "t1", "part_id": "p1", "template_id": "tpl", "status": "approved",
        "comment": "secret terms"});
    arguments.as_object().unwrap().clone()
}

/// Of [`arguments`]: `sha256sum` of them as compact JSON with sorted members.
const DIGEST: &str = "sha256:fffa1a520db3dc315a89bd3fb2133cb8463c5facdb34c982614cadd7c1bb950e";

fn who() -> Who {
    Who { agent: "claude".into(), caller: None, as_user: Some("ana@example.com".into()) }
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
        ("object", json!({"thing_id": "t1", "part_id": "p1", "template_id": "tpl", "arguments": DIGEST})),
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
    let table: [(&str, Ending, [&str; 3], &str); 7] = [
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
        ("not found", |record| fail(record, Code::NotFound), ["allowed", "error", "not_found"], "failed: not_found"),
        (
            "unknown",
            |record| record.failed(&CallError::new(Code::OutcomeUnknown, "m", "h").with_outcome(Outcome::Unknown)),
            ["allowed", "unknown", "outcome_unknown"],
            "not known",
        ),
        (
            "held back",
            |record| record.failed(&CallError::new(Code::OutcomeUnknown, "m", "h").with_outcome(Outcome::NotSent)),
            ["allowed", "error", "outcome_unknown"],
            "failed: outcome_unknown",
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
    for (effect, attempts, outcome) in [("write", 1, "unknown"), ("write", 0, "cancelled"), ("read", 1, "cancelled")] {
        let place = Place::new();
        let record = place.record(effect);
        // Counted by whoever sends, while the record is out of reach.
        record.times_sent().store(attempts, Ordering::Release);
        drop(record);
        let line = place.line();
        assert_eq!((&line["outcome"], &line["attempts"]), (&outcome.into(), &attempts.into()), "{effect} {attempts}");
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
        let object = line["object"].as_object().unwrap();
        assert_eq!((&object["part_id"], &object["template_id"]), (&json!("p1"), &json!("tpl")));
        let digest = object["arguments"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        assert!(object.len() == 3 && digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
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
    let held = File::open(head::path_of(&place.path())).unwrap();
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

#[test]
fn arguments_that_the_ids_tell_whole_have_no_digest() {
    let place = Place::new();
    let mut arguments = Map::new();
    let mut object = |name: &str, value: Value| {
        arguments.insert(name.to_owned(), value);
        Record::open(place.log(), &entry("write"), &arguments, who()).succeeded();
        place.lines().pop().unwrap()["object"].clone()
    };
    object("thing_id", json!("t1"));
    assert_eq!(object("dry_run", json!(true)), json!({"thing_id": "t1"}));
    let tried = object("comment", json!("x"));
    assert!(tried["arguments"].is_string());
    assert_eq!(object("plan", json!("sealed")), tried, "how it is called is no part of what is done");
    assert_ne!(object("comment", json!("y")), tried);
}

#[test]
fn names_stand_for_ids_and_whoever_said_yes_is_told() {
    let place = Place::new();
    let mut record = place.record("write");
    record.named("template_id", " Mutual\nNDA {status} ");
    record.named("thing_id", "");
    record.named("unicorn_id", "nobody");
    record.concerns(&format!("Acme {}", "x".repeat(200)));
    record.approved_by("Maria");
    record.found("ironclad_id", "IC-42");
    record.intend().unwrap();
    record.succeeded();
    let sentences: Vec<String> = place.lines().iter().map(|line| line["sentence"].as_str().unwrap().into()).collect();
    assert_eq!(sentences[0], "claude is about to send set_part as ana@example.com, approved by Maria");
    let acme = format!("Acme {}", "x".repeat(75));
    let told = format!(
        "claude set part p1 of thing t1 from Mutual NDA {{status}} to approved for {acme} (IC-42) as ana@example.com, \
         approved by Maria"
    );
    assert_eq!(sentences[1], told);
}
