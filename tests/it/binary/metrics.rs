//! `/metrics` of the program: what is counted, what is never told, and who may read it.

use std::time::Duration;

use ironclad_mcp::simulator::{self, Simulator};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    http::{Served, message},
    program::{Home, MODERN, modern},
};

async fn company(faults: Option<&str>) -> Simulator {
    let faults = faults.map(str::to_owned);
    let settings = simulator::Settings { strict: true, rate_limits: false, faults, ..simulator::Settings::default() };
    Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap()
}

async fn call(served: &Served, tool: &str, arguments: Value) -> Value {
    message(served.modern_call(tool, &arguments, &[]).send().await.unwrap()).await["result"].clone()
}

async fn figures(served: &Served) -> String {
    let page = served.page("/metrics").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    page.text().await.unwrap()
}

/// The figure of one line; `None` where there is no such line.
fn figure(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[track_caller]
fn counts(text: &str, expected: &[(&str, f64)]) {
    for (series, value) in expected {
        assert_eq!(figure(text, &format!("ironclad_mcp_{series}")), Some(*value), "{series} in\n{text}");
    }
}

/// Reads the figures until one of them is as wanted.
async fn until(served: &Served, series: &str, value: f64) -> String {
    let looking = async {
        loop {
            let text = figures(served).await;
            if figure(&text, &format!("ironclad_mcp_{series}")) == Some(value) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking).await.unwrap_or_else(|_| panic!("{series} is never {value}"))
}

#[tokio::test]
async fn calls_requests_tokens_and_sessions_are_counted() {
    let simulator = company(None).await;
    let served = Served::at(Home::new().at(&simulator)).await;
    for _ in 0..2 {
        assert_eq!(call(&served, "list_users", json!({"limit": 1})).await["isError"], false);
    }
    assert_eq!(call(&served, "get_workflow", json!({})).await["isError"], true);
    let missing = "6a6b328004308879e7d43fff";
    assert_eq!(call(&served, "get_workflow", json!({"workflow_id": missing})).await["isError"], true);
    let client = json!({"name": "spy-client", "version": "1"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello});
    assert!(served.post(&[], &hello).send().await.unwrap().status().is_success());
    let text = figures(&served).await;
    counts(
        &text,
        &[
            ("calls_total{tool=\"list_users\",code=\"ok\"}", 2.0),
            ("calls_total{tool=\"get_workflow\",code=\"invalid_arguments\"}", 1.0),
            ("calls_total{tool=\"get_workflow\",code=\"not_found\"}", 1.0),
            ("call_duration_seconds_count{tool=\"list_users\"}", 2.0),
            ("call_duration_seconds_bucket{tool=\"get_workflow\",le=\"+Inf\"}", 2.0),
            ("upstream_requests_total{bucket=\"scim-users-read\",status=\"200\"}", 2.0),
            ("upstream_requests_total{bucket=\"workflows-read\",status=\"404\"}", 1.0),
            ("upstream_duration_seconds_count{bucket=\"scim-users-read\"}", 2.0),
            ("budget_limit{bucket=\"scim-users-read\"}", 600.0),
            ("budget_remaining{bucket=\"scim-users-read\"}", 598.0),
            ("budget_remaining{bucket=\"workflows-write\"}", 40.0),
            ("queue_length{bucket=\"scim-users-read\"}", 0.0),
            ("token_refreshes_total{outcome=\"granted\"}", 1.0),
            ("sessions", 1.0),
            ("audit_failures_total", 0.0),
        ],
    );
    for secret in [missing, "spy-client", &simulator.credentials().client_id, &simulator.credentials().as_user_email] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

#[tokio::test]
async fn the_name_of_a_template_is_no_label() {
    let home = Home::new().with("IRONCLAD_SIMULATOR", "true").with("IRONCLAD_ENABLE_WRITES", "true");
    let served = Served::at(home).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": modern(json!({}))});
    let headers = [("mcp-protocol-version", MODERN), ("mcp-method", "tools/list")];
    let listed = message(served.post(&headers, &list).send().await.unwrap()).await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    let typed = tools.iter().find(|tool| tool["_meta"].get("ironclad/template_id").is_some()).expect("a launch tool");
    let name = typed["name"].as_str().unwrap();
    assert_eq!(call(&served, name, json!({})).await["structuredContent"]["error"]["code"], "invalid_arguments");
    let text = figures(&served).await;
    counts(&text, &[("calls_total{tool=\"launch_workflow\",code=\"invalid_arguments\"}", 1.0)]);
    assert!(!text.contains(name), "{name} in\n{text}");
}

#[tokio::test]
async fn what_ironclad_fails_to_do_is_counted_by_its_kind() {
    let simulator = company(Some("503:path=/public/api/v1/workflows")).await;
    let served = Served::at(Home::new().at(&simulator).with("IRONCLAD_MAX_RETRIES", "1")).await;
    assert_eq!(call(&served, "list_workflows", json!({})).await["isError"], true);
    let text = figures(&served).await;
    let expected = [
        ("calls_total{tool=\"list_workflows\",code=\"upstream_unavailable\"}", 1.0),
        ("upstream_requests_total{bucket=\"workflows-read\",status=\"503\"}", 2.0),
    ];
    counts(&text, &expected);
    let home = Home::new().with("IRONCLAD_BASE_URL", "http://127.0.0.1:9").with("IRONCLAD_ACCESS_TOKEN", "token");
    let served = Served::at(home.with("IRONCLAD_MAX_RETRIES", "0")).await;
    assert_eq!(call(&served, "list_workflows", json!({})).await["isError"], true);
    counts(
        &figures(&served).await,
        &[("upstream_requests_total{bucket=\"workflows-read\",status=\"unreachable\"}", 1.0)],
    );
    let wrong = Home::new().at(&simulator).with("IRONCLAD_CLIENT_SECRET", "wrong");
    let served = Served::at(wrong).await;
    assert_eq!(call(&served, "list_workflows", json!({})).await["isError"], true);
    counts(&figures(&served).await, &[("token_refreshes_total{outcome=\"refused\"}", 1.0)]);
}

#[tokio::test]
async fn those_who_wait_for_the_budget_are_counted_and_one_who_gives_up_was_cancelled() {
    let simulator = company(None).await;
    let home = Home::new().at(&simulator).with("IRONCLAD_RATE_LIMITS", "scim-users-read=1");
    let served = Served::at(home.with("IRONCLAD_RATE_LIMIT_WAIT", "600")).await;
    call(&served, "list_users", json!({"limit": 1})).await;
    let waiting = served.modern_call("list_users", &json!({"limit": 2}), &[]).send();
    let waiting = tokio::spawn(waiting);
    let text = until(&served, "queue_length{bucket=\"scim-users-read\"}", 1.0).await;
    counts(&text, &[("budget_remaining{bucket=\"scim-users-read\"}", 0.0)]);
    waiting.abort();
    let text = until(&served, "calls_total{tool=\"list_users\",code=\"cancelled\"}", 1.0).await;
    counts(&text, &[("queue_length{bucket=\"scim-users-read\"}", 0.0)]);
}

#[tokio::test]
async fn audit_lines_that_cannot_be_written_are_counted() {
    let home = Home::new();
    std::fs::write(home.path("file"), "").unwrap();
    let nowhere = home.path("file").join("audit.jsonl");
    let home = home.with("IRONCLAD_SIMULATOR", "true").with("IRONCLAD_AUDIT_LOG", nowhere.to_str().unwrap());
    let served = Served::at(home).await;
    call(&served, "list_users", json!({"limit": 1})).await;
    let failures = figure(&figures(&served).await, "ironclad_mcp_audit_failures_total").unwrap();
    assert!(failures >= 1.0, "{failures}");
}

#[tokio::test]
async fn the_figures_are_for_whom_the_operator_says() {
    for (who, local, proxied) in
        [("local", StatusCode::OK, StatusCode::FORBIDDEN), ("anyone", StatusCode::OK, StatusCode::OK)]
    {
        let served = Served::at(Home::new().with("IRONCLAD_SIMULATOR", "true").with("IRONCLAD_METRICS", who)).await;
        assert_eq!(served.page("/metrics").await.status(), local, "{who}");
        for (header, value) in [("x-forwarded-for", "203.0.113.9"), ("host", "evil.example")] {
            let page = served.http.get(served.url.replace("/mcp", "/metrics")).header(header, value);
            assert_eq!(page.send().await.unwrap().status(), proxied, "{who} {header}");
        }
    }
    let served = Served::at(Home::new().with("IRONCLAD_SIMULATOR", "true").with("IRONCLAD_METRICS", "off")).await;
    assert_eq!(served.page("/metrics").await.status(), StatusCode::NOT_FOUND);
    let ended = Home::new().run(&["http", "--simulator", "--metrics", "everybody"]).await;
    assert!(ended.code() == 2 && ended.stderr.contains("local, anyone or off"), "{}", ended.stderr);
}
