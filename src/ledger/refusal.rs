//! Why a command may not follow what is recorded.

use cid::Cid;

use super::reference::EntityRef;
use super::view::ViewError;

/// Why a decision was no. Each reason says what to do instead. Text that people gave is made visible in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Something that the command names is not recorded.
    #[error("{0} is not recorded; look it up with `list`, or add it first")]
    Unknown(EntityRef),
    /// The identifier is taken.
    #[error("{0} is recorded already; mint a new identifier, or update what is there")]
    AlreadyThere(EntityRef),
    /// The name, address or public key is taken.
    #[error("{what} is taken by {holder} ({id}); choose another, or change that one first")]
    Taken {
        /// What is taken.
        what: String,
        /// Who has it.
        holder: String,
        /// The holder's identifier.
        id: uuid::Uuid,
    },
    /// What the command names has ended.
    #[error("{what} was {how} on {on}; {next}")]
    HasEnded {
        /// What.
        what: String,
        /// In which way it ended.
        how: &'static str,
        /// When, as a date.
        on: String,
        /// What to do.
        next: &'static str,
    },
    /// Nothing needs to be undone.
    #[error("{0} is active; there is nothing to reactivate")]
    IsActive(String),
    /// It holds an event that this release does not know.
    #[error(
        "{what} holds event {event}, of a type or schema that this release does not know; use the release that recorded it, or a newer one"
    )]
    HoldsUnknown {
        /// What.
        what: String,
        /// The first such event.
        event: Box<Cid>,
    },
    /// Two things of different organisations were to be connected.
    #[error("{one} and {other} belong to different organizations; choose one of the same organization")]
    OtherOrganization {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// A thing can't move to another organisation.
    #[error("{0} can't move to another organization; end it there, and add it here")]
    StaysInOrganization(String),
    /// Something would be above itself.
    #[error("{what} can't be inside {inside}, which is inside it; choose another parent")]
    Cycle {
        /// What was to be moved.
        what: String,
        /// Where to.
        inside: String,
    },
    /// Something would be too deep.
    #[error("{0} would be more than 64 levels deep; choose a parent further up")]
    TooDeep(String),
    /// It can't end while others depend on it.
    #[error("{what} can't end while {by} depends on it; move that or end it first")]
    InUse {
        /// What was to end.
        what: String,
        /// One that depends on it.
        by: String,
    },
    /// Separation of duties.
    #[error(
        "{person} may not hold {role} together with {other}, which excludes it; withdraw the other first, or choose another person"
    )]
    Excluded {
        /// Who.
        person: String,
        /// The role.
        role: String,
        /// The role that excludes it, or that it excludes.
        other: String,
    },
    /// The two parties of a relationship are one.
    #[error("{0} can't stand in a relationship to itself; name two parties")]
    WithItself(String),
    /// Permissions where there are none to give, or none where some are needed.
    #[error("{0}")]
    Permissions(&'static str),
    /// The key must no longer be relied on already.
    #[error("{what} is revoked since {on}; nothing more can be done with it")]
    AlreadyRevoked {
        /// The key.
        what: String,
        /// When, as a date.
        on: String,
    },
    /// Only the public half is known.
    #[error("{0} has no private half in custody; only its public half is known")]
    NotInCustody(String),
    /// A successor of another purpose.
    #[error("{what} is for {purpose}, and its successor would be for {other}; rotate to a key of the same purpose")]
    OtherPurpose {
        /// The key.
        what: String,
        /// Its purpose.
        purpose: &'static str,
        /// The successor's.
        other: &'static str,
    },
    /// The ledger is made once.
    #[error("the ledger is made already; every ledger has one LedgerCreated, its first event")]
    LedgerThere,
    /// The command is about another ledger.
    #[error("{0} is not this ledger; name this one")]
    OtherLedger(EntityRef),
    /// The key that was to end is not the ledger's key.
    #[error("the ledger's key is another one than was named as the previous; read it again")]
    OtherLedgerKey,
    /// The last recipient of a compartment.
    #[error("the compartment would be left without a recipient; add another first")]
    LastRecipient,
    /// A ledger is the ledger of one NATS operator.
    #[error("this ledger has {0} already, and a ledger has one operator; make another ledger for another one")]
    SecondOperator(String),
    /// The system account can't be deleted.
    #[error("{0} is the system account, which servers never delete; name another")]
    SystemAccount(String),
    /// Servers are asked to forget only what the ledger has ended.
    #[error("{0} is active; delete it first, which signs the request to servers as well")]
    NotDeleted(String),
    /// Servers tell tokens apart by the second of issue.
    #[error("{what} has a token that was issued at {issued_at} already; a new one must be issued in a later second")]
    TokenNotNewer {
        /// Whose token.
        what: String,
        /// `iat` of the recorded one, in seconds since the Unix epoch.
        issued_at: u64,
    },
    /// A key that does not sign for this operator or account.
    #[error("the key {key} signs no tokens of {what}; choose the identity key or an active signing key above it")]
    NotASigner {
        /// The public key.
        key: String,
        /// Whose token.
        what: String,
    },
    /// A signature by a key that can't speak for its signer.
    #[error(
        "no act is signed with {key}: it {standing}; `cim-keys person enroll` makes a key that only its owner opens"
    )]
    CannotSign {
        /// The key.
        key: String,
        /// Why not.
        standing: &'static str,
    },
    /// Signatures demanded for what can't be signed.
    #[error(
        "no signature can be demanded for \"{}\": it is no type of event, or one that is recorded where nobody can sign; `cim-keys event types` lists types",
        crate::text::visible(.0)
    )]
    NotToBeSigned(String),
    /// The last key that could sign, while signatures are demanded.
    #[error(
        "nobody could sign acts any more, and this ledger demands signatures; enroll somebody else first (`cim-keys person enroll`), or end the demand (`cim-keys policy require-signatures --none`)"
    )]
    LastSigner,
    /// The entities could not be looked up.
    #[error(transparent)]
    View(#[from] ViewError),
}
