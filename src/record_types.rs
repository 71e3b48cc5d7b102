//! The types of the repository's record properties, kept for a while.
//!
//! The metadata of a large company exceeds 8 MB (ironclad-api.md §8.19), so it is parsed on a thread of its own while it
//! arrives, and only each property's type is ever held. A copy that is past its life serves on when a fetch fails, as
//! launch forms do.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, BufReader, Read},
    sync::{Arc, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    ironclad::{Client, Errand, Failure, Head, Receiver, Unsound},
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
const METADATA_BYTES: usize = 256 * 1024 * 1024;

/// Parses the metadata while it arrives.
#[derive(Default)]
struct Streamed {
    pieces: Option<mpsc::Sender<Vec<u8>>>,
    parser: Option<JoinHandle<serde_json::Result<Metadata>>>,
    taken: usize,
}

impl Receiver for Streamed {
    type Answer = Metadata;

    fn begin(&mut self, _head: &Head) {
        let (sender, receiver) = mpsc::channel();
        let pieces = Pieces { receiver, piece: io::Cursor::default() };
        let parse = move || serde_json::from_reader(BufReader::new(pieces));
        // Where no thread can be had, the body counts as malformed.
        self.parser = std::thread::Builder::new().name("record-metadata".into()).spawn(parse).ok();
        self.pieces = Some(sender);
        self.taken = 0;
    }

    fn push(&mut self, chunk: &[u8]) -> bool {
        self.taken += chunk.len();
        // A parser that found a fault has hung up, and tells it at the end.
        let _ = self.pieces.as_ref().map(|pieces| pieces.send(chunk.to_vec()));
        self.taken <= METADATA_BYTES
    }

    fn finish(&mut self) -> Result<Metadata, Unsound> {
        self.pieces = None;
        let parsed = self.parser.take().and_then(|parser| parser.join().ok());
        if self.taken > METADATA_BYTES {
            return Err(Unsound::TooLarge(self.taken));
        }
        parsed.and_then(Result::ok).ok_or(Unsound::Malformed)
    }
}

/// The pieces of a body as one stream.
struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.receiver.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
    }
}

async fn fetch(client: &Client, errand: Errand<'_>) -> Result<Types, Failure> {
    let request = Request::look_up("/records/metadata");
    let (_, metadata) = client.send(&request, &mut Streamed::default(), errand).await.result?;
    Ok(metadata.properties.into_iter().filter_map(|(key, property)| Some((key, property.kind?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str, piece: usize) -> Result<usize, Unsound> {
        let mut streamed = Streamed::default();
        streamed.begin(&Head::default());
        assert!(body.as_bytes().chunks(piece).all(|chunk| streamed.push(chunk)));
        streamed.finish().map(|metadata| metadata.properties.len())
    }

    #[test]
    fn metadata_is_parsed_whatever_the_pieces_and_all_but_types_is_skipped() {
        let property =
            |n: usize| format!(r#""p{n}":{{"displayName":"{}","type":"string","tags":[]}}"#, "x".repeat(1_000));
        let properties: Vec<String> = (0..500).map(property).collect();
        let body = format!(r#"{{"recordTypes":{{"a":{{}}}},"properties":{{{}}}}}"#, properties.join(","));
        for piece in [1, 7, 4096, body.len()] {
            assert_eq!(parsed(&body, piece), Ok(500));
        }
    }

    #[test]
    fn what_is_cut_or_something_else_is_malformed() {
        for body in ["", "<html>", r#"{"properties":{"a":{"type":"str"#, r#"{"list":[]}"#, r#"{"properties":{}} x"#] {
            assert_eq!(parsed(body, 3), Err(Unsound::Malformed), "{body}");
        }
    }

    #[test]
    fn a_second_attempt_starts_afresh() {
        let mut streamed = Streamed::default();
        for body in [r#"{"properties":{"a"#, r#"{"properties":{"a":{"type":"date"}}}"#] {
            streamed.begin(&Head::default());
            assert!(streamed.push(body.as_bytes()));
        }
        assert_eq!(streamed.finish().map(|metadata| metadata.properties.len()), Ok(1));
    }
}
