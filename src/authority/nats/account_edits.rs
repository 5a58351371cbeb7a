//! Edits of an account's claims.

use super::draft::NatsDraft;
use super::error::NatsError;
use crate::events::NatsAccountCreated;
use crate::ledger::{AccountFacts, NatsCommand};
use crate::nats::claims::{Account, Claims};

/// Replaces an account's name or description and edits its claims. Nothing happens where nothing changes.
///
/// # Errors
/// See [`NatsError`].
pub fn edit(
    draft: &mut NatsDraft<'_, '_>,
    facts: &AccountFacts,
    attributes: &dyn Fn(&mut NatsAccountCreated),
    edit: &dyn Fn(&mut Account),
) -> Result<(), NatsError> {
    let mut facts = facts.clone();
    let before = draft.account_claims(&facts)?;
    attributes(&mut facts.account);
    draft.run(NatsCommand::UpdateAccount(facts.account.clone().into()))?;
    let mut claims = before.clone();
    claims.nats.info.description = facts.account.description.as_ref().map(ToString::to_string).unwrap_or_default();
    edit(&mut claims.nats);
    claims.nats.normalize();
    if claims.nats == before.nats && before.registered.name == facts.account.name.as_str() {
        return Ok(());
    }
    draft.issue_account(facts.account.account_id, claims);
    Ok(())
}

/// Replaces an account's claims. Nothing happens where nothing changes.
pub(crate) fn put(
    draft: &mut NatsDraft<'_, '_>,
    facts: &AccountFacts,
    mut claims: Claims<Account>,
) -> Result<(), NatsError> {
    claims.nats.normalize();
    draft.take_activations(&mut claims.nats);
    if claims.nats != draft.account_claims(facts)?.nats {
        draft.issue_account(facts.account.account_id, claims);
    }
    Ok(())
}

/// Signs an account's claims anew, as they are: with another operator key, or another time of issue.
///
/// # Errors
/// See [`NatsError`].
pub fn reissue(draft: &mut NatsDraft<'_, '_>, facts: &AccountFacts) -> Result<(), NatsError> {
    let claims = draft.account_claims(facts)?;
    draft.issue_account(facts.account.account_id, claims);
    Ok(())
}
