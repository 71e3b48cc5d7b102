//! Lets in who brings a token that counts, and keeps each session to the caller who opened it.
//!
//! Every request brings its token, also within a session, so a token that is taken out of the settings serves no longer.
//! The verified [`Agent`] goes into the request's extensions; the token itself goes no further than here.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use serde::Deserialize;

use super::{
    bounds::Whole,
    oauth::ResourceServer,
    sessions::{Sessions, named},
};
use crate::{agents::Agent, policy::Access, roster::LiveRoster, server::Server};

const METHOD: &str = "mcp-method";
const LISTEN: &str = "subscriptions/listen";

/// Which tokens are taken.
#[derive(Debug, Clone)]
pub enum CallerCheck {
    /// Those of agents.
    Agents(Arc<LiveRoster>),
    /// Those of an authorization server.
    Oauth(Arc<ResourceServer>),
}

impl CallerCheck {
    fn roster(&self) -> &LiveRoster {
        match self {
            Self::Agents(roster) => roster,
            Self::Oauth(server) => &server.roster,
        }
    }

    /// Who makes a request, or what whoever it is must be told.
    async fn admit(&self, headers: &HeaderMap) -> Result<Agent, Response> {
        match self {
            Self::Agents(roster) => {
                let agent = bearer(headers).and_then(|token| roster.now().by_token(token));
                agent.ok_or_else(|| unauthorized(headers.contains_key(AUTHORIZATION)))
            }
            Self::Oauth(server) => Box::pin(server.admit(headers)).await,
        }
    }
}

impl CallerCheck {
    /// How long somebody may be told things without bringing their token again; `None` is as long as they like.
    fn patience(&self, agent: &Agent) -> Option<Duration> {
        match self {
            Self::Agents(_) => None,
            Self::Oauth(server) => agent.principal().map(|principal| server.issuer.left(principal.expires)),
        }
    }
}

/// Whether a request asks to be told things from now on, and not for an answer.
pub(super) fn listens(request: &Request) -> bool {
    request.method() == Method::GET || request.headers().get(METHOD).is_some_and(|method| method == LISTEN)
}

/// The same answer, which ends when time is up.
pub(super) fn cut_off(response: Response, patience: Duration) -> Response {
    let (head, body) = response.into_parts();
    let stream = body.into_data_stream().take_until(Box::pin(tokio::time::sleep(patience)));
    Response::from_parts(head, Body::from_stream(stream))
}

/// Whoever may call, and whose the sessions are.
pub(super) struct Callers {
    pub(super) check: CallerCheck,
    pub(super) sessions: Arc<Sessions>,
}

impl Callers {
    /// Ends the sessions of agents that are not there any more; runs until it is dropped.
    pub(super) async fn end_orphans(&self) {
        let mut changes = self.check.roster().changes();
        while changes.changed().await.is_ok() {
            let roster = Arc::clone(&changes.borrow_and_update());
            let is_gone = |agent: &Agent| roster.by_name(&agent.name).is_none();
            self.sessions.end_where(|session| session.agent().is_some_and(is_gone));
        }
    }

    /// Lets a request in if its caller is known and the session that it names is theirs, and says how long it may listen.
    ///
    /// # Errors
    /// The answer to somebody who is not let in.
    pub(super) async fn admit(&self, request: &mut Request) -> Result<Option<Duration>, Response> {
        let agent = self.check.admit(request.headers()).await?;
        if named(request.headers()).is_some_and(|session| self.bars(session, &agent)) {
            // The same as for a session that never was: whose it is is nobody else's business.
            return Err((StatusCode::NOT_FOUND, "Not Found: Session not found").into_response());
        }
        request.headers_mut().remove(AUTHORIZATION);
        let patience = self.check.patience(&agent).filter(|_| listens(request));
        request.extensions_mut().insert(agent);
        Ok(patience)
    }

    /// What to tell a caller whose token alone keeps them from the tool that they call.
    pub(super) fn wants(&self, request: &Whole, server: &Server) -> Option<HeaderValue> {
        let CallerCheck::Oauth(resource) = &self.check else { return None };
        let agent: &Agent = request.extensions().get()?;
        // Whoever reaches all there is needs no look at the body.
        agent.principal().filter(|principal| principal.access < Access::Full)?;
        let Called { method, params } = serde_json::from_slice(request.body()).ok()?;
        let scope = server.scope_beyond(&params.name, agent).filter(|_| method == "tools/call")?;
        resource.beyond(scope)
    }

    /// Whether a session is another caller's, or nobody's.
    fn bars(&self, session: &str, agent: &Agent) -> bool {
        let session = self.sessions.get(session);
        session.is_none_or(|session| session.agent().is_none_or(|owner| owner.identity() != agent.identity()))
    }
}

/// A call, as far as it matters who may make it.
#[derive(Deserialize)]
struct Called {
    method: String,
    params: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// The one bearer token of a request (RFC 6750 §2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
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
