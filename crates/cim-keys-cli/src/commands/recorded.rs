//! What a command that recorded something reports: what was made, changed or ended, and what is still to be done.

use cim_keys::app::changes::{self, Change};
use cim_keys::app::debts::{self, Debt};
use cim_keys::app::describe;
use cim_keys::events::EventData;
use cim_keys::ledger::{Kind, concerns};
use cim_keys::session::Session;
use cim_keys::store::AppendedEvent;
use cim_keys::text::{SubjectPrefix, visible};
use serde_json::{Value, json};

use crate::advice::quoted;
use crate::error::{CliError, Result};
use crate::place;
use crate::ui::Ui;

/// Reports the events of an act: as text what they did, and with `--verbose` the events too; as JSON the events.
pub(crate) fn tell(events: &[AppendedEvent], session: &Session, ui: Ui) -> Result {
    let debts = debts::of_act(session.store(), events);
    let debts = debts.map_err(|error| CliError::failed("cannot read the ledger").because_of(&error))?;
    if ui.is_json() {
        let prefix = subject_prefix(session.place().folder());
        for event in events {
            ui.object(&describe::appended(event, &prefix))?;
        }
        return match debts.is_empty() {
            true => Ok(()),
            false => ui.object(&json!({ "to_do": debts.iter().map(object).collect::<Vec<_>>() })),
        };
    }
    if events.is_empty() {
        return ui.line("Already up to date: nothing was recorded.");
    }
    let changes = session.store().view(|view| changes::of_act(view, events))?;
    for change in changes.map_err(|error| CliError::failed("cannot read the ledger").because(&error))? {
        tell_change(&change, ui)?;
    }
    let signed = events.iter().filter(|it| matches!(it.event.data, EventData::EventAttested(_))).count();
    match (signed, events.len()) {
        (0, _) => {}
        (1, 1) => ui.line("Signed 1 event.")?,
        (signed, _) => ui.line(format_args!("Signed {}.", plural(signed, "event")))?,
    }
    if ui.is_verbose() {
        for appended in events {
            let about = concerns(&appended.event.data).first().map(ToString::to_string).unwrap_or_default();
            ui.line(format_args!("{:>6}  {}  {}", appended.position, appended.event.event_type(), about))?;
            ui.line(format_args!("        {}", appended.cid))?;
        }
    }
    tell_debts("Still to be done:", &debts, ui)
}

fn tell_change(change: &Change, ui: Ui) -> Result {
    let mut done = change.done.chars();
    let done: String = done.next().into_iter().flat_map(char::to_uppercase).chain(done).collect();
    let kind = match change.kind {
        Kind::Assignment => "role",
        kind => kind.phrase(),
    };
    ui.line(format_args!("{done} {kind} {}.", visible(&change.name)))?;
    let width = change.properties.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    change.properties.iter().try_for_each(|(name, value)| ui.line(format_args!("  {name:width$}  {}", visible(value))))
}

/// How many debts of a kind are listed one by one.
const LISTED: usize = 10;

/// Reports what is to be done, each with the command that does it.
pub(crate) fn tell_debts(heading: &str, debts: &[Debt], ui: Ui) -> Result {
    if debts.is_empty() {
        return Ok(());
    }
    ui.line(heading)?;
    for debt in debts.iter().take(LISTED) {
        let (what, how) = words(debt);
        ui.line(format_args!("  {}: `{how}`", visible(&what)))?;
    }
    match debts.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => ui.line(format_args!("  and {more} more: `cim-keys status --output json` names all of them")),
    }
}

/// A debt as an object: what is to be done, and about what.
pub(crate) fn object(debt: &Debt) -> Value {
    let (_, command) = words(debt);
    match debt {
        Debt::Configure { operator } => json!({ "do": "configure_servers", "operator": operator, "command": command }),
        Debt::Push { account } => json!({ "do": "push", "account": account, "command": command }),
        Debt::HandOut { account, user } => {
            json!({ "do": "hand_out", "account": account, "user": user, "command": command })
        }
        _ => json!({ "do": "other" }),
    }
}

/// What is to be done, and the command for it.
fn words(debt: &Debt) -> (String, String) {
    match debt {
        Debt::Configure { operator } => {
            (format!("configure the servers for operator {operator}"), "cim-keys nats server-config".to_owned())
        }
        Debt::Push { account } => {
            let how = format!("cim-keys nats push --account {}", quoted(account.as_str()));
            (format!("push account {account} to the servers"), how)
        }
        Debt::HandOut { account, user } => {
            let how = format!("cim-keys nats creds {}", quoted(&format!("{account}/{user}")));
            (format!("hand out the credentials of {account}/{user}"), how)
        }
        _ => (String::new(), String::new()),
    }
}

/// A number with its noun.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The prefix of subjects, as it is configured; a configuration that is not valid stops nothing that is only shown.
pub(crate) fn subject_prefix(folder: &std::path::Path) -> SubjectPrefix {
    place::config(Some(folder)).map_or_else(
        |_| cim_keys::config::NatsConfig::default().subject_prefix,
        |resolved| resolved.config.nats.subject_prefix,
    )
}
