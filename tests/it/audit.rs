//! The audit log: one chained line a call, however the call ends, and nothing in it that is nobody's business.

use ironclad_mcp::policy::{Confirm, Settings};
use rmcp::{
    model::{CallToolRequest, ClientRequest},
    service::{PeerRequestOptions, RequestHandle, RoleClient},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Setting, Stage, call_of, nda, text};

const MEMBERS: [&str; 16] = [
    "time",
    "agent",
    "as_user",
    "tool",
    "object",
    "decision",
    "rule",
    "outcome",
    "code",
    "status",
    "request_id",
    "attempts",
    "duration_ms",
    "sentence",
    "prev",
    "hash",
];

/// Recomputes the hash of every line and follows the chain from its beginning.
fn assert_chained(log: &str) {
    let mut prev = "0".repeat(64);
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap();
        assert_eq!(text(&parsed["prev"]), prev, "{line}");
        let (hashed, rest) = line.rsplit_once(",\"hash\":\"").unwrap();
        let digest: String = Sha256::digest(hashed.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(rest, format!("{digest}\"}}"), "{line}");
        prev = digest;
    }
}

/// A line's tool, decision, outcome and code.
fn gist(line: &Value) -> [&str; 4] {
    ["tool", "decision", "outcome", "code"].map(|member| line[member].as_str().unwrap_or("-"))
}

#[tokio::test]
async fn a_read_is_one_line_and_a_write_two_the_first_its_intent() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    stage.ok("get_workflow", json!({"workflow_id": id})).await;
    let lines = stage.audit();
    let gists: Vec<[&str; 4]> = lines.iter().map(gist).collect();
    assert_eq!(
        gists,
        [
            ["launch_workflow", "allowed", "intent", "-"],
            ["launch_workflow", "allowed", "ok", "-"],
            ["get_workflow", "allowed", "ok", "-"]
        ]
    );
    for line in &lines {
        let members: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(members, MEMBERS);
        assert_eq!((&line["agent"], &line["as_user"]), (&json!("tests"), &json!("maya.ortiz@simulator.example")));
    }
    let [intent, launched, read] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&intent["status"], &intent["attempts"]), (&Value::Null, &json!(0)));
    assert_eq!((&launched["status"], &launched["attempts"]), (&json!(200), &json!(1)));
    assert_eq!((&launched["object"]["id"], &read["object"]), (&id, &json!({"workflow_id": id})));
    assert_eq!(launched["rule"], "access.workflows=full");
    assert_eq!(text(&read["request_id"]).len(), 36);
    let sentence = format!("tests read workflow {} as maya.ortiz@simulator.example", text(&id));
    assert_eq!(read["sentence"], sentence);
    assert_chained(&stage.audit_text());
}

#[tokio::test]
async fn a_launch_is_told_in_the_names_that_people_know() {
    let stage = Stage::open().await;
    let number = stage.launched().await["ironcladId"].clone();
    let lines = stage.audit();
    let launched = lines.last().unwrap();
    let told = format!("tests launched Mutual NDA for Acme LLC ({}) as maya.ortiz@simulator.example", text(&number));
    assert_eq!(launched["sentence"], told);
    let digest = &launched["object"]["arguments"];
    assert!(text(digest).starts_with("sha256:"));
    assert_eq!(digest, &lines[0]["object"]["arguments"], "intent and outcome tell of the same arguments");
    let mut tried = nda();
    tried["dry_run"] = true.into();
    stage.ok("launch_workflow", tried).await;
    assert_eq!(&stage.audit().last().unwrap()["object"]["arguments"], digest);
}

#[tokio::test]
async fn every_way_to_end_has_its_line() {
    let policy = Settings { enable_writes: true, confirm: Confirm::Always, ..Settings::default() };
    let policy = Settings { exclude_tools: vec!["get_user".into()], ..policy };
    let stage = Stage::with(Setting { policy, ..Setting::default() }).await;
    let why = json!({"workflow_id": "aaaaaaaaaaaaaaaaaaaaaaaa", "comment": "x"});
    stage.fails("get_user", json!({"user_id": "u"})).await;
    stage.fails("cancel_workflow", why.clone()).await;
    stage.fails("pause_workflow", json!({"comment": 5})).await;
    stage.ok("pause_workflow", json!({"workflow_id": "w", "comment": "x", "dry_run": true})).await;
    stage.fails("pause_workflow", why.clone()).await;
    stage.set_faults("reset-after").await;
    stage.fails("pause_workflow", why).await;
    stage.fails("list_users", json!({})).await;
    let lines = stage.audit();
    let gists: Vec<[&str; 4]> = lines.iter().map(gist).collect();
    assert_eq!(
        gists,
        [
            ["get_user", "denied", "error", "access_denied"],
            ["cancel_workflow", "declined", "error", "confirmation_declined"],
            ["pause_workflow", "allowed", "error", "invalid_arguments"],
            ["pause_workflow", "dry_run", "ok", "-"],
            ["pause_workflow", "allowed", "intent", "-"],
            ["pause_workflow", "allowed", "error", "not_found"],
            ["pause_workflow", "allowed", "intent", "-"],
            ["pause_workflow", "allowed", "unknown", "outcome_unknown"],
            ["list_users", "allowed", "error", "upstream_unavailable"],
        ]
    );
    assert!(lines.iter().all(|line| !text(&line["sentence"]).is_empty() && !text(&line["rule"]).is_empty()));
    assert_chained(&stage.audit_text());
}

/// What a contract says is its parties' business; who may sign in is nobody's.
#[tokio::test]
async fn no_line_holds_a_secret_or_the_text_of_an_argument() {
    for static_token in [false, true] {
        let stage = Stage::with(Setting { static_token, ..Setting::default() }).await;
        let mut launch = nda();
        launch["attributes"]["additionalNotes"] = "private & confidential".into();
        let id = stage.ok("launch_workflow", launch).await["id"].clone();
        let private = json!([{"action": "set", "path": "additionalNotes", "value": "private"}]);
        let comment = "private words";
        stage
            .ok("update_workflow_attributes", json!({"workflow_id": id, "updates": private, "comment": comment}))
            .await;
        stage.ok("pause_workflow", json!({"workflow_id": id, "comment": comment})).await;
        stage.fails("pause_workflow", json!({"workflow_id": "private\nwords", "comment": comment})).await;
        stage.ok("list_records", json!({"filter": "Contains([name], 'private')"})).await;
        stage.fails("list_records", json!({"filter": "Contains([private"})).await;
        let record = json!({"type": "mutualNda", "name": "private", "properties": {
            "counterpartyName": {"type": "string", "value": "private"}}});
        stage.ok("create_record", record).await;
        let webhook = json!({"events": ["*"], "target_url": "https://hooks.example/private"});
        stage.ok("create_webhook", webhook).await;
        let log = stage.audit_text();
        let credentials = stage.simulator.credentials();
        for secret in [&credentials.client_secret, &credentials.access_token, "rivate", "Bearer", "hooks.example"] {
            assert!(!log.contains(secret), "{secret} is in {log}");
        }
        assert_eq!(stage.audit().len(), 13);
    }
}

#[tokio::test]
async fn two_servers_on_one_file_keep_one_chain() {
    let stage = Stage::open().await;
    let other = stage.another(Setting::default()).await;
    let calls = (0..20).map(|_| async {
        let here = stage.ok("list_webhooks", json!({}));
        let there = other.call_tool(call_of("launch_workflow", &nda()));
        let (_, there) = futures_util::join!(here, there);
        assert_ne!(there.unwrap().is_error, Some(true));
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(stage.audit().len(), 20 + 20 * 2);
    assert_chained(&stage.audit_text());
}

#[tokio::test]
async fn a_changed_line_breaks_the_chain() {
    let stage = Stage::open().await;
    stage.launched().await;
    let changed = stage.audit_text().replacen("tests", "nobody", 1);
    assert!(std::panic::catch_unwind(|| assert_chained(&changed)).is_err());
}

/// Sends a call whose request is under way when this returns: the sign-in before it is in the simulator's log.
async fn under_way(stage: &Stage, tool: &str, arguments: &Value) -> RequestHandle<RoleClient> {
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(call_of(tool, arguments)));
    let sent = stage.client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
    while stage.sign_ins().await == 0 {}
    sent
}

#[tokio::test]
async fn a_call_that_the_client_gave_up_is_recorded() {
    for (tool, arguments, outcome) in [("list_users", json!({}), "cancelled"), ("launch_workflow", nda(), "unknown")] {
        // The look-up of the launch form passes: what hangs is the write.
        let slow = if outcome == "unknown" { "slow:ms=60000,method=POST" } else { "slow:ms=60000" };
        let stage = Stage::with_faults(slow).await;
        let call = under_way(&stage, tool, &arguments).await;
        let ended = |line: &Value| line["outcome"] != "intent";
        if outcome == "unknown" {
            stage.audit_with(|line| line["outcome"] == "intent").await;
        }
        assert!(!stage.audit().iter().any(ended), "{tool}: nothing has ended yet");
        call.cancel(Some("no longer needed".into())).await.unwrap();
        let lines = stage.audit_with(ended).await;
        assert_eq!(gist(lines.last().unwrap()), [tool, "allowed", outcome, "cancelled"]);
        assert_eq!(lines.len(), if tool == "list_users" { 1 } else { 2 });
        stage.set_faults("").await;
        stage.ok("list_webhooks", json!({})).await;
        assert_chained(&stage.audit_text());
    }
}

/// Until the launch form is known nothing was written, so the outcome is known too.
#[tokio::test]
async fn a_launch_given_up_during_its_look_up_is_cancelled_without_an_intent() {
    let stage = Stage::with_faults("slow:ms=60000,method=GET").await;
    let call = under_way(&stage, "launch_workflow", &nda()).await;
    call.cancel(Some("no longer needed".into())).await.unwrap();
    let lines = stage.audit_with(|line| line["outcome"] == "cancelled").await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((gist(&lines[0])[3], &lines[0]["attempts"]), ("cancelled", &json!(0)));
}

#[tokio::test]
async fn a_call_given_up_at_once_is_recorded_too() {
    let stage = Stage::with_faults("slow:ms=60000").await;
    for number in 1..=10 {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(call_of("list_users", &json!({}))));
        let sent = stage.client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
        sent.cancel(None).await.unwrap();
        stage.audit_with(|_| stage.audit().len() == number).await;
    }
    assert!(stage.audit().iter().all(|line| line["outcome"] == "cancelled"));
}

#[tokio::test]
async fn a_call_whose_client_went_away_is_recorded() {
    let stage = Stage::with_faults("slow:ms=60000").await;
    let call = under_way(&stage, "list_users", &json!({})).await;
    let (client, log, _rest) = stage.parted();
    client.cancel().await.unwrap();
    drop(call);
    let lines = log.lines_with(|line| line["tool"] == "list_users").await;
    assert_eq!(gist(&lines[0]), ["list_users", "allowed", "cancelled", "cancelled"]);
}
