//! Shapes Ironclad's reply into what the caller gets: the list envelope, projection, the size cap, `url`.
//!
//! Bulky members are skipped while the reply is parsed rather than removed afterwards, so a page of workflows never holds
//! its launch forms in memory. A result counts with both of its copies, structured and text (DESIGN, decision 8).

mod each;
mod fields;
mod gathered;
mod kept;
mod list;
mod object;

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

pub use self::{
    each::each,
    fields::Fields,
    gathered::{Gathered, Window, page},
    kept::{Meter, metered},
    list::{Page, PageRead, PageReader},
    object::{ObjectReader, object},
};
use crate::{arguments::Args, manifest, request::Request};

/// What a successful call gives its caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The structured content; always an object.
    pub structured: Value,
    /// The same as JSON text.
    pub text: String,
    /// A document's content, which goes beside the structured content.
    pub resource: Option<Resource>,
    /// What the result's `_meta` says of the answer.
    pub meta: Map<String, Value>,
}

/// A document in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The bytes, in base64.
    Blob {
        /// `ironclad://workflows/{id}/documents/{key}`
        uri: String,
        /// The media type.
        media_type: String,
        /// The bytes in standard base64.
        base64: String,
    },
    /// A link, where the bytes are too many.
    Link {
        /// `ironclad://workflows/{id}/documents/{key}`
        uri: String,
        /// The file's name.
        name: String,
        /// The media type.
        media_type: String,
        /// Its size in bytes, where Ironclad said.
        size: Option<u64>,
    },
}

impl Answer {
    /// An answer of structured content alone.
    #[must_use]
    pub fn new(structured: Value) -> Self {
        let text = structured.to_string();
        Self { structured, text, resource: None, meta: Map::new() }
    }

    /// The same with only the members asked for; a document's content stays.
    #[must_use]
    pub fn narrowed(self, fields: Option<&Fields>) -> Self {
        match (fields, self.structured) {
            (Some(fields), Value::Object(members)) => {
                Self { resource: self.resource, meta: self.meta, ..Self::new(fields.project_object(members).into()) }
            }
            (_, structured) => Self { structured, ..self },
        }
    }

    /// The same answer with another member beside it; an empty list is left out.
    #[must_use]
    pub fn with(self, name: &str, value: Value) -> Self {
        let says = value.as_array().is_none_or(|items| !items.is_empty());
        let mut structured = self.structured;
        if let Value::Object(members) = &mut structured
            && says
        {
            members.insert(name.to_owned(), value);
        }
        Self { resource: self.resource, meta: self.meta, ..Self::new(structured) }
    }

    /// The same answer with what would change beside it, where that is known.
    #[must_use]
    pub fn with_diff(self, diff: Option<Vec<Value>>) -> Self {
        match (self.structured, diff) {
            (Value::Object(mut members), Some(diff)) => {
                members.insert("diff".into(), diff.into());
                Self { resource: self.resource, meta: self.meta, ..Self::new(members.into()) }
            }
            (structured, _) => Self { structured, ..self },
        }
    }

    /// The same answer with what the caller should know beside it.
    #[must_use]
    pub fn with_notes(mut self, notes: Vec<String>) -> Self {
        if let Value::Object(members) = &mut self.structured
            && !notes.is_empty()
        {
            members.insert("notes".into(), notes.into());
            self.text = self.structured.to_string();
        }
        self
    }

    /// The bytes that travel: the structured content and its text copy, which is escaped once more.
    #[must_use]
    pub fn bytes(&self) -> usize {
        travelling_bytes(&self.text)
    }

    /// Whether the result, its wrapping included, keeps to a limit.
    #[must_use]
    pub fn fits(&self, max_bytes: usize) -> bool {
        self.bytes() + WRAPPING_BYTES <= max_bytes
    }
}

fn travelling_bytes(text: &str) -> usize {
    let escapes = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    2 * text.len() + escapes
}

/// The most bytes of a result beside its content: member names, content type, the list envelope, the server's stamp.
const WRAPPING_BYTES: usize = 500;

/// What an answer is shaped by.
#[derive(Debug, Clone)]
pub struct Shape<'a> {
    /// The Ironclad host, for `url`.
    pub origin: &'a str,
    /// The most bytes that a result may have.
    pub max_bytes: usize,
    /// The members to keep.
    pub fields: Option<Fields>,
}

/// Why a reply cannot be shaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The body is not the JSON that the endpoint answers with.
    #[error("the body is not the JSON that the endpoint answers with")]
    Malformed,
    /// The result would be larger than the limit.
    #[error("the result would take {bytes} bytes")]
    TooLarge {
        /// How large it would be.
        bytes: usize,
    },
}

impl From<serde_json::Error> for ShapeError {
    fn from(error: serde_json::Error) -> Self {
        // What reads a body itself gives up only on what no sound body holds.
        if error.is_io() { Self::TooLarge { bytes: LONGEST_TEXT } } else { Self::Malformed }
    }
}

/// The longest single text or number of a body, in bytes, that is read.
pub const LONGEST_TEXT: usize = 4 << 20;

/// The answer of a write whose reply holds nothing (or a bare `true`): the ids of the call.
///
/// # Errors
/// The body is not even JSON, so something else than Ironclad answered.
pub fn empty(entry: &manifest::Entry, args: &Args, body: &[u8]) -> Result<Answer, ShapeError> {
    if !body.trim_ascii().is_empty() {
        serde_json::from_slice::<IgnoredAny>(body).map_err(|_| ShapeError::Malformed)?;
    }
    let mut members = Map::from_iter([("done".to_owned(), true.into())]);
    for name in entry.path_arguments() {
        if let Some(id) = args.get(name) {
            members.insert(name.to_owned(), id.clone());
        }
    }
    Ok(Answer::new(members.into()))
}

/// The answer of a dry run: the request that would have been sent.
#[must_use]
pub fn dry_run(request: &Request) -> Answer {
    Answer::new(json!({ "dry_run": true, "request": request.to_json() }))
}

#[cfg(test)]
mod tests;
