//! What a ledger remembers beside its events: when it was backed up, and what was given to servers. It is no fact of the
//! organisation, is in no projection, and is lost without harm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{AppendError, DatabaseError};
use super::{Store, append};
use crate::ids::NatsOperatorId;
use crate::text::Label;
use crate::time::Timestamp;

/// The entry of the table `meta` that remembers the last backup.
const BACKUP: &str = "backup";

/// The entry of the table `meta` that remembers which operators' tokens servers were configured with.
const SERVED: &str = "served_operators";

/// What is remembered of the last backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackup {
    /// When it was made.
    pub at: Timestamp,
    /// How many events are in it.
    pub events: u64,
    /// Where it was written to.
    pub place: String,
}

impl Store {
    /// What is remembered of the last backup; `None` before the first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn last_backup(&self) -> Result<Option<LastBackup>, DatabaseError> {
        self.meta_json(BACKUP, "reading of the last backup of")
    }

    /// Remembers a backup.
    ///
    /// # Errors
    /// When the ledger is open for reading only, or the disk fails.
    pub fn remember_backup(&self, backup: &LastBackup) -> Result<(), AppendError> {
        self.remember(BACKUP, backup)
    }

    /// The operators' tokens, by their ids, that the last configuration of servers was written with.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn served_operators(&self) -> Result<BTreeMap<NatsOperatorId, Label>, DatabaseError> {
        Ok(self.meta_json(SERVED, "reading what servers were configured with of")?.unwrap_or_default())
    }

    /// Remembers that a configuration of servers was written with an operator's token.
    ///
    /// # Errors
    /// When the ledger is open for reading only, or the disk fails.
    pub fn remember_served(&self, operator: NatsOperatorId, token: &Label) -> Result<(), AppendError> {
        let mut served = self.served_operators()?;
        if served.insert(operator, token.clone()).as_ref() == Some(token) {
            return Ok(());
        }
        self.remember(SERVED, &served)
    }

    fn remember(&self, entry: &'static str, note: &impl Serialize) -> Result<(), AppendError> {
        let writing = self.writing.as_ref().map_err(Clone::clone)?;
        let text = serde_json::to_string(note).map_err(|error| AppendError::Encoding(error.to_string()))?;
        let work = move |session: &mut append::Session<'_>| session.set_meta(entry, &text).map(|()| Vec::new());
        writing.group.submit(&writing.writer, Box::new(work)).map(|_| ())
    }
}
