//! What a witness does: it remembers the last head of a log that it saw, and signs only what continues it.

use std::fmt;
use std::str::FromStr;

use super::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, decimal, hash};
use super::key::VerifierKey;
use super::note::KeyName;
use super::proof::Update;
use super::tree::ProofError;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::keys::Signer;
use crate::time::Timestamp;

/// Why a witness does not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The checkpoint is not one of the log that is witnessed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log showed a smaller head than before.
    #[error("the checkpoint has {size} events, and {seen} were seen before")]
    Older {
        /// What was shown.
        size: u64,
        /// What was seen before.
        seen: u64,
    },
    /// No proof, or one from another size than that which was seen.
    #[error("a proof from {seen} events on is needed, because that head was signed before")]
    ProofNeeded {
        /// What was seen before.
        seen: u64,
    },
    /// The head does not continue what was signed before: two histories.
    #[error("this ledger shows two histories, and nothing was signed: {problem}")]
    Fork {
        /// What does not agree.
        problem: ProofError,
    },
}

impl Explained for WitnessError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Verification
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Checkpoint(error) => error.advice(),
            Self::Older { .. } => vec![Advice::Do("ask for a newer one, and find out why an old one was sent")],
            Self::ProofNeeded { .. } => vec![Advice::Run(Action::ProveConsistency, "makes one")],
            Self::Fork { .. } => vec![Advice::Do("keep both checkpoints: they are the evidence")],
        }
    }
}

/// The heads that a witness remembers. Its text, which is kept on disk, has a line for each log: origin, size, root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory(Vec<Checkpoint>);

impl Memory {
    /// The last head of a log that was signed.
    #[must_use]
    pub fn of(&self, origin: &KeyName) -> Option<&Checkpoint> {
        self.0.iter().find(|head| head.origin == *origin)
    }

    /// Signs a head of the log that `log` names, and remembers it. The memory must be on disk before the signature leaves
    /// the house: a witness that forgets is none.
    ///
    /// # Errors
    /// See [`WitnessError`].
    pub fn cosign(
        &mut self,
        update: &Update,
        log: &VerifierKey,
        key: &VerifierKey,
        signer: &dyn Signer,
        at: Timestamp,
    ) -> Result<SignedCheckpoint, WitnessError> {
        update.checkpoint.verify(log)?;
        let head = update.checkpoint.checkpoint();
        if let Some(seen) = self.of(&head.origin) {
            match head.size {
                size if size < seen.size => return Err(WitnessError::Older { size, seen: seen.size }),
                size if size == seen.size && head.root != seen.root => {
                    let problem = ProofError::Consistency { old_size: size, size };
                    return Err(WitnessError::Fork { problem });
                }
                size if size > seen.size && seen.size > 0 => {
                    if update.old_size != seen.size {
                        return Err(WitnessError::ProofNeeded { seen: seen.size });
                    }
                    update.check(&seen.root).map_err(|problem| WitnessError::Fork { problem })?;
                }
                _ => {}
            }
        }
        let mut signed = update.checkpoint.clone();
        signed.add_signature(key, signer, at)?;
        self.0.retain(|seen| seen.origin != head.origin);
        self.0.push(head.clone());
        Ok(signed)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use base64::prelude::{BASE64_STANDARD, Engine};
        self.0
            .iter()
            .try_for_each(|head| writeln!(f, "{} {} {}", head.origin, head.size, BASE64_STANDARD.encode(head.root)))
    }
}

/// The memory of a witness on disk can't be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the witness's memory is damaged, and nothing is signed without it")]
pub struct DamagedMemory {
    /// The line, from 1.
    pub line: usize,
}

impl Explained for DamagedMemory {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        vec![Advice::Do("put the file back from a backup")]
    }
}

impl FromStr for Memory {
    type Err = DamagedMemory;

    fn from_str(text: &str) -> Result<Self, DamagedMemory> {
        let read = |(number, line): (usize, &str)| {
            let mut parts = line.split(' ');
            let head = match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(origin), Some(size), Some(root), None) => KeyName::new(origin)
                    .ok()
                    .zip(decimal(size))
                    .zip(hash(root))
                    .map(|((origin, size), root)| Checkpoint { origin, size, root }),
                _ => None,
            };
            head.ok_or(DamagedMemory { line: number + 1 })
        };
        text.lines().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }
}
