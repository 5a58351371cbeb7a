//! The ledger as an outbox: the suite that holds for every outbox.

use cim_keys::delivery::outbox::Outbox;
use cim_keys::ledger::Command;
use cim_keys::store::{LedgerOutbox, Store};
use cim_keys_testkit::{OutboxUnderTest, outbox_conformance};

use crate::support::store::*;

struct Ledger {
    place: Place,
    store: Option<Store>,
    outbox: Option<LedgerOutbox>,
    people: u64,
}

impl OutboxUnderTest for Ledger {
    fn append(&mut self, count: usize) {
        let people = self.people..self.people + count as u64;
        self.people = people.end;
        let commands = people.map(|n| Command::CreatePerson(person(n))).collect();
        act(self.store.as_ref().unwrap(), commands).unwrap();
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.outbox.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        self.outbox = None;
        self.store = None;
        let store = self.place.open();
        self.outbox = Some(store.outbox().unwrap());
        self.store = Some(store);
    }
}

#[test]
fn the_suite_of_all_outboxes() {
    let place = Place::new();
    let store = place.create();
    let outbox = Some(store.outbox().unwrap());
    let mut ledger = Ledger { place, store: Some(store), outbox, people: 0 };
    outbox_conformance(&mut ledger);
    check(ledger.store.as_ref().unwrap());
}
