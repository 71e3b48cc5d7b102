//! Makes `filter` and `where` into one formula that is safe to send, and names unknown properties.
//!
//! Names are judged before sending only against a copy of the schema that is at hand: a list should not wait for megabytes
//! of metadata. Without one they are judged when Ironclad refuses, which it does with a bare 400 (ironclad-api.md §4).

use serde_json::Value;

use super::{Call, failure};
use crate::{
    arguments::Args,
    error::{ArgumentFault, CallError, Code},
    formula::{self, Formula},
    ironclad::Failure,
    manifest::{Entry, Preparation},
    suggest::shown,
};

const EXPECTED: &str = "a formula such as Equals([counterpartyName], 'Acme'), or use where instead";

/// Attributes that every workflow has besides its form (ironclad-api.md §6.1).
const OF_EVERY_WORKFLOW: [&str; 8] =
    ["signed", "partiallySigned", "sentSignaturePacket", "launchType", "agreementDate", "title", "created", "creator"];

/// Joins both arguments into the one that is sent; `None` where neither is given.
pub(super) fn check(call: Call<'_>, entry: &Entry, args: &mut Args) -> Result<Option<Formula>, CallError> {
    let mut faults = Vec::new();
    let read = args.text("filter").map(|text| {
        Formula::parse(text).map_err(|error| {
            let message = format!("{} is no formula: {error}", shown(&text.into()));
            vec![ArgumentFault::new("filter", message, EXPECTED)]
        })
    });
    let compiled = args.get("where").and_then(Value::as_array).map(|conditions| formula::compile(conditions));
    let mut parts = Vec::new();
    for part in [read, compiled].into_iter().flatten() {
        match part {
            Ok(part) => parts.push(part),
            Err(wrong) => faults.extend(wrong),
        }
    }
    if let (Some(Preparation::RecordFilter), Some(types)) =
        (entry.prepare, call.records.at_hand(call.caller.agent.user()))
    {
        let known: Vec<&str> = types.keys().map(String::as_str).collect();
        faults.extend(parts.iter().flat_map(|part| part.check_names(&known)));
    }
    if !faults.is_empty() {
        return Err(CallError::invalid_arguments(&entry.name, faults));
    }
    args.remove("where");
    let Some(formula) = parts.into_iter().reduce(Formula::and) else { return Ok(None) };
    args.replace("filter", formula.to_wire().into());
    Ok(Some(formula))
}

/// The failure of a list; a 400 is explained by the names that the schema does not have.
pub(super) async fn refusal(
    call: Call<'_>,
    entry: &Entry,
    (args, formula): (&Args, &Formula),
    failure: &Failure,
) -> CallError {
    let mut error = failure::call_error(entry, failure);
    if !matches!(failure, Failure::Refused { head, .. } if head.status == 400) {
        return error;
    }
    let Some(known) = known(call, entry, args).await else { return error };
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let faults = formula.check_names(&known);
    if !faults.is_empty() {
        let named = CallError::invalid_arguments(&entry.name, faults);
        error.code = Code::InvalidArguments;
        error.hint = named.hint;
        error.errors = named.errors;
    }
    error
}

/// What a filter of this list may name, where it can be known.
async fn known(call: Call<'_>, entry: &Entry, args: &Args) -> Option<Vec<String>> {
    if entry.prepare == Some(Preparation::RecordFilter) {
        let types = call.record_types().await.ok()?;
        return Some(types.keys().cloned().collect());
    }
    let id = args.text("template_id").filter(|id| crate::arguments::is_segment(id))?;
    let template = call.template(id).await.ok()?;
    let ids = template.form.as_ref()?.ids();
    Some(ids.chain(OF_EVERY_WORKFLOW).map(str::to_owned).collect())
}
