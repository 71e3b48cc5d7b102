//! The end of an HTTP server: while its last calls end it still answers, and says that it is stopping.
#![cfg(unix)]

use std::time::{Duration, Instant};

use ironclad_mcp::simulator::{self, Simulator};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    http::{Served, message},
    program::{Home, kill, requests_under_way},
};

async fn served(faults: &str) -> (Simulator, Served) {
    let settings = simulator::Settings { faults: Some(faults.to_owned()), ..simulator::Settings::default() };
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let home = Home::new().at(&simulator).with("IRONCLAD_ENABLE_WRITES", "true");
    let served = Served::at(home.with("IRONCLAD_LAUNCH_TOOLS", "off")).await;
    (simulator, served)
}

fn outcomes(served: &Served) -> Vec<[String; 2]> {
    let log = std::fs::read_to_string(served.home.audit_log()).unwrap();
    let text = |line: &Value, member: &str| line[member].as_str().unwrap_or("-").to_owned();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| [text(&line, "tool"), text(&line, "outcome")]).collect()
}

async fn ends(served: &mut Served) -> Option<i32> {
    let ended = tokio::time::timeout(Duration::from_secs(3), served.child.wait()).await;
    ended.expect("it did not end in time").unwrap().code()
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_says_so_and_lets_its_last_calls_end() {
    let (simulator, mut served) = served("slow:ms=60000,path=/scim;slow:ms=7000,method=POST").await;
    let read = tokio::spawn(served.modern_call("list_users", &json!({}), &[]).send());
    let record = json!({"type": "mutualNda", "name": "Last", "properties": {}});
    let write = tokio::spawn(served.modern_call("create_record", &record, &[]).send());
    requests_under_way(&simulator, 2).await;
    assert_eq!(served.page("/readyz").await.status(), StatusCode::OK);
    let began = Instant::now();
    kill(&served.child, "TERM").await;
    while served.page("/readyz").await.status() != StatusCode::SERVICE_UNAVAILABLE {}
    assert_eq!(served.page("/readyz").await.text().await.unwrap(), "the server is stopping\n");
    assert_eq!(served.page("/healthz").await.status(), StatusCode::OK);
    let late = message(served.modern_call("list_webhooks", &json!({}), &[]).send().await.unwrap()).await;
    let error = &late["result"]["structuredContent"]["error"];
    assert_eq!((&error["code"], &error["outcome"]), (&json!("upstream_unavailable"), &json!("not_sent")), "{late}");
    let cut = message(read.await.unwrap().unwrap()).await;
    assert_eq!(cut["result"]["structuredContent"]["error"]["code"], "upstream_unavailable", "{cut}");
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    let answered = message(write.await.unwrap().unwrap()).await;
    assert_eq!(answered["result"]["isError"], false, "{answered}");
    assert_eq!(ends(&mut served).await, Some(0));
    let lines =
        [["create_record", "intent"], ["list_webhooks", "error"], ["list_users", "cancelled"], ["create_record", "ok"]];
    assert_eq!(outcomes(&served), lines);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_what_was_sent_is_recorded_as_unknown() {
    let (simulator, mut served) = served("slow:ms=60000").await;
    let record = json!({"type": "mutualNda", "name": "Last", "properties": {}});
    let write = tokio::spawn(served.modern_call("create_record", &record, &[]).send());
    requests_under_way(&simulator, 1).await;
    kill(&served.child, "TERM").await;
    while served.page("/readyz").await.status() != StatusCode::SERVICE_UNAVAILABLE {}
    kill(&served.child, "TERM").await;
    let told = message(write.await.unwrap().unwrap()).await;
    assert_eq!(told["result"]["structuredContent"]["error"]["code"], "outcome_unknown", "{told}");
    assert_eq!(ends(&mut served).await, Some(0));
    assert_eq!(outcomes(&served), [["create_record", "intent"], ["create_record", "unknown"]]);
}
