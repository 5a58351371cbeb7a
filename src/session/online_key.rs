//! The ledger's own key where it is stored unencrypted: `ledger.key` in the ledger's folder, for relays, agents and embedded
//! use.
//!
//! A ledger that was made like this signs the head of every append ([`sign_heads`]), and no person has to be there. The file
//! holds the private half as custody seals it (PKCS#8 in PEM), with mode 0600; a looser mode is refused. The key is sealed in
//! custody too, so that a backup needs no unencrypted copy, and the unencrypted one is recorded
//! ([`crate::events::KeyExported`]). Once the file is removed, the passphrase is asked for, as for any other ledger.

use std::path::PathBuf;
use std::sync::Arc;

use super::place::Place;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::custody::lone::LoneError;
use crate::custody::{FileError, SecretBytes, lone};
use crate::keys::Signer;
use crate::session::heads::{LogError, sign_every_head};
use crate::store::Store;

/// Why the unencrypted key was not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineKeyError {
    /// The file can't be read as it is, or holds no private key.
    #[error(transparent)]
    File(#[from] LoneError),
    /// The file holds another key than the ledger's.
    #[error(
        "{} holds another key than this ledger's: it was exchanged, or the ledger has a new key",
        path.display()
    )]
    Exchanged {
        /// The file.
        path: PathBuf,
    },
    /// The store did not take the key.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Explained for OnlineKeyError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        let remove = Advice::Do("remove the file, and the ledger's key is asked for in custody");
        match self {
            Self::File(error) => error.advice().into_iter().chain([remove]).collect(),
            Self::Exchanged { .. } => vec![remove],
            Self::Log(error) => error.advice(),
        }
    }
}

/// Signs the head of every append from here on, where the key is stored unencrypted.
///
/// # Errors
/// As [`signer`], and when the ledger is open for reading only.
pub fn sign_heads(place: &Place, store: &Store) -> Result<(), OnlineKeyError> {
    match signer(place, store)? {
        Some(signer) => Ok(sign_every_head(store, signer)?),
        None => Ok(()),
    }
}

/// The signer of the key, checked to be the ledger's; `None` where the key is in custody only.
///
/// # Errors
/// When the file is there and is not to be used.
pub fn signer(place: &Place, store: &Store) -> Result<Option<Arc<dyn Signer>>, OnlineKeyError> {
    let path = place.online_key();
    let Some(signer) = lone::signer(&path)? else { return Ok(None) };
    match signer.public().public_key == store.identity().public_key {
        true => Ok(Some(signer)),
        false => Err(OnlineKeyError::Exchanged { path }),
    }
}

/// Sets the file aside, since the ledger has another key now.
pub(crate) fn set_aside(place: &Place) -> std::io::Result<Option<PathBuf>> {
    let path = place.online_key();
    let aside = path.with_extension("key.before");
    match std::fs::rename(&path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stores the key unencrypted. There must be no such file yet.
pub(crate) fn create(place: &Place, secret: &SecretBytes) -> Result<(), FileError> {
    lone::create(&place.online_key(), secret)
}
