//! From the first event to the last: order, causes, tree, heads, and the replay.

use std::collections::HashMap;
use std::sync::Arc;

use cid::Cid;
use rusqlite::Connection;

use super::demands::{Demands, Extent, Progress, See};
use super::nodes::{Tree, stored_root};
use super::rows::{Batch, Entry, RowReader, position_of};
use crate::events::LedgerCreated;
use crate::ipld_support::decode_block;
use crate::log::{Edge, KeyChain, NodeHash, Policy, SignedCheckpoint};
use crate::store::behind::folded;
use crate::store::identity::is_mirror;
use crate::store::read::Log;
use crate::store::schema;
use crate::store::tables::{Cache, Tables};
use crate::time::Timestamp;
use crate::verify::{HeadToJudge, HeadVerdict, Layer, LedgerFact, Report, Stages, Verdict, judge_head, run};

/// Heads that are judged at a time.
const HEADS: usize = 64;

/// What the walk leaves to be compared with the rest.
pub(super) struct Walked {
    /// The tree of all events; absent where it could not be followed.
    pub(super) edge: Option<Edge>,
    /// The keys that the history names.
    pub(super) keys: Option<KeyChain>,
}

pub(super) fn walk(
    log: &Log<'_>,
    demands: &Demands<'_>,
    begin: Edge,
    scratch: Option<&Connection>,
    report: &mut Report,
    progress: Progress<'_>,
    see: See<'_>,
) -> Walked {
    let connection = log.connection;
    let (after, end) = (begin.size(), report.last);
    let keys = keys_before(connection, after);
    let mut given = Vec::new();
    given.extend(demands.against);
    if let Extent::Since(since) = demands.extent {
        given.push(since);
    }
    let mut walk = Walk {
        connection,
        rows: RowReader::new(connection, after, end),
        tree: Tree::new(connection, begin),
        heads: StoredHeads { connection, after: after as i64 - 1, page: Vec::new(), done: false },
        waiting: Vec::new(),
        finished: false,
        keys: keys.map(Arc::new),
        given: given.into_iter().map(|checkpoint| (checkpoint, None)).collect(),
        scratch,
        folded: folded(connection).unwrap_or_default(),
        cache: Cache::default(),
        aggregates: HashMap::new(),
        is_mirror: is_mirror(connection, log.path).unwrap_or(false),
        last: after,
        time: None,
        report,
        progress,
        see,
    };
    walk.reach(after);
    let policy = demands.policy;
    run(&mut walk, |job| job.work(policy));
    walk.compare_given();
    let root = walk.tree.edge().map(Edge::root);
    let walked = Walked { keys: walk.keys.take().map(|keys| KeyChain::clone(&keys)), edge: walk.tree.into_edge() };
    report.root = root;
    walked
}

/// The keys of the events that the walk does not see: those before the part that is new.
fn keys_before(connection: &Connection, after: u64) -> Option<KeyChain> {
    if after == 0 {
        return None;
    }
    let mut statement = connection
        .prepare(
            "SELECT position, block FROM log WHERE position <= ?1
             AND (position = 1 OR type = 'LedgerKeyRotated') ORDER BY position",
        )
        .ok()?;
    let mut rows = statement.query([after]).ok()?;
    let mut keys = None;
    while let Some(row) = rows.next().ok()? {
        let position: u64 = row.get(0).ok()?;
        let event: crate::events::KeyEvent = decode_block(row.get_ref(1).ok()?.as_blob().ok()?).ok()?;
        match (&event.data, &mut keys) {
            (crate::events::EventData::LedgerCreated(created), None) => keys = KeyChain::of_ledger(created).ok(),
            (crate::events::EventData::LedgerKeyRotated(rotated), Some(keys)) => {
                keys.rotate(position, rotated).ok()?;
            }
            _ => {}
        }
    }
    keys
}

struct Walk<'a, 'b> {
    connection: &'a Connection,
    rows: RowReader<'a>,
    tree: Tree<'a>,
    heads: StoredHeads<'a>,
    /// Heads that the walk has reached, with the roots that they should have.
    waiting: Vec<HeadToJudge>,
    /// No event is left to be read or awaited.
    finished: bool,
    keys: Option<Arc<KeyChain>>,
    /// Checkpoints that came on another way, and the root that this history has there.
    given: Vec<(&'a SignedCheckpoint, Option<NodeHash>)>,
    scratch: Option<&'a Connection>,
    /// Up to where the tables of entities follow the log, where that is not its end.
    folded: Option<u64>,
    cache: Cache,
    /// The aggregates of types that are not known here.
    aggregates: HashMap<String, Vec<u8>>,
    /// Whether it is a copy that may lack raw blocks.
    is_mirror: bool,
    /// The last position that was looked at.
    last: u64,
    time: Option<Timestamp>,
    report: &'b mut Report,
    progress: Progress<'b>,
    see: See<'b>,
}

enum Job {
    Events {
        batch: Batch,
        keep: bool,
    },
    Heads {
        heads: Vec<HeadToJudge>,
        keys: Option<Arc<KeyChain>>,
    },
    /// Comes after all events: their verdicts are in when it is taken.
    End,
}

enum Done {
    Events(Batch, Vec<Option<Verdict>>),
    Heads(Vec<HeadVerdict>),
    End,
}

impl Job {
    fn work(self, policy: Option<&Policy>) -> Done {
        match self {
            Self::Events { batch, keep } => {
                let verdicts = batch.judge(keep);
                Done::Events(batch, verdicts)
            }
            Self::Heads { heads, keys } => {
                Done::Heads(heads.iter().map(|head| judge_head(head, keys.as_deref(), policy)).collect())
            }
            Self::End => Done::End,
        }
    }
}

impl Stages for Walk<'_, '_> {
    type Job = Job;
    type Done = Done;

    fn next(&mut self) -> Option<Job> {
        if self.waiting.len() >= HEADS || (self.finished && !self.waiting.is_empty()) {
            let heads = std::mem::take(&mut self.waiting);
            return Some(Job::Heads { heads, keys: self.keys.clone() });
        }
        match self.rows.next() {
            Some(batch) => Some(Job::Events { batch, keep: self.scratch.is_some() }),
            None if self.rows.ends() => Some(Job::End),
            None => None,
        }
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Events(batch, verdicts) => {
                for (at, verdict) in verdicts.into_iter().enumerate() {
                    if let Some(actor) = verdict.as_ref().and_then(|verdict| verdict.actor.as_deref()) {
                        (self.see)(batch.event_type(at), actor);
                    }
                    let aggregate = batch.aggregate(at);
                    self.entry(&batch.entries[at], verdict, aggregate);
                }
                (self.progress)(self.report.events, self.report.last);
            }
            Done::Heads(verdicts) => {
                for verdict in verdicts {
                    self.report.heads.take(&verdict);
                    for (layer, what) in verdict.problems {
                        self.report.add(layer, Some(verdict.size), None, what);
                    }
                }
            }
            Done::End => {
                if self.last < self.report.last {
                    self.missing(self.report.last);
                }
                self.finished = true;
            }
        }
    }
}

impl Walk<'_, '_> {
    fn entry(&mut self, entry: &Entry, verdict: Option<Verdict>, aggregate: &[u8]) {
        match entry {
            Entry::Unreadable { position, why } => {
                self.up_to(*position);
                self.report.add(Layer::Log, Some(*position), None, why.clone());
                self.skip(*position);
            }
            Entry::Row(row) if row.position <= self.last => {
                let cid = row.cid.as_ref().ok().copied();
                self.report.add(Layer::Log, Some(row.position), cid, "it stands in the log out of order");
            }
            Entry::Row(row) => {
                self.up_to(row.position);
                self.report.events += 1;
                match &row.cid {
                    Ok(cid) => self.event(row.position, *cid, verdict.unwrap_or_default(), aggregate),
                    Err(detail) => {
                        self.report.add(Layer::Log, Some(row.position), None, detail.clone());
                        self.skip(row.position);
                    }
                }
            }
        }
    }

    /// All positions before this one were seen, or are missing.
    fn up_to(&mut self, position: u64) {
        if position > self.last + 1 {
            self.missing(position - 1);
        }
    }

    /// All positions after the last one, up to this one, are not there.
    fn missing(&mut self, to: u64) {
        let first = self.last + 1;
        let what = if first == to { "is missing".into() } else { format!("is missing, and so is all up to {to}") };
        self.report.add_range(Layer::Log, (first, to), what);
        self.skip(to);
    }

    /// Goes on after positions that can't be checked. The tree keeps the hash of their leaves.
    fn skip(&mut self, to: u64) {
        if to <= self.last {
            return;
        }
        self.tree.skip(to - self.last);
        self.last = to;
        self.reach(to);
    }

    fn event(&mut self, position: u64, cid: Cid, verdict: Verdict, aggregate: &[u8]) {
        let here = (Some(position), Some(cid));
        if let Some(what) = self.tree.push(&cid) {
            self.report.add(Layer::Tree, here.0, here.1, what);
        }
        self.last = position;
        for (layer, what) in verdict.problems {
            self.report.add(layer, here.0, here.1, what);
        }
        if let Some(time) = verdict.time {
            if let Some(last) = self.time.filter(|&last| time < last) {
                let what = format!("it is of {time}, before the event before it, of {last}");
                self.report.add(Layer::Order, here.0, here.1, what);
            }
            self.time = Some(time);
        }
        for cause in &verdict.causes {
            let what = match position_of(self.connection, cause) {
                Ok(Some(earlier)) if earlier < position => continue,
                Ok(Some(_)) => format!("its cause {cause} does not stand before it"),
                Ok(None) => format!("its cause {cause} is not recorded"),
                Err(error) => format!("its cause {cause} can't be looked up: {error}"),
            };
            self.report.add(Layer::Order, here.0, here.1, what);
        }
        for blob in &verdict.blobs {
            self.blob(here, blob);
        }
        if let Some((event_type, schema)) = &verdict.unknown {
            self.report.count_unknown(event_type, *schema);
            self.unknown_aggregate(here, event_type, aggregate);
        }
        self.fact(here, verdict.fact);
        if let (Some(scratch), Some(event)) = (self.scratch, verdict.event)
            && self.folded.is_none_or(|folded| position <= folded)
            && let Err(error) = Tables::replay(scratch, self.connection, &self.cache).fold(&event, position, cid)
        {
            self.report.add(Layer::Projection, here.0, here.1, format!("it can't be replayed: {error}"));
        }
        self.reach(position);
    }

    /// The aggregate of a type that is not known stands nowhere but in the log: it is the same for all events of the type.
    fn unknown_aggregate(&mut self, here: (Option<u64>, Option<Cid>), event_type: &str, aggregate: &[u8]) {
        match self.aggregates.get(event_type) {
            Some(first) if first != aggregate => {
                let first = String::from_utf8_lossy(first);
                let what =
                    format!("the log gives it another aggregate than {first}, which an earlier {event_type} has");
                self.report.add(Layer::Log, here.0, here.1, what);
            }
            Some(_) => {}
            None if self.aggregates.len() < Report::MOST_TYPES => {
                self.aggregates.insert(event_type.to_owned(), aggregate.to_vec());
            }
            None => {}
        }
    }

    fn blob(&mut self, here: (Option<u64>, Option<Cid>), blob: &Cid) {
        let there = self.connection.prepare_cached("SELECT 1 FROM blob WHERE cid = ?1");
        let what = match there.and_then(|mut statement| statement.exists([blob.to_bytes()])) {
            Ok(true) => return,
            // Streams carry events only: a mirror that was fed from one has none of the raw blocks until an archive brings
            // them.
            Ok(false) if self.is_mirror => return,
            Ok(false) => format!("the raw block {blob} that it links to is not recorded"),
            Err(error) => format!("the raw block {blob} that it links to can't be looked up: {error}"),
        };
        self.report.add(Layer::Blob, here.0, here.1, what);
    }

    /// What the event says about the ledger itself, and that the first one makes it.
    fn fact(&mut self, here: (Option<u64>, Option<Cid>), fact: Option<LedgerFact>) {
        let mut wrong = |what: String| self.report.add(Layer::Identity, here.0, here.1, what);
        match (fact, here.0) {
            (Some(LedgerFact::Created(created)), Some(1)) => match KeyChain::of_ledger(&created) {
                Ok(keys) => {
                    self.keys = Some(Arc::new(keys));
                    if !is_this_ledger(self.connection, &created) {
                        wrong("the file says that it is another ledger than its first event".into());
                    }
                }
                Err(error) => wrong(error.to_string()),
            },
            (_, Some(1)) => wrong("the first event is no LedgerCreated".into()),
            (Some(LedgerFact::Created(_)), _) => wrong("a ledger is made only once, by its first event".into()),
            (Some(LedgerFact::Rotated(rotated)), Some(position)) => {
                if let Some(keys) = &mut self.keys
                    && let Err(error) = Arc::make_mut(keys).rotate(position, &rotated)
                {
                    wrong(format!("the ledger's key can't be rotated like this: {error}"));
                }
            }
            _ => {}
        }
    }

    /// The tree has this size: the heads of it get the root that they should have.
    fn reach(&mut self, size: u64) {
        let root = |tree: &Tree<'_>, connection| match tree.edge() {
            Some(edge) if edge.size() == size => Some(edge.root()),
            _ => stored_root(connection, size),
        };
        for (checkpoint, there) in &mut self.given {
            if checkpoint.size() == size {
                *there = root(&self.tree, self.connection);
            }
        }
        while let Some((at, note)) = self.heads.up_to(size, self.report) {
            // One that was gone past stands where positions are missing.
            let root = if at == size { root(&self.tree, self.connection) } else { stored_root(self.connection, at) };
            self.waiting.push(HeadToJudge { size: at, note, root });
        }
    }

    /// What came on another way is of this history, and signed with its key.
    fn compare_given(&mut self) {
        for (checkpoint, root) in std::mem::take(&mut self.given) {
            let size = checkpoint.size();
            let root = root.or_else(|| stored_root(self.connection, size).filter(|_| size <= self.last));
            let what = match root {
                Some(root) if root == checkpoint.checkpoint().root => {
                    match self.keys.as_ref().map(|keys| checkpoint.verify(keys.at(size))) {
                        Some(Ok(())) => continue,
                        Some(Err(error)) => error.to_string(),
                        None => "the history names no key for the checkpoint that was given".into(),
                    }
                }
                Some(_) => format!(
                    "the checkpoint of {size} events that was given is not one of this history: one of the two was rewritten"
                ),
                None => format!(
                    "the checkpoint that was given covers {size} events, and the ledger ends at {}: it was set back or cut off",
                    self.last
                ),
            };
            self.report.add(Layer::History, Some(size), None, what);
        }
    }
}

fn is_this_ledger(connection: &Connection, created: &LedgerCreated) -> bool {
    let meta = |key| schema::meta(connection, key).ok().flatten();
    meta("ledger").as_ref() == Some(&created.ledger_id.to_string())
        && meta("name").as_deref() == Some(created.name.as_str())
}

/// The heads that are kept, the smallest first, read a page at a time.
struct StoredHeads<'a> {
    connection: &'a Connection,
    /// The last size that was read.
    after: i64,
    /// The largest first.
    page: Vec<(u64, String)>,
    done: bool,
}

impl StoredHeads<'_> {
    /// The next head that is of this size or smaller.
    fn up_to(&mut self, size: u64, report: &mut Report) -> Option<(u64, String)> {
        if self.page.is_empty() && !self.done {
            match self.read() {
                Ok(page) => {
                    self.done = page.is_empty();
                    self.after = page.last().map_or(self.after, |(size, _)| *size as i64);
                    self.page = page.into_iter().rev().collect();
                }
                Err(error) => {
                    self.done = true;
                    report.add(Layer::Checkpoint, None, None, format!("the checkpoints can't be read: {error}"));
                }
            }
        }
        if self.page.last().is_some_and(|(at, _)| *at <= size) { self.page.pop() } else { None }
    }

    fn read(&self) -> rusqlite::Result<Vec<(u64, String)>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT size, note FROM checkpoint WHERE size > ?1 ORDER BY size LIMIT 256")?;
        let rows = statement.query_map([self.after], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }
}
