//! A ledger in memory, for tests of decisions.

use cid::Cid;
use cid::multihash::Multihash;
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ledger::*;
use cim_keys::text::Label;
use cim_keys::time::Timestamp;
pub use cim_keys_testkit::texts::{name, note};

/// A ledger in memory, with a clock that ticks and content identifiers that count.
#[derive(Default, Clone)]
pub struct World {
    pub state: State,
    pub cids: Vec<Cid>,
}

impl World {
    pub fn next_cid(&self) -> Cid {
        let mut digest = [0xee; 32];
        digest[..8].copy_from_slice(&(self.cids.len() as u64).to_be_bytes());
        Cid::new_v1(0x71, Multihash::wrap(0x12, &digest).unwrap())
    }

    pub fn record(&mut self, data: impl Into<EventData>, causes: Vec<Link>) -> Cid {
        let cid = self.next_cid();
        let event = KeyEvent {
            id: EventId::mint(),
            data: data.into(),
            occurred_at: Timestamp::from_unix_micros(self.cids.len() as i64 * 1_000_000).unwrap(),
            actor: Actor::System(Label::new("test").unwrap()),
            correlation_id: CorrelationId::mint(),
            causes,
        };
        self.state.fold(&event, cid).unwrap();
        self.cids.push(cid);
        cid
    }

    pub fn run(&mut self, command: Command) -> Result<Vec<String>, Refusal> {
        let drafts = decide(&self.state, &command)?;
        let base = self.cids.len();
        let mut types = Vec::new();
        for draft in drafts {
            types.push(draft.data.event_type().to_owned());
            let causes = draft.causes.iter().map(|cause| match cause {
                Cause::Recorded(cid) => {
                    assert!(self.cids.contains(cid), "a cause is recorded");
                    Link::new(*cid).unwrap()
                }
                Cause::Earlier(index) => Link::new(self.cids[base + index]).unwrap(),
            });
            let causes = causes.collect();
            self.record(draft.data, causes);
        }
        Ok(types)
    }

    #[track_caller]
    pub fn ok(&mut self, command: Command) {
        assert!(!self.run(command).unwrap().is_empty());
    }

    #[track_caller]
    pub fn refused(&mut self, command: Command, part: &str) {
        let refusal = self.run(command).unwrap_err().to_string();
        assert!(refusal.contains(part), "{refusal}");
    }
}
