//! What is named on the command line and read: texts, checkpoints, policies, keys.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use cim_keys::log::{CheckpointError, InvalidKey, InvalidPolicy, Policy, SignedCheckpoint, VerifierKey};

use crate::error::{CliError, Result};

/// The longest file that is read: a proof holds one event.
const LONGEST: u64 = 32 << 20;

/// Reads a text file that was named, up to a size. `-` is standard input.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String> {
    let cannot = |error: io::Error| {
        CliError::usage(format!("cannot read {}", path.display())).because(&error).hint("name a file that is there")
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    } else {
        File::open(path).map_err(cannot)?.take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    }
    if bytes.len() as u64 > most {
        return Err(CliError::usage(format!("{} is larger than {most} bytes", path.display()))
            .hint("nothing of it was read; name another file, or split it"));
    }
    String::from_utf8(bytes).map_err(|_| {
        CliError::usage(format!("{} is not text in UTF-8", path.display()))
            .hint("save it as UTF-8, or name another file")
    })
}

/// Reads a text of the log that was named. `-` is standard input.
pub(super) fn read(path: &Path) -> Result<String> {
    let cannot = |error: &io::Error| CliError::usage(format!("cannot read {}", path.display())).because(error);
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(LONGEST).read_to_string(&mut text)
    } else {
        File::open(path).map_err(|error| cannot(&error))?.take(LONGEST).read_to_string(&mut text)
    };
    read.map_err(|error| cannot(&error))?;
    Ok(text)
}

/// A checkpoint in a file.
pub(crate) fn read_checkpoint(path: &Path) -> Result<SignedCheckpoint> {
    let not_one = |error: CheckpointError| {
        CliError::verification(format!("{} is no checkpoint", path.display())).because_of(&error)
    };
    read(path)?.parse().map_err(not_one)
}

/// A policy in a file.
pub(crate) fn read_policy(path: &Path) -> Result<Policy> {
    read(path)?
        .parse()
        .map_err(|error: InvalidPolicy| CliError::usage(format!("{} is no policy", path.display())).because_of(&error))
}

/// A verifier key, given as it is or as a file that holds it.
pub(crate) fn read_key(text: &str) -> Result<VerifierKey> {
    match text.parse::<VerifierKey>() {
        Ok(key) => Ok(key),
        Err(_) if Path::new(text).is_file() => {
            let path = Path::new(text);
            read(path)?.trim().parse().map_err(|error: InvalidKey| {
                CliError::usage(format!("{} holds no verifier key", path.display())).because_of(&error)
            })
        }
        Err(error) => Err(CliError::explain(&error).hint("or give a file that holds it")),
    }
}
