//! Operators: made with all that a server needs, edited, re-signed.

use super::accounts::{self, NewAccount};
use super::draft::NatsDraft;
use super::endings::{record_retirement, record_successor};
use super::error::NatsError;
use super::{account_edits, lookup};
use crate::custody::{ISSUING, ROOT};
use crate::events::{NatsHolder, NatsOperatorCreated, NatsOperatorDeleted, NatsSigningKeyGenerated, NkeyKind, Set};
use crate::ids::{KeyId, NatsOperatorId};
use crate::ledger::{Facts, Kind, NatsCommand, OperatorFacts, View};
use crate::nats::claims::{Claims, Operator, Registered};
use crate::text::{Label, Name, Note, Url};
use crate::time::Timestamp;

/// An operator to be made.
#[derive(Debug, Clone)]
pub struct NewOperator {
    /// Its identifier.
    pub id: NatsOperatorId,
    /// Its name.
    pub name: Name,
    /// The system account.
    pub system_account: NewAccount,
    /// The compartment of its signing key; without one the identity key signs accounts.
    pub signing_key: Option<Label>,
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
    draft: &mut NatsDraft<'_, '_>,
    new: NewOperator,
    edit: &dyn Fn(&mut Operator),
) -> Result<NatsOperatorId, NatsError> {
    let key = draft.make_key(NkeyKind::Operator, ROOT)?;
    let (operator_id, system) = (new.id, new.system_account.id);
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
    draft.run(NatsCommand::CreateOperator(operator))?;
    if let Some(compartment) = &new.signing_key {
        add_signing_key(draft, operator_id, compartment)?;
    }
    let mut claims = Claims { registered: Registered::default(), nats: Operator::default() };
    edit(&mut claims.nats);
    draft.issue_operator(claims);
    accounts::add(draft, NewAccount { id: system, system: true, ..new.system_account }, &|_| {})?;
    Ok(operator_id)
}

/// Replaces attributes of the operator and edits its claims.
///
/// # Errors
/// See [`NatsError`].
pub fn edit(
    draft: &mut NatsDraft<'_, '_>,
    attributes: &dyn Fn(&mut NatsOperatorCreated),
    edit: &dyn Fn(&mut Operator),
) -> Result<(), NatsError> {
    let mut facts = lookup::operator(draft.view())?;
    attributes(&mut facts.operator);
    draft.run(NatsCommand::UpdateOperator(facts.operator.clone().into()))?;
    let mut claims = draft.operator_claims(&facts)?;
    let before = claims.clone();
    edit(&mut claims.nats);
    draft.fill_operator(&facts, &mut claims)?;
    if claims.nats == before.nats && claims.registered.name == facts.operator.name.as_str() {
        return Ok(());
    }
    draft.issue_operator(claims);
    Ok(())
}

/// Gives the operator a signing key in a compartment.
fn add_signing_key(
    draft: &mut NatsDraft<'_, '_>,
    operator_id: NatsOperatorId,
    compartment: &Label,
) -> Result<KeyId, NatsError> {
    let key = draft.make_key(NkeyKind::Operator, compartment.as_str())?;
    draft.run(NatsCommand::AddSigningKey(NatsSigningKeyGenerated {
        key_id: key.key_id,
        holder: NatsHolder::Operator(operator_id),
        public_key: key.public_key,
        role: None,
        compartment: Some(compartment.clone()),
    }))?;
    Ok(key.key_id)
}

/// The operator's active signing keys.
///
/// # Errors
/// When the ledger can't be read.
pub fn signing_keys(view: &dyn View, facts: &OperatorFacts) -> Result<Vec<NatsSigningKeyGenerated>, NatsError> {
    lookup::signing_keys(view, &NatsHolder::Operator(facts.operator.operator_id))
}

/// Replaces the operator's signing keys by a new one, and signs every account anew with it. The old ones end at once, or
/// stay good until `overlap_until`. The new one is in `compartment`, or where the newest of before was.
///
/// # Errors
/// See [`NatsError`].
pub fn rotate_signing_key(
    draft: &mut NatsDraft<'_, '_>,
    compartment: Option<&Label>,
    overlap_until: Option<Timestamp>,
    reason: &Note,
) -> Result<KeyId, NatsError> {
    let facts = lookup::operator(draft.view())?;
    let old = signing_keys(draft.view(), &facts)?;
    let compartment = match compartment.or_else(|| old.last()?.compartment.as_ref()) {
        Some(compartment) => compartment.clone(),
        None => Label::new(ISSUING)?,
    };
    let new = add_signing_key(draft, facts.operator.operator_id, &compartment)?;
    for key in old {
        match overlap_until {
            // A key that is on its way out already keeps its time.
            Some(_) if !is_active_key(draft, key.key_id)? => {}
            Some(until) => record_successor(draft, key.key_id, new, until)?,
            None => record_retirement(draft, &key, Some(new), reason)?,
        }
    }
    let claims = draft.operator_claims(&facts)?;
    draft.issue_operator(claims);
    for account in lookup::members(draft.view(), facts.operator.operator_id.into(), Kind::Account)? {
        if let (true, Facts::Account(account)) = (account.is_active(), account.facts) {
            account_edits::reissue(draft, &account)?;
        }
    }
    Ok(new)
}

/// Gives the operator up, its system account with it. Other accounts must be deleted before, or are now, with
/// `with_accounts`: then all of their users are cut off. Servers learn of it by their configuration alone; those that are to
/// forget single accounts are told before, while there is an operator who signs that.
///
/// # Errors
/// See [`NatsError`].
pub fn delete(draft: &mut NatsDraft<'_, '_>, with_accounts: bool, reason: &Note) -> Result<(), NatsError> {
    let operator = lookup::operator(draft.view())?.operator;
    let accounts = lookup::accounts(draft.view(), None)?;
    let (system, others): (Vec<_>, Vec<_>) = accounts.into_iter().partition(|account| account.account.system);
    if with_accounts {
        others.iter().try_for_each(|account| accounts::end(draft, account, reason))?;
    }
    for key in lookup::signing_keys(draft.view(), &NatsHolder::Operator(operator.operator_id))? {
        record_retirement(draft, &key, None, reason)?;
    }
    draft.run(NatsCommand::DeleteOperator(NatsOperatorDeleted {
        operator_id: operator.operator_id,
        public_key: operator.public_key,
        reason: reason.clone(),
    }))?;
    system.iter().try_for_each(|account| accounts::end(draft, account, reason))
}

fn is_active_key(draft: &NatsDraft<'_, '_>, key: KeyId) -> Result<bool, NatsError> {
    Ok(draft.view().get(key.into())?.is_some_and(|key| key.is_active()))
}
