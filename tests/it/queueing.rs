//! What a client hears of the budget: progress while its call queues, and how the rate limit stands beside every result.

use std::{sync::Mutex, time::Duration};

use ironclad_mcp::ironclad::limiter::{self, Bucket, Scope};
use rmcp::{
    ClientHandler, RoleClient, ServiceExt,
    model::{CallToolResult, MetaObject, ProgressNotificationParam},
    service::{NotificationContext, RunningService},
};
use serde_json::{Value, json};

use crate::support::{Backstage, Setting, Stage, call_of, nda};

/// A client that keeps what it is told while it waits.
#[derive(Default)]
struct Ears(Mutex<Vec<ProgressNotificationParam>>);

impl ClientHandler for Ears {
    async fn on_progress(&self, told: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.0.lock().unwrap().push(told);
    }
}

fn one_write_a_minute(rate_limit_wait: Duration) -> Setting {
    let limits = [(Scope::Bucket(Bucket::WorkflowsWrite), 1)].into();
    let rate_budget = Some(limiter::Settings { limits, ..limiter::Settings::default() });
    Setting { rate_budget, rate_limit_wait, ..Setting::default() }
}

#[tokio::test]
async fn a_call_that_queues_tells_its_place_and_is_refused_after_its_wait() {
    let Backstage { wire, simulator, .. } = Backstage::with(&one_write_a_minute(Duration::from_millis(1_500))).await;
    let client: RunningService<RoleClient, Ears> = Ears::default().serve(wire).await.unwrap();
    let launch = || client.call_tool(call_of("launch_workflow", &nda()));
    assert_ne!(launch().await.unwrap().is_error, Some(true));
    let refused = launch().await.unwrap();
    let error = &refused.structured_content.unwrap()["error"];
    assert_eq!((&error["code"], &error["outcome"]), (&json!("rate_limited"), &json!("not_sent")));
    assert!((1..=60).contains(&error["retry_after_s"].as_u64().unwrap()), "{error}");
    let told = client.service().0.lock().unwrap().clone();
    assert!(told.len() >= 2, "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0].progress < pair[1].progress), "{told:?}");
    let message = told[0].message.as_deref().unwrap();
    assert!(
        message.starts_with("waiting for Ironclad's rate limit workflows-write: next in the queue, about "),
        "{message}"
    );
    drop(simulator);
}

/// What a person approved, or a dry run showed, is not lost to a queue.
#[tokio::test]
async fn a_plan_that_waited_in_vain_can_be_carried_out_later_and_once() {
    let stage = Stage::with(one_write_a_minute(Duration::from_millis(300))).await;
    let mut launch = nda();
    launch["dry_run"] = true.into();
    let by_plan = json!({"plan": stage.ok("launch_workflow", launch).await["plan"]});
    stage.launched().await;
    for _ in 0..2 {
        let error = stage.fails("launch_workflow", by_plan.clone()).await;
        assert_eq!((&error["code"], &error["outcome"]), (&json!("rate_limited"), &json!("not_sent")), "{error}");
    }
    let other = stage.another(Setting::default()).await;
    let carried_out = other.call_tool(call_of("launch_workflow", &by_plan)).await.unwrap();
    assert_ne!(carried_out.is_error, Some(true), "{carried_out:?}");
    let again = stage.fails("launch_workflow", by_plan).await;
    assert!(again["errors"][0]["message"].as_str().unwrap().contains("was used already"), "{again}");
}

/// A client that says how long it waits gets its answer before that.
#[tokio::test]
async fn a_deadline_of_the_clients_is_kept() {
    let stage = Stage::with(one_write_a_minute(Duration::from_secs(600))).await;
    stage.launched().await;
    let timed = |tool: &str, arguments: Value| {
        let mut call = call_of(tool, &arguments);
        let meta = call.meta.get_or_insert_default();
        meta.insert("ironclad/timeout_s".into(), json!(0.5));
        call
    };
    let error = |result: CallToolResult| result.structured_content.unwrap()["error"].clone();
    let queued = error(stage.client.call_tool(timed("launch_workflow", nda())).await.unwrap());
    assert_eq!((&queued["code"], &queued["outcome"]), (&json!("rate_limited"), &json!("not_sent")));
    stage.set_faults("slow:ms=600000").await;
    let slow = error(stage.client.call_tool(timed("list_users", json!({}))).await.unwrap());
    assert_eq!(slow["code"], "upstream_unavailable");
    let sent = error(stage.client.call_tool(timed("create_webhook", webhook())).await.unwrap());
    assert_eq!((&sent["code"], &sent["outcome"]), (&json!("outcome_unknown"), &json!("unknown")));
}

fn webhook() -> Value {
    json!({"events": ["workflow_launched"], "target_url": "https://hooks.example.com/a"})
}

fn rate(meta: Option<MetaObject>) -> Value {
    let meta = Value::from(meta.unwrap_or_default().0);
    let names = ["RateLimit-Policy", "RateLimit", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];
    json!(names.map(|name| meta[name].clone()))
}

#[tokio::test]
async fn every_result_says_how_the_rate_limit_stands() {
    let rate_budget = Some(limiter::Settings { share: "0.5".parse().unwrap(), ..limiter::Settings::default() });
    let mut setting = Setting { rate_budget, ..Setting::default() };
    setting.simulator.rate_limits = true;
    let stage = Stage::with(setting).await;
    let launched = stage.call("launch_workflow", nda()).await;
    let told = rate(launched.meta);
    assert_eq!(told[0], r#""workflows-write";q=20;w=60"#);
    assert_eq!((&told[2], &told[3]), (&json!(20), &json!(19)));
    let reset = told[4].as_u64().unwrap();
    assert!((1..=60).contains(&reset), "{told}");
    assert_eq!(told[1], format!(r#""workflows-write";r=19;t={reset}"#));
    // A failure, and what was never sent.
    let refused = stage.call("cancel_workflow", json!({"workflow_id": "a".repeat(24), "comment": "x"})).await;
    assert_eq!((refused.is_error, &rate(refused.meta)[3]), (Some(true), &json!(18)));
    let wrong = stage.call("launch_workflow", json!({})).await;
    assert_eq!((wrong.is_error, &rate(wrong.meta)[3]), (Some(true), &json!(18)));
    let users = stage.call("list_users", json!({})).await;
    assert_eq!(rate(users.meta)[0], r#""scim-users-read";q=300;w=60"#);
    // Another program of the company uses nearly all that is left of the forty.
    let (url, token) = (stage.simulator.base_url(), stage.simulator.credentials().access_token);
    for _ in 0..30 {
        let nothing = stage.http.post(format!("{url}/public/api/v1/workflows/none/pause")).bearer_auth(&token);
        assert!(nothing.send().await.unwrap().status().is_client_error());
    }
    stage.call("pause_workflow", json!({"workflow_id": "a".repeat(24), "comment": "x"})).await;
    let told = rate(stage.call("launch_workflow", json!({})).await.meta);
    assert_eq!((&told[2], &told[3]), (&json!(20), &json!(7)));
}
