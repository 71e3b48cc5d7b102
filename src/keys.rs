//! The keys that seal what callers bring back: cursors, plans, a person's answer, sessions of the approvals page.
//!
//! A ring lets a key be changed while calls go on: the first key seals and every key opens, so each replica is given the
//! new key behind the old one first, then before it, and at last alone. Pure.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// A key as it is used.
pub type Key = [u8; 32];

/// The fewest bytes of a key that somebody made.
const LEAST_BYTES: usize = 32;

/// The fewest different bytes of a key: of 32 that chance made, some 30 differ.
const LEAST_DIFFERENT: usize = 12;

/// Base64 with its last signs or without.
const RELAXED: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// How a key is made.
const MAKE: &str = "`openssl rand -base64 32` makes a good one";

/// Keys for one use: the first seals, all open.
#[derive(Clone, PartialEq, Eq)]
pub struct Ring {
    first: Key,
    older: Vec<Key>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring(… {})", self.older.len() + 1)
    }
}

impl From<Key> for Ring {
    fn from(first: Key) -> Self {
        Self { first, older: Vec::new() }
    }
}

impl Ring {
    /// Reads keys in base64 or hexadecimal, separated by commas or blanks.
    ///
    /// # Errors
    /// What is wrong with which of them, without a letter of it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (index, word) in text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).enumerate() {
            let key = read_key(word).map_err(|fault| format!("key {} {fault}; {MAKE}", index + 1))?;
            if keys.contains(&key) {
                return Err(format!("key {} stands there twice; take it out once", index + 1));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else { return Err(format!("holds no key; {MAKE}")) };
        Ok(Self { first, older: keys.collect() })
    }

    /// The key that seals.
    #[must_use]
    pub fn first(&self) -> &Key {
        &self.first
    }

    /// Every key, the sealing one first.
    pub fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.older)
    }

    /// The keys for one use, which tell nothing of these, nor of those for other uses.
    #[must_use]
    pub fn derived(&self, r#use: &str) -> Self {
        let of = |key: &Key| derived(key, r#use);
        Self { first: of(&self.first), older: self.older.iter().map(of).collect() }
    }
}

/// A key for one use, which tells nothing of the secret that it follows from, nor of the keys for other uses.
#[must_use]
pub fn derived(secret: &Key, r#use: &str) -> Key {
    mac(secret, r#use.as_bytes())
}

/// The tag of a content under a key.
#[must_use]
pub fn mac(key: &Key, content: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(content);
            mac.finalize().into_bytes().into()
        }
        // HMAC takes keys of any length.
        Err(_) => *key,
    }
}

fn read_key(word: &str) -> Result<Key, String> {
    let bytes = from_hex(word).or_else(|| from_base64(word)).ok_or("is neither base64 nor hexadecimal")?;
    if bytes.len() < LEAST_BYTES {
        return Err(format!("holds {} bytes, and {LEAST_BYTES} are the least", bytes.len()));
    }
    let mut different = bytes.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() < LEAST_DIFFERENT {
        return Err("was not made by chance: hardly two of its bytes differ".into());
    }
    Ok(Sha256::digest(&bytes).into())
}

/// Hexadecimal of a whole key: shorter, it may as well be base64.
fn from_hex(word: &str) -> Option<Vec<u8>> {
    if word.len() < 2 * LEAST_BYTES || !word.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> = word.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let pairs = digits?;
    Some(pairs.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

fn from_base64(word: &str) -> Option<Vec<u8>> {
    let alphabet = if word.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, RELAXED).decode(word).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "q1Zt0s0m3Kx9vYy2n8fQhB4cR7uJ5wLdGiEoTpAbCdE=";
    const NEW: &str = "8f2b6d1c9a7e4053b1d2c3e4f5a697887766554433221100fedcba9876543210";

    #[test]
    fn the_first_key_seals_and_all_open() {
        let ring = Ring::read(&format!("{NEW},\n {OLD}\n")).unwrap();
        let [new, old] = [NEW, OLD].map(|key| Ring::read(key).unwrap());
        assert_eq!(ring.all().collect::<Vec<_>>(), [new.first(), old.first()]);
        assert_eq!(ring.first(), new.first());
        let plain = OLD.trim_end_matches('=');
        assert_eq!(Ring::read(plain).unwrap(), old, "base64 without its last sign is the same key");
        assert_ne!(ring.derived("a"), ring.derived("b"));
        assert_eq!(ring.derived("a").all().nth(1), old.derived("a").all().next());
    }

    #[test]
    fn a_weak_key_is_refused_by_its_place_and_without_a_letter_of_it() {
        let table = [
            ("", "holds no key"),
            (" ,\n", "holds no key"),
            ("hunter2", "key 1 "),
            ("c2hvcnQga2V5", "key 1 holds 9 bytes, and 32 are the least"),
            ("!!!", "key 1 is neither base64 nor hexadecimal"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "key 1 was not made by chance"),
            ("0101010101010101010101010101010101010101010101010101010101010101", "key 1 was not made by chance"),
        ];
        for (text, expected) in table {
            let fault = Ring::read(text).unwrap_err();
            assert!(fault.starts_with(expected), "{text:?}: {fault}");
            assert!(text.len() < 5 || !fault.contains(text), "{fault}");
        }
        assert!(Ring::read(&format!("{OLD} c2hvcnQga2V5")).unwrap_err().starts_with("key 2 holds 9"));
        assert!(Ring::read(&format!("{OLD} {OLD}")).unwrap_err().starts_with("key 2 stands there twice"));
        assert!(!format!("{:?}", Ring::read(OLD).unwrap()).contains(&OLD[..6]));
    }
}
