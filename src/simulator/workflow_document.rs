//! The documents of a workflow: drafts, attachments and signature packets.
//!
//! A document keeps its key for life; each regeneration or upload gives it a new version id and number
//! (ironclad-api.md §6.3).

use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::clock::stamp;
use super::documents_source::{self, DocumentSource, Page, paragraphs};
use super::identity::COMPANY_NAME;
use super::people::Person;
use super::random::Random;
use super::workflow_state::Workflow;

/// What a document is made of.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A draft drawn from the workflow's attributes.
    Draft,
    /// A signature packet, signed or not.
    Packet,
    /// A generated PDF of at least so many bytes.
    Large(usize),
    /// An uploaded file and its content type.
    Held(Bytes, String),
    /// Something Ironclad was told to fetch; a stand-in is drawn, since the simulator fetches nothing.
    Fetched(String),
}

/// One document.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// The attribute that holds it: `draft`, `signed`, …
    pub(crate) attribute: String,
    /// Its nanoid.
    pub(crate) key: String,
    /// Id of the latest version.
    pub(crate) version: String,
    /// Number of the latest version, from 1.
    pub(crate) version_number: u32,
    /// File name.
    pub(crate) filename: String,
    /// When the latest version was made.
    pub(crate) modified: OffsetDateTime,
    /// Who made it; none for the system.
    pub(crate) author_id: Option<String>,
    /// What it is made of.
    pub(crate) content: Content,
}

const PACKET_ATTRIBUTES: [&str; 3] = ["signed", "partiallySigned", "sentSignaturePacket"];

impl Document {
    /// A first version with fresh ids.
    pub(crate) fn new(attribute: &str, filename: String, content: Content, fresh: &mut Fresh<'_>) -> Self {
        Self {
            attribute: attribute.to_owned(),
            key: fresh.random.nanoid(),
            version: fresh.random.nanoid(),
            version_number: 1,
            filename,
            modified: fresh.now,
            author_id: None,
            content,
        }
    }

    /// The same document by a user.
    #[must_use]
    pub(crate) fn by(mut self, user_id: &str) -> Self {
        self.author_id = Some(user_id.to_owned());
        self
    }

    /// Whether it came out of the Sign step.
    pub(crate) fn is_packet(&self) -> bool {
        PACKET_ATTRIBUTES.contains(&self.attribute.as_str())
    }

    /// Starts a new version.
    pub(crate) fn renew(&mut self, fresh: &mut Fresh<'_>) {
        self.version = fresh.random.nanoid();
        self.version_number = self.version_number.saturating_add(1);
        self.modified = fresh.now;
    }

    /// The vendor's document object; `download` has no host.
    pub(crate) fn json(&self, workflow_id: &str, people: &[Person]) -> Value {
        json!({
            "version": self.version,
            "versionNumber": self.version_number,
            "filename": self.filename,
            "key": self.key,
            "download": format!("/public/api/v1/workflows/{workflow_id}/document/{}/download", self.key),
            "lastModified": { "timestamp": stamp(self.modified), "author": self.author(people) },
        })
    }

    fn author(&self, people: &[Person]) -> Value {
        let id = self.author_id.as_deref().unwrap_or_default();
        let Some(person) = people.iter().find(|person| person.id == id) else {
            return json!({ "type": "system", "displayName": "Ironclad" });
        };
        json!({
            "type": "internalUser",
            "displayName": person.display_name(),
            "email": person.email,
            "userId": person.id,
            "companyName": COMPANY_NAME,
        })
    }

    /// What to render for a download of the latest version.
    pub(crate) fn source(&self, workflow: &Workflow) -> DocumentSource {
        let mut page = Page {
            title: workflow.title.clone(),
            paragraphs: paragraphs(&workflow.template.schema, &workflow.attributes),
        };
        match &self.content {
            Content::Draft => DocumentSource::Word(page),
            Content::Packet => {
                page.paragraphs.push(self.packet_note().to_owned());
                DocumentSource::Pdf(page, 0)
            }
            Content::Large(size) if *size > documents_source::MOST_HELD => DocumentSource::Streamed(page, *size),
            Content::Large(size) => DocumentSource::Pdf(page, *size),
            Content::Held(bytes, content_type) => DocumentSource::Held(bytes.clone(), content_type.clone()),
            Content::Fetched(url) => {
                page.paragraphs.push(format!("Fetched from {url}"));
                if self.filename.to_ascii_lowercase().ends_with(".docx") {
                    DocumentSource::Word(page)
                } else {
                    DocumentSource::Pdf(page, 0)
                }
            }
        }
    }

    fn packet_note(&self) -> &'static str {
        match self.attribute.as_str() {
            "signed" => "Signed by all parties.",
            "partiallySigned" => "Signed by some of the parties.",
            _ => "Sent for signature.",
        }
    }
}

/// Where new documents take ids and times from.
#[derive(Debug)]
pub(crate) struct Fresh<'a> {
    /// Source of ids.
    pub(crate) random: &'a mut Random,
    /// The present.
    pub(crate) now: OffsetDateTime,
}
