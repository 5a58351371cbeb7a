//! Reading streams, in a build that has the feature `nats-client`.

use std::path::Path;

use cim_keys::adapters::nats_client::ConnectError;
use cim_keys::adapters::nats_client::restore::RestoreError;
use cim_keys::adapters::stream_reader::{StreamReadError, StreamReader};
use cim_keys::config::NatsConfig;
use cim_keys::log::{SignedCheckpoint, VerifierKey};
use cim_keys::replica::reconcile::{Differences, ReconcileError, Reconciler};
use cim_keys::replica::replay::{ReplayError, Replayed, Replica};
use cim_keys::replica::stream::{self, LedgerStream, StreamVerified, VouchError};
use cim_keys::session::Place;
use cim_keys::session::vouch::Vouched;
use cim_keys::store::Store;
use cim_keys::text::visible;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) use super::follow::run as follow;

use super::super::input::{read_checkpoint, read_key};
use super::super::log::told as log_told;
use super::super::signatures::{acts_json, tell_acts};
use super::{ReconcileArgs, ReplayArgs, StreamArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::place;
use crate::ui::Ui;

pub(crate) fn replay(args: &ReplayArgs, global: &Global, ui: Ui) -> Result {
    let super::Origin::Nats = args.from;
    let runtime = runtime()?;
    let (mirror, key) = mirror(args.key.as_deref(), global)?;
    let at = args.at.as_deref().map(read_checkpoint).transpose()?;
    let stream = open(&runtime, &args.stream, mirror.folder(), &key)?;
    let mut replica = Replica::new(&stream, mirror.clone(), &key).map_err(|error| replay_told(&error))?;
    let bar = ui.progress("replaying", 0);
    let replayed = replica.catch_up(at.as_ref(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let replayed = replayed.map_err(|error| replay_told(&error))?;
    ui.object(&replayed_json(&replayed, &mirror))?;
    for remark in &replayed.remarks {
        ui.warn(visible(&remark.to_string()));
    }
    tell_parked(&replayed, ui);
    if replayed.end == 0 {
        return Err(CliError::failed("nothing was taken: no signed head covers what the stream has").hint(
            "sign the head at the ledger (`cim-keys log checkpoint --sign`), then `cim-keys reconcile` publishes it",
        ));
    }
    ui.done(match replayed.new {
        0 => format!("Nothing is new: the mirror has {} events.", replayed.end),
        new => format!("Took {new} events; the mirror has {} now, all of them signed.", replayed.end),
    })?;
    if let Some(checkpoint) = &replayed.checkpoint {
        ui.line(format_args!("The head of {} events is the one that the ledger signed.", checkpoint.size()))?;
    }
    if replayed.waiting() > 0 && at.is_none() {
        ui.warn(format_args!(
            "{} more events are in the stream and were not taken: no signed head covers them yet",
            replayed.waiting()
        ));
    }
    Ok(())
}

/// Verifies the stream itself.
pub(crate) fn verify(args: &StreamArgs, key: Option<&str>, against: Option<&Path>, global: &Global, ui: Ui) -> Result {
    let runtime = runtime()?;
    let folder = place::ledger_or_new(global)?.filter(|folder| folder.join(place::LEDGER_FILE).exists());
    let config = || -> Result<NatsConfig> { Ok(place::config_with(folder.as_deref(), &args.flags())?.config.nats) };
    let (config, stream) = match (key, &folder) {
        (Some(key), _) => {
            let (key, config) = (read_key(key)?, config()?);
            let stream = connect(&runtime, &config, &key)?;
            (config, stream)
        }
        (None, Some(_)) => {
            let (session, config) = (ledger::read(global)?, config()?);
            let stream = connect_own(&runtime, &config, session.store())?;
            (config, stream)
        }
        (None, None) => {
            return Err(CliError::usage("whose history shall be verified? There is no ledger here")
                .hint("give the ledger's key with --key, as `cim-keys log public-key` prints it"));
        }
    };
    let against = against.map(read_checkpoint).transpose()?;
    if let Some(Err(error)) = against.as_ref().map(|against| stream.keys().verify(against))
        && !stream.may_be_of_another_key(&error).map_err(|error| read_told(&error))?
    {
        return Err(CliError::verification(error.to_string()));
    }
    let bar = ui.progress("verifying", 0);
    let verified = stream::verify(&stream, against.clone().into_iter().collect(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    let mut verified = verified.map_err(|error| read_told(&error))?;
    let acts = stream::vouched(&stream, &verified, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let acts = acts.map_err(|error| match &error {
        VouchError::Stream(error) => read_told(error),
        error => CliError::failed("who signed what could not be looked at").because_of(error),
    })?;
    if let Some(acts) = &acts {
        acts.tell(&mut verified.report);
    }
    tell_verified(&verified, acts.as_ref(), &config, against.as_ref(), ui)
}

fn tell_verified(
    verified: &StreamVerified,
    acts: Option<&Vouched>,
    config: &NatsConfig,
    against: Option<&SignedCheckpoint>,
    ui: Ui,
) -> Result {
    let report = &verified.report;
    let unreached = verified.unreached.first();
    let ok = report.ok() && unreached.is_none();
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|it| json!({ "position": it.position, "cid": it.cid.map(|cid| cid.to_string()), "problem": it.what }))
        .collect();
    let parked: Vec<_> =
        verified.parked.iter().map(|(position, cid)| json!({ "position": position, "cid": cid.to_string() })).collect();
    ui.object(&json!({
        "ok": ok, "events": report.events, "problems": problems, "stream": config.stream_name.as_str(),
        "heads": verified.heads, "last": verified.last, "signed": (verified.signed > 0).then_some(verified.signed),
        "acts": acts.map(acts_json),
        "parked": parked, "unclosed": verified.unclosed, "given_up": verified.given_up,
        "keys": verified.keys.iter().map(|(from, key)| json!({ "from": from, "key": key.to_string() })).collect::<Vec<_>>(),
    }))?;
    if !ok {
        let count = report.problems.len() as u64 + report.more + u64::from(unreached.is_some());
        let mut error = CliError::verification(format!(
            "the stream {} does not hold: {count} of what it should be is not so",
            config.stream_name
        ));
        for problem in report.problems.iter().take(20) {
            let place = problem.position.map_or_else(String::new, |position| format!("position {position}: "));
            error = error.detail(format!("{place}{}", problem.what));
        }
        if report.problems.len() > 20 {
            error = error.detail("and more: --output json lists them");
        }
        if let Some(size) = unreached {
            error =
                error.detail(format!("the stream ends at {}, before the checkpoint of {size} events", verified.last));
        }
        return Err(error.hint("`cim-keys reconcile` at the ledger puts back what the stream has lost"));
    }
    ui.done(format_args!("{} events: the stream {} is whole.", report.events, config.stream_name))?;
    ui.line("Messages, content identifiers, order, causes, heads, tree and signed heads were checked.")?;
    match verified.signed {
        0 => ui.line("No head in the stream is signed: nothing says that the ledger wrote this history.")?,
        size => ui.line(format_args!("The ledger's key has signed the head of {size} of {} events.", verified.last))?,
    }
    if let Some(against) = against {
        ui.line(format_args!("The history continues the checkpoint of {} events that was given.", against.size()))?;
    }
    if let Some(acts) = acts {
        tell_acts(acts, ui)?;
    }
    for (from, key) in verified.keys.iter().skip(1) {
        ui.line(format_args!("From event {from} on it goes on under the key {key}."))?;
    }
    if verified.given_up > 0 {
        ui.warn(format_args!(
            "{} messages under an earlier key were left out: the ledger did not go on from them when it was recovered",
            verified.given_up
        ));
    }
    for (position, cid) in &verified.parked {
        ui.line(format_args!("Parked, and so not in the stream: position {position}, {cid}."))?;
    }
    match verified.unclosed {
        0 => Ok(()),
        some => ui.line(format_args!("{some} events are there and no head covers them yet.")),
    }
}

pub(crate) fn reconcile(args: &ReconcileArgs, global: &Global, ui: Ui) -> Result {
    let runtime = runtime()?;
    let session = ledger::read(global)?;
    let config = place::config_with(Some(session.place().folder()), &args.stream.flags())?.config.nats;
    let stream = connect_own(&runtime, &config, session.store())?;
    let reconciler = Reconciler::new(runtime.handle().clone(), &stream, session.store());
    let reconciler = reconciler.map_err(|error| reconcile_told(&error))?;
    let bar = ui.progress("comparing", 0);
    let differences = reconciler.compare(&mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let differences = differences.map_err(|error| reconcile_told(&error))?;
    let mut restored = 0;
    if !args.dry_run {
        let bar = ui.progress("putting back", differences.lost());
        let answer = reconciler.put_back(&differences, &mut |done, _| bar.set_position(done));
        bar.finish_and_clear();
        restored = answer.map_err(|error| reconcile_told(&error))?;
    }
    ui.object(&differences_json(&differences, restored, args.dry_run))?;
    tell_differences(&differences, restored, args.dry_run, ui)
}

fn differences_json(differences: &Differences, restored: u64, dry_run: bool) -> Value {
    let ranges: Vec<_> =
        differences.missing.iter().map(|(from, through)| json!({ "from": from, "through": through })).collect();
    let twice: Vec<_> = differences
        .twice
        .iter()
        .map(|(position, sequence)| json!({ "position": position, "sequence": sequence }))
        .collect();
    let bad: Vec<_> =
        differences.bad.iter().map(|(sequence, problem)| json!({ "sequence": sequence, "problem": problem })).collect();
    json!({
        "published": differences.published, "present": differences.present, "lost": differences.lost(),
        "missing": ranges, "restored": restored, "dry_run": dry_run, "parked": differences.parked,
        "expired": differences.expired, "twice": twice, "bad": bad, "objects": differences.objects,
        "head_without_checkpoint": differences.unsigned_head,
    })
}

fn tell_differences(differences: &Differences, restored: u64, dry_run: bool, ui: Ui) -> Result {
    for (from, through) in &differences.missing {
        let what = if from == through { format!("position {from}") } else { format!("positions {from} to {through}") };
        ui.line(format_args!("The stream has lost {what}."))?;
    }
    for position in &differences.objects {
        ui.line(format_args!("The object of position {position} is gone from the object store."))?;
    }
    if differences.expired > 0 {
        ui.line(format_args!(
            "The stream's own limits have dropped the positions up to {}; those are not put back.",
            differences.expired
        ))?;
    }
    for (position, sequence) in &differences.twice {
        ui.warn(format_args!(
            "position {position} stands there again, at sequence {sequence}; subscribers may see it twice"
        ));
    }
    for (sequence, problem) in &differences.bad {
        ui.warn(format_args!("message {sequence} is none of the ledger's events: {}", visible(problem)));
    }
    match (differences.is_whole(), dry_run) {
        (true, _) => ui.done(format_args!(
            "Nothing is missing: the stream has {} of {} published events.",
            differences.present, differences.published
        )),
        (false, true) => ui.line(format_args!(
            "{} would be put back; nothing was changed. Without --dry-run they are.",
            events(differences.lost())
        )),
        (false, false) if restored > 0 => {
            ui.done(format_args!("Put back {}, with the header Cim-Restored: true.", events(restored)))
        }
        (false, false) if differences.unsigned_head => ui.done("Published the signed head of what the stream has."),
        (false, false) => ui.done("Put back the objects."),
    }
}

pub(super) fn events(count: u64) -> String {
    if count == 1 { "1 event".into() } else { format!("{count} events") }
}

pub(super) fn replayed_json(replayed: &Replayed, mirror: &Place) -> Value {
    let parked: Vec<_> =
        replayed.parked.iter().map(|(position, cid)| json!({ "position": position, "cid": cid.to_string() })).collect();
    json!({
        "mirror": mirror.folder().to_string_lossy(), "new": replayed.new, "events": replayed.end,
        "published": replayed.last, "waiting": replayed.waiting(), "parked": parked,
        "signed": replayed.checkpoint.as_ref().map(SignedCheckpoint::size),
        "checkpoint": replayed.checkpoint.as_ref().map(ToString::to_string),
        "remarks": replayed.remarks.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A parked event never was in the stream, so a mirror that is fed from it can't go on behind it.
pub(super) fn tell_parked(replayed: &Replayed, ui: Ui) {
    if let Some((position, _)) = replayed.parked.first().filter(|(position, _)| *position == replayed.end + 1) {
        ui.warn(format_args!(
            "event {position} is parked: the server refused it, so the stream does not have it and nothing behind it was taken; \
             bring it as an archive (`cim-keys import car`), or let it be published (`cim-keys queue retry`)"
        ));
    }
}

/// Where the mirror is or will be, and the key that it is pinned to.
pub(super) fn mirror(key: Option<&str>, global: &Global) -> Result<(Place, VerifierKey)> {
    let folder = place::ledger_or_new(global)?.ok_or_else(|| {
        CliError::usage("no mirror was named, and there is none in this folder or above it")
            .hint("name its folder with --ledger DIR; it is made when it is absent")
    })?;
    // A mirror gives no right to write, so nothing is kept outside of its folder.
    let mirror = Place::new(&folder, folder.join("tokens"));
    let key = match key {
        Some(key) => read_key(key)?,
        None if mirror.database().exists() => {
            let pinned = Store::open_read_only(mirror.options())?.pinned_key()?;
            pinned.ok_or_else(|| replay_told(&cim_keys::store::OpenError::NotAMirror(mirror.database()).into()))?
        }
        None => return Err(replay_told(&ReplayError::KeyNeeded)),
    };
    Ok((mirror, key))
}

pub(super) fn open(runtime: &Runtime, args: &StreamArgs, folder: &Path, key: &VerifierKey) -> Result<LedgerStream> {
    let config = place::config_with(Some(folder), &args.flags())?.config.nats;
    connect(runtime, &config, key)
}

fn connect(runtime: &Runtime, config: &NatsConfig, key: &VerifierKey) -> Result<LedgerStream> {
    Ok(LedgerStream::new(runtime.handle().clone(), reader(runtime, config)?, key))
}

/// The stream of a ledger that is at hand.
fn connect_own(runtime: &Runtime, config: &NatsConfig, store: &Store) -> Result<LedgerStream> {
    let stream = LedgerStream::of_ledger(runtime.handle().clone(), reader(runtime, config)?, store);
    stream.map_err(|error| log_told(&error))
}

fn reader(runtime: &Runtime, config: &NatsConfig) -> Result<StreamReader> {
    config.validate().map_err(|error| place::invalid_config(&error))?;
    runtime.block_on(StreamReader::connect(config)).map_err(|error| connect_told(&error))
}

pub(super) fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| CliError::failed("cannot start the reader").because(&error))
}

fn connect_told(error: &ConnectError) -> CliError {
    match error {
        ConnectError::Disabled | ConnectError::CredentialsFile { .. } => {
            CliError::usage("cannot read the stream").because_of(error)
        }
        _ => CliError::unreachable("cannot read the stream").because_of(error),
    }
}

fn read_told(error: &StreamReadError) -> CliError {
    match error {
        StreamReadError::Connect(error) => connect_told(error),
        StreamReadError::NoStream(_) => CliError::explain(error),
        StreamReadError::Denied { .. } => CliError::refused("cannot read the stream").because_of(error),
        StreamReadError::Failed { .. } => CliError::unreachable("cannot read the stream").because_of(error),
        _ => CliError::failed("cannot read the stream").because_of(error),
    }
}

pub(super) fn replay_told(error: &ReplayError) -> CliError {
    match error {
        ReplayError::Stream(error) => read_told(error),
        error if error.is_alarm() => CliError::verification("the stream does not hold").because_of(error),
        ReplayError::Checkpoint(_) => CliError::verification("the checkpoint was not taken").because_of(error),
        ReplayError::KeyNeeded | ReplayError::OtherKey { .. } | ReplayError::Nothing { .. } => CliError::explain(error),
        ReplayError::Open(cim_keys::store::OpenError::NotAMirror(path)) => {
            CliError::refused(format!("{} is a ledger of its own, and no mirror", path.display()))
                .hint("name another folder with --ledger; a mirror is made there")
        }
        _ => CliError::failed("not everything was taken").because_of(error).hint("try again: what was taken stays"),
    }
}

fn reconcile_told(error: &ReconcileError) -> CliError {
    match error {
        ReconcileError::Stream(error) => read_told(error),
        ReconcileError::Restore(RestoreError::Connect(error)) => connect_told(error),
        ReconcileError::Fork { .. } => CliError::verification("ledger and stream are two histories").because_of(error),
        ReconcileError::Ahead { .. } | ReconcileError::Succeeded | ReconcileError::NotPublished => {
            CliError::explain(error)
        }
        _ => CliError::failed("not everything was put back")
            .because_of(error)
            .hint("run it again: what is in the stream is not put back twice"),
    }
}
