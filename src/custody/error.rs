//! What can go wrong with secrets at rest, an enum an act.

mod explained;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::ids::KeyId;
use crate::text::{Label, Recipient, visible};

/// Why a file or folder of custody was not touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not there.
    #[error("{} is not there", Shown(path))]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// It is there already, and is not overwritten.
    #[error("{} is there already and is not overwritten", Shown(path))]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// A symbolic link stands where a file or folder belongs.
    #[error("{} is a symbolic link, which custody does not follow", Shown(path))]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// A folder stands where a file belongs, or the other way round.
    #[error("{} is not of the kind that belongs there (a file for a folder, or a folder for a file)", Shown(path))]
    WrongKind {
        /// What is there.
        path: PathBuf,
    },
    /// Others than the owner may touch it.
    #[error("{} has mode {mode:04o}, so others than you may touch it", Shown(path))]
    LooseMode {
        /// What is open to others.
        path: PathBuf,
        /// The permission bits that it has.
        mode: u32,
        /// The permission bits that it must have.
        wanted: u32,
    },
    /// It belongs to another user.
    #[error("{} belongs to user {owner} and you are user {us}", Shown(path))]
    ForeignOwner {
        /// What belongs to another user.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// Our own number.
        us: u32,
    },
    /// It is larger than anything that belongs there.
    #[error("{} is larger than {limit} bytes, which nothing in custody is", Shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// It is not what was written.
    #[error("{} is damaged ({reason})", Shown(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: &'static str,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes, so {} was not written", Shown(path))]
    NoRandomness {
        /// What was to be written.
        path: PathBuf,
    },
    /// The system refused.
    #[error("could not {act} {}: {source}", Shown(path))]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why no custody, or no compartment, was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A compartment of that name, or of one that differs only in case, is there.
    #[error("there is a compartment \"{existing}\" already")]
    Taken {
        /// The compartment that is there.
        existing: Label,
    },
    /// The passphrase can't protect anything, or can't be typed again.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a custody folder was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A recipient file holds no recipient.
    #[error("{} holds no age recipient (one line that begins with age1)", Shown(path))]
    Recipient {
        /// The file.
        path: PathBuf,
    },
    /// Something in the folder has a name that no compartment can have.
    #[error("{} is no compartment: {reason}", Shown(path))]
    Stranger {
        /// What is there.
        path: PathBuf,
        /// What is wrong with its name.
        reason: String,
    },
    /// A file or folder can't be read as it is.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A compartment that custody does not have.
#[derive(Debug, thiserror::Error)]
#[error("there is no compartment \"{compartment}\": there {}", Known(known))]
pub struct UnknownCompartment {
    /// The one that was asked for.
    pub compartment: Label,
    /// Those that are there.
    pub known: Vec<Label>,
}

/// Why a secret was not sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Custody has no such compartment.
    #[error(transparent)]
    Unknown(#[from] UnknownCompartment),
    /// The secret is longer than any key.
    #[error("a secret of {length} bytes is too long for custody, which keeps at most {limit}")]
    TooLong {
        /// How long it is.
        length: usize,
        /// The most that is kept.
        limit: usize,
    },
    /// The age library could not encrypt.
    #[error("could not encrypt for compartment \"{compartment}\": {reason}")]
    Encrypt {
        /// The compartment.
        compartment: Label,
        /// What the library said.
        reason: String,
    },
    /// The secret is in a bundle with others that stay.
    #[error(
        "{} holds the secret of key {key} together with those of keys that stay, so it is not removed and stays sealed",
        Shown(path)
    )]
    Shared {
        /// The bundle's sealed file.
        path: PathBuf,
        /// The key.
        key: KeyId,
    },
    /// The recipient is none that can be sealed to.
    #[error("could not seal to {recipient}: {reason}")]
    Recipient {
        /// The recipient.
        recipient: Recipient,
        /// What the library said.
        reason: String,
    },
    /// The sealed file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a compartment stayed closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// Custody has no such compartment.
    #[error(transparent)]
    Unknown(#[from] UnknownCompartment),
    /// The passphrase is not this compartment's.
    #[error("wrong passphrase for compartment \"{compartment}\"")]
    WrongPassphrase {
        /// The compartment.
        compartment: Label,
    },
    /// The sealed identity is not what was written.
    #[error("{} is damaged ({reason}), so no passphrase opens compartment \"{compartment}\"", Shown(path))]
    Damaged {
        /// The compartment.
        compartment: Label,
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: &'static str,
    },
    /// Opening it would take more work than is reasonable.
    #[error(
        "{} asks for scrypt work factor {required}, and at most {limit} is done: it was not written by cim-keys",
        Shown(path)
    )]
    TooMuchWork {
        /// The file.
        path: PathBuf,
        /// The work factor (a power of two) that it asks for.
        required: u8,
        /// The most that is done.
        limit: u8,
    },
    /// The identity opens, and belongs to another recipient than the one that keys are sealed to.
    #[error(
        "{}, the recipient file of compartment \"{compartment}\", is not its identity's: keys sealed since it was exchanged can't be opened by you",
        Shown(path)
    )]
    ForeignRecipient {
        /// The compartment.
        compartment: Label,
        /// The recipient file.
        path: PathBuf,
    },
    /// A file can't be read as it is.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a secret was not revealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevealError {
    /// The compartment has no secret of this key.
    #[error("compartment \"{compartment}\" holds no secret of key {key}")]
    Absent {
        /// The compartment.
        compartment: Label,
        /// The key.
        key: KeyId,
    },
    /// The sealed file is not what was written.
    #[error("{} is damaged or sealed to another recipient ({reason})", Shown(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: &'static str,
    },
    /// The file can't be read as it is.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a passphrase was not changed; the old one is still good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The old passphrase opened nothing.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The new one can't protect anything, or can't be typed again.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The identity could not be sealed again.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A passphrase that is not taken for a new compartment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// It is too short.
    #[error("the passphrase is shorter than {least} characters")]
    TooShort {
        /// The fewest characters that are taken.
        least: usize,
    },
    /// It is too long.
    #[error("the passphrase is longer than {most} bytes")]
    TooLong {
        /// The most bytes that are taken.
        most: usize,
    },
    /// It contains what can't be typed at a prompt.
    #[error("the passphrase contains a line feed or another control character, which can't be typed at a prompt")]
    Untypable,
    /// The system gave no random bytes to make one from.
    #[error("the system gave no random bytes to make a passphrase from")]
    NoRandomness,
}

/// A path in quotes, harmless to show.
struct Shown<'a>(&'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.0.to_string_lossy()))
    }
}

struct Known<'a>(&'a [Label]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("is none at all"),
            [one] => write!(f, "is \"{one}\""),
            many => {
                f.write_str("are ")?;
                for (index, label) in many.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}\"{label}\"")?;
                }
                Ok(())
            }
        }
    }
}

/// Why nothing was sealed to another party.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealToError {
    /// The age recipient, or the secret's length, was not taken.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The curve key was not taken.
    #[error(transparent)]
    Curve(#[from] crate::keys::xkey::XkeyError),
}

/// Why a key in custody was not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// Its secret did not come out of custody.
    #[error(transparent)]
    Reveal(#[from] RevealError),
    /// What custody holds is no private key.
    #[error("what custody holds for key {key} is no private key: {source}")]
    Parse {
        /// The key.
        key: KeyId,
        /// What is wrong with it.
        source: crate::keys::ParseError,
    },
    /// What custody holds is another key than the one that is recorded.
    #[error("what custody holds for key {key} is another key than the one that is recorded: its file was exchanged")]
    Exchanged {
        /// The key.
        key: KeyId,
    },
}
