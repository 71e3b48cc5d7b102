//! Wraps the properties of a record by the repository's own types, and tells what a running workflow will overwrite.
//!
//! A dry run also reads the record, since only then is somebody looking at what would change; a failure of that read
//! costs the difference and nothing else.

use serde_json::{Map, Value, json};

use super::{
    Call,
    attribute_types::same,
    prepare::{Found, not_read},
};
use crate::{
    arguments::Args,
    error::CallError,
    ironclad::json::{Json, Object},
    manifest::{Effect, Entry, Method},
    record_values::wrap,
    request::{self, Request},
};

/// The arguments that hold properties.
const HOLDERS: [&str; 2] = ["properties", "set_properties"];

/// Checks and wraps every property in place.
pub(super) async fn check(call: Call<'_>, entry: &Entry, args: &mut Args) -> Result<Found, CallError> {
    let mut found = Found::default();
    for name in HOLDERS {
        let Some(given) = args.get(name).and_then(Value::as_object).filter(|given| !given.is_empty()).cloned() else {
            continue;
        };
        match call.record_types().await {
            Ok(types) => {
                let wrapped =
                    wrap(&given, &types, name).map_err(|faults| CallError::invalid_arguments(&entry.name, faults))?;
                args.replace(name, wrapped.properties.into());
                found.notes.extend(wrapped.notes);
            }
            Err(_) if given.values().all(is_wrapped) => {
                found.notes.push(format!("the record schema could not be read, so {name} went unchecked"));
            }
            Err(failure) => return Err(unwrappable(entry, &not_read(entry, &failure, "the record schema"), name)),
        }
    }
    if args.flag("dry_run") && args.get("record_id").is_some() {
        compare(call, entry, args, &mut found).await;
    }
    Ok(found)
}

fn is_wrapped(property: &Value) -> bool {
    property.get("type").is_some_and(Value::is_string) && property.get("value").is_some()
}

fn unwrappable(entry: &Entry, error: &CallError, name: &str) -> CallError {
    let message = format!("{} was not sent: the record schema could not be read ({})", entry.name, error.message);
    let hint = format!(
        "give each of {name} as {{\"type\": …, \"value\": …}}, which needs no look-up, or let the operator grant {}",
        "public.records.readSchemas"
    );
    CallError { message, hint: Some(hint), ..error.clone() }
}

/// What an answered record's source means for a change that was just made.
pub(super) fn source_note(record: &Value) -> Option<String> {
    let source = record.get("source").filter(|source| source.get("type").is_some_and(|kind| kind == "workflow"))?;
    let id = source.get("workflowId")?.as_str()?;
    let id = id.strip_prefix("workflow:").unwrap_or(id);
    Some(format!(
        "this record comes from workflow {id}: while that is active or paused it overwrites the record, so change it \
         with update_workflow_attributes instead"
    ))
}

async fn compare(call: Call<'_>, entry: &Entry, args: &Args, found: &mut Found) {
    let update = request::build(entry, args, None);
    let read = Request { method: Method::Get, query: Vec::new(), body: None, effect: Effect::Read, ..update };
    let Ok((_, record)) = call.look_up(&read, &mut Json::new(Object)).await else {
        found.notes.push("the record could not be read, so what would change is not shown".into());
        return;
    };
    found.diff = Some(diff(&record, args));
    found.notes.extend(source_note(&record.into()));
}

/// What the name, the type and the properties are, and would be.
fn diff(record: &Map<String, Value>, args: &Args) -> Vec<Value> {
    let mut diff = Vec::new();
    let mut add = |path: String, before: &Value, after: &Value| {
        if !same(before, after) {
            diff.push(json!({"path": path, "before": before, "after": after}));
        }
    };
    for name in ["name", "type"] {
        if let Some(after) = args.get(name) {
            add(name.to_owned(), record.get(name).unwrap_or(&Value::Null), after);
        }
    }
    let held = |key: &str| record.get("properties").and_then(|all| all.get(key)?.get("value")).unwrap_or(&Value::Null);
    for (key, property) in args.get("set_properties").and_then(Value::as_object).into_iter().flatten() {
        add(format!("properties.{key}"), held(key), property.get("value").unwrap_or(property));
    }
    for key in args.texts("remove_properties").into_iter().flatten() {
        add(format!("properties.{key}"), held(key), &Value::Null);
    }
    diff
}
