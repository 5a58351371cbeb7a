//! `sync`, `queue flush`, and what a command that recorded something publishes on its way out.

use clap::Args;

mod disabled;

pub(crate) use disabled::{after, flush, sync};

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Publish what waits, and come back; an error when no server can be reached
    #[arg(long)]
    pub(crate) once: bool,
}
