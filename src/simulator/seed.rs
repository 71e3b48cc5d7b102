//! The company a fresh simulator shows: workflows in every state, then records.
//!
//! Workflows are launched and driven by the same functions that serve requests, with the clock pinned to the past; a
//! seed that the state machine would refuse cannot exist. Dates are relative to today, so renewals stay upcoming.

use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use super::answers::holds_documents;
use super::clock::stamp;
use super::exchange::Actor;
use super::launch::{self, Request};
use super::seed_names::{COMPANIES, PEOPLE, PLACES};
use super::seed_records;
use super::store::{Entity, IdForm, Store};
use super::templates::Template;
use super::workflow_document::{Content, Document};

/// Title of the workflow with a 5 MB exhibit.
pub(crate) const LARGE_TITLE: &str = "Large Exhibit Review";
const LARGE_BYTES: usize = 5 * 1024 * 1024;

/// How far a seeded workflow is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Review,
    Paused,
    CancelledInReview,
    SignNotSent,
    SignSent,
    CancelledInSign,
    Reverted,
    Archive,
    Complete,
}

const GOALS: [Goal; 12] = [
    Goal::Complete,
    Goal::Review,
    Goal::SignNotSent,
    Goal::Complete,
    Goal::Paused,
    Goal::SignSent,
    Goal::Review,
    Goal::Archive,
    Goal::CancelledInReview,
    Goal::Complete,
    Goal::Reverted,
    Goal::CancelledInSign,
];

/// Fills an empty store with `workflows` workflows and at least `records` records.
pub(crate) fn fill(store: &mut Store, workflows: usize, records: usize) {
    let today = store.clock.today().midnight().assume_utc();
    for (at, name) in COMPANIES.iter().enumerate() {
        let id = store.random.uuid();
        let number = u32::try_from(at.saturating_add(1)).unwrap_or_default();
        store.entities.push(Entity { id, number, name: (*name).to_owned() });
    }
    // Imported records come first: launch forms refer to them.
    let early = records / 5 * 4;
    seed_records::fill(store, 0..early, today);
    for at in 0..workflows {
        let age = i64::try_from(workflows.saturating_sub(at)).unwrap_or_default().saturating_mul(3);
        store.clock.pin(today - Duration::days(age) + Duration::hours(9));
        one_workflow(store, at, today);
    }
    if workflows > 0 {
        large_exhibit(store, today);
    }
    store.clock.release();
    let missing = records.saturating_sub(store.records.len());
    seed_records::fill(store, early..early.saturating_add(missing), today);
    store.events.clear();
}

fn one_workflow(store: &mut Store, at: usize, today: OffsetDateTime) {
    let Some(template) = store.templates.get(at % store.templates.len().max(1)).cloned() else { return };
    // Two strides without a common factor bring every template to every goal.
    let goal = GOALS.get((at / 6 + at).wrapping_mul(7) % GOALS.len()).copied().unwrap_or(Goal::Review);
    let attributes = sample(store, &template, at, today);
    if let Some(id) = launched(store, &template, attributes, at) {
        drive(store, &id, goal);
    }
}

fn launched(store: &mut Store, template: &Template, attributes: Map<String, Value>, at: usize) -> Option<String> {
    let launcher =
        store.people.iter().cycle().skip(at % 25).find(|person| template.backstage.may_launch(&person.email))?;
    let actor = Actor { user_id: Some(launcher.id.clone()), ..Actor::default() };
    let mut body = Map::new();
    body.insert("template".into(), json!(template.id));
    body.insert("attributes".into(), Value::Object(attributes));
    launch::start(store, &Request { body: &body, files: None, actor: &actor, use_defaults: true }).ok()
}

fn drive(store: &mut Store, id: &str, goal: Goal) {
    match goal {
        Goal::Review => {}
        Goal::Paused => {
            if let Ok((workflow, now)) = store.workflow_mut(id, IdForm::HexOnly) {
                let _ = workflow.pause(now);
            }
        }
        Goal::CancelledInReview => cancel(store, id),
        Goal::SignNotSent => approve_all(store, id),
        Goal::SignSent => {
            approve_all(store, id);
            send(store, id);
        }
        Goal::CancelledInSign => {
            approve_all(store, id);
            cancel(store, id);
        }
        Goal::Reverted => {
            approve_all(store, id);
            if let Ok((workflow, now)) = store.workflow_mut(id, IdForm::HexOnly) {
                let _ = workflow.revert(now);
            }
        }
        Goal::Archive => sign_all(store, id),
        Goal::Complete => {
            sign_all(store, id);
            store.complete(id);
        }
    }
}

fn cancel(store: &mut Store, id: &str) {
    if let Ok((workflow, now)) = store.workflow_mut(id, IdForm::HexOnly) {
        let _ = workflow.cancel(now);
    }
}

/// Gives every approval as its approver and settles what follows.
pub(crate) fn approve_all(store: &mut Store, id: &str) {
    let Ok((workflow, _)) = store.workflow_mut(id, IdForm::HexOnly) else { return };
    let asked: Vec<(String, String)> =
        workflow.groups.iter().flatten().map(|one| (one.role_id.clone(), one.user_id.clone())).collect();
    let mut moved = false;
    for (role_id, user_id) in asked {
        store.clock.skip(Duration::hours(5));
        let Ok((workflow, now)) = store.workflow_mut(id, IdForm::HexOnly) else { return };
        let _ = workflow.approve(&role_id, &user_id, true, now);
        moved = workflow.advance_when_approved(now).is_some() || moved;
    }
    if moved {
        store.settle(id);
    }
}

fn send(store: &mut Store, id: &str) {
    let Ok((workflow, now)) = store.workflow_mut(id, IdForm::HexOnly) else { return };
    if workflow.send_packet(now).is_ok() {
        store.add_packet(id, "sentSignaturePacket");
    }
}

fn sign_all(store: &mut Store, id: &str) {
    approve_all(store, id);
    send(store, id);
    store.sign(id, None).ok();
}

/// Answers to every question of a form, of the right type, drawn from the tables.
pub(crate) fn sample(store: &Store, template: &Template, at: usize, today: OffsetDateTime) -> Map<String, Value> {
    let mut answers = Map::new();
    for (id, node) in &template.schema {
        let required = node.get("required").and_then(Value::as_str).unwrap_or("never");
        if holds_documents(node) || (required == "never" && at % 3 == 1) || node.get("default").is_some() {
            continue;
        }
        if required == "conditional" && !template.backstage.conditions.get(id).is_some_and(|one| one.holds(&answers)) {
            continue;
        }
        if let Some(value) = answer(store, id, node, at, today) {
            answers.insert(id.clone(), value);
        }
    }
    answers
}

fn pick<T>(from: &[T], at: usize) -> Option<&T> {
    from.get(at % from.len().max(1))
}

fn answer(store: &Store, id: &str, node: &Value, at: usize, today: OffsetDateTime) -> Option<Value> {
    let options = node.pointer("/options/values").and_then(Value::as_array);
    let company = pick(COMPANIES, at).copied().unwrap_or_default();
    let slug: String = company.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let size = i64::try_from(at).unwrap_or_default();
    let value = match node.get("type").and_then(Value::as_str)? {
        // Our own paper, so that a draft is generated.
        "string" if id == "paperSource" => json!("Our paper"),
        "string" if id == "counterpartyName" => json!(company),
        "string" if id.starts_with("approver") => json!(pick(&store.people, at)?.email),
        "string" => match options {
            Some(options) => pick(options, at)?.clone(),
            None if id.starts_with("role") || id.ends_with("Signer") => json!(pick(PEOPLE, at)?),
            None => json!(format!("{} for {company}", node.get("displayName").and_then(Value::as_str)?)),
        },
        "email" => json!(format!("contracts@{slug}.example")),
        "boolean" => json!(at.is_multiple_of(2)),
        "number" => json!(size.saturating_mul(7) % 90 + 5),
        "date" => json!(stamp(today + Duration::days(size.saturating_mul(11) % 120 - 60))),
        "monetaryAmount" => json!({ "currency": "USD", "amount": size.saturating_mul(9_700) % 240_000 + 4_500 }),
        "duration" => json!({ "years": 1 + size % 3 }),
        "address" => pick(PLACES, at)?.json(),
        "entity_reference" => json!(pick(&store.entities, at)?.readable_id()),
        "linkedRecord" | "parentRecord" => json!(pick(&store.records, at)?.ironclad_id()),
        "array" => match (options, node.pointer("/elementType/schema").and_then(Value::as_object)) {
            (Some(options), _) => json!(options.iter().take(1 + at % 2).collect::<Vec<_>>()),
            (None, Some(columns)) => {
                let cells =
                    columns.iter().filter_map(|(id, node)| Some((id.clone(), answer(store, id, node, at, today)?)));
                Value::Array(vec![Value::Object(cells.collect())])
            }
            (None, None) => return None,
        },
        _ => return None,
    };
    Some(value)
}

/// A workflow in Review that holds a PDF too large for a model's context, for download tests.
fn large_exhibit(store: &mut Store, today: OffsetDateTime) {
    store.clock.pin(today - Duration::hours(30));
    let Some(template) = store.templates.get(1).cloned() else { return };
    let attributes = sample(store, &template, 4, today);
    let Some(id) = launched(store, &template, attributes, 0) else { return };
    let exhibit =
        Document::new("exhibits", format!("{LARGE_TITLE}.pdf"), Content::Large(LARGE_BYTES), &mut store.fresh());
    if let Ok((workflow, _)) = store.workflow_mut(&id, IdForm::HexOnly) {
        workflow.title = LARGE_TITLE.to_owned();
        let author = workflow.creator_id.clone();
        workflow.documents.push(exhibit.by(&author));
    }
}
