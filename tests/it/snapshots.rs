//! What others depend on, as it stands: each tool, each request, each error.
//!
//! After a change: `INSTA_UPDATE=always cargo test --test it snapshots`, then read the difference before it is committed.

use std::collections::BTreeSet;

use ironclad_mcp::policy::{self, Confirm};
use rmcp::model::GetPromptRequestParams;
use serde_json::{Value, json};

use crate::{
    samples::{sample_with, samples},
    support::{NDA, Setting, Stage, nda, text, waiting},
};

fn assert_snapshot(kind: &str, name: &str, value: &Value) {
    let mut settings = insta::Settings::new();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_json_snapshot!(format!("{kind}__{name}"), value));
}

#[tokio::test]
async fn each_tool_as_clients_see_it() {
    let stage = Stage::open().await;
    let tools = stage.client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 26);
    for tool in tools {
        assert_snapshot("tool", &tool.name, &serde_json::to_value(&tool).unwrap());
    }
}

#[tokio::test]
async fn the_resource_templates_as_clients_see_them() {
    let stage = Stage::open().await;
    let templates = stage.client.list_all_resource_templates().await.unwrap();
    assert_snapshot("list", "resource_templates", &serde_json::to_value(&templates).unwrap());
}

#[tokio::test]
async fn the_prompts_as_clients_see_them() {
    let stage = Stage::open().await;
    let prompts = stage.client.list_all_prompts().await.unwrap();
    assert_snapshot("list", "prompts", &serde_json::to_value(&prompts).unwrap());
    for prompt in prompts {
        let filled = prompt.arguments.unwrap().into_iter().map(|argument| {
            let value = format!("<{}>", argument.name);
            (argument.name, Value::from(value))
        });
        let request = GetPromptRequestParams::new(prompt.name.clone()).with_arguments(filled.collect());
        let result = stage.client.get_prompt(request).await.unwrap();
        assert_snapshot("prompt", &prompt.name, &serde_json::to_value(&result).unwrap());
    }
}

fn writes() -> policy::Settings {
    policy::Settings { enable_writes: true, ..policy::Settings::default() }
}

#[tokio::test]
async fn each_request_with_all_arguments() {
    let stage = Stage::open().await;
    let catalog = ironclad_mcp::catalog::Catalog::load(None, "").unwrap();
    let mut seen = BTreeSet::new();
    for tool in catalog.published(&writes()) {
        let name = tool.name.as_str();
        let request = if tool.entry.effect.is_write() {
            stage.ok(name, sample_with(name, json!({"dry_run": true}))).await["request"].clone()
        } else {
            stage.forget_requests().await;
            stage.call(name, samples()[name].clone().into()).await;
            on_the_wire(&stage.requests().await[0])
        };
        assert_snapshot("request", name, &request);
        seen.insert(name.to_owned());
    }
    assert_eq!(seen.len(), 26);
}

fn on_the_wire(logged: &Value) -> Value {
    let mut shown = json!({"method": logged["method"], "path": logged["path"], "query": logged["query"]});
    if !logged["body"].is_null() {
        shown["body"] = logged["body"].clone();
    }
    for name in ["content-type", "x-as-user-email", "x-as-user-id"] {
        if let Some(value) = logged["headers"].get(name) {
            shown["headers"][name] = value.clone();
        }
    }
    shown
}

async fn error_of(setting: Setting, tool: &str, arguments: Value) {
    let stage = Stage::with(setting).await;
    let mut error = stage.fails(tool, arguments).await;
    if error["code"] == "confirmation_declined" {
        let (id, plan) = waiting(&error);
        for member in ["message", "hint"] {
            error[member] = text(&error[member]).replace(&id, "[id]").replace(&plan, "[plan]").into();
        }
    }
    if let Some(hint) = error["hint"].as_str() {
        error["hint"] = without_time(hint).into();
    }
    assert_snapshot("error", error["code"].as_str().unwrap(), &json!({ "error": error }));
}

/// A hint without the time from which on to look, which is that of the test.
fn without_time(hint: &str) -> String {
    let Some((before, rest)) = hint.split_once("\"updated_since\":\"") else { return hint.to_owned() };
    let (time, after) = rest.split_once('"').unwrap();
    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    format!("{before}\"updated_since\":\"TIME\"{after}")
}

fn with_faults(faults: &str) -> Setting {
    let mut setting = Setting::default();
    setting.simulator.faults = Some(faults.to_owned());
    setting
}

#[tokio::test]
async fn errors_that_come_before_anything_is_sent() {
    let updates = json!({"updates": [{"action": "sett"}], "coment": "x"});
    error_of(Setting::default(), "update_workflow_attributes", updates).await;
    let cancel = json!({"workflow_id": "IC-1", "comment": "no deal"});
    let policy = policy::Settings::default();
    error_of(Setting { policy, ..Setting::default() }, "cancel_workflow", cancel.clone()).await;
    let policy = policy::Settings { confirm: Confirm::Always, ..writes() };
    error_of(Setting { policy, ..Setting::default() }, "cancel_workflow", cancel).await;
    let wrong = Setting { client_secret: Some("wrong".into()), ..Setting::default() };
    error_of(wrong, "list_users", json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    error_of(Setting { audit: Some(file.join("audit.jsonl")), ..Setting::default() }, "launch_workflow", nda()).await;
}

#[tokio::test]
async fn errors_that_ironclad_answers_with() {
    let scopes = Some(vec!["public.webhooks.readWebhooks".to_owned()]);
    error_of(Setting { scopes, ..Setting::default() }, "list_users", json!({})).await;
    error_of(Setting::default(), "get_workflow", json!({"workflow_id": "aaaaaaaaaaaaaaaaaaaaaaaa"})).await;
    let treaty = json!({"type": "treaty", "name": "x", "properties": {}});
    error_of(Setting::default(), "create_record", treaty).await;
    error_of(with_faults("429:retry-after=7,method=POST"), "launch_workflow", nda()).await;
    let stage = Stage::open().await;
    let resume = json!({"workflow_id": stage.launched().await["id"], "comment": "x"});
    let conflict = stage.fails("resume_workflow", resume).await;
    assert_snapshot("error", "conflict", &json!({ "error": conflict }));
}

#[tokio::test]
async fn errors_where_no_sound_answer_came() {
    error_of(with_faults("503"), "list_users", json!({})).await;
    error_of(with_faults("malformed:method=POST"), "launch_workflow", nda()).await;
    let small = Setting { max_result_bytes: 2000, ..Setting::default() };
    error_of(small, "get_workflow_schema", json!({"template_id": NDA})).await;
}
