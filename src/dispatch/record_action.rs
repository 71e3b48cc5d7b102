//! Checks an action on a record and wraps its values before anything is sent.
//!
//! Nothing is looked up: which action the record's status allows is for Ironclad to say.

use std::borrow::Cow;

use serde_json::Value;

use crate::{arguments::Args, error::CallError, manifest::Entry, record_values::check_action};

/// Puts the action into the form that Ironclad takes; the notes say what was normalised.
pub(super) fn check(entry: &Entry, args: &mut Args) -> Result<Vec<String>, CallError> {
    let given = args.get("action").unwrap_or(&Value::Null);
    // The argument is open to both forms of a property, so the argument check did not decode it.
    let decoded = given.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let action = decoded.map_or(Cow::Borrowed(given), Cow::Owned);
    let checked = check_action(&action).map_err(|faults| CallError::invalid_arguments(&entry.name, faults))?;
    args.replace("action", checked.action);
    Ok(checked.notes)
}
