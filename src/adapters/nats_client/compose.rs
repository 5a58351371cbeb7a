//! Batches made ready: read from the outbox, turned into messages, before the server is asked for anything.

use std::collections::BTreeSet;

use cid::Cid;

use super::super::message::{EventMessage, MessageWriter};
use crate::advice::Advice;
use crate::delivery::outbox::{Outbox, OutboxError, Parked};
use crate::delivery::{Head, Mode, ParkedEvent, Plan};

/// How many bytes of blocks one batch holds at most: as messages they are about twice that.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A batch, ready to be sent.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) only: Option<u64>,
    pub(super) after: u64,
    pub(super) through: u64,
    parked: Vec<u64>,
    /// Whether the outbox had no more.
    reached_end: bool,
    pub(super) events: Vec<EventMessage>,
    /// For each event its identifier, as `Nats-Msg-Id` has it.
    pub(super) ids: Vec<Cid>,
    /// What opens a fast batch: the newest head again.
    pub(super) opening: Option<Head>,
    /// What closes the batch; nothing in core NATS.
    pub(super) head: Option<Head>,
}

/// What came of a plan.
#[derive(Debug)]
pub(super) enum Outcome {
    Ready(Box<Composed>),
    Missing { first: u64 },
    Unsendable { reason: String },
}

/// What a batch may be made of besides the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The largest message that the server takes, its headers included.
    pub(super) max_payload: usize,
    /// Whether there is an object store for what is larger.
    pub(super) objects: bool,
}

impl Composed {
    /// Whether this batch, made in advance, is what a plan asks for.
    pub(super) fn fits(&self, plan: &Plan) -> bool {
        plan.only.is_none()
            && self.only.is_none()
            && self.after == plan.after
            && self.parked == plan.parked
            && self.opening.is_some() == (plan.mode == Mode::Fast)
            && !self.events.is_empty()
            && self.events.len() <= plan.max_events
            // A batch that ended where the log did then is too small if the log has grown.
            && (!self.reached_end || self.events.len() == plan.max_events || self.events.len() > 256)
    }
}

/// Makes the batch of a plan ready. `before` is the position and event that the batch before it ended with, where there was
/// one: an outbox may have to look for it.
pub(super) fn compose(
    outbox: &dyn Outbox,
    writer: &MessageWriter,
    plan: &Plan,
    limits: Limits,
    before: Option<(u64, Cid)>,
) -> Result<Outcome, OutboxError> {
    let mut batch = Composed {
        only: plan.only,
        after: plan.after,
        through: plan.after,
        parked: plan.parked.clone(),
        reached_end: false,
        events: Vec::new(),
        ids: Vec::new(),
        opening: None,
        head: None,
    };
    let mut last_cid = None;
    if let Some(position) = plan.only {
        let entry = outbox.read(position - 1, 1, MAX_BATCH_BYTES)?.into_iter().find(|entry| entry.position == position);
        let Some(entry) = entry else {
            return Ok(Outcome::Unsendable { reason: "the outbox no longer holds it".into() });
        };
        match message(writer, &entry, limits) {
            Ok(message) => batch.push(message, entry.cid),
            Err(reason) => return Ok(Outcome::Unsendable { reason }),
        }
    } else if plan.max_events > 0 {
        let skipped: BTreeSet<u64> = plan.parked.iter().copied().collect();
        let mut entries = outbox.read(plan.after, plan.max_events + skipped.len(), MAX_BATCH_BYTES)?;
        match entries.first() {
            Some(entry) if entry.position == plan.after + 1 => {}
            Some(entry) => return Ok(Outcome::Missing { first: entry.position }),
            None if outbox.first()? > plan.after + 1 => return Ok(Outcome::Missing { first: outbox.first()? }),
            None => {}
        }
        if let Some(last) = entries.last()
            && let Some(signed) = outbox.newest_checkpoint(plan.after, last.position)?
        {
            entries.retain(|entry| entry.position <= signed);
        }
        batch.reached_end = entries.last().map_or(plan.after, |entry| entry.position) >= outbox.end()?;
        for entry in &entries {
            if !skipped.contains(&entry.position) {
                if batch.events.len() == plan.max_events {
                    break;
                }
                match message(writer, entry, limits) {
                    Ok(message) => batch.push(message, entry.cid),
                    Err(reason) if batch.events.is_empty() => return Ok(Outcome::Unsendable { reason }),
                    // Its turn comes when it is the next one.
                    Err(_) => break,
                }
            }
            batch.through = entry.position;
            last_cid = Some(entry.cid);
        }
    }
    if plan.mode == Mode::Fast {
        let last = before.filter(|(position, _)| *position == plan.after).map(|(_, cid)| cid);
        batch.opening = Some(head(outbox, plan.after, &plan.parked, last)?);
    }
    if plan.mode != Mode::Core {
        batch.head = Some(head(outbox, batch.through, &plan.parked, last_cid)?);
    }
    Ok(Outcome::Ready(Box::new(batch)))
}

impl Composed {
    fn push(&mut self, message: EventMessage, cid: Cid) {
        self.events.push(message);
        self.ids.push(cid);
    }
}

fn message(
    writer: &MessageWriter,
    entry: &crate::delivery::outbox::Entry,
    limits: Limits,
) -> Result<EventMessage, String> {
    let message = writer.write(entry, limits.max_payload, None).map_err(|error| error.to_string())?;
    if message.object.is_some() && !limits.objects {
        return Err(format!(
            "it is larger than the server's max_payload of {} bytes, and core NATS has no object store",
            limits.max_payload
        ));
    }
    Ok(message)
}

/// The head at a position, but for the one before it, which only the plan knows.
fn head(outbox: &dyn Outbox, through: u64, parked: &[u64], last: Option<Cid>) -> Result<Head, OutboxError> {
    let damaged = |position: u64| OutboxError::Damaged {
        what: "the outbox".into(),
        problem: format!("there is no event at position {position}"),
        next: vec![Advice::Do("verify the ledger, or look at the queue's file")],
    };
    let cid = match last {
        Some(cid) => cid,
        None => outbox.cid_at(through)?.ok_or_else(|| damaged(through))?,
    };
    let mut head = Head::new(outbox.source().clone(), through, cid);
    let listed: Vec<u64> = parked.iter().copied().filter(|position| *position <= through).collect();
    if !listed.is_empty() {
        let known: Vec<Parked> = outbox.parked()?;
        for position in listed {
            let cid = match known.iter().find(|parked| parked.position == position) {
                Some(parked) => parked.cid,
                None => outbox.cid_at(position)?.ok_or_else(|| damaged(position))?,
            };
            head.parked.push(ParkedEvent { position, cid });
        }
    }
    head.checkpoint = outbox.checkpoint(through)?;
    Ok(head)
}
