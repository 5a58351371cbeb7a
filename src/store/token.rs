//! The right to write: a token outside the ledger's folder, so that a copied folder does not bring it along.
//!
//! The token names the ledger, a nonce that the ledger holds too, and the file itself (device and inode), so that moving
//! the folder keeps the right and copying it does not. It also remembers the last position that it saw, so that a file
//! that was set back to an older state is noticed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::error::{NotTheWriter, OpenError};
use crate::files::lock::{alone, writing};
use crate::files::{create_private_file, create_private_folder, sync_folder};
use crate::ids::LedgerId;

/// The longest token file that is read.
const LONGEST: u64 = 4_096;

/// What the extension of a token's file begins with until it is in place.
const UNFINISHED: &str = "new-";

/// The extension of the file with the head that was signed last, until it is in place.
const UNFINISHED_HEAD: &str = "signed.new";

/// What the token's file says, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    /// The ledger.
    pub(super) ledger: LedgerId,
    /// What the ledger's table `meta` holds as `writer`.
    pub(super) nonce: String,
    /// Which file it is.
    pub(super) file: FileIdentity,
    /// The last position that was seen when the ledger was opened or closed.
    pub(super) position: u64,
    /// The content identifier at that position, as text; empty at 0.
    pub(super) cid: String,
}

/// What a file is besides its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

#[cfg(unix)]
fn identify(path: &Path) -> io::Result<FileIdentity> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path)?;
    Ok(FileIdentity { device: metadata.dev(), inode: metadata.ino() })
}

/// Where files have no number that the standard library shows, the place stands for the file: moving it is a copy.
#[cfg(not(unix))]
fn identify(path: &Path) -> io::Result<FileIdentity> {
    use sha2::{Digest as _, Sha256};
    let place = fs::canonicalize(path)?;
    let digest = Sha256::digest(place.to_string_lossy().as_bytes());
    let mut number = [0; 8];
    number.copy_from_slice(&digest[..8]);
    Ok(FileIdentity { device: 0, inode: u64::from_be_bytes(number) })
}

impl Token {
    /// A new right to write to a file, which ends every earlier one.
    pub(super) fn mint(ledger: LedgerId, database: &Path) -> Result<Self, OpenError> {
        let file = identify(database).map_err(|source| failed("making", database, source))?;
        let nonce = crate::ids::mint_uuid().simple().to_string();
        Ok(Self { ledger, nonce, file, position: 0, cid: String::new() })
    }

    /// Reads the token of a ledger; `None` when this machine has none, or none that reads.
    pub(super) fn read(tokens: &Path, ledger: LedgerId) -> Result<Option<Self>, OpenError> {
        let path = place(tokens, ledger);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("reading", &path, source)),
        };
        if length > LONGEST {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(|source| failed("reading", &path, source))?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// Writes the token durably: beside its place, then in its place.
    pub(super) fn write(&self, tokens: &Path) -> Result<(), OpenError> {
        let path = place(tokens, self.ledger);
        let write = || -> io::Result<()> {
            create_private_folder(tokens)?;
            remove_unfinished(tokens)?;
            let _writing = File::open(tokens).ok().map(writing);
            // Two processes may write at once: each beside the place under a name of its own.
            let aside = path.with_extension(format!("{UNFINISHED}{}", crate::ids::mint_uuid().simple()));
            let mut file = create_private_file(&aside)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            sync_folder(tokens)
        };
        write().map_err(|source| failed("writing", &path, source))
    }

    /// Whether the token gives the right to write to this file, whose last events `cid_at` looks up.
    pub(super) fn allows(
        &self,
        database: &Path,
        nonce: Option<&str>,
        cid_at: impl FnOnce(u64) -> Option<Cid>,
    ) -> Result<(), NotTheWriter> {
        if nonce != Some(self.nonce.as_str()) {
            return Err(if nonce.is_none() { NotTheWriter::Copy } else { NotTheWriter::HandedOver });
        }
        if identify(database).ok().as_ref() != Some(&self.file) {
            return Err(NotTheWriter::Copy);
        }
        if self.position > 0 && cid_at(self.position).map(|cid| cid.to_string()).as_ref() != Some(&self.cid) {
            return Err(NotTheWriter::SetBack { recorded: self.position });
        }
        Ok(())
    }
}

/// Removes what this machine keeps of a ledger that never came to be: the right to write, the head that was signed last, and
/// what is unfinished of them.
pub(super) fn forget(tokens: &Path, ledger: LedgerId) -> io::Result<()> {
    let entries = match fs::read_dir(tokens) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let own = format!("{ledger}.");
    let mut removed = false;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&own)) {
            fs::remove_file(entry.path())?;
            removed = true;
        }
    }
    if removed { sync_folder(tokens) } else { Ok(()) }
}

/// Removes what killed processes did not come to put in place, of any ledger, when no process writes a token or a head now.
fn remove_unfinished(tokens: &Path) -> io::Result<()> {
    let Some(_alone) = File::open(tokens).ok().and_then(alone) else { return Ok(()) };
    for entry in fs::read_dir(tokens)? {
        let entry = entry?;
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.split_once('.'));
        let unfinished = |rest: &str| rest.starts_with(UNFINISHED) || rest == UNFINISHED_HEAD;
        if rest.is_some_and(|(ledger, rest)| ledger.parse::<LedgerId>().is_ok() && unfinished(rest)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn place(tokens: &Path, ledger: LedgerId) -> PathBuf {
    tokens.join(format!("{ledger}.json"))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Token { action, path: path.to_owned(), source }
}
