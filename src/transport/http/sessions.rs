//! Sessions of clients up to 2025-11-25: no more than a cap, and none that is idle for long.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use futures_util::Stream;
use rmcp::{
    model::{ClientJsonRpcMessage, ProtocolVersion, ServerJsonRpcMessage},
    transport::{
        common::server_side_http::{ServerSseMessage, SessionId},
        streamable_http_server::session::{
            SessionManager,
            local::{LocalSessionManager, LocalSessionManagerError},
        },
    },
};

use tokio::sync::Mutex;

use super::bounds::busy;

/// How many there may be, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most sessions at once.
    pub(super) most: usize,
    /// How long a session may be idle.
    pub(super) idle: Duration,
}

/// Keeps sessions in memory, up to a cap.
#[derive(Debug)]
pub(super) struct Sessions {
    local: LocalSessionManager,
    most: usize,
    /// Held by whoever begins a session: several may have come through the layer at once.
    door: Mutex<()>,
}

/// Why a session cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionsError {
    #[error("there are as many sessions as there may be")]
    Full,
    #[error(transparent)]
    Local(#[from] LocalSessionManagerError),
}

impl Sessions {
    pub(super) fn new(bounds: Bounds) -> Self {
        let mut local = LocalSessionManager::default();
        local.session_config.keep_alive = Some(bounds.idle);
        Self { local, most: bounds.most, door: Mutex::default() }
    }

    /// Those that there are.
    pub(super) async fn ids(&self) -> HashSet<SessionId> {
        self.local.sessions.read().await.keys().cloned().collect()
    }

    /// How many there are.
    pub(super) async fn count(&self) -> usize {
        self.local.sessions.read().await.len()
    }
}

/// The layer: says that there is no room before a session is begun; rmcp would answer a full house with a plain 500.
pub(super) async fn with_room(State(sessions): State<Arc<Sessions>>, request: Request, next: Next) -> Response {
    if may_begin(&request) && sessions.count().await >= sessions.most {
        return busy("there are as many sessions as there may be\n");
    }
    next.run(request).await
}

/// Whether a request may begin a session: it belongs to none, and is not of the revision without them.
fn may_begin(request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name);
    let version = header("mcp-protocol-version").and_then(|version| version.to_str().ok());
    let modern = ProtocolVersion::V_2026_07_28;
    request.method() == Method::POST
        && header("mcp-session-id").is_none()
        && version.is_none_or(|version| version < modern.as_str())
}

impl SessionManager for Sessions {
    type Error = SessionsError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let _door = self.door.lock().await;
        if self.count().await >= self.most {
            return Err(SessionsError::Full);
        }
        Ok(self.local.create_session().await?)
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        Ok(self.local.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        Ok(self.local.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        Ok(self.local.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(self.local.create_stream(id, message).await?)
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        Ok(self.local.accept_message(id, message).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(self.local.create_standalone_stream(id).await?)
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(self.local.resume(id, last_event_id).await?)
    }
}
