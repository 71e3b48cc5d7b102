//! What a call costs besides Ironclad: the pure steps of the path, the catalogue, and the audit line.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that cannot run must stop")]

use std::{collections::BTreeSet, hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use ironclad_mcp::{
    answer::{self, Fields, Shape, Window},
    audit::{AuditLog, Record, Target, Who},
    catalog::{Catalog, Tool},
    cursor::{CursorKey, call_digest},
    launch_form::LaunchForm,
    policy, request,
    server::published_tools,
};
use serde_json::{Map, Value, json};

/// A workflow as Ironclad answers it, with a launch form of 25 attributes.
fn workflow(number: usize) -> Value {
    let node = |name: String| json!({"type": "string", "displayName": name, "readOnly": true, "propertyKey": name});
    let schema: Map<String, Value> =
        (0..25).map(|n| (format!("attribute{n}"), node(format!("Attribute {n}")))).collect();
    let attributes: Map<String, Value> =
        (0..20).map(|n| (format!("attribute{n}"), format!("the value of attribute {n}").into())).collect();
    json!({
        "id": format!("{number:024x}"), "ironcladId": format!("IC-{number}"), "title": "Mutual NDA with Acme LLC",
        "template": "5f0375c4cdc1927c5c4ed001", "step": "Review", "schema": schema, "attributes": attributes,
        "isCancelled": false, "isComplete": false, "status": "active", "created": "2026-07-30T12:15:04.759Z",
        "lastUpdated": "2026-07-30T12:15:04.759Z", "roles": [{"id": "owner", "displayName": "Workflow Owner", "assignees": []}],
        "approvals": {"state": "in_progress", "url": "https://ironcladapp.com/"}, "signatures": {"state": "not_started"},
        "isRevertibleToReview": false
    })
}

fn tool<'a>(catalog: &'a Catalog, name: &str) -> &'a Arc<Tool> {
    catalog.get(name).expect("a tool of the catalogue")
}

fn arguments(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn requests(c: &mut Criterion) {
    let catalog = Catalog::load(None, "").expect("the shipped manifests");
    let settings = policy::Settings { enable_writes: true, ..policy::Settings::default() };
    let calls = [
        ("get_workflow", json!({"workflow_id": "6a6b328004308879e7d439b6"})),
        ("list_records", json!({"types": ["nda", "msa"], "limit": 50, "sort_field": "lastUpdated"})),
        (
            "update_workflow_attributes",
            json!({"workflow_id": "IC-12", "updates": [{"action": "set", "path": "counterpartyName", "value": "Acme"}]}),
        ),
    ];
    for (name, given) in calls {
        let tool = tool(&catalog, name);
        let given = arguments(&given);
        c.bench_function(&format!("arguments to request: {name}"), |b| {
            b.iter(|| {
                let verdict = policy::decide(&tool.entry, &settings).expect("granted");
                let check = tool.arguments().expect("compiles");
                let args = check.check(&tool.entry, black_box(given.clone())).expect("right arguments");
                (verdict, request::build(&tool.entry, &args, None))
            });
        });
        c.bench_function(&format!("argument check: {name}"), |b| {
            let check = tool.arguments().expect("compiles");
            b.iter(|| check.check(&tool.entry, black_box(given.clone())));
        });
    }
}

fn answers(c: &mut Criterion) {
    let catalog = Catalog::load(None, "").expect("the shipped manifests");
    let one = workflow(12).to_string();
    let list: Vec<Value> = (0..20).map(workflow).collect();
    let page = json!({"page": 0, "pageSize": 20, "count": 60, "list": list}).to_string();
    let shape = Shape { origin: "https://na1.ironcladapp.com", max_bytes: 60_000, fields: None };
    let get = tool(&catalog, "get_workflow");
    c.bench_function("reply to answer: get_workflow", |b| {
        b.iter(|| answer::object(&get.entry, black_box(one.as_bytes()), &shape));
    });
    let list = tool(&catalog, "list_workflows");
    let check = list.arguments().expect("compiles");
    let all = check.check(&list.entry, Map::new()).expect("right arguments");
    let some = check.check(&list.entry, arguments(&json!({"fields": ["id", "title", "attributes.attribute1"]})));
    let some = some.expect("right arguments");
    let key = CursorKey::for_account(shape.origin, "client");
    let digest = call_digest("list_workflows", "");
    for (name, args) in [("20 workflows", &all), ("20 workflows, 3 fields", &some)] {
        let shape = Shape { fields: Fields::of(args), ..shape.clone() };
        c.bench_function(&format!("reply to answer: list_workflows, {name}"), |b| {
            let seal = |spot| key.seal(&digest, spot);
            let window = Window::first(20);
            b.iter(|| answer::page(&list.entry, args, black_box(page.as_bytes()), &shape, (window, seal)));
        });
    }
}

fn catalogue(c: &mut Criterion) {
    let settings = policy::Settings { enable_writes: true, ..policy::Settings::default() };
    c.bench_function("catalogue: load and lint 26 manifests", |b| b.iter(|| Catalog::load(None, "")));
    let catalog = Catalog::load(None, "").expect("the shipped manifests");
    c.bench_function("catalogue: publish 26 tools", |b| b.iter(|| published_tools(&catalog, &settings)));
}

fn audit(c: &mut Criterion) {
    let catalog = Catalog::load(None, "").expect("the shipped manifests");
    let folder = tempfile::tempdir().expect("a folder");
    let log = Arc::new(AuditLog::new(Target::File(folder.path().join("audit.jsonl"))));
    let entry = &tool(&catalog, "get_workflow").entry;
    let given = arguments(&json!({"workflow_id": "IC-12"}));
    c.bench_function("audit: one line of a read", |b| {
        b.iter(|| Record::open(Arc::clone(&log), entry, &given, Who::default()).succeeded());
    });
    c.bench_function("audit: intent and line of a write, synced", |b| {
        b.iter(|| {
            let record = Record::open(Arc::clone(&log), entry, &given, Who::default());
            record.intend().expect("a writable log");
            record.succeeded();
        });
    });
}

/// A launch form of so many fields, of the types that templates use most.
fn form(fields: usize) -> Map<String, Value> {
    let types = ["string", "date", "number", "boolean", "email", "monetaryAmount", "duration", "address"];
    let field = |n: usize| {
        let kind = types.iter().cycle().nth(n).copied().unwrap_or("string");
        let mut node = json!({"type": kind, "displayName": format!("Question {n}"), "required": "never"});
        if n.is_multiple_of(4) {
            node["required"] = "always".into();
        }
        if n.is_multiple_of(8) {
            node["options"] = json!({"values": ["Monthly", "Quarterly", "Yearly"], "freeTextAllowed": false});
        }
        (format!("question{n}"), node)
    };
    (0..fields).map(field).collect()
}

fn launch_forms(c: &mut Criterion) {
    let learned = BTreeSet::new();
    let raw = form(100);
    c.bench_function("launch form: translate 100 fields", |b| {
        b.iter(|| LaunchForm::parse(black_box(&raw)).attributes_schema(true, &learned));
    });
    let form = LaunchForm::parse(&form(30));
    let attributes = form.example();
    c.bench_function("launch form: check", |b| {
        b.iter(|| form.check(black_box(&attributes), false, &learned).expect("an example passes"));
    });
}

criterion_group!(benches, requests, answers, catalogue, launch_forms, audit);
criterion_main!(benches);
