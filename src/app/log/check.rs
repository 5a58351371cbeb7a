//! Checking a file that somebody shows: a proof or a checkpoint. It needs no ledger.

use super::proved::{CheckError, CheckedEvent, ProvedEvent};
use super::pushed::{Pushed, check_pushed};
use crate::events::KeyEvent;
use crate::ipld_support::decode_block;
use crate::log::{Checkpoint, LogProof, Policy, SignedCheckpoint, Subject, Update, VerifierKey};
use crate::time::Timestamp;

/// What a file must stand up to.
#[derive(Debug, Clone)]
pub struct Requirements {
    /// The ledger's key.
    pub key: VerifierKey,
    /// The witnesses that must have signed, each of them.
    pub witnesses: Vec<VerifierKey>,
    /// Whose signatures are demanded besides.
    pub policy: Option<Policy>,
    /// The event must be of before this time.
    pub before: Option<Timestamp>,
    /// The earlier checkpoint, for a consistency proof.
    pub from: Option<SignedCheckpoint>,
}

/// What was found to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The head that everything leads to.
    pub head: Checkpoint,
    /// Who cosigned it, and when.
    pub cosigned: Vec<(String, Timestamp)>,
    /// The event that it proves.
    pub event: Option<CheckedEvent>,
    /// The servers that were proved to hold the revocation that the event is.
    pub pushed: Vec<Pushed>,
    /// The size of the earlier head that it continues.
    pub continues: Option<u64>,
}

/// Checks a file that somebody shows: a proof (of an event, or of consistency) or a checkpoint. It needs no ledger.
///
/// # Errors
/// See [`CheckError`].
pub fn check(text: &str, requirements: &Requirements) -> Result<Checked, CheckError> {
    let mut pushed = Vec::new();
    let (checkpoint, event, continues) = if text.starts_with("c2sp.org/") {
        let mut proofs = LogProof::parse_all(text)?;
        let mut events = proofs.iter().map(check_event).collect::<Result<Vec<_>, _>>()?;
        // A file that reads holds one proof at least.
        let more = events.split_off(1);
        let (proof, event) = (proofs.swap_remove(0), events.remove(0));
        if proofs.iter().any(|other| other.checkpoint != proof.checkpoint) {
            return Err(CheckError::OtherHead);
        }
        pushed = check_pushed(&event, &more)?;
        (proof.checkpoint, Some(event), None)
    } else if text.starts_with("old ") {
        let update: Update = text.parse()?;
        if update.old_size > 0 {
            let from = requirements.from.as_ref().ok_or(CheckError::FromNeeded)?;
            from.verify(&requirements.key)?;
            if from.size() != update.old_size {
                return Err(CheckError::OtherSize { old_size: update.old_size, size: from.size() });
            }
            update.check(&from.checkpoint().root)?;
        }
        let old_size = update.old_size;
        (update.checkpoint, None, Some(old_size))
    } else {
        (text.parse::<SignedCheckpoint>()?, None, None)
    };
    checkpoint.verify(&requirements.key)?;
    let mut cosigned = Vec::new();
    for witness in &requirements.witnesses {
        if let Some(at) = checkpoint.signed_by(witness)?.at {
            cosigned.push((witness.name().to_string(), at));
        }
    }
    if let Some(policy) = &requirements.policy {
        for (name, at) in policy.check(&checkpoint)? {
            let name = name.to_owned();
            cosigned.push((name, at));
        }
    }
    if let Some(before) = requirements.before {
        check_time(event.as_ref(), &cosigned, before)?;
    }
    Ok(Checked { head: checkpoint.checkpoint().clone(), cosigned, event, pushed, continues })
}

fn check_event(proof: &LogProof) -> Result<CheckedEvent, CheckError> {
    proof.check()?;
    let event = match &proof.subject {
        Subject::Block(block) => Some(ProvedEvent { event: decode_block::<KeyEvent>(block)?, block: block.clone() }),
        Subject::Cid(_) => None,
    };
    Ok(CheckedEvent { position: proof.index + 1, cid: proof.subject.cid(), event })
}

fn check_time(
    event: Option<&CheckedEvent>,
    cosigned: &[(String, Timestamp)],
    before: Timestamp,
) -> Result<(), CheckError> {
    let proved = event.and_then(|event| event.event.as_ref()).ok_or(CheckError::NotDisclosed)?;
    let at = proved.event.occurred_at;
    if at >= before {
        return Err(CheckError::Later { at, before });
    }
    // Where witnesses are asked for, the first of them must have seen it in time.
    match cosigned.iter().min_by_key(|(_, seen)| *seen) {
        Some((witness, seen)) if *seen >= before => {
            Err(CheckError::SeenLater { at, witness: witness.clone(), seen: *seen, before })
        }
        _ => Ok(()),
    }
}
