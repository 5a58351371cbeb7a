//! Accounts: made, edited, signed anew, deleted.

use super::draft::NatsDraft;
use super::endings::{record_retirement, record_revocation};
use super::error::NatsError;
use super::signing_keys::{self, NewSigningKey};
use super::{deletion, lookup};
use crate::custody::ISSUING;
use crate::events::{NatsAccountCreated, NatsAccountDeleted, NatsHolder, NkeyKind};
use crate::ids::NatsAccountId;
use crate::ledger::{AccountFacts, Facts, Kind, NatsCommand};
use crate::nats::claims::{Account, AccountLimits, Claims, Export, ExportType, Registered};
use crate::text::{Name, Note, PublicKey};
use crate::time::Timestamp;

pub(crate) use super::account_edits::put;
pub use super::account_edits::{edit, reissue};
pub use super::lookup::account_claims as claims;

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its identifier.
    pub id: NatsAccountId,
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub description: Option<Note>,
    /// Whether it is the system account.
    pub system: bool,
}

/// Makes an account: its identity key in compartment `issuing`, and its first token. Nothing is limited, and JetStream is
/// off, until `edit` says otherwise.
///
/// # Errors
/// See [`NatsError`].
pub fn add(draft: &mut NatsDraft<'_, '_>, new: NewAccount, edit: &dyn Fn(&mut Account)) -> Result<(), NatsError> {
    let operator = lookup::operator(draft.view())?;
    let key = draft.make_key(NkeyKind::Account, ISSUING)?;
    let account = NatsAccountCreated {
        account_id: new.id,
        operator_id: operator.operator.operator_id,
        name: new.name,
        key_id: key.key_id,
        public_key: key.public_key,
        description: new.description,
        system: new.system,
    };
    draft.run(NatsCommand::CreateAccount(account.clone()))?;
    let mut nats = Account { limits: AccountLimits::unlimited(), ..Account::default() };
    nats.info.description = account.description.as_ref().map(ToString::to_string).unwrap_or_default();
    if new.system {
        nats.exports = system_exports();
    }
    edit(&mut nats);
    let account_id = account.account_id;
    draft.issue_account(account_id, Claims { registered: Registered::default(), nats });
    if operator.operator.strict_signing_key_usage {
        // Servers would not trust users that the identity key signs.
        let facts = AccountFacts { account, token: None, pushed: None, deletion: None };
        signing_keys::add(draft, &facts, NewSigningKey::plain())?;
    }
    Ok(())
}

/// What a system account lets others see: its own monitoring, by account.
fn system_exports() -> Vec<Export> {
    let export = |name: &str, subject: &str, r#type, position| Export {
        name: name.to_owned(),
        subject: subject.to_owned(),
        r#type,
        token_req: false,
        revocations: Default::default(),
        response_type: None,
        response_threshold: 0,
        service_latency: None,
        account_token_position: position,
        advertise: false,
        allow_trace: false,
        info: Default::default(),
    };
    vec![
        export("account-monitoring-streams", "$SYS.ACCOUNT.*.>", ExportType::Stream, 3),
        export("account-monitoring-services", "$SYS.REQ.ACCOUNT.*.*", ExportType::Service, 4),
    ]
}

/// Cuts all of an account's users off, deletes it, and signs the request that makes servers do so. For one that is deleted, a
/// request that no key in use has signed is signed anew.
///
/// # Errors
/// See [`NatsError`].
pub fn delete(draft: &mut NatsDraft<'_, '_>, facts: &AccountFacts, reason: &Note) -> Result<(), NatsError> {
    if !draft.view().get(facts.account.account_id.into())?.is_some_and(|account| account.is_active()) {
        return deletion::request(draft, facts);
    }
    end(draft, facts, reason)?;
    deletion::request(draft, facts)
}

/// The same without a request to servers: where the operator is given up, nobody is left who would sign one.
pub(super) fn end(draft: &mut NatsDraft<'_, '_>, facts: &AccountFacts, reason: &Note) -> Result<(), NatsError> {
    for user in lookup::members(draft.view(), facts.account.account_id.into(), Kind::User)? {
        if let (true, Facts::User(user)) = (user.is_active(), &user.facts) {
            record_revocation(draft, user, reason)?;
        }
    }
    for key in lookup::signing_keys(draft.view(), &NatsHolder::Account(facts.account.account_id))? {
        record_retirement(draft, &key, None, reason)?;
    }
    let (account_id, public_key) = (facts.account.account_id, facts.account.public_key.clone());
    draft.forget_account(account_id);
    draft.run(NatsCommand::DeleteAccount(NatsAccountDeleted { account_id, public_key, reason: reason.clone() }))
}

/// Replaces all signing keys of an account, and signs the account and the keys' users anew. The old ones end at once, or
/// stay good until `overlap_until`. Gives the keys that could not be replaced: their private halves are elsewhere.
///
/// The identity key is no part of it: it *is* the account, for servers, imports and permissions.
///
/// # Errors
/// See [`NatsError`]; refused where nothing but the identity key signs.
pub fn rotate(
    draft: &mut NatsDraft<'_, '_>,
    facts: &AccountFacts,
    overlap_until: Option<Timestamp>,
    reason: &Note,
) -> Result<Vec<PublicKey>, NatsError> {
    let keys = lookup::signing_keys(draft.view(), &NatsHolder::Account(facts.account.account_id))?;
    let mut elsewhere = Vec::new();
    let mut rotated = 0;
    for key in keys {
        let on_its_way_out = match draft.view().get(key.key_id.into())?.map(|key| key.facts) {
            Some(Facts::Key(key)) => key.successor_id.is_some(),
            _ => false,
        };
        if key.compartment.is_none() {
            elsewhere.push(key.public_key);
        } else if !on_its_way_out {
            signing_keys::rotate(draft, facts, &key, overlap_until, reason)?;
            rotated += 1;
        }
    }
    if rotated == 0 {
        return Err(NatsError::IdentityKey(facts.account.name.to_string()));
    }
    Ok(elsewhere)
}
