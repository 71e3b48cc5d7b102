//! Follows the chain of a log from its first line to its last, across all its files.
//!
//! What this proves: no line was changed, taken out, added, moved or repeated, short of somebody who can write to the
//! whole folder and makes every later line and the head anew. Against that one, keep the last hash somewhere else, and
//! ask later whether the log still holds it.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::{
    chain::{self, GENESIS, NoLink},
    files,
    head::{self, Head},
};

/// What a whole chain was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many files.
    pub files: usize,
    /// How many lines.
    pub lines: u64,
    /// The hash of the last line.
    pub last_hash: String,
    /// What is known of the end.
    pub head: HeadSays,
    /// Whether half a line stands behind the last whole one: a process died, or is writing.
    pub unfinished: bool,
}

/// What is known of the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadSays {
    /// Nothing is missing.
    Whole,
    /// There is no head, so nobody can say.
    Nothing,
}

/// The first line that breaks the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file that it is in.
    pub file: PathBuf,
    /// Its number in that file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What breaks a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The line is none that a log writes.
    #[error("it is no line of an audit log")]
    Foreign,
    /// The line says something else than when it was written.
    #[error("it was changed: its hash does not fit what it says")]
    Changed,
    /// The line does not follow the one before it.
    #[error("it does not follow the line before it: a line was taken out, put in, moved or repeated here")]
    NotNext,
    /// The first line follows another, which is not there.
    #[error(
        "it is not the first: the lines before it are missing; if their files were put away on purpose, give --after \
         {prev}"
    )]
    NotFirst {
        /// The hash of the line that it follows.
        prev: String,
    },
    /// Lines at the end are missing.
    #[error("the log ends before it, but it was written: lines at the end were taken out (its hash was {last})")]
    CutOff {
        /// The hash of the last line that was written.
        last: String,
    },
    /// Lines were missing at the end once, and others were written behind.
    #[error("lines before it were taken out: this was found at {found}, when the log was opened")]
    WasCutOff {
        /// When that was found.
        found: String,
    },
    /// A hash that the log should hold is not in it.
    #[error("no line up to here has the hash {hash}")]
    Without {
        /// The hash.
        hash: String,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}: {}", self.file.display(), self.line, self.fault)
    }
}

/// What the log is held against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The hash of the last line of the files that were put away elsewhere.
    pub after: Option<String>,
    /// The hash of a line that the log must hold.
    pub holds: Option<String>,
}

struct Walk {
    prev: String,
    expected: Expected,
    head: Option<Head>,
    /// Whether the line that the head names was met.
    met_head: bool,
    met_expected: bool,
    files: usize,
    lines: u64,
    unfinished: bool,
    /// Where the walk stands.
    at: (PathBuf, u64),
}

/// Follows the chain of the log at `path`; the inner result tells of the chain.
///
/// # Errors
/// A file cannot be read.
pub fn verify(path: &Path, expected: Expected) -> io::Result<Result<Verified, Broken>> {
    // Before the files: a line that is written meanwhile is newer than the head, never the other way.
    let head = head::read(path).filter(|head| !head.hash.is_empty());
    let (away, written) = files::in_order(path)?;
    let prev = expected.after.clone().unwrap_or_else(|| GENESIS.to_owned());
    let mut walk = Walk {
        met_head: head.as_ref().is_none_or(|head| head.hash == prev),
        met_expected: expected.holds.as_ref().is_none_or(|hash| *hash == prev),
        prev,
        expected,
        head,
        files: 0,
        lines: 0,
        unfinished: false,
        at: (path.to_owned(), 0),
    };
    for file in away {
        if let Err(fault) = walk.follow(file.clone(), File::open(&file)?)? {
            return Ok(Err(walk.broken(fault)));
        }
    }
    if let Some(written) = written
        && let Err(fault) = walk.follow(path.to_owned(), written)?
    {
        return Ok(Err(walk.broken(fault)));
    }
    Ok(walk.end())
}

impl Walk {
    fn broken(&self, fault: Fault) -> Broken {
        let (file, line) = self.at.clone();
        Broken { file, line, fault }
    }

    /// Follows one file to its end.
    fn follow(&mut self, name: PathBuf, file: File) -> io::Result<Result<(), Fault>> {
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        self.at = (name, 0);
        self.files += 1;
        // Half a line in the middle of a log was left behind there, and stays what it is: no line.
        while reader.read_until(b'\n', &mut line)? > 0 {
            self.at.1 += 1;
            if !line.ends_with(b"\n") {
                self.unfinished = true;
                break;
            }
            if let Err(fault) = self.line(&line) {
                return Ok(Err(fault));
            }
            line.clear();
        }
        Ok(Ok(()))
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if self.unfinished {
            return Err(Fault::NotNext);
        }
        let link = chain::link(line).map_err(|fault| match fault {
            NoLink::Foreign => Fault::Foreign,
            NoLink::Changed => Fault::Changed,
        })?;
        if link.prev != self.prev {
            return Err(if self.lines == 0 { Fault::NotFirst { prev: link.prev } } else { Fault::NotNext });
        }
        let lost = self.head.as_ref().and_then(|head| head.lost.iter().find(|loss| loss.after == link.prev));
        if let Some(loss) = lost {
            return Err(Fault::WasCutOff { found: loss.found.clone() });
        }
        self.met_head |= self.head.as_ref().is_some_and(|head| head.hash == link.hash);
        self.met_expected |= self.expected.holds.as_ref() == Some(&link.hash);
        self.lines += 1;
        self.prev = link.hash;
        Ok(())
    }

    fn end(mut self) -> Result<Verified, Broken> {
        if !self.unfinished {
            self.at.1 += 1;
        }
        if let (false, Some(head)) = (self.met_head, &self.head) {
            return Err(self.broken(Fault::CutOff { last: head.hash.clone() }));
        }
        if let (false, Some(hash)) = (self.met_expected, &self.expected.holds) {
            return Err(self.broken(Fault::Without { hash: hash.clone() }));
        }
        Ok(Verified {
            files: self.files,
            lines: self.lines,
            last_hash: self.prev,
            head: if self.head.is_some() { HeadSays::Whole } else { HeadSays::Nothing },
            unfinished: self.unfinished,
        })
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
