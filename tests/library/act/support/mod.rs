//! A ledger with real custody or with a key ring whose keys cannot leave, and the check that every step ends in.

pub mod doubles;
pub mod vault;
pub mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use cid::Cid;
use cim_keys::act::*;
use cim_keys::custody::*;
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ipld_support::cid_of_blob;
use cim_keys::keys::*;
use cim_keys::ledger::{Command, KeyFacts, Refusal};
use cim_keys::policy;
use cim_keys::session::Place;
use cim_keys::session::custody::{announce, check as compare};
use cim_keys::store::*;
use cim_keys::text::Label;
use cim_keys::time::Timestamp;
use secrecy::SecretString;
use tempfile::TempDir;

pub use cim_keys_testkit::texts::{label, name, note};

use crate::support::store::{self, act};
pub use crate::support::store::{START, acme, intent, person};

/// The passphrase of every compartment.
const PASSPHRASE: &str = "correct horse battery staple";

/// An error of a use case in these tests.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.to_string())
    }
}

/// Makes any error one of these tests.
pub fn broken(error: impl std::fmt::Display) -> Broken {
    Broken(error.to_string())
}

/// Why an act of these tests did not take place.
pub type Refused = ActError<JournalError, Broken>;

/// A ledger in a folder of its own.
pub struct Ledger {
    pub dir: TempDir,
    pub clock: Arc<AtomicI64>,
    pub store: Store,
    pub texts: RestrictedTexts,
    /// The ledger's own key.
    pub own_key: KeyRef,
}

impl Ledger {
    /// A ledger whose keys are in custody, in the compartments `root` and `issuing`.
    pub fn in_custody() -> Self {
        Self::in_custody_at(&std::env::temp_dir())
    }

    /// The same on another disk.
    pub fn in_custody_at(folder: &std::path::Path) -> Self {
        let dir = TempDir::with_prefix_in("cim-keys-act-", folder).unwrap();
        let compartments = [ROOT, ISSUING].map(|name| (label(name), SecretString::from(PASSPHRASE.to_owned())));
        let custody = Custody::create(&dir.path().join("custody"), &compartments, WorkFactor::LEAST).unwrap();
        let recipients = announce(&custody).unwrap();
        let mut ring = Ring::of(custody, NoPassphrases);
        Self::found(dir, &mut ring, &recipients)
    }

    /// A ledger whose keys are in a key ring.
    pub fn in_ring(ring: &mut dyn KeyRing) -> Self {
        Self::found(TempDir::with_prefix("cim-keys-act-").unwrap(), ring, &[])
    }

    fn found(dir: TempDir, ring: &mut dyn KeyRing, recipients: &[Command]) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let founding = Founding::new(options(&dir.path().join("ledger.db"), &dir.path().join("tokens"), &clock));
        let mut pipeline = Pipeline::new(&founding, policy::built_in()).with_keys(ring);
        let outcome = pipeline.act(&intent(), |draft| found(draft, recipients)).unwrap();
        drop(pipeline);
        assert!(matches!(outcome.head, Head::Signed { .. }), "{:?}", outcome.head);
        let texts = RestrictedTexts::at(dir.path().join("restricted.db"));
        Self { store: founding.into_store().unwrap(), own_key: outcome.value, dir, clock, texts }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place::new(self.dir.path(), self.dir.path().join("tokens"))
    }

    pub fn options(&self) -> StoreOptions {
        options(&self.place().database(), self.place().tokens(), &self.clock)
    }

    /// The same ledger, opened once more: another writer.
    pub fn other(&self) -> Store {
        Store::open(self.options()).unwrap()
    }

    /// The custody as a key ring that knows the passphrases.
    pub fn ring(&self) -> Ring<'static> {
        Ring::at(&self.place().custody(), Passphrases)
    }

    /// The custody as a key ring that opens nothing.
    pub fn closed_ring(&self) -> Ring<'static> {
        Ring::at(&self.place().custody(), NoPassphrases)
    }

    /// A pipeline that keeps texts; keys, front and publisher are the test's.
    pub fn pipeline(&self) -> Pipeline<'_, Store> {
        Pipeline::new(&self.store, policy::built_in()).with_texts(&self.texts)
    }

    /// A pipeline with another policy.
    pub fn under(&self, policy: impl Policy + 'static) -> Pipeline<'_, Store> {
        Pipeline::new(&self.store, Arc::new(policy)).with_texts(&self.texts)
    }

    /// Does an act with a key ring, which must succeed, and checks everything.
    #[track_caller]
    pub fn act<T>(
        &self,
        ring: &mut dyn KeyRing,
        build: impl FnMut(&mut Draft<'_>) -> Result<T, Broken>,
    ) -> (T, Vec<AppendedEvent>) {
        self.act_as(&intent(), ring, build)
    }

    /// The same for an intent.
    #[track_caller]
    pub fn act_as<T>(
        &self,
        intent: &Intent,
        ring: &mut dyn KeyRing,
        build: impl FnMut(&mut Draft<'_>) -> Result<T, Broken>,
    ) -> (T, Vec<AppendedEvent>) {
        let before = self.store.end().unwrap();
        let outcome = self.pipeline().with_keys(ring).act(intent, build).unwrap();
        assert_eq!(self.store.end().unwrap(), before + outcome.events.len() as u64);
        self.check();
        (outcome.value, outcome.events)
    }

    /// Records commands without keys.
    #[track_caller]
    pub fn record(&self, commands: Vec<Command>) -> Vec<AppendedEvent> {
        record(&self.store, commands)
    }

    /// The facts of a key that is recorded.
    pub fn key(&self, which: &str) -> KeyFacts {
        self.store.view(|view| cim_keys::authority::keys::facts(view, which)).unwrap().unwrap()
    }

    /// How the keys of the compartments and the events agree.
    pub fn custody_is_clean(&self) -> bool {
        let custody = Custody::open(&self.place().custody()).unwrap();
        compare(&self.store, &custody).unwrap().is_clean()
    }

    /// Everything that holds after each act: the log verifies, each act is of one moment and has one correlation id, no
    /// placeholder is recorded, the texts of tokens are kept and decode, and custody and events agree.
    #[track_caller]
    pub fn check(&self) {
        self.check_acts(true);
    }

    /// The same for a log with acts in two steps, which others write between.
    #[track_caller]
    pub fn check_two_steps(&self) {
        self.check_acts(false);
    }

    #[track_caller]
    fn check_acts(&self, together: bool) {
        let report = self.store.verify(&mut |_, _| {});
        assert!(report.ok(), "{report:#?}");
        let mut acts: BTreeMap<CorrelationId, Timestamp> = BTreeMap::new();
        let (mut linked, mut blocks, mut ended) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        let mut stand_ins = BTreeSet::new();
        let mut last = None;
        for recorded in self.store.iter(1) {
            let recorded = recorded.unwrap();
            assert!(recorded.verify(), "position {}", recorded.position);
            let event = recorded.event().unwrap();
            let at = *acts.entry(event.correlation_id).or_insert(event.occurred_at);
            assert!(!together || at == event.occurred_at, "position {}", recorded.position);
            // The events of an act stand together.
            if last.is_some_and(|last| last != event.correlation_id) {
                ended.extend(last);
            }
            assert!(!together || !ended.contains(&event.correlation_id), "position {}", recorded.position);
            last = Some(event.correlation_id);
            match &event.data {
                EventData::EventAttested(attested) => assert!(!attested.signature.as_slice().is_empty()),
                EventData::JwtSigned(signed) => {
                    linked.insert(*signed.token.cid());
                    // What stands in for the text of an account's token with activations.
                    stand_ins.insert(cid_of_blob(signed.jti.as_str().as_bytes()));
                }
                _ => {}
            }
            blocks.push(recorded.block);
        }
        for cid in &linked {
            let Some(text) = self.texts.get(cid).unwrap() else { continue };
            assert_eq!(cid_of_blob(text.as_bytes()), *cid);
            // What stands in for the text until it is signed.
            let unsigned = text.rsplit_once('.').unwrap().0;
            stand_ins.insert(cid_of_blob(unsigned.as_bytes()));
        }
        assert_absent(&blocks, &stand_ins);
        if self.place().custody().exists() {
            assert!(self.custody_is_clean());
        }
    }
}

/// Content identifiers that no block names, in their bytes or as text.
#[track_caller]
fn assert_absent(blocks: &[Vec<u8>], cids: &BTreeSet<Cid>) {
    let bytes: BTreeSet<Vec<u8>> = cids.iter().map(Cid::to_bytes).collect();
    let texts: BTreeSet<Vec<u8>> = cids.iter().map(|cid| cid.to_string().into_bytes()).collect();
    for block in blocks {
        assert!(!block.windows(36).any(|window| bytes.contains(window)), "{cids:?}");
        assert!(!block.windows(59).any(|window| texts.contains(window)), "{cids:?}");
    }
}

/// Opens every compartment of these tests.
struct Passphrases;

impl Unlock for Passphrases {
    fn unlock(
        &mut self,
        custody: &Custody,
        compartment: &Label,
    ) -> Result<Unlocked, Box<dyn std::error::Error + Send + Sync>> {
        Ok(custody.unlock(compartment, SecretString::from(PASSPHRASE.to_owned()))?)
    }
}

/// The options of a ledger whose writers wait for each other on a busy machine.
pub fn options(database: &std::path::Path, tokens: &std::path::Path, clock: &Arc<AtomicI64>) -> StoreOptions {
    store::options(database, tokens, clock).with_wait(std::time::Duration::from_secs(2))
}

/// The first act of a ledger, as `init` does it.
fn found(draft: &mut Draft<'_>, recipients: &[Command]) -> Result<KeyRef, Broken> {
    let spec = KeySpec { kind: KeyKind::Ed25519, compartment: label(ISSUING) };
    let key = draft.generate(&spec).map_err(broken)?;
    let public = key.public.clone();
    let public_key = public.public_key.clone();
    draft.command(Command::CreateLedger(LedgerCreated {
        ledger_id: LedgerId::mint(),
        name: name("acme"),
        public_key,
    }))?;
    draft.commands(recipients.iter().cloned())?;
    draft.command(Command::GenerateKey(generated(&key, "Ledger key", KeyPurpose::Ledger)))?;
    draft.command(Command::CreateOrganization(acme()))?;
    Ok(key.reference())
}

/// The event of a key of a draft.
pub fn generated(key: &DraftKey, named: &str, purpose: KeyPurpose) -> KeyGenerated {
    KeyGenerated {
        key_id: key.key_id,
        name: name(named),
        algorithm: key.public.algorithm,
        encoding: key.public.encoding,
        public_key: key.public.public_key.clone(),
        purpose,
        owner: Party::Service(label("ledger")),
        compartment: key.compartment.clone(),
        validity: Validity::ALWAYS,
        location_id: None,
    }
}

/// Records commands, as another writer does.
#[track_caller]
pub fn record(store: &Store, commands: Vec<Command>) -> Vec<AppendedEvent> {
    act(store, commands).unwrap()
}

/// A key as `key generate` makes one.
pub fn new_key(named: &str) -> cim_keys::authority::keys::NewKey {
    cim_keys::authority::keys::NewKey {
        name: name(named),
        kind: KeyKind::Ed25519,
        purpose: Some(KeyPurpose::Signing),
        owner: None,
        compartment: None,
        validity: Validity::ALWAYS,
        location: None,
    }
}

/// Makes a key in a draft.
pub fn generate(draft: &mut Draft<'_>, named: &str) -> Result<KeyGenerated, Broken> {
    cim_keys::authority::keys::generate(draft, new_key(named)).map_err(broken)
}

pub fn create_person(n: u64) -> Command {
    Command::CreatePerson(person(n))
}

/// The types of events, in order.
pub fn types(events: &[AppendedEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.event_type()).collect()
}
