//! `nsc` homes: an existing one becomes part of the ledger, and the ledger becomes one that `nsc` goes on with.
//!
//! The folders are those of nsc 2 (`home/`, `store/store.go`, `keys.go`): `OPERATOR/.nsc`, `OPERATOR/OPERATOR.jwt`,
//! `OPERATOR/accounts/A/A.jwt`, `OPERATOR/accounts/A/users/U.jwt`; seeds at `keys/K/XX/PUBLIC.nk`, where K is the kind's
//! letter and XX the two letters behind it; credentials at `creds/OPERATOR/A/U.creds`.

mod export;
mod home;
mod import;
mod keyring;

pub use export::{ExportError, Exported, Seeds, export};
pub use home::{Home, HomeError, StoredAccount, StoredOperator};
pub use import::{Imported, Skipped, import};
pub use keyring::Keyring;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The file that marks an operator's folder.
const MARK: &str = ".nsc";

/// Reads a file up to a size: an ordinary one, and no link.
fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Opening without waiting: a pipe would keep us for ever before it could be seen to be one.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        let link = std::fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink());
        if link { io::Error::other("it is a link, and links are not followed") } else { error }
    })?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    // With room from the start, a secret is not copied while it is read.
    let room = usize::try_from(file.metadata()?.len().min(most)).unwrap_or_default() + 1;
    let mut bytes = Vec::with_capacity(room);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// Whether there is a folder: one of its own, and no link to one.
fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.is_dir())
}

/// The names in a folder, in order; none where there is no folder.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    if !is_folder(folder) {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
