//! Which Ironclad host is spoken to, and which hosts may never be.

use std::{fmt, str::FromStr};

use url::{Host, Url};

/// Ironclad's environments: separate stacks with separate accounts (ironclad-api.md §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Region {
    /// US production.
    #[default]
    Na1,
    /// EU production.
    Eu1,
    /// The demo environment.
    Demo,
}

impl Region {
    /// The region's origin.
    #[must_use]
    pub fn origin(self) -> Origin {
        let host = match self {
            Self::Na1 => "na1",
            Self::Eu1 => "eu1",
            Self::Demo => "demo",
        };
        Origin { text: format!("https://{host}.ironcladapp.com"), loopback: false }
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "na1" => Ok(Self::Na1),
            "eu1" => Ok(Self::Eu1),
            "demo" => Ok(Self::Demo),
            _ => Err(format!("{text:?} is no region; give na1, eu1 or demo, or set a base URL")),
        }
    }
}

/// The origin of an Ironclad host: scheme, host, port, and nothing behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    text: String,
    loopback: bool,
}

impl Origin {
    /// The origin without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host alone: a name, or an address (in brackets where it is of IPv6).
    #[must_use]
    pub fn host(&self) -> &str {
        let behind_scheme = self.text.split_once("://").map_or(self.text.as_str(), |(_, rest)| rest);
        let end = if behind_scheme.starts_with('[') {
            behind_scheme.find(']').map(|at| at + 1)
        } else {
            behind_scheme.find(':')
        };
        end.and_then(|end| behind_scheme.get(..end)).unwrap_or(behind_scheme)
    }

    /// Whether it is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL ({error})"))?;
        let loopback = is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            _ => return Err(format!("{text:?} must be https, or http on a loopback address")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a base URL must not hold credentials".into());
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{text:?} must be an origin, such as https://na1.ironcladapp.com, with no path"));
        }
        Ok(Self { text: url.origin().ascii_serialization(), loopback })
    }
}

/// Whether a URL names this machine, by name or by address.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_an_origin_and_nothing_more() {
        let table = [
            ("https://eu1.ironcladapp.com", Some("https://eu1.ironcladapp.com")),
            ("https://eu1.ironcladapp.com/", Some("https://eu1.ironcladapp.com")),
            ("https://EU1.ironcladapp.com:443", Some("https://eu1.ironcladapp.com")),
            ("http://127.0.0.1:9000", Some("http://127.0.0.1:9000")),
            ("http://[::1]:9000", Some("http://[::1]:9000")),
            ("http://localhost:9000/", Some("http://localhost:9000")),
            ("http://na1.ironcladapp.com", None),
            ("http://127.0.0.1.evil.example", None),
            ("ftp://127.0.0.1", None),
            ("https://na1.ironcladapp.com/public/api/v1", None),
            ("https://user:secret@na1.ironcladapp.com", None),
            ("https://na1.ironcladapp.com/?a=b", None),
            ("na1.ironcladapp.com", None),
            ("", None),
        ];
        for (text, expected) in table {
            let origin = text.parse::<Origin>();
            assert_eq!(origin.as_ref().ok().map(Origin::as_str), expected, "{text}: {origin:?}");
        }
    }

    #[test]
    fn a_refused_base_url_never_repeats_its_password() {
        let refusal = "https://user:hunter2@na1.ironcladapp.com".parse::<Origin>().unwrap_err();
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }

    #[test]
    fn the_host_is_what_stands_between_scheme_and_port() {
        let table = [
            ("https://na1.ironcladapp.com", "na1.ironcladapp.com"),
            ("https://a.example:8443", "a.example"),
            ("http://127.0.0.1:9000", "127.0.0.1"),
            ("http://[::1]:9000", "[::1]"),
            ("http://[::1]", "[::1]"),
        ];
        for (origin, host) in table {
            assert_eq!(origin.parse::<Origin>().unwrap().host(), host, "{origin}");
        }
    }
}
