//! What every command takes.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, Args, ValueHint};

use crate::passphrase::PassphraseArgs;
use crate::ui::Format;

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The ledger's folder; without it the nearest one upward from the working directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CIM_KEYS_LEDGER",
        hide_env_values = true,
        value_hint = ValueHint::DirPath,
        // Unlike the parser for paths this one takes an empty variable, which names nothing.
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub(crate) ledger: Option<PathBuf>,
    /// Text for people, or one JSON object a line for programs
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        env = "CIM_KEYS_OUTPUT",
        hide_env_values = true
    )]
    pub(crate) output: Format,
    /// Answer yes to what would be asked
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// Who acts and signs every event of the command with a key of their own: a person's name, e-mail address or identifier
    #[arg(long = "as", global = true, value_name = "PERSON", env = "CIM_KEYS_AS", hide_env_values = true)]
    pub(crate) signer: Option<String>,
    /// Who acts, as the events only claim it, unsigned: person:UUID, service:NAME, system:NAME, or a person's e-mail address
    #[arg(long, global = true, value_name = "ACTOR", env = "CIM_KEYS_ACTOR", hide_env_values = true)]
    pub(crate) actor: Option<String>,
    /// Record with this machine's clock although it is more than a day away from the last event
    #[arg(long, global = true)]
    pub(crate) accept_clock: bool,
    /// Say more on standard error; twice says even more
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) passphrases: PassphraseArgs,
}

impl Global {
    /// Starts logging to standard error. `CIM_KEYS_LOG` takes the filters of tracing-subscriber.
    pub(crate) fn log(&self) {
        use tracing_subscriber::EnvFilter;
        let default = match self.verbose {
            // What the client logs of a failure, the failure itself says better.
            0 => "error,async_nats=off",
            1 => "cim_keys=info",
            _ => "cim_keys=debug,async_nats=info",
        };
        let filter = std::env::var("CIM_KEYS_LOG").unwrap_or_else(|_| default.to_owned());
        let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(default));
        // A second subscriber is refused; there is only this one.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(|| crate::ui::Harmless(std::io::stderr()))
            .with_ansi(false)
            .without_time()
            .try_init();
    }
}
