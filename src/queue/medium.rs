//! What the queue needs of a file, and the file itself. Tests put a failing one in its place.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::platform;
use crate::files::{folder_of, sync_folder};

/// A file that grows at its end.
pub(super) trait Medium: Send {
    /// Reads what is there from an offset on, perhaps less than fits; 0 at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// How long it is.
    fn len(&self) -> io::Result<u64>;

    /// Writes all bytes at the end. After an error some of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Returns once everything is on the disk.
    fn sync(&mut self) -> io::Result<()>;

    /// Puts other content in its place, at once and durably: what `write` writes, which may read what is there.
    fn replace(&mut self, write: &mut Rewrite<'_>) -> Result<(), ReplaceError>;
}

/// Writes new content, given the old.
pub(super) type Rewrite<'a> = dyn FnMut(&dyn Medium, &mut dyn Write) -> io::Result<()> + 'a;

/// Why the content was not replaced.
#[derive(Debug)]
pub(super) enum ReplaceError {
    /// Nothing changed.
    Unchanged(io::Error),
    /// The new content is in place, but may be gone after a power failure.
    Unsure(io::Error),
}

/// A real file.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    file: File,
}

impl Disk {
    /// Opens a file; where there is none, or an empty one, it is made with the first content, whole or not at all.
    pub(super) fn open(path: &Path, first: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        let absent = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len() == 0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if absent {
            let staged = stage(path, first)?;
            put_in_place(&staged, path)?;
            sync_folder(folder_of(path))?;
        }
        let disk = Self { path: path.to_owned(), file: open_file(path)? };
        // A crash between the two steps of an earlier replacement leaves this behind.
        let _ = std::fs::remove_file(staging(path));
        Ok(disk)
    }
}

impl Medium for Disk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match platform::read_at(&self.file, offset, buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn replace(&mut self, write: &mut Rewrite<'_>) -> Result<(), ReplaceError> {
        let staged = stage(&self.path, &mut |out| write(self, out)).map_err(ReplaceError::Unchanged)?;
        // Opened before it is in place: after the renaming nothing may fail that is not told.
        let file = open_file(&staged).map_err(ReplaceError::Unchanged)?;
        put_in_place(&staged, &self.path).map_err(ReplaceError::Unchanged)?;
        self.file = file;
        sync_folder(folder_of(&self.path)).map_err(ReplaceError::Unsure)
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

fn staging(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn stage(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<PathBuf> {
    let staged = staging(path);
    let written = platform::create_private(&staged).and_then(|file| {
        let mut out = io::BufWriter::with_capacity(1 << 16, file);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&staged);
    }
    written.map(|()| staged)
}

fn put_in_place(staged: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(staged, path).inspect_err(|_| drop(std::fs::remove_file(staged)))
}
