//! A bundle: the secrets of many keys that one act made, in one age file.
//!
//! ```text
//! bundles/<least key id>/   0700
//!   index                   0600  public: whose secrets are in it
//!   secrets.age             0600  a line each: the key's id, a space, the secret
//! ```
//!
//! It is filled under another name and renamed when both files are on the disk, so that it appears whole or not at all. Its
//! keys stand in ascending order in both files. A secret is a text in lines and ends with a line feed, as all formats of
//! private keys do ([`fits`]); in its one line here `\n` stands for a line feed within, `\\` for a backslash, and the last line
//! feed ends the line.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret as _, ExposeSecretMut as _};

use super::error::FileError;
use super::folder::Folder;
use super::sealed;
use crate::ids::KeyId;
use crate::keys::SecretBytes;

/// The names of its two files.
pub(super) const FILES: [&str; 2] = [INDEX, SECRETS];

const INDEX: &str = "index";
const SECRETS: &str = "secrets.age";

/// The most keys of one bundle: opening one of them opens all.
pub(super) const MOST_KEYS: usize = 4_096;

/// The most bytes that are sealed into one.
const MOST_BYTES: usize = 1_000 * 1024;

/// The most bytes of either file: what is sealed, age's header, and 16 bytes a chunk.
pub(super) const LONGEST_FILE: u64 = 1024 * 1024;

/// Begins the comment in the index that says what the sealed file's bytes are: it tells damage without a passphrase.
const SUM: &str = "# secrets.age sha256 ";

/// The letters of a key's id, and the space behind it.
const ID: usize = 36;

/// What is known of a bundle without opening it.
#[derive(Debug)]
pub(super) struct Bundle {
    name: String,
    /// In ascending order, and never none.
    keys: Vec<KeyId>,
    sum: String,
}

/// Whether a secret can be written as a line: printable ASCII in lines, with a line feed at its end.
pub(super) fn fits(secret: &SecretBytes) -> bool {
    let letter = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
    secret.expose_secret().ends_with(b"\n") && secret.expose_secret().iter().all(letter)
}

/// Cuts secrets, which are in ascending order of their keys, into what is one bundle each.
pub(super) fn portions<'s, 'k>(mut secrets: &'s [(KeyId, &'k SecretBytes)]) -> Vec<&'s [(KeyId, &'k SecretBytes)]> {
    let mut portions = Vec::new();
    while !secrets.is_empty() {
        let mut bytes = 0;
        let fitting = secrets.iter().take(MOST_KEYS).take_while(|(_, secret)| {
            bytes += ID + 1 + escaped(secret.expose_secret());
            bytes <= MOST_BYTES
        });
        // One secret alone is far below the limit.
        let (portion, rest) = secrets.split_at(fitting.count().max(1));
        portions.push(portion);
        secrets = rest;
    }
    portions
}

/// How long a secret's line is behind the id.
fn escaped(secret: &[u8]) -> usize {
    secret.len() + secret.iter().filter(|byte| matches!(byte, b'\n' | b'\\')).count() - 1
}

/// What is sealed: a line a secret.
pub(super) fn encode(secrets: &[(KeyId, &SecretBytes)]) -> SecretBytes {
    let length = secrets.iter().map(|(_, secret)| ID + 1 + escaped(secret.expose_secret())).sum();
    // It is as long as it will be, so the buffer never moves and leaves no copy behind.
    let mut plain = SecretBytes::new(Box::new(Vec::with_capacity(length)));
    let text = plain.expose_secret_mut();
    for (key, secret) in secrets {
        text.extend_from_slice(key.as_uuid().as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes());
        text.push(b' ');
        let secret = secret.expose_secret();
        for byte in &secret[..secret.len() - 1] {
            match byte {
                b'\n' => text.extend_from_slice(b"\\n"),
                b'\\' => text.extend_from_slice(b"\\\\"),
                byte => text.push(*byte),
            }
        }
        text.push(b'\n');
    }
    plain
}

impl Bundle {
    /// What is known of a bundle that is yet to be written: its keys in ascending order, and its sealed bytes.
    pub(super) fn new(keys: Vec<KeyId>, sealed: &[u8]) -> Option<Self> {
        Some(Self { name: keys.first()?.to_string(), keys, sum: sealed::sum(sealed) })
    }

    /// Reads a bundle's index.
    pub(super) fn read(bundles: &Folder, name: &str) -> Result<Self, FileError> {
        let folder = bundles.folder(name)?;
        let path = || folder.path().join(INDEX);
        let damaged = |reason| FileError::Damaged { path: path(), reason };
        let text = String::from_utf8(folder.read(INDEX, LONGEST_FILE)?).map_err(|_| damaged("it is no text"))?;
        let sum =
            text.lines().find_map(|line| line.strip_prefix(SUM)).ok_or_else(|| damaged("its checksum is gone"))?;
        let mut keys: Vec<KeyId> = Vec::with_capacity(text.len() / (ID + 1));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let key = line.parse().map_err(|_| damaged("one of its lines is no key id"))?;
            if keys.last().is_some_and(|last| *last >= key) {
                return Err(damaged("its key ids are not in order"));
            }
            keys.push(key);
        }
        if !text.ends_with('\n') || keys.first().is_none_or(|first| first.to_string() != name) {
            return Err(damaged("it is cut off, or another bundle's"));
        }
        Ok(Self { name: name.to_owned(), sum: sum.to_owned(), keys })
    }

    /// The name of its folder.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whose secrets are in it.
    pub(super) fn keys(&self) -> &[KeyId] {
        &self.keys
    }

    pub(super) fn has(&self, key: KeyId) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    /// Where its sealed file is, for messages.
    pub(super) fn path(&self, bundles: &Path) -> PathBuf {
        bundles.join(&self.name).join(SECRETS)
    }

    /// Writes it; it is on the disk when this returns.
    pub(super) fn write(&self, bundles: &Folder, sealed: &[u8]) -> Result<(), FileError> {
        let mut index = format!("# cim-keys bundle: the keys whose secrets are in {SECRETS}\n{SUM}{}\n", self.sum);
        index.reserve(self.keys.len() * (ID + 1));
        for key in &self.keys {
            let _ = writeln!(index, "{key}");
        }
        let files = [(INDEX, index.as_bytes()), (SECRETS, sealed)];
        write_whole(bundles, &self.name, &files)
    }

    /// Reads its sealed file.
    pub(super) fn sealed(&self, bundles: &Folder) -> Result<Vec<u8>, FileError> {
        bundles.folder(&self.name)?.read(SECRETS, LONGEST_FILE)
    }

    /// Whether the sealed file is the one that was written. Opens nothing.
    pub(super) fn check(&self, bundles: &Folder) -> Result<(), FileError> {
        let sealed = self.sealed(bundles)?;
        if sealed::sum(&sealed) == self.sum {
            return Ok(());
        }
        let path = self.path(bundles.path());
        Err(FileError::Damaged { path, reason: "its bytes are not those that its index names" })
    }

    /// Takes what was opened apart.
    pub(super) fn opened(self: Arc<Self>, plain: SecretBytes) -> Result<Opened, &'static str> {
        let strange = "what is sealed in it is not what its index names";
        let text = plain.expose_secret();
        let mut at = Vec::with_capacity(self.keys.len());
        let mut from = 0;
        for key in &self.keys {
            let line = text[from..].iter().position(|byte| *byte == b'\n').ok_or(strange)?;
            let mut buffer = uuid::Uuid::encode_buffer();
            let id: &str = key.as_uuid().as_hyphenated().encode_lower(&mut buffer);
            if line <= ID || &text[from..from + ID] != id.as_bytes() || text[from + ID] != b' ' {
                return Err(strange);
            }
            at.push(from + ID + 1..from + line);
            from += line + 1;
        }
        if from == text.len() { Ok(Opened { bundle: self, at, plain }) } else { Err(strange) }
    }
}

/// A bundle that was opened. Zeroized when dropped.
pub(super) struct Opened {
    bundle: Arc<Bundle>,
    at: Vec<Range<usize>>,
    plain: SecretBytes,
}

impl Opened {
    /// How many bytes it holds.
    pub(super) fn length(&self) -> usize {
        self.plain.expose_secret().len()
    }

    pub(super) fn has(&self, key: KeyId) -> bool {
        self.bundle.has(key)
    }

    /// Where its sealed file is, for messages.
    pub(super) fn path(&self, bundles: &Path) -> PathBuf {
        self.bundle.path(bundles)
    }

    /// A key's secret, as it was before it was put into a bundle.
    pub(super) fn secret(&self, key: KeyId) -> Result<SecretBytes, &'static str> {
        let strange = "a line of it is not as cim-keys writes it";
        let index = self.bundle.keys.binary_search(&key).map_err(|_| strange)?;
        let line = &self.plain.expose_secret()[self.at[index].clone()];
        let mut secret = SecretBytes::new(Box::new(Vec::with_capacity(line.len() + 1)));
        let text = secret.expose_secret_mut();
        let mut bytes = line.iter();
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                b'\\' => match bytes.next() {
                    Some(b'n') => b'\n',
                    Some(b'\\') => b'\\',
                    _ => return Err(strange),
                },
                byte => *byte,
            });
        }
        text.push(b'\n');
        Ok(secret)
    }
}

/// Writes the files of a bundle into a folder that appears with all of them or not at all.
pub(super) fn write_whole(bundles: &Folder, name: &str, files: &[(&str, &[u8])]) -> Result<(), FileError> {
    bundles.create_folder_whole(name, |folder| files.iter().try_for_each(|(file, bytes)| folder.write(file, bytes)))
}
