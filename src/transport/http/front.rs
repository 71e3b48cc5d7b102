//! The way of one request at `/mcp`, in order: who calls, whose session it is, its bounds, a place, and the answer.
//!
//! One function rather than a stack of layers: a layer costs every request a copy of what lies beneath and two boxes, also
//! while it waits.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use rmcp::{ServerHandler, model::ProtocolVersion, transport::streamable_http_server::StreamableHttpService};

use super::{
    bounds::{Gate, busy},
    callers::{Callers, cut_off},
    direct::Direct,
    sessions::{Manager, SESSION, Sessions, named},
};

/// What stands at `/mcp`.
pub(super) struct Front<H> {
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
        let request = self.gate.enter(request).await;
        if !self.direct.is_plain(&request) {
            return self.by_rmcp(request).await;
        }
        let (head, body) = request.into_parts();
        // It is whole already, and within its bounds.
        let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
        match self.direct.call(&head, &body) {
            Some(call) => Box::pin(self.direct.answer(head, call)).await,
            None => self.by_rmcp(Request::from_parts(head, Body::from(body))).await,
        }
    }

    async fn by_rmcp(&self, request: Request) -> Response {
        let ends = request.method() == Method::DELETE;
        if ends && let Some(session) = named(&request).and_then(|id| self.sessions.get(id)) {
            session.is_left.store(true, Ordering::Release);
        }
        let mut response = Box::pin(self.mcp.handle(request)).await.map(Body::new);
        // The Python SDK takes any other success for a failure to end the session.
        if ends && response.status() == StatusCode::ACCEPTED {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    }
}

/// Whether a request may begin a session: it belongs to none, and is not of the revision without them.
fn may_begin(request: &Request) -> bool {
    let version = request.headers().get("mcp-protocol-version").and_then(|version| version.to_str().ok());
    let modern = ProtocolVersion::V_2026_07_28;
    request.method() == Method::POST
        && !request.headers().contains_key(SESSION)
        && version.is_none_or(|version| version < modern.as_str())
}
