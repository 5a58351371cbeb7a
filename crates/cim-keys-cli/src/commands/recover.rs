//! `recover`: a restored ledger takes what is newer than its backup, and goes on under a new key.

#[cfg(not(feature = "nats-client"))]
#[path = "recover/disabled.rs"]
mod way;
#[cfg(feature = "nats-client")]
#[path = "recover/enabled.rs"]
mod way;

use std::path::PathBuf;

use cim_keys::app::archive;
use cim_keys::app::medium::{self, MediumError};
use cim_keys::app::recover::{self, Beginning, RecoverError};
use cim_keys::custody::Ring;
use cim_keys::keys::signer_of;
use cim_keys::session::Place;
use cim_keys::session::heads;
use cim_keys::store::{OpenError, Restored};
use cim_keys::text::Note;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{head_words, import};
use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::passphrase::{PassphraseArgs, Passphrases};
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Bring what is newer than the backup from there
    #[arg(long, value_enum, value_name = "SOURCE", required_unless_present = "accept_loss")]
    from: Option<Source>,
    /// For --from carry: the medium that the ledger or a mirror was carried out to, or an archive's file
    #[arg(value_name = "MEDIUM", required_if_eq("from", "carry"))]
    medium: Option<PathBuf>,
    /// For --from nats: the servers, instead of nats.url
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// For --from nats: the credentials file, instead of nats.credentials_file
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// Take events too that no signed head covers: only whoever can write to the stream vouches for them
    #[arg(long)]
    accept_unsigned: bool,
    /// Go on although events are missing, or without bringing any: what is newer than the backup is given up
    #[arg(long)]
    accept_loss: bool,
    /// Only bring events, and do not go on yet: another source follows
    #[arg(long, conflicts_with = "accept_loss")]
    more_to_come: bool,
    /// Go on although the old key can't be used to vouch for the new one: mirrors have to be made anew then
    #[arg(long)]
    without_old_key: bool,
    /// Why the ledger was restored, as it is recorded
    #[arg(long, value_parser = Note::typed, default_value = "restored from a backup")]
    reason: Note,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

impl RecoverArgs {
    /// The flags as layers of the configuration: their name, the key, the value.
    fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let url = self.url.iter().map(|url| ("--url", "nats.url", url.clone()));
        let creds = self.creds.iter().map(|path| ("--creds", "nats.credentials_file", path.display().to_string()));
        url.chain(creds).collect()
    }
}

/// Where newer events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// On a medium, or in an archive.
    Carry,
    /// In the stream that they were published to.
    Nats,
}

pub(crate) fn run(args: &RecoverArgs, global: &Global, ui: Ui) -> Result {
    let place = Place::new(place::ledger(global)?, place::state_folder()?);
    let (mut new, mut unsigned) = (0, 0);
    match (args.from, &args.medium) {
        (Some(Source::Carry), Some(medium)) => (new, unsigned) = carry(&place, medium, args, ui)?,
        (Some(Source::Nats), _) => {
            let restored = Restored::open(place.options()).map_err(not_restored)?;
            (new, unsigned) = way::nats(&restored, place.folder(), &args.flags(), args.accept_unsigned, ui)?;
        }
        _ => {}
    }
    if unsigned > 0 && !args.accept_loss && !args.more_to_come {
        return Err(CliError::refused(format!(
            "{new} events were taken; {unsigned} later ones are there, and no signed head covers them"
        ))
        .hint(
            "--accept-unsigned takes them, where you trust what they came from; --accept-loss goes on without them",
        ));
    }
    if args.more_to_come {
        ui.object(&json!({ "new": new, "unsigned": unsigned, "begun": false }))?;
        return ui.done(format_args!(
            "Took {new} events; the ledger waits for more, and for `cim-keys recover` without --more-to-come."
        ));
    }
    if args.accept_loss && args.from.is_none() {
        let question =
            "Give up whatever was recorded after the backup? Mirrors and subscribers that have it will not follow.";
        if !ui.confirm(question)? {
            return Err(CliError::refused("nothing was changed"));
        }
    }
    let recovered = begin(args, place, global)?;
    let end = recovered.session.store().end()?;
    ui.object(&json!({
        "new": new, "unsigned": unsigned, "begun": true, "events": end, "key": recovered.key.to_string(),
        "previous_key": recovered.previous.to_string(), "source": recovered.session.store().identity().source,
        "head": head_words::object(Some(&recovered.head)),
    }))?;
    if new > 0 {
        ui.line(format_args!("Took {new} events that are newer than the backup."))?;
    }
    ui.done(format_args!("The ledger goes on with {end} events, under a new key."))?;
    ui.facts(&[("key", recovered.key.to_string()), ("before", recovered.previous.to_string())])?;
    if args.without_old_key {
        ui.warn("the old key did not vouch for the new one: whoever trusts the old one does not follow, and mirrors have to be made anew with the new key");
    }
    if let Some(path) = &recovered.set_aside {
        ui.warn(format_args!(
            "the old key was stored unencrypted in this folder; it is {} now, signs nothing any more, and can be removed. The new key is in custody only",
            path.display()
        ));
    }
    head_words::show(&recovered.head, ui)?;
    ui.line("Give the new key out on paper, and back the ledger up: `cim-keys backup DIR`.")?;
    Acting::on(recovered.session, &global.passphrases, ui)?.publish()
}

fn carry(place: &Place, medium: &std::path::Path, args: &RecoverArgs, ui: Ui) -> Result<(u64, u64)> {
    let restored = Restored::open(place.options()).map_err(not_restored)?;
    let archive = match medium.is_file() {
        true => medium.to_owned(),
        false => {
            let key = restored.follower().store().verifier_key()?;
            let there = medium::find(medium, key.name().as_str()).and_then(|there| there.check().map(|()| there));
            there.map_err(|error| medium_told(&error))?.archive()
        }
    };
    let bar = ui.progress("verifying", 0);
    let imported = archive::recover(&restored, &archive, args.accept_unsigned, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let imported = imported.map_err(|error| import::told(&error))?;
    Ok((imported.new, imported.unsigned))
}

fn begin(args: &RecoverArgs, place: Place, global: &Global) -> Result<recover::Recovered> {
    let beginning = |old_key| Beginning {
        actor: ledger::system_actor(),
        reason: args.reason.clone(),
        old_key,
        accept_loss: args.accept_loss,
        accept_clock: global.accept_clock,
    };
    if args.without_old_key {
        return recover::begin(place, beginning(None)).map_err(told);
    }
    // Whether it is to be recovered at all is told before a passphrase is asked for.
    let restored = Restored::open(place.options()).map_err(not_restored)?;
    let key = heads::ledger_key(restored.follower().store()).map_err(|error| super::log::told(&error))?;
    drop(restored);
    let mut ring = Ring::at(&place.custody(), Passphrases::new(&args.passphrases)?);
    let signer = signer_of(&mut ring, &key).map_err(|error| {
        CliError::from(error).hint("--without-old-key goes on without; mirrors have to be made anew then")
    })?;
    recover::begin(place, beginning(Some(signer))).map_err(told)
}

fn not_restored(error: OpenError) -> CliError {
    match error {
        OpenError::NotRestored(_) => CliError::refused(error.to_string()),
        other => other.into(),
    }
}

fn medium_told(error: &MediumError) -> CliError {
    match error {
        MediumError::Manifest { .. } | MediumError::Torn { .. } => {
            CliError::verification("nothing was taken from the medium").because_of(error)
        }
        MediumError::Io { .. } => CliError::failed("the medium can't be used").because_of(error),
        _ => CliError::explain(error),
    }
}

fn told(error: RecoverError) -> CliError {
    match error {
        RecoverError::Open(error) => not_restored(error),
        RecoverError::Loss { .. } => CliError::explain(&error),
        RecoverError::Record(error) => (*error).into(),
        RecoverError::Journal(error) => error.into(),
        RecoverError::Key(error) => error.into(),
        other => CliError::failed("the ledger does not go on yet").because_of(&other),
    }
}

impl From<RecoverError> for CliError {
    fn from(error: RecoverError) -> Self {
        told(error)
    }
}
