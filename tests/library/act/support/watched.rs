//! A key ring that counts what another one does, and lets a test act in between.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use cim_keys::ids::KeyId;
use cim_keys::keys::*;
use cim_keys::text::Label;

type Hook = Box<dyn FnMut(usize) + Send>;

/// What was seen. Clones share it.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Counts>>, Arc<Mutex<Option<Hook>>>);

#[derive(Default)]
struct Counts {
    signed: Vec<(KeyId, Vec<u8>)>,
    generated: Vec<KeyId>,
    sealed: usize,
    undone: Vec<KeyId>,
    fails: bool,
}

impl Seen {
    /// Calls a test before each signature, with how many there were before.
    pub fn before_signing(&self, hook: impl FnMut(usize) + Send + 'static) {
        *self.1.lock().unwrap() = Some(Box::new(hook));
    }

    /// Sealing fails from here on, after the secrets are sealed.
    pub fn fail_sealing(&self, fails: bool) {
        self.0.lock().unwrap().fails = fails;
    }

    pub fn signatures(&self) -> usize {
        self.0.lock().unwrap().signed.len()
    }

    /// Whether no message was signed twice by one key.
    pub fn signed_once(&self) -> bool {
        let counts = self.0.lock().unwrap();
        counts.signed.iter().collect::<HashSet<_>>().len() == counts.signed.len()
    }

    pub fn generated(&self) -> usize {
        self.0.lock().unwrap().generated.len()
    }

    pub fn sealed(&self) -> usize {
        self.0.lock().unwrap().sealed
    }

    /// The keys whose secrets were removed again.
    pub fn undone(&self) -> usize {
        self.0.lock().unwrap().undone.len()
    }
}

/// A key ring that is watched.
pub struct Watched<R>(pub R, pub Seen);

impl<R: KeyRing> Watched<R> {
    pub fn new(ring: R) -> (Self, Seen) {
        let seen = Seen::default();
        (Self(ring, seen.clone()), seen)
    }

    fn watch(&self, key_id: KeyId, signer: Arc<dyn Signer>) -> Arc<dyn Signer> {
        Arc::new(WatchedSigner(key_id, signer, self.1.clone()))
    }
}

impl<R: KeyRing> KeyRing for Watched<R> {
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        let signer = self.0.signer(key)?;
        Ok(self.watch(key.key_id, signer))
    }

    // Heads are not watched.
    fn signer_at_hand(&mut self, key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        self.0.signer_at_hand(key)
    }

    fn generate(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<NewKey, KeyError> {
        self.1.0.lock().unwrap().generated.push(key_id);
        self.0.generate(key_id, spec)
    }

    fn take(&mut self, key_id: KeyId, secret: &SecretBytes, compartment: &Label) -> Result<NewKey, KeyError> {
        self.0.take(key_id, secret, compartment)
    }

    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        self.0.export(key)
    }

    fn sealing(&mut self, keys: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError> {
        let seen = self.1.clone();
        let sealing = self.0.sealing(keys)?;
        Ok(sealing.map(|inner| Box::new(WatchedSealing { inner, seen, keys: keys.to_vec() }) as Box<dyn Sealing + '_>))
    }
}

struct WatchedSigner(KeyId, Arc<dyn Signer>, Seen);

impl Signer for WatchedSigner {
    fn public(&self) -> &PublicFacts {
        self.1.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let before = self.2.signatures();
        if let Some(hook) = &mut *self.2.1.lock().unwrap() {
            hook(before);
        }
        self.2.0.lock().unwrap().signed.push((self.0, message.to_vec()));
        self.1.sign(message)
    }
}

impl fmt::Debug for WatchedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.fmt(f)
    }
}

struct WatchedSealing<'s> {
    inner: Box<dyn Sealing + 's>,
    seen: Seen,
    keys: Vec<KeyId>,
}

impl Sealing for WatchedSealing<'_> {
    fn seal(&mut self) -> Result<(), KeyError> {
        self.inner.seal()?;
        let mut counts = self.seen.0.lock().unwrap();
        counts.sealed += 1;
        if counts.fails {
            drop(counts);
            // All or none, as the port demands.
            assert_eq!(self.inner.undo(&self.keys), 0);
            self.inner.settled();
            return Err(KeyError::failed("sealing fails in this test"));
        }
        Ok(())
    }

    fn undo(&mut self, keys: &[KeyId]) -> usize {
        self.seen.0.lock().unwrap().undone.extend(keys);
        self.inner.undo(keys)
    }

    fn settled(&mut self) {
        self.inner.settled();
    }
}
