//! Archives: a ledger's public material in one file that any IPLD tool opens (CARv1).
//!
//! The file's roots are the **head** (the last event) and the **table of contents** ([`Contents`]), which is the first
//! block. The events follow in the order of the log, then the blobs. Reading verifies: nothing that an archive says is
//! believed before the hashes, the order and the tree agree with it.

mod car;
mod contents;

pub use car::{CarError, CarReader, CarWriter};
pub use contents::{ArchiveError, ArchiveReader, ArchiveWriter, Contents, Item};
