//! Prompts: which are listed, what they say, and that they use only tools the caller has.

use ironclad_mcp::{catalog::Catalog, policy};
use rmcp::{
    ServiceError,
    model::{ContentBlock, ErrorCode, GetPromptRequestParams},
};
use serde_json::{Value, json};

use crate::support::{Client, Setting, Stage};

async fn names(client: &Client) -> Vec<String> {
    client.list_all_prompts().await.unwrap().into_iter().map(|prompt| prompt.name).collect()
}

fn of(name: &str, arguments: &Value) -> GetPromptRequestParams {
    GetPromptRequestParams::new(name).with_arguments(arguments.as_object().cloned().unwrap())
}

async fn said(client: &Client, name: &str, arguments: Value) -> String {
    let result = client.get_prompt(of(name, &arguments)).await.unwrap();
    let [message] = result.messages.as_slice() else { panic!("{:?}", result.messages) };
    let ContentBlock::Text(text) = &message.content else { panic!("{:?}", message.content) };
    text.text.clone()
}

/// Everything that could be filled in, filled in.
async fn filled(client: &Client) -> Vec<(String, Value)> {
    let prompts = client.list_all_prompts().await.unwrap();
    let filled = prompts.into_iter().map(|prompt| {
        let arguments = prompt.arguments.unwrap().into_iter().map(|argument| (argument.name, Value::from("something")));
        (prompt.name, Value::Object(arguments.collect()))
    });
    filled.collect()
}

fn read_only(policy: policy::Settings) -> Setting {
    Setting { policy, ..Setting::default() }
}

#[tokio::test]
async fn a_prompt_is_listed_where_the_tools_it_needs_are_granted() {
    let stage = Stage::open().await;
    let all = names(&stage.client).await;
    for name in
        ["launch_nda", "chase_approvals", "why_is_this_stuck", "renewals", "vendor_onboarding", "offboarding_review"]
    {
        assert!(all.contains(&name.to_owned()), "{name} of {all:?}");
    }
    let reading = stage.another(read_only(policy::Settings::default())).await;
    let expected: Vec<String> = all.iter().filter(|name| *name != "launch_nda").cloned().collect();
    assert_eq!(names(&reading).await, expected);
    let error = reading.get_prompt(of("launch_nda", &json!({"counterparty": "Acme"}))).await;
    let Err(ServiceError::McpError(error)) = error else { panic!("{error:?}") };
    assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
    let only = policy::Settings { tools: vec!["list_webhooks".into()], ..policy::Settings::default() };
    assert!(names(&stage.another(read_only(only)).await).await.is_empty());
}

#[tokio::test]
async fn a_prompt_names_only_tools_that_the_caller_has() {
    let stage = Stage::open().await;
    let catalog = Catalog::load(None, "").unwrap();
    let off = |group: &str| [(group.to_owned(), policy::Access::Off)].into();
    let mut seen = 0;
    for policy in [
        policy::Settings { enable_writes: true, ..policy::Settings::default() },
        policy::Settings::default(),
        policy::Settings { access: off("users"), enable_writes: true, ..policy::Settings::default() },
        policy::Settings { access: off("records"), ..policy::Settings::default() },
        policy::Settings { exclude_tools: vec!["list_approval_requests".into()], ..policy::Settings::default() },
    ] {
        let granted: Vec<String> = catalog.published(&policy).map(|tool| tool.name.clone()).collect();
        let client = stage.another(read_only(policy)).await;
        for (name, arguments) in filled(&client).await {
            let text = said(&client, &name, arguments).await;
            for tool in catalog.words().named(&text) {
                assert!(granted.contains(&tool.to_owned()), "{name} names {tool}");
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[tokio::test]
async fn what_is_filled_in_stands_in_the_text_and_what_is_wrong_is_named() {
    let stage = Stage::with(Setting { modern: true, static_token: true, ..Setting::default() }).await;
    let text = said(&stage.client, "renewals", json!({"window": "90 days"})).await;
    assert!(
        text.contains("within the next 90 days?") && !text.contains("{") && !text.contains("Record type"),
        "{text}"
    );
    let result = stage.client.get_prompt(of("renewals", &json!({"record_type": "nda", "color": "red"}))).await;
    let Err(ServiceError::McpError(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
    let data = error.data.unwrap();
    let paths: Vec<&Value> = data["errors"].as_array().unwrap().iter().map(|fault| &fault["path"]).collect();
    assert_eq!(paths, [&json!("color"), &json!("window")], "{data}");
    assert!(stage.requests().await.is_empty() && stage.audit().is_empty(), "a prompt is only text");
    let list = serde_json::to_value(stage.client.list_prompts(None).await.unwrap()).unwrap();
    assert_eq!((&list["ttlMs"], &list["cacheScope"]), (&json!(300_000), &json!("private")));
}
