//! Reads one value of a type that Ironclad knows, whichever harmless way a model wrote it.
//!
//! Launch forms and record properties share these readers: their types differ in name and in how a duration is written,
//! nothing else. A reader never guesses: a value that could be meant in two ways is a flaw.

mod address;
mod date;
mod duration;

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

pub use address::address;
pub use date::date;
pub use duration::{duration_object, duration_text};

use crate::suggest::{closest, shown};

/// The longest text that survives Ironclad's Archive step, in characters (ironclad-api.md §6.1).
pub const LONGEST_TEXT: usize = 32_000;

/// One thing that is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where inside the value: `` for the whole, `.amount`, `.lines[2]`.
    pub below: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: String,
}

impl Flaw {
    /// A flaw of the whole value: `"x" is no date`.
    #[must_use]
    pub fn of(value: &Value, what: &str, expected: impl Into<String>) -> Self {
        Self { below: String::new(), message: format!("{} is {what}", shown(value)), expected: expected.into() }
    }

    /// The same flaw, found inside a greater value.
    #[must_use]
    pub fn under(mut self, below: &str) -> Self {
        self.below.insert_str(0, below);
        self
    }

    fn missing(member: &str, expected: &str) -> Self {
        Self { below: format!(".{member}"), message: format!("{member} is missing"), expected: expected.into() }
    }
}

/// A value as it goes to Ironclad: borrowed when it goes out as given, owned when it was normalised.
pub type Read<'a> = Result<Cow<'a, Value>, Vec<Flaw>>;

fn flawed<'a>(value: &Value, what: &str, expected: &str) -> Read<'a> {
    Err(vec![Flaw::of(value, what, expected)])
}

/// Text of at most 32,000 characters.
///
/// # Errors
/// The value is no text, or too long.
pub fn text(value: &Value) -> Read<'_> {
    let Some(text) = value.as_str() else { return flawed(value, "no text", "text in quotes, such as \"Acme LLC\"") };
    if text.len() > LONGEST_TEXT && text.chars().count() > LONGEST_TEXT {
        return flawed(value, "too long", "at most 32,000 characters");
    }
    Ok(Cow::Borrowed(value))
}

/// `true` or `false`, also as JSON text; `yes` is not guessed.
///
/// # Errors
/// Anything else.
pub fn boolean(value: &Value) -> Read<'_> {
    match value.as_str() {
        Some("true") => return Ok(Cow::Owned(true.into())),
        Some("false") => return Ok(Cow::Owned(false.into())),
        Some(_) | None => {}
    }
    if value.is_boolean() { Ok(Cow::Borrowed(value)) } else { flawed(value, "neither true nor false", "true or false") }
}

/// A number, also as JSON text.
///
/// # Errors
/// Anything else.
pub fn number(value: &Value) -> Read<'_> {
    if value.is_number() {
        return Ok(Cow::Borrowed(value));
    }
    let parsed = value.as_str().and_then(|text| serde_json::from_str::<Number>(text).ok());
    match parsed {
        Some(number) => Ok(Cow::Owned(number.into())),
        None => flawed(value, "no number", "a number without quotes or separators, such as 1250.5"),
    }
}

/// An e-mail address.
///
/// # Errors
/// The value does not look like one.
pub fn email(value: &Value) -> Read<'_> {
    match value.as_str() {
        Some(text) if is_email(text) => Ok(Cow::Borrowed(value)),
        Some(_) | None => flawed(value, "no e-mail address", "an e-mail address such as jane.doe@example.com"),
    }
}

/// Whether a text has the shape of an e-mail address: something, `@`, a domain with a dot.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let foreign = |c: char| c.is_whitespace() || c.is_control() || "@<>()[],;:\\\"".contains(c);
    let labels = || domain.split('.');
    !local.is_empty()
        && text.len() <= 254
        && !text.replacen('@', "", 1).contains(foreign)
        && labels().count() >= 2
        && labels().all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
}

/// An amount of money: `{"currency": "USD", "amount": 25.5}`; a lower-case currency and an amount in quotes are mended.
///
/// # Errors
/// Each member that is missing, unknown or malformed.
pub fn money(value: &Value) -> Read<'_> {
    const EXPECTED: &str = "an amount of money such as {\"currency\":\"USD\",\"amount\":1250.5}";
    let Some(members) = value.as_object() else { return flawed(value, "no amount of money", EXPECTED) };
    let mut flaws = unknown_members(members, &["currency", "amount"]);
    let mut mended = members.clone();
    match members.get("currency") {
        None => flaws.push(Flaw::missing("currency", "an ISO 4217 code such as \"USD\"")),
        Some(currency) => match currency.as_str().filter(|code| is_currency(code)) {
            None => {
                flaws.push(Flaw::of(currency, "no currency", "an ISO 4217 code such as \"USD\"").under(".currency"))
            }
            Some(code) => drop(mended.insert("currency".into(), code.to_ascii_uppercase().into())),
        },
    }
    match members.get("amount").map(number) {
        None => flaws.push(Flaw::missing("amount", "a number such as 1250.5")),
        Some(Ok(amount)) => drop(mended.insert("amount".into(), amount.into_owned())),
        Some(Err(wrong)) => flaws.extend(wrong.into_iter().map(|flaw| flaw.under(".amount"))),
    }
    settled(value, members, mended, flaws)
}

fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_alphabetic())
}

/// The user id (24 hex characters) or e-mail address of an Ironclad user.
///
/// # Errors
/// The value is neither.
pub fn user(value: &Value) -> Read<'_> {
    let fits = |text: &str| is_email(text) || is_object_id(text);
    match value.as_str().is_some_and(fits) {
        true => Ok(Cow::Borrowed(value)),
        false => flawed(value, "no user", "the id (24 hex characters) or e-mail of an Ironclad user, from list_users"),
    }
}

fn is_object_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A record: its UUID or Ironclad ID. What a read answers for one, `{"recordId", "readableId"}`, is taken back to the id.
///
/// # Errors
/// The value is no such id.
pub fn record(value: &Value) -> Read<'_> {
    // A company may choose another prefix than IC (ironclad-api.md §0), so any short prefix passes.
    let fits = |text: &str| is_uuid(text) || is_readable_id(text);
    reference(value, fits, "no record id", "a record's Ironclad ID such as \"IC-456\", or its UUID, from list_records")
}

/// A counterparty entity: its UUID or `ENTITY-n`. What a read answers for one is taken back to the id.
///
/// # Errors
/// The value is no such id.
pub fn entity(value: &Value) -> Read<'_> {
    let numbered = |text: &str| text.strip_prefix("ENTITY-").is_some_and(is_digits);
    let fits = |text: &str| is_uuid(text) || numbered(text);
    reference(value, fits, "no entity id", "an entity's id such as \"ENTITY-1\", or its UUID")
}

fn reference<'a>(value: &'a Value, fits: impl Fn(&str) -> bool, what: &str, expected: &str) -> Read<'a> {
    if value.as_str().is_some_and(&fits) {
        return Ok(Cow::Borrowed(value));
    }
    let ids = ["recordId", "readableId"].into_iter().filter_map(|member| value.get(member)?.as_str());
    match ids.into_iter().find(|id| fits(id)) {
        Some(id) => Ok(Cow::Owned(id.into())),
        None => flawed(value, what, expected),
    }
}

/// Whether a text is a UUID with hyphens.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_readable_id(text: &str) -> bool {
    let Some((prefix, digits)) = text.rsplit_once('-') else { return false };
    // Entities and obligations are numbered too, and are no records.
    let foreign = matches!(prefix, "ENTITY" | "OB");
    let prefixed = !foreign
        && prefix.starts_with(|c: char| c.is_ascii_uppercase())
        && prefix.len() <= 20
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    prefixed && is_digits(digits)
}

fn is_digits(text: &str) -> bool {
    (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// A document: one that Ironclad fetches (`url`), a local file (`path`), or bytes (`filename`, `content_base64`).
///
/// # Errors
/// The value is no such object; the file itself is not looked at here.
pub fn document(value: &Value) -> Read<'_> {
    const EXPECTED: &str = "a document: {\"url\":\"https://example.com/contract.docx\"}, {\"path\":\"contract.docx\"}, \
                            or {\"filename\":\"contract.docx\",\"content_base64\":\"…\"}";
    let Some(members) = value.as_object() else { return flawed(value, "no document", EXPECTED) };
    let mut flaws = unknown_members(members, &["url", "path", "filename", "content_base64"]);
    for name in ["path", "filename", "content_base64"] {
        if let Some(member) = members.get(name).filter(|member| !member.is_string()) {
            flaws.push(Flaw::of(member, "no text", EXPECTED).under(&format!(".{name}")));
        }
    }
    if let Some(url) = members.get("url").filter(|url| !url.as_str().is_some_and(is_web_url)) {
        flaws.push(Flaw::of(url, "no web address", "an address that begins with https://").under(".url"));
    }
    let has = |name: &str| members.contains_key(name);
    match (has("url"), has("path"), has("filename"), has("content_base64")) {
        (true, false, false, false) | (false, true, false, false) | (false, false, true, true) => {}
        (false, false, true, false) => flaws.push(Flaw::missing("content_base64", EXPECTED)),
        (false, false, false, true) => flaws.push(Flaw::missing("filename", EXPECTED)),
        (false, false, false, false) => flaws.push(Flaw::missing("url", EXPECTED)),
        (_, _, _, _) => flaws.push(Flaw::of(value, "more than one document", EXPECTED)),
    }
    if flaws.is_empty() { Ok(Cow::Borrowed(value)) } else { Err(flaws) }
}

fn is_web_url(text: &str) -> bool {
    let web = |url: url::Url| matches!(url.scheme(), "http" | "https") && url.host().is_some();
    // The parser forgives what Ironclad's may not.
    !text.contains(|c: char| c.is_whitespace() || c.is_control()) && url::Url::parse(text).is_ok_and(web)
}

/// A flaw for each member that the type does not have.
fn unknown_members(members: &Map<String, Value>, known: &[&str]) -> Vec<Flaw> {
    let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
    unknown
        .map(|name| {
            let name = crate::suggest::shorten(name, 80);
            let expected = match closest(&name, known) {
                Some(meant) => format!("{meant} (did you mean that?)"),
                None => format!("only {}", known.join(", ")),
            };
            Flaw { below: format!(".{name}"), message: format!("{name} is no member of this type"), expected }
        })
        .collect()
}

/// The value as given where mending changed nothing, else as mended.
fn settled<'a>(
    value: &'a Value,
    members: &Map<String, Value>,
    mended: Map<String, Value>,
    flaws: Vec<Flaw>,
) -> Read<'a> {
    if !flaws.is_empty() {
        return Err(flaws);
    }
    Ok(if mended == *members { Cow::Borrowed(value) } else { Cow::Owned(mended.into()) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Reader = fn(&Value) -> Read<'_>;

    #[test]
    fn sound_values_go_out_as_they_came() {
        let table: Vec<(Reader, Value)> = vec![
            (text, json!("Acme")),
            (boolean, json!(false)),
            (number, json!(12.5)),
            (email, json!("a.b+c@d-e.example")),
            (money, json!({"currency": "EUR", "amount": 0})),
            (user, json!("5f0375c4cdc1927c5c4ed001")),
            (user, json!("a@b.example")),
            (record, json!("IC-12")),
            (record, json!("ACME-12")),
            (record, json!("ee254b45-6789-4891-8c99-f06caaae8d7b")),
            (entity, json!("ENTITY-7")),
            (document, json!({"url": "https://files.example/a.docx?x=1"})),
        ];
        for (reader, value) in table {
            assert_eq!(reader(&value), Ok(Cow::Borrowed(&value)), "{value}");
            assert!(matches!(reader(&value), Ok(Cow::Borrowed(_))), "{value}");
        }
    }

    #[test]
    fn harmless_forms_are_mended() {
        let table: Vec<(Reader, Value, Value)> = vec![
            (boolean, json!("true"), json!(true)),
            (number, json!("12.5"), json!(12.5)),
            (money, json!({"currency": "usd", "amount": "7"}), json!({"currency": "USD", "amount": 7})),
            (
                record,
                json!({"recordId": "ee254b45-6789-4891-8c99-f06caaae8d7b", "readableId": "IC-1"}),
                json!("ee254b45-6789-4891-8c99-f06caaae8d7b"),
            ),
        ];
        for (reader, value, sent) in table {
            assert_eq!(reader(&value).unwrap().into_owned(), sent);
        }
    }

    #[test]
    fn malformed_values_are_named_where_they_are() {
        let table: Vec<(Reader, Value, &str, &str)> = vec![
            (text, json!(5), "", "5 is no text"),
            (text, json!("x".repeat(32_001)), "", "is too long"),
            (boolean, json!("yes"), "", "neither true nor false"),
            (number, json!("1,000"), "", "no number"),
            (email, json!("jane@example"), "", "no e-mail"),
            (email, json!("a b@example.com"), "", "no e-mail"),
            (money, json!(100), "", "no amount of money"),
            (money, json!({"amount": 1}), ".currency", "currency is missing"),
            (money, json!({"currency": "US$", "amount": 1}), ".currency", "no currency"),
            (money, json!({"currency": "USD", "amount": "lots"}), ".amount", "no number"),
            (money, json!({"currency": "USD", "amount": 1, "curency": 2}), ".curency", "no member"),
            (user, json!("Jane Doe"), "", "no user"),
            (record, json!("the NDA"), "", "no record id"),
            (record, json!("ENTITY-1"), "", "no record id"),
            (entity, json!("IC-1"), "", "no entity id"),
            (document, json!("https://a.example/x.pdf"), "", "no document"),
            (document, json!({"url": "ftp://a.example"}), ".url", "no web address"),
            (document, json!({"file": "x"}), ".file", "no member"),
            (document, json!({"path": 5}), ".path", "no text"),
            (document, json!({"filename": "a.pdf"}), ".content_base64", "is missing"),
            (document, json!({"url": "https://a.example/x.pdf", "path": "x.pdf"}), "", "more than one document"),
        ];
        for (reader, value, below, message) in table {
            let flaws = reader(&value).unwrap_err();
            assert!(flaws.iter().any(|f| f.below == below && f.message.contains(message)), "{value} gave {flaws:?}");
        }
    }
}
