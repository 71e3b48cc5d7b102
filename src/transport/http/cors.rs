//! Lets pages of the configured origins use the server from a browser; without any, none may.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

/// How long a browser may keep what a preflight told it.
const KEPT: Duration = Duration::from_secs(3600);

/// The layer for these origins; `None` where there are none.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins.to_vec();
    let allowed = move |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|origin| origins.iter().any(|allowed| covers(allowed, origin)))
    };
    let told = ["mcp-session-id", "mcp-protocol-version"].map(HeaderName::from_static);
    let told = told.into_iter().chain([header::WWW_AUTHENTICATE, header::RETRY_AFTER]);
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| allowed(origin)))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        // Which `Mcp-Param-` headers there are depends on the tool.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::list(told))
        .max_age(KEPT);
    Some(layer)
}

/// Whether an allowed origin, perhaps of any port (`:*`), is this one.
fn covers(allowed: &str, origin: &str) -> bool {
    let Some(any_port) = allowed.strip_suffix(":*") else { return allowed == origin };
    let Some(rest) = origin.strip_prefix(any_port) else { return false };
    rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_covered_by_itself_or_by_any_port() {
        for (allowed, origin, expected) in [
            ("https://app.example.com", "https://app.example.com", true),
            ("https://app.example.com", "https://app.example.com:8443", false),
            ("https://app.example.com", "https://app.example.com.evil.example", false),
            ("http://localhost:*", "http://localhost", true),
            ("http://localhost:*", "http://localhost:6274", true),
            ("http://localhost:*", "http://localhost.evil.example", false),
            ("http://localhost:*", "http://localhost:6274.evil.example", false),
            ("http://localhost:*", "https://localhost:6274", false),
            ("http://localhost:*", "null", false),
        ] {
            assert_eq!(covers(allowed, origin), expected, "{allowed} {origin}");
        }
    }
}
