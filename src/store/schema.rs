//! The tables, their versions, and how a connection is set up and closed.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::{DatabaseError, OpenError};

/// `application_id` in the file's header: "cimk".
pub(super) const APPLICATION_ID: i64 = 0x6369_6d6b;

/// The oldest SQLite that may write a ledger: the first without the bug that could lose a write when two connections
/// reset the write-ahead log at once.
const OLDEST_SQLITE: (i32, &str) = (3_051_003, "3.51.3");

/// What brings the tables from each version to the next. `user_version` is how many of them were applied. A released one
/// is never changed.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE log (
        position    INTEGER PRIMARY KEY,
        cid         BLOB NOT NULL,
        event_id    BLOB NOT NULL,
        occurred_at INTEGER NOT NULL,
        aggregate   TEXT NOT NULL,
        type        TEXT NOT NULL,
        block       BLOB NOT NULL
    ) STRICT;
    CREATE INDEX log_cid ON log (substr(cid, 5, 8));
    CREATE UNIQUE INDEX log_event ON log (event_id);

    CREATE TABLE node (
        i INTEGER PRIMARY KEY,
        h BLOB NOT NULL
    ) STRICT;

    CREATE TABLE blob (
        number INTEGER PRIMARY KEY,
        cid    BLOB NOT NULL UNIQUE,
        bytes  BLOB NOT NULL
    ) STRICT;

    CREATE TABLE entity (
        kind TEXT NOT NULL,
        id   BLOB NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE name (
        number INTEGER NOT NULL,
        held   INTEGER NOT NULL,
        id     BLOB NOT NULL,
        kind   TEXT NOT NULL,
        PRIMARY KEY (number, held, id, kind)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE reference (
        to_kind TEXT NOT NULL,
        to_id   BLOB NOT NULL,
        kind    TEXT NOT NULL,
        id      BLOB NOT NULL,
        PRIMARY KEY (to_id, to_kind, kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mark (
        position INTEGER NOT NULL,
        kind     TEXT NOT NULL,
        id       BLOB NOT NULL,
        PRIMARY KEY (position, kind, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE outbox_cursor (
        account       TEXT NOT NULL,
        stream        TEXT NOT NULL,
        created       TEXT NOT NULL,
        position      INTEGER NOT NULL,
        head_sequence INTEGER NOT NULL,
        source        TEXT NOT NULL,
        PRIMARY KEY (account, stream, created, source)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox_parked (
        position INTEGER PRIMARY KEY,
        cid      BLOB NOT NULL,
        reason   TEXT NOT NULL,
        since    INTEGER NOT NULL,
        retry    INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE checkpoint (
        size INTEGER PRIMARY KEY,
        note TEXT NOT NULL
    ) STRICT;
"];

/// The version that this release writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// How a connection is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Make a new file.
    Create,
    /// Read and write.
    Write,
    /// Read only; the file and its folder may be unwritable.
    Read,
}

/// Whether the SQLite that runs is one to be trusted.
pub(super) fn check_sqlite() -> Result<(), OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE.0 {
        return Err(OpenError::SqliteTooOld { found: rusqlite::version(), needed: OLDEST_SQLITE.1 });
    }
    Ok(())
}

/// Opens a connection, checks what the file is, and brings it up to date where it may be written.
pub(super) fn connect(path: &Path, access: Access, wait: Duration) -> Result<Connection, OpenError> {
    let flags = match access {
        Access::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    } | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| DatabaseError::new("opening the ledger", path, error);
    if access == Access::Read {
        roll_back(path, wait);
    }
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    set_up(&mut connection, access, wait).map_err(failed)?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(failed)?;
    if application != APPLICATION_ID && access != Access::Create {
        return Err(OpenError::NotALedger { path: path.into(), found: application });
    }
    let found = number("user_version").map_err(failed)?;
    match found {
        VERSION => {}
        found if found > VERSION => return Err(OpenError::Newer { path: path.into(), found, known: VERSION }),
        found if access == Access::Read => {
            return Err(OpenError::NeedsMigration { path: path.into(), found, known: VERSION });
        }
        _ => migrate(&mut connection).map_err(failed)?,
    }
    Ok(connection)
}

/// Ends a transaction that a killed process left in a rollback journal, as a restored ledger has one before it goes on: a
/// connection that only reads can't. Where it can't be written, opening says why.
fn roll_back(path: &Path, wait: Duration) {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    if Path::new(&journal).exists()
        && let Ok(connection) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        && connection.busy_timeout(wait).is_ok()
    {
        // The first look at the file rolls back.
        let _ = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    }
}

fn set_up(connection: &mut Connection, access: Access, wait: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(wait)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Plans that do not look at bound values: otherwise each lookup with another LIMIT is prepared anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    if access == Access::Create {
        connection.pragma_update(None, "page_size", 8192)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    }
    if access != Access::Read {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        // 64 MiB: a checkpoint that comes seldom writes each page of the random indexes once instead of many times.
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 8192, |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
        // 64 MiB at most: the random indexes of a large ledger, and what one transaction changes, stay in memory.
        connection.pragma_update(None, "cache_size", -65_536)?;
    }
    Ok(())
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been quicker.
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (migration, version) in MIGRATIONS.iter().zip(1_i64..) {
        if version > found {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
        }
    }
    transaction.commit()
}

/// Moves the write-ahead log into the database and empties it.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Closes a database, with everything in its one file.
pub(super) fn close(connection: Connection) -> rusqlite::Result<()> {
    checkpoint(&connection)?;
    connection.close().map_err(|(_, error)| error)
}

/// Removes a database, with what SQLite keeps beside it.
pub(super) fn remove_database(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A database of its own, gone when it is closed, that spills to a temporary file when it grows: for replays.
pub(super) fn scratch() -> rusqlite::Result<Connection> {
    let mut connection = Connection::open("")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(()))?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// The entry of the table `meta` that counts the checkpoints that are kept.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// Reads a value of the table `meta`.
pub(super) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    use rusqlite::OptionalExtension as _;
    connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
}

/// Writes a value of the table `meta`.
pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute([key, value])?;
    Ok(())
}

/// Removes a value of the table `meta`.
pub(super) fn remove_meta(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([key])?;
    Ok(())
}
