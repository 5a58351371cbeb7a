//! A ledger's keys, one after the other: whoever trusts one follows to the next, if the one before it vouched for it.
//!
//! A new key is recorded (`LedgerKeyRotated`), and right after it the old key's signature over that event's content
//! identifier (`EventAttested`). From that position on heads are signed with the new key, before it with the old one. A
//! key that nobody vouched for is not followed, and a key signs nothing after its end: so one that comes back from a
//! backup can't sign a second history.

use cid::Cid;

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::key::VerifierKey;
use crate::events::{EventData, KeyEvent};

/// The keys of a ledger, as far as they follow from one that is trusted.
#[derive(Debug, Clone)]
pub struct KeyChain {
    /// Each with the smallest head that it signs.
    keys: Vec<(u64, VerifierKey)>,
    /// A key that is recorded, and that nobody has vouched for yet.
    pending: Option<(Cid, u64, VerifierKey)>,
}

impl KeyChain {
    /// Begins with a key that is trusted.
    #[must_use]
    pub fn new(key: VerifierKey) -> Self {
        Self { keys: vec![(0, key)], pending: None }
    }

    /// Keys that are known to be a ledger's, each with the position from which on it signs, in order.
    #[must_use]
    pub fn recorded(first: VerifierKey, later: Vec<(u64, VerifierKey)>) -> Self {
        Self { keys: std::iter::once((0, first)).chain(later).collect(), pending: None }
    }

    /// Takes notice of the event at a position; events come in order.
    pub fn see(&mut self, position: u64, cid: &Cid, event: &KeyEvent) {
        let current = self.current();
        match &event.data {
            EventData::LedgerKeyRotated(rotated) => {
                let is = |key: &VerifierKey| key.bytes() == current.bytes();
                if current.with_key(&rotated.previous_public_key).is_ok_and(|previous| is(&previous))
                    && let Ok(next) = current.with_key(&rotated.public_key)
                {
                    self.pending = Some((*cid, position, next));
                }
            }
            EventData::EventAttested(attested) => {
                if let Some((rotation, from, next)) = &self.pending
                    && attested.event.cid() == rotation
                    && current.signed_bytes(&rotation.to_bytes(), attested.signature.as_slice())
                {
                    self.keys.push((*from, next.clone()));
                    self.pending = None;
                }
            }
            _ => {}
        }
    }

    /// The key that signs now.
    #[must_use]
    pub fn current(&self) -> &VerifierKey {
        &self.keys[self.keys.len() - 1].1
    }

    /// The keys, each with the smallest head that it signs.
    #[must_use]
    pub fn keys(&self) -> &[(u64, VerifierKey)] {
        &self.keys
    }

    /// Checks that a checkpoint is signed with the key whose turn it was.
    pub fn verify(&self, checkpoint: &SignedCheckpoint) -> Result<(), CheckpointError> {
        let turn = self.keys.iter().rev().find(|(from, _)| *from <= checkpoint.size());
        // The first key's turn begins at 0.
        checkpoint.verify(turn.map_or(&self.keys[0].1, |(_, key)| key))
    }
}
