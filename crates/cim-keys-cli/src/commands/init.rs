//! `init`: makes a ledger.

use std::path::{Path, PathBuf};

use cim_keys::app::init::{NewLedger, init_shown, remove_residue};
use cim_keys::config::Config;
use cim_keys::custody::{ISSUING, ROOT, WorkFactor};
use cim_keys::session::{Place, Session};
use cim_keys::text::{Label, Name};
use clap::Args;
use serde_json::json;

use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::passphrase::{PassphraseArgs, Passphrases};
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder, which is made when it is absent; the working directory when nothing is said
    dir: Option<PathBuf>,
    /// The ledger's name; the folder's when nothing is said
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    /// Refuse any server but those of this machine, from the start
    #[arg(long)]
    air_gapped: bool,
    /// Keep the ledger's own key in a file (ledger.key, mode 0600) besides, so that heads are signed without a passphrase:
    /// for relays, agents and embedded use
    #[arg(long)]
    online_ledger_key: bool,
    #[command(flatten)]
    custody: CustodyArgs,
}

/// How the custody of a new ledger is made.
#[derive(Debug, Clone, Args)]
pub(crate) struct CustodyArgs {
    /// Write passphrases that are generated to standard error, also when that is no terminal
    #[arg(long)]
    show_passphrase: bool,
    /// How dear a guess at a passphrase is, as a power of two; 18 is about a second
    #[arg(long, value_name = "N", default_value_t = 18, hide = true)]
    work_factor: u8,
    #[command(flatten)]
    pub(super) passphrases: PassphraseArgs,
}

impl CustodyArgs {
    /// Where passphrases come from.
    pub(crate) const fn passphrases(&self) -> &PassphraseArgs {
        &self.passphrases
    }
}

pub(crate) fn run(args: &InitArgs, global: &Global, ui: Ui) -> Result {
    ledger::nobody_signs_yet(global)?;
    let named = global.ledger.as_ref().filter(|folder| !folder.as_os_str().is_empty());
    let dir = args.dir.clone().or_else(|| named.cloned()).unwrap_or_else(|| PathBuf::from("."));
    let manner = Manner { air_gapped: args.air_gapped, online_key: args.online_ledger_key };
    let session = make(&dir, args.name.clone(), manner, &args.custody, ui)?;
    let identity = session.store().identity();
    let key = session.store().verifier_key().map_err(|error| CliError::failed(error.to_string()))?;
    ui.object(&json!({
        "ledger": dir.to_string_lossy(),
        "ledger_id": identity.ledger_id,
        "name": identity.name,
        "public_key": identity.public_key,
        "verifier_key": key.to_string(),
        "source": identity.source,
        "compartments": [ROOT, ISSUING],
        "online_key": args.online_ledger_key,
    }))?;
    ui.done(format_args!("The ledger \"{}\" is made.", identity.name))?;
    let mut facts = vec![
        ("folder", dir.display().to_string()),
        ("ledger", identity.ledger_id.to_string()),
        ("ledger key", key.to_string()),
        ("custody", format!("compartments {ROOT} and {ISSUING}")),
    ];
    if args.online_ledger_key {
        facts.push(("online key", session.place().online_key().display().to_string()));
    }
    ui.facts(&facts)?;
    ui.line("")?;
    ui.line("Write the ledger key down: mirrors and auditors check with it what comes from this ledger.")?;
    ui.line("Next: `cim-keys apply FILE` declares an organisation; `cim-keys organization add NAME` begins by hand.")?;
    Acting::on(session, &args.custody.passphrases, ui)?.publish()
}

/// What a new ledger is for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Whether it refuses any server but those of this machine.
    air_gapped: bool,
    /// Whether its own key is stored unencrypted, beside custody.
    online_key: bool,
}

/// Makes a ledger, and shows the passphrases that were generated for it.
pub(crate) fn make(dir: &Path, name: Option<Name>, manner: Manner, custody: &CustodyArgs, ui: Ui) -> Result<Session> {
    let place = Place::new(dir, place::state_folder()?);
    if place.database().exists() {
        remove_residue(&place);
        return Err(CliError::usage(format!("there is a ledger in {} already", dir.display()))
            .hint("use it, or name another folder"));
    }
    let name = match name {
        Some(name) => name,
        None => name_of(dir)?,
    };
    let work = WorkFactor::new(custody.work_factor)
        .ok_or_else(|| CliError::usage("the work factor is between 10 and 20; 18 is the default"))?;
    let compartments = [Label::new(ROOT)?, Label::new(ISSUING)?];
    let passphrases = Passphrases::new(&custody.passphrases)?.for_new(&compartments, custody.show_passphrase)?;
    let config = match manner.air_gapped {
        true => Config::example().replace("air_gapped = false", "air_gapped = true"),
        false => Config::example(),
    };
    let spinner = ui.spinner("making custody");
    init_shown(
        place,
        NewLedger {
            name,
            actor: ledger::system_actor(),
            compartments: passphrases.passphrases.clone(),
            online_key: manner.online_key,
            work,
            config,
        },
        || {
            spinner.finish_and_clear();
            passphrases.show(ui)
        },
    )
    .map_err(CliError::from)
}

/// The folder's name as the ledger's.
fn name_of(dir: &Path) -> Result<Name> {
    let full = std::path::absolute(dir)
        .map_err(|error| CliError::failed("cannot tell the working directory").because(&error))?;
    let normal: PathBuf = full.components().collect();
    let name = normal.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Name::typed(&name).map_err(|error| {
        CliError::usage("the folder's name can't be the ledger's")
            .because(&error)
            .hint("give the ledger a name with --name")
    })
}
