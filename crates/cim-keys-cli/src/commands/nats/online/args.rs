//! The arguments of commands that ask servers.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// Which servers, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct SystemArgs {
    /// The servers, instead of nats.url: nats://HOST[:PORT] or tls://HOST[:PORT], several joined by commas
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// The credentials file of a user of the system account, instead of nats.credentials_file
    #[arg(long, value_name = "FILE")]
    pub(super) creds: Option<PathBuf>,
    /// How many servers there should be: fewer answers are an error (exit code 5)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) servers: Option<u16>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["account", "all", "delete"])))]
pub(crate) struct PushArgs {
    /// The account to push: its name or public key; several times for several
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) account: Vec<String>,
    /// Push every account
    #[arg(long)]
    pub(super) all: bool,
    /// Make servers delete an account that is deleted in the ledger: its name or public key
    #[arg(long, value_name = "ACCOUNT", conflicts_with_all = ["receipt", "allow_rollback"])]
    pub(super) delete: Vec<String>,
    /// Replace a token even where a server holds a later one, which brings back users that were revoked in between
    #[arg(long)]
    pub(super) allow_rollback: bool,
    /// Write what was proved into this file, for `carry` to take to the ledger's own machine
    #[arg(long, value_name = "FILE")]
    pub(super) receipt: Option<PathBuf>,
    #[command(flatten)]
    pub(super) system: SystemArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Compare only this account: its name or public key
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) account: Option<String>,
    /// Go on comparing, and say so whenever something changes
    #[arg(long)]
    pub(super) watch: bool,
    /// With --watch: end with exit code 4 or 5 as soon as something is not as it should be
    #[arg(long, requires = "watch")]
    pub(super) fail_fast: bool,
    /// With --watch: how many seconds to pause between two comparisons
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) interval: u64,
    #[command(flatten)]
    pub(super) system: SystemArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Pull only this account: its name or public key
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) account: Option<String>,
    /// The folder to write the tokens into, mode 0600; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Keep the texts of tokens that the ledger recorded and whose texts are missing here
    #[arg(long)]
    pub(super) adopt: bool,
    #[command(flatten)]
    pub(super) system: SystemArgs,
}

impl SystemArgs {
    /// The flags as layers of the configuration: their name, the key, the value.
    #[cfg(feature = "nats-client")]
    pub(super) fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let url = self.url.iter().map(|url| ("--url", "nats.url", url.clone()));
        let creds = self.creds.iter().map(|path| ("--creds", "nats.credentials_file", path.display().to_string()));
        url.chain(creds).collect()
    }

    #[cfg(feature = "nats-client")]
    pub(super) fn expected(&self) -> Option<usize> {
        self.servers.map(usize::from)
    }
}
