//! Reading filter formulas. A string ends at the next quote of its own kind, with no way to escape one: nobody knows the
//! vendor's escaping, and a client must not come to rely on a guess.

use super::calendar::day;
use super::formula::{Comparison, Condition, FormulaError, Moment, Operand};
use super::formula_text::{Symbol, symbols};
use super::formula_values::{Unit, date_of, whole};

/// Deepest nesting of functions and parentheses that is read.
const DEEPEST: usize = 32;

/// The condition a text spells.
pub(super) fn read(text: &str) -> Result<Condition, FormulaError> {
    let mut reader = Reader { symbols: symbols(text)?, next: 0, depth: 0, end: text.chars().count() + 1 };
    let root = reader.condition()?;
    match reader.take() {
        None => Ok(root),
        Some((at, _)) => Reader::malformed(at, "nothing may follow the formula"),
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
    let operands = operands(name, at, arguments)?;
    let wrong = || FormulaError::Malformed { at, what: format!("{name} does not take these arguments") };
    let number = |operand: &Operand| match operand {
        Operand::Number(number) => whole(*number).ok_or_else(wrong),
        Operand::Text(text) => text.trim().parse().map_err(|_| wrong()),
        Operand::Property(_) | Operand::Boolean(_) | Operand::Moment(_) => Err(wrong()),
    };
    let not_a_day = || FormulaError::Type(format!("{name} does not name a day of the calendar"));
    let fixed = |text: &str| day(text.trim()).map(Moment::Fixed).ok_or_else(not_a_day);
    let unit = |text: &str| Unit::named(text).ok_or_else(|| FormulaError::Type(format!("unknown date unit '{text}'")));
    match (name.to_ascii_lowercase().as_str(), operands.as_slice()) {
        ("today", []) => Ok(Moment::Today),
        ("date", [Operand::Text(text)]) => fixed(text),
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
            Ok(Moment::Relative(Box::new(fixed(base)?), number(count)?, unit(text)?))
        }
        _ => Err(wrong()),
    }
}
