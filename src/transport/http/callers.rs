//! Lets in who brings an agent's token, and keeps each session to the agent that opened it.
//!
//! Every request brings its token, also within a session, so a token that is taken out of the settings serves no longer.
//! The verified [`Agent`] goes into the request's extensions; the token itself goes no further than here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use rmcp::transport::streamable_http_server::session::SessionManager;

use super::sessions::Sessions;
use crate::{agents::Agent, roster::LiveRoster};

const SESSION: &str = "mcp-session-id";

/// After so many sessions, those that ended are looked for.
const SWEEP: usize = 64;

/// Whoever may call, and whose the sessions are.
pub(super) struct Callers {
    roster: Arc<LiveRoster>,
    sessions: Arc<Sessions>,
    owners: Mutex<HashMap<String, String>>,
}

impl Callers {
    /// The agents of a roster.
    pub(super) fn new(roster: Arc<LiveRoster>, sessions: Arc<Sessions>) -> Arc<Self> {
        Arc::new(Self { roster, sessions, owners: Mutex::default() })
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn bind(&self, session: &str, agent: &Agent) {
        if self.owners().len() >= SWEEP {
            let live = self.sessions.ids().await;
            self.owners().retain(|id, _| live.contains(id.as_str()));
        }
        self.owners().insert(session.to_owned(), agent.name.clone());
    }

    /// Ends the sessions of agents that are not there any more; runs until it is dropped.
    pub(super) async fn end_orphans(&self) {
        let mut changes = self.roster.changes();
        while changes.changed().await.is_ok() {
            let roster = Arc::clone(&changes.borrow_and_update());
            let mut orphans = Vec::new();
            self.owners().retain(|id, name| {
                let stays = roster.by_name(name).is_some();
                if !stays {
                    orphans.push(id.clone());
                }
                stays
            });
            for id in orphans {
                if let Err(error) = self.sessions.close_session(&id.into()).await {
                    tracing::debug!(%error, "a session could not be closed");
                }
            }
        }
    }
}

/// Takes a request on to the server if its caller is known.
pub(super) async fn admit(State(callers): State<Arc<Callers>>, mut request: Request, next: Next) -> Response {
    let token = bearer(request.headers());
    let Some(agent) = token.and_then(|token| callers.roster.now().by_token(token)) else {
        return unauthorized(request.headers().contains_key(AUTHORIZATION));
    };
    let text = |headers: &HeaderMap| headers.get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let session = text(request.headers());
    if let Some(id) = &session
        && callers.owners().get(id) != Some(&agent.name)
    {
        // The same as for a session that never was: whose it is is nobody else's business.
        return (StatusCode::NOT_FOUND, "Not Found: Session not found").into_response();
    }
    request.headers_mut().remove(AUTHORIZATION);
    let ends = request.method() == Method::DELETE;
    request.extensions_mut().insert(agent.clone());
    let response = next.run(request).await;
    match (session, text(response.headers())) {
        (None, Some(opened)) => callers.bind(&opened, &agent).await,
        (Some(id), _) if ends && response.status().is_success() => {
            callers.owners().remove(&id);
        }
        _ => {}
    }
    response
}

/// The one bearer token of a request (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (given.next()?, given.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// 401, and how to do better (RFC 6750 §3).
fn unauthorized(tried: bool) -> Response {
    let challenge = if tried {
        r#"Bearer realm="ironclad-mcp", error="invalid_token", error_description="the token is no agent's""#
    } else {
        r#"Bearer realm="ironclad-mcp""#
    };
    let told = "send the token of an agent as Authorization: Bearer TOKEN\n";
    let mut response = (StatusCode::UNAUTHORIZED, told).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn one_bearer_token_is_read_and_nothing_else() {
        for given in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(bearer(&headers(&[given])), Some("abc"), "{given}");
        }
        for wrong in [&[][..], &["Basic abc"], &["abc"], &["Bearer"], &["Bearer a", "Bearer b"]] {
            assert_eq!(bearer(&headers(wrong)), None, "{wrong:?}");
        }
    }
}
