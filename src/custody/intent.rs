//! Which keys an act that is going on seals secrets for.
//!
//! A secret is sealed before its key is recorded, so a process that is killed in between leaves a secret of a key that never
//! came to be. Looking at the secrets alone can't tell it from one whose record was lost with a part of the ledger; what
//! the act meant to do can:
//!
//! 1. Before the first secret is sealed, a file says durably for which keys: `.unfinished-keys-…` in custody's folder, a line
//!    with compartment and id each. The folder's lock is held, shared, from before that file until after it.
//! 2. When the keys are recorded, or their secrets removed again, the file is removed.
//! 3. A later process that gets the lock alone reads the files of dead ones. It removes the secrets of keys that are not
//!    recorded, and then the file. Secrets that no such file names are never removed like this.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::Custody;
use super::error::{FileError, SealError};
use super::folder::{Folder, UNFINISHED_KEYS, unfinished_keys_name};
use crate::files::lock::FolderLock;
use crate::ids::KeyId;
use crate::text::Label;

/// The longest file that is read: keys of some fleets.
const LONGEST: u64 = 256 * 1024 * 1024;

/// Keys that secrets are being sealed for. Dropped without [`SealingIntent::done`], it stays for a later process to settle.
#[derive(Debug)]
#[must_use = "it is done when the keys are recorded, or their secrets removed"]
pub struct SealingIntent {
    folder: Folder,
    name: String,
    _writing: FolderLock,
}

impl SealingIntent {
    /// Says that the keys are recorded, or that their secrets are removed. What can't be removed now is settled later.
    pub fn done(self) {
        let _ = self.folder.remove_all([self.name]);
    }
}

impl Custody {
    /// Says durably for which keys secrets will be sealed, and recorded afterwards.
    pub fn intend<'l>(&self, keys: impl IntoIterator<Item = (&'l Label, KeyId)>) -> Result<SealingIntent, FileError> {
        self.tidy();
        let mut text = String::new();
        for (compartment, key) in keys {
            let _ = writeln!(text, "{compartment} {key}");
        }
        let writing = self.folder.writing()?;
        let name = unfinished_keys_name(self.folder.path())?;
        self.folder.write(&name, text.as_bytes())?;
        self.folder.sync()?;
        Ok(SealingIntent { folder: self.folder.again()?, name, _writing: writing })
    }

    /// Whether acts were cut short, or go on, between sealing and recording in this custody folder. Opens nothing, and takes
    /// a folder that can't be read for one where nothing happened.
    #[must_use]
    pub fn has_intents(dir: &Path) -> bool {
        let is =
            |entry: std::fs::DirEntry| entry.file_name().to_str().is_some_and(|it| it.starts_with(UNFINISHED_KEYS));
        std::fs::read_dir(dir).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is)))
    }

    /// Settles the acts of dead processes: removes the secrets of keys that such an act sealed and that are not recorded, and
    /// gives how many there were. Nothing, while a living process seals.
    ///
    /// # Errors
    /// When the disk fails; and those of `recorded`, which says of a key whether the ledger knows it.
    pub fn settle<E: From<SealError>>(&self, mut recorded: impl FnMut(KeyId) -> Result<bool, E>) -> Result<usize, E> {
        let failed = |error: FileError| E::from(SealError::from(error));
        let Some(_alone) = self.folder.alone().map_err(failed)? else { return Ok(0) };
        let mut removed = 0;
        for name in self.intents().map_err(failed)? {
            let text = self.folder.read(&name, LONGEST).map_err(failed)?;
            let mut orphans: BTreeMap<Label, BTreeSet<KeyId>> = BTreeMap::new();
            // A line that is cut off is of an act that had sealed nothing yet.
            for (compartment, key) in String::from_utf8_lossy(&text).lines().filter_map(parse) {
                if !recorded(key)? {
                    orphans.entry(compartment).or_default().insert(key);
                }
            }
            for (compartment, keys) in orphans {
                let Some(compartment) = self.compartments.get(&compartment) else { continue };
                removed += match compartment.remove_all(&keys) {
                    // Sealed together with others, it stays, and the check names it.
                    Err(SealError::Shared { .. }) => 0,
                    removed => removed.map_err(E::from)?,
                };
            }
            self.folder.remove_all([name]).map_err(failed)?;
        }
        Ok(removed)
    }

    fn intents(&self) -> Result<Vec<String>, FileError> {
        Ok(self.folder.names()?.into_iter().filter(|name| name.starts_with(UNFINISHED_KEYS)).collect())
    }
}

fn parse(line: &str) -> Option<(Label, KeyId)> {
    let (compartment, key) = line.split_once(' ')?;
    Some((Label::new(compartment).ok()?, key.parse().ok()?))
}
