//! Checking everything that is recorded. What is wrong is named by layer and position; nothing here panics on a damaged
//! file.
//!
//! The calling thread has the database: it reads rows and hands them to threads that judge blocks ([`rows`]), takes their
//! verdicts in order, and holds them against each other, the tree and the heads ([`walk`]). What is in no order is looked at
//! before and after: the file ([`file`]), what stands beside the log ([`beside`]), and the entities ([`projection`]).

mod beside;
mod demands;
mod file;
mod nodes;
mod projection;
mod rows;
mod walk;

pub use demands::{Demands, Extent};

use super::read::Log;
use super::tree::read_edge;
use super::{NotTheWriter, Store};
use crate::log::{Edge, SignedCheckpoint, check_consistency};
use crate::verify::{Layer, Report};
use demands::{Memory, Progress, See};

impl Store {
    /// Checks everything that is recorded, and nothing that came on another way: [`Extent::Deep`]. `progress` is called now
    /// and then with how many events were checked, and how many there are.
    #[must_use]
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Report {
        self.verify_against(&Demands { extent: Extent::Deep, ..Demands::default() }, progress)
    }

    /// Checks what is recorded, and that it is what is demanded.
    ///
    /// Of each event: its content identifier, its canonical form, its type and schema, its position, its time, the events
    /// that it follows from, and the tree's hashes; of each head: its root and its signatures; and what stands beside them.
    #[must_use]
    pub fn verify_against(&self, demands: &Demands<'_>, progress: &mut dyn FnMut(u64, u64)) -> Report {
        self.verify_seeing(demands, progress, &mut |_, _| {})
    }

    /// The same, for whoever wants to know of each event that reads, in order, its type and its actor.
    #[must_use]
    pub fn verify_seeing(
        &self,
        demands: &Demands<'_>,
        progress: &mut dyn FnMut(u64, u64),
        see: &mut dyn FnMut(&str, &str),
    ) -> Report {
        let memory = self.memory_to_verify();
        self.reader.with(|log| verify(log, &memory, demands, progress, see))
    }

    /// What this machine remembers of this very file.
    fn memory_to_verify(&self) -> Memory {
        let mut memory = Memory::default();
        match self.memory().read() {
            Ok(signed) => memory.signed = signed,
            Err(error) => memory.problem = Some(error.to_string()),
        }
        let refused =
            self.reader.with(|log| Self::right_to_write(log.connection, &self.options, self.identity.ledger_id));
        if let Ok(Err(refused @ NotTheWriter::SetBack { .. })) = refused {
            memory.problem = Some(refused.to_string());
        }
        memory
    }
}

fn verify(log: &Log<'_>, memory: &Memory, demands: &Demands<'_>, progress: Progress<'_>, see: See<'_>) -> Report {
    let mut report = Report::new(1);
    // One moment for all that follows; without it each statement has its own, which only matters while others write.
    let _moment = log.connection.unchecked_transaction();
    file::check_schema(log, &mut report);
    if demands.extent == Extent::Deep {
        file::check_pages(log, &mut report);
    }
    let Some(end) = file::find_end(log, &mut report) else { return report };
    report.last = end;
    let Some(begin) = begin(log, demands.extent, end, &mut report) else { return report };
    report.first = begin.size() + 1;
    let scratch = match demands.extent {
        Extent::Deep => projection::scratch(&mut report),
        _ => None,
    };
    let walked = walk::walk(log, demands, begin, scratch.as_ref(), &mut report, progress, see);
    nodes::check_count(log, &mut report);
    if let (Extent::Since(since), Some(edge)) = (demands.extent, &walked.edge) {
        prove_consistency(log, since, edge, &mut report);
    }
    beside::check_heads(log, &mut report);
    beside::check_identity(log, &walked, &mut report);
    beside::check_memory(log, &walked, memory, &mut report);
    if !matches!(demands.extent, Extent::Since(_)) {
        beside::check_blobs(log, &mut report);
    }
    beside::check_outbox(log, &mut report);
    if demands.policy.is_some() {
        report.demand_policy();
    }
    match scratch {
        Some(scratch) if report.ok() => projection::compare_entities(log, &scratch, &mut report),
        Some(_) => {
            let what = "the tables of entities were not compared, because of the problems above";
            report.add(Layer::Projection, None, None, what);
        }
        None => {}
    }
    progress(report.events, report.last);
    report
}

/// The tree that the walk goes on from: none, or that of a checkpoint which was verified before.
fn begin(log: &Log<'_>, extent: Extent<'_>, end: u64, report: &mut Report) -> Option<Edge> {
    let Extent::Since(since) = extent else { return Some(Edge::default()) };
    let size = since.size();
    if size > end {
        let what = format!("the checkpoint to go on from covers {size} events, and the ledger ends at {end}");
        report.add(Layer::History, Some(size), None, what);
        return None;
    }
    match read_edge(log.connection, size) {
        Ok(edge) if edge.root() == since.checkpoint().root => Some(edge),
        Ok(_) => {
            let what = format!("the checkpoint of {size} events to go on from is not one of this history");
            report.add(Layer::History, Some(size), None, what);
            None
        }
        Err(error) => {
            report.add(Layer::Tree, Some(size), None, format!("the tree can't be read: {error}"));
            None
        }
    }
}

/// That the tree which was followed to the end continues the checkpoint, by the proof that a stranger would ask for.
fn prove_consistency(log: &Log<'_>, since: &SignedCheckpoint, edge: &Edge, report: &mut Report) {
    let (old, new) = (since.size(), edge.size());
    if old == 0 || old == new {
        return;
    }
    let nodes = super::tree::Nodes(log.connection);
    let proof = match tlog_tiles::prove_tree(new, old, &nodes) {
        Ok(proof) => proof.into_iter().map(|hash| hash.0).collect::<Vec<_>>(),
        Err(error) => return report.add(Layer::Tree, None, None, format!("the tree can't be read: {error}")),
    };
    match check_consistency(&proof, old, &since.checkpoint().root, new, &edge.root()) {
        Ok(()) => report.consistency = Some(proof),
        Err(error) => report.add(Layer::History, Some(new), None, error.to_string()),
    }
}
