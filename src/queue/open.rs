//! Opening: the folder, the lock, the file, and what a crash left in it.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};

use super::index::{self, ScanError};
use super::line::{Base, Header, VERSION};
use super::medium::{Disk, Medium};
use super::{FileQueue, RESTORE, compact, filesystem, platform};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::delivery::outbox::Source;
use crate::files::{create_private_folder, folder_of};
use crate::text::visible;

/// Why a queue could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it, or this one a second time.
    #[error("the queue {} is in use by {holder}: one process at a time may have it", path.display())]
    InUse {
        /// The queue.
        path: PathBuf,
        /// Who has it, as far as is known.
        holder: String,
    },
    /// The file system does not keep what it is told to.
    #[error("the queue {} would be on {filesystem}, where an fsync and a lock promise nothing", path.display())]
    Unsuitable {
        /// The queue.
        path: PathBuf,
        /// The file system's name.
        filesystem: &'static str,
    },
    /// A line is not what was written.
    #[error("line {line} of the queue {}: {problem}", path.display())]
    Damaged {
        /// The queue.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The system refused something.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Explained for OpenError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::InUse { .. } => vec![Advice::Do("stop the other, or use another path")],
            Self::Unsuitable { .. } => vec![Advice::Do("put it on a local disk")],
            Self::Damaged { line: 1, .. } => vec![
                Advice::Do("name another path for the queue, or restore the file from a copy"),
                Advice::Do("use the release that wrote it, if its format is another version"),
            ],
            Self::Damaged { .. } => vec![RESTORE],
            Self::Io { .. } => Vec::new(),
        }
    }
}

impl FileQueue {
    /// Opens the queue at a path, and makes it where there is none: the file with mode 0600, a missing folder with 0700.
    /// Reads the whole file once, to check every line.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { action, path, source }
        };
        let folder = folder_of(path);
        if !folder.exists() {
            create_private_folder(folder).map_err(failed("make the folder", folder))?;
        }
        // Two names of one file must mean one lock.
        let path = resolved(path, folder).map_err(failed("find the folder of", path))?;
        if let Some(filesystem) = filesystem::unsuitable(path.parent().unwrap_or(folder)) {
            return Err(OpenError::Unsuitable { path, filesystem });
        }
        let lock = lock(&path)?;
        let mut first = |out: &mut dyn Write| out.write_all(&new_file());
        let disk = Disk::open(&path, &mut first).map_err(failed("open", &path))?;
        Self::take(path, Box::new(disk), Some(lock))
    }

    /// A queue over a medium that is open already.
    pub(super) fn take(path: PathBuf, mut medium: Box<dyn Medium>, lock: Option<Lock>) -> Result<Self, OpenError> {
        let io_failed = |action| {
            let path = path.clone();
            move |source| OpenError::Io { action, path, source }
        };
        let scan = match index::scan(&*medium) {
            Ok(scan) => scan,
            Err(ScanError::Io(error)) => return Err(io_failed("read")(error)),
            Err(ScanError::Damaged { line, problem }) => return Err(OpenError::Damaged { path, line, problem }),
        };
        if scan.torn > 0 {
            tracing::warn!(queue = %path.display(), bytes = scan.torn, "cut off an append that was interrupted");
            medium.truncate(scan.index.len).and_then(|()| medium.sync()).map_err(io_failed("cut off the end of"))?;
        }
        Ok(Self {
            path,
            source: scan.header.source,
            medium,
            index: scan.index,
            next: std::cell::Cell::new(None),
            closed: None,
            dropped: scan.torn,
            compaction: compact::Trigger::default(),
            _lock: lock,
        })
    }
}

/// The whole content of a queue that holds nothing yet, with a source of its own.
pub(super) fn new_file() -> Vec<u8> {
    let source = Source::new(&format!("queue-{}", crate::ids::mint_uuid().as_hyphenated()));
    let source = source.expect("a UUID is of letters, digits and hyphens, and 42 characters fit a token");
    let mut bytes = Vec::new();
    Header { version: VERSION, source, base: Base::default() }.write(&mut bytes);
    bytes
}

fn resolved(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
            Ok(folder.canonicalize()?.join(name))
        }
        Err(error) => Err(error),
    }
}

/// The lock of a queue, given back when dropped.
///
/// Closing the file would not do: a child process that was forked at that moment still has it, until it starts another
/// program.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn lock(path: &Path) -> Result<Lock, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let failed = |source| OpenError::Io { action: "lock", path: lock_path.clone(), source };
    let mut file = platform::open_lock(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only a courtesy: the lock itself says no more than that someone has it.
            let _ = file.take(64).read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {}", visible(pid)),
            };
            return Err(OpenError::InUse { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // For the message above, in the process that comes second; not being able to write it does no harm.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock(file))
}
