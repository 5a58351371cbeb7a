//! Public halves: read as others write them, and whether a signature is theirs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::{DecodePublicKey as _, EncodePublicKey};

use super::kind::{KeyKind, PublicFacts};
use super::nkey;
use crate::events::{KeyAlgorithm, KeyEncoding, NkeyKind};
use crate::text::PublicKey;

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The public key can't be read, or can't sign at all.
    #[error("the public key is none that can sign")]
    Key,
    /// The signature is not this key's over these bytes.
    #[error("the signature is not this key's over these bytes")]
    Signature,
}

/// Checks a signature that a [`super::Signer`] made. Ed25519 is checked strictly: no weak key, no second signature that
/// also fits.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(by: &PublicFacts, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    let text = by.public_key.as_str();
    let der = || STANDARD.decode(text).map_err(|_| VerifyError::Key);
    let ed25519 = match (by.algorithm, by.encoding) {
        (KeyAlgorithm::Ed25519, KeyEncoding::Spki) => {
            ed25519_dalek::VerifyingKey::from_public_key_der(&der()?).map_err(|_| VerifyError::Key)?
        }
        (KeyAlgorithm::Ed25519, KeyEncoding::Nkey) => match nkey::check_public(text) {
            Ok((NkeyKind::Curve, _)) | Err(_) => return Err(VerifyError::Key),
            Ok((_, bytes)) => ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| VerifyError::Key)?,
        },
        (KeyAlgorithm::EcdsaP256, KeyEncoding::Spki) => {
            let key = p256::ecdsa::VerifyingKey::from_public_key_der(&der()?).map_err(|_| VerifyError::Key)?;
            let signature = p256::ecdsa::DerSignature::try_from(signature).map_err(|_| VerifyError::Signature)?;
            return p256::ecdsa::signature::Verifier::verify(&key, message, &signature)
                .map_err(|_| VerifyError::Signature);
        }
        _ => return Err(VerifyError::Key),
    };
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| VerifyError::Signature)?;
    ed25519.verify_strict(message, &signature).map_err(|_| VerifyError::Signature)
}

/// Reads a public key: an nkey, or an Ed25519 or P-256 SubjectPublicKeyInfo in PEM or in base64 of DER.
///
/// # Errors
/// See [`VerifyError`].
pub fn public_facts(text: &str) -> Result<PublicFacts, VerifyError> {
    let text = text.trim();
    if let Ok((kind, _)) = nkey::check_public(text) {
        let kind = KeyKind::Nkey(kind);
        let public_key = PublicKey::new(text).map_err(|_| VerifyError::Key)?;
        return Ok(PublicFacts { algorithm: kind.algorithm(), encoding: kind.encoding(), public_key });
    }
    let base64: String = text.lines().filter(|line| !line.starts_with("-----")).flat_map(str::chars).collect();
    let der = STANDARD.decode(base64).map_err(|_| VerifyError::Key)?;
    // Written anew, so that a key has one text however it was given.
    let (kind, written) = if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_der(&der) {
        (KeyKind::Ed25519, spki(&key))
    } else {
        let key = p256::PublicKey::from_public_key_der(&der).map_err(|_| VerifyError::Key)?;
        (KeyKind::P256, spki(&key))
    };
    let public_key = PublicKey::new(&written).map_err(|_| VerifyError::Key)?;
    Ok(PublicFacts { algorithm: kind.algorithm(), encoding: kind.encoding(), public_key })
}

pub(super) fn spki(key: &impl EncodePublicKey) -> String {
    STANDARD.encode(key.to_public_key_der().expect("a fixed algorithm and a key of fixed length encode").as_bytes())
}
