//! The lock that a `sync` holds for as long as it runs, so that acts on the same ledger leave publishing to it.
//!
//! It is advisory, and on the file `sync.lock` in the ledger's folder, which is never renamed or deleted. The system
//! releases it with the process that holds it, however that ends. What the file says (the process, the stream, the server)
//! is a courtesy for messages and for the length of a wait; only the lock counts.
//!
//! The lock excludes nothing that is asked for by name: `sync --once` and `queue flush` publish beside it, since the
//! delivery protocol bears several publishers of one outbox.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::act::RunningSync;
use crate::files::folder_of;
use crate::store::Store;

/// The file, in the ledger's folder.
const NAME: &str = "sync.lock";

/// The longest content that is read.
const LONGEST: u64 = 4_096;

/// How often a lock is tried again: a look at it ([`running_sync`]) holds it for a moment.
const TRIES: u32 = 20;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncLockError {
    /// A `sync` runs on this ledger.
    #[error("a sync runs on this ledger{}", .0.in_brackets())]
    Running(RunningSync),
    /// The file could not be made or locked.
    #[error("locking {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The lock of a `sync`, released when dropped.
#[derive(Debug)]
pub struct SyncLock {
    file: File,
    content: RunningSync,
}

impl SyncLock {
    /// Takes the lock of a ledger for a publisher of this stream. On a file system without locks it is taken all the same:
    /// acts then publish beside the `sync`.
    ///
    /// # Errors
    /// [`SyncLockError::Running`] where another process holds it; otherwise when the file can't be made or locked.
    pub fn take(store: &Store, stream: &str) -> Result<Self, SyncLockError> {
        let path = place(store.path());
        let io = |source| SyncLockError::Io { path: path.clone(), source };
        let file = open_lock(&path, true).map_err(io)?;
        for tried in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Err(TryLockError::WouldBlock) if tried < TRIES => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(SyncLockError::Running(content(&file))),
            }
        }
        let content = RunningSync {
            process: Some(std::process::id()),
            stream: Some(stream.to_owned()),
            ..RunningSync::default()
        };
        let mut lock = Self { file, content };
        lock.write();
        Ok(lock)
    }

    /// Notes the server that the `sync` is connected to, without credentials; `None` when the connection is lost.
    pub fn connected_to(&mut self, server: Option<&str>) {
        if self.content.server.as_deref() != server {
            self.content.server = server.map(str::to_owned);
            self.write();
        }
    }

    /// Writes the content down. A reader that finds half of it knows less, and that is all.
    fn write(&mut self) {
        let Ok(text) = serde_json::to_vec(&self.content) else { return };
        let _ = self
            .file
            .rewind()
            .and_then(|()| self.file.write_all(&text))
            .and_then(|()| self.file.set_len(text.len() as u64));
    }
}

impl Drop for SyncLock {
    fn drop(&mut self) {
        // Closing the file would not do where a child process has it still.
        let _ = self.file.unlock();
    }
}

/// The `sync` that runs on a ledger or mirror at this moment.
#[must_use]
pub fn running_sync(store: &Store) -> Option<RunningSync> {
    // Without the file no `sync` has ever run here. What can't be looked at, such as another user's, is no reason to wait.
    let file = open_lock(&place(store.path()), false).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(content(&file)),
        Err(TryLockError::Error(_)) => None,
        Ok(()) => {
            let _ = file.unlock();
            None
        }
    }
}

fn content(file: &File) -> RunningSync {
    let mut text = Vec::new();
    let read = file.take(LONGEST).read_to_end(&mut text);
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Opens the file of a lock; made where it is absent and `make` says so. A link is not followed, and a pipe does not block.
fn open_lock(path: &Path, make: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = File::options();
    options.read(true).write(make).create(make).truncate(false).mode(0o600).custom_flags(flags.cast_signed());
    options.open(path)
}

fn place(database: &Path) -> PathBuf {
    folder_of(database).join(NAME)
}
