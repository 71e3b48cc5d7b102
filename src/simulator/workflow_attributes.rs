//! `PATCH /workflows/{id}/attributes`.
//!
//! The result is validated as a whole, so a change that makes a conditional question required must answer it in the
//! same call; and a change that changes nothing is an error (ironclad-api.md §8.4).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answers;
use super::approval_state::Approval;
use super::errors::ApiError;
use super::exchange::{Call, Outcome, Reply};
use super::launch;
use super::launch_check::{self, LaunchFault};
use super::store::{IdForm, Store};
use super::templates::Template;
use super::workflow_document::Content;
use super::workflow_state::{Status, Step};
use super::workflow_view;

const SYSTEM: [&str; 9] = [
    "signed",
    "partiallySigned",
    "sentSignaturePacket",
    "launchType",
    "readableId",
    "currentTurnParty",
    "reviewRollbacked",
    "agreementDate",
    "draft",
];

/// `PATCH /workflows/{id}/attributes`.
pub(crate) fn patch(store: &mut Store, call: &Call) -> Outcome {
    let body = call.object()?;
    let Some(updates) = body.get("updates") else { return Err(ApiError::missing("updates", "updates is required")) };
    let Some(updates) = updates.as_array().filter(|updates| !updates.is_empty()) else {
        return Err(ApiError::invalid("updates", "updates must be a non-empty array"));
    };
    if body.get("comment").is_some_and(|comment| !comment.is_string()) {
        return Err(ApiError::invalid("comment", "comment must be a string"));
    }
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    if workflow.step != Step::Review || workflow.status != Status::Active {
        return Err(ApiError::state("Only active workflows in the review step can be updated."));
    }
    let (id, template) = (workflow.id.clone(), Arc::clone(&workflow.template));
    let before = workflow.attributes.clone();
    // A generated draft is our paper; it does not answer a question for the counterparty's.
    let given = workflow.documents.iter().filter(|document| !matches!(document.content, Content::Draft));
    let held: Vec<String> = given.map(|document| document.attribute.clone()).collect();
    let mut after = before.clone();
    for update in updates {
        apply(store, &template, &mut after, update)?;
    }
    if after == before {
        let message = "No information changed. The updates provided did not introduce any new values";
        return Err(ApiError::invalid("attributes", message));
    }
    let mut answered = after.clone();
    answered.extend(held.into_iter().map(|attribute| (attribute, json!([{ "url": "held" }]))));
    if !launch_check::missing(&template.schema, &template.backstage, &answered).is_empty() {
        return Err(ApiError::invalid("attributes", "form validation failed, please check schema"));
    }
    commit(store, &id, after)?;
    let workflow = store.workflow(&id, IdForm::HexOnly)?;
    Ok(Reply::changed(workflow_view::full(store, workflow, &call.origin, false)))
}

fn apply(
    store: &Store,
    template: &Template,
    attributes: &mut Map<String, Value>,
    update: &Value,
) -> Result<(), ApiError> {
    let Some(path) = update.get("path").and_then(Value::as_str) else {
        return Err(ApiError::missing("updates", "every update needs a path"));
    };
    let Some(node) = template.schema.get(path) else {
        let computed = SYSTEM.contains(&path) || template.backstage.formulas.contains_key(path);
        let fault = if computed { LaunchFault::read_only(path) } else { LaunchFault::unknown_attributes(&[path]) };
        return Err(fault.into());
    };
    if answers::holds_documents(node) {
        return Err(LaunchFault::read_only(path).into());
    }
    match update.get("action").map(|action| action.as_str().unwrap_or_default()) {
        None | Some("set") => {
            let Some(value) = update.get("value") else {
                return Err(ApiError::missing("updates", format!("the update of {path} needs a value")));
            };
            launch_check::check_value(node, path, value)?;
            attributes.insert(path.to_owned(), answers::resolve_value(store, node, path, value)?);
        }
        Some("remove") => {
            attributes.shift_remove(path);
        }
        Some(other) => {
            return Err(ApiError::invalid("updates", format!("invalid action '{other}'; expected set or remove")));
        }
    }
    Ok(())
}

fn commit(store: &mut Store, id: &str, attributes: Map<String, Value>) -> Result<(), ApiError> {
    let template = Arc::clone(&store.workflow(id, IdForm::HexOnly)?.template);
    let mut groups = launch::groups(store, &template, &attributes);
    let signers = launch::signers(store, &template, &attributes);
    let at = store.workflows.iter().position(|workflow| workflow.id == id);
    let now = store.clock.now();
    let mut random = store.random.clone();
    let Some(workflow) = at.and_then(|at| store.workflows.get_mut(at)) else { return Ok(()) };
    groups.iter_mut().flatten().for_each(|approval| approval.approved = was_given(&workflow.groups, approval));
    workflow.groups = groups;
    workflow.signers = signers;
    workflow.attributes = attributes;
    workflow.updated = now;
    let held: Vec<(String, String)> =
        workflow.groups.iter().flatten().map(|one| (one.role_id.clone(), one.user_id.clone())).collect();
    workflow.close_requests("Approver Removed", now, |request| held.iter().all(|(role, _)| *role != request.role));
    workflow.close_requests("Approver Reassigned", now, |request| {
        held.iter().any(|(role, user)| *role == request.role && *user != request.user_id)
    });
    workflow.open_requests(now);
    for document in workflow.documents.iter_mut().filter(|document| matches!(document.content, Content::Draft)) {
        document.renew(&mut super::workflow_document::Fresh { random: &mut random, now });
    }
    let moved = workflow.advance_when_approved(now);
    store.random = random;
    store.emit("workflow_attribute_updated", id);
    store.emit("workflow_updated", id);
    if moved.is_some() {
        store.settle(id);
    }
    Ok(())
}

fn was_given(before: &[Vec<Approval>], approval: &Approval) -> bool {
    let same = |old: &&Approval| old.role_id == approval.role_id && old.user_id == approval.user_id;
    before.iter().flatten().find(same).is_some_and(|old| old.approved)
}
