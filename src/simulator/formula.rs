//! Filter formulas (ironclad-api.md §4): reading them and asking them about one item. A string ends at the next quote of its
//! own kind, with no way to escape one: nobody knows the vendor's escaping, and a client must not come to rely on a guess.

use std::cmp::Ordering;

use serde_json::Value;
use time::Date;

use super::formula_text::{Symbol, symbols};
use super::formula_values::{Side, contains, is_empty, order};

/// Deepest nesting of functions and parentheses that is read.
const DEEPEST: usize = 32;

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

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Compare(Comparison, Operand, Operand),
    Contains(String, String),
    Empty(String, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equals,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Property(String),
    Text(String),
    Number(f64),
    Boolean(bool),
    Moment(Moment),
}

#[derive(Clone, Debug, PartialEq)]
enum Moment {
    Fixed(Date),
    Today,
    Relative(Box<Moment>, i64, super::formula_values::Unit),
}

impl Formula {
    /// Reads a formula; outer parentheses are optional, names are read without regard to case.
    pub(crate) fn parse(text: &str) -> Result<Self, FormulaError> {
        let mut reader = Reader { symbols: symbols(text)?, next: 0, depth: 0, end: text.chars().count() + 1 };
        let root = reader.condition()?;
        match reader.take() {
            None => Ok(Self { root }),
            Some((at, _)) => Err(FormulaError::Malformed { at, what: "nothing may follow the formula".to_owned() }),
        }
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

/// Reads conditions from a row of symbols.
struct Reader {
    symbols: Vec<(usize, Symbol)>,
    next: usize,
    depth: usize,
    /// Position one past the text, for complaints about its end.
    end: usize,
}

/// One argument, before its function says what it may be.
enum Argument {
    Condition(Condition),
    Operand(Operand),
}

impl Reader {
    fn take(&mut self) -> Option<(usize, Symbol)> {
        let taken = self.symbols.get(self.next).cloned();
        self.next += 1;
        taken
    }

    fn at(&self) -> usize {
        self.symbols.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn malformed<T>(at: usize, what: impl Into<String>) -> Result<T, FormulaError> {
        Err(FormulaError::Malformed { at, what: what.into() })
    }

    fn expect(&mut self, wanted: &Symbol, name: &str) -> Result<(), FormulaError> {
        let at = self.at();
        match self.take() {
            Some((_, symbol)) if symbol == *wanted => Ok(()),
            _ => Self::malformed(at, format!("expected {name}")),
        }
    }

    fn condition(&mut self) -> Result<Condition, FormulaError> {
        let at = self.at();
        match self.argument()? {
            Argument::Condition(condition) => Ok(condition),
            Argument::Operand(_) => Self::malformed(at, "expected a condition such as Equals([name], 'text')"),
        }
    }

    fn argument(&mut self) -> Result<Argument, FormulaError> {
        let at = self.at();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Self::malformed(at, format!("nested deeper than {DEEPEST}"));
        }
        let argument = match self.take() {
            Some((_, Symbol::Open)) => {
                let inner = self.argument()?;
                self.expect(&Symbol::Close, "')'")?;
                inner
            }
            Some((_, Symbol::Property(name))) => Argument::Operand(Operand::Property(name)),
            Some((_, Symbol::Text(text))) => Argument::Operand(Operand::Text(text)),
            Some((_, Symbol::Number(number))) => Argument::Operand(Operand::Number(number)),
            Some((_, Symbol::Word(word))) => self.word(&word, at)?,
            Some((_, Symbol::Close | Symbol::Comma)) | None => {
                return Self::malformed(at, "expected a function, a property or a value");
            }
        };
        self.depth -= 1;
        Ok(argument)
    }

    fn word(&mut self, word: &str, at: usize) -> Result<Argument, FormulaError> {
        if !matches!(self.symbols.get(self.next), Some((_, Symbol::Open))) {
            return match word.to_ascii_lowercase().as_str() {
                "true" => Ok(Argument::Operand(Operand::Boolean(true))),
                "false" => Ok(Argument::Operand(Operand::Boolean(false))),
                _ => Err(FormulaError::UnknownName(word.to_owned())),
            };
        }
        self.take();
        let mut arguments = Vec::new();
        if matches!(self.symbols.get(self.next), Some((_, Symbol::Close))) {
            self.take();
        } else {
            loop {
                arguments.push(self.argument()?);
                let separator_at = self.at();
                match self.take() {
                    Some((_, Symbol::Comma)) => {}
                    Some((_, Symbol::Close)) => break,
                    _ => return Self::malformed(separator_at, "expected ',' or ')'"),
                }
            }
        }
        call(word, at, arguments)
    }
}

/// Gives a function its arguments.
fn call(name: &str, at: usize, arguments: Vec<Argument>) -> Result<Argument, FormulaError> {
    let condition = |condition: Result<Condition, FormulaError>| condition.map(Argument::Condition);
    let compare = |comparison, arguments| condition(comparison_of(comparison, name, at, arguments));
    match name.to_ascii_lowercase().as_str() {
        "and" => condition(conditions(name, at, arguments).map(Condition::All)),
        "or" => condition(conditions(name, at, arguments).map(Condition::Any)),
        "equals" => compare(Comparison::Equals, arguments),
        "notequal" => compare(Comparison::NotEqual, arguments),
        "lessthan" => compare(Comparison::Less, arguments),
        "lessthanorequal" => compare(Comparison::LessOrEqual, arguments),
        "greaterthan" => compare(Comparison::Greater, arguments),
        "greaterthanorequal" => compare(Comparison::GreaterOrEqual, arguments),
        "contains" => match operands(name, at, arguments)?.as_slice() {
            [Operand::Property(property), Operand::Text(text)] => {
                Ok(Argument::Condition(Condition::Contains(property.clone(), text.clone())))
            }
            _ => Reader::malformed(at, format!("{name} takes a property and a text")),
        },
        "isempty" => condition(emptiness(name, at, arguments, true)),
        "isnotempty" => condition(emptiness(name, at, arguments, false)),
        "date" | "today" | "relativedate" => {
            moment(name, at, arguments).map(|moment| Argument::Operand(Operand::Moment(moment)))
        }
        _ => Err(FormulaError::UnknownFunction(name.to_owned())),
    }
}

fn conditions(name: &str, at: usize, arguments: Vec<Argument>) -> Result<Vec<Condition>, FormulaError> {
    if arguments.len() < 2 {
        return Reader::malformed(at, format!("{name} takes two or more conditions"));
    }
    let condition = |argument| match argument {
        Argument::Condition(condition) => Ok(condition),
        Argument::Operand(_) => Reader::malformed(at, format!("{name} takes conditions only")),
    };
    arguments.into_iter().map(condition).collect()
}

fn operands(name: &str, at: usize, arguments: Vec<Argument>) -> Result<Vec<Operand>, FormulaError> {
    let operand = |argument| match argument {
        Argument::Operand(operand) => Ok(operand),
        Argument::Condition(_) => Reader::malformed(at, format!("{name} takes no conditions")),
    };
    arguments.into_iter().map(operand).collect()
}

fn comparison_of(
    comparison: Comparison,
    name: &str,
    at: usize,
    arguments: Vec<Argument>,
) -> Result<Condition, FormulaError> {
    match <[Operand; 2]>::try_from(operands(name, at, arguments)?) {
        Ok([left, right]) if matches!(left, Operand::Property(_)) || matches!(right, Operand::Property(_)) => {
            Ok(Condition::Compare(comparison, left, right))
        }
        _ => Reader::malformed(at, format!("{name} takes a property and a value")),
    }
}

fn emptiness(name: &str, at: usize, arguments: Vec<Argument>, wanted: bool) -> Result<Condition, FormulaError> {
    match operands(name, at, arguments)?.as_slice() {
        [Operand::Property(property)] => Ok(Condition::Empty(property.clone(), wanted)),
        _ => Reader::malformed(at, format!("{name} takes one property")),
    }
}

/// Date(y, m, d), Date('y-m-d'), Today(), RelativeDate(date, n, 'unit') and RelativeDate(n, 'unit').
fn moment(name: &str, at: usize, arguments: Vec<Argument>) -> Result<Moment, FormulaError> {
    use super::formula_values::{Unit, date_of, whole};
    let operands = operands(name, at, arguments)?;
    let wrong = || FormulaError::Malformed { at, what: format!("{name} does not take these arguments") };
    let number = |operand: &Operand| match operand {
        Operand::Number(number) => whole(*number).ok_or_else(wrong),
        Operand::Text(text) => text.trim().parse().map_err(|_| wrong()),
        Operand::Property(_) | Operand::Boolean(_) | Operand::Moment(_) => Err(wrong()),
    };
    let not_a_day = || FormulaError::Type(format!("{name} does not name a day of the calendar"));
    let day = |text: &str| super::calendar::day(text.trim()).map(Moment::Fixed).ok_or_else(not_a_day);
    let unit = |text: &str| Unit::named(text).ok_or_else(|| FormulaError::Type(format!("unknown date unit '{text}'")));
    match (name.to_ascii_lowercase().as_str(), operands.as_slice()) {
        ("today", []) => Ok(Moment::Today),
        ("date", [Operand::Text(text)]) => day(text),
        ("date", [year, month, date]) => {
            date_of(number(year)?, number(month)?, number(date)?).map(Moment::Fixed).ok_or_else(not_a_day)
        }
        ("relativedate", [count, Operand::Text(text)]) => {
            Ok(Moment::Relative(Box::new(Moment::Today), number(count)?, unit(text)?))
        }
        ("relativedate", [Operand::Moment(base), count, Operand::Text(text)]) => {
            Ok(Moment::Relative(Box::new(base.clone()), number(count)?, unit(text)?))
        }
        ("relativedate", [Operand::Text(base), count, Operand::Text(text)]) => {
            Ok(Moment::Relative(Box::new(day(base)?), number(count)?, unit(text)?))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
#[path = "formula_tests.rs"]
mod tests;
