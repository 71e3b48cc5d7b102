//! What one request may take: the size of its body, the time that it takes to come, and how many are answered at once.
//!
//! Headers that decide something come once: of two, one layer would look at the first, and a proxy before it at the last.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// A body this large is read without asking.
const SMALL: usize = 256 * 1024;

/// The headers that decide something.
const ONCE: [&str; 7] =
    ["host", "origin", "content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"];

/// What requests may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most bytes of a body: a document of 10 MB in base64, and then some, as over stdio.
    pub(super) body_bytes: usize,
    /// How long a body may take to come.
    pub(super) body: Duration,
    /// How many requests are answered at once.
    pub(super) requests: usize,
    /// How many large bodies are held at once.
    pub(super) large_bodies: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { body_bytes: 16 * 1024 * 1024, body: Duration::from_secs(30), requests: 4096, large_bodies: 16 }
    }
}

/// Holds requests to their bounds.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    bounds: Bounds,
    requests: Arc<Semaphore>,
    large_bodies: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { bounds, requests: places(bounds.requests), large_bodies: places(bounds.large_bodies) }
    }

    /// Reads the whole body, so that what follows never waits for a client; a large one with the place that it takes.
    async fn whole(&self, request: Request) -> Result<(Request, Option<OwnedSemaphorePermit>), Response> {
        let (head, body) = request.into_parts();
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let read = if length.is_some_and(|length: usize| length > self.bounds.body_bytes) {
            Err(Unread::TooLarge)
        } else {
            timeout(self.bounds.body, self.read(body)).await.unwrap_or(Err(Unread::TooSlow))
        };
        match read {
            Ok((bytes, place)) => Ok((Request::from_parts(head, Body::from(bytes)), place)),
            Err(Unread::TooLarge) => Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n")),
            Err(Unread::TooSlow) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n")),
            Err(Unread::Broken) => Err(refusal(StatusCode::BAD_REQUEST, "the body did not come whole\n")),
        }
    }

    async fn read(&self, mut body: Body) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Unread> {
        let (mut bytes, mut place) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            let size = bytes.len() + data.len();
            if size > self.bounds.body_bytes {
                return Err(Unread::TooLarge);
            }
            // Not before it is known to be large: or else a few that send nothing would keep everybody out.
            if size > SMALL && place.is_none() {
                place = Some(Arc::clone(&self.large_bodies).acquire_owned().await.map_err(|_| Unread::Broken)?);
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, place))
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    TooSlow,
    Broken,
}

/// The layer: one request through the gate.
pub(super) async fn bounded(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Ok(_place) = gate.requests.try_acquire() else {
        return busy("the server answers as many requests as it can\n");
    };
    if ONCE.iter().any(|name| request.headers().get_all(*name).iter().count() > 1) {
        return refusal(StatusCode::BAD_REQUEST, "a header is there twice that may be there once\n");
    }
    let is_delete = request.method() == Method::DELETE;
    let (request, _held) = match gate.whole(request).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let mut response = next.run(request).await;
    // The Python SDK takes any other success for a failure to end the session.
    if is_delete && response.status() == StatusCode::ACCEPTED {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

/// A refusal that says when to come again.
pub(super) fn busy(why: &'static str) -> Response {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// A refusal after which the connection ends: there may be more of a body to come that nobody will read.
fn refusal(status: StatusCode, why: &'static str) -> Response {
    ([(header::CONNECTION, "close")], (status, why)).into_response()
}
