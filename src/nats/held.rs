//! What a server holds of an account, beside what it should hold: compared by what the claims say, not by their text.

use serde_json::Value;

use super::claims::{Account, Body as _, Claims};
use super::jwt;

/// What a server holds, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// The very token that it should hold.
    Same,
    /// Another token.
    Other(Box<Other>),
    /// Something that is no account token, and why not.
    Unreadable(String),
}

/// A token that is not the one that should be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// When it was issued, as against the one that should be held.
    pub age: Age,
    /// Its time of issue, in seconds since the Unix epoch.
    pub iat: i64,
    /// Its id.
    pub jti: String,
    /// Who signed it.
    pub issuer: String,
    /// Where it says something else; none where it says the same, issued at another time or by another key.
    pub differences: Vec<Difference>,
}

/// How old a token is, as against another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Issued before.
    Older,
    /// Issued in the same second: servers do not tell the two apart when they compare with each other.
    Twin,
    /// Issued after.
    Newer,
}

/// One place at which two tokens say something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where: `nats.limits.conn`.
    pub path: String,
    /// What it should be, as JSON; absent where it should not be there.
    pub ours: Option<String>,
    /// What it is, as JSON; absent where it is not there.
    pub theirs: Option<String>,
}

impl Held {
    /// Judges the text of a token that a server holds.
    #[must_use]
    pub fn judge(ours: &Claims<Account>, theirs: Option<&str>) -> Self {
        let Some(text) = theirs.filter(|text| !text.is_empty()) else { return Self::Nothing };
        let theirs = match jwt::decode::<Account>(text) {
            Ok(claims) => claims,
            Err(error) => return Self::Unreadable(error.to_string()),
        };
        let differences = differences(ours, &theirs);
        let (a, b) = (&ours.registered, &theirs.registered);
        if differences.is_empty() && (a.iat, &a.iss, &a.jti) == (b.iat, &b.iss, &b.jti) {
            return Self::Same;
        }
        let age = match b.iat.cmp(&a.iat) {
            std::cmp::Ordering::Less => Age::Older,
            std::cmp::Ordering::Equal => Age::Twin,
            std::cmp::Ordering::Greater => Age::Newer,
        };
        let (iat, jti, issuer) = (b.iat, b.jti.clone(), b.iss.clone());
        Self::Other(Box::new(Other { age, iat, jti, issuer, differences }))
    }

    /// The other token, if there is one.
    #[must_use]
    pub fn other(&self) -> Option<&Other> {
        match self {
            Self::Other(other) => Some(other),
            _ => None,
        }
    }
}

/// Where two tokens say something else; when and by whom they were issued does not count.
#[must_use]
pub fn differences(ours: &Claims<Account>, theirs: &Claims<Account>) -> Vec<Difference> {
    let plain = |claims: &Claims<Account>| {
        let mut claims = claims.clone();
        claims.nats.normalize();
        // What is recorded has no texts of tokens, and no report shows any.
        claims.nats.take_texts();
        claims.registered.iat = 0;
        claims.registered.jti.clear();
        claims.registered.iss.clear();
        serde_json::to_value(claims).unwrap_or_default() // what was read as JSON is JSON
    };
    let mut found = Vec::new();
    walk("", Some(&plain(ours)), Some(&plain(theirs)), &mut found);
    found
}

fn walk(path: &str, ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&path, a.get(key), b.get(key), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(Difference {
            path: path.to_owned(),
            ours: a.map(Value::to_string),
            theirs: b.map(Value::to_string),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use nkeys::KeyPair;

    use super::*;
    use crate::nats::claims::{AccountLimits, Registered};

    fn signed(
        operator: &KeyPair,
        account: &KeyPair,
        iat: i64,
        edit: impl FnOnce(&mut Account),
    ) -> (Claims<Account>, String) {
        let mut nats = Account { limits: AccountLimits::unlimited(), ..Account::default() };
        edit(&mut nats);
        let registered = Registered { sub: account.public_key(), name: "A".into(), iat, ..Registered::default() };
        let mut claims = Claims { registered, nats };
        let token = jwt::sign(&mut claims, &operator.public_key(), |bytes| operator.sign(bytes)).unwrap();
        (claims, token)
    }

    #[test]
    fn what_is_held_is_judged_by_what_it_says() {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let (ours, token) = signed(&operator, &account, 1_000, |_| {});
        assert_eq!(Held::judge(&ours, Some(&token)), Held::Same);
        assert_eq!(Held::judge(&ours, None), Held::Nothing);
        assert_eq!(Held::judge(&ours, Some("")), Held::Nothing);
        assert!(matches!(Held::judge(&ours, Some("x")), Held::Unreadable(_)));

        let (_, older) = signed(&operator, &account, 999, |nats| nats.limits.conn = 5);
        let held = Held::judge(&ours, Some(&older));
        let other = held.other().unwrap();
        assert_eq!((other.age, other.iat), (Age::Older, 999));
        let difference = &other.differences[0];
        assert_eq!(difference.path, "nats.limits.conn");
        assert_eq!((difference.ours.as_deref(), difference.theirs.as_deref()), (Some("-1"), Some("5")));

        // The same words, issued later: no drift, and yet not the token that was pushed.
        let (_, newer) = signed(&operator, &account, 1_001, |_| {});
        let held = Held::judge(&ours, Some(&newer));
        let other = held.other().unwrap();
        assert!(other.differences.is_empty() && other.age == Age::Newer);
    }

    #[test]
    fn two_edits_in_one_second_share_an_id_and_are_told_apart() {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let (ours, _) = signed(&operator, &account, 1_000, |_| {});
        let (theirs, twin) = signed(&operator, &account, 1_000, |nats| nats.limits.conn = 5);
        assert_eq!(ours.registered.jti, theirs.registered.jti);
        assert_eq!(Held::judge(&ours, Some(&twin)).other().unwrap().age, Age::Twin);
    }
}
