//! Where a document's bytes come from when somebody downloads it.
//!
//! Only uploads are kept in memory. Drafts, packets and the large exhibit are drawn on demand, outside the store's
//! lock, because the same title and lines always give the same bytes.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::documents;
use super::random::Random;

/// What to render.
#[derive(Debug, Clone)]
pub(crate) enum DocumentSource {
    /// A Word draft.
    Word(Page),
    /// A PDF of at least so many bytes.
    Pdf(Page, usize),
    /// A PDF of exactly so many bytes, made piece by piece while it is sent: noise follows a whole small file.
    Streamed(Page, usize),
    /// Bytes a caller uploaded, and their content type.
    Held(Bytes, String),
}

/// The largest document that is made in one piece.
pub(crate) const MOST_HELD: usize = 16 << 20;

/// How much noise is made at a time.
const PIECE: usize = 64 << 10;

/// The text of a generated document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// Heading.
    pub(crate) title: String,
    /// One paragraph each.
    pub(crate) paragraphs: Vec<String>,
}

impl DocumentSource {
    /// The bytes in pieces, how many there are, and their content type.
    pub(crate) fn pieces(self) -> (Pieces, usize, String) {
        let Self::Streamed(page, length) = self else {
            let (bytes, content_type) = self.render();
            let length = bytes.len();
            return (Pieces { first: Some(bytes), left: 0, random: Random::new(0) }, length, content_type);
        };
        let mut file = documents::pdf(&page.title, &page.paragraphs, 0);
        file.truncate(length);
        let (left, random) = (length - file.len(), Random::new(length as u64));
        (Pieces { first: Some(file.into()), left, random }, length, documents::PDF_MIME.to_owned())
    }

    /// The bytes and their content type.
    fn render(&self) -> (Bytes, String) {
        match self {
            Self::Streamed(page, _) => Self::Pdf(page.clone(), 0).render(),
            Self::Word(page) => {
                (documents::docx(&page.title, &page.paragraphs).into(), documents::DOCX_MIME.to_owned())
            }
            Self::Pdf(page, at_least) => {
                let bytes = documents::pdf(&page.title, &page.paragraphs, *at_least);
                (bytes.into(), documents::PDF_MIME.to_owned())
            }
            Self::Held(bytes, content_type) => (bytes.clone(), content_type.clone()),
        }
    }
}

/// A document, piece by piece.
pub(crate) struct Pieces {
    first: Option<Bytes>,
    left: usize,
    random: Random,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let length = self.left.min(PIECE);
        self.left -= length;
        let mut piece = Vec::with_capacity(length + 8);
        while piece.len() < length {
            piece.extend_from_slice(&self.random.next_u64().to_le_bytes());
        }
        piece.truncate(length);
        (length > 0).then(|| piece.into())
    }
}

/// One paragraph per attribute with a value, under the names people see.
pub(crate) fn paragraphs(schema: &Map<String, Value>, attributes: &Map<String, Value>) -> Vec<String> {
    let line = |(id, value): (&String, &Value)| {
        let name = schema.get(id).and_then(|node| node.get("displayName")).and_then(Value::as_str).unwrap_or(id);
        format!("{name}: {}", plain(value))
    };
    attributes.iter().map(line).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The content type a file name suggests.
pub(crate) fn type_of(filename: &str) -> &'static str {
    let extension = filename.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("docx") => documents::DOCX_MIME,
        Some("pdf") => documents::PDF_MIME,
        Some("doc") => "application/msword",
        Some("txt") => "text/plain; charset=utf-8",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Some(_) | None => "application/octet-stream",
    }
}

/// A `content-disposition`: an ASCII name for old clients and the exact one in RFC 5987 form.
pub(crate) fn disposition(filename: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ' { c } else { '_' };
    let ascii: String = filename.chars().map(plain).collect();
    let exact = percent_encoding::utf8_percent_encode(filename, percent_encoding::NON_ALPHANUMERIC);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paragraphs_use_the_names_people_see() {
        let schema = json!({ "a": { "displayName": "Counterparty" } });
        let attributes = json!({ "a": "Acme", "b": 3 });
        let lines = paragraphs(schema.as_object().expect("map"), attributes.as_object().expect("map"));
        assert_eq!(lines, ["Counterparty: Acme", "b: 3"]);
    }
}
