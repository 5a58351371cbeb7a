//! `log`: signed heads of the ledger's history, proofs of what is in it, and checking what others show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cim_keys::app::attest;
use cim_keys::app::log::{self, CheckError, Checked, CheckedEvent, Disclose, Requirements, Witness};
use cim_keys::custody::Ring;
use cim_keys::files::write_durably;
use cim_keys::ipld_support::to_dag_json;
use cim_keys::keys::{Signer, signer_of};
use cim_keys::log::{CheckpointError, SignedCheckpoint, Update, VerifierKey};
use cim_keys::session::Session;
use cim_keys::session::heads;
use cim_keys::session::heads::LogError;
use cim_keys::session::online_key;
use cim_keys::store::{Store, Which};
use cim_keys::text::visible;
use cim_keys::time::Timestamp;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::input::{read, read_checkpoint, read_key, read_policy};
use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::passphrase::{PassphraseArgs, Passphrases};
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show the newest signed head of the ledger, or sign the head of now
    Checkpoint(CheckpointArgs),
    /// Show the ledger's public key in the form that `log check --key` takes
    PublicKey(PublicKeyArgs),
    /// Prove that an event is in the ledger, in one file that anyone can check offline
    Prove(ProveArgs),
    /// Check a proof or a checkpoint that somebody shows; needs no ledger
    Check(CheckArgs),
    /// Prove that the newest signed head continues an earlier one
    Consistency(ConsistencyArgs),
    /// As a witness, sign another ledger's head, if it continues what was seen of that ledger before: with this ledger's
    /// key, or with that of the person whom --as names
    Cosign(CosignArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    /// Sign the head of what is recorded now; asks for the passphrase of compartment "issuing", where the ledger's key lies
    /// in custody only
    #[arg(long)]
    sign: bool,
    /// Keep the signatures of witnesses that this copy of a checkpoint carries
    #[arg(long, value_name = "FILE", conflicts_with = "sign")]
    add: Option<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PublicKeyArgs {
    /// The key under which this ledger signs as a witness of others, or the person whom --as names
    #[arg(long)]
    witness: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The event: its position, its content identifier or the beginning of one
    #[arg(value_name = "EVENT")]
    event: String,
    /// Put the event itself into the proof, not only its content identifier
    #[arg(long)]
    with_event: bool,
    /// Write to this file and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The proof or checkpoint; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The ledger's key as `log public-key` prints it, or a file that holds it
    #[arg(long, value_name = "KEY")]
    key: String,
    /// A witness that must have signed too; can be given several times
    #[arg(long, value_name = "KEY")]
    cosigned_by: Vec<String>,
    /// A policy file (C2SP tlog-policy) that says whose signatures are demanded
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The event must be of before this time (RFC 3339, or a date), and seen before it by the witnesses that are asked for
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// The earlier checkpoint, for a proof of consistency
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ConsistencyArgs {
    /// The earlier checkpoint; without it the head is shown as if to somebody who has seen nothing yet
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Write to this file and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CosignArgs {
    /// What the other ledger shows: the output of its `log consistency`, or its checkpoint; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The other ledger's key, or a file that holds it
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Write to this file and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where it is remembered what was seen, if not in this ledger's folder: a witness that keeps it elsewhere can't be made
    /// to forget by whoever has the folder
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: LogCommand, global: &Global, ui: Ui) -> Result {
    match command {
        LogCommand::Checkpoint(args) => checkpoint(&args, global, ui),
        LogCommand::PublicKey(args) => public_key(&args, global, ui),
        LogCommand::Prove(args) => prove(&args, global, ui),
        LogCommand::Check(args) => check(&args, ui),
        LogCommand::Consistency(args) => consistency(&args, global, ui),
        LogCommand::Cosign(args) => cosign(&args, global, ui),
    }
}

fn checkpoint(args: &CheckpointArgs, global: &Global, ui: Ui) -> Result {
    if args.sign {
        let session = ledger::write(global)?;
        let signed = sign(&session, &args.passphrases)?;
        return show(&signed, 0, ui);
    }
    if let Some(file) = &args.add {
        let session = ledger::write(global)?;
        let copy = read_checkpoint(file)?;
        let kept = log::keep_cosigned(session.store(), &copy).map_err(|error| told(&error))?;
        return show(&kept, 0, ui);
    }
    let session = ledger::read(global)?;
    let head = heads::head(session.store()).map_err(|error| told(&error))?;
    let unsigned = head.unsigned();
    match head.signed {
        Some(signed) => show(&signed, unsigned, ui),
        None => Err(CliError::refused(format!("no head of this ledger is signed yet; it has {} events", head.events))
            .hint("sign it with `cim-keys log checkpoint --sign`")),
    }
}

fn show(signed: &SignedCheckpoint, unsigned: u64, ui: Ui) -> Result {
    ui.object(&json!({
        "checkpoint": signed.to_string(),
        "origin": signed.checkpoint().origin.as_str(),
        "size": signed.size(),
        "signatures": signed.signatures().iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        "unsigned": unsigned,
    }))?;
    if !ui.is_json() {
        ui.raw(signed.to_string().as_bytes())?;
        if unsigned > 0 {
            ui.note(format_args!(
                "{unsigned} later events are not covered; sign them with `cim-keys log checkpoint --sign`"
            ));
        }
    }
    Ok(())
}

/// Opens the ledger's key, and signs the head.
pub(crate) fn sign(session: &Session, passphrases: &PassphraseArgs) -> Result<SignedCheckpoint> {
    let signer = signer(session, passphrases)?;
    heads::sign_head(session.store(), &*signer).map_err(|error| told(&error))
}

/// What signs the ledger's heads, and requests to other ledgers: its own key, stored unencrypted or in custody.
pub(crate) fn signer(session: &Session, passphrases: &PassphraseArgs) -> Result<Arc<dyn Signer>> {
    if let Some(signer) = online_key::signer(session.place(), session.store())? {
        return Ok(signer);
    }
    let key = heads::ledger_key(session.store()).map_err(|error| told(&error))?;
    let mut ring = Ring::at(&session.place().custody(), Passphrases::new(passphrases)?);
    Ok(signer_of(&mut ring, &key)?)
}

fn public_key(args: &PublicKeyArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let key = match &global.signer {
        Some(who) if args.witness => {
            let key = session.store().view(|view| attest::act_key(view, who, Timestamp::now()))??;
            log::witness_key(&key.key).map_err(|error| told(&error))?
        }
        Some(_) => return Err(CliError::usage("a person's key signs no heads of this ledger; add --witness")),
        None => {
            let key = session.store().verifier_key()?;
            if args.witness { key.as_witness() } else { key }
        }
    };
    ui.object(&json!({ "key": key.to_string(), "name": key.name().as_str() }))?;
    ui.line(&key)
}

fn prove(args: &ProveArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let disclose = if args.with_event { Disclose::Event } else { Disclose::Cid };
    write_proof(&session, &args.event, disclose, args.out.as_deref(), None, ui)
}

/// Proves something. Where the newest signed head does not reach that far, and this is where the ledger is written, the head is
/// signed first when `signing` says so, as far as whoever asks can open the ledger's key.
fn covered<T>(
    session: &Session,
    signing: Option<&Global>,
    prove: impl Fn(&Store) -> std::result::Result<T, LogError>,
) -> Result<T> {
    match (prove(session.store()), signing) {
        (Err(unsigned @ LogError::Unsigned { .. }), Some(global)) => {
            let writing = Session::open(session.place().clone(), ledger::system_actor())?;
            if writing.store().writable().is_err() {
                return Err(told(&unsigned));
            }
            sign(&writing, &global.passphrases).map_err(|error| told(&unsigned).detail(error.in_one_line()))?;
            prove(session.store()).map_err(|error| told(&error))
        }
        (answer, _) => answer.map_err(|error| told(&error)),
    }
}

/// Proves that an event is in the ledger, and writes the proof.
pub(crate) fn write_proof(
    session: &Session,
    event: &str,
    disclose: Disclose,
    out: Option<&Path>,
    signing: Option<&Global>,
    ui: Ui,
) -> Result {
    let which: Which = event.parse()?;
    let proof = covered(session, signing, |store| log::prove(store, &which, disclose))?;
    let what = json!({ "proof": proof.to_string(), "position": proof.index + 1,
        "cid": proof.subject.cid().to_string(), "size": proof.checkpoint.size() });
    write(&proof.to_string(), out, &what, ui)
}

/// Proves a revocation and what servers hold of it, and writes the proofs.
pub(crate) fn write_pushed(
    session: &Session,
    event: &str,
    out: Option<&Path>,
    signing: Option<&Global>,
    ui: Ui,
) -> Result {
    let which: Which = event.parse()?;
    let proofs = covered(session, signing, |store| log::prove_pushed(store, &which))?;
    let text: String = proofs.iter().map(ToString::to_string).collect();
    let Some((proof, more)) = proofs.split_first() else { return Ok(()) };
    let what = json!({ "proof": text, "position": proof.index + 1, "cid": proof.subject.cid().to_string(),
        "size": proof.checkpoint.size(), "with": more.iter().map(|proof| proof.index + 1).collect::<Vec<_>>() });
    write(&text, out, &what, ui)?;
    if more.is_empty() {
        ui.warn(
            "no push receipt of this revocation is recorded: nothing says that a server holds it; `cim-keys nats push` \
             or `cim-keys carry in` records one",
        );
    }
    Ok(())
}

fn consistency(args: &ConsistencyArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let from = args.from.as_deref().map(read_checkpoint).transpose()?;
    let update = log::consistency(session.store(), from.as_ref()).map_err(|error| told(&error))?;
    let what = json!({ "update": update.to_string(), "from": update.old_size, "size": update.checkpoint.size() });
    write(&update.to_string(), args.out.as_deref(), &what, ui)
}

fn cosign(args: &CosignArgs, global: &Global, ui: Ui) -> Result {
    let (acting, person) = Acting::begin_with_signer(global, ui)?;
    let log_key = read_key(&args.key)?;
    let text = read(&args.file)?;
    let not_shown = |error: &dyn std::error::Error| CliError::verification(error.to_string());
    let update = if text.starts_with("old ") {
        text.parse::<Update>().map_err(|error| not_shown(&error))?
    } else {
        let checkpoint = text.parse::<SignedCheckpoint>().map_err(|error| not_shown(&error))?;
        // A checkpoint alone is enough the first time, and for the same head again.
        Update { old_size: 0, hashes: Vec::new(), checkpoint }
    };
    let (witness, file) = match person {
        Some((key, signer)) => (Witness::person(&key.key, signer.signer), format!("witnessed-{}", key.key.key_id)),
        None => {
            let signer = signer(acting.session(), &args.passphrases)?;
            (Witness::ledger(acting.session().store(), signer), "witnessed".to_owned())
        }
    };
    let witness = witness.map_err(|error| told(&error))?;
    let memory = args.memory.clone().unwrap_or_else(|| acting.session().place().folder().join(file));
    let signed = log::cosign(&witness, &memory, &update, &log_key, Timestamp::now());
    let signed = signed.map_err(|error| cosign_told(&error))?;
    let what = json!({ "checkpoint": signed.to_string(), "origin": signed.checkpoint().origin.as_str(), "size": signed.size() });
    write(&signed.to_string(), args.out.as_deref(), &what, ui)
}

fn check(args: &CheckArgs, ui: Ui) -> Result {
    let requirements = Requirements {
        key: read_key(&args.key)?,
        witnesses: args.cosigned_by.iter().map(|key| read_key(key)).collect::<Result<_>>()?,
        policy: args.policy.as_deref().map(read_policy).transpose()?,
        before: args
            .before
            .as_deref()
            .map(Timestamp::parse_lenient)
            .transpose()
            .map_err(|error| CliError::usage(error.to_string()))?,
        from: args.from.as_deref().map(read_checkpoint).transpose()?,
    };
    let text = read(&args.file)?;
    let checked = log::check(&text, &requirements).map_err(|error| {
        let told = check_told(&args.file, &error);
        let witness = |key: &str| requirements.witnesses.iter().any(|witness| witness.to_string() == key);
        match &error {
            CheckError::Checkpoint(CheckpointError::NotSigned { key, .. }) if witness(key) => told.hint(
                "that is a witness's key: it signs with `cim-keys log cosign`, the ledger takes that with `cim-keys log checkpoint --add`, \
                 and proofs that are made afterwards hold it",
            ),
            _ => told,
        }
    })?;
    ui.object(&checked_json(&checked, &requirements.key)?)?;
    report(&checked, &requirements, ui)
}

fn report(checked: &Checked, requirements: &Requirements, ui: Ui) -> Result {
    let mut facts = Vec::new();
    if let Some(event) = &checked.event {
        facts.push(("event", event.cid.to_string()));
        facts.push(("position", event.position.to_string()));
        if let Some(proved) = &event.event {
            facts.push(("type", proved.event.event_type().to_owned()));
            facts.push(("time", proved.event.occurred_at.to_string()));
            facts.push(("actor", proved.event.actor.to_string()));
            facts.push(("data", event_json(event)?["data"].to_string()));
        }
    }
    for pushed in &checked.pushed {
        let servers: Vec<&str> = pushed.servers.iter().map(AsRef::as_ref).collect();
        facts.push(("held by", format!("{} at {}, as event {} says", servers.join(", "), pushed.at, pushed.position)));
    }
    facts.push(("ledger", checked.head.origin.to_string()));
    facts.push(("events", checked.head.size.to_string()));
    if let Some(size) = checked.continues {
        facts.push(("continues", format!("the head of {size} events")));
    }
    facts.push(("signed by", requirements.key.to_string()));
    for (name, at) in &checked.cosigned {
        facts.push(("cosigned by", format!("{name} at {at}")));
    }
    ui.facts(&facts)?;
    ui.done(match checked.event {
        Some(_) => "Proved: the event is in this ledger.",
        None => "The signatures hold.",
    })?;
    if checked.cosigned.is_empty() && !ui.is_json() {
        ui.note("Only the ledger's own key vouches for it: whoever holds that key could have written another history.");
    }
    Ok(())
}

fn checked_json(checked: &Checked, key: &VerifierKey) -> Result<Value> {
    let event = checked.event.as_ref().map(event_json).transpose()?;
    let cosigned: Vec<_> =
        checked.cosigned.iter().map(|(name, at)| json!({ "name": name, "at": at.to_string() })).collect();
    let pushed: Vec<_> = checked
        .pushed
        .iter()
        .map(|it| json!({ "position": it.position, "at": it.at.to_string(), "jti": it.jti, "servers": it.servers }))
        .collect();
    Ok(json!({ "ok": true, "origin": checked.head.origin.as_str(), "size": checked.head.size,
        "signed_by": key.to_string(), "cosigned_by": cosigned, "event": event, "pushed": pushed,
        "continues": checked.continues }))
}

/// The event, with the keys of every other command that shows one.
fn event_json(event: &CheckedEvent) -> Result<Value> {
    let mut object = json!({ "position": event.position, "cid": event.cid.to_string() });
    if let Some(proved) = &event.event {
        let text = to_dag_json(&proved.block);
        let text = text.map_err(|error| CliError::failed("the event can't be shown").because(&error))?;
        let whole: Value = serde_json::from_str(&text)
            .map_err(|error| CliError::failed("the event can't be shown").because(&error))?;
        for key in ["id", "type", "occurred_at", "actor", "correlation_id", "causes", "data"] {
            object[key] = whole[key].clone();
        }
    }
    Ok(object)
}

/// Writes a text to a file, whole or not at all, or to standard output.
fn write(text: &str, out: Option<&Path>, what: &Value, ui: Ui) -> Result {
    if let Some(path) = out {
        write_durably(path, text.as_bytes(), false)
            .map_err(|error| CliError::failed(format!("cannot write {}", path.display())).because(&error))?;
        ui.object(what)?;
        return ui.done(format_args!("Wrote {}.", path.display()));
    }
    ui.object(what)?;
    if ui.is_json() { Ok(()) } else { ui.raw(text.as_bytes()) }
}

fn check_told(path: &Path, error: &CheckError) -> CliError {
    let path = path.to_string_lossy();
    match error {
        CheckError::FromNeeded => CliError::explain(error),
        _ => CliError::verification(format!("{} does not hold", visible(&path))).because_of(error),
    }
}

/// How an error of the log is told.
pub(crate) fn told(error: &LogError) -> CliError {
    match error {
        LogError::Empty
        | LogError::Unsigned { .. }
        | LogError::NotEd25519(_)
        | LogError::NoPush { .. }
        | LogError::OtherHistory { .. }
        | LogError::Keep(_) => CliError::explain(error),
        _ => CliError::failed("the log could not be read or signed").because_of(error),
    }
}

fn cosign_told(error: &log::CosignError) -> CliError {
    match error {
        log::CosignError::Witness(_) => CliError::verification("the head was not signed").because_of(error),
        _ => CliError::failed("the head was not signed").because_of(error),
    }
}
