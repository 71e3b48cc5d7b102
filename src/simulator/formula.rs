//! Filter formulas (ironclad-api.md §4), asked about one item at a time. Every part of a formula is judged on every item,
//! although the first may decide: a mistake must not stay hidden until an item happens to reach it.

use std::cmp::Ordering;

use serde_json::Value;
use time::Date;

use super::formula_reader::read;
use super::formula_values::{Side, Unit, contains, is_empty, order};

/// Why a formula cannot be read or asked; always HTTP 400 at the vendor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormulaError {
    /// The text is no formula; `at` counts characters from 1.
    #[error("malformed filter at character {at}: {what}")]
    Malformed {
        /// Position of the first character that does not fit.
        at: usize,
        /// What was expected there.
        what: String,
    },
    /// No function has this name.
    #[error("unknown function '{0}'")]
    UnknownFunction(String),
    /// A word without brackets, quotes or arguments.
    #[error("unknown name '{0}'; property names go in square brackets")]
    UnknownName(String),
    /// No property has this name.
    #[error("unknown property '{0}'")]
    UnknownProperty(String),
    /// Two things that cannot be compared, or a date that does not exist.
    #[error("{0}")]
    Type(String),
}

/// What an item has under a property's name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Property {
    /// There is no such property at all.
    Unknown,
    /// The property exists and this item has no value for it.
    Empty,
    /// The value, unwrapped.
    Value(Value),
}

/// A formula that has been read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Formula {
    root: Condition,
}

/// What a formula or a part of it asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Compare(Comparison, Operand, Operand),
    Contains(String, String),
    Empty(String, bool),
}

/// The functions that compare two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equals,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Property(String),
    Text(String),
    Number(f64),
    Boolean(bool),
    Moment(Moment),
}

/// A day, possibly known only when the formula is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Moment {
    Fixed(Date),
    Today,
    Relative(Box<Self>, i64, Unit),
}

impl Formula {
    /// Reads a formula; outer parentheses are optional, names are read without regard to case.
    pub(crate) fn parse(text: &str) -> Result<Self, FormulaError> {
        read(text).map(|root| Self { root })
    }

    /// The names of all properties the formula asks about, as written, each once.
    pub(crate) fn property_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        self.root.visit(&mut |name| {
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name.to_owned());
            }
        });
        names
    }

    /// Whether the item behind `lookup` satisfies the formula on the day `today`.
    ///
    /// Every part is judged, so that a mistake in one is reported whatever the others say. `lookup` gets names as they
    /// were written and decides about case.
    pub(crate) fn matches(&self, lookup: &mut dyn FnMut(&str) -> Property, today: Date) -> Result<bool, FormulaError> {
        if let Some(name) = self.property_names().into_iter().find(|name| lookup(name) == Property::Unknown) {
            return Err(FormulaError::UnknownProperty(name));
        }
        self.root.holds(lookup, today)
    }
}

impl Condition {
    fn visit(&self, see: &mut dyn FnMut(&str)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(see)),
            Self::Compare(_, left, right) => {
                for operand in [left, right] {
                    if let Operand::Property(name) = operand {
                        see(name);
                    }
                }
            }
            Self::Contains(name, _) | Self::Empty(name, _) => see(name),
        }
    }

    fn holds(&self, lookup: &mut dyn FnMut(&str) -> Property, today: Date) -> Result<bool, FormulaError> {
        match self {
            Self::All(parts) => {
                parts.iter().try_fold(true, |all, part| part.holds(lookup, today).map(|holds| all && holds))
            }
            Self::Any(parts) => {
                parts.iter().try_fold(false, |any, part| part.holds(lookup, today).map(|holds| any || holds))
            }
            Self::Compare(comparison, left, right) => {
                let (left, right) = (left.side(lookup, today)?, right.side(lookup, today)?);
                compare(*comparison, &left, &right)
            }
            Self::Contains(name, text) => match lookup(name) {
                Property::Value(value) => contains(&value, text).map_err(FormulaError::Type),
                Property::Unknown | Property::Empty => Ok(false),
            },
            Self::Empty(name, wanted) => {
                let empty = match lookup(name) {
                    Property::Value(value) => is_empty(&value),
                    Property::Unknown | Property::Empty => true,
                };
                Ok(empty == *wanted)
            }
        }
    }
}

fn compare(comparison: Comparison, left: &Side, right: &Side) -> Result<bool, FormulaError> {
    let equality_only = matches!(comparison, Comparison::Equals | Comparison::NotEqual);
    let order = order(left, right, equality_only).map_err(FormulaError::Type)?;
    Ok(match comparison {
        Comparison::Equals => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

impl Operand {
    fn side(&self, lookup: &mut dyn FnMut(&str) -> Property, today: Date) -> Result<Side, FormulaError> {
        Ok(match self {
            Self::Property(name) => match lookup(name) {
                Property::Value(value) => Side::of(&value),
                Property::Unknown | Property::Empty => Side::Missing,
            },
            Self::Text(text) => Side::Text(text.clone()),
            Self::Number(number) => Side::Number(*number),
            Self::Boolean(truth) => Side::Boolean(*truth),
            Self::Moment(moment) => Side::Date(moment.on(today)?),
        })
    }
}

impl Moment {
    fn on(&self, today: Date) -> Result<Date, FormulaError> {
        match self {
            Self::Fixed(date) => Ok(*date),
            Self::Today => Ok(today),
            Self::Relative(base, count, unit) => unit
                .later(base.on(today)?, *count)
                .ok_or_else(|| FormulaError::Type("RelativeDate leaves the calendar".to_owned())),
        }
    }
}

#[cfg(test)]
#[path = "formula_tests.rs"]
mod tests;
