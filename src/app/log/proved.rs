//! Events that are proved to be in a log, and why something that was shown does not hold.

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::events::KeyEvent;
use crate::ipld_support::DecodeError;
use crate::log::{CheckpointError, PolicyError, ProofError, ProofFileError};
use crate::time::Timestamp;

/// Why something that was shown does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The file cannot be parsed, or its checkpoint is not signed by the ledger.
    #[error(transparent)]
    File(#[from] ProofFileError),
    /// The checkpoint is not signed as it should be.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead where they should.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Too few witnesses signed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The event in the proof cannot be parsed.
    #[error("the event in the proof cannot be parsed: {0}")]
    Event(#[from] DecodeError),
    /// The proof does not hold the event, only its content identifier.
    #[error("the proof names the event and does not hold it, so its time is not known")]
    NotDisclosed,
    /// A further event in the file has nothing to do with the first.
    #[error(
        "the event at position {position} in the file says nothing about the first one: neither that a token carries that revocation nor that servers hold it"
    )]
    Unrelated {
        /// Its position.
        position: u64,
    },
    /// The proofs in the file lead to different heads.
    #[error("the proofs in the file lead to different heads")]
    OtherHead,
    /// The event is not earlier than the date.
    #[error("the event is of {at}, which is not before {before}")]
    Later {
        /// The event's time.
        at: Timestamp,
        /// The date that was asked about.
        before: Timestamp,
    },
    /// Nobody but the ledger vouches for the date.
    #[error(
        "the event says {at}, but {witness} saw it only at {seen}, which is not before {before}: only the ledger itself vouches for the earlier time"
    )]
    SeenLater {
        /// The event's time.
        at: Timestamp,
        /// The witness.
        witness: String,
        /// When it signed.
        seen: Timestamp,
        /// The date that was asked about.
        before: Timestamp,
    },
    /// A consistency proof needs the earlier checkpoint.
    #[error("this is a proof that one head continues another, and the other is missing")]
    FromNeeded,
    /// A consistency proof begins at another size than the earlier checkpoint has.
    #[error(
        "the proof begins at {old_size} events, and the earlier checkpoint has {size}: they do not belong together"
    )]
    OtherSize {
        /// Where the proof begins.
        old_size: u64,
        /// The earlier checkpoint's size.
        size: u64,
    },
}

impl Explained for CheckError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::FromNeeded => ErrorKind::Usage,
            Self::File(_)
            | Self::Checkpoint(_)
            | Self::Proof(_)
            | Self::Policy(_)
            | Self::Event(_)
            | Self::NotDisclosed
            | Self::Unrelated { .. }
            | Self::OtherHead
            | Self::Later { .. }
            | Self::SeenLater { .. }
            | Self::OtherSize { .. } => ErrorKind::Verification,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NotDisclosed => vec![Advice::Run(Action::ProveEvent, "makes a proof that holds it: ask for that")],
            Self::Unrelated { .. } | Self::OtherHead => vec![Advice::Do("ask for the file again")],
            Self::FromNeeded => vec![Advice::Do("give it with --from CHECKPOINT")],
            Self::File(error) => error.advice(),
            Self::Checkpoint(error) => error.advice(),
            Self::Policy(error) => error.advice(),
            Self::Proof(_) | Self::Event(_) | Self::Later { .. } | Self::SeenLater { .. } | Self::OtherSize { .. } => {
                Vec::new()
            }
        }
    }
}

/// An event that is proved to be in a log.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedEvent {
    /// Its position, from 1.
    pub position: u64,
    /// Its content identifier.
    pub cid: cid::Cid,
    /// The event, if the proof holds it.
    pub event: Option<ProvedEvent>,
}

/// An event that came with its proof.
#[derive(Debug, Clone, PartialEq)]
pub struct ProvedEvent {
    /// The event.
    pub event: KeyEvent,
    /// Its canonical block.
    pub block: Vec<u8>,
}
