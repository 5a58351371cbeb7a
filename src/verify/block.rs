//! What one event's block is judged by, without its neighbours.

use cid::Cid;

use super::layer::Layer;
use crate::events::{EventData, KeyEvent, LedgerCreated, LedgerKeyRotated};
use crate::ipld_support::{DAG_CBOR, Envelope, verify_block};
use crate::time::Timestamp;

/// What an event says about the ledger itself.
#[derive(Debug, Clone)]
pub(crate) enum LedgerFact {
    /// It was made.
    Created(LedgerCreated),
    /// Its heads are signed with another key from here on.
    Rotated(LedgerKeyRotated),
}

/// What a block was found to be.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The event's time.
    pub(crate) time: Option<Timestamp>,
    /// Who acted, as the event says it.
    pub(crate) actor: Option<Box<str>>,
    /// The events that it follows from.
    pub(crate) causes: Vec<Cid>,
    /// The raw blocks that it needs beside it.
    pub(crate) blobs: Vec<Cid>,
    /// What it says about the ledger itself.
    pub(crate) fact: Option<LedgerFact>,
    /// Its type and schema, where they are not known here.
    pub(crate) unknown: Option<(String, u32)>,
    /// The event, where whoever asked wants to replay it.
    pub(crate) event: Option<Box<KeyEvent>>,
    /// What is wrong.
    pub(crate) problems: Vec<(Layer, String)>,
}

/// Judges a block: its hash, its canonical form, its outer fields and the data of its type. `beside` compares the outer fields
/// and the event, where it decodes, with what is kept beside the block. `keep` asks for the event itself.
pub(crate) fn judge(
    cid: &Cid,
    block: &[u8],
    keep: bool,
    beside: impl FnOnce(&Envelope<'_>, Option<&KeyEvent>, &mut Vec<(Layer, String)>),
) -> Verdict {
    let mut verdict = Verdict::default();
    if !verify_block(block, cid) {
        let what = "the block is not the one that its content identifier names";
        verdict.problems.push((Layer::Block, what.into()));
        return verdict;
    }
    let envelope = match Envelope::parse(block) {
        Ok(envelope) => envelope,
        Err(error) => {
            verdict.problems.push((Layer::Block, format!("the block is no event: {error}")));
            return verdict;
        }
    };
    let event = envelope.event();
    beside(&envelope, event.as_ref().ok(), &mut verdict.problems);
    if !envelope.causes.is_empty() {
        let (causes, blobs) = envelope.causes.iter().partition(|cause| cause.codec() == DAG_CBOR);
        (verdict.causes, verdict.blobs) = (causes, blobs);
    }
    match event {
        Ok(event) => {
            verdict.time = Some(event.occurred_at);
            verdict.actor = Some(envelope.actor.into());
            data(event, keep, &mut verdict);
        }
        Err(error) => {
            verdict.time = envelope.occurred_at.parse().ok();
            verdict.problems.push((Layer::Block, format!("the event does not decode: {error}")));
        }
    }
    verdict
}

fn data(event: KeyEvent, keep: bool, verdict: &mut Verdict) {
    match &event.data {
        EventData::LedgerCreated(created) => verdict.fact = Some(LedgerFact::Created(created.clone())),
        EventData::LedgerKeyRotated(rotated) => verdict.fact = Some(LedgerFact::Rotated(rotated.clone())),
        EventData::ManifestApplied(applied) => verdict.blobs.push(*applied.manifest.cid()),
        EventData::Unknown(unknown) => verdict.unknown = Some((unknown.event_type.clone(), unknown.schema)),
        _ => {}
    }
    if keep {
        verdict.event = Some(Box::new(event));
    }
}
