//! Telling what a living process writes in a folder from what a dead one left there.
//!
//! 1. A process that makes something in a folder under a name that is not final holds the folder's lock, shared ([`writing`]), from
//!    before the first such name until the last of them is gone. The system releases it when the process dies.
//! 2. Such names are removed only under the exclusive lock ([`alone`]), which is granted when no process holds a shared one:
//!    then all of them are those of dead processes.
//! 3. Where the file system has no locks, writing goes on without one, and nothing is removed.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;

/// A lock on a folder, until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct FolderLock {
    folder: Option<File>,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the folder would not do: a child process that was forked at that moment still has it, until it starts
        // another program.
        if let Some(folder) = &self.folder {
            let _ = folder.unlock();
        }
    }
}

/// Says that this process makes something in a folder. The folder must have been opened for this call alone: a lock belongs to
/// an open file, not to a process. Waits while another process removes what was left behind, which is short.
pub fn writing(folder: File) -> FolderLock {
    loop {
        return match folder.lock_shared() {
            Ok(()) => FolderLock { folder: Some(folder) },
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => FolderLock { folder: None },
        };
    }
}

/// The folder's lock when no other process holds one; `None` when one does, or when that can't be known. The folder must have
/// been opened for this call alone.
#[must_use]
pub fn alone(folder: File) -> Option<FolderLock> {
    exclusive(folder).ok().flatten()
}

/// Another process holds the folder's lock.
#[derive(Debug)]
pub struct Held;

/// The folder's lock; `None` where the file system has no locks. The folder must have been opened for this call alone.
///
/// # Errors
/// When another process holds it.
pub fn exclusive(folder: File) -> Result<Option<FolderLock>, Held> {
    match folder.try_lock() {
        Ok(()) => Ok(Some(FolderLock { folder: Some(folder) })),
        Err(TryLockError::WouldBlock) => Err(Held),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn writers_do_not_shut_each_other_out_and_keep_the_remover_out() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::open(folder.path()).unwrap();
        let (one, two) = (writing(open()), writing(open()));
        drop(one);
        assert!(alone(open()).is_none());
        drop(two);
        let only = alone(open());
        assert!(only.is_some() && alone(open()).is_none());
    }
}
