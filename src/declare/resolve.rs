//! Names of the file, replaced by identifiers.

use uuid::Uuid;

use super::manifest::{EntryName, Manifest, PartyRef};
use super::path::{EntryPath, Ids, UnknownEntry};
use crate::events::Party;
use crate::ids::{LocationId, OrganizationId, PersonId, RoleId, UnitId};

/// One manifest with one set of identifiers.
#[derive(Clone, Copy)]
pub(crate) struct Resolve<'m> {
    pub(crate) manifest: &'m Manifest,
    pub(crate) ids: &'m Ids,
}

impl Resolve<'_> {
    /// The identifier of an entry.
    pub(super) fn id(&self, path: EntryPath) -> Result<Uuid, UnknownEntry> {
        self.ids.of(path)
    }

    pub(super) fn organization(&self) -> Result<OrganizationId, UnknownEntry> {
        self.id(EntryPath::Organization).map(OrganizationId::from_uuid)
    }

    pub(super) fn location(&self, name: Option<&EntryName>) -> Result<Option<LocationId>, UnknownEntry> {
        name.map(|name| self.id(EntryPath::Location(name.clone())).map(LocationId::from_uuid)).transpose()
    }

    pub(super) fn unit(&self, name: Option<&EntryName>) -> Result<Option<UnitId>, UnknownEntry> {
        name.map(|name| self.id(EntryPath::Unit(name.clone())).map(UnitId::from_uuid)).transpose()
    }

    pub(super) fn role(&self, name: &EntryName) -> Result<RoleId, UnknownEntry> {
        self.id(EntryPath::Role(name.clone())).map(RoleId::from_uuid)
    }

    pub(super) fn person(&self, name: &EntryName) -> Result<PersonId, UnknownEntry> {
        self.id(EntryPath::Person(name.clone())).map(PersonId::from_uuid)
    }

    /// The party that a file names.
    pub(super) fn party(&self, party: &PartyRef) -> Result<Party, UnknownEntry> {
        Ok(match party {
            PartyRef::Organization => Party::Organization(self.organization()?),
            PartyRef::Unit(name) => Party::Unit(UnitId::from_uuid(self.id(EntryPath::Unit(name.clone()))?)),
            PartyRef::Person(name) => Party::Person(self.person(name)?),
            PartyRef::Role(name) => Party::Role(self.role(name)?),
            PartyRef::Service(name) => Party::Service(name.clone()),
        })
    }
}
