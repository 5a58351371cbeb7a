//! A ledger that is about to be made: the first act founds it.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::append::Writer;
use super::schema::{self, Access};
use super::token::Token;
use super::{AppendError, CreateError, DatabaseError, JournalError, Store, StoreOptions, close, remove_database};
use crate::act::{AppendedEvent, Commit, CommitError, Head, Journal, Tip};
use crate::events::LedgerCreated;
use crate::files::{folder_of, sync_folder};
use crate::keys::{KeyRef, Signer};
use crate::ledger::{Command, State, View};

/// A ledger that is not there yet. Its first act, which begins with [`Command::CreateLedger`], makes its file and the right to
/// write to it: afterwards all of it is there, or no file.
pub struct Founding {
    options: StoreOptions,
    made: RefCell<Option<Store>>,
}

impl Founding {
    /// A ledger that is to be made.
    #[must_use]
    pub const fn new(options: StoreOptions) -> Self {
        Self { options, made: RefCell::new(None) }
    }

    /// The ledger, once an act has made it.
    #[must_use]
    pub fn into_store(self) -> Option<Store> {
        self.made.into_inner()
    }

    fn create(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        let ledger = act.decisions.first().and_then(|decision| match &decision.command {
            Command::CreateLedger(created) => Some(created.clone()),
            _ => None,
        });
        let Some(ledger) = ledger else {
            let what = "the first event of a ledger is LedgerCreated".to_owned();
            return Err(AppendError::Encoding(what).into());
        };
        let (store, events) = create(self.options.clone(), &ledger, act)?;
        *self.made.borrow_mut() = Some(store);
        Ok(events)
    }
}

fn create(
    options: StoreOptions,
    ledger: &LedgerCreated,
    act: Commit,
) -> Result<(Store, Vec<AppendedEvent>), CommitError<JournalError>> {
    let failed = |error: CreateError| CommitError::Journal(JournalError::from(error));
    schema::check_sqlite().map_err(|error| failed(error.into()))?;
    if options.path.exists() {
        return Err(failed(CreateError::Exists(options.path)));
    }
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| CommitError::Journal(CreateError::Io { action, path, source }.into())
    };
    let aside = options.path.with_extension("db.new");
    remove_database(&aside).map_err(io("removing the unfinished", &aside))?;
    let connection = schema::connect(&aside, Access::Create, options.wait).map_err(|error| failed(error.into()))?;
    let token = Token::mint(ledger.ledger_id, &aside).map_err(|error| failed(error.into()))?;
    let database = |error| failed(DatabaseError::new("making the ledger", &aside, error).into());
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
    token.write(&options.tokens).map_err(|error| failed(error.into()))?;
    std::fs::rename(&aside, &options.path).map_err(io("putting in place", &options.path))?;
    sync_folder(folder_of(&options.path)).map_err(io("syncing the folder of", &options.path))?;
    let store = Store::open(options).map_err(|error| failed(error.into()))?;
    Ok((store, events))
}

impl Journal for Founding {
    type Error = JournalError;

    fn writable(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn tip(&self) -> Result<Tip, JournalError> {
        match &*self.made.borrow() {
            Some(store) => store.tip(),
            None => Ok(Tip { position: 0, last: None, now: (self.options.clock)() }),
        }
    }

    fn view<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, JournalError> {
        match &*self.made.borrow() {
            Some(store) => Journal::view(store, look),
            // It is not this one, or making it failed at the very end: what it holds is not known here.
            None if self.options.path.exists() => Err(CreateError::Exists(self.options.path.clone()).into()),
            None => Ok(look(&State::new())),
        }
    }

    fn commit(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        if let Some(store) = &*self.made.borrow() {
            return store.commit(act);
        }
        self.create(act)
    }

    fn ledger_key(&self) -> Result<Option<KeyRef>, JournalError> {
        self.made.borrow().as_ref().map_or(Ok(None), Journal::ledger_key)
    }

    fn sign_head(&self, signer: &dyn Signer) -> Result<u64, JournalError> {
        self.made.borrow().as_ref().map_or(Ok(0), |store| Journal::sign_head(store, signer))
    }

    fn is_contradiction(error: &JournalError) -> bool {
        error.is_contradiction()
    }

    fn head(&self) -> Result<Head, JournalError> {
        self.made.borrow().as_ref().map_or(Ok(Head::Unsigned { events: 0 }), Journal::head)
    }
}
