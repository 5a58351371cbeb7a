//! Checkpoints (C2SP tlog-checkpoint): the head of a log, signed.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::key::{Verified, VerifierKey};
use super::note::{KeyName, Note, NoteError, NoteSignature};
use super::tree::{NodeHash, ProofError};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::keys::Signer;
use crate::time::Timestamp;

/// Why a checkpoint is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The text is no signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is no checkpoint.
    #[error("this is no checkpoint (C2SP tlog-checkpoint): {0}")]
    Malformed(&'static str),
    /// The checkpoint is of another log.
    #[error("this checkpoint is of \"{found}\", and the key given is of \"{wanted}\"")]
    OtherOrigin {
        /// Whose the checkpoint is.
        found: KeyName,
        /// Whose it should be.
        wanted: KeyName,
    },
    /// The key is held by what may wait for a person or a device, and can't sign each append.
    #[error("the ledger's key {0} can't sign every append where it is kept")]
    Waits(String),
    /// The key did not sign it.
    #[error("the checkpoint of {size} events is not signed by {key}")]
    NotSigned {
        /// The checkpoint's size.
        size: u64,
        /// The key, in note form.
        key: String,
    },
    /// A signature names the key, and does not hold.
    #[error(
        "the signature of \"{name}\" under the checkpoint of {size} events is false: it was changed after it was signed"
    )]
    FalseSignature {
        /// The checkpoint's size.
        size: u64,
        /// Whose signature it claims to be.
        name: KeyName,
    },
    /// The secret is not the one of the key that should sign.
    #[error("the secret at hand is not that of {0}. Nothing was signed")]
    OtherSecret(String),
    /// The key did not sign.
    #[error("the key did not sign: {0}. Nothing was signed")]
    Unsigned(String),
    /// The tree that should be signed is not a continuation of one that was signed before.
    #[error("refused to sign: {0}")]
    Inconsistent(#[from] ProofError),
}

impl Explained for CheckpointError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Note(_)
            | Self::Malformed(_)
            | Self::OtherOrigin { .. }
            | Self::NotSigned { .. }
            | Self::FalseSignature { .. }
            | Self::OtherSecret(_)
            | Self::Inconsistent(_) => ErrorKind::Verification,
            Self::Waits(_) | Self::Unsigned(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Note(error) => error.advice(),
            Self::Malformed(_) => vec![Advice::Do("give the file as the ledger wrote it")],
            Self::OtherOrigin { .. } => vec![Advice::Do("give the key of that ledger")],
            Self::Waits(_) => vec![Advice::Run(Action::SignHead, "signs the head once")],
            Self::NotSigned { .. } => vec![
                Advice::Run(Action::ShowPublicKey, "shows the ledger's key where the ledger is"),
                Advice::Do("get that key on another way than the checkpoint came"),
            ],
            Self::FalseSignature { .. } | Self::OtherSecret(_) | Self::Unsigned(_) | Self::Inconsistent(_) => {
                Vec::new()
            }
        }
    }
}

/// The head of a log: which log, how many events, and the root of their tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: KeyName,
    /// How many events it has.
    pub size: u64,
    /// The root of the tree of that size.
    pub root: NodeHash,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root))
    }

    /// Signs the checkpoint with the ledger's key, whose name must be the origin.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn sign(&self, key: &VerifierKey, signer: &dyn Signer) -> Result<SignedCheckpoint, CheckpointError> {
        if *key.name() != self.origin {
            return Err(CheckpointError::OtherOrigin { found: self.origin.clone(), wanted: key.name().clone() });
        }
        let note = Note::new(self.text(), Vec::new())?;
        let mut signed = SignedCheckpoint { checkpoint: self.clone(), note };
        signed.add_signature(key, signer, Timestamp::now())?;
        Ok(signed)
    }
}

/// A checkpoint with its signatures, which are checked only by [`SignedCheckpoint::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// The head that is signed.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How many events the log had.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The signatures, checked or not.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        self.note.signatures()
    }

    /// Checks that a ledger's key signed this head of its log.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn verify(&self, key: &VerifierKey) -> Result<(), CheckpointError> {
        if *key.name() != self.checkpoint.origin {
            return Err(CheckpointError::OtherOrigin {
                found: self.checkpoint.origin.clone(),
                wanted: key.name().clone(),
            });
        }
        self.signed_by(key)?;
        Ok(())
    }

    /// Checks that a key, a ledger's or a witness's, signed this head. A signature that names the key and does not hold is
    /// an error of its own: the note was changed.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn signed_by(&self, key: &VerifierKey) -> Result<Verified, CheckpointError> {
        let size = self.checkpoint.size;
        let signature = self.note.signatures().iter().find(|one| key.is_named_by(one));
        let signature = signature.ok_or_else(|| CheckpointError::NotSigned { size, key: key.to_string() })?;
        key.verify(self.note.text(), signature)
            .ok_or_else(|| CheckpointError::FalseSignature { size, name: key.name().clone() })
    }

    /// Adds a signature by a key, at a time (which a ledger's signature does not carry).
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn add_signature(
        &mut self,
        key: &VerifierKey,
        signer: &dyn Signer,
        at: Timestamp,
    ) -> Result<(), CheckpointError> {
        if !key.is_of(signer) {
            return Err(CheckpointError::OtherSecret(key.to_string()));
        }
        let signature = key.sign(signer, self.note.text(), at);
        let signature = signature.map_err(|error| CheckpointError::Unsigned(error.to_string()))?;
        // A key may be in a device, which may be wrong.
        if key.verify(self.note.text(), &signature).is_none() {
            return Err(CheckpointError::FalseSignature { size: self.checkpoint.size, name: key.name().clone() });
        }
        Ok(self.note.add(signature)?)
    }

    /// Takes over the signatures of another copy of the same head.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn merge(&mut self, other: &Self) -> Result<(), CheckpointError> {
        if self.note.text() != other.note.text() {
            return Err(CheckpointError::Malformed("the signatures are of another head"));
        }
        other.signatures().iter().try_for_each(|signature| Ok(self.note.add(signature.clone())?))
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

impl FromStr for SignedCheckpoint {
    type Err = CheckpointError;

    /// Reads a signed note whose text is a checkpoint. Extension lines, which the specification advises against and no
    /// ledger of ours writes, are refused.
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let note: Note = text.parse()?;
        let mut lines = note.text().split_terminator('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed("it has not exactly three lines: origin, size and root"));
        };
        let origin = KeyName::new(origin)?;
        let size = decimal(size).ok_or(CheckpointError::Malformed("its size is no decimal number"))?;
        let root = hash(root).ok_or(CheckpointError::Malformed("its root is not 32 bytes in base64"))?;
        Ok(Self { checkpoint: Checkpoint { origin, size, root }, note })
    }
}

/// A decimal number without leading zeros, up to 2^53 - 1, the greatest position that a ledger counts to.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number < 1 << 53 && number.to_string() == text).then_some(number)
}

/// 32 bytes in base64.
pub(super) fn hash(text: &str) -> Option<NodeHash> {
    (text.len() == 44).then(|| BASE64_STANDARD.decode(text).ok()?.try_into().ok()).flatten()
}
