//! Agents: what each may do, and how it is told.

use ironclad_mcp::policy::Settings;
use serde_json::json;

use crate::support::{Setting, Stage};

#[tokio::test]
async fn whoami_is_answered_here_and_recorded() {
    let policy = Settings { toolsets: vec!["account".into()], ..Settings::default() };
    let stage = Stage::with(Setting { policy, ..Setting::default() }).await;
    let told = stage.ok("whoami", json!({})).await;
    assert_eq!(told["agent"], "tests");
    assert_eq!(told["acting_user"], stage.simulator.credentials().as_user_email);
    let narrowed = stage.ok("whoami", json!({"fields": ["agent"]})).await;
    assert_eq!(narrowed, json!({"agent": "tests"}));
    assert!(stage.all_requests().await.is_empty());
    let line = &stage.audit()[0];
    assert_eq!((&line["tool"], &line["attempts"]), (&json!("whoami"), &json!(0)));
}
