//! Several files and folders that appear in a folder together: all of them, or none that a later run does not remove.
//!
//! They are made in a folder of their own, `.unfinished-<id>` inside the folder that they are for, and then put in place one
//! after the other. The last of them is the **commit point**: where it is in place, all are.
//!
//! 1. Everything is made in the staging folder (mode 0700), so that what a killed process leaves is in one place, and has one
//!    name that tells what it is.
//! 2. Before anything is put in place, the file `order` in the staging folder says durably what comes before the last one, by
//!    device, inode, time of change and name.
//! 3. Everything but the last is renamed into place, in the order that was given, and the folder is synced. Then the last
//!    one is renamed, and the folder is synced again.
//! 4. The staging folder is removed, and what is left in it.
//! 5. A later run, under the folder's lock, finds the staging folder of a dead one ([`recover`]). Without the last one in
//!    place, what was put in place goes back into the staging folder, if it is still what `order` says, and all of it is
//!    removed. With the last one in place, only the staging folder is left to remove.
//!
//! So what others put into the folder is never touched: it is no staging folder, and `order` does not name it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::lock::alone;
use super::{create_private_folder, sync_folder, write_durably};
use crate::ids::LedgerId;

/// What the names of unfinished files and folders begin with.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// The file that says what is put in place.
const ORDER: &str = "order";

/// What is made in a folder of its own. Dropped before it is in place, it leaves nothing.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    aside: PathBuf,
    committed: bool,
}

impl Staging {
    /// Begins: makes the staging folder in a folder that exists, and whose lock the caller holds.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn begin(folder: &Path, id: LedgerId) -> io::Result<Self> {
        let aside = folder.join(format!("{UNFINISHED}{id}"));
        create_private_folder(&aside)?;
        sync_folder(folder)?;
        Ok(Self { folder: folder.to_owned(), aside, committed: false })
    }

    /// The staging folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.aside
    }

    /// Puts what was made in place, by names and in this order. `before_last` is called when only the last one is left to put
    /// in place; when it fails, nothing is made.
    ///
    /// # Errors
    /// When there is something of a name already, when the disk fails, and those of `before_last`. Unless the last one is in
    /// place by then ([`Staging::is_committed`]), nothing will be left when this is dropped.
    pub fn put_in_place(&mut self, names: &[&str], before_last: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let Some((last, first)) = names.split_last() else { return Ok(()) };
        let mut order = String::new();
        for name in first {
            order.push_str(&format!("{} {name}\n", identity(&self.aside.join(name))?));
        }
        write_durably(&self.aside.join(ORDER), order.as_bytes(), true)?;
        for name in first {
            self.rename(name)?;
        }
        sync_folder(&self.folder)?;
        before_last()?;
        self.rename(last)?;
        self.committed = true;
        sync_folder(&self.folder)?;
        // What fails here is left to the next run.
        let _ = fs::remove_dir_all(&self.aside);
        Ok(())
    }

    /// Whether the last one is in place.
    #[must_use]
    pub const fn is_committed(&self) -> bool {
        self.committed
    }

    fn rename(&self, name: &str) -> io::Result<()> {
        let place = self.folder.join(name);
        // The caller's lock keeps other processes of ours away; no other program is expected to make this very name now.
        match fs::symlink_metadata(&place) {
            Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(self.aside.join(name), place),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is there already", place.display()))),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.committed {
            // What fails here is left to the next run.
            let _ = undo(&self.folder, &self.aside);
        }
    }
}

/// Removes what dead processes left of what they were making in a folder. The caller holds the folder's lock, alone.
/// `last` is the name of the commit point. What is kept elsewhere for a staging folder that never came to it is for `forget`
/// to remove, which is called with its id, and first.
///
/// # Errors
/// When something can't be read or removed; calling it again goes on from there.
pub fn recover(folder: &Path, last: &str, mut forget: impl FnMut(LedgerId) -> io::Result<()>) -> io::Result<()> {
    for (id, aside) in left_behind(folder)? {
        match fs::symlink_metadata(folder.join(last)) {
            Ok(_) => fs::remove_dir_all(&aside)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                forget(id)?;
                undo(folder, &aside)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes what is left of what is in place: the staging folder of a process that died when it was done. Does nothing while
/// another process holds the folder's lock; what can't be removed stays, and does no harm.
pub fn remove_residue(folder: &Path, last: &str) {
    if left_behind(folder).is_ok_and(|left| !left.is_empty())
        && let Some(_alone) = File::open(folder).ok().and_then(alone)
        && folder.join(last).exists()
    {
        let _ = recover(folder, last, |_| Ok(()));
    }
}

/// The staging folders in a folder: of dead processes, and of one that is alive if there is one.
///
/// # Errors
/// When the folder can't be read.
pub fn left_behind(folder: &Path) -> io::Result<Vec<(LedgerId, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(|name| name.strip_prefix(UNFINISHED)?.parse().ok());
        if let Some(id) = id
            && entry.file_type()?.is_dir()
        {
            found.push((id, entry.path()));
        }
    }
    Ok(found)
}

/// Takes back what was put in place, and removes the staging folder.
fn undo(folder: &Path, aside: &Path) -> io::Result<()> {
    let order = match fs::read_to_string(aside.join(ORDER)) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        order => order?,
    };
    for (was, name) in order.lines().filter_map(|line| line.rsplit_once(' ')) {
        let (place, back) = (folder.join(name), aside.join(name));
        if !back.exists() && identity(&place).is_ok_and(|is| is == was) {
            fs::rename(place, back)?;
        }
    }
    if !order.is_empty() {
        sync_folder(folder)?;
    }
    fs::remove_dir_all(aside)?;
    sync_folder(folder)
}

/// What a file or folder is besides its name: what another one that is put there later does not have.
#[cfg(unix)]
fn identity(path: &Path) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::symlink_metadata(path)?;
    Ok(format!("{} {} {}.{:09}", found.dev(), found.ino(), found.mtime(), found.mtime_nsec()))
}

/// What a file or folder is besides its name, as far as the standard library shows it.
#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<String> {
    let found = fs::symlink_metadata(path)?;
    Ok(format!("{:?}.{:?}", found.created().ok(), found.modified().ok()).replace(' ', ""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NAMES: [&str; 3] = ["config", "secrets", "data"];

    fn made(folder: &Path) -> Staging {
        let staging = Staging::begin(folder, LedgerId::mint()).unwrap();
        fs::write(staging.path().join("config"), "").unwrap();
        fs::create_dir(staging.path().join("secrets")).unwrap();
        fs::write(staging.path().join("secrets/one"), "").unwrap();
        fs::write(staging.path().join("data"), "").unwrap();
        staging
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn all_of_it_appears_or_none_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "").unwrap();
        drop(made(folder.path()));
        assert_eq!(names(folder.path()), ["mine"]);
        let refused = || Err(io::Error::other("no"));
        made(folder.path()).put_in_place(&NAMES, refused).unwrap_err();
        assert_eq!(names(folder.path()), ["mine"]);
        made(folder.path()).put_in_place(&NAMES, || Ok(())).unwrap();
        assert_eq!(names(folder.path()), ["config", "data", "mine", "secrets"]);
        made(folder.path()).put_in_place(&NAMES, || Ok(())).unwrap_err();
        assert_eq!(names(folder.path()), ["config", "data", "mine", "secrets"]);
    }

    #[test]
    fn what_a_dead_process_left_is_removed_unless_it_is_no_longer_that() {
        for (changed, left) in [(None, &["mine"][..]), (Some("config"), &["config", "mine"])] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("mine"), "").unwrap();
            let staging = made(folder.path());
            let id = left_behind(folder.path()).unwrap()[0].0;
            // Dies when all but the last is in place.
            let staging = std::mem::ManuallyDrop::new(staging);
            let line = |name: &str| format!("{} {name}\n", identity(&staging.path().join(name)).unwrap());
            fs::write(staging.path().join(ORDER), line("config") + &line("secrets")).unwrap();
            staging.rename("config").unwrap();
            staging.rename("secrets").unwrap();
            if let Some(changed) = changed {
                fs::remove_file(folder.path().join(changed)).unwrap();
                fs::write(folder.path().join(changed), "somebody's own").unwrap();
            }
            let mut forgotten = Vec::new();
            let forget = |id| {
                forgotten.push(id);
                Ok(())
            };
            recover(folder.path(), "data", forget).unwrap();
            assert_eq!(forgotten, [id]);
            assert_eq!(names(folder.path()), left);
        }
    }

    #[test]
    fn with_the_last_in_place_only_the_staging_folder_goes() {
        let folder = tempfile::tempdir().unwrap();
        let staging = std::mem::ManuallyDrop::new(made(folder.path()));
        NAMES.iter().for_each(|name| staging.rename(name).unwrap());
        recover(folder.path(), "data", |_| panic!("it is needed")).unwrap();
        assert_eq!(names(folder.path()), ["config", "data", "secrets"]);
    }
}
