//! The entries of a manifest as the ledger would hold them: names of the file replaced by identifiers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fields::{self, Fields, json};
use super::manifest::{EntryName, Key, Manifest};
use super::nats;
use super::path::{EntryPath, UnknownEntry};
use super::resolve::Resolve;
use crate::events::{
    LocationCreated, OrganizationCreated, OrganizationalUnitCreated, PersonCreated, PolicyCreated,
    RelationshipEstablished, RelationshipKind, RoleAssigned, RoleCreated,
};
use crate::ids::{LocationId, OrganizationId, PersonId, PolicyId, RelationshipId, RoleAssignmentId, RoleId, UnitId};
use crate::ledger::Facts;
use crate::text::Note;

/// One entry of a manifest.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: EntryPath,
    /// What people call it.
    pub(super) title: String,
    pub(super) fields: Fields,
    /// Why the person left, when the file says so.
    pub(super) left: Option<Note>,
}

/// The paths of all entries, in the order in which they can be made.
pub(super) fn paths(manifest: &Manifest) -> Vec<EntryPath> {
    let above = |name: Option<&EntryName>| name.into_iter().cloned().collect::<Vec<_>>();
    let mut paths = vec![EntryPath::Organization];
    paths.extend(ordered(&manifest.locations, |it| above(it.within.as_ref())).map(EntryPath::Location));
    paths.extend(ordered(&manifest.units, |it| above(it.parent.as_ref())).map(EntryPath::Unit));
    paths.extend(ordered(&manifest.roles, |it| it.excludes.clone()).map(EntryPath::Role));
    paths.extend(manifest.people.keys().cloned().map(EntryPath::Person));
    paths.extend(manifest.assignments.keys().cloned().map(EntryPath::Assignment));
    paths.extend(manifest.policies.keys().cloned().map(EntryPath::Policy));
    let relationships = manifest.relationships.iter();
    paths.extend(relationships.map(|(name, it)| match it.kind {
        RelationshipKind::DelegatesTo => EntryPath::Delegation(name.clone()),
        _ => EntryPath::Relationship(name.clone()),
    }));
    paths.extend(manifest.keys.keys().cloned().map(EntryPath::Key));
    paths.extend(nats::paths(manifest).into_iter().map(EntryPath::Nats));
    paths
}

/// Names in an order in which each comes after those that it needs. What stands in a circle comes last.
pub(super) fn ordered<T>(
    section: &BTreeMap<EntryName, T>,
    needs: impl Fn(&T) -> Vec<EntryName>,
) -> impl Iterator<Item = EntryName> {
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
                order.push(name.clone());
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
    order.into_iter()
}

/// The key at a path.
pub(super) fn key<'m>(manifest: &'m Manifest, path: &EntryPath) -> Option<&'m Key> {
    match path {
        EntryPath::Key(name) => manifest.keys.get(name),
        _ => None,
    }
}

/// What the ledger would hold of the entry at a path, under the identifier that the path has; `None` where the manifest has no
/// such entry. Keys have no facts before they are made, and what stands under `[nats]` has claims: see [`entry`].
pub(super) fn facts(resolve: Resolve<'_>, path: &EntryPath) -> Result<Option<Facts>, UnknownEntry> {
    let Resolve { manifest, .. } = resolve;
    let id = || resolve.id(path.clone());
    Ok(Some(match path {
        EntryPath::Organization => {
            let it = manifest.organization.clone();
            let organization_id = OrganizationId::from_uuid(id()?);
            let (name, domain, description) = (it.name, it.domain, it.description);
            Facts::Organization(OrganizationCreated { organization_id, name, domain, description })
        }
        EntryPath::Location(entry) => {
            let Some(it) = manifest.locations.get(entry).cloned() else { return Ok(None) };
            Facts::Location(LocationCreated {
                location_id: LocationId::from_uuid(id()?),
                organization_id: resolve.organization()?,
                parent_id: resolve.location(it.within.as_ref())?,
                name: it.name,
                kind: it.kind,
                address: it.address,
                description: it.description,
            })
        }
        EntryPath::Unit(entry) => {
            let Some(it) = manifest.units.get(entry).cloned() else { return Ok(None) };
            Facts::Unit(OrganizationalUnitCreated {
                unit_id: UnitId::from_uuid(id()?),
                organization_id: resolve.organization()?,
                parent_id: resolve.unit(it.parent.as_ref())?,
                name: it.name,
                description: it.description,
            })
        }
        EntryPath::Person(entry) => {
            let Some(it) = manifest.people.get(entry).cloned() else { return Ok(None) };
            Facts::Person(PersonCreated {
                person_id: PersonId::from_uuid(id()?),
                organization_id: resolve.organization()?,
                unit_id: resolve.unit(it.unit.as_ref())?,
                location_id: resolve.location(it.location.as_ref())?,
                name: it.name,
                email: it.email,
                title: it.title,
            })
        }
        EntryPath::Role(entry) => {
            let Some(it) = manifest.roles.get(entry).cloned() else { return Ok(None) };
            Facts::Role(RoleCreated {
                role_id: RoleId::from_uuid(id()?),
                organization_id: resolve.organization()?,
                name: it.name,
                description: it.description,
                permissions: it.permissions.into_iter().collect(),
                excludes: it.excludes.iter().map(|name| resolve.role(name)).collect::<Result<_, _>>()?,
            })
        }
        EntryPath::Assignment(entry) => {
            let Some(it) = manifest.assignments.get(entry) else { return Ok(None) };
            Facts::Assignment(RoleAssigned {
                assignment_id: RoleAssignmentId::from_uuid(id()?),
                role_id: resolve.role(&it.role)?,
                person_id: resolve.person(&it.person)?,
                scope: it.scope.as_ref().map(|scope| resolve.party(scope)).transpose()?,
                validity: it.validity,
            })
        }
        EntryPath::Policy(entry) => {
            let Some(it) = manifest.policies.get(entry).cloned() else { return Ok(None) };
            Facts::Policy(PolicyCreated {
                policy_id: PolicyId::from_uuid(id()?),
                organization_id: resolve.organization()?,
                name: it.name,
                format: it.format,
                document: it.document,
                validity: it.validity,
            })
        }
        EntryPath::Delegation(entry) | EntryPath::Relationship(entry) => {
            let Some(it) = manifest.relationships.get(entry) else { return Ok(None) };
            Facts::Relationship(RelationshipEstablished {
                relationship_id: RelationshipId::from_uuid(id()?),
                kind: it.kind,
                subject: resolve.party(&it.subject)?,
                object: resolve.party(&it.object)?,
                permissions: it.permissions.iter().cloned().collect(),
                validity: it.validity,
                note: it.note.clone(),
            })
        }
        EntryPath::Key(_) | EntryPath::Nats(_) => return Ok(None),
    }))
}

/// The entry at a path; `None` where the manifest has none.
pub(super) fn entry(resolve: Resolve<'_>, path: &EntryPath) -> Result<Option<Entry>, UnknownEntry> {
    let found = match path {
        EntryPath::Nats(path) => nats::entry(resolve, path)?,
        EntryPath::Key(_) => match key(resolve.manifest, path) {
            Some(key) => Some(key_fields(resolve, key)?).map(|fields| (title(resolve.manifest, path, &fields), fields)),
            None => None,
        },
        _ => facts(resolve, path)?.map(|facts| {
            let fields = fields::of_facts(&facts);
            (title(resolve.manifest, path, &fields), fields)
        }),
    };
    let left = match path {
        EntryPath::Person(name) => resolve.manifest.people.get(name).and_then(|person| person.left.clone()),
        _ => None,
    };
    Ok(found.map(|(title, fields)| Entry { path: path.clone(), title, fields, left }))
}

/// What people call an entry.
fn title(manifest: &Manifest, path: &EntryPath, fields: &Fields) -> String {
    let titled = match path {
        EntryPath::Assignment(name) => manifest.assignments.get(name).map(|it| match &it.scope {
            Some(scope) => format!("{} for {} in {scope}", it.role, it.person),
            None => format!("{} for {}", it.role, it.person),
        }),
        EntryPath::Delegation(name) | EntryPath::Relationship(name) => {
            manifest.relationships.get(name).map(|it| format!("{} {} {}", it.subject, it.kind, it.object))
        }
        _ => fields.get("name").and_then(Value::as_str).map(ToOwned::to_owned),
    };
    titled.unwrap_or_else(|| path.name())
}

fn key_fields(resolve: Resolve<'_>, key: &Key) -> Result<Fields, UnknownEntry> {
    let mut fields = Fields::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("name", json(&key.name));
    put("algorithm", json(&key.algorithm));
    put("purpose", json(&key.purpose));
    put("owner", json(&resolve.party(&key.owner)?));
    put("compartment", json(&key.compartment));
    put("validity", json(&key.validity));
    if let Some(location) = resolve.location(key.location.as_ref())? {
        put("location_id", json(&location));
    }
    Ok(fields)
}
