//! What names an entity: its kind and identifier, and the keys under which it is found.

use std::fmt;

use cid::Cid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::events::{NatsHolder, NatsParty, Party};
use crate::ids::{
    KeyId, LedgerId, LocationId, NatsAccountId, NatsOperatorId, NatsUserId, OrganizationId, PersonId, PolicyId,
    RelationshipId, RoleAssignmentId, RoleId, UnitId,
};
use crate::text::{EmailAddress, Label, Name, PublicKey, Recipient};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal, $phrase:literal;)+) => {
        /// What an entity is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Kind { $($(#[$doc])* $kind,)+ }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// One word, as tables and JSON have it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word,)+ }
            }

            /// As messages have it.
            #[must_use]
            pub const fn phrase(self) -> &'static str {
                match self { $(Self::$kind => $phrase,)+ }
            }

            /// The kind of a word ([`Kind::as_str`]).
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$kind),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// This ledger, or one that is linked to it.
    Ledger = "ledger", "ledger";
    /// An organisation.
    Organization = "organization", "organization";
    /// A unit of an organisation.
    Unit = "unit", "unit";
    /// A place.
    Location = "location", "location";
    /// A person.
    Person = "person", "person";
    /// A role.
    Role = "role", "role";
    /// A role held by a person.
    Assignment = "assignment", "role assignment";
    /// A policy document.
    Policy = "policy", "policy";
    /// A relationship of two parties.
    Relationship = "relationship", "relationship";
    /// A key pair.
    Key = "key", "key";
    /// A NATS operator.
    Operator = "nats_operator", "NATS operator";
    /// A NATS account.
    Account = "nats_account", "NATS account";
    /// A NATS user.
    User = "nats_user", "NATS user";
    /// A key in its role as signing key of a NATS operator or account.
    SigningKey = "nats_signing_key", "NATS signing key";
    /// A recipient of a custody compartment.
    Recipient = "recipient", "custody recipient";
    /// A declarative file that was applied.
    Manifest = "manifest", "applied file";
    /// A signature over an event.
    Attestation = "attestation", "attestation";
    /// Which types of events must be signed.
    SignatureRequirement = "signature_requirement", "signature requirement";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.phrase())
    }
}

/// Which entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityRef {
    /// What it is.
    pub kind: Kind,
    /// Its identifier.
    pub id: Uuid,
}

impl EntityRef {
    /// An entity of a kind.
    #[must_use]
    pub const fn new(kind: Kind, id: Uuid) -> Self {
        Self { kind, id }
    }

    /// An entity that has no identifier of its own and is known by texts: a UUID version 8 whose bits are the first of
    /// SHA-256 over the kind's word and the texts, each followed by a zero byte.
    fn derived(kind: Kind, texts: &[&str]) -> Self {
        let mut hash = Sha256::new().chain_update(kind.as_str()).chain_update([0]);
        for text in texts {
            hash = hash.chain_update(text).chain_update([0]);
        }
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = 0x80 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Self::new(kind, Uuid::from_bytes(bytes))
    }

    /// The recipient of a custody compartment.
    #[must_use]
    pub fn recipient(compartment: &Label, recipient: &Recipient) -> Self {
        Self::derived(Kind::Recipient, &[compartment.as_str(), recipient.as_str()])
    }

    /// The declarative file of a name.
    #[must_use]
    pub fn manifest(name: &Name) -> Self {
        Self::derived(Kind::Manifest, &[name.as_str()])
    }

    /// A key's signature over an event.
    #[must_use]
    pub fn attestation(event: &Cid, key: KeyId) -> Self {
        Self::derived(Kind::Attestation, &[&event.to_string(), &key.to_string()])
    }

    /// What the ledger demands signatures for; there is one.
    #[must_use]
    pub fn signature_requirement() -> Self {
        Self::derived(Kind::SignatureRequirement, &[])
    }

    /// The entity that a party is; `None` for a service, of which nothing is recorded.
    #[must_use]
    pub fn party(party: &Party) -> Option<Self> {
        match party {
            Party::Person(id) => Some((*id).into()),
            Party::Organization(id) => Some((*id).into()),
            Party::Unit(id) => Some((*id).into()),
            Party::Role(id) => Some((*id).into()),
            Party::Service(_) => None,
        }
    }

    /// The entity of an operator, account or user.
    #[must_use]
    pub fn nats(party: &NatsParty) -> Self {
        match party {
            NatsParty::Operator(id) => (*id).into(),
            NatsParty::Account(id) => (*id).into(),
            NatsParty::User(id) => (*id).into(),
        }
    }

    /// The operator or account that a signing key signs for.
    #[must_use]
    pub fn holder(holder: &NatsHolder) -> Self {
        match holder {
            NatsHolder::Operator(id) => (*id).into(),
            NatsHolder::Account(id) => (*id).into(),
        }
    }

    /// A signing key, in its role as one; the key pair itself is an entity too, under the same identifier.
    #[must_use]
    pub fn signing_key(id: KeyId) -> Self {
        Self::new(Kind::SigningKey, *id.as_uuid())
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

macro_rules! refs {
    ($($id:ident => $kind:ident,)+) => {$(
        impl From<$id> for EntityRef {
            fn from(id: $id) -> Self {
                Self::new(Kind::$kind, *id.as_uuid())
            }
        }
    )+};
}

refs! {
    LedgerId => Ledger,
    OrganizationId => Organization,
    UnitId => Unit,
    LocationId => Location,
    PersonId => Person,
    RoleId => Role,
    RoleAssignmentId => Assignment,
    PolicyId => Policy,
    RelationshipId => Relationship,
    KeyId => Key,
    NatsOperatorId => Operator,
    NatsAccountId => Account,
    NatsUserId => User,
}

/// By what an entity can be found, beside its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Index {
    /// Its folded name ([`Name::folded`]).
    Name,
    /// Its e-mail address in lower case.
    Email,
    /// Its public key.
    PublicKey,
    /// What it connects: `ROLE PERSON SCOPE` of an assignment, `KIND SUBJECT OBJECT` of a relationship.
    Pair,
    /// The event that it is about.
    Event,
}

impl Index {
    /// One word, as tables have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::PublicKey => "public_key",
            Self::Pair => "pair",
            Self::Event => "event",
        }
    }
}

/// One key under which entities can be found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameKey {
    /// The kind of entity.
    pub kind: Kind,
    /// In which index.
    pub index: Index,
    /// Within which organisation, operator or account; `None` for what counts in the whole ledger.
    pub scope: Option<Uuid>,
    /// The text, folded.
    pub key: String,
}

impl NameKey {
    /// A name within an organisation, or in the whole ledger.
    #[must_use]
    pub fn name(kind: Kind, scope: Option<OrganizationId>, name: &Name) -> Self {
        Self { kind, index: Index::Name, scope: scope.map(|id| *id.as_uuid()), key: name.folded() }
    }

    /// A person's e-mail address.
    #[must_use]
    pub fn email(email: &EmailAddress) -> Self {
        Self { kind: Kind::Person, index: Index::Email, scope: None, key: email.as_str().to_ascii_lowercase() }
    }

    /// A key's public half.
    #[must_use]
    pub fn public_key(key: &PublicKey) -> Self {
        Self { kind: Kind::Key, index: Index::PublicKey, scope: None, key: key.as_str().to_owned() }
    }

    /// The recipients of a custody compartment.
    #[must_use]
    pub fn compartment(compartment: &Label) -> Self {
        Self { kind: Kind::Recipient, index: Index::Name, scope: None, key: compartment.as_str().to_owned() }
    }

    /// The signatures over an event.
    #[must_use]
    pub fn attested(event: &Cid) -> Self {
        Self { kind: Kind::Attestation, index: Index::Event, scope: None, key: event.to_string() }
    }
}
