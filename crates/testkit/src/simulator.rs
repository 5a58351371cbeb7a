//! A world without clocks, files or sockets in which the delivery machine runs against everything that can go wrong.
//!
//! A [`World`] is a plain value: outboxes, drainers that run [`Machine`]s on them, a network that holds back what it
//! carries, and a [`Server`] that tears batches, completes torn ones when it restarts, loses its tail, is purged and
//! made anew. [`World::actions`] says what can happen next, [`World::act`] lets it happen, [`World::check`] looks at what
//! must hold at every moment, and [`World::settle`] ends all faults and looks at what must hold in the end. The model
//! checker walks all of its states within small bounds, the simulator long random ways through it.

mod checks;
mod random;
mod recovery;
mod scenario;
mod server;

use std::collections::{BTreeMap, BTreeSet};

use cid::Cid;
use cid::multihash::Multihash;
use cim_keys::delivery::outbox::Cursor;
use cim_keys::delivery::{
    Attempt, EventSeen, Head, HeadSeen, Input, Machine, Mode, Output, ParkedEvent, Plan, Rules, StreamSeen,
};

pub use random::{Report, run_seed};
pub use scenario::{Action, Budget, Mutant, Scenario};
pub use server::{Answer, Message, Packet, Server};

/// The sources under which the outboxes of a world publish: all under the first, until a ledger is recovered and goes on under
/// a new key, which is the second.
pub const SOURCES: [&str; 2] = ["source", "successor"];

/// A content identifier that stands for the event at a position in one log; logs of another `fork` differ in it.
///
/// # Panics
/// Never: 32 bytes fit.
#[must_use]
pub fn cid(position: u64, fork: u8) -> Cid {
    let mut digest = [fork; 32];
    digest[..8].copy_from_slice(&position.to_be_bytes());
    Cid::new_v1(0x71, Multihash::wrap(0x12, &digest).expect("32 bytes fit"))
}

/// One log and what an outbox keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Log {
    /// Under which source it is published.
    source: u8,
    /// The last position that may have been published under the source before; 0 without one.
    through: u64,
    events: Vec<Cid>,
    fork: u8,
    cursors: BTreeMap<u32, Cursor>,
    parked: BTreeSet<u64>,
    retries: BTreeSet<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Drainer {
    machine: Machine,
    log: usize,
    /// Which connection this is; what was sent on an older one is answered to nobody.
    connection: u32,
    connected: bool,
    read: Option<Output>,
    composed: Option<Packet>,
    waiting: bool,
    answer: Option<(Attempt, Answer)>,
    /// Whether it was told that the ledger goes on under another source.
    ended: bool,
    /// The cursor on the disk, of which stream, where a newer one is not written down yet.
    unkept: Option<(u32, Cursor)>,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    scenario: Scenario,
    budget: Budget,
    /// The stream's server.
    pub server: Server,
    logs: Vec<Log>,
    drainers: Vec<Drainer>,
    network: Vec<Packet>,
    problem: Option<&'static str>,
}

impl World {
    /// A world at its beginning.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let logs: Vec<Log> = (0_u8..)
            .zip(&scenario.logs)
            .map(|(index, &length)| {
                let forks_at = if index == 0 { None } else { scenario.forks_at };
                let fork = if forks_at.is_some() { index } else { 0 };
                let events = (1..=length).map(|p| cid(p, if forks_at.is_some_and(|at| p >= at) { fork } else { 0 }));
                Log {
                    source: 0,
                    through: 0,
                    events: events.collect(),
                    fork,
                    cursors: BTreeMap::new(),
                    parked: BTreeSet::new(),
                    retries: BTreeSet::new(),
                }
            })
            .collect();
        let drainers = scenario.drainers.iter().map(|&log| Drainer::new(&scenario.rules, log, &logs[log])).collect();
        Self {
            budget: scenario.budget,
            server: Server::new(scenario.poison.clone()),
            logs,
            drainers,
            network: Vec::new(),
            problem: None,
            scenario,
        }
    }

    /// What can happen now.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = self.progress();
        let budget = &self.budget;
        for (log, there) in self.logs.iter().enumerate() {
            let drained = self.drainers.iter().any(|drainer| drainer.log == log);
            if drained && (there.events.len() as u64) < self.scenario.grow_to {
                actions.push(Action::Append { log });
            }
            if budget.retries > 0 && !there.parked.is_empty() {
                actions.push(Action::Retry { log });
            }
        }
        for (drainer, there) in self.drainers.iter().enumerate() {
            if budget.cuts > 0 && there.connected {
                actions.push(Action::Cut { drainer });
            }
            if budget.crashes > 0 {
                actions.push(Action::Crash { drainer, forgets: false });
                if there.unkept.is_some() {
                    actions.push(Action::Crash { drainer, forgets: true });
                }
            }
            if budget.silences > 0 {
                if there.answer.is_some() {
                    actions.push(Action::LoseAnswer { drainer });
                } else if there.waiting && there.composed.is_some() {
                    actions.push(Action::Tick { drainer });
                }
            }
        }
        if budget.tears > 0 {
            for (packet, there) in self.network.iter().enumerate() {
                actions.extend((1..there.left()).map(|keep| Action::Tear { packet, keep }));
            }
        }
        if budget.parts > 0 {
            for (packet, there) in self.network.iter().enumerate() {
                if there.is_one_by_one() && there.last_sequence.is_some() {
                    actions.extend((1..there.left()).map(|count| Action::Part { packet, count }));
                }
            }
        }
        if budget.restarts > 0 {
            actions.push(Action::Restart { complete: false, lose: 0 });
            if self.server.is_torn() {
                actions.push(Action::Restart { complete: true, lose: 0 });
            }
            actions.extend((1..=usize::from(budget.losses)).map(|lose| Action::Restart { complete: false, lose }));
        }
        let mut fault = |left: u8, action| {
            if left > 0 {
                actions.push(action);
            }
        };
        for through in 1..=self.logs[0].events.len() as u64 {
            fault(budget.recoveries, Action::Recover { through, remembers: false });
            fault(budget.recoveries, Action::Recover { through, remembers: true });
        }
        fault(budget.others, Action::OtherWriter);
        fault(budget.head_purges, Action::PurgeHeads);
        fault(budget.purges, Action::PurgeAll);
        fault(budget.recreations, Action::Recreate);
        if self.server.refusing.is_none() {
            fault(budget.refusals, Action::Refusing { code: 10077 });
            fault(budget.refusals, Action::Refusing { code: 10176 });
        }
        actions
    }

    /// What happens without any new fault.
    fn progress(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (drainer, there) in self.drainers.iter().enumerate() {
            if !there.connected {
                actions.push(Action::Connect { drainer });
            } else if there.read.is_some() {
                actions.push(Action::Read { drainer });
            }
            if there.answer.is_some() {
                actions.push(Action::Answer { drainer });
            }
            let sent = self.network.iter().any(|p| p.drainer == drainer && p.connection == there.connection);
            // A pause ends, and silence where the answer is lost.
            if there.waiting && (there.composed.is_none() || (!sent && there.answer.is_none())) {
                actions.push(Action::Tick { drainer });
            }
        }
        for (packet, there) in self.network.iter().enumerate() {
            actions.push(Action::Arrive { packet });
            if !self.drainers[there.drainer].holds(there) {
                actions.push(Action::Drop { packet });
            }
        }
        if self.server.refusing.is_some() {
            actions.push(Action::Mend);
        }
        actions
    }

    /// Lets something happen. What can't happen now does nothing.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Append { log } => {
                let position = self.logs[log].events.len() as u64 + 1;
                let fork = self.logs[log].fork;
                self.logs[log].events.push(cid(position, fork));
                self.tell(log, &Input::Appended { end: position });
            }
            Action::Retry { log } => {
                self.budget.retries -= 1;
                self.logs[log].retries = self.logs[log].parked.clone();
                let positions = self.logs[log].retries.iter().copied().collect();
                self.tell(log, &Input::Retry { positions });
            }
            Action::Connect { drainer } => {
                self.drainers[drainer].connected = true;
                self.drainers[drainer].connection += 1;
                self.give(drainer, Input::Connected);
            }
            Action::Cut { drainer } => {
                self.budget.cuts -= 1;
                self.cut(drainer);
            }
            Action::Crash { drainer, forgets } => {
                self.budget.crashes -= 1;
                let log = self.drainers[drainer].log;
                if let Some((incarnation, older)) = self.drainers[drainer].unkept.filter(|_| forgets) {
                    self.logs[log].cursors.insert(incarnation, older);
                }
                let connection = self.drainers[drainer].connection;
                self.drainers[drainer] = Drainer::new(&self.scenario.rules, log, &self.logs[log]);
                self.drainers[drainer].connection = connection;
            }
            Action::Read { drainer } => self.answer_read(drainer),
            Action::Tick { drainer } => {
                if self.drainers[drainer].composed.is_some() {
                    self.budget.silences = self.budget.silences.saturating_sub(1);
                }
                self.give(drainer, Input::Tick);
            }
            Action::Arrive { packet } => {
                let packet = self.network.remove(packet);
                let answer = self.server.take(&packet);
                self.reply(&packet, answer);
            }
            Action::Part { packet, count } => {
                self.budget.parts -= 1;
                if let Some(answer) = self.server.take_some(&mut self.network[packet], count) {
                    let packet = self.network.remove(packet);
                    if packet.untied && packet.left() > 0 {
                        self.network.push(packet.clone());
                    }
                    self.reply(&packet, answer);
                }
            }
            Action::Tear { packet, keep } => {
                self.budget.tears -= 1;
                let packet = self.network.remove(packet);
                self.server.tear(&packet, keep);
            }
            Action::Drop { packet } => {
                self.network.remove(packet);
            }
            Action::Answer { drainer } => {
                if let Some((attempt, answer)) = self.drainers[drainer].answer.take() {
                    self.give_answer(drainer, attempt, answer);
                }
            }
            Action::LoseAnswer { drainer } => {
                self.budget.silences -= 1;
                self.drainers[drainer].answer = None;
            }
            Action::Restart { complete, lose } => {
                self.budget.restarts -= 1;
                self.budget.losses -= u8::try_from(lose).unwrap_or(u8::MAX);
                self.server.restart(complete, lose);
                if lose > 0 {
                    // Sequences that were lost are given anew. A batch from before, arriving only after that, could meet
                    // what it expects by chance, and no expectation can tell: here the guarantee ends.
                    self.network.clear();
                }
                (0..self.drainers.len()).for_each(|drainer| self.cut(drainer));
            }
            Action::Recover { through, remembers } => {
                self.budget.recoveries -= 1;
                self.recover(through, remembers);
            }
            Action::OtherWriter => {
                self.budget.others -= 1;
                self.server.store(Message::Other);
            }
            Action::PurgeHeads => {
                self.budget.head_purges -= 1;
                self.server.purge(true);
            }
            Action::PurgeAll => {
                self.budget.purges -= 1;
                self.server.purge(false);
            }
            Action::Recreate => {
                self.budget.recreations -= 1;
                self.server.recreate();
                // Whoever deletes a stream under a publisher is asked to let it reconnect: an API answer names a stream
                // by its name only.
                (0..self.drainers.len()).for_each(|drainer| self.cut(drainer));
                self.network.clear();
            }
            Action::Refusing { code } => {
                self.budget.refusals -= 1;
                self.server.refusing = Some(code);
            }
            Action::Mend => self.server.refusing = None,
        }
    }

    fn tell(&mut self, log: usize, input: &Input) {
        for drainer in 0..self.drainers.len() {
            if self.drainers[drainer].log == log {
                self.give(drainer, input.clone());
            }
        }
    }

    fn cut(&mut self, drainer: usize) {
        if self.drainers[drainer].connected {
            self.drainers[drainer].connected = false;
            self.drainers[drainer].answer = None;
            self.give(drainer, Input::Disconnected);
        }
    }

    fn reply(&mut self, packet: &Packet, answer: Answer) {
        let drainer = &mut self.drainers[packet.drainer];
        if drainer.holds(packet) {
            drainer.answer = Some((packet.attempt, answer));
        }
    }

    fn give_answer(&mut self, drainer: usize, attempt: Attempt, answer: Answer) {
        let input = match answer {
            Answer::Stored { sequence } => Input::Acked { attempt, sequence, pace_us: self.scenario.pace_us },
            Answer::Refused { code: 10077 } if self.mutant(Mutant::ParksWhenFull) => {
                Input::Refused { attempt, code: 10054, reason: "10054".into() }
            }
            Answer::Refused { code } => Input::Refused { attempt, code, reason: code.to_string() },
        };
        self.give(drainer, input);
    }

    fn mutant(&self, mutant: Mutant) -> bool {
        self.scenario.mutant == Some(mutant)
    }

    fn answer_read(&mut self, drainer: usize) {
        let Some(read) = self.drainers[drainer].read.take() else { return };
        let log = &self.logs[self.drainers[drainer].log];
        let blind = self.scenario.mutant == Some(Mutant::ComparesNothing);
        let ours = |position: u64, theirs: Cid| if blind { Some(theirs) } else { log.at(position) };
        let input = match read {
            Output::ReadStream => {
                let successor = self.successor(log);
                let seen = StreamSeen {
                    mode: self.scenario.mode,
                    known: log.cursors.get(&self.server.incarnation).copied(),
                    base: self.base(log),
                    successor: successor.clone().filter(|_| !self.mutant(Mutant::HidesSuccessor)),
                    parked: log.parked.iter().copied().collect(),
                };
                self.drainers[drainer].ended |= successor.is_some();
                Input::Stream(seen)
            }
            Output::ReadHead => {
                let back = usize::from(self.scenario.mutant == Some(Mutant::ReadsStaleHead));
                Input::Head(self.server.head(log.source, back).map(|(sequence, head)| {
                    Box::new(HeadSeen { sequence, ours: ours(head.position, head.cid), head: head.clone() })
                }))
            }
            Output::ReadEvents { after, probe } => {
                let skips = self.scenario.mutant == Some(Mutant::SkipsTail);
                let events = self.server.events_after(log.source, after).filter(|_| !skips);
                Input::Events {
                    first: self.server.first(),
                    through: self.server.last(),
                    probed: self.server.holds(probe),
                    newer_head: !skips && self.server.head(log.source, 0).is_some_and(|(sequence, _)| sequence > after),
                    events: events
                        .map(|(sequence, position, cid)| EventSeen {
                            sequence,
                            position,
                            cid,
                            ours: ours(position, cid),
                        })
                        .collect(),
                }
            }
            _ => return,
        };
        self.give(drainer, input);
    }

    fn give(&mut self, drainer: usize, input: Input) {
        let outputs = self.drainers[drainer].machine.handle(input);
        for output in outputs {
            self.carry_out(drainer, output);
        }
        if !self.drainers[drainer].machine.is_publishing() || self.scenario.mode == Mode::Core {
            self.drainers[drainer].unkept = None;
        }
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        let incarnation = self.server.incarnation;
        let drainer = &mut self.drainers[index];
        let log = &mut self.logs[drainer.log];
        match output {
            Output::ReadStream | Output::ReadHead | Output::ReadEvents { .. } => drainer.read = Some(output),
            Output::Compose(plan) => {
                drainer.read = None;
                let packet = self.compose(index, &plan);
                let drainer = &mut self.drainers[index];
                let events = packet.events();
                let input = Input::Composed {
                    attempt: plan.attempt,
                    through: packet.through,
                    events: events.len(),
                    blobs: false,
                };
                drainer.composed = Some(packet);
                self.give(index, input);
            }
            Output::Transmit { .. } => {
                let packet = drainer.composed.clone().expect("a batch is composed before it is sent");
                let attempt = packet.attempt;
                if drainer.ended {
                    self.problem = Some("a source publishes though it knows its successor");
                }
                self.network.push(packet);
                if self.mutant(Mutant::TrustsItself) {
                    let sequence = self.server.last() + 1;
                    self.give(index, Input::Acked { attempt, sequence, pace_us: 0 });
                }
            }
            Output::Abandon { .. } => drainer.composed = None,
            // The cursor of a stream that was replaced meanwhile is that stream's; nobody looks at it again.
            Output::Persist(cursor) => {
                let older = log.cursors.insert(incarnation, cursor);
                // While batches follow each other it is written down at leisure.
                let kept = drainer.unkept.filter(|(there, _)| *there == incarnation).map(|(_, kept)| kept);
                drainer.unkept = kept.or(older).map(|kept| (incarnation, kept));
            }
            Output::Park { position, .. } => {
                log.parked.insert(position);
                log.retries.remove(&position);
            }
            Output::Unpark { position } => {
                log.parked.remove(&position);
                log.retries.remove(&position);
            }
            Output::Wake(after) => {
                drainer.waiting = after.is_some() && drainer.read.is_none();
                if drainer.machine.state() != "publishing" {
                    drainer.composed = None;
                }
            }
            Output::Notice(_) => {}
            Output::Stopped(_) => drainer.read = None,
            other => unreachable!("the simulator does not know {other:?}"),
        }
    }

    fn compose(&self, index: usize, plan: &Plan) -> Packet {
        let drainer = &self.drainers[index];
        let log = &self.logs[drainer.log];
        let end = log.events.len() as u64;
        let parked = |position: u64| plan.parked.contains(&position);
        let mut through = plan.after;
        let mut messages = Vec::new();
        if let Some(position) = plan.only {
            messages.extend(log.at(position).map(|cid| Message::Event { source: log.source, position, cid }));
        } else {
            for position in plan.after + 1..=end {
                if parked(position) {
                    through = position;
                    continue;
                }
                if messages.len() == plan.max_events {
                    break;
                }
                through = position;
                let cid = log.events[usize::try_from(position).unwrap_or(0) - 1];
                messages.push(Message::Event { source: log.source, position, cid });
            }
        }
        let head = |position: u64, previous| {
            let source = SOURCES[usize::from(log.source)].parse().expect("a token");
            let mut head = Head::new(source, position, log.at(position).unwrap_or_else(|| cid(position, 0)));
            head.previous = previous;
            if !self.mutant(Mutant::ForgetsParked) {
                let listed = plan.parked.iter().copied().filter(|listed| *listed <= position);
                let cid = |position| log.at(position).unwrap_or_else(|| cid(position, 0));
                head.parked = listed.map(|position| ParkedEvent { position, cid: cid(position) }).collect();
            }
            Message::Head { source: log.source, head }
        };
        // Where all that follows is parked, a head alone says so.
        let fast = plan.mode == Mode::Fast && !messages.is_empty();
        if fast && !self.mutant(Mutant::OpensWithoutHead) {
            messages.insert(0, head(plan.after, plan.previous));
        }
        if plan.mode != Mode::Core {
            messages.push(head(through, plan.previous));
        }
        Packet {
            drainer: index,
            source: log.source,
            connection: drainer.connection,
            attempt: plan.attempt,
            mode: if plan.mode == Mode::Fast && !fast { Mode::Atomic } else { plan.mode },
            through,
            head_sequence: (!self.mutant(Mutant::ExpectsNothing)).then_some(plan.head_sequence),
            last_sequence: plan.last_sequence.filter(|_| !self.mutant(Mutant::ForgetsLastSequence)),
            messages,
            taken: 0,
            untied: self.mutant(Mutant::TiesNothing),
        }
    }
}

impl Log {
    fn at(&self, position: u64) -> Option<Cid> {
        self.events.get(usize::try_from(position.checked_sub(1)?).ok()?).copied()
    }
}

impl Drainer {
    fn new(rules: &Rules, index: usize, log: &Log) -> Self {
        Self {
            machine: Machine::new(rules.clone(), log.events.len() as u64, log.parked.clone(), log.retries.clone()),
            log: index,
            connection: 0,
            connected: false,
            read: None,
            composed: None,
            waiting: false,
            answer: None,
            ended: false,
            unkept: None,
        }
    }

    /// Whether this drainer still waits for the answer to a packet, on the connection that carried it.
    fn holds(&self, packet: &Packet) -> bool {
        self.connected
            && self.connection == packet.connection
            && self.composed.as_ref().is_some_and(|composed| composed.attempt == packet.attempt)
    }
}
