//! What became of the events that an act recorded: published, or waiting and why. One rendering for every verb.

use cim_keys::act::{Obstacle, Publication};
use cim_keys::app::publishing::BOUND;
use cim_keys::app::queue;
use cim_keys::session::Session;
use cim_keys::text::visible;
use serde_json::{Value, json};

use crate::error::Result;
use crate::place;
use crate::ui::Ui;

/// Reports a publication. Events that wait because the configuration asks for that are no news in the text form; `status`
/// lists them, and JSON has them always.
pub(crate) fn tell(publication: &Publication, ui: Ui) -> Result {
    if let Some(object) = object(publication) {
        ui.object(&json!({ "publication": object }))?;
    }
    match publication {
        Publication::Published { server, events: published, parked } => {
            let server = visible(server);
            ui.line(format_args!("Published to {server}: {}; the queue is empty.", events(*published)))?;
            tell_parked(*parked, ui)
        }
        Publication::BySync { sync, events: published, parked } => {
            let server = sync.server.as_deref().map(|server| format!(" to {}", visible(server))).unwrap_or_default();
            let published = if *published == 0 { String::new() } else { format!(": {}", events(*published)) };
            ui.line(format_args!("Published{server} by the running `cim-keys sync`{published}; the queue is empty."))?;
            tell_parked(*parked, ui)
        }
        Publication::Waiting { obstacle, .. } if obstacle.is_intended() => Ok(()),
        Publication::Waiting { events, obstacle } => {
            let (why, next) = (why(obstacle), next(obstacle));
            let line = match events {
                Some(1) => format!("1 event waits for publication: {why}; {next}."),
                Some(events) => format!("{events} events wait for publication: {why}; {next}."),
                None => format!("the recorded events wait for publication: {why}; {next}"),
            };
            match obstacle {
                Obstacle::Invalid(_) | Obstacle::Problem(_) => ui.warn(line.trim_end_matches('.')),
                _ => ui.line(line)?,
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How many events are parked, and where to see why; nothing when none is.
pub(crate) fn tell_parked(parked: u64, ui: Ui) -> Result {
    match parked {
        0 => Ok(()),
        _ => ui.line(format_args!(
            "Parked, because the server refuses them: {}; see `cim-keys queue list --parked`.",
            events(parked)
        )),
    }
}

/// A number of events, in words.
pub(crate) fn events(count: u64) -> String {
    if count == 1 { "1 event".into() } else { format!("{count} events") }
}

/// The name of an obstacle in JSON.
pub(crate) const fn reason(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NotConfigured => "not_configured",
        Obstacle::AirGapped => "air_gapped",
        Obstacle::Disabled => "disabled",
        Obstacle::NoPublisher => "no_publisher",
        Obstacle::NoServer { .. } => "no_server",
        Obstacle::TimeUp => "time_up",
        Obstacle::SyncRunning(_) => "sync_running",
        Obstacle::Invalid(_) => "invalid_configuration",
        _ => "problem",
    }
}

/// An obstacle, in words.
pub(crate) fn why(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::NotConfigured => "no server is configured (nats.url)".into(),
        Obstacle::AirGapped => "the ledger is behind an air gap (nats.air_gapped = true)".into(),
        Obstacle::Disabled => "publishing is off (nats.enabled = false)".into(),
        Obstacle::NoPublisher => "this build of cim-keys lacks the feature nats-client".into(),
        Obstacle::NoServer { servers } => format!("no NATS server answers at {}", visible(servers)),
        Obstacle::TimeUp => format!("not everything was published within {} s", BOUND.as_secs()),
        Obstacle::SyncRunning(sync) => match sync.server {
            None => format!("`cim-keys sync` is running{} and has no connection to a server", sync.in_brackets()),
            Some(_) => {
                format!("`cim-keys sync` is running{} and has not published them yet", sync.in_brackets())
            }
        },
        Obstacle::Invalid(problem) | Obstacle::Problem(problem) => visible(problem).into_owned(),
        _ => "something else is in the way".into(),
    }
}

/// What to do about an obstacle.
pub(crate) const fn next(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NotConfigured => "set nats.url, or run `cim-keys sync`",
        Obstacle::AirGapped => "`cim-keys carry out` takes them to a mirror, whose `cim-keys sync` publishes them",
        Obstacle::Disabled => "set nats.enabled = true to publish",
        Obstacle::NoPublisher => "publish with a build that has it",
        Obstacle::NoServer { .. } => "`cim-keys sync` publishes them once a server can be reached",
        Obstacle::TimeUp => "`cim-keys sync` publishes the rest",
        Obstacle::SyncRunning(_) => "it publishes them once it can",
        Obstacle::Invalid(_) => "`cim-keys config validate` checks it, and `cim-keys sync` then publishes",
        _ => "`cim-keys sync` publishes them once this is resolved",
    }
}

fn object(publication: &Publication) -> Option<Value> {
    Some(match publication {
        Publication::Published { server, events, parked } => {
            json!({ "state": "published", "server": server, "events": events, "parked": parked, "by_sync": false })
        }
        Publication::BySync { sync, events, parked } => {
            json!({ "state": "published", "server": sync.server, "events": events, "parked": parked, "by_sync": true })
        }
        Publication::Waiting { events, obstacle } => {
            json!({ "state": "waiting", "events": events, "reason": reason(obstacle), "detail": why(obstacle) })
        }
        _ => return None,
    })
}

/// How the queue of a ledger stands.
pub(crate) fn standing(session: &Session) -> Result<queue::Standing> {
    let config = place::config(Some(session.place().folder()))?.config.nats;
    Ok(queue::standing(session.store(), queue::stream(&config))?)
}
