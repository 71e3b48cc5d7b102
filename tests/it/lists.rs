//! Lists: cursors over three kinds of paging bring each item exactly once, whatever the pages are like.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{NDA, Setting, Stage, call_of, text};

const WEBHOOKS: usize = 23;

/// A smaller company, with some webhooks, since the simulator begins with none.
async fn furnished(mut setting: Setting) -> Stage {
    setting.simulator.workflows = 30;
    setting.simulator.records = 100;
    let events = ["workflow_launched", "workflow_updated", "workflow_paused", "workflow_resumed", "workflow_cancelled"];
    let stage = Stage::with(setting).await;
    for number in 0..WEBHOOKS {
        let target = format!("https://hooks.example/{number}");
        stage.ok("create_webhook", json!({"events": events, "target_url": target})).await;
    }
    stage
}

/// Every list, with arguments that leave nothing out and the number of items there are.
async fn lists(stage: &Stage) -> Vec<(&'static str, Value, usize)> {
    let url = format!("{}/__simulator/state", stage.simulator.base_url());
    let state: Value = stage.http.get(url).send().await.unwrap().json().await.unwrap();
    let count = |what: &str| usize::try_from(state["counts"][what].as_u64().unwrap()).unwrap();
    let any = json!({"status": ["active", "paused", "completed", "cancelled"]});
    vec![
        ("list_workflows", any, count("workflows")),
        ("list_records", json!({}), count("records")),
        ("list_users", json!({}), count("users")),
        ("list_webhooks", json!({}), WEBHOOKS),
        ("list_workflow_schemas", json!({}), count("templates")),
    ]
}

/// Follows the cursors to the end; `limits` are taken in turn.
async fn walk(stage: &Stage, tool: &str, arguments: &Value, limits: &[u64]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = None;
    for limit in limits.iter().cycle() {
        let mut page = arguments.clone();
        page["limit"] = (*limit).into();
        page["fields"] = json!(["id"]);
        if let Some(cursor) = cursor {
            page["cursor"] = cursor;
        }
        let page = stage.ok(tool, page).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= usize::try_from(*limit).unwrap(), "{tool}: {} items for limit {limit}", items.len());
        ids.extend(items.iter().map(|item| text(&item["id"]).to_owned()));
        assert_eq!(page["has_more"], page.get("next_cursor").is_some(), "{tool}");
        if page["has_more"] == false {
            return ids;
        }
        assert!(!items.is_empty(), "{tool}: a page without items says that there is more");
        cursor = Some(page["next_cursor"].clone());
    }
    ids
}

#[tokio::test]
async fn every_item_comes_exactly_once_whatever_the_limits() {
    let stage = furnished(Setting::default()).await;
    for (tool, arguments, count) in lists(&stage).await {
        for limits in [&[1][..], &[7], &[20], &[3, 20, 1, 8]] {
            let ids = walk(&stage, tool, &arguments, limits).await;
            let distinct: BTreeSet<&String> = ids.iter().collect();
            assert_eq!((ids.len(), distinct.len()), (count, count), "{tool} by {limits:?}");
        }
    }
}

#[tokio::test]
async fn a_list_cut_short_by_the_size_limit_goes_on_where_it_stopped() {
    let most = 14_000;
    let stage = furnished(Setting { max_result_bytes: most, ..Setting::default() }).await;
    for (tool, mut arguments, count) in lists(&stage).await {
        let mut ids = BTreeSet::new();
        let (mut pages, mut seen) = (0, 0);
        arguments["limit"] = json!(50);
        loop {
            let result = stage.call(tool, arguments.clone()).await;
            let travelling = serde_json::to_string(&result).unwrap().len();
            assert!(travelling <= most, "{tool}: {travelling} bytes");
            let page = result.structured_content.unwrap();
            let items = page["items"].as_array().unwrap_or_else(|| panic!("{tool}: {page}"));
            seen += items.len();
            pages += 1;
            ids.extend(items.iter().map(|item| text(&item["id"]).to_owned()));
            let Some(cursor) = page.get("next_cursor") else { break };
            arguments["cursor"] = cursor.clone();
        }
        assert_eq!((seen, ids.len()), (count, count), "{tool}");
        assert!(pages > count / 50 + 1 || count < 10, "{tool}: nothing was cut, {pages} pages");
    }
}

#[tokio::test]
async fn the_total_is_there_where_ironclad_says_it() {
    let stage = furnished(Setting::default()).await;
    for (tool, mut arguments, count) in lists(&stage).await {
        arguments["limit"] = json!(2);
        let page = stage.ok(tool, arguments).await;
        let expected = (tool != "list_webhooks").then(|| json!(count));
        assert_eq!(page.get("total").cloned(), expected, "{tool}");
    }
}

/// A page, its cursor, and the arguments it belongs to.
async fn first_page(stage: &Stage, tool: &str, mut arguments: Value) -> (Value, String) {
    arguments["limit"] = json!(2);
    let page = stage.ok(tool, arguments.clone()).await;
    (arguments, text(&page["next_cursor"]).to_owned())
}

#[tokio::test]
async fn a_cursor_that_was_altered_or_belongs_elsewhere_is_refused_and_nothing_is_sent() {
    let stage = furnished(Setting::default()).await;
    let mut cursors = Vec::new();
    for (tool, arguments, _) in lists(&stage).await {
        cursors.push((tool, first_page(&stage, tool, arguments).await));
    }
    stage.forget_requests().await;
    let refused = async |tool: &str, mut arguments: Value, cursor: &str| {
        arguments["cursor"] = cursor.into();
        let error = stage.fails(tool, arguments).await;
        let found = (&error["code"], &error["outcome"], &error["errors"][0]["path"]);
        assert_eq!(found, (&json!("invalid_arguments"), &json!("not_sent"), &json!("cursor")), "{tool} {cursor}");
    };
    for (tool, (arguments, cursor)) in &cursors {
        for at in 0..cursor.len() {
            let mut altered = cursor.clone();
            altered.replace_range(at..=at, if &cursor[at..=at] == "A" { "B" } else { "A" });
            refused(tool, arguments.clone(), &altered).await;
        }
        for altered in [&cursor[1..], &cursor[..cursor.len() - 1], &format!("{cursor}A"), "x", "..", "%00", "é"] {
            refused(tool, arguments.clone(), altered).await;
        }
        for (other, (arguments, _)) in cursors.iter().filter(|(other, _)| other != tool) {
            refused(other, arguments.clone(), cursor).await;
        }
    }
    assert_eq!(stage.all_requests().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_cursor_belongs_to_the_filters_it_was_made_with() {
    let stage = Stage::open().await;
    let all = json!({"status": ["active", "paused", "completed", "cancelled"]});
    let (arguments, cursor) = first_page(&stage, "list_workflows", all).await;
    for other in [
        json!({"status": ["active"]}),
        json!({"status": ["active", "paused", "completed", "cancelled"], "template_id": NDA}),
        json!({"status": ["active", "paused", "completed", "cancelled"], "hydrate_entities": true}),
    ] {
        let mut other = other;
        other["cursor"] = cursor.as_str().into();
        assert_eq!(stage.fails("list_workflows", other).await["code"], "invalid_arguments");
    }
    let mut same = arguments;
    same["cursor"] = cursor.as_str().into();
    same["limit"] = json!(9);
    same["fields"] = json!(["title"]);
    assert!(!stage.ok("list_workflows", same).await["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_cursor_works_on_another_instance() {
    let stage = Stage::open().await;
    let (mut arguments, cursor) = first_page(&stage, "list_records", json!({})).await;
    arguments["cursor"] = cursor.as_str().into();
    let other = stage.another(Setting::default()).await;
    let there = other.call_tool(call_of("list_records", &arguments)).await.unwrap().structured_content.unwrap();
    assert_eq!(there, stage.ok("list_records", arguments).await);
}

#[tokio::test]
async fn launch_forms_are_left_out_unless_asked_for() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    let has_schema = |object: &Value| object.get("schema").is_some();
    for tool in ["list_workflows", "list_workflow_schemas"] {
        let plain = stage.ok(tool, json!({"limit": 2})).await;
        assert!(!has_schema(&plain["items"][0]), "{tool}");
        let asked = stage.ok(tool, json!({"limit": 2, "fields": ["id", "schema"]})).await;
        assert!(has_schema(&asked["items"][0]), "{tool}");
    }
    assert!(!has_schema(&stage.ok("get_workflow", json!({"workflow_id": id})).await));
    assert!(has_schema(&stage.ok("get_workflow", json!({"workflow_id": id, "fields": ["schema"]})).await));
    assert!(has_schema(&stage.ok("get_workflow_schema", json!({"template_id": NDA})).await));
}

#[tokio::test]
async fn templates_are_found_by_a_part_of_their_name() {
    let stage = Stage::open().await;
    let names = async |part: &str| {
        let found = stage.ok("list_workflow_schemas", json!({"name_contains": part})).await;
        assert_eq!(found["total"], found["items"].as_array().unwrap().len(), "{part}");
        let items = found["items"].as_array().unwrap().clone();
        items.iter().map(|item| text(&item["name"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("mutual nda").await, ["Mutual NDA"]);
    assert_eq!(names("ORDER").await, ["Order Form"]);
    assert_eq!(names("treaty").await, Vec::<String>::new());
    let page = stage.ok("list_workflow_schemas", json!({"name_contains": "a", "limit": 1})).await;
    let rest = json!({"name_contains": "a", "limit": 100, "cursor": page["next_cursor"]});
    let rest = stage.ok("list_workflow_schemas", rest).await;
    assert_eq!(page["total"].as_u64().unwrap(), 1 + rest["items"].as_array().unwrap().len() as u64);
    assert_eq!(rest["has_more"], false);
}

#[tokio::test]
async fn filters_reach_ironclad_and_a_wrong_one_is_said_to_be_wrong() {
    let stage = Stage::open().await;
    let paused = stage.ok("list_workflows", json!({"status": ["paused"], "limit": 100})).await;
    let items = paused["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|workflow| workflow["status"] == "paused"));
    let typed = stage.ok("list_records", json!({"types": ["orderForm"], "limit": 100, "fields": ["type"]})).await;
    assert!(typed["items"].as_array().unwrap().iter().all(|record| record["type"] == "orderForm"));
    let future = stage.ok("list_workflows", json!({"updated_since": "2026-12-31T00:00:00Z"})).await;
    assert_eq!(future, json!({"items": [], "has_more": false, "total": 0}));
    let error = stage.fails("list_records", json!({"filter": "Equals([colour], 'red')"})).await;
    assert_eq!((&error["code"], &error["status"]), (&json!("invalid_arguments"), &json!(400)));
}

#[tokio::test]
async fn a_call_asks_for_one_item_at_least_and_a_thousand_at_most() {
    let stage = Stage::open().await;
    for (tool, arguments, _) in lists(&stage).await {
        for limit in [json!(0), json!(-1), json!(1001), json!(1.5), json!("5"), json!(1e30)] {
            let error = stage.fails(tool, json!({"limit": limit})).await;
            assert_eq!(error["errors"][0]["path"], "limit", "{tool} {limit}");
            assert!(text(&error["hint"]).contains("at most 1000"), "{error}");
        }
        let mut all = arguments;
        (all["limit"], all["fields"]) = (json!(1000), json!(["id"]));
        stage.ok(tool, all).await;
    }
}
