//! What a server would refuse, or take and silently break: found before anything is signed.
//!
//! Each finding says what is wrong, why it matters and what to write instead. Nothing here needs a server or a clock.

mod account;
mod tree;
mod user;

pub use tree::{AccountNode, Tree, check_signer, check_sources, check_tree, check_user_of};

use std::fmt;

use super::claims::{Claims, Operator, Permission, Registered};
use super::jwt::is_public_key;
use super::subject;
use crate::text::visible;

pub use account::check_account;
pub use user::{SignedBy, check_scope, check_user};

/// What is wrong with claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: `account ORDERS, export "orders.>"`.
    pub place: String,
    /// What is wrong, and what a server makes of it.
    pub problem: String,
    /// What to do instead.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", visible(&self.place), visible(&self.problem), visible(&self.fix))
    }
}

/// Findings about one place.
struct Findings<'a> {
    place: String,
    list: &'a mut Vec<Finding>,
}

impl<'a> Findings<'a> {
    fn new(place: impl Into<String>, list: &'a mut Vec<Finding>) -> Self {
        Self { place: place.into(), list }
    }

    fn add(&mut self, problem: impl Into<String>, fix: impl Into<String>) {
        self.list.push(Finding { place: self.place.clone(), problem: problem.into(), fix: fix.into() });
    }

    fn at(&mut self, place: impl fmt::Display) -> Findings<'_> {
        Findings { place: format!("{}, {place}", self.place), list: self.list }
    }

    fn subject(&mut self, what: &str, text: &str) {
        if let Err(problem) = subject::check(text) {
            self.add(format!("{what} \"{text}\" is no subject: {problem}"), "write tokens joined by dots");
        }
    }

    fn key(&mut self, what: &str, text: &str, kind: char) {
        if !is_public_key(text, &[kind]) {
            self.add(
                format!("{what} \"{text}\" is no public key of that kind"),
                format!("a public nkey that begins with {kind} is needed"),
            );
        }
    }

    fn permission(&mut self, what: &str, permission: &Permission, queues: bool) {
        for entry in permission.allow.iter().chain(&permission.deny) {
            let mut words = entry.split(' ');
            let first = words.next().unwrap_or_default();
            self.subject(what, first);
            match (words.next(), words.next()) {
                (None, _) => {}
                (Some(queue), None) if queues => self.subject("the queue", queue),
                (Some(_), None) => self.add(
                    format!("{what} \"{entry}\" names a queue, which only subscriptions have"),
                    "leave the queue out",
                ),
                (Some(_), Some(_)) => {
                    self.add(format!("{what} \"{entry}\" has more than a subject and a queue"), "write one entry each");
                }
            }
        }
    }

    fn url(&mut self, what: &str, text: &str, schemes: &[&str], paths: bool) {
        let Some((scheme, rest)) = text.split_once("://") else {
            self.add(format!("{what} \"{text}\" is no URL"), format!("write {}://host:port", schemes[0]));
            return;
        };
        if !schemes.iter().any(|s| scheme.eq_ignore_ascii_case(s)) {
            self.add(
                format!("{what} \"{text}\" has the scheme {scheme}"),
                format!("use one of {}", schemes.join(", ")),
            );
        }
        if rest.contains('@') {
            self.add(format!("{what} carries credentials"), "leave them out: they would be public");
        }
        if !paths && rest.trim_end_matches('/').contains('/') {
            self.add(format!("{what} \"{text}\" has a path"), "leave the path out");
        }
    }
}

/// Checks an operator's claims.
#[must_use]
pub fn check_operator(claims: &Claims<Operator>) -> Vec<Finding> {
    let mut list = Vec::new();
    let operator = &claims.nats;
    let mut found = Findings::new(format!("operator {}", shown(&claims.registered)), &mut list);
    times(&claims.registered, &mut found);
    for key in &operator.signing_keys {
        found.key("the signing key", key, 'O');
    }
    if !operator.system_account.is_empty() {
        found.key("the system account", &operator.system_account, 'A');
    }
    if !operator.account_server_url.is_empty() {
        found.url("the account server", &operator.account_server_url, &["https", "http", "nats", "tls"], true);
    }
    for url in &operator.operator_service_urls {
        found.url("the service URL", url, &["nats", "tls", "ws", "wss"], false);
    }
    let version = &operator.assert_server_version;
    let numbers: Vec<_> = version.split('.').collect();
    if !version.is_empty() && (numbers.len() != 3 || numbers.iter().any(|n| n.parse::<u32>().is_err())) {
        found.add(format!("the server version \"{version}\" does not read"), "write it as 2.12.0");
    }
    if operator.strict_signing_key_usage && operator.signing_keys.is_empty() {
        found.add(
            "signing keys are demanded and there is none: no account could be signed",
            "add an operator signing key first, or leave strict_signing_key_usage out",
        );
    }
    list
}

fn times(registered: &Registered, found: &mut Findings<'_>) {
    if registered.exp != 0 && registered.exp <= registered.nbf {
        found.add("it expires before it is good", "let expires be after not_before");
    }
    if registered.exp != 0 && registered.iat != 0 && registered.exp <= registered.iat {
        found.add("it has expired when it is issued: servers refuse it", "set a later expiry");
    }
}

fn shown(registered: &Registered) -> &str {
    if registered.name.is_empty() { &registered.sub } else { &registered.name }
}
