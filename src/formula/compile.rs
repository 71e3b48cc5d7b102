//! Makes plain conditions, `[{property, op, value}]`, into a formula.
//!
//! A value is sent as what it looks like: Ironclad tells nobody a property's type in a list, and `2026-01-31` is a day
//! far more often than it is a text.

use serde_json::{Map, Value, json};

use super::{Comparison, Condition, Formula, Moment, Operand, Text, day, is_number};
use crate::{
    error::ArgumentFault,
    suggest::{closest, shorten, shown},
};

const OPERATORS: [&str; 9] = [
    "equals",
    "not_equal",
    "contains",
    "is_empty",
    "is_not_empty",
    "less_than",
    "less_than_or_equal",
    "greater_than",
    "greater_than_or_equal",
];

/// The formula that holds where every condition does.
///
/// # Errors
/// Every fault of every condition, below `where`.
pub fn compile(conditions: &[Value]) -> Result<Formula, Vec<ArgumentFault>> {
    let mut faults = Vec::new();
    let mut parts = Vec::with_capacity(conditions.len());
    for (index, condition) in conditions.iter().enumerate() {
        match one(condition, &format!("where[{index}]")) {
            Ok(part) => parts.push(part),
            Err(wrong) => faults.extend(wrong),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let Some(last) = parts.pop() else {
        return Err(vec![ArgumentFault::new("where", "has no condition", "at least one condition, or no where")]);
    };
    if parts.is_empty() {
        return Ok(Formula { root: last });
    }
    parts.push(last);
    Ok(Formula { root: Condition::All(parts) })
}

fn one(condition: &Value, at: &str) -> Result<Condition, Vec<ArgumentFault>> {
    let Some(members) = condition.as_object() else {
        let message = format!("{} is no condition", shown(condition));
        return Err(vec![ArgumentFault::new(
            at,
            message,
            "{\"property\":\"counterpartyName\",\"op\":\"equals\",\"value\":\"Acme\"}",
        )]);
    };
    let mut faults = unknown_members(members, at);
    let name = property(members, at).map_err(|fault| faults.push(fault)).ok();
    let operator = operator(members, at).map_err(|fault| faults.push(fault)).ok();
    let valued = operator.is_some_and(|operator| !matches!(operator, "is_empty" | "is_not_empty"));
    let value = match (members.get("value"), valued) {
        (value, true) => literal(value, operator.unwrap_or_default(), at).map_err(|fault| faults.push(fault)).ok(),
        (Some(value), false) if operator.is_some() && !value.is_null() => {
            let message = format!("{} is not looked at", shown(value));
            faults.push(ArgumentFault::new(format!("{at}.value"), message, "no value with this op"));
            None
        }
        (Some(_) | None, false) => None,
    };
    let (true, Some(name), Some(operator)) = (faults.is_empty(), name, operator) else { return Err(faults) };
    Ok(match (operator, value) {
        ("is_empty", _) => Condition::IsEmpty(name),
        ("contains", Some(Operand::Text(text))) => Condition::Contains(name, text),
        (operator, Some(value)) => Condition::Compare(comparison(operator), Operand::Property(name), value),
        (_, None) => Condition::IsNotEmpty(name),
    })
}

fn comparison(operator: &str) -> Comparison {
    match operator {
        "not_equal" => Comparison::NotEqual,
        "less_than" => Comparison::LessThan,
        "less_than_or_equal" => Comparison::LessThanOrEqual,
        "greater_than" => Comparison::GreaterThan,
        "greater_than_or_equal" => Comparison::GreaterThanOrEqual,
        _ => Comparison::Equals,
    }
}

fn unknown_members(members: &Map<String, Value>, at: &str) -> Vec<ArgumentFault> {
    let known = ["property", "op", "value"];
    let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
    unknown
        .map(|name| {
            ArgumentFault::new(
                format!("{at}.{}", shorten(name, 80)),
                "is no part of a condition",
                "only property, op, value",
            )
        })
        .collect()
}

/// The property's name; brackets around it are taken off.
fn property(members: &Map<String, Value>, at: &str) -> Result<String, ArgumentFault> {
    let expected = "a property's name, such as counterpartyName";
    let path = format!("{at}.property");
    let Some(given) = members.get("property") else {
        return Err(ArgumentFault::new(path, "is required and missing", expected));
    };
    let name = given.as_str().unwrap_or_default().trim();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).trim();
    if bare.is_empty() || bare.contains(['[', ']']) {
        return Err(ArgumentFault::new(path, format!("{} is no property's name", shown(given)), expected));
    }
    Ok(bare.to_owned())
}

fn operator(members: &Map<String, Value>, at: &str) -> Result<&'static str, ArgumentFault> {
    let all = OPERATORS.join(", ");
    let path = format!("{at}.op");
    let Some(given) = members.get("op") else {
        return Err(ArgumentFault::new(path, "is required and missing", format!("one of {all}")));
    };
    let name = given.as_str().unwrap_or_default();
    if let Some(known) = OPERATORS.iter().find(|known| **known == name) {
        return Ok(known);
    }
    let expected = match closest(name, &OPERATORS) {
        Some(meant) => format!("{meant} (did you mean that?), or one of {all}"),
        None => format!("one of {all}"),
    };
    Err(ArgumentFault::new(path, format!("{} is no op", shown(given)), expected))
}

fn literal(value: Option<&Value>, operator: &str, at: &str) -> Result<Operand, ArgumentFault> {
    let path = format!("{at}.value");
    let fault = |message: String, expected: &str| Err(ArgumentFault::new(path.clone(), message, expected));
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return fault("is required and missing".into(), "text, a number, true, false, or a date such as 2026-01-31");
    };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => plain_number(number),
        Value::Bool(flag) if operator == "equals" || operator == "not_equal" => return Ok(Operand::Boolean(*flag)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return fault(
                format!("{} cannot be compared by {operator}", shown(value)),
                "text, a number, or a date such as 2026-01-31",
            );
        }
    };
    if let Some(day) = day(&text).filter(|_| operator != "contains") {
        return Ok(Operand::Moment(Moment::Day(day)));
    }
    if !matches!(operator, "equals" | "not_equal" | "contains") && !is_number(&text) {
        return fault(
            format!("{} is neither a number nor a date", shown(value)),
            "a number, or a date such as 2026-01-31",
        );
    }
    match Text::new(text) {
        Some(text) => Ok(Operand::Text(text)),
        None => fault(format!("{} holds both kinds of quotes", shown(value)), "text with at most one of ' and \""),
    }
}

/// A number without an exponent, which no source shows in a formula.
fn plain_number(number: &serde_json::Number) -> String {
    let text = number.to_string();
    match number.as_f64() {
        Some(value) if text.contains(['e', 'E']) => format!("{value}"),
        Some(_) | None => text,
    }
}

/// The schema of the argument `where`, within the profile at depth 2.
#[must_use]
pub fn where_schema() -> Map<String, Value> {
    let schema = json!({
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {
                "property": {"type": "string"},
                "op": {"type": "string", "enum": OPERATORS},
                "value": {"type": "string", "x-open": true},
            },
            "required": ["property", "op"],
        },
        "description": "A plain filter: all must hold. Dates as 2026-01-31.",
    });
    schema.as_object().cloned().unwrap_or_default()
}
