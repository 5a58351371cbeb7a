//! A small ledger with custody and a key of its own, for the tests of the log and of archives.

use std::path::Path;
use std::sync::Arc;

use cim_keys::app::log::Requirements;
use cim_keys::custody::{Custody, NoPassphrases, Ring, WorkFactor};
use cim_keys::events::{KeyGenerated, KeyPurpose, LedgerCreated, OrganizationCreated, Party, Validity};
use cim_keys::ids::{KeyId, LedgerId, OrganizationId};
use cim_keys::keys::pair::PrivateKey;
use cim_keys::keys::{KeyKind, KeyRing as _, Signer};
use cim_keys::ledger::Command;
use cim_keys::log::HeadSigner;
use cim_keys::session::heads;
use cim_keys::store::{Store, StoreOptions};
use cim_keys::text::{Label, Name};
use secrecy::SecretString;

pub(crate) use super::acts::*;

const PASSPHRASE: &str = "a passphrase for nothing but tests";

pub(crate) struct Ledger {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) signer: Arc<dyn Signer>,
}

pub(crate) fn options(folder: &Path) -> StoreOptions {
    StoreOptions::new(folder.join("ledger.db"), folder.join("tokens"))
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let label = Label::new("issuing").unwrap();
        let compartments = [(label.clone(), SecretString::from(PASSPHRASE))];
        let custody = Custody::create(&folder.path().join("custody"), &compartments, WorkFactor::LEAST).unwrap();
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let (key_id, public) = (KeyId::mint(), key.public());
        custody.seal(&label, key_id, &key.secret()).unwrap();
        let created = LedgerCreated {
            ledger_id: LedgerId::mint(),
            name: Name::new("Acme Keys").unwrap(),
            public_key: public.public_key.clone(),
        };
        let generated = KeyGenerated {
            key_id,
            name: Name::new("Ledger key").unwrap(),
            algorithm: public.algorithm,
            encoding: public.encoding,
            public_key: public.public_key,
            purpose: KeyPurpose::Ledger,
            owner: Party::Service(label.clone()),
            compartment: label.clone(),
            validity: Validity::ALWAYS,
            location_id: None,
        };
        let store = found(options(folder.path()), created, vec![Command::GenerateKey(generated)]).unwrap();
        let found = heads::ledger_key(&store).unwrap();
        assert_eq!((found.key_id, found.compartment), (key_id, Some(label)));
        let signer = signer(&store, custody);
        Self { folder, store, signer }
    }

    /// A copy of a ledger's folder as a ledger of its own, after it was handed over.
    pub(crate) fn reopen(folder: tempfile::TempDir) -> Self {
        let store = hand_over(options(folder.path()), "a copy".parse().unwrap()).unwrap();
        let signer = signer(&store, Custody::open(&folder.path().join("custody")).unwrap());
        Self { folder, store, signer }
    }

    /// What signs the heads of what is appended from here on.
    pub(crate) fn head_signer(&self) -> HeadSigner {
        HeadSigner::new(self.store.verifier_key().unwrap(), Arc::clone(&self.signer)).unwrap()
    }

    pub(crate) fn grow(&self, count: usize) {
        for _ in 0..count {
            act_with(&self.store, &anywhere(), vec![new_organization()]).unwrap();
        }
    }

    /// Records an event of some 4 KiB.
    pub(crate) fn grow_large(&self) {
        let organization_id = OrganizationId::mint();
        let description = Some("ü".repeat(1_990).parse().unwrap());
        let name = Name::new("Large").unwrap();
        let created = OrganizationCreated { organization_id, name, description, ..organization() };
        act(&self.store, vec![Command::CreateOrganization(created)]).unwrap();
    }

    pub(crate) fn requirements(&self) -> Requirements {
        let key = self.store.verifier_key().unwrap();
        Requirements { key, witnesses: vec![], policy: None, before: None, from: None }
    }
}

/// The signer of a ledger's own key, out of its custody.
fn signer(store: &Store, custody: Custody) -> Arc<dyn Signer> {
    let key = heads::ledger_key(store).unwrap();
    let unlocked = custody.unlock(key.compartment.as_ref().unwrap(), PASSPHRASE.into()).unwrap();
    Ring::of(custody, NoPassphrases).with_open(unlocked).signer(&key).unwrap()
}

pub(crate) fn new_organization() -> Command {
    let organization_id = OrganizationId::mint();
    let name = Name::new(&format!("Organisation {organization_id}")).unwrap();
    Command::CreateOrganization(OrganizationCreated { organization_id, name, ..organization() })
}

fn organization() -> OrganizationCreated {
    cim_keys_testkit::samples::data()
        .into_iter()
        .find_map(|data| match data {
            cim_keys::events::EventData::OrganizationCreated(created) => Some(created),
            _ => None,
        })
        .unwrap()
}
