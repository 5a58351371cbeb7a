//! What a private key is to everything outside of `keys` and `custody`: something that signs ([`Signer`]) or opens
//! ([`Opener`]), found or made by a [`KeyRing`]. Where its secret is, in a file, an agent, a card or an HSM, only the
//! implementation knows, and whether it can leave at all.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::kind::{KeyKind, PublicFacts};
use super::secret::SecretBytes;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::ids::KeyId;
use crate::text::{Label, PublicKey};

/// A key that signs.
///
/// Signing may be slow or ask a person (a touch, a PIN): it is never called within a write transaction, except for a signer
/// that [waits for nothing](Signer::waits) and signs heads as the log grows ([`crate::log::HeadSigner`]). A signer is shared
/// between threads; one that does one thing at a time, as a card does, locks.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The public half.
    fn public(&self) -> &PublicFacts;

    /// Signs bytes. Ed25519 gives 64 bytes (RFC 8032); P-256 hashes with SHA-256 and gives a DER `ECDSA-Sig-Value`
    /// (RFC 3279).
    ///
    /// # Errors
    /// See [`SignError`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// Whether a signature may wait for a person, a device or another process. Only a key in this process's memory says no.
    fn waits(&self) -> bool {
        true
    }
}

/// Why a key did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key can't sign.
    #[error("an X25519 key agrees on keys and can't sign")]
    CannotSign,
    /// What came back is no signature of the key over the bytes.
    #[error("what came back is no signature of key {0} over what was to be signed, so nothing was recorded")]
    False(PublicKey),
    /// What holds the key did not sign.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
}

impl Explained for SignError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::CannotSign => vec![Advice::Do("choose an Ed25519 or P-256 key")],
            Self::False(_) => vec![Advice::Do("check what holds the key")],
            Self::Failed(_) => Vec::new(),
        }
    }
}

/// A key that opens what was sealed to it.
pub trait Opener: Send + Sync + fmt::Debug {
    /// Opens a sealed file: an age file, or a NATS xkey box ([`crate::keys::xkey`]).
    ///
    /// # Errors
    /// See [`UnsealError`].
    fn open(&self, sealed: &[u8]) -> Result<SecretBytes, UnsealError>;
}

/// Why something stays sealed. Never holds any of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnsealError {
    /// It is no file of the kind that this key opens.
    #[error("this is no file that the key can open: {0}")]
    Form(&'static str),
    /// It is sealed to another key.
    #[error("the file is sealed to another key{}", recipient.as_ref().map(|it| format!(": \"{}\"", crate::text::visible(it))).unwrap_or_default())]
    Recipient {
        /// To whom it is sealed, where it says so.
        recipient: Option<String>,
    },
    /// It was changed, or cut off.
    #[error("the file does not open: it was changed, or cut off")]
    Closed,
}

/// A recorded key, as a key ring is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRef {
    /// Its identifier.
    pub key_id: KeyId,
    /// The public half, as it is recorded: a key ring gives no other key.
    pub public_key: PublicKey,
    /// The compartment that holds the private half; absent where only the public half is known.
    pub compartment: Option<Label>,
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// Of which kind.
    pub kind: KeyKind,
    /// The compartment that is to hold it.
    pub compartment: Label,
}

/// A key that is in a key ring, and not recorded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its identifier.
    pub key_id: KeyId,
    /// The public half.
    pub public: PublicFacts,
    /// The compartment that is to hold it.
    pub compartment: Label,
}

impl NewKey {
    /// The key, as a key ring is asked for it.
    #[must_use]
    pub fn reference(&self) -> KeyRef {
        let (public_key, compartment) = (self.public.public_key.clone(), Some(self.compartment.clone()));
        KeyRef { key_id: self.key_id, public_key, compartment }
    }
}

/// Finds keys and makes them. What was made or taken in lasts no longer than the ring, until it is sealed.
pub trait KeyRing {
    /// The signer of a recorded key, or of one that was made here. May ask for a passphrase, a PIN or a touch.
    ///
    /// # Errors
    /// See [`KeyError`].
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError>;

    /// As [`KeyRing::signer`], where that asks nobody for anything; `None` where it would.
    ///
    /// # Errors
    /// See [`KeyError`].
    fn signer_at_hand(&mut self, key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError>;

    /// Makes a key.
    ///
    /// # Errors
    /// See [`KeyError`].
    fn generate(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<NewKey, KeyError>;

    /// Takes a private key in that was made elsewhere.
    ///
    /// # Errors
    /// See [`KeyError`].
    fn take(&mut self, key_id: KeyId, secret: &SecretBytes, compartment: &Label) -> Result<NewKey, KeyError>;

    /// The secret of a recorded key, in its standard format, for it to leave.
    ///
    /// # Errors
    /// [`KeyError::CannotLeave`] where the key can't be exported; otherwise see [`KeyError`].
    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError>;

    /// What makes keys that were made or taken in here durable; `None` where nothing has to be done.
    ///
    /// # Errors
    /// See [`KeyError`].
    fn sealing(&mut self, keys: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError>;
}

/// The signer of a recorded key, checked to be of that key.
///
/// # Errors
/// See [`KeyError`].
pub fn signer_of(keys: &mut dyn KeyRing, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
    let signer = keys.signer(key)?;
    match signer.public().public_key == key.public_key {
        true => Ok(signer),
        false => Err(KeyError::Elsewhere(key.public_key.clone())),
    }
}

/// Keys on their way to where they are kept.
pub trait Sealing: Send {
    /// Makes them durable, all or none. Runs beside the write transaction that records them, which waits for it before it
    /// commits.
    ///
    /// # Errors
    /// See [`KeyError`].
    fn seal(&mut self) -> Result<(), KeyError>;

    /// Removes those that [`Sealing::seal`] made durable; gives how many could not be removed. Called for keys that are
    /// known not to be recorded.
    fn undo(&mut self, keys: &[KeyId]) -> usize;

    /// It is known that the keys are recorded, or that their secrets are removed. Where a process dies before this, what holds
    /// the keys settles at its next opening what became of them.
    fn settled(&mut self);
}

/// Why there is no signer, no key, no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Only the public half is known here.
    #[error(
        "only the public half of key {0} is known here: its private half is elsewhere, and what it signs is signed there"
    )]
    Elsewhere(PublicKey),
    /// The secret can't leave.
    #[error("the private key {0} cannot leave where it is kept")]
    CannotLeave(PublicKey),
    /// Keys of this kind are not made or taken in here.
    #[error("keys of the kind {0} are not kept here")]
    Unsupported(KeyKind),
    /// There were no random bytes.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// What was given is no private key.
    #[error("it is no private key that can be kept: {0}")]
    Invalid(Box<dyn Error + Send + Sync>),
    /// What holds the key was not opened: a wrong passphrase, no terminal to ask at.
    #[error(transparent)]
    Locked(Box<dyn Error + Send + Sync>),
    /// What holds keys failed.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
}

impl Explained for KeyError {
    /// What holds keys has errors of its own, each of another kind: a front end that knows them looks for them first.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::CannotLeave(_) => ErrorKind::Refused,
            Self::Unsupported(_) | Self::Invalid(_) => ErrorKind::Usage,
            Self::Elsewhere(_) | Self::Generate(_) | Self::Locked(_) | Self::Failed(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Generate(error) => error.advice(),
            Self::Elsewhere(_)
            | Self::CannotLeave(_)
            | Self::Unsupported(_)
            | Self::Invalid(_)
            | Self::Locked(_)
            | Self::Failed(_) => Vec::new(),
        }
    }
}

impl KeyError {
    /// What holds keys failed.
    pub fn failed(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(source.into())
    }
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The system gave no random bytes.
    #[error("the system gave no random bytes, so no key was made")]
    NoRandomness,
}

impl Explained for GenerateError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NoRandomness => vec![Advice::TRY_AGAIN],
        }
    }
}

/// A key ring without keys: for acts that need none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeys;

impl KeyRing for NoKeys {
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        Err(KeyError::Elsewhere(key.public_key.clone()))
    }

    fn signer_at_hand(&mut self, _key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        Ok(None)
    }

    fn generate(&mut self, _key_id: KeyId, spec: &KeySpec) -> Result<NewKey, KeyError> {
        Err(KeyError::Unsupported(spec.kind))
    }

    fn take(&mut self, _key_id: KeyId, _secret: &SecretBytes, _compartment: &Label) -> Result<NewKey, KeyError> {
        Err(KeyError::failed("this program keeps no private keys"))
    }

    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        Err(KeyError::Elsewhere(key.public_key.clone()))
    }

    fn sealing(&mut self, _keys: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError> {
        Ok(None)
    }
}

impl<K: KeyRing + ?Sized> KeyRing for &mut K {
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        (**self).signer(key)
    }

    fn signer_at_hand(&mut self, key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        (**self).signer_at_hand(key)
    }

    fn generate(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<NewKey, KeyError> {
        (**self).generate(key_id, spec)
    }

    fn take(&mut self, key_id: KeyId, secret: &SecretBytes, compartment: &Label) -> Result<NewKey, KeyError> {
        (**self).take(key_id, secret, compartment)
    }

    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        (**self).export(key)
    }

    fn sealing(&mut self, keys: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError> {
        (**self).sealing(keys)
    }
}
