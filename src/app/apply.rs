//! `apply`: brings a ledger to what a file declares.

mod check;
pub mod manifest;
pub mod read;
mod reader;

pub use manifest::Manifest;
pub use read::{Files, InvalidManifest, read};
pub use reader::Problem;
