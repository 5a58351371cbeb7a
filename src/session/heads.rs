//! The head of the transparency log: the keys that may sign it, and signing it.

use std::sync::Arc;

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::keys::{KeyRef, Signer};
use crate::ledger::ViewError;
use crate::log::{CheckpointError, HeadSigner, InvalidKey, KeyChain, SignedCheckpoint, UnknownLedgerKey, VerifierKey};
use crate::store::{CheckpointStoreError, ReadError, Store, Which};

/// Why the head was not signed, or nothing could be proved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The ledger's key can't be parsed as an Ed25519 key.
    #[error("the ledger's key can't be parsed: {0}")]
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
        "the ledger's own key is not among its keys, so custody can't be asked for it: this ledger was made without custody"
    )]
    NoKey,
    /// A witness's key of another algorithm.
    #[error(
        "heads are cosigned with Ed25519, and key \"{}\" is of another algorithm",
        crate::text::visible(.0)
    )]
    NotEd25519(String),
    /// Only the revocation of a NATS user reaches servers by a push.
    #[error(
        "a push receipt says which servers hold the revocation of a NATS user, and this event is a {}",
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
    #[error("no signed head covers the event at position {position}: the last is of {signed} events")]
    Unsigned {
        /// The event's position.
        position: u64,
        /// The size of the last signed head; 0 when none was signed.
        signed: u64,
    },
    /// The checkpoint is not of this history.
    #[error(
        "the checkpoint of {size} events is not one of this history: either it is of another ledger, or one of the two was rewritten"
    )]
    OtherHistory {
        /// The checkpoint's size.
        size: u64,
    },
}

impl Explained for LogError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Empty | Self::Unsigned { .. } | Self::NotEd25519(_) => ErrorKind::Refused,
            Self::NoPush { .. } => ErrorKind::Usage,
            Self::OtherHistory { .. } | Self::Keep(_) => ErrorKind::Verification,
            Self::Key(_) | Self::Keys(_) | Self::Read(_) | Self::Checkpoint(_) | Self::View(_) | Self::NoKey => {
                ErrorKind::Failed
            }
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Key(error) => error.advice(),
            Self::Keys(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Keep(error) => error.advice(),
            Self::Checkpoint(error) => error.advice(),
            Self::View(_) | Self::NoKey | Self::Empty => Vec::new(),
            Self::NotEd25519(_) => vec![Advice::Run(Action::EnrollPersonEd25519, "makes an Ed25519 key")],
            Self::NoPush { .. } => vec![Advice::Do("leave --with-push out")],
            Self::Unsigned { .. } => vec![Advice::Run(Action::SignHead, "signs the head")],
            Self::OtherHistory { .. } => vec![Advice::KEEP_BOTH],
        }
    }
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
