//! Looking entities up.

use cid::Cid;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entity::{Entity, EntityRef, Kind};

/// A lookup failed: the tables could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the ledger's entities can't be read: {0}")]
pub struct ViewError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl ViewError {
    /// Wraps what went wrong.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// By what an entity can be found, beside its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Index {
    /// Its folded name ([`crate::text::Name::folded`]).
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
    pub fn name(kind: Kind, scope: Option<crate::ids::OrganizationId>, name: &crate::text::Name) -> Self {
        Self { kind, index: Index::Name, scope: scope.map(|id| *id.as_uuid()), key: name.folded() }
    }

    /// A person's e-mail address.
    #[must_use]
    pub fn email(email: &crate::text::EmailAddress) -> Self {
        Self { kind: Kind::Person, index: Index::Email, scope: None, key: email.as_str().to_ascii_lowercase() }
    }

    /// A key's public half.
    #[must_use]
    pub fn public_key(key: &crate::text::PublicKey) -> Self {
        Self { kind: Kind::Key, index: Index::PublicKey, scope: None, key: key.as_str().to_owned() }
    }

    /// The recipients of a custody compartment.
    #[must_use]
    pub fn compartment(compartment: &crate::text::Label) -> Self {
        Self { kind: Kind::Recipient, index: Index::Name, scope: None, key: compartment.as_str().to_owned() }
    }

    /// The signatures over an event.
    #[must_use]
    pub fn attested(event: &Cid) -> Self {
        Self { kind: Kind::Attestation, index: Index::Event, scope: None, key: event.to_string() }
    }
}

/// What is recorded, as far as a decision needs it. Every method is a lookup that does not depend on how much there is.
pub trait View {
    /// The entity, ended or not.
    fn get(&self, entity: EntityRef) -> Result<Option<Entity>, ViewError>;

    /// The entities under a key, at most `limit`: first those that hold the name, then those that ended, the newest
    /// identifier first.
    fn find(&self, key: &NameKey, limit: usize) -> Result<Vec<Entity>, ViewError>;

    /// Up to `limit` entities of a kind, ended ones too, in order of their identifier, from the first above `after`.
    fn list(&self, kind: Kind, after: Option<Uuid>, limit: usize) -> Result<Vec<Entity>, ViewError>;

    /// Up to `limit` entities of a kind that refer to one, ended ones too, in order of their identifier, from the first
    /// above `after`.
    fn referrers(&self, to: EntityRef, kind: Kind, after: Option<Uuid>, limit: usize)
    -> Result<Vec<Entity>, ViewError>;

    /// The entities that a recorded event concerns; for an event that is not known here, those that it marked.
    fn concerned_by(&self, event: &Cid) -> Result<Vec<EntityRef>, ViewError>;
}

/// What an event does to one entity.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // nearly every change is a put
pub enum Change {
    /// It is this from now on.
    Put(Entity),
    /// It is no longer known.
    Remove(EntityRef),
}

impl Change {
    /// Which entity it changes.
    #[must_use]
    pub fn entity_ref(&self) -> EntityRef {
        match self {
            Self::Put(entity) => entity.entity_ref(),
            Self::Remove(reference) => *reference,
        }
    }
}

/// How many entities the walks below fetch at a time.
const PAGE: usize = 256;

/// All entities of a kind that refer to one, page by page, until `visit` answers with something.
pub(super) fn each_referrer<T>(
    view: &dyn View,
    to: EntityRef,
    kind: Kind,
    mut visit: impl FnMut(Entity) -> Result<Option<T>, ViewError>,
) -> Result<Option<T>, ViewError> {
    let mut after = None;
    loop {
        let page = view.referrers(to, kind, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(None) };
        after = Some(last.entity_ref().id);
        let full = page.len() == PAGE;
        for entity in page {
            if let Some(found) = visit(entity)? {
                return Ok(Some(found));
            }
        }
        if !full {
            return Ok(None);
        }
    }
}
