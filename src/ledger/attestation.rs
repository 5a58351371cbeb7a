//! Signatures over events: who may make them, what they are worth, and which events need one.
//!
//! Whether the bytes of a signature are right is not looked at here: that needs the means of a signature scheme, which
//! `app::attest` has. Here it is decided whether the key may speak for the signer at that moment.

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::cid_text;
use super::command::EventDraft;
use super::decide::{draft, known};
use super::ended::How;
use super::entity::{Entity, EntityRef, Facts, KeyFacts, Kind};
use super::refusal::Refusal;
use super::view::{NameKey, View, ViewError};
use crate::events::{
    EventAttested, EventData, KeyAlgorithm, KeyEncoding, KeyEvent, KeyPurpose, Party, SignaturesRequired,
};
use crate::ids::KeyId;
use crate::text::Label;
use crate::time::Timestamp;

/// What is known of a signature over an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationFacts {
    /// The event.
    #[serde(with = "cid_text")]
    pub event: Cid,
    /// Who signed.
    pub signer: Party,
    /// With which key.
    pub key_id: KeyId,
    /// Of the signature.
    pub algorithm: KeyAlgorithm,
    /// Whether the key could speak for the signer when the signature was recorded.
    pub standing: Standing,
}

/// Whether a key can speak for a person. Nothing that happens later changes what it was when a signature was recorded: a
/// key that is revoked later still validates what it signed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// It is the signer's own, in force, and nobody else opens it.
    Good,
    /// The event that was signed is not among the causes.
    NotACause,
    /// The signer is no person.
    NotAPerson,
    /// The person is not recorded, or not active.
    Inactive,
    /// The key is not recorded.
    UnknownKey,
    /// The key belongs to somebody else.
    OtherOwner,
    /// The key is not for signing acts.
    OtherPurpose,
    /// The key is of another algorithm than the signature, or of one that signs no acts.
    OtherAlgorithm,
    /// The key was revoked before.
    Revoked,
    /// The key was replaced before, and its time beside its successor is over.
    Retired,
    /// The key's validity has not begun, or is over.
    OutsideValidity,
    /// Others than the signer open the compartment that holds the key, or may.
    Shared,
    /// The private half has left custody.
    LeftCustody,
    /// The private half lay unencrypted before it was imported.
    WasPlaintext,
}

impl Standing {
    /// Whether a signature counts.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Good)
    }

    /// As messages have it, after "the key".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "is in force and the signer's own",
            Self::NotACause => "signed an event that is not among the causes of the signature",
            Self::NotAPerson => "does not belong to a person",
            Self::Inactive => "belongs to a person who is not active",
            Self::UnknownKey => "is not recorded",
            Self::OtherOwner => "belongs to somebody else",
            Self::OtherPurpose => "is not for signing acts",
            Self::OtherAlgorithm => "is of another algorithm than the signature, or of one that signs no acts",
            Self::Revoked => "was revoked before",
            Self::Retired => "was replaced before",
            Self::OutsideValidity => "is outside its validity",
            Self::Shared => "lies in a compartment that others open, or may",
            Self::LeftCustody => "has left custody",
            Self::WasPlaintext => "lay unencrypted before it was imported",
        }
    }
}

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

fn assess(view: &dyn View, attested: &EventAttested, at: Timestamp) -> Result<Standing, ViewError> {
    let standing = standing(view, &attested.signer, attested.key_id, at, Some(attested.event.cid()))?;
    let same = match view.get(attested.key_id.into())?.map(|key| key.facts) {
        Some(Facts::Key(key)) => key.algorithm == attested.algorithm,
        _ => false,
    };
    Ok(if standing.is_good() && !same { Standing::OtherAlgorithm } else { standing })
}

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
    let mut after = None;
    loop {
        let page = view.list(Kind::Key, after, 256)?;
        let Some(last) = page.last() else { return Err(Refusal::LastSigner) };
        after = Some(last.entity_ref().id);
        for entity in page.into_iter().filter(Entity::is_active) {
            let Facts::Key(key) = entity.facts else { continue };
            let Party::Person(owner) = &key.owner else { continue };
            let signs = key.purpose == KeyPurpose::ActSigning && !leaves(&key);
            if signs && view.get((*owner).into())?.is_some_and(|owner| owner.is_active()) {
                return Ok(());
            }
        }
    }
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
