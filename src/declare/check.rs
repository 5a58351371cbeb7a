//! What must hold between the entries of one file: names that exist, no circles, nothing said twice.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::ordered;
use super::manifest::{EntryName, Key, Manifest, PartyRef};
use super::nats;
use super::reader::{Reader, listed};
use crate::events::{KeyAlgorithm, KeyPurpose, NkeyKind};
use crate::text::nearest;

pub(super) fn check(manifest: &Manifest, reader: &mut Reader) {
    let mut check = Check { manifest, reader };
    check.references();
    check.circles();
    check.twice();
    check.assignments();
    check.keys();
    nats::check(manifest, check.reader, |reader, path, party| {
        Check { manifest, reader }.party(&format!("{path}.owner"), party);
    });
}

struct Check<'c> {
    manifest: &'c Manifest,
    reader: &'c mut Reader,
}

impl Check<'_> {
    fn exists<'k>(
        &mut self,
        path: &str,
        section: &str,
        name: &EntryName,
        names: impl Iterator<Item = &'k EntryName> + Clone,
    ) {
        // An entry that stands there with problems of its own was left out of the manifest; it is there all the same.
        if names.clone().any(|known| known == name) || self.reader.knows(&format!("{section}.{name}")) {
            return;
        }
        let advice = match nearest(name.as_str(), names.clone().map(EntryName::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if names.clone().count() <= 12 => format!("[{section}] has {}", listed(names.map(EntryName::as_str))),
            None => format!("write [{section}.{name}] or name one that is there"),
        };
        self.reader.report_at(path, format!("{path}: there is no [{section}.{name}]; {advice}"));
    }

    fn party(&mut self, path: &str, party: &PartyRef) {
        let manifest = self.manifest;
        match party {
            PartyRef::Organization | PartyRef::Service(_) => {}
            PartyRef::Unit(name) => self.exists(path, "units", name, manifest.units.keys()),
            PartyRef::Person(name) => self.exists(path, "people", name, manifest.people.keys()),
            PartyRef::Role(name) => self.exists(path, "roles", name, manifest.roles.keys()),
        }
    }

    fn references(&mut self) {
        let manifest = self.manifest;
        for (name, location) in &manifest.locations {
            if let Some(within) = &location.within {
                self.exists(&format!("locations.{name}.within"), "locations", within, manifest.locations.keys());
            }
        }
        for (name, unit) in &manifest.units {
            if let Some(parent) = &unit.parent {
                self.exists(&format!("units.{name}.parent"), "units", parent, manifest.units.keys());
            }
        }
        for (name, person) in &manifest.people {
            if let Some(unit) = &person.unit {
                self.exists(&format!("people.{name}.unit"), "units", unit, manifest.units.keys());
            }
            if let Some(location) = &person.location {
                self.exists(&format!("people.{name}.location"), "locations", location, manifest.locations.keys());
            }
        }
        for (name, role) in &manifest.roles {
            for other in &role.excludes {
                self.exists(&format!("roles.{name}.excludes"), "roles", other, manifest.roles.keys());
            }
        }
        for (name, assignment) in &manifest.assignments {
            let path = format!("assignments.{name}");
            self.exists(&format!("{path}.person"), "people", &assignment.person, manifest.people.keys());
            self.exists(&format!("{path}.role"), "roles", &assignment.role, manifest.roles.keys());
            if let Some(scope) = &assignment.scope {
                self.party(&format!("{path}.scope"), scope);
            }
        }
        for (name, relationship) in &manifest.relationships {
            let (section, from, to) = match relationship.kind {
                crate::events::RelationshipKind::DelegatesTo => ("delegations", "from", "to"),
                _ => ("relationships", "subject", "object"),
            };
            self.party(&format!("{section}.{name}.{from}"), &relationship.subject);
            self.party(&format!("{section}.{name}.{to}"), &relationship.object);
            if relationship.subject == relationship.object {
                let path = format!("{section}.{name}.{to}");
                self.reader.report_at(&path, format!("{path}: a party stands in no relationship to itself"));
            }
        }
        for (name, key) in &manifest.keys {
            self.party(&format!("keys.{name}.owner"), &key.owner);
            if let Some(location) = &key.location {
                self.exists(&format!("keys.{name}.location"), "locations", location, manifest.locations.keys());
            }
        }
    }

    fn circles(&mut self) {
        let manifest = self.manifest;
        let locations = manifest.locations.iter().map(|(name, it)| (name, it.within.as_ref())).collect();
        self.no_circle("locations", "within", &locations);
        let units = manifest.units.iter().map(|(name, it)| (name, it.parent.as_ref())).collect();
        self.no_circle("units", "parent", &units);
        // Exclusion counts both ways, so that saying it once is enough; a role is recorded after those that it excludes.
        let order = ordered(&manifest.roles, |role| role.excludes.clone());
        let place: BTreeMap<EntryName, usize> = order.enumerate().map(|(place, name)| (name, place)).collect();
        for (name, role) in &manifest.roles {
            let later = |other: &&EntryName| place.get(*other) >= place.get(name);
            if let Some(other) = role.excludes.iter().find(|other| manifest.roles.contains_key(*other) && later(other))
            {
                let path = format!("roles.{name}.excludes");
                let message = format!(
                    "{path}: {name} and {other} exclude each other in a circle; \
                     it counts both ways, so say it at one of them only"
                );
                self.reader.report_at(&path, message);
            }
        }
    }

    /// Follows each chain upward once: entries that are known to end are not walked again.
    fn no_circle(&mut self, section: &str, key: &str, above: &BTreeMap<&EntryName, Option<&EntryName>>) {
        let mut ends: BTreeSet<&EntryName> = BTreeSet::new();
        for start in above.keys() {
            let mut chain: Vec<&EntryName> = Vec::new();
            let mut seen: BTreeSet<&EntryName> = BTreeSet::new();
            let mut next = Some(*start);
            while let Some(name) = next {
                if ends.contains(name) {
                    break;
                }
                if !seen.insert(name) {
                    let circle: Vec<_> = chain.iter().skip_while(|entry| **entry != name).map(|e| e.as_str()).collect();
                    let path = format!("{section}.{name}.{key}");
                    let message = format!("{path}: {} is above itself ({})", name, circle.join(" in "));
                    self.reader.report_at(&path, message);
                    break;
                }
                chain.push(name);
                next = above.get(name).copied().flatten();
            }
            ends.extend(chain);
        }
    }

    fn twice(&mut self) {
        let manifest = self.manifest;
        let emails = manifest.people.iter().filter(|(_, person)| person.left.is_none());
        let emails = emails.filter_map(|(name, person)| Some((name, person.email.as_ref()?.as_str().to_lowercase())));
        self.unique("people", "email", emails.collect());
        let folded = |(name, text): (_, &crate::text::Name)| (name, text.folded());
        self.unique("units", "name", manifest.units.iter().map(|(n, it)| folded((n, &it.name))).collect());
        self.unique("locations", "name", manifest.locations.iter().map(|(n, it)| folded((n, &it.name))).collect());
        self.unique("roles", "name", manifest.roles.iter().map(|(n, it)| folded((n, &it.name))).collect());
        self.unique("policies", "name", manifest.policies.iter().map(|(n, it)| folded((n, &it.name))).collect());
        self.unique("keys", "name", manifest.keys.iter().map(|(n, it)| folded((n, &it.name))).collect());
    }

    fn unique(&mut self, section: &str, key: &str, values: Vec<(&EntryName, String)>) {
        let mut first: BTreeMap<String, &EntryName> = BTreeMap::new();
        for (name, value) in values {
            if let Some(other) = first.get(&value) {
                let path = format!("{section}.{name}.{key}");
                self.reader.report_at(&path, format!("{path}: [{section}.{other}] has the same {key}"));
            } else {
                first.insert(value, name);
            }
        }
    }

    fn assignments(&mut self) {
        let manifest = self.manifest;
        let mut held: BTreeMap<&EntryName, Vec<(&String, &EntryName)>> = BTreeMap::new();
        for (name, assignment) in &manifest.assignments {
            let path = format!("assignments.{name}");
            if manifest.people.get(&assignment.person).is_some_and(|person| person.left.is_some()) {
                let message = format!("{} has left and can hold no role", assignment.person);
                self.reader.report_at(&path, message);
            }
            held.entry(&assignment.person).or_default().push((name, &assignment.role));
        }
        for (person, roles) in held {
            for (index, (name, role)) in roles.iter().enumerate() {
                for (_, other) in &roles[..index] {
                    let excludes = |a: &EntryName, b: &EntryName| {
                        manifest.roles.get(a).is_some_and(|role| role.excludes.contains(b))
                    };
                    if excludes(role, other) || excludes(other, role) {
                        let message =
                            format!("{person} can't hold both {other} and {role}: the roles exclude each other");
                        self.reader.report_at(&format!("assignments.{name}"), message);
                    }
                }
            }
        }
    }

    fn keys(&mut self) {
        use KeyPurpose::{NatsAccount, NatsOperator, NatsServer, NatsSigning, NatsUser};
        for (name, key) in &self.manifest.keys {
            let path = format!("keys.{name}.algorithm");
            if !matches!(key.algorithm, KeyAlgorithm::Ed25519 | KeyAlgorithm::EcdsaP256) {
                let message = format!("{path}: this release makes ed25519 and ecdsa-p256 keys, not {}", key.algorithm);
                self.reader.report_at(&path, message);
            } else if matches!(key.purpose, NatsAccount | NatsOperator | NatsServer | NatsSigning | NatsUser)
                && key.algorithm != KeyAlgorithm::Ed25519
            {
                let message = format!("{path}: a key for {} is an nkey, and these are ed25519", key.purpose);
                self.reader.report_at(&path, message);
            } else if let Some(message) = nkey_problem(key) {
                let path = format!("keys.{name}.nkey");
                self.reader.report_at(&path, format!("{path}: {message}"));
            } else if key.purpose == KeyPurpose::Ledger {
                let path = format!("keys.{name}.purpose");
                self.reader.report_at(&path, format!("{path}: the ledger makes its own key when it is created"));
            } else if key.purpose == KeyPurpose::Encryption && key.algorithm == KeyAlgorithm::Ed25519 {
                let message = format!("{path}: ed25519 signs and does not encrypt");
                self.reader.report_at(&path, message);
            }
        }
    }
}

/// What is wrong with what an nkey is to identify.
fn nkey_problem(key: &Key) -> Option<&'static str> {
    use NkeyKind::{Account, Cluster, Operator, Server};
    match (key.purpose, key.nkey) {
        (KeyPurpose::NatsSigning, None) => {
            Some("a nats-signing key must say for whom it signs: `nkey = \"operator\"` or `nkey = \"account\"`")
        }
        (KeyPurpose::NatsSigning, Some(Operator | Account)) | (KeyPurpose::NatsServer, Some(Server | Cluster)) => None,
        (KeyPurpose::NatsSigning, Some(_)) => Some("a nats-signing key signs for an `operator` or an `account`"),
        (KeyPurpose::NatsServer, Some(_)) => Some("a nats-server key is for a `server` or a `cluster`"),
        (_, Some(_)) => Some("only keys for nats-signing and nats-server take it; the others follow from the purpose"),
        (_, None) => None,
    }
}
