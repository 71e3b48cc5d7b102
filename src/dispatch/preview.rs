//! Tells what a write would do, to whom, and what would change: for a dry run, and for a person who is asked.
//!
//! Names and texts come from contracts, so anybody may have written them: each is put on one line, shortened, with what
//! would hide or reorder text spelt out, so that none can pass for another line.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Call, subject::Looked};
use crate::{
    arguments::Args,
    catalog::Tool,
    manifest::{Told, placeholders},
    suggest::shorten,
};

/// The longest text of one fact.
const FACT_CHARACTERS: usize = 300;

/// The most facts and changes that a person is shown.
const MOST_FACTS: usize = 40;

/// What is known of a wanted before it is sent.
pub(super) struct Preview {
    /// What would happen.
    pub(super) sentence: String,
    /// What would change, `{path, before, after}` each; `None` where that is not known.
    pub(super) diff: Option<Vec<Value>>,
    /// Who would be notified, as far as that is known.
    pub(super) notifies: Vec<String>,
    /// What cannot be taken back.
    pub(super) lasting: Option<String>,
}

/// What a wanted is made of.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) tool: &'a Tool,
    pub(super) args: &'a Args,
}

/// What is known of a wanted, its object looked at.
pub(super) fn of(
    call: Call<'_>,
    wanted: Wanted<'_>,
    template: Option<&str>,
    (checked, looked): (Option<Vec<Value>>, Option<&Looked>),
) -> Preview {
    let entry = &wanted.tool.entry;
    let acting = call.caller.agent.user().name().map(|user| format!(" as {user}")).unwrap_or_default();
    let diff = checked.or_else(|| becoming(wanted, looked?));
    Preview {
        sentence: format!("{} would {}{acting}", one_line(&call.caller.agent.name, 64), deed(wanted, template, looked)),
        diff,
        notifies: told(wanted, looked),
        lasting: entry.preview.as_ref().and_then(|preview| preview.lasting.clone()),
    }
}

/// What would be done, and to what.
fn deed(wanted: Wanted<'_>, template: Option<&str>, looked: Option<&Looked>) -> String {
    let entry = &wanted.tool.entry;
    let Some(preview) = &entry.preview else {
        let ids: Vec<String> = entry.path_arguments().filter_map(|name| wanted.args.text(name)).map(quoted).collect();
        return format!("{} {}", decapitalised(&entry.title), ids.join(" ")).trim_end().to_owned();
    };
    let mut deed = preview.would.clone();
    for name in placeholders(&preview.would) {
        let value = wanted.args.text(name).map(quoted).unwrap_or_else(|| "(none)".into());
        deed = deed.replace(&format!("{{{name}}}"), &value);
    }
    if let Some(subject) = preview.subject {
        let given = entry.path_arguments().next().and_then(|name| wanted.args.text(name));
        let (id, name) = looked.map_or((given, None), Looked::called);
        let _ = write!(deed, " {} {}", subject.noun(), one_line(id.unwrap_or("(none)"), 100));
        if let Some(name) = name {
            let _ = write!(deed, " {}", quoted(name));
        }
    } else if let Some(template) = template {
        let _ = write!(deed, " {}", quoted(template));
        let attributes = wanted.args.get("attributes");
        if let Some(counterparty) = attributes.and_then(|all| all.get("counterpartyName")?.as_str()) {
            let _ = write!(deed, " for {}", quoted(counterparty));
        }
    }
    deed
}

fn decapitalised(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn quoted(text: &str) -> String {
    format!("“{}”", one_line(text, 100))
}

/// What the entry says that members of its object become.
fn becoming(wanted: Wanted<'_>, looked: &Looked) -> Option<Vec<Value>> {
    let preview = wanted.tool.entry.preview.as_ref().filter(|preview| !preview.becomes.is_empty())?;
    let after = |value: &Value| {
        let argument = value.as_str().and_then(|text| text.strip_prefix('{')?.strip_suffix('}'));
        argument.and_then(|name| wanted.args.get(name)).unwrap_or(value).clone()
    };
    let changes = preview.becomes.iter().map(|(path, value)| (path, looked.member(path), after(value)));
    let changes = changes.filter(|(_, before, after)| *before != after);
    Some(changes.map(|(path, before, after)| json!({"path": path, "before": before, "after": after})).collect())
}

/// Who would hear of it, as far as the entry and the object tell.
fn told(wanted: Wanted<'_>, looked: Option<&Looked>) -> Vec<String> {
    let entry = &wanted.tool.entry;
    let mut told = Vec::new();
    for kind in entry.preview.iter().flat_map(|preview| &preview.tells) {
        match kind {
            Told::Mentioned => told.extend(mentioned(wanted.args.text("comment").unwrap_or_default())),
            Told::Signers => {
                let in_turn = looked.is_some_and(Looked::signs_in_turn);
                let people = looked.map(Looked::who_signs).unwrap_or_default();
                told.extend(people.into_iter().enumerate().map(|(place, who)| {
                    let who = one_line(&who, 200);
                    if in_turn && place > 0 { format!("{who}, in turn") } else { who }
                }));
            }
        }
    }
    if let Some(event) = &entry.event {
        told.push(format!("webhooks for {event}"));
    }
    told
}

/// Whom a comment mentions: `<@maria@example.com>`.
fn mentioned(comment: &str) -> Vec<String> {
    let names = comment.split("<@").skip(1).filter_map(|rest| rest.split_once('>').map(|(name, _)| name));
    names.map(|name| one_line(name, 200)).take(20).collect()
}

/// What a person decides by: label and text, each safe to be shown on a line of its own.
pub(super) fn facts(
    wanted: Wanted<'_>,
    preview: &Preview,
    template: Option<&str>,
    looked: Option<&Looked>,
) -> Vec<(String, String)> {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |label: &str, text: &str| facts.push((label.to_owned(), one_line(text, FACT_CHARACTERS)));
    for (label, text) in looked.map(|looked| looked.facts(template)).unwrap_or_default() {
        add(label, &text);
    }
    if looked.is_none()
        && let Some(template) = template
    {
        add("Template", template);
    }
    let ours = ["dry_run", "plan", "force_after_unknown", "use_default_values"];
    for (name, value) in wanted.args.iter().filter(|(name, _)| !ours.contains(name)) {
        add(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    for change in preview.diff.iter().flatten() {
        let shown = |member: &str| change.get(member).map(shown_value).unwrap_or_default();
        let path = change.get("path").and_then(Value::as_str).unwrap_or_default();
        add("Change", &format!("{path}: {} → {}", shown("before"), shown("after")));
    }
    if !preview.notifies.is_empty() {
        add("Notified", &preview.notifies.join("; "));
    }
    if let Some(missing) = looked.and_then(|looked| looked.missing.as_deref()) {
        add("Note", missing);
    }
    facts.truncate(MOST_FACTS);
    facts
}

/// A value of a change as people read it.
pub(super) fn shown_value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A text on one line: what would break the line, hide text or turn it round is spelt out, and the rest is cut.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for c in shorten(text.trim(), most).chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if c.is_control() || is_unseen(c) => {
                let _ = write!(line, "\\u{{{:x}}}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line
}

/// Characters that have no width or turn text round: line and paragraph separators, bidirectional marks, tags.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_pass_for_another_line() {
        assert_eq!(one_line("Acme\nStep: Sign\r\n\tx", 100), "Acme Step: Sign   x");
        assert_eq!(one_line("a\u{202e}b\u{0}c\u{2028}d", 100), "a\\u{202e}b\\u{0}c\\u{2028}d");
        assert_eq!(one_line(&"é".repeat(500), 10).chars().count(), 11);
        assert_eq!(one_line("Müller & Søn — 株式会社", 100), "Müller & Søn — 株式会社");
    }

    #[test]
    fn mentions_are_found() {
        assert_eq!(mentioned("ask <@maria@example.com> and <@6a6b>, <not>, <@open"), ["maria@example.com", "6a6b"]);
        assert!(mentioned("").is_empty());
    }

    #[test]
    fn a_title_is_a_verb_phrase() {
        assert_eq!(decapitalised("Pause a workflow"), "pause a workflow");
        assert_eq!(decapitalised(""), "");
    }
}
