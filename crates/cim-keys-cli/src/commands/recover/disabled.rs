//! Recovering from a stream, in a build without the feature `nats-client`.

use std::path::Path;

use cim_keys::store::Restored;

use crate::error::{CliError, Result};
use crate::ui::Ui;

pub(super) fn nats(_: &Restored, _: &Path, _: &[(&str, &str, String)], _: bool, _: Ui) -> Result<(u64, u64)> {
    Err(CliError::usage("this build can't read from NATS").hint("build it with the feature nats-client"))
}
