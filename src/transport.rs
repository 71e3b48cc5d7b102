//! How clients reach the server: lines on stdin and stdout, or Streamable HTTP.

mod http;
mod stdio;

#[cfg(feature = "conformance")]
pub use http::serve_http_as;
pub use http::{HttpSettings, serve_http};
pub use stdio::{serve_lines, serve_stdio};

/// How long calls in flight may take to end once the server has been told to stop.
const LAST_CALLS: std::time::Duration = std::time::Duration::from_millis(1500);

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
