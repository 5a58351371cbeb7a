//! A build without the feature `nats-client`: it reads no streams.

use super::{FollowArgs, ReconcileArgs, ReplayArgs, StreamArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;

fn without() -> CliError {
    CliError::usage("this build of cim-keys reads no streams: it was made without the feature nats-client")
        .hint("use a build that has it, or bring the history as an archive: `cim-keys import car`")
}

pub(crate) fn replay(_: &ReplayArgs, _: &Global, _: Ui) -> Result {
    Err(without())
}

pub(crate) fn follow(_: &FollowArgs, _: &Global, _: Ui) -> Result {
    Err(without())
}

pub(crate) fn reconcile(_: &ReconcileArgs, _: &Global, _: Ui) -> Result {
    Err(without())
}

pub(crate) fn verify(_: &StreamArgs, _: Option<&str>, _: Option<&std::path::Path>, _: &Global, _: Ui) -> Result {
    Err(without())
}
