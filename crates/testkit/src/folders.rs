//! Folders as tests look at them and copy them.

use std::fs;
use std::path::{Path, PathBuf};

/// Everything beneath a folder, each folder before what is in it.
///
/// # Panics
/// When a folder can't be read.
#[must_use]
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        let below = if path.is_dir() { entries(&path) } else { Vec::new() };
        found.push(path);
        found.extend(below);
    }
    found
}

/// Every file beneath a folder.
///
/// # Panics
/// When a folder can't be read.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = entries(folder);
    found.retain(|path| !path.is_dir());
    found
}

/// Copies a folder with its empty folders and every mode, to a place where there may be one already. Sockets and pipes
/// are left out.
///
/// # Panics
/// When something can't be read or written.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    let mode = |from: &Path, to: &Path| fs::set_permissions(to, fs::metadata(from)?.permissions());
    mode(from, to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    for path in entries(from) {
        let place = to.join(path.strip_prefix(from).expect("it is beneath the folder"));
        let copied = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => fs::create_dir_all(&place).and_then(|()| mode(&path, &place)),
            Ok(found) if found.is_file() => fs::copy(&path, &place).map(drop),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        copied.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// A name with `ID` in place of the identifier that it begins with, if it begins with one.
#[must_use]
pub fn without_id(name: &str) -> String {
    match name.get(..36) {
        Some(id) if id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') => format!("ID{}", &name[36..]),
        _ => name.to_owned(),
    }
}
