//! Reading SCIM filters. Names are checked against the known attributes while reading, so that the error can name the
//! attribute as the client wrote it.

use serde_json::Value;

use super::scim_filter::{Node, Operator, Path, ScimFilterError};

/// Deepest nesting of parentheses and brackets that is read.
const DEEPEST: usize = 32;

/// The filter a text spells, with attributes out of `known` only.
pub(super) fn read(text: &str, known: &[&str]) -> Result<Node, ScimFilterError> {
    let mut reader = Reader { tokens: tokens(text)?, next: 0, depth: 0, known };
    let root = reader.alternatives("")?;
    match reader.tokens.get(reader.next) {
        None => Ok(root),
        Some(token) => Err(ScimFilterError::Malformed(format!("unexpected {token:?}"))),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Literal(Value),
    Word(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, ScimFilterError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(letter) = rest.chars().next() {
        let (token, length) = match letter {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenBracket, 1),
            ']' => (Token::CloseBracket, 1),
            '"' => quoted(rest)?,
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(rest.len());
                (Token::Word(rest.get(..end).unwrap_or_default().to_owned()), end)
            }
        };
        found.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(found)
}

/// A JSON string at the beginning of the text, and its length with quotes.
fn quoted(text: &str) -> Result<(Token, usize), ScimFilterError> {
    let mut escaped = false;
    for (index, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !escaped => {
                let literal = text.get(..=index).unwrap_or_default();
                let value = serde_json::from_str(literal)
                    .map_err(|_| ScimFilterError::Malformed(format!("{literal} is no JSON string")))?;
                return Ok((Token::Literal(value), index + 1));
            }
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Err(ScimFilterError::Malformed("a quote is never closed".to_owned()))
}

struct Reader<'a> {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    known: &'a [&'a str],
}

impl Reader<'_> {
    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.next += usize::from(found);
        found
    }

    fn malformed<T>(what: &str) -> Result<T, ScimFilterError> {
        Err(ScimFilterError::Malformed(what.to_owned()))
    }

    /// `or` binds loosest; `within` is the path whose brackets this stands in.
    fn alternatives(&mut self, within: &str) -> Result<Node, ScimFilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Self::malformed("nested too deeply");
        }
        let mut node = self.conjunction(within)?;
        while self.take_word("or") {
            node = Node::Or(Box::new(node), Box::new(self.conjunction(within)?));
        }
        self.depth -= 1;
        Ok(node)
    }

    fn conjunction(&mut self, within: &str) -> Result<Node, ScimFilterError> {
        let mut node = self.single(within)?;
        while self.take_word("and") {
            node = Node::And(Box::new(node), Box::new(self.single(within)?));
        }
        Ok(node)
    }

    fn single(&mut self, within: &str) -> Result<Node, ScimFilterError> {
        match self.take() {
            Some(Token::Open) => self.closed(within, Token::Close),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("not") => match self.take() {
                Some(Token::Open) => Ok(Node::Not(Box::new(self.closed(within, Token::Close)?))),
                _ => Self::malformed("'not' needs parentheses"),
            },
            Some(Token::Word(word)) => self.attribute(&word, within),
            _ => Self::malformed("expected an attribute"),
        }
    }

    fn closed(&mut self, within: &str, end: Token) -> Result<Node, ScimFilterError> {
        let node = self.alternatives(within)?;
        if self.take() == Some(end) { Ok(node) } else { Self::malformed("a bracket is never closed") }
    }

    fn attribute(&mut self, word: &str, within: &str) -> Result<Node, ScimFilterError> {
        let path = self.path(word, within)?;
        let operator = match self.take() {
            Some(Token::OpenBracket) if within.is_empty() => {
                return Ok(Node::Within(path, Box::new(self.closed(word, Token::CloseBracket)?)));
            }
            Some(Token::Word(operator)) => operator,
            _ => return Self::malformed("expected an operator"),
        };
        if operator.eq_ignore_ascii_case("pr") {
            return Ok(Node::Present(path));
        }
        let Some(operator) = Operator::named(&operator) else {
            return Self::malformed(&format!("unknown operator '{operator}'"));
        };
        let value = match self.take() {
            Some(Token::Literal(value)) => value,
            Some(Token::Word(word)) => match serde_json::from_str(&word) {
                Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value,
                _ => return Self::malformed(&format!("'{word}' is no value; texts go in double quotes")),
            },
            _ => return Self::malformed("expected a value"),
        };
        Ok(Node::Compare(path, operator, value))
    }

    /// Splits a name at its dots and checks it; the dots and colons of a URN belong to the URN.
    fn path(&self, word: &str, within: &str) -> Result<Path, ScimFilterError> {
        let full = if within.is_empty() { word.to_owned() } else { format!("{within}.{word}") };
        let core = "urn:ietf:params:scim:schemas:core:2.0:user:";
        let bare = match full.get(..core.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(core) => full.get(core.len()..).unwrap_or_default(),
            _ => full.as_str(),
        };
        if !self.known.iter().any(|known| known.eq_ignore_ascii_case(bare)) {
            return Err(ScimFilterError::UnknownAttribute(word.to_owned()));
        }
        let relative = if within.is_empty() { bare } else { word };
        Ok(match relative.rsplit_once(':') {
            Some((schema, names)) => Path(std::iter::once(schema).chain(names.split('.')).map(str::to_owned).collect()),
            None => Path(relative.split('.').map(str::to_owned).collect()),
        })
    }
}
