//! `nats server-config`: what servers need to trust the operator.

use std::path::PathBuf;

use cim_keys::authority::nats::server_config::{Deployment, Resolver, Server, server_config};
use clap::{Args, ValueEnum};

use super::acts::{look, restricted};
use crate::commands::out::{self, Out, file_name};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct ServerConfigArgs {
    /// Where servers find account tokens
    #[arg(long, value_enum, default_value_t = ResolverArg::Full)]
    resolver: ResolverArg,
    /// Write a whole configuration for each of these servers, as one cluster: NAME, or NAME=HOST[:PORT[:CLUSTER_PORT]]
    /// where the name is no host's
    #[arg(long, value_name = "SERVER", value_delimiter = ',', requires = "out", value_parser = server)]
    servers: Vec<Server>,
    /// The cluster's name [default: that of the ledger's operator]
    #[arg(long, value_name = "NAME", requires = "servers")]
    cluster: Option<String>,
    /// The folder on the servers that each keeps its own folder in, with its tokens and streams
    #[arg(long, value_name = "DIR", default_value = ".", requires = "servers")]
    store_dir: String,
    /// The file to write, which must not exist yet; with --servers a folder, for SERVER/nats.conf; standard output without
    /// it
    #[arg(long, value_name = "FILE|DIR")]
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

/// The ports that servers listen on when nothing else is said.
const PORTS: (u16, u16) = (4222, 6222);

fn server(text: &str) -> std::result::Result<Server, String> {
    let (name, place) = text.split_once('=').unwrap_or((text, text));
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let mut parts = place.split(':');
    let host = parts.next().unwrap_or_default();
    let mut port = |default: u16| parts.next().map_or(Ok(default), str::parse::<u16>);
    let (Ok(client), Ok(cluster)) = (port(PORTS.0), port(PORTS.1)) else {
        return Err("a port is a number up to 65535".to_owned());
    };
    if !word(name) || name.starts_with('.') || !word(host) || parts.next().is_some() {
        return Err("write NAME or NAME=HOST:PORT:CLUSTER_PORT, of letters, digits, hyphens and dots".to_owned());
    }
    Ok(Server { name: name.to_owned(), host: host.to_owned(), port: client, cluster_port: cluster })
}

pub(crate) fn run(args: &ServerConfigArgs, global: &Global, ui: Ui) -> Result {
    write_all(args, global, ui)?;
    remember(global)
}

/// The ledger remembers which operator token servers are configured with. It can't where it is only read: a mirror writes
/// configurations too.
fn remember(global: &Global) -> Result {
    let Ok(session) = ledger::write(global) else { return Ok(()) };
    let operator = session.store().view(cim_keys::authority::nats::lookup::operator)??;
    if let Some(token) = &operator.token {
        session.store().remember_served(operator.operator.operator_id, &token.jti)?;
    }
    Ok(())
}

fn write_all(args: &ServerConfigArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let restricted = restricted(&session)?;
    let resolver = match args.resolver {
        ResolverArg::Memory => Resolver::Memory,
        ResolverArg::Full => Resolver::Full,
        ResolverArg::Cache => Resolver::Cache,
    };
    let text = |server: Option<(&Deployment, &Server)>| -> Result<String> {
        Ok(session.store().view(|view| server_config(view, &restricted, resolver, server))??)
    };
    match (&args.out, args.servers.as_slice()) {
        (None, _) if ui.is_json() => ui.object(&serde_json::json!({ "config": text(None)? })),
        (None, _) => ui.raw(text(None)?.as_bytes()),
        (Some(path), []) => {
            let mut out = Out::create(path)?;
            write(&mut out, &text(None)?, None, ui)?;
            let shown = out.shown();
            ui.line(format_args!("{shown} is written; `nats-server -js -c {shown}` starts with it."))
        }
        (Some(folder), servers) => {
            let (_, operator) = look(global, cim_keys::authority::nats::lookup::operator)?;
            let cluster = args.cluster.clone().unwrap_or_else(|| file_name(operator.operator.name.as_str()));
            let deployment = Deployment { cluster, servers: servers.to_vec(), store_dir: args.store_dir.clone() };
            let twice = |(place, server): &(usize, &Server)| {
                servers[..*place].iter().any(|other| other.name.eq_ignore_ascii_case(&server.name))
            };
            if let Some((_, server)) = servers.iter().enumerate().find(twice) {
                return Err(CliError::usage(format!("server {} is named twice", server.name))
                    .hint("give each server a name of its own"));
            }
            // The files are made first: all of them are written, or none.
            let mut outs = Vec::new();
            for server in servers {
                let own = folder.join(&server.name);
                out::folder(&own)?;
                outs.push((server, Out::create(&own.join("nats.conf"))?));
            }
            for (server, out) in &mut outs {
                write(out, &text(Some((&deployment, server)))?, Some(&server.name), ui)?;
                let shown = out.shown();
                ui.line(format_args!("{shown} is written; `nats-server -c {shown}` starts with it."))?;
            }
            Ok(())
        }
    }
}

/// Tokens of accounts are in it: for servers, not for everybody.
fn write(out: &mut Out, text: &str, server: Option<&str>, ui: Ui) -> Result {
    out.write(text.as_bytes())?;
    ui.object(&serde_json::json!({ "file": out.shown(), "server": server }))
}
