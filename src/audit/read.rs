//! Reads a log across its files, oldest line first, as a stream: its size does not matter.
//!
//! A place is an offset into all files taken as one: lines are only ever appended, so it stays good for as long as no
//! file is taken away. Whoever keeps a place keeps the log's id with it, which changes then.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{chain, files, filter::Filter};

/// One line of the log; what a version did not write yet is empty.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    /// When the call ended.
    pub time: String,
    /// Who called.
    #[serde(default)]
    pub agent: String,
    /// Who stood behind the agent, where that was verified.
    #[serde(default)]
    pub caller: Option<String>,
    /// What was called.
    #[serde(default)]
    pub tool: String,
    /// The ids.
    #[serde(default)]
    pub object: Map<String, Value>,
    /// What was decided.
    #[serde(default)]
    pub decision: String,
    /// How it ended.
    #[serde(default)]
    pub outcome: String,
    /// The error code.
    #[serde(default)]
    pub code: Option<String>,
    /// What happened, in words.
    #[serde(default)]
    pub sentence: String,
    /// The other members.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A line that was asked for.
#[derive(Debug, Clone)]
pub struct Met {
    /// The line as it stands in the log, without its line break.
    pub text: Vec<u8>,
    /// What it says.
    pub line: Line,
    /// Where it begins.
    pub place: u64,
}

/// An open log.
#[derive(Debug)]
pub struct Reader {
    id: String,
    /// The file being read, and those behind it.
    files: VecDeque<File>,
    reader: Option<BufReader<File>>,
    at: u64,
    length: u64,
    /// Lines met that are none of an audit log.
    pub broken: u64,
}

impl Reader {
    /// Opens the log at `path`; `None` where there is none yet.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let (away, written) = files::in_order(path)?;
        let mut files = VecDeque::with_capacity(away.len() + 1);
        for file in away {
            files.push_back(File::open(file)?);
        }
        files.extend(written);
        let Some(first) = files.front() else { return Ok(None) };
        let id = id(first)?;
        let mut length = 0;
        for file in &files {
            length += file.metadata()?.len();
        }
        Ok(Some(Self { id, files, reader: None, at: 0, length, broken: 0 }))
    }

    /// What tells this log from another.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Goes to a place where a line begins; `false` where none does.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn seek(&mut self, place: u64) -> io::Result<bool> {
        if place > self.length {
            return Ok(false);
        }
        let mut within = place;
        while let Some(file) = self.files.front() {
            let length = file.metadata()?.len();
            if within < length || (within == length && self.files.len() == 1) {
                break;
            }
            within -= length;
            self.files.pop_front();
        }
        self.at = place;
        let Some(file) = self.files.pop_front() else { return Ok(place == 0) };
        let mut reader = BufReader::new(file);
        let begins = match within.checked_sub(1) {
            None => {
                reader.seek(SeekFrom::Start(0))?;
                true
            }
            Some(before) => {
                let mut last = [0];
                reader.seek(SeekFrom::Start(before))?;
                reader.read_exact(&mut last)?;
                last == *b"\n"
            }
        };
        self.reader = Some(reader);
        Ok(begins)
    }

    /// The next line that is asked for.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next(&mut self, filter: &Filter) -> io::Result<Option<Met>> {
        let mut text = Vec::new();
        loop {
            let Some(reader) = &mut self.reader else {
                match self.files.pop_front() {
                    Some(mut file) => {
                        // Its beginning was read for the log's id.
                        file.seek(SeekFrom::Start(0))?;
                        self.reader = Some(BufReader::new(file));
                        continue;
                    }
                    None => return Ok(None),
                }
            };
            text.clear();
            let length = reader.read_until(b'\n', &mut text)?;
            if length == 0 {
                self.reader = None;
                continue;
            }
            let place = self.at;
            self.at += length as u64;
            let is_whole = text.ends_with(b"\n");
            let bare = text.trim_ascii();
            if bare.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Line>(bare) {
                Ok(line) if filter.matches(&line) => return Ok(Some(Met { text: bare.to_vec(), line, place })),
                Ok(_) => {}
                // The last line may be in the middle of being written.
                Err(_) => self.broken += u64::from(is_whole),
            }
        }
    }
}

/// The log's first line, as a digest: another first line is another log.
fn id(file: &File) -> io::Result<String> {
    let mut first = Vec::new();
    let mut reader = BufReader::new(file);
    reader.read_until(b'\n', &mut first)?;
    let mut digest = chain::sha256(&first);
    digest.truncate(16);
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditLog, Rotation, Target, log::tests::line};

    fn log(lines: usize, max_bytes: u64) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let rotation = Rotation { max_bytes, ..Rotation::default() };
        let log = AuditLog::new(Target::File(path.clone())).rotated(rotation);
        (0..lines).for_each(|number| log.append(&line(number), false).unwrap());
        (folder, path)
    }

    fn rest(reader: &mut Reader, filter: &Filter) -> Vec<Met> {
        std::iter::from_fn(|| reader.next(filter).unwrap()).collect()
    }

    #[test]
    fn lines_come_in_order_across_the_files_and_from_any_place() {
        for max_bytes in [0, 1, 1000] {
            let (_folder, path) = log(20, max_bytes);
            let all = rest(&mut Reader::open(&path).unwrap().unwrap(), &Filter::default());
            let tools: Vec<&str> = all.iter().map(|met| met.line.tool.as_str()).collect();
            let wanted: Vec<String> = (0..20).map(|number| format!("tool{number}")).collect();
            assert_eq!(tools, wanted);
            for (at, met) in all.iter().enumerate() {
                let mut reader = Reader::open(&path).unwrap().unwrap();
                assert!(reader.seek(met.place).unwrap());
                assert_eq!(rest(&mut reader, &Filter::default()).len(), 20 - at);
                let mut reader = Reader::open(&path).unwrap().unwrap();
                assert!(!reader.seek(met.place + 1).unwrap(), "that is inside a line");
            }
        }
    }

    #[test]
    fn a_place_stays_good_while_the_log_grows_and_is_put_away() {
        let (_folder, path) = log(10, 1000);
        let mut reader = Reader::open(&path).unwrap().unwrap();
        let (id, all) = (reader.id().to_owned(), rest(&mut reader, &Filter::default()));
        let log = AuditLog::new(Target::File(path.clone())).rotated(Rotation { max_bytes: 500, ..Rotation::default() });
        (10..20).for_each(|number| log.append(&line(number), false).unwrap());
        let mut reader = Reader::open(&path).unwrap().unwrap();
        assert!(reader.id() == id && reader.seek(all[7].place).unwrap());
        assert_eq!(rest(&mut reader, &Filter::default())[0].line.tool, "tool7");
        std::fs::remove_file(&files::put_away(&path).unwrap()[0]).unwrap();
        assert_ne!(Reader::open(&path).unwrap().unwrap().id(), id);
    }

    #[test]
    fn the_end_is_a_place_and_what_is_past_it_is_none() {
        let (_folder, path) = log(3, 0);
        let length = path.metadata().unwrap().len();
        for (place, is_one) in [(0, true), (length, true), (length + 1, false), (u64::MAX, false)] {
            let mut reader = Reader::open(&path).unwrap().unwrap();
            assert_eq!(reader.seek(place).unwrap(), is_one, "{place}");
        }
    }

    #[test]
    fn broken_lines_are_counted_and_half_a_last_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let good = r#"{"time":"2026-01-01T00:00:00Z"}"#;
        std::fs::write(&path, format!("{good}\nnonsense\n[]\n\n{good}\n{{\"time\":\"2026")).unwrap();
        let mut reader = Reader::open(&path).unwrap().unwrap();
        assert_eq!((rest(&mut reader, &Filter::default()).len(), reader.broken), (2, 2));
        assert!(Reader::open(&folder.path().join("none.jsonl")).unwrap().is_none());
    }
}
