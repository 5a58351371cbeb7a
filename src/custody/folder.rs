//! A folder that only its owner may enter, and the files in it.
//!
//! Everything is reached relative to an open folder and never through a symbolic link, and modes are those of the opened
//! file, so that nothing can be exchanged between the check and the use. A file appears whole or not at all: it is
//! written under a temporary name, fsynced, renamed, and the folder is fsynced. A killed process leaves such a temporary name
//! behind; the folder's lock ([`crate::files::lock`]) tells it from one that a living process will still rename.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use rand::rngs::SysRng;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::FileError;
use crate::files::lock::{FolderLock, alone, writing};
pub(super) use crate::files::staging::UNFINISHED;
use crate::parallel::in_parts;

/// What the names of files begin with that say for which keys secrets are sealed ([`super::intent`]). They are settled, not
/// only removed.
pub(super) const UNFINISHED_KEYS: &str = ".unfinished-keys-";

/// Up to how many files are fsynced one by one, and are not worth a thread.
const FEW: usize = 64;

/// How many folders are inside each other in what is not finished, at most: a compartment, its bundles, and one of them.
const DEPTH: u8 = 4;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// An open folder of mode 0700 that belongs to this user.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder, checking its kind, owner and mode.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        Self::open_at(CWD, path, path.to_owned())
    }

    /// Makes a folder inside this one, which must not be there yet.
    pub(super) fn create_folder(&self, name: &str) -> Result<Self, FileError> {
        let path = self.path.join(name);
        rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(FOLDER_MODE as _))
            .map_err(|e| refused("make the folder", &path, e))?;
        self.sync()?;
        self.folder(name)
    }

    /// Makes a folder inside this one that appears under its name, which must be free, when `fill` has filled it, or not at all.
    pub(super) fn create_folder_whole(
        &self,
        name: &str,
        fill: impl FnOnce(&Self) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let _writing = self.writing()?;
        let temporary = unfinished_name(&self.path.join(name))?;
        let done = self.create_folder(&temporary).and_then(|folder| {
            fill(&folder)?;
            folder.sync()?;
            self.rename_folder(&temporary, name)
        });
        if done.is_err() {
            let _ = remove_tree(&self.fd, &temporary, DEPTH);
        }
        done
    }

    /// Opens a folder inside this one.
    pub(super) fn folder(&self, name: &str) -> Result<Self, FileError> {
        Self::open_at(&self.fd, Path::new(name), self.path.join(name))
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it, sorted; those of unfinished files too.
    pub(super) fn names(&self) -> Result<Vec<String>, FileError> {
        let fail = |e| refused("list", &self.path, e);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether something of this name is there, whatever it is.
    pub(super) fn has(&self, name: &str) -> Result<bool, FileError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(refused("look for", &self.path.join(name), e)),
        }
    }

    /// Reads a whole file of at most `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, FileError> {
        read_at(&self.fd, Path::new(name), self.path.join(name), limit)
    }

    /// Writes a file that must not be there yet.
    pub(super) fn create(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.refuse_existing(name)?;
        self.replace(name, bytes)
    }

    /// Writes a file, in the place of the one that may be there.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let _writing = self.writing()?;
        let temporary = self.stage(name, bytes, Durability::Now)?;
        self.publish(&temporary, name)?;
        self.sync()
    }

    /// Writes a file into a folder that does not have its own name yet. The caller waits for the folder.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.make(name, &self.path.join(name), bytes, Durability::Now)
    }

    /// Writes many files that must not be there yet, at the price of one wait for the disk where the system can, and with as
    /// many threads as the machine has processors. When it fails, what it wrote is removed again.
    pub(super) fn create_all<'i, T: Sync, E: From<FileError> + Send>(
        &self,
        each: &'i [T],
        make: impl Fn(&'i T) -> Result<(String, Cow<'i, [u8]>), E> + Sync,
    ) -> Result<(), E> {
        let _writing = self.writing()?;
        let (staged, failed) = self.stage_all(each, &make);
        let mut published = 0;
        let result = failed.map_or(Ok(()), Err).and_then(|()| {
            self.sync_contents(staged.iter().map(|(temporary, _)| temporary.as_str()))?;
            for (temporary, name) in &staged {
                self.refuse_existing(name)?;
                self.publish(temporary, name)?;
                published += 1;
            }
            Ok(self.sync()?)
        });
        if result.is_err() {
            for (index, (temporary, name)) in staged.iter().enumerate() {
                let leftover = if index < published { name } else { temporary };
                let _ = rustix::fs::unlinkat(&self.fd, leftover.as_str(), AtFlags::empty());
            }
        }
        result
    }

    /// Writes files under temporary names. Gives these with the files' own, and what was in the way.
    fn stage_all<'i, T: Sync, E: From<FileError> + Send>(
        &self,
        each: &'i [T],
        make: &(impl Fn(&'i T) -> Result<(String, Cow<'i, [u8]>), E> + Sync),
    ) -> (Vec<(String, String)>, Option<E>) {
        let stage = |part: &'i [T]| {
            let mut staged = Vec::with_capacity(part.len());
            for one in part {
                let done = make(one).and_then(|(name, bytes)| {
                    self.refuse_existing(&name)?;
                    Ok((self.stage(&name, &bytes, Durability::WithTheFolder)?, name))
                });
                match done {
                    Ok(done) => staged.push(done),
                    Err(error) => return (staged, Some(error)),
                }
            }
            (staged, None)
        };
        let (mut staged, mut failed) = (Vec::with_capacity(each.len()), None);
        for (done, error) in in_parts(each, FEW, stage) {
            staged.extend(done);
            failed = failed.or(error);
        }
        (staged, failed)
    }

    /// Removes files, those that are there; gives how many.
    pub(super) fn remove_all(&self, names: impl IntoIterator<Item = String>) -> Result<usize, FileError> {
        let (mut removed, mut failed) = (0, None);
        for name in names {
            match rustix::fs::unlinkat(&self.fd, name.as_str(), AtFlags::empty()) {
                Ok(()) => removed += 1,
                Err(Errno::NOENT) => {}
                Err(e) => failed = Some(refused("remove", &self.path.join(name), e)),
            }
        }
        if removed > 0 {
            self.sync()?;
        }
        failed.map_or(Ok(removed), Err)
    }

    /// Gives a folder that was made under a temporary name its own, which must be free.
    fn rename_folder(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.refuse_existing(to)?;
        rustix::fs::renameat(&self.fd, from, &self.fd, to).map_err(|e| refused("rename to", &self.path.join(to), e))?;
        self.sync()
    }

    /// Removes a folder with these files in it. It loses its name first, so that nobody finds half of it.
    pub(super) fn remove_folder(&self, name: &str, files: &[&str]) -> Result<(), FileError> {
        let path = self.path.join(name);
        let _writing = self.writing()?;
        let temporary = unfinished_name(&path)?;
        rustix::fs::renameat(&self.fd, name, &self.fd, temporary.as_str()).map_err(|e| refused("remove", &path, e))?;
        self.sync()?;
        let folder = self.folder(&temporary)?;
        for file in files {
            match rustix::fs::unlinkat(&folder.fd, *file, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(refused("remove", &folder.path.join(file), e)),
            }
        }
        rustix::fs::unlinkat(&self.fd, temporary.as_str(), AtFlags::REMOVEDIR)
            .map_err(|e| refused("remove", &folder.path, e))?;
        self.sync()
    }

    /// Says that something in this folder has the name of something unfinished, until the lock is dropped.
    pub(super) fn writing(&self) -> Result<FolderLock, FileError> {
        self.once_more().map(writing)
    }

    /// The folder's lock when no process writes here.
    pub(super) fn alone(&self) -> Result<Option<FolderLock>, FileError> {
        self.once_more().map(alone)
    }

    /// The same folder, opened again.
    pub(super) fn again(&self) -> Result<Self, FileError> {
        Ok(Self { fd: self.once_more()?.into(), path: self.path.clone() })
    }

    /// Removes what dead processes did not finish here; gives how much that was. Nothing, when a living one writes here.
    pub(super) fn remove_unfinished(&self) -> Result<usize, FileError> {
        let is = |name: &String| name.starts_with(UNFINISHED) && !name.starts_with(UNFINISHED_KEYS);
        let unfinished = || Ok::<_, FileError>(self.names()?.into_iter().filter(is));
        if unfinished()?.next().is_none() {
            return Ok(0);
        }
        let Some(_alone) = self.alone()? else { return Ok(0) };
        let mut removed = 0;
        for name in unfinished()? {
            remove_tree(&self.fd, &name, DEPTH).map_err(|e| refused("remove", &self.path.join(&name), e))?;
            removed += 1;
        }
        self.sync()?;
        Ok(removed)
    }

    /// The same folder, opened for a lock alone.
    fn once_more(&self) -> Result<File, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty()).map_err(|e| refused("open", &self.path, e))?;
        Ok(File::from(fd))
    }

    /// Waits until the folder's own entries are on the disk.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        rustix::fs::fsync(&self.fd).map_err(|e| refused("write the folder", &self.path, e))
    }

    fn open_at(at: impl AsFd, name: &Path, path: PathBuf) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(at.as_fd(), name, flags, Mode::empty()).map_err(|e| {
            // A symbolic link in the folder's place is ENOTDIR or ELOOP, by system.
            let link = rustix::fs::statat(at.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink);
            if link { FileError::SymbolicLink { path: path.clone() } } else { refused("open", &path, e) }
        })?;
        check(&fd, &path, FileType::Directory, FOLDER_MODE)?;
        Ok(Self { fd, path })
    }

    fn refuse_existing(&self, name: &str) -> Result<(), FileError> {
        if self.has(name)? { Err(FileError::Exists { path: self.path.join(name) }) } else { Ok(()) }
    }

    fn stage(&self, name: &str, bytes: &[u8], durability: Durability) -> Result<String, FileError> {
        let path = self.path.join(name);
        let temporary = unfinished_name(&path)?;
        self.make(&temporary, &path, bytes, durability)?;
        Ok(temporary)
    }

    /// Makes a file, which messages call `path`.
    fn make(&self, name: &str, path: &Path, bytes: &[u8], durability: Durability) -> Result<(), FileError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(FILE_MODE as _))
            .map_err(|e| refused("make", path, e))?;
        let mut file = File::from(fd);
        let written = file.write_all(bytes).and_then(|()| match durability {
            Durability::Now => file.sync_all(),
            Durability::WithTheFolder => Ok(()),
        });
        written.map_err(|source| {
            let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
            FileError::Io { act: "write", path: path.to_owned(), source }
        })
    }

    fn publish(&self, temporary: &str, name: &str) -> Result<(), FileError> {
        rustix::fs::renameat(&self.fd, temporary, &self.fd, name).map_err(|e| {
            let _ = rustix::fs::unlinkat(&self.fd, temporary, AtFlags::empty());
            refused("rename to", &self.path.join(name), e)
        })
    }

    /// Waits until the content of files is on the disk: of a few one by one, of many with the whole file system, where
    /// the system can do that.
    fn sync_contents<'a>(&self, names: impl ExactSizeIterator<Item = &'a str>) -> Result<(), FileError> {
        if names.len() > FEW
            && let Some(synced) = sync_file_system(&self.fd)
        {
            return synced.map_err(|e| refused("write the files in", &self.path, e));
        }
        for name in names {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&self.fd, name, flags, Mode::empty())
                .and_then(rustix::fs::fsync)
                .map_err(|e| refused("write", &self.path.join(name), e))?;
        }
        Ok(())
    }
}

/// Removes a file, or a folder with what is in it, without following links.
fn remove_tree(at: &OwnedFd, name: &str, depth: u8) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) if depth > 0 => {}
        Err(Errno::NOENT) => return Ok(()),
        done => return done,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(at, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name != "." && name != ".." {
            remove_tree(&folder, &name, depth - 1)?;
        }
    }
    rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)
}

#[cfg(target_os = "linux")]
fn sync_file_system(fd: &OwnedFd) -> Option<rustix::io::Result<()>> {
    Some(rustix::fs::syncfs(fd))
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_: &OwnedFd) -> Option<rustix::io::Result<()>> {
    None
}

/// Makes a folder of mode 0700 under its final name only when `fill` has filled it.
pub(super) fn create_whole(
    path: &Path,
    fill: impl FnOnce(&Folder) -> Result<(), FileError>,
) -> Result<Folder, FileError> {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => return Err(FileError::Exists { path: path.to_owned() }),
        Err(Errno::NOENT) => {}
        Err(e) => return Err(refused("look for", path, e)),
    }
    let parent = crate::files::folder_of(path);
    let temporary = parent.join(unfinished_name(path)?);
    rustix::fs::mkdirat(CWD, &temporary, Mode::from_raw_mode(FOLDER_MODE as _))
        .map_err(|e| refused("make the folder", path, e))?;
    let filled = Folder::open(&temporary).and_then(|folder| {
        fill(&folder)?;
        folder.sync()?;
        rustix::fs::renameat(CWD, &temporary, CWD, path).map_err(|e| refused("rename to", path, e))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, parent, flags, Mode::empty())
            .and_then(rustix::fs::fsync)
            .map_err(|e| refused("write the folder", parent, e))
    });
    match filled {
        Ok(()) => Folder::open(path),
        Err(e) => {
            let _ = std::fs::remove_dir_all(&temporary);
            Err(e)
        }
    }
}

/// Reads a whole file of at most `limit` bytes, of mode 0600 and of this user, which is not in custody's own folder.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    read_at(CWD, path, path.to_owned(), limit)
}

/// Writes a file of mode 0600 that must not be there yet, which is not in custody's own folder. It appears whole or not at
/// all: it is written under a name of its own, and linked to its place.
pub(super) fn create_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = parent.join(unfinished_name(path)?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&temporary, flags, Mode::from_raw_mode(FILE_MODE as _))
        .map_err(|e| refused("make", path, e))?;
    let mut file = File::from(fd);
    let placed = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|source| FileError::Io { act: "write", path: path.to_owned(), source })
        .and_then(|()| rustix::fs::link(&temporary, path).map_err(|e| refused("make", path, e)));
    let _ = rustix::fs::unlink(&temporary);
    placed?;
    crate::files::sync_folder(parent).map_err(|source| FileError::Io {
        act: "write the folder",
        path: parent.to_owned(),
        source,
    })
}

fn read_at(at: impl AsFd, name: &Path, path: PathBuf, limit: u64) -> Result<Vec<u8>, FileError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(at, name, flags, Mode::empty()).map_err(|e| refused("open", &path, e))?;
    let size = check(&fd, &path, FileType::RegularFile, FILE_MODE)?;
    if size > limit {
        return Err(FileError::TooLarge { path, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(64));
    File::from(fd).take(limit + 1).read_to_end(&mut bytes).map_err(|source| FileError::Io {
        act: "read",
        path: path.clone(),
        source,
    })?;
    if bytes.len() as u64 > limit { Err(FileError::TooLarge { path, limit }) } else { Ok(bytes) }
}

/// A name that nothing has yet, for what is not finished.
fn unfinished_name(for_path: &Path) -> Result<String, FileError> {
    name_of(UNFINISHED, for_path)
}

/// A name that nothing has yet, for the keys of an act.
pub(super) fn unfinished_keys_name(for_path: &Path) -> Result<String, FileError> {
    name_of(UNFINISHED_KEYS, for_path)
}

fn name_of(kind: &str, for_path: &Path) -> Result<String, FileError> {
    let mut random = [0_u8; 8];
    SysRng.try_fill_bytes(&mut random).map_err(|_| FileError::NoRandomness { path: for_path.to_owned() })?;
    Ok(format!("{kind}{:016x}", u64::from_be_bytes(random)))
}

enum Durability {
    /// The file is on the disk when the call returns.
    Now,
    /// The caller waits once for all.
    WithTheFolder,
}

/// Checks what was opened: its kind, that it is ours, and that nobody else may touch it. Gives its size.
fn check(fd: &OwnedFd, path: &Path, kind: FileType, mode: u32) -> Result<u64, FileError> {
    let found = rustix::fs::fstat(fd).map_err(|e| refused("look at", path, e))?;
    if FileType::from_raw_mode(found.st_mode) != kind {
        return Err(FileError::WrongKind { path: path.to_owned() });
    }
    let us = rustix::process::geteuid().as_raw();
    if found.st_uid != us {
        return Err(FileError::ForeignOwner { path: path.to_owned(), owner: found.st_uid, us });
    }
    let loose = found.st_mode & 0o7777;
    if loose & 0o077 != 0 {
        return Err(FileError::LooseMode { path: path.to_owned(), mode: loose, wanted: mode });
    }
    Ok(u64::try_from(found.st_size).unwrap_or(0))
}

fn refused(act: &'static str, path: &Path, e: Errno) -> FileError {
    let path = path.to_owned();
    match e {
        Errno::NOENT => FileError::Missing { path },
        Errno::EXIST => FileError::Exists { path },
        Errno::LOOP => FileError::SymbolicLink { path },
        Errno::NOTDIR | Errno::ISDIR => FileError::WrongKind { path },
        e => FileError::Io { act, path, source: e.into() },
    }
}
