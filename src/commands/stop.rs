//! Tells a server to stop when the operating system asks for it.

use tokio_util::sync::CancellationToken;

/// A token that SIGTERM and SIGINT (or Ctrl-C) cancel; must be called inside a runtime.
pub(super) fn on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        asked().await;
        stopped.cancel();
    });
    stop
}

#[cfg(unix)]
async fn asked() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be listened for; the server will end without a farewell");
        return std::future::pending().await;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}

#[cfg(not(unix))]
async fn asked() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "Ctrl-C cannot be listened for; the server will end without a farewell");
        std::future::pending::<()>().await;
    }
}
