//! Pause, resume, cancel, and revert to review.
//!
//! The three with a comment want it as an object with a `message` (ironclad-api.md §8.10); all answer 204.

use serde_json::Value;

use super::errors::ApiError;
use super::exchange::{Call, Outcome, Payload, Reply};
use super::people::Person;
use super::store::{IdForm, Store};
use super::workflow_state::Workflow;

/// `POST /workflows/{id}/pause`.
pub(crate) fn pause(store: &mut Store, call: &Call) -> Outcome {
    check_comment(store, call)?;
    let (workflow, now) = store.workflow_mut(call.segment(0), IdForm::HexOnly)?;
    workflow.pause(now)?;
    announce(store, call, "workflow_paused")
}

/// `POST /workflows/{id}/resume`.
pub(crate) fn resume(store: &mut Store, call: &Call) -> Outcome {
    check_comment(store, call)?;
    let (workflow, now) = store.workflow_mut(call.segment(0), IdForm::HexOnly)?;
    workflow.resume(now)?;
    announce(store, call, "workflow_resumed")
}

/// `POST /workflows/{id}/cancel`.
pub(crate) fn cancel(store: &mut Store, call: &Call) -> Outcome {
    check_comment(store, call)?;
    let (workflow, now) = store.workflow_mut(call.segment(0), IdForm::HexOnly)?;
    workflow.cancel(now)?;
    announce(store, call, "workflow_cancelled")
}

/// `PATCH /workflows/{id}/revert-to-review`.
pub(crate) fn revert(store: &mut Store, call: &Call) -> Outcome {
    let user_id = acting_user(store, call)?;
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    let id = workflow.id.clone();
    if workflow.is_revertible() && !takes_part(store.people.first(), workflow, &user_id) {
        return Err(ApiError::forbidden("user is not a participant on the workflow").at("user"));
    }
    let (workflow, now) = store.workflow_mut(&id, IdForm::HexOnly)?;
    let was_out = workflow.revert(now)?;
    if was_out {
        store.emit("workflow_signature_packet_cancelled", &id);
    }
    store.settle(&id);
    Ok(Reply::no_content())
}

fn announce(store: &mut Store, call: &Call, event: &str) -> Outcome {
    let id = store.workflow(call.segment(0), IdForm::HexOnly)?.id.clone();
    store.emit(event, &id);
    store.emit("workflow_updated", &id);
    Ok(Reply::no_content())
}

/// The acting user: the header's or token's, or with a legacy token the `user` the body must name.
///
/// # Errors
/// 400 when a legacy body names nobody or somebody unknown.
pub(crate) fn acting_user(store: &Store, call: &Call) -> Result<String, ApiError> {
    if !call.actor.legacy {
        return Ok(call.user_id().to_owned());
    }
    let user = match &call.payload {
        Payload::Json(body) => body.get("user"),
        Payload::Empty | Payload::Parts(_) | Payload::Unreadable(_) => None,
    };
    let Some(user) = user else { return Err(ApiError::missing("user", "user is required")) };
    let email = user.get("email").and_then(Value::as_str).unwrap_or_default();
    let person = store.person_named(email);
    person.map(|person| person.id.clone()).ok_or_else(|| ApiError::invalid("user", "user does not exist"))
}

/// Participants are the launcher, approvers and signers; the first user is an administrator and takes part everywhere.
fn takes_part(administrator: Option<&Person>, workflow: &Workflow, user_id: &str) -> bool {
    administrator.is_some_and(|person| person.id == user_id)
        || workflow.creator_id == user_id
        || workflow.groups.iter().flatten().any(|approval| approval.user_id == user_id)
        || workflow.signers.iter().any(|signer| signer.user_id.as_deref() == Some(user_id))
}

fn check_comment(store: &Store, call: &Call) -> Result<(), ApiError> {
    let Some(comment) = call.object()?.get("comment") else {
        return Err(ApiError::missing("comment", "comment is required"));
    };
    let Some(comment) = comment.as_object() else {
        return Err(ApiError::invalid("comment", "comment must be an object"));
    };
    let message = match comment.get("message") {
        None => return Err(ApiError::missing("comment.message", "comment.message is required")),
        Some(message) => message.as_str().filter(|text| !text.is_empty()),
    };
    let Some(message) = message else {
        return Err(ApiError::invalid("comment.message", "comment.message must be a non-empty string"));
    };
    let flag = comment.get("addUsersToWorkflow");
    if flag.is_some_and(|flag| !flag.is_boolean()) {
        return Err(ApiError::invalid("comment.addUsersToWorkflow", "addUsersToWorkflow must be a boolean"));
    }
    let may_add = flag == Some(&Value::Bool(true));
    let workflow = store.workflow(call.segment(0), IdForm::HexOnly)?;
    check_mentions(store, workflow, message, may_add)
}

/// Mentions are `<@user id or e-mail>`; somebody outside the workflow needs the flag (ironclad-api.md §8.10).
fn check_mentions(store: &Store, workflow: &Workflow, message: &str, may_add: bool) -> Result<(), ApiError> {
    for piece in message.split("<@").skip(1) {
        let Some((named, _)) = piece.split_once('>') else { continue };
        let Some(person) = store.person_named(named) else {
            return Err(ApiError::invalid("comment.message", format!("mentioned user {named} does not exist")));
        };
        if !may_add && !takes_part(store.people.first(), workflow, &person.id) {
            let message = format!("mentioned user {named} is not a participant; set addUsersToWorkflow");
            return Err(ApiError::invalid("comment.addUsersToWorkflow", message));
        }
    }
    Ok(())
}
