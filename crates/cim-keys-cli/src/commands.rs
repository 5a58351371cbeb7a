//! The commands, one file each.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod man;

use crate::cli::{Cli, Command};
use crate::error::Result;
use crate::ui::Ui;

/// Does what was asked for.
pub(crate) fn run(cli: Cli, ui: Ui) -> Result {
    let global = &cli.global;
    match cli.command {
        Command::Config(command) => config::run(command, global, ui),
        Command::Completions(args) => completions::run(&args, ui),
        Command::Man(args) => man::run(&args, ui),
    }
}
