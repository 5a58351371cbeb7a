//! What an apply file says, in its normal form: typed, complete, without comments and without order.
//!
//! Entries are known by the name that the file gives them (`[people.ada]` is `people.ada`). That name is the file's
//! own; what the ledger records are identifiers and the entry's `name`.

mod absent;
mod names;
pub mod nats;

use std::collections::BTreeMap;

use cid::Cid;
use serde::{Deserialize, Serialize};

pub use names::{EntryName, PartyRef};

use crate::events::{KeyAlgorithm, KeyPurpose, LocationKind, NkeyKind, PolicyFormat, RelationshipKind, Validity};
use crate::ipld_support::parse_cid;
use crate::nats::claims::ImportToken;
use crate::text::{DnsName, Document, EmailAddress, Label, Name, Note, Permission};

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `[organization]`.
    pub organization: Organization,
    /// `[locations.NAME]`.
    pub locations: BTreeMap<EntryName, Location>,
    /// `[units.NAME]`.
    pub units: BTreeMap<EntryName, Unit>,
    /// `[people.NAME]`.
    pub people: BTreeMap<EntryName, Person>,
    /// `[roles.NAME]`.
    pub roles: BTreeMap<EntryName, Role>,
    /// `[assignments.NAME]`, and `roles = […]` of people, under `PERSON/ROLE`.
    pub assignments: BTreeMap<String, Assignment>,
    /// `[policies.NAME]`.
    pub policies: BTreeMap<EntryName, Policy>,
    /// `[delegations.NAME]` and `[relationships.NAME]`, which share their names.
    pub relationships: BTreeMap<EntryName, Relationship>,
    /// `[keys.NAME]`.
    pub keys: BTreeMap<EntryName, Key>,
    /// `[nats]`.
    #[serde(default, skip_serializing_if = "is_no_nats")]
    pub nats: nats::Nats,
    /// The texts of activations that imports name by their content identifiers: they go into restricted blocks, and are no
    /// part of what is remembered.
    #[serde(skip)]
    pub activations: BTreeMap<Cid, String>,
}

impl Manifest {
    /// Makes of the texts of activations their content identifiers, and keeps the texts aside.
    pub(super) fn take_activations(&mut self) {
        for import in self.nats.accounts.values_mut().flat_map(|account| account.imports.values_mut()) {
            let text = import.activation.trim().to_owned();
            if parse_cid(&text).is_ok() {
                continue;
            }
            if let token @ ImportToken::Text(_) = ImportToken::from_text(text.clone())
                && let Some(cid) = token.cid()
            {
                import.activation = cid.to_string();
                self.activations.insert(cid, text);
            }
        }
    }
}

fn is_no_nats(nats: &nats::Nats) -> bool {
    *nats == nats::Nats::default()
}

fn is_always(validity: &Validity) -> bool {
    *validity == Validity::ALWAYS
}

/// The organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// Its name.
    pub name: Name,
    /// Its DNS domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DnsName>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Its name.
    pub name: Name,
    /// What kind of place it is.
    pub kind: LocationKind,
    /// The location that it is inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<EntryName>,
    /// Its postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Note>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}

/// A unit of the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its name.
    pub name: Name,
    /// The unit above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<EntryName>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The name.
    pub name: Name,
    /// Where to reach the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// The unit that the person works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<EntryName>,
    /// Where the person works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<EntryName>,
    /// What the person is called in the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Name>,
    /// The person left or is suspended, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Note>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub name: Name,
    /// What its holder does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// What its holder may do.
    pub permissions: Vec<Permission>,
    /// Roles that nobody may hold together with this one.
    pub excludes: Vec<EntryName>,
}

/// A role held by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Who holds it.
    pub person: EntryName,
    /// The role.
    pub role: EntryName,
    /// Where it counts; everywhere when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<PartyRef>,
    /// When it counts.
    #[serde(default, skip_serializing_if = "is_always")]
    pub validity: Validity,
}

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: Name,
    /// The language of the document.
    pub format: PolicyFormat,
    /// The policy itself.
    pub document: Document,
    /// When it counts.
    #[serde(default, skip_serializing_if = "is_always")]
    pub validity: Validity,
}

/// Two parties in a relationship.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relationship {
    /// What relates them.
    pub kind: RelationshipKind,
    /// Who stands in it: who delegates, reports, trusts.
    pub subject: PartyRef,
    /// To whom.
    pub object: PartyRef,
    /// What a delegation covers.
    pub permissions: Vec<Permission>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// When it counts.
    #[serde(default, skip_serializing_if = "is_always")]
    pub validity: Validity,
}

/// A key pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What people call it.
    pub name: Name,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Whose it is.
    pub owner: PartyRef,
    /// The custody compartment that holds the private half.
    pub compartment: Label,
    /// What an nkey identifies, where the purpose leaves that open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nkey: Option<NkeyKind>,
    /// Where it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<EntryName>,
    /// When it may be used.
    #[serde(default, skip_serializing_if = "is_always")]
    pub validity: Validity,
}
