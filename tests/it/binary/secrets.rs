//! Secrets stay out of every output, at the loudest log level too.

use ironclad_mcp::simulator::{self, Simulator};
use serde_json::json;

use super::program::Home;

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
    for arguments in [&["check"][..], &["call", "list_users"], &["tools"], &["audit", "--format", "json"]] {
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
