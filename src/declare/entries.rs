//! The entries of a manifest as the ledger would hold them: names of the file replaced by identifiers.
//!
//! An entry's attributes are the JSON of the event that would create it, without its own identifier. In that form what
//! the file says, what the last file said, and what is recorded are compared attribute by attribute.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::manifest::{EntryName, Key, Manifest, PartyRef};
use crate::events::{
    LocationCreated, OrganizationCreated, OrganizationalUnitCreated, Party, PersonCreated, PolicyCreated,
    RelationshipEstablished, RelationshipKind, RoleAssigned, RoleCreated,
};
use crate::ids::{LocationId, OrganizationId, PersonId, PolicyId, RelationshipId, RoleAssignmentId, RoleId, UnitId};
use crate::ledger::{Facts, Kind};
use crate::text::Note;

/// Attributes by name, as events have them.
pub type Fields = Map<String, Value>;

/// Which identifier an entry has, by its path (`people.ada`).
pub(crate) type Ids = BTreeMap<String, Uuid>;

/// One entry of a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// `people.ada`
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// What people call it.
    pub(crate) title: String,
    pub(crate) fields: Fields,
    /// Why the person left, when the file says so.
    pub(crate) left: Option<Note>,
}

/// The paths of all entries, in the order in which they can be made.
pub(crate) fn paths(manifest: &Manifest) -> Vec<(Kind, String)> {
    let mut paths = vec![(Kind::Organization, "organization".to_owned())];
    let mut section = |kind: Kind, section: &str, names: Vec<String>| {
        paths.extend(names.into_iter().map(|name| (kind, format!("{section}.{name}"))));
    };
    let above = |name: Option<&EntryName>| name.into_iter().cloned().collect::<Vec<_>>();
    section(Kind::Location, "locations", ordered(&manifest.locations, |it| above(it.within.as_ref())));
    section(Kind::Unit, "units", ordered(&manifest.units, |it| above(it.parent.as_ref())));
    section(Kind::Role, "roles", ordered(&manifest.roles, |it| it.excludes.clone()));
    section(Kind::Person, "people", ordered(&manifest.people, |_| Vec::new()));
    section(Kind::Assignment, "assignments", manifest.assignments.keys().cloned().collect());
    section(Kind::Policy, "policies", ordered(&manifest.policies, |_| Vec::new()));
    for (name, relationship) in &manifest.relationships {
        paths.push((Kind::Relationship, format!("{}.{name}", relationship_section(relationship.kind))));
    }
    paths.extend(manifest.keys.keys().map(|name| (Kind::Key, format!("keys.{name}"))));
    paths.extend(super::nats::paths(manifest));
    paths
}

/// Names in an order in which each comes after those that it needs. What stands in a circle comes last.
pub(crate) fn ordered<T>(section: &BTreeMap<EntryName, T>, needs: impl Fn(&T) -> Vec<EntryName>) -> Vec<String> {
    let mut done: BTreeSet<&EntryName> = BTreeSet::new();
    let mut order = Vec::with_capacity(section.len());
    // A stack of its own: a long chain of parents must not exhaust the thread's.
    for start in section.keys() {
        let mut stack = vec![(start, false)];
        let mut entered: BTreeSet<&EntryName> = BTreeSet::new();
        while let Some((name, needs_done)) = stack.pop() {
            if done.contains(name) {
                continue;
            }
            if needs_done || !entered.insert(name) {
                done.insert(name);
                order.push(name.to_string());
                continue;
            }
            stack.push((name, true));
            for need in section.get(name).map(&needs).unwrap_or_default() {
                if let Some((need, _)) = section.get_key_value(&need)
                    && !done.contains(need)
                    && !entered.contains(need)
                {
                    stack.push((need, false));
                }
            }
        }
    }
    order
}

pub(crate) const fn relationship_section(kind: RelationshipKind) -> &'static str {
    match kind {
        RelationshipKind::DelegatesTo => "delegations",
        _ => "relationships",
    }
}

/// Resolves one manifest with one set of identifiers.
pub(crate) struct Resolve<'m> {
    pub(crate) manifest: &'m Manifest,
    pub(crate) ids: &'m Ids,
}

impl Resolve<'_> {
    /// The identifier of a path; the nil UUID, which nothing has, for one that has none.
    pub(crate) fn id(&self, path: &str) -> Uuid {
        self.ids.get(path).copied().unwrap_or_default()
    }

    fn named(&self, section: &str, name: &EntryName) -> Uuid {
        self.id(&format!("{section}.{name}"))
    }

    fn organization(&self) -> OrganizationId {
        OrganizationId::from_uuid(self.id("organization"))
    }

    fn location(&self, name: Option<&EntryName>) -> Option<LocationId> {
        name.map(|name| LocationId::from_uuid(self.named("locations", name)))
    }

    fn unit(&self, name: Option<&EntryName>) -> Option<UnitId> {
        name.map(|name| UnitId::from_uuid(self.named("units", name)))
    }

    pub(crate) fn party(&self, party: &PartyRef) -> Party {
        match party {
            PartyRef::Organization => Party::Organization(self.organization()),
            PartyRef::Unit(name) => Party::Unit(UnitId::from_uuid(self.named("units", name))),
            PartyRef::Person(name) => Party::Person(PersonId::from_uuid(self.named("people", name))),
            PartyRef::Role(name) => Party::Role(RoleId::from_uuid(self.named("roles", name))),
            PartyRef::Service(name) => Party::Service(name.clone()),
        }
    }

    /// What the ledger would hold of the entry at a path, under the identifier that the path has. Keys have no facts
    /// before they are made: see [`Resolve::entry`].
    pub(crate) fn facts(&self, path: &str) -> Option<Facts> {
        let (section, name) = path.split_once('.').unwrap_or((path, ""));
        let entry = EntryName::new(name).ok();
        let (id, manifest, organization_id) = (self.id(path), self.manifest, self.organization());
        Some(match section {
            "organization" => {
                let it = manifest.organization.clone();
                let organization_id = OrganizationId::from_uuid(id);
                let (name, domain, description) = (it.name, it.domain, it.description);
                Facts::Organization(OrganizationCreated { organization_id, name, domain, description })
            }
            "locations" => {
                let it = manifest.locations.get(&entry?)?.clone();
                Facts::Location(LocationCreated {
                    location_id: LocationId::from_uuid(id),
                    organization_id,
                    parent_id: self.location(it.within.as_ref()),
                    name: it.name,
                    kind: it.kind,
                    address: it.address,
                    description: it.description,
                })
            }
            "units" => {
                let it = manifest.units.get(&entry?)?.clone();
                Facts::Unit(OrganizationalUnitCreated {
                    unit_id: UnitId::from_uuid(id),
                    organization_id,
                    parent_id: self.unit(it.parent.as_ref()),
                    name: it.name,
                    description: it.description,
                })
            }
            "people" => {
                let it = manifest.people.get(&entry?)?.clone();
                Facts::Person(PersonCreated {
                    person_id: PersonId::from_uuid(id),
                    organization_id,
                    unit_id: self.unit(it.unit.as_ref()),
                    location_id: self.location(it.location.as_ref()),
                    name: it.name,
                    email: it.email,
                    title: it.title,
                })
            }
            "roles" => {
                let it = manifest.roles.get(&entry?)?.clone();
                let excludes = it.excludes.iter().map(|name| RoleId::from_uuid(self.named("roles", name)));
                Facts::Role(RoleCreated {
                    role_id: RoleId::from_uuid(id),
                    organization_id,
                    name: it.name,
                    description: it.description,
                    permissions: it.permissions.into_iter().collect(),
                    excludes: excludes.collect(),
                })
            }
            "assignments" => {
                let it = manifest.assignments.get(name)?;
                Facts::Assignment(RoleAssigned {
                    assignment_id: RoleAssignmentId::from_uuid(id),
                    role_id: RoleId::from_uuid(self.named("roles", &it.role)),
                    person_id: PersonId::from_uuid(self.named("people", &it.person)),
                    scope: it.scope.as_ref().map(|scope| self.party(scope)),
                    validity: it.validity,
                })
            }
            "policies" => {
                let it = manifest.policies.get(&entry?)?.clone();
                Facts::Policy(PolicyCreated {
                    policy_id: PolicyId::from_uuid(id),
                    organization_id,
                    name: it.name,
                    format: it.format,
                    document: it.document,
                    validity: it.validity,
                })
            }
            "delegations" | "relationships" => {
                let it = manifest.relationships.get(&entry?)?;
                Facts::Relationship(RelationshipEstablished {
                    relationship_id: RelationshipId::from_uuid(id),
                    kind: it.kind,
                    subject: self.party(&it.subject),
                    object: self.party(&it.object),
                    permissions: it.permissions.iter().cloned().collect(),
                    validity: it.validity,
                    note: it.note.clone(),
                })
            }
            _ => return None,
        })
    }

    /// The key at a path.
    pub(crate) fn key(&self, path: &str) -> Option<&Key> {
        self.manifest.keys.get(&EntryName::new(path.strip_prefix("keys.")?).ok()?)
    }

    /// The entry at a path.
    pub(crate) fn entry(&self, kind: Kind, path: &str) -> Option<Entry> {
        if super::nats::is_ours(kind) {
            let (fields, title) = super::nats::entry(self, path)?;
            return Some(Entry { path: path.to_owned(), kind, title, fields, left: None });
        }
        let (fields, left) = match kind {
            Kind::Key => (self.key_fields(self.key(path)?), None),
            _ => {
                let left = path.strip_prefix("people.").and_then(|name| EntryName::new(name).ok());
                let left = left.and_then(|name| self.manifest.people.get(&name)?.left.clone());
                (fields_of(&self.facts(path)?), left)
            }
        };
        Some(Entry { path: path.to_owned(), kind, title: self.title(kind, path, &fields), fields, left })
    }

    fn title(&self, kind: Kind, path: &str, fields: &Fields) -> String {
        let (_, name) = path.split_once('.').unwrap_or((path, ""));
        match kind {
            Kind::Assignment => match self.manifest.assignments.get(name) {
                Some(it) => match &it.scope {
                    Some(scope) => format!("{} for {} in {scope}", it.role, it.person),
                    None => format!("{} for {}", it.role, it.person),
                },
                None => name.to_owned(),
            },
            Kind::Relationship => {
                let it = EntryName::new(name).ok().and_then(|name| self.manifest.relationships.get(&name));
                it.map_or_else(|| name.to_owned(), |it| format!("{} {} {}", it.subject, it.kind, it.object))
            }
            _ => fields.get("name").and_then(Value::as_str).unwrap_or(name).to_owned(),
        }
    }

    fn key_fields(&self, key: &Key) -> Fields {
        let mut fields = Fields::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("name", json(&key.name));
        put("algorithm", json(&key.algorithm));
        put("purpose", json(&key.purpose));
        put("owner", json(&self.party(&key.owner)));
        put("compartment", json(&key.compartment));
        put("validity", json(&key.validity));
        if let Some(location) = self.location(key.location.as_ref()) {
            put("location_id", json(&location));
        }
        fields
    }
}

/// The attributes of what is recorded, in the form of [`Entry::fields`].
pub(crate) fn fields_of(facts: &Facts) -> Fields {
    match facts {
        Facts::Organization(it) => without(it, "organization_id"),
        Facts::Location(it) => without(it, "location_id"),
        Facts::Unit(it) => without(it, "unit_id"),
        Facts::Person(it) => without(it, "person_id"),
        Facts::Role(it) => without(it, "role_id"),
        Facts::Assignment(it) => without(it, "assignment_id"),
        Facts::Policy(it) => without(it, "policy_id"),
        Facts::Relationship(it) => without(it, "relationship_id"),
        Facts::Key(it) => {
            let mut fields = without(it, "key_id");
            let compared = ["name", "algorithm", "purpose", "owner", "compartment", "validity", "location_id"];
            fields.retain(|name, _| compared.contains(&name.as_str()));
            fields
        }
        _ => Fields::new(),
    }
}

fn without(event: &impl Serialize, id: &str) -> Fields {
    match json(event) {
        Value::Object(mut fields) => {
            fields.remove(id);
            fields
        }
        _ => Fields::new(),
    }
}

/// Events are maps of texts, numbers, lists and maps: they always are JSON.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
