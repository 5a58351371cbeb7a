//! Whether a user can connect.

use std::net::IpAddr;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::steps::{Chain, Question, Steps};
use crate::nats::claims::{NO_LIMIT, Permission, SigningKey, TimeRange, UserPermissions};
use crate::nats::template::{self, Context, ExpandError};
use crate::time::Timestamp;

/// Checks everything up to the connection, and gives what the user may do on it: its own permissions, or its role's. `None`
/// where those are not to be had.
pub(super) fn connect(chain: Chain<'_>, question: &Question, steps: &mut Steps) -> Option<UserPermissions> {
    let now = question.at.unix_micros().div_euclid(1_000_000);
    lifetime("user-lifetime", "the user's token", chain.user.registered.nbf, chain.user.registered.exp, now, steps);
    account_issuer(chain, steps);
    let permissions = user_issuer(chain, steps);
    let account = &chain.account.registered;
    lifetime("account-lifetime", "the account's token", account.nbf, account.exp, now, steps);
    let given = permissions.as_ref();
    let own = &chain.user.nats.permissions;
    let effective = given.unwrap_or(own);
    proxy(effective, question, steps);
    bearer(chain, effective, steps);
    connection(effective, question, steps);
    revocation(chain, steps);
    network(effective, question.from, steps);
    times(effective, question.at, steps);
    limits(chain, effective, steps);
    callout(chain, steps);
    permissions
}

fn lifetime(check: &'static str, what: &str, nbf: i64, exp: i64, now: i64, steps: &mut Steps) {
    let at = |second: i64| {
        Timestamp::from_unix_micros(second.saturating_mul(1_000_000))
            .map_or("the end of time".into(), |at| at.to_string())
    };
    if nbf > now {
        return steps.fail(check, format!("{what} is not good before {}", at(nbf)));
    }
    match exp {
        0 => steps.pass(check, format!("{what} does not expire")),
        exp if exp < now => {
            steps.fail(check, format!("{what} expired at {}; servers close its connections by then", at(exp)))
        }
        exp => steps.pass(check, format!("{what} is good until {}; then servers close its connections", at(exp))),
    }
}

fn account_issuer(chain: Chain<'_>, steps: &mut Steps) {
    let (operator, issuer) = (chain.operator, &chain.account.registered.iss);
    if operator.nats.signing_keys.contains(issuer) {
        steps.pass("account-issuer", format!("the account is signed by the operator's signing key {issuer}"));
    } else if *issuer == operator.registered.sub {
        steps.check(
            "account-issuer",
            !operator.nats.strict_signing_key_usage,
            "the account is signed by the operator's identity key",
            "the account is signed by the operator's identity key, which servers refuse under strict_signing_key_usage",
        );
    } else {
        steps.fail("account-issuer", format!("the account is signed by {issuer}, which is no key of the operator"));
    }
}

/// Who signed the user, and what it may do by that.
fn user_issuer(chain: Chain<'_>, steps: &mut Steps) -> Option<UserPermissions> {
    let (account, user) = (chain.account, chain.user);
    let issuer = &user.registered.iss;
    let named = if user.nats.issuer_account.is_empty() { issuer } else { &user.nats.issuer_account };
    if *named != account.registered.sub {
        steps.fail("user-issuer", format!("the user's token names the account {named}, and not this one"));
        return None;
    }
    let own = &user.nats.permissions;
    match account.nats.signing_keys.iter().find(|key| key.public_key() == issuer) {
        Some(SigningKey::Plain(key)) => {
            steps.pass("user-issuer", format!("the user is signed by the account's signing key {key}"));
            Some(own.clone())
        }
        Some(SigningKey::Scoped(scope)) => {
            if *own != UserPermissions::default() {
                steps.fail("user-issuer", format!("the user is signed by the role {} and has permissions or limits of its own, which servers refuse", scope.role));
                return None;
            }
            steps.pass(
                "user-issuer",
                format!("the user is signed by the role {}: its template says what the user may do", scope.role),
            );
            match role(chain, &scope.template) {
                Ok(permissions) => {
                    steps.pass("template", "the role's subjects are filled in for this user");
                    Some(permissions)
                }
                Err(error) => {
                    steps.fail("template", format!("the role's subjects can't be filled in for this user: {error}"));
                    None
                }
            }
        }
        None if *issuer == account.registered.sub => {
            steps.check(
                "user-issuer",
                !chain.operator.nats.strict_signing_key_usage,
                "the user is signed by the account's identity key",
                "the user is signed by the account's identity key, which servers refuse under strict_signing_key_usage",
            );
            Some(own.clone())
        }
        None => {
            steps.fail(
                "user-issuer",
                format!("the user is signed by {issuer}, which is no key of the account, or no longer"),
            );
            None
        }
    }
}

fn role(chain: Chain<'_>, template: &UserPermissions) -> Result<UserPermissions, ExpandError> {
    let context = Context {
        name: &chain.user.registered.name,
        subject: &chain.user.registered.sub,
        account_name: &chain.account.registered.name,
        account_subject: &chain.user.nats.issuer_account,
        tags: &chain.user.nats.generic.tags,
        account_tags: &chain.account.nats.generic.tags,
    };
    let fill = |permission: &Permission| {
        let allow = template::expand(&permission.allow, false, &context)?;
        let mut deny = template::expand(&permission.deny, true, &context)?;
        // Nothing left of what was allowed allows nothing, and not everything.
        if allow.is_empty() && !permission.allow.is_empty() {
            deny.push(">".to_owned());
        }
        Ok(Permission { allow, deny })
    };
    // A limit that a template leaves out, as zero is written, is none; in a user's own token it is zero.
    let limit = |limit: i64| if limit == 0 { NO_LIMIT } else { limit };
    let (subs, data, payload) = (limit(template.subs), limit(template.data), limit(template.payload));
    let (r#pub, sub) = (fill(&template.r#pub)?, fill(&template.sub)?);
    Ok(UserPermissions { r#pub, sub, subs, data, payload, ..template.clone() })
}

fn proxy(permissions: &UserPermissions, question: &Question, steps: &mut Steps) {
    if permissions.proxy_required {
        steps.check(
            "proxy",
            question.proxied,
            "the user comes through a trusted proxy, as it must",
            "the user must come through a proxy that the server trusts",
        );
    }
}

fn bearer(chain: Chain<'_>, permissions: &UserPermissions, steps: &mut Steps) {
    if permissions.bearer_token {
        steps.check(
            "bearer",
            !chain.account.nats.limits.disallow_bearer,
            "the token alone lets the user in, without its seed",
            "the user is a bearer user, and the account refuses those",
        );
    }
}

fn connection(permissions: &UserPermissions, question: &Question, steps: &mut Steps) {
    let allowed = &permissions.allowed_connection_types;
    if !allowed.is_empty() {
        let listed = allowed.iter().any(|kind| kind.eq_ignore_ascii_case(&question.connection));
        let list = allowed.join(", ");
        steps.check(
            "connection-type",
            listed,
            format!("{} is among the connection types {list}", question.connection),
            format!("{} is not among the connection types {list}", question.connection),
        );
    }
}

fn revocation(chain: Chain<'_>, steps: &mut Steps) {
    let (user, revocations) = (&chain.user.registered, &chain.account.nats.revocations);
    let found = [user.sub.as_str(), "*"].into_iter().find_map(|key| {
        let until = *revocations.get(key)?;
        (until >= user.iat).then_some((key, until))
    });
    match found {
        Some(("*", until)) => steps.fail(
            "revocation",
            format!("the account revoked every user's tokens up to second {until}, and this one is of {}", user.iat),
        ),
        Some((_, until)) => steps.fail(
            "revocation",
            format!("the account revoked this user's tokens up to second {until}, and this one is of {}", user.iat),
        ),
        None if revocations.contains_key(&user.sub) => {
            steps.pass("revocation", "the user's token was issued after the last revocation of it")
        }
        None => steps.pass("revocation", "the user is not revoked"),
    }
}

fn network(permissions: &UserPermissions, from: Option<IpAddr>, steps: &mut Steps) {
    let list = permissions.src.join(", ");
    match from {
        _ if permissions.src.is_empty() => {}
        None => steps.note("network", format!("the user may connect from {list} only; say --from to check an address")),
        Some(from) => {
            let inside = permissions.src.iter().any(|network| contains(network, from));
            steps.check("network", inside, format!("{from} is within {list}"), format!("{from} is outside of {list}"));
        }
    }
}

/// Whether an address is in a network, `address/bits`; an IPv4 address in IPv6 clothes counts as what it is.
fn contains(network: &str, address: IpAddr) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (base.to_canonical(), address.to_canonical()) {
        (IpAddr::V4(base), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

fn times(permissions: &UserPermissions, at: Timestamp, steps: &mut Steps) {
    if permissions.times.is_empty() {
        return;
    }
    let zone = match permissions.times_location.as_str() {
        "" => {
            steps.note("times", "the times of day are in each server's own zone, which is taken to be UTC here");
            TimeZone::UTC
        }
        name => match TimeZone::get(name) {
            Ok(zone) => zone,
            Err(_) => return steps.fail("times", format!("\"{name}\" is no time zone")),
        },
    };
    let spans: Vec<String> = permissions.times.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
    let spans = format!("{} {}", spans.join(", "), permissions.times_location);
    let inside = permissions.times.iter().any(|range| within(range, at, &zone) == Some(true));
    let end = "; servers close its connections at the end of the span";
    steps.check("times", inside, format!("{at} is within {spans}{end}"), format!("{at} is outside of {spans}"));
}

fn within(range: &TimeRange, at: Timestamp, zone: &TimeZone) -> Option<bool> {
    let now = jiff::ZonedDateTime::new(jiff::Timestamp::from_microsecond(at.unix_micros()).ok()?, zone.clone());
    let on_this_day = |time: &str| {
        let time: Time = time.parse().ok()?;
        now.date().to_datetime(time).to_zoned_datetime(zone.clone()).ok()
    };
    let (start, end) = (on_this_day(&range.start)?, on_this_day(&range.end)?);
    if start < now && end > now {
        return Some(true);
    }
    // A span over midnight.
    Some(start > end && (end > now || start < now))
}

fn limits(chain: Chain<'_>, permissions: &UserPermissions, steps: &mut Steps) {
    let account = &chain.account.nats.limits;
    match account.conn {
        0 => steps.fail("connections", "the account's limit of connections is zero: nobody can connect"),
        -1 => {}
        most => steps.note("connections", format!("the account may have {most} connections at the same time")),
    }
    let subs = [("the user", permissions.subs), ("the account", account.subs)];
    if let Some((whose, _)) = subs.iter().find(|(_, limit)| *limit == 0) {
        steps.fail(
            "subscriptions",
            format!("the limit of subscriptions of {whose} is zero: servers close the connection at once"),
        );
    }
    for (whose, limit) in subs.into_iter().filter(|(_, limit)| *limit > 0) {
        steps.note("subscriptions", format!("{whose} may have {limit} subscriptions on a connection"));
    }
}

fn callout(chain: Chain<'_>, steps: &mut Steps) {
    let authorization = &chain.account.nats.authorization;
    if authorization.auth_users.is_empty() {
        return;
    }
    if authorization.auth_users.contains(&chain.user.registered.sub) {
        steps
            .pass("callout", "the user is one of the account's authorization service, and is let in without asking it");
    } else {
        steps.note("callout", "the account's authorization service decides whether and as whom this user is let in");
    }
}
