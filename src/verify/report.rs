//! What a verification found.

use std::collections::BTreeMap;

use cid::Cid;

use super::heads::Heads;
use super::layer::Layer;
use crate::log::NodeHash;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it concerns.
    pub layer: Layer,
    /// The position that it concerns, where it concerns one.
    pub position: Option<u64>,
    /// The content identifier that is recorded there, as far as it reads.
    pub cid: Option<Cid>,
    /// What is wrong. What came from outside is made visible.
    pub what: String,
}

/// What a verification found, whatever was verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// The first position that was to be checked; 1 unless only the newer part was.
    pub first: u64,
    /// The last position that was to be checked; 0 where there is nothing.
    pub last: u64,
    /// How many events were there to be checked.
    pub events: u64,
    /// How many raw blocks were checked.
    pub blobs: u64,
    /// The root of the tree up to `last`, where it could be followed so far.
    pub root: Option<NodeHash>,
    /// The proof that the history continues the checkpoint which only the newer part was checked after.
    pub consistency: Option<Vec<NodeHash>>,
    /// Events whose type or schema this release does not know, as `Type@schema`, and how many of each; at most
    /// [`Report::MOST_TYPES`] of them. They are kept and verified, and stand for nothing.
    pub unknown: BTreeMap<String, u64>,
    /// What the heads say.
    pub heads: Heads,
    /// What is wrong, in the order in which it was found; the first [`Report::MOST`] of it.
    pub problems: Vec<Problem>,
    /// How many problems more there are.
    pub more: u64,
    damaged: Vec<(u64, u64)>,
}

impl Report {
    /// How many problems, and ranges of damaged positions, are listed.
    pub const MOST: usize = 1_000;

    /// How many types that are not known are listed.
    pub const MOST_TYPES: usize = 100;

    /// A report of what begins at a position, before anything was looked at.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problem at the smallest position; the first without one where none has a position.
    #[must_use]
    pub fn first_problem(&self) -> Option<&Problem> {
        self.problems.iter().min_by_key(|problem| problem.position.unwrap_or(u64::MAX))
    }

    /// The positions that something is wrong with, as ranges of first and last, in order.
    #[must_use]
    pub fn damaged(&self) -> Vec<(u64, u64)> {
        let mut ranges = self.damaged.clone();
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        merged
    }

    /// Adds something that is wrong.
    pub fn add(&mut self, layer: Layer, position: Option<u64>, cid: Option<Cid>, what: impl Into<String>) {
        if let Some(position) = position {
            self.damage(position, position);
        }
        self.list(layer, position, cid, &what.into());
    }

    /// Adds what is wrong with all positions from `first` to `last`.
    pub fn add_range(&mut self, layer: Layer, (first, last): (u64, u64), what: impl Into<String>) {
        self.damage(first, last);
        self.list(layer, Some(first), None, &what.into());
    }

    /// At least one head must satisfy the policy.
    pub(crate) fn demand_policy(&mut self) {
        if self.heads.satisfied.is_some() {
            return;
        }
        let what = match &self.heads.unsatisfied {
            Some((size, error)) => format!("no head satisfies the policy; the newest, of {size} events: {error}"),
            None => "no head satisfies the policy: no head is signed".into(),
        };
        self.add(Layer::Policy, None, None, what);
    }

    /// Counts an event of a type or schema that is not known here.
    pub(crate) fn count_unknown(&mut self, event_type: &str, schema: u32) {
        let name = format!("{}@{schema}", crate::text::visible(event_type));
        if self.unknown.len() < Self::MOST_TYPES || self.unknown.contains_key(&name) {
            *self.unknown.entry(name).or_default() += 1;
        }
    }

    fn list(&mut self, layer: Layer, position: Option<u64>, cid: Option<Cid>, what: &str) {
        if self.problems.len() < Self::MOST {
            let what = crate::text::visible(what).into_owned();
            self.problems.push(Problem { layer, position, cid, what });
        } else {
            self.more += 1;
        }
    }

    fn damage(&mut self, first: u64, last: u64) {
        if let Some(before) = self.damaged.last_mut()
            && first >= before.0
            && first <= before.1.saturating_add(1)
        {
            before.1 = before.1.max(last);
        } else if self.damaged.len() < Self::MOST {
            self.damaged.push((first, last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_bounded_and_positions_become_ranges() {
        let mut report = Report::default();
        report.add(Layer::Policy, None, None, "a\u{1b}[31m");
        report.add_range(Layer::Log, (7, 9), "missing");
        report.add(Layer::Block, Some(10), None, "changed");
        report.add(Layer::Block, Some(3), None, "changed");
        assert_eq!(report.damaged(), [(3, 3), (7, 10)]);
        assert_eq!(report.first_problem().map(|problem| problem.position), Some(Some(3)));
        assert!(!report.problems[0].what.contains('\u{1b}'));
        for position in 0..3_000 {
            report.add(Layer::Tree, Some(position * 2), None, "other");
        }
        assert_eq!((report.problems.len(), report.more), (Report::MOST, 2_004));
        assert!(report.damaged().len() <= Report::MOST);
    }
}
