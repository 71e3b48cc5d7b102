//! Answers what this server knows by itself, in the same shape as if Ironclad had answered it.

use serde_json::Value;

use super::{Call, Place, audit_search, failure, whoami};
use crate::{
    answer::{self, Answer, Fields, Shape},
    arguments::Args,
    error::CallError,
    ironclad::{Failure, Head},
    manifest::{Entry, Local},
};

/// The answer of an entry that asks nothing of Ironclad; a page's body is `{"list": […]}`, as Ironclad's are.
pub(super) async fn answer(
    call: Call<'_>,
    local: Local,
    entry: &Entry,
    (args, place): (&Args, Option<Place>),
) -> Result<Answer, CallError> {
    let (body, place) = match (local, place) {
        (Local::SearchAuditLog, Some(place)) => return audit_search::answer(call, entry, (args, place)).await,
        (Local::SearchAuditLog, None) => (Value::Null, None),
        (Local::Whoami, place) => (whoami::body(call), place),
    };
    let body = body.to_string();
    let shape = Shape { origin: call.client.origin(), max_bytes: call.max_result_bytes, fields: Fields::of(args) };
    let shaped = match place {
        None => answer::object(entry, body.as_bytes(), &shape),
        Some(Place { window, digest }) => {
            let seal = |spot| call.cursor_key.seal(&digest, spot);
            answer::page(entry, args, body.as_bytes(), &shape, (window, &seal))
        }
    };
    shaped.map_err(|error| failure::call_error(entry, &Failure::Unsound(Head::default(), (&error).into())))
}
