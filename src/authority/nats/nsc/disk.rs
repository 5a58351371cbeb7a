//! The files and folders of a home, read without trust in them, and what of them is left out.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file that marks an operator's folder.
pub(super) const MARK: &str = ".nsc";

/// Reads a file up to a size: an ordinary one, and no link.
pub(super) fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Opening without waiting: a pipe would keep us for ever before it could be seen to be one.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        let link = std::fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink());
        if link { io::Error::other("it is a link, and links are not followed") } else { error }
    })?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    // With room from the start, a secret is not copied while it is read.
    let room = usize::try_from(file.metadata()?.len().min(most)).unwrap_or_default() + 1;
    let mut bytes = Vec::with_capacity(room);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// Whether there is a folder: one of its own, and no link to one.
pub(super) fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.is_dir())
}

/// The names in a folder, in order; none where there is no folder.
pub(super) fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    if !is_folder(folder) {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Something that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl Skipped {
    pub(super) fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.to_owned(), reason: reason.to_string() }
    }
}
