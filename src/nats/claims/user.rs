//! A user's claims, and what a user may do.

use serde::{Deserialize, Serialize};

use super::common::{Body, Extra, Generic, NO_LIMIT, body, is_zero, null_is_default};

/// How a client may connect, as `allowed_connection_types` names it.
pub const CONNECTION_TYPES: &[&str] =
    &["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];

/// Subjects that are allowed and denied. Nothing allowed and nothing denied allows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Allowed subjects; for subscriptions `subject queue` names a queue too.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub allow: Vec<String>,
    /// Denied subjects; a denial wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub deny: Vec<String>,
}

/// How far a reply subject may be published to that came with a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponsePermission {
    /// How many replies; -1 for no limit, 0 for the server's default of 1.
    #[serde(default)]
    pub max: i64,
    /// For how long, in nanoseconds; 0 for the server's default of two minutes.
    #[serde(default)]
    pub ttl: i64,
}

/// What may be published and subscribed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Publishing.
    #[serde(default)]
    pub r#pub: Permission,
    /// Subscribing.
    #[serde(default)]
    pub sub: Permission,
    /// Replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resp: Option<ResponsePermission>,
}

/// A span of the day, in the user's time zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// `HH:MM:SS`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub start: String,
    /// `HH:MM:SS`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub end: String,
}

/// What a user may do: of a user itself, or the template of a scoped signing key.
///
/// The default is the empty one, which a user signed by a scoped key must have; [`UserPermissions::unlimited`] is what any
/// other user starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPermissions {
    // Not a flattened `Permissions`: serde hands what a flattened struct flattens itself to `extra` as well.
    /// Publishing.
    #[serde(default)]
    pub r#pub: Permission,
    /// Subscribing.
    #[serde(default)]
    pub sub: Permission,
    /// Replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resp: Option<ResponsePermission>,
    /// Networks (CIDR) from which the user may connect; empty is anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub src: Vec<String>,
    /// When the user may connect; empty is always.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub times: Vec<TimeRange>,
    /// The IANA time zone of `times`; empty is the server's.
    #[serde(default, rename = "times_location", skip_serializing_if = "String::is_empty")]
    pub times_location: String,
    /// Subscriptions; -1 for no limit, 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub subs: i64,
    /// Bytes; -1 for no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub data: i64,
    /// Bytes of one message; -1 for no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub payload: i64,
    /// Whether the token alone is a credential.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bearer_token: bool,
    /// Whether the user must come through a trusted proxy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub proxy_required: bool,
    /// Of [`CONNECTION_TYPES`]; empty is any.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub allowed_connection_types: Vec<String>,
}

impl UserPermissions {
    /// Everything allowed, nothing limited.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { subs: NO_LIMIT, data: NO_LIMIT, payload: NO_LIMIT, ..Self::default() }
    }
}

/// The body of a user token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// What the user may do; empty where a scoped key signs.
    #[serde(flatten)]
    pub permissions: UserPermissions,
    /// The account (`A…`), where one of its signing keys signs and not its identity key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// The common fields.
    #[serde(flatten)]
    pub generic: Generic,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Extra,
}

body!(User, "user", &['U'], &['A']);
