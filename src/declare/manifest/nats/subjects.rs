//! Subjects that may be used, and replies that may be sent.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::absent::is_default;
use crate::nats::claims::Permission;

/// Subjects that are allowed and denied, and replies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subjects {
    /// Publishing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub publish: AllowDeny,
    /// Subscribing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subscribe: AllowDeny,
    /// Replies to those who ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies: Option<Replies>,
}

/// Subjects that are allowed and denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowDeny {
    /// Allowed; everything when nothing is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow: BTreeSet<String>,
    /// Denied, whatever is allowed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deny: BTreeSet<String>,
}

impl From<&Permission> for AllowDeny {
    fn from(it: &Permission) -> Self {
        Self { allow: it.allow.iter().cloned().collect(), deny: it.deny.iter().cloned().collect() }
    }
}

impl From<&AllowDeny> for Permission {
    fn from(it: &AllowDeny) -> Self {
        Self { allow: it.allow.iter().cloned().collect(), deny: it.deny.iter().cloned().collect() }
    }
}

/// How many replies are allowed, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replies {
    /// How many; -1 for no limit.
    pub max: i64,
    /// For how long, in milliseconds; the server's default when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ttl_ms: i64,
}
