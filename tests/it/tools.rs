//! Each of the 26 tools, through a real client, against the simulator in strict mode.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{
    samples::sample_with,
    support::{NDA, Setting, Stage, nda, text},
};

/// A stage on which every answer is held against the schema that its tool publishes.
struct Story {
    stage: Stage,
    schemas: BTreeMap<String, Validator>,
    exercised: BTreeSet<String>,
}

impl Story {
    async fn begin() -> Self {
        Self::on(Stage::open().await).await
    }

    async fn on(stage: Stage) -> Self {
        let tools = stage.client.list_all_tools().await.unwrap();
        let schemas = tools.into_iter().map(|tool| {
            let schema = Value::Object(tool.output_schema.unwrap().as_ref().clone());
            (tool.name.into_owned(), jsonschema::draft202012::new(&schema).unwrap())
        });
        let schemas = schemas.collect();
        Self { stage, schemas, exercised: BTreeSet::new() }
    }

    async fn step(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.stage.call(tool, arguments).await;
        let structured = result.structured_content.unwrap();
        assert_ne!(result.is_error, Some(true), "{tool}: {structured}");
        let copy: Value = serde_json::from_str(&result.content[0].as_text().unwrap().text).unwrap();
        assert_eq!(copy, structured, "{tool}: the text is not the same as the structured content");
        let faults: Vec<String> = self.schemas[tool]
            .iter_errors(&structured)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{tool}: {faults:?} in {structured:#}");
        self.exercised.insert(tool.to_owned());
        structured
    }

    /// Launches a contract and takes it through all that can happen to one.
    async fn contract(&mut self) {
        let templates = self.step("list_workflow_schemas", json!({"name_contains": "mutual"})).await;
        assert_eq!(templates["items"][0]["id"], NDA);
        let form = self.step("get_workflow_schema", json!({"template_id": NDA})).await;
        assert_eq!(form["schema"]["counterpartyName"]["required"], "always");
        let launched = self.step("launch_workflow", nda()).await;
        let id = text(&launched["id"]);
        let of = json!({"workflow_id": id});
        assert_eq!(launched["url"], format!("{}/workflow/{id}", self.stage.simulator.base_url()));
        let updates = json!([
            {"action": "set", "path": "additionalNotes", "value": "12.5"},
            {"action": "set", "path": "term", "value": "{\"years\": 5}"},
        ]);
        let changed = json!({"workflow_id": id, "updates": updates, "comment": "as agreed"});
        let changed = self.step("update_workflow_attributes", changed).await;
        assert_eq!(changed["attributes"]["additionalNotes"], "12.5");
        assert_eq!(changed["attributes"]["term"], json!({"years": 5}));
        let why = json!({"workflow_id": id, "comment": "for a test"});
        assert_eq!(self.step("pause_workflow", why.clone()).await, json!({"done": true, "workflow_id": id}));
        assert_eq!(self.step("get_workflow", of.clone()).await["status"], "paused");
        self.step("resume_workflow", why.clone()).await;
        let approvals = self.step("list_workflow_approvals", of.clone()).await;
        let role = text(&approvals["approvalGroups"][0]["reviewers"][0]["role"]);
        let approved = json!({"workflow_id": id, "role_id": role, "status": "approved"});
        self.step("update_workflow_approval", approved).await;
        let requests = self.step("list_approval_requests", json!({"workflow_id": id, "actor_details": true})).await;
        assert!(requests["items"].as_array().unwrap().iter().any(|one| one["status"] == "Approved"), "{requests}");
        assert_eq!(self.step("send_signature_request", of.clone()).await["status"], "sent");
        self.step("revert_workflow_to_review", of.clone()).await;
        let back = self.step("get_workflow", json!({"workflow_id": launched["ironcladId"]})).await;
        assert_eq!((&back["id"], &back["step"]), (&launched["id"], &json!("Review")));
        let key = &back["attributes"]["draft"][0]["key"];
        let document = json!({"workflow_id": id, "document_key": key});
        assert!(self.step("download_workflow_document", document).await["size"].as_u64().unwrap() > 1000);
        self.step("cancel_workflow", why).await;
        let cancelled = self.step("list_workflows", json!({"status": ["cancelled"], "limit": 100})).await;
        assert!(cancelled["items"].as_array().unwrap().iter().any(|workflow| workflow["id"] == id));
    }

    async fn records(&mut self) {
        let schema =
            self.step("get_record_schema", json!({"fields": ["recordTypes", "properties.contractValue"]})).await;
        assert_eq!(schema["properties"]["contractValue"]["type"], "monetary_amount");
        let date = |day: &str| json!({"type": "date", "value": format!("{day}T00:00:00Z")});
        let properties = json!({
            "counterpartyName": {"type": "string", "value": "Acme"},
            "effectiveDate": date("2026-01-01"), "expirationDate": date("2028-01-01"),
            "standard_renewalType": {"type": "string", "value": "None"},
        });
        let record = json!({"type": "mutualNda", "name": "Acme NDA", "properties": properties});
        let record = self.step("create_record", record).await;
        let id = text(&record["id"]);
        let change = json!({"record_id": id, "name": "Acme NDA, renamed", "remove_properties": ["counterpartyName"]});
        assert_eq!(self.step("update_record", change).await["name"], "Acme NDA, renamed");
        let action = json!({"type": "terminate", "properties": {
            "standard_terminatedDate": date("2026-08-31"), "standard_terminationEffectiveDate": date("2026-10-31")}});
        let ran = self.step("run_record_action", json!({"record_id": id, "action": action})).await;
        assert_eq!(ran["type"], "terminate");
        let read = self.step("get_record", json!({"record_id": record["ironcladId"]})).await;
        assert_eq!(read["contractStatus"]["enhancedStatus"], "terminating");
        let ndas = json!({"types": ["mutualNda", "orderForm"], "filter": "Contains([name], 'renamed')"});
        assert_eq!(self.step("list_records", ndas).await["total"], 1);
    }

    async fn webhooks_and_users(&mut self) {
        let webhook = json!({"events": ["contract_status_changed"], "target_url": "https://hooks.example/in"});
        let webhook = self.step("create_webhook", webhook).await;
        assert_eq!(webhook["events"], json!(["record_contract_status_changed"]));
        assert_eq!(self.step("list_webhooks", json!({})).await["items"][0]["id"], webhook["id"]);
        let gone = self.step("delete_webhook", json!({"webhook_id": webhook["id"]})).await;
        assert_eq!(gone, json!({"done": true, "webhook_id": webhook["id"]}));
        assert_eq!(self.step("list_webhooks", json!({})).await, json!({"items": [], "has_more": false}));
        let maya = json!({"filter": "userName eq \"maya.ortiz@simulator.example\""});
        let found = self.step("list_users", maya).await;
        assert_eq!(found["total"], 1);
        let user = self.step("get_user", json!({"user_id": found["items"][0]["id"]})).await;
        assert_eq!(user["userName"], "maya.ortiz@simulator.example");
    }
}

#[tokio::test]
async fn every_tool_answers_and_keeps_its_output_schema() {
    for modern in [false, true] {
        let mut story = Story::on(Stage::with(Setting { modern, ..Setting::default() }).await).await;
        story.contract().await;
        story.records().await;
        story.webhooks_and_users().await;
        let published: BTreeSet<String> = story.schemas.keys().cloned().collect();
        assert_eq!(published.len(), 26);
        assert_eq!(story.exercised, published);
    }
}

/// Clients hold what a failed call says to the same schema.
#[tokio::test]
async fn the_error_object_fits_every_output_schema() {
    let story = Story::begin().await;
    let error = json!({"error": {"code": "not_found", "message": "m", "hint": "h"}});
    for (tool, schema) in &story.schemas {
        assert!(schema.is_valid(&error), "{tool}");
    }
}

#[tokio::test]
async fn a_dry_run_of_any_write_shows_its_request_and_sends_nothing() {
    let mut story = Story::begin().await;
    let writes: Vec<String> = writes(&story.stage).await;
    assert_eq!(writes.len(), 13);
    for tool in &writes {
        let shown = story.step(tool, sample_with(tool, json!({"dry_run": true}))).await;
        assert_eq!(shown["dry_run"], true, "{tool}");
        let sentence = text(&shown["sentence"]);
        assert!(
            sentence.starts_with("tests would ") && sentence.ends_with(" as maya.ortiz@simulator.example"),
            "{sentence}"
        );
        assert!(!text(&shown["plan"]).is_empty() && !text(&shown["plan_expires"]).is_empty(), "{tool}");
        assert!(text(&shown["request"]["path"]).starts_with("/public/api/v1/"), "{tool}: {shown}");
    }
    // What a check reads is no harm; a write would be.
    assert!(story.stage.requests().await.iter().all(|request| request["method"] == "GET"));
}

#[tokio::test]
async fn a_dry_run_checks_the_arguments() {
    let stage = Stage::open().await;
    let error = stage.fails("launch_workflow", json!({"template_id": NDA, "dry_run": true})).await;
    assert_eq!((&error["code"], &error["errors"][0]["path"]), (&json!("invalid_arguments"), &json!("attributes")));
}

/// The schema of the workflow decides what text stands for, so it is read; the write itself stays unsent.
#[tokio::test]
async fn a_dry_run_of_ambiguous_text_reads_and_shows_what_would_be_written() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    stage.forget_requests().await;
    let updates = json!([
        {"action": "set", "path": "additionalNotes", "value": "false"},
        {"action": "set", "path": "term", "value": "{\"years\":5}"},
        {"action": "set", "path": "term", "value": {"years": 6}},
    ]);
    let shown =
        stage.ok("update_workflow_attributes", json!({"workflow_id": id, "updates": updates, "dry_run": true})).await;
    let values: Vec<&Value> =
        shown["request"]["body"]["updates"].as_array().unwrap().iter().map(|update| &update["value"]).collect();
    assert_eq!(values, [&json!("false"), &json!({"years": 5}), &json!({"years": 6})]);
    let sent = stage.requests().await;
    assert_eq!(sent.iter().map(|request| text(&request["method"])).collect::<Vec<_>>(), ["GET"]);
}

/// Models send text; what it stands for is the attribute's type to say.
#[tokio::test]
async fn the_text_of_an_update_becomes_what_the_attribute_holds() {
    let stage = Stage::open().await;
    let address = json!({"lines": ["1 High St"], "locality": "York", "postcode": "YO1", "country": "UK"});
    let vendor = json!({"template_id": "5f2c8e91cdc1927c5c4ed004", "use_default_values": true, "attributes": {
        "counterpartyName": "Acme", "recordType": "Order Form", "vendorAddress": address,
        "vendorContactEmail": "ada@acme.example", "serviceRegions": ["Europe"]}});
    let id = stage.ok("launch_workflow", vendor).await["id"].clone();
    let set = |path: &str, value: &str| json!({"action": "set", "path": path, "value": value});
    let updates = json!([
        set("counterpartyName", "2026"),
        set("headcount", "25"),
        set("handlesPersonalData", "true"),
        set("privacyContact", "grace@acme.example"),
        set("goLiveDate", "2026-10-01"),
        set("serviceRegions", "[\"Europe\", \"Latin America\"]"),
        set("needsInsurance", "false"),
    ]);
    let changed = stage.ok("update_workflow_attributes", json!({"workflow_id": id, "updates": updates})).await;
    let expected = json!({
        "counterpartyName": "2026", "headcount": 25, "handlesPersonalData": true, "privacyContact": "grace@acme.example",
        "goLiveDate": "2026-10-01T00:00:00.000Z", "serviceRegions": ["Europe", "Latin America"], "needsInsurance": false,
    });
    for (attribute, value) in expected.as_object().unwrap() {
        assert_eq!(&changed["attributes"][attribute], value, "{attribute}");
    }
}

async fn writes(stage: &Stage) -> Vec<String> {
    let tools = stage.client.list_all_tools().await.unwrap().into_iter();
    let writes = tools.filter(|tool| tool.annotations.as_ref().unwrap().read_only_hint == Some(false));
    writes.map(|tool| tool.name.into_owned()).collect()
}

/// Each read with the fields asked for and where the rest of the answer must lie.
fn reads(of: &Known) -> Vec<(&'static str, Value, Value)> {
    let workflow = json!({"workflow_id": of.workflow["id"]});
    let document =
        json!({"workflow_id": of.workflow["id"], "document_key": of.workflow["attributes"]["draft"][0]["key"]});
    let in_list = |item: Value| json!({"items": [item]});
    vec![
        ("list_workflows", json!({}), in_list(json!({"id": 0, "template": 0, "attributes": {"counterpartyName": 0}}))),
        ("get_workflow", workflow.clone(), json!({"title": 0, "attributes": {"effectiveDate": 0}, "url": 0})),
        ("get_workflow", workflow.clone(), json!({"schema": {"effectiveDate": {"type": 0}}})),
        ("list_workflow_schemas", json!({}), in_list(json!({"name": 0}))),
        (
            "get_workflow_schema",
            json!({"template_id": NDA}),
            json!({"schema": {"paperSource": {"options": {"values": 0}}}}),
        ),
        ("list_workflow_approvals", workflow.clone(), json!({"title": 0, "approvalGroups": [{"status": 0}]})),
        ("list_approval_requests", workflow, in_list(json!({"status": 0, "roleName": 0}))),
        ("list_records", json!({"limit": 1}), in_list(json!({"ironcladId": 0, "properties": {"counterpartyName": 0}}))),
        (
            "get_record",
            json!({"record_id": of.record}),
            json!({"name": 0, "properties": {"counterpartyName": {"type": 0}}}),
        ),
        ("get_record_schema", json!({}), json!({"properties": {"contractValue": {"displayName": 0}}})),
        ("download_workflow_document", document, json!({"sha256": 0, "size": 0})),
        ("list_webhooks", json!({}), in_list(json!({"targetURL": 0}))),
        ("list_users", json!({"limit": 1}), in_list(json!({"userName": 0, "name": {"givenName": 0}}))),
        ("get_user", json!({"user_id": of.user}), json!({"name": {"familyName": 0}, "emails": [{"value": 0}]})),
    ]
}

/// Ids for a test that reads everything.
struct Known {
    workflow: Value,
    record: Value,
    user: Value,
}

impl Known {
    async fn on(stage: &Stage) -> Self {
        let webhook = json!({"events": ["*"], "target_url": "https://hooks.example/in"});
        stage.ok("create_webhook", webhook).await;
        let mut records = stage.ok("list_records", json!({"limit": 1})).await;
        let mut users = stage.ok("list_users", json!({"limit": 1})).await;
        Self {
            workflow: stage.launched().await,
            record: records["items"][0]["id"].take(),
            user: users["items"][0]["id"].take(),
        }
    }
}

/// `{"a": {"b": 0}, "c": [{"d": 0}]}` as `["a.b", "c.d"]`.
fn paths(shape: &Value, at: &str) -> Vec<String> {
    match shape {
        Value::Object(members) => {
            let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
            members.iter().flat_map(|(name, shape)| paths(shape, &below(name))).collect()
        }
        Value::Array(items) => paths(&items[0], at),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![at.to_owned()],
    }
}

/// Whether an answer has the members of a shape and no other.
fn fits(shape: &Value, answer: &Value) -> bool {
    match (shape, answer) {
        (Value::Object(shape), Value::Object(answer)) => {
            shape.len() == answer.len()
                && shape.iter().all(|(name, shape)| answer.get(name).is_some_and(|at| fits(shape, at)))
        }
        (Value::Array(shape), Value::Array(answer)) => {
            !answer.is_empty() && answer.iter().all(|at| fits(&shape[0], at))
        }
        (Value::Number(_), answer) => !answer.is_null(),
        _ => false,
    }
}

#[tokio::test]
async fn every_read_can_be_narrowed_to_the_fields_asked_for() {
    let mut story = Story::begin().await;
    let known = Known::on(&story.stage).await;
    for (tool, mut arguments, shape) in reads(&known) {
        let wanted = if shape.get("items").is_some() { &shape["items"] } else { &shape };
        arguments["fields"] = paths(wanted, "").into();
        let mut answer = story.step(tool, arguments.clone()).await;
        if let (Some(envelope), true) = (answer.as_object_mut(), shape.get("items").is_some()) {
            envelope.retain(|name, _| name == "items");
        }
        assert!(fits(&shape, &answer), "{tool} {arguments} gave {answer:#}");
    }
    let writes: BTreeSet<String> = writes(&story.stage).await.into_iter().collect();
    let reads: BTreeSet<String> = story.schemas.keys().filter(|name| !writes.contains(*name)).cloned().collect();
    assert_eq!(story.exercised, reads);
    assert_eq!(reads.len(), 13);
}
