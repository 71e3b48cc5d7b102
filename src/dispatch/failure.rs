//! Says in plain words why a request brought no answer, and what the caller can do now.

use serde_json::Value;

use crate::{
    error::{CallError, Code, Outcome},
    ironclad::{Failure, Head, Unsound, auth::AuthError},
    manifest::{Effect, Entry},
};

/// The longest text of Ironclad's that an error repeats.
const QUOTED_CHARACTERS: usize = 500;

/// The failure of one call of `entry`, as its caller reads it.
pub(super) fn call_error(entry: &Entry, failure: &Failure) -> CallError {
    match failure {
        Failure::NoToken(error) => no_token(error),
        Failure::Refused { head, body } => refused(entry, head, body),
        Failure::NeverArrived(error) => {
            let why = if error.is_timeout() { "the connection timed out" } else { "no connection could be made" };
            CallError::new(
                Code::UpstreamUnavailable,
                format!("Ironclad cannot be reached: {why}"),
                "nothing was sent; check the network, the proxy and the base URL, and try again",
            )
            .with_outcome(Outcome::NotSent)
        }
        Failure::Lost(error) => {
            let timed_out = error.as_ref().is_some_and(reqwest::Error::is_timeout);
            lost(entry, None, if timed_out { "it did not answer in time" } else { "the connection broke" })
        }
        Failure::Unsound(head, Unsound::Malformed) => lost(entry, Some(head), "its answer was malformed"),
        Failure::Unsound(head, Unsound::TooLarge(bytes)) => too_large(entry, head, *bytes),
    }
}

fn no_token(error: &AuthError) -> CallError {
    match error {
        AuthError::Unreachable(_) => CallError::new(
            Code::UpstreamUnavailable,
            "Ironclad cannot be reached: no token could be fetched",
            "nothing was sent; check the network, the proxy and the base URL, and try again",
        ),
        AuthError::NoCredentials => CallError::new(
            Code::Unauthorized,
            "no credentials for Ironclad are set",
            "the operator must set IRONCLAD_CLIENT_ID and IRONCLAD_CLIENT_SECRET, or IRONCLAD_ACCESS_TOKEN",
        ),
        AuthError::Refused { .. } => CallError::new(
            Code::Unauthorized,
            error.to_string(),
            "the operator must check IRONCLAD_CLIENT_ID, IRONCLAD_CLIENT_SECRET, the scopes of the client and the region",
        ),
        AuthError::NoToken => CallError::new(
            Code::Unauthorized,
            error.to_string(),
            "the operator must check that the base URL is an Ironclad host",
        ),
    }
    .with_outcome(Outcome::NotSent)
}

/// An error body of Ironclad's, in any of its shapes (ironclad-api.md §3).
#[derive(Default)]
struct Words {
    code: Option<String>,
    message: Option<String>,
    param: Option<String>,
}

fn words(body: &[u8]) -> Words {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Words::default() };
    let value = value.get("data").filter(|data| data.is_object()).unwrap_or(&value);
    let text = |name: &str| Some(quoted(value.get(name)?.as_str()?));
    let message = text("message").or_else(|| text("detail")).or_else(|| text("error_description"));
    Words {
        code: text("code").or_else(|| text("scimType")),
        message: message.or_else(|| text("error")).or_else(|| value.as_str().map(quoted)),
        param: text("param"),
    }
}

fn quoted(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED_CHARACTERS).collect()
}

fn refused(entry: &Entry, head: &Head, body: &[u8]) -> CallError {
    if head.status < 400 || head.status >= 500 {
        return lost(entry, Some(head), &format!("it answered with status {}", head.status));
    }
    let words = words(body);
    let code = refusal_code(head.status, words.code.as_deref());
    let said = match (&words.code, &words.message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(only), None) | (None, Some(only)) => only.clone(),
        (None, None) => format!("status {}", head.status),
    };
    let mut error = CallError::new(code, format!("Ironclad refused {}: {said}", entry.name), "");
    error.hint = Some(hint(entry, code, &words, head));
    error.status = Some(head.status);
    error.param = words.param;
    error.request_id.clone_from(&head.request_id);
    error.retry_after_s =
        (code == Code::RateLimited).then(|| head.retry_after.map_or(60, |wait| wait.as_secs().max(1)));
    error.scope = (code == Code::Forbidden).then(|| entry.scope.clone());
    error.with_outcome(Outcome::Refused)
}

/// Statuses are inconsistent at Ironclad, so its own code decides where it has one.
fn refusal_code(status: u16, code: Option<&str>) -> Code {
    match (status, code) {
        (401, _) => Code::Unauthorized,
        (403, _) => Code::Forbidden,
        (429, _) => Code::RateLimited,
        (_, Some("NOT_FOUND")) | (404, _) => Code::NotFound,
        (_, Some("INVALID_STATE" | "CONFLICT")) | (409, _) => Code::Conflict,
        _ => Code::Rejected,
    }
}

fn hint(entry: &Entry, code: Code, words: &Words, head: &Head) -> String {
    let ids = entry.path_arguments().collect::<Vec<_>>().join(" and ");
    let look = entry.verify_with.as_deref().unwrap_or("the matching get or list tool");
    match code {
        Code::Unauthorized => {
            "Ironclad does not take the token; the operator must renew IRONCLAD_ACCESS_TOKEN, or check the client's id and secret"
                .into()
        }
        Code::Forbidden => format!(
            "the method needs the scope {}, and the acting user the right to do this in Ironclad; ask the operator or an Ironclad administrator",
            entry.scope
        ),
        Code::RateLimited => {
            let seconds = head.retry_after.map_or(60, |wait| wait.as_secs().max(1));
            format!("nothing was done; the whole company shares this limit, so wait {seconds} s and call again")
        }
        Code::NotFound if ids.is_empty() => "check the ids in the arguments, and that the acting user can see them".into(),
        Code::NotFound => format!("check {ids}: it must exist, and the acting user must be able to see it"),
        Code::Conflict => format!("the object is in a state that does not allow this; read it with {look} and go by its status and step"),
        Code::Rejected
        | Code::InvalidArguments
        | Code::AccessDenied
        | Code::ConfirmationDeclined
        | Code::UpstreamUnavailable
        | Code::OutcomeUnknown
        | Code::ResponseTooLarge
        | Code::AuditUnavailable
        | Code::Cancelled => match &words.param {
            Some(param) => format!("change what Ironclad names, {param}, and call again"),
            None => "change what Ironclad names, and call again".into(),
        },
    }
}

/// No sound answer: for a read that is a nuisance, for a write nobody can say what happened.
fn lost(entry: &Entry, head: Option<&Head>, why: &str) -> CallError {
    let mut error = if entry.effect == Effect::Read {
        CallError::new(
            Code::UpstreamUnavailable,
            format!("Ironclad gave no sound answer: {why}"),
            "nothing was changed; try again in a moment",
        )
    } else {
        let look = entry.verify_with.as_deref().unwrap_or("the matching read tool");
        CallError::new(
            Code::OutcomeUnknown,
            format!("{} was sent once, but {why}: it may or may not have taken effect", entry.name),
            format!("call {look} to see whether it took effect, and only if not call {} again", entry.name),
        )
        .with_outcome(Outcome::Unknown)
    };
    if let Some(head) = head {
        error.status = Some(head.status);
        error.request_id.clone_from(&head.request_id);
    }
    error
}

fn too_large(entry: &Entry, head: &Head, bytes: usize) -> CallError {
    let hint = if entry.is_list() {
        "name the members that you need in fields, or ask for fewer items with a filter"
    } else {
        "name the members that you need in fields"
    };
    let mut error =
        CallError::new(Code::ResponseTooLarge, format!("the answer of {} would take {bytes} bytes", entry.name), hint);
    error.status = Some(head.status);
    error.request_id.clone_from(&head.request_id);
    error
}
