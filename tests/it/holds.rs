//! Writes that got no sound answer are held back until somebody has looked; queued ones count as not sent.

use std::time::Duration;

use ironclad_mcp::ironclad::limiter::{self, Bucket, Scope};
use rmcp::{
    RoleClient,
    model::{CallToolRequest, ClientRequest},
    service::{PeerRequestOptions, RequestHandle},
};
use serde_json::{Value, json};

use crate::support::{Setting, Stage, call_of, nda, text};

/// How many launches reached the simulator, and how many of them it carried out.
async fn launches(stage: &Stage) -> (usize, usize) {
    let requests = stage.requests().await;
    let launches: Vec<&Value> = requests.iter().filter(|request| request["method"] == "POST").collect();
    (launches.len(), launches.iter().filter(|request| request["applied"] == true).count())
}

fn with(arguments: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut arguments = arguments.clone();
    arguments[name] = value.into();
    arguments
}

/// The exact read call that a hint names.
fn look(hint: &str) -> (String, Value) {
    let (call, _) = hint.strip_prefix("call ").unwrap().split_once(" to see whether it took effect").unwrap();
    let (tool, arguments) = call.split_once(' ').unwrap();
    (tool.to_owned(), serde_json::from_str(arguments).unwrap())
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_held_and_the_hint_finds_what_it_did() {
    let stage = Stage::open().await;
    stage.launched().await;
    stage.forget_requests().await;
    stage.set_faults("reset-after:method=POST,count=1").await;
    let lost = stage.fails("launch_workflow", nda()).await;
    assert_eq!((&lost["code"], &lost["outcome"]), (&json!("outcome_unknown"), &json!("unknown")));

    let held = stage.fails("launch_workflow", nda()).await;
    assert_eq!((&held["code"], &held["outcome"]), (&json!("outcome_unknown"), &json!("not_sent")));
    assert!((590..=600).contains(&held["retry_after_s"].as_u64().unwrap()), "{held}");
    assert_eq!(launches(&stage).await, (1, 1), "it went out once");

    // Both hints name the same call, and it shows the workflow that was launched.
    let (tool, arguments) = look(text(&held["hint"]));
    assert_eq!((tool.as_str(), &arguments), ("list_workflows", &look(text(&lost["hint"])).1));
    let since = with(&arguments, "updated_since", "2026-09-01T00:00:00Z");
    let found = stage.ok(&tool, with(&since, "limit", 100)).await;
    let names = found["items"].as_array().unwrap().iter().map(|item| text(&item["attributes"]["counterpartyName"]));
    assert_eq!(names.filter(|name| *name == "Acme LLC").count(), 2, "one before, and the lost one");

    // A try-out, another launch, and the same one with the caller's word pass.
    stage.ok("launch_workflow", with(&nda(), "dry_run", true)).await;
    let mut other = nda();
    other["attributes"]["counterpartyName"] = "Beta LLC".into();
    stage.ok("launch_workflow", other).await;
    stage.ok("launch_workflow", with(&nda(), "force_after_unknown", true)).await;
    assert_eq!(launches(&stage).await, (3, 3));
    let requests = stage.requests().await;
    assert!(requests.iter().all(|request| !request["body"].to_string().contains("force_after_unknown")));

    let lines = stage.audit();
    let held = lines.iter().find(|line| line["code"] == "outcome_unknown" && line["outcome"] == "error").unwrap();
    assert_eq!(held["attempts"], 0, "{held}");
}

#[tokio::test]
async fn the_same_launch_by_another_tool_is_held_as_well() {
    let mut setting = Setting { launch_tools: ironclad_mcp::launch_tools::Choice::Auto, ..Setting::default() };
    setting.simulator.faults = Some("reset-after:method=POST,path=/workflows,count=1".into());
    let stage = Stage::with(setting).await;
    let whole = with(&nda(), "use_default_values", true);
    let lost = stage.fails("launch_workflow", whole.clone()).await;
    assert_eq!(lost["outcome"], "unknown");
    let typed = json!({"attributes": whole["attributes"]});
    let held = stage.fails("launch_mutual_nda", typed).await;
    assert_eq!((&held["code"], &held["outcome"]), (&json!("outcome_unknown"), &json!("not_sent")));
    assert!(text(&held["hint"]).contains(r#"list_workflows {"template_id":"5f0375c4cdc1927c5c4ed001""#), "{held}");
}

/// Sends a launch, and waits until its line of intent is there: from then on it is out, or in the queue.
async fn begin(stage: &Stage, intents: usize) -> RequestHandle<RoleClient> {
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(call_of("launch_workflow", &nda())));
    let call = stage.client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
    let is_intent = |line: &&Value| line["outcome"] == "intent";
    stage.audit_with(|_| stage.audit().iter().filter(is_intent).count() == intents).await;
    call
}

#[tokio::test]
async fn a_write_that_was_cancelled_on_its_way_is_held_as_well() {
    let stage = Stage::open().await;
    stage.launched().await;
    stage.set_faults("slow:method=POST,ms=600000,count=1").await;
    begin(&stage, 2).await.cancel(None).await.unwrap();
    let line = stage.audit_with(|line| line["code"] == "cancelled").await.pop().unwrap();
    assert_eq!((&line["outcome"], &line["attempts"]), (&json!("unknown"), &json!(1)), "{line}");
    let held = stage.fails("launch_workflow", nda()).await;
    assert_eq!((&held["code"], &held["outcome"]), (&json!("outcome_unknown"), &json!("not_sent")));
}

#[tokio::test]
async fn a_write_that_was_cancelled_in_the_queue_was_never_sent_and_is_not_held() {
    // One write a minute, and it is used up.
    let limits = [(Scope::Bucket(Bucket::WorkflowsWrite), 1)].into();
    let rate_budget = Some(limiter::Settings { limits, ..limiter::Settings::default() });
    let stage =
        Stage::with(Setting { rate_budget, rate_limit_wait: Duration::from_secs(600), ..Setting::default() }).await;
    stage.launched().await;
    stage.forget_requests().await;
    begin(&stage, 2).await.cancel(None).await.unwrap();
    let line = stage.audit_with(|line| line["code"] == "cancelled").await.pop().unwrap();
    assert_eq!((&line["outcome"], &line["attempts"]), (&json!("cancelled"), &json!(0)), "{line}");
    // The same call is not held: it comes as far as its own line of intent.
    begin(&stage, 3).await.cancel(None).await.unwrap();
    stage.audit_with(|_| stage.audit().iter().filter(|line| line["code"] == "cancelled").count() == 2).await;
    assert_eq!(launches(&stage).await, (0, 0));
}
