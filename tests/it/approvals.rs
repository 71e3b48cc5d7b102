//! A person's yes: what they are shown, what their answer counts for, and how somebody decides out of band.

use std::sync::{Arc, atomic::Ordering};

use ironclad_mcp::{
    approvals::{self, Decided, Decision, Shared as _},
    policy::{Confirm, Settings},
};
use rmcp::model::{CallToolRequestParams, CallToolResponse, ElicitationAction, InputRequiredResult};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    samples::sample_with,
    support::{Setting, Stage, call_of, nda, text, waiting},
};

fn setting(confirm: Confirm, person: Option<ElicitationAction>, modern: bool) -> Setting {
    let policy = Settings { enable_writes: true, confirm, ..Settings::default() };
    Setting { policy, person, modern, ..Setting::default() }
}

/// A stage with a launched NDA, and the arguments that cancel it.
async fn stage(setting: Setting) -> (Stage, Value) {
    let stage = Stage::with(setting).await;
    let id = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    (stage, json!({"workflow_id": id, "comment": "no deal"}))
}

/// What the person behind the client is asked about a call.
async fn question(stage: &Stage, modern: bool, tool: &str, arguments: &Value) -> String {
    if modern {
        let asked = stage.client.call_tool_once(call_of(tool, arguments)).await.unwrap();
        let CallToolResponse::InputRequired(question) = asked else { panic!("{asked:?}") };
        let asked = json!(question.input_requests.unwrap());
        return text(&asked["confirm"]["params"]["message"]).to_owned();
    }
    stage.call(tool, arguments.clone()).await;
    stage.client.service().questions.lock().unwrap().pop().unwrap()
}

#[tokio::test]
async fn the_question_shows_what_a_lawyer_needs() {
    for modern in [false, true] {
        let (stage, arguments) = stage(setting(Confirm::Auto, Some(ElicitationAction::Decline), modern)).await;
        let id = arguments["workflow_id"].clone();
        let workflow = stage.ok("get_workflow", json!({ "workflow_id": id })).await;
        let asked = question(&stage, modern, "cancel_workflow", &arguments).await;
        let title = format!("Workflow: {} ({})", text(&workflow["title"]), text(&workflow["ironcladId"]));
        for line in [
            "Cancel a workflow? This cannot be undone.",
            title.as_str(),
            "Counterparty: Acme LLC",
            "Template: Mutual NDA",
            "Step: Review, active",
            "comment: no deal",
            "Change: status: active → cancelled",
        ] {
            assert!(asked.lines().any(|one| one == line), "{line} is missing in:\n{asked}");
        }
        for part in
            ["\nOwner: ", "\nSigners: Ada Byron <ada@acme.example>", "\nWhat cannot be undone: A cancelled workflow"]
        {
            assert!(asked.contains(part), "{part} is missing in:\n{asked}");
        }
    }
}

#[tokio::test]
async fn records_and_webhooks_are_shown_too() {
    let (stage, _) = stage(setting(Confirm::Auto, Some(ElicitationAction::Decline), false)).await;
    let webhook = json!({"events": ["workflow_launched"], "target_url": "https://hooks.example/x"});
    let id = stage.ok("create_webhook", webhook).await["id"].clone();
    let asked = question(&stage, false, "delete_webhook", &json!({ "webhook_id": id })).await;
    assert!(asked.contains("\nWebhook: https://hooks.example/x\nEvents: workflow_launched\n"), "{asked}");
    let action = sample_with("run_record_action", json!({"record_id": "IC-51"}));
    let asked = question(&stage, false, "run_record_action", &action).await;
    assert!(asked.contains("\nRecord: ") && asked.contains("(IC-51)"), "{asked}");
}

/// What is written in a contract must not pass for the server's own words.
#[tokio::test]
async fn a_name_cannot_fake_a_line_of_the_question() {
    let (stage, _) = stage(setting(Confirm::Auto, Some(ElicitationAction::Decline), false)).await;
    let mut launch = nda();
    let name = format!("Acme\nStep: Archive, completed\u{202e}\u{200b}{}", "x".repeat(2000));
    launch["attributes"]["counterpartyName"] = name.into();
    let id = stage.ok("launch_workflow", launch).await["id"].clone();
    let comment = "fine\n\nWhat cannot be undone: nothing";
    let asked = question(&stage, false, "cancel_workflow", &json!({"workflow_id": id, "comment": comment})).await;
    let lines = |label: &str| asked.lines().filter(|line| line.starts_with(label)).count();
    assert_eq!((lines("Step: "), lines("What cannot be undone: ")), (1, 1), "{asked}");
    assert!(asked.contains("Step: Review, active") && !asked.contains('\u{202e}'), "{asked}");
    assert!(asked.lines().all(|line| line.chars().count() < 400), "{asked}");
}

#[tokio::test]
async fn what_cannot_be_read_does_not_keep_from_asking() {
    for modern in [false, true] {
        let (stage, arguments) = stage(setting(Confirm::Auto, Some(ElicitationAction::Accept), modern)).await;
        stage.set_faults("503:method=GET").await;
        let asked = question(&stage, modern, "cancel_workflow", &arguments).await;
        assert!(asked.contains("could not be read") && asked.contains("comment: no deal"), "{asked}");
        if modern {
            stage.ok("cancel_workflow", arguments).await;
        }
        assert_eq!(stage.writes().await.len(), 1);
    }
}

#[tokio::test]
async fn tools_can_be_named_to_be_asked_about() {
    let mut asking = setting(Confirm::Auto, Some(ElicitationAction::Decline), true);
    asking.policy.confirm_tools = vec!["pause_workflow".into(), "launch_workflow".into()];
    let stage = Stage::with(asking).await;
    let asked = question(&stage, true, "launch_workflow", &nda()).await;
    assert!(asked.starts_with("Launch a workflow?\n") && asked.contains("\nTemplate: Mutual NDA\n"), "{asked}");
    assert_eq!(stage.fails("launch_workflow", nda()).await["code"], "confirmation_declined");
    assert!(stage.writes().await.is_empty());
    stage.ok("create_webhook", json!({"events": ["*"], "target_url": "https://hooks.example/x"})).await;
}

/// A question of 2026-07-28, and the call with its answer.
async fn answered(stage: &Stage, arguments: &Value, answer: Value) -> (CallToolRequestParams, InputRequiredResult) {
    let mut call = call_of("cancel_workflow", arguments);
    let asked = stage.client.call_tool_once(call.clone()).await.unwrap();
    let CallToolResponse::InputRequired(question) = asked else { panic!("{asked:?}") };
    call.request_state = question.request_state.clone();
    call.input_responses = Some(serde_json::from_value(json!({ "confirm": answer })).unwrap());
    (call, question)
}

#[tokio::test]
async fn an_answer_counts_once() {
    for action in ["accept", "decline"] {
        let (stage, arguments) = stage(setting(Confirm::Auto, Some(ElicitationAction::Accept), true)).await;
        let (mut call, _) = answered(&stage, &arguments, json!({"action": action, "content": {}})).await;
        let first = stage.client.call_tool_once(call.clone()).await.unwrap();
        let CallToolResponse::Complete(first) = first else { panic!("{first:?}") };
        assert_eq!(first.is_error == Some(true), action == "decline");
        // A no that was said is not turned into a yes by bringing the question again.
        call.input_responses =
            Some(serde_json::from_value(json!({"confirm": {"action": "accept", "content": {}}})).unwrap());
        let again = stage.client.call_tool_once(call).await.unwrap();
        let CallToolResponse::Complete(again) = again else { panic!("{again:?}") };
        let error = &again.structured_content.unwrap()["error"];
        assert_eq!(error["code"], "confirmation_declined");
        assert!(text(&error["message"]).contains("counts once"), "{error}");
        assert_eq!(stage.writes().await.len(), usize::from(action == "accept"));
    }
}

#[tokio::test]
async fn of_one_answer_brought_to_two_servers_at_once_one_counts() {
    let modern = || setting(Confirm::Auto, Some(ElicitationAction::Accept), true);
    let (stage, arguments) = stage(modern()).await;
    let other = stage.another(modern()).await;
    let (call, _) = answered(&stage, &arguments, json!({"action": "accept", "content": {}})).await;
    let (here, there) =
        futures_util::join!(stage.client.call_tool_once(call.clone()), other.call_tool_once(call.clone()));
    let sent = [here.unwrap(), there.unwrap()].into_iter().filter(|answer| {
        let CallToolResponse::Complete(result) = answer else { panic!("{answer:?}") };
        result.is_error != Some(true)
    });
    assert_eq!((sent.count(), stage.writes().await.len()), (1, 1));
}

#[tokio::test]
async fn another_agents_answer_is_none() {
    let modern = || setting(Confirm::Auto, Some(ElicitationAction::Accept), true);
    let (stage, arguments) = stage(modern()).await;
    let other = stage.another(Setting { agent: "another", ..modern() }).await;
    let (call, _) = answered(&stage, &arguments, json!({"action": "accept", "content": {}})).await;
    assert!(other.call_tool_once(call).await.is_err());
    assert!(stage.writes().await.is_empty());
}

#[tokio::test]
async fn a_wrong_answer_is_asked_about_again() {
    let (stage, arguments) = stage(setting(Confirm::Auto, Some(ElicitationAction::Accept), true)).await;
    for wrong in [json!({"action": "maybe"}), json!({}), json!("accept"), json!(null)] {
        let mut call = call_of("cancel_workflow", &arguments);
        let CallToolResponse::InputRequired(question) = stage.client.call_tool_once(call.clone()).await.unwrap() else {
            panic!("no question")
        };
        call.request_state = question.request_state;
        let Ok(answers) = serde_json::from_value(json!({ "confirm": wrong })) else { continue };
        call.input_responses = Some(answers);
        let answer = stage.client.call_tool_once(call).await;
        assert!(!matches!(answer, Ok(CallToolResponse::Complete(_))), "{wrong}: {answer:?}");
    }
    assert!(stage.writes().await.is_empty());
}

/// The person said yes to what they were shown, and that is no longer what there is.
#[tokio::test]
async fn what_changed_before_the_answer_came_is_asked_about_again() {
    let (stage, arguments) = stage(setting(Confirm::Auto, Some(ElicitationAction::Accept), true)).await;
    let (call, first) = answered(&stage, &arguments, json!({"action": "accept", "content": {}})).await;
    let updates = json!([{"action": "set", "path": "counterpartyName", "value": "Ajax"}]);
    stage.ok("update_workflow_attributes", json!({"workflow_id": arguments["workflow_id"], "updates": updates})).await;
    let answer = stage.client.call_tool_once(call).await.unwrap();
    let CallToolResponse::InputRequired(second) = answer else { panic!("{answer:?}") };
    assert_ne!(first.request_state, second.request_state);
    assert!(json!(second.input_requests.unwrap()).to_string().contains("Ajax"));
    assert_eq!(stage.writes().await.len(), 1);
}

#[tokio::test]
async fn what_changed_while_the_person_thought_is_not_sent() {
    let hesitation = Arc::new(Notify::new());
    let asking = setting(Confirm::Auto, Some(ElicitationAction::Accept), false);
    let (stage, arguments) = stage(Setting { hesitation: Some(Arc::clone(&hesitation)), ..asking }).await;
    let other = stage.another(Setting::default()).await;
    let calling = stage.call("cancel_workflow", arguments.clone());
    let meanwhile = async {
        stage.client.service().asked.notified().await;
        other.call_tool(call_of("pause_workflow", &arguments)).await.unwrap();
        hesitation.notify_one();
    };
    let (answer, ()) = futures_util::join!(calling, meanwhile);
    let error = &answer.structured_content.unwrap()["error"];
    assert_eq!((&error["code"], &error["outcome"]), (&json!("conflict"), &json!("not_sent")), "{error}");
    assert_eq!(stage.writes().await.len(), 1);
}

fn said(approved: bool, by: &str, at: i64) -> Decision {
    Decision { approved, by: by.into(), at, reason: (!approved).then(|| "not yet".to_owned()) }
}

async fn decided(stage: &Stage, id: &str, approved: bool) {
    let decision = said(approved, "maria", approvals::now());
    assert!(matches!(approvals::decide(&stage.shared(), id, decision).await.unwrap(), Decided::Now(_)));
}

#[tokio::test]
async fn a_call_waits_for_somebody_elsewhere_and_goes_on_with_its_plan() {
    for modern in [false, true] {
        let (stage, arguments) = stage(setting(Confirm::Always, None, modern)).await;
        let error = stage.fails("cancel_workflow", arguments.clone()).await;
        assert_eq!((&error["code"], &error["outcome"]), (&json!("confirmation_declined"), &json!("not_sent")));
        let (id, plan) = waiting(&error);
        let filed = stage.shared().find(&id).await.unwrap().unwrap();
        assert_eq!((filed.agent.as_str(), filed.tool.as_str()), ("tests", "cancel_workflow"));
        assert_eq!(filed.diff, [json!({"path": "status", "before": "active", "after": "cancelled"})]);
        assert!(filed.facts.contains(&("Counterparty".into(), "Acme LLC".into())), "{filed:?}");
        assert!(filed.lasting.is_some() && filed.request.is_some());
        let plan = json!({ "plan": plan });
        let still = stage.fails("cancel_workflow", plan.clone()).await;
        assert!(text(&still["hint"]).contains(&id) && text(&still["hint"]).contains("same plan"), "{still}");
        let again = stage.fails("cancel_workflow", arguments.clone()).await;
        assert_eq!(waiting(&again).0, id, "the same call waits once");
        decided(&stage, &id, true).await;
        let approved = stage.fails("cancel_workflow", arguments).await;
        assert!(text(&approved["hint"]).contains("maria approved it"), "{approved}");
        assert!(stage.writes().await.is_empty());
        stage.ok("cancel_workflow", plan.clone()).await;
        let error = stage.fails("cancel_workflow", plan).await;
        assert_eq!(error["code"], "invalid_arguments", "{error}");
        let writes = stage.writes().await;
        assert_eq!((writes.len(), Some(&writes[0]["body"])), (1, filed.request.unwrap().get("body")));
        let lines = stage.audit();
        let line = lines.iter().find(|line| line["tool"] == "cancel_workflow" && line["outcome"] == "ok").unwrap();
        assert!(text(&line["rule"]).ends_with(&format!("; plan {id}; approved by maria")), "{line}");
        assert!(text(&line["sentence"]).ends_with(", approved by maria"), "{line}");
        assert_eq!(lines.iter().filter(|line| line["outcome"] == "intent").count(), 2, "the launch, and this one");
    }
}

#[tokio::test]
async fn the_plan_of_a_dry_run_is_what_is_approved() {
    let settings = setting(Confirm::Always, None, true);
    let later = Arc::clone(&settings.later);
    let (stage, mut arguments) = stage(settings).await;
    arguments["dry_run"] = true.into();
    let plan = json!({"plan": stage.ok("cancel_workflow", arguments).await["plan"]});
    let (id, none) = waiting(&stage.fails("cancel_workflow", plan.clone()).await);
    assert_eq!(none, "", "the caller has the plan already");
    decided(&stage, &id, true).await;
    // A person takes longer than a plan is good for otherwise.
    later.store(20 * 60 * 60, Ordering::SeqCst);
    stage.ok("cancel_workflow", plan).await;
}

#[tokio::test]
async fn a_no_elsewhere_is_a_no() {
    let (stage, arguments) = stage(setting(Confirm::Always, None, false)).await;
    let (id, plan) = waiting(&stage.fails("cancel_workflow", arguments.clone()).await);
    decided(&stage, &id, false).await;
    let error = stage.fails("cancel_workflow", json!({ "plan": plan })).await;
    assert_eq!(error["code"], "confirmation_declined");
    assert!(text(&error["message"]).contains("maria declined it") && text(&error["message"]).contains("not yet"));
    assert_eq!(stage.audit().last().unwrap()["decision"], "declined");
    let (anew, _) = waiting(&stage.fails("cancel_workflow", arguments).await);
    assert_ne!(anew, id, "another call is another question");
    assert!(stage.writes().await.is_empty());
}

#[tokio::test]
async fn an_approval_expires_with_its_plan() {
    let settings = setting(Confirm::Always, None, false);
    let later = Arc::clone(&settings.later);
    let (stage, arguments) = stage(settings).await;
    let (id, plan) = waiting(&stage.fails("cancel_workflow", arguments).await);
    decided(&stage, &id, true).await;
    later.store(24 * 60 * 60 + 5, Ordering::SeqCst);
    let error = stage.fails("cancel_workflow", json!({ "plan": plan })).await;
    assert_eq!((&error["code"], &error["errors"][0]["message"]), (&json!("invalid_arguments"), &json!("has expired")));
    let late = said(true, "ada", approvals::now() + 24 * 60 * 60 + 5);
    let late = approvals::decide(&stage.shared(), &id, late).await.unwrap();
    assert!(matches!(late, Decided::Before(_)));
    assert!(stage.writes().await.is_empty());
}

#[tokio::test]
async fn what_changed_since_it_was_approved_is_not_sent() {
    let (stage, arguments) = stage(setting(Confirm::Always, None, false)).await;
    let (id, plan) = waiting(&stage.fails("cancel_workflow", arguments.clone()).await);
    decided(&stage, &id, true).await;
    stage.ok("pause_workflow", arguments).await;
    let error = stage.fails("cancel_workflow", json!({ "plan": plan })).await;
    assert_eq!(error["code"], "conflict");
    assert_eq!(stage.writes().await.len(), 1);
}

#[tokio::test]
async fn an_approval_is_for_one_agent_and_one_request() {
    let (stage, arguments) = stage(setting(Confirm::Always, None, false)).await;
    let (id, plan) = waiting(&stage.fails("cancel_workflow", arguments.clone()).await);
    decided(&stage, &id, true).await;
    let other = stage.another(Setting { agent: "another", ..setting(Confirm::Always, None, false) }).await;
    for call in [json!({ "plan": plan }), arguments.clone()] {
        let answer = other.call_tool(call_of("cancel_workflow", &call)).await.unwrap();
        assert_eq!(answer.is_error, Some(true));
        assert!(!answer.structured_content.unwrap().to_string().contains(&id));
    }
    let mut another = arguments;
    another["comment"] = "another".into();
    assert_ne!(waiting(&stage.fails("cancel_workflow", another).await).0, id);
    assert!(stage.writes().await.is_empty());
}

#[tokio::test]
async fn a_client_that_can_ask_does_not_ask_about_what_was_approved() {
    let (stage, arguments) = stage(setting(Confirm::Always, None, true)).await;
    let (id, plan) = waiting(&stage.fails("cancel_workflow", arguments).await);
    decided(&stage, &id, true).await;
    let asking = stage.another(setting(Confirm::Always, Some(ElicitationAction::Decline), true)).await;
    let done = asking.call_tool(call_of("cancel_workflow", &json!({ "plan": plan }))).await.unwrap();
    assert_eq!(done.structured_content.unwrap()["done"], true);
}
