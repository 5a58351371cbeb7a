//! `sync` and `queue flush`.

use std::path::PathBuf;

use clap::Args;

#[cfg(not(feature = "nats-client"))]
#[path = "publish/disabled.rs"]
mod way;
#[cfg(feature = "nats-client")]
#[path = "publish/enabled.rs"]
mod way;

#[cfg(feature = "nats-client")]
pub(crate) use way::interrupted;
pub(crate) use way::{flush, log_in, sync};

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Publish what waits, and come back; exit code 5 when no server can be reached
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Which server, and how to begin.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerArgs {
    /// The servers, instead of nats.url: nats://HOST[:PORT] or tls://HOST[:PORT], several joined by commas
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The credentials file, instead of nats.credentials_file
    #[arg(long, value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// Go on at this position, where the stream no longer tells how far it got
    #[arg(long, value_name = "POSITION")]
    pub(crate) from: Option<u64>,
}

impl ServerArgs {
    /// The flags as layers of the configuration: their name, the key, the value.
    pub(crate) fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let url = self.url.iter().map(|url| ("--url", "nats.url", url.clone()));
        let creds = self.creds.iter().map(|path| ("--creds", "nats.credentials_file", path.display().to_string()));
        url.chain(creds).collect()
    }
}
