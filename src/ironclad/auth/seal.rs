//! Seals the tokens of a kept login with a key that lies in the operating system's key store.
//!
//! The key store holds a key and not the tokens themselves: tokens change with every renewal, and a file can be replaced
//! in one step that survives a crash, while key stores promise nothing of the kind and take no long texts everywhere.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

/// What the entries in the key store are called.
#[cfg(feature = "keyring")]
const SERVICE: &str = "ironclad-mcp";

/// A key for the tokens of one login, in base64.
#[derive(Debug, Clone)]
pub struct SealKey(SecretString);

impl SealKey {
    /// A key that nobody has yet.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub(super) fn random() -> Result<Self, Unsealable> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(bytes.as_mut_slice()).map_err(|_| Unsealable)?;
        Ok(Self(STANDARD.encode(bytes.as_slice()).into()))
    }

    /// The key of a text that [`SealKey::text`] gave.
    #[must_use]
    pub fn from_text(text: SecretString) -> Self {
        Self(text)
    }

    /// The key as the key store has it.
    #[must_use]
    pub fn text(&self) -> &SecretString {
        &self.0
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, Unsealable> {
        let bytes = Zeroizing::new(STANDARD.decode(self.0.expose_secret()).map_err(|_| Unsealable)?);
        RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| Unsealable)
    }

    /// Seals a text for `owner`, under whom alone it can be opened.
    pub(super) fn seal(&self, owner: &str, plain: &[u8]) -> Result<String, Unsealable> {
        let mut sealed = Zeroizing::new(plain.to_vec());
        let nonce = self.cipher()?.seal_in_place_append_tag(Aad::from(owner), &mut *sealed);
        let nonce = nonce.map_err(|_| Unsealable)?;
        Ok(STANDARD.encode([nonce.as_ref(), sealed.as_slice()].concat()))
    }

    /// Opens what [`SealKey::seal`] made.
    pub(super) fn open(&self, owner: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let mut sealed = STANDARD.decode(sealed).map_err(|_| Unsealable)?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let plain = self.cipher()?.open_in_place(nonce, Aad::from(owner), text).map_err(|_| Unsealable)?;
        Ok(Zeroizing::new(plain.to_vec()))
    }
}

/// The key and the sealed text do not belong together, or either was altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key in the operating system's key store does not open it")]
pub struct Unsealable;

/// Where keys are kept. Calls may wait for a person to unlock it.
pub trait KeyStore: Send + Sync {
    /// Keeps a key under a name.
    ///
    /// # Errors
    /// There is no key store, or it is locked.
    fn keep(&self, name: &str, key: &SealKey) -> Result<(), KeyStoreError>;

    /// The key of a name; none where it was never kept.
    ///
    /// # Errors
    /// There is no key store, or it is locked.
    fn fetch(&self, name: &str) -> Result<Option<SealKey>, KeyStoreError>;

    /// Forgets the key of a name, if there is one.
    ///
    /// # Errors
    /// There is no key store, or it is locked.
    fn forget(&self, name: &str) -> Result<(), KeyStoreError>;
}

/// Why the key store is of no help; its own words.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the operating system's key store cannot be used: {0}")]
pub struct KeyStoreError(pub String);

/// The key store of the operating system: Keychain, Credential Manager, or the Secret Service of a Linux desktop.
#[must_use]
pub fn system() -> Arc<dyn KeyStore> {
    Arc::new(System)
}

struct System;

#[cfg(feature = "keyring")]
impl System {
    fn entry(name: &str) -> Result<keyring::Entry, KeyStoreError> {
        if let Err(error) = keyring::Entry::store_status() {
            return Err(KeyStoreError(error.to_string()));
        }
        keyring::Entry::new(SERVICE, name).map_err(|error| KeyStoreError(error.to_string()))
    }
}

#[cfg(feature = "keyring")]
impl KeyStore for System {
    fn keep(&self, name: &str, key: &SealKey) -> Result<(), KeyStoreError> {
        let kept = Self::entry(name)?.set_password(key.text().expose_secret());
        kept.map_err(|error| KeyStoreError(error.to_string()))
    }

    fn fetch(&self, name: &str) -> Result<Option<SealKey>, KeyStoreError> {
        match Self::entry(name)?.get_password() {
            Ok(text) => Ok(Some(SealKey(text.into()))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(KeyStoreError(error.to_string())),
        }
    }

    fn forget(&self, name: &str) -> Result<(), KeyStoreError> {
        match Self::entry(name)?.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(KeyStoreError(error.to_string())),
        }
    }
}

#[cfg(not(feature = "keyring"))]
impl KeyStore for System {
    fn keep(&self, _name: &str, _key: &SealKey) -> Result<(), KeyStoreError> {
        Err(without())
    }

    fn fetch(&self, _name: &str) -> Result<Option<SealKey>, KeyStoreError> {
        Err(without())
    }

    fn forget(&self, _name: &str) -> Result<(), KeyStoreError> {
        Err(without())
    }
}

#[cfg(not(feature = "keyring"))]
fn without() -> KeyStoreError {
    KeyStoreError("this program was built without the feature keyring".to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use std::{collections::HashMap, sync::Mutex};

    use super::*;

    /// A key store in memory, which can be locked.
    #[derive(Default)]
    pub(crate) struct Memory {
        pub(crate) keys: Mutex<HashMap<String, SealKey>>,
        pub(crate) locked: std::sync::atomic::AtomicBool,
    }

    impl Memory {
        fn open(&self) -> Result<std::sync::MutexGuard<'_, HashMap<String, SealKey>>, KeyStoreError> {
            if self.locked.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(KeyStoreError("it is locked".into()));
            }
            Ok(self.keys.lock().unwrap())
        }
    }

    impl KeyStore for Memory {
        fn keep(&self, name: &str, key: &SealKey) -> Result<(), KeyStoreError> {
            self.open()?.insert(name.to_owned(), key.clone());
            Ok(())
        }

        fn fetch(&self, name: &str) -> Result<Option<SealKey>, KeyStoreError> {
            Ok(self.open()?.get(name).cloned())
        }

        fn forget(&self, name: &str) -> Result<(), KeyStoreError> {
            self.open()?.remove(name);
            Ok(())
        }
    }

    #[test]
    fn only_the_key_and_the_owner_together_open_what_was_sealed() {
        let key = SealKey::random().unwrap();
        let sealed = key.seal("me", b"hush").unwrap();
        assert_eq!(key.open("me", &sealed).unwrap().as_slice(), b"hush");
        assert!(!sealed.contains("hush"));
        assert_ne!(sealed, key.seal("me", b"hush").unwrap());
        assert!(key.open("you", &sealed).is_err());
        assert!(SealKey::random().unwrap().open("me", &sealed).is_err());
        let mut altered = STANDARD.decode(&sealed).unwrap();
        altered[14] ^= 1;
        assert!(key.open("me", &STANDARD.encode(altered)).is_err());
        for broken in ["", "AAAA", "no base64!"] {
            assert!(key.open("me", broken).is_err());
        }
        assert!(!format!("{key:?}").contains(key.text().expose_secret()));
    }
}
