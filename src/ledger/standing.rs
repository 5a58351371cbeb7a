//! What a signature over an event is worth: whether its key may speak for the signer.
//!
//! Whether the bytes of a signature are right is not looked at here: that needs the means of a signature scheme, which
//! `app::attest` has.

use cid::Cid;

use super::entity::{Entity, How};
use super::facts::{AttestationFacts, Facts, KeyFacts, Standing};
use super::reference::{EntityRef, NameKey};
use super::view::{View, ViewError};
use crate::events::{EventAttested, KeyAlgorithm, KeyEncoding, KeyEvent, KeyPurpose, Party};
use crate::ids::KeyId;
use crate::text::Label;
use crate::time::Timestamp;

/// Whether a key can speak for a party at a time. An act that ends the key itself, or deactivates its owner, can still be
/// signed with it: `act` names the act that is signed.
///
/// # Errors
/// Only the view's own.
pub fn standing(
    view: &dyn View,
    signer: &Party,
    key: KeyId,
    at: Timestamp,
    act: Option<&Cid>,
) -> Result<Standing, ViewError> {
    let in_force = |entity: &Entity| entity.is_active() || Some(&entity.last) == act;
    let Party::Person(person) = signer else { return Ok(Standing::NotAPerson) };
    if !view.get((*person).into())?.is_some_and(|person| in_force(&person)) {
        return Ok(Standing::Inactive);
    }
    let Some(entity) = view.get(key.into())? else { return Ok(Standing::UnknownKey) };
    let Facts::Key(facts) = &entity.facts else { return Ok(Standing::UnknownKey) };
    // An nkey signs whatever a server chooses.
    let signs = matches!(facts.algorithm, KeyAlgorithm::Ed25519 | KeyAlgorithm::EcdsaP256)
        && facts.encoding != KeyEncoding::Nkey;
    let refused = [
        (facts.owner != *signer, Standing::OtherOwner),
        (facts.purpose != KeyPurpose::ActSigning, Standing::OtherPurpose),
        (!signs, Standing::OtherAlgorithm),
        (!in_force(&entity) && !retires_later(&entity, facts, at), ended_as(&entity)),
        (!facts.validity.contains(at), Standing::OutsideValidity),
        (facts.was_plaintext, Standing::WasPlaintext),
        (facts.exports > 0, Standing::LeftCustody),
    ];
    if let Some((_, standing)) = refused.into_iter().find(|(refused, _)| *refused) {
        return Ok(standing);
    }
    match &facts.compartment {
        Some(compartment) if !opens_only_for(view, compartment, signer)? => Ok(Standing::Shared),
        // Where only the public half is known, the private one never was here.
        _ => Ok(Standing::Good),
    }
}

fn retires_later(entity: &Entity, facts: &KeyFacts, at: Timestamp) -> bool {
    let rotated = entity.ended.as_ref().is_some_and(|ended| ended.how == How::Rotated);
    rotated && facts.retire_at.is_some_and(|until| at < until)
}

fn ended_as(entity: &Entity) -> Standing {
    match entity.ended.as_ref().map(|ended| ended.how) {
        Some(How::Rotated) => Standing::Retired,
        _ => Standing::Revoked,
    }
}

/// Whether a compartment's recipients are all held by one party, as far as it is recorded who holds them.
fn opens_only_for(view: &dyn View, compartment: &Label, holder: &Party) -> Result<bool, ViewError> {
    let recipients = view.find(&NameKey::compartment(compartment), MOST_RECIPIENTS)?;
    let own = |it: &Entity| matches!(&it.facts, Facts::Recipient(it) if it.holder.as_ref() == Some(holder));
    let mut active = recipients.iter().filter(|recipient| recipient.is_active()).peekable();
    Ok(recipients.len() < MOST_RECIPIENTS && active.peek().is_some() && active.all(own))
}

/// A compartment with as many recipients is nobody's own.
const MOST_RECIPIENTS: usize = 256;

/// What becomes known of a signature; `None` when it says nothing beyond an earlier one of the same key.
pub(super) fn facts(
    view: &dyn View,
    attested: &EventAttested,
    event: &KeyEvent,
) -> Result<Option<AttestationFacts>, ViewError> {
    let before = view.get(EntityRef::attestation(attested.event.cid(), attested.key_id))?;
    if matches!(
        before,
        Some(Entity { facts: Facts::Attestation(AttestationFacts { standing: Standing::Good, .. }), .. })
    ) {
        return Ok(None);
    }
    let standing = match event.causes.contains(&attested.event) {
        true => assess(view, attested, event.occurred_at)?,
        false => Standing::NotACause,
    };
    let EventAttested { event, signer, key_id, algorithm, .. } = attested;
    let (event, signer) = (*event.cid(), signer.clone());
    Ok(Some(AttestationFacts { event, signer, key_id: *key_id, algorithm: *algorithm, standing }))
}

/// Whether a signature counts, of the algorithm that it names.
pub(super) fn assess(view: &dyn View, attested: &EventAttested, at: Timestamp) -> Result<Standing, ViewError> {
    let standing = standing(view, &attested.signer, attested.key_id, at, Some(attested.event.cid()))?;
    let same = match view.get(attested.key_id.into())?.map(|key| key.facts) {
        Some(Facts::Key(key)) => key.algorithm == attested.algorithm,
        _ => false,
    };
    Ok(if standing.is_good() && !same { Standing::OtherAlgorithm } else { standing })
}
