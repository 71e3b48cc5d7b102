//! The secrets: from the environment, or from files that it names, and from nowhere else.
//!
//! Flags show in process lists and settings files get committed, so neither may hold one.

use std::{ffi::OsString, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};

use super::{ConfigError, Environment};
use crate::{
    keys::Ring,
    masking::{learn, learned},
    replicas::Address,
};

const ACCESS_TOKEN: &str = "IRONCLAD_ACCESS_TOKEN";
const CLIENT_ID: &str = "IRONCLAD_CLIENT_ID";
const CLIENT_SECRET: &str = "IRONCLAD_CLIENT_SECRET";
const STATE_KEY: &str = "IRONCLAD_STATE_KEY";
const REDIS: &str = "IRONCLAD_REDIS";

/// What may sign in.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// A static bearer token; it wins over the client.
    pub access_token: Option<SecretString>,
    /// The OAuth client.
    pub client: Option<OauthClient>,
}

/// An OAuth client.
#[derive(Debug, Clone)]
pub struct OauthClient {
    /// Its id.
    pub id: SecretString,
    /// Its secret.
    pub secret: SecretString,
}

impl Secrets {
    /// Whether there is nothing to sign in with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.access_token.is_none() && self.client.is_none()
    }

    /// Reads what the environment has.
    pub(super) fn from_environment(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let read = |name| secret(name, environment);
        let access_token = read(ACCESS_TOKEN)?.map(learned);
        let client = match (read(CLIENT_ID)?, read(CLIENT_SECRET)?.map(learned)) {
            (None, None) => None,
            (Some(id), Some(secret)) => Some(OauthClient { id, secret }),
            (Some(_), None) => return Err(ConfigError::HalfAClient { present: CLIENT_ID, missing: CLIENT_SECRET }),
            (None, Some(_)) => return Err(ConfigError::HalfAClient { present: CLIENT_SECRET, missing: CLIENT_ID }),
        };
        Ok(Self { access_token, client })
    }
}

/// The keys of the file that the command line names, else those of the environment, else of the file that is `set`.
pub(super) fn state_keys(
    (named, set): (Option<PathBuf>, Option<PathBuf>),
    environment: Environment<'_>,
) -> Result<Option<Ring>, ConfigError> {
    let given = match named {
        Some(file) => Some(read_file(STATE_KEY, file)?),
        None => text(STATE_KEY, environment)?,
    };
    let Some(text) = given.map(Ok).or_else(|| set.map(|file| read_file(STATE_KEY, file))).transpose()? else {
        return Ok(None);
    };
    for key in text.split([',', ' ', '\t', '\r', '\n']).filter(|key| !key.is_empty()) {
        learn(&SecretString::from(key));
    }
    Ring::read(&text).map(Some).map_err(|fault| ConfigError::invalid("state_key", fault))
}

/// Where Redis is: by the command line, else by the environment, else as it is `set`. Only the environment, and a file that
/// it names, may tell a password.
pub(super) fn redis(
    (named, set): (Option<String>, Option<String>),
    environment: Environment<'_>,
) -> Result<Option<Address>, ConfigError> {
    let wrong = |fault| ConfigError::invalid("redis", fault);
    let read = |text: &str| {
        let address = Address::read(text).map_err(wrong)?;
        let password = address.password().map(learned);
        Ok((address, password.is_some()))
    };
    let in_the_open = match named {
        Some(named) => named,
        None => match (secret(REDIS, environment)?, set) {
            (Some(secret), _) => return read(secret.expose_secret()).map(|(address, _)| Some(address)),
            (None, Some(set)) => set,
            (None, None) => return Ok(None),
        },
    };
    match read(&in_the_open)? {
        (address, false) => Ok(Some(address)),
        (_, true) => Err(wrong(
            "holds a password, which flags show in process lists and settings files pass on: set IRONCLAD_REDIS or \
             IRONCLAD_REDIS_FILE in the environment instead"
                .into(),
        )),
    }
}

fn secret(name: &'static str, environment: Environment<'_>) -> Result<Option<SecretString>, ConfigError> {
    let Some(text) = text(name, environment)? else { return Ok(None) };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let fault = match text {
        "" => "is empty",
        _ if text.chars().any(char::is_control) => "holds a line break or another control character",
        _ if !text.is_ascii() => "holds a character that no credential has",
        _ => return Ok(Some(SecretString::from(text))),
    };
    Err(ConfigError::SecretWrong { name, fault })
}

/// What stands in a variable, or in the file that is named for it.
fn text(name: &'static str, environment: Environment<'_>) -> Result<Option<Zeroizing<String>>, ConfigError> {
    let set = |variable: &str| environment(variable).filter(|value| !value.is_empty());
    match (set(name), set(&format!("{name}_FILE"))) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(ConfigError::SecretTwice { name }),
        (Some(value), None) => Ok(Some(Zeroizing::new(into_text(name, value)?))),
        (None, Some(path)) => read_file(name, path.into()).map(Some),
    }
}

fn read_file(name: &'static str, path: PathBuf) -> Result<Zeroizing<String>, ConfigError> {
    let text = std::fs::read(&path).map_err(|source| ConfigError::SecretUnreadable { name, path, source })?;
    let text = String::from_utf8(text).map_err(|_| ConfigError::SecretWrong { name, fault: "is not text" })?;
    Ok(Zeroizing::new(text))
}

fn into_text(name: &'static str, value: OsString) -> Result<String, ConfigError> {
    value.into_string().map_err(|_| ConfigError::NotText { variable: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Secrets, ConfigError> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Secrets::from_environment(&|name| pairs.iter().find(|(known, _)| known == name).map(|(_, v)| v.into()))
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let secrets = read(&[(ACCESS_TOKEN, ""), (CLIENT_ID, ""), ("IRONCLAD_CLIENT_SECRET_FILE", "")]).unwrap();
        assert!(secrets.access_token.is_none() && secrets.client.is_none());
    }

    #[test]
    fn a_file_gives_its_content_without_the_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for content in ["tok-1", "tok-1\n", "tok-1\r\n"] {
            std::fs::write(&path, content).unwrap();
            let secrets = read(&[("IRONCLAD_ACCESS_TOKEN_FILE", path.to_str().unwrap())]).unwrap();
            assert_eq!(secrets.access_token.unwrap().expose_secret(), "tok-1", "{content:?}");
        }
        let both = read(&[(ACCESS_TOKEN, "a"), ("IRONCLAD_ACCESS_TOKEN_FILE", path.to_str().unwrap())]);
        assert!(both.unwrap_err().to_string().contains("IRONCLAD_ACCESS_TOKEN_FILE"));
        let missing = read(&[("IRONCLAD_ACCESS_TOKEN_FILE", "/no/such/file")]).unwrap_err().to_string();
        assert!(missing.contains("IRONCLAD_ACCESS_TOKEN_FILE") && missing.contains("/no/such/file"), "{missing}");
    }

    #[test]
    fn a_broken_secret_is_named_and_never_shown() {
        for wrong in ["hunter2\nX-Evil: 1", "hunter2\u{7f}", "hunter2é", "hunter2\n\n"] {
            let error = read(&[(ACCESS_TOKEN, wrong)]).unwrap_err();
            assert!(error.to_string().contains(ACCESS_TOKEN), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let secrets = read(&[(ACCESS_TOKEN, "hunter2"), (CLIENT_ID, "hunter2"), (CLIENT_SECRET, "hunter2")]).unwrap();
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn half_a_client_is_refused_with_the_missing_half() {
        let error = read(&[(CLIENT_ID, "abc")]).unwrap_err().to_string();
        assert!(error.starts_with(CLIENT_SECRET), "{error}");
        let error = read(&[(CLIENT_SECRET, "abc")]).unwrap_err().to_string();
        assert!(error.starts_with(CLIENT_ID), "{error}");
    }
}
