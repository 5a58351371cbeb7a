//! Verifying a stream from beginning to end.

use cid::Cid;

use super::LedgerStream;
use super::follower::{Flow, Follower, Recording, Step};
use super::sources::Sources;
use crate::adapters::message::{MessageReader, StreamMessage};
use crate::adapters::stream_reader::StreamReadError;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::KeyEvent;
use crate::ipld_support::decode_block;
use crate::log::{History, KeyChain, PublishedEvent, PublishedHistory, SignedCheckpoint, VerifierKey};
use crate::session::vouch::{Claims, Passing, PassingError, Vouched};
use crate::store::FollowedEvent;
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
    /// Who claims to have acted; [`vouched`] says who signed.
    pub claims: Claims,
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
    let Verifier { history, report, claims } = &mut verifier;
    stream.follow(1, history, &mut |_, step| {
        if let Step::Closed(closed) = &step {
            progress(closed.head.sequence.saturating_sub(state.first), state.messages);
        }
        decode(step, report, claims);
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
    let Verifier { history, report, claims } = &mut verifier;
    let sources = Sources::single(messages.clone());
    let mut follower = Follower { from: &recording, sources: &sources, history, late: None };
    follower.chunk(recorded, &mut |_, step| {
        decode(step, report, claims);
        Ok::<_, StreamReadError>(Flow::On)
    })?;
    Ok(verifier.finish())
}

/// A history that is verified to its end, whatever is wrong with it.
struct Verifier {
    history: PublishedHistory,
    report: Report,
    claims: Claims,
}

impl Verifier {
    fn new(keys: KeyChain, held: Vec<SignedCheckpoint>) -> Self {
        let mut history = PublishedHistory::new(Some(keys));
        held.into_iter().for_each(|checkpoint| history.hold_to(checkpoint));
        Self { history, report: Report::new(1), claims: Claims::default() }
    }

    fn finish(self) -> StreamVerified {
        let Self { mut history, mut report, claims } = self;
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
            claims,
            given_up: history.given_up(),
            keys: history.chain().map_or_else(Vec::new, |chain| chain.keys().to_vec()),
            report,
        }
    }
}

/// Whether what a step brings reads as the event that it says it is.
fn decode(step: Step, report: &mut Report, claims: &mut Claims) {
    let events: Vec<PublishedEvent> = match step {
        Step::Closed(closed) => closed.leaves.into_iter().filter_map(|leaf| leaf.event).collect(),
        Step::Late(event) => vec![event],
    };
    for event in events {
        match decode_block::<KeyEvent>(&event.block) {
            Ok(decoded) => claims.see(decoded.event_type(), &decoded.actor.to_string()),
            Err(error) => {
                let what = format!("the event does not decode: {error}");
                report.add(Layer::Block, Some(event.position), Some(event.cid), what);
            }
        }
    }
}

/// Who signed what in a stream that was verified and holds, as far as its beginning is there and nothing is parked. Where
/// there are signatures the stream is read once more.
///
/// # Errors
/// When the stream can't be read, or there is no room for a copy of its events.
pub fn vouched(
    stream: &LedgerStream,
    verified: &StreamVerified,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<Vouched>, VouchError> {
    if !verified.report.ok() || !verified.parked.is_empty() {
        return Ok(None);
    }
    if let Some(unsigned) = verified.claims.unsigned() {
        return Ok(Some(unsigned));
    }
    let mut passing = Passing::new()?;
    let mut history = PublishedHistory::from_head(History::new().forgetful(), None, Some(stream.keys()));
    stream.follow(1, &mut history, &mut |_, step| {
        let Step::Closed(closed) = step else { return Ok(Flow::On) };
        for PublishedEvent { cid, aggregate, block, .. } in closed.leaves.into_iter().filter_map(|leaf| leaf.event) {
            passing.push(FollowedEvent { cid, aggregate, block })?;
        }
        Ok::<_, VouchError>(Flow::On)
    })?;
    Ok(Some(passing.vouched(&mut |done| progress(done, verified.last))?))
}

/// Why nobody can say who signed what in a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VouchError {
    /// The stream could not be read again.
    #[error(transparent)]
    Stream(#[from] StreamReadError),
    /// The events could not be put aside.
    #[error(transparent)]
    Passing(#[from] PassingError),
}

impl Explained for VouchError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stream(error) => error.kind(),
            Self::Passing(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Stream(error) => error.advice(),
            Self::Passing(error) => error.advice(),
        }
    }
}
