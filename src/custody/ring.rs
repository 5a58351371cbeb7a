//! Custody as a key ring: keys out of compartments, each opened once, when the first key in it is needed; and keys that are
//! made or taken in, on their way into it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Custody, SealError, SealingIntent, Unlocked};
use crate::ids::KeyId;
use crate::keys::pair::{PrivateKey, SoftwareKey};
use crate::keys::{KeyError, KeyRef, KeyRing, KeySpec, NewKey, Sealing, SecretBytes, Signer};
use crate::text::Label;

/// Opens compartments: asks a person for a passphrase, or reads it from where it was said to be.
pub trait Unlock {
    /// Opens a compartment.
    ///
    /// # Errors
    /// Whatever was in the way: a wrong passphrase, no terminal to ask at.
    fn unlock(&mut self, custody: &Custody, compartment: &Label) -> Result<Unlocked, Box<dyn Error + Send + Sync>>;
}

/// Opens nothing: for acts that need no passphrase, and for agents, which have one compartment open already.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPassphrases;

impl Unlock for NoPassphrases {
    fn unlock(&mut self, _: &Custody, compartment: &Label) -> Result<Unlocked, Box<dyn Error + Send + Sync>> {
        Err(format!("compartment {compartment} is not open here").into())
    }
}

/// The keys of a custody folder.
pub struct Ring<'u> {
    folder: PathBuf,
    custody: Option<Custody>,
    unlock: Box<dyn Unlock + 'u>,
    open: BTreeMap<Label, Unlocked>,
    signers: BTreeMap<KeyId, Arc<dyn Signer>>,
    /// Keys that were made or taken in here, and are not sealed yet.
    new: BTreeMap<KeyId, (Label, Arc<SoftwareKey>)>,
}

impl<'u> Ring<'u> {
    /// The keys in a custody folder, which is opened when it is needed.
    #[must_use]
    pub fn at(folder: &Path, unlock: impl Unlock + 'u) -> Self {
        let (open, signers, new) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { folder: folder.to_owned(), custody: None, unlock: Box::new(unlock), open, signers, new }
    }

    /// The keys of a custody that is open.
    #[must_use]
    pub fn of(custody: Custody, unlock: impl Unlock + 'u) -> Self {
        let mut ring = Self::at(custody.path(), unlock);
        ring.custody = Some(custody);
        ring
    }

    /// Takes a compartment that is open already.
    #[must_use]
    pub fn with_open(mut self, unlocked: Unlocked) -> Self {
        self.open.insert(unlocked.compartment().clone(), unlocked);
        self
    }

    /// The custody.
    ///
    /// # Errors
    /// When the folder can't be opened.
    pub fn custody(&mut self) -> Result<&Custody, KeyError> {
        opened(&mut self.custody, &self.folder)
    }

    /// The private key of a recorded key.
    fn private_key(&mut self, key: &KeyRef) -> Result<PrivateKey, KeyError> {
        let Some(compartment) = &key.compartment else { return Err(KeyError::Elsewhere(key.public_key.clone())) };
        let unlocked = match self.open.entry(compartment.clone()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(closed) => {
                let custody = opened(&mut self.custody, &self.folder)?;
                closed.insert(self.unlock.unlock(custody, compartment).map_err(KeyError::Locked)?)
            }
        };
        unlocked.private_key(key.key_id, &key.public_key).map_err(KeyError::failed)
    }

    fn at_hand(&self, key: KeyId) -> Option<Arc<dyn Signer>> {
        let new = self.new.get(&key).map(|(_, key)| Arc::clone(key) as Arc<dyn Signer>);
        new.or_else(|| self.signers.get(&key).cloned())
    }

    fn hold(&mut self, key_id: KeyId, key: PrivateKey, compartment: &Label) -> NewKey {
        let key = SoftwareKey::new(key);
        let public = key.public().clone();
        self.new.insert(key_id, (compartment.clone(), key));
        NewKey { key_id, public, compartment: compartment.clone() }
    }
}

fn opened<'c>(custody: &'c mut Option<Custody>, folder: &Path) -> Result<&'c Custody, KeyError> {
    match custody {
        Some(custody) => Ok(custody),
        closed => Ok(closed.insert(Custody::open(folder).map_err(KeyError::failed)?)),
    }
}

impl KeyRing for Ring<'_> {
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        if let Some(signer) = self.at_hand(key.key_id) {
            return Ok(signer);
        }
        let signer: Arc<dyn Signer> = SoftwareKey::new(self.private_key(key)?);
        self.signers.insert(key.key_id, Arc::clone(&signer));
        Ok(signer)
    }

    fn signer_at_hand(&mut self, key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        if let Some(signer) = self.at_hand(key.key_id) {
            return Ok(Some(signer));
        }
        match key.compartment.as_ref().is_some_and(|compartment| self.open.contains_key(compartment)) {
            true => self.signer(key).map(Some),
            false => Ok(None),
        }
    }

    fn generate(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<NewKey, KeyError> {
        let key = PrivateKey::generate(spec.kind)?;
        Ok(self.hold(key_id, key, &spec.compartment))
    }

    fn take(&mut self, key_id: KeyId, secret: &SecretBytes, compartment: &Label) -> Result<NewKey, KeyError> {
        let key = PrivateKey::parse(secret).map_err(|error| KeyError::Invalid(Box::new(error)))?;
        Ok(self.hold(key_id, key, compartment))
    }

    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        if let Some((_, new)) = self.new.get(&key.key_id) {
            return Ok(new.secret());
        }
        Ok(self.private_key(key)?.secret())
    }

    fn sealing(&mut self, keys: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError> {
        if keys.is_empty() {
            return Ok(None);
        }
        let mut secrets = BTreeMap::<Label, Vec<(KeyId, SecretBytes)>>::new();
        for id in keys {
            let Some((compartment, key)) = self.new.get(id) else {
                return Err(KeyError::failed(format!("key {id} was not made here")));
            };
            secrets.entry(compartment.clone()).or_default().push((*id, key.secret()));
        }
        let custody = opened(&mut self.custody, &self.folder)?;
        Ok(Some(Box::new(Secrets { custody, secrets, sealed: Vec::new(), intent: None })))
    }
}

/// Secrets on their way into their compartments.
struct Secrets<'c> {
    custody: &'c Custody,
    secrets: BTreeMap<Label, Vec<(KeyId, SecretBytes)>>,
    /// The compartments that have theirs.
    sealed: Vec<Label>,
    /// Says durably which keys these are, until it is known what became of them.
    intent: Option<SealingIntent>,
}

impl Sealing for Secrets<'_> {
    fn seal(&mut self) -> Result<(), KeyError> {
        let all = self.secrets.iter().flat_map(|(label, secrets)| secrets.iter().map(move |(key, _)| (label, *key)));
        self.intent = Some(self.custody.intend(all).map_err(|error| KeyError::failed(SealError::from(error)))?);
        for (compartment, secrets) in &self.secrets {
            let sealed = self.custody.seal_all(compartment, secrets.iter().map(|(key, secret)| (*key, secret)));
            if let Err(error) = sealed {
                let keys: Vec<_> = self.secrets.values().flatten().map(|(key, _)| *key).collect();
                if self.undo(&keys) == 0 {
                    self.settled();
                }
                return Err(KeyError::failed(error));
            }
            self.sealed.push(compartment.clone());
        }
        Ok(())
    }

    fn undo(&mut self, keys: &[KeyId]) -> usize {
        let mut left = 0;
        for compartment in std::mem::take(&mut self.sealed) {
            let secrets = self.secrets.get(&compartment).map(Vec::as_slice).unwrap_or_default();
            let those: Vec<_> = secrets.iter().map(|(key, _)| *key).filter(|key| keys.contains(key)).collect();
            let removed: Result<usize, SealError> = self.custody.remove_all(&compartment, those.iter().copied());
            left += those.len() - removed.unwrap_or(0);
        }
        left
    }

    fn settled(&mut self) {
        self.intent.take().into_iter().for_each(SealingIntent::done);
    }
}
