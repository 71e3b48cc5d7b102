//! Reads the documents that a launch brings along: a file of this machine, or bytes in base64.
//!
//! A model names the path, and what a model was told may be anybody's words, so a file is taken only from the folders
//! that the operator opened, links resolved first. A refusal never tells whether a file outside of them exists.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    error::ArgumentFault,
    request::{Content, Upload},
};

/// The largest document that is sent, in bytes; the vendor names this limit for its import only
/// (ironclad-api.md §9.4).
pub const LARGEST: u64 = 100_000_000;

/// How much of a file is looked at to tell its type: a PDF may begin within its first 1,024 bytes.
const HEAD_BYTES: usize = 1024;

/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 255;

/// The types that Ironclad takes as documents: extension, media type.
const TYPES: [(&str, &str); 3] = [
    ("pdf", "application/pdf"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
];

const EXPECTED_TYPE: &str = "a pdf, doc or docx file";

/// The folders that documents may be read from (`--upload-dir`); none where there is no local user, as over HTTP.
#[derive(Debug, Clone, Default)]
pub struct UploadFolders(Arc<[PathBuf]>);

impl UploadFolders {
    /// Opens these folders and everything below them.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self(folders.into())
    }

    /// Reads a document value found at the argument `at`; `None` for one that Ironclad fetches itself.
    ///
    /// # Errors
    /// The file is not within the folders, or is no document that Ironclad takes.
    pub async fn read(&self, value: &Value, at: &str, part: String) -> Result<Option<Upload>, ArgumentFault> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        if let Some(path) = text("path") {
            let (folders, path, at) = (self.clone(), path.to_owned(), format!("{at}.path"));
            let gone = ArgumentFault::new(at.clone(), "the file could not be read", EXPECTED_TYPE);
            let read = tokio::task::spawn_blocking(move || folders.file(&path, &at, part)).await;
            return read.unwrap_or(Err(gone)).map(Some);
        }
        match (text("filename"), text("content_base64")) {
            (Some(filename), Some(base64)) => bytes(filename, base64, at, part).map(Some),
            (_, _) => Ok(None),
        }
    }

    fn file(&self, path: &str, at: &str, part: String) -> Result<Upload, ArgumentFault> {
        if self.0.is_empty() {
            let expected = "a url or content_base64; the operator can open a folder with --upload-dir (stdio only)";
            return Err(ArgumentFault::new(at, "this server reads no local files", expected));
        }
        let unreadable = || {
            let named: Vec<String> = self.0.iter().map(|folder| folder.display().to_string()).collect();
            let expected = format!("a readable file below {}", named.join(" or "));
            ArgumentFault::new(at, "there is no such file in the folders that the operator opened", expected)
        };
        let real = self.0.iter().find_map(|folder| within(folder, Path::new(path))).ok_or_else(unreadable)?;
        let name = real.file_name().and_then(|name| name.to_str()).ok_or_else(unreadable)?.to_owned();
        let size = real.metadata().map_err(|_| unreadable())?.len();
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let opened = std::fs::File::open(&real).map_err(|_| unreadable())?;
        opened.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|_| unreadable())?;
        let media_type = checked((&name, at), (&head, at), size)?;
        Ok(Upload { part, filename: name, media_type, size, content: Content::File(real) })
    }
}

/// The file that a path names, links resolved, if it lies below the folder.
fn within(folder: &Path, path: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    // Joining an absolute path gives that path.
    let real = folder.join(path).canonicalize().ok()?;
    (real.starts_with(&folder) && real.is_file()).then_some(real)
}

fn bytes(filename: &str, base64: &str, at: &str, part: String) -> Result<Upload, ArgumentFault> {
    let name_at = format!("{at}.filename");
    let content_at = format!("{at}.content_base64");
    let name = filename.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains(char::is_control) {
        return Err(ArgumentFault::new(name_at, "is no name of a file", "a name such as \"NDA.docx\""));
    }
    // Base64 takes four letters for three bytes: what is too long as text need not be decoded.
    if base64.len() as u64 / 4 * 3 > LARGEST + 3 {
        return Err(too_large(&content_at));
    }
    let letters: Vec<u8> = base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let Ok(content) = STANDARD.decode(letters) else {
        return Err(ArgumentFault::new(content_at, "is no base64", "the file's bytes in standard base64 with padding"));
    };
    let head = content.get(..HEAD_BYTES).unwrap_or(&content);
    let size = content.len() as u64;
    let media_type = checked((name, &name_at), (head, &content_at), size)?;
    Ok(Upload { part, filename: name.to_owned(), media_type, size, content: Content::Bytes(content.into()) })
}

fn too_large(at: &str) -> ArgumentFault {
    ArgumentFault::new(at, "the document is larger than 100 MB", "a smaller file")
}

/// The media type of a document whose name, first bytes and size are right; the name and the bytes must agree.
fn checked((name, name_at): (&str, &str), (head, at): (&[u8], &str), size: u64) -> Result<&'static str, ArgumentFault> {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let Some((extension, media_type)) = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension)) else {
        let message = format!("{name:?} is no document that Ironclad takes");
        return Err(ArgumentFault::new(name_at, message, EXPECTED_TYPE));
    };
    if size > LARGEST {
        return Err(too_large(at));
    }
    let genuine = match *extension {
        "pdf" => head.windows(5).any(|window| window == b"%PDF-"),
        "docx" => head.starts_with(b"PK\x03\x04"),
        _ => head.starts_with(&[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1]),
    };
    if genuine {
        return Ok(media_type);
    }
    let message = format!("the content is not that of a {extension} file");
    Err(ArgumentFault::new(at, message, "the whole file, with the extension of its true type"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    const PDF: &[u8] = b"%PDF-1.7 hello";

    async fn read(folders: &UploadFolders, value: &Value) -> Result<Option<Upload>, ArgumentFault> {
        folders.read(value, "attributes.draft[0]", "file0".into()).await
    }

    fn folder() -> (tempfile::TempDir, UploadFolders) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("open/below")).unwrap();
        for name in ["open/a.pdf", "open/below/b.PDF", "secret.pdf", "open/fake.docx", "open/notes.txt"] {
            std::fs::write(folder.path().join(name), PDF).unwrap();
        }
        let open = UploadFolders::new(vec![folder.path().join("nowhere"), folder.path().join("open")]);
        (folder, open)
    }

    #[tokio::test]
    async fn a_file_is_read_by_its_path_below_a_folder_or_by_its_whole_path() {
        let (folder, open) = folder();
        let whole = folder.path().join("open/below/b.PDF");
        for path in ["a.pdf", "below/b.PDF", "below/../a.pdf", whole.to_str().unwrap()] {
            let upload = read(&open, &json!({ "path": path })).await.unwrap().unwrap();
            assert_eq!((upload.size, upload.media_type), (PDF.len() as u64, "application/pdf"), "{path}");
            assert!(matches!(upload.content, Content::File(_)));
        }
    }

    #[tokio::test]
    async fn what_is_outside_of_the_folders_reads_like_what_is_nowhere() {
        let (folder, open) = folder();
        let secret = folder.path().join("secret.pdf");
        let missing = read(&open, &json!({"path": "missing.pdf"})).await.unwrap_err();
        for path in ["../secret.pdf", "below/../../secret.pdf", secret.to_str().unwrap(), "/etc/passwd", "below", ""] {
            assert_eq!(read(&open, &json!({ "path": path })).await.unwrap_err(), missing, "{path}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_that_leads_out_of_the_folders_is_refused() {
        let (folder, open) = folder();
        std::os::unix::fs::symlink(folder.path().join("secret.pdf"), folder.path().join("open/link.pdf")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("open/up")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("open/a.pdf"), folder.path().join("open/fine.pdf")).unwrap();
        for path in ["link.pdf", "up/secret.pdf"] {
            assert!(read(&open, &json!({ "path": path })).await.is_err(), "{path}");
        }
        assert!(read(&open, &json!({"path": "fine.pdf"})).await.is_ok());
    }

    #[tokio::test]
    async fn without_a_folder_no_file_is_read() {
        let (folder, _) = folder();
        let whole = folder.path().join("open/a.pdf");
        let fault = read(&UploadFolders::default(), &json!({"path": whole.to_str()})).await.unwrap_err();
        assert!(fault.message.contains("reads no local files"), "{fault:?}");
    }

    #[tokio::test]
    async fn name_and_content_must_agree_on_the_type() {
        let (_folder, open) = folder();
        for (path, told) in [("fake.docx", "not that of a docx"), ("notes.txt", "no document that Ironclad takes")] {
            let fault = read(&open, &json!({ "path": path })).await.unwrap_err();
            assert!(fault.message.contains(told), "{fault:?}");
        }
        let table: [(&str, &[u8], bool); 6] = [
            ("a.docx", b"PK\x03\x04rest", true),
            ("C:\\files\\a.DOC", &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1, 0], true),
            ("a.pdf", b"\n\n%PDF-1.4", true),
            ("a.pdf", b"", false),
            ("a.exe", b"MZ", false),
            ("..", PDF, false),
        ];
        for (filename, content, taken) in table {
            let value = json!({"filename": filename, "content_base64": STANDARD.encode(content)});
            assert_eq!(read(&UploadFolders::default(), &value).await.is_ok(), taken, "{filename}");
        }
    }

    #[tokio::test]
    async fn base64_may_be_wrapped_and_must_be_whole() {
        let value = |base64: &str| json!({"filename": "a.pdf", "content_base64": base64});
        let wrapped = STANDARD.encode(PDF).replace('0', "0\n");
        let upload = read(&UploadFolders::default(), &value(&wrapped)).await.unwrap().unwrap();
        assert_eq!(upload.content, Content::Bytes(Bytes::from_static(PDF)));
        assert!(!format!("{upload:?}").contains("hello") && !upload.to_json().to_string().contains("hello"));
        for broken in ["JVBERi0", "%%%%", "data:application/pdf;base64,JVBERi0="] {
            assert!(read(&UploadFolders::default(), &value(broken)).await.is_err(), "{broken}");
        }
    }

    #[test]
    fn a_document_past_100_mb_is_refused() {
        assert!(checked(("a.pdf", ""), (PDF, ""), LARGEST).is_ok());
        assert!(checked(("a.pdf", ""), (PDF, ""), LARGEST + 1).is_err());
    }
}
