//! Why a command may not follow what is recorded.

use cid::Cid;

use super::reference::EntityRef;
use super::view::ViewError;
use crate::advice::{Action, Advice, ErrorKind, Explained};

/// Why a decision was no. Text that people gave is made visible in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Something that the command names is not recorded.
    #[error("{0} is not recorded")]
    Unknown(EntityRef),
    /// The identifier is taken.
    #[error("{0} is recorded already")]
    AlreadyThere(EntityRef),
    /// The name, address or public key is taken.
    #[error("{what} is taken by {holder} ({id})")]
    Taken {
        /// What is taken.
        what: String,
        /// Who has it.
        holder: String,
        /// The holder's identifier.
        id: uuid::Uuid,
    },
    /// What the command names has ended.
    #[error("{what} was {how} on {on}")]
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
    #[error("{0} is active: there is nothing to reactivate")]
    IsActive(String),
    /// It holds an event that this release does not know.
    #[error("{what} holds event {event}, of a type or schema that this release does not know")]
    HoldsUnknown {
        /// What.
        what: String,
        /// The first such event.
        event: Box<Cid>,
    },
    /// Two things of different organisations were to be connected.
    #[error("{one} and {other} belong to different organizations")]
    OtherOrganization {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// A thing can't move to another organisation.
    #[error("{0} can't move to another organization")]
    StaysInOrganization(String),
    /// Something would be above itself.
    #[error("{what} can't be inside {inside}, which is inside it")]
    Cycle {
        /// What was to be moved.
        what: String,
        /// Where to.
        inside: String,
    },
    /// Something would be too deep.
    #[error("{0} would be more than 64 levels deep")]
    TooDeep(String),
    /// It can't end while others depend on it.
    #[error("{what} can't end while {by} depends on it")]
    InUse {
        /// What was to end.
        what: String,
        /// One that depends on it.
        by: String,
    },
    /// Separation of duties.
    #[error("{person} may not hold {role} together with {other}, which excludes it")]
    Excluded {
        /// Who.
        person: String,
        /// The role.
        role: String,
        /// The role that excludes it, or that it excludes.
        other: String,
    },
    /// The two parties of a relationship are one.
    #[error("{0} can't stand in a relationship to itself")]
    WithItself(String),
    /// Permissions where there are none to give, or none where some are needed.
    #[error("{0}")]
    Permissions(&'static str),
    /// The key must no longer be relied on already.
    #[error("{what} is revoked since {on}: nothing more can be done with it")]
    AlreadyRevoked {
        /// The key.
        what: String,
        /// When, as a date.
        on: String,
    },
    /// Only the public half is known.
    #[error("{0} has no private half in custody: only its public half is known")]
    NotInCustody(String),
    /// A successor of another purpose.
    #[error("{what} is for {purpose}, and its successor would be for {other}")]
    OtherPurpose {
        /// The key.
        what: String,
        /// Its purpose.
        purpose: &'static str,
        /// The successor's.
        other: &'static str,
    },
    /// The ledger is made once.
    #[error("the ledger is made already: every ledger has one LedgerCreated, its first event")]
    LedgerThere,
    /// The command is about another ledger.
    #[error("{0} is not this ledger")]
    OtherLedger(EntityRef),
    /// The key that was to end is not the ledger's key.
    #[error("the ledger's key is another one than was named as the previous")]
    OtherLedgerKey,
    /// The last recipient of a compartment.
    #[error("the compartment would be left without a recipient")]
    LastRecipient,
    /// A ledger is the ledger of one NATS operator.
    #[error("this ledger has {0} already, and a ledger has one operator")]
    SecondOperator(String),
    /// The system account can't be deleted.
    #[error("{0} is the system account, which servers never delete")]
    SystemAccount(String),
    /// Servers are asked to forget only what the ledger has ended.
    #[error("{0} is active")]
    NotDeleted(String),
    /// Servers tell tokens apart by the second of issue.
    #[error("{what} has a token that was issued at {issued_at} already: a new one must be issued in a later second")]
    TokenNotNewer {
        /// Whose token.
        what: String,
        /// `iat` of the recorded one, in seconds since the Unix epoch.
        issued_at: u64,
    },
    /// A key that does not sign for this operator or account.
    #[error("the key {key} signs no tokens of {what}")]
    NotASigner {
        /// The public key.
        key: String,
        /// Whose token.
        what: String,
    },
    /// A signature by a key that can't speak for its signer.
    #[error("no act is signed with {key}: it {standing}")]
    CannotSign {
        /// The key.
        key: String,
        /// Why not.
        standing: &'static str,
    },
    /// Signatures demanded for what can't be signed.
    #[error(
        "no signature can be demanded for \"{}\": it is no type of event, or one that is recorded where no person can sign",
        crate::text::visible(.0)
    )]
    NotToBeSigned(String),
    /// The last key that could sign, while signatures are demanded.
    #[error("no person could sign acts any more, and this ledger demands signatures")]
    LastSigner,
    /// The entities could not be looked up.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Explained for Refusal {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Refused
    }

    fn advice(&self) -> Vec<Advice> {
        let what = match self {
            Self::Unknown(entity) => {
                return vec![
                    Advice::Run(Action::List(entity.kind.as_str()), "shows those that are there"),
                    Advice::Do("add it first"),
                ];
            }
            Self::CannotSign { .. } => {
                return vec![Advice::Run(Action::EnrollPerson, "makes a key that only its owner opens")];
            }
            Self::NotToBeSigned(_) => return vec![Advice::Run(Action::ListEventTypes, "lists types")],
            Self::LastSigner => {
                return vec![
                    Advice::Run(Action::EnrollPerson, "makes a key for another person"),
                    Advice::Run(Action::EndSignatures, "ends the demand"),
                ];
            }
            Self::IsActive(_)
            | Self::Permissions(_)
            | Self::AlreadyRevoked { .. }
            | Self::NotInCustody(_)
            | Self::LedgerThere
            | Self::TokenNotNewer { .. }
            | Self::View(_) => return Vec::new(),
            Self::AlreadyThere(_) => "mint a new identifier, or update what is there",
            Self::Taken { .. } => "choose another, or change that one first",
            Self::HasEnded { next, .. } => next,
            Self::HoldsUnknown { .. } => "use the release that recorded it, or a newer one",
            Self::OtherOrganization { .. } => "choose one of the same organization",
            Self::StaysInOrganization(_) => "end it there, and add it here",
            Self::Cycle { .. } => "choose another parent",
            Self::TooDeep(_) => "choose a parent further up",
            Self::InUse { .. } => "move that or end it first",
            Self::Excluded { .. } => "withdraw the other first, or choose another person",
            Self::WithItself(_) => "name two parties",
            Self::OtherPurpose { .. } => "rotate to a key of the same purpose",
            Self::OtherLedger(_) => "name this ledger",
            Self::OtherLedgerKey => "read the ledger's key again",
            Self::LastRecipient => "add another recipient first",
            Self::SecondOperator(_) => "make another ledger for another operator",
            Self::SystemAccount(_) => "name another account",
            Self::NotDeleted(_) => "delete it first, which signs the request to servers as well",
            Self::NotASigner { .. } => "choose the identity key or an active signing key above it",
        };
        vec![Advice::Do(what)]
    }
}
