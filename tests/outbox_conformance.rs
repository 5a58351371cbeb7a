//! The suite of all outboxes, for the ledger. The file queue runs it in `queue_files.rs`.
#![cfg(feature = "store")]
#![allow(clippy::unwrap_used)]

mod store_support;

use cim_keys::delivery::outbox::Outbox;
use cim_keys::store::{LedgerOutbox, Store};
use cim_keys_testkit::{OutboxUnderTest, outbox_conformance};
use store_support::{Place, add_person};

struct Ledger {
    place: Place,
    store: Option<Store>,
    outbox: Option<LedgerOutbox>,
    made: u64,
}

impl OutboxUnderTest for Ledger {
    fn append(&mut self, count: usize) {
        for _ in 0..count {
            self.made += 1;
            add_person(self.store.as_ref().unwrap(), self.made).unwrap();
        }
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.outbox.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        (self.outbox, self.store) = (None, None);
        let store = self.place.open();
        self.outbox = Some(store.outbox().unwrap());
        self.store = Some(store);
    }
}

#[test]
fn the_ledger_is_an_outbox_as_the_port_says() {
    let place = Place::new();
    let store = place.create();
    let outbox = Some(store.outbox().unwrap());
    outbox_conformance(&mut Ledger { place, store: Some(store), outbox, made: 0 });
}
