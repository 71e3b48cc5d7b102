//! The audit log as the program keeps it: put away, verified, and whole after it was killed.

use std::collections::BTreeMap;

use ironclad_mcp::simulator::{self, Simulator};
use serde_json::{Value, json};

use super::program::Home;

async fn simulator() -> Simulator {
    let settings = simulator::Settings { rate_limits: false, ..simulator::Settings::default() };
    Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap()
}

#[tokio::test]
async fn the_chain_is_verified_and_its_first_broken_line_named() {
    let home = Home::new().with("IRONCLAD_AUDIT_MAX_BYTES", "1500");
    let none = home.run(&["audit", "--verify"]).await;
    assert_eq!(none.code(), 0, "{}", none.stdout);
    let mut session = home.open(&["stdio", "--simulator"]).await;
    for _ in 0..6 {
        session.call("list_webhooks", json!({})).await;
    }
    session.hang_up();
    session.ended(std::time::Duration::from_secs(5)).await;
    let whole = home.run(&["audit", "--verify"]).await;
    assert_eq!(whole.code(), 0, "{}", whole.stdout);
    assert!(whole.stdout.contains("6 lines in 3 files"), "{}", whole.stdout);
    let read = home.run(&["audit", "--format", "json"]).await;
    let lines: Vec<Value> = read.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6, "files that were put away are read as well");
    let hash = lines[3]["hash"].as_str().unwrap();
    let noted = home.run(&["audit", "--verify", "--holds", hash]).await;
    assert_eq!(noted.code(), 0, "{}", noted.stdout);
    let text = std::fs::read_to_string(home.audit_log()).unwrap();
    std::fs::write(home.audit_log(), text.replacen("allowed", "denied", 1)).unwrap();
    let broken = home.run(&["audit", "--verify"]).await;
    assert_eq!(broken.code(), 1);
    assert!(broken.stdout.contains("audit.jsonl line 1: it was changed"), "{}", broken.stdout);
    assert_eq!(home.run(&["audit", "--after", hash]).await.code(), 2, "only with --verify");
}

#[tokio::test]
async fn lines_can_go_to_a_collector_on_stderr() {
    let home = Home::new();
    let ended = home.run(&["call", "list_webhooks", "--simulator", "--audit-log", "-"]).await;
    let line = ended.stderr.lines().find(|line| line.starts_with("{\"time\":")).expect("no line");
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["tool"], &line["outcome"]), (&json!("list_webhooks"), &json!("ok")));
    assert_eq!(home.run(&["audit", "--audit-log", "-"]).await.code(), 2);
}

#[tokio::test]
async fn where_the_program_connected_to_is_listed_apart_from_the_calls() {
    let simulator = simulator().await;
    let home = Home::new().at(&simulator);
    assert_eq!(home.run(&["audit", "--egress"]).await.code(), 0);
    assert_eq!(home.run(&["call", "list_webhooks"]).await.code(), 0);
    let listed = home.run(&["audit", "--egress", "--format", "json"]).await;
    let lines: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{}", listed.stdout);
    assert_eq!((&lines[0]["object"]["host"], &lines[0]["decision"]), (&json!("127.0.0.1"), &json!("allowed")));
    assert_eq!(home.run(&["audit", "--egress", "--verify"]).await.code(), 0);
    assert_eq!(home.run(&["audit", "--format", "json"]).await.stdout.lines().count(), 1, "a call is no destination");
}

/// Every write that reached the simulator, by the digest-free part that both sides know: its path.
async fn writes_at(simulator: &Simulator) -> Vec<String> {
    let url = format!("{}/__simulator/requests", simulator.base_url());
    let log: Value = reqwest::Client::new().get(url).send().await.unwrap().json().await.unwrap();
    let requests = log["list"].as_array().unwrap().iter();
    let path = |request: &Value| request["path"].as_str().unwrap().to_owned();
    requests.filter(|request| request["method"] == "POST").map(path).filter(|path| path.ends_with("/pause")).collect()
}

/// Writes under way are killed with the server at an arbitrary point: after as many answers as `answers`.
#[tokio::test]
async fn a_killed_server_leaves_a_whole_chain_and_no_write_without_its_intent() {
    for answers in [0, 1, 7, 20, 33] {
        let simulator = simulator().await;
        let home = Home::new().at(&simulator).with("IRONCLAD_AUDIT_MAX_BYTES", "5000");
        let home = home.with("IRONCLAD_RATE_BUDGET", "off");
        let mut session = home.open(&["stdio", "--enable-writes"]).await;
        for number in 0..40 {
            let id = format!("IC-{}", 301 + number);
            let arguments = json!({"workflow_id": id, "comment": "x"});
            session.ask("tools/call", json!({"name": "pause_workflow", "arguments": arguments})).await;
        }
        for _ in 0..answers {
            session.receive().await;
        }
        session.child.start_kill().unwrap();
        session.child.wait().await.unwrap();
        let verified = home.run(&["audit", "--verify"]).await;
        assert_eq!(verified.code(), 0, "{}", verified.stdout);
        let read = home.run(&["audit", "--format", "json", "--limit", "1000"]).await;
        let mut intents = BTreeMap::<String, usize>::new();
        for line in read.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            if line["outcome"] == "intent" {
                *intents.entry(line["object"]["workflow_id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        for path in writes_at(&simulator).await {
            let id = path.split('/').nth_back(1).unwrap();
            assert_eq!(intents.get(id), Some(&1), "{path} was sent without its intent");
        }
        assert!(intents.len() >= answers, "{} of {answers}", intents.len());
        // The next process goes on where this one was killed.
        assert_eq!(home.run(&["call", "list_webhooks"]).await.code(), 0);
        assert_eq!(home.run(&["audit", "--verify"]).await.code(), 0);
    }
}
