//! A login that is kept: who signed in where, what was granted, and the pair of tokens.

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{
    endpoint::Issued,
    grants::Grants,
    seal::{SealKey, Unsealable},
};
use crate::masking::learned;

/// The version of the file's form.
const VERSION: u32 = 1;

/// The longest time before its end that a token is renewed.
const MARGIN: i64 = 300;

/// The user who allowed it, as Ironclad tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their e-mail address.
    pub email: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// Their id.
    pub id: Option<String>,
}

impl User {
    /// How they are called in messages and in the audit log.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.email.as_deref().or(self.id.as_deref())
    }
}

/// Where a login's tokens lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptIn {
    /// In the file, which only its owner can read.
    File,
    /// In the file, sealed with a key from the operating system's key store.
    KeyStore,
}

/// What of a login is no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    version: u32,
    /// The Ironclad host.
    pub origin: String,
    /// The OAuth client.
    pub client_id: String,
    /// Who signed in.
    pub user: User,
    /// The scopes granted; none where Ironclad did not tell.
    granted: Option<Vec<String>>,
    /// The scopes asked for and not granted.
    withheld: Vec<String>,
    /// When the bearer token is renewed, in seconds since 1970.
    renew_from: i64,
    /// When the bearer token ends, in seconds since 1970.
    pub ends: i64,
}

impl Head {
    /// What the login may do.
    #[must_use]
    pub fn grants(&self) -> Grants {
        Grants {
            granted: self.granted.as_ref().map(|granted| granted.iter().cloned().collect()),
            withheld: self.withheld.iter().cloned().collect(),
        }
    }
}

/// The tokens, as the file has them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Plain(Pair),
    Sealed(String),
}

#[derive(Serialize, Deserialize)]
struct Pair {
    access: String,
    refresh: Option<String>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        use secrecy::zeroize::Zeroize as _;
        self.access.zeroize();
        self.refresh.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(flatten)]
    head: Head,
    tokens: Written,
}

/// A login that was read, its tokens perhaps still sealed.
pub struct Record(File);

impl Record {
    /// Reads the text of a file.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let file: File = serde_json::from_slice(text).ok()?;
        (file.head.version == VERSION).then_some(Self(file))
    }

    /// What is no secret.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// Where the tokens lie.
    #[must_use]
    pub fn kept_in(&self) -> KeptIn {
        match self.0.tokens {
            Written::Plain(_) => KeptIn::File,
            Written::Sealed(_) => KeptIn::KeyStore,
        }
    }

    /// The login with its tokens; `key` opens sealed ones.
    ///
    /// # Errors
    /// The key is missing or another one.
    pub fn open(self, key: Option<&SealKey>) -> Result<Login, Unsealable> {
        let File { head, tokens } = self.0;
        let pair = match tokens {
            Written::Plain(pair) => pair,
            Written::Sealed(sealed) => {
                let plain = key.ok_or(Unsealable)?.open(&owner(&head.origin, &head.client_id), &sealed)?;
                serde_json::from_slice(&plain).map_err(|_| Unsealable)?
            }
        };
        let refresh = pair.refresh.clone().map(|token| learned(SecretString::from(token)));
        Ok(Login { head, access: learned(SecretString::from(pair.access.clone())), refresh })
    }
}

/// Whom sealed tokens belong to.
fn owner(origin: &str, client_id: &str) -> String {
    format!("{origin} {client_id}")
}

/// A login with its tokens.
#[derive(Debug, Clone)]
pub struct Login {
    /// What is no secret.
    pub head: Head,
    /// The bearer token.
    pub access: SecretString,
    /// The refresh token.
    pub refresh: Option<SecretString>,
}

/// Names a token without telling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint([u8; 32]);

impl Login {
    /// The login that a person just allowed.
    #[must_use]
    pub fn new((origin, client_id): (&str, &str), user: User, grants: &Grants, issued: Issued) -> Self {
        let (renew_from, ends) = times(&issued);
        let head = Head {
            version: VERSION,
            origin: origin.to_owned(),
            client_id: client_id.to_owned(),
            user,
            granted: grants.granted.as_ref().map(|granted| granted.iter().cloned().collect()),
            withheld: grants.withheld.iter().cloned().collect(),
            renew_from,
            ends,
        };
        Self { head, access: issued.access, refresh: issued.refresh }
    }

    /// The login with the next pair of tokens.
    #[must_use]
    pub fn renewed(&self, issued: Issued) -> Self {
        let (renew_from, ends) = times(&issued);
        let mut head = Head { renew_from, ends, ..self.head.clone() };
        if let Some(scopes) = issued.scopes {
            head.granted = Some(scopes);
        }
        // A host that does not rotate sends none, and the old one stays good.
        Self { head, access: issued.access, refresh: issued.refresh.or_else(|| self.refresh.clone()) }
    }

    /// The text of the file; with a key the tokens are sealed.
    ///
    /// # Errors
    /// The key is broken.
    pub fn text(&self, key: Option<&SealKey>) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let pair = Pair {
            access: self.access.expose_secret().to_owned(),
            refresh: self.refresh.as_ref().map(|token| token.expose_secret().to_owned()),
        };
        let tokens = match key {
            None => Written::Plain(pair),
            Some(key) => {
                let plain = Zeroizing::new(serde_json::to_vec(&pair).map_err(|_| Unsealable)?);
                Written::Sealed(key.seal(&owner(&self.head.origin, &self.head.client_id), &plain)?)
            }
        };
        let file = File { head: self.head.clone(), tokens };
        serde_json::to_vec(&file).map(Zeroizing::new).map_err(|_| Unsealable)
    }

    /// Which token this is.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(self.access.expose_secret().as_bytes()).into())
    }

    /// Whether it is time for the next pair.
    #[must_use]
    pub fn is_due(&self) -> bool {
        now() >= self.head.renew_from
    }

    /// Whether the bearer token has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        now() >= self.head.ends
    }
}

/// When a token that was just issued is renewed, and when it ends.
fn times(issued: &Issued) -> (i64, i64) {
    let lifetime = i64::try_from(issued.lifetime.as_secs()).unwrap_or(i64::MAX);
    let now = now();
    (now.saturating_add((lifetime - MARGIN).max(lifetime / 2)), now.saturating_add(lifetime))
}

/// Seconds since 1970: a login outlives the process, so it goes by the wall clock.
fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn issued(access: &str, refresh: Option<&str>) -> Issued {
        Issued {
            access: access.into(),
            refresh: refresh.map(Into::into),
            lifetime: Duration::from_secs(21_600),
            scopes: None,
        }
    }

    pub(crate) fn login() -> Login {
        let user = User { email: Some("maya@example.com".into()), ..User::default() };
        let asked = ["a.b".to_owned(), "a.c".to_owned()];
        let grants = Grants::of(&asked, Some(&["a.b".to_owned()]));
        Login::new(("https://na1.ironcladapp.com", "client"), user, &grants, issued("access-1", Some("refresh-1")))
    }

    #[test]
    fn what_is_written_can_be_read() {
        let login = login();
        let text = login.text(None).unwrap();
        let record = Record::parse(&text).unwrap();
        assert_eq!((record.kept_in(), record.head()), (KeptIn::File, &login.head));
        let read = record.open(None).unwrap();
        assert_eq!(read.access.expose_secret(), "access-1");
        assert_eq!(read.refresh.unwrap().expose_secret(), "refresh-1");
        assert!(read.head.grants().allow("a.b") && read.head.grants().withhold("a.c"));
        assert!(!login.is_due() && !login.has_ended());
    }

    #[test]
    fn sealed_tokens_are_not_in_the_file() {
        let (login, key) = (login(), SealKey::random().unwrap());
        let text = login.text(Some(&key)).unwrap();
        let shown = String::from_utf8(text.to_vec()).unwrap();
        assert!(shown.contains("maya@example.com") && !shown.contains("access-1") && !shown.contains("refresh-1"));
        let parse = || Record::parse(&text).unwrap();
        assert_eq!(parse().kept_in(), KeptIn::KeyStore);
        assert!(parse().open(None).is_err());
        assert_eq!(parse().open(Some(&key)).unwrap().access.expose_secret(), "access-1");
    }

    #[test]
    fn a_text_that_was_cut_is_no_login() {
        let text = login().text(None).unwrap();
        for length in 0..text.len() {
            assert!(Record::parse(&text[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn a_renewed_login_keeps_what_the_answer_leaves_out() {
        let renewed = login().renewed(issued("access-2", None));
        assert_eq!(renewed.access.expose_secret(), "access-2");
        assert_eq!(renewed.refresh.as_ref().unwrap().expose_secret(), "refresh-1");
        assert!(renewed.head.grants().allow("a.b"));
        assert_ne!(renewed.fingerprint(), login().fingerprint());
    }

    #[test]
    fn no_token_is_shown_by_debug() {
        let shown = format!("{:?}", login());
        assert!(!shown.contains("access-1") && !shown.contains("refresh-1"), "{shown}");
    }
}
