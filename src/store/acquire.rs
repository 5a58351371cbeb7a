//! A ledger whose right to write comes with an act: the act makes it, takes it over, or lets it begin anew.

use std::cell::OnceCell;

use super::{AppendError, CreateError, JournalError, Store, StoreOptions};
use crate::act::{AppendedEvent, Commit, CommitError, Head, Journal, Tip};
use crate::keys::{KeyRef, Signer};
use crate::ledger::{State, View};

/// What there is before the act, and how the act is recorded.
pub trait Acquire {
    /// Where the ledger is, or is to be.
    fn options(&self) -> &StoreOptions;

    /// The ledger as it is before the act, to be read; `None` where there is none.
    fn before(&self) -> Option<&Store>;

    /// Records the act in one transaction with the right to write, and opens the ledger for writing.
    ///
    /// # Errors
    /// See [`CommitError`].
    fn record(&self, act: Commit) -> Result<(Store, Vec<AppendedEvent>), CommitError<JournalError>>;
}

/// The journal of such an act. What follows the act in the same journal is recorded as in any other.
pub struct Acquiring<B> {
    pub(super) before: B,
    after: OnceCell<Store>,
}

impl<B: Acquire> Acquiring<B> {
    pub(super) const fn of(before: B) -> Self {
        Self { before, after: OnceCell::new() }
    }

    /// The ledger, open for writing.
    ///
    /// # Errors
    /// When no act was recorded.
    pub fn into_store(self) -> Result<Store, JournalError> {
        self.after.into_inner().ok_or_else(|| AppendError::Interrupted.into())
    }

    fn now(&self) -> Option<&Store> {
        self.after.get().or_else(|| self.before.before())
    }
}

impl<B: Acquire> Journal for Acquiring<B> {
    type Error = JournalError;

    fn writable(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn tip(&self) -> Result<Tip, JournalError> {
        let empty = || Tip { position: 0, last: None, now: (self.before.options().clock)() };
        self.now().map_or_else(|| Ok(empty()), Store::end_of_log)
    }

    fn view<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, JournalError> {
        let path = &self.before.options().path;
        match self.now() {
            Some(store) => Journal::view(store, look),
            // It is not this one, or making it failed at the very end: what it holds is not known here.
            None if path.exists() => Err(CreateError::Exists(path.clone()).into()),
            None => Ok(look(&State::new())),
        }
    }

    fn commit(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        if let Some(store) = self.after.get() {
            return store.commit(act);
        }
        let (store, events) = self.before.record(act)?;
        self.after.get_or_init(|| store);
        Ok(events)
    }

    fn ledger_key(&self) -> Result<Option<KeyRef>, JournalError> {
        self.after.get().map_or(Ok(None), Journal::ledger_key)
    }

    fn sign_head(&self, signer: &dyn Signer) -> Result<u64, JournalError> {
        self.after.get().map_or(Ok(0), |store| Journal::sign_head(store, signer))
    }

    fn is_contradiction(error: &JournalError) -> bool {
        error.is_contradiction()
    }

    fn head(&self) -> Result<Head, JournalError> {
        self.now().map_or(Ok(Head::Unsigned { events: 0 }), Journal::head)
    }
}
