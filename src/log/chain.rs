//! A ledger's keys, one after the other.
//!
//! A new key is recorded (`LedgerKeyRotated`), and right after it the old key's signature over that event's content
//! identifier (`EventAttested`). From that position on heads are signed with the new key, before it with the old one. A key
//! signs nothing after its end: so one that comes back from a backup can't sign a second history.
//!
//! Whoever trusts one key follows to the next only where the one before it vouched for it ([`KeyChain::see`]). Whoever has
//! the ledger itself knows all of its keys, vouched for or not ([`KeyChain::rotate`]).

use cid::Cid;

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::key::{InvalidKey, VerifierKey};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::{EventAttested, EventData, KeyEvent, LedgerCreated, LedgerKeyRotated};
use crate::ipld_support::decode_block;
use crate::text::PublicKey;

/// Why a rotation does not join on to the keys before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownLedgerKey {
    /// A key can't be parsed.
    #[error("its key can't be parsed: {0}")]
    Invalid(#[from] InvalidKey),
    /// It ends another key than the one that signs.
    #[error("it ends a key that is not the ledger's at that position")]
    OtherPrevious,
}

impl Explained for UnknownLedgerKey {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Invalid(error) => error.advice(),
            Self::OtherPrevious => Vec::new(),
        }
    }
}

/// The keys of a ledger, as far as they follow from the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Begins with the key that a history says it was made with.
    ///
    /// # Errors
    /// See [`InvalidKey`].
    pub fn of_ledger(created: &LedgerCreated) -> Result<Self, InvalidKey> {
        VerifierKey::of_ledger(&created.name, &created.public_key, &created.public_key).map(Self::new)
    }

    /// Takes the rotation that is recorded at a position, whoever vouches for it.
    ///
    /// # Errors
    /// See [`UnknownLedgerKey`].
    pub fn rotate(&mut self, position: u64, rotated: &LedgerKeyRotated) -> Result<(), UnknownLedgerKey> {
        let next = self.successor(rotated)?;
        self.keys.push((position, next));
        Ok(())
    }

    /// Takes notice of the event at a position; events come in order. A new key is taken once the one before it has
    /// vouched for it.
    pub fn see(&mut self, position: u64, cid: &Cid, event: &KeyEvent) {
        match &event.data {
            EventData::LedgerKeyRotated(rotated) => {
                if let Ok(next) = self.successor(rotated) {
                    self.pending = Some((*cid, position, next));
                }
            }
            EventData::EventAttested(attested) => {
                if let Some((rotation, from, next)) = &self.pending
                    && vouches(self.current(), rotation, attested)
                {
                    self.keys.push((*from, next.clone()));
                    self.pending = None;
                }
            }
            _ => {}
        }
    }

    /// As [`see`](Self::see), from the event's type and block, which is decoded only where it says something about keys.
    pub fn see_block(&mut self, position: u64, cid: &Cid, event_type: &str, block: &[u8]) {
        let of_keys = match event_type {
            "LedgerKeyRotated" => true,
            "EventAttested" => self.pending.is_some(),
            _ => false,
        };
        if of_keys && let Ok(event) = decode_block(block) {
            self.see(position, cid, &event);
        }
    }

    fn successor(&self, rotated: &LedgerKeyRotated) -> Result<VerifierKey, UnknownLedgerKey> {
        let current = self.current();
        match current.with_key(&rotated.previous_public_key) {
            Ok(previous) if previous == *current => Ok(current.with_key(&rotated.public_key)?),
            _ => Err(UnknownLedgerKey::OtherPrevious),
        }
    }

    /// The key that signs now.
    #[must_use]
    pub fn current(&self) -> &VerifierKey {
        &self.keys[self.keys.len() - 1].1
    }

    /// The keys, each with the smallest head that it signs, in order.
    #[must_use]
    pub fn keys(&self) -> &[(u64, VerifierKey)] {
        &self.keys
    }

    /// Whether it is one of the keys, as events write them.
    #[must_use]
    pub fn names(&self, public_key: &str) -> bool {
        let key = PublicKey::new(public_key).ok().and_then(|key| self.current().with_key(&key).ok());
        key.is_some_and(|key| self.keys.iter().any(|(_, known)| *known == key))
    }

    /// The key that signs the head of a size.
    #[must_use]
    pub fn at(&self, size: u64) -> &VerifierKey {
        let turn = self.keys.iter().rev().find(|(from, _)| *from <= size);
        // The first key's turn begins at 0.
        turn.map_or(&self.keys[0].1, |(_, key)| key)
    }

    /// Checks that a checkpoint is signed with the key whose turn it was.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn verify(&self, checkpoint: &SignedCheckpoint) -> Result<(), CheckpointError> {
        checkpoint.verify(self.at(checkpoint.size()))
    }
}

/// Whether this is the signature with which a key vouches for the one that takes its place.
#[must_use]
pub(crate) fn vouches(key: &VerifierKey, rotation: &Cid, attested: &EventAttested) -> bool {
    attested.event.cid() == rotation && key.signed_bytes(&rotation.to_bytes(), attested.signature.as_slice())
}
