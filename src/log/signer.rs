//! What signs heads.

use std::fmt;

use ed25519_dalek::SigningKey;

use super::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use super::key::VerifierKey;
use super::tree::NodeHash;

/// A ledger's key with its private half: it signs heads and nothing else.
pub struct HeadSigner {
    key: VerifierKey,
    secret: SigningKey,
}

impl HeadSigner {
    /// Puts the halves together.
    ///
    /// # Errors
    /// When they do not belong together.
    pub fn new(key: VerifierKey, secret: SigningKey) -> Result<Self, CheckpointError> {
        if secret.verifying_key().to_bytes() != key.bytes() {
            return Err(CheckpointError::OtherSecret(key.to_string()));
        }
        Ok(Self { key, secret })
    }

    /// The public half.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs a head. Whoever asks has made sure that it continues every head that was signed before.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn sign(&self, size: u64, root: NodeHash) -> Result<SignedCheckpoint, CheckpointError> {
        Checkpoint { origin: self.key.name().clone(), size, root }.sign(&self.key, &self.secret)
    }
}

impl fmt::Debug for HeadSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadSigner({})", self.key)
    }
}
