//! On whose behalf a request is sent, who wants to hear of it, and how far it has come.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    Failure, Head,
    limiter::{Place, Share},
    retry::Attempt,
};
use crate::request::ActingUser;

/// Somebody who waits for a long call.
pub trait Progress: Sync {
    /// Tells what is going on, and how long it has taken.
    fn report<'a>(&'a self, waited: Duration, what: &'a str) -> BoxFuture<'a, ()>;
}

/// On whose behalf a request is sent.
#[derive(Clone, Copy)]
pub struct Errand<'a> {
    /// The acting user: it goes into headers.
    pub user: &'a ActingUser,
    /// The agent, who takes turns with others in the queue for the budget.
    pub agent: &'a str,
    /// How much of the budget this agent may use.
    pub share: Share,
    /// Who wants to hear how long the queue is.
    pub progress: Option<&'a dyn Progress>,
    /// When the client gives up.
    pub deadline: Option<Instant>,
    /// Counts how often the request went out, from the very moment on, but for the times when Ironclad surely did nothing.
    pub sent: Option<&'a AtomicU32>,
}

impl<'a> Errand<'a> {
    /// An errand for this user, of which nobody wants to hear before it is done.
    #[must_use]
    pub fn of(user: &'a ActingUser) -> Self {
        Self { user, agent: "", share: Share::WHOLE, progress: None, deadline: None, sent: None }
    }
}

/// How often a request was sent, and how its last attempt ended.
#[derive(Debug)]
pub struct Exchange<T> {
    /// Times sent.
    pub attempts: u32,
    /// The answer with its head, or why there is none.
    pub result: Result<(Head, T), Failure>,
}

/// A request under way, from its first attempt to its last.
pub(super) struct Trip<'a> {
    pub(super) errand: Errand<'a>,
    began: Instant,
    sent: AtomicU32,
    /// Counted apart from what was sent: a sign-in that fails again and again must end too.
    pub(super) repeats: u32,
    pub(super) renewed: bool,
    pub(super) refused_token: Option<SecretString>,
    /// How long it has queued for the budget.
    pub(super) queued: Duration,
    /// Whether Ironclad sent it back for want of budget.
    pub(super) sent_back: bool,
}

impl<'a> Trip<'a> {
    pub(super) fn new(errand: Errand<'a>) -> Self {
        Self {
            errand,
            began: Instant::now(),
            sent: AtomicU32::new(0),
            repeats: 0,
            renewed: false,
            refused_token: None,
            queued: Duration::ZERO,
            sent_back: false,
        }
    }

    /// The request goes out now. Whatever becomes of the call from here on, it counts as sent.
    pub(super) fn goes(&self, place: Option<&mut Place<'_>>) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if let Some(sent) = self.errand.sent {
            sent.fetch_add(1, Ordering::Release);
        }
        if let Some(place) = place {
            place.used();
        }
    }

    /// Ironclad surely did nothing of what went out so far.
    pub(super) fn came_to_nothing(&self) {
        if let Some(sent) = self.errand.sent {
            sent.store(0, Ordering::Release);
        }
    }

    /// How long the client still waits.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.errand.deadline.map(|deadline| deadline.saturating_duration_since(now))
    }

    /// What the decision to repeat goes by.
    pub(super) fn attempt(&self, retry_after: Option<Duration>, renewable: bool) -> Attempt {
        let now = Instant::now();
        Attempt {
            repeats: self.repeats,
            elapsed: now.duration_since(self.began),
            left: self.left(now),
            retry_after,
            renewable: renewable && !self.renewed,
            chance: fastrand::f64(),
        }
    }

    pub(super) fn ended<T>(&self, result: Result<(Head, T), Failure>) -> Exchange<T> {
        Exchange { attempts: self.sent.load(Ordering::Relaxed), result }
    }
}
