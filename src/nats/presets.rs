//! Permissions of least privilege for what cim-keys itself needs of a deployment.

use std::fmt;
use std::str::FromStr;

use super::claims::UserPermissions;

/// A user with one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Takes account tokens to servers, and proves that they hold them: a user of the system account.
    Pusher,
    /// Publishes a ledger's events.
    Publisher,
    /// Reads the events by a durable consumer of its own, and acts on them.
    Subscriber,
    /// Reads the events, and leaves nothing behind.
    Auditor,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pusher, Self::Publisher, Self::Subscriber, Self::Auditor];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pusher => "pusher",
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
            Self::Auditor => "auditor",
        }
    }

    /// For how many seconds such a user is good when nothing else is said; `None` for as long as it is not revoked.
    ///
    /// Who may replace account tokens, and who only looks in, get a month. Services go on.
    #[must_use]
    pub const fn lifetime_secs(self) -> Option<i64> {
        match self {
            Self::Pusher | Self::Auditor => Some(30 * 24 * 60 * 60),
            Self::Publisher | Self::Subscriber => None,
        }
    }

    /// What it may do, with the default names of stream, subjects and bucket.
    #[must_use]
    pub fn permissions(self) -> UserPermissions {
        let (allow_pub, allow_sub): (&[&str], &[&str]) = match self {
            Self::Pusher => (PUSH, &[INBOX]),
            Self::Publisher => (PUBLISH, &[INBOX]),
            Self::Subscriber => (READ, &["cim.keys.>", "cim.checkpoints.>", INBOX]),
            Self::Auditor => (READ, &[INBOX]),
        };
        let mut permissions = UserPermissions::unlimited();
        permissions.r#pub.allow = allow_pub.iter().map(ToString::to_string).collect();
        permissions.sub.allow = allow_sub.iter().map(ToString::to_string).collect();
        if self == Self::Subscriber {
            permissions.r#pub.allow.extend(ACKNOWLEDGE.iter().map(ToString::to_string));
        }
        permissions
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = crate::text::InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            crate::text::InvalidText::new("preset", text, format!("one of these is needed: {known}"))
        })
    }
}

const INBOX: &str = "_INBOX.>";

const PUSH: &[&str] = &[
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.CLAIMS.LIST",
    "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
    "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
    "$SYS.REQ.ACCOUNT.*.INFO",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.SERVER.PING.VARZ",
];

/// What docs/NATS_INTEGRATION.md lists.
const PUBLISH: &[&str] = &[
    "cim.keys.>",
    "cim.checkpoints.>",
    "$JS.API.STREAM.INFO.CIM_KEYS_EVENTS",
    "$JS.API.STREAM.MSG.GET.CIM_KEYS_EVENTS",
    "$JS.API.STREAM.CREATE.CIM_KEYS_EVENTS",
    "$O.cim-keys-objects.>",
    "$JS.API.STREAM.INFO.OBJ_cim-keys-objects",
    "$JS.API.STREAM.MSG.GET.OBJ_cim-keys-objects",
    "$JS.API.DIRECT.GET.OBJ_cim-keys-objects.>",
    "$JS.API.STREAM.PURGE.OBJ_cim-keys-objects",
    "$JS.API.STREAM.CREATE.OBJ_cim-keys-objects",
    "$JS.API.STREAM.NAMES",
];

const READ: &[&str] = &[
    "$JS.API.STREAM.INFO.CIM_KEYS_EVENTS",
    "$JS.API.STREAM.MSG.GET.CIM_KEYS_EVENTS",
    "$JS.API.DIRECT.GET.CIM_KEYS_EVENTS",
    "$JS.API.DIRECT.GET.CIM_KEYS_EVENTS.>",
    "$JS.API.CONSUMER.CREATE.CIM_KEYS_EVENTS",
    "$JS.API.CONSUMER.CREATE.CIM_KEYS_EVENTS.>",
    "$JS.API.CONSUMER.INFO.CIM_KEYS_EVENTS.*",
    "$JS.API.CONSUMER.MSG.NEXT.CIM_KEYS_EVENTS.*",
    "$JS.API.CONSUMER.DELETE.CIM_KEYS_EVENTS.*",
    "$JS.FC.CIM_KEYS_EVENTS.>",
    "$JS.API.STREAM.INFO.OBJ_cim-keys-objects",
    "$JS.API.STREAM.MSG.GET.OBJ_cim-keys-objects",
    "$JS.API.DIRECT.GET.OBJ_cim-keys-objects.>",
    "$JS.API.CONSUMER.CREATE.OBJ_cim-keys-objects",
    "$JS.API.CONSUMER.CREATE.OBJ_cim-keys-objects.>",
    "$JS.API.CONSUMER.DELETE.OBJ_cim-keys-objects.*",
    "$JS.FC.OBJ_cim-keys-objects.>",
];

const ACKNOWLEDGE: &[&str] = &["$JS.ACK.CIM_KEYS_EVENTS.>", "$JS.API.CONSUMER.DURABLE.CREATE.CIM_KEYS_EVENTS.*"];

#[cfg(test)]
mod tests {
    use super::super::check::{SignedBy, check_user};
    use super::super::claims::{Claims, Registered, User};
    use super::*;

    #[test]
    fn every_preset_is_well_formed_and_allows_something() {
        for preset in Preset::ALL {
            assert_eq!(preset.as_str().parse::<Preset>().ok(), Some(preset));
            let nats = User { permissions: preset.permissions(), ..User::default() };
            let claims = Claims { registered: Registered { name: preset.to_string(), ..Registered::default() }, nats };
            assert_eq!(check_user(&claims, SignedBy::Identity), []);
            assert!(!claims.nats.permissions.r#pub.allow.is_empty());
        }
    }
}
