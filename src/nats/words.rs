//! Claims in words: what a user may do, and how an account is limited.

use super::claims::{AccountLimits, JetStreamLimits, NO_LIMIT, Permission, UserPermissions};

/// A property with its value, in words.
pub type Property = (&'static str, String);

/// What a user may do. Limits are named where there are any.
#[must_use]
pub fn permissions(it: &UserPermissions) -> Vec<Property> {
    let mut words = vec![("may publish", subjects(&it.r#pub)), ("may subscribe", subjects(&it.sub))];
    let mut put = |name: &'static str, value: Option<String>| words.extend(value.map(|value| (name, value)));
    put(
        "may reply",
        it.resp.map(|resp| match resp.max {
            1 => "once to each request".to_owned(),
            max if max < 0 => "to each request, without a limit".to_owned(),
            max => format!("up to {max} times to each request"),
        }),
    );
    put("may connect from", list(&it.src));
    let times: Vec<String> = it.times.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
    let zone = if it.times_location.is_empty() { String::new() } else { format!(" ({})", it.times_location) };
    put("may connect at", list(&times).map(|times| format!("{times}{zone}")));
    put("connection types", list(&it.allowed_connection_types));
    put("subscriptions", limit(it.subs, count));
    put("data", limit(it.data, bytes));
    put("payload", limit(it.payload, bytes));
    put("bearer token", it.bearer_token.then(|| "yes: the token alone is a credential".to_owned()));
    put("proxy", it.proxy_required.then(|| "required".to_owned()));
    words
}

/// How an account is limited. What has no limit is not named; JetStream always is.
#[must_use]
pub fn limits(it: &AccountLimits) -> Vec<Property> {
    let mut words = Vec::new();
    let mut put = |name: &'static str, value: Option<String>| words.extend(value.map(|value| (name, value)));
    put("connections", limit(it.conn, count));
    put("leaf nodes", limit(it.leaf, count));
    put("subscriptions", limit(it.subs, count));
    put("data", limit(it.data, bytes));
    put("payload", limit(it.payload, bytes));
    put("imports", limit(it.imports, count));
    put("exports", limit(it.exports, count));
    put("wildcard exports", (!it.wildcards).then(|| "not allowed".to_owned()));
    put("bearer tokens", it.disallow_bearer.then(|| "not allowed".to_owned()));
    let tiers: Vec<String> =
        it.tiered_limits.iter().map(|(tier, limits)| format!("{tier}: {}", jetstream(limits))).collect();
    put("JetStream", Some(if tiers.is_empty() { jetstream(&it.jetstream) } else { tiers.join("; ") }));
    words
}

fn jetstream(it: &JetStreamLimits) -> String {
    if it.mem_storage == 0 && it.disk_storage == 0 {
        return "off".to_owned();
    }
    let storage = |name: &str, value: i64| match value {
        0 => format!("no {name}"),
        NO_LIMIT => format!("{name} without a limit"),
        value => format!("{} of {name}", bytes(value)),
    };
    let mut words = vec![storage("disk", it.disk_storage), storage("memory", it.mem_storage)];
    let more = [("streams", it.streams), ("consumers", it.consumer)];
    // Zero is no limit here: that is how servers read these two.
    words.extend(more.into_iter().filter(|(_, value)| *value > 0).map(|(name, value)| format!("{value} {name}")));
    words.join(", ")
}

fn subjects(it: &Permission) -> String {
    let allowed = match it.allow.is_empty() {
        true => "anything".to_owned(),
        false => it.allow.join(", "),
    };
    match it.deny.is_empty() {
        true => allowed,
        false => format!("{allowed}, except {}", it.deny.join(", ")),
    }
}

fn list(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}

fn limit(value: i64, words: impl Fn(i64) -> String) -> Option<String> {
    match value {
        NO_LIMIT => None,
        0 => Some("none".to_owned()),
        value => Some(words(value)),
    }
}

fn count(value: i64) -> String {
    value.to_string()
}

/// A number of bytes in the largest unit that divides it.
fn bytes(value: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| value >= *size && value % size == 0);
    unit.map_or_else(|| format!("{value} bytes"), |(size, name)| format!("{} {name}", value / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_and_no_limit_is_not() {
        assert_eq!(limits(&AccountLimits::unlimited()), [("JetStream", "off".to_owned())]);
        let limited = AccountLimits {
            conn: 100,
            data: 3 << 30,
            payload: 1_000,
            imports: 0,
            wildcards: false,
            jetstream: JetStreamLimits { disk_storage: 1 << 30, streams: 5, ..JetStreamLimits::default() },
            ..AccountLimits::unlimited()
        };
        let words = limits(&limited);
        let words: Vec<_> = words.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let expected = [
            ("connections", "100"),
            ("data", "3 GiB"),
            ("payload", "1000 bytes"),
            ("imports", "none"),
            ("wildcard exports", "not allowed"),
            ("JetStream", "1 GiB of disk, no memory, 5 streams"),
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn permissions_are_said_as_they_are_meant() {
        let all = permissions(&UserPermissions::unlimited());
        assert_eq!(all, [("may publish", "anything".to_owned()), ("may subscribe", "anything".to_owned())]);
        let denied = Permission { allow: vec!["orders.>".into()], deny: vec!["orders.secret".into()] };
        let some = UserPermissions { r#pub: denied, bearer_token: true, subs: 0, ..UserPermissions::unlimited() };
        let words = permissions(&some);
        assert_eq!(words[0].1, "orders.>, except orders.secret");
        assert!(words.iter().any(|(name, value)| *name == "subscriptions" && value == "none"));
        assert!(words.iter().any(|(name, _)| *name == "bearer token"));
    }
}
