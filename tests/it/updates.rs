//! Attribute updates, held against the workflow itself before anything is sent.

use serde_json::{Value, json};

use crate::support::{Stage, text};

async fn writes(stage: &Stage) -> usize {
    stage.requests().await.iter().filter(|request| request["method"] != "GET").count()
}

fn set(path: &str, value: impl Into<Value>) -> Value {
    json!({"action": "set", "path": path, "value": value.into()})
}

#[tokio::test]
async fn every_wrong_update_is_named_and_nothing_is_sent() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    let updates = json!([
        set("efectiveDate", json!("2026-01-31")),
        set("effectiveDate", json!("soon")),
        set("term", json!({"decades": 1})),
        set("draft", json!([{"url": "https://files.example/a.docx"}])),
        {"action": "set", "path": "additionalNotes"},
        {"action": "remove", "path": "counterpartyName"},
    ]);
    let error = stage.fails("update_workflow_attributes", json!({"workflow_id": id, "updates": updates})).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("invalid_arguments"), &json!("not_sent")));
    let faults = error["errors"].as_array().unwrap();
    let mut paths: Vec<&str> = faults.iter().map(|fault| text(&fault["path"])).collect();
    paths.dedup_by_key(|path| path.split('.').next().unwrap());
    let expected = [
        "updates[0].path",
        "updates[1].value",
        "updates[2].value.decades",
        "updates[3].path",
        "updates[4].value",
        "updates[5].path",
    ];
    assert_eq!(paths, expected);
    assert!(text(&faults[0]["expected"]).contains("effectiveDate"), "{error}");
    assert_eq!(writes(&stage).await, 0);
}

#[tokio::test]
async fn values_are_written_as_the_attribute_takes_them() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    let updates = json!([set("effectiveDate", json!("2026-11-30")), set("term", json!("{\"years\": 4}"))]);
    let changed = stage.ok("update_workflow_attributes", json!({"workflow_id": id, "updates": updates})).await;
    assert_eq!(changed["attributes"]["term"], json!({"years": 4}));
    assert!(text(&changed["attributes"]["effectiveDate"]).starts_with("2026-11-30"), "{changed}");
    assert_eq!(changed["notes"].as_array().unwrap().len(), 2, "{changed}");
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_refused_here() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    // The date is held with milliseconds, which makes it no other date.
    let updates = json!([
        set("counterpartyName", json!("Acme LLC")),
        set("effectiveDate", json!("2026-12-01")),
        {"action": "remove", "path": "additionalNotes"},
    ]);
    let error = stage.fails("update_workflow_attributes", json!({"workflow_id": id, "updates": updates})).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("conflict"), &json!("not_sent")), "{error}");
    assert_eq!(writes(&stage).await, 0);
}

#[tokio::test]
async fn a_workflow_that_has_left_review_is_not_changed() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    let update = json!({"workflow_id": id, "updates": [set("additionalNotes", json!("x"))]});
    stage.ok("pause_workflow", json!({"workflow_id": id, "comment": "x"})).await;
    let paused = stage.fails("update_workflow_attributes", update.clone()).await;
    // Whether a paused workflow takes changes is not told, so Ironclad is asked.
    assert_eq!((&paused["code"], &paused["outcome"]), (&json!("conflict"), &json!("refused")), "{paused}");
    stage.ok("resume_workflow", json!({"workflow_id": id, "comment": "x"})).await;
    stage.control(&format!("workflows/{}/advance", text(&id)), String::new()).await;
    stage.forget_requests().await;
    let error = stage.fails("update_workflow_attributes", update).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("conflict"), &json!("not_sent")));
    assert!(text(&error["message"]).contains("in the step Sign"), "{error}");
    assert_eq!(writes(&stage).await, 0);
}

#[tokio::test]
async fn a_dry_run_shows_what_would_change() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    let updates = json!([set("counterpartyName", json!("Acme GmbH")), set("additionalNotes", json!("12.5"))]);
    let update = json!({"workflow_id": id, "updates": updates, "dry_run": true});
    let shown = stage.ok("update_workflow_attributes", update).await;
    let expected = json!([
        {"path": "counterpartyName", "before": "Acme LLC", "after": "Acme GmbH"},
        {"path": "additionalNotes", "before": null, "after": "12.5"},
    ]);
    assert_eq!(shown["diff"], expected);
    assert_eq!(writes(&stage).await, 0);
}

#[tokio::test]
async fn a_workflow_that_does_not_exist_is_not_found() {
    let stage = Stage::open().await;
    let update = json!({"workflow_id": "aaaaaaaaaaaaaaaaaaaaaaaa", "updates": [set("x", json!("y"))]});
    let error = stage.fails("update_workflow_attributes", update).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("not_found"), &json!("not_sent")), "{error}");
}
