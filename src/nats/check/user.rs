//! Users, and the templates of scoped signing keys.

use super::super::claims::{CONNECTION_TYPES, Claims, ExternalAuthorization, User, UserPermissions, UserScope};
use super::{Finding, Findings, shown, times};

/// How a user is signed, as far as it decides what the user may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedBy {
    /// The account's identity key.
    Identity,
    /// A plain signing key.
    SigningKey,
    /// A scoped signing key: its template is all that the user gets.
    ScopedKey,
}

/// Checks a user's claims, knowing how they are to be signed.
#[must_use]
pub fn check_user(claims: &Claims<User>, signed_by: SignedBy) -> Vec<Finding> {
    let mut list = Vec::new();
    let user = &claims.nats;
    let mut found = Findings::new(format!("user {}", shown(&claims.registered)), &mut list);
    times(&claims.registered, &mut found);
    match signed_by {
        SignedBy::ScopedKey => {
            if user.permissions != UserPermissions::default() {
                found.add(
                    "a user of a scoped signing key has permissions or limits of its own: servers refuse it, even subs = -1",
                    "put them into the role's template, or sign with a plain key",
                );
            }
        }
        SignedBy::Identity | SignedBy::SigningKey => check_permissions(&user.permissions, &mut found),
    }
    match (signed_by, user.issuer_account.is_empty()) {
        (SignedBy::Identity, false) => {
            found.key("the issuer account", &user.issuer_account, 'A');
        }
        (SignedBy::Identity, true) => {}
        (_, true) => found.add(
            "a signing key signs and the account is not named: servers cannot tell whose user it is",
            "set issuer_account to the account's identity key",
        ),
        (_, false) => found.key("the issuer account", &user.issuer_account, 'A'),
    }
    list
}

/// Checks the template of a scoped signing key.
#[must_use]
pub fn check_scope(account: &str, scope: &UserScope) -> Vec<Finding> {
    let mut list = Vec::new();
    let mut found = Findings::new(format!("account {account}, role {}", scope.role), &mut list);
    found.key("the signing key", &scope.key, 'A');
    if scope.role.is_empty() {
        found.add("a scoped signing key has no role", "name the role: it is how people refer to the key");
    }
    check_permissions(&scope.template, &mut found);
    for subject in [&scope.template.r#pub, &scope.template.sub].into_iter().flat_map(|p| p.allow.iter().chain(&p.deny))
    {
        check_template(subject, &mut found);
    }
    list
}

/// The functions that a server expands in a template.
const FUNCTIONS: &[&str] = &["name()", "subject()", "account-name()", "account-subject()"];

fn check_template(subject: &str, found: &mut Findings<'_>) {
    let mut rest = subject;
    while let Some(open) = rest.find("{{") {
        let Some(close) = rest[open..].find("}}") else {
            found.add(format!("\"{subject}\" opens a template that it does not close"), "write {{name()}}");
            return;
        };
        let inner = rest[open + 2..open + close].trim().to_ascii_lowercase();
        let tag = (inner.starts_with("tag(") || inner.starts_with("account-tag(")) && inner.ends_with(')');
        if !FUNCTIONS.contains(&inner.as_str()) && !tag {
            found.add(
                format!("\"{subject}\" uses {{{{{inner}}}}}, which servers do not know: its users could not connect"),
                "use name(), subject(), account-name(), account-subject(), tag(k) or account-tag(k)",
            );
        }
        rest = &rest[open + close + 2..];
    }
}

fn check_permissions(permissions: &UserPermissions, found: &mut Findings<'_>) {
    found.permission("the publish permission", &permissions.r#pub, false);
    found.permission("the subscribe permission", &permissions.sub, true);
    for (what, limit) in
        [("subscriptions", permissions.subs), ("data", permissions.data), ("payload", permissions.payload)]
    {
        if limit == 0 {
            found.add(
                format!("the limit of {what} is zero, and zero is none: such a user cannot work"),
                "set it to -1 for no limit, or to a number above zero",
            );
        } else if limit < -1 {
            found.add(format!("the limit of {what} is {limit}"), "set it to -1 for no limit");
        }
    }
    for network in &permissions.src {
        if !is_cidr(network) {
            found.add(
                format!("\"{network}\" is no network: servers refuse every connection of such a user"),
                "write it as 192.0.2.0/24 or 2001:db8::/32; one address is 192.0.2.7/32",
            );
        }
    }
    for range in &permissions.times {
        for time in [&range.start, &range.end] {
            if !is_time_of_day(time) {
                found.add(format!("\"{time}\" is no time of day"), "write it as 08:00:00");
            }
        }
    }
    if !permissions.times_location.is_empty() && jiff::tz::TimeZone::get(&permissions.times_location).is_err() {
        found.add(
            format!("\"{}\" is no time zone of the IANA database", permissions.times_location),
            "write it as Europe/Zurich",
        );
    }
    for kind in &permissions.allowed_connection_types {
        if !CONNECTION_TYPES.contains(&kind.as_str()) {
            found.add(
                format!("\"{kind}\" is no connection type: servers refuse every connection of such a user"),
                format!("use one of {}", CONNECTION_TYPES.join(", ")),
            );
        }
    }
}

/// Whether the users that bypass an external authorization are well formed, and the accounts and key too.
pub(super) fn check_authorization(authorization: &ExternalAuthorization, found: &mut Findings<'_>) {
    for user in &authorization.auth_users {
        found.key("the authorization user", user, 'U');
    }
    for account in &authorization.allowed_accounts {
        if account != "*" {
            found.key("the allowed account", account, 'A');
        } else if authorization.allowed_accounts.len() > 1 {
            found.add("\"*\" stands beside other allowed accounts", "let it stand alone");
        }
    }
    if !authorization.allowed_accounts.is_empty() && authorization.auth_users.is_empty() {
        found.add("external authorization allows accounts and has no user", "name the service's user in auth_users");
    }
    if !authorization.xkey.is_empty() {
        found.key("the encryption key", &authorization.xkey, 'X');
    }
}

/// `address/bits`, as Go's `net.ParseCIDR` takes it.
fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    !bits.starts_with('+') && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

/// `HH:MM:SS`.
fn is_time_of_day(text: &str) -> bool {
    text.len() == 8 && text.parse::<jiff::civil::Time>().is_ok()
}
