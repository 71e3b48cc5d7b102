//! Secrets stay out of every output, at the loudest log level too.

use std::path::{Path, PathBuf};

use ironclad_mcp::{
    roster::TokenHash,
    simulator::{self, Simulator},
};
use serde_json::{Value, json};

use super::{agents, http::Served, login, program::Home};
use crate::support::text;

async fn simulator() -> Simulator {
    Simulator::start(([127, 0, 0, 1], 0).into(), simulator::Settings::default()).await.unwrap()
}

/// Calls that succeed, that fail, and that are not sent; then everything that was written anywhere.
async fn everything_written(home: &Home) -> String {
    let mut session = home.open(&["stdio", "--enable-writes"]).await;
    for (tool, arguments) in [
        ("list_users", json!({"limit": 1})),
        ("get_workflow", json!({"workflow_id": "IC-999999"})),
        ("create_webhook", json!({"events": ["*"], "target_url": "https://hooks.example"})),
        ("launch_workflow", json!({"nonsense": 1})),
    ] {
        session.call(tool, arguments).await;
    }
    session.hang_up();
    let served = session.ended(std::time::Duration::from_secs(5)).await;
    let mut written = served.stdout + &served.stderr;
    for arguments in [
        &["check"][..],
        &["call", "list_users"],
        &["call", "get_workflow", "--args", r#"{"workflow_id": "IC-999999"}"#],
        &["call", "no_such_tool"],
        &["call", "list_users", "--args", "no json"],
        &["call", "launch_workflow", "--enable-writes", "--timeout", "0"],
        &["tools"],
        &["tools", "--enable-writes", "--format", "openai"],
        &["audit", "--format", "json"],
        &["audit", "--format", "csv"],
        &["audit", "--verify"],
        &["audit", "--egress"],
        &["approvals", "--all"],
        &["approve", "aaaaaaaaaaaa"],
        &["decline", "aaaaaaaaaaaa"],
        &["approver", "list"],
        &["approver", "remove", "nobody"],
        &["demo"],
        &["login", "--redirect-port", "99999"],
        &["logout"],
        &["http", "--listen", "0.0.0.0:0"],
    ] {
        let ended = home.run(arguments).await;
        written.push_str(&ended.stdout);
        written.push_str(&ended.stderr);
    }
    written + &std::fs::read_to_string(home.audit_log()).unwrap()
}

#[tokio::test]
async fn no_secret_is_written_when_all_goes_well() {
    let simulator = simulator().await;
    let credentials = simulator.credentials();
    let client = Home::new().at(&simulator).with("RUST_LOG", "trace");
    let written = everything_written(&client).await;
    assert!(written.contains(" TRACE "), "the loudest level was not heard");
    assert!(!written.contains(&credentials.client_secret));
    assert!(!written.contains("Bearer "), "a bearer token was written");
    let token =
        Home::new().at(&simulator).with("RUST_LOG", "trace").with("IRONCLAD_ACCESS_TOKEN", &credentials.access_token);
    let written = everything_written(&token).await;
    assert!(!written.contains(&credentials.access_token) && !written.contains(&credentials.client_secret));
}

#[tokio::test]
async fn no_secret_is_written_when_it_is_wrong() {
    let simulator = simulator().await;
    let home = Home::new().at(&simulator).with("RUST_LOG", "trace").with("IRONCLAD_CLIENT_SECRET", "MARKED-one");
    assert!(!everything_written(&home).await.contains("MARKED-one"));
    let home = Home::new().at(&simulator).with("RUST_LOG", "trace").with("IRONCLAD_ACCESS_TOKEN", "MARKED-two");
    assert!(!everything_written(&home).await.contains("MARKED-two"));
    let home = Home::new().at(&simulator).with("IRONCLAD_ACCESS_TOKEN", "MARKED-three\r\nx: y");
    let ended = home.run(&["check"]).await;
    assert_eq!(ended.code(), 2);
    assert!(!(ended.stdout + &ended.stderr).contains("MARKED"));
}

/// Somebody says a secret aloud, as a library or a careless client may: the log masks it in every line.
#[tokio::test]
async fn a_secret_that_is_said_aloud_is_masked_in_the_logs() {
    let simulator = simulator().await;
    let credentials = simulator.credentials();
    let home = Home::new().at(&simulator).with("RUST_LOG", "trace").with("IRONCLAD_LOG_FORMAT", "json");
    let home = home.with("IRONCLAD_CLIENT_SECRET", &credentials.client_secret);
    let mut session = home.start(&["stdio", "--enable-writes"]);
    let name = format!("agent {}", credentials.client_secret);
    let hello =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": name, "version": "1"}});
    session.request("initialize", hello).await;
    session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    session.call("list_users", json!({"filter": format!("userName eq \"{}\"", credentials.client_secret)})).await;
    session.call("get_workflow", json!({"workflow_id": credentials.client_secret})).await;
    session.hang_up();
    let served = session.ended(std::time::Duration::from_secs(5)).await;
    assert!(served.stderr.contains("[secret]"), "nothing was masked, so nothing was shown");
    assert!(!served.stderr.contains(&credentials.client_secret));
    let audit = std::fs::read_to_string(home.audit_log()).unwrap();
    assert!(audit.contains("[secret]") && !audit.contains(&credentials.client_secret), "{audit}");
    assert_eq!(home.run(&["audit", "--verify"]).await.code(), 0);
}

/// Tokens of agents and of approvers are kept as hashes alone; what is brought over HTTP is never repeated.
#[tokio::test]
async fn no_token_of_a_caller_is_written() {
    let simulator = simulator().await;
    let settings = agents::home("auth = \"agents\"\n").at(&simulator).with("RUST_LOG", "trace");
    let made = settings.run(&["agent", "add", "bot"]).await;
    let agent = made.stdout.split_whitespace().find(|word| word.starts_with("icmcp_")).unwrap().to_owned();
    let approver = settings.run(&["approver", "add", "maria"]).await.stdout.trim().to_owned();
    let table = format!("[agents.bot]\ntoken_sha256 = \"{}\"\n", TokenHash::of(&agent).to_hex());
    agents::write(&settings, &format!("auth = \"agents\"\n{table}access = {{ users = \"read\" }}\n"));
    let served = Served::at(settings).await;
    let bearer = format!("Bearer {agent}");
    for (header, value) in [
        ("authorization", bearer.as_str()),
        ("authorization", "Bearer MARKED-wrong"),
        ("authorization", "Basic MARKED-wrong"),
        ("x-token", "MARKED-wrong"),
    ] {
        served.modern_call("list_users", &json!({"limit": 1}), &[(header, value)]).send().await.unwrap();
    }
    let id = agents::session(&served, &agent).await;
    agents::in_session(&served, &agent, &id).await;
    let page = served.url.replace("/mcp", "/approvals/sign-in");
    let origin = served.url.replace("/mcp", "");
    for token in [approver.as_str(), "MARKED-wrong"] {
        let form = served.http.post(&page).header("origin", &origin).form(&[("token", token)]);
        assert!(form.send().await.unwrap().status().as_u16() < 500);
    }
    let audit = std::fs::read_to_string(served.home.audit_log()).unwrap();
    let written = audit + &served.said.lock().unwrap();
    assert!(written.contains("TRACE") && written.contains("list_users"), "{written}");
    for secret in [agent.as_str(), &approver, "MARKED"] {
        assert!(!written.contains(secret), "{secret}");
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_login_leaves_its_tokens_in_the_token_store_alone() {
    let simulator = simulator().await;
    let home = login::home(&simulator).with("RUST_LOG", "trace");
    let browser = login::browser::Browser::start(&home, &["--redirect-port", "0"]).await;
    let page = browser.allow(login::IMANI).await;
    let ended = browser.ended().await;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let mut written = page + &ended.stdout + &ended.stderr;
    let store = login::kept(&home).remove(0);
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let login: Value = serde_json::from_slice(&std::fs::read(&store).unwrap()).unwrap();
        let pair = &login["tokens"]["plain"];
        tokens.extend(["access", "refresh"].map(|name| text(&pair[name]).to_owned()));
        // The next pair.
        login::control(&simulator, "tokens/expire", Value::Null).await;
        let called = home.run(&["call", "list_users", "--args", r#"{"limit": 1}"#]).await;
        assert_eq!(called.code(), 0, "{}", called.stderr);
        written.push_str(&(called.stdout + &called.stderr));
    }
    tokens.push(simulator.credentials().client_secret);
    assert!(written.contains("TRACE") && tokens.iter().all(|token| token.len() > 20), "{tokens:?}");
    let elsewhere = files(&home.path("")).into_iter().filter(|path| *path != store);
    elsewhere.for_each(|path| written.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap())));
    for token in tokens {
        assert!(!written.contains(&token), "{token}");
    }
}

/// An egress proxy may put the real token in the place of a stand-in: nothing here looks into it.
#[tokio::test]
async fn a_stand_in_for_the_token_is_sent_as_it_is() {
    use axum::{Json, Router, http::HeaderMap};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(|headers: HeaderMap| async move {
        let taken = headers.get("authorization").is_some_and(|token| token == "Bearer {{ironclad-token}}");
        Json(json!({ "list": if taken { vec![json!({"id": "w1"})] } else { Vec::new() } }))
    });
    tokio::spawn(axum::serve(listener, router).into_future());
    let home = Home::new().with("IRONCLAD_BASE_URL", &url).with("IRONCLAD_ACCESS_TOKEN", "{{ironclad-token}}");
    let webhooks = home.run(&["call", "list_webhooks"]).await;
    assert_eq!(webhooks.json()["items"][0]["id"], "w1", "{}", webhooks.stderr);
}

#[tokio::test]
async fn a_secret_can_lie_in_a_file() {
    let simulator = simulator().await;
    let home = Home::new().at(&simulator);
    let file = home.path("secret");
    std::fs::write(&file, "simulator-legacy-token\n").unwrap();
    let home = home.with("IRONCLAD_ACCESS_TOKEN_FILE", file.to_str().unwrap());
    let users = home.run(&["call", "list_users", "--args", r#"{"limit": 1}"#]).await;
    assert_eq!(users.json()["total"], 25, "{}", users.stderr);
}
