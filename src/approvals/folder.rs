//! Approvals in a folder that all processes of a user share.
//!
//! Every fact is a file that is made once and never changed, under a name that only one can take: the file system itself
//! says who came first, so there is no lock that a dying process could leave behind. A one-time id is an empty file, an
//! approval and its decision one JSON file each. What is long past is swept out by the way.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use futures_util::future::{BoxFuture, FutureExt as _};
use serde::{Serialize, de::DeserializeOwned};

use super::{Approval, Decision, RECENT, Shared, is_id, now};

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

/// What processes share below a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    claims: PathBuf,
    approvals: PathBuf,
}

impl Folder {
    /// Shares what is below this folder, which is made when something is to be kept.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { claims: state.join("used"), approvals: state.join("approvals") }
    }

    fn claim_now(&self, id: &str, until: i64) -> io::Result<bool> {
        make(&self.claims)?;
        sweep(&self.claims, claim_is_over);
        let Some(path) = named(&self.claims, id, "") else { return Ok(false) };
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = match made {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        };
        // Until when it counts is its time of change, so that a sweep reads no file.
        let until = UNIX_EPOCH + Duration::from_secs(u64::try_from(until).unwrap_or_default());
        file.set_modified(until)?;
        file.sync_all()?;
        sync(&self.claims);
        Ok(true)
    }

    fn find_now(&self, id: &str) -> io::Result<Option<Approval>> {
        let Some(path) = named(&self.approvals, id, ".json") else { return Ok(None) };
        let Some(mut approval) = read::<Approval>(&path)? else { return Ok(None) };
        if approval.id != id {
            return Ok(None);
        }
        let decision = named(&self.approvals, id, DECIDED).map(|path| read(&path)).transpose()?;
        approval.decision = decision.flatten();
        approval.used = named(&self.claims, id, "").is_some_and(|path| path.exists());
        Ok(Some(approval))
    }

    fn all_now(&self) -> io::Result<Vec<Approval>> {
        let files = match fs::read_dir(&self.approvals) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for file in files.flatten() {
            let name = file.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")).filter(|id| is_id(id)) else {
                continue;
            };
            // A file that is gone or damaged hides no other.
            all.extend(self.find_now(id).ok().flatten());
        }
        let now = now();
        let (old, mut all): (Vec<Approval>, Vec<Approval>) = all.into_iter().partition(|one| one.is_old(now));
        for id in old.iter().map(|approval| &approval.id) {
            for ending in [".json", DECIDED] {
                named(&self.approvals, id, ending).map(fs::remove_file);
            }
        }
        all.sort_by_key(|approval| std::cmp::Reverse(approval.filed));
        all.truncate(RECENT);
        Ok(all)
    }
}

/// How the file of a decision ends.
const DECIDED: &str = ".decided";

/// The file of an id, which is never a path of its own.
fn named(folder: &Path, id: &str, ending: &str) -> Option<PathBuf> {
    is_id(id).then(|| folder.join(format!("{id}{ending}")))
}

/// Makes a folder that only its owner can look into.
///
/// # Errors
/// It cannot be made.
pub fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A claim counts to the end of the second that it names; a minute more forgives clocks that differ.
fn claim_is_over(path: &Path) -> bool {
    let until = fs::metadata(path).and_then(|metadata| metadata.modified());
    let seconds = until.ok().and_then(|until| until.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
    seconds.is_some_and(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(60) < now())
}

fn sweep(folder: &Path, is_over: impl Fn(&Path) -> bool) {
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = file.path();
        if is_over(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Puts the names in a folder on disk; where that cannot be asked for, the system does it in its own time.
fn sync(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() <= LARGEST => {}
        Ok(_) => return Err(io::Error::other("the file is too large")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let text = fs::read(path)?;
    serde_json::from_slice(&text).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes a whole file under a name that nobody has taken; whether it was free.
fn write_new(folder: &Path, path: &Path, content: &impl Serialize) -> io::Result<bool> {
    make(folder)?;
    // Made readable by nobody else; moved under its name only when it is whole.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            sync(folder);
            Ok(true)
        }
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(refused) => Err(refused.error),
    }
}

impl Shared for Folder {
    fn claim<'a>(&'a self, id: &'a str, until: i64) -> BoxFuture<'a, io::Result<bool>> {
        let (here, id) = (self.clone(), id.to_owned());
        apart(move || here.claim_now(&id, until))
    }

    fn give_back<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<()>> {
        let path = named(&self.claims, id, "");
        apart(move || match path.map(fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Some(_) | None => Ok(()),
        })
    }

    fn is_claimed<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<bool>> {
        let path = named(&self.claims, id, "");
        apart(move || path.map_or(Ok(true), |path| path.try_exists()))
    }

    fn file(&self, approval: Approval) -> BoxFuture<'_, io::Result<()>> {
        let folder = self.approvals.clone();
        apart(move || {
            let path = named(&folder, &approval.id, ".json").ok_or_else(|| io::Error::other("that is no id"))?;
            write_new(&folder, &path, &approval).map(|_| ())
        })
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<Option<Approval>>> {
        let (here, id) = (self.clone(), id.to_owned());
        apart(move || here.find_now(&id))
    }

    fn all(&self) -> BoxFuture<'_, io::Result<Vec<Approval>>> {
        let here = self.clone();
        apart(move || here.all_now())
    }

    fn keep<'a>(&'a self, id: &'a str, decision: Decision) -> BoxFuture<'a, io::Result<bool>> {
        let path = named(&self.approvals, id, DECIDED);
        let folder = self.approvals.clone();
        apart(move || path.map_or(Ok(false), |path| write_new(&folder, &path, &decision)))
    }
}

/// Does what waits for the disk on a thread that may wait.
fn apart<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, io::Result<T>> {
    async { tokio::task::spawn_blocking(work).await.map_err(io::Error::other)? }.boxed()
}
