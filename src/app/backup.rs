//! `backup` and `restore`: a whole ledger in one file, and back.
//!
//! A backup is an ordinary tar file, mode 0600: `ledger.db`, `restricted.db`, `config.toml`, `witnessed`, the sealed files of
//! `custody/`, and at its end `manifest.json` with the hash of each. Custody stays sealed in it; the ledger's own key where it
//! is stored unencrypted (`ledger.key`) is left out, since custody has it sealed. It is written beside its place, synced and renamed,
//! so that it is there whole or not at all; and one that was cut short on its way has no manifest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::medium::Hashing;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::custody::{self, Custody, FileError};
use crate::files::{NewFile, create_private_file, remove_abandoned, sync_folder};
use crate::ids::KeyId;
use crate::session::custody::{CheckError, not_in_custody};
use crate::session::{Place, Session};
use crate::store::{
    AppendError, CopyError, LastBackup, OpenError, ReadError, Restoration, RestrictedBlocks, RestrictedError, Store,
    mark_restored,
};
use crate::time::Timestamp;

mod restore;

pub use restore::{RestoreError, Restored, newest, restore};

const FORMAT: &str = "cim-keys backup";
const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// What the names of backups end in.
pub const ENDING: &str = ".cimkeys.tar";

/// Files of the ledger's folder that are taken as they are, where they are there.
const PLAIN: [&str; 2] = ["config.toml", "witnessed"];

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The folder for it is not there.
    #[error("there is no folder {}", .0.display())]
    NotThere(PathBuf),
    /// There is such a file already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The database could not be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The texts of tokens could not be copied.
    #[error(transparent)]
    Restricted(#[from] RestrictedError),
    /// Custody could not be read.
    #[error(transparent)]
    Custody(#[from] custody::OpenError),
    /// A file of custody could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Custody and the ledger could not be compared.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The backup is made, and the ledger could not remember it.
    #[error("the backup is made, and the ledger could not remember it: {0}")]
    Remember(#[from] AppendError),
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

impl Explained for BackupError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotThere(_) | Self::Exists(_) => ErrorKind::Usage,
            Self::Copy(_)
            | Self::Restricted(_)
            | Self::Custody(_)
            | Self::File(_)
            | Self::Check(_)
            | Self::Read(_)
            | Self::Remember(_)
            | Self::Io { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NotThere(_) => vec![Advice::Do("mount the medium, or make the folder")],
            Self::Exists(_) => vec![Advice::Do("name another file, or a folder to make one in")],
            Self::Copy(error) => error.advice(),
            Self::Restricted(error) => error.advice(),
            Self::Custody(error) => error.advice(),
            Self::File(error) => error.advice(),
            Self::Check(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Remember(error) => error.advice(),
            Self::Io { .. } => Vec::new(),
        }
    }
}

/// What stands at the end of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    /// The ledger's UUID.
    ledger: String,
    /// Its name.
    name: String,
    /// How many events it has.
    events: u64,
    /// When it was made.
    at: Timestamp,
    /// The SHA-256 of each file, in hexadecimal.
    files: BTreeMap<String, String>,
}

/// What was backed up.
#[derive(Debug, Clone)]
pub struct BackedUp {
    /// The file.
    pub file: PathBuf,
    /// How many events are in it.
    pub events: u64,
    /// How many sealed secrets are in it.
    pub secrets: u64,
    /// Keys of this ledger's compartments whose secrets are not in it: they cannot leave where they are kept, or they are lost.
    pub left_out: Vec<KeyId>,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Whether the ledger remembers it: a copy that can't be written does not.
    pub remembered: bool,
}

/// Backs a ledger up: into a new file in a folder, or to a file. Whoever writes to the ledger goes on writing.
///
/// # Errors
/// When something can't be read or written; then there is no file.
pub fn backup(session: &Session, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<BackedUp, BackupError> {
    let (store, place, at) = (session.store(), session.place(), Timestamp::now());
    // It tidies up after one that was killed, whatever becomes of this one.
    let staged = Staged::new(place.folder())?;
    let file = destination(store, to, at)?;
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Io { action, path, source }
    };
    // The ledger first, custody after it: a key that is recorded has its secret in custody already.
    let database = staged.file("ledger.db")?;
    let events = store.back_up_to(&database, progress)?;
    let out = NewFile::create(&file, true).map_err(failed("writing", &file))?;
    let mut tar = Tar { builder: tar::Builder::new(out), files: BTreeMap::new(), at, file: file.clone() };
    tar.file("ledger.db", &database)?;
    if place.restricted().exists() {
        let copy = staged.file("restricted.db")?;
        RestrictedBlocks::open(&place.restricted())?.back_up_to(&copy)?;
        tar.file("restricted.db", &copy)?;
    }
    for name in PLAIN {
        let path = place.folder().join(name);
        if path.is_file() {
            tar.file(name, &path)?;
        }
    }
    let custody = if place.custody().exists() { Some(Custody::open(&place.custody())?) } else { None };
    let mut secrets = 0;
    if let Some(custody) = &custody {
        secrets = custody.each_file(|(path, bytes)| tar.bytes(&format!("custody/{path}"), &bytes))?;
    }
    // A copy that is only read never had the secrets.
    let left_out = match store.writable() {
        Ok(()) => not_in_custody(store, custody.as_ref())?,
        Err(_) => Vec::new(),
    };
    let identity = store.identity();
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        ledger: identity.ledger_id.to_string(),
        name: identity.name.to_string(),
        events,
        at,
        files: std::mem::take(&mut tar.files),
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| failed("writing", &file)(error.into()))?;
    tar.bytes(MANIFEST, &text)?;
    let out = tar.builder.into_inner().map_err(failed("writing", &file))?;
    out.commit().map_err(failed("writing", &file))?;
    let bytes = fs::metadata(&file).map_err(failed("reading", &file))?.len();
    let remembered = store.writable().is_ok();
    if remembered {
        store.remember_backup(&LastBackup { at, events, place: file.display().to_string() })?;
    }
    Ok(BackedUp { file, events, secrets, left_out, bytes, at, remembered })
}

/// The file to write: in a folder it is named after the ledger and the time.
fn destination(store: &Store, to: &Path, at: Timestamp) -> Result<PathBuf, BackupError> {
    if to.is_dir() {
        let name = store.identity().name.folded();
        let slug: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        let begins = format!("{}-", slug.trim_matches('-'));
        // A backup that was killed has left its file half-written, under a name that does not come again.
        let abandoned = remove_abandoned(to, |name| name.starts_with(&begins) && name.ends_with(ENDING));
        abandoned.map_err(|source| BackupError::Io { action: "tidying", path: to.to_owned(), source })?;
        let at: String = at.to_string().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
        let file = to.join(format!("{begins}{at}Z{ENDING}"));
        return if file.exists() { Err(BackupError::Exists(file)) } else { Ok(file) };
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            Err(BackupError::NotThere(parent.to_owned()))
        }
        _ => Ok(to.to_owned()),
    }
}

/// What the names of folders with copies begin with; the number of the process follows.
const STAGING: &str = ".backup-";

/// Copies on their way into the file: a private folder in the ledger's, gone afterwards.
struct Staged {
    folder: PathBuf,
    /// Held as long as it is in use.
    _lock: File,
}

impl Staged {
    fn new(ledger: &Path) -> Result<Self, BackupError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = ledger.join(format!("{STAGING}{}", std::process::id()));
        let failed = |source| BackupError::Io { action: "making", path: folder.clone(), source };
        Self::remove_abandoned(ledger);
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let lock = File::create_new(folder.join("lock")).map_err(failed)?;
        // Where nothing can be locked, nothing is taken for abandoned either.
        let _ = lock.try_lock();
        Ok(Self { folder, _lock: lock })
    }

    /// What backups that were killed left behind. What can't be removed is in nobody's way.
    fn remove_abandoned(ledger: &Path) {
        for entry in fs::read_dir(ledger).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(STAGING) {
                let lock = File::open(entry.path().join("lock"));
                let _ = match lock {
                    Ok(lock) if lock.try_lock().is_ok() => fs::remove_dir_all(entry.path()),
                    Ok(_) => Ok(()),
                    // It was killed before it held anything.
                    Err(_) => fs::remove_dir(entry.path()),
                };
            }
        }
    }

    /// An empty private file.
    fn file(&self, name: &str) -> Result<PathBuf, BackupError> {
        let path = self.folder.join(name);
        create_private_file(&path).map_err(|source| BackupError::Io {
            action: "making",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // It holds copies of what is beside it, with the same modes.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A tar file that is being written, with the hashes of what is in it.
struct Tar {
    builder: tar::Builder<NewFile>,
    files: BTreeMap<String, String>,
    at: Timestamp,
    file: PathBuf,
}

impl Tar {
    fn file(&mut self, name: &str, path: &Path) -> Result<(), BackupError> {
        let failed = |source| BackupError::Io { action: "reading", path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut reading = HashingReader { inner: file.take(length), hash: Sha256::new() };
        self.append(name, length, &mut reading)?;
        let hash = hex(reading.hash);
        self.files.insert(name.to_owned(), hash);
        Ok(())
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        self.append(name, bytes.len() as u64, bytes)?;
        self.files.insert(name.to_owned(), hex(Sha256::new().chain_update(bytes)));
        Ok(())
    }

    fn append(&mut self, name: &str, length: u64, bytes: impl Read) -> Result<(), BackupError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.at.unix_micros() / 1_000_000).unwrap_or(0));
        let appended = self.builder.append_data(&mut header, name, bytes);
        appended.map_err(|source| BackupError::Io { action: "writing", path: self.file.clone(), source })
    }
}

struct HashingReader<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..read]);
        Ok(read)
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
