//! The types of the repository's record properties, kept for a while.
//!
//! The metadata of a large company exceeds 8 MB (ironclad-api.md §8.19), so only each property's type is kept: everything
//! else is skipped while it is parsed. A copy that is past its life serves on when a fetch fails, as launch forms do.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    forms::Whole,
    ironclad::{Client, Failure},
    manifest::{Api, Effect, Method},
    request::Request,
};

/// The metadata type of each property key.
pub type Types = BTreeMap<String, String>;

type Kept = (Arc<Types>, Instant);

/// The record properties of one account.
pub struct RecordTypes {
    life: Duration,
    kept: Mutex<Option<Kept>>,
}

#[derive(Deserialize)]
struct Metadata {
    properties: BTreeMap<String, Property>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl RecordTypes {
    /// Keeps the types for `life`.
    #[must_use]
    pub fn new(life: Duration) -> Self {
        Self { life, kept: Mutex::default() }
    }

    /// The types, from the cache or from Ironclad.
    ///
    /// # Errors
    /// There is no copy and none can be fetched.
    pub async fn types(&self, client: &Client) -> Result<Arc<Types>, Failure> {
        // Held while fetching: whoever else wants the types waits here for the same ones.
        let mut kept = self.kept.lock().await;
        if let Some((types, fetched)) = kept.as_ref()
            && fetched.elapsed() < self.life
        {
            return Ok(Arc::clone(types));
        }
        match fetch(client).await {
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

    /// The types, if a fresh copy is at hand.
    #[must_use]
    pub fn at_hand(&self) -> Option<Arc<Types>> {
        let kept = self.kept.try_lock().ok()?;
        let (types, fetched) = kept.as_ref()?;
        (fetched.elapsed() < self.life).then(|| Arc::clone(types))
    }
}

async fn fetch(client: &Client) -> Result<Types, Failure> {
    let path = format!("{}/records/metadata", Api::Public.root());
    let request = Request {
        api: Api::Public,
        method: Method::Get,
        path,
        query: Vec::new(),
        body: None,
        files: Vec::new(),
        effect: Effect::Read,
    };
    let mut whole = Whole::<Metadata>::default();
    let (_, metadata) = client.send(&request, &mut whole).await.result?;
    Ok(metadata.properties.into_iter().filter_map(|(key, property)| Some((key, property.kind?))).collect())
}
