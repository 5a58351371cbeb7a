//! Entities: what the events so far say of one thing.

use std::fmt;

use cid::Cid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::attestation::AttestationFacts;
use super::cid_text;
use super::ended::Ended;
use super::nats::{AccountFacts, OperatorFacts, UserFacts};
use super::view::{Index, NameKey};
use crate::events::{
    KeyAlgorithm, KeyEncoding, KeyPurpose, LedgerRelation, LocationCreated, ManifestApplied, NatsAccountCreated,
    NatsOperatorCreated, NatsSigningKeyGenerated, NatsUserCreated, OrganizationCreated, OrganizationalUnitCreated,
    Party, PersonCreated, PolicyCreated, RelationshipEstablished, RevocationReason, RoleAssigned, RoleCreated,
    SignaturesRequired, Validity,
};
use crate::ids::{
    KeyId, LedgerId, LocationId, OrganizationId, PersonId, PolicyId, RelationshipId, RoleAssignmentId, RoleId, UnitId,
};
use crate::text::{Label, Name, Note, PublicKey, Recipient};
use crate::time::Timestamp;

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
}

/// One thing that the ledger knows, as of the events so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// What is known.
    pub facts: Facts,
    /// The last event that concerns it: a cause of the next one.
    #[serde(with = "cid_text")]
    pub last: Cid,
    /// When it was recorded first.
    pub created_at: Timestamp,
    /// When an event last concerned it.
    pub changed_at: Timestamp,
    /// How it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The first event about it that this release does not know. No decision is taken about such an entity.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "cid_text::option")]
    pub unknown: Option<Cid>,
}

/// What is known of an entity: the attributes of its last creating or updating event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, clippy::large_enum_variant)] // the variants are the kinds, documented there; one is held at a time
pub enum Facts {
    Ledger(LedgerFacts),
    Organization(OrganizationCreated),
    Unit(OrganizationalUnitCreated),
    Location(LocationCreated),
    Person(PersonCreated),
    Role(RoleCreated),
    Assignment(RoleAssigned),
    Policy(PolicyCreated),
    Relationship(RelationshipEstablished),
    Key(KeyFacts),
    Recipient(RecipientFacts),
    Operator(OperatorFacts),
    Account(AccountFacts),
    User(UserFacts),
    SigningKey(NatsSigningKeyGenerated),
    /// A link does not survive JSON as a CID, so it is kept as text beside the name.
    Manifest(ManifestFacts),
    Attestation(AttestationFacts),
    SignatureRequirement(SignaturesRequired),
}

/// What is known of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFacts {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Its name.
    pub name: Name,
    /// Its key.
    pub public_key: PublicKey,
    /// What it is to this one; absent for this ledger itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<LedgerRelation>,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// The key pair.
    pub key_id: KeyId,
    /// What people call it.
    pub name: Name,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// How `public_key` is written.
    pub encoding: KeyEncoding,
    /// The public half.
    pub public_key: PublicKey,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Whose it is.
    pub owner: Party,
    /// The compartment that holds the private half; absent when only the public half is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compartment: Option<Label>,
    /// When it may be used.
    pub validity: Validity,
    /// Where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// Where it came from, when it was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Note>,
    /// Whether the private half lay unencrypted before it was imported.
    #[serde(default)]
    pub was_plaintext: bool,
    /// How often the private half left custody.
    #[serde(default)]
    pub exports: u64,
    /// The key that replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor_id: Option<KeyId>,
    /// Until when it stays good beside its successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire_at: Option<Timestamp>,
    /// Why and since when it must not be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
}

/// The revocation of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Why.
    pub reason: RevocationReason,
    /// Since when the key is suspected to be in wrong hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_since: Option<Timestamp>,
}

/// What is known of a custody recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientFacts {
    /// The compartment.
    pub compartment: Label,
    /// The age recipient.
    pub recipient: Recipient,
    /// Who can open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Party>,
}

/// What is known of a declarative file: what was applied last under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFacts {
    /// The file's name.
    pub name: Name,
    /// The file in its normal form, as a raw block.
    #[serde(with = "cid_text")]
    pub manifest: Cid,
}

impl From<&ManifestApplied> for ManifestFacts {
    fn from(event: &ManifestApplied) -> Self {
        Self { name: event.name.clone(), manifest: *event.manifest.cid() }
    }
}

impl Facts {
    /// Which entity these are the facts of.
    #[must_use]
    pub fn entity_ref(&self) -> EntityRef {
        match self {
            Self::Ledger(facts) => facts.ledger_id.into(),
            Self::Organization(facts) => facts.organization_id.into(),
            Self::Unit(facts) => facts.unit_id.into(),
            Self::Location(facts) => facts.location_id.into(),
            Self::Person(facts) => facts.person_id.into(),
            Self::Role(facts) => facts.role_id.into(),
            Self::Assignment(facts) => facts.assignment_id.into(),
            Self::Policy(facts) => facts.policy_id.into(),
            Self::Relationship(facts) => facts.relationship_id.into(),
            Self::Key(facts) => facts.key_id.into(),
            Self::Recipient(facts) => EntityRef::recipient(&facts.compartment, &facts.recipient),
            Self::Manifest(facts) => EntityRef::manifest(&facts.name),
            Self::Attestation(facts) => EntityRef::attestation(&facts.event, facts.key_id),
            Self::SignatureRequirement(_) => EntityRef::signature_requirement(),
            Self::Operator(facts) => facts.operator.operator_id.into(),
            Self::Account(facts) => facts.account.account_id.into(),
            Self::User(facts) => facts.user.user_id.into(),
            Self::SigningKey(facts) => EntityRef::signing_key(facts.key_id),
        }
    }

    /// What people call it, where it has a name.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Ledger(facts) => Some(&facts.name),
            Self::Organization(facts) => Some(&facts.name),
            Self::Unit(facts) => Some(&facts.name),
            Self::Location(facts) => Some(&facts.name),
            Self::Person(facts) => Some(&facts.name),
            Self::Role(facts) => Some(&facts.name),
            Self::Policy(facts) => Some(&facts.name),
            Self::Key(facts) => Some(&facts.name),
            Self::Manifest(facts) => Some(&facts.name),
            Self::Operator(facts) => Some(&facts.operator.name),
            Self::Account(facts) => Some(&facts.account.name),
            Self::User(facts) => Some(&facts.user.name),
            Self::SigningKey(facts) => facts.role.as_ref(),
            Self::Assignment(_)
            | Self::Relationship(_)
            | Self::Recipient(_)
            | Self::Attestation(_)
            | Self::SignatureRequirement(_) => None,
        }
    }

    /// The organisation that it belongs to, where it belongs to one.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        match self {
            Self::Unit(facts) => Some(facts.organization_id),
            Self::Location(facts) => Some(facts.organization_id),
            Self::Person(facts) => Some(facts.organization_id),
            Self::Role(facts) => Some(facts.organization_id),
            Self::Policy(facts) => Some(facts.organization_id),
            _ => None,
        }
    }

    /// The one above it of its own kind: a unit's parent, the location that it is inside.
    #[must_use]
    pub fn parent(&self) -> Option<EntityRef> {
        match self {
            Self::Unit(facts) => facts.parent_id.map(Into::into),
            Self::Location(facts) => facts.parent_id.map(Into::into),
            _ => None,
        }
    }

    /// Under what it can be found, and whether that is to be unique among entities that have not ended.
    pub(crate) fn names(&self) -> Vec<(NameKey, bool)> {
        let kind = self.entity_ref().kind;
        let scope = match self {
            Self::Account(facts) => Some(*facts.account.operator_id.as_uuid()),
            Self::User(facts) => Some(*facts.user.account_id.as_uuid()),
            Self::SigningKey(facts) => Some(EntityRef::holder(&facts.holder).id),
            _ => self.organization().map(|id| *id.as_uuid()),
        };
        let key = |index, scope, key| NameKey { kind, index, scope, key };
        let mut names = Vec::new();
        if let Some(name) = self.name() {
            // People may share a name, and so may ledgers.
            let unique = !matches!(self, Self::Person(_) | Self::Ledger(_));
            names.push((key(Index::Name, scope, name.folded()), unique));
        }
        match self {
            Self::Person(facts) => {
                if let Some(email) = &facts.email {
                    names.push((key(Index::Email, None, email.as_str().to_ascii_lowercase()), true));
                }
            }
            Self::Key(KeyFacts { public_key, .. })
            | Self::Operator(OperatorFacts { operator: NatsOperatorCreated { public_key, .. }, .. })
            | Self::Account(AccountFacts { account: NatsAccountCreated { public_key, .. }, .. })
            | Self::User(UserFacts { user: NatsUserCreated { public_key, .. }, .. })
            | Self::SigningKey(NatsSigningKeyGenerated { public_key, .. }) => {
                names.push((key(Index::PublicKey, None, public_key.as_str().to_owned()), true));
            }
            Self::Assignment(facts) => {
                let scope = facts.scope.as_ref().map(ToString::to_string).unwrap_or_default();
                let pair = format!("{} {} {scope}", facts.role_id, facts.person_id);
                names.push((key(Index::Pair, None, pair), true));
            }
            Self::Recipient(facts) => names.push((NameKey::compartment(&facts.compartment), false)),
            Self::Attestation(facts) => names.push((NameKey::attested(&facts.event), false)),
            Self::Relationship(facts) => {
                let pair = format!("{} {} {}", facts.kind, facts.subject, facts.object);
                names.push((key(Index::Pair, None, pair), true));
            }
            _ => {}
        }
        names
    }

    /// The entities that it refers to, each once.
    #[must_use]
    pub fn refers_to(&self) -> Vec<EntityRef> {
        let mut refs: Vec<EntityRef> = self.organization().map(Into::into).into_iter().collect();
        refs.extend(self.parent());
        match self {
            Self::Person(facts) => {
                refs.extend(facts.unit_id.map(EntityRef::from));
                refs.extend(facts.location_id.map(EntityRef::from));
            }
            Self::Role(facts) => refs.extend(facts.excludes.iter().map(|&id| EntityRef::from(id))),
            Self::Assignment(facts) => {
                refs.push(facts.role_id.into());
                refs.push(facts.person_id.into());
                refs.extend(facts.scope.as_ref().and_then(EntityRef::party));
            }
            Self::Relationship(facts) => {
                refs.extend(EntityRef::party(&facts.subject));
                refs.extend(EntityRef::party(&facts.object));
            }
            Self::Key(facts) => {
                refs.extend(EntityRef::party(&facts.owner));
                refs.extend(facts.location_id.map(EntityRef::from));
                refs.extend(facts.successor_id.map(EntityRef::from));
            }
            Self::Recipient(facts) => refs.extend(facts.holder.as_ref().and_then(EntityRef::party)),
            Self::Operator(facts) => refs.push(facts.operator.key_id.into()),
            Self::Account(facts) => {
                refs.extend([EntityRef::from(facts.account.operator_id), facts.account.key_id.into()]);
            }
            Self::User(facts) => {
                refs.extend([EntityRef::from(facts.user.account_id), facts.user.key_id.into()]);
                refs.extend(facts.user.owner.as_ref().and_then(EntityRef::party));
            }
            Self::SigningKey(facts) => refs.extend([EntityRef::holder(&facts.holder), facts.key_id.into()]),
            Self::Ledger(_)
            | Self::Organization(_)
            | Self::Unit(_)
            | Self::Location(_)
            | Self::Policy(_)
            | Self::Manifest(_)
            | Self::Attestation(_)
            | Self::SignatureRequirement(_) => {}
        }
        let mut seen = std::collections::BTreeSet::new();
        refs.retain(|&reference| seen.insert(reference));
        refs
    }
}

impl Entity {
    /// Which entity it is.
    #[must_use]
    pub fn entity_ref(&self) -> EntityRef {
        self.facts.entity_ref()
    }

    /// Whether it has not ended.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    /// `active`, or how it ended.
    #[must_use]
    pub fn status(&self) -> &'static str {
        self.ended.as_ref().map_or("active", |ended| ended.how.as_str())
    }

    /// As messages name it: `person "Kim Lee"`, or with its identifier where it has no name. What people gave is made
    /// visible.
    #[must_use]
    pub fn label(&self) -> String {
        let reference = self.entity_ref();
        match self.facts.name() {
            Some(name) => format!("{} \"{}\"", reference.kind, crate::text::visible(name.as_str())),
            None => reference.to_string(),
        }
    }

    /// Under what it can be found, and whether it holds that name, so that no other may take it. What has ended gives its
    /// names up, but a public key is never taken again.
    pub(crate) fn names(&self) -> impl Iterator<Item = (NameKey, bool)> {
        let active = self.is_active();
        self.facts.names().into_iter().map(move |(key, unique)| {
            let held = unique && (active || key.index == Index::PublicKey);
            (key, held)
        })
    }
}
