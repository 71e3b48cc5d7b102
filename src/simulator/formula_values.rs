//! How values of a filter formula compare. Properties carry no declared type here, so the type is read off the value: a text
//! that is a date compares as a date, an object with an `amount` as its amount.

use std::cmp::Ordering;

use serde_json::Value;
use time::{Date, Month};

use super::calendar::{Term, day, plus_days, plus_months};

/// A value on one side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Side {
    /// The item has no value.
    Missing,
    /// A text, possibly that of a date or a number.
    Text(String),
    /// A number or the amount of a money value.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A day.
    Date(Date),
    /// Several values, of which any may match.
    List(Vec<Self>),
    /// Something that only `IsEmpty`, `IsNotEmpty` and `Contains` understand.
    Complex,
}

impl Side {
    /// The side a property's value makes.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            _ if is_empty(value) => Self::Missing,
            Value::Bool(truth) => Self::Boolean(*truth),
            Value::Number(number) => number.as_f64().map_or(Self::Complex, Self::Number),
            Value::String(text) if Term::parse(text).is_some() => Self::Complex,
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => Self::Complex,
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(members) if members.contains_key("currency") => {
                let amount = members.get("amount").map(|amount| (amount.as_f64(), amount.as_str()));
                match amount {
                    Some((Some(number), _)) => Self::Number(number),
                    Some((None, Some(text))) => number(text).map_or(Self::Complex, Self::Number),
                    Some((None, None)) | None => Self::Complex,
                }
            }
            Value::Object(_) | Value::Null => Self::Complex,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Missing => "an empty value",
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Complex => "a value of this type",
        }
    }
}

/// How two sides compare: `None` when one is missing or, for a list, when nothing in it is equal; an error when their types
/// do not go together. Texts that are not dates have no order, only equality.
pub(super) fn order(left: &Side, right: &Side, equality_only: bool) -> Result<Option<Ordering>, String> {
    let mismatch = || Err(format!("{} cannot be compared with {}", left.name(), right.name()));
    let numbers = |left: f64, right: Option<f64>| right.map_or_else(mismatch, |right| Ok(left.partial_cmp(&right)));
    match (left, right) {
        (Side::Complex, _) | (_, Side::Complex) => {
            Err("this property supports only IsEmpty, IsNotEmpty and Contains".to_owned())
        }
        (Side::Missing, _) | (_, Side::Missing) => Ok(None),
        (Side::List(items), other) | (other, Side::List(items)) if equality_only => {
            let mut any = None;
            for item in items {
                if order(item, other, true)? == Some(Ordering::Equal) {
                    any = Some(Ordering::Equal);
                }
            }
            Ok(any)
        }
        (Side::Number(left), Side::Number(right)) => Ok(left.partial_cmp(right)),
        (Side::Number(left), Side::Text(text)) => numbers(*left, number(text)),
        (Side::Text(text), Side::Number(right)) => {
            numbers(*right, number(text)).map(|order| order.map(Ordering::reverse))
        }
        (Side::Date(left), Side::Date(right)) => Ok(Some(left.cmp(right))),
        (Side::Date(left), Side::Text(text)) => day(text).map_or_else(mismatch, |right| Ok(Some(left.cmp(&right)))),
        (Side::Text(text), Side::Date(right)) => day(text).map_or_else(mismatch, |left| Ok(Some(left.cmp(right)))),
        (Side::Boolean(left), Side::Boolean(right)) if equality_only => Ok(Some(left.cmp(right))),
        (Side::Boolean(truth), Side::Text(text)) | (Side::Text(text), Side::Boolean(truth)) if equality_only => {
            boolean(text).map_or_else(mismatch, |other| Ok(Some(truth.cmp(&other))))
        }
        (Side::Text(left), Side::Text(right)) => match (day(left), day(right)) {
            (Some(left), Some(right)) => Ok(Some(left.cmp(&right))),
            _ if equality_only => Ok(Some(left.cmp(right))),
            _ => Err("only numbers and dates can be ordered".to_owned()),
        },
        _ => mismatch(),
    }
}

/// Whether a value holds nothing; the `[{}]` of an untouched table holds nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a text occurs anywhere in a value, without regard to case; numbers and booleans cannot be asked.
pub(super) fn contains(value: &Value, text: &str) -> Result<bool, String> {
    if value.is_number() || value.is_boolean() {
        return Err("Contains works on texts only".to_owned());
    }
    Ok(holds(value, &text.to_lowercase()))
}

fn holds(value: &Value, lowered: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(lowered),
        Value::Array(items) => items.iter().any(|item| holds(item, lowered)),
        Value::Object(members) => members.values().any(|member| holds(member, lowered)),
        Value::Number(number) => number.to_string().contains(lowered),
        Value::Null | Value::Bool(_) => false,
    }
}

/// A quoted number, as the vendor's own example writes it.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    text.trim().to_ascii_lowercase().parse().ok()
}

/// A number without a fraction, small enough for any calendar.
pub(super) fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 1e12).then_some(number as i64)
}

/// The day with this year, month and day of the month.
pub(super) fn date_of(year: i64, month: i64, date: i64) -> Option<Date> {
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let year = i32::try_from(year).ok().filter(|year| (0..=9999).contains(year))?;
    Date::from_calendar_date(year, month, u8::try_from(date).ok()?).ok()
}

/// Unit of `RelativeDate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Calendar days.
    Days,
    /// Seven days.
    Weeks,
    /// Calendar months.
    Months,
    /// Calendar years.
    Years,
}

impl Unit {
    /// The unit with this name, singular or plural.
    pub(super) fn named(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "day" | "days" => Some(Self::Days),
            "week" | "weeks" => Some(Self::Weeks),
            "month" | "months" => Some(Self::Months),
            "year" | "years" => Some(Self::Years),
            _ => None,
        }
    }

    /// The date `count` units after `date`.
    pub(super) fn later(self, date: Date, count: i64) -> Option<Date> {
        match self {
            Self::Days => plus_days(date, count),
            Self::Weeks => plus_days(date, count.checked_mul(7)?),
            Self::Months => plus_months(date, count),
            Self::Years => plus_months(date, count.checked_mul(12)?),
        }
    }
}
