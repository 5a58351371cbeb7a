//! `sync`, `queue flush`, and what a command that recorded something publishes on its way out.

use std::path::PathBuf;

use cim_keys::app::session::Session;
use cim_keys::config::NatsConfig;
use clap::Args;

use crate::place;
use crate::ui::Ui;

#[cfg(not(feature = "nats-client"))]
#[path = "publish/disabled.rs"]
mod way;
#[cfg(feature = "nats-client")]
#[path = "publish/enabled.rs"]
mod way;

#[cfg(feature = "nats-client")]
pub(crate) use way::interrupted;
pub(crate) use way::{after, flush, log_in, sync};

/// The configuration, for what is said and done after something was recorded. A wrong one is a warning then: what was
/// recorded is recorded, and whoever is told of a failure would record it again.
pub(super) fn config_after(session: &Session, ui: Ui) -> Option<NatsConfig> {
    match place::config(Some(session.place().folder())) {
        Ok(resolved) => Some(resolved.config.nats),
        Err(error) => {
            ui.warn(format_args!(
                "what is recorded waits in the ledger, and is not published: {}",
                error.in_one_line()
            ));
            ui.note("`cim-keys config validate` checks the configuration; then `cim-keys sync` publishes");
            None
        }
    }
}

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
