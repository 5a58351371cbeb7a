//! `nats server-config`: what a server needs to trust the operator.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use cim_keys::app::nats::server_config::{Resolver, server_config};
use cim_keys::text::visible;
use clap::{Args, ValueEnum};

use crate::cli::Global;
use crate::error::{CliError, Result};
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct ServerConfigArgs {
    /// Where servers find account tokens
    #[arg(long, value_enum, default_value_t = ResolverArg::Full)]
    resolver: ResolverArg,
    /// The server's name
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The file to write, which must not exist yet; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResolverArg {
    /// In the configuration itself
    Memory,
    /// In a folder with all of them, kept equal between servers
    Full,
    /// In a folder with those in use
    Cache,
}

pub(crate) fn run(args: &ServerConfigArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let restricted = super::restricted(&session)?;
    let resolver = match args.resolver {
        ResolverArg::Memory => Resolver::Memory,
        ResolverArg::Full => Resolver::Full,
        ResolverArg::Cache => Resolver::Cache,
    };
    let text =
        session.store().view(|view| server_config(view, &restricted, resolver, args.server_name.as_deref()))??;
    let Some(path) = &args.out else { return ui.raw(text.as_bytes()) };
    let shown = visible(&path.to_string_lossy()).into_owned();
    let cannot = |error: std::io::Error| {
        CliError::failed(format!("cannot write {shown}")).because(&error).hint("name a file that does not exist yet")
    };
    // Tokens of accounts are in it: for servers, not for everybody.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)?;
    ui.line(format_args!("{shown} is written; `nats-server -js -c {shown}` starts with it."))
}
