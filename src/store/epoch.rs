//! Restored ledgers, and their new beginning.
//!
//! A ledger that comes back from a backup may lack what was recorded, signed and published after it. Were it to go on as if
//! nothing had happened, its key would sign a second history. So a restored ledger is marked, and nothing is appended to
//! it; it takes what is newer from where that is kept; and then it goes on under a **new key**, in one transaction with the
//! right to write. The old key vouches for the new one, and signs no head any more.

use std::fs;
use std::path::Path;

use cid::Cid;

use super::acquire::{Acquire, Acquiring};
use super::error::{CreateError, DatabaseError, JournalError, OpenError, ReadError};
use super::follow::Follower;
use super::identity::{RESTORED, Restoration};
use super::options::StoreOptions;
use super::read::{Listing, Which};
use super::token::Token;
use super::{Store, schema};
use crate::act::{AppendedEvent, Commit, CommitError};
use crate::events::{EventAttested, EventData, LedgerKeyRotated};
use crate::files::{folder_of, sync_folder};

/// How far behind a new key the old one's signature is looked for.
const NEARBY: usize = 8;

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
        text.map(|text| serde_json::from_str(&text).map_err(|error| DatabaseError::unreadable(self.path(), error)))
            .transpose()
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
        for recorded in self.events(Listing::from(position + 1, NEARBY))? {
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

    /// Lets the ledger begin anew with the act that records its new key.
    #[must_use]
    pub const fn begin(self) -> Acquiring<Self> {
        Acquiring::of(self)
    }
}

impl Acquiring<Restored> {
    /// The last event before the act.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last(&self) -> Result<Option<Cid>, ReadError> {
        let last = self.before.follower.store().events(Listing::newest(1))?.pop();
        Ok(last.map(|last| last.cid))
    }
}

impl Acquire for Restored {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn before(&self) -> Option<&Store> {
        Some(self.follower.store())
    }

    fn record(&self, act: Commit) -> Result<(Store, Vec<AppendedEvent>), CommitError<JournalError>> {
        let (store, options) = (self.follower.store(), &self.options);
        let token = Token::mint(store.identity.ledger_id, &options.path).map_err(CreateError::from)?;
        let nonce = token.nonce.clone();
        let events = self.follower.writer().run_one(move |session| {
            session.set_meta("writer", &nonce)?;
            session.remove_meta(RESTORED)?;
            session.commit(act)
        })?;
        token.write(&options.tokens).map_err(CreateError::from)?;
        // What the old key signed beyond this history is kept as evidence, and no longer binds the new one.
        let memory = store.memory();
        set_aside(memory.path()).map_err(|source| CreateError::Io {
            action: "setting aside",
            path: memory.path().to_owned(),
            source,
        })?;
        Ok((Store::open(options.clone()).map_err(CreateError::from)?, events))
    }
}

fn set_aside(memory: &Path) -> std::io::Result<()> {
    match fs::rename(memory, memory.with_extension("signed.before")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok(()),
        Ok(()) => sync_folder(folder_of(memory)),
    }
}
