//! One compartment: its three files and what they mean.

use std::path::PathBuf;

use age::x25519;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest as _, Sha256};

use super::error::{ChangeError, CreateError, FileError, OpenError, RevealError, SealError, UnlockError};
use super::folder::Folder;
use super::sealed::{self, Closed, SecretBytes, WorkFactor};
use super::{LONGEST_SECRET, file_name};
use crate::ids::KeyId;
use crate::text::Label;

const RECIPIENT: &str = "recipient";
const IDENTITY: &str = "identity.age";
const KEYS: &str = "keys";

/// The most bytes of each small file, with room for comments that people add.
const SMALL_FILE: u64 = 16 * 1024;

/// The most bytes of a sealed secret: the secret, age's header, and 16 bytes a chunk.
const SEALED_FILE: u64 = LONGEST_SECRET as u64 + 4 * 1024;

/// Begins the comment in the recipient file that says what the identity file's bytes are. It only tells damage from a wrong
/// passphrase: an identity that opens is good whatever stands here.
const SUM: &str = "# identity.age sha256 ";

/// A compartment whose secrets are closed.
#[derive(Debug)]
pub(super) struct Compartment {
    folder: Folder,
    keys: Folder,
    recipient: x25519::Recipient,
}

/// A compartment that its passphrase opened. Its identity is zeroized when this is dropped.
pub struct Unlocked<'a> {
    label: Label,
    compartment: &'a Compartment,
    identity: x25519::Identity,
}

/// The files of a compartment that is not written yet.
pub(super) struct Prepared {
    recipient: x25519::Recipient,
    identity_file: Vec<u8>,
    recipient_file: String,
}

/// Makes the files of a new compartment.
pub(super) fn prepare(label: &Label, passphrase: &SecretString, work: WorkFactor) -> Result<Prepared, CreateError> {
    let identity = x25519::Identity::generate();
    let recipient = identity.to_public();
    let identity_file = seal_identity(label, &identity, passphrase, work)?;
    let recipient_file = recipient_text(label, &recipient, &[&identity_file]);
    Ok(Prepared { recipient, identity_file, recipient_file })
}

impl Prepared {
    /// Writes the files into an empty folder.
    pub(super) fn write(&self, folder: &Folder) -> Result<(), FileError> {
        folder.create_folder(KEYS)?;
        folder.create(IDENTITY, &self.identity_file)?;
        folder.create(RECIPIENT, self.recipient_file.as_bytes())
    }

    /// The compartment that these files are, in the folder where they now stand.
    pub(super) fn opened(self, folder: Folder) -> Result<Compartment, FileError> {
        Ok(Compartment { keys: folder.folder(KEYS)?, folder, recipient: self.recipient })
    }
}

impl Compartment {
    /// Opens the folder and reads the recipient.
    pub(super) fn open(folder: Folder) -> Result<Self, OpenError> {
        let invalid = || OpenError::Recipient { path: folder.path().join(RECIPIENT) };
        let text = String::from_utf8(folder.read(RECIPIENT, SMALL_FILE)?).map_err(|_| invalid())?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(invalid()) };
        let recipient = line.parse().map_err(|_| invalid())?;
        let keys = folder.folder(KEYS)?;
        Ok(Self { folder, keys, recipient })
    }

    pub(super) fn recipient(&self) -> &x25519::Recipient {
        &self.recipient
    }

    /// The folder of sealed secrets.
    pub(super) fn keys(&self) -> &Folder {
        &self.keys
    }

    pub(super) fn seal(&self, label: &Label, secret: &SecretBytes) -> Result<Vec<u8>, SealError> {
        sealed::to_recipient(super::bounded(secret)?, &self.recipient)
            .map_err(|reason| SealError::Encrypt { compartment: label.clone(), reason })
    }

    /// Opens the identity with a passphrase.
    pub(super) fn unlock(&self, label: &Label, passphrase: SecretString) -> Result<Unlocked<'_>, UnlockError> {
        let path = || self.folder.path().join(IDENTITY);
        let damaged = |reason| UnlockError::Damaged { compartment: label.clone(), path: path(), reason };
        let file = self.folder.read(IDENTITY, SMALL_FILE)?;
        let plain = sealed::by_passphrase(&file, passphrase).map_err(|closed| match closed {
            Closed::WrongKey if self.sums_deny(&file) => damaged("its bytes are not those that were written"),
            Closed::WrongKey => UnlockError::WrongPassphrase { compartment: label.clone() },
            Closed::Damaged(reason) => damaged(reason),
            Closed::TooMuchWork(required) => {
                UnlockError::TooMuchWork { path: path(), required, limit: WorkFactor::MOST.log_n() }
            }
        })?;
        let identity = parse_identity(&plain).ok_or_else(|| damaged("what is sealed in it is no age identity"))?;
        if identity.to_public() != self.recipient {
            let path = self.folder.path().join(RECIPIENT);
            return Err(UnlockError::ForeignRecipient { compartment: label.clone(), path });
        }
        Ok(Unlocked { label: label.clone(), compartment: self, identity })
    }

    /// Seals the identity with another passphrase. At every moment either the old or the new file stands there, and its
    /// sum beside it.
    pub(super) fn reseal(
        &self,
        label: &Label,
        unlocked: &Unlocked<'_>,
        passphrase: &SecretString,
        work: WorkFactor,
    ) -> Result<(), ChangeError> {
        let old = self.folder.read(IDENTITY, SMALL_FILE)?;
        let new = seal_identity(label, &unlocked.identity, passphrase, work)?;
        self.folder.replace(RECIPIENT, recipient_text(label, &self.recipient, &[&old, &new]).as_bytes())?;
        self.folder.replace(IDENTITY, &new)?;
        Ok(self.folder.replace(RECIPIENT, recipient_text(label, &self.recipient, &[&new]).as_bytes())?)
    }

    /// Adds what does not belong into the compartment's own folder.
    pub(super) fn strays(&self, strays: &mut Vec<PathBuf>) -> Result<(), FileError> {
        let known = |name: &String| [RECIPIENT, IDENTITY, KEYS].contains(&name.as_str());
        strays.extend(self.folder.names()?.into_iter().filter(|n| !known(n)).map(|n| self.folder.path().join(n)));
        Ok(())
    }

    /// Whether the recipient file names sums of the identity file, and none is that of these bytes.
    fn sums_deny(&self, identity_file: &[u8]) -> bool {
        let Ok(text) = self.folder.read(RECIPIENT, SMALL_FILE) else { return false };
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut sums = text.lines().filter_map(|line| line.strip_prefix(SUM)).peekable();
        let sum = hex(&Sha256::digest(identity_file));
        sums.peek().is_some() && sums.all(|known| known.trim() != sum)
    }
}

impl Unlocked<'_> {
    /// Which compartment this is.
    #[must_use]
    pub fn compartment(&self) -> &Label {
        &self.label
    }

    /// Opens a key's secret.
    pub fn reveal(&self, key: KeyId) -> Result<SecretBytes, RevealError> {
        let name = file_name(key);
        let file = self.compartment.keys.read(&name, SEALED_FILE).map_err(|e| match e {
            FileError::Missing { .. } => RevealError::Absent { compartment: self.label.clone(), key },
            e => RevealError::File(e),
        })?;
        sealed::by_identity(&file, &self.identity).map_err(|closed| RevealError::Damaged {
            path: self.compartment.keys.path().join(name),
            reason: match closed {
                Closed::Damaged(reason) => reason,
                Closed::WrongKey | Closed::TooMuchWork(_) => "this compartment's identity does not open it",
            },
        })
    }
}

impl std::fmt::Debug for Unlocked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unlocked").field("compartment", &self.label).finish_non_exhaustive()
    }
}

/// The identity as `age-keygen` writes it, sealed.
fn seal_identity(
    label: &Label,
    identity: &x25519::Identity,
    passphrase: &SecretString,
    work: WorkFactor,
) -> Result<Vec<u8>, SealError> {
    let secret = identity.to_string();
    let public = format!("# cim-keys compartment {label}\n# public key: {}\n", identity.to_public());
    let mut plain = Vec::with_capacity(public.len() + secret.expose_secret().len() + 1);
    plain.extend_from_slice(public.as_bytes());
    plain.extend_from_slice(secret.expose_secret().as_bytes());
    plain.push(b'\n');
    let plain: SecretBytes = SecretBox::new(Box::new(plain));
    sealed::to_passphrase(plain.expose_secret(), passphrase.clone(), work)
        .map_err(|reason| SealError::Encrypt { compartment: label.clone(), reason })
}

fn parse_identity(plain: &SecretBytes) -> Option<x25519::Identity> {
    let text = std::str::from_utf8(plain.expose_secret()).ok()?;
    text.lines().find(|line| !line.is_empty() && !line.starts_with('#'))?.trim().parse().ok()
}

fn recipient_text(label: &Label, recipient: &x25519::Recipient, identity_files: &[&[u8]]) -> String {
    let sums: String = identity_files.iter().map(|file| format!("{SUM}{}\n", hex(&Sha256::digest(file)))).collect();
    format!("# cim-keys compartment {label}\n{sums}{recipient}\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
