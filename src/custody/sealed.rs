//! The age format: sealing to a recipient or a passphrase, and opening again. No files here.

use std::io::{Read as _, Write as _};
use std::iter;

use age::{DecryptError, Decryptor, Encryptor};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::error::SealError;
use crate::keys::{LONGEST_SECRET, SecretBytes};

/// How dear each guess at a passphrase is: scrypt with N = 2 to the power of this, r = 8, p = 1, as
/// [age's specification](https://c2sp.org/age#scrypt-recipient-stanza) has it. Each step doubles time and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkFactor(u8);

impl WorkFactor {
    /// 18: about a second and 256 MiB a guess, the age program's own choice. It is fixed and not measured, so that a
    /// fast machine does not lock a slow one out.
    pub const DEFAULT: Self = Self(18);
    /// The least, for tests and for machines with very little memory: a 256th of the default.
    pub const LEAST: Self = Self(10);
    /// The most that is done when opening: 1 GiB.
    pub const MOST: Self = Self(20);

    /// A work factor between [`WorkFactor::LEAST`] and [`WorkFactor::MOST`].
    #[must_use]
    pub fn new(log_n: u8) -> Option<Self> {
        (Self::LEAST.0..=Self::MOST.0).contains(&log_n).then_some(Self(log_n))
    }

    /// The exponent.
    #[must_use]
    pub const fn log_n(self) -> u8 {
        self.0
    }
}

impl Default for WorkFactor {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why sealed bytes did not open.
#[derive(Debug)]
pub(super) enum Closed {
    /// The passphrase or the identity does not fit.
    WrongKey,
    /// The bytes are not what was sealed.
    Damaged(&'static str),
    /// The work factor is beyond [`WorkFactor::MOST`].
    TooMuchWork(u8),
}

/// Seals bytes to a recipient.
pub(super) fn to_recipient(plain: &[u8], recipient: &age::x25519::Recipient) -> Result<Vec<u8>, String> {
    encrypt(plain, recipient)
}

/// Seals bytes with a passphrase.
pub(super) fn to_passphrase(plain: &[u8], passphrase: SecretString, work: WorkFactor) -> Result<Vec<u8>, String> {
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(work.0);
    encrypt(plain, &recipient)
}

/// Opens what [`to_recipient`] sealed.
pub(super) fn by_identity(sealed: &[u8], identity: &age::x25519::Identity) -> Result<SecretBytes, Closed> {
    decrypt(sealed, identity, false)
}

/// Opens what [`to_passphrase`] sealed.
pub(super) fn by_passphrase(sealed: &[u8], passphrase: SecretString) -> Result<SecretBytes, Closed> {
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(WorkFactor::MOST.0);
    decrypt(sealed, &identity, true)
}

fn encrypt(plain: &[u8], recipient: &dyn age::Recipient) -> Result<Vec<u8>, String> {
    let encryptor = Encryptor::with_recipients(iter::once(recipient)).map_err(|e| e.to_string())?;
    let mut sealed = Vec::with_capacity(plain.len() + 512);
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(|e| e.to_string())?;
    writer.write_all(plain).and_then(|()| writer.finish().map(|_| ())).map_err(|e| e.to_string())?;
    Ok(sealed)
}

fn decrypt(sealed: &[u8], identity: &dyn age::Identity, by_passphrase: bool) -> Result<SecretBytes, Closed> {
    let decryptor = Decryptor::new_buffered(sealed).map_err(|_| Closed::Damaged("it is no age file"))?;
    if decryptor.is_scrypt() != by_passphrase {
        return Err(Closed::Damaged("it is sealed in another way than cim-keys seals it"));
    }
    let mut reader = decryptor.decrypt(iter::once(identity)).map_err(|e| match e {
        DecryptError::ExcessiveWork { required, .. } => Closed::TooMuchWork(required),
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            Closed::WrongKey
        }
        DecryptError::InvalidMac => Closed::Damaged("its header was changed"),
        _ => Closed::Damaged("its header can't be read"),
    })?;
    // What is sealed is shorter than the file, so the buffer never moves and leaves no copy behind.
    let mut plain = SecretBytes::new(Box::new(Vec::with_capacity(sealed.len())));
    reader.read_to_end(plain.expose_secret_mut()).map_err(|_| Closed::Damaged("its content was changed or cut off"))?;
    Ok(plain)
}

/// Checks the length of a secret and gives its bytes.
pub(super) fn bounded(secret: &SecretBytes) -> Result<&[u8], SealError> {
    let bytes = secret.expose_secret();
    if bytes.len() > LONGEST_SECRET {
        return Err(SealError::TooLong { length: bytes.len(), limit: LONGEST_SECRET });
    }
    Ok(bytes)
}

/// SHA-256 of a sealed file, as it stands in the file beside it.
pub(super) fn sum(sealed: &[u8]) -> String {
    Sha256::digest(sealed).iter().map(|byte| format!("{byte:02x}")).collect()
}
