//! Sessions of clients up to 2025-11-25: whose they are, no more than a cap, and none that is idle for long.
//!
//! rmcp's own keep a service, two tasks and five channels for every session, some 100 kB. Here a session is an entry in a
//! table, and each of its requests has a service that ends with it.

mod exchange;
mod manager;
mod session;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use axum::http::HeaderMap;
use rmcp::transport::common::server_side_http::{SessionId, session_id};
use tokio_util::sync::CancellationToken;

pub(super) use self::manager::Manager;
use self::session::Session;

/// The header that names a session.
pub(super) const SESSION: &str = "mcp-session-id";

/// How many there may be, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most sessions at once.
    pub(super) most: usize,
    /// How long a session may be idle.
    pub(super) idle: Duration,
}

/// Those that there are.
pub(super) struct Sessions {
    open: Mutex<HashMap<SessionId, Arc<Session>>>,
    bounds: Bounds,
    /// Ends them all.
    cut: CancellationToken,
}

impl Sessions {
    pub(super) fn new(bounds: Bounds, cut: CancellationToken) -> Arc<Self> {
        let sessions = Arc::new(Self { open: Mutex::default(), bounds, cut });
        tokio::spawn(end_idle(Arc::downgrade(&sessions), bounds.idle));
        sessions
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    /// Whether there are as many as there may be.
    pub(super) fn is_full(&self) -> bool {
        self.count() >= self.bounds.most
    }

    /// The session of an id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.open().get(id).cloned()
    }

    /// A new one; `None` where there are as many as there may be.
    fn begin(&self) -> Option<Arc<Session>> {
        let mut open = self.open();
        if open.len() >= self.bounds.most {
            return None;
        }
        let session = Session::new(session_id(), self.cut.child_token());
        open.insert(Arc::clone(&session.id), Arc::clone(&session));
        Some(session)
    }

    fn end(&self, id: &str) {
        let ended = self.open().remove(id);
        if let Some(session) = ended {
            session.end();
        }
    }

    /// Ends all those of which something is so.
    pub(super) fn end_where(&self, is_so: impl Fn(&Session) -> bool) {
        let ended: Vec<_> = self.open().extract_if(|_, session| is_so(session)).collect();
        ended.iter().for_each(|(_, session)| session.end());
    }
}

/// Ends sessions that are idle for too long, for as long as anybody has use for sessions.
async fn end_idle(sessions: Weak<Sessions>, patience: Duration) {
    let pause = (patience / 4).clamp(Duration::from_millis(10), Duration::from_secs(30));
    loop {
        tokio::time::sleep(pause).await;
        let Some(sessions) = sessions.upgrade() else { return };
        sessions.end_where(|session| {
            session.tidy();
            session.is_idle(patience)
        });
    }
}

/// The session that a request names.
pub(super) fn named(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION)?.to_str().ok()
}
