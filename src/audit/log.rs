//! Appends lines: one writer at a time, whole lines only, each bound to the one before.
//!
//! Several processes may share a log. Whoever appends holds the lock of the head; where the head names another line than
//! our own last one, somebody else wrote, or put the file away, and the file is looked at again.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    chain::{self, GENESIS},
    files,
    head::{Head, HeadFile, Loss},
};

/// How much of a log's end is read to find its last line.
const TAIL_BYTES: u64 = 64 * 1024;

/// How every line begins.
const LINE_START: &[u8] = br#"{"time":""#;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Appended to a file, made with its folders when the first line is written.
    File(PathBuf),
    /// Standard error, for collectors.
    Stderr,
}

impl Target {
    /// Where the log of destinations goes: beside the log of calls.
    #[must_use]
    pub fn of_destinations(&self) -> Self {
        match self {
            Self::File(path) if !is_device(path) => Self::File(files::sibling(path, "-egress")),
            Self::File(_) | Self::Stderr => self.clone(),
        }
    }
}

/// When a log's file is put away, and the next begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Before it grows past so many bytes; 0 is never.
    pub max_bytes: u64,
    /// When its first line is so old; zero is never.
    pub max_age: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_bytes: 50_000_000, max_age: Duration::from_secs(30 * 24 * 60 * 60) }
    }
}

/// An open audit log.
#[derive(Debug)]
pub struct AuditLog {
    target: Target,
    rotation: Rotation,
    state: Mutex<State>,
    /// How many lines could not be written.
    failures: Counter,
}

#[derive(Debug, Default)]
struct State {
    place: Option<Place>,
    /// The last hash of a log that is no file.
    last_hash: Option<String>,
}

impl AuditLog {
    /// A log that opens its target when the first line is written.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, rotation: Rotation::default(), state: Mutex::default(), failures: Counter::default() }
    }

    /// The same log, its files put away as `rotation` says.
    #[must_use]
    pub fn rotated(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// The same log; lines that cannot be written are counted in `failures`.
    #[must_use]
    pub fn counted(mut self, failures: Counter) -> Self {
        self.failures = failures;
        self
    }

    /// Where lines go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Appends one line, chained to the one before.
    pub(super) fn append(&self, line: &Map<String, Value>, sync: bool) -> io::Result<()> {
        self.write(line, sync).inspect_err(|_| {
            self.failures.inc();
        })
    }

    fn write(&self, line: &Map<String, Value>, sync: bool) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.target {
            Target::Stderr => state.append_to(&mut io::stderr().lock(), line),
            Target::File(path) if state.place.is_none() && is_device(path) => {
                state.append_to(&mut OpenOptions::new().append(true).open(path)?, line)
            }
            Target::File(path) => {
                let appended = state.append(path, line, (sync, self.rotation));
                if appended.is_err() {
                    // The next line starts afresh: the file may have been moved, or the disk may be full.
                    *state = State::default();
                }
                appended
            }
        }
    }
}

/// A pipe or a device keeps nothing that could be read back.
fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

impl State {
    fn append_to(&mut self, out: &mut impl Write, line: &Map<String, Value>) -> io::Result<()> {
        let (text, hash) = chain::chained(line, self.last_hash.as_deref().unwrap_or(GENESIS));
        self.last_hash = Some(hash);
        out.write_all(text.as_bytes())
    }

    fn append(&mut self, path: &Path, line: &Map<String, Value>, how: (bool, Rotation)) -> io::Result<()> {
        let mut place = match self.place.take() {
            Some(place) => place,
            None => Place::open(path)?,
        };
        place.lock()?;
        let written = place.append_locked(path, line, how);
        place.unlock()?;
        self.place = Some(place);
        written
    }
}

/// An open file of the log.
#[derive(Debug)]
struct Place {
    file: File,
    /// `None` where the folder takes no file beside the log.
    head_file: Option<HeadFile>,
    head: Head,
    /// The file's length after our own last line; another length means that somebody else wrote.
    length: u64,
    /// What tells this file from another of the same name, where the platform has it.
    identity: Option<(u64, u64)>,
    /// The hash of the last line; `None` before the file was looked at.
    last_hash: Option<String>,
    /// The time of the first line.
    began: Option<OffsetDateTime>,
    /// Whether it could not be put away, so that this is not tried at every line.
    stuck: bool,
}

impl Place {
    fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let head_file = match HeadFile::open(path) {
            Ok(head) => Some(head),
            Err(error) => {
                tracing::warn!(%error, "nothing can be kept beside the audit log, so lines lost at its end would not show");
                None
            }
        };
        let identity = identity(&file.metadata()?);
        let head = Head::default();
        Ok(Self { file, head_file, head, length: 0, identity, last_hash: None, began: None, stuck: false })
    }

    fn lock(&self) -> io::Result<()> {
        self.head_file.as_ref().map_or_else(|| self.file.lock(), HeadFile::lock)
    }

    fn unlock(&self) -> io::Result<()> {
        self.head_file.as_ref().map_or_else(|| self.file.unlock(), HeadFile::unlock)
    }

    fn append_locked(
        &mut self,
        path: &Path,
        line: &Map<String, Value>,
        (sync, rotation): (bool, Rotation),
    ) -> io::Result<()> {
        self.catch_up(path)?;
        let prev = self.last_hash.clone().unwrap_or_else(|| GENESIS.to_owned());
        let (text, hash) = chain::chained(line, &prev);
        if self.is_due(text.len() as u64, rotation) {
            self.put_away(path)?;
        }
        self.file.write_all(text.as_bytes())?;
        if sync {
            self.file.sync_data()?;
        }
        if self.length == 0 {
            self.began = Some(OffsetDateTime::now_utc());
            if sync {
                sync_folder(path);
            }
        }
        self.length += text.len() as u64;
        self.last_hash = Some(hash.clone());
        self.head.hash = hash;
        self.head_file.as_mut().map_or(Ok(()), |file| file.write(&self.head))
    }

    /// Looks at the file again where somebody else wrote, put it away or took it away.
    fn catch_up(&mut self, path: &Path) -> io::Result<()> {
        let head = self.head_file.as_mut().map(HeadFile::read).transpose()?.flatten();
        let found = match std::fs::metadata(path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let same_file = found.as_ref().is_some_and(|found| identity(found) == self.identity);
        let same_length = found.is_some_and(|found| found.len() == self.length);
        let same_head = head.as_ref().is_none_or(|head| Some(&head.hash) == self.last_hash.as_ref());
        if same_file && same_length && same_head && self.last_hash.is_some() {
            return Ok(());
        }
        self.head = head.unwrap_or_default();
        self.file = open(path)?;
        self.look(path)
    }

    fn look(&mut self, path: &Path) -> io::Result<()> {
        let found = self.file.metadata()?;
        self.identity = identity(&found);
        let (whole, hash) = last_line(&mut self.file, found.len())?;
        if whole != found.len() {
            // A process died while it wrote: half a line would break the chain for good.
            self.file.set_len(whole)?;
        }
        self.length = whole;
        self.began = first_time(&mut self.file)?;
        let before = files::put_away(path)?.pop();
        let last_hash = match (hash, &before) {
            (Some(hash), _) => hash,
            (None, Some(before)) => last_hash_of(before)?,
            (None, None) => GENESIS.to_owned(),
        };
        if !self.head.hash.is_empty() && self.head.hash != last_hash {
            let named =
                holds(path, &self.head.hash)? || before.map_or(Ok(false), |before| holds(&before, &self.head.hash))?;
            if !named {
                self.note_loss(&last_hash);
            }
        }
        self.last_hash = Some(last_hash);
        Ok(())
    }

    fn note_loss(&mut self, after: &str) {
        tracing::warn!(last = self.head.hash, after, "lines at the end of the audit log are gone");
        let found = super::record::timestamp();
        let last = std::mem::take(&mut self.head.hash);
        self.head.lost.push(Loss { found, last, after: after.to_owned() });
    }

    fn is_due(&self, more: u64, rotation: Rotation) -> bool {
        let full = rotation.max_bytes > 0 && self.length.saturating_add(more) > rotation.max_bytes;
        let old = !rotation.max_age.is_zero()
            && self.began.is_some_and(|began| OffsetDateTime::now_utc() - began > rotation.max_age);
        self.length > 0 && !self.stuck && (full || old)
    }

    /// Puts the file away and begins the next; where that cannot be done, the file goes on.
    fn put_away(&mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let moved = files::name_away(path, OffsetDateTime::now_utc())
            .and_then(|name| name.map_or(Ok(false), |name| std::fs::rename(path, name).map(|()| true)));
        match moved {
            Ok(true) => {
                self.file = open(path)?;
                self.identity = identity(&self.file.metadata()?);
                (self.length, self.began) = (0, None);
            }
            Ok(false) => self.stuck = true,
            Err(error) => {
                tracing::warn!(%error, "the audit log cannot be put away, and goes on growing");
                self.stuck = true;
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file that is on disk is of no use if its name is not.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(unix)]
fn identity(found: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_found: &Metadata) -> Option<(u64, u64)> {
    None
}

/// The length of the file's whole lines, and the hash of the last of them.
fn last_line(file: &mut File, length: u64) -> io::Result<(u64, Option<String>)> {
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        // Empty, or a first line that a process did not finish.
        return if from == 0 && LINE_START.starts_with(tail.get(..LINE_START.len()).unwrap_or(&tail)) {
            Ok((0, None))
        } else {
            Err(no_log())
        };
    };
    let (lines, _) = tail.split_at(end);
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let hash = serde_json::from_slice::<Value>(last).ok().and_then(|line| Some(line.get("hash")?.as_str()?.to_owned()));
    Ok((from + end as u64 + 1, Some(hash.ok_or_else(no_log)?)))
}

/// Appending would cut off what somebody keeps in the file.
fn no_log() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file holds something else than an audit log")
}

fn last_hash_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(last_line(&mut file, length)?.1.unwrap_or_else(|| GENESIS.to_owned()))
}

/// The time that the first line begins with.
fn first_time(file: &mut File) -> io::Result<Option<OffsetDateTime>> {
    file.seek(SeekFrom::Start(0))?;
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start)?;
    let time = start.strip_prefix(LINE_START).and_then(|rest| rest.split(|byte| *byte == b'"').next());
    Ok(time.and_then(|time| OffsetDateTime::parse(std::str::from_utf8(time).ok()?, &Rfc3339).ok()))
}

/// Whether a line of the file has this hash.
fn holds(path: &Path, hash: &str) -> io::Result<bool> {
    let end = format!(",\"hash\":\"{hash}\"}}\n");
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.ends_with(end.as_bytes()) {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    /// Some line.
    pub(in crate::audit) fn line(number: usize) -> Map<String, Value> {
        let line = json!({"time": super::super::record::timestamp(), "agent": "claude", "tool": format!("tool{number}"),
            "object": {"workflow_id": format!("IC-{number}")}, "decision": "allowed", "outcome": "ok",
            "sentence": format!("claude read workflow IC-{number}")});
        line.as_object().cloned().unwrap_or_default()
    }

    fn verified(path: &Path) -> super::super::Verified {
        super::super::verify(path, super::super::Expected::default()).unwrap().unwrap()
    }

    fn small() -> Rotation {
        Rotation { max_bytes: 1000, ..Rotation::default() }
    }

    #[test]
    fn no_file_grows_past_its_size_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for _ in 0..3 {
            let log = AuditLog::new(Target::File(path.clone())).rotated(small());
            (0..10).for_each(|number| log.append(&line(number), false).unwrap());
        }
        let found = verified(&path);
        assert_eq!(found.lines, 30);
        let away = files::put_away(&path).unwrap();
        assert_eq!(found.files, away.len() + 1);
        assert!(away.len() > 5);
        assert!(away.iter().all(|file| file.metadata().unwrap().len() <= 1000));
    }

    #[test]
    fn a_line_larger_than_a_file_still_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::new(Target::File(path.clone())).rotated(Rotation { max_bytes: 1, ..small() });
        (0..3).for_each(|number| log.append(&line(number), true).unwrap());
        assert_eq!((verified(&path).lines, verified(&path).files), (3, 3));
    }

    #[test]
    fn a_file_whose_first_line_is_old_is_put_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut old = line(0);
        old.insert("time".into(), "2020-01-01T00:00:00.000Z".into());
        let log = || AuditLog::new(Target::File(path.clone()));
        log().append(&old, false).unwrap();
        log().rotated(Rotation { max_age: Duration::ZERO, ..Rotation::default() }).append(&line(1), false).unwrap();
        assert_eq!(verified(&path).files, 1, "zero is never");
        log().append(&line(2), false).unwrap();
        log().append(&line(3), false).unwrap();
        assert_eq!((verified(&path).files, verified(&path).lines), (2, 4));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn many_writers_share_a_log_that_is_put_away_under_their_hands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let log = Arc::new(AuditLog::new(Target::File(path.clone())).rotated(small()));
                scope.spawn(move || (0..50).for_each(|number| log.append(&line(number), false).unwrap()));
            }
        });
        assert_eq!(verified(&path).lines, 200);
    }

    #[test]
    fn a_process_that_died_between_two_files_leaves_no_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = || AuditLog::new(Target::File(path.clone()));
        log().append(&line(0), false).unwrap();
        std::fs::rename(&path, files::name_away(&path, OffsetDateTime::now_utc()).unwrap().unwrap()).unwrap();
        log().append(&line(1), false).unwrap();
        assert_eq!((verified(&path).lines, verified(&path).files), (2, 2));
    }

    #[test]
    fn a_head_that_is_one_line_late_is_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = || AuditLog::new(Target::File(path.clone()));
        log().append(&line(0), false).unwrap();
        let late = std::fs::read(super::super::head::path_of(&path)).unwrap();
        log().append(&line(1), false).unwrap();
        std::fs::write(super::super::head::path_of(&path), late).unwrap();
        assert_eq!(verified(&path).lines, 2);
        log().append(&line(2), false).unwrap();
        assert_eq!(verified(&path).lines, 3);
    }

    #[test]
    fn a_log_that_was_taken_away_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::new(Target::File(path.clone()));
        log.append(&line(0), false).unwrap();
        std::fs::remove_file(&path).unwrap();
        log.append(&line(1), false).unwrap();
        assert!(path.exists(), "a new file is begun");
        let broken = super::super::verify(&path, super::super::Expected::default()).unwrap().unwrap_err();
        assert!(matches!(broken.fault, super::super::Fault::WasCutOff { .. }), "{broken}");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_takes_no_other_file_still_takes_lines() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "").unwrap();
        // Whoever may write everywhere is not stopped by this; a folder in the head's place stops them too.
        std::fs::create_dir(super::super::head::path_of(&path)).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        let log = AuditLog::new(Target::File(path.clone())).rotated(small());
        (0..10).for_each(|number| log.append(&line(number), false).unwrap());
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(verified(&path).lines, 10);
        assert_eq!(verified(&path).head, super::super::HeadSays::Nothing);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_takes_lines_and_keeps_no_head() {
        let log = AuditLog::new(Target::File("/dev/null".into()));
        (0..3).for_each(|number| log.append(&line(number), true).unwrap());
        assert!(!Path::new("/dev/null.head").exists());
    }
}
