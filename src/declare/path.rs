//! Where entries of an apply file stand, and which identifiers they have.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::manifest::EntryName;
use crate::ledger::Kind;

/// The place of an entry in its file. As text it is the table's name: `people.ada`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EntryPath {
    /// `organization`
    Organization,
    /// `locations.NAME`
    Location(EntryName),
    /// `units.NAME`
    Unit(EntryName),
    /// `roles.NAME`
    Role(EntryName),
    /// `people.NAME`
    Person(EntryName),
    /// `assignments.NAME`, or `assignments.PERSON/ROLE` for a role in a person's table.
    Assignment(String),
    /// `policies.NAME`
    Policy(EntryName),
    /// `delegations.NAME`
    Delegation(EntryName),
    /// `relationships.NAME`
    Relationship(EntryName),
    /// `keys.NAME`
    Key(EntryName),
    /// Under `nats`.
    Nats(NatsPath),
}

/// The place of an entry under `[nats]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NatsPath {
    /// `nats.operator`
    Operator,
    /// `nats.accounts.ACCOUNT`
    Account(EntryName),
    /// `nats.accounts.ACCOUNT.roles.ROLE`
    Role(EntryName, EntryName),
    /// `nats.accounts.ACCOUNT.users.USER`
    User(EntryName, EntryName),
    /// `nats.accounts.ACCOUNT.fleets.FLEET.NUMBER`: one of a fleet's users.
    Member(EntryName, EntryName, u32),
}

impl EntryPath {
    /// What kind of entity an entry at this place is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Organization => Kind::Organization,
            Self::Location(_) => Kind::Location,
            Self::Unit(_) => Kind::Unit,
            Self::Role(_) => Kind::Role,
            Self::Person(_) => Kind::Person,
            Self::Assignment(_) => Kind::Assignment,
            Self::Policy(_) => Kind::Policy,
            Self::Delegation(_) | Self::Relationship(_) => Kind::Relationship,
            Self::Key(_) => Kind::Key,
            Self::Nats(path) => path.kind(),
        }
    }

    /// The entry's own name, as others in the file speak of it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Organization => "organization".to_owned(),
            Self::Location(name)
            | Self::Unit(name)
            | Self::Role(name)
            | Self::Person(name)
            | Self::Policy(name)
            | Self::Delegation(name)
            | Self::Relationship(name)
            | Self::Key(name)
            | Self::Nats(NatsPath::Account(name) | NatsPath::Role(_, name) | NatsPath::User(_, name)) => {
                name.to_string()
            }
            Self::Assignment(name) => name.clone(),
            Self::Nats(NatsPath::Operator) => "operator".to_owned(),
            Self::Nats(NatsPath::Member(_, _, number)) => number.to_string(),
        }
    }
}

impl NatsPath {
    /// What kind of entity an entry at this place is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Operator => Kind::Operator,
            Self::Account(_) => Kind::Account,
            Self::Role(..) => Kind::SigningKey,
            Self::User(..) | Self::Member(..) => Kind::User,
        }
    }

    /// The account that the entry is, or stands in; `None` for the operator.
    #[must_use]
    pub const fn account(&self) -> Option<&EntryName> {
        match self {
            Self::Account(account) => Some(account),
            Self::Operator | Self::Role(..) | Self::User(..) | Self::Member(..) => self.within(),
        }
    }

    /// The account that the entry stands in; `None` for the operator and for an account itself.
    #[must_use]
    pub const fn within(&self) -> Option<&EntryName> {
        match self {
            Self::Role(account, _) | Self::User(account, _) | Self::Member(account, _, _) => Some(account),
            Self::Operator | Self::Account(_) => None,
        }
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization => f.write_str("organization"),
            Self::Location(name) => write!(f, "locations.{name}"),
            Self::Unit(name) => write!(f, "units.{name}"),
            Self::Role(name) => write!(f, "roles.{name}"),
            Self::Person(name) => write!(f, "people.{name}"),
            Self::Assignment(name) => write!(f, "assignments.{name}"),
            Self::Policy(name) => write!(f, "policies.{name}"),
            Self::Delegation(name) => write!(f, "delegations.{name}"),
            Self::Relationship(name) => write!(f, "relationships.{name}"),
            Self::Key(name) => write!(f, "keys.{name}"),
            Self::Nats(path) => path.fmt(f),
        }
    }
}

impl fmt::Display for NatsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("nats.operator"),
            Self::Account(account) => write!(f, "nats.accounts.{account}"),
            Self::Role(account, role) => write!(f, "nats.accounts.{account}.roles.{role}"),
            Self::User(account, user) => write!(f, "nats.accounts.{account}.users.{user}"),
            Self::Member(account, fleet, number) => write!(f, "nats.accounts.{account}.fleets.{fleet}.{number}"),
        }
    }
}

/// A text that is the place of no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not the place of an entry", crate::text::visible(.0))]
pub struct InvalidPath(String);

impl FromStr for EntryPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let wrong = || InvalidPath(text.chars().take(120).collect());
        let entry = |text: &str| EntryName::new(text).map_err(|_| wrong());
        if text == "organization" {
            return Ok(Self::Organization);
        }
        let (section, name) = text.split_once('.').ok_or_else(wrong)?;
        Ok(match section {
            "locations" => Self::Location(entry(name)?),
            "units" => Self::Unit(entry(name)?),
            "roles" => Self::Role(entry(name)?),
            "people" => Self::Person(entry(name)?),
            "assignments" => Self::Assignment(name.to_owned()),
            "policies" => Self::Policy(entry(name)?),
            "delegations" => Self::Delegation(entry(name)?),
            "relationships" => Self::Relationship(entry(name)?),
            "keys" => Self::Key(entry(name)?),
            "nats" => Self::Nats(match name.split('.').collect::<Vec<_>>().as_slice() {
                ["operator"] => NatsPath::Operator,
                ["accounts", account] => NatsPath::Account(entry(account)?),
                ["accounts", account, "roles", role] => NatsPath::Role(entry(account)?, entry(role)?),
                ["accounts", account, "users", user] => NatsPath::User(entry(account)?, entry(user)?),
                ["accounts", account, "fleets", fleet, number] => {
                    NatsPath::Member(entry(account)?, entry(fleet)?, number.parse().map_err(|_| wrong())?)
                }
                _ => return Err(wrong()),
            }),
            _ => return Err(wrong()),
        })
    }
}

/// An entry that has no identifier: nothing in the file, and nothing that was applied before, is at this place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is referred to and is not an entry of the file, nor of one that was applied before")]
pub struct UnknownEntry(pub Box<EntryPath>);

/// Which identifier each entry has. As JSON it is a map of texts, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids(HashMap<EntryPath, Uuid>);

impl Ids {
    /// The identifier of an entry, if it has one.
    #[must_use]
    pub fn get(&self, path: &EntryPath) -> Option<Uuid> {
        self.0.get(path).copied()
    }

    /// The identifier of an entry that must have one.
    ///
    /// # Errors
    /// When it has none.
    pub fn of(&self, path: EntryPath) -> Result<Uuid, UnknownEntry> {
        self.get(&path).ok_or_else(|| UnknownEntry(Box::new(path)))
    }

    /// Gives an entry an identifier.
    pub(super) fn insert(&mut self, path: EntryPath, id: Uuid) {
        self.0.insert(path, id);
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&EntryPath, Uuid)> {
        self.0.iter().map(|(path, id)| (path, *id))
    }
}

impl Serialize for Ids {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sorted: BTreeMap<String, &Uuid> = self.0.iter().map(|(path, id)| (path.to_string(), id)).collect();
        sorted.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = BTreeMap::<String, Uuid>::deserialize(deserializer)?;
        let parse = |(path, id): (String, Uuid)| Ok((path.parse()?, id));
        read.into_iter().map(parse).collect::<Result<_, InvalidPath>>().map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn paths_are_their_text() {
        let texts = [
            "organization",
            "locations.hq",
            "units.platform",
            "roles.officer",
            "people.ada",
            "assignments.ada/officer",
            "policies.p1",
            "delegations.d",
            "relationships.r",
            "keys.k",
            "nats.operator",
            "nats.accounts.orders",
            "nats.accounts.orders.roles.writer",
            "nats.accounts.orders.users.bob",
            "nats.accounts.orders.fleets.sensors.7",
        ];
        for text in texts {
            let path: EntryPath = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
            let ids = Ids([(path, Uuid::nil())].into());
            let json = serde_json::to_string(&ids).unwrap();
            assert_eq!(serde_json::from_str::<Ids>(&json).unwrap(), ids);
        }
    }

    #[test]
    fn what_is_no_place_of_an_entry_is_refused() {
        let texts = [
            "",
            "people",
            "people.",
            "people.Ada",
            "person.ada",
            "nats",
            "nats.accounts",
            "nats.accounts.a.b.c",
            "nats.accounts.a.fleets.f.x",
            "nats.accounts.a.users.u.v",
            "organization.x",
        ];
        for text in texts {
            assert!(text.parse::<EntryPath>().is_err(), "{text}");
            let json = format!("{{\"{text}\":\"00000000-0000-0000-0000-000000000000\"}}");
            assert!(serde_json::from_str::<Ids>(&json).is_err(), "{text}");
        }
        assert!(Ids::default().of(EntryPath::Organization).is_err());
    }
}
