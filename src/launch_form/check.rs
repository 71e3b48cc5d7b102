//! Checks attributes against their form, and writes them as Ironclad takes them.
//!
//! Every fault is named at once, because each round trip to a model costs more than the check of a whole form. Text that
//! holds JSON is decoded where the type wants something else: some clients send every value as text.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value};

use super::{ALWAYS_REQUIRED, Checked, CheckedValue, Field, Fields, Kind, Required, Type};
use crate::{
    error::ArgumentFault,
    suggest::{closest, listed, shorten, shown},
    typed_values::{self as values, Flaw, Read},
};

/// The longest list of names or options that a fault repeats, in bytes.
const LISTED: usize = 300;

#[derive(Default)]
struct Findings {
    faults: Vec<ArgumentFault>,
    notes: Vec<String>,
}

pub(super) fn launch(
    fields: &Fields,
    attributes: &Map<String, Value>,
    use_default_values: bool,
    learned: &BTreeSet<String>,
) -> Result<Checked, Vec<ArgumentFault>> {
    let mut findings = Findings::default();
    let filled = |field: &Field| use_default_values && field.default.is_some() && field.id != ALWAYS_REQUIRED;
    let attributes = row(fields, attributes, ("attributes", &filled), &mut findings);
    if !findings.faults.is_empty() {
        return Err(findings.faults);
    }
    let absent = |field: &&Field| learned.contains(&field.id) && !attributes.contains_key(&field.id) && !filled(field);
    let remembered = fields.all.iter().filter(absent).map(|field| {
        let name = &field.display_name;
        format!("attributes.{} ({name}) is missing, and Ironclad has required it before", field.name)
    });
    findings.notes.extend(remembered);
    Ok(Checked { attributes, notes: findings.notes })
}

pub(super) fn one(fields: &Fields, id: &str, value: &Value, at: &str) -> Result<CheckedValue, Vec<ArgumentFault>> {
    let Some(field) = fields.get(id) else { return Err(vec![unknown(fields, id, at)]) };
    let mut findings = Findings::default();
    let value = given(field, value, at, &mut findings);
    if findings.faults.is_empty() { Ok(CheckedValue { value, notes: findings.notes }) } else { Err(findings.faults) }
}

/// Whether a value is right as it is, or can be made so.
pub(super) fn accepts(field: &Field, value: &Value) -> bool {
    let mut findings = Findings::default();
    given(field, value, "", &mut findings);
    findings.faults.is_empty()
}

/// A fault for a key that is no attribute of the form.
pub(super) fn unknown(fields: &Fields, key: &str, at: &str) -> ArgumentFault {
    let labels = fields.all.iter().find(|field| field.display_name.eq_ignore_ascii_case(key.trim()));
    let names: Vec<&str> = fields.all.iter().map(|field| field.name.as_str()).collect();
    let by_label = || {
        let labels: Vec<&str> = fields.all.iter().map(|field| field.display_name.as_str()).collect();
        let label = closest(key, &labels)?;
        fields.all.iter().find(|field| field.display_name == label)
    };
    let by_name = || fields.get(closest(key, &names)?);
    let expected = match labels.or_else(by_name).or_else(by_label) {
        Some(meant) => format!("{} ({}; did you mean that?)", meant.name, meant.display_name),
        None => format!("one of {}", listed(names.iter().copied(), LISTED)),
    };
    ArgumentFault::new(at, "the launch form has no such attribute", expected)
}

type Filled<'a> = &'a dyn Fn(&Field) -> bool;

/// The attributes of a form, or one row of a table, by id.
fn row(
    fields: &Fields,
    members: &Map<String, Value>,
    (at, filled): (&str, Filled<'_>),
    findings: &mut Findings,
) -> Map<String, Value> {
    let mut sent = Map::with_capacity(members.len());
    let mut seen = vec![false; fields.all.len()];
    for (key, value) in members {
        let path = format!("{at}.{}", shorten(key, 100));
        let Some((place, field)) = fields.place(key).and_then(|place| Some((place, fields.all.get(place)?))) else {
            findings.faults.push(unknown(fields, key, &path));
            continue;
        };
        if seen.get_mut(place).is_some_and(|seen| std::mem::replace(seen, true)) {
            let message = format!("{}: given twice, as {} and as {}", field.display_name, field.name, field.id);
            findings.faults.push(ArgumentFault::new(path, message, "one of the two"));
            continue;
        }
        sent.insert(field.id.clone(), given(field, value, &path, findings));
    }
    for (field, seen) in fields.all.iter().zip(seen) {
        let settable = !matches!(field.kind, Kind::Formula);
        if field.required == Required::Always && settable && !seen && !filled(field) {
            let message = format!("{}: required and missing", field.display_name);
            findings.faults.push(ArgumentFault::new(format!("{at}.{}", field.name), message, wanted(field)));
        }
    }
    sent
}

/// What a field takes, in a few words: the expectation that reading a wrong value names.
pub(super) fn wanted(field: &Field) -> String {
    if field.closed {
        return format!("one of {}", listed(field.options.iter().map(String::as_str), LISTED));
    }
    let value = super::example::plain(field);
    format!("a value such as {}", shorten(&value.to_string(), LISTED))
}

fn given(field: &Field, value: &Value, at: &str, findings: &mut Findings) -> Value {
    let open = matches!(field.kind, Kind::Open);
    let emptied = value.is_null() || (is_blank(value) && !open);
    if matches!(field.kind, Kind::Formula) {
        let message = format!("{}: Ironclad computes this; it cannot be set", field.display_name);
        findings.faults.push(ArgumentFault::new(at, message, "no value: leave it out"));
    } else if emptied && field.required == Required::Always {
        let message = format!("{}: required, and {value} is no value", field.display_name);
        findings.faults.push(ArgumentFault::new(at, message, wanted(field)));
    } else if emptied {
        let message = format!("{}: {value} is no value", field.display_name);
        findings.faults.push(ArgumentFault::new(at, message, format!("leave it out, or {}", wanted(field))));
    } else {
        return read(field, &field.kind, (value, at), findings);
    }
    Value::Null
}

/// Empty text, an empty list, or a table whose rows are all empty, which is how Ironclad shows an untouched one.
pub(super) fn is_blank(value: &Value) -> bool {
    let no_members = |item: &Value| item.as_object().is_some_and(Map::is_empty);
    value.as_str().is_some_and(|text| text.trim().is_empty())
        || value.as_array().is_some_and(|items| items.iter().all(no_members))
}

fn read(field: &Field, kind: &Kind, (value, at): (&Value, &str), findings: &mut Findings) -> Value {
    let decoded = decoded(kind, value);
    if decoded.is_some() {
        findings.notes.push(format!("{at}: JSON text was decoded"));
    }
    let value = decoded.as_ref().unwrap_or(value);
    match kind {
        Kind::One(one) => single(field, *one, (value, at), findings),
        Kind::List(inner) => {
            let Some(items) = value.as_array() else {
                return refused(field, at, vec![Flaw::of(value, "no list", wanted(field))], findings);
            };
            let item = |(index, item)| read(field, inner, (item, &format!("{at}[{index}]")), findings);
            items.iter().enumerate().map(item).collect()
        }
        Kind::Row(columns) => {
            let Some(members) = value.as_object() else {
                return refused(field, at, vec![Flaw::of(value, "no object", wanted(field))], findings);
            };
            row(columns, members, (at, &|_| false), findings).into()
        }
        Kind::Open | Kind::Formula => value.clone(),
    }
}

fn single(field: &Field, one: Type, (value, at): (&Value, &str), findings: &mut Findings) -> Value {
    match of_type(field, one, value) {
        Err(flaws) => refused(field, at, flaws, findings),
        Ok(Cow::Borrowed(sent)) => sent.clone(),
        Ok(Cow::Owned(sent)) => {
            findings.notes.push(format!("{at}: {} is sent as {}", shown(value), shown(&sent)));
            sent
        }
    }
}

fn refused(field: &Field, at: &str, flaws: Vec<Flaw>, findings: &mut Findings) -> Value {
    let fault = |flaw: Flaw| {
        let message = format!("{}: {}", field.display_name, flaw.message);
        ArgumentFault::new(format!("{at}{}", flaw.below), message, flaw.expected)
    };
    findings.faults.extend(flaws.into_iter().map(fault));
    Value::Null
}

/// The object or array that a text stands for, where the kind wants one. Booleans and numbers decode in their readers.
fn decoded(kind: &Kind, value: &Value) -> Option<Value> {
    let text = value.as_str()?.trim_start();
    let (array, object) = match kind {
        Kind::List(_) => (true, false),
        Kind::Row(_) => (false, true),
        Kind::Open => (true, true),
        Kind::Formula => (false, false),
        Kind::One(one) => (false, !matches!(one, Type::Text | Type::Boolean | Type::Number | Type::Date | Type::Email)),
    };
    let wanted = (array && text.starts_with('[')) || (object && text.starts_with('{'));
    if wanted { serde_json::from_str(text).ok() } else { None }
}

fn of_type<'a>(field: &Field, one: Type, value: &'a Value) -> Read<'a> {
    match one {
        Type::Text => option(field, values::text(value)?),
        Type::Boolean => values::boolean(value),
        Type::Number => values::number(value),
        Type::Date => values::date(value),
        Type::Email => values::email(value),
        Type::Money => values::money(value),
        Type::Duration => values::duration_object(value),
        Type::Address => values::address(value),
        Type::Document => values::document(value),
        Type::User => values::user(value),
        Type::Record => values::record(value),
        Type::Entity => values::entity(value),
    }
}

fn option<'a>(field: &Field, read: Cow<'a, Value>) -> Read<'a> {
    let Some(text) = read.as_str() else { return Ok(read) };
    if text.trim().is_empty() {
        return Err(vec![Flaw::of(&read, "empty", wanted(field))]);
    }
    if !field.closed || field.options.iter().any(|option| option == text) {
        return Ok(read);
    }
    let options: Vec<&str> = field.options.iter().map(String::as_str).collect();
    let all = format!("one of {}", listed(options.iter().copied(), LISTED));
    let expected = match closest(text, &options) {
        Some(meant) => format!("{meant:?} (did you mean that?), or {all}"),
        None => all,
    };
    Err(vec![Flaw::of(&read, "no option", expected)])
}
