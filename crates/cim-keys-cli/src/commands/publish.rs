//! `sync`, `queue flush`, and the publication at the end of each act.

use std::path::PathBuf;

use cim_keys::app::publishing::{LedgerPublisher, Publisher as _};
use cim_keys::app::session::Session;
use clap::Args;

use super::publication;
use crate::error::Result;
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
pub(crate) use way::{flush, log_in, sync};

/// Publishes what an act has recorded, and reports it. It never fails an act: only a closed standard output is an error.
pub(crate) fn after(session: &Session, ui: Ui) -> Result {
    let configuration = place::config(Some(session.place().folder())).map_err(|error| error.in_one_line());
    let publication = LedgerPublisher::new(session.store(), configuration).wake();
    publication::tell(&publication, ui)
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
