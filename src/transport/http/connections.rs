//! Takes connections, and ends those that keep it waiting.
//!
//! axum's own loop has no clock: a client that sends its headers a byte a minute, or never, would hold its place for ever.

use std::{convert::Infallible, future::poll_fn, net::IpAddr, pin::Pin, sync::Arc, task::Poll, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, Version, body::Incoming, server::conn::http1, service::HttpService};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    callers, proxies,
    streams::{self, Handover, Outlet},
};

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

/// What is served, and which proxies are believed.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) router: Router,
    pub(super) trusted: Arc<[IpNet]>,
}

/// Serves connections until `over`, and then until their answers are written. Dropping it ends them.
pub(super) async fn serve(listener: TcpListener, site: Site, bounds: Bounds, over: CancellationToken) {
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
                    let conversation = converse((stream, address.ip()), site.clone(), bounds, over.clone());
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

async fn converse((stream, peer): (TcpStream, IpAddr), site: Site, bounds: Bounds, over: CancellationToken) {
    // Without this, every streamed answer waits some 40 ms for a delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let handover = Handover::default();
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let client = proxies::believe(peer, &site.trusted, &mut request);
        let path = request.uri().path().to_owned();
        // Chunks came with this version.
        let listens = callers::listens(&request) && request.version() == Version::HTTP_11;
        let answer = site.router.clone().oneshot(request);
        let handover = handover.clone();
        async move {
            let response = answer.await?;
            proxies::note(client, &path, response.status());
            Ok::<_, Infallible>(if listens { handover.leave(response) } else { response })
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_headers(bounds.headers)
        .max_buf_size(bounds.head_bytes)
        .serve_connection(TokioIo::new(Outlet::new(stream, &handover)), service);
    let ended = tokio::select! {
        ended = driven(&mut connection, &handover) => ended,
        () = over.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            driven(&mut connection, &handover).await
        }
    };
    let ended = match ended {
        Ok(None) => Ok(()),
        Ok(Some(body)) => {
            let connection = connection.into_parts().io.into_inner().stream;
            streams::stream(connection, body).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended badly");
    }
}

/// Drives a connection to its end, or to a body that is streamed by another way.
async fn driven<S>(
    connection: &mut http1::Connection<TokioIo<Outlet>, S>,
    handover: &Handover,
) -> Result<Option<Body>, hyper::Error>
where
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
        Poll::Pending => handover.take().map_or(Poll::Pending, |body| Poll::Ready(Ok(Some(body)))),
    })
    .await
}
