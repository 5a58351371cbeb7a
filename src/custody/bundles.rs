//! The bundles of a compartment: which there are, and in which of them a key's secret is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bundle::{self, Bundle};
use super::error::FileError;
use super::folder::Folder;
use crate::ids::KeyId;

/// The folder of bundles in a compartment's. It is made with the first of them.
pub(super) const FOLDER: &str = "bundles";

/// A compartment's bundles. What was read of their indexes is kept: a bundle never changes.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    known: Mutex<BTreeMap<String, Arc<Bundle>>>,
}

/// The bundles that are there now.
pub(super) struct Found {
    pub(super) folder: Folder,
    pub(super) bundles: Vec<Arc<Bundle>>,
    /// Those whose index can't be read, by name, and why.
    pub(super) damaged: Vec<(String, FileError)>,
    /// What else is in the folder.
    pub(super) strays: Vec<PathBuf>,
}

impl Bundles {
    /// The folder of bundles, where there is one.
    pub(super) fn folder(compartment: &Folder) -> Result<Option<Folder>, FileError> {
        match compartment.folder(FOLDER) {
            Ok(folder) => Ok(Some(folder)),
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks which there are; `None` where there never was one.
    pub(super) fn look(&self, compartment: &Folder) -> Result<Option<Found>, FileError> {
        let Some(folder) = Self::folder(compartment)? else { return Ok(None) };
        let mut found = Found { folder, bundles: Vec::new(), damaged: Vec::new(), strays: Vec::new() };
        let mut known = self.known();
        let mut there = BTreeMap::new();
        for name in found.folder.names()? {
            if name.parse::<KeyId>().is_err() {
                found.strays.push(found.folder.path().join(name));
                continue;
            }
            let read = match known.remove(&name) {
                Some(known) => Ok(known),
                None => Bundle::read(&found.folder, &name).map(Arc::new),
            };
            match read {
                Ok(bundle) => {
                    found.bundles.push(Arc::clone(&bundle));
                    there.insert(name, bundle);
                }
                Err(error) => found.damaged.push((name, error)),
            }
        }
        *known = there;
        Ok(Some(found))
    }

    /// The bundle that has a key's secret.
    ///
    /// # Errors
    /// When none of those that can be read has it, and there is one that can't.
    pub(super) fn find(&self, compartment: &Folder, key: KeyId) -> Result<Option<Arc<Bundle>>, FileError> {
        if let Some(known) = self.known().values().find(|bundle| bundle.has(key)) {
            return Ok(Some(Arc::clone(known)));
        }
        // Another process may have written one since.
        let Some(mut found) = self.look(compartment)? else { return Ok(None) };
        let bundle = found.bundles.into_iter().find(|bundle| bundle.has(key));
        match (bundle, found.damaged.pop()) {
            (None, Some((_, error))) => Err(error),
            (bundle, _) => Ok(bundle),
        }
    }

    /// Writes bundles, all or none.
    pub(super) fn write(&self, compartment: &Folder, new: Vec<(Bundle, Vec<u8>)>) -> Result<(), FileError> {
        let folder = match Self::folder(compartment)? {
            Some(folder) => folder,
            None => match compartment.create_folder(FOLDER) {
                Err(FileError::Exists { .. }) => compartment.folder(FOLDER)?,
                made => made?,
            },
        };
        let mut written = Vec::new();
        for (bundle, sealed) in new {
            if let Err(error) = bundle.write(&folder, &sealed) {
                for bundle in written {
                    let _ = remove(&folder, &bundle);
                }
                return Err(error);
            }
            written.push(bundle);
        }
        self.known().extend(written.into_iter().map(|bundle| (bundle.name().to_owned(), Arc::new(bundle))));
        Ok(())
    }

    /// Removes the bundles all of whose keys are among these; gives how many keys that were, and a key that is in a bundle
    /// with others.
    pub(super) fn remove_all(
        &self,
        compartment: &Folder,
        keys: &BTreeSet<KeyId>,
    ) -> Result<(usize, Option<(KeyId, PathBuf)>), FileError> {
        let Some(found) = self.look(compartment)? else { return Ok((0, None)) };
        let (mut removed, mut shared) = (0, None);
        for bundle in found.bundles {
            let Some(key) = bundle.keys().iter().find(|key| keys.contains(key)) else { continue };
            if bundle.keys().iter().all(|key| keys.contains(key)) {
                remove(&found.folder, &bundle)?;
                self.known().remove(bundle.name());
                removed += bundle.keys().len();
            } else {
                shared = Some((*key, bundle.path(found.folder.path())));
            }
        }
        Ok((removed, shared))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Bundle>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(folder: &Folder, bundle: &Bundle) -> Result<(), FileError> {
    folder.remove_folder(bundle.name(), &bundle::FILES)
}
