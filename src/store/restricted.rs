//! Blocks that are no secrets and yet not for everybody: signed tokens.
//!
//! A bearer user's token is a credential, and an old account token brings revoked users back, so their texts stay out of
//! `ledger.db`, which may be handed to anybody. They are kept in `restricted.db` beside it, mode 0600, under the content
//! identifiers that events link to.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cid::Cid;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::error::DatabaseError;
use crate::act::Texts;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::files::create_private_file;
use crate::ipld_support::cid_of_blob;

/// `application_id` in the file's header: "cimr".
const APPLICATION_ID: i64 = 0x6369_6d72;
const VERSION: i64 = 1;

/// Why restricted blocks could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestrictedError {
    /// SQLite or the disk failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The file could not be made.
    #[error("{} can't be made: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("others may read {}, which holds tokens", path.display())]
    Loose {
        /// The file.
        path: PathBuf,
    },
    /// A newer release made the file.
    #[error("{} is of version {version}, and this release reads {VERSION}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
}

impl Explained for RestrictedError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Database(error) => error.kind(),
            Self::Io { .. } | Self::Loose { .. } | Self::Newer { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Database(error) => error.advice(),
            Self::Io { .. } => Vec::new(),
            Self::Loose { path } => vec![
                Advice::Run(Action::ChangeMode { mode: 0o600, path: path.clone() }, "closes it to others"),
                Advice::Do("think of rotating the tokens"),
            ],
            Self::Newer { .. } => vec![Advice::UPDATE],
        }
    }
}

/// The file of restricted blocks as what keeps the texts of an act: opened when it is first needed.
pub struct RestrictedTexts {
    path: PathBuf,
    open: Mutex<Option<RestrictedBlocks>>,
}

impl RestrictedTexts {
    /// The texts in a file.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), open: Mutex::new(None) }
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut RestrictedBlocks) -> Result<T, RestrictedError>) -> TextResult<T> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = match open.take() {
            Some(blocks) => blocks,
            None => RestrictedBlocks::open(&self.path)?,
        };
        Ok(use_it(open.insert(blocks))?)
    }
}

type TextResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Texts for RestrictedTexts {
    fn get(&self, cid: &Cid) -> TextResult<Option<String>> {
        let bytes = self.with(|blocks| blocks.get(cid))?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    fn put(&self, texts: &[String]) -> TextResult<()> {
        self.with(|blocks| blocks.put(texts.iter().map(String::as_bytes)))
    }
}

/// The file of restricted blocks.
pub struct RestrictedBlocks {
    connection: Connection,
    path: PathBuf,
}

impl RestrictedBlocks {
    /// Opens the file, or makes it: mode 0600 from its first byte on.
    ///
    /// # Errors
    /// When the file can't be made or opened, or is another kind of file.
    pub fn open(path: &Path) -> Result<Self, RestrictedError> {
        let failed = |error| DatabaseError::new("opening the restricted blocks", path, error);
        create_private(path).map_err(|source| RestrictedError::Io { path: path.to_owned(), source })?;
        if is_loose(path) {
            return Err(RestrictedError::Loose { path: path.to_owned() });
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
        connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
        // Up to 32 MiB of memory, so that the tokens of a fleet are written once, at the end.
        connection.pragma_update(None, "cache_size", -32 * 1024).map_err(failed)?;
        match version {
            0 => connection
                .execute_batch(&format!(
                    "BEGIN IMMEDIATE;
                     CREATE TABLE IF NOT EXISTS block (cid BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;
                     PRAGMA application_id = {APPLICATION_ID};
                     PRAGMA user_version = {VERSION};
                     COMMIT;"
                ))
                .map_err(failed)?,
            VERSION => {}
            newer => {
                return Err(RestrictedError::Newer { path: path.to_owned(), version: newer });
            }
        }
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Keeps blocks. Returns when they are durable; what is there already stays as it is.
    ///
    /// # Errors
    /// When the disk fails; then none of them is kept.
    pub fn put<'b>(&mut self, blocks: impl IntoIterator<Item = &'b [u8]>) -> Result<(), RestrictedError> {
        let path = self.path.clone();
        let failed = |error| DatabaseError::new("keeping restricted blocks", &path, error);
        let mut blocks: Vec<_> = blocks.into_iter().map(|block| (cid_of_blob(block).to_bytes(), block)).collect();
        // In the order of the table, so that each page is written once.
        blocks.sort_unstable();
        let transaction = self.connection.transaction().map_err(failed)?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO block (cid, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
                .map_err(failed)?;
            for block in blocks {
                insert.execute(block).map_err(failed)?;
            }
        }
        Ok(transaction.commit().map_err(failed)?)
    }

    /// Copies the file as of now, with SQLite's backup, to a file that its caller has made, empty and private.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn back_up_to(&self, destination: &Path) -> Result<(), RestrictedError> {
        let failed = |error| DatabaseError::new("backing up restricted blocks", destination, error);
        let mut copy = Connection::open(destination).map_err(failed)?;
        let backup = rusqlite::backup::Backup::new(&self.connection, &mut copy).map_err(failed)?;
        // All pages in one step: nobody writes in between.
        backup.run_to_completion(i32::MAX, std::time::Duration::from_millis(50), None).map_err(failed)?;
        drop(backup);
        Ok(copy.close().map_err(|(_, error)| failed(error))?)
    }

    /// Forgets all blocks but these, and writes over what they leave.
    ///
    /// # Errors
    /// When the disk fails; then all of them are still kept.
    pub fn keep_only(&mut self, wanted: &std::collections::HashSet<Cid>) -> Result<(), RestrictedError> {
        let path = self.path.clone();
        let failed = |error| DatabaseError::new("forgetting restricted blocks", &path, error);
        self.connection.pragma_update(None, "secure_delete", true).map_err(failed)?;
        let transaction = self.connection.transaction().map_err(failed)?;
        {
            let mut all = transaction.prepare("SELECT cid FROM block").map_err(failed)?;
            let all = all.query_map([], |row| row.get::<_, Vec<u8>>(0)).map_err(failed)?;
            let all = all.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            for cid in all.iter().filter(|cid| !Cid::try_from(cid.as_slice()).is_ok_and(|cid| wanted.contains(&cid))) {
                transaction.execute("DELETE FROM block WHERE cid = ?1", [cid]).map_err(failed)?;
            }
        }
        Ok(transaction.commit().map_err(failed)?)
    }

    /// A block; `None` when it is not kept here, or no longer what it was.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, RestrictedError> {
        let failed = |error| DatabaseError::new("reading restricted blocks", &self.path, error);
        let mut select = self.connection.prepare_cached("SELECT bytes FROM block WHERE cid = ?1").map_err(failed)?;
        let found: Option<Vec<u8>> = select.query_row([cid.to_bytes()], |row| row.get(0)).optional().map_err(failed)?;
        Ok(found.filter(|bytes| cid_of_blob(bytes) == *cid))
    }
}

fn create_private(path: &Path) -> std::io::Result<()> {
    match create_private_file(path) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_loose(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn blocks_are_kept_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("restricted.db");
        let mut blocks = RestrictedBlocks::open(&path).unwrap();
        blocks.put([&b"one"[..], b"two", b"one"]).unwrap();
        drop(blocks);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let blocks = RestrictedBlocks::open(&path).unwrap();
        assert_eq!(blocks.get(&cid_of_blob(b"two")).unwrap().unwrap(), b"two");
        assert_eq!(blocks.get(&cid_of_blob(b"three")).unwrap(), None);
        drop(blocks);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = RestrictedBlocks::open(&path).err().unwrap();
        assert!(matches!(error, RestrictedError::Loose { .. }), "{error}");
    }
}
