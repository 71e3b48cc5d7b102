//! Takes the bodies of good answers: JSON that is shaped while it arrives, or as a whole where it is small.

use crate::{
    answer::{Answer, ObjectReader, PageRead, PageReader, ShapeError},
    ironclad::{Head, Receiver, Unsound, json::Reading},
};

impl Reading for ObjectReader {
    type Made = Answer;

    fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<Answer, Unsound> {
        Self::read(self, json).map_err(|error| unsound(&error))
    }
}

impl Reading for PageReader {
    type Made = PageRead;

    fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<PageRead, Unsound> {
        Self::read(self, json).map_err(|error| unsound(&error))
    }
}

/// The most bytes of a JSON body that is held whole: a launch job with its workflow, a template with its form.
const JSON_BYTES: usize = 16 << 20;

/// Collects a JSON body and shapes it as a whole.
pub(super) struct Shaped<F> {
    body: Vec<u8>,
    shape: F,
}

impl<T: Send, F: FnMut(&[u8]) -> Result<T, ShapeError> + Send> Shaped<F> {
    pub(super) fn new(shape: F) -> Self {
        Self { body: Vec::new(), shape }
    }
}

impl<T: Send, F: FnMut(&[u8]) -> Result<T, ShapeError> + Send> Receiver for Shaped<F> {
    type Answer = T;

    fn begin(&mut self, head: &Head) {
        self.body.clear();
        let expected = head.length.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        self.body.reserve(expected.min(JSON_BYTES));
    }

    fn push(&mut self, chunk: &[u8]) -> bool {
        self.body.extend_from_slice(chunk);
        self.body.len() <= JSON_BYTES
    }

    fn finish(&mut self) -> Result<T, Unsound> {
        if self.body.len() > JSON_BYTES {
            return Err(Unsound::TooLarge(self.body.len()));
        }
        (self.shape)(&self.body).map_err(|error| unsound(&error))
    }
}

pub(super) fn unsound(error: &ShapeError) -> Unsound {
    match error {
        ShapeError::Malformed => Unsound::Malformed,
        ShapeError::TooLarge { bytes } => Unsound::TooLarge(*bytes),
    }
}
