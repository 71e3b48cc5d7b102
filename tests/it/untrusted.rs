//! What others wrote is marked as data, and hides nothing from people.

use serde_json::json;

use crate::support::{Setting, Stage, nda, text};

/// Shown as "Acme LLC" with more behind it that only a model reads.
const HIDING: &str = "Acme\u{202e} LLC\u{e0053}\u{e0045}\u{e004e}\u{e0044}";
const SHOWN: &str = "Acme⟪U+202E⟫ LLC⟪U+E0053⟫⟪U+E0045⟫⟪U+E004E⟫⟪U+E0044⟫";

#[tokio::test]
async fn hidden_characters_of_a_contract_are_written_out_and_its_words_are_marked() {
    let stage = Stage::open().await;
    let mut launch = nda();
    launch["attributes"]["counterpartyName"] = HIDING.into();
    let id = stage.ok("launch_workflow", launch).await["id"].clone();
    for (tool, arguments, pointer) in [
        ("get_workflow", json!({"workflow_id": id}), "/attributes/counterpartyName"),
        ("list_workflows", json!({"limit": 1}), "/items/0/attributes/counterpartyName"),
    ] {
        let result = stage.call(tool, arguments).await;
        let structured = result.structured_content.unwrap();
        assert_eq!(structured.pointer(pointer), Some(&json!(SHOWN)), "{tool}: {structured}");
        assert_eq!(result.content[0].as_text().unwrap().text, structured.to_string(), "{tool}");
        let meta = result.meta.unwrap();
        assert_eq!(meta.get("ironclad/untrusted"), Some(&json!(true)), "{tool}");
        assert_eq!(meta.get("ironclad/hidden_characters"), Some(&json!("visible")), "{tool}");
    }
    let lines = stage.audit();
    let launched = lines.iter().find(|line| line["outcome"] == "ok").unwrap();
    assert!(text(&launched["sentence"]).contains(&format!("launched Mutual NDA for {SHOWN}")), "{launched}");
}

#[tokio::test]
async fn a_result_without_words_of_others_has_no_mark() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    let meta = |result: rmcp::model::CallToolResult| result.meta.unwrap_or_default();
    let paused = meta(stage.call("pause_workflow", json!({"workflow_id": id, "comment": "x"})).await);
    assert!(paused.get("ironclad/untrusted").is_none(), "{paused:?}");
    let read = meta(stage.call("get_workflow", json!({"workflow_id": id})).await);
    assert_eq!(read.get("ironclad/untrusted"), Some(&json!(true)));
    assert!(read.get("ironclad/hidden_characters").is_none());
    let refused = meta(stage.call("get_workflow", json!({"workflow_id": "IC-999999"})).await);
    assert_eq!(refused.get("ironclad/untrusted"), Some(&json!(true)), "an error quotes Ironclad");
    let ours = meta(stage.call("get_workflow", json!({})).await);
    assert!(ours.get("ironclad/untrusted").is_none());
}

/// What a model read in its visible form would not be what it writes.
#[tokio::test]
async fn a_mark_that_comes_back_in_an_argument_is_refused_by_its_path() {
    let stage = Stage::open().await;
    let mut launch = nda();
    launch["attributes"]["counterpartyName"] = SHOWN.into();
    let error = stage.fails("launch_workflow", launch).await;
    assert_eq!(error["code"], "invalid_arguments");
    assert_eq!(error["errors"][0]["path"], "attributes.counterpartyName");
    assert!(text(&error["hint"]).contains("without such marks"), "{error}");
    let error = stage.fails("list_records", json!({"filter": format!("Contains([name], '{SHOWN}')")})).await;
    assert_eq!((&error["code"], &error["errors"][0]["path"]), (&json!("invalid_arguments"), &json!("filter")));
    assert_eq!(stage.requests().await.len(), 0);
}

#[tokio::test]
async fn clients_are_told_what_the_marks_mean() {
    let stage = Stage::with(Setting::default()).await;
    let told = stage.client.peer_info().unwrap().instructions.clone().unwrap();
    assert!(told.contains("ironclad/untrusted") && told.contains("⟪U+202E⟫"), "{told}");
}
