//! The arguments of `agent`.

use std::path::PathBuf;

use cim_keys::text::Label;
use clap::{Args, Subcommand};

use crate::commands::nats::span;

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Open the compartment of an issuer's signing keys and serve `nats creds` from here, until the time is over or it is
    /// stopped; it stays in the foreground, unless --detach is given
    Start(StartArgs),
    /// Show what an agent serves, and for how long
    Status(SocketArgs),
    /// End an agent
    Stop(SocketArgs),
}

/// Where an agent is.
#[derive(Debug, Clone, Args)]
pub(crate) struct SocketArgs {
    /// The agent's socket [default: cim-keys/agent.sock in XDG_RUNTIME_DIR, or agent/agent.sock in this user's state folder]
    #[arg(long, visible_alias = "agent", value_name = "SOCKET", env = "CIM_KEYS_AGENT", hide_env_values = true)]
    pub(super) socket: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// How long the agent lives: 30m, 8h
    #[arg(long, value_name = "DURATION", default_value = "8h", value_parser = span)]
    pub(super) ttl: u64,
    /// How long a user is good at most
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = span)]
    pub(super) max_ttl: u64,
    /// The one compartment that is opened
    #[arg(long, value_name = "NAME", default_value = "issuing")]
    pub(super) compartment: Label,
    /// Go into the background when it can be asked, and print what a shell evaluates: eval "$(cim-keys agent start --detach)"
    #[arg(long)]
    pub(super) detach: bool,
    /// It is the one in the background
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub(super) detached: bool,
    #[command(flatten)]
    pub(super) socket: SocketArgs,
}
