//! A build without the feature `nats-client`: it asks no server.

use super::args::{DiffArgs, PullArgs, PushArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;

fn without() -> CliError {
    CliError::usage("this build of cim-keys speaks to no server: it was made without the feature nats-client")
        .hint("take a build that has it; `cim-keys nats server-config` gives servers the tokens without one")
}

pub(crate) fn push(_: &PushArgs, _: &Global, _: Ui) -> Result {
    Err(without())
}

pub(crate) fn diff(_: &DiffArgs, _: &Global, _: Ui) -> Result {
    Err(without())
}

pub(crate) fn pull(_: &PullArgs, _: &Global, _: Ui) -> Result {
    Err(without())
}
