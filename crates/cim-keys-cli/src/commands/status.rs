//! `status`: what this ledger is, how it stands, and what nobody has backed up.

use cim_keys::app::debts;
use cim_keys::app::publishing::{obstacle_of, running_sync};
use cim_keys::app::queue;
use cim_keys::app::status::{self, Role, StatusError};
use cim_keys::log::SignedCheckpoint;
use cim_keys::session::{Place, Session};
use cim_keys::store::Listing;
use serde_json::json;

use super::{publication, recorded};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::place;
use crate::ui::Ui;

pub(crate) fn run(global: &Global, ui: Ui) -> Result {
    let folder = place::ledger(global)?;
    // Whether it can be written here is part of the answer.
    let tokens = place::state_folder().unwrap_or_else(|_| folder.clone());
    let session = Session::open(Place::new(&folder, tokens), ledger::system_actor())?;
    let configuration = place::config(Some(&folder))?;
    let standing =
        status::standing(&session, queue::stream(&configuration.config.nats)).map_err(|error| told(&error))?;
    let obstacle = obstacle_of(&configuration).filter(|_| standing.queue.queued > 0);
    let sync = running_sync(session.store());
    let debts =
        debts::all(session.store()).map_err(|error| CliError::failed("cannot read the ledger").because_of(&error))?;
    let identity = session.store().identity();
    let head = session.store().events(Listing::newest(1))?.pop().map(|last| last.cid.to_string());
    let signed = standing.head.signed.as_ref().map(SignedCheckpoint::size);
    let role = match &standing.role {
        Role::Writer => "writer",
        Role::Mirror => "mirror",
        Role::Restored(_) => "restored",
        Role::Copy(_) => "copy",
    };
    ui.object(&json!({
        "ledger": folder.to_string_lossy(), "ledger_id": identity.ledger_id, "name": identity.name, "role": role,
        "public_key": identity.public_key, "source": identity.source,
        "events": standing.head.events, "head": head, "signed": signed, "unsigned": standing.head.unsigned(),
        "queued": standing.queue.queued, "parked": standing.queue.parked, "last_published": standing.queue.last_published,
        "waiting_because": obstacle.as_ref().map(publication::reason), "sync_running": sync.is_some(),
        "last_backup": standing.backup, "keys_not_backed_up": standing.keys_not_backed_up,
        "to_do": debts.iter().map(recorded::object).collect::<Vec<_>>(),
        "missing_secrets": standing.missing.iter().map(|(label, key)| format!("{label}/{key}")).collect::<Vec<_>>(),
    }))?;
    let signed = match signed {
        None => "nothing yet".to_owned(),
        Some(size) => format!("the head of {size} events; {} later ones are not covered", standing.head.unsigned()),
    };
    let backup = standing
        .backup
        .as_ref()
        .map_or_else(|| "never".to_owned(), |last| format!("{} ({} events), to {}", last.at, last.events, last.place));
    let mut waiting = format!("{} wait, {} parked", standing.queue.queued, standing.queue.parked);
    if let Some(sync) = sync {
        waiting += &format!("; `cim-keys sync` is running{}", sync.in_brackets());
    } else if let Some(obstacle) = obstacle {
        waiting += &format!(": {}; {}", publication::why(&obstacle), publication::next(&obstacle));
    }
    ui.facts(&[
        ("ledger", identity.name.to_string()),
        ("folder", folder.display().to_string()),
        ("id", identity.ledger_id.to_string()),
        ("this is", here(&standing.role)),
        ("events", standing.head.events.to_string()),
        ("head", head.unwrap_or_default()),
        ("signed", signed),
        (
            "published",
            standing.queue.last_published.map_or_else(|| "nothing yet".into(), |last| format!("up to event {last}")),
        ),
        ("queue", waiting),
        ("last backup", backup),
    ])?;
    recorded::tell_debts("\nStill to be done:", &debts, ui)?;
    nag(&standing, ui);
    Ok(())
}

fn here(role: &Role) -> String {
    match role {
        Role::Writer => "where it is written".into(),
        Role::Mirror => "a mirror".into(),
        Role::Restored(restoration) => {
            format!("restored from a backup of {}; `cim-keys recover` comes next", restoration.backed_up_at)
        }
        Role::Copy(reason) => {
            let reason = reason.to_string();
            format!("a copy that is read: {}", reason.split(['.', ';']).next().unwrap_or_default())
        }
    }
}

fn nag(standing: &status::Standing, ui: Ui) {
    match standing.keys_not_backed_up {
        0 => {}
        1 => ui.warn("1 key is in no backup; `cim-keys backup DIR` makes one"),
        keys => ui.warn(format_args!("{keys} keys are in no backup; `cim-keys backup DIR` makes one")),
    }
    if !standing.missing.is_empty() {
        ui.warn(format_args!(
            "{} recorded keys have no secret in custody; `cim-keys custody check` names them",
            standing.missing.len()
        ));
    }
}

fn told(error: &StatusError) -> CliError {
    CliError::failed("the ledger's status can't be told").because_of(error)
}
