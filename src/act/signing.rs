//! What signs in an act: the signers of its keys, and signatures over its events.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::advice::Explained;
use crate::events::{Bytes, EventAttested, EventData, Link, Party};
use crate::ids::KeyId;
use crate::keys::{self, KeyError, KeyRef, KeyRing, PublicFacts, SignError, Signer};
use crate::ledger::Command;
use crate::time::Timestamp;

/// The signers of the keys of an act.
pub struct Signers<'s> {
    keys: &'s mut dyn KeyRing,
    signed: &'s Signed,
}

impl<'s> Signers<'s> {
    pub(super) const fn new(keys: &'s mut dyn KeyRing, signed: &'s Signed) -> Self {
        Self { keys, signed }
    }

    /// The signer of a key. May ask for a passphrase, a PIN or a touch. Bytes that this act had the key sign before are not
    /// signed again, and a signature that does not hold is an error.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        let inner = keys::signer_of(self.keys, key)?;
        Ok(Arc::new(Remembering::new(key.key_id, inner, self.signed)))
    }
}

/// Why the signing step of an act failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// A key was not found.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What was to be signed, or came of it, is not acceptable.
    #[error("{0}")]
    Content(String),
    /// The use case can't have it signed.
    #[error("{0}")]
    Refused(Box<dyn Explained + Send + Sync>),
}

/// What an act has had signed, by key and hash of the bytes.
pub(super) type Signed = Arc<Mutex<HashMap<(KeyId, [u8; 32]), Vec<u8>>>>;

/// A signature that holds: what a faulty card gives is never recorded.
fn signed_truly(signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let (public, signature) = (signer.public(), signer.sign(message)?);
    keys::verify(public, message, &signature).map_err(|_| SignError::False(public.public_key.clone()))?;
    Ok(signature)
}

/// A signer that does not sign the same bytes twice, and lets no false signature through.
struct Remembering {
    key: KeyId,
    inner: Arc<dyn Signer>,
    signed: Signed,
}

impl Remembering {
    fn new(key: KeyId, inner: Arc<dyn Signer>, signed: &Signed) -> Self {
        Self { key, inner, signed: Arc::clone(signed) }
    }
}

impl Signer for Remembering {
    fn public(&self) -> &PublicFacts {
        self.inner.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let place = (self.key, Sha256::digest(message).into());
        if let Some(signature) = self.signed.lock().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Ok(signature.clone());
        }
        let signature = signed_truly(&*self.inner, message)?;
        self.signed.lock().unwrap_or_else(PoisonError::into_inner).insert(place, signature.clone());
        Ok(signature)
    }
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Who signs the events of an act.
#[derive(Debug, Clone)]
pub struct ActSigner {
    /// Who.
    pub party: Party,
    /// The key.
    pub key_id: KeyId,
    /// What signs.
    pub signer: Arc<dyn Signer>,
    /// What is signed.
    pub scope: Scope,
}

/// Which events of an act are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every event, by the person who acts.
    EveryEvent,
    /// The new key of a ledger, by the key before it.
    LedgerKey,
}

impl Scope {
    /// Whether an event is to be signed. Signatures themselves are not.
    pub(super) const fn signs(self, data: &EventData) -> bool {
        match self {
            Self::EveryEvent => !matches!(data, EventData::EventAttested(_)),
            Self::LedgerKey => matches!(data, EventData::LedgerKeyRotated(_)),
        }
    }

    /// What records a signature that was made at a time.
    pub(super) const fn command(self, attestation: EventAttested, at: Timestamp) -> Command {
        match self {
            Self::EveryEvent => Command::Attest { attestation, at },
            Self::LedgerKey => Command::VouchForLedgerKey(attestation),
        }
    }
}

impl ActSigner {
    /// The same, for one that does not sign again what an act has had signed.
    pub(super) fn remembering(&self, signed: &Signed) -> Self {
        let signer = Remembering::new(self.key_id, Arc::clone(&self.signer), signed);
        Self { signer: Arc::new(signer), ..self.clone() }
    }

    /// What a signature over an event says besides the signature.
    #[must_use]
    pub fn unsigned(&self, event: Link) -> EventAttested {
        let (signer, key_id, signature) = (self.party.clone(), self.key_id, Bytes::default());
        EventAttested { event, signer, key_id, algorithm: self.signer.public().algorithm, signature }
    }

    /// The signature over an event: over its content identifier's 36 bytes.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn attest(&self, event: Link) -> Result<EventAttested, SigningError> {
        let signature = signed_truly(&*self.signer, &event.cid().to_bytes())?;
        let too_long = || SigningError::Content("the signature is too long".to_owned());
        Ok(EventAttested { signature: Bytes::new(signature).ok_or_else(too_long)?, ..self.unsigned(event) })
    }
}

/// Something that is known when an act has been signed.
#[derive(Debug, Clone)]
pub struct Later<T>(std::rc::Rc<RefCell<Option<T>>>);

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self(std::rc::Rc::default())
    }
}

impl<T> Later<T> {
    /// Makes it known.
    pub fn set(&self, value: T) {
        *self.0.borrow_mut() = Some(value);
    }

    /// Takes it, once it is known.
    #[must_use]
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().take()
    }
}
