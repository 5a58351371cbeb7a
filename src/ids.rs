//! Identifiers, one newtype a thing, so that one can never stand where another belongs.
//!
//! Each identifier is a UUID (RFC 9562), minted as version 7, and written in lower-case hyphenated text everywhere:
//! in events, in JSON, on the command line. Parsing accepts exactly that form.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A text that is no identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{}\" is no {kind}: a lower-case hyphenated UUID such as 01890a5d-ac96-774b-bcce-b302099a8057 is needed",
    crate::text::visible(text)
)]
pub struct InvalidId {
    /// What was asked for, in words.
    pub kind: &'static str,
    /// The text that was given.
    pub text: String,
}

/// A new UUID, version 7, of now; a clock that shows a time before 1970 is taken to show 1970.
pub(crate) fn mint_uuid() -> Uuid {
    // The crate's own reading of the clock panics before 1970.
    if SystemTime::now() >= UNIX_EPOCH { Uuid::now_v7() } else { of_1970() }
}

fn of_1970() -> Uuid {
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 0, 0))
}

fn parse_uuid(kind: &'static str, text: &str) -> Result<Uuid, InvalidId> {
    let invalid = || InvalidId { kind, text: text.chars().take(64).collect() };
    let mut bytes = [0; 16];
    let mut digits = text.bytes().enumerate().filter(|(at, byte)| *byte != b'-' || !matches!(at, 8 | 13 | 18 | 23));
    for byte in &mut bytes {
        let (Some(high), Some(low)) = (digits.next(), digits.next()) else { return Err(invalid()) };
        match (hex(high.1), hex(low.1)) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => return Err(invalid()),
        }
    }
    // With 32 digits taken, a text of 36 bytes has its four hyphens where they belong.
    if text.len() == 36 && digits.next().is_none() { Ok(Uuid::from_bytes(bytes)) } else { Err(invalid()) }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Mints a new identifier: UUID version 7, of now.
            #[must_use]
            pub fn mint() -> Self {
                Self(mint_uuid())
            }

            /// Takes a UUID that was made elsewhere, of whatever version.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_uuid($kind, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = crate::text::borrowed_or_owned(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )+};
}

ids! {
    /// One event.
    EventId = "event id";
    /// Everything that one command did.
    CorrelationId = "correlation id";
    /// An organisation.
    OrganizationId = "organization id";
    /// A unit of an organisation.
    UnitId = "organizational unit id";
    /// A person.
    PersonId = "person id";
    /// A place where keys, people or machines are.
    LocationId = "location id";
    /// A role that a person can hold.
    RoleId = "role id";
    /// A role held by a person, from one act to another.
    RoleAssignmentId = "role assignment id";
    /// A policy document.
    PolicyId = "policy id";
    /// A relationship between two parties.
    RelationshipId = "relationship id";
    /// A key pair in custody, or a public key that is known.
    KeyId = "key id";
    /// An X.509 certificate.
    CertificateId = "certificate id";
    /// A NATS operator.
    NatsOperatorId = "NATS operator id";
    /// A NATS account.
    NatsAccountId = "NATS account id";
    /// A NATS user.
    NatsUserId = "NATS user id";
    /// A ledger.
    LedgerId = "ledger id";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn identifiers_are_told_apart_when_the_clock_is_off() {
        let (one, other) = (of_1970(), of_1970());
        assert!(one != other && one.get_version_num() == 7);
    }

    #[test]
    fn text_round_trips_and_only_the_canonical_form_parses() {
        let id = PersonId::mint();
        let text = id.to_string();
        assert_eq!(text.parse::<PersonId>().unwrap(), id);
        let moved = format!("{}-{}{}", &text[..7], &text[7..8], &text[9..]);
        let many = [
            text.to_uppercase(),
            text.replace('-', ""),
            text.replacen('-', "0", 1),
            text.replacen('0', "-", 1),
            format!("{text}-"),
            format!("{}é", &text[..34]),
            format!("{{{text}}}"),
            moved,
            String::new(),
            "x".repeat(1000),
        ];
        for bad in many {
            let error = bad.parse::<PersonId>().unwrap_err().to_string();
            assert!(error.contains("person id") && error.len() < 400, "{error}");
        }
    }
}
