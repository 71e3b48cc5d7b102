//! Lists of any length: a call gathers the pages it needs and no more, and a walk of a large repository ends.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Setting, Stage, text};

/// A company of so many records and no workflows, and results of any size.
fn repository(records: usize) -> Setting {
    let mut setting = Setting { max_result_bytes: 1 << 20, ..Setting::default() };
    (setting.simulator.records, setting.simulator.workflows) = (records, 0);
    setting
}

/// The pages that were asked for: number and size.
async fn pages(stage: &Stage) -> Vec<(String, String)> {
    let query = |request: &Value, name: &str| request["query"][name].as_str().unwrap_or_default().to_owned();
    let listing = |request: &Value| text(&request["path"]).ends_with("/records");
    let log = stage.requests().await;
    log.iter().filter(|one| listing(one)).map(|one| (query(one, "page"), query(one, "pageSize"))).collect()
}

fn numbered(count: usize) -> Vec<(String, String)> {
    (0..count).map(|number| (number.to_string(), "100".to_owned())).collect()
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| text(&item["id"]).to_owned()).collect()
}

/// The pages of a walk by cursors, `between` them whatever happens to the list.
async fn walk(stage: &Stage, arguments: &Value, mut between: impl AsyncFnMut(usize)) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut arguments = arguments.clone();
    loop {
        let page = stage.ok("list_records", arguments.clone()).await;
        found.push(ids(&page));
        assert_eq!(page["has_more"], page.get("next_cursor").is_some());
        let Some(cursor) = page.get("next_cursor") else { return found };
        assert!(!found.last().unwrap().is_empty(), "a page without items says that there is more");
        arguments["cursor"] = cursor.clone();
        between(found.len()).await;
    }
}

#[tokio::test]
async fn one_call_gathers_a_thousand_items_from_as_many_pages_as_it_needs() {
    let stage = Stage::with(repository(1_234)).await;
    let all = json!({"limit": 1000, "fields": ["id"]});
    let found = walk(&stage, &all, async |_| ()).await;
    let sizes: Vec<usize> = found.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1000, 234]);
    assert_eq!(found.concat().iter().collect::<BTreeSet<_>>().len(), 1_234);
    let mut asked = pages(&stage).await;
    // Two are under way at a time, so they may arrive in either order.
    asked.sort_by_key(|(number, _)| number.parse::<usize>().unwrap());
    assert_eq!(asked, numbered(13));
    let lines = stage.audit();
    let attempts: Vec<&Value> = lines.iter().map(|line| &line["attempts"]).collect();
    assert_eq!(attempts, [&json!(10), &json!(3)], "the audit log counts every page");
}

#[tokio::test]
async fn pages_that_surely_cannot_be_returned_are_not_fetched() {
    let stage = Stage::with(Setting { max_result_bytes: 20_000, ..repository(1_000) }).await;
    let page = stage.ok("list_records", json!({"limit": 1000})).await;
    let given = ids(&page).len();
    assert!(given < 100, "{given} whole records in 20 kB");
    assert_eq!(pages(&stage).await, numbered(1), "the first page fills the result");
    stage.forget_requests().await;
    let next = stage.ok("list_records", json!({"limit": 20, "fields": ["id"], "cursor": page["next_cursor"]})).await;
    assert_eq!(ids(&next).len(), 20);
    let asked = pages(&stage).await;
    assert_eq!(asked.len(), 1, "one page holds all that is wanted: {asked:?}");
}

#[tokio::test]
async fn a_client_that_asks_for_it_hears_how_far_the_list_has_come() {
    let stage = Stage::with(repository(450)).await;
    assert_eq!(ids(&stage.ok("list_records", json!({"limit": 1000, "fields": ["id"]})).await).len(), 450);
    let told = stage.told_with(4).await;
    let messages: Vec<&str> = told.iter().map(|(_, message)| message.as_str()).collect();
    let expected = ["100 of 450 items", "200 of 450 items", "300 of 450 items", "400 of 450 items"];
    assert_eq!(messages, expected);
    assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0), "progress goes up: {told:?}");
}

#[tokio::test]
async fn a_page_that_fails_shortens_the_list_and_the_cursor_asks_for_it_again() {
    let stage = Stage::with(repository(450)).await;
    stage.set_faults("500:path=/records,after=2,count=1").await;
    let all = json!({"limit": 1000, "fields": ["id"]});
    let found = walk(&stage, &all, async |_| ()).await;
    assert!(found.len() == 2 && [100, 200].contains(&found[0].len()), "{} then", found[0].len());
    assert_eq!(found.concat().iter().collect::<BTreeSet<_>>().len(), 450);
    stage.set_faults("500:path=/records,count=1").await;
    assert_eq!(stage.fails("list_records", all).await["code"], "upstream_unavailable", "nothing was there to shorten");
}

#[tokio::test]
async fn twenty_thousand_records_come_exactly_once() {
    // A hundred thousand are walked by tests/clients/large.py, with the release build.
    let stage = Stage::with(repository(20_000)).await;
    let found = walk(&stage, &json!({"limit": 1000, "fields": ["id"]}), async |_| ()).await.concat();
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!((found.len(), distinct.len()), (20_000, 20_000));
}

#[tokio::test]
async fn every_order_brings_every_record_once() {
    let stage = Stage::with(repository(1_500)).await;
    for field in ["agreementDate", "name", "lastUpdated"] {
        for direction in ["ASC", "DESC"] {
            let sorted = json!({"limit": 700, "fields": ["id"], "sort_field": field, "sort_direction": direction});
            let found = walk(&stage, &sorted, async |_| ()).await.concat();
            assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (1_500, 1_500), "{sorted}");
        }
    }
}

#[tokio::test]
async fn a_walk_ends_while_records_come_and_go() {
    let stage = Stage::with(repository(2_000)).await;
    let everything = json!({"limit": 150, "fields": ["id"]});
    // The list grows and shrinks under the walk, by turns and by far.
    let sizes = [1_500, 3_000, 200, 2_500, 0, 1_800];
    let found = walk(&stage, &everything, async |page| {
        let records = json!({"records": sizes[page % sizes.len()]});
        stage.control("archive", records.to_string()).await;
        if page % 3 == 0 {
            stage.ok("create_record", json!({"type": "orderForm", "name": "Newcomer", "properties": {}})).await;
        }
    });
    let found = found.await;
    assert!(found.len() <= 3_500 / 150 + 1, "{} pages", found.len());
}
