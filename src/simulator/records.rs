//! Listing and reading records, and what properties exist.
//!
//! The default order is `agreementDate` descending although many records have none; those come last either way, as
//! a missing key would (ironclad-api.md §8.15).

use std::cmp::Ordering;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::archive::{self, Archived, Mixed};
use super::clock::{parse_instant, stamp};
use super::documents_source::{DocumentSource, Page as TextPage, disposition};
use super::errors::ApiError;
use super::exchange::{Call, Outcome, Query, Reply, ReplyBody};
use super::formula::{Formula, Property};
use super::paging::Page;
use super::record_schema;
use super::record_view::{self, Style};
use super::store::{Record, Store};
use super::workflows;

/// `GET /records`.
pub(crate) fn list(store: &mut Store, call: &Call) -> Outcome {
    let page = Page::of(&call.query)?;
    let style = style(call)?;
    let types = call.query.list("types");
    let since = workflows::since(&call.query)?;
    let order = Order::of(&call.query)?;
    let filter = workflows::filter(&call.query)?;
    workflows::check_search(&call.query)?;
    let matches = |record: &Record| -> Result<bool, ApiError> {
        if let Some(filter) = &filter
            && !formula_matches(store, filter, record)?
        {
            return Ok(false);
        }
        Ok((types.is_empty() || types.contains(&record.kind.as_str()))
            && since.is_none_or(|since| record.updated.is_some_and(|updated| updated >= since))
            && text_matches(&call.query, record))
    };
    let mut found: Vec<(Option<OffsetDateTime>, &Record)> = Vec::new();
    for record in &store.records {
        if matches(record)? {
            found.push((agreement_date(record), record));
        }
    }
    found.sort_by(|one, other| order.compare_dated(*one, *other));
    let found = found.into_iter().map(|(_, record)| record).collect();
    let takes_all = filter.is_none() && types.is_empty() && since.is_none() && call.query.get("search").is_none();
    let archived = if takes_all { Archived::First(store.archived) } else { archived(store.archived, matches)? };
    let backwards = order.descending && matches!(order.field, Field::Name);
    let all = Mixed::new(found, archived, backwards, |one, other| order.compare(one, other));
    let list = page.range(all.len()).filter_map(|at| all.show(at, |record| record_view::full(store, record, style)));
    Ok(Reply::ok(page.envelope(all.len(), list.collect())))
}

fn archived(size: usize, matches: impl Fn(&Record) -> Result<bool, ApiError>) -> Result<Archived, ApiError> {
    let mut places = Vec::new();
    for place in 0..size {
        if matches(&archive::record(place))? {
            places.push(place);
        }
    }
    Ok(Archived::Places(places))
}

/// `GET /records/{id}`.
pub(crate) fn get(store: &mut Store, call: &Call) -> Outcome {
    let style = style(call)?;
    if let Some(place) = archive::place(call.segment(0), store.archived) {
        return Ok(Reply::ok(record_view::full(store, &archive::record(place), style)));
    }
    let record = store.record(call.segment(0)).ok_or_else(|| unknown(call.segment(0)))?;
    Ok(Reply::ok(record_view::full(store, record, style)))
}

/// `GET /records/metadata`.
pub(crate) fn metadata(_store: &mut Store, _call: &Call) -> Outcome {
    Ok(Reply::ok(Value::Object(record_schema::records_metadata().clone())))
}

/// `GET /records/{id}/attachments/{key}`: a PDF that names the contract.
pub(crate) fn attachment(store: &mut Store, call: &Call) -> Outcome {
    let record = store.record(call.segment(0)).ok_or_else(|| unknown(call.segment(0)))?;
    let found = record.attachments.iter().find(|attachment| attachment.key == call.segment(1));
    let Some(attachment) = found else { return Err(ApiError::not_found("key", "attachment does not exist")) };
    let text = |property: &Value| property.get("value").map(Value::to_string).unwrap_or_default();
    let lines = record.properties.iter().map(|(key, property)| format!("{key}: {}", text(property)));
    let page = TextPage { title: record.name.clone(), paragraphs: lines.collect() };
    let body = ReplyBody::Document(Box::new(DocumentSource::Pdf(page, 0)));
    let headers = vec![("content-disposition", disposition(&attachment.filename))];
    Ok(Reply { status: 200, body, headers, applied: false })
}

/// 404 for a record id.
pub(crate) fn unknown(id: &str) -> ApiError {
    ApiError::not_found("id", format!("couldn't find a record matching the id {id}"))
}

/// How the caller wants records shown.
///
/// # Errors
/// 400 for a flag that is no boolean.
pub(crate) fn style(call: &Call) -> Result<Style<'_>, ApiError> {
    Ok(Style {
        origin: &call.origin,
        address_as_object: call.query.flag("addressAsObject")?,
        hydrate: call.query.flag("hydrateEntities")?,
    })
}

#[derive(Debug, Clone, Copy)]
struct Order {
    field: Field,
    descending: bool,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    AgreementDate,
    Name,
    LastUpdated,
}

impl Order {
    fn of(query: &Query) -> Result<Self, ApiError> {
        let field = match query.get("sortField") {
            None | Some("agreementDate") => Field::AgreementDate,
            Some("name") => Field::Name,
            Some("lastUpdated") => Field::LastUpdated,
            Some(other) => return Err(bad("sortField", other, "agreementDate, name, lastUpdated")),
        };
        let descending = match query.get("sortDirection") {
            None | Some("DESC") => true,
            Some("ASC") => false,
            Some(other) => return Err(bad("sortDirection", other, "ASC, DESC")),
        };
        Ok(Self { field, descending })
    }

    fn compare(self, one: &Record, other: &Record) -> Ordering {
        self.compare_dated((agreement_date(one), one), (agreement_date(other), other))
    }

    /// Compares records whose dates have been read already.
    fn compare_dated(
        self,
        (date, one): (Option<OffsetDateTime>, &Record),
        (other_date, other): (Option<OffsetDateTime>, &Record),
    ) -> Ordering {
        let turned = |ordering: Ordering| if self.descending { ordering.reverse() } else { ordering };
        match self.field {
            Field::Name => turned(one.name.cmp(&other.name)),
            Field::LastUpdated => turned(one.updated.cmp(&other.updated)),
            Field::AgreementDate => match (date, other_date) {
                (Some(one), Some(other)) => turned(one.cmp(&other)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            },
        }
    }
}

fn bad(name: &str, value: &str, known: &str) -> ApiError {
    ApiError::invalid(name, format!("invalid query value '{value}'; value must be one of [{known}]"))
}

fn agreement_date(record: &Record) -> Option<OffsetDateTime> {
    parse_instant(record.properties.get("agreementDate")?.get("value")?.as_str()?)
}

fn text_matches(query: &Query, record: &Record) -> bool {
    let Some(text) = query.get("search") else { return true };
    let values = record.properties.values().filter_map(|property| property.get("value")?.as_str());
    let hay = values.fold(record.name.to_lowercase(), |hay, value| hay + " " + &value.to_lowercase());
    text.to_lowercase().split_whitespace().all(|word| hay.contains(word))
}

fn formula_matches(store: &Store, filter: &Formula, record: &Record) -> Result<bool, ApiError> {
    let effective = record_view::effective(store, record);
    let mut look_up = |name: &str| property(store, record, &effective, name);
    let matched = filter.matches(&mut look_up, store.clock.today());
    matched.map_err(|error| ApiError::invalid("filter", error.to_string()))
}

/// A name in a record filter. `[type]` is unknown unless switched on: integrators were refused it (§4).
fn property(store: &Store, record: &Record, effective: &Map<String, Value>, name: &str) -> Property {
    let workflow = record.workflow_id().and_then(|id| store.workflows.iter().find(|workflow| workflow.id == id));
    let some = |value: Option<Value>| value.map_or(Property::Empty, Property::Value);
    match name.to_ascii_lowercase().as_str() {
        "name" => return Property::Value(json!(record.name)),
        "type" if store.type_in_filters => return Property::Value(json!(record.kind)),
        "readableid" | "ironcladid" => return Property::Value(json!(record.ironclad_id())),
        "lastupdated" => return some(record.updated.map(|at| json!(stamp(at)))),
        "status" | "workflowstatus" => return some(workflow.map(|workflow| json!(workflow.status.name()))),
        "parentrecordid" | "parentid" => return some(record.parent_id.as_ref().map(|id| json!(id))),
        _ => {}
    }
    let value = effective.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, it)| it.get("value"));
    if let Some(value) = value {
        return Property::Value(value.clone());
    }
    let known = record_schema::record_properties().keys().any(|key| key.eq_ignore_ascii_case(name));
    if known { Property::Empty } else { Property::Unknown }
}
