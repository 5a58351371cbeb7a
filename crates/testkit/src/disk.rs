//! A disk that is soon full.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::tools::skip;

/// A file system of a few hundred kilobytes in memory, unmounted when dropped. It needs the right to mount.
#[derive(Debug)]
pub struct SmallDisk {
    place: TempDir,
}

impl SmallDisk {
    /// A disk of so many KiB. `None` where nothing may be mounted, which is said.
    #[must_use]
    pub fn of_kib(kib: u32) -> Option<Self> {
        let place = TempDir::with_prefix("cim-keys-disk-").ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k,mode=700"), "cim-keys-test"])
            .arg(place.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { place });
        }
        skip("a small disk needs the right to mount (root on Linux)");
        None
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Fills it up, but for so many bytes. The file that does so is removed by [`make_room`](Self::make_room).
    ///
    /// # Panics
    /// When the disk can't be written at all.
    pub fn fill_up_to(&self, free: u64) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.ballast()).expect("the ballast");
        while file.write_all(&[0x5a; 4096]).is_ok() {}
        let size = file.metadata().map_or(0, |data| data.len());
        file.set_len(size.saturating_sub(free)).expect("the ballast gets shorter");
    }

    /// Gives the space of [`fill_up_to`](Self::fill_up_to) free again.
    pub fn make_room(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.place.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a file may still be open in a test that failed.
        let _ = Command::new("umount").arg("-l").arg(self.place.path()).stdin(Stdio::null()).status();
    }
}
