//! Sign status and sending the packet out.

use serde_json::json;

use super::errors::ApiError;
use super::exchange::{Call, Outcome, Reply};
use super::store::{IdForm, Store};
use super::workflow_state::{Status, Step};
use super::workflow_view;

/// `GET /workflows/{id}/sign-status`.
pub(crate) fn status(store: &mut Store, call: &Call) -> Outcome {
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    if workflow.step != Step::Sign || workflow.status != Status::Active {
        return Err(not_at_sign(workflow.step));
    }
    Ok(Reply::ok(workflow_view::sign_status(workflow)))
}

/// `GET /workflows/{id}/signatures`.
pub(crate) fn signatures(store: &mut Store, call: &Call) -> Outcome {
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    if workflow.step != Step::Sign || workflow.status != Status::Active {
        return Err(not_at_sign(workflow.step));
    }
    let signers = workflow.signers.iter().map(|signer| {
        json!({
            "name": signer.name,
            "email": signer.email,
            "roleName": signer.role_name,
            "signatureStatus": { "status": signer.status.name() },
        })
    });
    Ok(Reply::ok(json!({
        "workflowId": workflow.id,
        "title": workflow.title,
        "signers": signers.collect::<Vec<_>>(),
    })))
}

fn not_at_sign(step: Step) -> ApiError {
    let step = step.name();
    ApiError::state(format!("This workflow is not at the Sign step, and is currently at the {step} step"))
}

/// `POST /workflows/{id}/sign-status/send-signature-request`.
pub(crate) fn send(store: &mut Store, call: &Call) -> Outcome {
    let (workflow, now) = store.workflow_mut(call.segment(0), IdForm::Either)?;
    let id = workflow.id.clone();
    workflow.send_packet(now)?;
    store.add_packet(&id, "sentSignaturePacket");
    store.emit("workflow_signature_packet_sent", &id);
    store.emit("workflow_updated", &id);
    let workflow = store.workflow(&id, IdForm::HexOnly)?;
    Ok(Reply::changed(workflow_view::sign_status(workflow)))
}
