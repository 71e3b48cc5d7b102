//! Seals the place in a list into an opaque cursor, and opens it again.
//!
//! A cursor holds a place and a digest of the call it belongs to, under an HMAC: it needs no server state, so any
//! instance with the same key can open it, and one that was altered, or that belongs to another call, is refused.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::keys::{Key, Ring};

/// The bytes of the tag that a cursor carries: half a SHA-256 is past any guessing.
const TAG_BYTES: usize = 16;
const CALL_BYTES: usize = 8;
const SPOT_BYTES: usize = 16;

/// A place in a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spot {
    /// How many items lie before it.
    pub offset: u64,
    /// Tells which page brought the last of them, where the list has no count; else 0.
    pub mark: u64,
}

/// The keys under which cursors are sealed.
#[derive(Debug, Clone)]
pub struct CursorKey(Ring);

impl CursorKey {
    /// The key for one Ironclad host and client, the same on every instance that serves them.
    #[must_use]
    pub fn for_account(origin: &str, client_id: &str) -> Self {
        let mut digest = Sha256::new();
        for part in ["ironclad-mcp list cursor 2", origin, client_id] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let key: Key = digest.finalize().into();
        Self(key.into())
    }

    /// The keys that follow from those of an account, apart from all others that follow from them.
    #[must_use]
    pub fn derive(secrets: &Ring) -> Self {
        Self(secrets.derived("ironclad-mcp list cursor 3"))
    }

    /// The cursor for a place of the list that `call` asks for.
    #[must_use]
    pub fn seal(&self, call: &[u8; CALL_BYTES], spot: Spot) -> String {
        let mut sealed = Vec::with_capacity(SPOT_BYTES + CALL_BYTES + TAG_BYTES);
        sealed.extend_from_slice(&spot.offset.to_be_bytes());
        sealed.extend_from_slice(&spot.mark.to_be_bytes());
        sealed.extend_from_slice(call);
        if let Some(mac) = tag(self.0.first(), &sealed) {
            sealed.extend(mac.finalize().into_bytes().iter().take(TAG_BYTES));
        }
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The place in a cursor, or `None` where it was altered or belongs to another call.
    #[must_use]
    pub fn open(&self, call: &[u8; CALL_BYTES], cursor: &str) -> Option<Spot> {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (payload, tag) = sealed.split_at_checked(SPOT_BYTES + CALL_BYTES)?;
        if tag.len() != TAG_BYTES {
            return None;
        }
        let is_sealed_by = |key| self::tag(key, payload).is_some_and(|mac| mac.verify_truncated_left(tag).is_ok());
        if !self.0.all().any(is_sealed_by) {
            return None;
        }
        let (offset, rest) = payload.split_first_chunk()?;
        let (mark, sealed_call) = rest.split_first_chunk()?;
        if sealed_call != call {
            return None;
        }
        Some(Spot { offset: u64::from_be_bytes(*offset), mark: u64::from_be_bytes(*mark) })
    }
}

fn tag(key: &Key, payload: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(payload);
    Some(mac)
}

/// A digest of what a list call asks for: the tool and every argument that decides which items there are.
#[must_use]
pub fn call_digest(tool: &str, arguments: &str) -> [u8; CALL_BYTES] {
    let mut digest = Sha256::new();
    digest.update(tool.as_bytes());
    digest.update([0]);
    digest.update(arguments.as_bytes());
    let whole: [u8; 32] = digest.finalize().into();
    let mut short = [0; CALL_BYTES];
    for (to, from) in short.iter_mut().zip(whole) {
        *to = from;
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> CursorKey {
        CursorKey::for_account("https://na1.ironcladapp.com", "client")
    }

    fn spot(offset: u64) -> Spot {
        Spot { offset, mark: 7 }
    }

    #[test]
    fn another_account_cannot_open_a_cursor() {
        let call = call_digest("list_records", "{}");
        let cursor = key().seal(&call, spot(40));
        assert_eq!(key().open(&call, &cursor), Some(spot(40)));
        assert_eq!(CursorKey::for_account("https://eu1.ironcladapp.com", "client").open(&call, &cursor), None);
    }

    #[test]
    fn a_cursor_belongs_to_one_call() {
        let cursor = key().seal(&call_digest("list_records", "{}"), spot(40));
        assert_eq!(key().open(&call_digest("list_workflows", "{}"), &cursor), None);
        assert_eq!(key().open(&call_digest("list_records", r#"{"types":["nda"]}"#), &cursor), None);
    }

    proptest! {
        #[test]
        fn every_place_comes_back(offset: u64, mark: u64) {
            let call = call_digest("list_users", "{}");
            let spot = Spot { offset, mark };
            prop_assert_eq!(key().open(&call, &key().seal(&call, spot)), Some(spot));
        }

        #[test]
        fn any_altered_cursor_is_refused(offset: u64, at in 0usize..54, to in "[A-Za-z0-9_-]") {
            let call = call_digest("list_users", "{}");
            let sealed = key().seal(&call, spot(offset));
            let mut altered = sealed.clone();
            altered.replace_range(at % sealed.len()..=at % sealed.len(), &to);
            prop_assume!(altered != sealed);
            prop_assert_eq!(key().open(&call, &altered), None);
        }

        #[test]
        fn no_text_opens_by_chance(text in ".*") {
            prop_assert_eq!(key().open(&call_digest("list_users", "{}"), &text), None);
        }
    }
}
