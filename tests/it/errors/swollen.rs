//! Answers larger than anything sound: bodies without end, gzip bombs, headers by the thousand.
//!
//! `tests/clients/swollen.py` does the same to the real binary, and looks at its memory.

use std::time::Duration;

use serde_json::{Value, json};

use super::gist;
use crate::support::{NDA, Setting, Stage, nda, text};

/// A stage with a workflow that was launched, and then a fault.
async fn stage(fault: &str) -> (Stage, String) {
    let setting = Setting { timeout: Duration::from_secs(120), max_retries: 1, ..Setting::default() };
    let stage = Stage::with(setting).await;
    let workflow = text(&stage.launched().await["id"]).to_owned();
    stage.set_faults(fault).await;
    (stage, workflow)
}

/// How many requests of a method were sent.
async fn sent(stage: &Stage, method: &str) -> usize {
    stage.requests().await.iter().filter(|request| request["method"] == method && request["status"] != 0).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_a_swollen_answer_is_too_large_and_not_repeated() {
    // A list, an object with its schema, what is read while it arrives, and a template with its form.
    for (fault, tools) in [
        ("endless", &["list_records", "get_workflow"][..]),
        ("bomb", &["list_users", "get_workflow_schema"]),
        ("headers", &["list_records", "get_workflow", "list_users", "get_workflow_schema", "get_record_schema"]),
    ] {
        let (stage, workflow) = stage(fault).await;
        for tool in tools {
            let before = sent(&stage, "GET").await;
            let arguments = match *tool {
                "get_workflow" => json!({"workflow_id": workflow}),
                "get_workflow_schema" => json!({"template_id": NDA}),
                _ => json!({}),
            };
            let error = stage.fails(tool, arguments).await;
            assert_eq!(gist(&error).0, "response_too_large", "{tool} under {fault}: {error}");
            assert_eq!(sent(&stage, "GET").await - before, 1, "{tool} under {fault}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_a_swollen_answer_is_of_unknown_outcome_and_sent_once() {
    let record = json!({"type": "mutualNda", "name": "x", "properties": {}});
    for (fault, tool, arguments) in [
        ("endless", "launch_workflow", nda()),
        ("bomb", "create_record", record.clone()),
        ("headers", "launch_workflow", nda()),
        ("headers", "create_record", record),
    ] {
        let (stage, _) = stage(&format!("{fault}:method=POST")).await;
        let before = sent(&stage, "POST").await;
        let error = stage.fails(tool, arguments).await;
        assert_eq!((gist(&error).0, gist(&error).2), ("outcome_unknown", Some("unknown")), "{tool}, {fault}: {error}");
        assert!(text(&error["message"]).contains("too large"), "{tool} under {fault}: {error}");
        assert_eq!(sent(&stage, "POST").await - before, 1, "{tool} under {fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swollen_refusal_is_a_refusal_all_the_same() {
    for fault in ["endless:status=404", "bomb:status=404"] {
        let (stage, _) = stage(fault).await;
        let error = stage.fails("get_workflow", json!({"workflow_id": "62e5"})).await;
        assert_eq!(gist(&error), ("not_found", Some(404), Some("refused")), "{fault}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swollen_answer_to_the_sign_in_is_no_token() {
    for fault in ["endless", "bomb", "headers"] {
        let mut setting = Setting { timeout: Duration::from_secs(20), max_retries: 0, ..Setting::default() };
        setting.simulator.faults = Some(format!("{fault}:path=/oauth/token"));
        let stage = Stage::with(setting).await;
        let error = stage.fails("list_users", json!({})).await;
        assert!(["unauthorized", "upstream_unavailable"].contains(&text(&error["code"])), "{fault}: {error}");
        assert_eq!(stage.requests().await, Vec::<Value>::new(), "{fault}");
    }
}

/// What is kept packed on the way could be a bomb, and its length would not be the document's.
#[tokio::test]
async fn a_document_is_asked_for_as_it_is() {
    let (stage, workflow) = stage("").await;
    let found = stage.ok("get_workflow", json!({"workflow_id": workflow})).await;
    let key = found["attributes"].as_object().unwrap().values().find_map(|value| value[0]["key"].as_str()).unwrap();
    stage.forget_requests().await;
    stage.ok("download_workflow_document", json!({"workflow_id": workflow, "document_key": key})).await;
    let requests = stage.requests().await;
    assert_eq!((requests.len(), &requests[0]["headers"]["accept-encoding"]), (1, &json!("identity")));
}
