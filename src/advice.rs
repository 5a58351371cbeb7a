//! What kind of failure an error is, and what to do next about it: as data, for a front end to render. A command line renders
//! exit codes and commands, a page links.
//!
//! An error's own text says what was tried and why it failed. It names no command, and nothing is cut out of it.

use std::path::PathBuf;

/// What kind of failure an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something failed that is none of the others: a file, a disk, a lock.
    Failed,
    /// What was given is wrong: an argument, a file, a configuration.
    Usage,
    /// The domain or a policy says no.
    Refused,
    /// A check found something that is not as it was recorded, or not signed as it must be.
    Verification,
    /// A server can't be reached.
    Unreachable,
}

/// What to do next. No text from outside is in it, except in values that are named as such.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Something to do, in words of the program.
    Do(&'static str),
    /// An act of this program, and what it does for the user: "shows those that are there".
    Run(Action, &'static str),
    /// What was probably meant: a name from outside.
    Near(String),
}

impl Advice {
    /// What failed may pass.
    pub const TRY_AGAIN: Self = Self::Do("try again");
    /// Two histories that contradict each other.
    pub const KEEP_BOTH: Self = Self::Do("keep both: they are the evidence");
    /// A file is not what was written.
    pub const FROM_BACKUP: Self = Self::Do("bring it back from a backup");
    /// A file of a later format.
    pub const UPDATE: Self = Self::Do("update cim-keys");
}

/// An act that an error may advise. Values in it are data: a front end quotes them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Listing what is recorded of a kind: the kind's word.
    List(&'static str),
    /// Recording an organisation.
    AddOrganization,
    /// Making a ledger.
    Init,
    /// Checking the whole ledger.
    Verify,
    /// Listing events.
    ListEvents,
    /// Listing the types of events.
    ListEventTypes,
    /// Taking the right to write over.
    HandOver,
    /// Bringing what is newer than a backup from a carried medium.
    RecoverFromCarry,
    /// Bringing what is newer than a backup from the stream.
    RecoverFromStream,
    /// Going on without what is newer than a backup.
    RecoverAcceptLoss,
    /// Taking an archive into a mirror.
    ImportArchive,
    /// Making a mirror from an archive.
    NewMirror,
    /// Writing an archive.
    ExportArchive,
    /// Signing the head of the ledger.
    SignHead,
    /// Proving that one head continues another.
    ProveConsistency,
    /// Signing a head as a witness.
    CosignHead,
    /// Showing the ledger's public key.
    ShowPublicKey,
    /// Making a key for a person.
    EnrollPerson,
    /// Making an Ed25519 key for a person.
    EnrollPersonEd25519,
    /// Ending the demand for signatures.
    EndSignatures,
    /// Comparing custody with the ledger.
    CheckCustody,
    /// Showing a key.
    ShowKey {
        /// Which: its identifier or name.
        key: String,
    },
    /// Changing who may touch a file or folder.
    ChangeMode {
        /// The permission bits that it must have.
        mode: u32,
        /// The file or folder.
        path: PathBuf,
    },
    /// Giving a file or folder to a user.
    ChangeOwner {
        /// The user's number.
        user: u32,
        /// The file or folder.
        path: PathBuf,
    },
    /// Making the NATS operator.
    AddOperator,
    /// Making a NATS user.
    AddUser,
    /// Giving the text of an import's activation.
    GiveActivation {
        /// The importing account.
        account: Box<str>,
        /// The subject that it imports.
        import: Box<str>,
    },
    /// Deleting a NATS account.
    DeleteAccount {
        /// The account.
        account: String,
    },
    /// Making a signing key for a NATS account.
    AddSigningKey {
        /// The account.
        account: String,
    },
    /// Listing what a NATS account has of a kind.
    ListOf {
        /// The kind's word.
        what: &'static str,
        /// The account.
        account: Box<str>,
    },
    /// Giving a NATS account an encryption key for its authorization service.
    AddCalloutKey {
        /// The account.
        account: String,
    },
    /// Making a key for an issuer of users.
    AddIssuer,
    /// Copying a ledger for safekeeping.
    Backup,
    /// Making a ledger's folder of a backup.
    Restore,
    /// Letting a restored ledger go on.
    Recover,
    /// Writing what NATS servers need.
    ServerConfig,
    /// Comparing NATS servers with the ledger.
    NatsDiff,
    /// Going on publishing at a position.
    SyncFrom {
        /// The position, where it is known.
        position: Option<u64>,
    },
    /// Publishing what is not published yet.
    SyncOnce,
    /// Listing what is not published yet.
    QueueList,
    /// Listing what the server refused.
    QueueParked,
    /// Trying again what the server refused.
    QueueRetry,
    /// Bringing a mirror up to date.
    UpdateMirror,
    /// Putting back what the stream has lost.
    Reconcile,
    /// Saving what a file would do.
    SavePlan,
    /// Making a request to another ledger.
    Request,
    /// Making another ledger known.
    LinkLedger,
    /// Writing the ledger to a medium.
    CarryOut,
    /// Recording a signature over an event that was made elsewhere.
    AttestEvent {
        /// The key.
        key: String,
    },
    /// Proving that an event is in the ledger.
    ProveEvent,
}

/// An error that a front end can explain.
pub trait Explained: std::error::Error {
    /// What kind of failure it is.
    fn kind(&self) -> ErrorKind;

    /// What to do next, the most likely first.
    fn advice(&self) -> Vec<Advice>;
}
