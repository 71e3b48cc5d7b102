//! Approvals: the groups, their history, and giving or withdrawing one.
//!
//! Nobody approves for others, not even an administrator; and the answer to an update is a bare `true`
//! (ironclad-api.md §8.9).

use serde_json::{Value, json};

use super::approval_state::ApprovalRequest;
use super::clock::stamp;
use super::errors::ApiError;
use super::exchange::{Call, Outcome, Reply};
use super::paging::Page;
use super::store::{IdForm, Store};
use super::workflow_actions::acting_user;
use super::workflow_state::Workflow;
use super::workflow_view;

/// `GET /workflows/{id}/approvals`.
pub(crate) fn list(store: &mut Store, call: &Call) -> Outcome {
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    let group = |index: usize| {
        let reviewers = workflow.groups.get(index).into_iter().flatten().map(|approval| {
            json!({
                "role": approval.role_id,
                "displayName": approval.display_name,
                "reviewerType": "role",
                "status": if approval.approved { "approved" } else { "pending" },
            })
        });
        json!({
            "reviewers": reviewers.collect::<Vec<_>>(),
            "status": workflow.group_status(index),
            "order": index.saturating_add(1),
        })
    };
    Ok(Reply::ok(json!({
        "workflowId": workflow.id,
        "title": workflow.title,
        "approvalGroups": (0..workflow.groups.len()).map(group).collect::<Vec<_>>(),
        "roles": workflow_view::roles(store, workflow),
    })))
}

/// `GET /workflows/{id}/approval-requests`.
pub(crate) fn requests(store: &mut Store, call: &Call) -> Outcome {
    let page = Page::of(&call.query)?;
    let details = call.query.flag("actorDetails")?;
    match call.query.get("requestType") {
        None | Some("user" | "role") => {}
        Some(other) => {
            let message = format!("invalid query value '{other}'; value must be one of [role, user]");
            return Err(ApiError::invalid("requestType", message));
        }
    }
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    let list = page.cut(&workflow.requests).iter().map(|request| shown(store, workflow, request, details));
    Ok(Reply::ok(page.envelope(workflow.requests.len(), list.collect())))
}

fn shown(store: &Store, workflow: &Workflow, request: &ApprovalRequest, details: bool) -> Value {
    let mut body = json!({
        "startTime": stamp(request.start),
        "status": request.status,
        "actorId": request.user_id,
        "actorType": "User",
        "role": request.role,
        "roleName": request.role_name,
        "approvalType": "Workflow",
    });
    let Some(map) = body.as_object_mut() else { return body };
    if let Some(person) = store.person(&request.user_id).filter(|_| details) {
        let who = json!({ "userName": person.display_name(), "userEmail": person.email });
        map.insert("actorDetails".into(), who);
    }
    let Some(end) = request.end else { return body };
    let took = milliseconds(request.start, end);
    let same_role = workflow.requests.iter().filter(|other| other.role == request.role && other.start <= request.start);
    let total: i64 = same_role.filter_map(|other| Some(milliseconds(other.start, other.end?))).sum();
    map.insert("endTime".into(), json!(stamp(end)));
    map.insert("duration".into(), json!(took));
    map.insert("aggregateDuration".into(), json!(total));
    map.insert("durationSeconds".into(), json!(took / 1000));
    map.insert("netRequestDurationSeconds".into(), json!(took / 1000));
    body
}

fn milliseconds(start: time::OffsetDateTime, end: time::OffsetDateTime) -> i64 {
    i64::try_from((end - start).whole_milliseconds()).unwrap_or_default()
}

/// `PATCH /workflows/{id}/approvals/{roleId}`.
pub(crate) fn update(store: &mut Store, call: &Call) -> Outcome {
    let body = call.object()?;
    let (status, approved) = match body.get("status").map(|status| status.as_str().unwrap_or_default()) {
        None => return Err(ApiError::missing("status", "status is required")),
        Some("approved") => ("approved", true),
        Some("pending") => ("pending", false),
        Some(_) => return Err(ApiError::invalid("status", "status must be one of [approved, pending]")),
    };
    let user_id = acting_user(store, call)?;
    let role_id = call.segment(1).to_owned();
    let (workflow, now) = store.workflow_mut(call.segment(0), IdForm::Either)?;
    let id = workflow.id.clone();
    let changed = workflow.approve(&role_id, &user_id, approved, now)?;
    let moved = workflow.advance_when_approved(now);
    if !changed {
        return Ok(Reply::ok(json!(true)));
    }
    store.emit_approval(&id, &role_id, status, &user_id);
    match moved {
        Some(_) => store.settle(&id),
        None => store.emit("workflow_updated", &id),
    }
    Ok(Reply::changed(json!(true)))
}
