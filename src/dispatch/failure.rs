//! Says in plain words why a request brought no answer, and what the caller can do now.

use std::time::Duration;

use serde_json::Value;

use crate::{
    egress::Barred,
    error::{CallError, Code, Outcome},
    ironclad::{Failure, Head, Unsound, auth::AuthError},
    manifest::{Effect, Entry},
    masking::masked,
};

/// The longest text of Ironclad's that an error repeats.
const QUOTED_CHARACTERS: usize = 500;

/// The failure of one call of `entry`, as its caller reads it.
pub(super) fn call_error(entry: &Entry, failure: &Failure) -> CallError {
    match failure {
        Failure::NoToken(error) => no_token(error),
        Failure::OverBudget(wait) => over_budget(*wait),
        Failure::Refused { head, body } => refused(entry, head, body),
        Failure::Barred(barred) => not_allowed(barred),
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
            let timed_out = error.as_ref().is_some_and(|error| error.is_timeout());
            lost(entry, None, if timed_out { "it did not answer in time" } else { "the connection broke" })
        }
        Failure::Unreadable(error) => CallError::new(
            Code::InvalidArguments,
            format!("{} was not sent: a document cannot be read ({error})", entry.name),
            "nothing was sent; check the file, and call again",
        )
        .with_outcome(Outcome::NotSent),
        Failure::Unsound(head, Unsound::Malformed) => lost(entry, Some(head), "its answer was malformed"),
        Failure::Unsound(head, Unsound::TooLarge(bytes)) if entry.effect == Effect::Read => {
            too_large(entry, head, *bytes)
        }
        Failure::Unsound(head, Unsound::TooLarge(_)) => lost(entry, Some(head), "its answer was too large to read"),
    }
}

/// A call that came when the server had been told to stop.
pub(super) fn not_begun(entry: &Entry) -> CallError {
    CallError::new(
        Code::UpstreamUnavailable,
        format!("{} was not sent: the server is stopping", entry.name),
        "nothing was changed; call again when the server is back",
    )
    .with_outcome(Outcome::NotSent)
}

/// A call that the server's end cut off; `sent` where its request went out.
pub(super) fn cut(entry: &Entry, sent: bool) -> CallError {
    if !sent {
        return not_begun(entry);
    }
    let mut error = lost(entry, None, "the server had to stop before its answer came");
    let look = entry.verify_with.as_ref().map_or("the matching read tool", |look| &look.tool);
    error.hint.get_or_insert_with(|| {
        format!("call {look} to see whether it took effect, and only if not call {} again", entry.name)
    });
    error
}

fn not_allowed(barred: &Barred) -> CallError {
    CallError::new(Code::AccessDenied, barred.to_string(), barred.hint()).with_outcome(Outcome::NotSent)
}

fn over_budget(wait: Duration) -> CallError {
    let seconds = wait.as_secs().max(1);
    let mut error = CallError::new(
        Code::RateLimited,
        "nothing was sent: the company's rate limit at Ironclad leaves no place in time",
        format!("wait {seconds} s and call again, or call less often; the whole company shares this limit"),
    );
    error.retry_after_s = Some(seconds);
    error.with_outcome(Outcome::NotSent)
}

fn no_token(error: &AuthError) -> CallError {
    let (code, message, hint) = match error {
        AuthError::Unreachable(_) => (
            Code::UpstreamUnavailable,
            "Ironclad cannot be reached: no token could be fetched".to_owned(),
            format!("nothing was sent; {}", error.cure()),
        ),
        AuthError::Barred(barred) => return not_allowed(barred),
        AuthError::NoCredentials => {
            (Code::Unauthorized, "no credentials for Ironclad are set".to_owned(), error.cure().to_owned())
        }
        AuthError::Refused { .. }
        | AuthError::NoToken
        | AuthError::LoginEnded { .. }
        | AuthError::LoggedOut
        | AuthError::OtherUser { .. }
        | AuthError::Store(_) => (Code::Unauthorized, quoted(&error.to_string()), error.cure().to_owned()),
    };
    CallError::new(code, message, hint).with_outcome(Outcome::NotSent)
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
    let text = |name: &str| Some(quoted(value.get(name)?.as_str()?)).filter(|text| !text.trim().is_empty());
    let message = text("message").or_else(|| text("detail")).or_else(|| text("error_description"));
    Words {
        code: text("code").or_else(|| text("scimType")),
        message: message.or_else(|| text("error")).or_else(|| value.as_str().map(quoted)),
        param: text("param"),
    }
}

fn quoted(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED_CHARACTERS).collect();
    masked(&text).into_owned()
}

fn refused(entry: &Entry, head: &Head, body: &[u8]) -> CallError {
    let words = words(body);
    let Some(code) = refusal_code(head.status, words.code.as_deref()) else {
        return lost(entry, Some(head), &format!("it answered with status {}", head.status));
    };
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
        (code == Code::RateLimited).then(|| head.heard.retry_after.map_or(60, |wait| wait.as_secs().max(1)));
    error.scope = (code == Code::Forbidden).then(|| entry.scope.clone());
    error.with_outcome(Outcome::Refused)
}

/// Statuses are inconsistent at Ironclad, so its own code decides where it has one (ironclad-api.md §3); `None` where
/// nothing says that it refused.
fn refusal_code(status: u16, code: Option<&str>) -> Option<Code> {
    match (status, code) {
        // A failed launch job comes with status 200 (ironclad-api.md §9.1), and only its code says why.
        (200, Some("FORBIDDEN")) => Some(Code::Forbidden),
        (200, Some("NOT_FOUND")) => Some(Code::NotFound),
        (200, Some("INVALID_STATE" | "CONFLICT")) => Some(Code::Conflict),
        (200, _) => Some(Code::Rejected),
        (..400, _) => None,
        (_, Some("NOT_FOUND")) => Some(Code::NotFound),
        (401, _) => Some(Code::Unauthorized),
        (403, _) => Some(Code::Forbidden),
        (429, _) => Some(Code::RateLimited),
        (404, _) => Some(Code::NotFound),
        (409, _) | (_, Some("INVALID_STATE" | "CONFLICT")) => Some(Code::Conflict),
        (..500, _) => Some(Code::Rejected),
        _ => None,
    }
}

fn hint(entry: &Entry, code: Code, words: &Words, head: &Head) -> String {
    let ids = entry.path_arguments().collect::<Vec<_>>().join(" and ");
    let look = entry.verify_with.as_ref().map_or("the matching get or list tool", |look| &look.tool);
    match code {
        Code::Unauthorized => {
            "Ironclad does not take the token; the operator must renew IRONCLAD_ACCESS_TOKEN, check the client's id and secret, or run `ironclad-mcp login` again"
                .into()
        }
        Code::Forbidden => format!(
            "the method needs the scope {}, and the acting user the right to do this in Ironclad; ask the operator or an Ironclad administrator",
            entry.scope
        ),
        Code::RateLimited => {
            let seconds = head.heard.retry_after.map_or(60, |wait| wait.as_secs().max(1));
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

/// No sound answer: for a read that is a nuisance, for a write nobody can say what happened, and how to look is said by
/// whoever knows when it was sent.
fn lost(entry: &Entry, head: Option<&Head>, why: &str) -> CallError {
    let mut error = if entry.effect == Effect::Read {
        CallError::new(
            Code::UpstreamUnavailable,
            format!("Ironclad gave no sound answer: {why}"),
            "nothing was changed; try again in a moment",
        )
    } else {
        let message = format!("{} was sent once, but {why}: it may or may not have taken effect", entry.name);
        let unknown = CallError::new(Code::OutcomeUnknown, message, "").with_outcome(Outcome::Unknown);
        CallError { hint: None, ..unknown }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        ironclad::{auth::Unreached, limiter::Heard},
        manifest,
    };

    fn entry(effect: &str) -> Entry {
        let (prefix, method) = if effect == "read" { ("", "GET") } else { ("WRITE: ", "PATCH") };
        let manifest = json!({"group": "things", "tools": [{
            "name": "any_thing", "title": "T", "description": format!("{prefix}does it."), "effect": effect,
            "scope": "public.things.do", "bucket": "other", "deed": "did it", "verify_with": {"tool": "get_thing"},
            "request": {"api": "public", "method": method, "path": "/things/{thing_id}"},
            "parameters": {"thing_id": {"in": "path", "required": true, "schema": {"type": "string"}}},
            "answer": {"kind": "empty"}}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    fn head(status: u16) -> Head {
        Head { status, request_id: Some("r1".into()), ..Head::default() }
    }

    fn refusal(effect: &str, status: u16, body: &str) -> CallError {
        call_error(&entry(effect), &Failure::Refused { head: head(status), body: body.as_bytes().to_vec() })
    }

    fn no_connection() -> reqwest::Error {
        reqwest::Client::new().get("no url").build().unwrap_err()
    }

    #[test]
    fn status_and_ironclads_own_code_decide_together() {
        let table = [
            (400, "INVALID_PARAM", Code::Rejected),
            (400, "MISSING_PARAM", Code::Rejected),
            (400, "NOT_FOUND", Code::NotFound),
            (403, "NOT_FOUND", Code::NotFound),
            (422, "NOT_FOUND", Code::NotFound),
            (500, "NOT_FOUND", Code::NotFound),
            (400, "INVALID_STATE", Code::Conflict),
            (422, "INVALID_STATE", Code::Conflict),
            (400, "CONFLICT", Code::Conflict),
            (500, "CONFLICT", Code::Conflict),
            (409, "", Code::Conflict),
            (401, "UNAUTHORIZED", Code::Unauthorized),
            (403, "FORBIDDEN", Code::Forbidden),
            (403, "", Code::Forbidden),
            (404, "", Code::NotFound),
            (404, "INVALID_PARAM", Code::NotFound),
            (429, "TOO_MANY_REQUESTS", Code::RateLimited),
            (405, "", Code::Rejected),
            (413, "", Code::Rejected),
            (499, "", Code::Rejected),
        ];
        for (status, code, expected) in table {
            for effect in ["read", "write"] {
                let error = refusal(effect, status, &json!({"code": code, "message": "m"}).to_string());
                assert_eq!(error.code, expected, "{status} {code}");
                assert_eq!((error.outcome, error.status), (Some(Outcome::Refused), Some(status)), "{status} {code}");
                assert_eq!(error.request_id.as_deref(), Some("r1"));
            }
        }
    }

    #[test]
    fn a_status_that_says_nothing_is_a_nuisance_for_a_read_and_unknown_for_a_write() {
        for status in [100, 204, 302, 304, 500, 502, 503, 504, 599] {
            for body in ["", "{\"code\":\"SERVER_ERROR\",\"message\":\"m\"}", "<html>"] {
                let read = refusal("read", status, body);
                assert_eq!((read.code, read.outcome), (Code::UpstreamUnavailable, None), "{status}");
                let write = refusal("write", status, body);
                assert_eq!((write.code, write.outcome), (Code::OutcomeUnknown, Some(Outcome::Unknown)), "{status}");
                assert_eq!(write.hint, None, "the caller knows when it was sent");
                assert_eq!(write.status, Some(status));
            }
        }
    }

    #[test]
    fn no_sound_answer_is_told_apart_from_no_connection() {
        let table = [
            (Failure::Lost(None), Code::UpstreamUnavailable, Code::OutcomeUnknown),
            (Failure::Lost(Some(no_connection())), Code::UpstreamUnavailable, Code::OutcomeUnknown),
            (Failure::Unsound(head(200), Unsound::Malformed), Code::UpstreamUnavailable, Code::OutcomeUnknown),
            (Failure::Unsound(head(200), Unsound::TooLarge(9)), Code::ResponseTooLarge, Code::OutcomeUnknown),
            (Failure::NeverArrived(no_connection()), Code::UpstreamUnavailable, Code::UpstreamUnavailable),
            (
                Failure::NoToken(AuthError::Unreachable(Unreached("refused".into()))),
                Code::UpstreamUnavailable,
                Code::UpstreamUnavailable,
            ),
            (Failure::NoToken(AuthError::NoCredentials), Code::Unauthorized, Code::Unauthorized),
            (Failure::NoToken(AuthError::NoToken), Code::Unauthorized, Code::Unauthorized),
        ];
        for (failure, read, write) in table {
            assert_eq!(call_error(&entry("read"), &failure).code, read, "{failure:?}");
            let error = call_error(&entry("write"), &failure);
            assert_eq!(error.code, write, "{failure:?}");
            let expected = if write == Code::OutcomeUnknown { Outcome::Unknown } else { Outcome::NotSent };
            assert_eq!(error.outcome, Some(expected), "{failure:?}");
        }
    }

    #[test]
    fn a_refused_token_says_which_credential_to_renew() {
        let refused = AuthError::Refused { code: "unauthorized_client".into(), description: Some("no".into()) };
        let error = call_error(&entry("read"), &Failure::NoToken(refused));
        assert!(error.message.contains("unauthorized_client (no)"), "{}", error.message);
        assert!(error.hint.unwrap().contains("IRONCLAD_CLIENT_SECRET"));
        assert!(refusal("read", 401, "").hint.unwrap().contains("IRONCLAD_ACCESS_TOKEN"));
    }

    #[test]
    fn ironclads_words_are_read_in_each_of_their_shapes() {
        let scim =
            json!({"schemas": ["urn"], "status": "400", "scimType": "invalidFilter", "detail": "no such attribute"});
        let nested = json!({"data": {"code": "VIRUS_DETECTED", "files": ["a"], "message": "virus found"}});
        let table = [
            (json!({"code": "INVALID_PARAM", "message": "bad fee"}).to_string(), "INVALID_PARAM: bad fee"),
            (nested.to_string(), "VIRUS_DETECTED: virus found"),
            (scim.to_string(), "invalidFilter: no such attribute"),
            (json!({"error": "export failed"}).to_string(), "export failed"),
            (json!({"error": "invalid_scope", "error_description": "unknown scope"}).to_string(), "unknown scope"),
            ("\"Workflow does not exists\"".to_owned(), "Workflow does not exists"),
            (json!({"code": "X"}).to_string(), "X"),
            ("<html><body>Bad</body></html>".to_owned(), "status 400"),
            (String::new(), "status 400"),
            ("[1]".to_owned(), "status 400"),
            (json!({"code": "", "message": " ", "param": ""}).to_string(), "status 400"),
            (json!({"code": 5, "message": {"a": 1}, "data": "x"}).to_string(), "status 400"),
        ];
        for (body, said) in table {
            assert_eq!(refusal("read", 400, &body).message, format!("Ironclad refused any_thing: {said}"), "{body}");
        }
    }

    #[test]
    fn the_parameter_that_ironclad_names_is_passed_on() {
        let error =
            refusal("write", 400, &json!({"code": "INVALID_PARAM", "message": "m", "param": "fee"}).to_string());
        assert_eq!(error.param.as_deref(), Some("fee"));
        assert!(error.hint.unwrap().contains("fee"));
        let several = json!({"code": "MISSING_PARAM", "message": "m", "param": "[\"a\",\"b\"]"}).to_string();
        assert_eq!(refusal("write", 400, &several).param.as_deref(), Some("[\"a\",\"b\"]"));
    }

    #[test]
    fn each_refusal_says_what_to_do_now() {
        let hint = |status| refusal("write", status, "").hint.unwrap();
        assert!(hint(403).contains("public.things.do") && hint(403).contains("acting user"));
        assert_eq!(refusal("read", 403, "").scope.as_deref(), Some("public.things.do"));
        assert!(hint(404).contains("thing_id") && hint(404).contains("be able to see it"));
        assert!(hint(409).contains("get_thing") && hint(409).contains("state"));
        for effect in ["read", "write"] {
            for status in 100..600 {
                for body in
                    ["", "{}", "\"\"", "{\"code\":\"\",\"message\":\"\",\"param\":\"\"}", "{\"code\":\"NOT_FOUND\"}"]
                {
                    let error = refusal(effect, status, body);
                    let is_told = error.hint.is_some_and(|hint| !hint.is_empty());
                    assert_eq!(is_told, error.code != Code::OutcomeUnknown, "{status} {body}");
                    assert!(!error.message.is_empty(), "{status} {body}");
                }
            }
        }
    }

    #[test]
    fn a_rate_limit_says_how_long_to_wait() {
        let limited = |retry_after| {
            let heard = Heard { retry_after, ..Heard::default() };
            let head = Head { heard, ..head(429) };
            let error = call_error(&entry("write"), &Failure::Refused { head, body: Vec::new() });
            assert_eq!(error.outcome, Some(Outcome::Refused));
            (error.retry_after_s, error.hint.unwrap())
        };
        assert_eq!(limited(Some(Duration::from_secs(37))).0, Some(37));
        assert_eq!(limited(Some(Duration::ZERO)).0, Some(1));
        assert_eq!(limited(None).0, Some(60));
        assert!(limited(Some(Duration::from_secs(37))).1.contains("37 s"));
        assert_eq!(refusal("read", 400, "").retry_after_s, None);
    }

    #[test]
    fn text_of_ironclads_carries_no_control_characters_and_is_cut() {
        let long = format!("a\u{1b}[31m\u{0}\r\n{}", "é".repeat(2_000));
        let body = json!({"code": &long, "message": &long, "param": &long}).to_string();
        let refused = AuthError::Refused { code: long.clone(), description: Some(long.clone()) };
        let token = call_error(&entry("read"), &Failure::NoToken(refused)).message;
        assert!(!token.chars().any(char::is_control) && token.chars().count() < 1_200, "{token}");
        for body in [body, json!(long).to_string(), json!({"data": {"detail": long}}).to_string()] {
            let error = refusal("write", 400, &body);
            let texts = [Some(error.message), error.hint, error.param];
            for text in texts.into_iter().flatten() {
                assert!(!text.chars().any(char::is_control), "{text}");
                assert!(text.chars().count() < 1_200, "{}", text.len());
            }
        }
    }

    #[test]
    fn a_read_past_the_limit_says_how_to_narrow_it() {
        let error = call_error(&entry("read"), &Failure::Unsound(head(200), Unsound::TooLarge(70_000)));
        assert!(error.message.contains("70000 bytes") && error.hint.unwrap().contains("fields"));
    }
}
