//! Listing and reading workflows.
//!
//! The list is newest first; the vendor states no order and one integrator reports this one (ironclad-api.md §8.1).

use serde_json::{Map, Value, json};

use super::clock::{parse_instant, stamp};
use super::errors::ApiError;
use super::exchange::{Call, Outcome, Query, Reply};
use super::formula::{Formula, Property};
use super::paging::Page;
use super::store::{IdForm, Store};
use super::workflow_state::Workflow;
use super::workflow_view;

const STATUSES: [&str; 4] = ["active", "paused", "completed", "cancelled"];

/// `GET /workflows`.
pub(crate) fn list(store: &mut Store, call: &Call) -> Outcome {
    let page = Page::of(&call.query)?;
    let hydrate = call.query.flag("hydrateEntities")?;
    let statuses = statuses(&call.query)?;
    let since = since(&call.query)?;
    let template = call.query.get("template").filter(|id| !id.is_empty());
    let filter = filter(&call.query)?;
    check_search(&call.query)?;
    let mut found: Vec<&Workflow> = Vec::new();
    for workflow in store.workflows.iter().rev() {
        let wanted = statuses.contains(&workflow.status.name())
            && since.is_none_or(|since| workflow.updated >= since)
            && template.is_none_or(|id| workflow.template.id == id)
            && text_matches(&call.query, workflow);
        if let Some(filter) = &filter
            && !formula_matches(store, filter, workflow)?
        {
            continue;
        }
        if wanted {
            found.push(workflow);
        }
    }
    let list = page.cut(&found).iter().map(|workflow| workflow_view::full(store, workflow, &call.origin, hydrate));
    Ok(Reply::ok(page.envelope(found.len(), list.collect())))
}

/// `GET /workflows/{id}`.
pub(crate) fn get(store: &mut Store, call: &Call) -> Outcome {
    let hydrate = call.query.flag("hydrateEntities")?;
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    Ok(Reply::ok(workflow_view::full(store, workflow, &call.origin, hydrate)))
}

fn statuses(query: &Query) -> Result<Vec<&str>, ApiError> {
    let asked = query.list("status");
    if asked.is_empty() {
        return Ok(vec!["active"]);
    }
    match asked.iter().find(|status| !STATUSES.contains(status)) {
        Some(bad) => {
            let message = format!("invalid query value '{bad}'; value must be one of [{}]", STATUSES.join(", "));
            Err(ApiError::invalid("status", message))
        }
        None => Ok(asked),
    }
}

/// `lastUpdated`, inclusive.
///
/// # Errors
/// 400 when it is no date.
pub(crate) fn since(query: &Query) -> Result<Option<time::OffsetDateTime>, ApiError> {
    let Some(text) = query.get("lastUpdated") else { return Ok(None) };
    let at = parse_instant(text).ok_or_else(|| ApiError::invalid("lastUpdated", "lastUpdated must be a date"))?;
    Ok(Some(at))
}

/// The `filter` formula, parsed.
///
/// # Errors
/// 400 when it is malformed.
pub(crate) fn filter(query: &Query) -> Result<Option<Formula>, ApiError> {
    let Some(text) = query.get("filter").filter(|text| !text.is_empty()) else { return Ok(None) };
    Formula::parse(text).map(Some).map_err(|error| ApiError::invalid("filter", error.to_string()))
}

/// Refuses an over-long `search`.
///
/// # Errors
/// 400 above 1000 characters (ironclad-api.md §4).
pub(crate) fn check_search(query: &Query) -> Result<(), ApiError> {
    let length = query.get("search").map_or(0, |text| text.chars().count());
    if length <= 1000 { Ok(()) } else { Err(ApiError::invalid("search", "search is limited to 1000 characters")) }
}

/// `search`, newer than the vendor's document: words of the title or counterparty (ironclad-api.md §4).
fn text_matches(query: &Query, workflow: &Workflow) -> bool {
    let Some(text) = query.get("search") else { return true };
    let counterparty = workflow.attributes.get("counterpartyName").and_then(Value::as_str).unwrap_or_default();
    let hay = format!("{} {counterparty} {}", workflow.title, workflow.ironclad_id()).to_lowercase();
    text.to_lowercase().split_whitespace().all(|word| hay.contains(word))
}

fn formula_matches(store: &Store, filter: &Formula, workflow: &Workflow) -> Result<bool, ApiError> {
    let attributes = workflow_view::attributes(store, workflow, false);
    let today = store.clock.today();
    let mut look_up = |name: &str| property(store, workflow, &attributes, name);
    filter.matches(&mut look_up, today).map_err(|error| ApiError::invalid("filter", error.to_string()))
}

/// A name in a workflow filter: a pseudo-property, or an attribute of any template, case-insensitively.
fn property(store: &Store, workflow: &Workflow, attributes: &Map<String, Value>, name: &str) -> Property {
    let pseudo = match name.to_ascii_lowercase().as_str() {
        "name" | "title" => Some(json!(workflow.title)),
        "status" => Some(json!(workflow.status.name())),
        "step" => Some(json!(workflow.step.name())),
        "template" => Some(json!(workflow.template.id)),
        "readableid" | "ironcladid" => Some(json!(workflow.ironclad_id())),
        "lastupdated" => Some(json!(stamp(workflow.updated))),
        "created" => Some(json!(stamp(workflow.created))),
        _ => None,
    };
    if let Some(value) = pseudo {
        return Property::Value(value);
    }
    if let Some((_, value)) = attributes.iter().find(|(id, _)| id.eq_ignore_ascii_case(name)) {
        return Property::Value(value.clone());
    }
    let in_form = |id: &String| id.eq_ignore_ascii_case(name);
    let launched = store.workflows.iter().map(|workflow| &workflow.template);
    let known = store
        .templates
        .iter()
        .chain(launched)
        .any(|template| template.schema.keys().any(in_form) || template.backstage.formulas.keys().any(in_form));
    let system = ["signed", "partiallySigned", "sentSignaturePacket", "launchType", "agreementDate"];
    if known || system.iter().any(|id| id.eq_ignore_ascii_case(name)) { Property::Empty } else { Property::Unknown }
}
