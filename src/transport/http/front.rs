//! The way of one request at `/mcp`, in order: who calls, whose session it is, its bounds, a place, and the answer.
//!
//! One function rather than a stack of layers: a layer costs every request a copy of what lies beneath and two boxes, also
//! while it waits.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header::WWW_AUTHENTICATE},
    response::Response,
};
use http_body_util::Full;
use rmcp::{ServerHandler, model::ProtocolVersion, transport::streamable_http_server::StreamableHttpService};

use super::{
    bounds::{Gate, Whole, busy},
    callers::{Callers, cut_off},
    direct::Direct,
    sessions::{Manager, SESSION, Sessions, named},
};
use crate::server::Server;

/// What stands at `/mcp`.
pub(super) struct Front<H> {
    pub(super) server: Server,
    /// Who may call; `None` is whoever reaches the port.
    pub(super) callers: Option<Arc<Callers>>,
    pub(super) gate: Gate,
    pub(super) sessions: Arc<Sessions>,
    pub(super) direct: Direct,
    /// Whatever is no plain call.
    pub(super) mcp: StreamableHttpService<H, Manager<H>>,
}

impl<H: ServerHandler + Clone> Front<H> {
    /// Answers one request.
    pub(super) async fn answer(&self, mut request: Request) -> Response {
        let patience = match &self.callers {
            None => None,
            Some(callers) => match callers.admit(&mut request).await {
                Ok(patience) => patience,
                Err(refusal) => return refusal,
            },
        };
        let response = self.bounded(request).await;
        match patience {
            Some(patience) => cut_off(response, patience),
            None => response,
        }
    }

    async fn bounded(&self, request: Request) -> Response {
        let Some(_counted) = self.gate.counted() else {
            return busy("the server answers as many requests as it can\n");
        };
        let (request, _held) = match self.gate.whole(request).await {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        if may_begin(&request) && self.sessions.is_full() {
            // rmcp would answer a full house with a plain 500.
            return busy("there are as many sessions as there may be\n");
        }
        if request.method() != Method::POST {
            return self.by_rmcp(request).await;
        }
        let wants = self.callers.as_ref().and_then(|callers| callers.wants(&request, &self.server));
        let request = self.gate.enter(request).await;
        let response = self.called(request).await;
        // The call was made, since its refusal is to be on record.
        match wants {
            Some(challenge) if response.status().is_success() => challenged(response, challenge),
            _ => response,
        }
    }

    async fn called(&self, request: Whole) -> Response {
        if !self.direct.is_plain(&request) {
            return self.by_rmcp(request).await;
        }
        let (head, body) = request.into_parts();
        match self.direct.call(&head, &body) {
            Some(call) => Box::pin(self.direct.answer(head, call)).await,
            None => self.by_rmcp(Request::from_parts(head, body)).await,
        }
    }

    async fn by_rmcp(&self, request: Whole) -> Response {
        let ends = request.method() == Method::DELETE;
        if ends && let Some(session) = named(request.headers()).and_then(|id| self.sessions.get(id)) {
            session.is_left.store(true, Ordering::Release);
        }
        let mut response = Box::pin(self.mcp.handle(request.map(Full::new))).await.map(Body::new);
        // The Python SDK takes any other success for a failure to end the session.
        if ends && response.status() == StatusCode::ACCEPTED {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    }
}

/// The same answer to somebody whose token reaches no further, with the way to one that does (RFC 6750 §3.1).
fn challenged(mut response: Response, challenge: HeaderValue) -> Response {
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// Whether a request may begin a session: it belongs to none, and is not of the revision without them.
fn may_begin(request: &Whole) -> bool {
    let version = request.headers().get("mcp-protocol-version").and_then(|version| version.to_str().ok());
    let modern = ProtocolVersion::V_2026_07_28;
    request.method() == Method::POST
        && !request.headers().contains_key(SESSION)
        && version.is_none_or(|version| version < modern.as_str())
}
