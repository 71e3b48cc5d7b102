//! What Ironclad answers no to: `not_found`, `conflict`, `rejected`, `rate_limited`.

use ironclad_mcp::ironclad::limiter;
use serde_json::{Value, json};

use super::gist;
use crate::{
    samples::samples,
    support::{NDA, Setting, Stage, nda, text},
};

/// The samples name objects that do not exist.
#[tokio::test]
async fn an_unknown_id_is_not_found_by_whatever_status() {
    let stage = Stage::open().await;
    let mut tried = 0;
    for (tool, mut arguments) in samples() {
        let Some(id) = arguments.keys().find(|name| name.ends_with("_id")).cloned() else { continue };
        let apart = ["launch_workflow", "list_workflows", "launch_workflow_async", "get_launch_status"];
        if apart.contains(&tool.as_str()) {
            continue;
        }
        let unknown =
            if id == "record_id" { "ee254b45-6789-4891-8c99-f06caaae8d7b" } else { "aaaaaaaaaaaaaaaaaaaaaaaa" };
        arguments.insert(id.clone(), unknown.into());
        let error = stage.fails(&tool, arguments.into()).await;
        // An update reads the workflow first, and is not sent when there is none.
        let outcome = if tool == "update_workflow_attributes" { "not_sent" } else { "refused" };
        assert_eq!((&error["code"], &error["outcome"]), (&json!("not_found"), &json!(outcome)), "{tool}: {error}");
        assert!(text(&error["hint"]).contains(&id), "{tool}: {error}");
        assert_eq!(text(&error["request_id"]).len(), 36, "{tool}");
        tried += 1;
    }
    assert_eq!(tried, 17);
}

#[tokio::test]
async fn a_template_that_is_gone_is_not_found_though_the_status_is_400() {
    let stage = Stage::open().await;
    let error = stage.fails("get_workflow_schema", json!({"template_id": "aaaaaaaaaaaaaaaaaaaaaaaa"})).await;
    assert_eq!(gist(&error), ("not_found", Some(400), Some("refused")));
}

#[tokio::test]
async fn a_state_that_does_not_allow_it_is_a_conflict() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    let of = json!({"workflow_id": id});
    let why = json!({"workflow_id": id, "comment": "x"});
    for (tool, arguments) in
        [("resume_workflow", &why), ("revert_workflow_to_review", &of), ("send_signature_request", &of)]
    {
        let error = stage.fails(tool, arguments.clone()).await;
        assert_eq!(gist(&error), ("conflict", Some(400), Some("refused")), "{tool}");
        assert!(text(&error["message"]).contains("INVALID_STATE"), "{error}");
        assert!(text(&error["hint"]).contains("get_workflow"), "{error}");
    }
}

#[tokio::test]
async fn what_is_rejected_comes_with_ironclads_own_words() {
    let stage = Stage::open().await;
    let record = json!({"type": "treaty", "name": "x", "properties": {}});
    let error = stage.fails("create_record", record).await;
    assert_eq!(gist(&error), ("rejected", Some(400), Some("refused")));
    assert!(text(&error["message"]).contains("INVALID_PARAM"), "{error}");
    assert_eq!(error["param"], "type");
    let webhook = json!({"events": ["*"], "target_url": "http://hooks.example"});
    assert_eq!(gist(&stage.fails("create_webhook", webhook).await), ("rejected", Some(400), Some("refused")));
}

#[tokio::test]
async fn a_rate_limit_that_outlasts_the_wait_says_how_long_it_lasts() {
    let stage = Stage::with(Setting { max_retries: 4, ..Setting::default() }).await;
    stage.launched().await;
    stage.set_faults("429:retry-after=120").await;
    for (tool, arguments) in [("list_users", json!({})), ("launch_workflow", nda())] {
        stage.forget_requests().await;
        let error = stage.fails(tool, arguments).await;
        assert_eq!(gist(&error), ("rate_limited", Some(429), Some("refused")), "{tool}");
        assert_eq!(error["retry_after_s"], 120);
        assert_eq!(stage.requests().await.len(), 1, "{tool}: a wait past the limit is not begun");
    }
    let unsaid = Stage::with_faults("429:retry-after=none").await;
    assert!(unsaid.fails("list_users", json!({})).await["retry_after_s"].as_u64().unwrap() > 0);
}

/// Ironclad did nothing, so even a write may be sent again.
#[tokio::test]
async fn a_rate_limit_that_passes_delays_a_write_and_no_more() {
    let stage = Stage::with(Setting { max_retries: 4, ..Setting::default() }).await;
    stage.launched().await;
    stage.set_faults("429:retry-after=0,count=2").await;
    stage.forget_requests().await;
    stage.launched().await;
    let applied: Vec<Value> = stage.requests().await.iter().map(|request| request["applied"].clone()).collect();
    assert_eq!(applied, [json!(false), json!(false), json!(true)]);
    assert_eq!(stage.audit().last().unwrap()["attempts"], 3);
}

/// Forty writes of workflows a minute are the whole company's (ironclad-api.md §5).
#[tokio::test]
async fn a_write_past_the_budget_is_not_sent_and_reads_go_on() {
    let mut setting = Setting { rate_budget: Some(limiter::Settings::default()), ..Setting::default() };
    setting.simulator.rate_limits = true;
    let stage = Stage::with(setting).await;
    futures_util::future::join_all((0..40).map(|_| stage.launched())).await;
    let error = stage.fails("launch_workflow", nda()).await;
    assert_eq!(gist(&error), ("rate_limited", None, Some("not_sent")));
    assert!((1..=60).contains(&error["retry_after_s"].as_u64().unwrap()), "{error}");
    stage.ok("list_workflows", json!({"limit": 1, "fields": ["id"]})).await;
    let requests = stage.requests().await;
    assert!(requests.iter().all(|request| request["status"] == 200), "{requests:?}");
    assert_eq!(requests.iter().filter(|request| request["method"] == "POST").count(), 40);
}

#[tokio::test]
async fn a_static_token_names_the_acting_user_in_bodies() {
    let stage = Stage::with(Setting { static_token: true, ..Setting::default() }).await;
    let launched = stage.launched().await;
    assert_eq!(launched["creator"]["email"], "maya.ortiz@simulator.example");
    let approvals = stage.ok("list_workflow_approvals", json!({"workflow_id": launched["id"]})).await;
    let role = &approvals["approvalGroups"][0]["reviewers"][0]["role"];
    let approved = json!({"workflow_id": launched["id"], "role_id": role, "status": "approved"});
    stage.ok("update_workflow_approval", approved).await;
    stage.ok("revert_workflow_to_review", json!({"workflow_id": launched["id"]})).await;
    let requests = stage.requests().await;
    let writes = requests.iter().filter(|request| request["method"] != "GET");
    let bodies: Vec<Value> = writes.map(|request| request["body"].clone()).collect();
    let maya = json!({"type": "email", "email": "maya.ortiz@simulator.example"});
    assert_eq!(bodies[0]["creator"], maya);
    assert_eq!((&bodies[1]["user"], &bodies[2]["user"]), (&maya, &maya));
    assert_eq!(bodies[0]["template"], NDA);
}
