//! stdin and stdout: whatever comes in, only messages go out, and the next call works.

use std::time::Duration;

use ironclad_mcp::simulator::{self, Simulator};
use serde_json::{Value, json};

use super::program::{Home, Session, modern};

const SIMULATED: [&str; 2] = ["stdio", "--simulator"];

/// A line that is no request, the code of the answer, and the id in it.
fn bad_lines() -> Vec<(Vec<u8>, i64, Value)> {
    let deep = "[".repeat(100_000);
    vec![
        (b"garbage".to_vec(), -32700, Value::Null),
        (b"{".to_vec(), -32700, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}".to_vec(), -32700, Value::Null),
        (b"\x00\x01\x02".to_vec(), -32700, Value::Null),
        (deep.into_bytes(), -32700, Value::Null),
        (vec![b'x'; 20_000_000], -32700, Value::Null),
        (br#"{"jsonrpc":"2.0","id":700,"neither":"request"}"#.to_vec(), -32600, json!(700)),
        (br#"{"jsonrpc":"2.0","id":"text","method":5}"#.to_vec(), -32600, json!("text")),
        (b"[]".to_vec(), -32600, Value::Null),
        (b"5".to_vec(), -32600, Value::Null),
        (b"null".to_vec(), -32600, Value::Null),
    ]
}

async fn is_answered(session: &mut Session, line: &[u8], code: i64, id: &Value) {
    let shown = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
    session.send_bytes(line).await;
    let answer = session.receive().await;
    assert_eq!(answer["error"]["code"], code, "{shown}: {answer}");
    assert_eq!(answer.get("id").unwrap_or(&Value::Null), id, "{shown}: {answer}");
    assert!(answer.to_string().len() < 1000, "{shown}");
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_the_next_call_works() {
    let home = Home::new();
    let mut session = home.open(&SIMULATED).await;
    for (line, code, id) in bad_lines() {
        is_answered(&mut session, &line, code, &id).await;
    }
    session.is_well().await;
    let unknown = session.request("tools/call", json!({"name": "delete_everything", "arguments": {}})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let unknown = session.request("tools/destroy", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    session.is_well().await;
}

/// A client of the modern era that gives up a question may have asked what there is and nothing else yet.
#[tokio::test]
async fn what_is_given_up_before_the_first_call_does_not_end_the_connection() {
    let given_up = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 0}});
    let stray = json!({"jsonrpc": "2.0", "id": 77, "result": {}});
    for first in [
        ("ping", json!({})),
        ("server/discover", modern(json!({}))),
        ("tools/list", json!({})),
        (
            "tools/list",
            json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01",
            "io.modelcontextprotocol/clientCapabilities": {}}}),
        ),
    ] {
        let mut session = Home::new().start(&SIMULATED);
        session.request(first.0, first.1.clone()).await;
        for message in [&given_up, &stray] {
            session.send(message).await;
        }
        let answer = session.request("tools/list", modern(json!({}))).await;
        assert!(answer["result"]["tools"].is_array(), "after {first:?}: {answer}");
    }
}

#[tokio::test]
async fn nothing_that_comes_before_the_opening_keeps_a_client_from_opening() {
    let home = Home::new();
    let mut session = home.start(&SIMULATED);
    is_answered(&mut session, b"garbage", -32700, &Value::Null).await;
    session.send_bytes(b"").await;
    session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    session.send(&json!({"jsonrpc": "2.0", "method": "notifications/nonsense", "params": 5})).await;
    let welcome = session.initialize().await;
    assert_eq!(welcome["serverInfo"]["name"], "ironclad-mcp");
    assert!(welcome["instructions"].as_str().unwrap().contains("list_workflow_schemas"));
    session.is_well().await;
}

#[tokio::test]
async fn arguments_that_are_deep_or_of_the_wrong_kind_are_refused_and_the_next_call_works() {
    let home = Home::new();
    let mut session = home.open(&SIMULATED).await;
    let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":70,"method":"tools/call","params":{{"name":"get_user","arguments":{{"user_id":{deep}}}}}}}"#
    );
    session.send_bytes(call.as_bytes()).await;
    let answer = session.receive().await;
    assert_eq!(answer["result"]["structuredContent"]["error"]["code"], "invalid_arguments", "{answer}");
    for params in [
        json!({"name": "list_users", "arguments": []}),
        json!({"name": "list_users", "arguments": "text"}),
        json!({"name": 5}),
        json!({}),
    ] {
        let answer = session.request("tools/call", params).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
    session.is_well().await;
}

#[tokio::test]
async fn a_slow_call_holds_no_other_up() {
    let settings = simulator::Settings { faults: Some("slow:ms=60000,path=/records".into()), ..Default::default() };
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let home = Home::new().at(&simulator);
    let mut session = home.open(&["stdio"]).await;
    session.ask("tools/call", json!({"name": "list_records", "arguments": {}})).await;
    session.is_well().await;
}

/// A client's name is anybody's to choose, so it cannot write what it likes into the log.
#[tokio::test]
async fn a_client_is_recorded_by_its_name_without_what_could_mislead() {
    let home = Home::new();
    let mut session = home.start(&SIMULATED);
    let name = format!("evil\n\u{1b}[31m{}", "x".repeat(10_000));
    let hello =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": name, "version": "1"}});
    session.request("initialize", hello).await;
    session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    session.is_well().await;
    let log = std::fs::read_to_string(home.audit_log()).unwrap();
    let line: Value = serde_json::from_str(log.trim_end()).unwrap();
    let agent = line["agent"].as_str().unwrap();
    assert!(agent.starts_with("evil[31mxxx") && agent.len() <= 64, "{agent}");
}

#[tokio::test]
async fn the_audit_log_and_the_log_go_to_stderr_as_json_where_that_is_wanted() {
    let home =
        Home::new().with("IRONCLAD_AUDIT_LOG", "-").with("IRONCLAD_LOG_FORMAT", "json").with("RUST_LOG", "debug");
    let mut session = home.open(&SIMULATED).await;
    session.is_well().await;
    session.hang_up();
    let ended = session.ended(Duration::from_secs(2)).await;
    let lines: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["tool"] == "list_users" && line["outcome"] == "ok"), "{}", ended.stderr);
    assert!(lines.iter().any(|line| line["level"] == "DEBUG"));
    assert!(!home.audit_log().exists());
}

#[tokio::test]
async fn a_prefix_stands_before_every_name_and_the_bare_name_is_unknown() {
    let home = Home::new().with("IRONCLAD_TOOL_PREFIX", "acme_");
    let mut session = home.open(&SIMULATED).await;
    let listed = session.request("tools/list", json!({})).await["result"]["tools"].clone();
    assert!(listed.as_array().unwrap().iter().all(|tool| tool["name"].as_str().unwrap().starts_with("acme_")));
    assert_eq!(session.call("acme_list_users", json!({})).await["structuredContent"]["total"], 25);
    let bare = session.request("tools/call", json!({"name": "list_users", "arguments": {}})).await;
    assert_eq!(bare["error"]["code"], -32602, "{bare}");
}

#[tokio::test]
async fn each_revision_is_served() {
    let home = Home::new();
    for version in ["2025-06-18", "2025-11-25"] {
        let mut session = home.start(&SIMULATED);
        let hello =
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}});
        let welcome = session.request("initialize", hello).await;
        assert_eq!(welcome["result"]["protocolVersion"], version);
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        session.is_well().await;
    }
    let mut session = home.start(&SIMULATED);
    let found = session.request("server/discover", modern(json!({}))).await;
    assert!(
        found["result"]["supportedVersions"].as_array().unwrap().contains(&json!(super::program::MODERN)),
        "{found}"
    );
    let call = modern(json!({"name": "list_users", "arguments": {"limit": 1}}));
    let users = session.request("tools/call", call).await;
    assert_eq!(users["result"]["structuredContent"]["total"], 25, "{users}");
    assert_eq!(users["result"]["resultType"], "complete");
}

/// The most that a 5 MB document may add to peak memory: its base64 text and what carries it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_large_document_takes_little_more_memory_than_its_text() {
    let settings = simulator::Settings { rate_limits: false, ..simulator::Settings::default() };
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let home = Home::new().at(&simulator);
    let mut session = home.open(&["stdio"]).await;
    let named =
        json!({"filter": "Equals([name], 'Large Exhibit Review')", "fields": ["id", "attributes.exhibits.key"]});
    let found = session.call("list_workflows", named).await["structuredContent"]["items"][0].clone();
    let of = json!({"workflow_id": found["id"], "document_key": found["attributes"]["exhibits"][0]["key"]});
    let before = peak_bytes(&session);
    let result = session.call("download_workflow_document", of).await;
    let added = peak_bytes(&session) - before;
    assert!(result["content"][1]["resource"]["blob"].as_str().unwrap().len() > 6_900_000);
    assert!(added <= 15_000_000, "{added} bytes more");
}

#[cfg(target_os = "linux")]
fn peak_bytes(session: &Session) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", session.child.id().unwrap())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The example is what a user of Claude Desktop pastes, so it must start the server as it stands.
#[tokio::test]
async fn the_example_for_claude_desktop_starts_the_server() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/claude_desktop_config.example.json");
    let example: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let servers = example["mcpServers"].as_object().unwrap();
    assert!(!servers.is_empty());
    for server in servers.values() {
        assert_eq!(server["command"], "ironclad-mcp");
        let mut home = Home::new();
        for (name, value) in server["env"].as_object().into_iter().flatten() {
            home = home.with(name, value.as_str().unwrap());
        }
        let arguments: Vec<&str> = server["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let mut session = home.open(&arguments).await;
        let tools = session.request("tools/list", json!({})).await;
        assert!(tools["result"]["tools"].as_array().unwrap().len() >= 13);
        session.is_well().await;
        session.hang_up();
        assert_eq!(session.ended(Duration::from_secs(2)).await.code(), 0);
    }
}
