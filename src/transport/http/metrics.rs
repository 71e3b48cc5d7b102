//! `/metrics`: what the server counts, for whoever may read it.
//!
//! The figures name nobody, but tell how much a company works with its contracts and when; so they are for this machine
//! alone unless the operator says otherwise. A page in a browser of this machine must not read them either.

use std::{str::FromStr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{LOOPBACK_HOSTS, proxies::Client, sessions::Sessions};
use crate::server::Server;

/// Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scrapers {
    /// Programs on this machine.
    #[default]
    Local,
    /// Whoever reaches the port.
    Anyone,
    /// Nobody: there is no such page.
    Nobody,
}

impl FromStr for Scrapers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "anyone" => Ok(Self::Anyone),
            "off" => Ok(Self::Nobody),
            _ => Err(format!("{text:?} is not known; give local, anyone or off")),
        }
    }
}

/// What the page needs.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) server: Server,
    pub(super) sessions: Arc<Sessions>,
    pub(super) scrapers: Scrapers,
}

/// Answers with the figures.
pub(super) async fn metrics(State(page): State<Page>, request: Request) -> Response {
    let admitted = match page.scrapers {
        Scrapers::Nobody => return StatusCode::NOT_FOUND.into_response(),
        Scrapers::Anyone => true,
        Scrapers::Local => is_local(request.extensions().get(), request.headers()),
    };
    if !admitted {
        let told = "the figures are for this machine only, unless --metrics (IRONCLAD_METRICS) says otherwise\n";
        return (StatusCode::FORBIDDEN, told).into_response();
    }
    let text = page.server.metrics(page.sessions.count());
    ([(header::CONTENT_TYPE, TEXT)], text).into_response()
}

/// Whether a program on this machine asks, by a name of this machine, and for nobody else.
fn is_local(client: Option<&Client>, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|c| c.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).trim_start_matches('[').trim_end_matches(']');
    client.is_some_and(|client| client.address.is_loopback() && !client.is_proxied)
        && LOOPBACK_HOSTS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_on_this_machine_is_local() {
        let table = [
            ("127.0.0.1", "127.0.0.1:8000", false, true),
            ("127.0.0.1", "LOCALHOST", false, true),
            ("::1", "[::1]:8000", false, true),
            ("10.0.0.7", "localhost", false, false),
            ("127.0.0.1", "evil.example", false, false),
            ("127.0.0.1", "localhost.evil.example:8000", false, false),
            ("127.0.0.1", "", false, false),
            ("127.0.0.1", "localhost", true, false),
        ];
        for (address, host, is_proxied, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            let client = Client { address: address.parse().unwrap(), is_proxied };
            assert_eq!(is_local(Some(&client), &headers), expected, "{client:?} {host}");
        }
        assert!(!is_local(None, &HeaderMap::new()));
    }
}
