//! How keys and users end, recorded by itself: claims that name them are the caller's to change.

use super::draft::NatsDraft;
use super::error::NatsError;
use crate::events::{
    NatsSigningKeyGenerated, NatsSigningKeyRetired, NatsUserCreated, NatsUserRevoked, RevocationReason,
};
use crate::ids::KeyId;
use crate::ledger::{Command, NatsCommand, UserFacts};
use crate::text::Note;
use crate::time::Timestamp;

/// Says that a key takes over from another, which stays good until a time.
pub(super) fn record_successor(
    draft: &mut NatsDraft<'_, '_>,
    key_id: KeyId,
    successor_id: KeyId,
    retire_at: Timestamp,
) -> Result<(), NatsError> {
    draft.run(NatsCommand::ReplaceKey { key_id, successor_id, retire_at })
}

/// Records that a signing key is out of use.
pub(super) fn record_retirement(
    draft: &mut NatsDraft<'_, '_>,
    key: &NatsSigningKeyGenerated,
    successor_id: Option<KeyId>,
    reason: &Note,
) -> Result<(), NatsError> {
    draft.run(NatsCommand::RetireSigningKey(NatsSigningKeyRetired {
        key_id: key.key_id,
        holder: key.holder.clone(),
        public_key: key.public_key.clone(),
        successor_id,
        reason: reason.clone(),
    }))
}

/// Records that a user is cut off, and its key revoked.
pub(super) fn record_revocation(
    draft: &mut NatsDraft<'_, '_>,
    facts: &UserFacts,
    reason: &Note,
) -> Result<i64, NatsError> {
    let until = revocation_second(draft, facts);
    record_revocation_until(draft, &facts.user, until, reason)?;
    Ok(until)
}

/// The same up to a given second of the Unix epoch.
pub(super) fn record_revocation_until(
    draft: &mut NatsDraft<'_, '_>,
    user: &NatsUserCreated,
    until: i64,
    reason: &Note,
) -> Result<(), NatsError> {
    draft.forget_user(user.user_id);
    let revoked_at = Timestamp::from_unix_micros(until.saturating_mul(1_000_000))
        .ok_or_else(|| NatsError::advised("the clock is beyond the year 9999".to_owned(), "set the clock right"))?;
    draft.run(NatsCommand::RevokeUser(NatsUserRevoked {
        user_id: user.user_id,
        account_id: user.account_id,
        public_key: user.public_key.clone(),
        revoked_at,
        reason: reason.clone(),
    }))?;
    draft.run_any(Command::RevokeKey {
        key_id: user.key_id,
        reason: RevocationReason::PrivilegeWithdrawn,
        note: Some(reason.clone()),
        invalid_since: None,
    })
}

/// The second up to which what was issued to a user is refused: now, or its last token's, if a clock was fast.
pub(super) fn revocation_second(draft: &NatsDraft<'_, '_>, facts: &UserFacts) -> i64 {
    let issued = facts.token.as_ref().map_or(0, |token| token.issued_at);
    i64::try_from(draft.now().max(issued)).unwrap_or(i64::MAX)
}
