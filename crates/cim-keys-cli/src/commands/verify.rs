//! `verify`: checks everything that is recorded, in a ledger or in an archive of one.

use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use cim_keys::app::archive::{ImportError, VerifyError};
use cim_keys::app::verify::{self, Anchor, ArchiveDemands, ArchiveVerified, Verified};
use cim_keys::log::{Policy, SignedCheckpoint};
use cim_keys::session::{Place, Session};
use cim_keys::store::{Demands, Extent};
use cim_keys::verify::{Problem, Report};
use clap::Args;
use serde_json::{Value, json};

use super::input::{read_checkpoint, read_key, read_policy};
use super::signatures::{acts_json, tell_acts};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;
use crate::{ledger, place};

/// Problems that are told in text; `--output json` has more.
const TOLD: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Of each event are checked: its content identifier, its canonical form, its type and schema, its position and subject, its \
time, that what it follows from stands before it, and the hashes of the tree. Of each signed head: its root and its \
signatures, also by keys that were rotated since. Besides: raw blocks, the outbox, and what this machine remembers to have \
signed.

--deep reads every page of the file too, holds each index against its table, and replays all events to compare the tables \
of people, keys and all else with what follows from them. It takes some seven times as long.

Exit code 4 says that something is not as it was recorded; each problem is told with its layer and its position.")]
pub(crate) struct VerifyArgs {
    /// An archive, as `export car` wrote it; without it the ledger
    #[arg(value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Also check every page of the file, and replay all events
    #[arg(long, conflicts_with_all = ["archive", "since", "from"])]
    deep: bool,
    /// The ledger's key, for an archive or a stream: a head in it must be signed with it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The live stream that the ledger publishes to, instead of a ledger or an archive
    #[arg(long, value_enum, conflicts_with = "archive")]
    from: Option<super::stream::Origin>,
    #[command(flatten)]
    stream: super::stream::StreamArgs,
    /// A checkpoint that came on another way: the history must be the same
    #[arg(long, value_name = "CHECKPOINT")]
    against: Option<PathBuf>,
    /// A checkpoint that was verified before: check only what came after it, and that it continues that
    #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["archive", "from"])]
    since: Option<PathBuf>,
    /// A policy file (C2SP tlog-policy) that says whose signatures a head must have; without it `verify.policy` of the
    /// configuration
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    policy: Option<PathBuf>,
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

/// The policy that was named, else the one that is configured.
fn policy(args: &VerifyArgs, folder: Option<&Path>) -> Result<Option<Policy>> {
    match &args.policy {
        Some(file) => read_policy(file).map(Some),
        None => place::config(folder)?.config.verify.policy.as_deref().map(read_policy).transpose(),
    }
}

fn ledger(args: &VerifyArgs, global: &Global, ui: Ui) -> Result {
    let against = args.against.as_deref().map(read_checkpoint).transpose()?;
    let since = args.since.as_deref().map(read_checkpoint).transpose()?;
    let folder = place::ledger(global)?;
    let policy = policy(args, Some(&folder))?;
    let extent = match &since {
        Some(since) => Extent::Since(since),
        None if args.deep => Extent::Deep,
        None => Extent::Events,
    };
    let demands = Demands { extent, against: against.as_ref(), policy: policy.as_ref() };
    let tokens = place::state_folder().unwrap_or_else(|_| folder.clone());
    let verified = match Session::open_read_only(Place::new(&folder, tokens), ledger::system_actor()) {
        Ok(session) => with_bar(ui, |progress| verify::ledger(session.store(), &demands, progress))?,
        Err(error) => verify::unreadable(error)?,
    };
    let Verified { report, anchor, acts } = &verified;
    let mut object = report_json(report);
    object["source"] = "ledger".into();
    object["anchor"] = anchor_json(anchor);
    object["acts"] = acts.as_ref().map(acts_json).into();
    object["policy"] = policy.is_some().then(|| policy_json(report)).into();
    object["since"] = since.as_ref().map(|since| since_json(report, since)).into();
    ui.object(&object)?;
    if !report.ok() {
        return Err(failed(report, "keep this folder for whoever finds out what happened, and go back to a backup"));
    }
    match &since {
        Some(since) => {
            let events = format_args!("{} events after the checkpoint of {}", report.events, since.size()).to_string();
            ui.done(format_args!("{events}: everything is as it was recorded."))?;
            ui.line("The history continues that checkpoint, by a consistency proof.")?;
        }
        None => ui.done(format_args!("{} events: everything is as it was recorded.", report.events))?,
    }
    ui.line(
        "Content identifiers, canonical form, order, times, causes, tree, signed heads and raw blocks were checked.",
    )?;
    match extent {
        Extent::Deep => ui.line("Pages, indexes and the replay of all events agree with them.")?,
        _ => ui.line("Pages, indexes and projections were not: `cim-keys verify --deep` does.")?,
    }
    if let Some(against) = &against {
        ui.line(format_args!("The history continues the checkpoint of {} events that was given.", against.size()))?;
    }
    tell_unknown(report, ui)?;
    if let Some(acts) = acts {
        tell_acts(acts, ui)?;
    }
    tell_anchor(anchor, ui)
}

fn with_bar<T>(ui: Ui, verify: impl FnOnce(&mut dyn FnMut(u64, u64)) -> T) -> T {
    let bar = ui.progress("verifying", 0);
    let done = verify(&mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    done
}

fn report_json(report: &Report) -> Value {
    let problem = |it: &Problem| {
        json!({ "layer": it.layer.as_str(), "position": it.position, "cid": it.cid.map(|cid| cid.to_string()),
            "problem": it.what })
    };
    let problems: Vec<_> = report.problems.iter().map(problem).collect();
    json!({
        "ok": report.ok(), "events": report.events, "problems": problems, "not_listed": report.more,
        "first_problem": report.first_problem().map(problem), "damaged": report.damaged(), "first": report.first, "last": report.last,
        "root": report.root.map(|root| BASE64.encode(root)), "blobs": report.blobs,
        "heads": { "checked": report.heads.checked, "signed": report.heads.signed },
        "unknown": report.unknown,
    })
}

fn anchor_json(anchor: &Anchor) -> Value {
    let cosigned: Vec<_> = anchor.cosigned.iter().map(|(size, names)| json!({ "size": size, "by": names })).collect();
    json!({ "signed": anchor.signed, "published": anchor.published, "cosigned": cosigned,
        "unsigned": anchor.unsigned, "witnessed": anchor.witnessed() })
}

fn policy_json(report: &Report) -> Value {
    let satisfied = report.heads.satisfied.as_ref();
    let by = satisfied.map_or(&[][..], |(_, by)| by);
    let by: Vec<_> = by.iter().map(|(name, at)| json!({ "name": name, "at": at.to_string() })).collect();
    json!({ "satisfied": satisfied.map(|(size, _)| size), "by": by })
}

fn since_json(report: &Report, since: &SignedCheckpoint) -> Value {
    let hashes = report.consistency.iter().flatten().map(|hash| BASE64.encode(hash));
    json!({ "size": since.size(), "consistency": hashes.collect::<Vec<_>>() })
}

/// The report as an error, exit code 4: the first failure, then the others.
fn failed(report: &Report, hint: &str) -> CliError {
    let count = report.problems.len() as u64 + report.more;
    let mut error = CliError::verification(match count {
        1 => format!("something is not as it was recorded; {} events were checked", report.events),
        _ => format!("{count} things are not as they were recorded; {} events were checked", report.events),
    });
    let mut told: Vec<&Problem> = report.problems.iter().collect();
    told.sort_by_key(|problem| problem.position.unwrap_or(u64::MAX));
    for problem in told.iter().take(TOLD) {
        let place = problem.position.map_or_else(String::new, |position| format!(" position {position}"));
        let cid = problem.cid.map_or_else(String::new, |cid| format!(" ({cid})"));
        error = error.detail(format!("{}{place}{cid}: {}", problem.layer, problem.what));
    }
    if told.len() > TOLD {
        error = error.detail("and more: --output json lists them");
    }
    let damaged = report.damaged();
    if damaged.len() > 1 || damaged.iter().any(|(first, last)| first != last) {
        let range = |(first, last): &(u64, u64)| {
            if first == last { first.to_string() } else { format!("{first} to {last}") }
        };
        let ranges: Vec<String> = damaged.iter().take(TOLD).map(range).collect();
        let more = if damaged.len() > TOLD { ", and more" } else { "" };
        error = error.detail(format!("positions concerned: {}{more}", ranges.join(", ")));
    }
    error.hint(hint)
}

fn tell_unknown(report: &Report, ui: Ui) -> Result {
    if report.unknown.is_empty() {
        return Ok(());
    }
    let types: Vec<String> = report.unknown.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    ui.line(format_args!("Of types that this release does not know, and kept as they are: {}.", types.join(", ")))
}

/// Says what keeps whoever holds the passphrase from telling another history.
fn tell_anchor(anchor: &Anchor, ui: Ui) -> Result {
    match anchor.signed {
        None => ui.line("The history is anchored to nothing: no head is signed (`cim-keys log checkpoint --sign`).")?,
        Some(size) => {
            let rest = match anchor.unsigned {
                0 => "that is all of them".to_owned(),
                1 => "1 later event is not covered".to_owned(),
                more => format!("{more} later events are not covered"),
            };
            ui.line(format_args!(
                "The history is anchored to a head of {size} events, signed with the ledger's key; {rest}."
            ))?;
        }
    }
    for (size, names) in &anchor.cosigned {
        ui.line(format_args!("Witnesses have cosigned the head of {size} events: {}.", names.join(", ")))?;
    }
    match anchor.satisfied {
        Some(size) => ui.line(format_args!("The head of {size} events has the signatures that the policy demands."))?,
        None if !anchor.cosigned.is_empty() => {
            ui.line("Whether these signatures are the witnesses', a policy with their keys says (--policy).")?;
        }
        None => {}
    }
    if anchor.published > 0 {
        ui.line(format_args!("Subscribers have received the first {} events.", anchor.published))?;
    }
    ui.line(format_args!(
        "Whoever has the passphrase could have rewritten what nobody else has seen: the events after position {}.",
        anchor.witnessed()
    ))
}

fn archive(file: &Path, args: &VerifyArgs, ui: Ui) -> Result {
    let key = args.key.as_deref().map(read_key).transpose()?;
    let against = args.against.as_deref().map(read_checkpoint).transpose()?;
    let policy = policy(args, None)?;
    let demands = ArchiveDemands { key: key.as_ref(), against: against.as_ref(), policy: policy.as_ref() };
    let verified = with_bar(ui, |progress| verify::archive(file, &demands, progress));
    let ArchiveVerified { report, archive: verified, acts } = verified.map_err(|error| match error {
        ImportError::Verify(VerifyError::Open { .. }) => CliError::explain(&error),
        _ => CliError::failed("the archive could not be verified").because_of(&error),
    })?;
    let mut object = report_json(&report);
    object["source"] = "archive".into();
    object["acts"] = acts.as_ref().map(acts_json).into();
    object["policy"] = policy.is_some().then(|| policy_json(&report)).into();
    if let Some(verified) = &verified {
        object["head"] = verified.head.to_string().into();
        object["checkpoints"] = json!(verified.checkpoints);
        object["signed"] = json!(verified.signed);
    }
    ui.object(&object)?;
    let Some(verified) = verified.filter(|_| report.ok()) else {
        return Err(failed(&report, "keep the file as it is, and copy or export it again"));
    };
    ui.done(format_args!("Events {} to {}: the archive is whole.", verified.first, verified.last))?;
    ui.line(format_args!("head         {}", verified.head))?;
    ui.line(format_args!("checkpoints  {} agree with the events", verified.checkpoints.len()))?;
    tell_unknown(&report, ui)?;
    match &acts {
        Some(acts) => tell_acts(acts, ui)?,
        None => ui.line("Who signed what is said for a whole history only: this is a part of one.")?,
    }
    match verified.signed {
        Some(size) => ui.line(format_args!("signed       up to event {size}, with the key that was given")),
        None => ui.line("No key was given, so nothing says whose archive it is: add --key."),
    }
}
