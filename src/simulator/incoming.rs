//! A request off the wire with its body read, before anything is known about it.

use bytes::Bytes;
use http::HeaderMap;

use super::exchange::Query;

/// Method, target, headers and body.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Upper-case method.
    pub(crate) method: String,
    /// The path, still percent-encoded.
    pub(crate) path: String,
    /// The query string.
    pub(crate) query: Query,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
}

impl Incoming {
    /// A header as text; none when absent or not text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type without parameters, lower case.
    pub(crate) fn media_type(&self) -> String {
        let full = self.header("content-type").unwrap_or_default();
        full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}
