//! The facts: what happened, never to be changed.
//!
//! A [`KeyEvent`] says who did what when, in which command, and because of which earlier events. Its canonical bytes and
//! their content identifier are made by `ipld_support`. One file holds the facts of one aggregate; [`EventData`] lists
//! them all.
//!
//! An event of a (type, schema) that this release does not know is kept as [`UnknownEvent`]: stored, verified, published
//! and shown, never decided upon.

mod attestation;
mod certificate;
mod common;
mod custody;
mod decode;
mod key;
mod ledger;
mod location;
mod nats_account;
mod nats_jwt;
mod nats_key;
mod nats_operator;
mod nats_user;
mod organization;
mod organizational_unit;
mod person;
mod policy;
mod relationship;
mod role;
mod yubikey;

pub use attestation::*;
pub use certificate::*;
pub use custody::*;
pub use key::*;
pub use ledger::*;
pub use location::*;
pub use nats_account::*;
pub use nats_jwt::*;
pub use nats_key::*;
pub use nats_operator::*;
pub use nats_user::*;
pub use organization::*;
pub use organizational_unit::*;
pub use person::*;
pub use policy::*;
pub use relationship::*;
pub use role::*;
pub use yubikey::*;

pub use common::*;

use ipld_core::ipld::Ipld;
use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{CorrelationId, EventId};
use crate::text::SubjectPrefix;
use crate::time::Timestamp;

/// One event: a fact with its circumstances.
///
/// It serialises as a map with the keys `id`, `data`, `type`, `actor`, `causes`, `schema`, `occurred_at` and
/// `correlation_id`: the order of canonical DAG-CBOR.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyEvent {
    /// The event's own identifier.
    pub id: EventId,
    /// What happened.
    pub data: EventData,
    /// When, by the clock of the machine that recorded it, never earlier than the event before it.
    pub occurred_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What else the same command did bears the same.
    pub correlation_id: CorrelationId,
    /// The events that this one follows from; may be empty.
    pub causes: Vec<Link>,
}

/// A fact of a type, or of a schema of a type, that this release does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownEvent {
    /// The variant's name, 1 to 64 letters and digits.
    pub event_type: String,
    /// The version of that type's data.
    pub schema: u32,
    /// The data, whatever it is.
    pub data: Ipld,
}

macro_rules! aggregates {
    ($($(#[$adoc:meta])* $aggregate:ident = $token:literal { $($(#[$edoc:meta])* $event:ident @ $schema:literal,)+ })+) => {
        /// What an event is about: the middle of its subject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Aggregate { $($(#[$adoc])* $aggregate,)+ }

        impl Aggregate {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$aggregate,)+];

            /// As it stands in a subject: `nats.user`.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$aggregate => $token,)+ }
            }
        }

        /// What happened. The variant's name is the event's type.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant)] // most events are of a size, and boxing costs the codec an allocation
        pub enum EventData {
            $($($(#[$edoc])* $event($event),)+)+
            /// A type or schema from a newer release.
            Unknown(UnknownEvent),
        }

        impl EventData {
            /// Every type that this release knows: aggregate, type, schema.
            pub const KNOWN: &'static [(Aggregate, &'static str, u32)] =
                &[$($((Aggregate::$aggregate, stringify!($event), $schema),)+)+];

            /// The aggregate of a type and schema; `None` for what this release does not know.
            #[must_use]
            pub fn aggregate_of(event_type: &str, schema: u32) -> Option<Aggregate> {
                let mut known = Self::KNOWN.iter();
                known.find(|(_, name, known)| *name == event_type && *known == schema).map(|(aggregate, ..)| *aggregate)
            }

            /// The type: the variant's name.
            #[must_use]
            pub fn event_type(&self) -> &str {
                match self {
                    $($(Self::$event(_) => stringify!($event),)+)+
                    Self::Unknown(unknown) => &unknown.event_type,
                }
            }

            /// The version of the type's data.
            #[must_use]
            pub const fn schema(&self) -> u32 {
                match self {
                    $($(Self::$event(_) => $schema,)+)+
                    Self::Unknown(unknown) => unknown.schema,
                }
            }

            /// What it is about; `None` for what this release does not know.
            #[must_use]
            pub const fn aggregate(&self) -> Option<Aggregate> {
                match self {
                    $($(Self::$event(_) => Some(Aggregate::$aggregate),)+)+
                    Self::Unknown(_) => None,
                }
            }

            /// Decodes the data of a type and schema. What is not known becomes [`EventData::Unknown`].
            ///
            /// # Errors
            /// The deserializer's, when the data is not what the type and schema hold.
            pub fn deserialize_as<'de, D: Deserializer<'de>>(
                event_type: &str,
                schema: u32,
                deserializer: D,
            ) -> Result<Self, D::Error> {
                match (event_type, schema) {
                    $($((stringify!($event), $schema) => $event::deserialize(deserializer).map(Self::$event),)+)+
                    _ => {
                        let name = !event_type.is_empty() && event_type.len() <= 64;
                        if !name || !event_type.bytes().all(|b| b.is_ascii_alphanumeric()) {
                            return Err(D::Error::custom("an event type is 1 to 64 letters and digits"));
                        }
                        let data = Ipld::deserialize(deserializer)?;
                        Ok(Self::Unknown(UnknownEvent { event_type: event_type.to_owned(), schema, data }))
                    }
                }
            }
        }

        impl Serialize for EventData {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $($(Self::$event(data) => data.serialize(serializer),)+)+
                    Self::Unknown(unknown) => unknown.data.serialize(serializer),
                }
            }
        }

        $($(
            impl From<$event> for EventData {
                fn from(data: $event) -> Self {
                    Self::$event(data)
                }
            }
        )+)+
    };
}

aggregates! {
    /// An organisation.
    Organization = "organization" {
        /// An organisation came into being.
        OrganizationCreated @ 1,
        /// An organisation's attributes were replaced, all of them, by these.
        OrganizationUpdated @ 1,
    }
    /// A unit of an organisation.
    OrganizationalUnit = "organizational_unit" {
        /// A unit came into being.
        OrganizationalUnitCreated @ 1,
        /// A unit's attributes were replaced, all of them, by these.
        OrganizationalUnitUpdated @ 1,
        /// A unit ceased to be.
        OrganizationalUnitDissolved @ 1,
    }
    /// A location.
    Location = "location" {
        /// A location was recorded.
        LocationCreated @ 1,
        /// A location's attributes were replaced, all of them, by these.
        LocationUpdated @ 1,
        /// A location is no longer used.
        LocationClosed @ 1,
    }
    /// A person.
    Person = "person" {
        /// A person was recorded.
        PersonCreated @ 1,
        /// A person's attributes were replaced, all of them, by these.
        PersonUpdated @ 1,
        /// A person left or was suspended: no role of theirs counts from here on.
        PersonDeactivated @ 1,
        /// A person who was deactivated came back.
        PersonReactivated @ 1,
    }
    /// A role, or its assignment to a person.
    Role = "role" {
        /// A role was defined.
        RoleCreated @ 1,
        /// A role's definition was replaced by this one.
        RoleUpdated @ 1,
        /// A role can no longer be assigned, and its assignments end.
        RoleRetired @ 1,
        /// A person was given a role.
        RoleAssigned @ 1,
        /// A person lost a role.
        RoleWithdrawn @ 1,
    }
    /// A policy document.
    Policy = "policy" {
        /// A policy was laid down.
        PolicyCreated @ 1,
        /// A policy was replaced by this version.
        PolicyUpdated @ 1,
        /// A policy no longer counts.
        PolicyWithdrawn @ 1,
    }
    /// A relationship between two parties.
    Relationship = "relationship" {
        /// Two parties stand in a relationship from here on.
        RelationshipEstablished @ 1,
        /// A relationship ended.
        RelationshipEnded @ 1,
    }
    /// A key pair.
    Key = "key" {
        /// A key pair was made, and its private half sealed in custody.
        KeyGenerated @ 1,
        /// A key that was made elsewhere became known.
        KeyImported @ 1,
        /// A key must no longer be relied on.
        KeyRevoked @ 1,
        /// A key was replaced by another.
        KeyRotated @ 1,
        /// A private key left custody.
        KeyExported @ 1,
    }
    /// An X.509 certificate.
    Certificate = "certificate" {
        /// A certificate was asked for: what it shall say.
        CertificateGenerated @ 1,
        /// A certificate was signed by its issuer.
        CertificateSigned @ 1,
        /// A certificate must no longer be relied on.
        CertificateRevoked @ 1,
        /// An issuer published what it revoked.
        CertificateRevocationListIssued @ 1,
    }
    /// A YubiKey.
    YubiKey = "yubikey" {
        /// A YubiKey was taken into use.
        YubiKeyProvisioned @ 1,
        /// A YubiKey's PIN was set; the PIN itself is recorded nowhere.
        PinConfigured @ 1,
        /// A YubiKey's PUK was set; the PUK itself is recorded nowhere.
        PukConfigured @ 1,
        /// A YubiKey's PIV management key was replaced.
        ManagementKeyRotated @ 1,
        /// A PIV slot holds a key.
        SlotProvisioned @ 1,
        /// A YubiKey went out of use.
        YubiKeyRetired @ 1,
    }
    /// A NATS operator.
    NatsOperator = "nats.operator" {
        /// A NATS operator was made.
        NatsOperatorCreated @ 1,
        /// A NATS operator's attributes were replaced, all of them, by these.
        NatsOperatorUpdated @ 1,
        /// An operator was given up.
        NatsOperatorDeleted @ 1,
    }
    /// A NATS account.
    NatsAccount = "nats.account" {
        /// A NATS account was made.
        NatsAccountCreated @ 1,
        /// A NATS account's attributes were replaced, all of them, by these.
        NatsAccountUpdated @ 1,
        /// Servers hold an account's JWT, as they proved.
        NatsAccountPushed @ 1,
        /// An account was deleted.
        NatsAccountDeleted @ 1,
    }
    /// A NATS user.
    NatsUser = "nats.user" {
        /// A NATS user was made.
        NatsUserCreated @ 1,
        /// A NATS user's attributes were replaced, all of them, by these.
        NatsUserUpdated @ 1,
        /// A NATS user is cut off.
        NatsUserRevoked @ 1,
    }
    /// A key of the NATS hierarchy.
    NatsKey = "nats.key" {
        /// An operator or account got a signing key.
        NatsSigningKeyGenerated @ 1,
        /// An nkey was made, and its seed sealed in custody.
        NKeyGenerated @ 1,
        /// A signing key no longer signs.
        NatsSigningKeyRetired @ 1,
    }
    /// A JWT of the NATS hierarchy.
    NatsJwt = "nats.jwt" {
        /// What a JWT is to say.
        JwtClaimsCreated @ 1,
        /// A JWT was signed; its text is a restricted block and no part of any event.
        JwtSigned @ 1,
    }
    /// The ledger itself.
    Ledger = "ledger" {
        /// A ledger was made. Always its first event.
        LedgerCreated @ 1,
        /// Another ledger became known, and its key trusted for what is said here.
        LedgerLinked @ 1,
        /// The ledger goes on under a new key.
        LedgerKeyRotated @ 1,
        /// The right to write moved to another place.
        LedgerHandedOver @ 1,
        /// A declarative file was applied: what the next one is compared with.
        ManifestApplied @ 1,
    }
    /// Custody of private keys.
    Custody = "custody" {
        /// What is sealed in a compartment from here on opens for one more.
        CustodyRecipientAdded @ 1,
        /// A recipient opens nothing that is sealed from here on.
        CustodyRecipientRemoved @ 1,
        /// A compartment's secrets were sealed anew.
        CustodyRekeyed @ 1,
    }
    /// A signature over an event.
    Attestation = "attestation" {
        /// Someone signed an event's content identifier.
        EventAttested @ 1,
        /// From here on, events of these types must be signed by whoever acts.
        SignaturesRequired @ 1,
    }
}

impl std::fmt::Display for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The subject of an event: `{prefix}.{aggregate}.{event type in lower case}`.
#[must_use]
pub fn subject(prefix: &SubjectPrefix, aggregate: &str, event_type: &str) -> String {
    let mut subject = String::with_capacity(prefix.as_str().len() + aggregate.len() + event_type.len() + 2);
    subject.push_str(prefix.as_str());
    subject.push('.');
    subject.push_str(aggregate);
    subject.push('.');
    subject.extend(event_type.chars().map(|c| c.to_ascii_lowercase()));
    subject
}

impl KeyEvent {
    /// The type: the variant's name, such as `PersonCreated`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.data.event_type()
    }

    /// The version of the type's data.
    #[must_use]
    pub const fn schema(&self) -> u32 {
        self.data.schema()
    }

    /// What the event is about; `None` for a type that this release does not know.
    #[must_use]
    pub const fn aggregate(&self) -> Option<Aggregate> {
        self.data.aggregate()
    }

    /// The subject under a prefix; `None` for a type that this release does not know.
    #[must_use]
    pub fn subject(&self, prefix: &SubjectPrefix) -> Option<String> {
        self.aggregate().map(|aggregate| subject(prefix, aggregate.as_str(), self.event_type()))
    }
}

impl Serialize for KeyEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("KeyEvent", 8)?;
        map.serialize_field("id", &self.id)?;
        map.serialize_field("data", &self.data)?;
        map.serialize_field("type", self.event_type())?;
        map.serialize_field("actor", &self.actor)?;
        map.serialize_field("causes", &self.causes)?;
        map.serialize_field("schema", &self.schema())?;
        map.serialize_field("occurred_at", &self.occurred_at)?;
        map.serialize_field("correlation_id", &self.correlation_id)?;
        map.end()
    }
}
