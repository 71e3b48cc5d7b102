//! A call that its client cancels: its request ends, its place is free, and its line says what became of it.

use std::time::{Duration, Instant};

use ironclad_mcp::dispatch::Grace;
use serde_json::{Value, json};

use crate::{
    support::{Setting, nda, text},
    ways::{Lane, WAYS, Way},
};

/// Far more than the 100 ms that it may take on a machine of its own.
const SOON: Duration = Duration::from_secs(5);

async fn lane(way: Way, faults: &str) -> Lane {
    let mut setting = Setting { timeout: Duration::from_secs(120), ..Setting::default() };
    setting.simulator.faults = Some(faults.to_owned());
    Lane::open(way, setting).await
}

fn record() -> Value {
    json!({"type": "mutualNda", "name": "Cancelled", "properties": {}})
}

/// Cancels a call once its request is under way; gives how long the simulator's client needed to go.
async fn cancelled(lane: &Lane, tool: &str, arguments: &Value) -> Duration {
    let call = lane.begin(tool, arguments).await;
    lane.until_under_way(1).await;
    let began = Instant::now();
    call.cancel(Some("no longer wanted".into())).await.unwrap();
    lane.until_under_way(0).await;
    began.elapsed()
}

/// The tools, outcomes and codes of the lines, once there are so many.
async fn lines(lane: &Lane, count: usize) -> Vec<[String; 3]> {
    lane.until("lines", async || lane.audit().len() >= count).await;
    let member = |line: &Value, name: &str| line[name].as_str().unwrap_or("-").to_owned();
    lane.audit().iter().map(|line| ["tool", "outcome", "code"].map(|name| member(line, name))).collect()
}

#[tokio::test]
async fn a_cancelled_read_ends_its_request_wherever_its_answer_stands() {
    for way in WAYS {
        for faults in ["slow:ms=60000", "hang", "stall"] {
            let lane = lane(way, faults).await;
            let took = cancelled(&lane, "list_users", &json!({})).await;
            eprintln!("{way:?} {faults}: gone after {took:?}");
            assert!(took < SOON, "{way:?} {faults}: {took:?}");
            let requests = lane.requests().await;
            assert_eq!((requests.len(), &requests[0]["gone"]), (1, &json!(true)), "{way:?} {faults}");
            assert_eq!(lines(&lane, 1).await, [["list_users", "cancelled", "cancelled"]], "{way:?} {faults}");
            lane.control("faults", "").await;
            assert_ne!(lane.call("list_users", &json!({})).await.is_error, Some(true), "{way:?} {faults}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_write_that_was_sent_is_recorded_as_unknown() {
    for way in WAYS {
        for (faults, applied) in [("hang:method=POST", true), ("slow:ms=60000,method=POST", false)] {
            let lane = lane(way, faults).await;
            assert!(cancelled(&lane, "create_record", &record()).await < SOON, "{way:?} {faults}");
            let sent = lane.requests().await.into_iter().find(|request| request["method"] == "POST").unwrap();
            assert_eq!((&sent["gone"], &sent["applied"]), (&json!(true), &json!(applied)), "{way:?} {faults}");
            assert_eq!(
                lines(&lane, 2).await,
                [["create_record", "intent", "-"], ["create_record", "unknown", "cancelled"]],
                "{way:?} {faults}"
            );
        }
    }
}

#[tokio::test]
async fn a_write_that_is_cancelled_before_it_is_sent_is_known_not_to_have_been() {
    for way in WAYS {
        let lane = lane(way, "slow:ms=60000,method=GET").await;
        assert!(cancelled(&lane, "launch_workflow", &nda()).await < SOON, "{way:?}");
        assert_eq!(lines(&lane, 1).await, [["launch_workflow", "cancelled", "cancelled"]], "{way:?}");
        assert!(lane.requests().await.iter().all(|request| request["method"] == "GET"), "{way:?}");
    }
}

#[tokio::test]
async fn a_launch_that_is_cancelled_while_its_job_is_watched_is_unknown_and_names_the_job() {
    for way in WAYS {
        let lane = lane(way, "").await;
        lane.control("async-launch", r#"{"milliseconds": 600000}"#).await;
        let mut launch = nda();
        launch["attributes"]["draft"] = json!([{"url": "https://files.example/nda.docx"}]);
        let call = lane.begin("launch_workflow", &launch).await;
        let watched = async || lane.requests().await.iter().any(|request| text(&request["path"]).contains("/async/"));
        lane.until("a look at the job", watched).await;
        call.cancel(None).await.unwrap();
        let lines = lines(&lane, 2).await;
        assert_eq!(lines[1], ["launch_workflow", "unknown", "cancelled"], "{way:?}");
        assert!(lane.audit()[1]["object"]["async_job_id"].is_string(), "{way:?}");
        // Nobody looks any more.
        lane.until_under_way(0).await;
        let looks = lane.requests().await.len();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(lane.requests().await.len(), looks, "{way:?}");
    }
}

/// All who wait for a token wait for the same one; it is not lost with the one who asked for it first.
#[tokio::test]
async fn a_token_that_others_wait_for_is_fetched_though_the_first_to_ask_is_cancelled() {
    let lane = lane(WAYS[0], "slow:ms=1500,path=/oauth/token").await;
    let first = lane.begin("list_users", &json!({})).await;
    lane.until_under_way(1).await;
    let second = lane.begin("list_webhooks", &json!({})).await;
    first.cancel(None).await.unwrap();
    assert_eq!(lines(&lane, 1).await, [["list_users", "cancelled", "cancelled"]]);
    second.await_response().await.unwrap();
    assert_eq!(lines(&lane, 2).await[1], ["list_webhooks", "ok", "-"]);
    assert_eq!(lane.sign_ins().await, 1);
}

/// The form that a launch looks up may be wanted by others as well.
#[tokio::test]
async fn a_form_that_others_wait_for_is_fetched_though_the_first_to_ask_is_cancelled() {
    let lane = lane(WAYS[0], "slow:ms=1500,path=/workflow-schemas").await;
    let first = lane.begin("launch_workflow", &nda()).await;
    lane.until_under_way(1).await;
    let second = lane.begin("launch_workflow", &nda()).await;
    first.cancel(None).await.unwrap();
    second.await_response().await.unwrap();
    let lines = lines(&lane, 3).await;
    assert_eq!(lines[0], ["launch_workflow", "cancelled", "cancelled"]);
    assert_eq!(lines[2], ["launch_workflow", "ok", "-"]);
    assert_eq!(lane.requests().await.iter().filter(|request| request["applied"] == true).count(), 1);
}

/// The server's end is no cancellation, but it ends the same way: what was sent is unknown, and the caller hears it.
#[tokio::test]
async fn a_write_that_outlasts_the_servers_end_is_told_to_be_unknown() {
    for way in WAYS {
        let grace = Grace { reads: Duration::ZERO, writes: Duration::from_millis(200), goes_on: false };
        let mut setting = Setting { grace, ..Setting::default() };
        setting.simulator.faults = Some("hang:method=POST".into());
        let lane = Lane::open(way, setting).await;
        let call = lane.begin("create_record", &record()).await;
        lane.until_under_way(1).await;
        lane.stop.ask();
        let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
        let error = &answer["structuredContent"]["error"];
        assert_eq!((&error["code"], &error["outcome"]), (&json!("outcome_unknown"), &json!("unknown")), "{answer}");
        assert_eq!(lines(&lane, 2).await[1], ["create_record", "unknown", "cancelled"], "{way:?}");
    }
}
