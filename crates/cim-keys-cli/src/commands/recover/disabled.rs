//! Recovering from a stream, in a build without the feature `nats-client`.

use cim_keys::session::Place;

use super::RecoverArgs;
use crate::error::{CliError, Result};
use crate::ui::Ui;

pub(super) fn nats(_: &Place, _: &RecoverArgs, _: Ui) -> Result<(u64, u64)> {
    Err(CliError::usage("this build can't read from NATS").hint("build it with the feature nats-client"))
}
