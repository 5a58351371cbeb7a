//! What a command that recorded something says.

use cim_keys::app::describe;
use cim_keys::ledger::concerns;
use cim_keys::store::AppendedEvent;
use cim_keys::text::SubjectPrefix;

use crate::error::Result;
use crate::place;
use crate::ui::Ui;

/// Says which events were recorded: as text a line each and what they are about, as JSON the events.
pub(crate) fn tell(events: &[AppendedEvent], folder: &std::path::Path, ui: Ui) -> Result {
    if ui.is_json() {
        let prefix = subject_prefix(folder);
        for event in events {
            ui.object(&describe::appended(event, &prefix))?;
        }
        return Ok(());
    }
    if events.is_empty() {
        return ui.line("Nothing was recorded: all is so already.");
    }
    for appended in events {
        let about = concerns(&appended.event.data).first().map(ToString::to_string).unwrap_or_default();
        ui.line(format_args!("{:>6}  {}  {}", appended.position, appended.event.event_type(), about))?;
        ui.line(format_args!("        {}", appended.cid))?;
    }
    Ok(())
}

/// The prefix of subjects, as it is configured; a configuration that is not valid stops nothing that is only shown.
pub(crate) fn subject_prefix(folder: &std::path::Path) -> SubjectPrefix {
    place::config(Some(folder)).map_or_else(
        |_| cim_keys::config::NatsConfig::default().subject_prefix,
        |resolved| resolved.config.nats.subject_prefix,
    )
}
