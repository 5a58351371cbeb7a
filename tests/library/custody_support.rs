//! A ledger with custody, and what goes wrong while secrets are sealed beside the transaction that records their keys.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use cim_keys::act::{AppendedEvent, Commit, CommitError, Draft, Head, Journal, Outcome, Pipeline, Tip};
use cim_keys::authority::keys::{self, KeyActError, NewKey};
use cim_keys::custody::{Custody, NoPassphrases, Ring, SecretBytes, Unlocked, WorkFactor};
use cim_keys::events::{KeyGenerated, Validity};
use cim_keys::ids::KeyId;
use cim_keys::keys::{KeyError, KeyKind, KeyRef, KeyRing, KeySpec, Sealing, Signer};
use cim_keys::ledger::View;
use cim_keys::policy;
use cim_keys::session::LedgerActError;
use cim_keys::session::custody::{announce, check};
use cim_keys::store::{AppendError, JournalError, Store, StoreOptions};
use cim_keys::text::Label;
use cim_keys::time::Timestamp;

pub use cim_keys_testkit::texts::label;

use crate::support::store::{self, Place, START, act, intent, name};

pub const PASSPHRASE: &str = "a passphrase for tests";

/// How an act with keys ends.
pub type KeyOutcome<T> = Result<Outcome<T>, LedgerActError<KeyActError>>;

/// A ledger with the compartments `root` and `issuing`.
pub struct Fixture {
    pub place: Place,
    pub store: Store,
    pub custody: Custody,
}

pub fn new(text: &str, kind: KeyKind) -> NewKey {
    NewKey {
        name: name(text),
        kind,
        purpose: None,
        owner: None,
        compartment: None,
        validity: Validity::ALWAYS,
        location: None,
    }
}

/// Makes so many keys of a kind in one act.
pub fn generate_many(draft: &mut Draft<'_>, kind: KeyKind, count: usize) -> Result<Vec<KeyGenerated>, KeyActError> {
    (0..count).map(|n| keys::generate(draft, new(&format!("key {n}"), kind))).collect()
}

impl Fixture {
    pub fn new() -> Self {
        let place = Place::new();
        let store = place.create();
        let new = [(label("root"), PASSPHRASE.into()), (label("issuing"), PASSPHRASE.into())];
        let custody = Custody::create(&place.dir.path().join("custody"), &new, WorkFactor::LEAST).unwrap();
        act(&store, announce(&custody).unwrap()).unwrap();
        Self { place, store, custody }
    }

    pub fn unlock(&self, compartment: &Label) -> Unlocked {
        self.custody.unlock(compartment, PASSPHRASE.into()).unwrap()
    }

    /// The keys of this custody; no compartment is open.
    pub fn ring(&self) -> Ring<'static> {
        Ring::at(self.custody.path(), NoPassphrases)
    }

    /// An act with the keys of this custody.
    pub fn act<T>(&self, build: impl FnMut(&mut Draft<'_>) -> Result<T, KeyActError>) -> KeyOutcome<T> {
        self.act_with(self.ring(), build)
    }

    pub fn act_with<T>(
        &self,
        ring: impl KeyRing,
        build: impl FnMut(&mut Draft<'_>) -> Result<T, KeyActError>,
    ) -> KeyOutcome<T> {
        Pipeline::new(&self.store, policy::built_in()).with_keys(ring).act(&intent(), build)
    }

    #[track_caller]
    pub fn all_is_well(&self) {
        let compared = check(&self.store, &self.custody).unwrap();
        assert!(compared.is_clean(), "{compared:#?}");
        store::check(&self.store);
    }
}

/// In a process of its own, which dies when its keys are sealed: makes so many keys in a fixture's folder.
pub fn die_between_sealing_and_recording(folder: &Path, kind: KeyKind, count: usize) -> ! {
    let clock = || Timestamp::from_unix_micros(START + 60_000_000).unwrap();
    let options = StoreOptions::new(folder.join("ledger.db"), folder.join("tokens")).with_clock(clock);
    let store = Store::open(options).unwrap();
    let ring = Faulty::new(Ring::at(&folder.join("custody"), NoPassphrases), Fault::Dies);
    let _ = Pipeline::new(&store, policy::built_in())
        .with_keys(ring)
        .act(&intent(), |draft| generate_many(draft, kind, count));
    unreachable!();
}

/// What goes wrong when everything is sealed.
#[derive(Clone)]
pub enum Fault {
    /// It says that it failed, having removed what it sealed.
    Fails,
    /// A bug comes out.
    Panics,
    /// The process is killed.
    Dies,
    /// It takes until this says that it may go on.
    Hangs(Arc<dyn Fn() + Send + Sync>),
}

/// The keys of a custody whose sealing goes wrong.
pub struct Faulty {
    ring: Ring<'static>,
    fault: Fault,
}

impl Faulty {
    pub const fn new(ring: Ring<'static>, fault: Fault) -> Self {
        Self { ring, fault }
    }
}

impl KeyRing for Faulty {
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        self.ring.signer(key)
    }

    fn signer_at_hand(&mut self, key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        self.ring.signer_at_hand(key)
    }

    fn generate(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<cim_keys::keys::NewKey, KeyError> {
        self.ring.generate(key_id, spec)
    }

    fn take(
        &mut self,
        key_id: KeyId,
        secret: &SecretBytes,
        compartment: &Label,
    ) -> Result<cim_keys::keys::NewKey, KeyError> {
        self.ring.take(key_id, secret, compartment)
    }

    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        self.ring.export(key)
    }

    fn sealing(&mut self, keys: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError> {
        let fault = self.fault.clone();
        let faulty = |inner| Box::new(FaultySealing { inner, fault, keys: keys.to_vec() }) as _;
        Ok(self.ring.sealing(keys)?.map(faulty))
    }
}

struct FaultySealing<'r> {
    inner: Box<dyn Sealing + 'r>,
    fault: Fault,
    keys: Vec<KeyId>,
}

impl Sealing for FaultySealing<'_> {
    fn seal(&mut self) -> Result<(), KeyError> {
        self.inner.seal()?;
        match &self.fault {
            Fault::Fails => {
                assert_eq!(self.inner.undo(&self.keys), 0);
                self.inner.settled();
                Err(KeyError::failed("the disk is gone"))
            }
            Fault::Panics => {
                self.inner.undo(&self.keys);
                self.inner.settled();
                panic!("a bug in a key ring")
            }
            Fault::Dies => std::process::abort(),
            Fault::Hangs(wait) => {
                wait();
                Ok(())
            }
        }
    }

    fn undo(&mut self, keys: &[KeyId]) -> usize {
        self.inner.undo(keys)
    }

    fn settled(&mut self) {
        self.inner.settled();
    }
}

/// A journal that says that an act was interrupted: it was not recorded, or it was.
pub struct Interrupted<'s> {
    store: &'s Store,
    records: bool,
    /// Whether the ledger can be read afterwards.
    readable: bool,
    interrupted: Cell<bool>,
}

impl<'s> Interrupted<'s> {
    pub const fn new(store: &'s Store, records: bool) -> Self {
        Self { store, records, readable: true, interrupted: Cell::new(false) }
    }

    pub fn unreadable(self) -> Self {
        Self { readable: false, ..self }
    }
}

impl Journal for Interrupted<'_> {
    type Error = JournalError;

    fn writable(&self) -> Result<(), JournalError> {
        Journal::writable(self.store)
    }

    fn tip(&self) -> Result<Tip, JournalError> {
        self.store.tip()
    }

    fn view<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, JournalError> {
        if self.interrupted.get() && !self.readable {
            return Err(AppendError::Interrupted.into());
        }
        Journal::view(self.store, look)
    }

    fn commit(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<JournalError>> {
        if self.records {
            self.store.commit(act)?;
        }
        self.interrupted.set(true);
        Err(AppendError::Interrupted.into())
    }

    fn ledger_key(&self) -> Result<Option<KeyRef>, JournalError> {
        self.store.ledger_key()
    }

    fn sign_head(&self, signer: &dyn Signer) -> Result<u64, JournalError> {
        Journal::sign_head(self.store, signer)
    }

    fn is_contradiction(error: &JournalError) -> bool {
        <Store as Journal>::is_contradiction(error)
    }

    fn head(&self) -> Result<Head, JournalError> {
        Journal::head(self.store)
    }
}
