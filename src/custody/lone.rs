//! A secret that is stored unencrypted, in a file of its own outside of custody: for machines that sign with nobody at hand.
//!
//! The file is held to what custody holds its own files to: mode 0600, of this user, no symbolic link.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::error::FileError;
use super::folder::{create_file, read_file};
use super::{LONGEST_SECRET, SecretBytes};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::keys::pair::{PrivateKey, SoftwareKey};
use crate::keys::{ParseError, Signer};

/// Reads the secret; `None` when there is no such file.
///
/// # Errors
/// When others may touch the file, when it is not this user's, or when it can't be read.
pub fn read(path: &Path) -> Result<Option<SecretBytes>, FileError> {
    match read_file(path, LONGEST_SECRET as u64) {
        Ok(bytes) => Ok(Some(SecretBytes::new(Box::new(bytes)))),
        Err(FileError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the key of a signer; `None` when there is no such file.
///
/// # Errors
/// See [`LoneError`].
pub fn signer(path: &Path) -> Result<Option<Arc<dyn Signer>>, LoneError> {
    let Some(secret) = read(path)? else { return Ok(None) };
    let key = PrivateKey::parse(&secret).map_err(|source| LoneError::Parse { path: path.to_owned(), source })?;
    Ok(Some(SoftwareKey::new(key)))
}

/// Why there is no signer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoneError {
    /// The file can't be read as it is.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds no private key.
    #[error("{} holds no private key: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseError,
    },
}

impl Explained for LoneError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::File(error) => error.advice(),
            Self::Parse { source, .. } => source.advice(),
        }
    }
}

/// Writes the secret to a file that must not be there yet, durably.
///
/// # Errors
/// When there is something at this place, or the disk fails.
pub fn create(path: &Path, secret: &SecretBytes) -> Result<(), FileError> {
    create_file(path, secret.expose_secret())
}
