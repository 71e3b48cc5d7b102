//! Tells a server to stop when the operating system asks for it.

use std::sync::Arc;

use crate::{
    dispatch::{Dispatch, Grace},
    transport::Stop,
};

/// A word to stop that each SIGTERM and SIGINT (or Ctrl-C) gives; must be called inside a runtime.
pub(super) fn on_signal() -> Stop {
    let stop = Stop::default();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let Some(mut signals) = Signals::new() else {
            tracing::warn!("signals cannot be listened for; the server will end without a farewell");
            return;
        };
        while signals.next().await {
            stopped.ask();
        }
    });
    stop
}

/// Lets a signal end the one call of a command: at once, but for a write that was sent, whose answer is waited for.
pub(super) fn on_signal_end_the_call(dispatch: Arc<Dispatch>) {
    let stop = on_signal();
    tokio::spawn(async move {
        stop.asked().await;
        dispatch.drain.stop(Grace { reads: Grace::NONE.reads, ..Grace::TOLD });
        stop.asked_again().await;
        dispatch.drain.stop(Grace::NONE);
    });
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Some(Self {
            terminate: signal(SignalKind::terminate()).ok()?,
            interrupt: signal(SignalKind::interrupt()).ok()?,
        })
    }

    /// Waits for the next signal; `false` where there can be none.
    async fn next(&mut self) -> bool {
        tokio::select! { got = self.terminate.recv() => got.is_some(), got = self.interrupt.recv() => got.is_some() }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Option<Self> {
        Some(Self)
    }

    /// Waits for the next signal; `false` where there can be none.
    async fn next(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}
