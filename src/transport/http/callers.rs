//! Lets in who brings a token that counts, and keeps each session to the caller who opened it.
//!
//! Every request brings its token, also within a session, so a token that is taken out of the settings serves no longer.
//! The verified [`Agent`] goes into the request's extensions; the token itself goes no further than here.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use rmcp::transport::{common::server_side_http::SessionId, streamable_http_server::session::SessionManager};

use super::{oauth::ResourceServer, sessions::Sessions};
use crate::{agents::Agent, roster::LiveRoster};

const SESSION: &str = "mcp-session-id";
const METHOD: &str = "mcp-method";
const LISTEN: &str = "subscriptions/listen";

/// From so many sessions on, those that ended are looked for now and then.
const SWEEP: usize = 64;

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
            Self::Oauth(server) => server.admit(headers).await,
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
fn listens(request: &Request) -> bool {
    request.method() == Method::GET || request.headers().get(METHOD).is_some_and(|method| method == LISTEN)
}

/// The same answer, which ends when time is up.
fn cut_off(response: Response, patience: Duration) -> Response {
    let (head, body) = response.into_parts();
    let stream = body.into_data_stream().take_until(Box::pin(tokio::time::sleep(patience)));
    Response::from_parts(head, Body::from_stream(stream))
}

/// Whose a session is.
struct Owner {
    /// The agent that they call through.
    agent: String,
    identity: String,
}

/// Forgets the owners of sessions that ended: those that had one `before` it was looked which are `live`. A session that was
/// begun meanwhile is not among either.
fn sweep(owners: &mut HashMap<String, Owner>, before: &HashSet<String>, live: &HashSet<SessionId>) {
    owners.retain(|id, _| live.contains(id.as_str()) || !before.contains(id));
}

/// Whoever may call, and whose the sessions are.
pub(super) struct Callers {
    check: CallerCheck,
    sessions: Arc<Sessions>,
    owners: Mutex<HashMap<String, Owner>>,
    /// How many owners there are when sessions that ended are looked for next.
    sweep_at: AtomicUsize,
}

impl Callers {
    /// Those whose tokens are taken, without any session yet.
    pub(super) fn new(check: CallerCheck, sessions: Arc<Sessions>) -> Arc<Self> {
        Arc::new(Self { check, sessions, owners: Mutex::default(), sweep_at: AtomicUsize::new(SWEEP) })
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, HashMap<String, Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions that there are owners of, where it is time to look for those that ended.
    fn due(&self) -> Option<HashSet<String>> {
        let owners = self.owners();
        (owners.len() >= self.sweep_at.load(Ordering::Relaxed)).then(|| owners.keys().cloned().collect())
    }

    async fn bind(&self, session: &str, agent: &Agent) {
        if let Some(before) = self.due() {
            let live = self.sessions.ids().await;
            let mut owners = self.owners();
            sweep(&mut owners, &before, &live);
            self.sweep_at.store(SWEEP.max(owners.len() * 2), Ordering::Relaxed);
        }
        let owner = Owner { agent: agent.name.clone(), identity: agent.identity().to_owned() };
        self.owners().insert(session.to_owned(), owner);
    }

    /// Ends the sessions of agents that are not there any more; runs until it is dropped.
    pub(super) async fn end_orphans(&self) {
        let mut changes = self.check.roster().changes();
        while changes.changed().await.is_ok() {
            let roster = Arc::clone(&changes.borrow_and_update());
            let mut orphans = Vec::new();
            self.owners().retain(|id, owner| {
                let stays = roster.by_name(&owner.agent).is_some();
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
    let agent = match callers.check.admit(request.headers()).await {
        Ok(agent) => agent,
        Err(refusal) => return refusal,
    };
    let text = |headers: &HeaderMap| headers.get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let session = text(request.headers());
    if let Some(id) = &session
        && callers.owners().get(id).is_none_or(|owner| owner.identity != agent.identity())
    {
        // The same as for a session that never was: whose it is is nobody else's business.
        return (StatusCode::NOT_FOUND, "Not Found: Session not found").into_response();
    }
    request.headers_mut().remove(AUTHORIZATION);
    let ends = request.method() == Method::DELETE;
    let patience = callers.check.patience(&agent).filter(|_| listens(&request));
    request.extensions_mut().insert(agent.clone());
    let response = next.run(request).await;
    match (session, text(response.headers())) {
        (None, Some(opened)) => callers.bind(&opened, &agent).await,
        (Some(id), _) if ends && response.status().is_success() => {
            callers.owners().remove(&id);
        }
        _ => {}
    }
    match patience {
        Some(patience) => cut_off(response, patience),
        None => response,
    }
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
    fn a_session_that_began_while_it_was_looked_keeps_its_owner() {
        let owner = || Owner { agent: "a".into(), identity: "a".into() };
        let mut owners: HashMap<String, Owner> = ["lives", "ended", "new"].map(|id| (id.to_owned(), owner())).into();
        let before = ["lives", "ended"].map(str::to_owned).into();
        sweep(&mut owners, &before, &[SessionId::from("lives")].into());
        let mut left: Vec<&String> = owners.keys().collect();
        left.sort();
        assert_eq!(left, ["lives", "new"]);
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
