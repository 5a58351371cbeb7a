//! What signs heads.

use std::fmt;
use std::sync::Arc;

use super::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use super::key::VerifierKey;
use super::tree::NodeHash;
use crate::keys::Signer;

/// A ledger's key as what signs heads, and nothing else.
#[derive(Clone)]
pub struct HeadSigner {
    key: VerifierKey,
    signer: Arc<dyn Signer>,
}

impl HeadSigner {
    /// Puts the halves together.
    ///
    /// # Errors
    /// When they do not belong together, or when the signer may wait: heads are signed within the transaction that appends.
    pub fn new(key: VerifierKey, signer: Arc<dyn Signer>) -> Result<Self, CheckpointError> {
        if !key.is_of(&*signer) {
            return Err(CheckpointError::OtherSecret(key.to_string()));
        }
        if signer.waits() {
            return Err(CheckpointError::Waits(key.to_string()));
        }
        Ok(Self { key, signer })
    }

    /// The public half.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs a head. The caller has made sure that it continues every head that was signed before.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn sign(&self, size: u64, root: NodeHash) -> Result<SignedCheckpoint, CheckpointError> {
        Checkpoint { origin: self.key.name().clone(), size, root }.sign(&self.key, &*self.signer)
    }
}

impl fmt::Debug for HeadSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadSigner({})", self.key)
    }
}
