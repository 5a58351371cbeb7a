//! The evidence that a revocation reached servers: one file with the revocation, the tokens that carry it, and the push
//! receipts that say which servers hold them.
//!
//! The file is several C2SP tlog-proofs, one behind the other, all to the same signed head. The first is the revocation's; an
//! ordinary reader of tlog-proof may stop behind it.

use std::collections::BTreeSet;

use super::proved::{CheckError, CheckedEvent, ProvedEvent};
use super::{Disclose, LogError, prove_to};
use crate::events::{EventData, JwtClaimsCreated, JwtKind, NatsParty, NatsUserRevoked};
use crate::log::LogProof;
use crate::store::{Recorded, Store, Which};
use crate::text::{Label, Name};
use crate::time::Timestamp;

/// The proofs of a NATS user's revocation, and behind it those of what servers were proved to hold of it, in the order of the
/// log. There is only the first where nothing was pushed since.
///
/// # Errors
/// When the event is no such revocation, or no signed head covers one of the events.
pub fn prove_pushed(store: &Store, which: &Which) -> Result<Vec<LogProof>, LogError> {
    let revocation = store.event(which)?;
    let EventData::NatsUserRevoked(revoked) = revocation.event()?.data else {
        return Err(LogError::NoPush { event_type: revocation.envelope()?.event_type.to_owned() });
    };
    let (mut carrying, mut wanted) = (Vec::<(Label, u64)>::new(), BTreeSet::new());
    for recorded in store.iter(revocation.position + 1) {
        let recorded: Recorded = recorded?;
        match recorded.envelope()?.event_type {
            "JwtClaimsCreated" => {
                if let EventData::JwtClaimsCreated(claims) = recorded.event()?.data
                    && carries(&claims, &revoked)
                {
                    carrying.push((claims.jti, recorded.position));
                }
            }
            "NatsAccountPushed" => {
                if let EventData::NatsAccountPushed(pushed) = recorded.event()?.data
                    && let Some((_, claims)) = carrying.iter().find(|(jti, _)| *jti == pushed.jti)
                {
                    wanted.extend([*claims, recorded.position]);
                }
            }
            _ => {}
        }
    }
    let checkpoint = store.latest_checkpoint()?;
    std::iter::once(revocation.position)
        .chain(wanted)
        .map(|position| prove_to(store, &Which::Position(position), Disclose::Event, checkpoint.clone()))
        .collect()
}

/// Whether an account's token says that a user's tokens of before its revocation are refused.
fn carries(claims: &JwtClaimsCreated, revoked: &NatsUserRevoked) -> bool {
    if claims.kind != JwtKind::Account || claims.about != NatsParty::Account(revoked.account_id) {
        return false;
    }
    let document: serde_json::Value = serde_json::from_str(claims.claims.as_str()).unwrap_or_default();
    let since = revoked.revoked_at.unix_micros() / 1_000_000;
    let revocations = &document["nats"]["revocations"];
    // A star revokes every user.
    let until = [revoked.public_key.as_str(), "*"].into_iter().filter_map(|user| revocations[user].as_i64());
    until.max().is_some_and(|until| until >= since)
}

/// Servers that were proved to hold a token with the revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The position of the receipt.
    pub position: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The token's id.
    pub jti: Label,
    /// The servers, by name.
    pub servers: Vec<Name>,
}

/// What the events behind the first one of a file say of it.
pub(super) fn check_pushed(first: &CheckedEvent, more: &[CheckedEvent]) -> Result<Vec<Pushed>, CheckError> {
    let data = |event: &CheckedEvent| event.event.as_ref().map(|ProvedEvent { event, .. }| event.data.clone());
    let (mut carrying, mut pushed, mut last) = (BTreeSet::new(), Vec::new(), first.position);
    for event in more {
        let unrelated = CheckError::Unrelated { position: event.position };
        if event.position <= last {
            return Err(unrelated);
        }
        last = event.position;
        match (data(first), data(event)) {
            (Some(EventData::NatsUserRevoked(revoked)), Some(EventData::JwtClaimsCreated(claims)))
                if carries(&claims, &revoked) =>
            {
                carrying.insert(claims.jti);
            }
            (Some(EventData::NatsUserRevoked(revoked)), Some(EventData::NatsAccountPushed(receipt)))
                if receipt.account_id == revoked.account_id && carrying.contains(&receipt.jti) =>
            {
                let at = event.event.as_ref().map(|proved| proved.event.occurred_at);
                let servers = receipt.servers.iter().cloned().collect();
                pushed.extend(at.map(|at| Pushed { position: event.position, at, jti: receipt.jti, servers }));
            }
            _ => return Err(unrelated),
        }
    }
    Ok(pushed)
}
