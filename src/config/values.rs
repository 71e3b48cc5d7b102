//! The kinds of value that settings have, and how each is read from text and from TOML.

use std::{fmt, str::FromStr};

use serde::{
    Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use crate::{
    ironclad::limiter::{Scope, Share},
    policy::Access,
};

/// Access granted to one group: `workflows=full`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The access group.
    pub group: String,
    /// What is granted.
    pub access: Access,
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((group, access)) = text.split_once('=') else {
            return Err("give GROUP=LEVEL, such as workflows=full; levels are off, read and full".into());
        };
        Ok(Self { group: group.trim().to_owned(), access: access.trim().parse()? })
    }
}

/// A rate limit of one bucket, or of the company: `workflows-write=20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// What it holds for.
    pub scope: Scope,
    /// Requests a minute.
    pub limit: usize,
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scope, limit)) = text.split_once('=') else {
            return Err("give BUCKET=N, such as workflows-write=20,company=1000".into());
        };
        let limit =
            limit.trim().parse().map_err(|_| format!("{:?} is no number of requests a minute", limit.trim()))?;
        Self::new(scope.trim(), limit)
    }
}

impl RateLimit {
    fn new(scope: &str, limit: u64) -> Result<Self, String> {
        match usize::try_from(limit) {
            Ok(limit @ 1..=1_000_000) => Ok(Self { scope: scope.parse()?, limit }),
            _ => Err(format!("{limit} is out of range; give 1 to 1000000 requests a minute")),
        }
    }
}

/// The table `[rate_limits]`.
pub(super) fn rate_limits<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<RateLimit>>, D::Error> {
    struct Table;
    impl<'de> Visitor<'de> for Table {
        type Value = Option<Vec<RateLimit>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of buckets, such as workflows-write = 20")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Self::Value, A::Error> {
            let mut limits = Vec::new();
            while let Some((scope, limit)) = table.next_entry::<String, u64>()? {
                limits.push(RateLimit::new(&scope, limit).map_err(A::Error::custom)?);
            }
            Ok(Some(limits))
        }
    }
    from.deserialize_any(Table)
}

/// A TOML number, or the same as text.
pub(super) fn share<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Share>, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = Option<Share>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number above 0 and up to 1")
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(Some).map_err(E::custom)
        }
    }
    from.deserialize_any(Number)
}

/// Reads a switch in any of the spellings that people use.
///
/// # Errors
/// The text is none of them.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" => Ok(false),
        _ => Err("give true or false (1, 0, on, off, yes and no are understood too)".into()),
    }
}

/// A TOML boolean, or a switch in words.
pub(super) fn switch_from_toml<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    struct Switch;
    impl Visitor<'_> for Switch {
        type Value = Option<bool>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            Ok(Some(value))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            switch(text).map(Some).map_err(E::custom)
        }
    }
    from.deserialize_any(Switch)
}

/// An array of texts, or one text alone.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    struct Texts;
    impl<'de> Visitor<'de> for Texts {
        type Value = Option<Vec<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or an array of texts")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(vec![text.to_owned()]))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = items.next_element()? {
                texts.push(text);
            }
            Ok(Some(texts))
        }
    }
    from.deserialize_any(Texts)
}

/// The table `[access]`.
pub(super) fn grants<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Grant>>, D::Error> {
    struct Table;
    impl<'de> Visitor<'de> for Table {
        type Value = Option<Vec<Grant>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of groups, such as workflows = \"full\"")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Self::Value, A::Error> {
            let mut grants = Vec::new();
            while let Some((group, access)) = table.next_entry()? {
                grants.push(Grant { group, access });
            }
            Ok(Some(grants))
        }
    }
    from.deserialize_any(Table)
}

/// The texts of a list without the blanks around them, and without empty ones.
#[must_use]
pub(super) fn trimmed(list: Option<Vec<String>>) -> Vec<String> {
    let list = list.unwrap_or_default();
    list.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// The texts between any blanks and commas.
#[must_use]
pub(super) fn words(list: Option<Vec<String>>) -> Vec<String> {
    let list = list.unwrap_or_default();
    let words = list.iter().flat_map(|text| text.split([' ', ',', '\t', '\n']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Checks the e-mail address of an acting user, which goes into a header.
pub(super) fn email(text: &str) -> Result<String, String> {
    let whole = user_id(text)?;
    let parts: Vec<&str> = whole.split('@').collect();
    match parts.as_slice() {
        [name, host] if !name.is_empty() && !host.is_empty() && !whole.contains(' ') => Ok(whole),
        _ => Err(format!("{whole:?} is no e-mail address; give one such as maria@example.com")),
    }
}

/// Checks the id of an acting user, which goes into a header.
pub(super) fn user_id(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Err("must be plain text on one line".into());
    }
    Ok(text.to_owned())
}

/// Checks a tool prefix; how long a whole name may be is the catalogue's to say.
pub(super) fn tool_prefix(text: &str) -> Result<String, String> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} may hold letters, digits, _ and - only"))
}

/// Checks what may stand in `Host`: a name or address, and a port if it matters.
pub(super) fn host(text: &str) -> Result<String, String> {
    let whole = url::Url::parse(&format!("http://{text}")).ok();
    let bare = whole.as_ref().is_some_and(|url| {
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
    });
    // A slash or an @ at the end leaves no trace in the parsed URL.
    if bare && !text.contains(['/', '@', '*']) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("{text:?} is no host; give NAME or NAME:PORT, with no scheme and no path"))
}

/// Checks what may stand in `Origin`: scheme, host and port; `:*` is any port.
pub(super) fn web_origin(text: &str) -> Result<String, String> {
    let refused =
        || format!("{text:?} is no origin; give one such as https://agents.example.com or http://localhost:*");
    let (origin, any_port) = text.strip_suffix(":*").map_or((text, ""), |origin| (origin, ":*"));
    let url = url::Url::parse(origin).map_err(|_| refused())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !bare || !matches!(url.scheme(), "http" | "https") {
        return Err(refused());
    }
    Ok(format!("{}{any_port}", url.origin().ascii_serialization()))
}

/// Reads a network, or the address of one machine.
pub(super) fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let one = || text.parse::<std::net::IpAddr>().map(|address| address.to_canonical().into());
    let wrong = |_| format!("{text:?} is no address and no network; give one such as 10.0.0.7 or 10.0.0.0/8");
    text.parse().or_else(|_| one()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_read_in_any_spelling() {
        for (text, expected) in
            [("true", true), ("ON", true), ("1", true), ("Yes", true), (" off ", false), ("0", false)]
        {
            assert_eq!(switch(text), Ok(expected), "{text}");
        }
        assert!(switch("maybe").is_err());
        assert!(switch("").is_err());
    }

    #[test]
    fn a_rate_limit_names_a_bucket_and_a_number() {
        let limit = |text: &str| text.parse::<RateLimit>();
        let scope = Scope::Bucket(crate::ironclad::limiter::Bucket::WorkflowsWrite);
        assert_eq!(limit(" workflows-write = 20 "), Ok(RateLimit { scope, limit: 20 }));
        assert_eq!(limit("company=1000"), Ok(RateLimit { scope: Scope::Company, limit: 1000 }));
        for (wrong, why) in [
            ("workflows-write", "BUCKET=N"),
            ("workflow-writes=20", "there are company, workflows-read"),
            ("company=0", "out of range"),
            ("company=1000001", "out of range"),
            ("company=-1", "no number"),
            ("company=", "no number"),
        ] {
            assert!(limit(wrong).unwrap_err().contains(why), "{wrong}");
        }
    }

    #[test]
    fn an_acting_user_cannot_bring_a_header_of_its_own() {
        assert!(email("maria@example.com\r\nx-as-user-id: 1").is_err());
        assert!(user_id("abc\ndef").is_err());
        assert_eq!(email(" maria@example.com\n"), Ok("maria@example.com".into()));
        for wrong in ["maria", "@example.com", "maria@", "a@b@c", "", "maria lopez@example.com"] {
            assert!(email(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_and_origins_are_told_apart() {
        assert_eq!(host("MCP.example.com:8443"), Ok("mcp.example.com:8443".into()));
        assert_eq!(host("[::1]:8000"), Ok("[::1]:8000".into()));
        for wrong in ["https://mcp.example.com", "mcp.example.com/", "a@b", "*", "a b", ""] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        assert_eq!(web_origin("https://Agents.example.com/"), Ok("https://agents.example.com".into()));
        assert_eq!(web_origin("http://localhost:*"), Ok("http://localhost:*".into()));
        for wrong in ["agents.example.com", "https://a.example/path", "ftp://a.example", "null", "*"] {
            assert!(web_origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_split_where_they_should() {
        assert_eq!(words(Some(vec!["a b,c".into(), "d".into()])), ["a", "b", "c", "d"]);
        assert_eq!(trimmed(Some(vec![" a b ".into(), String::new()])), ["a b"]);
        assert!(trimmed(None).is_empty());
    }
}
