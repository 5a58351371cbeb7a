//! Verifying a stream from beginning to end.

use cid::Cid;

use super::follower::{Follower, Recording};
use super::sources::Sources;
use super::{Flow, LedgerStream, Step};
use crate::adapters::message::{MessageReader, StreamMessage};
use crate::adapters::stream_reader::StreamReadError;
use crate::events::KeyEvent;
use crate::ipld_support::decode_block;
use crate::log::{KeyChain, PublishedEvent, PublishedHistory, SignedCheckpoint, VerifierKey};
use crate::verify::{Layer, Report};

/// What a verified stream was found to hold.
#[derive(Debug, Clone)]
pub struct StreamVerified {
    /// How many events of the ledger it holds, and what is wrong.
    pub report: Report,
    /// How many heads it holds.
    pub heads: u64,
    /// The last position that a head covers.
    pub last: u64,
    /// How many events no head covers yet.
    pub unclosed: u64,
    /// The positions that are parked: the server refused them, and heads name them.
    pub parked: Vec<(u64, Cid)>,
    /// The largest size whose checkpoint, signed with the key, agrees with the events; 0 where there is none.
    pub signed: u64,
    /// The checkpoints that were given, as far as the stream does not reach them.
    pub unreached: Vec<u64>,
    /// How many messages under earlier keys the ledger did not go on from, and that were left out.
    pub given_up: u64,
    /// The keys from the trusted one on, each with the smallest head that it signs.
    pub keys: Vec<(u64, VerifierKey)>,
}

/// Verifies the whole history that a stream has of a ledger: every message, content identifier, canonical form, order,
/// head, tree, checkpoint and signature, over all of its keys. With `held`, also that it agrees with checkpoints that came
/// on another way.
///
/// # Errors
/// When the stream can't be read.
pub fn verify(
    stream: &LedgerStream,
    held: Vec<SignedCheckpoint>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<StreamVerified, StreamReadError> {
    let state = stream.state()?;
    let mut verifier = Verifier::new(stream.keys(), held);
    let Verifier { history, report } = &mut verifier;
    stream.follow(1, history, &mut |_, step| {
        if let Step::Closed(closed) = &step {
            progress(closed.head.sequence.saturating_sub(state.first), state.messages);
        }
        decode(step, report);
        Ok::<_, StreamReadError>(Flow::On)
    })?;
    Ok(verifier.finish())
}

/// Verifies messages that were recorded from a stream, in order of their sequences, as [`verify`] does the stream itself.
///
/// # Errors
/// Never: a recording can be read.
pub fn verify_recorded(
    recorded: &[StreamMessage],
    messages: &MessageReader,
    key: &VerifierKey,
    held: Vec<SignedCheckpoint>,
) -> Result<StreamVerified, StreamReadError> {
    let recording = Recording(recorded);
    let mut verifier = Verifier::new(KeyChain::new(key.clone()), held);
    let Verifier { history, report } = &mut verifier;
    let sources = Sources::single(messages.clone());
    let mut follower = Follower { from: &recording, sources: &sources, history, late: None };
    follower.chunk(recorded, &mut |_, step| {
        decode(step, report);
        Ok::<_, StreamReadError>(Flow::On)
    })?;
    Ok(verifier.finish())
}

/// A history that is verified to its end, whatever is wrong with it.
struct Verifier {
    history: PublishedHistory,
    report: Report,
}

impl Verifier {
    fn new(keys: KeyChain, held: Vec<SignedCheckpoint>) -> Self {
        let mut history = PublishedHistory::new(Some(keys));
        held.into_iter().for_each(|checkpoint| history.hold_to(checkpoint));
        Self { history, report: Report::new(1) }
    }

    fn finish(self) -> StreamVerified {
        let Self { mut history, mut report } = self;
        history.finish();
        for problem in history.problems() {
            report.add(Layer::Stream, problem.position, problem.cid.as_deref().copied(), problem.to_string());
        }
        report.more += history.more_problems();
        report.events = history.read().0;
        report.last = history.closed();
        StreamVerified {
            heads: history.read().1,
            last: history.closed(),
            unclosed: history.unclosed() as u64,
            parked: history.parked().collect(),
            signed: history.signed(),
            unreached: history.unreached().collect(),
            given_up: history.given_up(),
            keys: history.chain().map_or_else(Vec::new, |chain| chain.keys().to_vec()),
            report,
        }
    }
}

/// Whether what a step brings reads as the event that it says it is.
fn decode(step: Step, report: &mut Report) {
    let events: Vec<PublishedEvent> = match step {
        Step::Closed(closed) => closed.leaves.into_iter().filter_map(|leaf| leaf.event).collect(),
        Step::Late(event) => vec![event],
    };
    for event in events {
        if let Err(error) = decode_block::<KeyEvent>(&event.block) {
            let what = format!("the event does not decode: {error}");
            report.add(Layer::Block, Some(event.position), Some(event.cid), what);
        }
    }
}
