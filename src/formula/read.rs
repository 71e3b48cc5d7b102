//! Reads a formula's text, one function inside another.
//!
//! Recursion is bounded, because the text comes from a model and the stack is ours.

use super::{Comparison, Condition, FormulaError, Moment, Operand, Text, day, is_number};
use crate::suggest::{closest, shorten};

/// More levels than anyone writes, and few enough for any stack.
pub(super) const MAX_DEPTH: usize = 50;

const FUNCTIONS: [&str; 11] = [
    "Equals",
    "NotEqual",
    "Contains",
    "IsEmpty",
    "IsNotEmpty",
    "LessThan",
    "LessThanOrEqual",
    "GreaterThan",
    "GreaterThanOrEqual",
    "And",
    "Or",
];

pub(super) fn condition(text: &str) -> Result<Condition, FormulaError> {
    let mut reader = Reader { text, at: 0 };
    let root = reader.condition(0)?;
    reader.spaces();
    if reader.rest().is_empty() {
        Ok(root)
    } else {
        reader.fail("the formula ends before this; join conditions with And(…, …) or Or(…, …)")
    }
}

pub(super) struct Reader<'a> {
    text: &'a str,
    /// Bytes read so far; always between two characters.
    pub(super) at: usize,
}

pub(super) type Read<T> = Result<T, FormulaError>;

impl<'a> Reader<'a> {
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub(super) fn peek(&mut self) -> Option<char> {
        self.spaces();
        self.rest().chars().next()
    }

    pub(super) fn fail_at<T>(&self, at: usize, message: impl Into<String>) -> Read<T> {
        let before = self.text.get(..at).unwrap_or(self.text);
        Err(FormulaError { position: before.chars().count() + 1, message: message.into() })
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Read<T> {
        self.fail_at(self.at, message)
    }

    fn takes(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    pub(super) fn expect(&mut self, wanted: char, message: &str) -> Read<()> {
        if self.takes(wanted) { Ok(()) } else { self.fail(message) }
    }

    pub(super) fn word(&mut self) -> &'a str {
        self.spaces();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn condition(&mut self, depth: usize) -> Read<Condition> {
        if depth > MAX_DEPTH {
            return self.fail(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if self.takes('(') {
            let inner = self.condition(depth + 1)?;
            self.expect(')', "a ) is missing here")?;
            return Ok(inner);
        }
        self.spaces();
        let start = self.at;
        let name = self.word();
        let Some(function) = FUNCTIONS.iter().find(|function| function.eq_ignore_ascii_case(name)) else {
            return self.fail_at(start, no_function(name, &FUNCTIONS));
        };
        self.expect('(', &format!("a ( is missing after {function}"))?;
        let condition = match *function {
            "And" => self.parts(depth).map(|parts| several(parts, Condition::All))?,
            "Or" => self.parts(depth).map(|parts| several(parts, Condition::Any))?,
            "IsEmpty" => Condition::IsEmpty(self.property()?),
            "IsNotEmpty" => Condition::IsNotEmpty(self.property()?),
            "Contains" => self.contains()?,
            _ => self.comparison(function)?,
        };
        self.expect(')', &format!("{function} ends here with a )"))?;
        Ok(condition)
    }

    fn parts(&mut self, depth: usize) -> Read<Vec<Condition>> {
        let mut parts = vec![self.condition(depth + 1)?];
        while self.takes(',') {
            parts.push(self.condition(depth + 1)?);
        }
        Ok(parts)
    }

    fn contains(&mut self) -> Read<Condition> {
        let name = self.property()?;
        self.expect(',', "a second argument is missing: the text to look for")?;
        self.spaces();
        let start = self.at;
        match self.operand()? {
            Operand::Text(text) => Ok(Condition::Contains(name, text)),
            Operand::Property(_) | Operand::Boolean(_) | Operand::Moment(_) => {
                self.fail_at(start, "Contains looks for text in quotes, such as 'Acme'")
            }
        }
    }

    fn comparison(&mut self, function: &str) -> Read<Condition> {
        self.spaces();
        let start = self.at;
        let left = self.operand()?;
        self.expect(',', "a second argument is missing: what to compare with")?;
        self.spaces();
        let second = self.at;
        let right = self.operand()?;
        if !matches!(left, Operand::Property(_)) && !matches!(right, Operand::Property(_)) {
            return self.fail_at(start, "one side must be a property in square brackets, such as [counterpartyName]");
        }
        let Some(comparison) = Comparison::ALL.into_iter().find(|comparison| comparison.name() == function) else {
            return self.fail_at(start, "no such comparison");
        };
        if !comparison.is_ordered() {
            return Ok(Condition::Compare(comparison, left, right));
        }
        match (ordered(left), ordered(right)) {
            (Some(left), Some(right)) => Ok(Condition::Compare(comparison, left, right)),
            (None, _) => {
                self.fail_at(start, format!("{function} compares numbers and dates, such as 1000 or Date(2026, 1, 31)"))
            }
            (_, None) => self
                .fail_at(second, format!("{function} compares numbers and dates, such as 1000 or Date(2026, 1, 31)")),
        }
    }

    fn property(&mut self) -> Read<String> {
        self.spaces();
        let start = self.at;
        if !self.takes('[') {
            let word = self.word();
            let example = if word.is_empty() { "counterpartyName" } else { word };
            return self.fail_at(start, format!("a property goes in square brackets: [{}]", shorten(example, 80)));
        }
        let rest = self.rest();
        let Some(end) = rest.find(']') else { return self.fail_at(start, "this [ is never closed with ]") };
        let name = rest.get(..end).unwrap_or_default().trim();
        if name.is_empty() || name.contains('[') {
            return self.fail_at(start, "between [ and ] goes one property's name");
        }
        self.at += end + 1;
        Ok(name.to_owned())
    }

    fn operand(&mut self) -> Read<Operand> {
        match self.peek() {
            Some('[') => Ok(Operand::Property(self.property()?)),
            Some(quote @ ('\'' | '"')) => Ok(Operand::Text(self.quoted(quote)?)),
            Some(c) if c.is_ascii_digit() || c == '-' || c == '.' => {
                let start = self.at;
                let number = self.number();
                match is_number(number).then(|| Text::new(number.to_owned())).flatten() {
                    Some(number) => Ok(Operand::Text(number)),
                    None => self.fail_at(start, "no number; text goes in quotes"),
                }
            }
            Some(_) => self.named_operand(),
            None => self.fail("the formula breaks off here"),
        }
    }

    fn named_operand(&mut self) -> Read<Operand> {
        self.spaces();
        let start = self.at;
        let word = self.word();
        match word.to_ascii_lowercase().as_str() {
            "true" => return Ok(Operand::Boolean(true)),
            "false" => return Ok(Operand::Boolean(false)),
            "" => return self.fail_at(start, "a property, text in quotes, a number or a date is missing here"),
            _ => {}
        }
        if self.peek() != Some('(') {
            let word = shorten(word, 80);
            return self.fail_at(start, format!("{word} is neither [{word}], a property, nor '{word}', a text"));
        }
        self.at = start;
        Ok(Operand::Moment(self.moment(0)?))
    }

    pub(super) fn quoted(&mut self, quote: char) -> Read<Text> {
        let start = self.at;
        self.at += quote.len_utf8();
        let rest = self.rest();
        let Some(end) = rest.find(quote) else { return self.fail_at(start, format!("this {quote} is never closed")) };
        self.at += end + quote.len_utf8();
        if self.rest().starts_with(quote) {
            return self.fail("quotes cannot be escaped; put text that holds ' between \" and \"");
        }
        match Text::new(rest.get(..end).unwrap_or_default().to_owned()) {
            Some(text) => Ok(text),
            None => self.fail_at(start, "text cannot hold both kinds of quotes"),
        }
    }

    pub(super) fn number(&mut self) -> &'a str {
        self.spaces();
        let rest = self.rest();
        let end =
            rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '+' | '.' | '_')).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }
}

fn several(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => join(parts.into_iter().chain(last).collect()),
    }
}

/// What an ordered comparison takes; text that is a day becomes one.
fn ordered(operand: Operand) -> Option<Operand> {
    let Operand::Text(text) = &operand else { return (!matches!(operand, Operand::Boolean(_))).then_some(operand) };
    if let Some(day) = day(&text.0) {
        return Some(Operand::Moment(Moment::Day(day)));
    }
    is_number(&text.0).then_some(operand)
}

pub(super) fn no_function(name: &str, known: &[&str]) -> String {
    let name = shorten(name, 80);
    match (name.is_empty(), closest(&name, known)) {
        (true, _) => format!("a function is missing here: {}", known.join(", ")),
        (false, Some(meant)) => format!("{name} is no function; did you mean {meant}?"),
        (false, None) => format!("{name} is no function; there are {}", known.join(", ")),
    }
}
