//! Records written with plain values: what is wrapped, what is refused before it is sent, what is warned of.

use serde_json::{Value, json};

use crate::support::{Stage, text};

async fn writes(stage: &Stage) -> Vec<Value> {
    stage.requests().await.into_iter().filter(|request| request["method"] != "GET").collect()
}

fn record(properties: &Value) -> Value {
    json!({"type": "mutualNda", "name": "Acme NDA", "properties": properties})
}

#[tokio::test]
async fn plain_values_are_wrapped_by_the_record_schema_which_is_read_once() {
    let stage = Stage::open().await;
    let given = json!({
        "counterpartyName": "Acme", "effectiveDate": "2026-01-31", "standard_initialTermLength": {"years": 1},
        "contractValue": {"type": "monetaryAmount", "value": {"currency": "usd", "amount": "5"}},
    });
    let created = stage.ok("create_record", record(&given)).await;
    assert_eq!(created["properties"]["contractValue"]["value"], json!({"currency": "USD", "amount": 5}));
    assert_eq!(created["properties"]["standard_initialTermLength"], json!({"type": "duration", "value": "P1Y"}));
    assert_eq!(created["notes"].as_array().unwrap().len(), 3, "{created}");
    let change = json!({"record_id": created["id"], "set_properties": {"counterpartyName": "Acme GmbH"}});
    let changed = stage.ok("update_record", change).await;
    assert_eq!(changed["properties"]["counterpartyName"]["value"], "Acme GmbH");
    assert!(changed.get("notes").is_none(), "{changed}");
    let metadata = |request: &&Value| request["path"] == "/public/api/v1/records/metadata";
    assert_eq!(stage.requests().await.iter().filter(metadata).count(), 1);
}

#[tokio::test]
async fn every_wrong_property_is_named_and_nothing_is_sent() {
    let stage = Stage::open().await;
    let given = json!({"conterpartyName": "Acme", "effectiveDate": "soon", "standard_renewalsAllowed": {"type": "string", "value": "2"}});
    let error = stage.fails("create_record", record(&given)).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("invalid_arguments"), &json!("not_sent")));
    let paths: Vec<&str> = error["errors"].as_array().unwrap().iter().map(|fault| text(&fault["path"])).collect();
    let expected =
        ["properties.conterpartyName", "properties.effectiveDate", "properties.standard_renewalsAllowed.type"];
    assert_eq!(paths, expected);
    assert!(text(&error["errors"][0]["expected"]).contains("counterpartyName (did you mean"));
    assert_eq!(writes(&stage).await, Vec::<Value>::new());
}

#[tokio::test]
async fn without_the_record_schema_wrapped_values_go_on_and_plain_ones_do_not() {
    let stage = Stage::with_faults("503:path=/public/api/v1/records/metadata").await;
    let wrapped = json!({"counterpartyName": {"type": "string", "value": "Acme"}});
    let created = stage.ok("create_record", record(&wrapped)).await;
    assert!(text(&created["notes"][0]).contains("unchecked"), "{created}");
    let error = stage.fails("create_record", record(&json!({"counterpartyName": "Acme"}))).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("upstream_unavailable"), &json!("not_sent")), "{error}");
    assert_eq!(writes(&stage).await.len(), 1);
}

#[tokio::test]
async fn a_dry_run_of_an_update_shows_what_would_change() {
    let stage = Stage::open().await;
    let created = stage.ok("create_record", record(&json!({"counterpartyName": "Acme", "venue": "Oslo"}))).await;
    stage.forget_requests().await;
    let update = json!({"record_id": created["id"], "name": "Acme NDA", "dry_run": true,
        "set_properties": {"counterpartyName": "Acme GmbH"}, "remove_properties": ["venue"]});
    let shown = stage.ok("update_record", update).await;
    let expected = json!([
        {"path": "properties.counterpartyName", "before": "Acme", "after": "Acme GmbH"},
        {"path": "properties.venue", "before": "Oslo", "after": null},
    ]);
    assert_eq!(shown["diff"], expected);
    assert_eq!(writes(&stage).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_record_that_a_workflow_feeds_is_warned_of() {
    let stage = Stage::open().await;
    let all = stage.ok("list_records", json!({"limit": 100})).await;
    let fed = |record: &&Value| record["source"]["type"] == "workflow";
    let record = all["items"].as_array().unwrap().iter().find(fed).unwrap();
    let change = json!({"record_id": record["id"], "set_properties": {"venue": "Bergen"}});
    let changed = stage.ok("update_record", change).await;
    assert!(text(&changed["notes"][0]).contains("comes from workflow"), "{changed}");
}

#[tokio::test]
async fn an_action_takes_plain_flat_and_wrapped_values_alike() {
    let stage = Stage::open().await;
    let (plain, wrapped) = (json!("2026-08-31"), json!({"type": "date", "value": "2026-08-31T00:00:00Z"}));
    let expected = json!({"type": "terminate", "properties": {
        "standard_terminatedDate": wrapped, "standard_terminationEffectiveDate": wrapped}});
    let forms = [
        json!({"type": "terminate", "standard_terminatedDate": plain, "standard_terminationEffectiveDate": plain}),
        json!({"type": "terminate", "properties": {
            "standard_terminatedDate": plain, "standard_terminationEffectiveDate": plain}}),
        expected.clone(),
        expected.to_string().into(),
    ];
    for action in forms {
        let shown =
            stage.ok("run_record_action", json!({"record_id": "IC-51", "action": action, "dry_run": true})).await;
        assert_eq!(shown["request"]["body"], expected, "{action}");
    }
}

/// A contract may be in a state that does not allow an action; its shape is what must be right.
#[tokio::test]
async fn checked_actions_are_what_the_simulator_takes() {
    let stage = Stage::open().await;
    let properties = json!({"effectiveDate": "2025-06-01", "expirationDate": "2027-06-01",
        "standard_renewalType": "Auto-Renew", "standard_renewalTermLength": "P1Y"});
    let day = "2026-01-31";
    let table = [
        json!({"type": "activate", "standard_renewalType": "Auto-Renew", "effectiveDate": day,
            "standard_initialTermLength": {"years": 1}, "standard_renewalsRemaining": "2",
            "standard_renewalOptOutPeriod": "P30D", "standard_terminationNoticePeriod": "P3M"}),
        json!({"type": "terminate", "standard_terminatedDate": day, "standard_terminationEffectiveDate": day}),
        json!({"type": "supersede", "standard_supersededDate": day, "standard_supersessionEffectiveDate": day,
            "standard_supersedingRecordId": "IC-3"}),
        json!({"type": "extend"}),
        json!({"type": "extend", "standard_renewalTermLength": "P2Y"}),
        json!({"type": "cancelAutoRenewal"}),
        json!({"type": "editRenewal", "standard_renewalType": "Evergreen"}),
        json!({"type": "undo", "standard_undoObligationAction": "terminate"}),
    ];
    for action in table {
        let created = stage.ok("create_record", record(&properties)).await;
        let result = stage.call("run_record_action", json!({"record_id": created["id"], "action": action})).await;
        let answer = result.structured_content.unwrap();
        let code = &answer["error"]["code"];
        assert!(code.is_null() || code == "conflict", "{action} gave {answer}");
    }
}

#[tokio::test]
async fn a_wrong_action_is_refused_before_it_is_sent() {
    let stage = Stage::open().await;
    let action = json!({"type": "terminate", "standard_terminatedDate": "soon", "effectiveDate": "2026-01-01"});
    let error = stage.fails("run_record_action", json!({"record_id": "IC-51", "action": action})).await;
    let paths: Vec<&str> = error["errors"].as_array().unwrap().iter().map(|fault| text(&fault["path"])).collect();
    let expected = [
        "action.standard_terminatedDate",
        "action.effectiveDate",
        "action.properties.standard_terminationEffectiveDate",
    ];
    assert_eq!(paths, expected);
    assert_eq!(stage.requests().await, Vec::<Value>::new());
}
