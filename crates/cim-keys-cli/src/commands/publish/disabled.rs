//! A build without the feature `nats-client`: events are kept and queued, and published by a build that has it.

use cim_keys::config::NatsConfig;

use super::{ServerArgs, SyncArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;

fn without() -> CliError {
    CliError::usage("this build of cim-keys does not publish: it was made without the feature nats-client")
        .hint("publish with a build that has it; the events wait in the ledger until then")
}

pub(crate) fn flush(_: &ServerArgs, _: &Global, _: Ui) -> Result {
    Err(without())
}

pub(crate) fn sync(_: &SyncArgs, _: &Global, _: Ui) -> Result {
    Err(without())
}

/// That a server answers is all that this build can tell.
pub(crate) fn log_in(_: &NatsConfig) -> Result {
    Ok(())
}
