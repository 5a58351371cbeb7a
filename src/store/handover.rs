//! The right to write, taken over for another copy of a ledger.

use std::sync::Arc;

use super::acquire::{Acquire, Acquiring};
use super::append::Writer;
use super::identity::{identity, is_mirror, reason};
use super::schema::{self, Access};
use super::token::Token;
use super::{CreateError, JournalError, NotTheWriter, OpenError, Store, StoreOptions};
use crate::act::{AppendedEvent, Commit, CommitError};
use crate::ids::LedgerId;

/// A ledger whose right to write is taken over for this file. The act that records that takes it, in one transaction. Every
/// other copy can only be read from then on, on this machine at once; on another machine, the person who hands over sees to it
/// that nothing writes there any more.
pub type HandingOver = Acquiring<Elsewhere>;

/// A ledger that is written elsewhere.
pub struct Elsewhere {
    options: StoreOptions,
    store: Store,
}

impl HandingOver {
    /// A ledger that is to be taken over.
    ///
    /// # Errors
    /// When there is none, when it is a mirror or was restored and not recovered, or when it can't be read.
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let store = Store::open_read_only(options.clone())?;
        let refused = store.reader.with(|log| {
            if is_mirror(log.connection, log.path)? {
                return Ok(Some(NotTheWriter::Mirror));
            }
            reason(log.connection, log.path)
        })?;
        match refused {
            Some(reason) => Err(reason.into()),
            None => Ok(Self::of(Elsewhere { options, store })),
        }
    }

    /// Which ledger it is.
    #[must_use]
    pub const fn ledger_id(&self) -> LedgerId {
        self.before.store.identity.ledger_id
    }
}

impl Acquire for Elsewhere {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn before(&self) -> Option<&Store> {
        Some(&self.store)
    }

    fn record(&self, act: Commit) -> Result<(Store, Vec<AppendedEvent>), CommitError<JournalError>> {
        let options = &self.options;
        let connection = schema::connect(&options.path, Access::Write, options.wait).map_err(CreateError::from)?;
        identity(&connection, &options.path).map_err(CreateError::from)?;
        let token = Token::mint(self.store.identity.ledger_id, &options.path).map_err(CreateError::from)?;
        let mut writer = Writer::new(connection, options.path.clone(), Arc::clone(&options.clock));
        let nonce = token.nonce.clone();
        let events = writer.run_one(move |session| {
            session.set_meta("writer", &nonce)?;
            session.commit(act)
        })?;
        drop(writer);
        token.write(&options.tokens).map_err(CreateError::from)?;
        Ok((Store::open(options.clone()).map_err(CreateError::from)?, events))
    }
}
