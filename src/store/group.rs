//! Group commit: appends that come while one is being written are written together next.
//!
//! Whoever comes first leads: it does its own work and that of all who wait, in one transaction, and hands the lead to
//! one of those who came in the meantime. So a single appender pays for no thread, and many share one fsync.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::append::{Work, Writer};
use super::error::AppendError;
use crate::act::AppendedEvent;

/// The most that one transaction takes.
const LARGEST: usize = 1_024;

/// How long a leader waits at least, and at most, for as many as came last time, who are likely on their way back. In
/// between it is an eighth of the time that the last group took: where commits are slow, a full group is worth a wait.
const PATIENCE: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(2));

type Answer = Result<Vec<AppendedEvent>, AppendError>;

enum Message {
    /// The work is done, or was refused.
    Done(Answer),
    /// The lead is yours; your own work still waits.
    Lead,
}

struct Job {
    work: Work,
    reply: SyncSender<Message>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Whether somebody leads.
    led: bool,
    /// How many the last group were.
    last: usize,
    /// How long it took them.
    took: Duration,
}

/// Those who wait to be written.
#[derive(Default)]
pub(super) struct Group(Mutex<Waiting>);

impl Group {
    /// Has work done, alone or together with others', and returns when it is durable.
    pub(super) fn submit(&self, writer: &Mutex<Writer>, work: Work) -> Answer {
        // At most the lead and the answer are sent, so that sending never blocks.
        let (reply, answer) = sync_channel(2);
        let lead = {
            let mut waiting = self.waiting();
            waiting.jobs.push_back(Job { work, reply });
            !std::mem::replace(&mut waiting.led, true)
        };
        if lead {
            self.lead(writer);
        }
        self.follow(writer, &answer)
    }

    fn follow(&self, writer: &Mutex<Writer>, answer: &Receiver<Message>) -> Answer {
        loop {
            match answer.recv() {
                Ok(Message::Done(answer)) => return answer,
                Ok(Message::Lead) => self.lead(writer),
                // The leader is gone, and with it the work: it panicked in somebody's decision.
                Err(_) => return Err(AppendError::Interrupted),
            }
        }
    }

    fn lead(&self, writer: &Mutex<Writer>) {
        let _handover = Handover(self);
        let jobs = self.gather();
        let (work, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.work, job.reply)).unzip();
        let begun = Instant::now();
        let answers = writer.lock().unwrap_or_else(PoisonError::into_inner).run(work);
        self.waiting().took = begun.elapsed();
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Whoever does not wait any more does not need the answer.
            let _ = reply.send(Message::Done(answer));
        }
    }

    fn gather(&self) -> Vec<Job> {
        let mut waiting = self.waiting();
        let expected = waiting.last.min(LARGEST);
        if waiting.jobs.len() < expected {
            let patience = (waiting.took / 8).clamp(PATIENCE.0, PATIENCE.1);
            let begun = Instant::now();
            while waiting.jobs.len() < expected && begun.elapsed() < patience {
                drop(waiting);
                std::thread::yield_now();
                waiting = self.waiting();
            }
        }
        let count = waiting.jobs.len().min(LARGEST);
        waiting.last = count;
        waiting.jobs.drain(..count).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands the lead on, also when the leader panics.
struct Handover<'a>(&'a Group);

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        while let Some(next) = waiting.jobs.front() {
            if next.reply.send(Message::Lead).is_ok() {
                return;
            }
            waiting.jobs.pop_front();
        }
        waiting.led = false;
    }
}
