//! Tokens of a kept login: read from disk, renewed for all who wait, shared with other processes.
//!
//! The file is looked at on every call, since another process may have renewed it, `login` replaced it or `logout` taken
//! it away; that costs a few microseconds. A login of somebody else is not taken up while the program runs: it would
//! act for a person whom nobody chose.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, watch};

use super::{
    AuthError,
    endpoint::Endpoint,
    grants::Grants,
    login::{Fingerprint, Head, KeptIn, Login, User},
    outcome,
    renewal::{Renewal, Renewer},
    seal::SealKey,
    store::{LoginStore, Stamp, StoreError},
};
use crate::ironclad::door::Door;

/// How long a renewal that failed is left alone while the token still serves.
const PAUSE: Duration = Duration::from_secs(30);

/// How long a person may take to unlock the key store.
const UNLOCKING: Duration = Duration::from_secs(120);

/// A login that is kept on this machine.
pub struct Kept {
    store: LoginStore,
    endpoint: Endpoint,
    renewer: Renewer,
    timeouts: (Duration, Duration),
    /// Who signed in when the program began.
    user: User,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    login: Option<Login>,
    stamp: Option<Stamp>,
    key: Option<SealKey>,
    /// The token after which Ironclad gave no other, and its words.
    ended: Option<(Fingerprint, Option<String>)>,
    /// No renewal before.
    not_before: Option<Instant>,
}

impl Kept {
    /// The login that was found, with what renews it; `timeouts` are those of a request and of connecting.
    #[must_use]
    pub fn new(
        store: LoginStore,
        head: &Head,
        endpoint: Endpoint,
        renewer: Renewer,
        timeouts: (Duration, Duration),
    ) -> Self {
        let state = Mutex::new(State::default());
        Self { store, endpoint, renewer, timeouts, user: head.user.clone(), state }
    }

    /// Who signed in when the program began.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.label()
    }

    /// The token to use now; `refused` is one that Ironclad would not take.
    pub(super) async fn token(
        &self,
        http: &Door,
        refused: Option<&SecretString>,
        grants: &watch::Sender<Arc<Grants>>,
    ) -> Result<SecretString, AuthError> {
        // Held while renewing: whoever else needs the token waits here for the same one.
        let mut state = self.state.lock().await;
        let login = self.current(&mut state, grants).await?;
        let is_refused = refused.is_some_and(|refused| refused.expose_secret() == login.access.expose_secret());
        if !is_refused && !login.is_due() {
            return Ok(login.access);
        }
        let serves = !is_refused && !login.has_ended();
        if serves && state.not_before.is_some_and(|until| Instant::now() < until) {
            return Ok(login.access);
        }
        match self.renewed(&mut state, &login, http, grants).await {
            Ok(access) => Ok(access),
            Err(error) if serves => {
                tracing::warn!(%error, "the kept login cannot be renewed; its token still serves");
                state.not_before = Some(Instant::now() + PAUSE);
                Ok(login.access)
            }
            Err(error) => Err(error),
        }
    }

    async fn renewed(
        &self,
        state: &mut State,
        login: &Login,
        http: &Door,
        grants: &watch::Sender<Arc<Grants>>,
    ) -> Result<SecretString, AuthError> {
        let stale = login.fingerprint();
        if let Some((_, description)) = state.ended.as_ref().filter(|(ended, _)| *ended == stale) {
            return Err(AuthError::LoginEnded { description: description.clone() });
        }
        let renewal = Renewal {
            endpoint: self.endpoint.clone(),
            store: self.store.clone(),
            key: state.key.clone(),
            stale,
            timeouts: self.timeouts,
        };
        let renewed = renewal.run(http, &self.renewer).await;
        http.metrics().token_asked(outcome(&renewed));
        match renewed {
            Ok(()) => Ok(self.current(state, grants).await?.access),
            Err(AuthError::Refused { code, description }) if code == "invalid_grant" => {
                state.ended = Some((stale, description.clone()));
                Err(AuthError::LoginEnded { description })
            }
            Err(error) => Err(error),
        }
    }

    /// The login as it is on disk now.
    async fn current(&self, state: &mut State, grants: &watch::Sender<Arc<Grants>>) -> Result<Login, AuthError> {
        let stamp = self.store.stamp();
        if let Some(login) = state.login.as_ref().filter(|_| stamp.is_some() && stamp == state.stamp) {
            return Ok(login.clone());
        }
        let Some(record) = self.store.read()? else { return Err(AuthError::LoggedOut) };
        if record.head().user.label() != self.user.label() {
            let name = |user: &User| user.label().unwrap_or("somebody unknown").to_owned();
            return Err(AuthError::OtherUser { began_as: name(&self.user), now: name(&record.head().user) });
        }
        let head_grants = record.head().grants();
        let login = match record.kept_in() {
            KeptIn::File => record.open(None),
            KeptIn::KeyStore => {
                let text = self.store.read()?.ok_or(AuthError::LoggedOut)?;
                match state.key.as_ref().map(|key| text.open(Some(key))) {
                    Some(Ok(login)) => Ok(login),
                    // Signed in anew, with another key.
                    Some(Err(_)) | None => {
                        let key = state.key.insert(key_of(&self.store).await?);
                        record.open(Some(key))
                    }
                }
            }
        };
        let login = login.map_err(|_| StoreError::NoKey(self.store.path()))?;
        grants.send_if_modified(|known| {
            let news = **known != head_grants;
            if news {
                *known = Arc::new(head_grants);
            }
            news
        });
        state.stamp = stamp;
        state.not_before = None;
        state.login = Some(login.clone());
        Ok(login)
    }
}

/// The key of a sealed login, from a thread of its own: a person may have to unlock it.
pub(super) async fn key_of(store: &LoginStore) -> Result<SealKey, StoreError> {
    let owned = store.clone();
    let fetched = tokio::time::timeout(UNLOCKING, tokio::task::spawn_blocking(move || owned.key())).await;
    match fetched {
        Ok(Ok(key)) => key,
        Ok(Err(_)) | Err(_) => Err(StoreError::NoKey(store.path())),
    }
}
