//! Makes a filter formula into the form that is safest to send, and finds its mistakes before it is sent.
//!
//! Ironclad answers a mistake with a bare 400 and ignores some altogether (ironclad-api.md §4), so what it would not
//! read is refused here. What it reads in more than one way is written in the one that every source agrees on: single
//! quotes, quoted numbers, three-argument dates, and parentheses around the whole.

mod compile;
mod moment;
mod read;

use std::fmt::{self, Write};

pub use compile::{compile, where_schema};

use crate::{
    error::ArgumentFault,
    suggest::{closest, listed, shorten},
};

/// Properties that lists can be filtered by without being in any schema (ironclad-api.md §4).
const WELL_KNOWN: [&str; 10] = [
    "name",
    "type",
    "status",
    "lastUpdated",
    "template",
    "readableId",
    "step",
    "ironcladId",
    "workflowStatus",
    "parentRecordID",
];

/// The longest list of known properties that a fault repeats, in bytes.
const LISTED: usize = 300;

/// Why a text is no formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {message}")]
pub struct FormulaError {
    /// The first character that does not fit, counted from 1.
    pub position: usize,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// A filter formula that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formula {
    root: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Compare(Comparison, Operand, Operand),
    Contains(String, Text),
    IsEmpty(String),
    IsNotEmpty(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equals,
    NotEqual,
    LessThan,
    LessThanOrEqual,
    GreaterThan,
    GreaterThanOrEqual,
}

impl Comparison {
    const ALL: [Self; 6] = [
        Self::Equals,
        Self::NotEqual,
        Self::LessThan,
        Self::LessThanOrEqual,
        Self::GreaterThan,
        Self::GreaterThanOrEqual,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Equals => "Equals",
            Self::NotEqual => "NotEqual",
            Self::LessThan => "LessThan",
            Self::LessThanOrEqual => "LessThanOrEqual",
            Self::GreaterThan => "GreaterThan",
            Self::GreaterThanOrEqual => "GreaterThanOrEqual",
        }
    }

    /// Whether it needs numbers or dates.
    fn is_ordered(self) -> bool {
        !matches!(self, Self::Equals | Self::NotEqual)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Property(String),
    /// Numbers too: the vendor's own examples quote them.
    Text(Text),
    Boolean(bool),
    Moment(Moment),
}

/// Text that holds at most one kind of quote, since nobody knows how to escape the other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(String);

impl Text {
    fn new(text: String) -> Option<Self> {
        (!(text.contains('\'') && text.contains('"'))).then_some(Self(text))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Moment {
    Today,
    Day(time::Date),
    Relative(Box<Self>, i64, Unit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Days,
    Weeks,
    Months,
    Years,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Days, Self::Weeks, Self::Months, Self::Years];

    fn name(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Weeks => "weeks",
            Self::Months => "months",
            Self::Years => "years",
        }
    }
}

impl Formula {
    /// Reads a formula; function names in any case, either kind of quotes, with or without outer parentheses.
    ///
    /// # Errors
    /// The first place where the text is no formula.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        Ok(Self { root: read::condition(text)? })
    }

    /// The properties that the formula names, in order, each once.
    #[must_use]
    pub fn properties(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.properties(&mut names);
        names
    }

    /// The formula as it is safest to send.
    #[must_use]
    pub fn to_wire(&self) -> String {
        format!("({})", self.root)
    }

    /// Both formulas at once.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { root: Condition::All(vec![self.root, other.root]) }
    }

    /// A fault for each property that is neither among `known` nor one that every list has; names in any case.
    #[must_use]
    pub fn check_names(&self, known: &[&str]) -> Vec<ArgumentFault> {
        let is_known = |name: &str| known.iter().chain(&WELL_KNOWN).any(|known| known.eq_ignore_ascii_case(name));
        let unknown = self.properties().into_iter().filter(|name| !is_known(name));
        unknown
            .map(|name| {
                let all: Vec<&str> = known.iter().chain(&WELL_KNOWN).copied().collect();
                let expected = match closest(name, &all) {
                    Some(meant) => format!("[{meant}] (did you mean that?)"),
                    None => format!("one of {}", listed(all, LISTED)),
                };
                ArgumentFault::new("filter", format!("[{}] is no property here", shorten(name, 80)), expected)
            })
            .collect()
    }
}

impl Condition {
    fn properties<'a>(&'a self, names: &mut Vec<&'a str>) {
        let mut add = |name: &'a str| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.properties(names)),
            Self::Contains(name, _) | Self::IsEmpty(name) | Self::IsNotEmpty(name) => add(name),
            Self::Compare(_, left, right) => {
                for side in [left, right] {
                    if let Operand::Property(name) = side {
                        add(name);
                    }
                }
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => joined(f, "And", parts),
            Self::Any(parts) => joined(f, "Or", parts),
            Self::Compare(comparison, left, right) => write!(f, "{}({left}, {right})", comparison.name()),
            Self::Contains(name, text) => write!(f, "Contains([{name}], {text})"),
            Self::IsEmpty(name) => write!(f, "IsEmpty([{name}])"),
            Self::IsNotEmpty(name) => write!(f, "IsNotEmpty([{name}])"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, name: &str, parts: &[Condition]) -> fmt::Result {
    write!(f, "{name}(")?;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{part}")?;
    }
    f.write_char(')')
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(name) => write!(f, "[{name}]"),
            Self::Text(text) => write!(f, "{text}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Moment(moment) => write!(f, "{moment}"),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains('\'') { '"' } else { '\'' };
        write!(f, "{quote}{}{quote}", self.0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Today => f.write_str("Today()"),
            Self::Day(date) => write!(f, "Date({}, {}, {})", date.year(), u8::from(date.month()), date.day()),
            Self::Relative(from, amount, unit) => write!(f, "RelativeDate({from}, {amount}, '{}')", unit.name()),
        }
    }
}

/// A day written `2026-01-31`.
fn day(text: &str) -> Option<time::Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let sound = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || !sound(year, 4) || !sound(month, 2) || !sound(day, 2) {
        return None;
    }
    calendar_day(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

fn calendar_day(year: i64, month: i64, day: i64) -> Option<time::Date> {
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let year = i32::try_from(year).ok().filter(|year| (1..=9999).contains(year))?;
    time::Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests;
