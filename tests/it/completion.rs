//! Completion: live values under the same policy and audit as tools, few requests, never more than a hundred.

use std::collections::HashMap;

use ironclad_mcp::policy;
use rmcp::{
    ServiceError,
    model::{ArgumentInfo, CompleteRequestParams, CompletionContext, CompletionInfo, ErrorCode, Reference},
};
use serde_json::{Value, json};

use crate::support::{Client, NDA, Setting, Stage, text};

fn request(reference: Reference, name: &str, typed: &str) -> CompleteRequestParams {
    CompleteRequestParams::new(reference, ArgumentInfo::new(name, typed))
}

async fn completed(client: &Client, reference: Reference, name: &str, typed: &str) -> CompletionInfo {
    client.complete(request(reference, name, typed)).await.unwrap().completion
}

async fn in_prompt(client: &Client, prompt: &str, name: &str, typed: &str) -> Vec<String> {
    completed(client, Reference::for_prompt(prompt), name, typed).await.values
}

async fn in_template(client: &Client, uri: &str, name: &str, typed: &str) -> Vec<String> {
    completed(client, Reference::for_resource(uri), name, typed).await.values
}

const WORKFLOW: &str = "ironclad://workflows/{id}";
const DOCUMENT: &str = "ironclad://workflows/{id}/documents/{key}";

#[tokio::test]
async fn names_ids_and_addresses_are_completed() {
    for modern in [false, true] {
        let stage = Stage::with(Setting { modern, ..Setting::default() }).await;
        let client = &stage.client;
        assert_eq!(in_prompt(client, "launch_nda", "template", "mut").await, ["Mutual NDA"]);
        assert_eq!(in_template(client, "ironclad://workflow-schemas/{id}", "id", "mutual").await, [NDA]);
        let id = stage.launched().await["ironcladId"].as_str().unwrap().to_owned();
        assert_eq!(in_prompt(client, "why_is_this_stuck", "workflow", &id).await, [id.as_str()]);
        assert_eq!(in_template(client, WORKFLOW, "id", "with Acme LLC").await, [id.as_str()]);
        let people = in_prompt(client, "offboarding_review", "person", "maya").await;
        assert_eq!(people, ["maya.ortiz@simulator.example"]);
        assert_eq!(in_prompt(client, "renewals", "record_type", "dat").await, ["dataProcessingAddendum"]);
        assert_eq!(in_prompt(client, "renewals", "window", "9").await, ["90 days"]);
        assert!(in_prompt(client, "renewals", "counterparty", "a").await.is_empty());
        let record = stage.ok("list_records", json!({"limit": 1})).await["items"][0].clone();
        let found = in_template(client, "ironclad://records/{id}", "id", &text(&record["id"])[..8]).await;
        assert_eq!(found, [text(&record["id"])]);
    }
}

#[tokio::test]
async fn the_keys_of_documents_are_those_of_the_workflow_chosen_before() {
    let stage = Stage::open().await;
    let launched = stage.launched().await;
    let key = &launched["attributes"]["draft"][0]["key"];
    let context = HashMap::from([("id".to_owned(), text(&launched["ironcladId"]).to_owned())]);
    let asked = request(Reference::for_resource(DOCUMENT), "key", "");
    let found = stage.client.complete(asked.with_context(CompletionContext::with_arguments(context))).await.unwrap();
    assert_eq!(json!(found.completion.values), json!([key]));
    stage.forget_requests().await;
    assert!(in_template(&stage.client, DOCUMENT, "key", "").await.is_empty());
    let foreign = HashMap::from([("id".to_owned(), "../x".to_owned())]);
    let asked = request(Reference::for_resource(DOCUMENT), "key", "");
    let found = stage.client.complete(asked.with_context(CompletionContext::with_arguments(foreign))).await.unwrap();
    assert!(found.completion.values.is_empty() && stage.requests().await.is_empty());
}

#[tokio::test]
async fn what_is_beyond_the_first_page_is_searched_for_at_ironclad() {
    let stage = Stage::open().await;
    let all = completed(&stage.client, Reference::for_resource("ironclad://records/{id}"), "id", "").await;
    assert_eq!((all.values.len(), all.total, all.has_more), (100, None, Some(true)));
    let beyond = stage.ok("list_records", json!({"limit": 100})).await["next_cursor"].clone();
    let beyond = stage.ok("list_records", json!({"limit": 100, "cursor": beyond})).await["items"][0].clone();
    let found = in_template(&stage.client, "ironclad://records/{id}", "id", text(&beyond["name"])).await;
    assert!(found.contains(&text(&beyond["id"]).to_owned()), "{beyond} in {found:?}");
    for typed in ["' or 1", "\"", "\\", "[name]", "zzzz", &"x".repeat(10_000)] {
        assert!(in_template(&stage.client, "ironclad://records/{id}", "id", typed).await.is_empty(), "{typed}");
    }
}

#[tokio::test]
async fn nothing_is_told_of_what_is_not_granted() {
    let off = |group: &str| [(group.to_owned(), policy::Access::Off)].into();
    let policy = policy::Settings { access: off("users"), ..policy::Settings::default() };
    let stage = Stage::with(Setting { policy, ..Setting::default() }).await;
    assert!(in_prompt(&stage.client, "chase_approvals", "approver", "maya").await.is_empty());
    let error = stage.client.complete(request(Reference::for_prompt("offboarding_review"), "person", "m")).await;
    let Err(ServiceError::McpError(error)) = error else { panic!("{error:?}") };
    assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
    assert!(stage.requests().await.is_empty() && stage.audit().is_empty());
    for (reference, name) in [
        (Reference::for_prompt("no_such_prompt"), "x"),
        (Reference::for_prompt("renewals"), "no_such_argument"),
        (Reference::for_resource("ironclad://unicorns/{id}"), "id"),
        (Reference::for_resource(WORKFLOW), "key"),
    ] {
        let error = stage.client.complete(request(reference.clone(), name, "")).await;
        let Err(ServiceError::McpError(error)) = error else { panic!("{reference:?}: {error:?}") };
        assert_eq!(error.code, ErrorCode::INVALID_PARAMS, "{reference:?}");
    }
}

#[tokio::test]
async fn typing_costs_one_recorded_request() {
    let stage = Stage::open().await;
    for typed in ["", "m", "ma", "may", "maya"] {
        in_prompt(&stage.client, "offboarding_review", "person", typed).await;
    }
    let requests = stage.requests().await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    let lines = stage.audit();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["tool"], &lines[0]["outcome"]), (&json!("list_users"), &json!("ok")));
}

#[tokio::test]
async fn look_ups_keep_to_a_pace() {
    let stage = Stage::open().await;
    let asked = |n: usize| {
        let context = HashMap::from([("id".to_owned(), format!("IC-{n}"))]);
        let asked = request(Reference::for_resource(DOCUMENT), "key", "");
        stage.client.complete(asked.with_context(CompletionContext::with_arguments(context)))
    };
    for n in 0..100 {
        asked(n).await.unwrap();
    }
    let requests = stage.requests().await.len();
    assert!(requests <= 60, "{requests} requests");
}

#[tokio::test]
async fn a_failed_look_up_is_nothing_to_choose_from_and_is_not_repeated_with_every_letter() {
    let stage = Stage::with_faults("503").await;
    for typed in ["", "m", "ma"] {
        let found = completed(&stage.client, Reference::for_prompt("offboarding_review"), "person", typed).await;
        assert_eq!(json!(found), json!({"values": [], "total": 0, "hasMore": false}), "{typed}");
    }
    assert_eq!(stage.requests().await.len(), 1);
    let line: Value = stage.audit().pop().unwrap();
    assert_eq!((&line["tool"], &line["code"]), (&json!("list_users"), &json!("upstream_unavailable")));
}
