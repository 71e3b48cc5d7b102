//! Agents: what each may do, and how it is told.

use std::sync::Arc;

use ironclad_mcp::{
    launch_tools::Choice,
    policy::{Access, Profile, Settings},
};
use serde_json::{Value, json};

use crate::support::{NDA, Setting, Stage, call_of, nda, text};

#[tokio::test]
async fn whoami_is_answered_here_and_recorded() {
    let policy = Settings { toolsets: vec!["account".into()], ..Settings::default() };
    let stage = Stage::with(Setting { policy, ..Setting::default() }).await;
    let told = stage.ok("whoami", json!({})).await;
    assert_eq!(told["agent"], "tests");
    assert_eq!(told["acting_user"], stage.simulator.credentials().as_user_email);
    let narrowed = stage.ok("whoami", json!({"fields": ["agent"]})).await;
    assert_eq!(narrowed, json!({"agent": "tests"}));
    assert!(stage.all_requests().await.is_empty());
    let line = &stage.audit()[0];
    assert_eq!((&line["tool"], &line["attempts"]), (&json!("whoami"), &json!(0)));
}

/// An agent with everything but what its profile leaves out.
fn agent(profile: Profile) -> Setting {
    let full = |group: &&str| ((*group).to_owned(), Access::Full);
    let access = ["workflows", "workflow-actions", "records"].iter().map(full).collect();
    let agent = Some(Arc::new(Profile { name: "bot".into(), access, ..profile }));
    Setting { policy: Settings { enable_writes: true, agent, ..Settings::default() }, ..Setting::default() }
}

fn names(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|name| (*name).to_owned()).collect())
}

/// The error of a call that is denied before anything was written.
async fn denied(stage: &Stage, tool: &str, arguments: Value, rule: &str) {
    stage.forget_requests().await;
    let error = stage.fails(tool, arguments).await;
    assert_eq!((text(&error["code"]), text(&error["outcome"])), ("access_denied", "not_sent"), "{tool}: {error}");
    assert!(text(&error["message"]).contains(rule), "{tool}: {error}");
    assert!(stage.requests().await.iter().all(|request| request["method"] == "GET"), "only look-ups");
    let lines = stage.audit();
    let line = lines.last().unwrap();
    assert_eq!((text(&line["decision"]), text(&line["agent"])), ("denied", "tests"));
    assert!(text(&line["rule"]).contains(rule), "{line}");
}

#[tokio::test]
async fn an_agent_launches_and_changes_only_what_its_templates_allow() {
    for listed in ["Mutual NDA", NDA] {
        let stage = Stage::with(agent(Profile { launch: names(&[listed]), ..Profile::default() })).await;
        let all = stage.another(Setting::default()).await;
        let launched = stage.launched().await;
        stage.ok("pause_workflow", json!({"workflow_id": launched["id"], "comment": "x"})).await;
        let ours = json!({"status": ["active"], "limit": 100});
        let others = all.call_tool(call_of("list_workflows", &ours)).await.unwrap().structured_content.unwrap();
        let other = others["items"].as_array().unwrap().iter().find(|one| one["template"] != NDA).unwrap();
        let rule = "agents.bot.launch without";
        let touch = json!({"workflow_id": other["id"], "comment": "x"});
        denied(&stage, "cancel_workflow", touch.clone(), rule).await;
        denied(&stage, "pause_workflow", touch, rule).await;
        let launch = json!({"template_id": other["template"], "attributes": {}});
        denied(&stage, "launch_workflow", launch.clone(), rule).await;
        let mut tried = launch;
        tried["dry_run"] = true.into();
        denied(&stage, "launch_workflow", tried, rule).await;
        stage.ok("get_workflow", json!({"workflow_id": other["id"]})).await;
        let told = stage.ok("whoami", json!({})).await;
        assert_eq!(told["launch"], json!([listed]));
    }
}

#[tokio::test]
async fn what_a_write_would_touch_and_cannot_be_found_out_is_refused() {
    let stage = Stage::with(agent(Profile { launch: names(&["Mutual NDA"]), ..Profile::default() })).await;
    let id = stage.launched().await["id"].clone();
    stage.set_faults("500:method=GET").await;
    stage.forget_requests().await;
    let error = stage.fails("pause_workflow", json!({"workflow_id": id, "comment": "x"})).await;
    assert_eq!((text(&error["code"]), text(&error["outcome"])), ("upstream_unavailable", "not_sent"), "{error}");
    assert!(stage.requests().await.iter().all(|request| request["method"] == "GET"));
}

#[tokio::test]
async fn an_agent_makes_and_changes_only_records_of_its_types() {
    let stage = Stage::with(agent(Profile { record_types: names(&["mutualNda"]), ..Profile::default() })).await;
    let record = |kind: &str| json!({"type": kind, "name": "Acme", "properties": {}, "dry_run": true});
    stage.ok("create_record", record("mutualNda")).await;
    denied(&stage, "create_record", record("orderForm"), "agents.bot.record_types without \"orderForm\"").await;
    let of =
        async |kind: &str| stage.ok("list_records", json!({"types": [kind], "limit": 1})).await["items"][0].clone();
    let (own, other) = (of("mutualNda").await, of("orderForm").await);
    stage.ok("update_record", json!({"record_id": own["id"], "name": "Renamed", "dry_run": true})).await;
    let becomes = json!({"record_id": own["id"], "type": "orderForm"});
    denied(&stage, "update_record", becomes, "record_types without \"orderForm\"").await;
    denied(&stage, "update_record", json!({"record_id": other["id"], "name": "x"}), "record_types without").await;
}

#[tokio::test]
async fn typed_launch_tools_are_those_of_the_agents_templates() {
    let profile = Profile { launch: names(&["Mutual NDA"]), ..Profile::default() };
    let stage = Stage::with(Setting { launch_tools: Choice::Auto, ..agent(profile) }).await;
    let tools = stage.client.list_all_tools().await.unwrap();
    let typed: Vec<&str> = tools.iter().map(|tool| &*tool.name).filter(|name| name.starts_with("launch_")).collect();
    assert_eq!(typed, ["launch_workflow", "launch_mutual_nda"]);
    stage.ok("launch_mutual_nda", json!({"attributes": nda()["attributes"], "dry_run": true})).await;
    let all = Stage::with(Setting { launch_tools: Choice::Auto, ..Setting::default() }).await;
    let every = all.client.list_all_tools().await.unwrap();
    let other = every.iter().find(|tool| tool.name.starts_with("launch_") && !typed.contains(&&*tool.name)).unwrap();
    denied(&stage, &other.name, json!({"attributes": {}}), "agents.bot.launch without").await;
}

#[tokio::test]
async fn whoami_says_what_is_withheld_and_by_what() {
    let profile = Profile { exclude_tools: vec!["cancel_workflow".into()], ..Profile::default() };
    let told = Stage::with(agent(profile)).await.ok("whoami", json!({})).await;
    let group = |name: &str| {
        told["groups"].as_array().unwrap().iter().find(|one| one["group"] == name).unwrap_or_else(|| panic!("{told}"))
    };
    assert_eq!(group("workflows"), &json!({"group": "workflows", "access": "full"}));
    assert_eq!(group("account"), &json!({"group": "account", "access": "read"}));
    assert_eq!(group("users")["withheld_by"], "agents.bot.access.users=off");
    assert_eq!(group("async-launch")["withheld_by"], "toolsets without async-launch");
    assert_eq!(told["tools_left_out"][0]["tool"], "cancel_workflow");
    assert_eq!(told["confirm"], "auto");
}
