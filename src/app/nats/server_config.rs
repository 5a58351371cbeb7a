//! The part of a server's configuration that trusts an operator.

use std::fmt::Write as _;

use super::creds;
use super::lookup;
use super::work::NatsError;
use crate::ledger::{Facts, Kind, View};
use crate::store::RestrictedBlocks;

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

/// A configuration that starts as it is: trust in the operator, the system account, the resolver with every account's
/// token. JetStream is on, in `store_dir` beside the resolver's folder.
///
/// # Errors
/// See [`NatsError`].
pub fn server_config(
    view: &dyn View,
    restricted: &RestrictedBlocks,
    resolver: Resolver,
    server_name: Option<&str>,
) -> Result<String, NatsError> {
    let operator = lookup::operator(view)?;
    let name = operator.operator.name.as_str();
    let token = creds::token(restricted, name, operator.token.as_ref())?;
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _ = text.write_fmt(words); // writing to a String does not fail
        text.push('\n');
    };
    line(format_args!(
        "# Trust in operator {name}, from its ledger. Put it into the configuration of every server, or include it."
    ));
    if let Some(server_name) = server_name {
        line(format_args!("server_name: {server_name}"));
    }
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
                "resolver: {{\n    type: full\n    dir: \"./jwt\"\n    allow_delete: true\n    interval: \"2m\"\n    timeout: \"1.9s\"\n}}"
            ));
        }
        Resolver::Cache => {
            line(format_args!(
                "# This server keeps the tokens in use, and asks servers with a full resolver for others."
            ));
            line(format_args!(
                "resolver: {{\n    type: cache\n    dir: \"./jwt\"\n    limit: 1000\n    ttl: \"1h\"\n}}"
            ));
        }
    }
    line(format_args!("# Tokens that the resolver begins with."));
    line(format_args!("resolver_preload: {{"));
    for (account, token) in &tokens {
        line(format_args!("    # {}", account.name));
        line(format_args!("    {}: {token}", account.public_key));
    }
    line(format_args!("}}"));
    Ok(text)
}
