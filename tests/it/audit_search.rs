//! `search_audit_log`: the audit log as a tool, for those to whom the operator opens it.

use ironclad_mcp::policy::Settings;
use serde_json::{Value, json};

use crate::support::{Setting, Stage, nda, text};

fn opened() -> Setting {
    let toolsets = vec!["default".to_owned(), "audit".to_owned()];
    Setting { policy: Settings { enable_writes: true, toolsets, ..Settings::default() }, ..Setting::default() }
}

async fn search(stage: &Stage, arguments: Value) -> (Vec<Value>, Value) {
    let found = stage.ok("search_audit_log", arguments).await;
    (found["items"].as_array().unwrap().clone(), found["next_cursor"].clone())
}

#[tokio::test]
async fn it_is_published_only_when_the_operator_names_its_group() {
    let names = async |stage: &Stage| {
        let tools = stage.client.list_all_tools().await.unwrap();
        tools.into_iter().map(|tool| tool.name.into_owned()).collect::<Vec<_>>()
    };
    let closed = Stage::open().await;
    assert!(!names(&closed).await.contains(&"search_audit_log".to_owned()));
    assert_eq!(closed.fails("search_audit_log", json!({})).await["code"], "access_denied");
    let stage = Stage::with(opened()).await;
    let tools = stage.client.list_all_tools().await.unwrap();
    let tool = tools.iter().find(|tool| tool.name == "search_audit_log").unwrap();
    assert_eq!(tool.annotations.as_ref().unwrap().read_only_hint, Some(true));
}

#[tokio::test]
async fn it_answers_what_the_log_holds_by_every_filter() {
    let stage = Stage::with(opened()).await;
    let launched = stage.launched().await;
    let id = launched["id"].clone();
    stage.ok("get_workflow", json!({"workflow_id": id})).await;
    stage.fails("get_workflow", json!({"workflow_id": "IC-999999"})).await;
    stage.ok("pause_workflow", json!({"workflow_id": id, "comment": "x", "dry_run": true})).await;
    let (all, _) = search(&stage, json!({})).await;
    assert_eq!(all.len(), 5);
    let first = &all[0];
    assert_eq!((&first["tool"], &first["outcome"]), (&json!("launch_workflow"), &json!("intent")));
    assert!(first.get("hash").is_none() && first.get("code").is_none(), "{first}");
    for (arguments, count) in [
        (json!({"tool": "get_workflow"}), 2),
        (json!({"object": id}), 3),
        (json!({"object": id, "decision": "dry_run"}), 1),
        (json!({"decision": "denied"}), 0),
        (json!({"agent": "nobody"}), 0),
        (json!({"since": "1h", "agent": "tests", "tool": "launch_workflow"}), 2),
        (json!({"until": "2020-01-01"}), 0),
    ] {
        assert_eq!(search(&stage, arguments.clone()).await.0.len(), count, "{arguments}");
    }
    let (chained, _) = search(&stage, json!({"fields": ["hash", "prev"], "limit": 1})).await;
    assert_eq!(text(&chained[0]["hash"]).len(), 64);
    let error = stage.fails("search_audit_log", json!({"since": "yesterday"})).await;
    assert_eq!((&error["code"], &error["errors"][0]["path"]), (&json!("invalid_arguments"), &json!("since")));
    assert_eq!(stage.fails("search_audit_log", json!({"decision": "perhaps"})).await["code"], "invalid_arguments");
    let requests = stage.requests().await;
    assert!(requests.iter().all(|request| !text(&request["path"]).contains("audit")), "Ironclad is not asked");
}

#[tokio::test]
async fn its_pages_follow_each_other_and_a_cursor_is_good_for_its_own_list_alone() {
    let stage = Stage::with(opened()).await;
    for _ in 0..4 {
        stage.ok("launch_workflow", nda()).await;
    }
    let only = |cursor: Option<&Value>| {
        let mut arguments = json!({"tool": "launch_workflow", "limit": 3});
        if let Some(cursor) = cursor {
            arguments["cursor"] = cursor.clone();
        }
        arguments
    };
    let (mut seen, mut next) = search(&stage, only(None)).await;
    let first = next.clone();
    while next.is_string() {
        let (more, behind) = search(&stage, only(Some(&next))).await;
        seen.extend(more);
        next = behind;
    }
    let wanted: Vec<Value> = stage.audit().into_iter().filter(|line| line["tool"] == "launch_workflow").collect();
    let sentences = |lines: &[Value]| lines.iter().map(|line| line["sentence"].clone()).collect::<Vec<_>>();
    assert_eq!(sentences(&seen), sentences(&wanted));
    let mut altered = text(&first).to_owned();
    let last = altered.pop().unwrap();
    altered.push(if last == 'A' { 'B' } else { 'A' });
    for wrong in [json!(altered), json!("nonsense")] {
        let error = stage.fails("search_audit_log", only(Some(&wrong))).await;
        assert_eq!(error["code"], "invalid_arguments", "{wrong}");
    }
    let other = json!({"tool": "get_workflow", "cursor": first});
    assert_eq!(stage.fails("search_audit_log", other).await["code"], "invalid_arguments");
}

#[tokio::test]
async fn its_answer_keeps_to_the_largest_result() {
    let stage = Stage::with(Setting { max_result_bytes: 4000, ..opened() }).await;
    for _ in 0..6 {
        stage.ok("list_webhooks", json!({})).await;
    }
    let result = stage.call("search_audit_log", json!({"tool": "list_webhooks"})).await;
    let bytes = serde_json::to_string(&result).unwrap().len();
    assert!(bytes <= 4000, "{bytes}");
    let found = result.structured_content.unwrap();
    assert!(found["has_more"] == true && found["next_cursor"].is_string(), "{found}");
}
