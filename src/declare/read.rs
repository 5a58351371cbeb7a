//! From the text of an apply file to a [`Manifest`]: every problem of the whole file at once, each with its line.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use super::check;
use super::manifest::{
    Assignment, EntryName, Key, Location, Manifest, Organization, PartyRef, Person, Policy, Relationship, Role, Unit,
};
use super::nats;
use super::reader::{Problem, Reader, Table, shown};
use crate::events::{KeyPurpose, PolicyFormat, RelationshipKind, Validity};
use crate::text::{DnsName, Document, EmailAddress, InvalidText, Label, Name, Note, Permission};

/// The largest file that is read.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The most entries that a file may hold.
pub const MAX_ENTRIES: usize = 50_000;

/// What a file may ask for besides itself.
pub trait Files {
    /// The text of a file that the apply file names (`document_file`), relative to it.
    ///
    /// # Errors
    ///
    /// What the user is told, in words.
    fn read(&self, name: &str) -> Result<String, String>;
}

/// A file that can't be applied: all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the file has {} problem(s), the first in {}", .0.len(), .0.first().map_or_else(String::new, ToString::to_string))]
pub struct InvalidManifest(pub Vec<Problem>);

/// Reads and checks a whole file.
///
/// # Errors
///
/// All problems of the file, in the order of their lines.
pub fn read(source: &str, files: &dyn Files) -> Result<Manifest, InvalidManifest> {
    let mut reader = Reader::new(source);
    if source.len() > MAX_BYTES {
        reader.report(&(0..0), format!("the file has {} bytes; at most {MAX_BYTES} are read", source.len()));
        return Err(InvalidManifest(reader.into_problems()));
    }
    let (document, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        for error in errors.iter().take(20) {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().lines().map(shown).collect::<Vec<_>>().join("; ");
            reader.report(&span, format!("this is not TOML: {message}"));
        }
        return Err(InvalidManifest(reader.into_problems()));
    }
    let manifest = Build { reader: &mut reader, files }.manifest(Table::new("", document.get_ref(), 0..0));
    if let Some(manifest) = &manifest {
        check::check(manifest, &mut reader);
    }
    let problems = reader.into_problems();
    match manifest {
        Some(mut manifest) if problems.is_empty() => {
            manifest.take_activations();
            Ok(manifest)
        }
        _ => Err(InvalidManifest(problems)),
    }
}

struct Build<'r> {
    reader: &'r mut Reader,
    files: &'r dyn Files,
}

impl Build<'_> {
    /// Reads all tables, also when one of them has problems: the user sees all of them at once.
    fn manifest(&mut self, mut top: Table<'_, '_>) -> Option<Manifest> {
        let format = top.get(self.reader, "format");
        if let Some(value) = format
            && value.get_ref().as_str() != Some("cim-keys/1")
        {
            let message = "`format` must be \"cim-keys/1\": another one is for another release of cim-keys";
            self.reader.report(&value.span(), message);
        }
        let organization = match top.get(self.reader, "organization") {
            Some(value) => Table::of(self.reader, "organization".into(), value).and_then(|t| self.organization(t)),
            None => {
                self.reader.report(&(0..0), "the file has no [organization]: it says whose the rest is");
                None
            }
        };
        let locations = self.section(&mut top, "locations", Self::location);
        let units = self.section(&mut top, "units", Self::unit);
        let mut shorthand = Vec::new();
        let people = self.section(&mut top, "people", |build, _, table| build.person(table, &mut shorthand));
        let roles = self.section(&mut top, "roles", Self::role);
        let named = self.section(&mut top, "assignments", Self::assignment);
        let policies = self.section(&mut top, "policies", Self::policy);
        let mut relationships = self.section(&mut top, "delegations", Self::delegation);
        for (name, relationship) in self.section(&mut top, "relationships", Self::relationship) {
            if relationships.contains_key(&name) {
                let message = "a delegation has this name already; delegations and relationships share their names";
                self.reader.report_at(&format!("relationships.{name}"), message);
            }
            relationships.insert(name, relationship);
        }
        let keys = self.section(&mut top, "keys", Self::key);
        let nats = top.get(self.reader, "nats").map(|value| nats::read(self.reader, value)).unwrap_or_default();
        top.finish(self.reader);

        let mut assignments: BTreeMap<String, Assignment> =
            named.into_iter().map(|(name, assignment)| (name.to_string(), assignment)).collect();
        for (person, role) in shorthand {
            let name = format!("{person}/{role}");
            self.reader.alias(&format!("assignments.{name}"), &format!("people.{person}.roles"));
            assignments.insert(name, Assignment { person, role, scope: None, validity: Validity::ALWAYS });
        }
        // With problems the manifest is not handed out: what stands in for the name is never seen.
        let nameless = || Some(Organization { name: Name::new("?").ok()?, domain: None, description: None });
        let organization = organization.or_else(nameless)?;
        Some(Manifest {
            organization,
            locations,
            units,
            people,
            roles,
            assignments,
            policies,
            relationships,
            keys,
            nats,
            activations: BTreeMap::new(),
        })
    }

    fn section<T>(
        &mut self,
        top: &mut Table<'_, '_>,
        key: &'static str,
        mut build: impl FnMut(&mut Self, &EntryName, Table<'_, '_>) -> Option<T>,
    ) -> BTreeMap<EntryName, T> {
        let entries = top.entries(self.reader, key);
        if entries.len() > MAX_ENTRIES {
            let message = format!("[{key}] has {} entries; at most {MAX_ENTRIES} are allowed", entries.len());
            self.reader.report_at(key, message);
            return BTreeMap::new();
        }
        let mut section = BTreeMap::new();
        for (name, span, table) in entries {
            let Some(name) = self.take(&span, key, EntryName::new(name)) else { continue };
            if let Some(entry) = build(self, &name, table) {
                section.insert(name, entry);
            }
        }
        section
    }

    fn take<T>(&mut self, span: &Range<usize>, place: &str, result: Result<T, InvalidText>) -> Option<T> {
        result.map_err(|error| self.reader.report(span, format!("[{place}]: {error}"))).ok()
    }

    fn organization(&mut self, mut table: Table<'_, '_>) -> Option<Organization> {
        let name = table.required(self.reader, "name", Name::typed);
        let domain = table.text(self.reader, "domain", DnsName::new);
        let description = table.text(self.reader, "description", Note::typed);
        table.finish(self.reader);
        Some(Organization { name: name?, domain, description })
    }

    fn location(&mut self, _: &EntryName, mut table: Table<'_, '_>) -> Option<Location> {
        let name = table.required(self.reader, "name", Name::typed);
        let kind = table.required(self.reader, "kind", str::parse);
        let within = table.text(self.reader, "within", EntryName::new);
        let address = table.text(self.reader, "address", Note::typed);
        let description = table.text(self.reader, "description", Note::typed);
        table.finish(self.reader);
        Some(Location { name: name?, kind: kind?, within, address, description })
    }

    fn unit(&mut self, _: &EntryName, mut table: Table<'_, '_>) -> Option<Unit> {
        let name = table.required(self.reader, "name", Name::typed);
        let parent = table.text(self.reader, "parent", EntryName::new);
        let description = table.text(self.reader, "description", Note::typed);
        table.finish(self.reader);
        Some(Unit { name: name?, parent, description })
    }

    fn person(&mut self, mut table: Table<'_, '_>, shorthand: &mut Vec<(EntryName, EntryName)>) -> Option<Person> {
        let name = table.required(self.reader, "name", Name::typed);
        let email = table.text(self.reader, "email", EmailAddress::new);
        let unit = table.text(self.reader, "unit", EntryName::new);
        let location = table.text(self.reader, "location", EntryName::new);
        let title = table.text(self.reader, "title", Name::typed);
        let left = table.text(self.reader, "left", Note::typed);
        let roles = table.texts(self.reader, "roles", EntryName::new);
        if let Some(person) = table.path().strip_prefix("people.").and_then(|name| EntryName::new(name).ok()) {
            shorthand.extend(roles.into_iter().map(|role| (person.clone(), role)));
        }
        table.finish(self.reader);
        Some(Person { name: name?, email, unit, location, title, left })
    }

    fn role(&mut self, _: &EntryName, mut table: Table<'_, '_>) -> Option<Role> {
        let name = table.required(self.reader, "name", Name::typed);
        let description = table.text(self.reader, "description", Note::typed);
        let permissions = table.texts(self.reader, "permissions", Permission::new);
        let excludes = table.texts(self.reader, "excludes", EntryName::new);
        table.finish(self.reader);
        Some(Role { name: name?, description, permissions, excludes })
    }

    fn assignment(&mut self, _: &EntryName, mut table: Table<'_, '_>) -> Option<Assignment> {
        let person = table.required(self.reader, "person", EntryName::new);
        let role = table.required(self.reader, "role", EntryName::new);
        let scope = table.text(self.reader, "scope", str::parse);
        let validity = self.validity(&mut table);
        table.finish(self.reader);
        Some(Assignment { person: person?, role: role?, scope, validity })
    }

    fn policy(&mut self, _: &EntryName, mut table: Table<'_, '_>) -> Option<Policy> {
        let name = table.required(self.reader, "name", Name::typed);
        let format = table.text(self.reader, "format", str::parse).unwrap_or(PolicyFormat::Markdown);
        let inline = table.text(self.reader, "document", Document::new);
        let files = self.files;
        let from_file = table.text(self.reader, "document_file", |name| {
            Document::new(&files.read(name)?).map_err(|error| error.to_string())
        });
        let validity = self.validity(&mut table);
        let given = [table.has("document"), table.has("document_file")];
        if given[0] == given[1] {
            let message =
                "a policy needs its text: either `document = \"…\"` or `document_file = \"policies/name.md\"`";
            self.reader.report_at(table.path(), message);
        }
        table.finish(self.reader);
        Some(Policy { name: name?, format, document: inline.or(from_file)?, validity })
    }

    fn delegation(&mut self, _: &EntryName, mut table: Table<'_, '_>) -> Option<Relationship> {
        let subject = table.required(self.reader, "from", str::parse::<PartyRef>);
        let object = table.required(self.reader, "to", str::parse::<PartyRef>);
        let permissions = table.texts(self.reader, "permissions", Permission::new);
        let note = table.text(self.reader, "note", Note::typed);
        let validity = self.validity(&mut table);
        if !table.has("permissions") || (table.has("permissions") && permissions.is_empty()) {
            self.reader
                .report_at(table.path(), "a delegation must say what it covers: `permissions = [\"key.rotate\"]`");
        }
        table.finish(self.reader);
        let kind = RelationshipKind::DelegatesTo;
        Some(Relationship { kind, subject: subject?, object: object?, permissions, note, validity })
    }

    fn relationship(&mut self, _: &EntryName, mut table: Table<'_, '_>) -> Option<Relationship> {
        let kind = table.required(self.reader, "kind", str::parse::<RelationshipKind>);
        let subject = table.required(self.reader, "subject", str::parse::<PartyRef>);
        let object = table.required(self.reader, "object", str::parse::<PartyRef>);
        let note = table.text(self.reader, "note", Note::typed);
        let validity = self.validity(&mut table);
        if kind == Some(RelationshipKind::DelegatesTo) {
            let path = table.path_of("kind");
            self.reader
                .report_at(&path, "a delegation has its own table: write [delegations.NAME] with `from` and `to`");
        }
        table.finish(self.reader);
        Some(Relationship { kind: kind?, subject: subject?, object: object?, permissions: Vec::new(), note, validity })
    }

    fn key(&mut self, entry: &EntryName, mut table: Table<'_, '_>) -> Option<Key> {
        let name = match table.has("name") {
            true => table.text(self.reader, "name", Name::typed),
            false => Name::new(entry.as_str()).ok(),
        };
        table.know("name");
        let algorithm = table.required(self.reader, "algorithm", str::parse);
        let purpose = table.required(self.reader, "purpose", str::parse::<KeyPurpose>);
        let owner = table.required(self.reader, "owner", str::parse::<PartyRef>);
        let compartment = match table.has("compartment") {
            true => table.text(self.reader, "compartment", Label::new),
            false => Label::new("issuing").ok(),
        };
        table.know("compartment");
        let nkey = table.text(self.reader, "nkey", str::parse);
        let location = table.text(self.reader, "location", EntryName::new);
        let validity = self.validity(&mut table);
        table.finish(self.reader);
        Some(Key {
            name: name?,
            algorithm: algorithm?,
            purpose: purpose?,
            owner: owner?,
            compartment: compartment?,
            nkey,
            location,
            validity,
        })
    }

    fn validity(&mut self, table: &mut Table<'_, '_>) -> Validity {
        let not_before = table.time(self.reader, "not_before");
        let not_after = table.time(self.reader, "not_after");
        Validity::new(not_before, not_after).unwrap_or_else(|error| {
            let path = table.path_of("not_after");
            self.reader.report_at(&path, format!("{}: {error}", shown(&path)));
            Validity::ALWAYS
        })
    }
}
