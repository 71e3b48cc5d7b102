//! Tokens that were checked, by their hash: the newest few thousand.
//!
//! Two halves in place of a list by age: what is asked for moves into the young half, and when that is full, the old half
//! goes as a whole.

use std::{collections::HashMap, sync::Arc};

use crate::caller_token::Claims;

/// The most tokens of one half.
const HALF: usize = 4096;

type Hash = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct Remembered {
    young: HashMap<Hash, (u64, Arc<Claims>)>,
    old: HashMap<Hash, (u64, Arc<Claims>)>,
}

impl Remembered {
    /// The claims of a token that was checked with the keys of this generation.
    pub(super) fn get(&mut self, hash: &Hash, generation: u64) -> Option<Arc<Claims>> {
        let (of, claims) = match self.young.get(hash) {
            Some((of, claims)) => (*of, Arc::clone(claims)),
            None => {
                let (of, claims) = self.old.remove(hash)?;
                self.put(*hash, of, Arc::clone(&claims));
                (of, claims)
            }
        };
        (of == generation).then_some(claims)
    }

    pub(super) fn put(&mut self, hash: Hash, generation: u64, claims: Arc<Claims>) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, (generation, claims));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Access;

    fn claims(subject: &str) -> Arc<Claims> {
        Arc::new(Claims {
            issuer: "https://login.example".into(),
            subject: subject.into(),
            email: None,
            agents: None,
            access: Access::Read,
            expires: 0,
        })
    }

    fn hash(number: usize) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn what_was_checked_with_other_keys_does_not_count() {
        let mut remembered = Remembered::default();
        remembered.put(hash(1), 7, claims("a"));
        assert_eq!(remembered.get(&hash(1), 7).unwrap().subject, "a");
        assert!(remembered.get(&hash(1), 8).is_none());
        assert!(remembered.get(&hash(2), 7).is_none());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let mut remembered = Remembered::default();
        remembered.put(hash(0), 1, claims("kept"));
        for number in 1..10 * HALF {
            remembered.put(hash(number), 1, claims("other"));
            if number % 100 == 0 {
                assert!(remembered.get(&hash(0), 1).is_some(), "{number}");
            }
        }
        assert!(remembered.young.len() + remembered.old.len() <= 2 * HALF);
        assert!(remembered.get(&hash(1), 1).is_none());
    }
}
