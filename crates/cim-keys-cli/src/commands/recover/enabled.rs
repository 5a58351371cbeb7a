//! Recovering from a stream, in a build that has the feature `nats-client`.

use std::path::Path;

use cim_keys::adapters::stream_reader::StreamReader;
use cim_keys::app::recover::{BringError, bring};
use cim_keys::replica::stream::LedgerStream;
use cim_keys::store::{MirrorError, Restored};

use crate::error::{CliError, Result};
use crate::place;
use crate::ui::Ui;

/// Brings what the stream has; `flags` are above the configuration of the ledger's folder.
pub(super) fn nats(
    restored: &Restored,
    folder: &Path,
    flags: &[(&str, &str, String)],
    accept_unsigned: bool,
    ui: Ui,
) -> Result<(u64, u64)> {
    let config = place::config_with(Some(folder), flags)?.config.nats;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed("cannot start the reader of the stream").because(&error))?;
    let reader = runtime.block_on(StreamReader::connect(&config)).map_err(|error| {
        CliError::unreachable("what is newer can't be read from NATS")
            .because_of(&error)
            .hint("`cim-keys recover --from carry MEDIUM` takes it from a medium")
    })?;
    let stream = LedgerStream::of_ledger(runtime.handle().clone(), reader, restored.follower().store());
    let stream = stream.map_err(|error| super::super::log::told(&error))?;
    let spinner = ui.spinner("reading the stream");
    let brought = bring(restored, &stream, accept_unsigned, &mut |new| {
        spinner.set_message(format!("reading the stream: {new} events are newer"));
    });
    spinner.finish_and_clear();
    let brought = brought.map_err(|error| told(&error))?;
    Ok((brought.new, brought.unsigned))
}

fn told(error: &BringError) -> CliError {
    let refused = CliError::verification("what the stream has was not taken").because_of(error);
    match error {
        BringError::Stream(_) => CliError::unreachable("the stream can't be read").because_of(error),
        BringError::Follow(MirrorError::Fork { .. }) | BringError::Broken(_) => refused,
        BringError::Parked(_) | BringError::Follow(MirrorError::Gap { .. }) => CliError::explain(error),
        _ => CliError::failed("what the stream has was not taken").because_of(error),
    }
}
