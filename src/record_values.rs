//! Makes plain values into the wrapped properties that the records API takes, and checks record actions.
//!
//! A model writes `{"counterpartyName": "Acme"}`; Ironclad wants `{"counterpartyName": {"type": "string", "value": "Acme"}}`
//! and refuses a type that differs from its metadata (ironclad-api.md §6.2, §8.17). Types of the workflow dialect
//! (`monetaryAmount`, object durations) are translated, because models carry them over from launch forms.

mod action;

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value, json};

pub use action::{CheckedAction, check_action};

use crate::{
    error::ArgumentFault,
    suggest::{closest, listed, shorten, shown},
    typed_values::{self as values, Flaw, Read, is_uuid},
};

/// The longest list of known properties that a fault repeats, in bytes.
const LISTED: usize = 300;

/// Properties as the records API takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrapped {
    /// By property key, each `{"type", "value"}`.
    pub properties: Map<String, Value>,
    /// What was normalised besides the wrapping; one sentence each.
    pub notes: Vec<String>,
}

/// Wraps the properties of a record by `types`, the metadata type of each property key; faults name them below `at`.
///
/// # Errors
/// Every fault there is: an unknown property, a type that is not the metadata's, a malformed value.
pub fn wrap(
    properties: &Map<String, Value>,
    types: &BTreeMap<String, String>,
    at: &str,
) -> Result<Wrapped, Vec<ArgumentFault>> {
    let mut faults = Vec::new();
    let mut wrapped = Wrapped { properties: Map::with_capacity(properties.len()), notes: Vec::new() };
    for (key, given) in properties {
        let path = format!("{at}.{}", shorten(key, 100));
        let Some(kind) = types.get(key) else {
            faults.push(unknown(key, types.keys().map(String::as_str), path));
            continue;
        };
        match wrap_one(kind, given, (&path, &mut wrapped.notes)) {
            Ok(property) => drop(wrapped.properties.insert(key.clone(), property)),
            Err(flaws) => faults.extend(flaws.into_iter().map(|flaw| placed(flaw, &path))),
        }
    }
    if faults.is_empty() { Ok(wrapped) } else { Err(faults) }
}

fn placed(flaw: Flaw, path: &str) -> ArgumentFault {
    ArgumentFault::new(format!("{path}{}", flaw.below), flaw.message, flaw.expected)
}

fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a str>, path: String) -> ArgumentFault {
    let known: Vec<&str> = known.collect();
    let expected = match closest(key, &known) {
        Some(meant) => format!("{meant} (did you mean that?)"),
        None => format!("one of {}", listed(known, LISTED)),
    };
    ArgumentFault::new(path, "is no property here", expected)
}

/// One property, wrapped; what was normalised goes to the notes.
fn wrap_one(kind: &str, given: &Value, (path, notes): (&str, &mut Vec<String>)) -> Result<Value, Vec<Flaw>> {
    let (value, below) = match unwrapped(given) {
        None => (given, ""),
        Some((declared, value)) => {
            let same = snake_case(declared) == snake_case(kind);
            if !same {
                let message = format!("{} is not the type of this property", shown(&declared.into()));
                return Err(vec![Flaw {
                    below: ".type".into(),
                    message,
                    expected: format!("{kind:?}, or the plain value"),
                }]);
            }
            (value, ".value")
        }
    };
    let decoded = decoded(kind, value);
    let read = read(kind, decoded.as_ref().unwrap_or(value));
    let sent = read.map_err(|flaws| flaws.into_iter().map(|flaw| flaw.under(below)).collect::<Vec<_>>())?;
    if decoded.is_some() || matches!(sent, Cow::Owned(_)) {
        notes.push(format!("{path}: {} is sent as {}", shown(value), shown(&sent)));
    }
    Ok(json!({"type": kind, "value": sent}))
}

/// The declared type and value of a property that is wrapped already.
fn unwrapped(given: &Value) -> Option<(&str, &Value)> {
    let members = given.as_object().filter(|members| members.len() == 2)?;
    Some((members.get("type")?.as_str()?, members.get("value")?))
}

/// `monetaryAmount` as `monetary_amount`, so that both dialects compare alike.
fn snake_case(kind: &str) -> String {
    let mut snake = String::new();
    for letter in kind.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The object or array that a text stands for, where the type wants one.
fn decoded(kind: &str, value: &Value) -> Option<Value> {
    let text = value.as_str()?.trim_start();
    let opening = match kind {
        "monetary_amount" | "address" | "clause" | "reference" | "duration" => '{',
        "array" => '[',
        _ => return None,
    };
    if text.starts_with(opening) { serde_json::from_str(text).ok() } else { None }
}

fn read<'a>(kind: &str, value: &'a Value) -> Read<'a> {
    if value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) {
        let expected = "leave it out; to clear a property of a record use remove_properties";
        return Err(vec![Flaw::of(value, "no value", expected)]);
    }
    match kind {
        "string" | "playbookClause" => values::text(value),
        "number" => values::number(value),
        "boolean" => values::boolean(value),
        "date" => values::date(value),
        "duration" => values::duration_text(value),
        "email" => values::email(value),
        "monetary_amount" => values::money(value),
        "address" => values::address(value),
        "array" => texts(value),
        "reference" => reference(value),
        "clause" if !value.is_object() => {
            Err(vec![Flaw::of(value, "no clause", "a clause such as {\"source\":\"manual\",\"clauseText\":\"…\"}")])
        }
        "document" | "workflow" => Err(vec![Flaw::of(
            value,
            "no value for this property",
            format!("nothing: a {kind} property cannot be set here"),
        )]),
        // A type that is not known here is for Ironclad to judge.
        _ => Ok(Cow::Borrowed(value)),
    }
}

fn texts(value: &Value) -> Read<'_> {
    let sound = |items: &Vec<Value>| !items.is_empty() && items.iter().all(Value::is_string);
    match value.as_array().is_some_and(sound) {
        true => Ok(Cow::Borrowed(value)),
        false => Err(vec![Flaw::of(value, "no list of texts", "at least one text in a list, such as [\"EMEA\"]")]),
    }
}

/// `{"recordId": …}`, or its UUID alone.
fn reference(value: &Value) -> Read<'_> {
    if let Some(id) = value.as_str().filter(|id| is_uuid(id)) {
        return Ok(Cow::Owned(json!({"recordId": id})));
    }
    match value.get("recordId").is_some_and(Value::is_string) {
        true => Ok(Cow::Borrowed(value)),
        false => {
            let expected =
                "a reference such as {\"recordId\":\"ee254b45-6789-4891-8c99-f06caaae8d7b\"}, or that UUID alone";
            Err(vec![Flaw::of(value, "no reference", expected)])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn types() -> BTreeMap<String, String> {
        let all = [
            ("counterpartyName", "string"),
            ("contractValue", "monetary_amount"),
            ("effectiveDate", "date"),
            ("standard_initialTermLength", "duration"),
            ("autoRenews", "boolean"),
            ("headcount", "number"),
            ("contact", "email"),
            ("address", "address"),
            ("regions_array", "array"),
            ("entity_reference", "reference"),
            ("liability", "clause"),
            ("signedCopy", "document"),
            ("novel", "hologram"),
        ];
        all.into_iter().map(|(key, kind)| (key.to_owned(), kind.to_owned())).collect()
    }

    fn wrapped(properties: &Value) -> Result<Wrapped, Vec<ArgumentFault>> {
        wrap(properties.as_object().unwrap(), &types(), "properties")
    }

    #[test]
    fn plain_values_are_wrapped_by_the_metadata() {
        let id = "ee254b45-6789-4891-8c99-f06caaae8d7b";
        let table = [
            ("counterpartyName", json!("Acme"), json!({"type": "string", "value": "Acme"}), 0),
            (
                "contractValue",
                json!({"currency": "USD", "amount": 5}),
                json!({"type": "monetary_amount", "value": {"currency": "USD", "amount": 5}}),
                0,
            ),
            (
                "contractValue",
                json!("{\"currency\":\"USD\",\"amount\":5}"),
                json!({"type": "monetary_amount", "value": {"currency": "USD", "amount": 5}}),
                1,
            ),
            ("effectiveDate", json!("2026-01-31"), json!({"type": "date", "value": "2026-01-31T00:00:00Z"}), 1),
            ("standard_initialTermLength", json!("P1Y"), json!({"type": "duration", "value": "P1Y"}), 0),
            (
                "standard_initialTermLength",
                json!({"years": 1, "months": 6}),
                json!({"type": "duration", "value": "P1Y6M"}),
                1,
            ),
            ("autoRenews", json!("true"), json!({"type": "boolean", "value": true}), 1),
            ("headcount", json!(3), json!({"type": "number", "value": 3}), 0),
            ("regions_array", json!(["EMEA"]), json!({"type": "array", "value": ["EMEA"]}), 0),
            ("entity_reference", json!(id), json!({"type": "reference", "value": {"recordId": id}}), 1),
            ("liability", json!({"clauseText": "x"}), json!({"type": "clause", "value": {"clauseText": "x"}}), 0),
            ("novel", json!([1]), json!({"type": "hologram", "value": [1]}), 0),
        ];
        for (key, plain, expected, notes) in table {
            let result = wrapped(&json!({key: plain})).unwrap();
            assert_eq!((&result.properties[key], result.notes.len()), (&expected, notes), "{plain}");
        }
    }

    #[test]
    fn wrapped_values_stay_and_their_dialect_is_translated() {
        let kept = json!({"contractValue": {"type": "monetary_amount", "value": {"currency": "USD", "amount": 5}}});
        assert_eq!(Value::from(wrapped(&kept).unwrap().properties), kept);
        let workflow = json!({"contractValue": {"type": "monetaryAmount", "value": {"currency": "USD", "amount": 5}}});
        assert_eq!(Value::from(wrapped(&workflow).unwrap().properties), kept);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let given = json!({
            "conterpartyName": "Acme",
            "colour": "red",
            "headcount": {"type": "string", "value": "3"},
            "contractValue": {"type": "monetary_amount", "value": {"currency": "USD"}},
            "effectiveDate": null,
            "signedCopy": "x",
            "regions_array": [],
            "entity_reference": "ENTITY-1",
            "liability": "x",
        });
        let faults = wrapped(&given).unwrap_err();
        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "properties.conterpartyName",
                "properties.colour",
                "properties.headcount.type",
                "properties.contractValue.value.amount",
                "properties.effectiveDate",
                "properties.signedCopy",
                "properties.regions_array",
                "properties.entity_reference",
                "properties.liability",
            ]
        );
        assert_eq!(faults[0].expected.as_deref(), Some("counterpartyName (did you mean that?)"));
        assert!(faults[1].expected.as_deref().unwrap().starts_with("one of address, "));
        assert_eq!(faults[2].expected.as_deref(), Some("\"number\", or the plain value"));
    }

    proptest! {
        #[test]
        fn what_is_wrapped_once_stays_as_it_is(text in "[a-z]{1,9}", years in 0u32..99, amount in -1e9..1e9f64, day in 1u8..29) {
            let given = json!({"counterpartyName": text, "standard_initialTermLength": {"years": years},
                "contractValue": {"currency": "EUR", "amount": amount}, "effectiveDate": format!("2026-02-{day:02}")});
            let once = wrapped(&given).unwrap();
            let twice = wrapped(&once.properties.clone().into()).unwrap();
            prop_assert_eq!(once.properties, twice.properties);
            prop_assert!(twice.notes.is_empty());
        }
    }
}
