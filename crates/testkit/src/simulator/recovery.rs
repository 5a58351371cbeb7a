//! A ledger that is recovered and goes on under a new key: what its log is then, and what a drainer finds of the other key in
//! the stream.

use std::collections::BTreeSet;

use cid::Cid;
use cim_keys::delivery::outbox::Cursor;
use cim_keys::delivery::{Successor, last_of_ours};

use super::{Drainer, Log, Mutant, SOURCES, World, cid};

/// What the events of a recovered ledger differ in.
const RECOVERED: u8 = 0xff;

impl World {
    /// Brings the ledger back as it was up to a position, and begins anew. What it had behind that is given up.
    pub(super) fn recover(&mut self, through: u64, remembers: bool) {
        let old = &self.logs[0];
        let mut events: Vec<Cid> = old.events.iter().copied().take(usize::try_from(through).unwrap_or(0)).collect();
        // The announcement of the new key, which stands under it.
        events.push(cid(through + 1, RECOVERED));
        // Heads of the source before are none of its own.
        let older = |cursor: &Cursor| Cursor { position: cursor.position.min(through), head_sequence: 0 };
        let cursors = old.cursors.iter().filter(|_| remembers).map(|(stream, cursor)| (*stream, older(cursor)));
        let log = Log {
            source: 1,
            through,
            events,
            fork: RECOVERED,
            cursors: cursors.collect(),
            parked: BTreeSet::new(),
            retries: BTreeSet::new(),
        };
        let index = self.logs.len();
        let new = Drainer::new(&self.scenario.rules, index, &log);
        self.logs.push(log);
        if self.scenario.old_stays {
            self.server.shared = true;
            self.drainers.push(new);
        } else {
            // A recovery takes longer than anything stays in the network.
            self.network.clear();
            for drainer in &mut self.drainers {
                *drainer = Drainer { connection: drainer.connection + 1, ..new.clone() };
            }
        }
    }

    /// How far the source before a log's own got, as its reader finds it.
    pub(super) fn base(&self, log: &Log) -> Option<u64> {
        if log.source == 0 || self.mutant(Mutant::ForgetsEarlier) {
            return Some(0);
        }
        if self.server.head(log.source, 0).is_some() {
            return None;
        }
        let stored = self.server.events_after(0, 0).map(|(_, position, cid)| (position, cid));
        if self.mutant(Mutant::TrustsEarlier) {
            return Some(stored.map(|(position, _)| position).max().unwrap_or(0));
        }
        Some(last_of_ours(stored, log.through, |position| log.at(position)).unwrap_or(0))
    }

    /// Who took the place of a log's source, where the stream announces it.
    pub(super) fn successor(&self, log: &Log) -> Option<Successor> {
        let announced =
            self.logs.iter().filter(|other| log.source == 0 && other.source == 1).find_map(|other| {
                self.server.events_after(1, 0).find(|(_, position, _)| *position == other.through + 1)
            });
        let source = || SOURCES[1].parse().expect("a token");
        announced.map(|(sequence, ..)| Successor { source: source(), sequence })
    }
}
