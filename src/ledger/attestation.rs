//! Decisions on signatures over events, and on which events need one.

use super::command::EventDraft;
use super::entity::Entity;
use super::facts::{Facts, KeyFacts, Standing};
use super::lifecycle::{draft, known};
use super::reference::{EntityRef, Kind};
use super::refusal::Refusal;
use super::standing::assess;
use super::view::{View, ViewError};
use crate::events::{EventAttested, EventData, KeyPurpose, Party, SignaturesRequired};
use crate::time::Timestamp;

/// Decides on a signature: no event when the key signed that event before.
pub(super) fn attest(view: &dyn View, attested: &EventAttested, at: Timestamp) -> Result<Vec<EventDraft>, Refusal> {
    let before = view.get(EntityRef::attestation(attested.event.cid(), attested.key_id))?;
    if matches!(before, Some(Entity { facts: Facts::Attestation(facts), .. }) if facts.standing.is_good()) {
        return Ok(Vec::new());
    }
    match assess(view, attested, at)? {
        Standing::Good => {}
        standing => {
            let key = view.get(attested.key_id.into())?;
            let key = key.map_or_else(|| attested.key_id.to_string(), |key| key.label());
            return Err(Refusal::CannotSign { key, standing: standing.as_str() });
        }
    }
    let key = known(view, attested.key_id.into())?;
    Ok(vec![draft(attested.clone(), [*attested.event.cid(), key.last])])
}

/// Decides on the signature of a ledger's former key over the event that gives the ledger a new one. It speaks in no person's
/// name: those who trust the former key follow.
pub(super) fn vouch_for_ledger_key(view: &dyn View, attested: &EventAttested) -> Result<Vec<EventDraft>, Refusal> {
    let event = attested.event.cid();
    if view.get(EntityRef::attestation(event, attested.key_id))?.is_some() {
        return Ok(Vec::new());
    }
    let concerned = view.concerned_by(event)?;
    let Some(ledger) = concerned.into_iter().find(|it| it.kind == Kind::Ledger) else {
        return Err(Refusal::OtherLedgerKey);
    };
    let ledger = known(view, ledger)?;
    let Facts::Key(former) = known(view, attested.key_id.into())?.facts else { return Err(Refusal::OtherLedgerKey) };
    let successor = former.successor_id.map(|successor| known(view, successor.into())).transpose()?;
    let follows = match (&ledger.facts, successor.map(|it| it.facts)) {
        (Facts::Ledger(ledger), Some(Facts::Key(successor))) => ledger.public_key == successor.public_key,
        _ => false,
    };
    match former.purpose == KeyPurpose::Ledger && follows && ledger.last == *event {
        true => Ok(vec![draft(attested.clone(), [*event])]),
        false => Err(Refusal::OtherLedgerKey),
    }
}

/// Decides on what is to be signed from now on.
pub(super) fn require(view: &dyn View, event: &SignaturesRequired) -> Result<Vec<EventDraft>, Refusal> {
    if let Some(word) = event.event_types.iter().find(|word| !may_be_required(word.as_str())) {
        return Err(Refusal::NotToBeSigned(word.to_string()));
    }
    let before = view.get(EntityRef::signature_requirement())?;
    let now = before.as_ref().and_then(|entity| match &entity.facts {
        Facts::SignatureRequirement(it) => Some(&it.event_types),
        _ => None,
    });
    if now.is_some_and(|now| *now == event.event_types) || (now.is_none() && event.event_types.is_empty()) {
        return Ok(Vec::new());
    }
    Ok(vec![draft(event.clone(), before.map(|entity| entity.last))])
}

/// Keeps at least one key that can sign, while signatures are demanded: without one nothing that must be signed could be
/// recorded ever again, the end of the demand included. `leaves` says which keys are about to end.
pub(super) fn keep_a_signer(view: &dyn View, leaves: impl Fn(&KeyFacts) -> bool) -> Result<(), Refusal> {
    let required = view.get(EntityRef::signature_requirement())?;
    let Some(Facts::SignatureRequirement(it)) = required.map(|it| it.facts) else { return Ok(()) };
    if it.event_types.is_empty() {
        return Ok(());
    }
    for entity in view.all(Kind::Key).active() {
        let Facts::Key(key) = entity?.facts else { continue };
        let Party::Person(owner) = &key.owner else { continue };
        let signs = key.purpose == KeyPurpose::ActSigning && !leaves(&key);
        if signs && view.get((*owner).into())?.is_some_and(|owner| owner.is_active()) {
            return Ok(());
        }
    }
    Err(Refusal::LastSigner)
}

/// Whether signatures can be demanded for a type of event: for every type that is known, but not for signatures
/// themselves, and not for what is recorded about the ledger where nobody has opened it yet.
#[must_use]
pub fn may_be_required(event_type: &str) -> bool {
    let known = EventData::KNOWN.iter().any(|(_, known, _)| *known == event_type);
    known && !["EventAttested", "LedgerCreated", "LedgerHandedOver", "LedgerKeyRotated"].contains(&event_type)
}

/// Whether an event makes or replaces the ledger's own key, as a recovery does before anybody can sign: no signature is
/// demanded for it.
///
/// # Errors
/// Only the view's own.
pub fn is_about_the_ledgers_key(view: &dyn View, data: &EventData) -> Result<bool, ViewError> {
    let key_id = match data {
        EventData::KeyGenerated(event) => return Ok(event.purpose == KeyPurpose::Ledger),
        EventData::KeyRotated(event) => event.key_id,
        _ => return Ok(false),
    };
    let key = view.get(key_id.into())?.map(|key| key.facts);
    Ok(matches!(key, Some(Facts::Key(key)) if key.purpose == KeyPurpose::Ledger))
}
