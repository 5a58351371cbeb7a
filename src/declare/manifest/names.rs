//! How entries of a file name one another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::{InvalidText, Label};

/// The name of an entry inside its file: 1 to 64 lower-case letters, digits and inner hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryName(String);

impl EntryName {
    /// Checks a text and takes it.
    ///
    /// # Errors
    /// See [`InvalidText`].
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        let reason = "1 to 64 lower-case letters, digits and inner hyphens are allowed";
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidText::new("entry name", text, reason)) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EntryName {
    type Error = InvalidText;
    fn try_from(text: String) -> Result<Self, InvalidText> {
        Self::new(&text)
    }
}

impl From<EntryName> for String {
    fn from(name: EntryName) -> Self {
        name.0
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A party as a file names it: `organization`, `unit:platform`, `person:ada`, `role:approver`, `service:billing`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartyRef {
    /// The organisation of the file.
    Organization,
    /// A unit of the file.
    Unit(EntryName),
    /// A person of the file.
    Person(EntryName),
    /// A role of the file: those who hold it.
    Role(EntryName),
    /// A service, by its name.
    Service(Label),
}

impl FromStr for PartyRef {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let wrong = || {
            let reason =
                "\"organization\", \"unit:NAME\", \"person:NAME\", \"role:NAME\" or \"service:NAME\" is needed";
            InvalidText::new("party", text, reason)
        };
        match text.split_once(':') {
            None if text == "organization" => Ok(Self::Organization),
            Some(("unit", name)) => EntryName::new(name).map(Self::Unit),
            Some(("person", name)) => EntryName::new(name).map(Self::Person),
            Some(("role", name)) => EntryName::new(name).map(Self::Role),
            Some(("service", name)) => Label::new(name).map(Self::Service),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for PartyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization => f.write_str("organization"),
            Self::Unit(name) => write!(f, "unit:{name}"),
            Self::Person(name) => write!(f, "person:{name}"),
            Self::Role(name) => write!(f, "role:{name}"),
            Self::Service(name) => write!(f, "service:{name}"),
        }
    }
}

impl Serialize for PartyRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PartyRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
