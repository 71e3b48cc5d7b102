//! `POST /records/{id}/actions`: what happened to a contract after signature.
//!
//! The answer echoes the action, not the record (ironclad-api.md §8.20).

use serde_json::Value;

use super::errors::ApiError;
use super::exchange::{Call, Outcome, Reply};
use super::lifecycle::{self, ActionFault};
use super::record_view;
use super::record_writes::{status, status_changed};
use super::records::unknown;
use super::store::Store;

/// `POST /records/{id}/actions`.
pub(crate) fn run(store: &mut Store, call: &Call) -> Outcome {
    let action = Value::Object(call.object()?.clone());
    let record = store.record(call.segment(0)).ok_or_else(|| unknown(call.segment(0)))?;
    let id = record.id.clone();
    let effective = record_view::effective(store, record);
    let after = lifecycle::apply(&action, &effective, store.clock.today()).map_err(refused)?;
    let before = status(store, &id);
    let now = store.clock.now();
    if let Some(record) = store.record_mut(&id) {
        let removed: Vec<String> = effective.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
        record.properties.retain(|key, _| !removed.contains(key));
        let changed = after.into_iter().filter(|(key, value)| effective.get(key) != Some(value));
        record.properties.extend(changed);
        record.updated = Some(now);
    }
    if status(store, &id) != before {
        status_changed(store, &id);
    }
    Ok(Reply::changed(action))
}

fn refused(fault: ActionFault) -> ApiError {
    let error = ApiError::new(fault.status(), fault.code, fault.message);
    match fault.param {
        Some(param) => error.at(param),
        None => error,
    }
}
