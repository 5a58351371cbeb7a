//! Signing the head at the end of a command that opened the ledger's key anyway.

use cim_keys::app::log::{self, LogError};
use cim_keys::app::session::Session;
use cim_keys::custody::Unlocked;

use crate::error::{CliError, Result};

/// Signs the head of what is recorded, if one of the opened compartments holds the ledger's key: whoever typed its passphrase
/// is not asked for it once more. Where none does, the events after the last signed head stay unsigned.
pub(crate) fn sign_head<'u, 'c: 'u>(session: &Session, unlocked: impl IntoIterator<Item = &'u Unlocked<'c>>) -> Result {
    let store = session.store();
    // A ledger that was not made by `init` has its key elsewhere.
    let Ok(key) = log::ledger_key(store) else { return Ok(()) };
    let Some(unlocked) = unlocked.into_iter().find(|unlocked| *unlocked.compartment() == key.compartment) else {
        return Ok(());
    };
    let unsigned = "it is recorded, and the head of the ledger could not be signed";
    let secret = key.reveal(unlocked).map_err(|error| CliError::failed(unsigned).because(&error))?;
    match log::sign_head(store, &secret) {
        Ok(_) => Ok(()),
        Err(error @ (LogError::Keep(_) | LogError::Checkpoint(_))) => {
            Err(CliError::verification(unsigned).because(&error))
        }
        Err(error) => Err(CliError::failed(unsigned).because(&error)),
    }
}
