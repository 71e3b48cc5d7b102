//! Tells a client that asked for it how a long call goes on, by MCP's progress notifications.

use std::time::Duration;

use futures_util::future::BoxFuture;
use rmcp::{
    Peer, RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::RequestContext,
};

use crate::dispatch::Progress;

/// A client that waits for one call.
pub(super) struct Waiting {
    peer: Peer<RoleServer>,
    token: ProgressToken,
}

impl Waiting {
    /// The client of a request, if it gave a token to hear by.
    pub(super) fn new(cx: &RequestContext<RoleServer>) -> Option<Self> {
        Some(Self { peer: cx.peer.clone(), token: cx.meta.get_progress_token()? })
    }
}

impl Progress for Waiting {
    fn report<'a>(&'a self, waited: Duration, what: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let told = ProgressNotificationParam::new(self.token.clone(), waited.as_secs_f64()).with_message(what);
            // A client that no longer listens is no reason to give the call up.
            let _ = self.peer.notify_progress(told).await;
        })
    }
}
