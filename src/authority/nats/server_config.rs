//! A server's configuration that trusts an operator, and starts as it is.

use std::fmt::Write as _;

use super::creds;
use super::error::NatsError;
use super::lookup;
use crate::ledger::{Facts, Kind, View};
use crate::store::RestrictedBlocks;
use crate::text::visible;

/// How a server finds account tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// In its configuration: for tests and fixed sets of accounts.
    Memory,
    /// In a folder with all of them, kept equal between servers.
    Full,
    /// In a folder with those in use, asked for from others.
    Cache,
}

/// One of the servers that a configuration is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name, which no other server of the deployment has.
    pub name: String,
    /// Where others reach it.
    pub host: String,
    /// The port for clients.
    pub port: u16,
    /// The port for other servers.
    pub cluster_port: u16,
}

/// The whole of a server's configuration beside the trust in the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The cluster's name.
    pub cluster: String,
    /// Its servers; one alone has no cluster.
    pub servers: Vec<Server>,
    /// The folder that each server keeps its own folder in.
    pub store_dir: String,
}

/// A configuration: trust in the operator, the system account, the resolver with every account's token; and where `server`
/// is one of a deployment, its ports, its place in the cluster and JetStream.
///
/// # Errors
/// See [`NatsError`].
pub fn server_config(
    view: &dyn View,
    restricted: &RestrictedBlocks,
    resolver: Resolver,
    server: Option<(&Deployment, &Server)>,
) -> Result<String, NatsError> {
    let operator = lookup::operator(view)?;
    let name = operator.operator.name.as_str();
    let token = creds::token(restricted, name, operator.token.as_ref())?;
    let mut text = format!("# Trust in operator {}, from its ledger.\n", visible(name));
    let folder = match server {
        None => {
            text.push_str("# Put it into the configuration of every server, or include it.\n");
            "./jwt".to_owned()
        }
        Some((deployment, server)) => {
            whole(&mut text, deployment, server);
            format!("{}/{}/jwt", deployment.store_dir, server.name)
        }
    };
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _ = text.write_fmt(words); // writing to a String does not fail
        text.push('\n');
    };
    line(format_args!("operator: {token}"));
    let accounts = lookup::members(view, operator.operator.operator_id.into(), Kind::Account)?;
    let mut tokens = Vec::new();
    for account in accounts.into_iter().filter(crate::ledger::Entity::is_active) {
        let Facts::Account(account) = account.facts else { continue };
        let text = creds::token(restricted, account.account.name.as_str(), account.token.as_ref())?;
        tokens.push((account.account, text));
    }
    match tokens.iter().find(|(account, _)| Some(account.account_id) == operator.operator.system_account_id) {
        Some((account, _)) => {
            line(format_args!(
                "# The account that servers publish their own events in, and that tokens are pushed through."
            ));
            line(format_args!("system_account: {}", account.public_key));
        }
        None => line(format_args!("# There is no system account: tokens cannot be pushed, only configured.")),
    }
    match resolver {
        Resolver::Memory => {
            line(format_args!("# Tokens stand below, and a change of one needs a reload."));
            line(format_args!("resolver: MEMORY"));
        }
        Resolver::Full => {
            line(format_args!(
                "# Every server keeps all tokens in this folder; an older one never replaces a newer one between servers."
            ));
            line(format_args!(
                "resolver: {{\n    type: full\n    dir: {}\n    allow_delete: true\n    interval: \"2m\"\n    timeout: \"1.9s\"\n}}",
                quoted(&folder)
            ));
        }
        Resolver::Cache => {
            line(format_args!(
                "# This server keeps the tokens in use, and asks servers with a full resolver for others."
            ));
            line(format_args!(
                "resolver: {{\n    type: cache\n    dir: {}\n    limit: 1000\n    ttl: \"1h\"\n}}",
                quoted(&folder)
            ));
        }
    }
    line(format_args!("# Tokens that the resolver begins with."));
    line(format_args!("resolver_preload: {{"));
    for (account, token) in &tokens {
        line(format_args!("    # {}", visible(account.name.as_str())));
        line(format_args!("    {}: {token}", account.public_key));
    }
    line(format_args!("}}"));
    Ok(text)
}

fn whole(text: &mut String, deployment: &Deployment, server: &Server) {
    let store = format!("{}/{}", deployment.store_dir, server.name);
    let mut part = format!(
        "# Paths are relative to the folder that the server is started in.\n\
         server_name: {}\n\
         listen: \"0.0.0.0:{}\"\n\
         # Clients send their tokens over this connection: configure tls before it leaves a network that you trust.\n\
         jetstream: {{\n    store_dir: {}\n}}\n",
        quoted(&server.name),
        server.port,
        quoted(&format!("{store}/jetstream")),
    );
    if deployment.servers.len() > 1 {
        let routes = deployment.servers.iter().filter(|other| *other != server);
        let routes: Vec<_> = routes
            .map(|other| format!("        {}", quoted(&format!("nats://{}:{}", other.host, other.cluster_port))))
            .collect();
        let _ = write!(
            part,
            "# Routes are not authenticated: keep this port to the servers' own network, or configure tls with verify.\n\
             cluster: {{\n    name: {}\n    listen: \"0.0.0.0:{}\"\n    routes: [\n{}\n    ]\n}}\n",
            quoted(&deployment.cluster),
            server.cluster_port,
            routes.join("\n"),
        );
    }
    text.push_str(&part);
}

/// A text as a configuration file has it.
fn quoted(text: &str) -> String {
    let text: String = visible(text).chars().filter(|c| !matches!(c, '"' | '\\')).collect();
    format!("\"{text}\"")
}
