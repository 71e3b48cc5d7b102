//! `access_denied`: what is not granted is neither listed nor callable.

use std::collections::BTreeSet;

use ironclad_mcp::policy::{Access, Settings};
use serde_json::{Value, json};

use super::gist;
use crate::{
    samples::samples,
    support::{Setting, Stage, text},
};

async fn granted(policy: Settings) -> Stage {
    Stage::with(Setting { policy, ..Setting::default() }).await
}

async fn listed(stage: &Stage) -> BTreeSet<String> {
    stage.client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect()
}

#[tokio::test]
async fn by_default_reads_are_listed_and_writes_refused() {
    let stage = granted(Settings::default()).await;
    let listed = listed(&stage).await;
    assert_eq!(listed.len(), 13);
    let samples = samples();
    assert_eq!(samples.len(), 30);
    for (tool, arguments) in samples.into_iter().filter(|(tool, _)| !listed.contains(tool)) {
        let error = stage.fails(&tool, arguments.into()).await;
        assert_eq!(gist(&error), ("access_denied", None, Some("not_sent")), "{tool}");
        let beside =
            ["launch_workflow_async", "get_launch_status", "whoami", "search_audit_log"].contains(&tool.as_str());
        let setting = if beside { "--toolsets" } else { "=full" };
        assert!(text(&error["hint"]).contains(setting), "{tool}: {error}");
    }
    assert_eq!(stage.all_requests().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_denied_call_is_recorded_with_the_rule() {
    let stage = granted(Settings::default()).await;
    stage.fails("cancel_workflow", json!({"workflow_id": "IC-1", "comment": "no"})).await;
    let lines = stage.audit();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(
        (&line["decision"], &line["rule"], &line["outcome"], &line["code"], &line["attempts"]),
        (&json!("denied"), &json!("access.workflow-actions=read"), &json!("error"), &json!("access_denied"), &json!(0))
    );
    assert_eq!(line["object"], json!({"workflow_id": "IC-1"}));
}

#[tokio::test]
async fn a_denial_comes_before_any_fault_of_the_arguments() {
    let stage = granted(Settings::default()).await;
    let error = stage.fails("launch_workflow", json!({"nonsense": 1})).await;
    assert_eq!(error["code"], "access_denied");
}

#[tokio::test]
async fn every_gate_takes_away_and_names_its_setting() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let all = || Settings { enable_writes: true, ..Settings::default() };
    let users_off = [("users".to_owned(), Access::Off)].into();
    let gates = [
        (Settings { access: users_off, ..all() }, "get_user", "access.users=off", "--access users=read"),
        (Settings { toolsets: names(&["records"]), ..all() }, "get_user", "toolsets without users", "--toolsets"),
        (Settings { tools: names(&["get_record"]), ..all() }, "get_user", "tools without get_user", "--tools"),
        (
            Settings { exclude_tools: names(&["get_user"]), ..all() },
            "get_user",
            "exclude-tools get_user",
            "--exclude-tools",
        ),
    ];
    for (policy, tool, rule, setting) in gates {
        let stage = granted(policy).await;
        assert!(!listed(&stage).await.contains(tool), "{rule}");
        let error = stage.fails(tool, json!({"user_id": "u"})).await;
        assert_eq!(error["code"], "access_denied", "{rule}");
        assert!(text(&error["hint"]).contains(setting), "{error}");
        assert_eq!(stage.audit()[0]["rule"], rule);
    }
}

#[tokio::test]
async fn one_group_can_be_full_while_the_others_stay_read() {
    let stage =
        granted(Settings { access: [("webhooks".to_owned(), Access::Full)].into(), ..Settings::default() }).await;
    let listed = listed(&stage).await;
    assert!(
        listed.contains("create_webhook") && listed.contains("delete_webhook") && !listed.contains("create_record")
    );
    stage.ok("create_webhook", json!({"events": ["*"], "target_url": "https://hooks.example/in"})).await;
}
