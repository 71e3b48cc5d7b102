//! How clients reach the server: lines on stdin and stdout, or Streamable HTTP.

mod approvals;
mod http;
mod stdio;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

#[cfg(feature = "conformance")]
pub use self::http::serve_http_as;
pub use self::{
    approvals::ApprovalsPage,
    http::{CallerCheck, HttpSettings, LOOPBACK_HOSTS, Patience, ResourceServer, Scrapers, serve_http},
    stdio::{serve_lines, serve_stdio},
};
use crate::dispatch::{Drain, Grace};

/// How long the last answers may take to be written once no call is under way.
const LAST_ANSWERS: Duration = Duration::from_millis(1500);

/// How long calls may take to write their lines once they are cut.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How a server is told to stop: once to end in good order, twice to end at once.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: CancellationToken,
    asked_again: CancellationToken,
}

impl Stop {
    /// Asks the server to stop, or to be quick about it if it was asked before.
    pub fn ask(&self) {
        if self.asked.is_cancelled() {
            self.asked_again.cancel();
        } else {
            self.asked.cancel();
        }
    }

    /// Waits until the server is asked to stop.
    pub async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Waits until the server is asked a second time.
    pub async fn asked_again(&self) {
        self.asked_again.cancelled().await;
    }
}

/// Waits for the word to stop or for the client to hang up, and then until the last call has ended.
async fn last_calls(drain: &Drain, stop: &Stop, hung_up: impl Future<Output = ()>) {
    let has_hung_up = tokio::select! {
        () = stop.asked() => {
            drain.told();
            false
        }
        () = hung_up => {
            drain.stop(Grace::HUNG_UP);
            true
        }
    };
    let impatient = async {
        // Whoever hung up and then sends a signal wants an end, too.
        if has_hung_up {
            stop.asked().await
        } else {
            stop.asked_again().await
        }
        drain.stop(Grace::NONE);
        tokio::time::sleep(LAST_LINES).await;
    };
    tokio::select! { () = drain.emptied() => {}, () = impatient => {} }
}

/// Why a transport ended badly.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// The client did not open the connection as MCP has it.
    #[error("the client did not open the connection as MCP has it: {0}")]
    Opening(String),
}
