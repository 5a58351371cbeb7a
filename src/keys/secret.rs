//! Bytes that nobody may see.

use secrecy::SecretBox;

/// A secret's bytes, zeroized when dropped, and never shown by `Debug`.
pub type SecretBytes = SecretBox<Vec<u8>>;

/// The longest secret that is kept: 16 KiB, several times the longest private key in PEM.
pub const LONGEST_SECRET: usize = 16 * 1024;
