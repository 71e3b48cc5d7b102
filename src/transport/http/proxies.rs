//! Who is at the other end: the peer of the connection, or the client that a listed proxy speaks for.
//!
//! Anybody can write `X-Forwarded-*`, so it is believed only from proxies that the operator lists, and taken out of every
//! other request before anything looks at it. The name that a listed proxy was asked by takes the place of `Host`: whatever
//! checks hosts then checks the one that the client used.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use ipnet::IpNet;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(in crate::transport) const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What proxies add to a request; also what nobody here believes.
const ADDED: [HeaderName; 5] = [FOR, HOST, PROTO, header::FORWARDED, HeaderName::from_static("x-real-ip")];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Its address.
    pub(super) address: IpAddr,
    /// Whether something stands between it and this server, as far as the request tells.
    pub(super) is_proxied: bool,
}

/// Puts the [`Client`] into a request, and takes every forwarded header out that is not believed.
pub(super) fn believe(peer: IpAddr, trusted: &[IpNet], request: &mut Request) -> Client {
    let headers = request.headers_mut();
    let is_proxied = ADDED.iter().any(|name| headers.contains_key(name));
    let believed = is_trusted(peer, trusted).then(|| (last(headers, &HOST), last(headers, &PROTO)));
    let address = if believed.is_some() { forwarded(peer, trusted, headers) } else { peer.to_canonical() };
    if is_proxied {
        ADDED.iter().for_each(|name| {
            headers.remove(name);
        });
    }
    let (host, proto) = believed.unwrap_or_default();
    for (name, value) in [(header::HOST, host), (PROTO, proto)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    let client = Client { address, is_proxied };
    request.extensions_mut().insert(client);
    client
}

/// Notes that somebody was not let in.
pub(super) fn note(client: Client, path: &str, status: StatusCode) {
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        tracing::info!(client = %client.address, path, status = status.as_u16(), "a request was refused");
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address.to_canonical()))
}

/// The last value of a header, which the nearest proxy wrote.
fn last(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let text = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    HeaderValue::from_str(text.rsplit(',').next()?.trim()).ok().filter(|value| !value.is_empty())
}

/// The client that a listed proxy speaks for: the nearest address that is no listed proxy's. What stands before it was
/// written by the client itself.
fn forwarded(peer: IpAddr, trusted: &[IpNet], headers: &HeaderMap) -> IpAddr {
    let values = headers.get_all(FOR).iter().rev().filter_map(|value| value.to_str().ok());
    let mut nearest = peer.to_canonical();
    for hop in values.flat_map(|value| value.rsplit(',')) {
        let Some(address) = address(hop) else { break };
        nearest = address;
        if !is_trusted(nearest, trusted) {
            break;
        }
    }
    nearest
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_nearest_that_is_no_listed_proxy() {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).into();
        let table: [(&str, &[&str], &str); 9] = [
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ];
        for (peer, values, expected) in table {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|value| {
                headers.append(FOR, value.parse().unwrap());
            });
            let client = forwarded(peer.parse().unwrap(), &trusted, &headers);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {values:?}");
        }
    }

    #[test]
    fn the_nearest_proxy_has_the_last_word() {
        let mut headers = HeaderMap::new();
        headers.append(PROTO, "http, https".parse().unwrap());
        assert_eq!(last(&headers, &PROTO).unwrap(), "https");
        headers.append(PROTO, "http".parse().unwrap());
        assert_eq!(last(&headers, &PROTO).unwrap(), "http");
        assert_eq!(last(&headers, &HOST), None);
    }
}
