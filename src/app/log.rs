//! The transparency log: what is in it, proved; heads of others, cosigned; what others show, checked ([`check()`]).

mod check;
mod proved;
mod pushed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::KeyAlgorithm;
use crate::files::write_durably;
use crate::keys::Signer;
use crate::ledger::KeyFacts;
use crate::log::{DamagedMemory, LogProof, Memory, SignedCheckpoint, Subject, Update, VerifierKey, WitnessError};
use crate::session::heads::{LogError, own_keys};
use crate::store::{Recorded, Store, Which};
use crate::time::Timestamp;

pub use check::{Checked, Requirements, check};
pub use proved::{CheckError, CheckedEvent, ProvedEvent};
pub use pushed::{Pushed, prove_pushed};

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

impl Explained for CosignError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Witness(_) => ErrorKind::Verification,
            Self::Damaged { .. } | Self::Io { .. } | Self::Log(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Witness(error) => error.advice(),
            Self::Damaged { source, .. } => source.advice(),
            Self::Log(error) => error.advice(),
            Self::Io { .. } => Vec::new(),
        }
    }
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
