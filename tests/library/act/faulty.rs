//! A token that gives false signatures, and one that gives another key: nothing of it is recorded.

use std::fmt;
use std::sync::Arc;

use cim_keys::act::*;
use cim_keys::app::attest;
use cim_keys::authority::nats::{accounts, edit, operators};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::*;
use cim_keys::text::Label;

use crate::act::retry::enroll;
use crate::act::support::vault::Vault;
use crate::act::support::*;

/// What a faulty token does with what it is to sign.
#[derive(Debug, Clone, Copy)]
enum Fault {
    OneBitWrong,
    OfOtherBytes,
    CutOff,
    Empty,
    Zeros,
    TooLong,
}

const FAULTS: [Fault; 6] =
    [Fault::OneBitWrong, Fault::OfOtherBytes, Fault::CutOff, Fault::Empty, Fault::Zeros, Fault::TooLong];

#[derive(Debug)]
struct Faulty(Arc<dyn Signer>, Fault);

impl Signer for Faulty {
    fn public(&self) -> &PublicFacts {
        self.0.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = self.0.sign(message)?;
        match self.1 {
            Fault::OneBitWrong => signature[10] ^= 1,
            Fault::OfOtherBytes => signature = self.0.sign(b"something else")?,
            Fault::CutOff => signature.truncate(signature.len() - 1),
            Fault::Empty => signature.clear(),
            Fault::Zeros => signature.fill(0),
            Fault::TooLong => signature.push(0),
        }
        Ok(signature)
    }
}

/// A key ring whose keys sign falsely, or are others.
struct FaultyRing {
    inner: Vault,
    fault: Option<Fault>,
    instead: Option<KeyRef>,
}

impl KeyRing for FaultyRing {
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        let signer = self.inner.signer(self.instead.as_ref().unwrap_or(key))?;
        Ok(match self.fault {
            Some(fault) => Arc::new(Faulty(signer, fault)),
            None => signer,
        })
    }

    fn signer_at_hand(&mut self, key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        self.signer(key).map(Some)
    }

    fn generate(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<NewKey, KeyError> {
        self.inner.generate(key_id, spec)
    }

    fn take(&mut self, key_id: KeyId, secret: &SecretBytes, compartment: &Label) -> Result<NewKey, KeyError> {
        self.inner.take(key_id, secret, compartment)
    }

    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        self.inner.export(key)
    }

    fn sealing(&mut self, keys: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError> {
        let _ = keys;
        Ok(None)
    }
}

impl fmt::Debug for FaultyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.fault, self.instead)
    }
}

fn operator() -> operators::NewOperator {
    operators::NewOperator {
        id: NatsOperatorId::mint(),
        name: name("ACME"),
        system_account: accounts::NewAccount {
            id: NatsAccountId::mint(),
            name: name("SYS"),
            description: None,
            system: true,
        },
        signing_key: None,
        strict: false,
        service_urls: Set::default(),
        account_server_url: None,
    }
}

/// Has a faulty ring sign tokens, what stands between two steps, an attestation, and the events of an act.
#[track_caller]
fn records_nothing(ledger: &Ledger, ring: &mut FaultyRing, signer: &ActSigner, says: &str) {
    let end = ledger.store.end().unwrap();
    let what = format!("{ring:?}");
    let mut pipeline = ledger.pipeline().with_keys(&mut *ring);
    let tokens = pipeline.act(&intent(), |draft| edit(draft, |nats| operators::add(nats, operator(), &|_| {})));
    let tokens = tokens.unwrap_err();
    assert!(matches!(tokens, ActError::Sign(_) | ActError::Key(_)), "{what}: {tokens:?}");
    assert!(tokens.to_string().contains(says), "{what}: {tokens}");
    let key_id = signer.key_id;
    let key = KeyRef { key_id, public_key: signer.signer.public().public_key.clone(), compartment: None };
    let second: Result<Outcome<()>, _> = pipeline.act_in_two_steps(
        &intent(),
        |_| Ok(()),
        |(), signers| signers.signer(&key).map_err(broken)?.sign(b"a certificate").map_err(broken),
        |_, (), _| panic!("{what}: a false signature is not handed on"),
    );
    assert!(second.unwrap_err().to_string().contains(says), "{what}");
    drop(pipeline);
    if let Some(fault) = ring.fault {
        let signer = ActSigner { signer: Arc::new(Faulty(Arc::clone(&signer.signer), fault)), ..signer.clone() };
        let event = Link::new(ledger.store.event(&cim_keys::store::Which::Position(1)).unwrap().cid).unwrap();
        let attested = ledger.pipeline().act(&intent(), |draft| attest::attest(draft, &signer, event)).unwrap_err();
        assert!(attested.to_string().contains(says), "{what}: {attested}");
        let Party::Person(person) = signer.party else { panic!("{signer:?}") };
        let signed = Intent { signer: Some(signer), ..Intent::new(Actor::Person(person)) };
        let signed = ledger.pipeline().act(&signed, |draft| draft.command(create_person(2))).unwrap_err();
        assert!(matches!(signed, ActError::Sign(_)), "{what}: {signed:?}");
        assert!(signed.to_string().contains(says), "{what}: {signed}");
    }
    assert_eq!(ledger.store.end().unwrap(), end, "{what}");
    ledger.check();
}

#[test]
fn a_false_signature_is_not_recorded() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let (_, signer) = enroll(&ledger, &mut vault);
    for fault in FAULTS {
        let mut ring = FaultyRing { inner: vault.clone(), fault: Some(fault), instead: None };
        records_nothing(&ledger, &mut ring, &signer, "is no signature of key");
    }
}

#[test]
fn a_key_that_was_exchanged_signs_nothing() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let (_, signer) = enroll(&ledger, &mut vault);
    let mut ring = FaultyRing { inner: vault.clone(), fault: None, instead: Some(ledger.own_key.clone()) };
    records_nothing(&ledger, &mut ring, &signer, "its private half is elsewhere");
}
