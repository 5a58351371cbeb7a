//! A small ledger with custody and a key of its own, for the tests of the log and of archives.

#![allow(dead_code)] // each test file needs another part of it

use std::path::Path;

use cim_keys::app::log::{self, LedgerSecret, Requirements};
use cim_keys::custody::{Custody, WorkFactor};
use cim_keys::events::{KeyGenerated, KeyPurpose, LedgerCreated, OrganizationCreated, Party, Validity};
use cim_keys::ids::{KeyId, LedgerId, OrganizationId};
use cim_keys::keys::pair::{KeyKind, PrivateKey};
use cim_keys::ledger::Command;
use cim_keys::store::{AppendContext, Store, StoreOptions};
use cim_keys::text::{Label, Name};
use secrecy::SecretString;

pub(crate) struct Ledger {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) secret: LedgerSecret,
}

pub(crate) fn options(folder: &Path) -> StoreOptions {
    StoreOptions::new(folder.join("ledger.db"), folder.join("tokens"))
}

pub(crate) fn context() -> AppendContext {
    AppendContext::new("service:test".parse().unwrap())
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let label = Label::new("issuing").unwrap();
        let passphrase = SecretString::from("a passphrase for nothing but tests");
        let compartments = [(label.clone(), passphrase.clone())];
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
        let more = vec![Command::GenerateKey(generated)];
        let store = Store::create(options(folder.path()), context(), created, more).unwrap();
        let found = log::ledger_key(&store).unwrap();
        assert_eq!((found.key_id, &found.compartment), (key_id, &label));
        let secret = found.reveal(&custody.unlock(&label, passphrase).unwrap()).unwrap();
        Self { folder, store, secret }
    }

    /// A copy of a ledger's folder as a ledger of its own, after it was handed over.
    pub(crate) fn reopen(folder: tempfile::TempDir) -> Self {
        let store = Store::hand_over(options(folder.path()), context(), "a copy".parse().unwrap()).unwrap();
        let found = log::ledger_key(&store).unwrap();
        let custody = Custody::open(&folder.path().join("custody")).unwrap();
        let passphrase = SecretString::from("a passphrase for nothing but tests");
        let secret = found.reveal(&custody.unlock(&found.compartment, passphrase).unwrap()).unwrap();
        Self { folder, store, secret }
    }

    pub(crate) fn grow(&self, count: usize) {
        for _ in 0..count {
            self.store.execute(context(), vec![new_organization()]).unwrap();
        }
    }

    /// Records an event of some 4 KiB.
    pub(crate) fn grow_large(&self) {
        let organization_id = OrganizationId::mint();
        let description = Some("ü".repeat(1_990).parse().unwrap());
        let name = Name::new("Large").unwrap();
        let created = OrganizationCreated { organization_id, name, description, ..organization() };
        self.store.execute(context(), vec![Command::CreateOrganization(created)]).unwrap();
    }

    pub(crate) fn requirements(&self) -> Requirements {
        let key = log::verifier_key(&self.store).unwrap();
        Requirements { key, witnesses: vec![], policy: None, before: None, from: None }
    }
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
