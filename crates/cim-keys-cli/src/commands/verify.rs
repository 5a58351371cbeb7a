//! `verify`: checks everything that is recorded, in a ledger or in an archive of one.

use std::path::{Path, PathBuf};

use cim_keys::app::archive::{self, Held, VerifyError};
use cim_keys::app::attest::Signature;
use cim_keys::app::log::{self, Anchor};
use cim_keys::app::vouch::{self, Tally, Vouched};
use clap::Args;
use serde_json::{Value, json};

use super::log::{read_checkpoint, read_key, told};
use super::signatures;
use crate::cli::Global;
use crate::error::{CliError, Result};
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// An archive, as `export car` wrote it; without it the ledger
    #[arg(value_name = "FILE")]
    archive: Option<PathBuf>,
    /// The ledger's key, for an archive or a stream: a head in it must be signed with it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The live stream that the ledger publishes to, instead of a ledger or an archive
    #[arg(long, value_enum, conflicts_with = "archive")]
    from: Option<super::stream::Origin>,
    #[command(flatten)]
    stream: super::stream::StreamArgs,
    /// A checkpoint that came on another way: the history must be the same
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

pub(crate) fn run(args: &VerifyArgs, global: &Global, ui: Ui) -> Result {
    if args.from.is_some() {
        return super::stream::verify(&args.stream, args.key.as_deref(), args.against.as_deref(), global, ui);
    }
    if !args.stream.flags().is_empty() {
        return Err(CliError::usage("--stream, --url and --creds say which stream").hint("add --from nats"));
    }
    match &args.archive {
        Some(file) => archive(file, args, ui),
        None if args.key.is_some() => {
            Err(CliError::usage("--key is for an archive or a stream").hint("name an archive, or add --from nats"))
        }
        None => ledger(args, global, ui),
    }
}

fn ledger(args: &VerifyArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let against = args.against.as_deref().map(read_checkpoint).transpose()?;
    let bar = ui.progress("verifying", 0);
    let mut report = session.store().verify(&mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    // What is damaged is not asked who signed it.
    let vouched =
        if report.ok() { Some(vouch::vouched(session.store(), &mut |done| bar.set_position(done))?) } else { None };
    bar.finish_and_clear();
    if let Some(vouched) = &vouched {
        report.problems.extend(vouched.problems.iter().cloned());
    }
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|it| json!({ "position": it.position, "cid": it.cid.map(|cid| cid.to_string()), "problem": it.what }))
        .collect();
    // What is damaged may not tell what it is anchored to.
    let anchor = log::anchor(session.store()).ok();
    ui.object(&json!({ "ok": report.ok(), "events": report.events, "problems": problems,
        "anchor": anchor.as_ref().map(anchor_json), "acts": vouched.as_ref().map(acts_json) }))?;
    if report.ok() {
        if let Some(against) = &against {
            log::check_against(session.store(), against).map_err(|error| told(&error))?;
        }
        ui.done(format_args!("{} events: everything is as it was recorded.", report.events))?;
        ui.line("Content identifiers, order, times, causes, tree, signed heads and projections were checked.")?;
        if let Some(against) = &against {
            ui.line(format_args!("The history continues the checkpoint of {} events that was given.", against.size()))?;
        }
        if let Some(vouched) = &vouched {
            tell_acts(vouched, ui)?;
        }
        return anchor.map_or(Ok(()), |anchor| tell_anchor(&anchor, ui));
    }
    let mut error = CliError::verification(format!(
        "{} of what {} events should be is not so",
        report.problems.len() as u64 + report.more,
        report.events
    ));
    for problem in report.problems.iter().take(20) {
        let place = problem.position.map_or_else(String::new, |position| format!("position {position}: "));
        error = error.detail(format!("{place}{}", problem.what));
    }
    if report.problems.len() > 20 {
        error = error.detail("and more: --output json lists them");
    }
    Err(error.hint("go back to a backup, and keep this folder for whoever finds out what happened"))
}

fn acts_json(vouched: &Vouched) -> Value {
    let actor = |it: &Tally| json!({ "actor": it.actor, "name": it.name, "signed": it.signed, "claimed": it.claimed });
    let void = |it: &Signature| json!({ "position": it.position, "cid": it.cid.to_string(), "problem": signatures::problem(&it.verdict) });
    json!({
        "signed": vouched.signed(), "claimed": vouched.claimed(), "signatures": vouched.signatures,
        "actors": vouched.actors.iter().map(actor).collect::<Vec<_>>(),
        "void": vouched.void.iter().map(void).collect::<Vec<_>>(),
    })
}

/// Says who signed what, and who is only said to have acted.
fn tell_acts(vouched: &Vouched, ui: Ui) -> Result {
    let (signed, claimed) = (vouched.signed(), vouched.claimed());
    ui.line(format_args!(
        "Of {} acts their actors have signed {signed}; {claimed} only claim their actor.",
        signed + claimed
    ))?;
    if signed > 0 {
        let row = |it: &Tally| {
            let name = it.name.clone().unwrap_or_else(|| "-".into());
            vec![it.actor.clone(), name, it.signed.to_string(), it.claimed.to_string()]
        };
        let rows: Vec<_> = vouched.actors.iter().map(row).collect();
        ui.table(&["ACTOR", "NAME", "SIGNED", "CLAIMED"], &rows)?;
    }
    for void in vouched.void.iter().take(20) {
        let problem = signatures::problem(&void.verdict).unwrap_or_default();
        ui.line(format_args!("The signature at position {} does not count: {problem}.", void.position))?;
    }
    Ok(())
}

fn anchor_json(anchor: &Anchor) -> Value {
    let cosigned: Vec<_> = anchor.cosigned.iter().map(|(size, names)| json!({ "size": size, "by": names })).collect();
    json!({ "signed": anchor.signed, "published": anchor.published, "cosigned": cosigned, "unsigned": anchor.unsigned })
}

/// Says what keeps whoever holds the passphrase from telling another history.
fn tell_anchor(anchor: &Anchor, ui: Ui) -> Result {
    match anchor.signed {
        None => ui.line("The history is anchored to nothing: no head is signed (`cim-keys log checkpoint --sign`).")?,
        Some(size) => ui.line(format_args!(
            "The history is anchored to a head of {size} events, signed with the ledger's key; {} later events are not covered.",
            anchor.unsigned
        ))?,
    }
    for (size, names) in &anchor.cosigned {
        ui.line(format_args!("Witnesses have cosigned the head of {size} events: {}.", names.join(", ")))?;
    }
    if anchor.published > 0 {
        ui.line(format_args!("Subscribers have received the first {} events.", anchor.published))?;
    }
    let beyond = anchor.cosigned.iter().map(|(size, _)| *size).max().unwrap_or(0).max(anchor.published);
    ui.line(format_args!(
        "Whoever has the passphrase could have rewritten what nobody else has seen: the events after position {beyond}."
    ))
}

fn archive(file: &Path, args: &VerifyArgs, ui: Ui) -> Result {
    let key = args.key.as_deref().map(read_key).transpose()?;
    let against = args.against.as_deref().map(read_checkpoint).transpose()?;
    let held = Held { key: key.as_ref(), against: against.as_ref() };
    let bar = ui.progress("verifying", 0);
    let verified = archive::open(file).and_then(|input| {
        archive::verify(
            input,
            held,
            &mut |done, all| {
                bar.set_length(all);
                bar.set_position(done);
            },
            |_| Ok(()),
        )
    });
    bar.finish_and_clear();
    let verified = match verified {
        Ok(verified) => verified,
        Err(error @ VerifyError::Open { .. }) => return Err(CliError::usage(error.to_string())),
        Err(error) => {
            ui.object(&json!({ "ok": false, "problems": [{ "problem": error.to_string() }] }))?;
            return Err(CliError::verification(format!("{} does not hold", file.display())).because(&error));
        }
    };
    ui.object(&json!({
        "ok": true, "events": verified.last - verified.first + 1, "first": verified.first, "last": verified.last,
        "head": verified.head.to_string(), "blobs": verified.blobs, "checkpoints": verified.checkpoints,
        "signed": verified.signed, "problems": [],
    }))?;
    ui.done(format_args!("Events {} to {}: the archive is whole.", verified.first, verified.last))?;
    ui.line(format_args!("head         {}", verified.head))?;
    ui.line(format_args!("checkpoints  {} agree with the events", verified.checkpoints.len()))?;
    match verified.signed {
        Some(size) => ui.line(format_args!("signed       up to event {size}, with the key that was given")),
        None => ui.line("No key was given, so nothing says whose archive it is: add --key."),
    }
}
