//! What one request may take: the size of its body, the time that it takes to come, and how many are answered at once.
//!
//! So many are worked on at once that both the processor and Ironclad are busy; the others wait at the door, where a request
//! costs a small part of what it costs inside.
//!
//! Headers that decide something come once: of two, one layer would look at the first, and a proxy before it at the last.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::server::Place;

/// A body this large is read without asking.
const SMALL: usize = 256 * 1024;

/// The headers that decide something.
const ONCE: [&str; 7] =
    ["host", "origin", "content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"];

/// A request whose body was read.
pub(super) type Whole = Request<Bytes>;

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
    /// How many are worked on at once; more wait at the door, in order.
    pub(super) places: usize,
    /// How long one waits there before it goes in all the same: a slow Ironclad is no reason to turn anybody away.
    pub(super) at_the_door: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_bytes: 16 * 1024 * 1024,
            body: Duration::from_secs(30),
            requests: 4096,
            large_bodies: 16,
            places: 64,
            at_the_door: Duration::from_secs(2),
        }
    }
}

/// Holds requests to their bounds.
#[derive(Debug)]
pub(super) struct Gate {
    bounds: Bounds,
    requests: Semaphore,
    large_bodies: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            bounds,
            requests: Semaphore::new(bounds.requests),
            large_bodies: places(bounds.large_bodies),
            places: places(bounds.places),
        }
    }

    /// Counts a request among those that are answered; `None` where there are too many.
    pub(super) fn counted(&self) -> Option<SemaphorePermit<'_>> {
        self.requests.try_acquire().ok()
    }

    /// Lets a request in when there is a place for it.
    pub(super) async fn enter(&self, mut request: Whole) -> Whole {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                request = packed(request);
                let place = timeout(self.bounds.at_the_door, Arc::clone(&self.places).acquire_owned()).await;
                place.ok().and_then(Result::ok)
            }
        };
        if let Some(place) = place {
            request.extensions_mut().insert(Place::of(place));
        }
        request
    }

    /// Reads the whole body, so that what follows never waits for a client; a large one with the place that it takes.
    pub(super) async fn whole(&self, request: Request) -> Result<(Whole, Option<OwnedSemaphorePermit>), Response> {
        if ONCE.iter().any(|name| request.headers().get_all(*name).iter().count() > 1) {
            return Err(refusal(StatusCode::BAD_REQUEST, "a header is there twice that may be there once\n"));
        }
        let (head, body) = request.into_parts();
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let read = if length.is_some_and(|length: usize| length > self.bounds.body_bytes) {
            Err(Unread::TooLarge)
        } else {
            timeout(self.bounds.body, self.read(body)).await.unwrap_or(Err(Unread::TooSlow))
        };
        match read {
            Ok((bytes, place)) => Ok((Request::from_parts(head, bytes.into()), place)),
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

/// The same request, in memory of its own: its head is a part of the connection's buffer, which is larger by far.
fn packed(request: Whole) -> Whole {
    let (mut head, body) = request.into_parts();
    for value in head.headers.values_mut() {
        if let Ok(mut own) = HeaderValue::from_bytes(value.as_bytes()) {
            own.set_sensitive(value.is_sensitive());
            *value = own;
        }
    }
    if let Ok(own) = head.uri.to_string().parse() {
        head.uri = own;
    }
    Request::from_parts(head, body)
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    TooSlow,
    Broken,
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

#[cfg(test)]
mod tests {
    use axum::http::request::Parts;

    use super::*;

    fn gate(places: usize, at_the_door: Duration) -> Gate {
        Gate::new(Bounds { places, at_the_door, ..Bounds::default() })
    }

    fn place(request: Whole) -> Option<Place> {
        let (Parts { mut extensions, .. }, _) = request.into_parts();
        extensions.remove()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_place_waits_for_one_but_not_for_ever() {
        let gate = gate(1, Duration::from_secs(5));
        let first = place(gate.enter(Request::default()).await);
        assert!(first.is_some());
        let began = tokio::time::Instant::now();
        assert!(place(gate.enter(Request::default()).await).is_none(), "it goes in without");
        assert_eq!(began.elapsed().as_secs(), 5);
        let (second, ()) = tokio::join!(gate.enter(Request::default()), async { drop(first) });
        assert!(place(second).is_some());
        assert_eq!(began.elapsed().as_secs(), 5, "it went in at once");
    }

    #[test]
    fn a_packed_request_is_the_same_request() {
        let request =
            Request::builder().uri("/mcp?a=%20").header("x-a", "1").header("x-a", "2").header("x-b", "\u{e9}");
        let (head, _) = packed(request.body(Bytes::new()).unwrap()).into_parts();
        assert_eq!(head.uri, "/mcp?a=%20");
        let values: Vec<&[u8]> = head.headers.values().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [b"1".as_slice(), b"2", "\u{e9}".as_bytes()]);
    }
}
