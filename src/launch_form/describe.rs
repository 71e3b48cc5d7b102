//! Makes the description of a field: label, options, default, condition, and a value that would do.
//!
//! Every character is paid for by each conversation that sees the tool, so nothing is said that the schema says already.

use std::borrow::Cow;

use serde_json::Value;

use super::{Field, Kind, Required, Type, example, schema::Asked};
use crate::{
    suggest::{listed, shorten},
    visible::{stripped, visible},
};

/// Together below the 1,024 characters of the profile, with the label and the fixed sentences.
const OPTIONS: usize = 300;
const DEFAULT: usize = 120;
const EXAMPLE: usize = 240;

/// The most characters of a description.
const LONGEST: usize = 1_024;

/// How the field is published.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// Its options are an enum.
    pub(super) listed: bool,
    /// It is JSON text, because it would be nested too deep.
    pub(super) as_text: bool,
    /// Its table has an example of the whole row.
    pub(super) in_table: bool,
}

pub(super) fn field(field: &Field, asked: &Asked<'_>, style: Style) -> String {
    let mut sentences = vec![field.display_name.trim_end_matches('.').to_owned()];
    sentences.extend(options(field, style));
    sentences.extend(hint(&field.kind).map(str::to_owned));
    if style.as_text {
        sentences.push("As JSON text".into());
    }
    let default = field.default.as_ref().map(|default| in_words(default, DEFAULT));
    let shown_by_default = default.as_ref().is_some_and(|text| !text.ends_with('…'));
    sentences.extend(default.map(|default| format!("Default {default}")));
    if asked.has_learned(field) {
        sentences.push("Ironclad has required this before".into());
    } else if field.required == Required::Conditional {
        sentences.push("Ironclad may require this, depending on other answers".into());
    }
    if !shown_by_default {
        sentences.extend(example_of(field, style));
    }
    shown(joined(&sentences))
}

/// What people wrote into the template, with nothing hidden in it: written out, or taken out where that is too long.
pub(super) fn shown(text: String) -> String {
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(written) if written.chars().count() <= LONGEST => written,
        Cow::Owned(_) => stripped(&text).into_owned(),
    }
}

fn joined(sentences: &[String]) -> String {
    let mut text = String::new();
    for sentence in sentences {
        match text.chars().last() {
            None => {}
            Some('?' | '!' | ':' | '.') => text.push(' '),
            Some(_) => text.push_str(". "),
        }
        text.push_str(sentence);
    }
    text
}

fn options(field: &Field, style: Style) -> Option<String> {
    if field.options.is_empty() || (style.listed && field.closed) {
        return None;
    }
    let some = listed(field.options.iter().map(String::as_str), OPTIONS);
    Some(match field.closed {
        true => format!("One of: {some} (checked before anything is sent)"),
        false => format!("Suggested: {some}"),
    })
}

/// What the type alone does not tell.
fn hint(kind: &Kind) -> Option<&'static str> {
    match kind.innermost() {
        Kind::One(one) => match one {
            Type::User => Some("Id or e-mail of an Ironclad user"),
            Type::Record => Some("A record's Ironclad ID or UUID"),
            Type::Entity => Some("An entity's id or UUID"),
            Type::Address => Some("In the USA with region and postcode"),
            Type::Document => Some("A pdf, doc or docx: url, or path (local file), or filename with content_base64"),
            Type::Text | Type::Boolean | Type::Number | Type::Date | Type::Email | Type::Money | Type::Duration => None,
        },
        Kind::Open => Some("Type unknown here; passed on as given"),
        Kind::Row(_) | Kind::List(_) | Kind::Formula => None,
    }
}

fn example_of(field: &Field, style: Style) -> Option<String> {
    // The example of a table's row leaves out what need not be there.
    let shown_in_row = style.in_table && !style.as_text && field.required != Required::Never;
    let told = match field.kind.innermost() {
        Kind::Open | Kind::Formula => true,
        Kind::One(Type::Text) => style.in_table || !field.options.is_empty(),
        Kind::One(Type::Boolean | Type::Number) => style.in_table,
        Kind::One(Type::Money | Type::Duration) => style.in_table && !style.as_text,
        Kind::One(_) | Kind::Row(_) | Kind::List(_) => shown_in_row,
    };
    if told {
        return None;
    }
    let text = in_words(&example::plain(field), EXAMPLE);
    // A cut example would teach broken JSON.
    (!text.ends_with('…')).then(|| format!("E.g. {text}"))
}

fn in_words(value: &Value, most: usize) -> String {
    match value.as_str() {
        Some(text) => shorten(text, most),
        None => shorten(&value.to_string(), most),
    }
}
