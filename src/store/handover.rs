//! The right to write, taken over for another copy of a ledger.

use std::cell::RefCell;
use std::sync::Arc;

use super::append::Writer;
use super::mirror::is_mirror;
use super::schema::{self, Access};
use super::token::Token;
use super::{CreateError, JournalError, NotTheWriter, OpenError, Store, StoreOptions, epoch, identity};
use crate::act::{AppendedEvent, Commit, CommitError, Head, Journal, Tip};
use crate::ids::LedgerId;
use crate::keys::{KeyRef, Signer};
use crate::ledger::View;

/// A ledger whose right to write is taken over for this file. The act that records that takes it, in one transaction. Every
/// other copy can only be read from then on, on this machine at once; on another machine, the person who hands over sees to it
/// that nothing writes there any more.
pub struct HandingOver {
    options: StoreOptions,
    before: Store,
    after: RefCell<Option<Store>>,
}

impl HandingOver {
    /// A ledger that is to be taken over.
    ///
    /// # Errors
    /// When there is none, when it is a mirror or was restored and not recovered, or when it can't be read.
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let before = Store::open_read_only(options.clone())?;
        let refused = before.reader.with(|log| {
            if is_mirror(log.connection, log.path)? {
                return Ok(Some(NotTheWriter::Mirror));
            }
            epoch::reason(log.connection, log.path)
        })?;
        match refused {
            Some(reason) => Err(reason.into()),
            None => Ok(Self { options, before, after: RefCell::new(None) }),
        }
    }

    /// Which ledger it is.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        self.before.identity().ledger_id
    }

    /// The ledger, open for writing, once it was taken over.
    #[must_use]
    pub fn into_store(self) -> Option<Store> {
        self.after.into_inner()
    }

    fn take_over(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        let failed = |error: CreateError| CommitError::Journal(JournalError::from(error));
        let options = &self.options;
        let connection = schema::connect(&options.path, Access::Write, options.wait);
        let connection = connection.map_err(|error| failed(error.into()))?;
        identity(&connection, &options.path).map_err(|error| failed(error.into()))?;
        let token = Token::mint(self.ledger_id(), &options.path).map_err(|error| failed(error.into()))?;
        let mut writer = Writer::new(connection, options.path.clone(), Arc::clone(&options.clock));
        let nonce = token.nonce.clone();
        let events = writer.run_one(move |session| {
            session.set_meta("writer", &nonce)?;
            session.commit(act)
        })?;
        drop(writer);
        token.write(&options.tokens).map_err(|error| failed(error.into()))?;
        let store = Store::open(options.clone()).map_err(|error| failed(error.into()))?;
        *self.after.borrow_mut() = Some(store);
        Ok(events)
    }
}

impl Journal for HandingOver {
    type Error = JournalError;

    fn writable(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn tip(&self) -> Result<Tip, JournalError> {
        match &*self.after.borrow() {
            Some(store) => store.tip(),
            None => self.before.end_of_log(),
        }
    }

    fn view<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, JournalError> {
        match &*self.after.borrow() {
            Some(store) => Journal::view(store, look),
            None => Journal::view(&self.before, look),
        }
    }

    fn commit(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        if let Some(store) = &*self.after.borrow() {
            return store.commit(act);
        }
        self.take_over(act)
    }

    fn ledger_key(&self) -> Result<Option<KeyRef>, JournalError> {
        self.after.borrow().as_ref().map_or(Ok(None), Journal::ledger_key)
    }

    fn sign_head(&self, signer: &dyn Signer) -> Result<u64, JournalError> {
        self.after.borrow().as_ref().map_or(Ok(0), |store| Journal::sign_head(store, signer))
    }

    fn is_contradiction(error: &JournalError) -> bool {
        error.is_contradiction()
    }

    fn head(&self) -> Result<Head, JournalError> {
        match &*self.after.borrow() {
            Some(store) => Journal::head(store),
            None => Journal::head(&self.before),
        }
    }
}
