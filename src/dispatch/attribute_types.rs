//! Checks attribute updates against the workflow itself before anything is sent.
//!
//! Models send every value as text, and only the workflow's own schema tells whether `"12.5"` is text or a number; the
//! same read shows the state and the present values, so what Ironclad would refuse for those is refused here.
//! `readOnly` is not looked at: live schemas say it of everything (ironclad-api.md §6.1).

use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Call,
    prepare::{Found, not_read},
    receive::Shaped,
    subject::Looked,
};
use crate::{
    answer::ShapeError,
    arguments::Args,
    error::{ArgumentFault, CallError, Code, Outcome},
    launch_form::LaunchForm,
    manifest::{self, Effect, Entry, Method},
    request::{self, Request},
};

/// What of a workflow decides about an update.
#[derive(Deserialize)]
struct Workflow {
    #[serde(default)]
    schema: Map<String, Value>,
    #[serde(default)]
    attributes: Map<String, Value>,
    step: Option<String>,
    status: Option<String>,
}

/// Checks `updates`, and puts each value into the form that its attribute takes.
pub(super) async fn check(call: Call<'_>, entry: &Entry, args: &mut Args) -> Result<Found, CallError> {
    let Some(mut updates) = args.get("updates").and_then(Value::as_array).cloned() else {
        return Ok(Found::default());
    };
    let (workflow, object) = read(call, entry, args).await?;
    if let Some(error) = wrong_state(entry, &workflow) {
        return Err(error);
    }
    if workflow.schema.is_empty() {
        return Ok(Found::notes(vec![
            "Ironclad showed no schema of the workflow, so the values went unchecked".into(),
        ]));
    }
    let form = LaunchForm::parse(&workflow.schema);
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    for (index, update) in updates.iter_mut().enumerate() {
        match settle(&workflow, &form, update, &format!("updates[{index}]")) {
            Ok(said) => notes.extend(said),
            Err(wrong) => faults.extend(wrong),
        }
    }
    if !faults.is_empty() {
        return Err(CallError::invalid_arguments(&entry.name, faults));
    }
    let diff = diff(&workflow, &updates);
    if diff.is_empty() {
        let message = format!("{} was not sent: the workflow has these values already", entry.name);
        let hint = "nothing is left to do; Ironclad refuses an update that changes nothing";
        return Err(CallError::new(Code::Conflict, message, hint).with_outcome(Outcome::NotSent));
    }
    args.replace("updates", updates.into());
    let mut found = Found::notes(notes);
    found.diff = Some(diff);
    found.looked = Some(Looked::new(manifest::Subject::Workflow, object));
    Ok(found)
}

async fn read(call: Call<'_>, entry: &Entry, args: &Args) -> Result<(Workflow, Map<String, Value>), CallError> {
    let updates = request::build(entry, args, None);
    let path = updates.path.trim_end_matches("/attributes").to_owned();
    let request = Request { path, method: Method::Get, query: Vec::new(), body: None, effect: Effect::Read, ..updates };
    let mut receiver = Shaped::new(|object| {
        let workflow = Workflow::deserialize(&object).map_err(|_| ShapeError::Malformed)?;
        Ok((workflow, object))
    });
    let result = call.look_up(&request, &mut receiver).await;
    result.map(|(_, workflow)| workflow).map_err(|failure| not_read(entry, &failure, "the workflow"))
}

/// Attributes can be changed in the Review step of a workflow that has not ended (ironclad-api.md §8.4).
fn wrong_state(entry: &Entry, workflow: &Workflow) -> Option<CallError> {
    // Whether a paused one takes changes is not told, so that is Ironclad's to say.
    let status = workflow.status.as_deref().filter(|status| matches!(*status, "completed" | "cancelled"));
    let step = workflow.step.as_deref().filter(|step| *step != "Review");
    let (state, hint) = match (status, step) {
        (None, None) => return None,
        (Some(status), _) => (status.to_owned(), "a workflow that has ended cannot be changed"),
        (None, Some(step)) => {
            (format!("in the step {step}"), "revert_workflow_to_review leads back where isRevertibleToReview says so")
        }
    };
    let message = format!("{} was not sent: the workflow is {state}, and attributes change in Review only", entry.name);
    Some(CallError::new(Code::Conflict, message, hint).with_outcome(Outcome::NotSent))
}

/// Checks one update, and writes its path and value as Ironclad takes them; what comes back are the notes.
fn settle(
    workflow: &Workflow,
    form: &LaunchForm,
    update: &mut Value,
    at: &str,
) -> Result<Vec<String>, Vec<ArgumentFault>> {
    let text = |name: &str| update.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (key, action) = (text("path"), text("action"));
    let path_at = format!("{at}.path");
    let Some(id) = form.id_of(&key).filter(|id| workflow.schema.contains_key(*id)).map(str::to_owned) else {
        return Err(vec![form.unknown(&key, &path_at)]);
    };
    if form.holds_documents(&id) {
        let message = format!("{id} holds documents, which an attribute update cannot change");
        return Err(vec![ArgumentFault::new(path_at, message, "attributes that hold no documents")]);
    }
    let mut notes = Vec::new();
    if let Some(path) = update.get_mut("path") {
        *path = id.as_str().into();
    }
    if action == "remove" {
        return if form.is_required(&id) { Err(vec![irremovable(&id, path_at)]) } else { Ok(notes) };
    }
    let value_at = format!("{at}.value");
    let Some(value) = update.get_mut("value") else {
        return Err(vec![ArgumentFault::new(value_at, "is required to set, and missing", "the attribute's new value")]);
    };
    let checked = form.check_value(&id, value, &value_at)?;
    notes.extend(checked.notes);
    *value = checked.value;
    Ok(notes)
}

fn irremovable(id: &str, at: String) -> ArgumentFault {
    ArgumentFault::new(at, format!("{id} is required, so it cannot be removed"), "another value for it, with set")
}

/// What each update that changes something changes.
fn diff(workflow: &Workflow, updates: &[Value]) -> Vec<Value> {
    let change = |update: &Value| {
        let path = update.get("path")?.as_str()?;
        let before = workflow.attributes.get(path).unwrap_or(&Value::Null);
        let removed = update.get("action").is_some_and(|action| action == "remove");
        let after = if removed { &Value::Null } else { update.get("value")? };
        (!same(before, after)).then(|| json!({"path": path, "before": before, "after": after}))
    };
    updates.iter().filter_map(change).collect()
}

/// Whether two values are the same to Ironclad, which answers dates, numbers and references in other forms than it takes.
pub(super) fn same(held: &Value, given: &Value) -> bool {
    match (held, given) {
        (Value::Object(held), Value::Object(given)) => {
            held.len() == given.len()
                && held.iter().all(|(key, held)| given.get(key).is_some_and(|given| same(held, given)))
        }
        (Value::Array(held), Value::Array(given)) => {
            held.len() == given.len() && held.iter().zip(given).all(|(held, given)| same(held, given))
        }
        (Value::Number(held), Value::Number(given)) => held.as_f64() == given.as_f64(),
        (Value::Object(held), Value::String(_)) => {
            ["recordId", "readableId"].iter().any(|member| held.get(*member) == Some(given))
        }
        (Value::String(held), Value::String(given)) => held == given || same_moment(held, given),
        (held, given) => held == given,
    }
}

fn same_moment(held: &str, given: &str) -> bool {
    let moment = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    moment(held).is_some_and(|held| Some(held) == moment(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ironclad_answers_in_another_form_is_the_same() {
        let reference = json!({"recordId": "ee254b45-6789-4891-8c99-f06caaae8d7b", "readableId": "IC-1"});
        let table = [
            (json!("Acme"), json!("Acme"), true),
            (json!("Acme"), json!("acme"), false),
            (json!(5), json!(5.0), true),
            (json!({"currency": "USD", "amount": 5}), json!({"amount": 5.0, "currency": "USD"}), true),
            (json!({"years": 1}), json!({"years": 1, "months": 2}), false),
            (json!("2026-01-31T00:00:00.000Z"), json!("2026-01-31T01:00:00+01:00"), true),
            (json!(["a", "b"]), json!(["a"]), false),
            (reference.clone(), json!("IC-1"), true),
            (reference, json!("IC-2"), false),
            (Value::Null, Value::Null, true),
            (Value::Null, json!("x"), false),
        ];
        for (held, given, expected) in table {
            assert_eq!(same(&held, &given), expected, "{held} {given}");
        }
    }
}
