//! A secret that lies open, in a file of its own outside of custody: for machines that sign with nobody at hand.
//!
//! The file is held to what custody holds its own files to: mode 0600, of this user, no symbolic link.

use std::path::Path;

use secrecy::ExposeSecret as _;

use super::error::FileError;
use super::folder::{create_file, read_file};
use super::{LONGEST_SECRET, SecretBytes};

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

/// Writes the secret to a file that must not be there yet, durably.
///
/// # Errors
/// When there is something at this place, or the disk fails.
pub fn create(path: &Path, secret: &SecretBytes) -> Result<(), FileError> {
    create_file(path, secret.expose_secret())
}
