//! Which events stood before: exactly, and in memory that does not grow with how many there are.
//!
//! The newest are in a set. When it is full they are sorted into a temporary file, and it begins anew. An event that is not
//! in the set is looked for at the end, when what was written is merged.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use cid::Cid;

use crate::ipld_support::{cid_of_digest, digest_of};
use crate::time::Timestamp;

/// Events in the set, and records that are sorted in memory: some tens of megabytes together.
const MOST: usize = 1 << 18;

type Digest = [u8; 32];

/// The events of a history, as far as it was followed.
#[derive(Debug)]
pub(crate) struct Seen {
    most: usize,
    set: HashSet<Digest>,
    /// Those of the last moment: the same event can't come at another.
    moment: HashSet<Digest>,
    at: Option<Timestamp>,
    /// Digest and position.
    events: Sorted<40>,
    /// Digest of a cause, and position and digest of what follows from it.
    asked: Sorted<72>,
}

/// An event that follows from one that does not stand before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The position of what follows.
    pub(crate) position: u64,
    /// What follows.
    pub(crate) cid: Cid,
    /// From what.
    pub(crate) cause: Cid,
}

impl Default for Seen {
    fn default() -> Self {
        Self::with_most(MOST)
    }
}

impl Seen {
    fn with_most(most: usize) -> Self {
        Self {
            most,
            set: HashSet::new(),
            moment: HashSet::new(),
            at: None,
            events: Sorted::new(most),
            asked: Sorted::new(most),
        }
    }

    /// Adds the event at a position; false when it stands there already. Time never goes back between two of them.
    pub(crate) fn add(&mut self, cid: &Cid, position: u64, at: Timestamp) -> io::Result<bool> {
        let digest = digest_of(cid);
        if self.at != Some(at) {
            self.at = Some(at);
            self.moment.clear();
        }
        if !self.moment.insert(digest) {
            return Ok(false);
        }
        self.place(digest, position)?;
        Ok(true)
    }

    /// Adds an event of which only the content identifier is known.
    pub(crate) fn add_unread(&mut self, cid: &Cid, position: u64) -> io::Result<()> {
        let digest = digest_of(cid);
        self.moment.insert(digest);
        self.place(digest, position)
    }

    fn place(&mut self, digest: Digest, position: u64) -> io::Result<()> {
        if self.set.len() >= self.most {
            self.set.clear();
        }
        self.set.insert(digest);
        self.events.push(joined(&[&digest, &position.to_be_bytes()]))
    }

    /// Whether an event stands before a position: known at once for the newest, and [`Seen::missing`] otherwise.
    pub(crate) fn ask(&mut self, cause: &Cid, position: u64, follower: &Cid) -> io::Result<bool> {
        let of = digest_of(cause);
        if self.set.contains(&of) {
            return Ok(true);
        }
        if self.events.runs.is_empty() {
            return Ok(false);
        }
        self.asked.push(joined(&[&of, &position.to_be_bytes(), &digest_of(follower)]))?;
        Ok(true)
    }

    /// The first event that follows from one that does not stand before it, of those that could not be told at once.
    pub(crate) fn missing(self) -> io::Result<Option<Missing>> {
        let (mut events, mut asked) = (self.events.merge()?, self.asked.merge()?);
        let mut first: Option<Missing> = None;
        let mut event = events.next()?;
        while let Some(ask) = asked.next()? {
            let (cause, position, follower) = (&ask[..32], number(&ask[32..40]), &ask[40..]);
            while event.as_ref().is_some_and(|event| event[..32] < *cause) {
                event = events.next()?;
            }
            let before = event.as_ref().is_some_and(|event| event[..32] == *cause && number(&event[32..]) < position);
            if !before && first.is_none_or(|first| position < first.position) {
                let cid_of = |digest: &[u8]| cid_of_digest(digest.try_into().unwrap_or(&[0; 32]));
                first = Some(Missing { position, cid: cid_of(follower), cause: cid_of(cause) });
            }
        }
        Ok(first)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut record = [0; N];
    let mut at = 0;
    for part in parts {
        record[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    record
}

/// Records that are sorted by their bytes, on disk once they are many.
#[derive(Debug)]
struct Sorted<const N: usize> {
    most: usize,
    buffer: Vec<[u8; N]>,
    file: Option<File>,
    /// Where each sorted run begins and ends in the file.
    runs: Vec<(u64, u64)>,
}

impl<const N: usize> Sorted<N> {
    fn new(most: usize) -> Self {
        Self { most, buffer: Vec::new(), file: None, runs: Vec::new() }
    }

    fn push(&mut self, record: [u8; N]) -> io::Result<()> {
        self.buffer.push(record);
        if self.buffer.len() < self.most {
            return Ok(());
        }
        self.buffer.sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        let begin = self.runs.last().map_or(0, |(_, end)| *end);
        file.write_all(self.buffer.as_flattened())?;
        self.runs.push((begin, begin + (self.buffer.len() * N) as u64));
        self.buffer.clear();
        Ok(())
    }

    fn merge(mut self) -> io::Result<Merge<N>> {
        self.buffer.sort_unstable();
        let mut runs: Vec<Run<N>> = self.runs.iter().map(|&(at, end)| Run { at, end, read: Vec::new() }).collect();
        self.buffer.reverse();
        runs.push(Run { at: 0, end: 0, read: self.buffer });
        let mut merge = Merge { file: self.file, runs, heap: BinaryHeap::new() };
        for run in 0..merge.runs.len() {
            merge.refill(run)?;
        }
        Ok(merge)
    }
}

/// A sorted run, of which a part was read: the smallest last.
struct Run<const N: usize> {
    at: u64,
    end: u64,
    read: Vec<[u8; N]>,
}

struct Merge<const N: usize> {
    file: Option<File>,
    runs: Vec<Run<N>>,
    heap: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Merge<N> {
    /// Records of a run that are read at a time.
    const READ: u64 = 512;

    fn next(&mut self) -> io::Result<Option<[u8; N]>> {
        let Some(Reverse((record, run))) = self.heap.pop() else { return Ok(None) };
        self.refill(run)?;
        Ok(Some(record))
    }

    /// Puts the next record of a run among the smallest of all.
    fn refill(&mut self, number: usize) -> io::Result<()> {
        let run = &mut self.runs[number];
        if let (true, Some(file)) = (run.read.is_empty() && run.at < run.end, &mut self.file) {
            let count = Self::READ.min((run.end - run.at) / N as u64);
            run.read = vec![[0; N]; count as usize];
            file.seek(SeekFrom::Start(run.at))?;
            file.read_exact(run.read.as_flattened_mut())?;
            run.read.reverse();
            run.at += count * N as u64;
        }
        if let Some(record) = run.read.pop() {
            self.heap.push(Reverse((record, number)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ipld_support::cid_of_block;

    fn cid(n: u64) -> Cid {
        cid_of_block(&n.to_be_bytes())
    }

    fn at(n: u64) -> Timestamp {
        Timestamp::from_unix_micros(n as i64).unwrap()
    }

    /// 1,000 events, a few in memory: each follows from some that stand before it.
    fn history(most: usize, also: Option<(u64, u64)>) -> Option<Missing> {
        let mut seen = Seen::with_most(most);
        for n in 1..=1_000_u64 {
            let causes = [n / 2, n.saturating_sub(1), n * 7 % n];
            let also = also.filter(|(position, _)| *position == n).map(|(_, cause)| cause);
            for cause in causes.into_iter().filter(|cause| *cause > 0).chain(also) {
                if !seen.ask(&cid(cause), n, &cid(n)).unwrap() {
                    return Some(Missing { position: n, cid: cid(n), cause: cid(cause) });
                }
            }
            assert!(seen.add(&cid(n), n, at(n / 3)).unwrap());
        }
        seen.missing().unwrap()
    }

    #[test]
    fn causes_are_found_however_far_back_they_stand() {
        for most in [3, 10, 64, 10_000] {
            assert_eq!(history(most, None), None, "{most}");
            // One that comes later, one that is the event itself, and one that never comes.
            for cause in [700, 500, 5_000] {
                let missing = Missing { position: 500, cid: cid(500), cause: cid(cause) };
                assert_eq!(history(most, Some((500, cause))), Some(missing), "{most}");
            }
        }
    }

    #[test]
    fn the_same_event_is_not_taken_twice() {
        let mut seen = Seen::with_most(4);
        for n in 0..100 {
            assert!(seen.add(&cid(n), n + 1, at(7)).unwrap());
        }
        assert!(!seen.add(&cid(1), 101, at(7)).unwrap());
    }
}
