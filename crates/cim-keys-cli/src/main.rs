//! The cim-keys command line: it parses, asks and prints; what is done is done by the library's use cases.

mod act;
mod advice;
mod cli;
mod commands;
mod error;
mod global;
mod hardening;
mod ledger;
mod outcome;
mod passphrase;
mod place;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::ui::Ui;

fn main() -> ExitCode {
    hardening::forbid_dumps();
    if let Err(error) = hardening::refuse_secret_arguments() {
        Ui::new(ui::Format::Text, false).error(&error);
        return ExitCode::from(error.code());
    }
    let cli = Cli::parse();
    let ui = Ui::new(cli.global.output, cli.global.yes).verbose(cli.global.verbose > 0);
    cli.global.log();
    match commands::run(cli, ui) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough: that is no failure of ours.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.code())
        }
    }
}
