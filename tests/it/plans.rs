//! A dry run answers with a plan, and a call by the plan does what was shown, once, and nothing else.

use std::sync::{Arc, atomic::Ordering};

use ironclad_mcp::policy::Settings;
use serde_json::{Value, json};

use crate::{
    launch_documents::{PDF, with_draft},
    samples::sample_with,
    support::{Setting, Stage, call_of, nda, text},
};

/// A stage with a launched NDA, and the arguments that pause it.
async fn stage(setting: Setting) -> (Stage, Value) {
    let stage = Stage::with(setting).await;
    let id = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    (stage, json!({"workflow_id": id, "comment": "no deal"}))
}

fn with(arguments: &Value, more: &Value) -> Value {
    let mut arguments = arguments.clone();
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

/// What a dry run shows.
async fn tried(stage: &Stage, tool: &str, arguments: &Value) -> Value {
    stage.ok(tool, with(arguments, &json!({"dry_run": true}))).await
}

/// The fault of a refused plan.
async fn refused(stage: &Stage, tool: &str, arguments: Value) -> String {
    let writes = stage.writes().await.len();
    let error = stage.fails(tool, arguments).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("invalid_arguments"), &json!("not_sent")), "{error}");
    assert_eq!(stage.writes().await.len(), writes);
    format!("{}: {}", text(&error["errors"][0]["path"]), text(&error["errors"][0]["message"]))
}

#[tokio::test]
async fn a_plan_does_what_the_dry_run_showed_alone_or_beside_the_same_arguments() {
    for modern in [false, true] {
        for alone in [true, false] {
            let (stage, arguments) = stage(Setting { modern, ..Setting::default() }).await;
            let shown = tried(&stage, "cancel_workflow", &arguments).await;
            let plan = json!({"plan": shown["plan"]});
            stage.ok("cancel_workflow", if alone { plan } else { with(&arguments, &plan) }).await;
            let writes = stage.writes().await;
            let [sent] = writes.as_slice() else { panic!("{writes:?}") };
            for member in ["method", "path", "body"] {
                assert_eq!(sent[member], shown["request"][member], "{member}");
            }
            let lines = stage.audit();
            let line = lines.last().unwrap();
            assert!(text(&line["rule"]).contains("=full; plan "), "{line}");
            assert_eq!(line["object"]["workflow_id"], arguments["workflow_id"], "also where the plan came alone");
            assert!(!stage.audit_text().contains(text(&shown["plan"])), "the seal is nobody's business");
        }
    }
}

#[tokio::test]
async fn a_dry_run_tells_what_would_happen_in_one_sentence_with_the_change_and_who_hears_of_it() {
    let (stage, arguments) = stage(Setting::default()).await;
    let arguments = with(&arguments, &json!({"comment": "ask <@maya.ortiz@simulator.example>"}));
    let shown = tried(&stage, "pause_workflow", &arguments).await;
    let workflow = stage.ok("get_workflow", json!({"workflow_id": arguments["workflow_id"]})).await;
    let (id, title) = (text(&workflow["ironcladId"]), text(&workflow["title"]));
    let sentence = format!("tests would pause workflow {id} “{title}” as maya.ortiz@simulator.example");
    assert_eq!(shown["sentence"], sentence);
    assert_eq!(shown["diff"], json!([{"path": "status", "before": "active", "after": "paused"}]));
    assert_eq!(shown["notifies"], json!(["maya.ortiz@simulator.example", "webhooks for workflow_paused"]));
    stage.ok("pause_workflow", arguments.clone()).await;
    let shown = tried(&stage, "resume_workflow", &arguments).await;
    assert_eq!(shown["diff"], json!([{"path": "status", "before": "paused", "after": "active"}]));
    assert_eq!(stage.writes().await.len(), 1);
}

#[tokio::test]
async fn each_change_of_state_shows_what_was_and_what_would_be() {
    let (stage, arguments) = stage(Setting::default()).await;
    let id = &arguments["workflow_id"];
    let approvals = stage.ok("list_workflow_approvals", json!({"workflow_id": id})).await;
    let role = &approvals["approvalGroups"][0]["reviewers"][0]["role"];
    let approve = json!({"workflow_id": id, "role_id": role, "status": "approved"});
    let shown = tried(&stage, "update_workflow_approval", &approve).await;
    assert_eq!(shown["diff"], json!([{"path": "approval", "before": "pending", "after": "approved"}]), "{shown}");
    let webhook = json!({"events": ["workflow_launched"], "target_url": "https://hooks.example/x"});
    let shown = tried(&stage, "create_webhook", &webhook).await;
    assert!(text(&shown["sentence"]).contains("post events to “https://hooks.example/x”"), "{shown}");
    let made = stage.ok("create_webhook", webhook).await;
    let shown = tried(&stage, "delete_webhook", &json!({"webhook_id": made["id"]})).await;
    let gone = json!({"path": "targetURL", "before": "https://hooks.example/x", "after": null});
    assert!(shown["diff"].as_array().unwrap().contains(&gone), "{shown}");
    let launch = tried(&stage, "launch_workflow", &nda()).await;
    assert!(text(&launch["sentence"]).contains("would launch “Mutual NDA” for “Acme LLC”"), "{launch}");
    let cancel = tried(&stage, "cancel_workflow", &arguments).await;
    assert_eq!(cancel["diff"][0], json!({"path": "status", "before": "active", "after": "cancelled"}));
    let record = tried(&stage, "update_record", &json!({"record_id": "IC-51", "name": "New name"})).await;
    assert_eq!(record["diff"][0]["after"], "New name");
    assert!(text(&record["sentence"]).contains("would change record IC-51 “"), "{record}");
    let in_sign = stage.ok("list_workflows", json!({"limit": 100, "fields": ["id", "step"]})).await;
    let in_sign = in_sign["items"].as_array().unwrap().iter().find(|one| one["step"] == "Sign").unwrap().clone();
    let shown = tried(&stage, "revert_workflow_to_review", &json!({"workflow_id": in_sign["id"]})).await;
    assert_eq!(shown["diff"], json!([{"path": "step", "before": "Sign", "after": "Review"}]));
    let shown = tried(&stage, "send_signature_request", &json!({"workflow_id": in_sign["id"]})).await;
    assert!(shown["notifies"][0].as_str().unwrap().contains('@'), "{shown}");
}

#[tokio::test]
async fn who_signs_is_read_where_the_scope_was_given() {
    let catalog = ironclad_mcp::catalog::Catalog::load(None, "").unwrap();
    let mut scopes = catalog.scopes(&Setting::default().policy);
    scopes.push("public.workflows.readSignatures".into());
    let stage = Stage::with(Setting { scopes: Some(scopes), ..Setting::default() }).await;
    let all = stage.ok("list_workflows", json!({"limit": 100, "fields": ["id", "step"]})).await;
    let in_sign = all["items"].as_array().unwrap().iter().find(|one| one["step"] == "Sign").unwrap().clone();
    let shown = tried(&stage, "send_signature_request", &json!({"workflow_id": in_sign["id"]})).await;
    let told = shown["notifies"].as_array().unwrap();
    assert!(told.len() >= 3 && told[..2].iter().all(|who| text(who).contains('<')), "{shown}");
    assert!(shown.get("notes").is_none(), "{shown}");
}

#[tokio::test]
async fn a_plan_works_once_for_one_tool_and_as_it_was_made() {
    let (stage, arguments) = stage(Setting::default()).await;
    let plan = tried(&stage, "pause_workflow", &arguments).await["plan"].clone();
    let by = |plan: &Value| json!({ "plan": plan });
    let fault = refused(&stage, "resume_workflow", by(&plan)).await;
    assert_eq!(fault, "plan: was made for pause_workflow");
    let fault = refused(&stage, "pause_workflow", with(&arguments, &json!({"plan": plan, "comment": "other"}))).await;
    assert_eq!(fault, "comment: differs from the plan");
    let more = with(&arguments, &json!({"plan": plan, "add_users_to_workflow": true}));
    assert_eq!(refused(&stage, "pause_workflow", more).await, "add_users_to_workflow: differs from the plan");
    let fault = refused(&stage, "pause_workflow", json!({"plan": plan, "dry_run": true})).await;
    assert_eq!(fault, "plan: does not go with dry_run");
    for altered in ["", "x", &text(&plan)[1..], &text(&plan)[..text(&plan).len() - 2]] {
        let fault = refused(&stage, "pause_workflow", by(&altered.into())).await;
        assert!(fault.starts_with("plan: is no plan of this server"), "{fault}");
    }
    refused(&stage, "pause_workflow", json!({"plan": 5})).await;
    stage.ok("pause_workflow", by(&plan)).await;
    let fault = refused(&stage, "pause_workflow", by(&plan)).await;
    assert_eq!(fault, "plan: was used already, and a plan works once");
    let other = stage.another(Setting::default()).await;
    let again = other.call_tool(call_of("pause_workflow", &by(&plan))).await.unwrap();
    assert_eq!(again.structured_content.unwrap()["error"]["code"], "invalid_arguments", "another process knows it too");
}

#[tokio::test]
async fn a_plan_is_for_the_agent_that_it_was_made_for() {
    let (stage, arguments) = stage(Setting::default()).await;
    let plan = tried(&stage, "pause_workflow", &arguments).await["plan"].clone();
    let other = stage.another(Setting { agent: "another", ..Setting::default() }).await;
    let answer = other.call_tool(call_of("pause_workflow", &json!({ "plan": plan }))).await.unwrap();
    let error = &answer.structured_content.unwrap()["error"];
    assert_eq!(error["errors"][0]["message"], "was made for another agent");
    assert!(stage.writes().await.is_empty());
    stage.ok("pause_workflow", json!({ "plan": plan })).await;
}

#[tokio::test]
async fn a_plan_expires() {
    let setting = Setting::default();
    let later = Arc::clone(&setting.later);
    let (stage, arguments) = stage(setting).await;
    let plan = json!({"plan": tried(&stage, "pause_workflow", &arguments).await["plan"]});
    later.store(601, Ordering::SeqCst);
    assert_eq!(refused(&stage, "pause_workflow", plan.clone()).await, "plan: has expired");
    later.store(599, Ordering::SeqCst);
    stage.ok("pause_workflow", plan).await;
}

#[tokio::test]
async fn a_plan_is_refused_if_the_object_changed_since() {
    let (stage, arguments) = stage(Setting::default()).await;
    let id = &arguments["workflow_id"];
    let pause = tried(&stage, "pause_workflow", &arguments).await["plan"].clone();
    let updates = |value: &str| json!([{"action": "set", "path": "counterpartyName", "value": value}]);
    let update = json!({"workflow_id": id, "updates": updates("Acme Inc")});
    let rename = tried(&stage, "update_workflow_attributes", &update).await["plan"].clone();
    stage.ok("update_workflow_attributes", json!({"workflow_id": id, "updates": updates("Ajax")})).await;
    let record = json!({"record_id": "IC-51", "name": "One"});
    let change = tried(&stage, "update_record", &record).await["plan"].clone();
    stage.ok("update_record", json!({"record_id": "IC-51", "name": "Two"})).await;
    let writes = stage.writes().await.len();
    for (tool, plan) in [("pause_workflow", pause), ("update_workflow_attributes", rename), ("update_record", change)] {
        let error = stage.fails(tool, json!({ "plan": plan })).await;
        assert_eq!((&error["code"], &error["outcome"]), (&json!("conflict"), &json!("not_sent")), "{error}");
        assert!(text(&error["message"]).contains("changed since it was shown"), "{error}");
        assert!(text(&error["hint"]).contains("dry_run"), "{error}");
    }
    assert_eq!(stage.writes().await.len(), writes);
}

/// Two servers over one state directory: whoever comes first sends, and the other is told.
#[tokio::test]
async fn of_two_servers_at_once_exactly_one_sends() {
    let (stage, _) = stage(Setting::default()).await;
    let other = stage.another(Setting::default()).await;
    for _ in 0..5 {
        let plan = json!({"plan": tried(&stage, "launch_workflow", &nda()).await["plan"]});
        let before = stage.writes().await.len();
        let calls = (0..4).map(|turn| {
            let (stage, other, plan) = (&stage, &other, &plan);
            async move {
                let client = if turn % 2 == 0 { &stage.client } else { other };
                client.call_tool(call_of("launch_workflow", plan)).await.unwrap().is_error != Some(true)
            }
        });
        let won = futures_util::future::join_all(calls).await.into_iter().filter(|won| *won).count();
        assert_eq!((won, stage.writes().await.len() - before), (1, 1));
    }
}

#[tokio::test]
async fn a_plan_whose_object_cannot_be_read_again_is_not_sent() {
    let (stage, arguments) = stage(Setting::default()).await;
    let plan = json!({"plan": tried(&stage, "pause_workflow", &arguments).await["plan"]});
    stage.set_faults("503:method=GET").await;
    let error = stage.fails("pause_workflow", plan.clone()).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("upstream_unavailable"), &json!("not_sent")), "{error}");
    stage.set_faults("").await;
    stage.ok("pause_workflow", plan).await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_costs_the_difference_and_nothing_else() {
    let (stage, arguments) = stage(Setting::default()).await;
    stage.set_faults("503:method=GET").await;
    let shown = tried(&stage, "pause_workflow", &arguments).await;
    assert!(shown.get("diff").is_none(), "{shown}");
    assert!(text(&shown["notes"][0]).contains("could not be looked at"), "{shown}");
    stage.set_faults("").await;
    stage.ok("pause_workflow", json!({"plan": shown["plan"]})).await;
}

#[tokio::test]
async fn a_plan_can_be_made_obligatory() {
    let require_plan = vec!["pause_workflow".to_owned(), "launch_workflow".to_owned()];
    let policy = Settings { enable_writes: true, require_plan, ..Settings::default() };
    let launch_tools = ironclad_mcp::launch_tools::Choice::Auto;
    let stage = Stage::with(Setting { policy, launch_tools, ..Setting::default() }).await;
    stage.client.list_all_tools().await.unwrap();
    let launch = nda();
    let error = stage.fails("launch_workflow", launch.clone()).await;
    assert_eq!((&error["code"], &error["errors"][0]["path"]), (&json!("invalid_arguments"), &json!("plan")), "{error}");
    assert!(text(&error["hint"]).contains("dry_run: true"), "{error}");
    let typed = json!({"attributes": launch["attributes"]});
    assert_eq!(refused(&stage, "launch_mutual_nda", typed.clone()).await.split(',').count(), 1);
    assert!(stage.writes().await.is_empty());
    let line = stage.audit().pop().unwrap();
    assert_eq!((&line["decision"], &line["rule"]), (&json!("denied"), &json!("require-plan launch_mutual_nda")));
    for (tool, arguments) in [("launch_workflow", launch), ("launch_mutual_nda", typed)] {
        let plan = tried(&stage, tool, &arguments).await["plan"].clone();
        stage.ok(tool, json!({ "plan": plan })).await;
    }
    stage.ok("create_webhook", sample_with("create_webhook", json!({}))).await;
    assert_eq!(stage.writes().await.len(), 3);
}

#[tokio::test]
async fn a_large_launch_keeps_its_plan_short_and_brings_its_arguments_again() {
    let (stage, _) = stage(Setting::default()).await;
    let mut launch = nda();
    launch["attributes"]["additionalNotes"] = "x".repeat(3000).into();
    let shown = tried(&stage, "launch_workflow", &launch).await;
    assert!(text(&shown["plan"]).len() < 500 && shown["notes"].to_string().contains("again"), "{shown}");
    let fault = refused(&stage, "launch_workflow", json!({"plan": shown["plan"]})).await;
    assert!(fault.contains("too large"), "{fault}");
    let mut other = launch.clone();
    other["attributes"]["additionalNotes"] = "y".repeat(3000).into();
    let fault = refused(&stage, "launch_workflow", with(&other, &json!({"plan": shown["plan"]}))).await;
    assert_eq!(fault, "plan: was made for other arguments");
    stage.ok("launch_workflow", with(&launch, &json!({"plan": shown["plan"]}))).await;
}

/// The path in the arguments stays the same; what is sent would not be.
#[tokio::test]
async fn a_document_that_changed_on_disk_is_not_what_the_plan_showed() {
    let folder = tempfile::tempdir().unwrap();
    let upload_folders = vec![folder.path().to_owned()];
    let stage = Stage::with(Setting { upload_folders, ..Setting::default() }).await;
    let file = folder.path().join("paper.pdf");
    std::fs::write(&file, PDF).unwrap();
    let launch = with_draft(json!([{"path": file.to_str().unwrap()}]));
    let kept = tried(&stage, "launch_workflow", &launch).await["plan"].clone();
    let spoilt = tried(&stage, "launch_workflow", &launch).await["plan"].clone();
    stage.ok("launch_workflow", json!({ "plan": kept })).await;
    std::fs::write(&file, [PDF, b"other"].concat()).unwrap();
    let error = stage.fails("launch_workflow", json!({ "plan": spoilt })).await;
    assert_eq!(error["code"], "conflict");
    assert_eq!(stage.writes().await.len(), 1);
}
