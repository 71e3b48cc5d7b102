//! The types of the repository's record properties, kept for a while.
//!
//! The metadata of a large company exceeds 8 MB (ironclad-api.md §8.19), so it is read while it arrives, and only each
//! property's type is ever held. A copy that is past its life serves on when a fetch fails, as
//! launch forms do.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::{
    answer::each,
    ironclad::{
        Client, Errand, Failure, Unsound,
        json::{Json, Reading},
    },
    request::{ActingUser, Request},
};

/// The metadata type of each property key.
pub type Types = BTreeMap<String, String>;

type Kept = (Arc<Types>, Instant);

type Slot = Arc<Mutex<Option<Kept>>>;

/// The most acting users whose types are kept; one more, and all are fetched again.
const KEPT: usize = 100;

/// The record properties of one account, as each acting user sees them.
pub struct RecordTypes {
    life: Duration,
    slots: std::sync::Mutex<HashMap<ActingUser, Slot>>,
}

impl RecordTypes {
    /// Keeps the types for `life`.
    #[must_use]
    pub fn new(life: Duration) -> Self {
        Self { life, slots: std::sync::Mutex::default() }
    }

    /// The types, from the cache or from Ironclad.
    ///
    /// # Errors
    /// There is no copy and none can be fetched.
    pub async fn types(&self, client: &Client, errand: Errand<'_>) -> Result<Arc<Types>, Failure> {
        // Held while fetching: whoever else wants the types waits here for the same ones.
        let slot = self.slot(errand.user);
        let mut kept = slot.lock().await;
        if let Some((types, fetched)) = kept.as_ref()
            && fetched.elapsed() < self.life
        {
            return Ok(Arc::clone(types));
        }
        match fetch(client, errand).await {
            Ok(types) => {
                let types = Arc::new(types);
                *kept = Some((Arc::clone(&types), Instant::now()));
                Ok(types)
            }
            Err(failure) => match kept.as_ref() {
                Some((types, _)) => Ok(Arc::clone(types)),
                None => Err(failure),
            },
        }
    }

    fn slot(&self, user: &ActingUser) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEPT && !slots.contains_key(user) {
            slots.clear();
        }
        Arc::clone(slots.entry(user.clone()).or_default())
    }

    /// The types, if a fresh copy is at hand.
    #[must_use]
    pub fn at_hand(&self, user: &ActingUser) -> Option<Arc<Types>> {
        let slot = self.slot(user);
        let kept = slot.try_lock().ok()?;
        let (types, fetched) = kept.as_ref()?;
        (fetched.elapsed() < self.life).then(|| Arc::clone(types))
    }
}

/// The most bytes of metadata that are read.
const METADATA_BYTES: usize = 256 << 20;

/// The most memory that the types take, about: a hundred bytes each.
const TYPES_MEMORY: usize = 32 << 20;

/// Reads the metadata of records, and keeps the types alone.
#[derive(Clone, Copy)]
struct PropertyTypes;

impl Reading for PropertyTypes {
    type Made = Types;

    fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<Types, Unsound> {
        let mut types = Types::new();
        let whole = each(json, ("properties", TYPES_MEMORY), |key, property, _| {
            let Some(kind) = property.get("type").and_then(Value::as_str) else { return 0 };
            let stays = key.len() + kind.len();
            types.insert(key, kind.to_owned());
            stays
        })?;
        if whole { Ok(types) } else { Err(Unsound::TooLarge(TYPES_MEMORY)) }
    }
}

async fn fetch(client: &Client, errand: Errand<'_>) -> Result<Types, Failure> {
    let request = Request::look_up("/records/metadata");
    let mut receiver = Json::new(PropertyTypes).up_to(METADATA_BYTES);
    client.send(&request, &mut receiver, errand).await.result.map(|(_, types)| types)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Types, Unsound> {
        PropertyTypes.read(&mut serde_json::Deserializer::from_str(body))
    }

    #[test]
    fn of_each_property_its_type_is_kept() {
        let body = r#"{"recordTypes": {"a": {}}, "properties": {
            "a": {"displayName": "A", "type": "date", "tags": [{"type": "x"}]}, "b": {}, "c": {"type": "string"}}}"#;
        let expected = [("a", "date"), ("c", "string")].map(|(key, kind)| (key.to_owned(), kind.to_owned()));
        assert_eq!(read(body), Ok(expected.into()));
    }

    #[test]
    fn what_is_cut_or_something_else_is_malformed() {
        for body in ["", "<html>", r#"{"properties":{"a":{"type":"str"#, r#"{"list":[]}"#, r#"{"properties":{}} x"#] {
            assert_eq!(read(body), Err(Unsound::Malformed), "{body}");
        }
    }
}
