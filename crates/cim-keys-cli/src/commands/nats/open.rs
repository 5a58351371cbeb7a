//! `nats open`: what was sealed to a curve key, for whoever has that key's seed.

use std::path::PathBuf;

use cim_keys::custody::{LONGEST_SECRET, SecretBytes};
use cim_keys::keys::xkey::{self, CurveKey};
use cim_keys::keys::{Opener as _, UnsealError};
use cim_keys::text::visible;
use clap::Args;
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use crate::commands::input::read_text;
use crate::commands::out::Out;
use crate::error::{CliError, Result};
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// The sealed file; `-` for standard input
    #[arg(value_name = "FILE")]
    sealed: PathBuf,
    /// The file with the seed (SX…) of the curve key that it is sealed to, as `nk -gen curve` writes it
    #[arg(long, short = 'i', value_name = "FILE")]
    key: PathBuf,
    /// The file to write, which must not exist yet, mode 0600; `-` for standard output
    #[arg(long, short = 'o', visible_alias = "out", value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &OpenArgs, ui: Ui) -> Result {
    let text = read_text(&args.sealed, xkey::LONGEST_FILE)?;
    let seed = Zeroizing::new(read_text(&args.key, LONGEST_SECRET as u64)?);
    let seed = SecretBytes::new(Box::new(seed.as_bytes().to_vec()));
    let key = CurveKey::parse(&seed).map_err(|error| {
        let shown = args.key.to_string_lossy();
        CliError::usage(format!("{} holds no seed of a curve key", visible(&shown))).because_of(&error)
    })?;
    let plain = key.open(text.as_bytes()).map_err(|error| told(error, &key))?;
    let mut out = Out::create(&args.file)?;
    out.write(plain.expose_secret())?;
    if out.is_standard_output() {
        return Ok(());
    }
    ui.object(&serde_json::json!({ "file": out.shown(), "opened_with": key.public().public_key }))?;
    ui.done(format_args!("What was sealed is in {}.", out.shown()))
}

fn told(error: UnsealError, key: &CurveKey) -> CliError {
    let text = error.to_string();
    match error {
        UnsealError::Form(_) => CliError::usage(text).hint("`age -d` opens files that were sealed to an age recipient"),
        UnsealError::Recipient { .. } => CliError::refused(text)
            .detail(format!("the private key is that of {}", key.public().public_key))
            .hint("give the seed of the key that it was sealed to with --key"),
        _ => CliError::verification(text).hint("have it sent again"),
    }
}
