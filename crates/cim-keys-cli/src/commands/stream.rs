//! `replay`, `follow`, `reconcile` and `verify --from nats`: the way back from a stream.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[cfg(feature = "nats-client")]
mod follow;
#[cfg(not(feature = "nats-client"))]
#[path = "stream/disabled.rs"]
mod way;
#[cfg(feature = "nats-client")]
#[path = "stream/enabled.rs"]
mod way;

pub(crate) use way::{follow, reconcile, replay, verify};

/// Where a history comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Origin {
    /// The stream that the ledger publishes to
    Nats,
}

/// Which stream, on which server.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StreamArgs {
    /// The stream, instead of nats.stream_name
    #[arg(long, value_name = "STREAM")]
    pub(crate) stream: Option<String>,
    /// The servers, instead of nats.url: nats://HOST[:PORT] or tls://HOST[:PORT], several joined by commas
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The credentials file, instead of nats.credentials_file
    #[arg(long, value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
}

impl StreamArgs {
    /// The flags as layers of the configuration: their name, the key, the value.
    pub(crate) fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let stream = self.stream.iter().map(|name| ("--stream", "nats.stream_name", name.clone()));
        let url = self.url.iter().map(|url| ("--url", "nats.url", url.clone()));
        let creds = self.creds.iter().map(|path| ("--creds", "nats.credentials_file", path.display().to_string()));
        stream.chain(url).chain(creds).collect()
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Where from
    #[arg(long, value_enum, default_value = "nats")]
    pub(crate) from: Origin,
    /// The ledger's key, typed in or in a file; a new mirror is pinned to it for good
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// No further than this signed head, which came on another way: the history must agree with it
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) at: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// The ledger's key, typed in or in a file; a new mirror is pinned to it for good
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Take what is there, and come back; exit code 4 when something is wrong, 5 when no server can be reached
    #[arg(long)]
    pub(crate) once: bool,
    /// End with exit code 4 at the first alarm, and do not wait for it to be mended
    #[arg(long)]
    pub(crate) exit_on_alarm: bool,
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// Show what would be put back, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
}
