//! `/oauth`: consent, the three token grants, userinfo and company-info.
//!
//! Statuses follow what was seen live, not RFC 6749: a wrong secret is 403 `unauthorized_client` and a bad code or
//! refresh token 403 `invalid_grant` (ironclad-api.md §12). PKCE is undocumented there; it is checked when used.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::exchange::Reply;
use super::identity::{
    CLIENT_ID, CLIENT_SECRET, COMPANY_ID, COMPANY_NAME, Grant, GrantKind, Issued, Pending, Sessions,
};
use super::incoming::Incoming;
use super::oauth_consent;
use super::people::Person;
use super::scopes;

/// An RFC 6749 error body and its status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OAuthError {
    /// HTTP status.
    pub(crate) status: u16,
    /// The `error` word.
    pub(crate) error: &'static str,
    /// The `error_description`.
    pub(crate) description: String,
}

impl OAuthError {
    /// An error of `status`.
    pub(crate) fn new(status: u16, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, description: description.into() }
    }

    /// The JSON reply.
    pub(crate) fn reply(&self) -> Reply {
        Reply::ok(json!({ "error": self.error, "error_description": self.description })).with_status(self.status)
    }
}

/// Answers any path under `/oauth/`.
pub(crate) fn answer(request: &Incoming, sessions: &mut Sessions, people: &[Person]) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/oauth/authorize") => oauth_consent::authorize(request, sessions, people),
        ("POST", "/oauth/token") => token(request, sessions).unwrap_or_else(|error| error.reply()),
        ("GET", "/oauth/userinfo") => user_info(request, sessions, people),
        ("GET", "/oauth/company-info") => company_info(request, sessions),
        _ => Reply::ok(json!({ "code": "NOT_FOUND", "message": "not found" })).with_status(404),
    }
}

/// Refuses anything but the registered client.
///
/// # Errors
/// 400 for a malformed id, 403 for an unknown one.
pub(crate) fn check_client_id(client_id: &str) -> Result<(), OAuthError> {
    if client_id == CLIENT_ID {
        return Ok(());
    }
    let dashes = client_id.char_indices().filter(|(_, c)| *c == '-').map(|(at, _)| at);
    let uuid = client_id.len() == 36
        && dashes.eq([8, 13, 18, 23])
        && client_id.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    if uuid || client_id.starts_with("https://") {
        return Err(OAuthError::new(403, "unauthorized_client", "client is not authorized"));
    }
    let detail = "Invalid or missing parameters: Invalid value for client_id, expected type UUID or HTTPS URL";
    Err(OAuthError::new(400, "invalid_request", detail))
}

fn token(request: &Incoming, sessions: &mut Sessions) -> Result<Reply, OAuthError> {
    let fields = fields(request)?;
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let (client_id, secret) =
        basic(request).unwrap_or_else(|| (field("client_id").into(), field("client_secret").into()));
    let grant_type = field("grant_type");
    if grant_type.is_empty() {
        return Err(OAuthError::new(400, "invalid_request", "missing grant_type"));
    }
    check_client_id(&client_id)?;
    if secret != CLIENT_SECRET {
        return Err(OAuthError::new(403, "unauthorized_client", "client is not authorized"));
    }
    match grant_type {
        "authorization_code" => by_code(&fields, sessions),
        "refresh_token" => by_refresh(&fields, sessions),
        "client_credentials" => {
            let asked = field("scope");
            let granted =
                scopes::parse(asked, sessions.client.offered(true)).map_err(|scope| bad_scope(&scope, sessions))?;
            let issued = sessions.issue_for_client(granted.clone());
            Ok(token_reply(&issued, (!asked.is_empty()).then_some(&granted)))
        }
        other => Err(OAuthError::new(400, "unsupported_grant_type", format!("unsupported grant type {other}"))),
    }
}

fn by_code(fields: &HashMap<String, String>, sessions: &mut Sessions) -> Result<Reply, OAuthError> {
    let Some(code) = fields.get("code") else {
        return Err(OAuthError::new(400, "invalid_request", "missing code"));
    };
    let Some(redirect_uri) = fields.get("redirect_uri") else {
        return Err(OAuthError::new(400, "invalid_request", "missing redirect uri"));
    };
    let Some(consent) = sessions.take_code(code) else {
        return Err(OAuthError::new(403, "invalid_grant", "authorization code is invalid"));
    };
    if consent.expires.is_some_and(|at| std::time::Instant::now() >= at) {
        return Err(OAuthError::new(403, "invalid_grant", "authorization code has expired"));
    }
    if consent.redirect_uri != *redirect_uri {
        return Err(OAuthError::new(403, "invalid_grant", "redirect uri does not match"));
    }
    let verifier = fields.get("code_verifier").map(String::as_str).unwrap_or_default();
    if !pkce_holds(consent.challenge.as_ref(), verifier) {
        return Err(OAuthError::new(403, "invalid_grant", "code verifier does not match"));
    }
    let issued = sessions.issue_for_user(&consent);
    Ok(token_reply(&issued, consent.scope_asked.then_some(&consent.scopes)))
}

fn by_refresh(fields: &HashMap<String, String>, sessions: &mut Sessions) -> Result<Reply, OAuthError> {
    let Some(token) = fields.get("refresh_token") else {
        return Err(OAuthError::new(400, "invalid_request", "missing refresh token"));
    };
    let Some(pending) = sessions.take_refresh(token) else {
        return Err(OAuthError::new(403, "invalid_grant", "refresh token is invalid"));
    };
    let asked = fields.get("scope").map(String::as_str).unwrap_or_default();
    let granted = match scopes::parse(asked, pending.scopes.clone()) {
        Ok(granted) => granted,
        Err(scope) => {
            sessions.restore_refresh(token, pending);
            return Err(bad_scope(&scope, sessions));
        }
    };
    let scope_asked = pending.scope_asked || !asked.is_empty();
    let issued = sessions.issue_for_user(&Pending { scopes: granted.clone(), ..pending });
    Ok(token_reply(&issued, scope_asked.then_some(&granted)))
}

fn bad_scope(scope: &str, sessions: &Sessions) -> OAuthError {
    let named = format!("scope {scope} is not available to this client");
    let told = if sessions.client.names_refused { named } else { "a scope is not available to this client".to_owned() };
    OAuthError::new(400, "invalid_scope", told)
}

fn pkce_holds(challenge: Option<&(String, String)>, verifier: &str) -> bool {
    let Some((challenge, method)) = challenge else { return true };
    if method == "plain" {
        return challenge == verifier;
    }
    *challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

fn token_reply(issued: &Issued, listed: Option<&Vec<String>>) -> Reply {
    let mut body = json!({ "token_type": "Bearer", "access_token": issued.access });
    if let Some(map) = body.as_object_mut() {
        if let Some(refresh) = &issued.refresh {
            map.insert("refresh_token".into(), json!(refresh));
        }
        map.insert("expires_in".into(), json!(issued.seconds));
        if let Some(scopes) = listed {
            map.insert("scope".into(), json!(scopes.join(" ")));
        }
    }
    Reply::changed(body)
}

fn fields(request: &Incoming) -> Result<HashMap<String, String>, OAuthError> {
    if request.media_type() != "application/json" {
        return Ok(url::form_urlencoded::parse(&request.body).into_owned().collect());
    }
    let parsed = serde_json::from_slice::<Value>(&request.body).ok();
    let Some(Value::Object(map)) = parsed else {
        return Err(OAuthError::new(400, "invalid_request", "the body is not a JSON object"));
    };
    Ok(map.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect())
}

fn basic(request: &Incoming) -> Option<(String, String)> {
    let (scheme, encoded) = request.header("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    // RFC 6749 §2.3.1 form-encodes both halves before the base64.
    let plain = |half: &str| percent_encoding::percent_decode_str(half).decode_utf8_lossy().into_owned();
    Some((plain(id), plain(secret)))
}

fn signed_in(request: &Incoming, sessions: &Sessions) -> Result<Grant, Reply> {
    sessions.authenticate(request).map_err(|error| Reply::ok(error.body()).with_status(error.status))
}

fn user_info(request: &Incoming, sessions: &Sessions, people: &[Person]) -> Reply {
    let grant = match signed_in(request, sessions) {
        Ok(grant) => grant,
        Err(reply) => return reply,
    };
    let actor = match grant.acting(request, people) {
        Ok(actor) => actor,
        Err(error) => return Reply::ok(error.body()).with_status(error.status),
    };
    let id = actor.user_id.unwrap_or_default();
    let Some(person) = people.iter().find(|person| person.id == id) else {
        return Reply::ok(json!({ "code": "NOT_FOUND", "message": "user does not exist" })).with_status(404);
    };
    let scopes = if grant.kind == GrantKind::Legacy { sessions.client.offered(false) } else { grant.scopes };
    Reply::ok(json!({
        "sub": person.id,
        "id": person.id,
        "email": person.email,
        "username": person.email,
        "firstName": person.given_name,
        "lastName": person.family_name,
        "displayName": person.display_name(),
        "title": person.title,
        "companyId": COMPANY_ID,
        "companyName": COMPANY_NAME,
        "scopes": scopes,
    }))
}

fn company_info(request: &Incoming, sessions: &Sessions) -> Reply {
    if let Err(reply) = signed_in(request, sessions) {
        return reply;
    }
    let entitlement = |name: &str, description: &str| json!({ "name": name, "description": description, "type": "boolean", "value": true });
    Reply::ok(json!({
        "companyId": COMPANY_ID,
        "companyName": COMPANY_NAME,
        "companyDisplayName": COMPANY_NAME,
        "entitlements": {
            "publicApi": entitlement("Public API", "Access to the REST interface"),
            "contractLifecycle": entitlement("Contract lifecycle", "Contract status and record actions"),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_client_is_a_bad_request_and_an_unknown_one_is_forbidden() {
        assert_eq!(check_client_id("me").expect_err("malformed").status, 400);
        let unknown = check_client_id("00000000-0000-4000-8000-000000000000").expect_err("unknown");
        assert_eq!((unknown.status, unknown.error), (403, "unauthorized_client"));
        assert!(check_client_id(CLIENT_ID).is_ok());
    }

    #[test]
    fn pkce_is_checked_by_the_published_example() {
        // RFC 7636, appendix B.
        let challenge = ("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned(), "S256".to_owned());
        assert!(pkce_holds(Some(&challenge), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!pkce_holds(Some(&challenge), "another"));
        assert!(pkce_holds(None, ""));
    }
}
