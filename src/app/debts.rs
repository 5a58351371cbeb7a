//! What is still to be done outside of the ledger: recorded, and not yet so in the user's world.

use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::{EventData, JwtKind};
use crate::ledger::{AccountFacts, Entity, EntityRef, Facts, Kind, UserFacts, ViewError};
use crate::store::{AppendedEvent, DatabaseError, ReadError, Store, Which};
use crate::text::Name;

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Debt {
    /// The servers do not trust this operator's newest token yet: it has to get into their configuration.
    Configure {
        /// The operator.
        operator: Name,
    },
    /// No proof is recorded that servers hold the newest token of this account.
    Push {
        /// The account.
        account: Name,
    },
    /// The newest credentials of this user were not handed out.
    HandOut {
        /// Its account.
        account: Name,
        /// The user.
        user: Name,
    },
}

/// Why debts could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebtError {
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What the ledger remembers could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// An entity could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Explained for DebtError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(_) | Self::Database(_) | Self::View(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Read(error) => error.advice(),
            Self::Database(error) => error.advice(),
            Self::View(_) => Vec::new(),
        }
    }
}

/// What an act leaves to be done, from the events that it recorded.
///
/// # Errors
/// When the ledger can't be read.
pub fn of_act(store: &Store, events: &[AppendedEvent]) -> Result<Vec<Debt>, DebtError> {
    let mut touched: Vec<EntityRef> = Vec::new();
    for appended in events {
        if let EventData::JwtSigned(signed) = &appended.event.data
            && matches!(signed.kind, JwtKind::Operator | JwtKind::Account | JwtKind::User)
        {
            touched.push(EntityRef::nats(&signed.about));
        }
    }
    touched.sort_unstable();
    touched.dedup();
    let mut debts = Vec::new();
    for reference in touched {
        let entity = store.view(|view| view.get(reference))??;
        debts.extend(entity.map(|entity| of(store, &entity)).transpose()?.flatten());
    }
    debts.sort_unstable();
    Ok(debts)
}

/// Everything that is to be done about tokens and credentials, in the whole ledger.
///
/// # Errors
/// When the ledger can't be read.
pub fn all(store: &Store) -> Result<Vec<Debt>, DebtError> {
    let mut debts = Vec::new();
    for kind in [Kind::Operator, Kind::Account, Kind::User] {
        for entity in store.view(|view| view.all(kind).collect::<Result<Vec<_>, _>>())?? {
            debts.extend(of(store, &entity)?);
        }
    }
    debts.sort_unstable();
    Ok(debts)
}

fn of(store: &Store, entity: &Entity) -> Result<Option<Debt>, DebtError> {
    if !entity.is_active() {
        return Ok(None);
    }
    Ok(match &entity.facts {
        Facts::Operator(facts) => {
            let newest = facts.token.as_ref().map(|token| token.jti.as_str());
            let served = store.served_operators()?;
            let served = served.get(&facts.operator.operator_id).map(crate::text::Label::as_str);
            (newest.is_some() && served != newest).then(|| Debt::Configure { operator: facts.operator.name.clone() })
        }
        Facts::Account(facts) => is_to_push(facts).then(|| Debt::Push { account: facts.account.name.clone() }),
        Facts::User(facts) => hand_out(store, entity, facts)?,
        _ => None,
    })
}

fn is_to_push(facts: &AccountFacts) -> bool {
    let newest = facts.token.as_ref().map(|token| &token.jti);
    newest.is_some() && facts.pushed.as_ref().map(|pushed| &pushed.jti) != newest
}

/// Credentials are handed out by exporting the user's key: what was signed after that is not handed out yet. A user whose key is
/// not in custody has it already, and needs only the token.
fn hand_out(store: &Store, entity: &Entity, facts: &UserFacts) -> Result<Option<Debt>, DebtError> {
    if facts.token.is_none() {
        return Ok(None);
    }
    let (key, account) = store.view(|view| {
        let key = view.get(facts.user.key_id.into())?;
        Ok::<_, ViewError>((key, view.get(facts.user.account_id.into())?))
    })??;
    let (Some(key), Some(account)) = (key, account) else { return Ok(None) };
    let (Facts::Key(key_facts), Facts::Account(account)) = (&key.facts, &account.facts) else { return Ok(None) };
    if key_facts.compartment.is_none() {
        return Ok(None);
    }
    let exported = store.event(&Which::Cid(key.last))?;
    let is_out = exported.envelope()?.event_type == "KeyExported"
        && store.event(&Which::Cid(entity.last))?.position < exported.position;
    let (account, user) = (account.account.name.clone(), facts.user.name.clone());
    Ok((!is_out).then_some(Debt::HandOut { account, user }))
}
