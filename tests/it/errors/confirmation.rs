//! `confirmation_declined`: a person is asked before what cannot be taken back.

use ironclad_mcp::policy::{Confirm, Settings};
use rmcp::model::{CallToolRequestParams, CallToolResponse, ElicitationAction, InputRequiredResult};
use serde_json::{Value, json};

use super::gist;
use crate::support::{Setting, Stage, call_of, text};

async fn stage(confirm: Confirm, person: Option<ElicitationAction>, modern: bool) -> (Stage, Value) {
    let policy = Settings { enable_writes: true, confirm, ..Settings::default() };
    let stage = Stage::with(Setting { policy, person, modern, ..Setting::default() }).await;
    let id = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    (stage, json!({"workflow_id": id, "comment": "no deal"}))
}

#[tokio::test]
async fn a_declined_call_is_not_sent_and_is_recorded() {
    for modern in [false, true] {
        declined(modern).await;
    }
}

/// A person who says no, or nobody where somebody must be asked.
async fn declined(modern: bool) {
    for (confirm, person) in [
        (Confirm::Always, None),
        (Confirm::Always, Some(ElicitationAction::Decline)),
        (Confirm::Auto, Some(ElicitationAction::Decline)),
        (Confirm::Auto, Some(ElicitationAction::Cancel)),
    ] {
        let (stage, arguments) = stage(confirm, person.clone(), modern).await;
        let error = stage.fails("cancel_workflow", arguments).await;
        assert_eq!(gist(&error), ("confirmation_declined", None, Some("not_sent")), "{confirm:?} {person:?} {modern}");
        assert!(!text(&error["hint"]).is_empty());
        assert_eq!(stage.writes().await, Vec::<Value>::new());
        let lines = stage.audit();
        let line = lines.last().unwrap();
        assert_eq!(
            (&line["decision"], &line["outcome"], &line["attempts"]),
            (&json!("declined"), &json!("error"), &json!(0))
        );
        assert!(lines.iter().all(|line| line["tool"] != "cancel_workflow" || line["outcome"] != "intent"));
    }
}

#[tokio::test]
async fn a_confirmed_call_is_sent() {
    for modern in [false, true] {
        confirmed(modern).await;
    }
}

async fn confirmed(modern: bool) {
    for (confirm, person) in [
        (Confirm::Always, Some(ElicitationAction::Accept)),
        (Confirm::Auto, Some(ElicitationAction::Accept)),
        (Confirm::Auto, None),
        (Confirm::Never, None),
        (Confirm::Never, Some(ElicitationAction::Decline)),
    ] {
        let (stage, arguments) = stage(confirm, person.clone(), modern).await;
        stage.ok("cancel_workflow", arguments).await;
        assert_eq!(stage.writes().await.len(), 1, "{confirm:?} {person:?} {modern}");
    }
}

#[tokio::test]
async fn nobody_is_asked_about_what_can_be_taken_back_or_is_not_sent() {
    let (stage, arguments) = stage(Confirm::Always, Some(ElicitationAction::Decline), true).await;
    stage.ok("pause_workflow", arguments.clone()).await;
    let mut tried = arguments;
    tried["dry_run"] = true.into();
    stage.ok("cancel_workflow", tried).await;
}

/// A question of 2026-07-28 for one call, and the state that its answer must bring back.
async fn question(stage: &Stage, arguments: &Value) -> (CallToolRequestParams, InputRequiredResult) {
    let call = call_of("cancel_workflow", arguments);
    let asked = stage.client.call_tool_once(call.clone()).await.unwrap();
    let CallToolResponse::InputRequired(question) = asked else { panic!("{asked:?}") };
    (call, question)
}

#[tokio::test]
async fn a_yes_counts_only_for_the_call_that_was_asked_about() {
    let (stage, arguments) = stage(Confirm::Auto, Some(ElicitationAction::Accept), true).await;
    let (mut call, question) = question(&stage, &arguments).await;
    let asked = json!(question.input_requests.unwrap());
    assert!(asked.to_string().contains("cannot be undone"), "{asked}");
    assert_eq!((stage.writes().await, stage.audit().len()), (vec![], 2), "a question is no call");
    call.input_responses =
        Some(serde_json::from_value(json!({"confirm": {"action": "accept", "content": {}}})).unwrap());
    let state = question.request_state.unwrap();
    for forged in ["", "x", &state[1..], &format!("{state}x")] {
        call.request_state = Some(forged.to_owned());
        assert!(stage.client.call_tool_once(call.clone()).await.is_err(), "{forged}");
    }
    call.request_state = Some(state);
    let mut other = call.clone();
    other.arguments.as_mut().unwrap().insert("comment".into(), "another".into());
    assert!(stage.client.call_tool_once(other).await.is_err());
    assert_eq!(stage.writes().await, Vec::<Value>::new());
    let CallToolResponse::Complete(done) = stage.client.call_tool_once(call).await.unwrap() else {
        panic!("no result")
    };
    assert_eq!(done.structured_content.unwrap()["done"], true);
}

#[tokio::test]
async fn an_answer_without_its_question_is_no_yes() {
    let (stage, arguments) = stage(Confirm::Auto, Some(ElicitationAction::Accept), true).await;
    let mut call = call_of("cancel_workflow", &arguments);
    call.input_responses =
        Some(serde_json::from_value(json!({"confirm": {"action": "accept", "content": {}}})).unwrap());
    let answer = stage.client.call_tool_once(call).await;
    assert!(!matches!(answer, Ok(CallToolResponse::Complete(_))), "{answer:?}");
    assert_eq!(stage.writes().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_yes_to_another_form_is_no_yes_and_uses_the_question_up() {
    let (stage, arguments) = stage(Confirm::Auto, Some(ElicitationAction::Accept), true).await;
    let (mut call, question) = question(&stage, &arguments).await;
    call.request_state = question.request_state;
    for content in [json!({"cancel_it": "not yet"}), json!({})] {
        let answer = json!({"confirm": {"action": "accept", "content": content}});
        call.input_responses = Some(serde_json::from_value(answer).unwrap());
        let CallToolResponse::Complete(refused) = stage.client.call_tool_once(call.clone()).await.unwrap() else {
            panic!("asked again")
        };
        let structured = refused.structured_content.unwrap();
        assert_eq!(structured["error"]["code"], "confirmation_declined", "{content}");
    }
    assert_eq!(stage.writes().await, Vec::<Value>::new());
}
