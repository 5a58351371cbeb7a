//! What a ledger's file says of itself: which ledger it is, whether it is a mirror, whether it came back from a backup.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::error::{DatabaseError, NotTheWriter, OpenError};
use super::schema::{self, Access};
use super::tables::Tables;
use crate::delivery::outbox::{Source, source_of};
use crate::ids::LedgerId;
use crate::ledger::{Facts, View as _};
use crate::text::{Name, PublicKey};
use crate::time::Timestamp;

/// Which ledger it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Its name.
    pub name: Name,
    /// Its Ed25519 key: the one that `LedgerCreated` has, or that of the last `LedgerKeyRotated`.
    pub public_key: PublicKey,
    /// The key as a subject token: the source under which the ledger publishes.
    pub source: Source,
}

/// Which ledger a file says that it is.
pub(super) fn identity(connection: &Connection, path: &Path) -> Result<Identity, DatabaseError> {
    let read = |key: &'static str| -> Result<String, DatabaseError> {
        let value = schema::meta(connection, key)
            .map_err(|error| DatabaseError::new("reading which ledger it is", path, error))?;
        value.ok_or_else(|| DatabaseError::unreadable(path, format!("the table meta has no {key}")))
    };
    let first_key: PublicKey = read("public_key")?.parse().map_err(|error| DatabaseError::unreadable(path, error))?;
    let ledger_id = read("ledger")?.parse().map_err(|error| DatabaseError::unreadable(path, error))?;
    let public_key = current_key(connection, ledger_id).unwrap_or(first_key);
    Ok(Identity {
        ledger_id,
        name: read("name")?.parse().map_err(|error| DatabaseError::unreadable(path, error))?,
        source: source_of(&public_key).map_err(|error| DatabaseError::unreadable(path, error))?,
        public_key,
    })
}

/// The key that signs now, as the events say; `None` where the tables do not tell.
fn current_key(connection: &Connection, ledger: LedgerId) -> Option<PublicKey> {
    match Tables::new(connection).get(ledger.into()).ok()??.facts {
        Facts::Ledger(facts) => Some(facts.public_key),
        _ => None,
    }
}

/// The entry of the table `meta` that makes a ledger's file a mirror: the key that it is pinned to.
pub(super) const PINNED: &str = "mirror";

/// The key that a mirror is pinned to, as text.
pub(super) fn pinned(connection: &Connection) -> rusqlite::Result<Option<String>> {
    schema::meta(connection, PINNED)
}

/// Whether a ledger's file is a mirror.
pub(super) fn is_mirror(connection: &Connection, path: &Path) -> Result<bool, DatabaseError> {
    let pinned = pinned(connection);
    Ok(pinned.map_err(|error| DatabaseError::new("reading the key of", path, error))?.is_some())
}

/// The entry of the table `meta` that says that the file came back from a backup.
pub(super) const RESTORED: &str = "restored";

/// What is known of a restoration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restoration {
    /// When the backup was made.
    pub backed_up_at: Timestamp,
    /// When it was brought back.
    pub restored_at: Timestamp,
    /// How many events it had.
    pub events: u64,
}

/// Marks a database that comes back from a backup, and takes the right to write out of it.
///
/// # Errors
/// When it is no ledger of ours, or the disk fails.
pub fn mark_restored(path: &Path, restoration: &Restoration) -> Result<(), OpenError> {
    let connection = schema::connect(path, Access::Write, Duration::from_secs(5))?;
    let failed = |error| DatabaseError::new("marking as restored", path, error);
    if is_mirror(&connection, path)? {
        return Ok(());
    }
    let text = serde_json::to_string(restoration).map_err(|error| DatabaseError::unreadable(path, error))?;
    schema::set_meta(&connection, RESTORED, &text).map_err(failed)?;
    connection.execute("DELETE FROM meta WHERE key = 'writer'", []).map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    Ok(())
}

/// Why a restored ledger can't write yet.
pub(super) fn reason(connection: &Connection, path: &Path) -> Result<Option<NotTheWriter>, DatabaseError> {
    let text = schema::meta(connection, RESTORED);
    let text = text.map_err(|error| DatabaseError::new("reading of the restoration of", path, error))?;
    Ok(text.map(|text| {
        let restoration = serde_json::from_str::<Restoration>(&text).ok();
        NotTheWriter::Restored { events: restoration.map_or(0, |restoration| restoration.events) }
    }))
}
