//! Records that no seeded workflow made: every record type, every stage of the lifecycle, families and amendments.

use std::ops::Range;

use serde_json::{Map, Value, json};
use time::{Date, Duration, OffsetDateTime};

use super::clock::stamp;
use super::documents::PDF_MIME;
use super::record_schema;
use super::seed_names::{COMPANIES, PEOPLE, PLACES};
use super::store::{Attachment, Record, Store};

/// Adds one record per number; every tenth amends the one before, every seventh of the others is a child.
pub(crate) fn fill(store: &mut Store, numbers: Range<usize>, today: OffsetDateTime) {
    for at in numbers {
        let before = store.records.last().filter(|record| record.workflow_id().is_none());
        let previous = before.map(|record| record.id.clone());
        let Some(mut record) = one(store, at, today) else { return };
        let id = record.id.clone();
        if at % 10 == 9 {
            amend(store, &mut record, previous.as_deref());
            store.records.push(record);
            store.set_parent(&id, previous.map(|parent| (parent, Some(String::from("amendment")))));
            continue;
        }
        if at % 8 == 5 {
            record.links.extend(previous.clone());
        }
        store.records.push(record);
        if at % 7 == 6 {
            store.set_parent(&id, previous.map(|parent| (parent, None)));
        }
    }
}

fn nth<T: Copy>(from: &[T], at: usize) -> Option<T> {
    from.get(at % from.len().max(1)).copied()
}

fn one(store: &mut Store, at: usize, today: OffsetDateTime) -> Option<Record> {
    let types = record_schema::record_types();
    let (kind, shown) = types.iter().nth(at % types.len().max(1))?;
    let label = shown.get("displayName").and_then(Value::as_str).unwrap_or(kind);
    let company = nth(COMPANIES, at.wrapping_mul(5))?;
    let id = store.random.uuid();
    let number = store.take_number();
    let name = format!("{label} with {company}");
    let days = i64::try_from(at % 200).unwrap_or_default();
    let attachments = if at.is_multiple_of(3) { Vec::new() } else { vec![signed_copy(&name)] };
    let source = match at % 4 {
        0 => Some(json!({ "type": "single_import" })),
        1 => Some(json!({ "type": "import_project", "importId": store.random.hex(24) })),
        _ => None,
    };
    Some(Record {
        id,
        number,
        kind: kind.clone(),
        updated: Some(today - Duration::days(days) - Duration::minutes(days.saturating_mul(13))),
        properties: properties(store, at, company, today.date()),
        attachments,
        source,
        name,
        ..Record::default()
    })
}

fn signed_copy(name: &str) -> Attachment {
    Attachment { key: "signedCopy".into(), filename: format!("{name}.pdf"), content_type: PDF_MIME.into() }
}

fn properties(store: &Store, at: usize, company: &str, today: Date) -> Map<String, Value> {
    let mut properties = lifecycle(at, today);
    let mut add = |key: &str, value: Value| {
        if let Some(kind) = record_schema::property_type(key) {
            properties.insert(key.to_owned(), json!({ "type": kind, "value": value }));
        }
    };
    let size = i64::try_from(at).unwrap_or_default();
    add("counterpartyName", json!(company));
    if at % 6 != 5 {
        add("agreementDate", json!(moment(today - Duration::days(size.saturating_mul(17) % 900 + 20))));
    }
    if at % 4 != 3 {
        let currency = nth(&["USD", "EUR", "GBP"], at / 3).unwrap_or("USD");
        add("contractValue", json!({ "currency": currency, "amount": size.saturating_mul(7_300) % 480_000 + 2_500 }));
    }
    add("governingLaw", json!(nth(&["Delaware", "New York", "Ireland"], at)));
    if at.is_multiple_of(2) {
        add("counterpartyAddress", nth(PLACES, at).map(|place| place.json()).unwrap_or_default());
        add("counterpartySigner", json!(nth(PEOPLE, at)));
    }
    let index = COMPANIES.iter().position(|name| *name == company);
    if let Some(entity) = index.and_then(|index| store.entities.get(index)).filter(|_| at.is_multiple_of(3)) {
        let reference = json!({ "recordId": entity.id, "subTypeId": "entity", "readableId": entity.readable_id() });
        add("entity_reference", reference);
    }
    properties
}

fn moment(day: Date) -> String {
    stamp(day.midnight().assume_utc())
}

/// Dates and renewal terms that put the contract in one of nine stages; the last has no lifecycle at all.
fn lifecycle(at: usize, today: Date) -> Map<String, Value> {
    let spread = i64::try_from(at / 9 % 30).unwrap_or_default();
    let day = |days: i64| today + Duration::days(days);
    let (starts, ends, renewal) = match at % 9 {
        0 => (-300, Some(400 + spread), "None"),
        1 => (-330, Some(10 + spread * 5), "None"),
        2 => (-350, Some(15 + spread * 5), "Auto-Renew"),
        3 => (-500, None, "Evergreen"),
        4 => (-900, Some(-40 - spread), "None"),
        5 => (-200, Some(500 + spread), "Optional Extension"),
        6 => (20 + spread, Some(700), "None"),
        7 => (-120, Some(600), "None"),
        _ => return Map::new(),
    };
    let mut properties = Map::new();
    let mut add = |key: &str, value: Value| {
        let kind = record_schema::property_type(key).unwrap_or("string");
        properties.insert(key.to_owned(), json!({ "type": kind, "value": value }));
    };
    add("effectiveDate", json!(moment(day(starts))));
    add("standard_renewalType", json!(renewal));
    if let Some(ends) = ends {
        // Some tenants hold plain dates (ironclad-api.md §4), so every fourth record does.
        let date = day(ends);
        add("expirationDate", json!(if at.is_multiple_of(4) { date.to_string() } else { moment(date) }));
    }
    if renewal == "Auto-Renew" {
        add("standard_initialTermLength", json!("P1Y"));
        add("standard_renewalTermLength", json!("P1Y"));
        add("standard_renewalOptOutPeriod", json!("P30D"));
        add("standard_renewalsRemaining", json!(2));
    }
    if at % 9 == 7 {
        add("standard_terminatedDate", json!(moment(day(-5))));
        add("standard_terminationEffectiveDate", json!(moment(day(20 + spread))));
    }
    properties
}

/// Makes a record an amendment: it carries a new value for the parent's contract value.
fn amend(store: &Store, record: &mut Record, parent: Option<&str>) {
    let Some(parent) = parent.and_then(|id| store.record(id)) else { return };
    let old = parent.properties.get("contractValue").and_then(|property| property.pointer("/value/amount"));
    let amount = old.and_then(Value::as_i64).unwrap_or(10_000).saturating_add(15_000);
    record.kind.clone_from(&parent.kind);
    record.name = format!("Amendment to {}", parent.name);
    record.properties.retain(|key, _| !key.starts_with("standard_") && key != "expirationDate");
    let value = json!({ "type": "monetary_amount", "value": { "currency": "USD", "amount": amount } });
    record.properties.insert("contractValue".into(), value);
    record.amends = vec![String::from("contractValue")];
}
