//! Tells a client that asked for it how a long call goes on, by MCP's progress notifications.
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

use crate::dispatch::Progress;

/// How long a client may take to be told; a call is not held up by one that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// A client that waits for one call.
pub(super) struct Waiting {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    clock: Growing,
}

impl Waiting {
    /// The client of a request, if it gave a token to hear by.
    pub(super) fn new(cx: &RequestContext<RoleServer>) -> Option<Self> {
        Some(Self { peer: cx.peer.clone(), token: cx.meta.get_progress_token()?, clock: Growing::new() })
    }
}

impl Progress for Waiting {
    fn report<'a>(&'a self, _waited: Duration, what: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let told = ProgressNotificationParam::new(self.token.clone(), self.clock.next()).with_message(what);
            // A client that no longer listens is no reason to give the call up.
            let _ = tokio::time::timeout(PATIENCE, self.peer.notify_progress(told)).await;
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
