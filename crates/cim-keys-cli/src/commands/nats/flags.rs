//! Flags that several commands share: what users may do, and what accounts may use.

use cim_keys::nats::claims::{Account, AccountLimits, JetStreamLimits, ResponsePermission, TimeRange, UserPermissions};
use clap::Args;

/// What a user may do: of a user itself, or of a role. Lists are added to; `--clear-permissions` empties them first.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Permissions")]
pub(crate) struct PermissionArgs {
    /// Allow publishing to these subjects
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    allow_pub: Vec<String>,
    /// Deny publishing to these subjects
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    deny_pub: Vec<String>,
    /// Allow subscribing to these subjects; "SUBJECT QUEUE" for a queue group
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    allow_sub: Vec<String>,
    /// Deny subscribing to these subjects
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    deny_sub: Vec<String>,
    /// Allow publishing and subscribing to these subjects
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    allow_pubsub: Vec<String>,
    /// Deny publishing and subscribing to these subjects
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    deny_pubsub: Vec<String>,
    /// Forget the subjects of before
    #[arg(long)]
    clear_permissions: bool,
    /// Allow so many replies to each message that comes with a reply subject; -1 for no limit
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", allow_negative_numbers = true)]
    allow_pub_response: Option<i64>,
    /// How long replies are allowed, such as 5s or 2m
    #[arg(long, value_name = "DURATION", requires = "allow_pub_response", value_parser = duration)]
    response_ttl: Option<i64>,
    /// Connect only from these networks, such as 192.0.2.0/24
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    source_network: Vec<String>,
    /// Connect only at these times of day: 08:00:00-17:30:00
    #[arg(long, value_name = "START-END", value_delimiter = ',', value_parser = time_range)]
    time: Vec<TimeRange>,
    /// The IANA time zone of --time, such as Europe/Amsterdam
    #[arg(long, value_name = "ZONE")]
    locale: Option<String>,
    /// Connect only so: STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    conn_type: Vec<String>,
    /// Subscriptions at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    subs: Option<i64>,
    /// Bytes at most; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    data: Option<i64>,
    /// Bytes of a message at most; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    payload: Option<i64>,
    /// Let the token alone be a credential, without a key
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    bearer: Option<bool>,
    /// Demand that the user comes through a trusted proxy
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    proxy_required: Option<bool>,
}

impl PermissionArgs {
    /// Puts what was given into what a user may do.
    pub(crate) fn apply(&self, to: &mut UserPermissions) {
        if self.clear_permissions {
            (to.r#pub, to.sub, to.resp) = Default::default();
        }
        add(&mut to.r#pub.allow, self.allow_pub.iter().chain(&self.allow_pubsub));
        add(&mut to.r#pub.deny, self.deny_pub.iter().chain(&self.deny_pubsub));
        add(&mut to.sub.allow, self.allow_sub.iter().chain(&self.allow_pubsub));
        add(&mut to.sub.deny, self.deny_sub.iter().chain(&self.deny_pubsub));
        if let Some(max) = self.allow_pub_response {
            to.resp = Some(ResponsePermission { max, ttl: self.response_ttl.unwrap_or_default() });
        }
        replace(&mut to.src, &self.source_network);
        replace(&mut to.times, &self.time);
        replace(&mut to.allowed_connection_types, &self.conn_type);
        set(&mut to.times_location, self.locale.as_ref());
        set(&mut to.subs, self.subs.as_ref());
        set(&mut to.data, self.data.as_ref());
        set(&mut to.payload, self.payload.as_ref());
        set(&mut to.bearer_token, self.bearer.as_ref());
        set(&mut to.proxy_required, self.proxy_required.as_ref());
    }
}

/// What an account may use.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Connections at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    conns: Option<i64>,
    /// Leaf node connections at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    leaf_conns: Option<i64>,
    /// Subscriptions at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    subscriptions: Option<i64>,
    /// Bytes at most; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    data: Option<i64>,
    /// Bytes of a message at most; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    payload: Option<i64>,
    /// Imports at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    imports: Option<i64>,
    /// Exports at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    exports: Option<i64>,
    /// Whether exports may hold wildcards
    #[arg(long, value_name = "BOOL")]
    wildcard_exports: Option<bool>,
    /// Refuse users whose token alone is a credential
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disallow_bearer: Option<bool>,
    /// Let JetStream be used without limits; the flags below set some
    #[arg(long)]
    js_enable: bool,
    /// Switch JetStream off
    #[arg(long, conflicts_with = "js_enable")]
    js_disable: bool,
    /// Bytes in memory; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    js_mem_storage: Option<i64>,
    /// Bytes on disk; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    js_disk_storage: Option<i64>,
    /// Streams; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    js_streams: Option<i64>,
    /// Consumers; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    js_consumer: Option<i64>,
    /// Let the JetStream flags count for streams with so many replicas, as a tier of their own
    #[arg(long, value_name = "REPLICAS")]
    js_tier: Option<u8>,
}

impl LimitArgs {
    /// Puts what was given into an account's claims.
    pub(crate) fn apply(&self, account: &mut Account) {
        let limits = &mut account.limits;
        set(&mut limits.conn, self.conns.as_ref());
        set(&mut limits.leaf, self.leaf_conns.as_ref());
        set(&mut limits.subs, self.subscriptions.as_ref());
        set(&mut limits.data, self.data.as_ref());
        set(&mut limits.payload, self.payload.as_ref());
        set(&mut limits.imports, self.imports.as_ref());
        set(&mut limits.exports, self.exports.as_ref());
        set(&mut limits.wildcards, self.wildcard_exports.as_ref());
        set(&mut limits.disallow_bearer, self.disallow_bearer.as_ref());
        self.apply_jetstream(limits);
    }

    fn apply_jetstream(&self, limits: &mut AccountLimits) {
        if self.js_disable {
            limits.jetstream = JetStreamLimits::default();
            limits.tiered_limits.clear();
        }
        let given = [self.js_mem_storage, self.js_disk_storage, self.js_streams, self.js_consumer];
        if !self.js_enable && given.iter().all(Option::is_none) {
            return;
        }
        let slot = match self.js_tier {
            None => &mut limits.jetstream,
            Some(replicas) => limits.tiered_limits.entry(format!("R{replicas}")).or_default(),
        };
        if self.js_enable || *slot == JetStreamLimits::default() {
            *slot = JetStreamLimits::UNLIMITED;
        }
        set(&mut slot.mem_storage, self.js_mem_storage.as_ref());
        set(&mut slot.disk_storage, self.js_disk_storage.as_ref());
        set(&mut slot.streams, self.js_streams.as_ref());
        set(&mut slot.consumer, self.js_consumer.as_ref());
    }
}

/// Tags, in lower case.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TagArgs {
    /// Add tags, in lower case; KEY:VALUE for templates
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,
    /// Remove tags
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    rm_tag: Vec<String>,
}

impl TagArgs {
    /// Adds and removes.
    pub(crate) fn apply(&self, tags: &mut Vec<String>) {
        let folded = |tags: &[String]| tags.iter().map(|tag| tag.trim().to_lowercase()).collect::<Vec<_>>();
        add(tags, folded(&self.tag).iter());
        let removed = folded(&self.rm_tag);
        tags.retain(|tag| !removed.contains(tag));
    }
}

fn add<'t>(to: &mut Vec<String>, items: impl Iterator<Item = &'t String>) {
    for item in items {
        if !to.contains(item) {
            to.push(item.clone());
        }
    }
}

fn replace<T: Clone>(to: &mut Vec<T>, by: &[T]) {
    if !by.is_empty() {
        *to = by.to_vec();
    }
}

fn set<T: Clone>(to: &mut T, by: Option<&T>) {
    if let Some(by) = by {
        to.clone_from(by);
    }
}

fn time_range(text: &str) -> Result<TimeRange, String> {
    let (start, end) = text.split_once('-').ok_or("write it as 08:00:00-17:30:00")?;
    Ok(TimeRange { start: start.to_owned(), end: end.to_owned() })
}

/// A duration in nanoseconds: a number with ms, s, m or h.
fn duration(text: &str) -> Result<i64, String> {
    let wrong = || "write it as 500ms, 5s, 2m or 1h".to_owned();
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let unit: i64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}
