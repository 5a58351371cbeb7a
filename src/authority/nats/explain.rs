//! Why a user of the ledger can or cannot connect, publish or subscribe.

use super::error::NatsError;
use super::lookup::read_claims;
use super::{accounts, lookup, users};
use crate::ledger::{EntityRef, Facts, Index, Kind, NameKey, View};
use crate::nats::claims::{Account, Claims};
use crate::nats::explain::{Chain, Explanation, Outcome, Question, Step, explain as judge};
use crate::nats::jwt;
use crate::store::RestrictedBlocks;
use crate::text::{Name, PublicKey};

/// A user, and what is said about it.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The account's name.
    pub account: Name,
    /// The user's name.
    pub user: Name,
    /// The user's public key.
    pub public_key: PublicKey,
    /// The checks.
    pub explanation: Explanation,
}

/// Answers a question about a user, by name or public key. Where the texts of tokens are kept here, their signatures are
/// checked as well.
///
/// # Errors
/// When there is no such user, or it has no token.
pub fn explain(
    view: &dyn View,
    restricted: Option<&RestrictedBlocks>,
    which: &str,
    question: &Question,
) -> Result<Explained, NatsError> {
    let (account, user) = lookup::user(view, which)?;
    let operator = lookup::operator(view)?;
    let name = operator.operator.name.as_str();
    let token = operator.token.as_ref().ok_or_else(|| NatsError::NoToken(name.to_owned()))?;
    let operator_claims = read_claims(name, token)?;
    let (account_claims, user_claims) = (accounts::claims(&account)?, users::claims(&user)?);
    let others = |key: &str| -> Option<Claims<Account>> {
        let name = NameKey { kind: Kind::Account, index: Index::PublicKey, scope: None, key: key.to_owned() };
        match view.find(&name, 1).ok()?.pop()?.facts {
            Facts::Account(facts) => accounts::claims(&facts).ok(),
            _ => None,
        }
    };
    let chain = Chain { operator: &operator_claims, account: &account_claims, user: &user_claims, others: &others };
    let mut explanation = judge(chain, question);
    let mut first = Vec::new();
    let mut add = |check, outcome, reason: String| first.push(Step { check, outcome, reason });
    if !view.get(EntityRef::from(account.account.account_id))?.is_some_and(|entity| entity.is_active()) {
        add(
            "account",
            Outcome::Fail,
            "the account is deleted: servers that were told of it refuse its users".to_owned(),
        );
    }
    if let Some(restricted) = restricted {
        for (what, token) in [("operator", &operator.token), ("account", &account.token), ("user", &user.token)] {
            let Some(signed) = token.as_ref().and_then(|token| token.signed.as_ref()) else { continue };
            let Some(text) = restricted.get(&signed.token)? else { continue };
            match jwt::peek(&String::from_utf8_lossy(&text)) {
                Ok(_) => {
                    add("signature", Outcome::Pass, format!("the {what}'s token is signed by the key that it names"))
                }
                Err(error) => add("signature", Outcome::Fail, format!("the {what}'s token does not hold: {error}")),
            }
        }
    }
    match (&account.pushed, &account.token) {
        (Some(pushed), Some(token)) if pushed.jti == token.jti => {
            let servers: Vec<&str> = pushed.servers.iter().map(Name::as_str).collect();
            add("pushed", Outcome::Note, format!("the account's token was proved to be on {}", servers.join(", ")));
        }
        (Some(_), _) => add(
            "pushed",
            Outcome::Note,
            "the account's token is newer than what servers were last proved to hold; `cim-keys nats push` brings it to them"
                .to_owned(),
        ),
        (None, _) => add(
            "pushed",
            Outcome::Note,
            "no push of the account is recorded: what follows holds for servers that have its token".to_owned(),
        ),
    }
    let refused = first.iter().any(|step| step.outcome == Outcome::Fail);
    explanation.steps.splice(0..0, first);
    if refused {
        explanation.connects = false;
        explanation.publishes = explanation.publishes.map(|_| false);
        explanation.subscribes = explanation.subscribes.map(|_| false);
    }
    Ok(Explained { account: account.account.name, user: user.user.name, public_key: user.user.public_key, explanation })
}
