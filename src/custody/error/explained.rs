//! What to do about each error of custody.

use super::{
    ChangeError, CreateError, FileError, OpenError, PassphraseError, RevealError, SealError, SealToError,
    UnknownCompartment, UnlockError, UseError,
};
use crate::advice::{Action, Advice, ErrorKind, Explained};

const WHO_CHANGED_IT: Advice = Advice::Do("find out who changed it");

impl Explained for FileError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Missing { .. } => {
                vec![Advice::FROM_BACKUP, Advice::Do("check that this is the right ledger folder")]
            }
            Self::Exists { .. } => vec![Advice::Do("choose another name or move it away")],
            Self::SymbolicLink { .. } => vec![Advice::Do("put the real file or folder there")],
            Self::WrongKind { .. } => vec![Advice::Do("move it away and bring the right one back from a backup")],
            Self::LooseMode { path, wanted, .. } => {
                vec![Advice::Run(Action::ChangeMode { mode: *wanted, path: path.clone() }, "closes it to others")]
            }
            Self::ForeignOwner { path, us, .. } => vec![
                Advice::Do("run as that user"),
                Advice::Run(Action::ChangeOwner { user: *us, path: path.clone() }, "gives it to you"),
            ],
            Self::TooLarge { .. } => vec![Advice::FROM_BACKUP],
            Self::Damaged { .. } => vec![Advice::Do("bring its folder back from a backup")],
            Self::NoRandomness { .. } => vec![Advice::TRY_AGAIN],
            Self::Io { .. } => vec![Advice::Do("check the disk and the folder's permissions, then try again")],
        }
    }
}

impl Explained for CreateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Taken { .. } => ErrorKind::Refused,
            Self::Passphrase(_) => ErrorKind::Usage,
            Self::Seal(_) | Self::File(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Taken { .. } => vec![Advice::Do("choose another name")],
            Self::Passphrase(error) => error.advice(),
            Self::Seal(error) => error.advice(),
            Self::File(error) => error.advice(),
        }
    }
}

impl Explained for OpenError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Recipient { .. } => vec![Advice::FROM_BACKUP],
            Self::Stranger { .. } => vec![Advice::Do("move it out of the custody folder")],
            Self::File(error) => error.advice(),
        }
    }
}

impl Explained for UnknownCompartment {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Refused
    }

    fn advice(&self) -> Vec<Advice> {
        Vec::new()
    }
}

impl Explained for SealError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown(error) => error.kind(),
            Self::Recipient { .. } => ErrorKind::Usage,
            Self::TooLong { .. } | Self::Encrypt { .. } | Self::Shared { .. } | Self::File(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Unknown(error) => error.advice(),
            Self::TooLong { .. } => vec![Advice::Do("give a key: only keys belong there")],
            Self::Encrypt { .. } => vec![Advice::Do("check the compartment's recipient file")],
            Self::Shared { .. } => vec![Advice::Do("nothing needs to be done")],
            Self::Recipient { .. } => {
                vec![Advice::Do("give an X25519 recipient, as age-keygen prints it (age1 and 58 letters)")]
            }
            Self::File(error) => error.advice(),
        }
    }
}

impl Explained for UnlockError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown(error) => error.kind(),
            Self::WrongPassphrase { .. }
            | Self::Damaged { .. }
            | Self::TooMuchWork { .. }
            | Self::ForeignRecipient { .. }
            | Self::File(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Unknown(error) => error.advice(),
            Self::WrongPassphrase { .. } => {
                vec![Advice::Do("try again, and mind that each compartment has its own")]
            }
            Self::Damaged { .. } => vec![Advice::Do("bring the file back from a backup")],
            Self::TooMuchWork { .. } => vec![Advice::Do("open it with the age program")],
            Self::ForeignRecipient { .. } => vec![Advice::FROM_BACKUP, WHO_CHANGED_IT],
            Self::File(error) => error.advice(),
        }
    }
}

impl Explained for RevealError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Absent { key, .. } => {
                vec![Advice::Run(Action::ShowKey { key: key.to_string() }, "shows where it is kept")]
            }
            Self::Damaged { .. } => vec![Advice::FROM_BACKUP],
            Self::File(error) => error.advice(),
        }
    }
}

impl Explained for ChangeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unlock(error) => error.kind(),
            Self::Passphrase(_) => ErrorKind::Usage,
            Self::Seal(error) => error.kind(),
            Self::File(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Unlock(error) => error.advice(),
            Self::Passphrase(error) => error.advice(),
            Self::Seal(error) => error.advice(),
            Self::File(error) => error.advice(),
        }
    }
}

impl Explained for PassphraseError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn advice(&self) -> Vec<Advice> {
        let what = match self {
            Self::TooShort { .. } => "choose a longer one, or let cim-keys generate it",
            Self::TooLong { .. } => "choose a shorter one, or let cim-keys generate it",
            Self::Untypable => "leave that character out",
            Self::NoRandomness => return vec![Advice::TRY_AGAIN],
        };
        vec![Advice::Do(what)]
    }
}

impl Explained for SealToError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Seal(error) => error.kind(),
            Self::Curve(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Seal(error) => error.advice(),
            Self::Curve(error) => error.advice(),
        }
    }
}

impl Explained for UseError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Reveal(error) => error.advice(),
            Self::Parse { .. } => vec![Advice::FROM_BACKUP],
            Self::Exchanged { .. } => vec![Advice::FROM_BACKUP, WHO_CHANGED_IT],
        }
    }
}
