//! Takes the bodies of good answers: JSON that is shaped while it arrives or as a whole, and documents that are encoded as
//! they stream.
//!
//! A document is never held as raw bytes: base64 is made piece by piece, so that the peak is one copy of the text.

use std::io::Write as _;

use base64::{engine::general_purpose::STANDARD, write::EncoderStringWriter};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    answer::{Answer, ObjectReader, PageRead, PageReader, Resource, ShapeError},
    ironclad::{Head, Receiver, Unsound, json::Reading},
    request::segment,
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

/// The most bytes of a document that are read at all, to tell its size and digest.
const DOCUMENT_BYTES: u64 = 1024 * 1024 * 1024;

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

/// Encodes a document while it arrives.
pub(super) struct Document<'a> {
    workflow_id: &'a str,
    document_key: &'a str,
    max_bytes: u64,
    head: Head,
    digest: Sha256,
    size: u64,
    encoder: Option<EncoderStringWriter<'static, base64::engine::GeneralPurpose, String>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(workflow_id: &'a str, document_key: &'a str, max_bytes: u64) -> Self {
        Self {
            workflow_id,
            document_key,
            max_bytes,
            head: Head::default(),
            digest: Sha256::new(),
            size: 0,
            encoder: None,
        }
    }

    fn uri(&self) -> String {
        format!("ironclad://workflows/{}/documents/{}", segment(self.workflow_id), segment(self.document_key))
    }
}

impl Receiver for Document<'_> {
    type Answer = Answer;

    fn begin(&mut self, head: &Head) {
        self.head = head.clone();
        self.digest = Sha256::new();
        self.size = 0;
        let length = head.length.unwrap_or_default();
        let text = usize::try_from(length.div_ceil(3).saturating_mul(4)).unwrap_or_default();
        let fits = length <= self.max_bytes;
        self.encoder = fits.then(|| EncoderStringWriter::from_consumer(String::with_capacity(text), &STANDARD));
    }

    fn push(&mut self, chunk: &[u8]) -> bool {
        self.size = self.size.saturating_add(chunk.len() as u64);
        self.digest.update(chunk);
        if self.size > self.max_bytes {
            self.encoder = None;
        }
        if let Some(encoder) = &mut self.encoder
            && encoder.write_all(chunk).is_err()
        {
            self.encoder = None;
        }
        self.size <= DOCUMENT_BYTES
    }

    fn finish(&mut self) -> Result<Answer, Unsound> {
        if self.size > DOCUMENT_BYTES {
            return Err(Unsound::TooLarge(usize::try_from(self.size).unwrap_or(usize::MAX)));
        }
        let essence = self.head.media_type.as_deref().and_then(|text| text.split(';').next()).map(str::trim);
        if essence == Some("text/html") && self.head.disposition.is_none() {
            // No document comes without its name: this is a page that says that something went wrong.
            return Err(Unsound::Malformed);
        }
        let media_type = essence.filter(|text| !text.is_empty()).unwrap_or("application/octet-stream").to_owned();
        let filename = self.head.disposition.as_deref().and_then(filename).unwrap_or_else(|| self.document_key.into());
        let digest = std::mem::replace(&mut self.digest, Sha256::new()).finalize();
        let uri = self.uri();
        let mut answer = Answer::new(json!({
            "workflow_id": self.workflow_id,
            "document_key": self.document_key,
            "filename": filename,
            "media_type": media_type,
            "size": self.size,
            "sha256": digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            "uri": uri,
        }));
        answer.resource = Some(match self.encoder.take() {
            Some(encoder) => Resource::Blob { uri, media_type, base64: encoder.into_inner() },
            None => Resource::Link { uri, name: filename, media_type, size: Some(self.size) },
        });
        Ok(answer)
    }
}

/// The file name in a `Content-Disposition` (RFC 6266), without any folder.
fn filename(disposition: &str) -> Option<String> {
    let parameter = |name: &str| {
        disposition.split(';').skip(1).find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let extended = parameter("filename*").and_then(|value| {
        let encoded = value.splitn(3, '\'').nth(2)?.to_owned();
        Some(percent_encoding::percent_decode_str(&encoded).decode_utf8_lossy().into_owned())
    });
    let name = extended.or_else(|| parameter("filename"))?;
    let name = name.rsplit(['/', '\\']).next()?.replace(char::is_control, "");
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_read_from_either_form_and_holds_no_folder() {
        let table = [
            ("attachment; filename=\"Mutual NDA.docx\"", Some("Mutual NDA.docx")),
            ("attachment; filename=plain.pdf", Some("plain.pdf")),
            ("attachment; filename=\"x.pdf\"; filename*=UTF-8''Vertr%C3%A4ge.pdf", Some("Verträge.pdf")),
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename=\"..\\\\evil.exe\"", Some("evil.exe")),
            ("inline", None),
            ("attachment; filename=\"\"", None),
        ];
        for (disposition, expected) in table {
            assert_eq!(filename(disposition).as_deref(), expected, "{disposition}");
        }
    }

    #[test]
    fn pieces_of_any_size_encode_to_the_same_text() {
        use base64::Engine as _;
        let bytes: Vec<u8> = (0..1000u32).map(|n| (n * 7 % 251) as u8).collect();
        for piece in [1, 2, 3, 7, 999] {
            let mut document = Document::new("w", "k", 10_000);
            document.begin(&Head::default());
            assert!(bytes.chunks(piece).all(|chunk| document.push(chunk)));
            let answer = document.finish().unwrap();
            let Some(Resource::Blob { base64, .. }) = answer.resource else { panic!("no blob") };
            assert_eq!(STANDARD.decode(base64).unwrap(), bytes);
            assert_eq!(answer.structured["size"], 1000);
        }
    }

    #[test]
    fn a_document_past_the_limit_is_a_link_that_still_knows_its_size_and_digest() {
        let mut document = Document::new("w", "k", 10);
        document.begin(&Head::default());
        assert!(document.push(b"hello world"));
        let answer = document.finish().unwrap();
        assert!(matches!(answer.resource, Some(Resource::Link { size: Some(11), .. })));
        let digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        assert_eq!(answer.structured["sha256"], digest);
    }
}
