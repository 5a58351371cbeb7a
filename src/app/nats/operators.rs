//! Operators: made with all that a server needs, edited, re-signed.

use super::accounts::{self, NewAccount};
use super::lookup;
use super::work::{NatsError, Work, read_claims};
use crate::custody::{ISSUING, ROOT};
use crate::events::{
    NatsHolder, NatsOperatorCreated, NatsOperatorUpdated, NatsSigningKeyGenerated, NatsSigningKeyRetired, NkeyKind, Set,
};
use crate::ids::{KeyId, NatsAccountId, NatsOperatorId};
use crate::ledger::{EntityRef, Facts, Kind, NatsCommand, OperatorFacts, Refusal};
use crate::nats::claims::{Claims, Operator, Registered};
use crate::text::{Label, Name, Note, Url};

/// An operator to be made.
#[derive(Debug, Clone)]
pub struct NewOperator {
    /// Its name.
    pub name: Name,
    /// The system account's name.
    pub system_account: Name,
    /// Whether it gets a signing key, in compartment `issuing`; without one the identity key signs accounts.
    pub signing_key: bool,
    /// Whether servers shall refuse what identity keys sign.
    pub strict: bool,
    /// Where clients connect.
    pub service_urls: Set<Url>,
    /// Where account tokens are looked up.
    pub account_server_url: Option<Url>,
}

/// Makes an operator: its identity key in compartment `root`, its signing key in `issuing`, its system account.
///
/// # Errors
/// See [`NatsError`].
pub fn add(
    work: &mut Work<'_, '_>,
    new: NewOperator,
    edit: &dyn Fn(&mut Operator),
) -> Result<NatsOperatorId, NatsError> {
    let key = work.make_key(NkeyKind::Operator, ROOT)?;
    let (operator_id, system) = (NatsOperatorId::mint(), NatsAccountId::mint());
    let operator = NatsOperatorCreated {
        operator_id,
        name: new.name,
        key_id: key.key_id,
        public_key: key.public_key,
        system_account_id: Some(system),
        account_server_url: new.account_server_url,
        service_urls: new.service_urls,
        strict_signing_key_usage: new.strict,
    };
    work.run(NatsCommand::CreateOperator(operator))?;
    if new.signing_key {
        add_signing_key(work, operator_id)?;
    }
    let account = NewAccount { id: system, name: new.system_account, description: None, system: true };
    accounts::add(work, account, &|_| {})?;
    let facts = lookup::operator(work.view())?;
    let mut claims = Claims { registered: Registered::default(), nats: Operator::default() };
    edit(&mut claims.nats);
    issue(work, &facts, claims)?;
    Ok(operator_id)
}

/// Replaces attributes of the operator and edits its claims.
///
/// # Errors
/// See [`NatsError`].
pub fn edit(
    work: &mut Work<'_, '_>,
    attributes: &dyn Fn(&mut NatsOperatorCreated),
    edit: &dyn Fn(&mut Operator),
) -> Result<(), NatsError> {
    let mut facts = lookup::operator(work.view())?;
    attributes(&mut facts.operator);
    let NatsOperatorCreated {
        operator_id,
        name,
        key_id,
        public_key,
        system_account_id,
        account_server_url,
        service_urls,
        strict_signing_key_usage,
    } = facts.operator.clone();
    work.run(NatsCommand::UpdateOperator(NatsOperatorUpdated {
        operator_id,
        name,
        key_id,
        public_key,
        system_account_id,
        account_server_url,
        service_urls,
        strict_signing_key_usage,
    }))?;
    let mut claims = claims(&facts)?;
    let before = claims.clone();
    edit(&mut claims.nats);
    fill(work, &facts, &mut claims)?;
    if claims.nats == before.nats && claims.registered.name == facts.operator.name.as_str() {
        return Ok(());
    }
    issue(work, &facts, claims)
}

/// Gives the operator a signing key.
///
/// # Errors
/// See [`NatsError`].
pub fn add_signing_key(work: &mut Work<'_, '_>, operator_id: NatsOperatorId) -> Result<KeyId, NatsError> {
    let key = work.make_key(NkeyKind::Operator, ISSUING)?;
    work.run(NatsCommand::AddSigningKey(NatsSigningKeyGenerated {
        key_id: key.key_id,
        holder: NatsHolder::Operator(operator_id),
        public_key: key.public_key,
        role: None,
        compartment: Some(Label::new(ISSUING)?),
    }))?;
    Ok(key.key_id)
}

/// Replaces the operator's signing keys by a new one, and signs every account anew with it.
///
/// # Errors
/// See [`NatsError`].
pub fn rotate_signing_key(work: &mut Work<'_, '_>, reason: &Note) -> Result<KeyId, NatsError> {
    let facts = lookup::operator(work.view())?;
    let holder = NatsHolder::Operator(facts.operator.operator_id);
    let old = lookup::members(work.view(), EntityRef::holder(&holder), Kind::SigningKey)?;
    let new = add_signing_key(work, facts.operator.operator_id)?;
    for key in old.into_iter().filter(crate::ledger::Entity::is_active) {
        let Facts::SigningKey(key) = key.facts else { continue };
        work.run(NatsCommand::RetireSigningKey(NatsSigningKeyRetired {
            key_id: key.key_id,
            holder: holder.clone(),
            public_key: key.public_key,
            successor_id: Some(new),
            reason: reason.clone(),
        }))?;
    }
    let claims = claims(&facts)?;
    issue(work, &facts, claims)?;
    for account in lookup::members(work.view(), facts.operator.operator_id.into(), Kind::Account)? {
        if let (true, Facts::Account(account)) = (account.is_active(), account.facts) {
            accounts::reissue(work, &account)?;
        }
    }
    Ok(new)
}

fn claims(facts: &OperatorFacts) -> Result<Claims<Operator>, NatsError> {
    let token = facts.token.as_ref().ok_or_else(|| NatsError::NoToken(facts.operator.name.to_string()))?;
    read_claims(facts.operator.name.as_str(), token)
}

fn issue(work: &mut Work<'_, '_>, facts: &OperatorFacts, mut claims: Claims<Operator>) -> Result<(), NatsError> {
    fill(work, facts, &mut claims)?;
    work.issue_operator(facts, claims)
}

/// What the ledger knows goes into the claims.
fn fill(work: &Work<'_, '_>, facts: &OperatorFacts, claims: &mut Claims<Operator>) -> Result<(), NatsError> {
    let operator = &facts.operator;
    let nats = &mut claims.nats;
    nats.signing_keys = lookup::members(work.view(), operator.operator_id.into(), Kind::SigningKey)?
        .into_iter()
        .filter(crate::ledger::Entity::is_active)
        .filter_map(|key| if let Facts::SigningKey(key) = key.facts { Some(key.public_key.to_string()) } else { None })
        .collect();
    nats.signing_keys.sort();
    nats.operator_service_urls = operator.service_urls.iter().map(ToString::to_string).collect();
    nats.account_server_url = operator.account_server_url.as_ref().map(ToString::to_string).unwrap_or_default();
    nats.strict_signing_key_usage = operator.strict_signing_key_usage;
    nats.system_account = match operator.system_account_id {
        None => String::new(),
        Some(id) => match work.view().get(id.into())?.map(|entity| entity.facts) {
            Some(Facts::Account(facts)) => facts.account.public_key.to_string(),
            _ => return Err(Refusal::Unknown(id.into()).into()),
        },
    };
    Ok(())
}
