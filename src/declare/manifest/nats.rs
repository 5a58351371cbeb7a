//! The `[nats]` part of an apply file, in the words of the file and of its normal form alike.

mod subjects;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use subjects::{AllowDeny, Replies, Subjects};
pub(crate) use users::TimeText;
pub use users::{Fleet, MAX_FLEET, Permissions, Role, User};

use super::absent::{is_default, is_no_limit, no_limit};
use super::names::EntryName;
use crate::nats::claims::{ClusterTraffic, ExportType, JetStreamLimits, ResponseType, Sampling, ServiceLatency};
use crate::text::{Label, Name, Note, Url};

/// `[nats]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nats {
    /// `[nats.operator]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// `[nats.accounts.NAME]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accounts: BTreeMap<EntryName, Account>,
}

/// The operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Its name.
    pub name: Name,
    /// What the system account is called, where no account of the file is it; `SYS` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_account: Option<Name>,
    /// The custody compartment of its signing key; `issuing` when absent, `root` for a cold one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<Label>,
    /// Whether servers shall refuse what identity keys sign.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict: bool,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service_urls: BTreeSet<Url>,
    /// Where account tokens are looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_server_url: Option<Url>,
    /// The oldest server that may be used.
    #[serde(default, skip_serializing_if = "is_default")]
    pub assert_server_version: String,
    /// Tags.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: BTreeSet<String>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name; the entry's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// Where people find out more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub info_url: String,
    /// Whether it is the system account.
    #[serde(default, skip_serializing_if = "is_default")]
    pub system: bool,
    /// Whether it has a plain signing key beside its identity key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub signing_key: bool,
    /// What it may use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// JetStream, switched on by being there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jetstream: Option<JetStream>,
    /// JetStream by replication: `R1`, `R3`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tiers: BTreeMap<String, JetStream>,
    /// What users without permissions of their own may do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub default_permissions: Subjects,
    /// What others may import, by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exports: BTreeMap<String, Export>,
    /// What comes from others, by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub imports: BTreeMap<String, Import>,
    /// Where subjects are mapped to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mappings: BTreeMap<String, Vec<Mapping>>,
    /// A service that decides who may connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_callout: Option<AuthCallout>,
    /// Where traces of messages go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Whose bandwidth replication is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_traffic: Option<ClusterTraffic>,
    /// Tags.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: BTreeSet<String>,
    /// Roles: scoped signing keys.
    #[serde(default, skip_serializing_if = "is_default")]
    pub roles: BTreeMap<EntryName, Role>,
    /// Users.
    #[serde(default, skip_serializing_if = "is_default")]
    pub users: BTreeMap<EntryName, User>,
    /// Users by the number.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fleets: BTreeMap<EntryName, Fleet>,
}

macro_rules! limits {
    ($(#[$of:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)+ } $($rest:tt)*) => {
        $(#[$of])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$doc])* #[serde(default = "no_limit", skip_serializing_if = "is_no_limit")] pub $field: i64,)+
            $($rest)*
        }
    };
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}

limits! {
    /// What an account may use; absent is no limit.
    Limits {
        /// Connections.
        connections,
        /// Leaf node connections.
        leaf_connections,
        /// Subscriptions.
        subscriptions,
        /// Bytes.
        data,
        /// Bytes of one message.
        payload,
        /// Imports.
        imports,
        /// Exports.
        exports,
    }
    /// Whether exports may hold wildcards.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub wildcard_exports: bool,
    /// Whether bearer users are refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disallow_bearer: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: -1,
            leaf_connections: -1,
            subscriptions: -1,
            data: -1,
            payload: -1,
            imports: -1,
            exports: -1,
            wildcard_exports: true,
            disallow_bearer: false,
        }
    }
}

limits! {
    /// JetStream limits; absent is no limit.
    JetStream {
        /// Bytes in memory.
        memory,
        /// Bytes on disk.
        disk,
        /// Streams.
        streams,
        /// Consumers.
        consumers,
    }
    /// Unacknowledged messages of a consumer; 0 is no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
    /// Bytes of one stream in memory; 0 is no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_memory_stream: i64,
    /// Bytes of one stream on disk; 0 is no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_disk_stream: i64,
    /// Whether each stream must say how large it may get.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_bytes_required: bool,
}

impl From<JetStreamLimits> for JetStream {
    fn from(it: JetStreamLimits) -> Self {
        Self {
            memory: it.mem_storage,
            disk: it.disk_storage,
            streams: it.streams,
            consumers: it.consumer,
            max_ack_pending: it.max_ack_pending,
            max_memory_stream: it.mem_max_stream_bytes,
            max_disk_stream: it.disk_max_stream_bytes,
            max_bytes_required: it.max_bytes_required,
        }
    }
}

impl From<JetStream> for JetStreamLimits {
    fn from(it: JetStream) -> Self {
        Self {
            mem_storage: it.memory,
            disk_storage: it.disk,
            streams: it.streams,
            consumer: it.consumers,
            max_ack_pending: it.max_ack_pending,
            mem_max_stream_bytes: it.max_memory_stream,
            disk_max_stream_bytes: it.max_disk_stream,
            max_bytes_required: it.max_bytes_required,
        }
    }
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The subject.
    pub subject: String,
    /// Stream or service.
    pub r#type: ExportType,
    /// Whether an importer needs an activation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub private: bool,
    /// How a service answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_type: Option<ResponseType>,
    /// How long a service may take, in milliseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_threshold_ms: i64,
    /// Where a service's latency is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Which token of the subject must be the importer's account.
    #[serde(default, skip_serializing_if = "is_default")]
    pub account_token_position: u32,
    /// Whether others may know of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub advertise: bool,
    /// Whether message traces may enter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_trace: bool,
    /// What it is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: String,
    /// Where people find out more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub info_url: String,
}

/// Where a service's latency is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The subject.
    pub subject: String,
    /// How many requests are measured: a percentage, or `"headers"`.
    pub sampling: Sampling,
}

impl From<ServiceLatency> for Latency {
    fn from(it: ServiceLatency) -> Self {
        Self { subject: it.results, sampling: it.sampling }
    }
}

/// An import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The subject, as it is exported.
    pub subject: String,
    /// The account that exports: the name of an entry, or a public key.
    pub account: String,
    /// Stream or service.
    pub r#type: ExportType,
    /// The subject on this side.
    #[serde(default, skip_serializing_if = "is_default")]
    pub local_subject: String,
    /// The activation, where an account of elsewhere asks for one: its text, which the normal form has as the content
    /// identifier of the text.
    #[serde(default, skip_serializing_if = "is_default")]
    pub activation: String,
    /// Whether a service learns who asks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub share: bool,
    /// Whether message traces may come along.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_trace: bool,
}

/// One target of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The subject.
    pub subject: String,
    /// A percentage.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub weight: u8,
    /// Only in this cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cluster: String,
}

const fn all() -> u8 {
    100
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_all(weight: &u8) -> bool {
    *weight == 100
}

/// A service that decides who may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthCallout {
    /// Its own users: names of entries of the account, or public keys.
    pub users: BTreeSet<String>,
    /// Accounts that it may put users into: names of entries, public keys, or `*` alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_accounts: BTreeSet<String>,
    /// `generate`, or a public key (`X…`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub xkey: String,
}

/// Where traces of messages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The subject.
    pub subject: String,
    /// A percentage.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub sampling: u8,
}
