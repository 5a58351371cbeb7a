//! Who vouches for what, counted.

use std::collections::HashMap;

use crate::session::signatures::Signature;
use crate::verify::{Problem, Report};

/// What one actor did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The actor, as the events say it.
    pub actor: String,
    /// The person's name, where it is a recorded person.
    pub name: Option<String>,
    /// The events that the actor signed.
    pub signed: u64,
    /// The events that only say so.
    pub claimed: u64,
}

/// Who vouches for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vouched {
    /// Each actor, in the order of the first act. Signatures themselves are not counted as acts.
    pub actors: Vec<Tally>,
    /// How many signatures there are.
    pub signatures: u64,
    /// The signatures that do not count. Those of programs, such as the ledger's own over its next key, claim nothing for a
    /// person and are not among them.
    pub void: Vec<Signature>,
    /// What is wrong: forged signatures, and events without the signature that the ledger demanded.
    pub problems: Vec<Problem>,
}

impl Vouched {
    /// How many events their actors signed.
    #[must_use]
    pub fn signed(&self) -> u64 {
        self.actors.iter().map(|tally| tally.signed).sum()
    }

    /// What an actor did, found by where each stands in the list.
    pub(super) fn tally(&mut self, index: &mut HashMap<String, usize>, actor: &str) -> &mut Tally {
        let there = index.get(actor).copied().unwrap_or_else(|| {
            self.actors.push(Tally { actor: actor.to_owned(), name: None, signed: 0, claimed: 0 });
            index.insert(actor.to_owned(), self.actors.len() - 1);
            self.actors.len() - 1
        });
        // Nothing is ever taken out of the list.
        &mut self.actors[there]
    }

    /// Adds what is wrong to a report.
    pub fn tell(&self, report: &mut Report) {
        for it in &self.problems {
            report.add(it.layer, it.position, it.cid, it.what.clone());
        }
    }

    /// How many events only claim their actor.
    #[must_use]
    pub fn claimed(&self) -> u64 {
        self.actors.iter().map(|tally| tally.claimed).sum()
    }
}

/// Who claims to have acted, counted while a history passes by, and whether there is any signature to be judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    vouched: Vouched,
    index: HashMap<String, usize>,
    /// Whether something is signed, or had to be.
    judged: bool,
}

impl Claims {
    /// Counts an event.
    pub fn see(&mut self, event_type: &str, actor: &str) {
        match event_type {
            "EventAttested" => {
                self.judged = true;
                return;
            }
            "SignaturesRequired" => self.judged = true,
            _ => {}
        }
        self.vouched.tally(&mut self.index, actor).claimed += 1;
    }

    /// What there is to say, where nothing is signed and nothing had to be: then nothing has to be judged.
    #[must_use]
    pub fn unsigned(&self) -> Option<Vouched> {
        (!self.judged).then(|| self.vouched.clone())
    }
}
