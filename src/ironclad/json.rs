//! Takes JSON bodies of any size in little memory.
//!
//! A small body is collected and read in place. A larger one is read on a thread of its own while it arrives, so that no
//! more of it is held than its reader keeps. Bodies are counted as they are after decompression, and one that only a
//! hostile or broken server sends (endless, one text of many megabytes, nested without end) is given up, not held.

use std::{
    io::{self, BufReader, Read},
    sync::mpsc::{Receiver as Pieces, SyncSender, sync_channel},
    thread::JoinHandle,
};

use serde_json::{Map, Value};

use super::{Head, Receiver, Unsound};
use crate::answer::{LONGEST_TEXT, Meter, ShapeError, metered};

/// The most bytes of a JSON body: a page of 100 workflows with their forms takes about 3 MB, the metadata of a large
/// company's records more than 8 MB.
pub const JSON_BYTES: usize = 64 << 20;

/// The most bytes that are collected before they are read.
const IN_PLACE_BYTES: usize = 256 << 10;

/// The deepest nesting that is read, in parts that nobody wants as well.
const DEEPEST: usize = 10_000;

/// How many pieces of a body may wait for their reader.
const WAITING: usize = 4;

/// Makes something of a JSON body.
pub trait Reading: Clone + Send + 'static {
    /// What it makes.
    type Made: Send + 'static;

    /// Reads the whole body.
    ///
    /// # Errors
    /// It is not what the endpoint answers with, or too much of it would be kept.
    fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<Self::Made, Unsound>;
}

/// The most memory that one object takes, about: several times what a template with a form of a thousand attributes does.
const OBJECT_MEMORY: usize = 16 << 20;

/// Reads a whole object, or nothing where it takes more memory than any object of Ironclad's.
#[derive(Debug, Clone, Copy)]
pub struct Object;

impl Reading for Object {
    type Made = Map<String, Value>;

    fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<Self::Made, Unsound> {
        match metered(json, &Meter::new(OBJECT_MEMORY)) {
            Ok(Some(Value::Object(object))) => Ok(object),
            Ok(Some(_)) => Err(Unsound::Malformed),
            Ok(None) => Err(Unsound::TooLarge(OBJECT_MEMORY)),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<serde_json::Error> for Unsound {
    fn from(error: serde_json::Error) -> Self {
        (&ShapeError::from(error)).into()
    }
}

impl From<&ShapeError> for Unsound {
    fn from(error: &ShapeError) -> Self {
        match error {
            ShapeError::Malformed => Self::Malformed,
            ShapeError::TooLarge { bytes } => Self::TooLarge(*bytes),
        }
    }
}

/// Receives a JSON body.
pub struct Json<T: Reading> {
    reading: T,
    most: usize,
    taken: usize,
    body: Body<T::Made>,
}

enum Body<T> {
    Collected(Vec<u8>),
    Streamed { pieces: SyncSender<Vec<u8>>, reader: JoinHandle<Result<T, Unsound>> },
    Lost,
}

impl<T: Reading> Json<T> {
    /// A receiver of one body.
    pub fn new(reading: T) -> Self {
        Self { reading, most: JSON_BYTES, taken: 0, body: Body::Collected(Vec::new()) }
    }

    /// The same with another bound on the bytes, for a reading that keeps little of them.
    #[must_use]
    pub fn up_to(self, bytes: usize) -> Self {
        Self { most: bytes, ..self }
    }

    /// Goes on with a thread that reads what comes.
    fn stream(&mut self, collected: Vec<u8>) -> bool {
        let (pieces, waiting) = sync_channel(WAITING);
        let reading = self.reading.clone();
        let read = move || {
            let body =
                Guarded { body: Arriving { pieces: waiting, piece: io::Cursor::default() }, text: Text::default() };
            reading.read(&mut serde_json::Deserializer::from_reader(BufReader::with_capacity(64 << 10, body)))
        };
        self.body = match std::thread::Builder::new().name("json-body".into()).spawn(read) {
            Ok(reader) => Body::Streamed { pieces, reader },
            Err(error) => {
                tracing::warn!(%error, "no thread could be had to read a body");
                Body::Lost
            }
        };
        self.send(collected)
    }

    /// `false` where the reader has given up: it says why at the end. Waits for the reader, as reading here would.
    fn send(&mut self, piece: Vec<u8>) -> bool {
        match &self.body {
            Body::Streamed { pieces, .. } => pieces.send(piece).is_ok(),
            Body::Collected(_) | Body::Lost => false,
        }
    }
}

impl<T: Reading> Receiver for Json<T> {
    type Answer = T::Made;

    fn begin(&mut self, head: &Head) {
        let expected = head.length.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        self.body = Body::Collected(Vec::with_capacity(expected.min(IN_PLACE_BYTES)));
        self.taken = 0;
    }

    fn push(&mut self, chunk: &[u8]) -> bool {
        self.taken = self.taken.saturating_add(chunk.len());
        if self.taken > self.most {
            return false;
        }
        match &mut self.body {
            Body::Collected(body) if self.taken <= IN_PLACE_BYTES => {
                body.extend_from_slice(chunk);
                true
            }
            Body::Collected(body) => {
                let collected = std::mem::take(body);
                self.stream(collected) && self.send(chunk.to_vec())
            }
            Body::Streamed { .. } | Body::Lost => self.send(chunk.to_vec()),
        }
    }

    fn finish(&mut self) -> Result<T::Made, Unsound> {
        let body = std::mem::replace(&mut self.body, Body::Lost);
        if self.taken > self.most {
            // The thread, if there is one, ends by itself: no more pieces come.
            return Err(Unsound::TooLarge(self.taken));
        }
        match body {
            Body::Collected(body) => self.reading.read(&mut serde_json::Deserializer::from_slice(&body)),
            Body::Streamed { pieces, reader } => {
                drop(pieces);
                reader.join().unwrap_or(Err(Unsound::Malformed))
            }
            Body::Lost => Err(Unsound::Malformed),
        }
    }
}

/// The pieces of a body as one stream.
struct Arriving {
    pieces: Pieces<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.pieces.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                Err(_) => return Ok(0),
            }
        }
    }
}

/// A body that is given up where no sound one goes on.
struct Guarded<B> {
    body: B,
    text: Text,
}

/// How far a body has come, as far as its parser's memory is concerned: it holds one text whole, and a byte a level.
#[derive(Default)]
struct Text {
    in_string: bool,
    escaped: bool,
    length: usize,
    depth: usize,
}

impl Text {
    fn take(&mut self, byte: u8) {
        self.length += 1;
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => (self.in_string, self.length) = (true, 0),
            b'[' | b'{' => (self.depth, self.length) = (self.depth + 1, 0),
            b']' | b'}' => (self.depth, self.length) = (self.depth.saturating_sub(1), 0),
            b',' | b':' => self.length = 0,
            // A number, a word, or white space, which is as good as endless.
            _ => {}
        }
    }

    fn is_sound(&self) -> bool {
        self.length <= LONGEST_TEXT && self.depth <= DEEPEST
    }
}

impl<B: Read> Read for Guarded<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.body.read(buffer)?;
        for byte in buffer.iter().take(read) {
            self.text.take(*byte);
            if !self.text.is_sound() {
                return Err(io::Error::other("no sound body holds such a text"));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;

    /// Keeps the whole body.
    #[derive(Clone)]
    struct Whole;

    impl Reading for Whole {
        type Made = Value;

        fn read<'de, R: serde_json::de::Read<'de>>(
            &self,
            json: &mut serde_json::Deserializer<R>,
        ) -> Result<Value, Unsound> {
            let value = Value::deserialize(&mut *json)?;
            json.end()?;
            Ok(value)
        }
    }

    fn receive(body: &[u8], piece: usize) -> (bool, Result<Value, Unsound>) {
        let mut json = Json::new(Whole).up_to(8 << 20);
        json.begin(&Head::default());
        let whole = body.chunks(piece).all(|chunk| json.push(chunk));
        (whole, json.finish())
    }

    #[test]
    fn a_body_of_any_size_in_pieces_of_any_size_reads_the_same() {
        for items in [1, 1_000, 40_000] {
            let value: Value = (0..items).map(|n| serde_json::json!({"id": n.to_string(), "text": "\"\\é"})).collect();
            let body = value.to_string();
            for piece in [7, 4_096, 100_000, 10_000_000] {
                let (whole, read) = receive(body.as_bytes(), piece);
                assert!(whole && read == Ok(value.clone()), "{items} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_or_followed_by_more_is_malformed() {
        let body = Value::from(vec!["text"; 100_000]).to_string();
        for wrong in [&body[..body.len() - 1], &body[..body.len() / 2], &format!("{body} x"), "[1", ""] {
            assert_eq!(receive(wrong.as_bytes(), 5_000).1, Err(Unsound::Malformed));
        }
    }

    #[test]
    fn a_second_attempt_begins_anew() {
        let mut json = Json::new(Whole);
        for body in [vec![b'['; 300_000], b"[1]".to_vec(), vec![b' '; 300_000], b"[2]".to_vec()] {
            json.begin(&Head::default());
            json.push(&body);
            let expected = serde_json::from_slice(&body).ok();
            assert_eq!(json.finish().ok(), expected);
        }
    }

    #[test]
    fn what_no_sound_body_holds_is_given_up_early_and_is_no_malformed_body() {
        let endless = |byte: &[u8]| [b"[\"a\",".as_slice(), &byte.repeat((6 << 20) / byte.len())].concat();
        let string = [b"[\"".as_slice(), &b"x".repeat(6 << 20)].concat();
        for body in [string, endless(b" "), endless(b"1"), endless(b"["), endless(b"{\"a\":")] {
            let (whole, read) = receive(&body, 16_384);
            assert!(!whole && matches!(read, Err(Unsound::TooLarge(_) | Unsound::Malformed)), "{read:?}");
        }
        let too_much = [b"[".as_slice(), &b"null,".repeat(2 << 20)].concat();
        assert!(matches!(receive(&too_much, 1 << 20), (false, Err(Unsound::TooLarge(_)))));
    }

    #[test]
    fn an_object_is_read_whole_and_one_of_too_many_members_not_at_all() {
        let read = |body: &str| Object.read(&mut serde_json::Deserializer::from_str(body));
        assert_eq!(read(r#"{"a": [1, {"b": null}]}"#).unwrap()["a"][1]["b"], Value::Null);
        for body in ["", "[]", "{}{}", "{\"a\":", "<html>", "5"] {
            assert_eq!(read(body), Err(Unsound::Malformed), "{body}");
        }
        let dense = format!(r#"{{"a": [{}0]}}"#, "0,".repeat(OBJECT_MEMORY / 64));
        assert!(matches!(read(&dense), Err(Unsound::TooLarge(_))), "half a megabyte of text that would take 20");
    }

    #[test]
    fn a_reader_that_gives_up_stops_the_body() {
        let body = [b"[1 1".as_slice(), &b"1,".repeat(1 << 20)].concat();
        let (whole, read) = receive(&body, 16_384);
        assert_eq!((whole, read), (false, Err(Unsound::Malformed)));
    }
}
