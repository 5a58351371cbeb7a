//! A store as the journal of the pipeline.

use super::{AppendError, CheckpointStoreError, JournalError, ReadError, Store, Which};
use crate::act::{AppendedEvent, Commit, CommitError, Head, Journal, Tip};
use crate::events::EventData;
use crate::keys::{KeyRef, Signer};
use crate::ledger::{Facts, NameKey, View};
use crate::log::{Checkpoint, InvalidKey, SignedCheckpoint, VerifierKey};
use crate::text::PublicKey;
use crate::time::Timestamp;

impl Journal for Store {
    type Error = JournalError;

    fn writable(&self) -> Result<(), JournalError> {
        Ok(Store::writable(self).map_err(AppendError::from)?)
    }

    fn tip(&self) -> Result<Tip, JournalError> {
        self.end_of_log()
    }

    fn view<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, JournalError> {
        Ok(Store::view(self, look)?)
    }

    fn commit(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        let writing = self.writing.as_ref().map_err(|reason| AppendError::from(reason.clone()))?;
        Ok(writing.group.submit(&writing.writer, Box::new(move |session| session.commit(act)))?)
    }

    fn ledger_key(&self) -> Result<Option<KeyRef>, JournalError> {
        Ok(self.own_key()?)
    }

    fn sign_head(&self, signer: &dyn Signer) -> Result<u64, JournalError> {
        Ok(Store::sign_head(self, signer)?.map_or(0, |signed| signed.size()))
    }

    fn is_contradiction(error: &JournalError) -> bool {
        error.is_contradiction()
    }

    fn head(&self) -> Result<Head, JournalError> {
        let (signed, events) = (self.latest_checkpoint()?, self.end()?);
        let signed = signed.as_ref().map_or(0, SignedCheckpoint::size);
        match events.saturating_sub(signed) {
            0 => Ok(Head::Signed { events }),
            unsigned => Ok(Head::Unsigned { events: unsigned }),
        }
    }
}

impl Store {
    /// The end of the log, whatever the right to write.
    pub(super) fn end_of_log(&self) -> Result<Tip, JournalError> {
        let newest = self.reader.with(|log| log.newest())?;
        let (position, last) = newest.map_or((0, None), |(position, micros)| (position, Some(micros)));
        let damaged = || ReadError::Damaged { position, detail: "its time is out of range".to_owned() };
        let last = last.map(|micros| Timestamp::from_unix_micros(micros).ok_or_else(damaged)).transpose()?;
        Ok(Tip { position, last, now: (self.options.clock)() })
    }

    /// The ledger's own key, as a key ring is asked for it; `None` where it is not among its keys.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn own_key(&self) -> Result<Option<KeyRef>, ReadError> {
        // While the ledger is open, its key stays the same, and what is recorded of it.
        if let Some(key) = self.ledger_key.get() {
            return Ok(Some(key.clone()));
        }
        let public_key = self.identity.public_key.clone();
        let found = Store::view(self, |view| view.find(&NameKey::public_key(&public_key), 1))?;
        let found = found.map_err(|error| ReadError::Damaged { position: 0, detail: error.to_string() })?;
        let key = found.into_iter().find_map(|entity| match entity.facts {
            Facts::Key(key) => Some(key),
            _ => None,
        });
        let key = key.map(|key| KeyRef { key_id: key.key_id, public_key, compartment: key.compartment });
        Ok(key.map(|key| self.ledger_key.get_or_init(|| key).clone()))
    }

    /// Signs the head of what is recorded with the ledger's own key. A head that is signed already is given back as it is; one
    /// that does not continue what was signed before is refused. Nothing for a ledger without events.
    ///
    /// # Errors
    /// See [`CheckpointStoreError`].
    pub fn sign_head(&self, signer: &dyn Signer) -> Result<Option<SignedCheckpoint>, CheckpointStoreError> {
        self.check_signed()?;
        let key = self.verifier_key()?;
        let (size, root) = Store::head(self)?;
        if size == 0 {
            return Ok(None);
        }
        if let Some(there) = self.checkpoint(size)?
            && there.verify(&key).is_ok()
        {
            return Ok(Some(there));
        }
        let head = Checkpoint { origin: key.name().clone(), size, root };
        Ok(Some(self.keep_checkpoint(&head.sign(&key, signer)?)?))
    }

    /// The key with which the ledger signs its heads now, as those check it who never saw the ledger.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn verifier_key(&self) -> Result<VerifierKey, ReadError> {
        self.first_key()?.with_key(&self.identity.public_key).map_err(not_a_key)
    }

    /// The key that the ledger was made with. Its name, the origin, stays when the key changes.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn first_key(&self) -> Result<VerifierKey, ReadError> {
        let first = self.event(&Which::Position(1))?.event()?;
        let key: &PublicKey = match &first.data {
            EventData::LedgerCreated(created) => &created.public_key,
            _ => &self.identity.public_key,
        };
        VerifierKey::of_ledger(&self.identity.name, key, key).map_err(not_a_key)
    }
}

fn not_a_key(error: InvalidKey) -> ReadError {
    ReadError::Damaged { position: 1, detail: error.to_string() }
}
