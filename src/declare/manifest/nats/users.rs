//! Roles, users and fleets, and what they may do.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

use super::super::absent::{is_default, is_no_limit, no_limit};
use super::super::names::{EntryName, PartyRef};
use super::subjects::{AllowDeny, Replies};
use crate::nats::claims::TimeRange;
use crate::nats::presets::Preset;
use crate::text::{Label, Name, PublicKey};
use crate::time::Timestamp;

/// The most users that one fleet may make.
pub const MAX_FLEET: u32 = 50_000;

/// A role: what a scoped signing key gives its users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name; the entry's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: String,
    /// The custody compartment of its key; `issuing` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compartment: Option<Label>,
    /// The public half (`A…`) of its key, where that was made elsewhere and stays there: an issuer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicKey>,
    /// What its users may do.
    #[serde(flatten)]
    pub permissions: Permissions,
}

/// What a user may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Publishing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub publish: AllowDeny,
    /// Subscribing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subscribe: AllowDeny,
    /// Replies to those who ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies: Option<Replies>,
    /// Networks to connect from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source_networks: BTreeSet<String>,
    /// Times of day to connect at: `08:00:00-17:30:00`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub times: Vec<String>,
    /// The IANA time zone of `times`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub time_zone: String,
    /// How to connect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub connection_types: BTreeSet<String>,
    /// Subscriptions.
    #[serde(default = "no_limit", skip_serializing_if = "is_no_limit")]
    pub subscriptions: i64,
    /// Bytes.
    #[serde(default = "no_limit", skip_serializing_if = "is_no_limit")]
    pub data: i64,
    /// Bytes of one message.
    #[serde(default = "no_limit", skip_serializing_if = "is_no_limit")]
    pub payload: i64,
    /// Whether the token alone is a credential.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bearer: bool,
    /// Whether the user must come through a trusted proxy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proxy_required: bool,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            publish: AllowDeny::default(),
            subscribe: AllowDeny::default(),
            replies: None,
            source_networks: BTreeSet::new(),
            times: Vec::new(),
            time_zone: String::new(),
            connection_types: BTreeSet::new(),
            subscriptions: -1,
            data: -1,
            payload: -1,
            bearer: false,
            proxy_required: false,
        }
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its name; the entry's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The person or service that uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PartyRef>,
    /// Its role: the name of an entry of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<EntryName>,
    /// The permissions of one job, to begin with.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "preset")]
    pub preset: Option<Preset>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub expires: Option<Timestamp>,
    /// Tags.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: BTreeSet<String>,
    /// What it may do.
    #[serde(flatten)]
    pub permissions: Permissions,
}

/// Users of one kind, by the number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// How many.
    pub count: u32,
    /// The first one's number; 1 when absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub first: u32,
    /// What each is called, with `{n}`, or `{n:05}` for five digits.
    pub name: String,
    /// Their role: the name of an entry of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<EntryName>,
    /// When they end by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "date")]
    pub expires: Option<Timestamp>,
    /// Tags, with `{n}` too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: BTreeSet<String>,
    /// What they may do.
    #[serde(flatten)]
    pub permissions: Permissions,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_one(first: &u32) -> bool {
    *first == 1
}

impl Fleet {
    /// The numbers of its users.
    pub fn numbers(&self) -> std::ops::Range<u32> {
        self.first..self.first.saturating_add(self.count.min(MAX_FLEET))
    }

    /// The user of a number.
    ///
    /// # Errors
    /// When its name is none.
    pub fn member(&self, number: u32) -> Result<User, String> {
        Ok(User {
            name: Some(Name::new(&numbered(&self.name, number)).map_err(|error| error.to_string())?),
            owner: None,
            role: self.role.clone(),
            preset: None,
            expires: self.expires,
            tags: self.tags.iter().map(|tag| numbered(tag, number)).collect(),
            permissions: self.permissions.clone(),
        })
    }
}

/// A text with its `{n}` and `{n:05}` replaced by a number.
fn numbered(text: &str, number: u32) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len() + 8), text);
    while let Some(open) = rest.find("{n") {
        let Some(close) = rest[open..].find('}').map(|close| open + close) else { break };
        out.push_str(&rest[..open]);
        let width = rest[open + 2..close].strip_prefix(":0").and_then(|width| width.parse::<usize>().ok());
        out.push_str(&format!("{number:0width$}", width = width.unwrap_or(0).min(10)));
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    out
}

/// Spans of the day as text.
impl From<&TimeRange> for TimeText {
    fn from(it: &TimeRange) -> Self {
        Self(format!("{}-{}", it.start, it.end))
    }
}

/// `08:00:00-17:30:00`.
pub(crate) struct TimeText(pub(crate) String);

impl TimeText {
    pub(crate) fn range(text: &str) -> TimeRange {
        let (start, end) = text.split_once('-').unwrap_or((text, ""));
        TimeRange { start: start.trim().to_owned(), end: end.trim().to_owned() }
    }
}

mod preset {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::nats::presets::Preset;

    #[expect(clippy::ref_option, reason = "serde hands a reference")]
    pub(super) fn serialize<S: Serializer>(preset: &Option<Preset>, serializer: S) -> Result<S::Ok, S::Error> {
        match preset {
            Some(preset) => serializer.collect_str(preset),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Preset>, D::Error> {
        String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
    }
}

/// A date as TOML has it, or as text.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    struct Date;

    impl<'de> serde::de::Visitor<'de> for Date {
        type Value = Option<Timestamp>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a date, such as 2027-01-31 or 2027-01-31T09:00:00Z")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Timestamp::parse_lenient(text)
                .map(Some)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }

        // TOML's own dates come as a map of one text.
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            match map.next_entry::<String, String>()? {
                Some((_, text)) => self.visit_str(&text),
                None => Err(serde::de::Error::invalid_type(serde::de::Unexpected::Map, &self)),
            }
        }
    }

    deserializer.deserialize_any(Date)
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn numbers_stand_where_they_are_asked_for() {
        assert_eq!(numbered("d-{n:05}", 7), "d-00007");
        assert_eq!(numbered("{n}/{n}", 12), "12/12");
        assert_eq!(numbered("none", 1), "none");
        assert_eq!(numbered("{n", 1), "{n");
    }
}
