//! Makes attributes that a form accepts.
//!
//! Conditional fields are filled in too, because an answer that is not asked for does no harm and a missing one that is
//! fails the launch. The one exception is `draft` beside "Our paper", which Ironclad writes itself.

use serde_json::{Map, Value, json};

use super::{Field, Fields, Kind, Required, Type, check};

pub(super) fn attributes(fields: &Fields) -> Map<String, Value> {
    let asked = fields.all.iter().filter(|field| is_filled(field, fields));
    asked.map(|field| (field.id.clone(), value(field))).collect()
}

fn is_filled(field: &Field, fields: &Fields) -> bool {
    let own_paper = || fields.get("paperSource").is_some_and(|source| value(source) == "Our paper");
    let needed = match field.required {
        Required::Always => true,
        Required::Conditional => field.id != "draft" || !own_paper(),
        Required::Never => false,
    };
    let guessed = matches!(field.kind.innermost(), Kind::Open) && field.required != Required::Always;
    needed && !guessed && !matches!(field.kind, Kind::Formula)
}

/// A value that the field accepts: its default where that is sound, else one of its options, else a plain one.
pub(super) fn value(field: &Field) -> Value {
    let sound = |default: &&Value| check::accepts(field, default);
    field.default.as_ref().filter(sound).cloned().unwrap_or_else(|| plain(field))
}

/// A value that the field accepts, whatever its default.
pub(super) fn plain(field: &Field) -> Value {
    of_kind(field, &field.kind)
}

fn of_kind(field: &Field, kind: &Kind) -> Value {
    match kind {
        Kind::One(one) => of_type(field, *one),
        Kind::List(inner) => json!([of_kind(field, inner)]),
        Kind::Row(columns) => example_row(columns).into(),
        Kind::Formula | Kind::Open => "value".into(),
    }
}

/// A row says something even where no column has to.
fn example_row(columns: &Fields) -> Map<String, Value> {
    let mut row = attributes(columns);
    let first = columns.all.iter().find(|column| !matches!(column.kind, Kind::Formula));
    if let (true, Some(column)) = (row.is_empty(), first) {
        row.insert(column.id.clone(), value(column));
    }
    row
}

fn of_type(field: &Field, one: Type) -> Value {
    match one {
        Type::Text => text(field).into(),
        Type::Boolean => false.into(),
        Type::Number => 1.into(),
        Type::Date => "2026-01-31T00:00:00Z".into(),
        Type::Email | Type::User => "jane.doe@example.com".into(),
        Type::Money => json!({"currency": "USD", "amount": 1000}),
        Type::Duration => json!({"years": 1}),
        Type::Address => json!({"lines": ["325 5th Street"], "locality": "San Francisco", "region": "California",
                                "postcode": "94107", "country": "USA"}),
        Type::Document => json!({"url": "https://example.com/contract.docx"}),
        Type::Record => "IC-456".into(),
        Type::Entity => "ENTITY-1".into(),
    }
}

fn text(field: &Field) -> String {
    let own_paper = field.options.iter().find(|option| *option == "Our paper");
    match own_paper.or_else(|| field.options.first()) {
        Some(option) => option.clone(),
        None if field.id == super::ALWAYS_REQUIRED => "Acme LLC".into(),
        None => "Example".into(),
    }
}
