//! What the tests of the store share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ipld_support::{ContentAddressedEvent, EventBlock};
use cim_keys::ledger::Command;
use cim_keys::log::VerifierKey;
use cim_keys::store::*;
use cim_keys::text::{EmailAddress, Label, PublicKey};
use cim_keys::time::Timestamp;
use tempfile::TempDir;

pub use cim_keys_testkit::texts::name;

pub use super::acts::*;

/// A place for a ledger and for the rights to write.
pub struct Place {
    pub dir: TempDir,
    pub clock: Arc<AtomicI64>,
}

/// 2026-01-31T09:30:00Z.
pub const START: i64 = 1_769_851_800_000_000;

impl Place {
    pub fn new() -> Self {
        Self { dir: TempDir::with_prefix("cim-keys-store-").unwrap(), clock: Arc::new(AtomicI64::new(START)) }
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    pub fn options(&self) -> StoreOptions {
        self.options_at(&self.database())
    }

    pub fn options_at(&self, path: &Path) -> StoreOptions {
        options(path, &self.dir.path().join("tokens"), &self.clock).with_wait(std::time::Duration::from_millis(300))
    }

    pub fn create(&self) -> Store {
        create(self.options())
    }

    pub fn open(&self) -> Store {
        Store::open(self.options()).unwrap()
    }
}

/// A clock that ticks a millisecond at each look.
pub fn options(database: &Path, tokens: &Path, clock: &Arc<AtomicI64>) -> StoreOptions {
    let clock = Arc::clone(clock);
    StoreOptions::new(database, tokens)
        .with_clock(move || Timestamp::from_unix_micros(clock.fetch_add(1_000, Ordering::SeqCst)).unwrap())
}

pub fn create(options: StoreOptions) -> Store {
    found(options, ledger_created(), vec![Command::CreateOrganization(acme())]).unwrap()
}

pub fn ledger_created() -> LedgerCreated {
    LedgerCreated {
        ledger_id: LedgerId::mint(),
        name: name("acme"),
        public_key: PublicKey::new("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap(),
    }
}

/// The one organisation of these tests.
pub fn acme() -> OrganizationCreated {
    let organization_id = "01890a5d-ac96-774b-8000-000000000001".parse().unwrap();
    OrganizationCreated { organization_id, name: name("Acme"), domain: None, description: None }
}

pub fn person(n: u64) -> PersonCreated {
    PersonCreated {
        person_id: PersonId::mint(),
        organization_id: acme().organization_id,
        unit_id: None,
        location_id: None,
        name: name(&format!("Person {n}")),
        email: Some(EmailAddress::new(&format!("person{n}@acme.example")).unwrap()),
        title: None,
    }
}

/// Adds a person, wherever that is recorded.
pub fn add_person(store: &Store, n: u64) -> Result<Vec<AppendedEvent>, Failure> {
    act_with(store, &anywhere(), vec![Command::CreatePerson(person(n))])
}

/// A ready-made event after all others.
pub fn ready(data: impl Into<EventData>, at: i64) -> KeyEvent {
    KeyEvent {
        id: EventId::mint(),
        data: data.into(),
        occurred_at: Timestamp::from_unix_micros(at).unwrap(),
        actor: Actor::System(Label::new("test").unwrap()),
        correlation_id: CorrelationId::mint(),
        causes: Vec::new(),
    }
}

/// An event as a mirror takes it; one of a type that is not known here is about a person.
pub fn followed(event: KeyEvent) -> FollowedEvent {
    let event = ContentAddressedEvent::new(event).unwrap();
    let aggregate = event.event.aggregate().map_or("person", |aggregate| aggregate.as_str()).parse().unwrap();
    FollowedEvent { cid: event.cid, aggregate, block: EventBlock::parse(event.block().to_vec()).unwrap() }
}

/// What a ledger recorded from a position on, as a mirror takes it.
pub fn followed_from(store: &Store, from: u64) -> Vec<FollowedEvent> {
    let event = |recorded: Recorded| FollowedEvent {
        cid: recorded.cid,
        aggregate: recorded.aggregate.parse().unwrap(),
        block: EventBlock::parse(recorded.block).unwrap(),
    };
    store.iter(from).map(|recorded| event(recorded.unwrap())).collect()
}

/// A mirror that has what a ledger recorded. It takes events as they are, whoever decided on them.
pub fn mirror_of(store: &Store, options: StoreOptions) -> Mirror {
    let EventData::LedgerCreated(created) = store.event(&Which::Position(1)).unwrap().event().unwrap().data else {
        panic!("the first event is another")
    };
    let key = VerifierKey::of_ledger(&created.name, &created.public_key, &created.public_key).unwrap();
    let mut events = followed_from(store, 1);
    let rest = events.split_off(1);
    let mirror = Mirror::create(options, events.remove(0), &key).unwrap();
    mirror.record(2, rest, Vec::new()).unwrap();
    mirror
}

#[track_caller]
pub fn check(store: &Store) {
    let report = store.verify(&mut |_, _| {});
    assert!(report.ok(), "{report:#?}");
    assert_eq!(report.events, store.end().unwrap());
}
