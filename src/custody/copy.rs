//! Copying custody as it is, sealed: into a backup and back. Nothing is opened for it.

use std::collections::BTreeMap;
use std::path::Path;

use super::bundle::{self, FILES};
use super::bundles;
use super::compartment::{SEALED_FILE, key_of};
use super::error::{FileError, OpenError};
use super::{Custody, folder};

/// The longest file in custody: a bundle.
pub const LONGEST_FILE: u64 = bundle::LONGEST_FILE;

/// A file of custody: its path in the folder, with `/`, and its bytes.
pub type SealedFile = (String, Vec<u8>);

impl Custody {
    /// Visits every file, by compartment: the recipient and the sealed identity, then the sealed secrets. A secret that is
    /// sealed meanwhile may be among them or not. Gives how many secrets there were.
    ///
    /// # Errors
    /// When a file can't be read, and those of `visit`.
    pub fn each_file<E: From<FileError>>(&self, mut visit: impl FnMut(SealedFile) -> Result<(), E>) -> Result<u64, E> {
        let mut secrets = 0;
        for (label, compartment) in &self.compartments {
            let of_compartment = self.folder.folder(label.as_str())?;
            for name in ["recipient", "identity.age"] {
                visit((format!("{label}/{name}"), of_compartment.read(name, LONGEST_FILE)?))?;
            }
            let keys = compartment.lone();
            for name in keys.names()?.into_iter().filter(|name| key_of(name).is_some()) {
                match keys.read(&name, SEALED_FILE) {
                    Ok(bytes) => visit((format!("{label}/keys/{name}"), bytes))?,
                    // An orphan that was removed meanwhile.
                    Err(FileError::Missing { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
                secrets += 1;
            }
            let Some(found) = compartment.bundles()? else { continue };
            let damaged = found.damaged.iter().map(|(name, _)| (name.as_str(), 0));
            for (name, keys) in found.bundles.iter().map(|bundle| (bundle.name(), bundle.keys().len())).chain(damaged) {
                let files = match found.folder.folder(name) {
                    Ok(bundle) => FILES.map(|file| (file, bundle.read(file, LONGEST_FILE))),
                    Err(FileError::Missing { .. }) => continue,
                    Err(error) => return Err(error.into()),
                };
                for (file, bytes) in files {
                    match bytes {
                        Ok(bytes) => visit((format!("{label}/{}/{name}/{file}", bundles::FOLDER), bytes))?,
                        // What is incomplete is copied as it is: the rest of custody matters too.
                        Err(FileError::Missing { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                secrets += keys as u64;
            }
        }
        Ok(secrets)
    }

    /// Makes a custody folder of files that [`Custody::each_file`] gave. It appears whole or not at all.
    ///
    /// # Errors
    /// When there is something at this place, when a path is none of custody, or when the disk fails.
    pub fn restore(dir: &Path, files: Vec<SealedFile>) -> Result<Self, OpenError> {
        let mut compartments: Vec<(String, Vec<SealedFile>)> = Vec::new();
        for (path, bytes) in files {
            let (compartment, rest) = path.split_once('/').ok_or_else(|| stranger(dir, &path))?;
            if crate::text::Label::new(compartment).is_err() || !is_place(rest) {
                return Err(stranger(dir, &path));
            }
            let file = (rest.to_owned(), bytes);
            match compartments.last_mut() {
                Some((last, files)) if last == compartment => files.push(file),
                _ => compartments.push((compartment.to_owned(), vec![file])),
            }
        }
        folder::create_whole(dir, |custody| {
            for (compartment, files) in compartments {
                let place = custody.create_folder(&compartment)?;
                let keys = place.create_folder("keys")?;
                let (secrets, rest): (Vec<_>, Vec<_>) =
                    files.into_iter().partition(|(path, _)| path.starts_with("keys/"));
                let (bundled, own): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(path, _)| bundled(path).is_some());
                for (name, bytes) in own {
                    place.create(&name, &bytes)?;
                }
                keys.create_all::<_, FileError>(&secrets, |(path, bytes)| {
                    Ok((path["keys/".len()..].to_owned(), bytes.into()))
                })?;
                restore_bundles(&place, &bundled)?;
            }
            Ok(())
        })?;
        Self::open(dir)
    }
}

fn restore_bundles(compartment: &folder::Folder, files: &[SealedFile]) -> Result<(), FileError> {
    let mut each: BTreeMap<&str, Vec<(&str, &[u8])>> = BTreeMap::new();
    for (path, bytes) in files {
        let (name, file) = bundled(path).unwrap_or_default();
        each.entry(name).or_default().push((file, bytes));
    }
    if !each.is_empty() {
        let folder = compartment.create_folder(bundles::FOLDER)?;
        for (name, files) in each {
            bundle::write_whole(&folder, name, &files)?;
        }
    }
    Ok(())
}

/// Whether a path in a compartment is one that custody has.
fn is_place(path: &str) -> bool {
    let lone = path.strip_prefix("keys/").and_then(key_of);
    matches!(path, "recipient" | "identity.age") || lone.is_some() || bundled(path).is_some()
}

/// A bundle's name and the name of one of its files, by the path in the compartment.
fn bundled(path: &str) -> Option<(&str, &str)> {
    let (name, file) = path.strip_prefix(bundles::FOLDER)?.strip_prefix('/')?.split_once('/')?;
    (name.parse::<crate::ids::KeyId>().is_ok() && FILES.contains(&file)).then_some((name, file))
}

fn stranger(dir: &Path, path: &str) -> OpenError {
    OpenError::Stranger { path: dir.join(path), reason: "nothing of custody has this name".into() }
}
