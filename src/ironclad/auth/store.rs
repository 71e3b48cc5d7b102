//! Keeps logins on disk: one file for each host and client, that is replaced as a whole or not at all.
//!
//! A refresh token can be spent once, so the next pair must not be lost to a full disk or a crash. The room for it is
//! taken before Ironclad is asked; what was written and synced but not yet put in place is found by the next who comes.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

use super::{
    login::{Login, Record},
    seal::{KeyStore, KeyStoreError, SealKey},
};

/// The room that is taken before the next pair is asked for: more than tokens and scopes need.
const ROOM: usize = 32 * 1024;

/// How often a lock that somebody holds is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why a login cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk says no.
    #[error("{path} cannot be used ({source})", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no login", path = .0.display())]
    Broken(PathBuf),
    /// Another process renews it, and does not come to an end.
    #[error("another process has held {path} for too long", path = .0.display())]
    Locked(PathBuf),
    /// The key store has no key for it, or another.
    #[error("{path} is sealed, and the key for it is not in the operating system's key store", path = .0.display())]
    NoKey(PathBuf),
    /// The key store cannot be used.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// Another process met one of these, and told so.
    #[error("{0}")]
    Told(String),
}

/// The place of one host's and client's login.
#[derive(Clone)]
pub struct LoginStore {
    folder: PathBuf,
    name: String,
    keys: Arc<dyn KeyStore>,
}

/// Tells whether the file has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<std::time::SystemTime>,
    length: u64,
    number: u64,
}

/// Nobody else renews the login while this is held.
pub struct Lock(#[expect(dead_code, reason = "closing the file gives the lock up")] File);

/// Room on disk for the next pair.
pub struct Room<'a> {
    store: &'a LoginStore,
    file: File,
    _lock: &'a Lock,
}

impl LoginStore {
    /// The place below the program's folder in the state directory.
    #[must_use]
    pub fn new(state: &Path, (origin, client_id): (&str, &str), keys: Arc<dyn KeyStore>) -> Self {
        let mut digest = Sha256::new();
        for part in [origin, client_id] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let name = digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self::at(state.join("logins"), name, keys)
    }

    /// The place that another process named.
    #[must_use]
    pub(super) fn at(folder: PathBuf, name: String, keys: Arc<dyn KeyStore>) -> Self {
        Self { folder, name, keys }
    }

    /// What names the place to another process.
    #[must_use]
    pub(super) fn place(&self) -> (&Path, &str) {
        (&self.folder, &self.name)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file("json")
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }

    /// What the file is like now; none where there is no login.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(self.path()).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let number = 0;
        Some(Stamp { modified: metadata.modified().ok(), length: metadata.len(), number })
    }

    /// The login that is kept, if one is.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(&self) -> Result<Option<Record>, StoreError> {
        let path = self.path();
        match fs::read(&path).map(Zeroizing::new) {
            Ok(text) => Record::parse(&text).map(Some).ok_or(StoreError::Broken(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// Whether others than the owner can read the file.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        #[cfg(unix)]
        return fs::metadata(self.path())
            .is_ok_and(|metadata| std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0);
        #[cfg(not(unix))]
        return false;
    }

    /// The key of a sealed login. May wait for a person to unlock the key store.
    ///
    /// # Errors
    /// There is none, or the key store cannot be used.
    pub fn key(&self) -> Result<SealKey, StoreError> {
        self.keys.fetch(&self.name)?.ok_or_else(|| StoreError::NoKey(self.path()))
    }

    /// A new key, kept in the key store. May wait for a person to unlock it.
    ///
    /// # Errors
    /// The key store cannot be used.
    pub fn new_key(&self) -> Result<SealKey, StoreError> {
        let key = SealKey::random().map_err(|error| KeyStoreError(error.to_string()))?;
        self.keys.keep(&self.name, &key)?;
        // Some key stores take everything and give nothing back.
        let kept = self.keys.fetch(&self.name)?.ok_or_else(|| StoreError::NoKey(self.path()))?;
        Ok(kept)
    }

    /// Waits until nobody else renews the login, but no longer than `patience`.
    ///
    /// # Errors
    /// Somebody holds it for longer, or the disk says no.
    pub async fn lock(&self, patience: Duration) -> Result<Lock, StoreError> {
        let path = self.file("lock");
        let io = |source| StoreError::Io { path: path.clone(), source };
        self.make_folder()?;
        let file = private().write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < patience => tokio::time::sleep(LOCK_PAUSE).await,
                Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(path)),
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
        }
        let lock = Lock(file);
        self.finish_the_last(&lock)?;
        Ok(lock)
    }

    fn make_folder(&self) -> Result<(), StoreError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder).map_err(|source| StoreError::Io { path: self.folder.clone(), source })
    }

    /// Puts a whole login in place that a process left behind as it was killed; it is the newest there is.
    fn finish_the_last(&self, _lock: &Lock) -> Result<(), StoreError> {
        let path = self.file("new");
        let text = match fs::read(&path).map(Zeroizing::new) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(StoreError::Io { path, source }),
        };
        let done = if Record::parse(&text).is_some() { self.put_in_place() } else { fs::remove_file(&path) };
        done.map_err(|source| StoreError::Io { path, source })
    }

    /// Takes room on disk for the next pair, so that a full or read-only disk is known of before a token is spent.
    ///
    /// # Errors
    /// The disk says no.
    pub fn room<'a>(&'a self, lock: &'a Lock) -> Result<Room<'a>, StoreError> {
        let path = self.file("new");
        let taken = || {
            let mut file = private().write(true).create(true).truncate(true).open(&path)?;
            file.write_all(&[b' '; ROOM])?;
            file.sync_all()?;
            Ok(file)
        };
        match taken() {
            Ok(file) => Ok(Room { store: self, file, _lock: lock }),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    fn put_in_place(&self) -> io::Result<()> {
        fs::rename(self.file("new"), self.path())?;
        #[cfg(unix)]
        File::open(&self.folder)?.sync_all()?;
        Ok(())
    }

    /// Forgets the login and its key; `false` where there was none.
    ///
    /// # Errors
    /// The disk or the key store says no.
    pub fn forget(&self, _lock: &Lock) -> Result<bool, StoreError> {
        let sealed = match self.read() {
            Ok(None) => return Ok(false),
            Ok(Some(record)) => record.kept_in() == super::login::KeptIn::KeyStore,
            // Whatever it is, it has to go.
            Err(_) => true,
        };
        let path = self.path();
        fs::remove_file(&path).map_err(|source| StoreError::Io { path, source })?;
        if sealed {
            self.keys.forget(&self.name)?;
        }
        Ok(true)
    }
}

impl Room<'_> {
    /// Puts the login in place of the one before.
    ///
    /// # Errors
    /// The disk says no.
    pub fn fill(mut self, login: &Login, key: Option<&SealKey>) -> Result<(), StoreError> {
        let store = self.store;
        let text = login.text(key).map_err(|error| KeyStoreError(error.to_string()))?;
        let mut write = || {
            self.file.rewind()?;
            self.file.write_all(&text)?;
            self.file.set_len(text.len() as u64)?;
            self.file.sync_all()?;
            store.put_in_place()
        };
        write().map_err(|source| StoreError::Io { path: store.path(), source })
    }
}

/// How files are opened that only their owner may read.
fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only unix has modes"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use secrecy::ExposeSecret;
    use tempfile::TempDir;

    use super::*;
    use crate::ironclad::auth::{
        login::tests::{issued, login},
        seal::tests::Memory,
    };

    const PATIENCE: Duration = Duration::from_secs(10);

    fn store(folder: &TempDir) -> LoginStore {
        LoginStore::new(folder.path(), ("https://na1.ironcladapp.com", "client"), Arc::new(Memory::default()))
    }

    fn access(store: &LoginStore) -> String {
        store.read().unwrap().unwrap().open(None).unwrap().access.expose_secret().to_owned()
    }

    async fn keep(store: &LoginStore, login: &Login) {
        let lock = store.lock(PATIENCE).await.unwrap();
        store.room(&lock).unwrap().fill(login, None).unwrap();
    }

    #[tokio::test]
    async fn a_login_is_kept_where_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        assert!(store.stamp().is_none() && store.read().unwrap().is_none());
        keep(&store, &login()).await;
        assert_eq!(access(&store), "access-1");
        assert!(!store.is_exposed());
        #[cfg(unix)]
        for entry in fs::read_dir(folder.path().join("logins")).unwrap() {
            use std::os::unix::fs::PermissionsExt as _;
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        }
        let before = store.stamp();
        keep(&store, &login().renewed(issued("access-2", Some("refresh-2")))).await;
        assert_eq!(access(&store), "access-2");
        assert_ne!(store.stamp(), before);
    }

    #[tokio::test]
    async fn other_hosts_and_clients_have_places_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let place =
            |origin, client| LoginStore::new(folder.path(), (origin, client), Arc::new(Memory::default())).path();
        let places = [place("https://a", "bc"), place("https://ab", "c"), place("https://a", "b")];
        assert!(places[0] != places[1] && places[1] != places[2] && places[0] != places[2]);
    }

    /// The three moments at which a process can be killed while it writes.
    #[tokio::test]
    async fn what_a_killed_process_left_behind_is_finished_or_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        keep(&store, &login()).await;
        let next = login().renewed(issued("access-2", Some("refresh-2"))).text(None).unwrap();
        let cut = &next[..next.len() / 2];
        for (left, expected) in [(&b"     "[..], "access-1"), (cut, "access-1"), (&next, "access-2")] {
            fs::write(store.file("new"), left).unwrap();
            assert_eq!(access(&store), "access-1");
            drop(store.lock(PATIENCE).await.unwrap());
            assert_eq!(access(&store), expected);
            assert!(!store.file("new").exists());
        }
    }

    #[tokio::test]
    async fn a_lock_keeps_others_out_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let lock = store.lock(PATIENCE).await.unwrap();
        assert!(matches!(store.lock(Duration::ZERO).await, Err(StoreError::Locked(_))));
        drop(lock);
        store.lock(Duration::ZERO).await.unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_disk_that_takes_nothing_is_known_of_before_a_token_is_spent() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        keep(&store, &login()).await;
        let lock = store.lock(PATIENCE).await.unwrap();
        // Even root cannot write to a folder as if it were a file.
        fs::create_dir(store.file("new")).unwrap();
        assert!(matches!(store.room(&lock), Err(StoreError::Io { .. })));
        assert_eq!(access(&store), "access-1");
    }

    #[tokio::test]
    async fn forgetting_takes_the_file_and_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(Memory::default());
        let store = LoginStore::new(folder.path(), ("https://a", "b"), Arc::clone(&keys) as Arc<dyn KeyStore>);
        let key = store.new_key().unwrap();
        let lock = store.lock(PATIENCE).await.unwrap();
        store.room(&lock).unwrap().fill(&login(), Some(&key)).unwrap();
        let text = fs::read_to_string(store.path()).unwrap();
        assert!(!text.contains("access-1") && !text.contains("refresh-1"), "{text}");
        assert!(store.forget(&lock).unwrap());
        assert!(keys.keys.lock().unwrap().is_empty());
        assert!(!store.forget(&lock).unwrap());
        keys.locked.store(true, Ordering::Relaxed);
        assert!(matches!(store.new_key(), Err(StoreError::KeyStore(_))));
    }

    #[test]
    fn what_is_no_login_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        fs::create_dir_all(&store.folder).unwrap();
        fs::write(store.path(), "{\"version\":2}").unwrap();
        assert!(matches!(store.read(), Err(StoreError::Broken(_))));
    }
}
