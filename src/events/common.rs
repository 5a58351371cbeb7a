//! What several events speak of: actors, parties, links, algorithms, reasons.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use cid::Cid;
use cid::serde::CID_SERDE_PRIVATE_IDENTIFIER;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{NatsAccountId, NatsOperatorId, NatsUserId, OrganizationId, PersonId, RoleId, UnitId};
use crate::text::{InvalidText, Label, borrowed_or_owned};
use crate::time::Timestamp;

/// A CIDv1 in the one profile that events use: codec dag-cbor (0x71) or raw (0x55), multihash sha2-256 (0x12), 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(Cid);

/// A content identifier outside the profile of [`Link`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no link that an event may hold: CIDv1, dag-cbor or raw, sha2-256 with 32 bytes is needed")]
pub struct InvalidLink(pub String);

impl Link {
    /// Codec of canonical events: dag-cbor.
    pub const DAG_CBOR: u64 = 0x71;
    /// Codec of opaque bytes: raw.
    pub const RAW: u64 = 0x55;
    /// The multihash code of sha2-256.
    pub const SHA2_256: u64 = 0x12;

    /// Checks a content identifier and takes it.
    pub fn new(cid: Cid) -> Result<Self, InvalidLink> {
        let fits = cid.version() == cid::Version::V1
            && matches!(cid.codec(), Self::DAG_CBOR | Self::RAW)
            && cid.hash().code() == Self::SHA2_256
            && cid.hash().size() == 32;
        if fits { Ok(Self(cid)) } else { Err(InvalidLink(cid.to_string())) }
    }

    /// The content identifier.
    #[must_use]
    pub const fn cid(&self) -> &Cid {
        &self.0
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.0)
    }
}

/// As [`Cid`] serialises itself, without its two allocations.
impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = [0; 36];
        self.0.write_bytes(&mut bytes[..]).map_err(serde::ser::Error::custom)?;
        serializer.serialize_newtype_struct(CID_SERDE_PRIVATE_IDENTIFIER, serde_bytes::Bytes::new(&bytes))
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Cid::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Bytes, written as a byte string and not as a list of numbers. At most 4,096.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// The most that an event holds of them; more belongs in a block of its own.
    pub const MAX: usize = 4_096;

    /// Takes bytes; `None` when there are more than [`Bytes::MAX`].
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= Self::MAX).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec();
        Self::new(bytes).ok_or_else(|| D::Error::custom("more than 4096 bytes"))
    }
}

/// A set, written as a list in ascending order. A list that is not sorted, or that holds a value twice, does not decode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent, bound(serialize = "T: Serialize"))]
pub struct Set<T: Ord>(BTreeSet<T>);

impl<T: Ord> Default for Set<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<T: Ord> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T: Ord> std::ops::Deref for Set<T> {
    type Target = BTreeSet<T>;
    fn deref(&self) -> &BTreeSet<T> {
        &self.0
    }
}

impl<'de, T: Ord + Deserialize<'de>> Deserialize<'de> for Set<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<T>::deserialize(deserializer)?;
        if !list.is_sorted_by(|a, b| a < b) {
            return Err(D::Error::custom("a set must be sorted and hold each value once"));
        }
        Ok(Self(list.into_iter().collect()))
    }
}

/// From when until when something counts; open at an end that is absent. `not_after` is never before `not_before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "UncheckedValidity")]
pub struct Validity {
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
}

#[derive(Deserialize)]
struct UncheckedValidity {
    #[serde(default)]
    not_before: Option<Timestamp>,
    #[serde(default)]
    not_after: Option<Timestamp>,
}

impl TryFrom<UncheckedValidity> for Validity {
    type Error = EndsBeforeItBegins;
    fn try_from(unchecked: UncheckedValidity) -> Result<Self, EndsBeforeItBegins> {
        Self::new(unchecked.not_before, unchecked.not_after)
    }
}

/// A validity whose end lies before its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it would end ({not_after}) before it begins ({not_before})")]
pub struct EndsBeforeItBegins {
    /// The beginning.
    pub not_before: Timestamp,
    /// The end.
    pub not_after: Timestamp,
}

impl Validity {
    /// Without beginning and end.
    pub const ALWAYS: Self = Self { not_before: None, not_after: None };

    /// From and until when, both inclusive.
    pub fn new(not_before: Option<Timestamp>, not_after: Option<Timestamp>) -> Result<Self, EndsBeforeItBegins> {
        match (not_before, not_after) {
            (Some(not_before), Some(not_after)) if not_after < not_before => {
                Err(EndsBeforeItBegins { not_before, not_after })
            }
            _ => Ok(Self { not_before, not_after }),
        }
    }

    /// Since when, where there is a beginning.
    #[must_use]
    pub const fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Until when, where there is an end.
    #[must_use]
    pub const fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// Whether it counts at a time.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.not_before.is_none_or(|t| t <= time) && self.not_after.is_none_or(|t| time <= t)
    }
}

/// Implements text, parsing and serde for a type that is written `kind:value`.
macro_rules! prefixed {
    ($name:ident = $what:literal, $allowed:literal { $($prefix:literal => $variant:ident($inner:ty),)+ }) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$variant(inner) => write!(f, concat!($prefix, ":{}"), inner),)+ }
            }
        }

        impl FromStr for $name {
            type Err = InvalidText;
            fn from_str(text: &str) -> Result<Self, InvalidText> {
                let invalid = |reason: String| InvalidText::new($what, text, reason);
                let (prefix, rest) = text.split_once(':').ok_or_else(|| invalid(concat!("needed is ", $allowed).into()))?;
                match prefix {
                    $($prefix => rest.parse::<$inner>().map(Self::$variant).map_err(|e| invalid(e.to_string())),)+
                    _ => Err(invalid(concat!("needed is ", $allowed).into())),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                borrowed_or_owned(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

/// Who did something: `person:<uuid>`, `service:<name>` or `system:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A person of the ledger.
    Person(PersonId),
    /// A program that acts for somebody.
    Service(Label),
    /// cim-keys itself, or the operating system's user where no person is known.
    System(Label),
}

prefixed!(Actor = "actor", "person:<uuid>, service:<name> or system:<name>" {
    "person" => Person(PersonId),
    "service" => Service(Label),
    "system" => System(Label),
});

/// Whose something is, or who stands in a relationship: `person:<uuid>`, `organization:<uuid>`, `unit:<uuid>`,
/// `role:<uuid>` or `service:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A person.
    Person(PersonId),
    /// An organisation.
    Organization(OrganizationId),
    /// A unit of an organisation.
    Unit(UnitId),
    /// Whoever holds a role.
    Role(RoleId),
    /// A program.
    Service(Label),
}

prefixed!(Party = "party", "person:<uuid>, organization:<uuid>, unit:<uuid>, role:<uuid> or service:<name>" {
    "person" => Person(PersonId),
    "organization" => Organization(OrganizationId),
    "unit" => Unit(UnitId),
    "role" => Role(RoleId),
    "service" => Service(Label),
});

/// For whom a NATS signing key signs: `operator:<uuid>` or `account:<uuid>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatsHolder {
    /// An operator: the key signs account JWTs.
    Operator(NatsOperatorId),
    /// An account: the key signs user JWTs.
    Account(NatsAccountId),
}

prefixed!(NatsHolder = "holder of a signing key", "operator:<uuid> or account:<uuid>" {
    "operator" => Operator(NatsOperatorId),
    "account" => Account(NatsAccountId),
});

/// Whom a JWT of the NATS hierarchy is about: `operator:<uuid>`, `account:<uuid>` or `user:<uuid>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatsParty {
    /// An operator.
    Operator(NatsOperatorId),
    /// An account.
    Account(NatsAccountId),
    /// A user.
    User(NatsUserId),
}

prefixed!(NatsParty = "NATS identity", "operator:<uuid>, account:<uuid> or user:<uuid>" {
    "operator" => Operator(NatsOperatorId),
    "account" => Account(NatsAccountId),
    "user" => User(NatsUserId),
});

/// Defines a closed list of words. A word that is not in the list does not decode: a release that adds one raises the
/// schema of every event type that holds it.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $what:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// All of them, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word, as events carry it.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidText;
            fn from_str(text: &str) -> Result<Self, InvalidText> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(InvalidText::new($what, text, format!("one of these is needed: {}", [$($word,)+].join(", ")))),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                borrowed_or_owned(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )+};
}

words! {
    /// A signature or key agreement algorithm.
    KeyAlgorithm = "key algorithm" {
        /// Ed25519 (RFC 8032).
        Ed25519 = "ed25519",
        /// ECDSA over NIST P-256 with SHA-256 (FIPS 186-5).
        EcdsaP256 = "ecdsa-p256",
        /// ECDSA over NIST P-384 with SHA-384 (FIPS 186-5).
        EcdsaP384 = "ecdsa-p384",
        /// RSA with 2048 bits.
        Rsa2048 = "rsa-2048",
        /// RSA with 3072 bits.
        Rsa3072 = "rsa-3072",
        /// RSA with 4096 bits.
        Rsa4096 = "rsa-4096",
        /// X25519 (RFC 7748).
        X25519 = "x25519",
    }
    /// How a public key is written.
    KeyEncoding = "key encoding" {
        /// base64 (RFC 4648) of a DER SubjectPublicKeyInfo (RFC 5280).
        Spki = "spki",
        /// An nkey: base32 with a prefix and a checksum.
        Nkey = "nkey",
    }
    /// What a key is for. A key has one purpose.
    KeyPurpose = "key purpose" {
        /// Signing acts in the ledger.
        ActSigning = "act-signing",
        /// Signing documents, code or artifacts.
        Signing = "signing",
        /// Encrypting or agreeing on keys.
        Encryption = "encryption",
        /// Proving an identity: SSH, TLS client.
        Authentication = "authentication",
        /// A TLS server.
        TlsServer = "tls-server",
        /// Signing certificates.
        CertificateAuthority = "certificate-authority",
        /// The ledger's own key.
        Ledger = "ledger",
        /// A NATS operator's identity.
        NatsOperator = "nats-operator",
        /// A NATS account's identity.
        NatsAccount = "nats-account",
        /// A NATS user's identity.
        NatsUser = "nats-user",
        /// Signing account or user JWTs.
        NatsSigning = "nats-signing",
        /// A NATS server, cluster or curve key.
        NatsServer = "nats-server",
    }
    /// Why a key or certificate is revoked: the reason codes of RFC 5280, 5.3.1.
    RevocationReason = "revocation reason" {
        /// No reason is given.
        Unspecified = "unspecified",
        /// The key may be in wrong hands.
        KeyCompromise = "key-compromise",
        /// The issuer's key may be in wrong hands.
        CaCompromise = "ca-compromise",
        /// The owner's name or place changed.
        AffiliationChanged = "affiliation-changed",
        /// Another key replaces it.
        Superseded = "superseded",
        /// It is no longer needed.
        CessationOfOperation = "cessation-of-operation",
        /// What it was allowed to do was withdrawn.
        PrivilegeWithdrawn = "privilege-withdrawn",
    }
    /// What kind of place a location is.
    LocationKind = "kind of location" {
        /// A site: one or more buildings.
        Site = "site",
        /// A building.
        Building = "building",
        /// A room.
        Room = "room",
        /// A safe or strongbox.
        Safe = "safe",
        /// A rack or cabinet.
        Rack = "rack",
        /// A region of a cloud or hosting provider.
        Virtual = "virtual",
    }
    /// The language of a policy document.
    PolicyFormat = "policy format" {
        /// Prose.
        Text = "text",
        /// Prose in Markdown.
        Markdown = "markdown",
        /// Cedar.
        Cedar = "cedar",
        /// Rego.
        Rego = "rego",
        /// JSON.
        Json = "json",
        /// TOML.
        Toml = "toml",
    }
    /// What relates two parties.
    RelationshipKind = "kind of relationship" {
        /// The subject lets the object act for it.
        DelegatesTo = "delegates-to",
        /// The subject answers to the object.
        ReportsTo = "reports-to",
        /// The subject stands in for the object when it is away.
        DeputyOf = "deputy-of",
        /// The subject keeps something safe for the object.
        CustodianOf = "custodian-of",
        /// The subject belongs to the object.
        MemberOf = "member-of",
        /// The subject relies on what the object signs.
        Trusts = "trusts",
        /// The subject supplies the object.
        SuppliesTo = "supplies-to",
    }
    /// The place of a certificate in its chain.
    CertificateKind = "kind of certificate" {
        /// Signed by its own key.
        Root = "root",
        /// Signs others, signed by another.
        Intermediate = "intermediate",
        /// Signs nothing.
        Leaf = "leaf",
    }
    /// What a certificate is good for: extended key usages of RFC 5280.
    CertificatePurpose = "certificate purpose" {
        /// id-kp-serverAuth.
        ServerAuth = "server-auth",
        /// id-kp-clientAuth.
        ClientAuth = "client-auth",
        /// id-kp-codeSigning.
        CodeSigning = "code-signing",
        /// id-kp-emailProtection.
        EmailProtection = "email-protection",
        /// Signing certificates (keyCertSign).
        CertSign = "cert-sign",
        /// Signing revocation lists (cRLSign).
        CrlSign = "crl-sign",
    }
    /// An application on a YubiKey.
    YubiKeyApplication = "YubiKey application" {
        /// PIV smart card.
        Piv = "piv",
        /// FIDO2.
        Fido2 = "fido2",
        /// OpenPGP card.
        OpenPgp = "openpgp",
    }
    /// The algorithm of a PIV management key.
    ManagementKeyAlgorithm = "management key algorithm" {
        /// Triple DES.
        TripleDes = "3des",
        /// AES with 128 bits.
        Aes128 = "aes-128",
        /// AES with 192 bits.
        Aes192 = "aes-192",
        /// AES with 256 bits.
        Aes256 = "aes-256",
    }
    /// A PIV slot (NIST SP 800-73).
    PivSlot = "PIV slot" {
        /// 9a: authentication.
        Authentication = "9a",
        /// 9c: digital signature.
        Signature = "9c",
        /// 9d: key management.
        KeyManagement = "9d",
        /// 9e: card authentication.
        CardAuthentication = "9e",
    }
    /// When a YubiKey asks for the PIN.
    PinPolicy = "PIN policy" {
        /// Never.
        Never = "never",
        /// Once a session.
        Once = "once",
        /// At each use.
        Always = "always",
    }
    /// When a YubiKey asks for a touch.
    TouchPolicy = "touch policy" {
        /// Never.
        Never = "never",
        /// At each use.
        Always = "always",
        /// At a use more than 15 seconds after the last touch.
        Cached = "cached",
    }
    /// What an nkey identifies.
    NkeyKind = "kind of nkey" {
        /// O….
        Operator = "operator",
        /// A….
        Account = "account",
        /// U….
        User = "user",
        /// N….
        Server = "server",
        /// C….
        Cluster = "cluster",
        /// X…: an X25519 key.
        Curve = "curve",
    }
    /// What kind of JWT of the NATS hierarchy it is.
    JwtKind = "kind of JWT" {
        /// Of an operator.
        Operator = "operator",
        /// Of an account.
        Account = "account",
        /// Of a user.
        User = "user",
        /// Lets one account import from another.
        Activation = "activation",
        /// Anything else, such as a signed request.
        Generic = "generic",
    }
    /// What another ledger is to this one.
    LedgerRelation = "relation of ledgers" {
        /// It decides above this one.
        Parent = "parent",
        /// It decides below this one.
        Child = "child",
        /// Neither is above the other.
        Peer = "peer",
        /// It cosigns this one's checkpoints.
        Witness = "witness",
    }
}
