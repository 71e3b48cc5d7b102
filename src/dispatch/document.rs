//! Brings a document: encoded while it arrives, or written into the operator's folder.
//!
//! A document is never held as raw bytes: base64 is made piece by piece, so that the peak is one copy of the text, and what
//! is saved or only linked to costs no memory at all.

use std::io::{self, Write as _};

use base64::{engine::general_purpose::STANDARD, write::EncoderStringWriter};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Call, Prepared, failure};
use crate::{
    answer::{Answer, Fields, Resource},
    audit::Record,
    download::{DownloadFolder, Partial},
    error::{ArgumentFault, CallError, Code, Outcome},
    ironclad::{Head, Receiver, Unsound},
    manifest::Entry,
    request::segment,
};

/// The most bytes of a document that are read at all, to tell its size and digest.
const DOCUMENT_BYTES: u64 = 1 << 30;

/// The argument that asks for a file instead of the content.
pub(super) const SAVE: &str = "save";

/// Answers a call of a document.
pub(super) async fn download(
    call: Call<'_>,
    entry: &Entry,
    prepared: &Prepared,
    record: &mut Record,
) -> Result<Answer, CallError> {
    let args = &prepared.args;
    let text = |name| args.text(name).unwrap_or_default();
    let folder = args.flag(SAVE).then_some(&call.download_folder);
    if folder.is_some_and(|folder| !folder.is_open()) {
        let expected = "no save; the operator can open a folder with --download-dir (stdio only)";
        let fault = ArgumentFault::new(SAVE, "this server saves no documents", expected);
        return Err(CallError::invalid_arguments(&entry.name, vec![fault]));
    }
    let (inside, most) = match call.caller.document_bytes {
        // What reads a resource can do nothing with a link to it.
        Some(bytes) => (bytes.max(call.max_document_bytes), bytes.max(call.max_document_bytes)),
        None => (call.max_document_bytes, DOCUMENT_BYTES),
    };
    let document = Document {
        workflow_id: text("workflow_id"),
        document_key: text("document_key"),
        inside,
        most,
        folder,
        head: Head::default(),
        digest: Sha256::new(),
        size: 0,
        sink: Sink::Nothing,
    };
    let exchanged = call.exchange(&prepared.request, document, record).await;
    let (_, Received { mut answer, filename, file }) =
        exchanged.map_err(|error| explained(entry, most, failure::call_error(entry, &error)))?;
    if let Some(file) = file {
        let kept = match file {
            Ok(file) => tokio::task::spawn_blocking(move || file.keep(&filename))
                .await
                .unwrap_or_else(|_| Err(io::Error::other("it was interrupted"))),
            Err(error) => Err(error),
        };
        let path = kept.map_err(|error| not_saved(entry, &error))?;
        answer = answer.with("path", path.to_string_lossy().into());
    }
    Ok(answer.narrowed(Fields::of(args).as_ref()))
}

/// A document past what is read has no members to leave out.
fn explained(entry: &Entry, most: u64, mut error: CallError) -> CallError {
    if error.code == Code::ResponseTooLarge {
        error.message = format!("the document is larger than {most} bytes, the most that {} reads here", entry.name);
        let hint = if most < DOCUMENT_BYTES {
            "call download_workflow_document with save, where the operator has set --download-dir (stdio), or open its \
             workflow in Ironclad"
        } else {
            "open its workflow in Ironclad"
        };
        error.hint = Some(hint.into());
    }
    error
}

fn not_saved(entry: &Entry, error: &io::Error) -> CallError {
    let message = format!("{}: the document was read but not saved ({error})", entry.name);
    let hint = "the operator must make the folder of --download-dir writable, with room for it; or call without save";
    CallError::new(Code::InvalidArguments, message, hint).with_outcome(Outcome::NotSent)
}

/// What came of a document.
struct Received {
    answer: Answer,
    filename: String,
    /// The file it was written to, or why it was not.
    file: Option<io::Result<Partial>>,
}

/// Takes a document while it arrives.
struct Document<'a> {
    workflow_id: &'a str,
    document_key: &'a str,
    /// The largest that comes inside the result.
    inside: u64,
    /// The largest that is read at all.
    most: u64,
    folder: Option<&'a DownloadFolder>,
    head: Head,
    digest: Sha256,
    size: u64,
    sink: Sink,
}

/// Where the bytes go.
enum Sink {
    Nothing,
    Text(Box<EncoderStringWriter<'static, base64::engine::GeneralPurpose, String>>),
    File(io::Result<Partial>),
}

impl Document<'_> {
    fn uri(&self) -> String {
        format!("ironclad://workflows/{}/documents/{}", segment(self.workflow_id), segment(self.document_key))
    }

    /// Writes a piece; `false` where that can no longer be done.
    fn write(&mut self, chunk: &[u8]) -> bool {
        match &mut self.sink {
            Sink::Nothing => {}
            Sink::Text(_) if self.size > self.inside => self.sink = Sink::Nothing,
            Sink::Text(encoder) => {
                if encoder.write_all(chunk).is_err() {
                    self.sink = Sink::Nothing;
                }
            }
            Sink::File(Ok(file)) => {
                if let Err(error) = file.write_all(chunk) {
                    self.sink = Sink::File(Err(error));
                    return false;
                }
            }
            Sink::File(Err(_)) => return false,
        }
        true
    }
}

impl Receiver for Document<'_> {
    type Answer = Received;

    fn begin(&mut self, head: &Head) {
        self.head = head.clone();
        self.digest = Sha256::new();
        self.size = 0;
        let length = head.length.unwrap_or_default();
        self.sink = match self.folder {
            Some(folder) => Sink::File(folder.begin()),
            None if length > self.inside => Sink::Nothing,
            None => {
                let text = usize::try_from(length.div_ceil(3).saturating_mul(4)).unwrap_or_default();
                Sink::Text(Box::new(EncoderStringWriter::from_consumer(String::with_capacity(text), &STANDARD)))
            }
        };
    }

    fn push(&mut self, chunk: &[u8]) -> bool {
        self.size = self.size.saturating_add(chunk.len() as u64);
        self.digest.update(chunk);
        self.size <= self.most && self.head.length.is_none_or(|length| length <= self.most) && self.write(chunk)
    }

    fn finish(&mut self) -> Result<Received, Unsound> {
        let size = self.size.max(self.head.length.unwrap_or_default());
        if size > self.most {
            return Err(Unsound::TooLarge(usize::try_from(size).unwrap_or(usize::MAX)));
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
        let (base64, file) = match std::mem::replace(&mut self.sink, Sink::Nothing) {
            Sink::Text(encoder) => (Some(encoder.into_inner()), None),
            Sink::File(file) => (None, Some(file)),
            Sink::Nothing => (None, None),
        };
        answer.resource = Some(match base64 {
            Some(base64) => Resource::Blob { uri, media_type, base64 },
            None => Resource::Link { uri, name: filename.clone(), media_type, size: Some(self.size) },
        });
        Ok(Received { answer, filename, file })
    }

    fn is_document(&self) -> bool {
        true
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

    fn document(inside: u64) -> Document<'static> {
        Document {
            workflow_id: "w",
            document_key: "k",
            inside,
            most: 100_000,
            folder: None,
            head: Head::default(),
            digest: Sha256::new(),
            size: 0,
            sink: Sink::Nothing,
        }
    }

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
            let mut document = document(10_000);
            document.begin(&Head::default());
            assert!(bytes.chunks(piece).all(|chunk| document.push(chunk)));
            let answer = document.finish().ok().unwrap().answer;
            let Some(Resource::Blob { base64, .. }) = answer.resource else { panic!("no blob") };
            assert_eq!(STANDARD.decode(base64).unwrap(), bytes);
            assert_eq!(answer.structured["size"], 1000);
        }
    }

    #[test]
    fn a_document_past_the_limit_is_a_link_that_still_knows_its_size_and_digest() {
        let mut document = document(10);
        document.begin(&Head::default());
        assert!(document.push(b"hello world"));
        let answer = document.finish().ok().unwrap().answer;
        assert!(matches!(answer.resource, Some(Resource::Link { size: Some(11), .. })));
        let digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        assert_eq!(answer.structured["sha256"], digest);
    }

    #[test]
    fn a_document_past_what_is_read_at_all_is_given_up_at_once() {
        let mut document = document(10);
        document.begin(&Head { length: Some(100_001), ..Head::default() });
        assert!(!document.push(b"hello"), "its length is told");
        assert!(matches!(document.finish(), Err(Unsound::TooLarge(100_001))));
        document.begin(&Head::default());
        assert!(document.push(&[0; 100_000]) && !document.push(b"x"), "its length is not told");
        assert!(matches!(document.finish(), Err(Unsound::TooLarge(100_001))));
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_fails_the_document_without_another_attempt() {
        let gone = DownloadFolder::new(Some("/nowhere/at/all".into()));
        let mut document = Document { folder: Some(&gone), ..document(10) };
        document.begin(&Head::default());
        assert!(!document.push(b"hello"));
        assert!(matches!(document.finish().ok().unwrap().file, Some(Err(_))));
    }
}
