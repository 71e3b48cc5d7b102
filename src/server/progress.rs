//! Tells a client that asked for it how a long call goes on, by MCP's progress notifications. A call that has something to
//! tell gives up its place among those that are worked on.
//!
//! Several parts of a call may report, each with a clock of its own; MCP wants one figure that only grows. So the figure
//! is the seconds since the call came.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rmcp::{
    Peer, RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::RequestContext,
};
use tokio::time::Instant;

use super::place::Place;
use crate::dispatch::Progress;

/// How long a client may take to be told; a call is not held up by one that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// A call that may have to wait, and whoever waits for it.
pub(super) struct Waiting {
    client: Option<Client>,
    place: Place,
}

/// A client that asked to hear how its call goes on.
struct Client {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    clock: Growing,
}

impl Waiting {
    /// The call of a request, and its client if it gave a token to hear by.
    pub(super) fn new(cx: &RequestContext<RoleServer>) -> Self {
        let token = cx.meta.get_progress_token();
        let client = token.map(|token| Client { peer: cx.peer.clone(), token, clock: Growing::new() });
        Self { client, place: Place::taken(&cx.extensions) }
    }
}

impl Progress for Waiting {
    fn report<'a>(&'a self, _waited: Duration, what: &'a str) -> BoxFuture<'a, ()> {
        self.place.leave();
        let Some(client) = &self.client else { return Box::pin(std::future::ready(())) };
        Box::pin(async move {
            let told = ProgressNotificationParam::new(client.token.clone(), client.clock.next()).with_message(what);
            // A client that no longer listens is no reason to give the call up.
            let _ = tokio::time::timeout(PATIENCE, client.peer.notify_progress(told)).await;
        })
    }
}

/// Seconds since it was made, and always more than before.
struct Growing {
    began: Instant,
    last: Mutex<f64>,
}

impl Growing {
    fn new() -> Self {
        Self { began: Instant::now(), last: Mutex::new(-1.0) }
    }

    fn next(&self) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Thousandths, since a client may show the figure.
        let now = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        *last = if now > *last { now } else { *last + 0.001 };
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_figure_grows_with_every_report_and_follows_the_clock() {
        let clock = Growing::new();
        let mut figures = vec![clock.next(), clock.next(), clock.next()];
        tokio::time::advance(Duration::from_millis(2500)).await;
        figures.extend([clock.next(), clock.next()]);
        assert!(figures.windows(2).all(|pair| pair[0] < pair[1]), "{figures:?}");
        assert!(figures[0] == 0.0 && (figures[3] - 2.5).abs() < 1e-9, "{figures:?}");
    }
}
