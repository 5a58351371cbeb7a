//! `completions`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::Result;
use crate::ui::Ui;

#[derive(Debug, Args)]
#[command(after_help = "For example: cim-keys completions bash > ~/.local/share/bash-completion/completions/cim-keys")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, ui: Ui) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cim-keys", &mut script);
    ui.raw(&script)
}
