//! Acts on NATS identities, what is looked up for them, and what can be in their way.

use cim_keys::authority::nats::{self, NatsDraft, NatsError};
use cim_keys::ledger::View;
use cim_keys::session::Session;
use cim_keys::store::RestrictedBlocks;
use cim_keys::text::visible;

use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

impl From<NatsError> for CliError {
    fn from(error: NatsError) -> Self {
        match error {
            NatsError::Claims(findings) => {
                let base = Self::refused("servers would refuse this, or silently break it; nothing was recorded");
                findings.iter().fold(base, |error, finding| error.detail(finding.to_string()))
            }
            NatsError::Key(error) => error.into(),
            NatsError::SealTo(error) => error.into(),
            error => Self::explain(&error),
        }
    }
}

/// The tokens of a ledger.
pub(super) fn restricted(session: &Session) -> Result<RestrictedBlocks> {
    RestrictedBlocks::open(&session.place().restricted())
        .map_err(|error| CliError::failed("the texts of tokens can't be read").because_of(&error))
}

/// Says who is about to be cut off; the first of them by name.
pub(super) fn tell_cut_off(names: &[String], ui: Ui) {
    const SHOWN: usize = 10;
    if ui.is_json() || names.is_empty() {
        return;
    }
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let first = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let users = if names.len() == 1 { "1 user is".to_owned() } else { format!("{} users are", names.len()) };
    ui.note(format_args!("{users} cut off: {}{more}", visible(&first)));
}

/// Does an act on NATS identities, and reports it.
pub(super) fn act(
    passphrases: &PassphraseArgs,
    global: &Global,
    ui: Ui,
    mut edit: impl FnMut(&mut NatsDraft<'_, '_>) -> std::result::Result<(), NatsError>,
) -> Result {
    Acting::begin(global, passphrases, ui)?.record(|draft| nats::edit(draft, &mut edit))
}

/// Looks something up in the ledger, for showing.
pub(super) fn look<T>(
    global: &Global,
    find: impl FnOnce(&dyn View) -> std::result::Result<T, NatsError>,
) -> Result<(Session, T)> {
    let session = ledger::read(global)?;
    let found = session.store().view(find)??;
    Ok((session, found))
}
