//! Takes connections, and ends those that keep it waiting.
//!
//! axum's own loop has no clock: a client that sends its headers a byte a minute, or never, would hold its place for ever.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::proxies::Peer;

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How many may be open; more wait to be taken.
    pub(super) connections: usize,
    /// How long the head of a request may take; so also how long a connection may be idle.
    pub(super) head: Duration,
    /// The most headers of a request.
    pub(super) headers: usize,
    /// The most bytes of a request's head.
    pub(super) head_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 8192, head: Duration::from_secs(60), headers: 100, head_bytes: 64 * 1024 }
    }
}

/// Serves connections until `over`, and then until their answers are written. Dropping it ends them.
pub(super) async fn serve(listener: TcpListener, router: Router, bounds: Bounds, over: CancellationToken) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut open = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = over.cancelled() => break,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            (place, accepted) = accepted => match accepted {
                Ok((stream, address)) => {
                    let peer = Peer(address.ip());
                    let conversation = converse((stream, peer), router.clone(), bounds, over.clone());
                    open.spawn(async move {
                        conversation.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: a pause lets other connections end.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

async fn converse((stream, peer): (TcpStream, Peer), router: Router, bounds: Bounds, over: CancellationToken) {
    // Without this, every streamed answer waits some 40 ms for a delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_headers(bounds.headers)
        .max_buf_size(bounds.head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = over.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}
