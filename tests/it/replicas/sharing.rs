//! What replicas share through Redis: single use, answers, approvals, lost writes, launch forms; and when it is gone.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use ironclad_mcp::{
    approvals::{self, Decided, Decision},
    ironclad::limiter,
    policy::{Confirm, Settings},
    replicas::{Address, Redis as Shared},
};
use rmcp::model::{CallToolResponse, ElicitationAction};
use serde_json::{Value, json};

use super::{call, redis::Redis};
use crate::support::{Client, Setting, Stage, call_of, nda, text, waiting};

/// A replica of the Redis.
fn of(redis: &Redis) -> Setting {
    Setting { redis: Some(redis.url()), modern: true, ..Setting::default() }
}

/// Until Redis is asked again after a failure.
async fn healed(client: &Client, arguments: &Value) -> Value {
    let trying = async {
        loop {
            match call(client, "pause_workflow", arguments).await {
                Ok(done) => return done,
                Err(error) => assert_eq!(error["code"], "audit_unavailable", "{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), trying).await.expect("it does not heal")
}

fn pause(workflow: &Value, more: &Value) -> Value {
    let mut arguments = json!({"workflow_id": workflow, "comment": "c"});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

#[tokio::test]
async fn of_replicas_given_the_same_plan_at_once_exactly_one_sends() {
    let Some(redis) = Redis::start().await else { return };
    let stage = Stage::with(of(&redis)).await;
    let other = stage.another(of(&redis)).await;
    for round in 0..20 {
        let name = format!("Acme {round}");
        let mut launch = nda();
        launch["attributes"]["counterpartyName"] = name.into();
        launch["dry_run"] = true.into();
        let shown = stage.ok("launch_workflow", launch).await;
        let plan = json!({"plan": shown["plan"]});
        let both = [&stage.client, &other].map(|client| call(client, "launch_workflow", &plan));
        let ended = join_all(both).await;
        assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 1, "{ended:?}");
        assert_eq!(stage.writes().await.len(), round + 1);
        for client in [&stage.client, &other] {
            let again = call(client, "launch_workflow", &plan).await.unwrap_err();
            assert!(text(&again["errors"][0]["message"]).contains("was used already"), "{again}");
        }
    }
}

/// A replica that finds no place in the budget gives the plan back to all.
#[tokio::test]
async fn a_plan_that_one_replica_could_not_send_is_carried_out_by_another_once() {
    let Some(redis) = Redis::start().await else { return };
    // A Redis that was just started gives no place out.
    let budget = Some(limiter::Settings::default());
    let full = Setting { rate_budget: budget, rate_limit_wait: Duration::from_millis(300), ..of(&redis) };
    let stage = Stage::with(full).await;
    let other = stage.another(of(&redis)).await;
    let mut launch = nda();
    launch["dry_run"] = true.into();
    let plan = json!({"plan": stage.ok("launch_workflow", launch).await["plan"]});
    let mut ended = Vec::new();
    for client in [&stage.client, &other, &stage.client] {
        ended.push(call(client, "launch_workflow", &plan).await.map_err(|error| error["code"].clone()));
    }
    assert_eq!(ended[0], Err(json!("rate_limited")));
    assert!(ended[1].is_ok(), "{ended:?}");
    assert_eq!(ended[2], Err(json!("invalid_arguments")), "it was used");
    assert_eq!(stage.writes().await.len(), 1);
}

#[tokio::test]
async fn of_one_answer_brought_to_two_replicas_one_counts() {
    let Some(redis) = Redis::start().await else { return };
    let asking = || Setting { person: Some(ElicitationAction::Accept), ..of(&redis) };
    let stage = Stage::with(asking()).await;
    let other = stage.another(asking()).await;
    let workflow = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    let mut cancel = call_of("cancel_workflow", &pause(&workflow, &json!({})));
    let CallToolResponse::InputRequired(question) = stage.client.call_tool_once(cancel.clone()).await.unwrap() else {
        panic!("nobody was asked")
    };
    cancel.request_state = question.request_state;
    let answer = json!({"confirm": {"action": "accept", "content": {}}});
    cancel.input_responses = Some(serde_json::from_value(answer).unwrap());
    let (here, there) =
        futures_util::join!(stage.client.call_tool_once(cancel.clone()), other.call_tool_once(cancel.clone()));
    let sent = [here, there].into_iter().filter(|ended| {
        let Ok(CallToolResponse::Complete(result)) = ended else { panic!("{ended:?}") };
        result.is_error != Some(true)
    });
    assert_eq!((sent.count(), stage.writes().await.len()), (1, 1));
}

#[tokio::test]
async fn a_call_filed_by_one_replica_is_decided_at_another_and_sent_by_a_third() {
    let Some(redis) = Redis::start().await else { return };
    let policy = || Settings { enable_writes: true, confirm: Confirm::Always, ..Settings::default() };
    let stage = Stage::with(Setting { policy: policy(), ..of(&redis) }).await;
    let third = stage.another(Setting { policy: policy(), ..of(&redis) }).await;
    let workflow = stage.launched().await["id"].clone();
    let (id, plan) = waiting(&stage.fails("cancel_workflow", pause(&workflow, &json!({}))).await);
    let credentials = stage.simulator.credentials();
    let address = Address::read(&redis.url()).unwrap();
    let second = Shared::new(&address, (&stage.simulator.base_url(), &credentials.client_id)).unwrap();
    let filed = approvals::Shared::all(&second).await.unwrap();
    assert_eq!(filed.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    let said = |approved| Decision { approved, by: "ada".into(), at: approvals::now(), reason: None };
    let both = join_all([true, false].map(|approved| approvals::decide(&second, &id, said(approved)))).await;
    let counted: Vec<bool> = both.into_iter().map(|said| matches!(said.unwrap(), Decided::Now(_))).collect();
    assert_eq!(counted.iter().filter(|counts| **counts).count(), 1);
    let approved = counted[0];
    let ended = call(&third, "cancel_workflow", &json!({"plan": plan})).await;
    assert_eq!(ended.is_ok(), approved, "{ended:?}");
    let elsewhere = Shared::new(&address, (&stage.simulator.base_url(), "another client")).unwrap();
    assert!(approvals::Shared::all(&elsewhere).await.unwrap().is_empty(), "another account sees nothing of it");
}

/// One that is on its way at a replica, or was when the replica died, is not sent by another.
#[tokio::test]
async fn a_write_under_way_at_one_replica_is_held_at_the_others_until_its_end_is_known() {
    let Some(redis) = Redis::start().await else { return };
    let stage = Stage::with(of(&redis)).await;
    let other = stage.another(of(&redis)).await;
    call(&other, "list_workflows", &json!({"limit": 1})).await.unwrap();
    stage.set_faults("slow:method=POST,ms=600000,count=1").await;
    let arguments = nda();
    let mut lost = Box::pin(call(&stage.client, "launch_workflow", &arguments));
    let sent = async {
        while stage.audit().iter().all(|line| line["outcome"] != "intent") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! { ended = &mut lost => panic!("{ended:?}"), () = sent => {} }
    let held = call(&other, "launch_workflow", &nda()).await.unwrap_err();
    assert_eq!((&held["code"], &held["outcome"]), (&json!("outcome_unknown"), &json!("not_sent")), "{held}");
    assert!(held["retry_after_s"].as_u64().is_some_and(|seconds| (590..=600).contains(&seconds)), "{held}");
    let mut forced = nda();
    forced["force_after_unknown"] = true.into();
    call(&other, "launch_workflow", &forced).await.unwrap();
    // One whose end is known holds nobody up.
    let mut fresh = nda();
    fresh["attributes"]["counterpartyName"] = "Fresh LLC".into();
    call(&other, "launch_workflow", &fresh).await.unwrap();
    call(&stage.client, "launch_workflow", &fresh).await.unwrap();
}

#[tokio::test]
async fn a_form_that_one_replica_fetched_serves_the_others() {
    let Some(redis) = Redis::start().await else { return };
    let stage = Stage::with(of(&redis)).await;
    let other = stage.another(of(&redis)).await;
    let fetched = || async {
        let asked = stage.requests().await;
        asked.iter().filter(|request| text(&request["path"]).contains("/workflow-schemas/")).count()
    };
    let mut wrong = nda();
    wrong["attributes"]["paperSource"] = 7.into();
    for client in [&stage.client, &other] {
        let error = call(client, "launch_workflow", &wrong).await.unwrap_err();
        assert_eq!(error["errors"][0]["path"], "attributes.paperSource", "{error}");
    }
    assert_eq!(fetched().await, 1);
}

#[tokio::test]
async fn without_redis_reads_go_on_and_writes_are_refused_and_all_heals_by_itself() {
    let Some(mut redis) = Redis::start().await else { return };
    let stage = Stage::with(of(&redis)).await;
    let client = &stage.client;
    let workflow = stage.launched().await["id"].clone();
    let try_out = pause(&workflow, &json!({"dry_run": true}));
    let before = stage.ok("pause_workflow", try_out.clone()).await["plan"].clone();
    stage.forget_requests().await;
    redis.kill();
    let plain = pause(&workflow, &json!({}));
    for arguments in [&json!({"plan": before}), &plain] {
        let refused = call(client, "pause_workflow", arguments).await.unwrap_err();
        assert_eq!((&refused["code"], &refused["outcome"]), (&json!("audit_unavailable"), &json!("not_sent")));
        assert!(text(&refused["message"]).contains("Redis cannot be reached"), "{refused}");
        assert!(text(&refused["hint"]).contains("reads go on"), "{refused}");
    }
    stage.ok("list_workflows", json!({"limit": 2})).await;
    stage.ok("pause_workflow", try_out.clone()).await;
    assert!(stage.writes().await.is_empty());
    redis.again().await;
    healed(client, &plain).await;
    call(client, "resume_workflow", &plain).await.unwrap();
    // It has forgotten which plans were used before.
    let forgotten = call(client, "pause_workflow", &json!({"plan": before})).await.unwrap_err();
    assert!(text(&forgotten["errors"][0]["message"]).contains("Redis was started anew"), "{forgotten}");
    let after = stage.ok("pause_workflow", try_out).await["plan"].clone();
    call(client, "pause_workflow", &json!({"plan": after})).await.unwrap();
    assert_eq!(stage.writes().await.len(), 3);
}

/// A server that takes connections and says nothing is the worst kind of gone.
#[tokio::test]
async fn a_redis_that_hangs_holds_no_call_up_for_long() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let silent = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&silent);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            kept.lock().await.push(connection);
        }
    });
    let stage = Stage::with(Setting { redis: Some(url), ..Setting::default() }).await;
    let calls = (0..20).map(|number| {
        let mut launch = nda();
        launch["attributes"]["counterpartyName"] = format!("Acme {number}").into();
        stage.call("launch_workflow", launch)
    });
    // One after another they would take half a minute.
    let ended = tokio::time::timeout(Duration::from_secs(15), join_all(calls)).await.expect("calls hang on Redis");
    assert!(ended.iter().all(|result| result.is_error == Some(true)));
    assert!(!silent.lock().await.is_empty());
    stage.ok("list_workflows", json!({"limit": 2})).await;
}
