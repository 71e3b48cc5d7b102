//! Tokens by client credentials, fetched once for all who wait.
//!
//! A scope that Ironclad refuses is looked for and left out, unless the operator named the scopes; what was found is
//! remembered, and everything is asked for again after a day.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::{
    AuthError,
    endpoint::{Endpoint, Issued},
    grants::{Grants, Next, Search, Wanted},
    outcome,
};
use crate::ironclad::door::Door;

/// The longest time before its end that a token is renewed.
const MARGIN: Duration = Duration::from_secs(300);

/// How long a renewal that failed is left alone while the token still serves.
const PAUSE: Duration = Duration::from_secs(30);

/// How long the scopes that were found are asked for without another look.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The client's own tokens.
pub(super) struct ByClient {
    endpoint: Endpoint,
    wanted: Wanted,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    fetched: Option<Fetched>,
    /// The scopes that were granted when Ironclad refused some, and when.
    found: Option<(Vec<String>, Instant)>,
}

struct Fetched {
    token: SecretString,
    /// When to fetch the next one.
    until: Instant,
    ends: Instant,
}

impl ByClient {
    pub(super) fn new(endpoint: Endpoint, wanted: Wanted) -> Self {
        Self { endpoint, wanted, state: Arc::default() }
    }

    pub(super) async fn token(
        self: &Arc<Self>,
        http: &Door,
        refused: Option<&SecretString>,
        grants: &watch::Sender<Arc<Grants>>,
    ) -> Result<SecretString, AuthError> {
        // Held while fetching: whoever else needs the token waits here for the same one.
        let state = Arc::clone(&self.state).lock_owned().await;
        let now = Instant::now();
        let known = state.fetched.as_ref();
        let known = known.filter(|known| refused.is_none_or(|no| no.expose_secret() != known.token.expose_secret()));
        if let Some(known) = known.filter(|known| known.until > now) {
            return Ok(known.token.clone());
        }
        let serves = known.filter(|known| known.ends > now).map(|known| known.token.clone());
        // In a task of its own: the call that asked first may be cancelled, and others wait for the token.
        let (client, http, grants) = (Arc::clone(self), http.clone(), grants.clone());
        let renewing = tokio::spawn(async move { client.renew(&http, state, serves, &grants).await });
        renewing.await.unwrap_or(Err(AuthError::NoToken))
    }

    async fn renew(
        &self,
        http: &Door,
        mut state: OwnedMutexGuard<State>,
        serves: Option<SecretString>,
        grants: &watch::Sender<Arc<Grants>>,
    ) -> Result<SecretString, AuthError> {
        match self.fetch(http, &mut state, grants).await {
            Ok(token) => Ok(token),
            Err(error) => {
                let (Some(token), Some(fetched)) = (serves, state.fetched.as_mut()) else { return Err(error) };
                tracing::warn!(%error, "the token cannot be renewed; it still serves");
                fetched.until = (Instant::now() + PAUSE).min(fetched.ends);
                Ok(token)
            }
        }
    }

    async fn fetch(
        &self,
        http: &Door,
        state: &mut State,
        grants: &watch::Sender<Arc<Grants>>,
    ) -> Result<SecretString, AuthError> {
        let asked = self.ask(http, state).await;
        http.metrics().token_asked(outcome(&asked));
        let (issued, asked) = asked?;
        let mut known = Grants::of(&asked, issued.scopes.as_deref());
        known.withheld = self.wanted.scopes().iter().filter(|scope| !known.allow(scope)).cloned().collect();
        grants.send_if_modified(|before| {
            let news = **before != known;
            if news {
                *before = Arc::new(known);
            }
            news
        });
        let Issued { access, lifetime, .. } = issued;
        let now = Instant::now();
        let until = now + lifetime.saturating_sub(MARGIN).max(lifetime / 2);
        state.fetched = Some(Fetched { token: access.clone(), until, ends: now + lifetime });
        Ok(access)
    }

    /// A token with as many of the wanted scopes as Ironclad gives, and what was asked for at last.
    async fn ask(&self, http: &Door, state: &mut State) -> Result<(Issued, Vec<String>), AuthError> {
        let remembered = state.found.as_ref().filter(|(_, when)| when.elapsed() < REMEMBERED);
        if let Some((scopes, _)) = remembered {
            match self.endpoint.by_client(http, scopes).await {
                Err(AuthError::Refused { code, .. }) if code == "invalid_scope" => state.found = None,
                Ok(issued) => return Ok((issued, scopes.clone())),
                Err(error) => return Err(error),
            }
        }
        let mut search = Search::new(self.wanted.scopes());
        let mut best = None;
        loop {
            let asked = search.ask();
            let (next, refusal) = match self.endpoint.by_client(http, &asked).await {
                Ok(issued) => {
                    best = Some((issued, asked));
                    (search.granted(), None)
                }
                Err(AuthError::Refused { code, description }) if code == "invalid_scope" && self.may_narrow() => {
                    let next = search.refused(description.as_deref().unwrap_or_default());
                    (next, Some(AuthError::Refused { code, description }))
                }
                Err(error) => return Err(error),
            };
            if next == Next::Ask {
                continue;
            }
            return match (best, refusal) {
                (Some((issued, asked)), _) => {
                    let narrowed = asked.len() < self.wanted.scopes().len();
                    state.found = narrowed.then(|| (asked.clone(), Instant::now()));
                    Ok((issued, asked))
                }
                (None, Some(refusal)) => Err(refusal),
                (None, None) => Err(AuthError::NoToken),
            };
        }
    }

    fn may_narrow(&self) -> bool {
        matches!(self.wanted, Wanted::Needed(_))
    }
}
