//! Work spread over threads, with its results in order and a bounded amount of it in flight.
//!
//! The calling thread reads and puts together; the others judge. On two cores that is one of each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// The most threads besides the calling one.
const MOST_WORKERS: usize = 8;

/// What the calling thread does: it has the file or the database.
pub(crate) trait Stages {
    /// A piece of work.
    type Job: Send;
    /// What became of it.
    type Done: Send;

    /// The next piece of work; `None` when there is none until a result comes, or at all.
    fn next(&mut self) -> Option<Self::Job>;

    /// Takes a result. Results come in the order of their jobs.
    fn take(&mut self, done: Self::Done);
}

/// Runs all jobs through `work`. Returns when there is no job and no result is awaited.
///
/// At most twice as many jobs as there are workers, and one, are in flight: memory is bounded by the size of a job.
pub(crate) fn run<S: Stages>(stages: &mut S, work: impl Fn(S::Job) -> S::Done + Sync) {
    let workers = thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).clamp(1, MOST_WORKERS);
    let most = workers * 2 + 1;
    let (to_workers, jobs) = mpsc::sync_channel::<(u64, S::Job)>(most);
    let (to_here, results) = mpsc::sync_channel::<(u64, S::Done)>(most);
    let jobs = Mutex::new(jobs);
    let (jobs, work) = (&jobs, &work);
    thread::scope(|scope| {
        for _ in 0..workers {
            let to_here = to_here.clone();
            scope.spawn(move || {
                loop {
                    // The lock is held while waiting: whoever has it takes the next job.
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, job)) = job else { return };
                    if to_here.send((number, work(job))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(to_here);
        let (mut given, mut taken) = (0_u64, 0_u64);
        let mut early = BTreeMap::new();
        loop {
            while given - taken < most as u64 {
                let Some(job) = stages.next() else { break };
                if to_workers.send((given, job)).is_err() {
                    break;
                }
                given += 1;
            }
            if given == taken {
                break;
            }
            // A worker that panicked hangs up; the scope passes the panic on.
            let Ok((number, done)) = results.recv() else { break };
            early.insert(number, done);
            while let Some(done) = early.remove(&taken) {
                taken += 1;
                stages.take(done);
            }
        }
        drop(to_workers);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Squares {
        next: u64,
        sum: Vec<u64>,
    }

    impl Stages for Squares {
        type Job = u64;
        type Done = u64;

        fn next(&mut self) -> Option<u64> {
            // Nothing while ten results are awaited.
            (self.next < 1_000 && self.next < self.sum.len() as u64 + 10).then(|| {
                self.next += 1;
                self.next
            })
        }

        fn take(&mut self, done: u64) {
            self.sum.push(done);
        }
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let mut squares = Squares { next: 0, sum: Vec::new() };
        run(&mut squares, |n| {
            if n % 7 == 0 {
                thread::yield_now();
            }
            n * n
        });
        assert_eq!(squares.sum, (1..=1_000).map(|n| n * n).collect::<Vec<_>>());
    }
}
