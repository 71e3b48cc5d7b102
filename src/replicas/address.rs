//! Where Redis is, as the operator tells it.

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// The URL of a Redis, which may hold a password.
#[derive(Debug, Clone)]
pub struct Address(SecretString);

impl Address {
    /// Reads `redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]`, or `rediss://` for TLS.
    ///
    /// # Errors
    /// What is wrong, without the password.
    pub fn read(text: &str) -> Result<Self, String> {
        let right = "give redis://HOST:PORT, or rediss://HOST:PORT for TLS";
        let url = Url::parse(text.trim()).map_err(|error| format!("is no URL ({error}); {right}"))?;
        if !matches!(url.scheme(), "redis" | "rediss") {
            return Err(format!("has the scheme {}; {right}", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("names no host; {right}"));
        }
        redis::Client::open(url.as_str())
            .map_err(|error| format!("is not understood ({}); {right}", error.category()))?;
        Ok(Self(SecretString::from(url.as_str())))
    }

    /// The password in it.
    #[must_use]
    pub fn password(&self) -> Option<SecretString> {
        let url = Url::parse(self.expose()).ok()?;
        let password = url.password().filter(|password| !password.is_empty())?;
        let plain = percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned();
        Some(SecretString::from(plain))
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_and_its_password_is_never_shown() {
        for right in ["redis://127.0.0.1:6379", "redis://cache/2", "rediss://u:hunter22@cache.example:6380/0"] {
            assert!(Address::read(right).is_ok(), "{right}");
        }
        for (wrong, why) in [
            ("cache.example", "is no URL"),
            ("http://cache.example", "has the scheme http"),
            ("redis:///0", "names no host"),
            ("redis://u:hunter22@cache.example/number", "is not understood"),
        ] {
            let fault = Address::read(wrong).unwrap_err();
            assert!(fault.starts_with(why) && !fault.contains("hunter22"), "{fault}");
        }
        let address = Address::read("redis://:hunter%40two@h").unwrap();
        assert_eq!(address.password().unwrap().expose_secret(), "hunter@two");
        assert!(!format!("{address:?}").contains("hunter"));
        assert!(Address::read("redis://h").unwrap().password().is_none());
    }
}
