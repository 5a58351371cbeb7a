//! `follow`: a mirror that stays current, and raises an alarm where the stream is not what it should be.

use std::time::Duration;

use cim_keys::replica::replay::{ReplayError, Replayed, Replica, alarm};
use cim_keys::replica::stream::LedgerStream;
use cim_keys::store::MirrorError;
use cim_keys::text::visible;
use serde_json::json;
use tokio::task::JoinHandle;

use super::FollowArgs;
use super::way::{events, mirror, open, replay_told, replayed_json, runtime, tell_parked};
use crate::commands::publish::interrupted;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;

/// How often the newest head is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How long a request may go without an answer before that is said.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait after something went wrong.
const PAUSE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &FollowArgs, global: &Global, ui: Ui) -> Result {
    let runtime = runtime()?;
    let (mirror, key) = mirror(args.key.as_deref(), global)?;
    let mut follower = Follower { ui, exit_on_alarm: args.exit_on_alarm || args.once, told: None, alarmed: false };
    let stop = runtime.spawn(interrupted());
    let mut first = true;
    let stream = loop {
        match open(&runtime, &args.stream, mirror.folder(), &key) {
            // An outage is told soon; it is waited out here, and not in the reader.
            Ok(stream) => break stream.with_patience(PATIENCE),
            // A replica starts before its server does; a wrong name or file stays wrong.
            Err(error) if error.is_unreachable() && !args.once => follower.waiting(&error.to_string())?,
            Err(error) => return Err(error),
        }
        if !wait(&stop, PAUSE) {
            return ui.line("Stopped.");
        }
    };
    let mut replica = Replica::new(&stream, mirror.clone(), &key).map_err(|error| replay_told(&error))?;
    if !args.once {
        ui.note("Following the stream; Ctrl-C ends it.");
    }
    let mut seen = None;
    loop {
        let pause = match newest(&stream) {
            Ok(newest) if newest == seen && !follower.alarmed => LOOK,
            newest => match newest.map_err(ReplayError::from).and_then(|newest| {
                let replayed = replica.catch_up(None, &mut |_, _| {})?;
                seen = newest;
                Ok(replayed)
            }) {
                Ok(replayed) => {
                    follower.taken(&replayed, first, || replayed_json(&replayed, &mirror))?;
                    first = false;
                    LOOK
                }
                Err(error) => {
                    seen = None;
                    follower.failed(&error)?;
                    if args.once {
                        return Err(replay_told(&error));
                    }
                    PAUSE
                }
            },
        };
        if args.once {
            return Ok(());
        }
        if !wait(&stop, pause) {
            ui.object(&json!({ "event": "stopped" }))?;
            return ui.line("Stopped.");
        }
    }
}

/// The sequence of the newest head; what is behind it no head covers yet.
fn newest(
    stream: &LedgerStream,
) -> std::result::Result<Option<u64>, cim_keys::adapters::stream_reader::StreamReadError> {
    Ok(stream.newest_head()?.map(|(sequence, _)| sequence))
}

/// Waits; false when the user has had enough.
fn wait(stop: &JoinHandle<()>, pause: Duration) -> bool {
    let slice = Duration::from_millis(50);
    let mut left = pause;
    while !left.is_zero() && !stop.is_finished() {
        let some = left.min(slice);
        std::thread::sleep(some);
        left -= some;
    }
    !stop.is_finished()
}

/// What was said already.
struct Follower {
    ui: Ui,
    exit_on_alarm: bool,
    told: Option<String>,
    alarmed: bool,
}

impl Follower {
    fn taken(&mut self, replayed: &Replayed, first: bool, object: impl FnOnce() -> serde_json::Value) -> Result {
        if std::mem::take(&mut self.alarmed) {
            self.ui.object(&json!({ "event": "mended" }))?;
            self.ui.line("What the alarm was about is mended.")?;
        }
        self.told = None;
        if replayed.new > 0 || first {
            let mut object = object();
            object["event"] = "taken".into();
            self.ui.object(&object)?;
            let waiting = match replayed.waiting() {
                0 => String::new(),
                some => format!("; {} wait for a signed head", events(some)),
            };
            self.ui.line(format_args!(
                "Took {}; the mirror has {}{waiting}.",
                events(replayed.new),
                events(replayed.end)
            ))?;
            tell_parked(replayed, self.ui);
        }
        for remark in &replayed.remarks {
            self.alarm(alarm(remark), &remark.to_string())?;
        }
        self.ui.flush()
    }

    fn failed(&mut self, error: &ReplayError) -> Result {
        let kind = match error {
            ReplayError::Broken(problem) => alarm(problem),
            ReplayError::Mirror(MirrorError::Fork { .. }) => "fork",
            ReplayError::Behind { .. } | ReplayError::Mirror(MirrorError::Gap { .. }) => "gap",
            ReplayError::Keep(_) => "fork",
            error if error.is_alarm() => "message",
            ReplayError::Stream(_) | ReplayError::Nothing { .. } => return self.waiting(&error.to_string()),
            _ => return Err(replay_told(error)),
        };
        let again = self.told.as_deref() == Some(&error.to_string());
        self.alarmed = true;
        if again { Ok(()) } else { self.alarm(kind, &error.to_string()) }
    }

    fn alarm(&mut self, kind: &str, text: &str) -> Result {
        self.told = Some(text.to_owned());
        self.ui.object(&json!({ "event": "alarm", "alarm": kind, "problem": text }))?;
        self.ui.warn(format_args!("ALARM ({kind}): {}", visible(text)));
        self.ui.flush()?;
        if self.exit_on_alarm {
            return Err(CliError::verification(format!("the stream raised an alarm ({kind})")).detail(text));
        }
        Ok(())
    }

    fn waiting(&mut self, text: &str) -> Result {
        if self.told.as_deref() == Some(text) {
            return Ok(());
        }
        self.told = Some(text.to_owned());
        self.ui.object(&json!({ "event": "waiting", "problem": text }))?;
        self.ui.line(format_args!("Waiting: {}", visible(text)))?;
        self.ui.flush()
    }
}
