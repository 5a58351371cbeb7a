//! Events that must be signed by the person who acts.

use crate::act::{Denial, Evidence, Policy, Verdict};
use crate::advice::Advice;
use crate::events::{Aggregate, EventData, KeyEvent};
use crate::ledger::{EntityRef, Facts, View, ViewError, is_about_the_ledgers_key};

/// Denies events of the types that a recorded `SignaturesRequired` names, and such a requirement itself, where the actor does
/// not sign them.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignatureRequirement;

impl Policy for SignatureRequirement {
    fn judge(&self, before: &dyn View, event: &KeyEvent, evidence: &Evidence) -> Result<Verdict, ViewError> {
        if evidence.signed || !is_required(before, &event.data)? || is_about_the_ledgers_key(before, &event.data)? {
            return Ok(Verdict::Allow);
        }
        let event_type = event.data.event_type().to_owned();
        Ok(Verdict::Deny(Denial {
            reason: format!(
                "this ledger demands that a {event_type} is signed by whoever acts, and nobody signs this one"
            ),
            next: Advice::Do("say who with --as PERSON"),
            event_type,
        }))
    }
}

fn is_required(before: &dyn View, data: &EventData) -> Result<bool, ViewError> {
    if matches!(data, EventData::SignaturesRequired(_)) {
        return Ok(true);
    }
    if data.aggregate() == Some(Aggregate::Attestation) {
        return Ok(false);
    }
    let required = before.get(EntityRef::signature_requirement())?.map(|it| it.facts);
    let Some(Facts::SignatureRequirement(required)) = required else { return Ok(false) };
    Ok(required.event_types.iter().any(|word| word.as_str() == data.event_type()))
}
