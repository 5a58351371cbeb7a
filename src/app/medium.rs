//! Removable media: what a ledger hands out in a folder, so that a medium that was pulled out too early is told from a whole
//! one.
//!
//! A medium carries one folder a ledger, named after its origin. In it lie an archive, the texts of tokens, and a
//! **manifest** that names both with their lengths and hashes. Files have names that follow from their content, and the
//! manifest is written last, so that at any moment the old state is there or the new one; what no manifest names is
//! removed afterwards.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::files::{NewFile, sync_folder, write_durably};
use crate::log::SignedCheckpoint;

/// The manifest's name, in a ledger's folder on the medium.
pub const MANIFEST: &str = "manifest.json";

/// What the names of ledgers' folders begin with.
const PREFIX: &str = "cim-keys-";

const FORMAT: &str = "cim-keys medium";
const VERSION: u32 = 1;

/// The longest manifest that is read.
const LONGEST: u64 = 1 << 20;

/// Why a medium is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediumError {
    /// Nothing is mounted there.
    #[error("there is no folder {}", .0.display())]
    NotThere(PathBuf),
    /// It is not a medium, or one that nothing was carried out to.
    #[error("{} carries no ledger", .0.display())]
    Nothing(PathBuf),
    /// It carries ledgers, and not this one.
    #[error("{} does not carry the ledger {wanted}, but {}", path.display(), found.join(", "))]
    Other {
        /// The medium.
        path: PathBuf,
        /// The origin that was looked for.
        wanted: String,
        /// The origins that are there.
        found: Vec<String>,
    },
    /// The manifest does not read.
    #[error("the medium is half-written: {} {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A newer release wrote it.
    #[error("{} has format version {found}, and this release reads version {VERSION}", path.display())]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A file is not the one that the manifest names.
    #[error("the medium is half-written or was changed: {} {problem}", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Explained for MediumError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotThere(_) | Self::Nothing(_) | Self::Other { .. } | Self::Newer { .. } => ErrorKind::Usage,
            Self::Manifest { .. } | Self::Torn { .. } => ErrorKind::Verification,
            Self::Io { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NotThere(_) => vec![Advice::Do("mount the medium, or make the folder")],
            Self::Nothing(_) => vec![Advice::Run(Action::CarryOut, "writes a ledger there")],
            Self::Other { .. } => vec![Advice::Do("look at the key, or bring the right medium")],
            Self::Manifest { .. } | Self::Torn { .. } => {
                vec![Advice::Run(Action::CarryOut, "writes the ledger there again")]
            }
            Self::Newer { .. } => vec![Advice::UPDATE],
            Self::Io { .. } => Vec::new(),
        }
    }
}

pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MediumError {
    let path = path.to_owned();
    move |source| MediumError::Io { action, path, source }
}

/// A file on a medium, as its manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name, in the manifest's folder.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// What a ledger's folder on a medium holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u32,
    /// The ledger's origin, as its checkpoints name it.
    pub origin: String,
    /// The position of the first event.
    pub first: u64,
    /// The position of the last event.
    pub last: u64,
    /// The newest signed head.
    pub checkpoint: String,
    /// The archive (CARv1).
    pub archive: Listed,
    /// The texts of tokens (CARv1), where the ledger has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Listed>,
}

impl Manifest {
    /// What a medium shall hold.
    #[must_use]
    pub fn new(range: (u64, u64), checkpoint: &SignedCheckpoint, archive: Listed, tokens: Option<Listed>) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            origin: checkpoint.checkpoint().origin.to_string(),
            first: range.0,
            last: range.1,
            checkpoint: checkpoint.to_string(),
            archive,
            tokens,
        }
    }

    fn read(path: &Path) -> Result<Self, MediumError> {
        let problem = |problem: String| MediumError::Manifest { path: path.to_owned(), problem };
        let mut text = Vec::new();
        let file = File::open(path).map_err(io("reading", path))?;
        file.take(LONGEST + 1).read_to_end(&mut text).map_err(io("reading", path))?;
        if text.len() as u64 > LONGEST {
            return Err(problem("is longer than any manifest".into()));
        }
        #[derive(Deserialize)]
        struct Which {
            format: String,
            version: u32,
        }
        let which: Which =
            serde_json::from_slice(&text).map_err(|error| problem(format!("cannot be parsed ({error})")))?;
        if which.format != FORMAT {
            return Err(problem("is no manifest of a medium".into()));
        }
        if which.version != VERSION {
            return Err(MediumError::Newer { path: path.to_owned(), found: which.version });
        }
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| problem(format!("cannot be parsed ({error})")))?;
        for listed in manifest.files() {
            // What is named must lie beside the manifest.
            if Path::new(&listed.name).components().count() != 1 || listed.name.starts_with('.') {
                return Err(problem("names a file that is not beside it".into()));
            }
        }
        Ok(manifest)
    }

    fn files(&self) -> impl Iterator<Item = &Listed> {
        std::iter::once(&self.archive).chain(&self.tokens)
    }
}

/// A ledger on a medium.
#[derive(Debug, Clone)]
pub struct OnMedium {
    folder: PathBuf,
    /// What its manifest says; nothing of it is verified.
    pub manifest: Manifest,
}

impl OnMedium {
    /// The archive's file.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.folder.join(&self.manifest.archive.name)
    }

    /// The file of tokens.
    #[must_use]
    pub fn tokens(&self) -> Option<PathBuf> {
        self.manifest.tokens.as_ref().map(|listed| self.folder.join(&listed.name))
    }

    /// The signed head that the manifest shows. Its signature is the caller's to check.
    ///
    /// # Errors
    /// When it does not read.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, MediumError> {
        self.manifest.checkpoint.parse().map_err(|error| MediumError::Manifest {
            path: self.folder.join(MANIFEST),
            problem: format!("shows a checkpoint that cannot be parsed ({error})"),
        })
    }

    /// Holds every file against the manifest: whether it is there, whole and unchanged.
    ///
    /// # Errors
    /// The first file that is not.
    pub fn check(&self) -> Result<(), MediumError> {
        for listed in self.manifest.files() {
            let path = self.folder.join(&listed.name);
            let torn = |problem: String| MediumError::Torn { path: path.clone(), problem };
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(torn("is missing".into())),
                Err(error) => return Err(io("reading", &path)(error)),
            };
            let length = file.metadata().map_err(io("reading", &path))?.len();
            if length != listed.bytes {
                return Err(torn(format!("has {length} bytes of {}", listed.bytes)));
            }
            let mut hash = Hashing::new(io::sink());
            io::copy(&mut file, &mut hash).map_err(io("reading", &path))?;
            if hash.digest() != listed.sha256 {
                return Err(torn("has another hash than the manifest says".into()));
            }
        }
        Ok(())
    }
}

/// The ledgers on a medium, by origin.
///
/// # Errors
/// When there is no such folder, or one of the manifests does not read.
pub fn ledgers(medium: &Path) -> Result<Vec<OnMedium>, MediumError> {
    let entries = match fs::read_dir(medium) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(MediumError::NotThere(medium.to_owned())),
        Err(error) => return Err(io("reading", medium)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io("reading", medium))?;
        let folder = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !folder.is_dir() {
            continue;
        }
        let manifest = folder.join(MANIFEST);
        if !manifest.exists() {
            let problem = "is missing: the medium was taken out before the first carrying had ended".to_owned();
            return Err(MediumError::Manifest { path: manifest, problem });
        }
        found.push(OnMedium { manifest: Manifest::read(&manifest)?, folder });
    }
    found.sort_by(|one, other| one.manifest.origin.cmp(&other.manifest.origin));
    Ok(found)
}

/// The ledger of an origin on a medium.
///
/// # Errors
/// When it is not there.
pub fn find(medium: &Path, origin: &str) -> Result<OnMedium, MediumError> {
    let mut there = ledgers(medium)?;
    if let Some(index) = there.iter().position(|one| one.manifest.origin == origin) {
        return Ok(there.swap_remove(index));
    }
    match there.is_empty() {
        true => Err(MediumError::Nothing(medium.to_owned())),
        false => Err(MediumError::Other {
            path: medium.to_owned(),
            wanted: origin.to_owned(),
            found: there.into_iter().map(|one| one.manifest.origin).collect(),
        }),
    }
}

/// A ledger's folder on a medium, while it is written.
#[derive(Debug)]
pub struct Writing {
    folder: PathBuf,
}

impl Writing {
    /// Makes the folder where it is missing. The medium itself must be there: a mount point without its medium is an
    /// ordinary folder that nobody wants written to, so nothing above is made.
    ///
    /// # Errors
    /// When there is no medium, or it can't be written.
    pub fn begin(medium: &Path, origin: &str) -> Result<Self, MediumError> {
        if !medium.is_dir() {
            return Err(MediumError::NotThere(medium.to_owned()));
        }
        let folder = medium.join(format!("{PREFIX}{}", origin.replace(['/', '\\'], "-")));
        if !folder.exists() {
            fs::create_dir(&folder).map_err(io("making", &folder))?;
            sync_folder(medium).map_err(io("syncing", medium))?;
        }
        Ok(Self { folder })
    }

    /// Writes a file whose name follows from its content: `kind`, then the beginning of its hash.
    ///
    /// # Errors
    /// Those of `write`, and when the medium can't be written.
    pub fn file<T, E: From<MediumError>>(
        &self,
        kind: &str,
        private: bool,
        write: impl FnOnce(&mut Hashing<NewFile>) -> Result<T, E>,
    ) -> Result<(Listed, T), E> {
        let place = self.folder.join(format!("{kind}.car"));
        let file = NewFile::create(&place, private).map_err(io("writing", &place))?;
        let mut file = Hashing::new(file);
        let done = write(&mut file)?;
        let (bytes, sha256) = (file.bytes, file.digest());
        let name = format!("{kind}-{}.car", &sha256[..16]);
        file.inner.named(&name).commit().map_err(io("writing", &place))?;
        Ok((Listed { name, bytes, sha256 }, done))
    }

    /// Writes the manifest, durably; from then on the medium holds what it names. Then removes what no manifest names.
    ///
    /// # Errors
    /// When the medium can't be written.
    pub fn finish(self, manifest: &Manifest) -> Result<PathBuf, MediumError> {
        let place = self.folder.join(MANIFEST);
        let mut text = serde_json::to_vec_pretty(manifest).map_err(|error| io("writing", &place)(error.into()))?;
        text.push(b'\n');
        write_durably(&place, &text, false).map_err(io("writing", &place))?;
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let ours = [".car", ".car.new", ".json.new"].iter().any(|end| name.to_string_lossy().ends_with(end));
            if ours && !manifest.files().any(|listed| *listed.name == *name) {
                // What can't be removed only takes room; the next carrying tries again.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(self.folder)
    }
}

/// Writes on, and hashes what passes.
#[derive(Debug)]
pub struct Hashing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// The SHA-256 of what has passed, in hexadecimal.
    pub(super) fn digest(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
