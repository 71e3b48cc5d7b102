//! The other commands: what they print, and how they end.

use std::time::Duration;

use ironclad_mcp::simulator::{self, Simulator};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::program::Home;

#[tokio::test]
async fn the_catalogue_is_printed_in_four_forms_without_credentials() {
    let home = Home::new().with("IRONCLAD_ENABLE_WRITES", "true");
    let mcp = home.run(&["tools", "--format", "mcp"]).await.json();
    let openai = home.run(&["tools", "--format", "openai"]).await.json();
    let anthropic = home.run(&["tools", "--format", "anthropic"]).await.json();
    let markdown = home.run(&["tools", "--format", "markdown"]).await;
    assert_eq!(mcp["tools"].as_array().unwrap().len(), 26);
    for (at, tool) in mcp["tools"].as_array().unwrap().iter().enumerate() {
        let (openai, anthropic) = (&openai[at]["function"], &anthropic[at]);
        assert_eq!((&openai["name"], &anthropic["name"]), (&tool["name"], &tool["name"]));
        assert_eq!((&openai["parameters"], &anthropic["input_schema"]), (&tool["inputSchema"], &tool["inputSchema"]));
        assert!(markdown.stdout.contains(&format!("`{}`", tool["name"].as_str().unwrap())));
    }
    assert_eq!(markdown.code(), 0);
}

#[tokio::test]
async fn the_catalogue_printed_is_the_one_served() {
    let home = Home::new();
    let printed = home.run(&["tools", "--format", "mcp"]).await.json();
    let mut session = home.open(&["--simulator"]).await;
    assert_eq!(session.request("tools/list", json!({})).await["result"]["tools"], printed["tools"]);
}

#[tokio::test]
async fn a_call_ends_with_0_1_or_2() {
    let home = Home::new();
    let table = [
        (&["call", "list_users", "--simulator", "--args", r#"{"limit": 1}"#][..], 0),
        (&["call", "get_workflow", "--simulator", "--args", r#"{"workflow_id": "IC-999999"}"#], 1),
        (&["call", "get_workflow", "--simulator", "--args", "{}"], 1),
        (&["call", "launch_workflow", "--simulator", "--args", "{}"], 1),
        (&["call", "list_users", "--simulator", "--args", "[]"], 2),
        (&["call", "list_users", "--simulator", "--args", "{"], 2),
        (&["call", "get_workflw", "--simulator"], 2),
        (&["call"], 2),
        (&["call", "list_users", "--simulator", "--region", "mars"], 2),
        (&["nonsense"], 2),
        (&["stdio", "--nonsense"], 2),
    ];
    for (arguments, code) in table {
        let ended = home.run(arguments).await;
        assert_eq!(ended.code(), code, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        match code {
            0 => assert_eq!(ended.json()["total"], 25),
            1 => assert!(ended.json()["error"]["code"].is_string()),
            _ => assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{arguments:?}"),
        }
    }
    let unknown = home.run(&["call", "get_workflw", "--simulator"]).await;
    assert!(unknown.stderr.contains("get_workflow"), "{}", unknown.stderr);
}

#[tokio::test]
async fn a_check_says_line_by_line_what_is_right() {
    let good = Home::new().run(&["check", "--simulator"]).await;
    assert_eq!(good.code(), 0, "{}{}", good.stdout, good.stderr);
    assert!(good.stdout.lines().count() >= 5 && !good.stdout.contains("FAIL"), "{}", good.stdout);
    let without = Home::new().run(&["check"]).await;
    assert_eq!(without.code(), 1);
    assert!(without.stdout.contains("FAIL") && without.stdout.contains("IRONCLAD_CLIENT_ID"), "{}", without.stdout);
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), simulator::Settings::default()).await.unwrap();
    let wrong = Home::new().at(&simulator).with("IRONCLAD_CLIENT_SECRET", "wrong").run(&["check"]).await;
    assert_eq!(wrong.code(), 1);
    assert!(wrong.stdout.contains("unauthorized_client"), "{}", wrong.stdout);
    let stranger = Home::new().at(&simulator).with("IRONCLAD_AS_USER_EMAIL", "nobody@acme.example");
    let stranger = stranger.run(&["check"]).await;
    assert_eq!(stranger.code(), 1, "{}", stranger.stdout);
    let unreachable = Home::new().with("IRONCLAD_ACCESS_TOKEN", "t").with("IRONCLAD_BASE_URL", "http://127.0.0.1:9");
    let unreachable = unreachable.with("IRONCLAD_MAX_RETRIES", "0").run(&["check"]).await;
    assert_eq!(unreachable.code(), 1, "{}", unreachable.stdout);
    let alone = Home::new().with("IRONCLAD_REDIS", "redis://127.0.0.1:9").run(&["check", "--simulator"]).await;
    assert_eq!(alone.code(), 1, "{}", alone.stdout);
    assert!(alone.stdout.contains("FAIL  redis: cannot be reached ("), "{}", alone.stdout);
}

#[tokio::test]
async fn the_audit_log_can_be_read_filtered_and_paged() {
    let home = Home::new();
    let none = home.run(&["audit"]).await;
    assert_eq!((none.code(), none.stdout.as_str()), (0, ""));
    for (tool, code) in [("list_users", 0), ("launch_workflow", 1), ("list_webhooks", 0)] {
        assert_eq!(home.run(&["call", tool, "--simulator"]).await.code(), code);
    }
    let lines = async |arguments: &[&str]| {
        let read = home.run(&[&["audit", "--format", "json"], arguments].concat()).await;
        assert_eq!(read.code(), 0, "{}", read.stderr);
        read.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    assert_eq!(lines(&[]).await.len(), 3);
    let denied = lines(&["--decision", "denied"]).await;
    assert_eq!((denied.len(), &denied[0]["tool"]), (1, &json!("launch_workflow")));
    assert_eq!(lines(&["--tool", "list_users", "--agent", "cli"]).await.len(), 1);
    assert_eq!(lines(&["--until", "2020-01-01"]).await.len(), 0);
    let page = lines(&["--limit", "2"]).await;
    let cursor = page[2]["next_cursor"].as_str().unwrap();
    let rest = lines(&["--limit", "2", "--cursor", cursor]).await;
    assert_eq!((rest.len(), &rest[0]["tool"]), (1, &json!("list_webhooks")));
    let text = home.run(&["audit", "--format", "text"]).await;
    assert!(text.stdout.contains("cli was refused launch_workflow"), "{}", text.stdout);
    let csv = home.run(&["audit", "--format", "csv"]).await;
    assert_eq!(csv.stdout.lines().count(), 4, "{}", csv.stdout);
    assert_eq!(home.run(&["audit", "--cursor", "nonsense"]).await.code(), 2);
}

#[tokio::test]
async fn the_simulator_stands_alone_and_prints_how_to_reach_it() {
    let home = Home::new();
    let mut child =
        home.command(&["simulator", "--listen", "127.0.0.1:0", "--faults", "503:path=/webhooks"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Home::new();
    let mut read = 0;
    while read < 4 {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
        let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
        told = told.with(name, value);
        read += 1;
    }
    assert_eq!(told.run(&["call", "list_users"]).await.json()["total"], 25);
    let told = told.with("IRONCLAD_MAX_RETRIES", "0");
    assert_eq!(told.run(&["call", "list_webhooks"]).await.json()["error"]["code"], "upstream_unavailable");
    let wrong = home.run(&["simulator", "--faults", "earthquake"]).await;
    assert_eq!(wrong.code(), 2);
    assert!(wrong.stderr.contains("earthquake"), "{}", wrong.stderr);
}

#[tokio::test]
async fn the_demonstration_ends_well() {
    let ended = Home::new().run(&["demo"]).await;
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    for word in ["launch_workflow", "refused", "signature", "record"] {
        assert!(ended.stdout.contains(word), "{word} is missing in {}", ended.stdout);
    }
}

#[tokio::test]
async fn help_and_version_are_no_failure() {
    for arguments in [&["--help"][..], &["--version"], &["http", "--help"], &["simulator", "--help"]] {
        let ended = Home::new().run(arguments).await;
        assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}
