//! `man`: manual pages.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::error::{CliError, Result};
use crate::ui::Ui;

#[derive(Debug, Args)]
#[command(after_help = "For example: cim-keys man | man -l -, or cim-keys man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write one page a command into this folder, instead of the first page to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, command: Command, ui: Ui) -> Result {
    let command = command.disable_help_subcommand(true);
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return ui.raw(&page);
    };
    let cannot = |error: std::io::Error| {
        CliError::failed(format!("cannot write manual pages into {}", folder.display()))
            .because(&error)
            .hint("name a folder that you may write to with --out")
    };
    fs::create_dir_all(folder).map_err(cannot)?;
    clap_mangen::generate_to(command, folder).map_err(cannot)?;
    ui.object(&serde_json::json!({ "folder": folder.to_string_lossy() }))?;
    ui.line(format_args!("The manual pages are in {}; the first is cim-keys.1", folder.display()))
}
