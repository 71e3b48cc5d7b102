//! Serving HTTP/1.1 with faults. The accept loop is our own because the worst faults happen below HTTP: a reset needs the
//! socket's linger option at the moment it is closed, and a cut body must really have been half sent.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::faults::{Fault, Faults};
use super::swollen;
use super::visit::{Counted, Presence, Visit, Witness};

/// The faults a server injects; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Misfortunes {
    faults: Arc<RwLock<Faults>>,
    witness: Option<Arc<dyn Witness>>,
    visits: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
}

impl Misfortunes {
    /// Starts with these faults.
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults: Arc::new(RwLock::new(faults)), ..Self::default() }
    }

    /// Tells `witness` of every request that never reaches the router, or whose client goes away.
    #[must_use]
    pub(crate) fn witnessed_by(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Puts other faults in the place of the present ones.
    pub(crate) fn replace(&self, faults: Faults) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// How many requests are not answered to the last byte.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Acquire)
    }

    fn next(&self, method: &str, path: &str) -> Option<Fault> {
        self.faults.read().unwrap_or_else(PoisonError::into_inner).next(method, path)
    }
}

/// Serves `router` until `shutdown` is cancelled or this future is dropped; open connections end with it.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    misfortunes: Misfortunes,
    shutdown: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let open = Counted::new(&misfortunes.connections);
                    connections.spawn(converse(stream, router.clone(), (misfortunes.clone(), open)));
                }
                // Out of file descriptors, most likely: a pause lets other connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

async fn converse(stream: TcpStream, router: Router, (misfortunes, _open): (Misfortunes, Counted)) {
    let _ = stream.set_nodelay(true);
    let fate = Arc::new(Fate::default());
    let wire = Wire { stream, fate: Arc::clone(&fate) };
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        answer(request.map(Body::new), router.clone(), misfortunes.clone(), Arc::clone(&fate))
    });
    // A failed connection is the client's to notice; often enough it was failed on purpose.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(wire), service).await;
}

/// The connection ends here, as a fault wants it.
#[derive(Debug, thiserror::Error)]
#[error("connection ended by a fault")]
struct Ended;

async fn answer(
    mut request: Request<Body>,
    router: Router,
    misfortunes: Misfortunes,
    fate: Arc<Fate>,
) -> Result<Response<Body>, Ended> {
    let fault = misfortunes.next(request.method().as_str(), request.uri().path());
    let visit = Visit { number: misfortunes.visits.fetch_add(1, Ordering::Relaxed) + 1, fault };
    let under_way = Counted::new(&misfortunes.under_way);
    let presence = Presence::of(&request, visit, (misfortunes.witness, under_way));
    request.extensions_mut().insert(visit);
    let Some(fault) = fault else { return Ok(presence.until_the_end_of(routed(router, request).await)) };
    if !fault.acts() {
        presence.kept_off();
        presence.ended();
        return instead(fault, &fate);
    }
    if let Fault::Slow { ms } = fault {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let response = routed(router, request).await;
    if fault == Fault::Hang {
        std::future::pending::<()>().await;
    }
    let spoiled = spoiled(fault, response, &fate).await;
    if matches!(fault, Fault::Cut | Fault::ResetAfter) {
        // Whoever is thrown out has not left.
        presence.ended();
        return spoiled;
    }
    spoiled.map(|response| presence.until_the_end_of(response))
}

async fn routed(router: Router, request: Request<Body>) -> Response<Body> {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The answer of a fault that comes instead of acting.
fn instead(fault: Fault, fate: &Fate) -> Result<Response<Body>, Ended> {
    match fault {
        Fault::Status { status, retry_after } => {
            let (code, message) = match status {
                429 => ("TOO_MANY_REQUESTS", "too many requests, retry later"),
                502 => ("BAD_GATEWAY", "bad gateway"),
                503 => ("SERVER_ERROR", "service unavailable"),
                504 => ("SERVER_ERROR", "upstream timed out"),
                _ => ("SERVER_ERROR", "internal server error"),
            };
            let mut response = json_error(status, code, message);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Ok(response)
        }
        Fault::ExpiredToken => Ok(json_error(401, "UNAUTHORIZED", "token has expired")),
        Fault::Html { status } => {
            let page = "<!DOCTYPE html>\n<html><head><title>Error</title></head><body><h1>Something went wrong</h1>\
                <p>The server could not complete your request. Please try again in 30 seconds.</p></body></html>\n";
            Ok(page_of(status, "text/html; charset=UTF-8", Body::from(page)))
        }
        Fault::ResetBefore => Err(fate.reset()),
        Fault::Slow { .. }
        | Fault::Trickle { .. }
        | Fault::Cut
        | Fault::Hang
        | Fault::Stall
        | Fault::ResetAfter
        | Fault::WrongType
        | Fault::Malformed
        | Fault::Endless { .. }
        | Fault::Bomb { .. }
        | Fault::Headers { .. } => Err(Ended),
    }
}

fn json_error(status: u16, code: &str, message: &str) -> Response<Body> {
    let body = serde_json::json!({ "code": code, "message": message });
    page_of(status, "application/json; charset=utf-8", Body::from(body.to_string()))
}

fn page_of(status: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What a fault makes of the router's answer.
async fn spoiled(fault: Fault, mut response: Response<Body>, fate: &Arc<Fate>) -> Result<Response<Body>, Ended> {
    match fault {
        Fault::ResetAfter => Err(fate.reset()),
        Fault::WrongType => {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            Ok(response)
        }
        Fault::Malformed => {
            let (mut parts, body) = whole(response).await?;
            parts.headers.remove(CONTENT_LENGTH);
            // Half of a bare `true` or of nothing must be wrong too.
            let half = if body.len() < 2 { Bytes::from_static(b"{\"list\": [") } else { body.slice(..body.len() / 2) };
            Ok(Response::from_parts(parts, Body::from(half)))
        }
        Fault::Cut | Fault::Stall => {
            let (mut parts, body) = whole(response).await?;
            if body.len() < 2 && fault == Fault::Cut {
                // Nothing to halve, so the answer goes missing altogether.
                return Err(Ended);
            }
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            let cut = (fault == Fault::Cut).then(|| Arc::clone(fate));
            Ok(Response::from_parts(parts, half_then_nothing(&body, cut)))
        }
        Fault::Trickle { ms } => {
            let (parts, body) = whole(response).await?;
            Ok(Response::from_parts(parts, trickling(body, Duration::from_millis(ms))))
        }
        Fault::Endless { status } => {
            let (parts, body) = whole(response).await?;
            Ok(swollen::endless(with_status(parts, status), &body))
        }
        Fault::Bomb { mb, status } => {
            let (parts, body) = whole(response).await?;
            Ok(swollen::bomb(with_status(parts, status), &body, mb))
        }
        Fault::Headers { headers } => {
            swollen::add_headers(response.headers_mut(), headers);
            Ok(response)
        }
        Fault::Slow { .. }
        | Fault::Hang
        | Fault::Status { .. }
        | Fault::ResetBefore
        | Fault::ExpiredToken
        | Fault::Html { .. } => Ok(response),
    }
}

async fn whole(response: Response<Body>) -> Result<(http::response::Parts, Bytes), Ended> {
    let (parts, body) = response.into_parts();
    to_bytes(body, usize::MAX).await.map(|bytes| (parts, bytes)).map_err(|_| Ended)
}

/// A body in ten pieces, each after a pause.
fn trickling(body: Bytes, pause: Duration) -> Body {
    let size = body.len().div_ceil(10).max(1);
    let pieces = stream::iter((0..body.len()).step_by(size));
    Body::from_stream(pieces.then(move |at| {
        let piece = body.slice(at..body.len().min(at + size));
        async move {
            tokio::time::sleep(pause).await;
            Ok::<Bytes, io::Error>(piece)
        }
    }))
}

fn with_status(mut parts: http::response::Parts, status: Option<u16>) -> http::response::Parts {
    parts.status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(parts.status);
    parts
}

/// The first half of a body, and then never anything: a wire that is to be cut is cut once that half has left.
fn half_then_nothing(body: &Bytes, cut: Option<Arc<Fate>>) -> Body {
    let half = body.slice(..body.len() / 2);
    let nothing = stream::poll_fn(move |_| {
        if let Some(fate) = &cut {
            fate.cut.store(true, Ordering::Release);
        }
        Poll::Pending
    });
    Body::from_stream(stream::iter([Ok::<Bytes, io::Error>(half)]).chain(nothing))
}

/// How a connection is to end.
#[derive(Default)]
struct Fate {
    reset: AtomicBool,
    cut: AtomicBool,
}

impl Fate {
    fn reset(&self) -> Ended {
        self.reset.store(true, Ordering::Release);
        Ended
    }
}

/// A TCP stream that knows its fate.
struct Wire {
    stream: TcpStream,
    fate: Arc<Fate>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.fate.reset.load(Ordering::Acquire) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only a flush comes after all that was buffered has been written, so this is the moment to cut.
        if self.fate.cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A polite end of the stream would take the sting out of the reset.
        if self.fate.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
