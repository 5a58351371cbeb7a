//! `mirror`: read-only copies of a ledger, for the connected side and for auditors.

use std::path::{Path, PathBuf};

use cim_keys::app::mirrors::{self, From, MirrorActError, Updated};
use cim_keys::log::{NodeHash, VerifierKey};
use cim_keys::session::Place;
use clap::{Args, Subcommand};
use serde_json::json;

use super::input::read_key;
use super::{head_words, import};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum MirrorCommand {
    /// Make a mirror, pinned for good to the ledger's key that you type in
    Init(InitArgs),
    /// Bring a mirror up to date from a medium
    Update(UpdateArgs),
    /// Show what a mirror has, and the words of its head
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The mirror's folder, which is made when it is absent
    dir: PathBuf,
    /// The medium that the ledger was carried out to, or an archive's file
    #[arg(long, value_name = "MEDIUM")]
    from: PathBuf,
    /// The ledger's key as its `log public-key` prints it, or a file that holds it; asked for at the terminal when absent
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    words: WordsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The medium that the ledger was carried out to, or an archive's file
    #[arg(value_name = "MEDIUM")]
    medium: PathBuf,
    #[command(flatten)]
    words: WordsArgs,
}

/// The words of the head that is expected.
#[derive(Debug, Args)]
pub(crate) struct WordsArgs {
    /// The 24 words that `carry out` showed, or a file that holds them; anything but that head is refused
    #[arg(long, value_name = "WORDS")]
    words: Option<String>,
}

impl WordsArgs {
    fn read(&self) -> Result<Option<NodeHash>> {
        self.words.as_deref().map(head_words::read).transpose()
    }
}

pub(crate) fn run(command: MirrorCommand, global: &Global, ui: Ui) -> Result {
    match command {
        MirrorCommand::Init(args) => init(&args, ui),
        MirrorCommand::Update(args) => update(&args, global, ui),
        MirrorCommand::Status => status(global, ui),
    }
}

/// A mirror gives no right to write, so nothing is kept outside of its folder.
fn mirror(folder: &Path) -> Place {
    Place::new(folder, folder.join("tokens"))
}

fn init(args: &InitArgs, ui: Ui) -> Result {
    let key = key(args.key.as_deref(), ui)?;
    let words = args.words.read()?;
    let (bar, place) = (ui.progress("verifying", 0), mirror(&args.dir));
    let updated = mirrors::init(&place, From::path(&args.from), &key, words.as_ref(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let updated = updated.map_err(|error| told(&error))?;
    tell(&args.dir, &updated, words.is_some(), ui)
}

/// The key that a new mirror is pinned to: somebody who has it on paper gives it, never the medium.
fn key(given: Option<&str>, ui: Ui) -> Result<VerifierKey> {
    match given {
        Some(text) => read_key(text),
        None if ui.can_ask() => read_key(ui.prompt("The ledger's key, from paper:")?.trim()),
        None => Err(CliError::usage("a mirror is pinned to its ledger's key, and no key was given")
            .hint("give it with --key, as `cim-keys log public-key` printed it on the ledger's machine")),
    }
}

fn update(args: &UpdateArgs, global: &Global, ui: Ui) -> Result {
    let folder = place::ledger(global)?;
    let words = args.words.read()?;
    let bar = ui.progress("verifying", 0);
    let updated = mirrors::update(&mirror(&folder), From::path(&args.medium), words.as_ref(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let updated = updated.map_err(|error| told(&error))?;
    tell(&folder, &updated, words.is_some(), ui)
}

pub(super) fn tell(folder: &Path, updated: &Updated, compared: bool, ui: Ui) -> Result {
    let imported = &updated.imported;
    ui.object(&json!({
        "mirror": folder.to_string_lossy(), "new": imported.new, "events": imported.end,
        "unsigned": imported.unsigned, "tokens": updated.tokens, "tokens_missing": updated.missing,
        "head": head_words::object(updated.head.as_ref()),
    }))?;
    ui.done(match imported.new {
        0 => format!("Nothing is new: the mirror has {} events.", imported.end),
        new => format!("Took {new} events; the mirror in {} has {} now.", folder.display(), imported.end),
    })?;
    if imported.archive.last < imported.end {
        ui.warn(format_args!(
            "the medium ends at event {}, and the mirror was further already: it is an older medium",
            imported.archive.last
        ));
    }
    if imported.unsigned > 0 {
        ui.warn(format_args!("the last {} events were not taken: no signed head covers them", imported.unsigned));
    }
    if updated.missing > 0 {
        ui.warn(format_args!(
            "{} tokens in force did not come along, so they can't be pushed from here; carry the ledger out from where its restricted.db is",
            updated.missing
        ));
    }
    let Some(head) = &updated.head else { return Ok(()) };
    head_words::show(head, ui)?;
    match compared {
        true => ui.done("They are the words that were typed."),
        false => ui.line("Compare them with those that `carry out` showed."),
    }
}

fn status(global: &Global, ui: Ui) -> Result {
    let folder = place::ledger(global)?;
    let standing = mirrors::standing(&mirror(&folder)).map_err(|error| told(&error))?;
    let signed = standing.head.as_ref().map(cim_keys::log::SignedCheckpoint::size);
    ui.object(&json!({
        "mirror": folder.to_string_lossy(), "key": standing.key.to_string(), "events": standing.events,
        "published": standing.published, "tokens": standing.tokens.0, "tokens_missing": standing.tokens.1,
        "head": head_words::object(standing.head.as_ref()),
    }))?;
    ui.facts(&[
        ("mirror", folder.display().to_string()),
        ("pinned to", standing.key.to_string()),
        ("events", standing.events.to_string()),
        ("signed head", signed.map_or_else(|| "none".into(), |size| format!("of {size} events"))),
        ("published", format!("up to event {}", standing.published)),
        ("tokens", format!("{} held, {} missing", standing.tokens.0, standing.tokens.1)),
    ])?;
    standing.head.as_ref().map_or(Ok(()), |head| head_words::show(head, ui))
}

pub(super) fn told(error: &MirrorActError) -> CliError {
    use cim_keys::app::medium::MediumError;
    match error {
        MirrorActError::Import(error) => import::told(error),
        MirrorActError::Medium(error) => match error {
            MediumError::Manifest { .. } | MediumError::Torn { .. } => {
                CliError::verification("nothing was taken from the medium").because_of(error)
            }
            MediumError::Io { .. } => CliError::failed("the medium can't be used").because_of(error),
            _ => CliError::explain(error),
        },
        MirrorActError::OtherWords { .. }
        | MirrorActError::NotFollowed { .. }
        | MirrorActError::Exists(_)
        | MirrorActError::Open(cim_keys::store::OpenError::NotAMirror(_)) => CliError::explain(error),
        _ => CliError::failed("the mirror is not up to date").because_of(error),
    }
}
