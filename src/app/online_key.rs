//! The ledger's own key where it lies open: `ledger.key` in the ledger's folder, for relays, agents and embedded use.
//!
//! A ledger that was made like this signs the head of every append ([`sign_heads`]), with nobody at hand. The file holds the private half as custody would
//! hold it sealed (PKCS#8 in PEM), with mode 0600; a looser mode is refused. The key is sealed in custody too, so that a
//! backup needs no open copy, and that it lies open is recorded ([`crate::events::KeyExported`]). Whoever removes the file
//! is asked for the passphrase from then on, as for any other ledger.

use std::path::PathBuf;

use super::log::{LedgerSecret, LogError};
use super::session::Place;
use crate::custody::{FileError, SecretBytes, lone};
use crate::keys::pair::{ParseError, PrivateKey};
use crate::store::Store;

/// Why the key that lies open was not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineKeyError {
    /// The file can't be read as it is: others may touch it, or it is somebody else's.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds no private key.
    #[error("{} holds no private key: {source}; remove it, and the ledger's key is asked for in custody", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The file holds another key than the ledger's.
    #[error(
        "{} holds another key than this ledger's: it was exchanged, or the ledger has a new key; remove it, and the ledger's key is asked for in custody",
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

/// Has every append signed from here on, where the key lies open.
///
/// # Errors
/// As [`read`], and when the ledger is open for reading only.
pub fn sign_heads(place: &Place, store: &Store) -> Result<(), OnlineKeyError> {
    let Some(secret) = read(place, store)? else { return Ok(()) };
    let signer = secret.head_signer(store)?;
    Ok(store.sign_heads(Some(signer)).map_err(LogError::from)?)
}

/// Reads the key and checks that it is the ledger's; `None` where it lies in custody only.
///
/// # Errors
/// When the file is there and is not to be used.
pub fn read(place: &Place, store: &Store) -> Result<Option<LedgerSecret>, OnlineKeyError> {
    let path = place.online_key();
    let Some(secret) = lone::read(&path)? else { return Ok(None) };
    let key = match PrivateKey::parse(&secret) {
        Ok(key) => key,
        Err(source) => return Err(OnlineKeyError::Parse { path, source }),
    };
    if key.public().public_key != store.identity().public_key {
        return Err(OnlineKeyError::Exchanged { path });
    }
    Ok(Some(LedgerSecret::new(key)))
}

/// Sets the file aside, since the ledger has another key now.
pub(super) fn set_aside(place: &Place) -> std::io::Result<Option<PathBuf>> {
    let path = place.online_key();
    let aside = path.with_extension("key.before");
    match std::fs::rename(&path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lays the key open. There must be no such file yet.
pub(super) fn create(place: &Place, secret: &SecretBytes) -> Result<(), FileError> {
    lone::create(&place.online_key(), secret)
}
