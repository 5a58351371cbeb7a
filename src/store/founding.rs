//! A ledger that is about to be made: the first act founds it.

use std::path::Path;
use std::sync::Arc;

use super::acquire::{Acquire, Acquiring};
use super::append::Writer;
use super::schema::{self, Access, close, remove_database};
use super::token::Token;
use super::{AppendError, CreateError, DatabaseError, JournalError, Store, StoreOptions};
use crate::act::{AppendedEvent, Commit, CommitError};
use crate::files::{folder_of, sync_folder};
use crate::ledger::Command;

/// A ledger that is not there yet. Its first act, which begins with [`Command::CreateLedger`], makes its file and the right to
/// write to it: afterwards all of it is there, or no file.
pub type Founding = Acquiring<Absent>;

/// Where no ledger is.
pub struct Absent(StoreOptions);

impl Founding {
    /// A ledger that is to be made.
    #[must_use]
    pub const fn new(options: StoreOptions) -> Self {
        Self::of(Absent(options))
    }
}

impl Acquire for Absent {
    fn options(&self) -> &StoreOptions {
        &self.0
    }

    fn before(&self) -> Option<&Store> {
        None
    }

    fn record(&self, act: Commit) -> Result<(Store, Vec<AppendedEvent>), CommitError<JournalError>> {
        let ledger = act.decisions.first().and_then(|decision| match &decision.command {
            Command::CreateLedger(created) => Some(created.clone()),
            _ => None,
        });
        let Some(ledger) = ledger else {
            let what = "the first event of a ledger is LedgerCreated".to_owned();
            return Err(AppendError::Encoding(what).into());
        };
        let options = &self.0;
        schema::check_sqlite().map_err(CreateError::from)?;
        if options.path.exists() {
            return Err(CreateError::Exists(options.path.clone()).into());
        }
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| CreateError::Io { action, path, source }
        };
        let aside = options.path.with_extension("db.new");
        remove_database(&aside).map_err(io("removing the unfinished", &aside))?;
        let connection = schema::connect(&aside, Access::Create, options.wait).map_err(CreateError::from)?;
        let token = Token::mint(ledger.ledger_id, &aside).map_err(CreateError::from)?;
        let database = |error| CreateError::from(DatabaseError::new("making the ledger", &aside, error));
        for (key, value) in [
            ("ledger", ledger.ledger_id.to_string()),
            ("name", ledger.name.to_string()),
            ("public_key", ledger.public_key.to_string()),
            ("writer", token.nonce.clone()),
        ] {
            schema::set_meta(&connection, key, &value).map_err(database)?;
        }
        let mut writer = Writer::new(connection, aside.clone(), Arc::clone(&options.clock));
        let events = writer.run_one(move |session| session.commit(act))?;
        close(writer.into_connection()).map_err(database)?;
        token.write(&options.tokens).map_err(CreateError::from)?;
        std::fs::rename(&aside, &options.path).map_err(io("putting in place", &options.path))?;
        sync_folder(folder_of(&options.path)).map_err(io("syncing the folder of", &options.path))?;
        Ok((Store::open(options.clone()).map_err(CreateError::from)?, events))
    }
}
