//! Keys that are only named: for acts that are rehearsed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::kind::{KeyKind, PublicFacts};
use super::port::{KeyError, KeyRef, KeyRing, KeySpec, NewKey, Sealing, Signer};
use super::secret::SecretBytes;
use super::{nkey, normalize};
use crate::ids::KeyId;
use crate::text::{Label, PublicKey};

/// A key ring that makes public keys without private halves, and signs nothing: what an act would do can be told without
/// making a key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placeholders;

impl KeyRing for Placeholders {
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        Err(KeyError::Elsewhere(key.public_key.clone()))
    }

    fn signer_at_hand(&mut self, _key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        Ok(None)
    }

    fn generate(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<NewKey, KeyError> {
        let bytes: [u8; 32] = Sha256::digest(key_id.as_uuid().as_bytes()).into();
        let text = match spec.kind {
            KeyKind::Nkey(kind) => nkey::encode_public(kind, &bytes),
            KeyKind::Ed25519 | KeyKind::P256 => STANDARD.encode(bytes),
        };
        let public_key = PublicKey::new(&text).map_err(KeyError::failed)?;
        let (algorithm, encoding) = (spec.kind.algorithm(), spec.kind.encoding());
        let public = PublicFacts { algorithm, encoding, public_key };
        Ok(NewKey { key_id, public, compartment: spec.compartment.clone() })
    }

    fn take(&mut self, key_id: KeyId, secret: &SecretBytes, compartment: &Label) -> Result<NewKey, KeyError> {
        let (public, _) = normalize(secret).map_err(|error| KeyError::Invalid(Box::new(error)))?;
        Ok(NewKey { key_id, public, compartment: compartment.clone() })
    }

    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        Err(KeyError::CannotLeave(key.public_key.clone()))
    }

    fn sealing(&mut self, _keys: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError> {
        Ok(None)
    }
}
