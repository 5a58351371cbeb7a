//! Bringing a backup back.

use super::*;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::files::create_private_folder;

/// The most bytes of a small file in a backup: everything but the databases.
const SMALL: u64 = 1 << 20;

/// Where a backup is unpacked, in the ledger's folder.
const STAGING: &str = ".restore";

/// In there, the names of what is put in place from there on: until the ledger is, that is not whole.
const PLACING: &str = "placing";

/// The most files: far more keys than a ledger has.
const MOST_FILES: usize = 1_000_000;

/// Why a backup was not brought back. The folder is then as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// No backup is in the folder.
    #[error("there is no backup in {}: no file whose name ends in {ENDING}", .0.display())]
    Nothing(PathBuf),
    /// The file is none of ours.
    #[error("{} is no backup of a ledger: {problem}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file is not whole.
    #[error("the backup {} is half-written or was changed: {problem}", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A newer release wrote it.
    #[error("{} has format version {found}, and this release reads version {VERSION}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// There is something already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// Custody does not read.
    #[error(transparent)]
    Custody(#[from] custody::OpenError),
    /// The database does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
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

impl Explained for RestoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Torn { .. } => ErrorKind::Verification,
            Self::Io { .. } | Self::Custody(_) | Self::Open(_) => ErrorKind::Failed,
            Self::Nothing(_) | Self::Foreign { .. } | Self::Newer { .. } | Self::Exists(_) => ErrorKind::Usage,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Foreign { .. } => vec![Advice::Run(Action::Backup, "writes such files: give one of those")],
            Self::Torn { .. } => vec![Advice::Do("take another backup")],
            Self::Newer { .. } => vec![Advice::UPDATE],
            Self::Exists(_) => vec![Advice::Do("restore into another folder, or move it away first")],
            Self::Custody(error) => error.advice(),
            Self::Open(error) => error.advice(),
            Self::Nothing(_) | Self::Io { .. } => Vec::new(),
        }
    }
}

/// What was brought back.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The backup's file.
    pub file: PathBuf,
    /// The ledger's name.
    pub name: String,
    /// When the backup was made.
    pub at: Timestamp,
    /// How many events it has.
    pub events: u64,
    /// How many sealed secrets it has.
    pub secrets: u64,
    /// Whether it is a mirror, which goes on as it was.
    pub mirror: bool,
}

/// The newest backup in a folder, by its name; a file is itself.
///
/// # Errors
/// When there is none.
pub fn newest(path: &Path) -> Result<PathBuf, RestoreError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let entries = fs::read_dir(path).map_err(io("reading", path))?;
    let files = entries.flatten().map(|entry| entry.path());
    let backups = files.filter(|file| file.to_string_lossy().ends_with(ENDING));
    // The time stands at the end of the name, in an order that sorts.
    let at = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.trim_end_matches(ENDING).rsplit('-').next().map(str::to_owned)
    };
    backups.max_by_key(at).ok_or_else(|| RestoreError::Nothing(path.to_owned()))
}

/// Brings a backup back into a folder that holds no ledger. It is verified whole first; what an earlier database left in
/// the folder (`-wal`, `-shm`) is removed, since it would be applied to this one.
///
/// # Errors
/// When the backup is not whole, when there is a ledger already, or the disk fails.
pub fn restore(file: &Path, place: &Place) -> Result<Restored, RestoreError> {
    let staging = place.folder().join(STAGING);
    if place.database().exists() {
        // All that a restoration that was killed may have left then.
        let _ = fs::remove_dir_all(&staging);
    } else {
        take_back(&staging, place)?;
    }
    for path in [place.database(), place.custody(), place.restricted()] {
        if path.exists() {
            return Err(RestoreError::Exists(path));
        }
    }
    make_private(place.folder())?;
    let _ = fs::remove_dir_all(&staging);
    make_private(&staging)?;
    let done = unpack(file, &staging).and_then(|unpacked| put_in_place(file, unpacked, &staging, place));
    if done.is_err() && !place.database().exists() {
        // The error that is told is the first one.
        let _ = take_back(&staging, place);
    }
    let _ = fs::remove_dir_all(&staging);
    done
}

/// Removes what a restoration that did not come to its end has put in place: it says what that was.
fn take_back(staging: &Path, place: &Place) -> Result<(), RestoreError> {
    let Ok(names) = fs::read_to_string(staging.join(PLACING)) else { return Ok(()) };
    for name in names.lines() {
        let path = place.folder().join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("removing", &path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// What was read and verified: databases in the staging folder, small files in memory.
struct Unpacked {
    manifest: Manifest,
    databases: Vec<String>,
    small: Vec<(String, Vec<u8>)>,
}

fn unpack(file: &Path, staging: &Path) -> Result<Unpacked, RestoreError> {
    let torn = |problem: String| RestoreError::Torn { path: file.to_owned(), problem };
    let foreign = |problem: &str| RestoreError::Foreign { path: file.to_owned(), problem: problem.to_owned() };
    let input = File::open(file).map_err(io("reading", file))?;
    let mut tar = tar::Archive::new(io::BufReader::with_capacity(1 << 18, input));
    let (mut found, mut databases, mut small) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut manifest = None;
    for entry in tar.entries().map_err(io("reading", file))? {
        let mut entry = entry.map_err(|error| match found.is_empty() {
            true => foreign(&error.to_string()),
            false => torn(error.to_string()),
        })?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| foreign("it has odd file names"))?;
        if manifest.is_some() {
            return Err(torn("something follows its manifest".into()));
        }
        if entry.header().entry_type() != tar::EntryType::Regular || !is_ours(&path) || found.contains_key(&path) {
            return Err(foreign(&format!("it holds \"{}\"", crate::text::visible(&path))));
        }
        if found.len() > MOST_FILES {
            return Err(foreign("it holds too many files"));
        }
        if path.ends_with(".db") {
            let to = staging.join(&path);
            let mut hashing = Hashing::new(private_file(&to)?);
            io::copy(&mut entry, &mut hashing).map_err(|error| torn(error.to_string()))?;
            hashing.flush().map_err(io("writing", &to))?;
            found.insert(path.clone(), hashing.digest());
            File::open(&to).and_then(|file| file.sync_all()).map_err(io("writing", &to))?;
            databases.push(path);
            continue;
        }
        let longest = if path == MANIFEST { 64 * SMALL } else { SMALL };
        let mut bytes = Vec::new();
        (&mut entry).take(longest + 1).read_to_end(&mut bytes).map_err(|error| torn(error.to_string()))?;
        if bytes.len() as u64 > longest {
            return Err(foreign(&format!("its {} is too long", crate::text::visible(&path))));
        }
        if path == MANIFEST {
            manifest = Some(read_manifest(file, &bytes)?);
            continue;
        }
        found.insert(path.clone(), hex(Sha256::new().chain_update(&bytes)));
        small.push((path, bytes));
    }
    let manifest = match manifest {
        Some(manifest) => manifest,
        None if found.is_empty() => return Err(foreign("it is empty")),
        None => return Err(torn("it ends before its manifest".into())),
    };
    if let Some((name, _)) = manifest.files.iter().find(|(name, hash)| found.get(*name) != Some(*hash)) {
        return Err(torn(format!("its {} is not what the manifest says", crate::text::visible(name))));
    }
    if found.len() != manifest.files.len() || !found.contains_key("ledger.db") {
        return Err(torn("it holds other files than its manifest says".into()));
    }
    Ok(Unpacked { manifest, databases, small })
}

fn read_manifest(file: &Path, bytes: &[u8]) -> Result<Manifest, RestoreError> {
    #[derive(Deserialize)]
    struct Which {
        format: String,
        version: u32,
    }
    let foreign = |problem: String| RestoreError::Foreign { path: file.to_owned(), problem };
    let which: Which = serde_json::from_slice(bytes).map_err(|error| foreign(error.to_string()))?;
    if which.format != FORMAT {
        return Err(foreign("its manifest is of something else".into()));
    }
    if which.version != VERSION {
        return Err(RestoreError::Newer { path: file.to_owned(), found: which.version });
    }
    serde_json::from_slice(bytes).map_err(|error| foreign(error.to_string()))
}

fn is_ours(path: &str) -> bool {
    matches!(path, "ledger.db" | "restricted.db" | MANIFEST)
        || PLAIN.contains(&path)
        || path
            .strip_prefix("custody/")
            .is_some_and(|rest| !rest.split('/').any(|part| matches!(part, "" | "." | "..")))
}

fn put_in_place(file: &Path, unpacked: Unpacked, staging: &Path, place: &Place) -> Result<Restored, RestoreError> {
    let Unpacked { manifest, databases, small } = unpacked;
    let restoration = Restoration { backed_up_at: manifest.at, restored_at: Timestamp::now(), events: manifest.events };
    let staged = staging.join("ledger.db");
    mark_restored(&staged, &restoration)?;
    let mirror = Store::open_read_only(crate::store::StoreOptions::new(&staged, staging))?.pinned_key();
    let mirror = mirror.map_err(OpenError::from)?.is_some();
    let (custody, plain): (Vec<_>, Vec<_>) = small.into_iter().partition(|(path, _)| path.starts_with("custody/"));
    let custody: Vec<_> =
        custody.into_iter().map(|(path, bytes)| (path["custody/".len()..].to_owned(), bytes)).collect();
    let mut secrets = 0;
    let mut placing: Vec<String> = databases.iter().filter(|name| *name != "ledger.db").cloned().collect();
    if !custody.is_empty() {
        secrets = Custody::restore(&staging.join("custody"), custody)?.secrets().map_err(custody::OpenError::from)?;
        placing.push("custody".into());
    }
    for (name, bytes) in plain {
        if !place.folder().join(&name).exists() {
            let to = staging.join(&name);
            crate::files::write_durably(&to, &bytes, true).map_err(io("writing", &to))?;
            placing.push(name);
        }
    }
    let marker = staging.join(PLACING);
    crate::files::write_durably(&marker, placing.join("\n").as_bytes(), true).map_err(io("writing", &marker))?;
    // What an earlier database left would be taken for this one's.
    for suffix in ["-wal", "-shm", "-journal"] {
        for database in [place.database(), place.restricted()] {
            let mut stray = database.into_os_string();
            stray.push(suffix);
            match fs::remove_file(&stray) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io("removing", Path::new(&stray))(error));
                }
                _ => {}
            }
        }
    }
    // The ledger comes last: a folder with a ledger has everything else.
    placing.push("ledger.db".into());
    for name in placing {
        let to = place.folder().join(&name);
        fs::rename(staging.join(&name), &to).map_err(io("putting in place", &to))?;
    }
    sync_folder(place.folder()).map_err(io("syncing", place.folder()))?;
    let Manifest { name, at, events, .. } = manifest;
    Ok(Restored { file: file.to_owned(), name, at, events, secrets, mirror })
}

fn make_private(folder: &Path) -> Result<(), RestoreError> {
    create_private_folder(folder).map_err(io("making", folder))
}

fn private_file(path: &Path) -> Result<File, RestoreError> {
    create_private_file(path).map_err(io("making", path))
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::Io { action, path, source }
}
