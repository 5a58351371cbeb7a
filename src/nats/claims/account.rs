//! An account's claims.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::activation::ExportType;
use super::common::{Body, Extra, Generic, NO_LIMIT, body, is_zero, null_is_default};
use super::import_token::ImportToken;
use super::user::{Permissions, UserPermissions};

/// What people may know about an account or export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// What it is, at most 8 KiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where there is more, at most 8 KiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub info_url: String,
}

/// Public keys, or `*` for all, and the second up to which what was issued to them is revoked.
pub type Revocations = BTreeMap<String, i64>;

/// JetStream limits, of an account or of one tier. All zero is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JetStreamLimits {
    /// Bytes in memory over all streams; 0 is none, -1 no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mem_storage: i64,
    /// Bytes on disk over all streams; 0 is none, -1 no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disk_storage: i64,
    /// Streams; -1 no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub streams: i64,
    /// Consumers; -1 no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub consumer: i64,
    /// Unacknowledged messages of a consumer; 0 no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    /// Bytes of one stream in memory; 0 no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mem_max_stream_bytes: i64,
    /// Bytes of one stream on disk; 0 no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disk_max_stream_bytes: i64,
    /// Whether each stream must set `max_bytes`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_bytes_required: bool,
}

impl JetStreamLimits {
    /// Everything allowed.
    pub const UNLIMITED: Self = Self {
        mem_storage: NO_LIMIT,
        disk_storage: NO_LIMIT,
        streams: NO_LIMIT,
        consumer: NO_LIMIT,
        max_ack_pending: 0,
        mem_max_stream_bytes: 0,
        disk_max_stream_bytes: 0,
        max_bytes_required: false,
    };
}

/// An account's limits. The default is what the server makes of absent ones: everything zero, and no connection
/// accepted; [`AccountLimits::unlimited`] is what an account starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLimits {
    /// Subscriptions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub subs: i64,
    /// Bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub data: i64,
    /// Bytes of one message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub payload: i64,
    /// Imports.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub imports: i64,
    /// Exports.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exports: i64,
    /// Whether exports may hold wildcards.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wildcards: bool,
    /// Whether bearer users are refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disallow_bearer: bool,
    /// Connections.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conn: i64,
    /// Leaf node connections.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leaf: i64,
    /// JetStream without tiers.
    #[serde(flatten)]
    pub jetstream: JetStreamLimits,
    /// JetStream by replication: `R1`, `R3`. Excludes the flat limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub tiered_limits: BTreeMap<String, JetStreamLimits>,
}

impl AccountLimits {
    /// Nothing limited; JetStream off.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            subs: NO_LIMIT,
            data: NO_LIMIT,
            payload: NO_LIMIT,
            imports: NO_LIMIT,
            exports: NO_LIMIT,
            wildcards: true,
            disallow_bearer: false,
            conn: NO_LIMIT,
            leaf: NO_LIMIT,
            jetstream: JetStreamLimits::default(),
            tiered_limits: BTreeMap::new(),
        }
    }
}

/// How a service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseType {
    /// Once.
    Singleton,
    /// Many times.
    Stream,
    /// Once, in parts.
    Chunked,
}

/// How many requests are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Those whose headers ask for it.
    Headers,
    /// A percentage, 1 to 100.
    Percent(u8),
}

impl Serialize for Sampling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Headers => serializer.serialize_str("headers"),
            Self::Percent(percent) => serializer.serialize_u8(*percent),
        }
    }
}

impl<'de> Deserialize<'de> for Sampling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u8),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(0) => Ok(Self::Headers),
            Written::Number(percent @ 1..=100) => Ok(Self::Percent(percent)),
            Written::Word(word) if word.eq_ignore_ascii_case("headers") => Ok(Self::Headers),
            _ => Err(serde::de::Error::custom("sampling is a percentage from 1 to 100, or \"headers\"")),
        }
    }
}

/// Where a service's latency is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLatency {
    /// How many requests are measured.
    pub sampling: Sampling,
    /// The subject of the measurements.
    pub results: String,
}

/// What other accounts may import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The subject.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Stream or service.
    pub r#type: ExportType,
    /// Whether an importer needs an activation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub token_req: bool,
    /// Importers whose activations are revoked.
    #[serde(default, skip_serializing_if = "Revocations::is_empty", deserialize_with = "null_is_default")]
    pub revocations: Revocations,
    /// How a service answers; [`ResponseType::Singleton`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_type: Option<ResponseType>,
    /// How long a service may take, in nanoseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub response_threshold: i64,
    /// Where a service's latency is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_latency: Option<ServiceLatency>,
    /// Which token of the subject must be the importer's account, from 1; 0 is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub account_token_position: u32,
    /// Whether others may know of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub advertise: bool,
    /// Whether message traces may enter.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub allow_trace: bool,
    /// What people may know.
    #[serde(flatten)]
    pub info: Info,
}

/// What comes from another account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The subject, as the one who publishes sees it: the exporter of a stream, the importer of a service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The exporting account (`A…`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The activation, where one is needed.
    #[serde(default, skip_serializing_if = "ImportToken::is_none")]
    pub token: ImportToken,
    /// What `local_subject` replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// The subject on this side; `$1` names the first wildcard of `subject`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub local_subject: String,
    /// Stream or service.
    pub r#type: ExportType,
    /// Whether a service learns who asks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub share: bool,
    /// Whether message traces may come along.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub allow_trace: bool,
}

/// Where a subject is mapped to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedMapping {
    /// The subject.
    pub subject: String,
    /// A percentage; 0 or absent is 100.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight: u8,
    /// Only in this cluster.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// A service that decides who may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalAuthorization {
    /// Users (`U…`) that bypass it: the service itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub auth_users: Vec<String>,
    /// Accounts (`A…`) that it may put users into, or `*` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub allowed_accounts: Vec<String>,
    /// The key (`X…`) that requests are encrypted to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

/// Where traces of messages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageTrace {
    /// The subject.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dest: String,
    /// A percentage, 1 to 100; 0 is 100.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sampling: u8,
}

/// A key that signs users: plain, or with a role that fixes what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningKey {
    /// Signs users as they are.
    Plain(String),
    /// Signs users that have no permissions of their own.
    Scoped(Box<UserScope>),
}

impl SigningKey {
    /// The public key (`A…`).
    #[must_use]
    pub fn public_key(&self) -> &str {
        match self {
            Self::Plain(key) => key,
            Self::Scoped(scope) => &scope.key,
        }
    }
}

/// A scope: what the users of a signing key may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserScope {
    /// `user_scope`, the only kind there is.
    kind: ScopeKind,
    /// The signing key (`A…`).
    pub key: String,
    /// The role's name.
    #[serde(default)]
    pub role: String,
    /// What its users may do; subjects may hold `{{name()}}` and the like.
    #[serde(default)]
    pub template: UserPermissions,
    /// What the role is for.
    #[serde(default)]
    pub description: String,
}

impl UserScope {
    /// A scope for a signing key.
    #[must_use]
    pub fn new(key: &str, role: &str, template: UserPermissions, description: &str) -> Self {
        Self {
            kind: ScopeKind::UserScope,
            key: key.to_owned(),
            role: role.to_owned(),
            template,
            description: description.to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScopeKind {
    UserScope,
}

impl Serialize for SigningKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(key) => serializer.serialize_str(key),
            Self::Scoped(scope) => scope.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SigningKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Plain(String),
            Scoped(Box<UserScope>),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Plain(key) => Self::Plain(key),
            Written::Scoped(scope) => Self::Scoped(scope),
        })
    }
}

/// Whose bandwidth an account's replication between servers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterTraffic {
    /// The system account's.
    System,
    /// The account's own.
    Owner,
}

/// The body of an account token. Exports and imports are sorted by subject, signing keys by key, when it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What comes from other accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub imports: Vec<Import>,
    /// What other accounts may import.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub exports: Vec<Export>,
    /// Limits; written even when empty.
    #[serde(default)]
    pub limits: AccountLimits,
    /// Keys that sign users beside the identity key.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub signing_keys: Vec<SigningKey>,
    /// Users (`U…`, or `*`) that are cut off, and up to which second of issue.
    #[serde(default, skip_serializing_if = "Revocations::is_empty", deserialize_with = "null_is_default")]
    pub revocations: Revocations,
    /// What users without permissions of their own may do; written even when empty.
    #[serde(default)]
    pub default_permissions: Permissions,
    /// Where subjects are mapped to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub mappings: BTreeMap<String, Vec<WeightedMapping>>,
    /// A service that decides who may connect; written even when empty.
    #[serde(default)]
    pub authorization: ExternalAuthorization,
    /// Where traces of messages go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<MessageTrace>,
    /// Whose bandwidth replication is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_traffic: Option<ClusterTraffic>,
    /// What people may know.
    #[serde(flatten)]
    pub info: Info,
    /// The common fields.
    #[serde(flatten)]
    pub generic: Generic,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Account {
    /// Puts lists into the order in which they are written.
    pub fn normalize(&mut self) {
        self.imports.sort_by(|a, b| a.subject.cmp(&b.subject));
        self.exports.sort_by(|a, b| a.subject.cmp(&b.subject));
        self.signing_keys.sort_by(|a, b| a.public_key().cmp(b.public_key()));
    }
}

body!(
    Account,
    "account",
    &['A'],
    &['A', 'O'],
    fn take_texts(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        for import in &mut self.imports {
            let record = import.token.to_record();
            if let ImportToken::Text(text) = std::mem::replace(&mut import.token, record) {
                texts.push(text);
            }
        }
        texts
    },
    fn is_for_servers(&self) -> bool {
        !self.imports.iter().any(|import| matches!(import.token, ImportToken::Reference(_)))
    }
);
