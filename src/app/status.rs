//! `status`: what a ledger is, how it stands, and what is in no backup.

use super::queue::{self, QueueError};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::custody;
use crate::ids::KeyId;
use crate::session::Session;
use crate::session::custody::{CheckError, check};
use crate::session::heads::{Head, LogError, head};
use crate::store::{DatabaseError, LastBackup, NotTheWriter, ReadError, Restoration};
use crate::text::Label;

/// The types of events with which a private key begins to be in custody.
const KEYS: [&str; 3] = ["KeyGenerated", "KeyImported", "NKeyGenerated"];

/// Why the status can't be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The heads could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The queue could not be read.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Custody does not open.
    #[error(transparent)]
    Custody(#[from] custody::OpenError),
    /// Custody could not be compared with the ledger.
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl Explained for StatusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(_) | Self::Database(_) | Self::Log(_) | Self::Queue(_) | Self::Custody(_) | Self::Check(_) => {
                ErrorKind::Failed
            }
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Read(error) => error.advice(),
            Self::Database(error) => error.advice(),
            Self::Log(error) => error.advice(),
            Self::Queue(error) => error.advice(),
            Self::Custody(error) => error.advice(),
            Self::Check(error) => error.advice(),
        }
    }
}

/// What a folder is to its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The one place where it is written.
    Writer,
    /// A mirror.
    Mirror,
    /// A ledger that came back from a backup, and has not begun anew.
    Restored(Restoration),
    /// A copy, or the original opened where it can't be written.
    Copy(NotTheWriter),
}

/// How a ledger stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What the folder is.
    pub role: Role,
    /// Its head.
    pub head: Head,
    /// Its queue.
    pub queue: queue::Standing,
    /// The last backup.
    pub backup: Option<LastBackup>,
    /// How many keys were made or imported after it.
    pub keys_not_backed_up: u64,
    /// Keys that are recorded and have no secret in custody.
    pub missing: Vec<(Label, KeyId)>,
}

/// Looks up how a ledger stands. Opens nothing that is sealed.
///
/// # Errors
/// When something can't be read.
pub fn standing(session: &Session, stream: &str) -> Result<Standing, StatusError> {
    let store = session.store();
    let backup = store.last_backup()?;
    let role = match (store.pinned_key()?, store.restoration()?, store.writable()) {
        (Some(_), ..) => Role::Mirror,
        (None, Some(restoration), _) => Role::Restored(restoration),
        (None, None, Ok(())) => Role::Writer,
        (None, None, Err(reason)) => Role::Copy(reason),
    };
    let has_custody = session.place().custody().exists();
    let missing = match has_custody {
        true => check(store, &session.custody()?)?.files.missing,
        false => Vec::new(),
    };
    let keys_not_backed_up = match (has_custody, &role) {
        (true, Role::Writer | Role::Restored(_)) => {
            store.count_after(backup.as_ref().map_or(0, |backup| backup.events), &KEYS)?
        }
        _ => 0,
    };
    Ok(Standing {
        role,
        head: head(store)?,
        queue: queue::standing(store, stream)?,
        backup,
        keys_not_backed_up,
        missing,
    })
}
