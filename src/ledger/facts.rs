//! What is known of entities: the attributes of their last creating or updating event, and what else events said.

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::cid_text;
use super::nats::{AccountFacts, OperatorFacts, TokenFacts, UserFacts};
use super::reference::{EntityRef, Index, NameKey};
use crate::events::{
    KeyAlgorithm, KeyEncoding, KeyPurpose, LedgerRelation, LocationCreated, ManifestApplied, NatsAccountCreated,
    NatsOperatorCreated, NatsSigningKeyGenerated, NatsUserCreated, OrganizationCreated, OrganizationalUnitCreated,
    Party, PersonCreated, PolicyCreated, RelationshipEstablished, RevocationReason, RoleAssigned, RoleCreated,
    SignaturesRequired, Validity,
};
use crate::ids::{KeyId, LedgerId, LocationId, OrganizationId};
use crate::text::{Label, Name, Note, PublicKey, Recipient};
use crate::time::Timestamp;

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

/// What is known of a signature over an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationFacts {
    /// The event.
    #[serde(with = "cid_text")]
    pub event: Cid,
    /// Who signed.
    pub signer: Party,
    /// With which key.
    pub key_id: KeyId,
    /// Of the signature.
    pub algorithm: KeyAlgorithm,
    /// Whether the key could speak for the signer when the signature was recorded.
    pub standing: Standing,
}

/// Whether a key can speak for a person. Nothing that happens later changes what it was when a signature was recorded: a
/// key that is revoked later still validates what it signed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// It is the signer's own, in force, and no other person opens it.
    Good,
    /// The event that was signed is not among the causes.
    NotACause,
    /// The signer is no person.
    NotAPerson,
    /// The person is not recorded, or not active.
    Inactive,
    /// The key is not recorded.
    UnknownKey,
    /// The key belongs to another party.
    OtherOwner,
    /// The key is not for signing acts.
    OtherPurpose,
    /// The key is of another algorithm than the signature, or of one that signs no acts.
    OtherAlgorithm,
    /// The key was revoked before.
    Revoked,
    /// The key was replaced before, and its time beside its successor is over.
    Retired,
    /// The key's validity has not begun, or is over.
    OutsideValidity,
    /// Others than the signer open the compartment that holds the key, or may.
    Shared,
    /// The private half has left custody.
    LeftCustody,
    /// The private half lay unencrypted before it was imported.
    WasPlaintext,
}

impl Standing {
    /// Whether a signature counts.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Good)
    }

    /// As messages have it, after "the key".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "is in force and the signer's own",
            Self::NotACause => "signed an event that is not among the causes of the signature",
            Self::NotAPerson => "does not belong to a person",
            Self::Inactive => "belongs to a person who is not active",
            Self::UnknownKey => "is not recorded",
            Self::OtherOwner => "belongs to another party",
            Self::OtherPurpose => "is not for signing acts",
            Self::OtherAlgorithm => "is of another algorithm than the signature, or of one that signs no acts",
            Self::Revoked => "was revoked before",
            Self::Retired => "was replaced before",
            Self::OutsideValidity => "is outside its validity",
            Self::Shared => "lies in a compartment that others open, or may",
            Self::LeftCustody => "has left custody",
            Self::WasPlaintext => "lay unencrypted before it was imported",
        }
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

    /// The token of an operator, account or user; they have one slot for it.
    pub(super) fn token_mut(&mut self) -> Option<&mut Option<TokenFacts>> {
        match self {
            Self::Operator(facts) => Some(&mut facts.token),
            Self::Account(facts) => Some(&mut facts.token),
            Self::User(facts) => Some(&mut facts.token),
            _ => None,
        }
    }
}
