//! Saves documents into the folder that the operator opened.
//!
//! A file's name comes from whoever sent the document to the counterparty, so it is made harmless first: one component, no
//! letter that hides or turns another, no name that a system keeps for itself. The bytes go to a file of our own beside it,
//! which gets the name only when it is whole and on disk, and never that of a file that is there.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::NamedTempFile;

/// The longest name in bytes; file systems take 255, and a number may have to follow.
const LONGEST_NAME: usize = 200;

/// The longest extension that is kept when a name is cut.
const LONGEST_EXTENSION: usize = 20;

/// How many names are tried for one document: `a.pdf`, `a (2).pdf` and so on.
const MOST_NAMES: u32 = 1_000;

/// The folder that documents may be saved into (`--download-dir`); none where there is no local user, as over HTTP.
#[derive(Debug, Clone, Default)]
pub struct DownloadFolder(Option<Arc<Path>>);

impl DownloadFolder {
    /// Opens this folder.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self(folder.map(Into::into))
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a document.
    ///
    /// # Errors
    /// There is no folder, or nothing can be written there.
    pub fn begin(&self) -> io::Result<Partial> {
        let folder = self.0.as_deref().ok_or(io::ErrorKind::NotFound)?;
        // Only its owner may read it: `tempfile` makes it so, and never over another file.
        let file = tempfile::Builder::new().prefix(".ironclad-mcp-").suffix(".part").tempfile_in(folder)?;
        Ok(Partial { file, folder: folder.to_owned() })
    }
}

/// A document that is not whole yet; dropped, it leaves nothing behind.
pub struct Partial {
    file: NamedTempFile,
    folder: PathBuf,
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Partial").field(&self.folder).finish()
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Partial {
    /// Gives the document its name, or the next one that is free, and tells where it is.
    ///
    /// # Errors
    /// It cannot be brought to disk, or no name is free.
    pub fn keep(self, filename: &str) -> io::Result<PathBuf> {
        self.file.as_file().sync_all()?;
        let name = harmless(filename);
        let mut file = self.file;
        for number in 1..=MOST_NAMES {
            let path = self.folder.join(numbered(&name, number));
            match file.persist_noclobber(&path) {
                Ok(_) => {
                    sync_folder(&self.folder)?;
                    return Ok(path);
                }
                Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => file = taken.file,
                Err(failed) => return Err(failed.error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name are there"))
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn numbered(name: &str, number: u32) -> String {
    if number == 1 {
        return name.to_owned();
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem} ({number}).{extension}"),
        None => format!("{name} ({number})"),
    }
}

/// A name that every file system takes as one plain file, as near to the given one as can be.
#[must_use]
pub fn harmless(filename: &str) -> String {
    let letters = filename.chars().filter(|letter| !is_hidden(*letter)).map(|letter| match letter {
        letter if is_separator(letter) => '_',
        letter if letter.is_whitespace() => ' ',
        letter => letter,
    });
    let name: String = letters.collect();
    // A leading dot hides a file, a leading dash is an option to programs, a tilde a home; Windows drops what trails.
    let name = name.trim().trim_start_matches(['.', ' ', '-', '~']).trim_end_matches(['.', ' ']);
    let name = shortened(name);
    match () {
        () if name.is_empty() => "document".to_owned(),
        () if is_reserved(&name) => format!("_{name}"),
        () => name,
    }
}

/// Control characters, and letters without a shape: they hide, join or turn the others.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// What separates folders or means something to a system, and what looks like it.
fn is_separator(letter: char) -> bool {
    matches!(
        letter,
        '/' | '\\'
            | ':'
            | '*'
            | '?'
            | '"'
            | '<'
            | '>'
            | '|'
            | '\u{2044}'
            | '\u{2215}'
            | '\u{2216}'
            | '\u{2236}'
            | '\u{29f5}'
            | '\u{29f8}'
            | '\u{29f9}'
            | '\u{fe68}'
            | '\u{ff0f}'
            | '\u{ff1a}'
            | '\u{ff3c}'
            | '\u{2024}'
            | '\u{2025}'
            | '\u{2026}'
            | '\u{ff0e}'
            | '\u{a789}'
    )
}

fn shortened(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= LONGEST_EXTENSION => (stem, format!(".{extension}")),
        Some(_) | None => (name, String::new()),
    };
    let room = LONGEST_NAME - extension.len();
    let end = (0..=room).rev().find(|end| stem.is_char_boundary(*end)).unwrap_or_default();
    format!("{}{extension}", stem.get(..end).unwrap_or_default().trim_end_matches(['.', ' ']))
}

/// Names that Windows keeps for devices, whatever follows their first dot.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
    let numbered = |device: &str| {
        let mut rest = stem.strip_prefix(device).unwrap_or_default().chars();
        matches!((rest.next(), rest.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_made_harmless_and_stays_as_near_as_it_can() {
        let table = [
            ("Mutual NDA.docx", "Mutual NDA.docx"),
            ("Verträge 株式会社 (final).pdf", "Verträge 株式会社 (final).pdf"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("C:\\Windows\\evil.exe", "C__Windows_evil.exe"),
            ("..", "document"),
            (".", "document"),
            ("", "document"),
            (" . . ", "document"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("~root", "root"),
            ("NUL", "_NUL"),
            ("con.pdf", "_con.pdf"),
            ("lpt¹.txt", "_lpt¹.txt"),
            ("console.pdf", "console.pdf"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("a\u{0}b\n\u{7f}\u{85}c.pdf", "abc.pdf"),
            ("a\u{200b}\u{feff}.pdf", "a.pdf"),
            ("a\u{2215}b\u{ff0f}c\u{29f8}d.pdf", "a_b_c_d.pdf"),
            ("report.pdf. . ", "report.pdf"),
            ("a:b*c?.pdf:stream", "a_b_c_.pdf_stream"),
        ];
        for (given, expected) in table {
            assert_eq!(harmless(given), expected, "{given:?}");
        }
        let long = harmless(&format!("{}.pdf", "é".repeat(500)));
        assert!(long.len() <= LONGEST_NAME && long.ends_with("é.pdf"), "{long}");
    }

    fn saved(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let mut partial = DownloadFolder::new(Some(folder.to_owned())).begin()?;
        partial.write_all(bytes)?;
        partial.keep(name)
    }

    fn names(folder: &Path) -> Vec<String> {
        let all = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = all.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_is_there_is_never_touched() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.pdf"), "mine").unwrap();
        std::fs::create_dir(folder.path().join("a (2).pdf")).unwrap();
        assert_eq!(saved(folder.path(), "a.pdf", b"theirs").unwrap(), folder.path().join("a (3).pdf"));
        assert_eq!(saved(folder.path(), "a.pdf", b"again").unwrap(), folder.path().join("a (4).pdf"));
        assert_eq!(saved(folder.path(), "bare", b"1").unwrap(), folder.path().join("bare"));
        assert_eq!(saved(folder.path(), "bare", b"2").unwrap(), folder.path().join("bare (2)"));
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("a.pdf"), read("a (3).pdf"), read("bare (2)")),
            (b"mine".into(), b"theirs".into(), b"2".into())
        );
    }

    #[test]
    fn what_is_given_up_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = DownloadFolder::new(Some(folder.path().to_owned())).begin().unwrap();
        partial.write_all(b"half").unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        drop(partial);
        assert_eq!(names(folder.path()), Vec::<String>::new());
        assert!(DownloadFolder::default().begin().is_err() && !DownloadFolder::default().is_open());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_and_the_file_is_its_owners_alone() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path().join("nowhere.pdf"), folder.path().join("dangling.pdf")).unwrap();
        symlink(outside.path(), folder.path().join("away")).unwrap();
        let path = saved(folder.path(), "dangling.pdf", b"x").unwrap();
        assert_eq!(path, folder.path().join("dangling (2).pdf"));
        assert_eq!(saved(folder.path(), "away", b"x").unwrap(), folder.path().join("away (2)"));
        assert_eq!(saved(folder.path(), "away/x.pdf", b"x").unwrap(), folder.path().join("away_x.pdf"));
        assert_eq!(names(outside.path()), Vec::<String>::new());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    proptest! {
        #[test]
        fn any_name_is_one_plain_component_and_harmless_twice_is_harmless_once(
            given in prop_oneof![any::<String>(), "[./\\\\ :~a\u{202e}\u{200b}-]{0,12}", "(CON|nul|Com1)[. ]{0,3}[a-z]{0,3}"],
        ) {
            let name = harmless(&given);
            let components: Vec<_> = Path::new(&name).components().collect();
            prop_assert!(matches!(components.as_slice(), [std::path::Component::Normal(_)]), "{name:?}");
            prop_assert!(name.len() <= LONGEST_NAME + 1 && !name.starts_with('.') && !name.chars().any(char::is_control));
            prop_assert_eq!(harmless(&name), name);
        }

        #[test]
        fn any_name_is_saved_within_the_folder(given in any::<String>()) {
            let folder = tempfile::tempdir().unwrap();
            let path = saved(folder.path(), &given, b"bytes").unwrap();
            prop_assert_eq!(path.parent(), Some(folder.path()));
            prop_assert_eq!(names(folder.path()).len(), 1);
        }
    }
}
