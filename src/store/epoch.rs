//! Restored ledgers, and their new beginning.
//!
//! A ledger that comes back from a backup may lack what was recorded, signed and published after it. Were it to go on as if
//! nothing had happened, its key would sign a second history. So a restored ledger is marked, and nothing is appended to
//! it; it takes what is newer from where that is kept; and then it goes on under a **new key**, in one transaction with the
//! right to write. The old key vouches for the new one, and signs no head any more.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use cid::Cid;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::error::{AppendError, CreateError, DatabaseError, JournalError, NotTheWriter, OpenError, ReadError};
use super::follow::Follower;
use super::token::Token;
use super::{Store, StoreOptions, Which, schema};
use crate::act::{AppendedEvent, Commit, CommitError, Head, Journal, Tip};
use crate::events::{EventAttested, EventData, LedgerKeyRotated};
use crate::files::{folder_of, sync_folder};
use crate::keys::{KeyRef, Signer};
use crate::ledger::{Facts, View};
use crate::time::Timestamp;

/// The entry of the table `meta` that says that the file came back from a backup.
const RESTORED: &str = "restored";

/// How far behind a new key the old one's signature is looked for.
const NEARBY: usize = 8;

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
    let connection = schema::connect(path, schema::Access::Write, std::time::Duration::from_secs(5))?;
    let failed = |error| DatabaseError::new("marking as restored", path, error);
    if super::is_mirror(&connection, path)? {
        return Ok(());
    }
    let text = serde_json::to_string(restoration).map_err(|error| super::damaged(path, error))?;
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

/// A new key of the ledger, in the order in which they came.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The position of the `LedgerKeyRotated`.
    pub position: u64,
    /// Its content identifier.
    pub cid: Cid,
    /// What it says.
    pub rotated: LedgerKeyRotated,
    /// The old key's signature, with its position and content identifier.
    pub attested: Option<(u64, Cid, EventAttested)>,
}

impl Store {
    /// How the ledger came back from a backup, while it has not begun anew.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn restoration(&self) -> Result<Option<Restoration>, DatabaseError> {
        self.meta_json(RESTORED, "reading of the restoration of")
    }

    pub(super) fn meta_json<T: serde::de::DeserializeOwned>(
        &self,
        key: &str,
        action: &'static str,
    ) -> Result<Option<T>, DatabaseError> {
        let text = self.reader.with(|log| {
            schema::meta(log.connection, key).map_err(|error| DatabaseError::new(action, log.path, error))
        })?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| super::damaged(self.path(), error))).transpose()
    }

    /// The new keys of the ledger, the first one first. Reads what concerns the ledger itself, however many events there are.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn rotations(&self) -> Result<Vec<Rotation>, ReadError> {
        let ledger = self.identity.ledger_id.into();
        let entity = self.view_as_it_is(|view| view.get(ledger))?;
        let damaged = |detail: String| ReadError::Damaged { position: 0, detail };
        let mut next = entity.map_err(|error| damaged(error.to_string()))?.map(|entity| entity.last);
        let mut found = Vec::new();
        while let Some(cid) = next {
            let recorded = self.event(&Which::Cid(cid))?;
            let event = recorded.event()?;
            // Each event about the ledger names the one before it first.
            next = event.causes.first().map(|link| *link.cid()).filter(|_| recorded.position > 1);
            if let EventData::LedgerKeyRotated(rotated) = event.data {
                let attested = self.attestation(recorded.position, &cid)?;
                found.push(Rotation { position: recorded.position, cid, rotated, attested });
            }
        }
        found.reverse();
        Ok(found)
    }

    fn attestation(&self, position: u64, cid: &Cid) -> Result<Option<(u64, Cid, EventAttested)>, ReadError> {
        for recorded in self.events(super::Listing::from(position + 1, NEARBY))? {
            if let EventData::EventAttested(attested) = recorded.event()?.data
                && attested.event.cid() == cid
            {
                return Ok(Some((recorded.position, recorded.cid, attested)));
            }
        }
        Ok(None)
    }
}

/// A ledger that came back from a backup, and has not begun anew.
pub struct Restored {
    follower: Follower,
    options: StoreOptions,
}

impl Restored {
    /// Opens it, to bring what is newer.
    ///
    /// # Errors
    /// When there is no ledger, when it was not restored, or when the disk fails.
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let store = Store::open_read_only(options.clone())?;
        if store.restoration()?.is_none() {
            return Err(OpenError::NotRestored(options.path));
        }
        Ok(Self { follower: Follower::open(store, &options)?, options })
    }

    /// What records in it.
    #[must_use]
    pub const fn follower(&self) -> &Follower {
        &self.follower
    }

    /// How many events this machine knows to have been recorded or signed, where that is more than there are, or others:
    /// from its right to write, and from its memory of what was signed.
    ///
    /// # Errors
    /// When that memory can't be read.
    pub fn known_loss(&self) -> Result<Option<u64>, OpenError> {
        let store = self.follower.store();
        let mut lost = None;
        if let Some(token) = Token::read(&self.options.tokens, store.identity.ledger_id)?
            && token.position > 0
        {
            let there = store.event(&Which::Position(token.position)).map(|recorded| recorded.cid.to_string());
            lost = there.map_or(true, |cid| cid != token.cid).then_some(token.position);
        }
        if let Ok(Some(signed)) = store.memory().read()
            && store.agrees(signed.checkpoint()).is_err()
        {
            lost = lost.max(Some(signed.size()));
        }
        Ok(lost)
    }

    /// Lets an act begin anew: the one that records the new key.
    #[must_use]
    pub fn begin(self) -> Beginning {
        Beginning { before: RefCell::new(Some(self)), after: RefCell::new(None) }
    }
}

/// A restored ledger that goes on with the act that records its new key, in one transaction with the right to write.
pub struct Beginning {
    before: RefCell<Option<Restored>>,
    after: RefCell<Option<Store>>,
}

impl Beginning {
    /// The ledger, open for writing, once it has begun anew.
    #[must_use]
    pub fn into_store(self) -> Option<Store> {
        self.after.into_inner()
    }

    /// The last event.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last(&self) -> Result<Option<Cid>, JournalError> {
        self.with(|store| Ok(store.events(super::Listing::newest(1))?.pop().map(|last| last.cid)))
    }

    fn with<T>(&self, look: impl FnOnce(&Store) -> Result<T, JournalError>) -> Result<T, JournalError> {
        if let Some(store) = &*self.after.borrow() {
            return look(store);
        }
        match &*self.before.borrow() {
            Some(restored) => look(restored.follower.store()),
            None => Err(AppendError::Interrupted.into()),
        }
    }

    fn record(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        let Some(Restored { follower, options }) = self.before.take() else {
            return Err(AppendError::Interrupted.into());
        };
        let failed = |error: CreateError| CommitError::Journal(JournalError::from(error));
        let token = Token::mint(follower.store().identity.ledger_id, &options.path);
        let token = token.map_err(|error| failed(error.into()))?;
        let nonce = token.nonce.clone();
        let (store, mut writer) = follower.into_parts();
        let memory = store.memory();
        drop(store);
        let events = writer.run_one(move |session| {
            session.set_meta("writer", &nonce)?;
            session.remove_meta(RESTORED)?;
            session.commit(act)
        });
        drop(writer);
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                // It is as it was, for another attempt.
                let restored = Restored::open(options).map_err(|error| failed(error.into()))?;
                *self.before.borrow_mut() = Some(restored);
                return Err(error.into());
            }
        };
        token.write(&options.tokens).map_err(|error| failed(error.into()))?;
        // What the old key signed beyond this history is kept as evidence, and no longer binds the new one.
        set_aside(memory.path()).map_err(|source| {
            failed(CreateError::Io { action: "setting aside", path: memory.path().to_owned(), source })
        })?;
        *self.after.borrow_mut() = Some(Store::open(options).map_err(|error| failed(error.into()))?);
        Ok(events)
    }
}

impl Journal for Beginning {
    type Error = JournalError;

    fn writable(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn tip(&self) -> Result<Tip, JournalError> {
        self.with(Store::end_of_log)
    }

    fn view<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, JournalError> {
        self.with(|store| Journal::view(store, look))
    }

    fn commit(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        if let Some(store) = &*self.after.borrow() {
            return store.commit(act);
        }
        self.record(act)
    }

    fn ledger_key(&self) -> Result<Option<KeyRef>, JournalError> {
        self.with(Journal::ledger_key)
    }

    fn sign_head(&self, signer: &dyn Signer) -> Result<u64, JournalError> {
        self.with(|store| Journal::sign_head(store, signer))
    }

    fn is_contradiction(error: &JournalError) -> bool {
        error.is_contradiction()
    }

    fn head(&self) -> Result<Head, JournalError> {
        self.with(Journal::head)
    }
}

fn set_aside(memory: &Path) -> std::io::Result<()> {
    match fs::rename(memory, memory.with_extension("signed.before")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok(()),
        Ok(()) => sync_folder(folder_of(memory)),
    }
}

/// The key that signs now, as the events say; `None` where the tables do not tell.
pub(super) fn current_key(connection: &Connection, ledger: crate::ids::LedgerId) -> Option<crate::text::PublicKey> {
    use crate::ledger::View as _;
    match super::Tables::new(connection).get(ledger.into()).ok()??.facts {
        Facts::Ledger(facts) => Some(facts.public_key),
        _ => None,
    }
}
