//! A small file beside the log that holds the hash of its last line, and that is locked while a line is appended.
//!
//! A chain alone cannot tell that its last lines are gone; the head can. It is written behind each line, so after a crash
//! it may be one line late, which is no loss: the line that it names is still in the log.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::files;

/// What the head says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The hash of the last line.
    pub(super) hash: String,
    /// Losses that were found when the log was opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lost: Vec<Loss>,
}

/// Lines that had been written, and were gone when the log was opened again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Loss {
    /// When that was found.
    pub(super) found: String,
    /// The hash of the last line that had been written.
    pub(super) last: String,
    /// The hash of the line that the log ended with instead.
    pub(super) after: String,
}

/// Where the head of a log is kept.
pub(super) fn path_of(log: &Path) -> PathBuf {
    files::beside(log, ".head")
}

/// What the head of a log says; `None` where there is none, or it cannot be read.
pub(super) fn read(log: &Path) -> Option<Head> {
    serde_json::from_slice(&std::fs::read(path_of(log)).ok()?).ok()
}

/// About what a head takes; a larger one is read in several pieces.
const USUAL: usize = 256;

/// An open head.
#[derive(Debug)]
pub(super) struct HeadFile {
    file: File,
    /// How long it was when it was last read.
    length: usize,
}

impl HeadFile {
    /// Opens it, and makes it where there is none.
    pub(super) fn open(log: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { file: options.open(path_of(log))?, length: 0 })
    }

    pub(super) fn lock(&self) -> io::Result<()> {
        self.file.lock()
    }

    pub(super) fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// `None` where it is new, or broken.
    pub(super) fn read(&mut self) -> io::Result<Option<Head>> {
        let mut text = vec![0; USUAL];
        let mut taken = 0;
        // A whole piece may have more behind it.
        while let Some(free) = text.get_mut(taken..).filter(|free| !free.is_empty()) {
            let read = read_at(&mut self.file, free, taken as u64)?;
            taken += read;
            if read == 0 || taken < text.len() {
                break;
            }
            text.resize(text.len() * 2, 0);
        }
        text.truncate(taken);
        self.length = taken;
        Ok(serde_json::from_slice(&text).ok())
    }

    pub(super) fn write(&mut self, head: &Head) -> io::Result<()> {
        let text = serde_json::to_vec(head)?;
        write_all_at(&mut self.file, &text)?;
        // A head only grows, but for one that somebody else wrote.
        if self.length > text.len() {
            self.file.set_len(text.len() as u64)?;
        }
        self.length = text.len();
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &mut File, into: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, place)
}

#[cfg(unix)]
fn write_all_at(file: &mut File, text: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, text, 0)
}

#[cfg(not(unix))]
fn read_at(file: &mut File, into: &mut [u8], place: u64) -> io::Result<usize> {
    use io::{Read as _, Seek as _};
    file.seek(io::SeekFrom::Start(place))?;
    file.read(into)
}

#[cfg(not(unix))]
fn write_all_at(file: &mut File, text: &[u8]) -> io::Result<()> {
    use io::{Seek as _, Write as _};
    file.seek(io::SeekFrom::Start(0))?;
    file.write_all(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_any_length_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.jsonl");
        let loss = |n: usize| Loss { found: "t".into(), last: format!("{n:064}"), after: "a".repeat(64) };
        let mut one = HeadFile::open(&log).unwrap();
        assert_eq!(one.read().unwrap(), None);
        let mut other = HeadFile::open(&log).unwrap();
        for losses in [0, 1, 2, 3, 40, 1, 0] {
            let head = Head { hash: "h".repeat(64), lost: (0..losses).map(loss).collect() };
            one.read().unwrap();
            one.write(&head).unwrap();
            assert_eq!((other.read().unwrap(), read(&log)), (Some(head.clone()), Some(head)), "{losses}");
        }
    }
}
