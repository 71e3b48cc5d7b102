//! The end: at stdin's end, SIGTERM or SIGINT no call begins, those under way end in their time, and all is recorded.

use std::time::{Duration, Instant};

use ironclad_mcp::simulator::{self, Simulator};
use serde_json::{Value, json};

use super::program::{Home, Session, requests_under_way};

const AT_ONCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
enum End {
    HangUp,
    Signal(&'static str),
}

impl End {
    async fn to(self, session: &mut Session) {
        match self {
            Self::HangUp => session.hang_up(),
            Self::Signal(signal) => session.kill(signal).await,
        }
    }
}

#[cfg(unix)]
const ENDS: [End; 3] = [End::HangUp, End::Signal("TERM"), End::Signal("INT")];
#[cfg(not(unix))]
const ENDS: [End; 1] = [End::HangUp];

#[tokio::test]
async fn an_idle_server_ends_at_once_and_well() {
    for end in ENDS {
        let home = Home::new();
        let mut session = home.open(&["--simulator"]).await;
        session.is_well().await;
        end.to(&mut session).await;
        let ended = session.ended(AT_ONCE).await;
        assert_eq!(ended.code(), 0, "{end:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_server_that_was_never_spoken_to_ends_at_once_and_well() {
    for end in ENDS {
        let home = Home::new();
        let mut session = home.start(&["stdio", "--simulator"]);
        if let End::Signal(_) = end {
            // Until it answers, a signal may come before anybody listens for it.
            session.send_bytes(b"x").await;
            session.receive().await;
        }
        end.to(&mut session).await;
        assert_eq!(session.ended(AT_ONCE).await.code(), 0, "{end:?}");
    }
}

/// A server with writes, over a simulator of the test's own.
async fn opened(faults: &str) -> (Simulator, Home, Session) {
    let settings = simulator::Settings { faults: Some(faults.to_owned()), ..simulator::Settings::default() };
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let home = Home::new().at(&simulator).with("IRONCLAD_ENABLE_WRITES", "true");
    let home = home.with("IRONCLAD_LAUNCH_TOOLS", "off");
    let session = home.open(&["stdio"]).await;
    (simulator, home, session)
}

async fn ask(session: &mut Session, tool: &str, arguments: Value) -> u64 {
    session.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
}

fn record() -> Value {
    json!({"type": "mutualNda", "name": "Signals", "properties": {}})
}

/// The audit log's tools, outcomes and codes.
fn recorded(home: &Home) -> Vec<(String, String, String)> {
    let log = std::fs::read_to_string(home.audit_log()).unwrap();
    let text = |line: &Value, member: &str| line[member].as_str().unwrap_or("-").to_owned();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (text(&line, "tool"), text(&line, "outcome"), text(&line, "code"))).collect()
}

fn line(tool: &str, outcome: &str, code: &str) -> (String, String, String) {
    (tool.to_owned(), outcome.to_owned(), code.to_owned())
}

/// Whoever hung up waits for nothing, but a shell that pipes its calls in wants their answers.
#[tokio::test]
async fn calls_under_way_when_the_client_hangs_up_are_answered_or_recorded_as_cut() {
    let (simulator, home, mut session) = opened("slow:ms=60000,path=/scim;slow:ms=1000,path=/webhooks").await;
    let slow = ask(&mut session, "list_users", json!({})).await;
    let quick = ask(&mut session, "list_webhooks", json!({})).await;
    requests_under_way(&simulator, 2).await;
    session.hang_up();
    let began = Instant::now();
    let (first, second) = (session.receive().await, session.receive().await);
    assert_eq!((&first["id"], &first["result"]["isError"]), (&json!(quick), &json!(false)), "{first}");
    let error = &second["result"]["structuredContent"]["error"];
    assert_eq!((&second["id"], &error["code"]), (&json!(slow), &json!("upstream_unavailable")), "{second}");
    assert_eq!(session.ended(AT_ONCE + Duration::from_secs(1)).await.code(), 0);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(recorded(&home), [line("list_webhooks", "ok", "-"), line("list_users", "cancelled", "cancelled")]);
}

/// A write is in its client's pipe when that ends: it is done all the same, however long its answer takes.
#[tokio::test]
async fn a_write_that_was_sent_is_waited_for_after_the_client_hung_up() {
    let (_simulator, home, mut session) = opened("slow:ms=3000,method=POST").await;
    let write = ask(&mut session, "create_record", record()).await;
    session.hang_up();
    let answer = session.receive().await;
    assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(write), &json!(false)), "{answer}");
    assert_eq!(session.ended(AT_ONCE).await.code(), 0);
    assert_eq!(recorded(&home), [line("create_record", "intent", "-"), line("create_record", "ok", "-")]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_cuts_a_read_after_five_seconds_and_waits_for_a_write_that_was_sent() {
    let both = ["TERM", "INT"].map(|signal| async move {
        let faults = "slow:ms=60000,path=/scim;slow:ms=60000,path=/workflows/;slow:ms=7000,method=POST";
        let (simulator, home, mut session) = opened(faults).await;
        let read = ask(&mut session, "list_users", json!({})).await;
        let sent = ask(&mut session, "create_record", record()).await;
        // It looks the workflow up before it is sent.
        let updates = json!({"workflow_id": "IC-1", "updates": [{"action": "set", "path": "x", "value": "5"}]});
        let unsent = ask(&mut session, "update_workflow_attributes", updates).await;
        requests_under_way(&simulator, 3).await;
        let began = Instant::now();
        session.kill(signal).await;
        let first = session.receive().await;
        let error = first["result"]["structuredContent"]["error"].clone();
        assert_eq!(
            (&first["id"], &error["code"], &error["outcome"]),
            (&json!(unsent), &json!("upstream_unavailable"), &json!("not_sent")),
            "{signal}: {first}"
        );
        let late = ask(&mut session, "list_webhooks", json!({})).await;
        let refused = session.receive().await;
        let error = refused["result"]["structuredContent"]["error"].clone();
        assert_eq!((&refused["id"], &error["outcome"]), (&json!(late), &json!("not_sent")), "{signal}: {refused}");
        assert!(error["message"].as_str().unwrap().contains("the server is stopping"), "{error}");
        let cut = session.receive().await;
        assert_eq!(cut["id"], read, "{signal}: {cut}");
        assert!(began.elapsed() >= Duration::from_secs(5), "{signal}: {:?}", began.elapsed());
        let answered = session.receive().await;
        assert_eq!((&answered["id"], &answered["result"]["isError"]), (&json!(sent), &json!(false)), "{answered}");
        let ended = session.ended(AT_ONCE).await;
        assert_eq!(ended.code(), 0, "{signal}: {}", ended.stderr);
        assert_eq!(
            recorded(&home),
            [
                line("create_record", "intent", "-"),
                line("update_workflow_attributes", "cancelled", "cancelled"),
                line("list_webhooks", "error", "upstream_unavailable"),
                line("list_users", "cancelled", "cancelled"),
                line("create_record", "ok", "-"),
            ],
            "{signal}"
        );
    });
    futures_util::future::join_all(both).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_at_once_and_what_was_sent_is_recorded_as_unknown() {
    let (simulator, home, mut session) = opened("slow:ms=60000").await;
    ask(&mut session, "list_users", json!({})).await;
    ask(&mut session, "create_record", record()).await;
    requests_under_way(&simulator, 2).await;
    session.kill("TERM").await;
    // What needs nothing of Ironclad is answered until the signal is heard, and refused from then on.
    let tried = json!({"events": ["workflow_launched"], "target_url": "https://hooks.example.com/x", "dry_run": true});
    loop {
        let late = ask(&mut session, "create_webhook", tried.clone()).await;
        let answer = session.receive().await;
        assert_eq!(answer["id"], late);
        if answer["result"]["isError"] == true {
            break;
        }
    }
    session.kill("INT").await;
    assert_eq!(session.ended(AT_ONCE).await.code(), 0);
    let mut lines = recorded(&home);
    lines.retain(|told| *told != line("create_webhook", "ok", "-"));
    lines.sort();
    assert_eq!(
        lines,
        [
            line("create_record", "intent", "-"),
            line("create_record", "unknown", "cancelled"),
            line("create_webhook", "error", "upstream_unavailable"),
            line("list_users", "cancelled", "cancelled"),
        ]
    );
}

/// Clients close stdin, wait for two seconds, and send SIGTERM.
#[cfg(unix)]
#[tokio::test]
async fn a_signal_after_the_hang_up_ends_at_once() {
    let (simulator, home, mut session) = opened("slow:ms=60000").await;
    ask(&mut session, "create_record", record()).await;
    requests_under_way(&simulator, 1).await;
    session.hang_up();
    session.kill("TERM").await;
    // Whichever the server hears first, the second counts as impatience.
    session.kill("TERM").await;
    assert_eq!(session.ended(AT_ONCE).await.code(), 0);
    assert_eq!(recorded(&home), [line("create_record", "intent", "-"), line("create_record", "unknown", "cancelled")]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_command_that_calls_one_tool_is_ended_by_a_signal_and_leaves_its_line() {
    let settings = simulator::Settings { faults: Some("slow:ms=60000".into()), ..simulator::Settings::default() };
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let home = Home::new().at(&simulator);
    let session = home.start(&["call", "list_users"]);
    requests_under_way(&simulator, 1).await;
    session.kill("INT").await;
    let ended = session.ended_with_text(AT_ONCE).await;
    assert_eq!(ended.code(), 1);
    assert_eq!(ended.json()["error"]["code"], "upstream_unavailable");
    assert_eq!(recorded(&home), [line("list_users", "cancelled", "cancelled")]);
}
