//! One request from its arrival to the end of its answer, and whether its client stayed for it.
//!
//! A client that gives a call up closes its connection, and the server's work is dropped wherever it stands: so the mark of
//! a client that left is a guard that was dropped before the answer's last byte was handed over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::{Frame, SizeHint};

use super::faults::Fault;

/// A request's number and its misfortune; every request that reaches the router carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visit {
    /// Counts the requests of one server, from 1.
    pub(crate) number: u64,
    /// What strikes it.
    pub(crate) fault: Option<Fault>,
}

/// Told of what happens to requests below the router.
pub(crate) trait Witness: Send + Sync {
    /// A fault kept this request from being done.
    fn kept_off(&self, visit: Visit, parts: &Parts);
    /// The client of this request went away before its answer was whole.
    fn left(&self, visit: Visit, parts: &Parts);
}

/// Counts something for as long as it lasts.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// One more from now on.
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A client that waits for its answer.
pub(crate) struct Presence {
    visit: Visit,
    parts: Parts,
    witness: Option<Arc<dyn Witness>>,
    _under_way: Counted,
}

impl Presence {
    /// The client of `request`, from now on.
    pub(crate) fn of(
        request: &Request<Body>,
        visit: Visit,
        (witness, under_way): (Option<Arc<dyn Witness>>, Counted),
    ) -> Self {
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.headers_mut() = request.headers().clone();
        Self { visit, parts: head.into_parts().0, witness, _under_way: under_way }
    }

    /// Tells that a fault keeps the request from being done.
    pub(crate) fn kept_off(&self) {
        if let Some(witness) = &self.witness {
            witness.kept_off(self.visit, &self.parts);
        }
    }

    /// There is nothing more to wait for.
    pub(crate) fn ended(mut self) {
        self.witness = None;
    }

    /// The answer, which the client waits for to its last byte.
    pub(crate) fn until_the_end_of(self, response: Response<Body>) -> Response<Body> {
        if response.status() == StatusCode::NO_CONTENT || response.body().is_end_stream() {
            self.ended();
            return response;
        }
        response.map(|body| Body::new(Attended { body, rest: Bytes::new(), presence: Some(self) }))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(witness) = &self.witness {
            witness.left(self.visit, &self.parts);
        }
    }
}

/// The most bytes that are handed over at once: what was handed over counts as taken.
const PIECE: usize = 64 * 1024;

/// A body that knows whether it was taken whole.
struct Attended {
    body: Body,
    /// What is left of a piece that was too large.
    rest: Bytes,
    presence: Option<Presence>,
}

impl Attended {
    fn over(&mut self) {
        if let Some(presence) = self.presence.take() {
            presence.ended();
        }
    }
}

impl HttpBody for Attended {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Ready(end) => {
                    self.over();
                    return Poll::Ready(end);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        if self.is_end_stream() {
            self.over();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
