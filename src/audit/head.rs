//! A small file beside the log that holds the hash of its last line, and that is locked while a line is appended.
//!
//! A chain alone cannot tell that its last lines are gone; the head can. It is written behind each line, so after a crash
//! it may be one line late, which is no loss: the line that it names is still in the log.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
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

/// An open head.
#[derive(Debug)]
pub(super) struct HeadFile(File);

impl HeadFile {
    /// Opens it, and makes it where there is none.
    pub(super) fn open(log: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path_of(log)).map(Self)
    }

    pub(super) fn lock(&self) -> io::Result<()> {
        self.0.lock()
    }

    pub(super) fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }

    /// `None` where it is new, or broken.
    pub(super) fn read(&mut self) -> io::Result<Option<Head>> {
        let mut text = Vec::with_capacity(128);
        self.0.seek(SeekFrom::Start(0))?;
        self.0.read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text).ok())
    }

    pub(super) fn write(&mut self, head: &Head) -> io::Result<()> {
        let text = serde_json::to_vec(head)?;
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(&text)?;
        // A head only grows, but for one that somebody else wrote.
        if self.0.metadata()?.len() > text.len() as u64 { self.0.set_len(text.len() as u64) } else { Ok(()) }
    }
}
