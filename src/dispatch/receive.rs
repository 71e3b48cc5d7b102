//! Takes the bodies of good answers: JSON that is shaped while it arrives, or as a whole where it must be looked at whole.

use serde_json::{Map, Value};

use crate::{
    answer::{Answer, ObjectReader, PageRead, PageReader, ShapeError},
    ironclad::{
        Head, Receiver, Unsound,
        json::{Json, Object, Reading},
    },
};

impl Reading for ObjectReader {
    type Made = Answer;

    fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<Answer, Unsound> {
        Self::read(self, json).map_err(|error| (&error).into())
    }
}

impl Reading for PageReader {
    type Made = PageRead;

    fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<PageRead, Unsound> {
        Self::read(self, json).map_err(|error| (&error).into())
    }
}

/// Takes a whole object, and makes something of it.
pub(super) struct Shaped<F> {
    json: Json<Object>,
    shape: F,
}

impl<T: Send, F: FnMut(Map<String, Value>) -> Result<T, ShapeError> + Send> Shaped<F> {
    pub(super) fn new(shape: F) -> Self {
        Self { json: Json::new(Object), shape }
    }
}

impl<T: Send, F: FnMut(Map<String, Value>) -> Result<T, ShapeError> + Send> Receiver for Shaped<F> {
    type Answer = T;

    fn begin(&mut self, head: &Head) {
        self.json.begin(head);
    }

    fn push(&mut self, chunk: &[u8]) -> bool {
        self.json.push(chunk)
    }

    fn finish(&mut self) -> Result<T, Unsound> {
        let object = self.json.finish()?;
        (self.shape)(object).map_err(|error| (&error).into())
    }
}

/// The most bytes of a body that says nothing.
const EMPTY_BYTES: usize = 64 << 10;

/// Takes a body that says nothing, or next to nothing.
#[derive(Default)]
pub(super) struct Nothing(Vec<u8>);

impl Receiver for Nothing {
    type Answer = Vec<u8>;

    fn begin(&mut self, _head: &Head) {
        self.0.clear();
    }

    fn push(&mut self, chunk: &[u8]) -> bool {
        self.0.extend_from_slice(chunk);
        self.0.len() <= EMPTY_BYTES
    }

    fn finish(&mut self) -> Result<Vec<u8>, Unsound> {
        let body = std::mem::take(&mut self.0);
        if body.len() > EMPTY_BYTES { Err(Unsound::TooLarge(body.len())) } else { Ok(body) }
    }
}
