//! `nats request` and `nats sign`: what the connected side wants done, and the authority that does it.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use cim_keys::app::apply::{self};
use cim_keys::app::requests::{self, RefusedRequest};
use cim_keys::declare;
use cim_keys::declare::{Options, Request};
use cim_keys::files::write_durably;
use cim_keys::session::{Place, Session};
use cim_keys::text::visible;
use cim_keys::time::Timestamp;
use clap::Args;
use serde_json::json;

use crate::act::Acting;
use crate::commands::input::read_text;
use crate::commands::{apply as apply_command, log as log_command};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;
use crate::{ledger, place};

/// How long a request can be carried out, in seconds, when nothing is said: a week.
const WEEK: i64 = 7 * 24 * 60 * 60;

/// The largest request that is read: a plan, written as one text.
const LONGEST: u64 = 3 * declare::MAX_PLAN_BYTES as u64;

#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// The apply file: what is to be so
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The ledger of this side's own, whose key signs the request; the authority knows it (`ledger link`) [default: the one
    /// beside the mirror, or in this folder, that the authority knows, when there is exactly one]
    #[arg(long, value_name = "DIR")]
    by: Option<PathBuf>,
    /// The request
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Until when it can be carried out; a week from now when absent
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    expires: Option<Timestamp>,
    /// Ask for the end of what left the file since it was applied last
    #[arg(long)]
    prune: bool,
    /// Ask for the return of what ended although the file has it
    #[arg(long)]
    reinstate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The request
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What would have to be typed again, such as "end people.bob"; once for each
    #[arg(long, value_name = "PHRASE")]
    confirm: Vec<String>,
    /// Show what it comes to, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn request(args: &RequestArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let manifest = apply_command::read_manifest(&args.file)?;
    let options = Options { prune: args.prune, reinstate: args.reinstate };
    let wanted = Request { manifest, name: apply_command::name_of(&args.file)?, options };
    let prepared = apply::prepare(session.store(), wanted)?;
    let week = Timestamp::from_unix_micros(Timestamp::now().unix_micros().saturating_add(WEEK * 1_000_000));
    let expires = args.expires.or(week).ok_or_else(|| CliError::usage("the clock is beyond the year 9999"))?;
    let by = match &args.by {
        Some(folder) => folder.clone(),
        None => own_ledger(&session)?,
    };
    let own = open(&by)?;
    let signer = log_command::signer(&own, &global.passphrases)?;
    let made = requests::make(session.store(), &prepared, &*signer, expires);
    let (id, text) = made.map_err(|error| CliError::explain(&error))?;
    // It holds the plan as it is saved: with the texts of activations.
    let private = prepared.save().is_some_and(|saved| !saved.activations.is_empty());
    write_durably(&args.out, text.as_bytes(), private)
        .map_err(|error| CliError::failed(format!("cannot write {}", args.out.display())).because(&error))?;
    let file = args.out.to_string_lossy();
    ui.object(&json!({ "id": id, "expires_at": expires.to_string(), "file": file, "plan": prepared.plan }))?;
    apply_command::show_plan(&prepared.plan, ui)?;
    ui.done(format_args!("The request is in {}; it can be carried out until {expires}.", args.out.display()))?;
    ui.line("Carry it to the authority: `cim-keys nats sign FILE` shows what it comes to there.")
}

fn open(folder: &Path) -> Result<Session> {
    Ok(Session::open_read_only(Place::new(folder, place::state_folder()?), ledger::system_actor())?)
}

/// The ledger that signs when none is named: the one nearby whose key the authority has registered.
fn own_ledger(mirror: &Session) -> Result<PathBuf> {
    let peers = requests::peers(mirror.store()).map_err(|error| CliError::failed(error.to_string()))?;
    let mut found = Vec::new();
    for folder in place::nearby(mirror.place().folder())? {
        // What does not open is no ledger that could sign.
        let Ok(session) = open(&folder) else { continue };
        let key = &session.store().identity().public_key;
        if peers.iter().any(|peer| peer.public_key == *key) {
            found.push(folder);
        }
    }
    let known = match peers.as_slice() {
        [] => "none".to_owned(),
        peers => peers.iter().map(|peer| format!("\"{}\"", visible(peer.name.as_str()))).collect::<Vec<_>>().join(", "),
    };
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(CliError::usage("it is not said which ledger signs the request")
            .detail(format!("the authority knows these: {known}; and none of them is beside the mirror or in this folder"))
            .hint("name one with --by DIR; `cim-keys ledger link` at the authority makes one known, and a mirror that is updated shows it")),
        several => Err(several.iter().fold(
            CliError::usage("several ledgers could sign the request").hint("name one with --by DIR"),
            |error, folder| error.detail(folder.display().to_string()),
        )),
    }
}

pub(crate) fn sign(args: &SignArgs, global: &Global, ui: Ui) -> Result {
    let text = read_text(&args.file, LONGEST)?;
    let mut acting = match args.dry_run {
        true => Acting::on(ledger::read(global)?, &global.passphrases, ui)?,
        false => Acting::begin(global, &global.passphrases, ui)?,
    };
    let opened = requests::open(acting.session().store(), &text, Timestamp::now()).map_err(refused_told)?;
    let phrases = requests::phrases(&opened.prepared.plan.steps);
    if args.dry_run {
        ui.object(&json!({ "id": opened.id, "from": opened.from, "plan": opened.prepared.plan, "confirm": phrases }))?;
    }
    ui.heading(format_args!(
        "\"{}\" asks, on what it saw of the first {} events:",
        visible(&opened.from),
        opened.base
    ))?;
    if !phrases.is_empty() {
        ui.line("What ends, and what gives power:")?;
        for phrase in &phrases {
            ui.line(format_args!("  ! {}", visible(phrase)))?;
        }
    }
    apply_command::show_plan(&opened.prepared.plan, ui)?;
    if args.dry_run {
        return ui.line("Nothing was changed: this was a dry run.");
    }
    for phrase in &phrases {
        if !args.confirm.contains(phrase) && !retyped(phrase, ui)? {
            return Err(CliError::refused("nothing was recorded: what was typed is something else"));
        }
    }
    if !ui.confirm("Carry this out?")? {
        return Err(CliError::refused("nothing was recorded"));
    }
    acting.session_mut().correlate(opened.id);
    apply_command::carry_out_reviewed(acting, &opened.prepared, ui)
}

/// Asks for a phrase to be typed again. `--yes` is no answer to that.
fn retyped(phrase: &str, ui: Ui) -> Result<bool> {
    if !ui.can_ask() {
        return Err(CliError::refused(format!(
            "\"{}\" has to be typed again, and there is no terminal to ask at",
            visible(phrase)
        ))
        .hint("give it with --confirm, once you have read what it means"));
    }
    {
        let mut err = anstream::stderr().lock();
        write!(err, "Type \"{}\" to confirm: ", visible(phrase))?;
        err.flush()?;
    }
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == phrase)
}

fn refused_told(error: RefusedRequest) -> CliError {
    match error {
        RefusedRequest::Apply(error) => error.into(),
        error => CliError::explain(&error),
    }
}
