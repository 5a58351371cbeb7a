//! Copies to hand out: whole in one file, in rollback-journal mode, so that they open on read-only media.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::{CopyError, DatabaseError};
use super::read::Log;
use super::schema::remove_database;
use crate::files::{folder_of, sync_folder};

/// Copies the ledger as of now to a file that does not exist yet: beside its place, then in its place.
pub(super) fn copy(log: &Log<'_>, destination: &Path) -> Result<(), CopyError> {
    if destination.exists() {
        return Err(CopyError::Exists(destination.to_owned()));
    }
    let io = |source| CopyError::Io { path: destination.to_owned(), source };
    let aside = aside(destination);
    remove_database(&aside).map_err(io)?;
    let made = write(log, &aside).and_then(|()| {
        std::fs::File::open(&aside).and_then(|file| file.sync_all()).map_err(io)?;
        std::fs::rename(&aside, destination).map_err(io)?;
        sync_folder(folder_of(destination)).map_err(io)
    });
    if made.is_err() {
        // The error that is told is the first one.
        let _ = remove_database(&aside);
    }
    made
}

fn write(log: &Log<'_>, aside: &Path) -> Result<(), CopyError> {
    let Some(name) = aside.to_str() else {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the file's name is not UTF-8");
        return Err(CopyError::Io { path: aside.to_owned(), source });
    };
    // VACUUM INTO writes a new file and nothing else, but is no query.
    let copy = || -> rusqlite::Result<()> {
        log.connection.pragma_update(None, "query_only", false)?;
        let copied = log.connection.execute("VACUUM INTO ?1", [name]).map(|_| ());
        log.connection.pragma_update(None, "query_only", true)?;
        copied
    };
    copy().map_err(|error| DatabaseError::new("copying the ledger", log.path, error))?;
    finish(aside)
}

/// Brings a copy into rollback-journal mode, so that it is one file, and takes the right to write out of it.
pub(super) fn finish(copied: &Path) -> Result<(), CopyError> {
    let finish = || -> rusqlite::Result<()> {
        let copy = Connection::open_with_flags(copied, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        copy.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
        copy.execute("DELETE FROM meta WHERE key = 'writer'", [])?;
        copy.close().map_err(|(_, error)| error)
    };
    Ok(finish().map_err(|error| DatabaseError::new("finishing the copy", copied, error))?)
}

fn aside(destination: &Path) -> PathBuf {
    let mut name = destination.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
