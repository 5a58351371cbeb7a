//! `completions`: what a shell needs to complete our commands.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::Result;
use crate::ui::Ui;

#[derive(Debug, Args)]
#[command(after_help = "For example: cim-keys completions bash > ~/.local/share/bash-completion/completions/cim-keys")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, mut command: Command, ui: Ui) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "cim-keys", &mut script);
    ui.raw(&script)
}
