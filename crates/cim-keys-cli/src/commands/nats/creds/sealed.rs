//! Sealing what is handed out to whoever it is for.

use cim_keys::custody::{SecretBytes, seal_to};
use cim_keys::text::Recipient;

use crate::error::{CliError, Result};

/// What a sealed file's name ends with.
pub(super) const fn ending(_: &Recipient) -> &'static str {
    "age"
}

/// Seals to a recipient.
pub(super) fn seal(to: &Recipient, plain: &SecretBytes) -> Result<SecretBytes> {
    seal_to(to, plain).map_err(|error| CliError::failed(error.to_string()))
}
