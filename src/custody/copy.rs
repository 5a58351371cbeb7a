//! Copying custody as it is, sealed: into a backup and back. Nothing is opened for it.

use std::path::Path;

use super::error::{FileError, OpenError};
use super::{Custody, LONGEST_SECRET, folder};

/// The longest file in custody: a sealed secret, or an identity.
pub const LONGEST_FILE: u64 = 2 * LONGEST_SECRET as u64;

/// A file of custody: its path in the folder, with `/`, and its bytes.
pub type SealedFile = (String, Vec<u8>);

impl Custody {
    /// Visits every file, by compartment: the recipient and the sealed identity, then the sealed secrets. A secret that is
    /// sealed meanwhile may be among them or not.
    ///
    /// # Errors
    /// When a file can't be read, and those of `visit`.
    pub fn each_file<E: From<FileError>>(&self, mut visit: impl FnMut(SealedFile) -> Result<(), E>) -> Result<(), E> {
        for (label, compartment) in &self.compartments {
            let of_compartment = self.folder.folder(label.as_str())?;
            for name in ["recipient", "identity.age"] {
                visit((format!("{label}/{name}"), of_compartment.read(name, LONGEST_FILE)?))?;
            }
            let keys = compartment.keys();
            for name in keys.names()?.into_iter().filter(|name| name.ends_with(".age")) {
                match keys.read(&name, LONGEST_FILE) {
                    Ok(bytes) => visit((format!("{label}/keys/{name}"), bytes))?,
                    // An orphan that was removed meanwhile.
                    Err(FileError::Missing { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
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
                let (secrets, own): (Vec<_>, Vec<_>) =
                    files.into_iter().partition(|(path, _)| path.starts_with("keys/"));
                for (name, bytes) in own {
                    place.create(&name, &bytes)?;
                }
                keys.create_all::<_, FileError>(&secrets, |(path, bytes)| {
                    Ok((path["keys/".len()..].to_owned(), bytes.into()))
                })?;
            }
            Ok(())
        })?;
        Self::open(dir)
    }
}

/// Whether a path in a compartment is one that custody has.
fn is_place(path: &str) -> bool {
    let secret = path.strip_prefix("keys/").and_then(|name| name.strip_suffix(".age"));
    matches!(path, "recipient" | "identity.age") || secret.is_some_and(|id| id.parse::<crate::ids::KeyId>().is_ok())
}

fn stranger(dir: &Path, path: &str) -> OpenError {
    OpenError::Stranger { path: dir.join(path), reason: "nothing of custody has this name".into() }
}
