//! Filters, raw and plain, through the server: what is wrong is named, and what is sent the simulator reads.

use serde_json::{Value, json};

use crate::support::{NDA, Stage, text};

async fn sent_filters(stage: &Stage) -> Vec<String> {
    let list =
        |request: &Value| ["/public/api/v1/records", "/public/api/v1/workflows"].contains(&text(&request["path"]));
    let requests = stage.requests().await.into_iter().filter(list);
    requests.filter_map(|request| Some(request["query"]["filter"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn a_formula_goes_out_in_the_safest_form() {
    let stage = Stage::open().await;
    let table = [
        ("equals([counterpartyName], \"Acme\")", "(Equals([counterpartyName], 'Acme'))"),
        ("Equals([counterpartyName], \"O'Brien\")", "(Equals([counterpartyName], \"O'Brien\"))"),
        ("GreaterThan([contractValue], 1000)", "(GreaterThan([contractValue], '1000'))"),
        (
            "Or(Equals([agreementDate], RelativeDate(-7, 'day')), IsNotEmpty([effectiveDate]))",
            "(Or(Equals([agreementDate], RelativeDate(Today(), -7, 'days')), IsNotEmpty([effectiveDate])))",
        ),
        ("(LessThan([expirationDate], Date('2026-01-31')))", "(LessThan([expirationDate], Date(2026, 1, 31)))"),
    ];
    for (given, expected) in table {
        stage.forget_requests().await;
        stage.ok("list_records", json!({"filter": given})).await;
        assert_eq!(sent_filters(&stage).await, [expected], "{given}");
    }
}

#[tokio::test]
async fn plain_conditions_become_a_formula_and_join_a_raw_one() {
    let stage = Stage::open().await;
    stage.launched().await;
    let named = json!([{"property": "counterpartyName", "op": "equals", "value": "Acme LLC"}]);
    for tool in ["list_workflows", "list_records"] {
        stage.forget_requests().await;
        stage.ok(tool, json!({"where": named})).await;
        stage.ok(tool, json!({"where": named.to_string(), "filter": "Contains([name], 'A')"})).await;
        let expected = [
            "(Equals([counterpartyName], 'Acme LLC'))",
            "(And(Contains([name], 'A'), Equals([counterpartyName], 'Acme LLC')))",
        ];
        assert_eq!(sent_filters(&stage).await, expected, "{tool}");
    }
    let found = stage.ok("list_workflows", json!({"where": named})).await;
    assert!(found["total"].as_u64().unwrap() >= 1, "{found}");
    let dear = json!([
        {"property": "contractValue", "op": "greater_than", "value": 1000},
        {"property": "effectiveDate", "op": "greater_than_or_equal", "value": "2024-01-01"},
        {"property": "counterpartyName", "op": "is_not_empty"},
    ]);
    stage.ok("list_records", json!({"where": dear})).await;
}

#[tokio::test]
async fn the_next_page_of_a_plain_filter_is_found_by_its_cursor() {
    let stage = Stage::open().await;
    let named = json!([{"property": "counterpartyName", "op": "is_not_empty"}]);
    let first = stage.ok("list_records", json!({"where": named, "limit": 2})).await;
    let cursor = &first["next_cursor"];
    let second = stage.ok("list_records", json!({"where": named, "limit": 2, "cursor": cursor})).await;
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    let other = json!([{"property": "counterpartyName", "op": "is_empty"}]);
    let error = stage.fails("list_records", json!({"where": other, "limit": 2, "cursor": cursor})).await;
    assert_eq!(error["errors"][0]["path"], "cursor");
}

#[tokio::test]
async fn what_is_no_filter_is_named_with_its_place_and_nothing_is_sent() {
    let stage = Stage::open().await;
    let table = [
        (json!({"filter": "Equals([counterpartyName], 'Acme'"}), "filter", "at character"),
        (json!({"filter": "Equal([counterpartyName], 'Acme')"}), "filter", "at character 1"),
        (json!({"filter": "counterpartyName = 'Acme'"}), "filter", "at character"),
        (json!({"where": []}), "where", ""),
        (json!({"where": [{"property": "a", "op": "like", "value": "x"}]}), "where[0].op", "does not fit"),
        (json!({"where": [{"property": "a", "op": "equals"}]}), "where[0].value", "required"),
    ];
    for tool in ["list_workflows", "list_records"] {
        for (arguments, path, message) in &table {
            let error = stage.fails(tool, arguments.clone()).await;
            assert_eq!((&error["code"], &error["outcome"]), (&json!("invalid_arguments"), &json!("not_sent")));
            assert_eq!(error["errors"][0]["path"], *path, "{arguments}");
            assert!(text(&error["errors"][0]["message"]).contains(message), "{arguments}: {error}");
        }
    }
    assert_eq!(stage.requests().await, Vec::<Value>::new());
}

/// The metadata is not fetched for a filter, so the first is judged by Ironclad; its refusal is explained by the metadata.
#[tokio::test]
async fn an_unknown_property_is_named_with_what_was_probably_meant() {
    let stage = Stage::open().await;
    let wrong = json!({"filter": "Equals([conterpartyName], 'Acme')"});
    for (outcome, requests) in [("refused", 2), ("not_sent", 0)] {
        stage.forget_requests().await;
        let error = stage.fails("list_records", wrong.clone()).await;
        assert_eq!((&error["code"], &error["outcome"]), (&json!("invalid_arguments"), &json!(outcome)), "{error}");
        assert!(text(&error["errors"][0]["expected"]).contains("[counterpartyName] (did you mean"), "{error}");
        assert_eq!(stage.requests().await.len(), requests);
    }
    let of_template = json!({"filter": "Equals([counterpartyNam], 'Acme')", "template_id": NDA});
    let error = stage.fails("list_workflows", of_template).await;
    assert_eq!(error["code"], "invalid_arguments", "{error}");
    assert!(text(&error["errors"][0]["expected"]).contains("[counterpartyName]"), "{error}");
}
