//! Under which sources a ledger stands in a stream: one a key, in the order in which the keys came.
//!
//! Each new key is announced by an event (`LedgerKeyRotated`), which stands under the source of that key. From the key that
//! is trusted the way forward is taken only where the old key vouched for the new one; the way back is taken on the word of
//! the newer key, and what is found there counts as far as a head of the trusted key covers it.

use std::collections::HashSet;

use cid::Cid;

use crate::adapters::message::{BadMessage, Incoming, MessageReader, StreamMessage};
use crate::adapters::stream_reader::{Selection, StreamReadError, StreamReader};
use crate::config::NatsConfig;
use crate::delivery::Head;
use crate::delivery::outbox::Source;
use crate::events::{self, EventData, KeyEvent};
use crate::ipld_support::decode_block;
use crate::log::{Earlier, KeyChain, VerifierKey, vouches};
use crate::session::heads::{LogError, own_keys};
use crate::store::Store;

/// How many signatures behind a new key are looked at for the one that vouches for it.
const NEARBY: usize = 1_000;

/// The key that a reader trusts, and what it knows of those before.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    key: VerifierKey,
    pub(super) chain: KeyChain,
    /// The sources before it, the oldest first, each with the last position that it may have published, where the ledger
    /// itself is at hand.
    before: Option<Vec<(Source, u64)>>,
}

impl Trust {
    pub(super) fn new(key: &VerifierKey) -> Self {
        Self { key: key.clone(), chain: KeyChain::new(key.clone()), before: None }
    }

    pub(super) fn of_ledger(store: &Store) -> Result<Self, LogError> {
        let chain = own_keys(store)?;
        let keys = chain.keys().windows(2);
        let before = keys.map(|pair| (pair[0].1.source(), pair[1].0.saturating_sub(1))).collect();
        Ok(Self { key: chain.current().clone(), chain, before: Some(before) })
    }
}

/// The sources of a ledger in a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    /// A reader of each, by turn.
    pub(super) readers: Vec<MessageReader>,
    /// The turn of the key that is trusted.
    pub(super) trusted: usize,
    pub(super) earlier: Earlier,
    /// Keys that nobody vouched for: the sequence of what announces them, and the key.
    pub(super) unvouched: Vec<(u64, VerifierKey)>,
    /// The newest announcement.
    newest: Option<u64>,
    /// Whether there is one that may be vouched for yet.
    waits: bool,
}

/// The newest message on a head subject.
#[derive(Debug, Clone)]
pub enum HeadSeen {
    /// A head.
    Head(Box<Head>),
    /// Something else, and why.
    Unreadable(String),
}

/// An announcement of a new key.
struct Claim {
    sequence: u64,
    position: u64,
    cid: Cid,
    previous: VerifierKey,
    next: VerifierKey,
}

impl Sources {
    /// One source, of which nothing else is known.
    pub(super) fn single(reader: MessageReader) -> Self {
        Self { readers: vec![reader], ..Self::default() }
    }

    /// What a message is, and whose turn it belongs to.
    pub(super) fn read(&self, message: &StreamMessage) -> (usize, Result<Incoming, BadMessage>) {
        for (turn, reader) in self.readers.iter().enumerate() {
            match reader.read(message) {
                Ok(Incoming::Other) => {}
                Err(bad) if self.is_given_up(turn, bad.position) => {}
                read => return (turn, read),
            }
        }
        (0, Ok(Incoming::Other))
    }

    /// Where the headers say that an event stands, and whose turn it belongs to.
    pub(super) fn position(&self, message: &StreamMessage) -> Option<(usize, u64)> {
        let mut readers = self.readers.iter().enumerate();
        readers.find_map(|(turn, reader)| Some((turn, reader.position(message).ok()??.0)))
    }

    /// Whether a source published a position that the next one did not go on from.
    pub(super) fn is_given_up(&self, turn: usize, position: Option<u64>) -> bool {
        self.earlier.ends.get(turn).is_some_and(|end| position.is_some_and(|position| position > *end))
    }

    /// What the newest message on the head subject of a turn is.
    pub(super) async fn newest_head(
        &self,
        stream: &StreamReader,
        turn: usize,
    ) -> Result<Option<(u64, HeadSeen)>, StreamReadError> {
        let Some(reader) = self.readers.get(turn) else { return Ok(None) };
        let newest = stream.newest(reader.head_subject()).await?;
        Ok(newest.map(|message| (message.sequence, head_of(reader, &message))))
    }

    /// Whether the sources have to be looked for again.
    pub(super) async fn is_stale(&self, stream: &StreamReader) -> Result<bool, StreamReadError> {
        let newest = stream.newest(&announcements(stream.config())).await?.map(|message| message.sequence);
        Ok(self.readers.is_empty() || self.waits || newest != self.newest)
    }

    /// Looks for them.
    pub(super) async fn find(stream: &StreamReader, trust: &Trust) -> Result<Self, StreamReadError> {
        let config = stream.config();
        let claims = claims(stream, &trust.key).await?;
        let (before, trusted_from) = match &trust.before {
            Some(before) => (before.clone(), 0),
            None => way_back(&claims, &trust.key),
        };
        let reader = |source: &Source| MessageReader::new(config, source);
        let mut readers: Vec<_> = before.iter().map(|(source, _)| reader(source)).collect();
        let trusted = readers.len();
        readers.push(reader(&trust.key.source()));
        let ends = ends(stream, &readers, &before).await?;
        let mut this = Self {
            readers,
            trusted,
            earlier: Earlier { ends, trusted_from },
            newest: claims.last().map(|claim| claim.sequence),
            ..Self::default()
        };
        let mut keys = vec![trust.key.clone()];
        for claim in &claims {
            if !keys.contains(&claim.previous) || keys.contains(&claim.next) {
                continue;
            }
            if is_vouched_for(stream, claim).await? {
                keys.push(claim.next.clone());
                this.readers.push(reader(&claim.next.source()));
            } else if is_closed(stream, claim).await? {
                this.unvouched.push((claim.sequence, claim.next.clone()));
            } else {
                this.waits = true;
            }
        }
        Ok(this)
    }
}

pub(super) fn head_of(reader: &MessageReader, message: &StreamMessage) -> HeadSeen {
    match reader.read(message) {
        Ok(Incoming::Head { head, .. }) => HeadSeen::Head(head),
        Ok(_) => HeadSeen::Unreadable("it stands under another subject".into()),
        Err(error) => HeadSeen::Unreadable(error.to_string()),
    }
}

fn announcements(config: &NatsConfig) -> String {
    events::subject(&config.subject_prefix, "ledger", "LedgerKeyRotated")
}

/// What a message under its own source is, decoded.
fn event_of(config: &NatsConfig, message: &StreamMessage) -> Option<(Source, u64, Cid, KeyEvent)> {
    let source: Source = message.header("ce-source")?.parse().ok()?;
    match MessageReader::new(config, &source).read(message) {
        Ok(Incoming::Event(event)) => {
            Some((source, event.position, event.cid, decode_block::<KeyEvent>(&event.block).ok()?))
        }
        _ => None,
    }
}

/// All announcements in the stream that stand under the source of the key that they announce, each once.
async fn claims(stream: &StreamReader, key: &VerifierKey) -> Result<Vec<Claim>, StreamReadError> {
    let config = stream.config();
    let mut claims = Vec::new();
    let mut seen = HashSet::new();
    let selection = Selection { subject: announcements(config), ..Selection::default() };
    let read = stream.read(&selection, async |chunk| {
        for message in &chunk {
            let Some((source, position, cid, event)) = event_of(config, message) else { continue };
            let EventData::LedgerKeyRotated(rotated) = &event.data else { continue };
            let keys = (key.with_key(&rotated.previous_public_key), key.with_key(&rotated.public_key));
            if let (Ok(previous), Ok(next)) = keys
                && next.source() == source
                && seen.insert(cid)
            {
                claims.push(Claim { sequence: message.sequence, position, cid, previous, next });
            }
        }
        true
    });
    read.await?;
    Ok(claims)
}

/// The sources before a key, the oldest first, and from which position on that key signs.
fn way_back(claims: &[Claim], key: &VerifierKey) -> (Vec<(Source, u64)>, u64) {
    let (mut before, mut trusted_from) = (Vec::new(), 0);
    let (mut now, mut known) = (key, vec![key]);
    while let Some(claim) = claims.iter().find(|claim| claim.next == *now && !known.contains(&&claim.previous)) {
        if before.is_empty() {
            trusted_from = claim.position;
        }
        before.push((claim.previous.source(), claim.position - 1));
        now = &claim.previous;
        known.push(now);
    }
    before.reverse();
    (before, trusted_from)
}

/// The last position of each source that the next one goes on from: the one before the first that stands under the next.
async fn ends(
    stream: &StreamReader,
    readers: &[MessageReader],
    before: &[(Source, u64)],
) -> Result<Vec<u64>, StreamReadError> {
    let mut ends: Vec<Option<u64>> = vec![None; before.len()];
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let everything = Selection { headers_only: true, ..Selection::default() };
    let read = stream.read(&everything, async |chunk| {
        for message in &chunk {
            for (end, reader) in ends.iter_mut().zip(&readers[1..]).filter(|(end, _)| end.is_none()) {
                if let Ok(Some((position, _))) = reader.position(message) {
                    *end = Some(position - 1);
                }
            }
        }
        ends.iter().any(Option::is_none)
    });
    read.await?;
    Ok(ends.into_iter().zip(before).map(|(end, (_, through))| end.unwrap_or(*through).min(*through)).collect())
}

/// Whether the key before has signed an announcement.
async fn is_vouched_for(stream: &StreamReader, claim: &Claim) -> Result<bool, StreamReadError> {
    let config = stream.config();
    let subject = events::subject(&config.subject_prefix, "attestation", "EventAttested");
    let selection = Selection { from: claim.sequence + 1, subject, headers_only: false };
    let (mut vouched, mut looked) = (false, 0);
    let read = stream.read(&selection, async |chunk| {
        looked += chunk.len();
        vouched = chunk.iter().filter_map(|message| event_of(config, message)).any(|(.., event)| {
            matches!(&event.data, EventData::EventAttested(attested) if vouches(&claim.previous, &claim.cid, attested))
        });
        !vouched && looked < NEARBY
    });
    read.await?;
    Ok(vouched)
}

/// Whether what stands right behind an announcement is in the stream, or never will be.
async fn is_closed(stream: &StreamReader, claim: &Claim) -> Result<bool, StreamReadError> {
    let reader = MessageReader::new(stream.config(), &claim.next.source());
    let newest = stream.newest(reader.head_subject()).await?;
    Ok(newest.is_some_and(|message| match head_of(&reader, &message) {
        HeadSeen::Head(head) => head.position > claim.position,
        HeadSeen::Unreadable(_) => true,
    }))
}
