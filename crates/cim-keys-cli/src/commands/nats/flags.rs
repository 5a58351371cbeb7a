//! Flags that several commands share: what users may do, what accounts may use, and until when.

mod account;
mod expiry;

pub(crate) use account::AccountArgs;
pub(crate) use expiry::{Expiry, OverlapArgs, span};

use cim_keys::nats::claims::{Permission, ResponsePermission, TimeRange, UserPermissions};
use clap::Args;

/// Subjects that are allowed and denied. Lists are added to; `--rm` and `--clear-permissions` take away first.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Permissions")]
pub(crate) struct SubjectArgs {
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
    /// Say nothing of these subjects any more
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    rm: Vec<String>,
    /// Forget the subjects and replies of before
    #[arg(long)]
    clear_permissions: bool,
    /// Allow so many replies to each message that comes with a reply subject; -1 for no limit
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", allow_negative_numbers = true)]
    allow_pub_response: Option<i64>,
    /// How long replies are allowed, such as 5s or 2m
    #[arg(long, value_name = "DURATION", requires = "allow_pub_response", value_parser = duration)]
    response_ttl: Option<i64>,
}

impl SubjectArgs {
    /// Puts what was given into permissions.
    pub(crate) fn apply(
        &self,
        publish: &mut Permission,
        subscribe: &mut Permission,
        resp: &mut Option<ResponsePermission>,
    ) {
        if self.clear_permissions {
            (*publish, *subscribe, *resp) = Default::default();
        }
        for list in [&mut publish.allow, &mut publish.deny, &mut subscribe.allow, &mut subscribe.deny] {
            list.retain(|subject| !self.rm.contains(subject));
        }
        add(&mut publish.allow, self.allow_pub.iter().chain(&self.allow_pubsub));
        add(&mut publish.deny, self.deny_pub.iter().chain(&self.deny_pubsub));
        add(&mut subscribe.allow, self.allow_sub.iter().chain(&self.allow_pubsub));
        add(&mut subscribe.deny, self.deny_sub.iter().chain(&self.deny_pubsub));
        if let Some(max) = self.allow_pub_response {
            *resp = Some(ResponsePermission { max, ttl: self.response_ttl.unwrap_or_default() });
        }
    }
}

/// What a user may do: of a user itself, or of a role.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Permissions")]
pub(crate) struct PermissionArgs {
    #[command(flatten)]
    subjects: SubjectArgs,
    /// Connect only from these networks, such as 192.0.2.0/24; `any` takes that back
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    source_network: Vec<String>,
    /// Connect only at these times of day: 08:00:00-17:30:00; `any` takes that back
    #[arg(long, value_name = "START-END", value_delimiter = ',', value_parser = time_range)]
    time: Vec<Option<TimeRange>>,
    /// The IANA time zone of --time, such as Europe/Amsterdam
    #[arg(long, value_name = "ZONE")]
    locale: Option<String>,
    /// Connect only so: STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS; `any` takes that back
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
        self.subjects.apply(&mut to.r#pub, &mut to.sub, &mut to.resp);
        replace(&mut to.src, &self.source_network);
        if !self.time.is_empty() {
            to.times = self.time.iter().flatten().cloned().collect();
        }
        let types: Vec<_> = self.conn_type.iter().map(|kind| upper_case(kind)).collect();
        replace(&mut to.allowed_connection_types, &types);
        set(&mut to.times_location, self.locale.as_ref());
        set(&mut to.subs, self.subs.as_ref());
        set(&mut to.data, self.data.as_ref());
        set(&mut to.payload, self.payload.as_ref());
        set(&mut to.bearer_token, self.bearer.as_ref());
        set(&mut to.proxy_required, self.proxy_required.as_ref());
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

/// Replaces a list; `any` alone empties it.
fn replace(to: &mut Vec<String>, by: &[String]) {
    match by {
        [] => {}
        [any] if any.eq_ignore_ascii_case(ANY) => to.clear(),
        by => *to = by.to_vec(),
    }
}

/// What takes a restriction back.
const ANY: &str = "any";

fn upper_case(kind: &str) -> String {
    if kind.eq_ignore_ascii_case(ANY) { ANY.to_owned() } else { kind.to_ascii_uppercase() }
}

fn set<T: Clone>(to: &mut T, by: Option<&T>) {
    if let Some(by) = by {
        to.clone_from(by);
    }
}

fn time_range(text: &str) -> Result<Option<TimeRange>, String> {
    if text.eq_ignore_ascii_case(ANY) {
        return Ok(None);
    }
    let (start, end) = text.split_once('-').ok_or("write it as 08:00:00-17:30:00")?;
    Ok(Some(TimeRange { start: start.to_owned(), end: end.to_owned() }))
}

/// A duration in nanoseconds: a number with ms, s, m or h.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
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
