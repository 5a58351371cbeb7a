//! Sealing what is handed out to whoever it is for.

use cim_keys::custody::{SecretBytes, seal_to};
use cim_keys::text::Recipient;

use crate::error::Result;

/// What a sealed file's name ends with.
pub(super) fn ending(to: &Recipient) -> &'static str {
    if to.is_curve_key() { "xkey" } else { "age" }
}

/// Seals to a recipient.
pub(super) fn seal(to: &Recipient, plain: &SecretBytes) -> Result<SecretBytes> {
    Ok(seal_to(to, plain)?)
}
