//! Several servers are one: what one of them seals another opens, a key is changed while calls go on, and what must be
//! agreed on is shared through a real Redis.

mod budget;
pub(crate) mod redis;
mod sharing;

use ironclad_mcp::{keys::Ring, policy::Settings};
use rmcp::model::{CallToolResponse, ElicitationAction};
use serde_json::{Value, json};

use crate::support::{Client, Setting, Stage, call_of, text};

const OLD: &str = "q1Zt0s0m3Kx9vYy2n8fQhB4cR7uJ5wLdGiEoTpAbCdE=";
const NEW: &str = "8f2b6d1c9a7e4053b1d2c3e4f5a697887766554433221100fedcba9876543210";

/// A server whose keys these are, and a client behind which somebody says yes.
fn sealed_by(keys: &[&str]) -> Setting {
    let person = Some(ElicitationAction::Accept);
    let policy = Settings { enable_writes: true, ..Settings::default() };
    Setting {
        state_keys: Some(Ring::read(&keys.join(",")).unwrap()),
        modern: true,
        person,
        policy,
        ..Setting::default()
    }
}

pub(crate) async fn call(client: &Client, tool: &str, arguments: &Value) -> Result<Value, Value> {
    let CallToolResponse::Complete(result) = client.call_tool_once(call_of(tool, arguments)).await.unwrap() else {
        panic!("{tool} ends with a question")
    };
    let structured = result.structured_content.unwrap();
    if result.is_error == Some(true) { Err(structured["error"].clone()) } else { Ok(structured) }
}

/// A cursor, a plan and a state that one server made, each brought to another; whether the other took them.
async fn taken(from: &Client, to: &Client, workflow: &Value) -> [bool; 3] {
    let first = call(from, "list_workflows", &json!({"limit": 2})).await.unwrap();
    let next = json!({"limit": 2, "cursor": first["next_cursor"]});
    let cursor = match call(to, "list_workflows", &next).await {
        Ok(second) => {
            assert_ne!(first["items"], second["items"], "{second}");
            true
        }
        Err(error) => {
            assert_eq!(error["errors"][0]["path"], "cursor", "{error}");
            false
        }
    };
    let arguments = json!({"workflow_id": workflow, "comment": "c", "dry_run": true});
    let shown = call(from, "pause_workflow", &arguments).await.unwrap();
    let plan = match call(to, "pause_workflow", &json!({"plan": shown["plan"]})).await {
        Ok(_) => {
            call(from, "resume_workflow", &json!({"workflow_id": workflow, "comment": "c"})).await.unwrap();
            true
        }
        Err(error) => {
            assert!(text(&error["errors"][0]["message"]).contains("no plan of this server"), "{error}");
            false
        }
    };
    let mut asking = call_of("cancel_workflow", &json!({"workflow_id": workflow, "comment": "c"}));
    let CallToolResponse::InputRequired(question) = from.call_tool_once(asking.clone()).await.unwrap() else {
        panic!("nobody was asked")
    };
    asking.request_state = question.request_state;
    // A no: the workflow is wanted again.
    let answers = json!({"confirm": {"action": "decline", "content": {}}});
    asking.input_responses = Some(serde_json::from_value(answers).unwrap());
    let state = match to.call_tool_once(asking).await {
        Ok(CallToolResponse::Complete(result)) => {
            assert_eq!(result.structured_content.unwrap()["error"]["code"], "confirmation_declined");
            true
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert!(error.to_string().contains("requestState"), "{error}");
            false
        }
    };
    [cursor, plan, state]
}

#[tokio::test]
async fn a_key_is_changed_in_three_steps_and_every_replica_takes_what_the_others_made() {
    let stage = Stage::with(sealed_by(&[OLD])).await;
    let workflow = stage.launched().await["id"].clone();
    let old = &stage.client;
    let known = stage.another(sealed_by(&[OLD, NEW])).await;
    let changed = stage.another(sealed_by(&[NEW, OLD])).await;
    let new = stage.another(sealed_by(&[NEW])).await;
    let (all, none) = ([true; 3], [false; 3]);
    let table = [
        ("old to known", old, &known, all),
        ("known to old", &known, old, all),
        ("known to changed", &known, &changed, all),
        ("changed to known", &changed, &known, all),
        ("changed to new", &changed, &new, all),
        ("new to changed", &new, &changed, all),
        // What the dropped key sealed, and what a key seals that is not known yet.
        ("old to new", old, &new, none),
        ("known to new", &known, &new, none),
        ("changed to old", &changed, old, none),
    ];
    for (name, from, to, expected) in table {
        assert_eq!(taken(from, to, &workflow).await, expected, "{name}");
    }
}
