//! Input that no honest client sends: ids that climb out of their segment, wrong types, values that are deep or huge.
//! Each gets a clear error or an answer, and the next call works.

use std::collections::BTreeSet;

use ironclad_mcp::{catalog::Catalog, manifest::Entry, tool_schema};
use serde_json::{Value, json};

use crate::{
    samples::samples,
    support::{Setting, Stage, text},
};

const BAD_IDS: [&str; 22] = [
    "",
    ".",
    "..",
    "../..",
    "%2e%2e",
    "%2E",
    "a/b",
    "/",
    "//",
    "a%2fb",
    "?x=1",
    "a?b",
    "a#b",
    "#",
    "a\\b",
    "..\\..",
    " ",
    "a b",
    "a\nb",
    "a\r\nx-as-user-id: 1",
    "a\u{0}b",
    "a\u{2003}b",
];

fn entries() -> Vec<Entry> {
    Catalog::load(None, "").unwrap().all().map(|tool| tool.entry.clone()).collect()
}

/// Each tool with each of its path arguments.
fn path_arguments() -> Vec<(String, String)> {
    let pairs = entries().into_iter().flat_map(|entry| {
        let name = entry.name.clone();
        entry.path_arguments().map(|argument| (name.clone(), argument.to_owned())).collect::<Vec<_>>()
    });
    pairs.collect()
}

#[tokio::test]
async fn an_id_that_is_no_id_is_refused_by_name_and_nothing_is_sent() {
    let stage = Stage::open().await;
    let samples = samples();
    let long = "a".repeat(10_000);
    let pairs = path_arguments();
    assert_eq!(pairs.len(), 19);
    for (tool, argument) in pairs {
        for id in BAD_IDS.into_iter().chain([long.as_str()]) {
            let mut arguments = samples[&tool].clone();
            arguments.insert(argument.clone(), id.into());
            let error = stage.fails(&tool, arguments.into()).await;
            assert_eq!(
                (&error["code"], &error["outcome"], &error["errors"][0]["path"]),
                (&json!("invalid_arguments"), &json!("not_sent"), &json!(argument)),
                "{tool} {id:?}: {error}"
            );
            assert!(error.to_string().len() < 2000, "{tool}: the error repeats too much of the id");
        }
    }
    assert_eq!(stage.all_requests().await, Vec::<Value>::new());
    assert!(!stage.audit_text().contains(&long));
    stage.ok("list_webhooks", json!({})).await;
}

/// Odd characters that are no danger arrive as exactly one segment.
#[tokio::test]
async fn an_odd_id_fills_exactly_one_segment() {
    let stage = Stage::open().await;
    for (id, encoded) in [
        ("...", "..."),
        ("~a", "~a"),
        ("é", "%C3%A9"),
        ("a:b@c;d=e&f", "a%3Ab%40c%3Bd%3De%26f"),
        ("+1", "%2B1"),
        ("'\"<>", "%27%22%3C%3E"),
    ] {
        stage.forget_requests().await;
        assert_eq!(stage.fails("get_user", json!({"user_id": id})).await["code"], "not_found", "{id}");
        assert_eq!(stage.requests().await[0]["path"], format!("/scim/v2/Users/{encoded}"));
    }
}

fn odd_values() -> Vec<Value> {
    let deep_array = (0..100).fold(json!([]), |inner, _| json!([inner]));
    let deep_object = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(12.5),
        json!(""),
        json!("\u{0}\u{7f}\u{202e}\u{feff}"),
        json!("null"),
        json!("[[[[[["),
        json!("[".repeat(10_000)),
        json!([]),
        json!({}),
        json!([null]),
        json!([[]]),
        json!({"": null}),
        json!({"__proto__": {"x": 1}}),
        deep_array,
        deep_object,
        json!("x".repeat(10_000)),
    ]
}

/// Whatever an argument holds, there is one result; a refusal before sending names what is wrong.
#[tokio::test]
async fn no_value_of_any_argument_breaks_the_server() {
    let mut setting = Setting::default();
    setting.simulator.workflows = 3;
    setting.simulator.records = 5;
    let stage = Stage::with(setting).await;
    let samples = samples();
    let values = odd_values();
    for (entry, argument) in distinct_arguments() {
        for value in &values {
            let mut arguments = samples[&entry.name].clone();
            if entry.effect.is_write() {
                arguments.insert("dry_run".into(), true.into());
            }
            arguments.insert(argument.clone(), value.clone());
            one_result(&stage, &entry.name, arguments.into()).await;
        }
    }
    stage.ok("list_webhooks", json!({})).await;
}

/// Every argument of every tool, but those of one name and schema in one tool only.
fn distinct_arguments() -> Vec<(Entry, String)> {
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::new();
    for entry in entries() {
        for (argument, schema) in tool_schema::argument_schema(&entry)["properties"].as_object().unwrap() {
            if seen.insert(format!("{argument} {schema}")) {
                distinct.push((entry.clone(), argument.clone()));
            }
        }
    }
    distinct
}

async fn one_result(stage: &Stage, tool: &str, arguments: Value) {
    let result = stage.call(tool, arguments).await;
    let structured = result.structured_content.unwrap();
    if result.is_error != Some(true) {
        return;
    }
    let error = &structured["error"];
    assert!(structured.to_string().len() < 20_000, "{tool}: {}", structured.to_string().len());
    match text(&error["code"]) {
        "invalid_arguments" => assert!(!error["errors"].as_array().unwrap().is_empty(), "{error}"),
        "not_found" | "rejected" | "conflict" => assert_eq!(error["outcome"], "refused"),
        code => panic!("{tool} gave {code}: {error}"),
    }
}

#[tokio::test]
async fn what_does_not_fit_into_a_url_is_refused_by_name() {
    let stage = Stage::open().await;
    for filter in ["x".repeat(100_000), "é".repeat(12_000)] {
        let error = stage.fails("list_records", json!({"filter": filter, "types": ["a"]})).await;
        assert_eq!((&error["code"], &error["errors"][0]["path"]), (&json!("invalid_arguments"), &json!("filter")));
    }
    assert_eq!(stage.all_requests().await, Vec::<Value>::new());
    let long = "x".repeat(15_000);
    assert_eq!(stage.fails("list_records", json!({"filter": long})).await["code"], "rejected");
}

#[tokio::test]
async fn arguments_that_do_not_exist_are_named_and_the_nearest_suggested() {
    let stage = Stage::open().await;
    let error = stage.fails("get_workflow", json!({"workflowId": "IC-1"})).await;
    let faults = error["errors"].as_array().unwrap();
    let unknown = faults.iter().find(|fault| fault["path"] == "workflowId").unwrap();
    assert!(text(&unknown["expected"]).contains("workflow_id"), "{unknown}");
    for name in ["x-as-user-email", "creator", "user", "page", "pageSize", "form", "headers"] {
        let error = stage.fails("list_workflows", json!({name: "x"})).await;
        assert_eq!(error["errors"][0]["path"], name);
    }
    assert_eq!(stage.all_requests().await, Vec::<Value>::new());
}

#[tokio::test]
async fn objects_that_arrive_as_json_text_are_decoded() {
    let stage = Stage::open().await;
    let nda = crate::support::nda();
    let launch = json!({"template_id": nda["template_id"], "attributes": nda["attributes"].to_string()});
    assert_eq!(stage.ok("launch_workflow", launch).await["attributes"]["counterpartyName"], "Acme LLC");
    let page = stage.ok("list_users", json!({"limit": 1.0, "fields": "[\"userName\"]"})).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}
