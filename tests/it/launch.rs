//! A launch is held against its template's form before anything is sent.

use std::{collections::BTreeSet, time::Duration};

use ironclad_mcp::schema_profile::schema_faults;
use serde_json::{Map, Value, json};

use crate::support::{NDA, Setting, Stage, nda, template, text};

const ORDER_FORM: &str = "5f4e9c35cdc1927c5c4ed006";

/// The path and expectation of each fault.
fn faults(error: &Value) -> Vec<(&str, &str)> {
    error["errors"].as_array().unwrap().iter().map(|fault| (text(&fault["path"]), text(&fault["expected"]))).collect()
}

fn gist(error: &Value) -> (&str, Option<u64>, Option<&str>) {
    (text(&error["code"]), error["status"].as_u64(), error["outcome"].as_str())
}

/// Requests for launch forms, and launches.
async fn traffic(stage: &Stage) -> (usize, usize) {
    let requests = stage.requests().await;
    let count = |method: &str| requests.iter().filter(|request| request["method"] == method).count();
    (count("GET"), count("POST"))
}

#[tokio::test]
async fn every_fault_is_named_at_once_and_nothing_is_launched() {
    let stage = Stage::open().await;
    let attributes = json!({
        "counterpartyNam": "Acme", "effectiveDate": "next week", "paperSource": "Our papers",
        "counterpartySignerEmail": "ada at acme", "term": {"years": "many"}, "favouriteColour": "red",
    });
    let error = stage.fails("launch_workflow", json!({"template_id": NDA, "attributes": attributes})).await;
    assert_eq!(gist(&error), ("invalid_arguments", None, Some("not_sent")), "{error}");
    let found = faults(&error);
    let paths: BTreeSet<&str> = found.iter().map(|(path, _)| *path).collect();
    let wrong = |id: &str| paths.iter().any(|path| path.starts_with(&format!("attributes.{id}")));
    for id in ["counterpartyNam", "effectiveDate", "paperSource", "counterpartySignerEmail", "term", "favouriteColour"]
    {
        assert!(wrong(id), "{id}: {found:?}");
    }
    for missing in ["attributes.counterpartyName", "attributes.counterpartySigner"] {
        assert!(paths.contains(missing), "{missing}: {found:?}");
    }
    let expected = |path: &str| found.iter().find(|(at, _)| *at == path).unwrap().1;
    assert!(
        expected("attributes.counterpartyNam").contains("counterpartyName (Counterparty Name; did you mean that?)")
    );
    assert!(expected("attributes.paperSource").contains("Our paper"));
    assert!(error["errors"].to_string().contains("Effective Date"), "{error}");
    assert_eq!(traffic(&stage).await, (1, 0));
    assert!(stage.audit().iter().all(|line| line["outcome"] != "intent"));
}

#[tokio::test]
async fn a_mended_launch_goes_through_and_says_what_was_normalised() {
    let stage = Stage::open().await;
    let mut launch = nda();
    launch["attributes"]["term"] = r#"{"years": 3}"#.into();
    launch["dry_run"] = true.into();
    let tried = stage.ok("launch_workflow", launch.clone()).await;
    assert_eq!(tried["request"]["body"]["attributes"]["effectiveDate"], "2026-12-01T00:00:00Z");
    launch["dry_run"] = false.into();
    let launched = stage.ok("launch_workflow", launch).await;
    assert_eq!(launched["attributes"]["term"], json!({"years": 3}));
    assert_eq!(launched["notes"], tried["notes"]);
    let notes = launched["notes"].to_string();
    assert!(notes.contains("attributes.term: JSON text was decoded"), "{notes}");
    assert!(notes.contains("attributes.effectiveDate"), "{notes}");
    assert_eq!(traffic(&stage).await, (1, 1));
}

#[tokio::test]
async fn defaults_count_as_given_only_when_they_are_asked_for() {
    let stage = Stage::open().await;
    let form = stage.ok("get_workflow_schema", json!({"template_id": ORDER_FORM})).await;
    let mut attributes = form["example"].clone();
    for defaulted in ["seats", "subscriptionTerm"] {
        attributes.as_object_mut().unwrap().remove(defaulted);
    }
    let mut launch = json!({"template_id": ORDER_FORM, "attributes": attributes});
    let error = stage.fails("launch_workflow", launch.clone()).await;
    let missing: BTreeSet<&str> = faults(&error).into_iter().map(|(path, _)| path).collect();
    assert_eq!(missing, ["attributes.seats", "attributes.subscriptionTerm"].into());
    launch["use_default_values"] = true.into();
    let launched = stage.ok("launch_workflow", launch).await;
    assert_eq!(launched["attributes"]["seats"], 10);
}

#[tokio::test]
async fn a_template_that_the_acting_user_may_not_launch_is_said_before_anything_is_sent() {
    let stage = Stage::open().await;
    let mut closed = template("Mutual NDA");
    closed["backstage"]["launchers"] = json!(["teodor.lindahl@simulator.example"]);
    stage.control("templates", closed.to_string()).await;
    let error = stage.fails("launch_workflow", nda()).await;
    assert_eq!(gist(&error), ("forbidden", None, Some("not_sent")), "{error}");
    assert!(text(&error["message"]).contains("Mutual NDA"), "{error}");
    assert_eq!(traffic(&stage).await.1, 0);
    let form = stage.ok("get_workflow_schema", json!({"template_id": NDA})).await;
    assert_eq!(form["launchable"], false);
}

#[tokio::test]
async fn an_unknown_template_is_not_found_and_nothing_is_sent() {
    let stage = Stage::open().await;
    let mut launch = nda();
    launch["template_id"] = "aaaaaaaaaaaaaaaaaaaaaaaa".into();
    let error = stage.fails("launch_workflow", launch.clone()).await;
    assert_eq!((&error["code"], &error["outcome"]), (&json!("not_found"), &json!("not_sent")), "{error}");
    assert!(text(&error["hint"]).contains("list_workflow_schemas"), "{error}");
    launch["template_id"] = "../webhooks".into();
    let error = stage.fails("launch_workflow", launch).await;
    assert_eq!(faults(&error)[0].0, "template_id");
    assert_eq!(traffic(&stage).await.1, 0);
}

/// Which answers make a conditional attribute required is known to Ironclad alone.
#[tokio::test]
async fn what_ironclad_asks_for_is_named_by_field_and_remembered() {
    let stage = Stage::open().await;
    let conditional =
        async || stage.ok("get_workflow_schema", json!({"template_id": NDA})).await["conditional"].clone();
    assert_eq!(conditional().await[0]["asked_for_before"], false);
    let mut launch = nda();
    launch["attributes"]["paperSource"] = "Counterparty paper".into();
    let error = stage.fails("launch_workflow", launch.clone()).await;
    assert_eq!(gist(&error), ("invalid_arguments", Some(400), Some("refused")), "{error}");
    let found = faults(&error);
    assert_eq!(found.len(), 1, "{error}");
    assert_eq!(found[0].0, "attributes.draft");
    assert!(found[0].1.contains("url"), "{error}");
    let draft = &conditional().await[0];
    assert_eq!((&draft["id"], &draft["asked_for_before"]), (&json!("draft"), &json!(true)));
    launch["dry_run"] = true.into();
    let tried = stage.ok("launch_workflow", launch).await;
    assert!(tried["notes"].to_string().contains("Ironclad has required it before"), "{tried}");
}

#[tokio::test]
async fn the_last_good_form_serves_on_while_none_can_be_had() {
    let stage = Stage::with(Setting { template_refresh: Duration::ZERO, ..Setting::default() }).await;
    stage.launched().await;
    for fault in ["503:method=GET", "malformed:method=GET", "reset-after:method=GET", "429:method=GET,retry-after=120"]
    {
        stage.set_faults(fault).await;
        stage.forget_requests().await;
        stage.launched().await;
        assert_eq!(traffic(&stage).await, (1, 1), "{fault}");
    }
}

/// Only an answer of Ironclad's ends a kept form's service.
#[tokio::test]
async fn a_template_that_was_published_again_is_gone_under_its_old_id() {
    let stage = Stage::with(Setting { template_refresh: Duration::ZERO, ..Setting::default() }).await;
    stage.launched().await;
    let fresh = stage.control(&format!("templates/{NDA}/republish"), "{}".into()).await;
    let mut launch = nda();
    assert_eq!(stage.fails("launch_workflow", launch.clone()).await["code"], "not_found");
    launch["template_id"] = fresh["id"].clone();
    stage.ok("launch_workflow", launch).await;
}

#[tokio::test]
async fn many_launches_share_one_look_up_of_the_form() {
    let stage = Stage::open().await;
    futures_util::future::join_all((0..10).map(|_| stage.launched())).await;
    assert_eq!(traffic(&stage).await, (1, 10));
}

#[tokio::test]
async fn each_templates_example_launches_as_it_stands() {
    let stage = Stage::open().await;
    let templates = stage.ok("list_workflow_schemas", json!({})).await;
    let templates = templates["items"].as_array().unwrap();
    assert_eq!(templates.len(), 6);
    for template in templates {
        let form = stage.ok("get_workflow_schema", json!({"template_id": template["id"]})).await;
        assert_eq!((&form["template_id"], &form["launchable"]), (&template["id"], &json!(true)));
        let schema = json!({"type": "object", "properties": {"attributes": form["attributes_schema"]}});
        assert_eq!(schema_faults(schema.as_object().unwrap()), Vec::<String>::new(), "{}", form["name"]);
        let validator = jsonschema::draft202012::new(&form["attributes_schema"]).unwrap();
        let example = published_names(&form);
        assert!(validator.is_valid(&example), "{}: {example}", form["name"]);
        let launch = json!({"template_id": template["id"], "attributes": form["example"]});
        let launched = stage.ok("launch_workflow", launch).await;
        assert_eq!(launched["template"], template["id"], "{}", form["name"]);
    }
}

/// The example with its ids as the schema names them.
fn published_names(form: &Value) -> Value {
    let ids = form["attribute_ids"].as_object().cloned().unwrap_or_default();
    let name = |id: &String| ids.iter().find(|(_, of)| *of == id).map_or_else(|| id.clone(), |(name, _)| name.clone());
    let example = form["example"].as_object().unwrap();
    example.iter().map(|(id, value)| (name(id), value.clone())).collect::<Map<_, _>>().into()
}
