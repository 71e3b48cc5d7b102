//! No sound answer: `upstream_unavailable` for a read, `outcome_unknown` for a write, which is sent once.

use std::time::Duration;

use serde_json::{Value, json};

use super::gist;
use crate::support::{Setting, Stage, nda, text};

/// Each way in which no sound answer comes, and the status that is known then.
const FAULTS: [(&str, Option<u64>); 14] = [
    ("500", Some(500)),
    ("502", Some(502)),
    ("503", Some(503)),
    ("503:retry-after=1", Some(503)),
    ("504", Some(504)),
    ("html", Some(502)),
    ("html:status=200", Some(200)),
    ("malformed", Some(200)),
    ("cut", None),
    ("reset-before", None),
    ("reset-after", None),
    ("slow:ms=5000", None),
    ("hang", None),
    ("stall", None),
];

/// Those that only a time-out ends.
const SLOW: [&str; 3] = ["slow", "hang", "stall"];

/// `faults` are in force from the beginning, `later` is what the test will set.
async fn stage(faults: &str, max_retries: u32, later: &str) -> Stage {
    let slow = [faults, later].iter().any(|fault| SLOW.iter().any(|slow| fault.starts_with(slow)));
    let timeout = Duration::from_millis(if slow { 300 } else { 10_000 });
    let mut setting = Setting { timeout, max_retries, ..Setting::default() };
    setting.simulator.faults = Some(faults.to_owned());
    let stage = Stage::with(setting).await;
    // The company is made with the first request, which takes long enough to time out on a busy machine.
    stage.simulator.advance("nothing");
    stage
}

#[tokio::test]
async fn a_read_without_a_sound_answer_says_that_nothing_was_changed() {
    for (fault, status) in FAULTS {
        let stage = stage(fault, 0, "").await;
        for tool in ["list_records", "get_record_schema", "list_users"] {
            let error = stage.fails(tool, json!({})).await;
            assert_eq!(gist(&error), ("upstream_unavailable", status, None), "{tool} under {fault}: {error}");
            assert!(text(&error["hint"]).contains("nothing was changed"), "{error}");
        }
        stage.set_faults("").await;
        stage.ok("list_records", json!({"limit": 1})).await;
    }
}

#[tokio::test]
async fn a_write_without_a_sound_answer_is_sent_once_and_says_how_to_look() {
    for (fault, status) in FAULTS {
        // The launch form is read while all is well, so that the write itself meets the fault.
        let stage = stage("", 4, fault).await;
        stage.launched().await;
        stage.set_faults(fault).await;
        for (tool, arguments, look) in [
            ("launch_workflow", nda(), "list_workflows"),
            ("create_record", json!({"type": "mutualNda", "name": "x", "properties": {}}), "list_records"),
        ] {
            stage.forget_requests().await;
            let error = stage.fails(tool, arguments).await;
            assert_eq!(gist(&error), ("outcome_unknown", status, Some("unknown")), "{tool} under {fault}: {error}");
            assert!(text(&error["hint"]).contains(look), "{error}");
            if SLOW.iter().any(|slow| fault.starts_with(slow)) {
                // The simulator logs a request whose client has gone when it notices.
                while stage.requests().await.is_empty() {}
            }
            let sent = stage.requests().await.len();
            assert_eq!(sent, 1, "{tool} was sent {sent} times under {fault}");
            let line = stage.audit().pop().unwrap();
            assert_eq!((&line["outcome"], &line["attempts"]), (&json!("unknown"), &json!(1)), "{tool} under {fault}");
        }
    }
}

#[tokio::test]
async fn a_read_is_repeated_until_the_answer_is_sound() {
    for fault in ["503:count=1", "malformed:count=1", "reset-after:count=1", "html:count=1", "cut:count=1"] {
        let stage = stage(fault, 1, "").await;
        stage.ok("list_users", json!({})).await;
        assert_eq!(stage.requests().await.len(), 2, "{fault}");
        let line = stage.audit().pop().unwrap();
        assert_eq!((&line["outcome"], &line["attempts"]), (&json!("ok"), &json!(2)), "{fault}");
    }
}

#[tokio::test]
async fn a_read_is_given_up_after_its_retries() {
    let stage = stage("503", 1, "").await;
    assert_eq!(stage.fails("list_users", json!({})).await["code"], "upstream_unavailable");
    assert_eq!(stage.requests().await.len(), 2);
}

#[tokio::test]
async fn an_answer_of_another_media_type_is_sound_if_its_body_is() {
    let stage = stage("wrong-type", 0, "").await;
    stage.ok("list_users", json!({})).await;
    stage.launched().await;
}

#[tokio::test]
async fn a_lost_answer_says_nothing_about_what_was_done() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    stage.set_faults("cut:method=POST").await;
    let error = stage.fails("pause_workflow", json!({"workflow_id": id, "comment": "x"})).await;
    assert_eq!(gist(&error), ("outcome_unknown", None, Some("unknown")));
    let read = stage.ok("get_workflow", json!({"workflow_id": id, "fields": ["status"]})).await;
    assert_eq!(read["status"], "paused");
}

/// Nobody is there, so even a write was surely not sent.
#[tokio::test]
async fn a_host_that_cannot_be_reached_got_nothing() {
    for static_token in [false, true] {
        let Stage { client, simulator, .. } = Stage::with(Setting { static_token, ..Setting::default() }).await;
        simulator.stop().await;
        for (tool, arguments) in [("list_users", json!({})), ("launch_workflow", nda())] {
            let call = crate::support::call_of(tool, &arguments);
            let error: Value = client.call_tool(call).await.unwrap().structured_content.unwrap()["error"].clone();
            assert_eq!(gist(&error), ("upstream_unavailable", None, Some("not_sent")), "{tool}: {error}");
        }
    }
}

/// The look-up before a write is a read: when it fails, the write was not sent.
#[tokio::test]
async fn a_look_up_that_fails_leaves_the_write_unsent() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    for fault in ["503:method=GET", "malformed:method=GET", "reset-after:method=GET"] {
        stage.set_faults(fault).await;
        let updates = json!([{"action": "set", "path": "additionalNotes", "value": "12"}]);
        let error = stage.fails("update_workflow_attributes", json!({"workflow_id": id, "updates": updates})).await;
        assert_eq!(
            (&error["code"], &error["outcome"]),
            (&json!("upstream_unavailable"), &json!("not_sent")),
            "{fault}: {error}"
        );
    }
    assert!(stage.requests().await.iter().all(|request| request["method"] == "GET"));
}
