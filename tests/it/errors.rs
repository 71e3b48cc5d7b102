//! Each error code that a call can end with: what it says, what became of the request, and what is recorded.

mod access;
mod confirmation;
mod lost;
mod refused;
mod signing_in;
mod swollen;

use serde_json::{Value, json};

use crate::support::{NDA, Setting, Stage, text};

/// An error's code, status and outcome, for comparing at once.
fn gist(error: &Value) -> (&str, Option<u64>, Option<&str>) {
    (text(&error["code"]), error["status"].as_u64(), error["outcome"].as_str())
}

#[tokio::test]
async fn invalid_arguments_name_every_fault_at_once_and_nothing_is_sent() {
    let stage = Stage::open().await;
    let arguments = json!({"updates": [{"action": "sett", "path": 5}, {"path": "a"}], "coment": "x", "dry_run": "yes"});
    let error = stage.fails("update_workflow_attributes", arguments).await;
    assert_eq!(gist(&error), ("invalid_arguments", None, Some("not_sent")));
    let mut paths: Vec<&str> = error["errors"].as_array().unwrap().iter().map(|fault| text(&fault["path"])).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["coment", "dry_run", "updates[0].action", "updates[0].path", "updates[1].action", "workflow_id"]
    );
    for fault in error["errors"].as_array().unwrap() {
        assert!(!text(&fault["message"]).is_empty() && !text(&fault["expected"]).is_empty(), "{fault}");
        assert!(text(&error["hint"]).contains(text(&fault["path"])), "{error}");
    }
    assert_eq!(stage.all_requests().await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_unknown_tool_is_a_protocol_error() {
    let stage = Stage::open().await;
    let call = crate::support::call_of("delete_everything", &json!({}));
    let error = stage.client.call_tool(call).await.unwrap_err().to_string();
    assert!(error.contains("-32602") && error.contains("delete_everything"), "{error}");
    assert_eq!(stage.audit(), Vec::<Value>::new());
    stage.ok("list_webhooks", json!({})).await;
}

#[tokio::test]
async fn a_read_past_the_size_limit_says_how_to_narrow_it() {
    let stage = Stage::with(Setting { max_result_bytes: 2000, ..Setting::default() }).await;
    for (tool, arguments, narrow) in [
        ("get_record_schema", json!({}), json!({"fields": ["recordTypes.mutualNda"]})),
        ("get_workflow_schema", json!({"template_id": NDA}), json!({"template_id": NDA, "fields": ["name"]})),
        ("list_workflows", json!({}), json!({"fields": ["title"]})),
    ] {
        let error = stage.fails(tool, arguments).await;
        assert_eq!(gist(&error), ("response_too_large", Some(200), None), "{tool}");
        assert!(text(&error["hint"]).contains("fields"), "{error}");
        stage.ok(tool, narrow).await;
    }
}

#[tokio::test]
async fn a_write_that_succeeded_is_cut_rather_than_failed() {
    let stage = Stage::with(Setting { max_result_bytes: 2000, ..Setting::default() }).await;
    let launched = stage.launched().await;
    let id = text(&launched["id"]);
    assert_eq!(launched["truncated"], true);
    assert_eq!(launched["url"], format!("{}/workflow/{id}", stage.simulator.base_url()));
    assert!(launched.get("attributes").is_none());
    let title = stage.ok("get_workflow", json!({"workflow_id": id, "fields": ["title"]})).await;
    assert_eq!(title["title"], "Mutual NDA with Acme LLC");
}

#[tokio::test]
async fn without_an_audit_log_no_write_is_sent_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let stage = Stage::with(Setting { audit: Some(file.join("audit.jsonl")), ..Setting::default() }).await;
    let error = stage.fails("launch_workflow", crate::support::nda()).await;
    assert_eq!(gist(&error), ("audit_unavailable", None, Some("not_sent")));
    assert!(text(&error["hint"]).contains("--audit-log"), "{error}");
    assert!(stage.requests().await.iter().all(|request| request["method"] == "GET"));
    stage.ok("list_users", json!({})).await;
}
