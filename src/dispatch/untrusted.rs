//! Marks what others wrote: a result says that it is data, and nothing in it is hidden from people.
//!
//! This is done to the finished answer, in one place for every kind of tool. The mark is `ironclad/untrusted` in `_meta`.
//! Where characters were written out that people do not see, `ironclad/hidden_characters` says how: `visible`, or `removed`
//! where writing them out would make the result too large. The bytes of a document stay as they are.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    answer::Answer,
    arguments::Args,
    catalog::Tool,
    error::{ArgumentFault, CallError},
    manifest::{self, Entry, Local},
    visible::{may_hide, stripped, visible, written_out},
};

const UNTRUSTED: &str = "ironclad/untrusted";
const HIDDEN: &str = "ironclad/hidden_characters";

/// The answer of an entry, marked; `max_bytes` is what a result may take.
pub(super) fn marked(entry: &Entry, mut answer: Answer, max_bytes: usize) -> Answer {
    if may_hide(answer.text.as_bytes()) {
        answer = shown(answer, max_bytes);
    }
    if holds_words_of_others(entry) {
        answer.meta.insert(UNTRUSTED.into(), true.into());
    }
    answer
}

/// Whether an entry answers with more than the ids of its call, or what this server says of itself.
fn holds_words_of_others(entry: &Entry) -> bool {
    entry.local != Some(Local::Whoami) && !matches!(entry.answer, manifest::Answer::Empty {})
}

fn shown(answer: Answer, max_bytes: usize) -> Answer {
    let with = |structured: Value, how: &str, answer: &Answer| {
        let mut shown = Answer::new(structured);
        shown.resource.clone_from(&answer.resource);
        shown.meta.clone_from(&answer.meta);
        shown.meta.insert(HIDDEN.into(), how.into());
        shown
    };
    let written = rewritten(&answer.structured, |text| visible(text).into_owned());
    if written == answer.structured {
        return answer;
    }
    let written = with(written, "visible", &answer);
    if written.fits(max_bytes.max(answer.bytes())) {
        return written;
    }
    with(rewritten(&answer.structured, |text| stripped(text).into_owned()), "removed", &answer)
}

/// A value with its texts rewritten; the names of members are Ironclad's own, and go back as they are.
fn rewritten(value: &Value, rewrite: fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => rewrite(text).into(),
        Value::Array(items) => items.iter().map(|item| rewritten(item, rewrite)).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), rewritten(value, rewrite)));
            members.collect::<Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// A failure whose words hide nothing.
pub(super) fn told(mut error: CallError) -> CallError {
    let show = |text: &mut String| {
        if let Cow::Owned(shown) = visible(text) {
            *text = shown;
        }
    };
    show(&mut error.message);
    error.hint.iter_mut().for_each(show);
    error.param.iter_mut().for_each(show);
    for fault in &mut error.errors {
        show(&mut fault.path);
        show(&mut fault.message);
        fault.expected.iter_mut().for_each(show);
    }
    error
}

/// Refuses arguments that repeat a character in its visible form: what stands there was read, and never was in Ironclad.
///
/// Sent on, it would put the marks into a contract; put back into the hidden character, it would hide something again. So
/// whoever calls has to say what they mean.
pub(super) fn refuse_echoes(tool: &Tool, args: &Args) -> Result<(), CallError> {
    let mut faults = Vec::new();
    for (name, value) in args.iter() {
        echo(name, value, &mut faults);
    }
    if faults.is_empty() { Ok(()) } else { Err(CallError::invalid_arguments(&tool.name, faults)) }
}

fn echo(path: &str, value: &Value, faults: &mut Vec<ArgumentFault>) {
    match value {
        Value::String(text) => {
            if let Some(form) = written_out(text) {
                let message = format!("repeats {form}, which stands for a character that people do not see");
                faults.push(ArgumentFault::new(path, message, "the text without such marks"));
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| echo(&format!("{path}[{at}]"), item, faults));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| echo(&format!("{path}.{name}"), value, faults));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{answer::Resource, error::Code};

    fn entry(answer: &Value) -> Entry {
        let manifest = json!({"group": "things", "tools": [{
            "name": "get_thing", "title": "T", "description": "Gets it.", "effect": "read", "scope": "s",
            "bucket": "other", "deed": "got it", "answer": answer,
            "request": {"api": "public", "method": "GET", "path": "/things"}}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    fn marked(answer: Answer, max_bytes: usize) -> Answer {
        super::marked(&entry(&json!({"kind": "object", "members": {}})), answer, max_bytes)
    }

    #[test]
    fn ids_alone_are_no_words_of_others() {
        let done = super::marked(&entry(&json!({"kind": "empty"})), Answer::new(json!({"done": true})), 60_000);
        assert!(done.meta.is_empty());
    }

    #[test]
    fn every_answer_says_that_it_is_data() {
        let answer = marked(Answer::new(json!({"title": "plain \"quoted\" – text"})), 60_000);
        assert_eq!(answer.meta, *json!({"ironclad/untrusted": true}).as_object().unwrap());
        assert_eq!(answer.structured, json!({"title": "plain \"quoted\" – text"}));
    }

    #[test]
    fn hidden_characters_are_written_out_in_both_copies_and_a_document_is_left_alone() {
        let mut answer = Answer::new(json!({"a\u{200b}": ["x\u{202e}y", {"b": "\u{1b}[2J"}], "n": 1}));
        let link = Resource::Link { uri: "u".into(), name: "n\u{202e}".into(), media_type: "m".into(), size: None };
        answer.resource = Some(link.clone());
        let shown = marked(answer, 60_000);
        let expected = json!({"a\u{200b}": ["x⟪U+202E⟫y", {"b": "⟪U+001B⟫[2J"}], "n": 1});
        assert_eq!((&shown.structured, &shown.text), (&expected, &expected.to_string()));
        assert_eq!(shown.resource, Some(link));
        assert_eq!(shown.meta["ironclad/hidden_characters"], "visible");
    }

    #[test]
    fn where_there_is_no_room_to_write_them_out_they_go() {
        let answer = Answer::new(json!({"a": "x\u{200b}".repeat(1000)}));
        let limit = answer.bytes() + 1000;
        let shown = marked(answer, limit);
        assert_eq!(shown.structured["a"], "x".repeat(1000));
        assert_eq!(shown.meta["ironclad/hidden_characters"], "removed");
        assert!(shown.bytes() <= limit);
    }

    #[test]
    fn an_error_hides_nothing() {
        let fault = ArgumentFault::new("a\u{202e}", "b\u{202e}", "c\u{202e}");
        let mut error = CallError::new(Code::Rejected, "m\u{202e}", "h\u{202e}");
        error.param = Some("p\u{202e}".into());
        error.errors = vec![fault];
        let told = told(error).to_json().to_string();
        assert_eq!(told.matches("⟪U+202E⟫").count(), 6, "{told}");
        assert!(!told.contains('\u{202e}'));
    }

    #[test]
    fn an_echo_is_found_wherever_it_stands() {
        let mut faults = Vec::new();
        echo("attributes", &json!({"a": ["x", "Acme⟪U+202E⟫"], "b": {"c": "⟪U+200B⟫"}, "d": "⟪plain⟫"}), &mut faults);
        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["attributes.a[1]", "attributes.b.c"]);
    }
}
