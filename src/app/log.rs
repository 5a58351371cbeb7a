//! The transparency log: signing its head, proving what is in it, checking what others show ([`check()`]).

mod check;
mod pushed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::events::KeyAlgorithm;
use crate::files::write_durably;
use crate::keys::{KeyRef, Signer};
use crate::ledger::{KeyFacts, ViewError};
use crate::log::{
    CheckpointError, DamagedMemory, HeadSigner, InvalidKey, KeyChain, LogProof, Memory, SignedCheckpoint, Subject,
    UnknownLedgerKey, Update, VerifierKey, WitnessError,
};
use crate::store::{CheckpointStoreError, ReadError, Recorded, Store, Which};
use crate::time::Timestamp;

pub use check::{CheckError, Checked, CheckedEvent, ProvedEvent, Requirements, check};
pub use pushed::{Pushed, prove_pushed};

/// Why the head was not signed, or nothing could be proved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The ledger's key does not read as an Ed25519 key.
    #[error("the ledger's key does not read: {0}")]
    Key(#[from] InvalidKey),
    /// The ledger's keys do not follow from one another.
    #[error("the ledger's keys do not follow from one another: {0}")]
    Keys(#[from] UnknownLedgerKey),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new head is not a continuation of one that was signed, or could not be kept.
    #[error(transparent)]
    Keep(#[from] CheckpointStoreError),
    /// The secret is not the ledger's, or the checkpoint of another ledger.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tables of entities could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// No key of the ledger is recorded as its own.
    #[error(
        "the ledger's own key is not among its keys, so custody can't be asked for it: this ledger was not made by `cim-keys init`"
    )]
    NoKey,
    /// A witness's key of another algorithm.
    #[error(
        "heads are cosigned with Ed25519, and key \"{}\" is of another algorithm; make one with `cim-keys person enroll --algorithm ed25519`",
        crate::text::visible(.0)
    )]
    NotEd25519(String),
    /// Only the revocation of a NATS user reaches servers by a push.
    #[error(
        "a push receipt says which servers hold the revocation of a NATS user, and this event is a {}; leave --with-push out",
        crate::text::visible(event_type)
    )]
    NoPush {
        /// The event's type.
        event_type: String,
    },
    /// There is nothing to sign.
    #[error("the ledger has no events yet, so there is no head to sign")]
    Empty,
    /// No signed head covers the event.
    #[error(
        "no signed head covers the event at position {position}: the last is of {signed} events; sign the head with `cim-keys log checkpoint --sign`"
    )]
    Unsigned {
        /// The event's position.
        position: u64,
        /// The size of the last signed head; 0 when none was signed.
        signed: u64,
    },
    /// The checkpoint is not of this history.
    #[error(
        "the checkpoint of {size} events is not one of this history: either it is of another ledger, or one of the two was rewritten; keep both, they are the evidence"
    )]
    OtherHistory {
        /// The checkpoint's size.
        size: u64,
    },
}

/// All keys of the ledger, as it records them itself: whoever has the ledger knows them, vouched for or not.
///
/// # Errors
/// See [`LogError`].
pub fn own_keys(store: &Store) -> Result<KeyChain, LogError> {
    let mut chain = KeyChain::new(store.first_key()?);
    for rotation in store.rotations()? {
        chain.rotate(rotation.position, &rotation.rotated)?;
    }
    Ok(chain)
}

/// The keys of the ledger that follow from one of them, each vouched for by the one before it.
///
/// # Errors
/// See [`LogError`].
pub fn key_chain(store: &Store, from: VerifierKey) -> Result<KeyChain, LogError> {
    let mut chain = KeyChain::new(from);
    for rotation in store.rotations()? {
        chain.see(rotation.position, &rotation.cid, &store.event(&Which::Position(rotation.position))?.event()?);
        if let Some((position, cid, _)) = rotation.attested {
            chain.see(position, &cid, &store.event(&Which::Position(position))?.event()?);
        }
    }
    Ok(chain)
}

/// The ledger's own key, as a key ring is asked for it.
///
/// # Errors
/// [`LogError::NoKey`] for a ledger whose key is not among its keys; otherwise when it can't be read.
pub fn ledger_key(store: &Store) -> Result<KeyRef, LogError> {
    store.own_key()?.filter(|key| key.compartment.is_some()).ok_or(LogError::NoKey)
}

/// Signs the head of every append from here on.
///
/// # Errors
/// When it is not the ledger's own key that signs, or the ledger is open for reading only.
pub fn sign_every_head(store: &Store, signer: Arc<dyn Signer>) -> Result<(), LogError> {
    store.sign_heads(Some(HeadSigner::new(store.verifier_key()?, signer)?))?;
    Ok(())
}

/// What is signed, and what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The newest signed head.
    pub signed: Option<SignedCheckpoint>,
    /// How many events there are.
    pub events: u64,
}

impl Head {
    /// How many events no signed head covers.
    #[must_use]
    pub fn unsigned(&self) -> u64 {
        self.events.saturating_sub(self.signed.as_ref().map_or(0, SignedCheckpoint::size))
    }
}

/// Looks up what is signed.
///
/// # Errors
/// See [`LogError`].
pub fn head(store: &Store) -> Result<Head, LogError> {
    Ok(Head { signed: store.latest_checkpoint()?, events: store.end()? })
}

/// Signs the head of what is recorded with the ledger's own key. A head that is signed already is given back as it is; one that
/// does not continue what was signed before is refused.
///
/// # Errors
/// See [`LogError`].
pub fn sign_head(store: &Store, signer: &dyn Signer) -> Result<SignedCheckpoint, LogError> {
    store.sign_head(signer)?.ok_or(LogError::Empty)
}

/// Keeps the signatures that a witness put under a head of this ledger.
///
/// # Errors
/// See [`LogError`].
pub fn keep_cosigned(store: &Store, checkpoint: &SignedCheckpoint) -> Result<SignedCheckpoint, LogError> {
    own_keys(store)?.verify(checkpoint)?;
    Ok(store.keep_checkpoint(checkpoint)?)
}

/// Checks that a checkpoint which came on another way is one of this history, signed by this ledger.
///
/// # Errors
/// See [`LogError`].
pub fn check_against(store: &Store, checkpoint: &SignedCheckpoint) -> Result<(), LogError> {
    own_keys(store)?.verify(checkpoint)?;
    let size = checkpoint.size();
    if size > store.end()? || store.root(Some(size))?.1 != checkpoint.checkpoint().root {
        return Err(LogError::OtherHistory { size });
    }
    Ok(())
}

/// Why a witness did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CosignError {
    /// What was shown is not to be signed.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The memory of what was signed does not read.
    #[error("{}: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DamagedMemory,
    },
    /// The memory could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// This ledger's own key can't be used.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Who signs other ledgers' heads: a ledger, or a person.
#[derive(Debug, Clone)]
pub struct Witness {
    key: VerifierKey,
    signer: Arc<dyn Signer>,
}

impl Witness {
    /// A ledger, under its own key.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn ledger(store: &Store, signer: Arc<dyn Signer>) -> Result<Self, LogError> {
        Ok(Self { key: store.verifier_key()?.as_witness(), signer })
    }

    /// A person, under the key that signs their acts; it must be an Ed25519 key.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn person(key: &KeyFacts, signer: Arc<dyn Signer>) -> Result<Self, LogError> {
        Ok(Self { key: witness_key(key)?, signer })
    }
}

/// The key under which a person signs heads as a witness: named after the key, and after the first 16 hexadecimal digits of
/// the SHA-256 of its public half, as a ledger's.
///
/// # Errors
/// See [`LogError`].
pub fn witness_key(key: &KeyFacts) -> Result<VerifierKey, LogError> {
    if key.algorithm != KeyAlgorithm::Ed25519 {
        return Err(LogError::NotEd25519(key.name.to_string()));
    }
    Ok(VerifierKey::of_ledger(&key.name, &key.public_key, &key.public_key)?.as_witness())
}

/// Signs another log's head, if it continues what this witness saw of that log before. What was seen is remembered in a
/// file, durably, before the signature is given out.
///
/// # Errors
/// See [`CosignError`].
pub fn cosign(
    witness: &Witness,
    memory: &Path,
    update: &Update,
    log: &VerifierKey,
    at: Timestamp,
) -> Result<SignedCheckpoint, CosignError> {
    let io = |source| CosignError::Io { path: memory.to_owned(), source };
    let mut seen: Memory = match std::fs::read_to_string(memory) {
        Ok(text) => text.parse().map_err(|source| CosignError::Damaged { path: memory.to_owned(), source })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Memory::default(),
        Err(source) => return Err(io(source)),
    };
    let signed = seen.cosign(update, log, &witness.key, &*witness.signer, at)?;
    write_durably(memory, seen.to_string().as_bytes(), true).map_err(io)?;
    Ok(signed)
}

/// What a proof discloses of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disclose {
    /// The content identifier only.
    Cid,
    /// The whole event.
    Event,
}

/// Proves that an event is in the log, under the newest signed head that covers it.
///
/// # Errors
/// See [`LogError`].
pub fn prove(store: &Store, which: &Which, disclose: Disclose) -> Result<LogProof, LogError> {
    prove_to(store, which, disclose, store.latest_checkpoint()?)
}

fn prove_to(
    store: &Store,
    which: &Which,
    disclose: Disclose,
    signed: Option<SignedCheckpoint>,
) -> Result<LogProof, LogError> {
    let Recorded { position, cid, block, .. } = store.event(which)?;
    let unsigned = |signed| LogError::Unsigned { position, signed };
    let checkpoint = signed.ok_or_else(|| unsigned(0))?;
    if checkpoint.size() < position {
        return Err(unsigned(checkpoint.size()));
    }
    let hashes = store.prove_inclusion(position, checkpoint.size())?;
    let subject = match disclose {
        Disclose::Cid => Subject::Cid(cid),
        Disclose::Event => Subject::Block(block),
    };
    Ok(LogProof { subject, index: position - 1, hashes, checkpoint })
}

/// Proves that the newest signed head continues an earlier checkpoint; from nothing when there is none.
///
/// # Errors
/// See [`LogError`].
pub fn consistency(store: &Store, from: Option<&SignedCheckpoint>) -> Result<Update, LogError> {
    let checkpoint = store.latest_checkpoint()?.ok_or(LogError::Unsigned { position: 1, signed: 0 })?;
    let Some(from) = from.map(SignedCheckpoint::checkpoint).filter(|from| from.size > 0) else {
        return Ok(Update { old_size: 0, hashes: Vec::new(), checkpoint });
    };
    if from.size > checkpoint.size() {
        return Err(LogError::OtherHistory { size: from.size });
    }
    let hashes = store.prove_consistency(from.size, checkpoint.size())?;
    let update = Update { old_size: from.size, hashes, checkpoint };
    update.check(&from.root).map_err(|_| LogError::OtherHistory { size: from.size })?;
    Ok(update)
}
