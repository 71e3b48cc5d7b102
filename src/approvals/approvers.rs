//! Who may decide on the approvals page: a name and the digest of a token each; the token itself is shown once.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{make_folder, now};

/// The longest name of an approver.
const NAME_CHARACTERS: usize = 64;

/// How every token begins, so that a scanner for secrets can know it.
const PREFIX: &str = "icma_";

/// Somebody who may decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Their name, as decisions record it.
    pub name: String,
    /// SHA-256 of their token, in hexadecimal.
    pub sha256: String,
    /// When it was made, in seconds since 1970.
    pub added: i64,
}

impl Approver {
    /// An approver with a new token.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(name: &str) -> io::Result<(Self, SecretString)> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let token = SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)));
        let approver = Self { name: name.to_owned(), sha256: digest(token.expose_secret()), added: now() };
        Ok((approver, token))
    }

    /// Whether this is their token; what is compared are digests, so the time that it takes tells nothing.
    #[must_use]
    pub fn has(&self, token: &str) -> bool {
        digest(token) == self.sha256
    }
}

fn digest(token: &str) -> String {
    Sha256::digest(token.trim().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The approvers of this machine, in a file that every request reads anew: whoever was removed is out at once.
#[derive(Debug, Clone)]
pub struct Approvers(PathBuf);

impl Approvers {
    /// Those below the program's folder in the state directory.
    #[must_use]
    pub fn below(state: &Path) -> Self {
        Self(state.join("approvers.json"))
    }

    /// Everybody who may decide.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn all(&self) -> io::Result<Vec<Approver>> {
        match fs::read(&self.0) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Lets somebody decide, with a new token in the place of an older one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, name: &str) -> io::Result<SecretString> {
        let (approver, token) = Approver::new(name)?;
        let mut all = self.all()?;
        all.retain(|one| one.name != name);
        all.push(approver);
        self.write(&all)?;
        Ok(token)
    }

    /// Lets somebody decide no longer; whether they could.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        let mut all = self.all()?;
        let before = all.len();
        all.retain(|one| one.name != name);
        self.write(&all)?;
        Ok(all.len() < before)
    }

    fn write(&self, all: &[Approver]) -> io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        make_folder(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(all)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.0).map(|_| ()).map_err(|refused| refused.error)
    }
}

/// Whether a text can be the name of an approver.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | '@' | '\'');
    !text.trim().is_empty() && text.trim() == text && text.chars().count() <= NAME_CHARACTERS && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_once_and_kept_as_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        let approvers = Approvers::below(&folder.path().join("state"));
        assert!(approvers.all().unwrap().is_empty());
        let token = approvers.add("Maria Lopez").unwrap();
        let kept = std::fs::read_to_string(folder.path().join("state/approvers.json")).unwrap();
        assert!(!kept.contains(token.expose_secret()) && kept.contains("Maria Lopez"), "{kept}");
        let all = approvers.all().unwrap();
        assert!(all[0].has(token.expose_secret()) && !all[0].has("icma_x") && !all[0].has(""));
    }

    #[test]
    fn a_new_token_ends_the_older_one_and_a_removed_approver_is_out() {
        let folder = tempfile::tempdir().unwrap();
        let approvers = Approvers::below(folder.path());
        let old = approvers.add("maria").unwrap();
        let new = approvers.add("maria").unwrap();
        let all = approvers.all().unwrap();
        assert_eq!(all.len(), 1);
        assert!(all[0].has(new.expose_secret()) && !all[0].has(old.expose_secret()));
        assert!(approvers.remove("maria").unwrap() && !approvers.remove("maria").unwrap());
        assert!(approvers.all().unwrap().is_empty());
    }

    #[test]
    fn a_name_is_plain() {
        for name in ["maria", "Maria López", "m.o'neil@example.com"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", " ", "a\nb", "<b>", " maria", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
