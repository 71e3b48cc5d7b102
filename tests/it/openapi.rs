//! The manifests against the vendor's OpenAPI documents, where those lie beside the project; they are not ours to ship.

mod vendor;

use std::{collections::BTreeSet, path::PathBuf};

use ironclad_mcp::{
    answer::Page,
    catalog::{Catalog, Tool},
    manifest::{Answer, Api, Entry, Parameter, Place},
    request::{self, ActingUser, Request},
};
use serde_json::{Map, Value, json};

use self::vendor::{Document, Operation};
use crate::samples::samples;

/// What stands in the vendor's operations and is no argument by CONTRACT: who acts, paging, and `form`.
const NO_ARGUMENTS: [&str; 7] = ["creator", "user", "page", "pageSize", "startIndex", "count", "form"];

struct Documents {
    public: Document,
    scim: Document,
}

impl Documents {
    /// The documents, or why there are none to test against.
    fn open() -> Result<Self, String> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/openapi");
        let read = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).map_err(|error| format!("{} cannot be read ({error})", path.display()))
        };
        let (public, scim) = (read("public-api.yml")?, read("scim.yml")?);
        Ok(Self { public: Document::public(&public), scim: Document::scim(&scim) })
    }

    fn of(&self, entry: &Entry) -> &Document {
        match entry.request.api {
            Api::Public => &self.public,
            Api::Scim => &self.scim,
        }
    }
}

/// Runs a check on the vendor's documents, or says that it was skipped.
fn with_documents(check: impl FnOnce(&Documents)) {
    match Documents::open() {
        Ok(documents) => check(&documents),
        Err(why) => eprintln!("skipped: {why}; the request snapshots hold what was checked before"),
    }
}

/// The arguments that a request can be built of: each optional one alone with the required ones, and all together.
fn combinations(entry: &Entry) -> Vec<Map<String, Value>> {
    let all = samples().remove(&entry.name).unwrap();
    let optional: Vec<&String> = entry.parameters.iter().filter(|(_, p)| !p.required).map(|(name, _)| name).collect();
    let kept = |chosen: Option<&String>| {
        let keeps = |name: &String| !optional.contains(&name) || chosen == Some(name);
        all.iter().filter(|(name, _)| keeps(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let mut combinations = vec![kept(None)];
    combinations.extend(optional.iter().map(|name| kept(Some(name))));
    combinations.push(all.clone());
    combinations
}

fn build(tool: &Tool, arguments: Map<String, Value>, user: Option<&ActingUser>) -> Request {
    let args = tool.arguments().unwrap().check(&tool.entry, arguments).unwrap();
    let mut request = request::build(&tool.entry, &args, user);
    if let Answer::Page { paging, .. } = &tool.entry.answer {
        request.query.extend(Page { start: 40, size: 20, skip: 0 }.query(*paging));
    }
    request
}

#[test]
fn every_request_that_can_be_built_fits_the_vendors_document() {
    with_documents(|documents| {
        let mut checked = 0;
        for tool in Catalog::load(None, "").unwrap().all().filter(|tool| tool.entry.local.is_none()) {
            let document = documents.of(&tool.entry);
            for arguments in combinations(&tool.entry) {
                let email = ActingUser { email: Some("maya@acme.example".into()), ..ActingUser::default() };
                let id = ActingUser { id: Some("6411a000".into()), ..ActingUser::default() };
                let users = [None, Some(&email), Some(&id)];
                let users = users.into_iter().take(if tool.entry.request.acting_user.is_some() { 3 } else { 1 });
                for user in users {
                    let request = build(tool, arguments.clone(), user);
                    let faults = document.faults(&request);
                    assert!(faults.is_empty(), "{}: {faults:#?} in {}", tool.name, request.to_json());
                    checked += 1;
                }
            }
        }
        assert!(checked > 80, "{checked}");
    });
}

type Spoil = fn(&mut Request);

#[test]
fn a_request_that_does_not_fit_is_told_from_one_that_does() {
    with_documents(|documents| {
        let catalog = Catalog::load(None, "").unwrap();
        let request = |tool: &str| build(catalog.get(tool).unwrap(), samples().remove(tool).unwrap(), None);
        let spoiled: [(&str, Spoil); 7] = [
            ("list_workflows", |request| request.path.push_str("/x/y")),
            ("list_workflows", |request| request.query.push(("limit".into(), "3".into()))),
            ("list_workflows", |request| request.query.push(("status".into(), "archived".into()))),
            ("list_workflow_schemas", |request| request.query.clear()),
            ("launch_workflow", |request| request.body = Some(json!({"template": 5, "attributes": {}}))),
            ("pause_workflow", |request| request.body = Some(json!({"comment": "text"}))),
            ("delete_webhook", |request| request.body = Some(json!({}))),
        ];
        for (tool, spoil) in spoiled {
            let mut request = request(tool);
            assert_eq!(documents.of(&catalog.get(tool).unwrap().entry).faults(&request), Vec::<String>::new());
            spoil(&mut request);
            assert!(!documents.public.faults(&request).is_empty(), "{tool}: {}", request.to_json());
        }
    });
}

/// Every kind of action is a request of its own, though all are one argument.
#[test]
fn every_record_action_fits_the_vendors_document() {
    with_documents(|documents| {
        let catalog = Catalog::load(None, "").unwrap();
        let tool = catalog.get("run_record_action").unwrap();
        let date = json!({"type": "date", "value": "2026-08-31T00:00:00Z"});
        let renewal = json!({"standard_renewalType": {"type": "string", "value": "Auto-Renew"}});
        let undone = json!({"standard_undoObligationAction": {"type": "string", "value": "terminate"}});
        let actions = [
            json!({"type": "activate", "properties": renewal}),
            json!({"type": "terminate", "properties": {
                "standard_terminatedDate": date, "standard_terminationEffectiveDate": date}}),
            json!({"type": "supersede", "properties": {
                "standard_supersededDate": date, "standard_supersessionEffectiveDate": date}}),
            json!({"type": "extend", "properties": {}}),
            json!({"type": "extend", "properties": {"standard_renewalTermLength": {"type": "duration", "value": "P1Y"}}}),
            json!({"type": "cancelAutoRenewal"}),
            json!({"type": "editRenewal", "properties": renewal}),
            json!({"type": "undo", "properties": undone}),
        ];
        for action in actions {
            let arguments = json!({"record_id": "IC-1", "action": action});
            let request = build(tool, arguments.as_object().unwrap().clone(), None);
            let faults = documents.public.faults(&request);
            assert!(faults.is_empty(), "{faults:#?} in {action}");
        }
    });
}

#[test]
fn every_query_parameter_and_body_member_of_the_vendors_has_an_argument() {
    with_documents(|documents| {
        for tool in Catalog::load(None, "").unwrap().all().filter(|tool| tool.entry.local.is_none()) {
            let document = documents.of(&tool.entry);
            let request = build(tool, samples().remove(&tool.entry.name).unwrap(), None);
            let operation = document.operation(&request).unwrap();
            let missing = [missing_query(&operation, &tool.entry), missing_body(document, &operation, &tool.entry)];
            assert!(missing.iter().all(Vec::is_empty), "{} has no argument for {missing:?}", tool.name);
        }
    });
}

fn wires(entry: &Entry, place: Place) -> impl Iterator<Item = (String, &Parameter)> {
    entry.parameters.iter().filter(move |(_, parameter)| parameter.place == place).map(move |(name, parameter)| {
        let own = if place == Place::Body { format!("/{name}") } else { name.clone() };
        (parameter.wire.clone().unwrap_or(own), parameter)
    })
}

fn missing_query(operation: &Operation<'_>, entry: &Entry) -> Vec<String> {
    let ours: BTreeSet<String> = wires(entry, Place::Query).map(|(wire, _)| wire).collect();
    let theirs = operation.query().map(|parameter| parameter["name"].as_str().unwrap().to_owned());
    theirs.filter(|name| !ours.contains(name) && !NO_ARGUMENTS.contains(&name.as_str())).collect()
}

fn missing_body(document: &Document, operation: &Operation<'_>, entry: &Entry) -> Vec<String> {
    let Some(body) = operation.body() else { return Vec::new() };
    let mut missing = Vec::new();
    for (name, node) in document.members(body) {
        if NO_ARGUMENTS.contains(&name.as_str()) {
            continue;
        }
        let whole = wires(entry, Place::Body).find(|(wire, _)| wire == "/" || *wire == format!("/{name}"));
        match whole {
            Some((wire, _)) if wire == "/" => {}
            Some((_, parameter)) => {
                missing.extend(document.missing_from(node, &Value::Object(parameter.schema.clone()), &name));
            }
            None => {
                let ours: BTreeSet<String> = wires(entry, Place::Body).map(|(wire, _)| wire).collect();
                let below = document.members(node).into_iter().map(|(below, _)| format!("/{name}/{below}"));
                let below: Vec<String> = below.collect();
                missing.extend(below.iter().filter(|wire| !ours.contains(*wire)).cloned());
                if below.is_empty() {
                    missing.push(name);
                }
            }
        }
    }
    missing
}
