//! The symbols a filter formula is written in. Positions count characters from 1, so that a complaint can be followed by eye.

use super::formula::FormulaError;

/// One symbol of a formula.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Symbol {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `[name]`, without the brackets.
    Property(String),
    /// A quoted text, without its quotes.
    Text(String),
    /// A number.
    Number(f64),
    /// A function's name, `true` or `false`.
    Word(String),
}

/// All symbols of a text, each with its position.
pub(super) fn symbols(text: &str) -> Result<Vec<(usize, Symbol)>, FormulaError> {
    let mut found = Vec::new();
    let mut letters = text.chars().enumerate().map(|(index, letter)| (index + 1, letter)).peekable();
    while let Some(&(at, letter)) = letters.peek() {
        let symbol = match letter {
            '(' => Symbol::Open,
            ')' => Symbol::Close,
            ',' => Symbol::Comma,
            '[' => {
                letters.next();
                let name = until(&mut letters, ']').ok_or_else(|| malformed(at, "'[' without ']'"))?;
                if name.trim().is_empty() {
                    return Err(malformed(at, "a property needs a name"));
                }
                found.push((at, Symbol::Property(name.trim().to_owned())));
                continue;
            }
            '\'' | '"' => {
                letters.next();
                let text = until(&mut letters, letter).ok_or_else(|| malformed(at, "a quote is never closed"))?;
                found.push((at, Symbol::Text(text)));
                continue;
            }
            letter if letter.is_whitespace() => {
                letters.next();
                continue;
            }
            letter if letter.is_alphanumeric() || "_.+-".contains(letter) => {
                found.push((at, word_or_number(at, &run(&mut letters))?));
                continue;
            }
            _ => return Err(malformed(at, &format!("'{letter}' has no meaning here"))),
        };
        letters.next();
        found.push((at, symbol));
    }
    Ok(found)
}

fn until(letters: &mut impl Iterator<Item = (usize, char)>, end: char) -> Option<String> {
    let mut text = String::new();
    loop {
        match letters.next()?.1 {
            letter if letter == end => return Some(text),
            letter => text.push(letter),
        }
    }
}

fn run<I: Iterator<Item = (usize, char)>>(letters: &mut std::iter::Peekable<I>) -> String {
    let mut text = String::new();
    while let Some((_, letter)) = letters.next_if(|(_, letter)| letter.is_alphanumeric() || "_.+-".contains(*letter)) {
        text.push(letter);
    }
    text
}

fn word_or_number(at: usize, text: &str) -> Result<Symbol, FormulaError> {
    if text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_') {
        return Ok(Symbol::Word(text.to_owned()));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Symbol::Number(number)),
        _ => Err(malformed(at, &format!("'{text}' is no number"))),
    }
}

fn malformed(at: usize, what: &str) -> FormulaError {
    FormulaError::Malformed { at, what: what.to_owned() }
}
