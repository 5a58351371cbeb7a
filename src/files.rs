//! Files that are there whole or not at all: written beside their place, synced, and renamed into it.

pub mod lock;
pub mod staging;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that appears under its name when [`NewFile::commit`] returns, and never half. Dropped before that, it leaves
/// nothing; a crash leaves a file whose name ends in `.new`, which the next writing replaces, or [`remove_abandoned`]
/// removes.
#[derive(Debug)]
pub struct NewFile {
    place: PathBuf,
    aside: PathBuf,
    out: Option<BufWriter<File>>,
}

impl NewFile {
    /// Begins a file that will be at `place`, in a folder that exists. Only its owner may read and write it when `private`.
    /// A link is followed, and what it points to is replaced; a folder, a device or a pipe is not.
    ///
    /// # Errors
    /// When the folder is not there, or does not let the file be made.
    pub fn create(place: &Path, private: bool) -> io::Result<Self> {
        let place = &target(place)?;
        let mut aside = place.as_os_str().to_owned();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        let file = open(&aside, private)?;
        // While it is written it is held: so it is told from one that was left behind. Not every file system can.
        let _ = file.try_lock();
        Ok(Self { place: place.to_owned(), aside, out: Some(BufWriter::with_capacity(1 << 18, file)) })
    }

    /// Where it will be.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Gives the file another name than it was begun with, in the same folder: one that follows from its content.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.place.set_file_name(name);
        self
    }

    /// Makes the file durable, and then visible under its name. What was there under that name is replaced.
    ///
    /// # Errors
    /// When it can't be written out, or renamed into its place; what was there is then still there.
    pub fn commit(mut self) -> io::Result<()> {
        let Some(out) = self.out.take() else { return Ok(()) };
        let done = (|| {
            let file = out.into_inner().map_err(|error| error.into_error())?;
            file.sync_all()?;
            fs::rename(&self.aside, &self.place)?;
            sync_folder(folder_of(&self.place))
        })();
        if done.is_err() {
            // The error that is told is the first one.
            let _ = fs::remove_file(&self.aside);
        }
        done
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.as_mut().map_or(Ok(0), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            // Whoever gave up has been told why.
            let _ = fs::remove_file(&self.aside);
        }
    }
}

/// Where a file is that is to be replaced. What is there and is no file stays: replacing `/dev/null` would harm everybody.
fn target(place: &Path) -> io::Result<PathBuf> {
    match fs::metadata(place) {
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "there is a folder, a device or a pipe of that name"))
        }
        Ok(_) if fs::symlink_metadata(place)?.is_symlink() => fs::canonicalize(place),
        _ => Ok(place.to_owned()),
    }
}

/// Removes the files in a folder that were begun under names that `is` knows, and that nobody writes any more.
///
/// # Errors
/// When the folder can't be read, or a file in it not removed.
pub fn remove_abandoned(folder: &Path, is: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_suffix(".new")).is_some_and(&is)
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a whole file durably, or leaves what was there.
///
/// # Errors
/// When it can't be made, written or renamed; what was there is then still there.
pub fn write_durably(place: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let mut file = NewFile::create(place, private)?;
    file.write_all(bytes)?;
    file.commit()
}

#[cfg(unix)]
fn open(path: &Path, private: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mode = if private { 0o600 } else { 0o644 };
    // A leftover of another mode must not lend its mode to the new file.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path, _private: bool) -> io::Result<File> {
    File::create(path)
}

/// The folder that a file is in; the working directory for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder that only its owner may enter (mode 0700), with those above it that are missing. One that is there already
/// stays as it is.
///
/// # Errors
/// When the system does not let it be made.
#[cfg(unix)]
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a folder, with those above it that are missing; who may enter it is for the system to say.
///
/// # Errors
/// When the system does not let it be made.
#[cfg(not(unix))]
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Makes an empty file, which must not be there yet, that only its owner may read and write (mode 0600).
///
/// # Errors
/// When there is one already, or the system does not let it be made.
#[cfg(unix)]
pub fn create_private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes an empty file, which must not be there yet.
///
/// # Errors
/// When there is one already, or the system does not let it be made.
#[cfg(not(unix))]
pub fn create_private_file(path: &Path) -> io::Result<File> {
    File::create_new(path)
}

/// Makes a rename in a folder durable.
///
/// # Errors
/// When the folder can't be opened, or the disk fails.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Folders can't be synced here; the system does it in its own time.
///
/// # Errors
/// When the folder can't be opened, or the disk fails.
#[cfg(not(unix))]
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a");
        write_durably(&place, b"one", true).unwrap();
        let mut given_up = NewFile::create(&place, false).unwrap();
        given_up.write_all(b"tw").unwrap();
        drop(given_up);
        assert_eq!(fs::read(&place).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_durably(&place, b"two", false).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"two");
        assert!(NewFile::create(&folder.path().join("no/such"), false).is_err());
    }

    #[test]
    fn what_is_being_written_is_not_abandoned() {
        let folder = tempfile::tempdir().unwrap();
        let held = NewFile::create(&folder.path().join("held"), true).unwrap();
        for name in ["left.new", "other.new", "left"] {
            fs::write(folder.path().join(name), b"half").unwrap();
        }
        remove_abandoned(folder.path(), |name| matches!(name, "held" | "left")).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["held.new", "left", "other.new"]);
        drop(held);
    }
}
