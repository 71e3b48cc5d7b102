//! A workflow's documents: the list, and the download under the singular path `/document/` (ironclad-api.md §8.21).

use serde_json::{Value, json};

use super::documents_source::disposition;
use super::errors::ApiError;
use super::exchange::{Call, Outcome, Reply, ReplyBody};
use super::store::{IdForm, Store};

/// `GET /workflows/{id}/documents`: drafts make the packet, attachments stay out of it.
pub(crate) fn list(store: &mut Store, call: &Call) -> Outcome {
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    let shown = |inside: bool| -> Vec<Value> {
        let kept = workflow.documents.iter().filter(|document| !document.is_packet());
        let part = kept.filter(|document| (document.attribute == "draft") == inside);
        part.map(|document| document.json(&workflow.id, &store.people)).collect()
    };
    Ok(Reply::ok(json!({
        "signaturePacketDocuments": shown(true),
        "excludedFromSignaturePacketDocuments": shown(false),
    })))
}

/// `GET /workflows/{id}/document/{key}/download`: the bytes of the latest version.
pub(crate) fn download(store: &mut Store, call: &Call) -> Outcome {
    let workflow = store.workflow(call.segment(0), IdForm::Either)?;
    let found = workflow.documents.iter().find(|document| document.key == call.segment(1));
    let Some(document) = found else { return Err(ApiError::not_found("key", "Document does not exist")) };
    let reply = Reply {
        status: 200,
        body: ReplyBody::Document(Box::new(document.source(workflow))),
        headers: vec![("content-disposition", disposition(&document.filename))],
        applied: false,
    };
    Ok(reply)
}
