//! Reads `updates[].value` by the type that the workflow's own schema gives the attribute.
//!
//! Models send every value as text. Text that could be JSON of another type (`"12.5"`, `"false"`) is text or not by the
//! attribute's type, which only Ironclad knows, so the workflow is read once; where no text is ambiguous, it is not.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Dispatch, failure, receive::Shaped};
use crate::{
    answer::ShapeError,
    arguments::Args,
    error::{CallError, Code, Outcome},
    manifest::{Effect, Entry, Method},
    request::{self, Request},
};

/// Attribute types whose values are text on the wire (ironclad-api.md §6.1).
const TEXT_TYPES: [&str; 8] =
    ["string", "email", "date", "linkedRecord", "parentRecord", "childRecord", "entity_reference", "entityReference"];

/// Decodes the values of `updates` in place.
pub(super) async fn resolve(dispatch: &Dispatch, entry: &Entry, args: &mut Args) -> Result<(), CallError> {
    let Some(Value::Array(updates)) = args.get("updates") else { return Ok(()) };
    if !updates.iter().any(|update| decoded(update).is_some()) {
        return Ok(());
    }
    let mut updates = updates.clone();
    let types = types(dispatch, entry, args).await?;
    for update in &mut updates {
        let kind = update.get("path").and_then(Value::as_str).and_then(|path| types.get(path));
        let Some(value) = decoded(update).filter(|_| kind.is_some_and(|kind| !TEXT_TYPES.contains(&kind.as_str())))
        else {
            continue;
        };
        if let Some(given) = update.get_mut("value") {
            *given = value;
        }
    }
    args.replace("updates", updates.into());
    Ok(())
}

/// The JSON of another type that an update's text could stand for.
fn decoded(update: &Value) -> Option<Value> {
    let text = update.get("value")?.as_str()?;
    serde_json::from_str(text).ok().filter(|value: &Value| !value.is_string() && !value.is_null())
}

#[derive(Deserialize)]
struct Workflow {
    schema: HashMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
}

/// The type of each attribute of the workflow that the call is about.
async fn types(dispatch: &Dispatch, entry: &Entry, args: &Args) -> Result<HashMap<String, String>, CallError> {
    let updates = request::build(entry, args, None);
    let path = updates.path.trim_end_matches("/attributes").to_owned();
    let request = Request { path, method: Method::Get, query: Vec::new(), body: None, effect: Effect::Read, ..updates };
    let mut receiver = Shaped::new(|body: &[u8]| {
        let workflow: Workflow = serde_json::from_slice(body).map_err(|_| ShapeError::Malformed)?;
        Ok(workflow.schema.into_iter().map(|(id, node)| (id, node.kind)).collect())
    });
    let (_, types) = dispatch.client.send(&request, &mut receiver).await.result.map_err(|failure| {
        let mut error = failure::call_error(entry, &failure);
        // Only the look-up was sent: whatever became of it, the write was not.
        if error.code == Code::OutcomeUnknown {
            error.code = Code::UpstreamUnavailable;
            error.hint = Some("nothing was changed: the workflow's schema could not be read; try again".into());
            error.message = format!("{} was not sent: the workflow's schema could not be read", entry.name);
        }
        error.with_outcome(Outcome::NotSent)
    })?;
    Ok(types)
}
