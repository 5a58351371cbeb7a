//! File systems on which an fsync, a lock or a renaming does not mean what it must.

use std::path::Path;

/// The name of the file system that holds a folder, if it is one that durable files must not be on.
pub(crate) fn unsuitable(folder: &Path) -> Option<&'static str> {
    imp::kind(folder).and_then(|kind| UNSUITABLE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name))
}

/// `f_type` of statfs(2), and what people call it.
const UNSUITABLE: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB 2"),
    (0x0102_1997, "9P"),
    (0x4d44, "FAT"),
    (0x2011_bab0, "exFAT"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
];

#[cfg(target_os = "linux")]
mod imp {
    use std::path::Path;

    pub(super) fn kind(folder: &Path) -> Option<u64> {
        // The kernel's numbers have 32 bits, whatever the width and sign of the field.
        rustix::fs::statfs(folder).ok().map(|stat| stat.f_type as u64 & 0xffff_ffff)
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::path::Path;

    pub(super) fn kind(_: &Path) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_folder_is_on_a_suitable_one() {
        assert_eq!(unsuitable(Path::new(env!("CARGO_MANIFEST_DIR"))), None);
        assert_eq!(unsuitable(Path::new("/nonexistent")), None);
    }
}
