//! Where an issuer publishes its keys: its metadata say, at one of the well-known places (RFC 8414 §3, OpenID Connect
//! Discovery §4).

use serde_json::Value;
use url::{Host, Url};

use super::{Fetch, Unfetched};
use crate::ironclad::page::PageError;

/// The URL of the key set of an issuer: `text` to the letter, and the same as a URL.
pub(super) async fn keys_url((text, url): (&str, &Url), fetch: &dyn Fetch) -> Result<Url, Unfetched> {
    let mut trouble = Unfetched::Unsound(url.clone(), "the issuer has no metadata");
    for place in places(url) {
        match document(&place, fetch).await {
            Ok(metadata) => match keys_of(&metadata, (text, url)) {
                Ok(url) => return Ok(url),
                Err(fault) => trouble = Unfetched::Unsound(place, fault),
            },
            // It may be at the next place.
            Err(Unfetched::Page { source: PageError::Status(400..=499), .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Err(trouble)
}

/// One JSON document.
pub(super) async fn document(url: &Url, fetch: &dyn Fetch) -> Result<Value, Unfetched> {
    let bytes = fetch.fetch(url).await.map_err(|source| Unfetched::Page { url: url.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|_| Unfetched::Unsound(url.clone(), "the answer is no JSON"))
}

/// Where the metadata may be, in the order in which MCP has clients look.
fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let (oauth, openid) = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration");
    let mut paths = vec![format!("{oauth}{path}"), format!("{openid}{path}")];
    if !path.is_empty() {
        paths.push(format!("{path}{openid}"));
    }
    let at = |path: String| {
        let mut place = issuer.clone();
        place.set_path(&path);
        place
    };
    paths.into_iter().map(at).collect()
}

fn keys_of(metadata: &Value, (text, issuer): (&str, &Url)) -> Result<Url, &'static str> {
    let said = |name: &str| metadata.get(name).and_then(Value::as_str);
    // Or else one tenant of a host could speak for another (RFC 8414 §3.3).
    if said("issuer") != Some(text) {
        return Err("the metadata are those of another issuer");
    }
    let keys = said("jwks_uri").and_then(|uri| Url::parse(uri).ok()).ok_or("the metadata name no jwks_uri")?;
    let is_safe = is_safe(&keys) && (keys.scheme() == "https" || is_loopback(issuer));
    if is_safe { Ok(keys) } else { Err("the jwks_uri is no https URL") }
}

/// Whether what is at a URL can be believed: it comes over TLS, or from this machine.
#[must_use]
pub fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn metadata_are_looked_for_where_the_standards_have_them() {
        let found = |issuer: &str| places(&url(issuer)).iter().map(ToString::to_string).collect::<Vec<_>>();
        for issuer in ["https://login.example", "https://login.example/"] {
            assert_eq!(
                found(issuer),
                [
                    "https://login.example/.well-known/oauth-authorization-server",
                    "https://login.example/.well-known/openid-configuration",
                ]
            );
        }
        assert_eq!(
            found("https://login.example/tenant/v2.0"),
            [
                "https://login.example/.well-known/oauth-authorization-server/tenant/v2.0",
                "https://login.example/.well-known/openid-configuration/tenant/v2.0",
                "https://login.example/tenant/v2.0/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn metadata_count_for_their_own_issuer_and_for_safe_places_only() {
        let remote = "https://login.example/a";
        let keys = |issuer: &str, said: &str, uri: &str| {
            keys_of(&json!({"issuer": said, "jwks_uri": uri}), (issuer, &url(issuer))).is_ok()
        };
        assert!(keys(remote, remote, "https://keys.example/jwks"));
        for other in ["https://login.example/b", "https://login.example/a/", "https://login.example"] {
            assert!(!keys(remote, other, "https://keys.example/jwks"), "{other}");
        }
        for uri in ["http://keys.example/jwks", "http://127.0.0.1/jwks", "file:///etc/jwks", "data:,x", "jwks", ""] {
            assert!(!keys(remote, remote, uri), "{uri}");
        }
        let local = "http://127.0.0.1:9";
        assert!(keys(local, local, "http://localhost:8/jwks"));
        assert!(!keys(local, local, "http://login.example/jwks"));
    }
}
