//! Knows the keys of the authorization server that callers' tokens come from, and checks tokens with them.
//!
//! Keys are fetched when they are needed and kept: for 10 minutes without asking again, for a day where the issuer does
//! not answer. A key that is not known makes them be fetched anew, but never within 30 seconds of the fetch before, or
//! else anybody who makes up tokens could have the issuer flooded from here. A token that was checked is remembered by
//! its hash for as long as the keys stay the same, so that its next call costs no signature.

mod discovery;
mod remembered;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use url::Url;

pub use self::discovery::is_safe;
use self::remembered::Remembered;
use crate::{
    caller_token::{Claims, Keys, LONGEST, Terms, TokenError, check, left},
    ironclad::page::PageError,
};

/// How long keys are used without asking whether they changed, in seconds.
pub const FRESH: i64 = 600;

/// How long keys are used while the issuer does not answer, in seconds.
pub const STALE: i64 = 24 * 60 * 60;

/// The least time between two fetches, in seconds.
pub const FLOOR: i64 = 30;

/// Fetches documents; tests bring their own.
pub trait Fetch: Send + Sync {
    /// The document at a URL.
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Vec<u8>, PageError>>;
}

/// The time in seconds since 1970; tests bring their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysAt {
    /// Where the metadata of the issuer at this URL say (RFC 8414, OpenID Connect Discovery).
    Metadata(Url),
    /// At this URL, which the operator gave.
    Url(Url),
}

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The token is at fault.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token may be good, and there are no keys to tell by.
    #[error("the keys of the authorization server cannot be had, so no token can be checked")]
    NoKeys,
}

/// Why there are no newer keys.
#[derive(Debug, thiserror::Error)]
enum Unfetched {
    #[error("{url}: {source}")]
    Page {
        url: Url,
        #[source]
        source: PageError,
    },
    #[error("{0}: {1}")]
    Unsound(Url, &'static str),
}

/// Keys, and when they came.
#[derive(Debug, Clone)]
struct Held {
    keys: Arc<Keys>,
    /// Counts the sets that differ.
    generation: u64,
    since: i64,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// When keys were last fetched, or could not be.
    tried: Option<i64>,
}

/// An issuer of tokens.
pub struct Issuer {
    terms: Terms,
    keys_at: KeysAt,
    fetch: Box<dyn Fetch>,
    clock: Clock,
    state: Mutex<State>,
    /// Held by whoever fetches: the others wait for what comes.
    turn: tokio::sync::Mutex<()>,
    remembered: Mutex<Remembered>,
}

impl Issuer {
    /// An issuer of which nothing is known yet.
    #[must_use]
    pub fn new(terms: Terms, keys_at: KeysAt, fetch: Box<dyn Fetch>, clock: Clock) -> Arc<Self> {
        let (state, turn, remembered) = (Mutex::default(), tokio::sync::Mutex::default(), Mutex::default());
        Arc::new(Self { terms, keys_at, fetch, clock, state, turn, remembered })
    }

    /// Which tokens are taken.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Fetches the keys, so that the first caller need not wait for them; whether there are any now.
    pub async fn prepare(self: &Arc<Self>) -> bool {
        self.fetch_once(None).await;
        self.state().held.is_some()
    }

    /// What a token says, if it is good now.
    ///
    /// # Errors
    /// It is not, or there are no keys to tell by.
    pub async fn verify(self: &Arc<Self>, token: &str) -> Result<Arc<Claims>, Unverified> {
        if token.len() > LONGEST {
            return Err(TokenError::TooLong.into());
        }
        let held = self.held().await.ok_or(Unverified::NoKeys)?;
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.remembered().get(&hash, held.generation);
        if let Some(claims) = known {
            return if claims.has_ended(self.now()) { Err(TokenError::Expired.into()) } else { Ok(claims) };
        }
        let (held, checked) = match check(token, &held.keys, &self.terms, self.now()) {
            Err(TokenError::UnknownKey) => {
                self.fetch_once(Some(held.generation)).await;
                let newer = self.state().held.clone().unwrap_or(held);
                let checked = check(token, &newer.keys, &self.terms, self.now());
                (newer, checked)
            }
            checked => (held, checked),
        };
        let claims = Arc::new(checked?);
        self.remembered().put(hash, held.generation, Arc::clone(&claims));
        Ok(claims)
    }

    /// How long a token that ends then is taken yet.
    #[must_use]
    pub fn left(&self, expires: i64) -> Duration {
        Duration::from_secs(left(expires, self.now()))
    }

    fn now(&self) -> i64 {
        (self.clock)()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that are good now. Where they are no longer fresh, newer ones are fetched behind the caller's back.
    async fn held(self: &Arc<Self>) -> Option<Held> {
        let (held, now) = (self.state().held.clone(), self.now());
        match held {
            Some(held) if age(held.since, now) < FRESH => Some(held),
            Some(held) if age(held.since, now) < STALE => {
                if self.may_fetch(now) {
                    let issuer = Arc::clone(self);
                    tokio::spawn(async move { issuer.fetch_once(Some(held.generation)).await });
                }
                Some(held)
            }
            _ => {
                self.fetch_once(held.map(|held| held.generation)).await;
                let held = self.state().held.clone();
                held.filter(|held| age(held.since, self.now()) < STALE)
            }
        }
    }

    fn may_fetch(&self, now: i64) -> bool {
        self.state().tried.is_none_or(|tried| age(tried, now) >= FLOOR)
    }

    /// Fetches the keys, unless it was done or tried just now. Whoever comes meanwhile waits for the same fetch.
    async fn fetch_once(self: &Arc<Self>, seen: Option<u64>) {
        let issuer = Arc::clone(self);
        // A task of its own: a caller who hangs up would end the fetch, and use up the time until the next.
        let fetching = tokio::spawn(async move { issuer.fetch_in_turn(seen).await });
        if let Err(error) = fetching.await {
            tracing::error!(%error, "the fetch of the issuer's keys broke off");
        }
    }

    async fn fetch_in_turn(&self, seen: Option<u64>) {
        let _turn = self.turn.lock().await;
        let now = self.now();
        let came_meanwhile = self.state().held.as_ref().map(|held| held.generation) != seen;
        if came_meanwhile || !self.may_fetch(now) {
            return;
        }
        self.state().tried = Some(now);
        let fetched = self.fetched().await;
        // It may have taken long.
        self.state().tried = Some(self.now());
        match fetched {
            Ok(keys) => self.take(keys, now),
            Err(error) => {
                tracing::warn!(issuer = self.terms.issuer, "the keys of the issuer cannot be fetched: {error}");
            }
        }
    }

    fn take(&self, keys: Keys, now: i64) {
        let mut state = self.state();
        let before = state.held.take();
        let held = match before {
            Some(before) if *before.keys == keys => Held { since: now, ..before },
            before => {
                let generation = before.map_or(0, |before| before.generation + 1);
                Held { keys: Arc::new(keys), generation, since: now }
            }
        };
        state.held = Some(held);
    }

    async fn fetched(&self) -> Result<Keys, Unfetched> {
        let url = match &self.keys_at {
            KeysAt::Url(url) => url.clone(),
            KeysAt::Metadata(issuer) => discovery::keys_url((&self.terms.issuer, issuer), &*self.fetch).await?,
        };
        let document = discovery::document(&url, &*self.fetch).await?;
        let keys = Keys::read(&document).filter(|keys| !keys.is_empty());
        keys.ok_or(Unfetched::Unsound(url, "the key set has no public key for signatures"))
    }
}

/// How long ago a time was; a clock that was set back makes it old, and not new for ever.
fn age(then: i64, now: i64) -> i64 {
    now.saturating_sub(then).saturating_abs()
}

#[cfg(test)]
mod tests;
