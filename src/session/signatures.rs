//! Signatures over acts, read from a ledger: what each is worth.
//!
//! Whether a signature counts was decided when it was recorded ([`crate::ledger::standing`]). Whether its bytes are right is
//! judged here.

use std::collections::HashMap;

use crate::events::{Actor, EventData, Party};
use crate::ids::KeyId;
use crate::keys::{PublicFacts, verify};
use crate::ledger::{AttestationFacts, Entity, EntityRef, Facts, KeyFacts, NameKey, Standing, View, ViewError};
use crate::store::{ReadError, Recorded, Store, Which};
use crate::time::Timestamp;

/// What a signature over an event is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is right, by a key that was in force and only its owner opened.
    Good,
    /// It is right, and the key is suspected to have been in wrong hands by then.
    Disputed {
        /// Since when.
        since: Timestamp,
    },
    /// The key could not speak for the signer.
    NoStanding(Standing),
    /// The bytes are no signature of this key over this event.
    Forged,
}

/// A signature over an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Its position.
    pub position: u64,
    /// The content identifier of the signature, which is an event.
    pub cid: cid::Cid,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who signed.
    pub signer: Party,
    /// With which key.
    pub key_id: KeyId,
    /// What it is worth.
    pub verdict: Verdict,
}

impl Signature {
    /// Whether it makes an actor a signer.
    #[must_use]
    pub fn vouches_for(&self, actor: &Actor) -> bool {
        let same = matches!((&self.signer, actor), (Party::Person(signer), Actor::Person(actor)) if signer == actor);
        same && self.verdict == Verdict::Good
    }
}

/// The signatures over an event, the oldest first.
///
/// # Errors
/// When the ledger can't be read.
pub fn signatures(store: &Store, event: &cid::Cid) -> Result<Vec<Signature>, ReadError> {
    signatures_among(store, event, &Nearby::default())
}

/// Recorded events that are at hand, by content identifier: what is among them is not read again.
pub(super) type Nearby<'r> = HashMap<cid::Cid, &'r Recorded>;

/// As [`signatures`], with events that are at hand.
pub(super) fn signatures_among(
    store: &Store,
    event: &cid::Cid,
    nearby: &Nearby<'_>,
) -> Result<Vec<Signature>, ReadError> {
    let found = store.view(|view| {
        let found = view.find(&NameKey::attested(event), 1_000)?;
        let with_key = |entity: Entity| Ok((key_of(view, &entity)?, entity));
        found.into_iter().map(with_key).collect::<Result<Vec<_>, ViewError>>()
    })?;
    let found = found.map_err(|error| ReadError::Damaged { position: 0, detail: error.to_string() })?;
    let mut signatures = Vec::with_capacity(found.len());
    for (key, entity) in found {
        let Facts::Attestation(facts) = entity.facts else { continue };
        let judged = match nearby.get(&entity.last) {
            Some(recorded) => judge(recorded, &facts, key.as_ref())?,
            None => judge(&store.event(&Which::Cid(entity.last))?, &facts, key.as_ref())?,
        };
        signatures.push(judged);
    }
    signatures.sort_by_key(|signature| signature.position);
    Ok(signatures)
}

/// What a signature is worth that is itself the event at hand; `None` for other events, and for one that only repeats an
/// earlier signature of the same key.
///
/// # Errors
/// When the ledger can't be read.
pub fn of_attestation(store: &Store, recorded: &Recorded) -> Result<Option<Signature>, ReadError> {
    let EventData::EventAttested(attested) = recorded.event()?.data else { return Ok(None) };
    Ok(signatures(store, attested.event.cid())?.into_iter().find(|it| it.cid == recorded.cid))
}

fn key_of(view: &dyn View, entity: &Entity) -> Result<Option<KeyFacts>, ViewError> {
    let Facts::Attestation(facts) = &entity.facts else { return Ok(None) };
    Ok(match view.get(EntityRef::from(facts.key_id))?.map(|key| key.facts) {
        Some(Facts::Key(key)) => Some(key),
        _ => None,
    })
}

/// What one recorded signature is worth.
fn judge(recorded: &Recorded, facts: &AttestationFacts, key: Option<&KeyFacts>) -> Result<Signature, ReadError> {
    let event = recorded.event()?;
    let at = event.occurred_at;
    let EventData::EventAttested(attested) = &event.data else {
        let detail = "it is said to be a signature, and is none".to_owned();
        return Err(ReadError::Damaged { position: recorded.position, detail });
    };
    let right = key.is_some_and(|key| {
        verify(&public(key), &attested.event.cid().to_bytes(), attested.signature.as_slice()).is_ok()
    });
    let since = key.and_then(|key| key.revocation.as_ref()?.invalid_since).filter(|since| *since <= at);
    let verdict = match (facts.standing, since) {
        (standing @ (Standing::UnknownKey | Standing::OtherAlgorithm), _) => Verdict::NoStanding(standing),
        _ if !right => Verdict::Forged,
        (Standing::Good, Some(since)) => Verdict::Disputed { since },
        (Standing::Good, None) => Verdict::Good,
        (standing, _) => Verdict::NoStanding(standing),
    };
    let (signer, key_id) = (attested.signer.clone(), attested.key_id);
    Ok(Signature { position: recorded.position, cid: recorded.cid, at, signer, key_id, verdict })
}

fn public(key: &KeyFacts) -> PublicFacts {
    PublicFacts { algorithm: key.algorithm, encoding: key.encoding, public_key: key.public_key.clone() }
}
