//! Recovering from a stream, in a build that has the feature `nats-client`.

use cim_keys::adapters::stream_reader::StreamReader;
use cim_keys::app::recover::{BringError, bring};
use cim_keys::replica::stream::LedgerStream;
use cim_keys::session::Place;
use cim_keys::store::{MirrorError, Restored};

use super::{RecoverArgs, not_restored};
use crate::error::{CliError, Result};
use crate::place;
use crate::ui::Ui;

pub(super) fn nats(place: &Place, args: &RecoverArgs, ui: Ui) -> Result<(u64, u64)> {
    let restored = Restored::open(place.options()).map_err(not_restored)?;
    let url = args.url.iter().map(|url| ("--url", "nats.url", url.clone()));
    let creds = args.creds.iter().map(|path| ("--creds", "nats.credentials_file", path.display().to_string()));
    let flags: Vec<_> = url.chain(creds).collect();
    let config = place::config_with(Some(place.folder()), &flags)?.config.nats;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed("cannot start the reader of the stream").because(&error))?;
    let reader = runtime.block_on(StreamReader::connect(&config)).map_err(|error| {
        CliError::unreachable("what is newer can't be read from NATS")
            .because(&error)
            .hint("`cim-keys recover --from carry MEDIUM` takes it from a medium")
    })?;
    let stream = LedgerStream::of_ledger(runtime.handle().clone(), reader, restored.follower().store());
    let stream = stream.map_err(|error| super::super::log::told(&error))?;
    let spinner = ui.spinner("reading the stream");
    let brought = bring(&restored, &stream, args.accept_unsigned, &mut |new| {
        spinner.set_message(format!("reading the stream: {new} events are newer"));
    });
    spinner.finish_and_clear();
    let brought = brought.map_err(|error| told(&error))?;
    Ok((brought.new, brought.unsigned))
}

fn told(error: &BringError) -> CliError {
    let refused = CliError::verification("what the stream has was not taken").because(error);
    match error {
        BringError::Stream(_) => CliError::unreachable("the stream can't be read").because(error),
        BringError::Follow(MirrorError::Fork { .. }) | BringError::Broken(_) => refused,
        BringError::Parked(_) | BringError::Follow(MirrorError::Gap { .. }) => CliError::refused(error.to_string()),
        _ => CliError::failed("what the stream has was not taken").because(error),
    }
}
