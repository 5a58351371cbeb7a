//! A key ring that never releases a key: keys live in a thread of their own and only sign, as on a card.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use cim_keys::ids::KeyId;
use cim_keys::keys::pair::PrivateKey;
use cim_keys::keys::*;
use cim_keys::text::Label;
use secrecy::ExposeSecret as _;

enum Request {
    Generate(KeyId, KeyKind),
    Take(KeyId, SecretBytes),
    Sign(KeyId, Vec<u8>),
    Public(KeyId),
}

enum Answer {
    Public(Option<PublicFacts>),
    Signature(Result<Vec<u8>, SignError>),
}

/// By which key something was signed, and what.
type Signed = (KeyId, Vec<u8>);

/// The key ring. Clones share the keys.
#[derive(Clone)]
pub struct Vault {
    requests: Sender<(Request, Sender<Answer>)>,
    /// What was signed, by which key.
    pub signed: Arc<Mutex<Vec<Signed>>>,
    /// Whether keys sign without somebody being asked.
    pub at_hand: Arc<AtomicBool>,
    /// Whether keys do not sign, as a card that was taken out.
    pub absent: Arc<AtomicBool>,
}

impl Vault {
    pub fn new() -> Self {
        let (requests, queue) = channel::<(Request, Sender<Answer>)>();
        std::thread::spawn(move || {
            let mut keys: HashMap<KeyId, PrivateKey> = HashMap::new();
            for (request, reply) in queue {
                let answer = match request {
                    Request::Generate(id, kind) => {
                        let key = PrivateKey::generate(kind).unwrap();
                        let public = key.public();
                        keys.insert(id, key);
                        Answer::Public(Some(public))
                    }
                    Request::Take(id, secret) => Answer::Public(PrivateKey::parse(&secret).ok().map(|key| {
                        let public = key.public();
                        keys.insert(id, key);
                        public
                    })),
                    Request::Sign(id, message) => Answer::Signature(keys[&id].sign(&message)),
                    Request::Public(id) => Answer::Public(keys.get(&id).map(PrivateKey::public)),
                };
                let _ = reply.send(answer);
            }
        });
        Self { requests, signed: Arc::default(), at_hand: Arc::new(AtomicBool::new(true)), absent: Arc::default() }
    }

    fn ask(&self, request: Request) -> Answer {
        let (reply, answer) = channel();
        self.requests.send((request, reply)).unwrap();
        answer.recv().unwrap()
    }

    fn public(&self, request: Request) -> Option<PublicFacts> {
        match self.ask(request) {
            Answer::Public(public) => public,
            Answer::Signature(_) => None,
        }
    }

    /// How often something was signed.
    pub fn signatures(&self) -> usize {
        self.signed.lock().unwrap().len()
    }
}

fn copied(secret: &SecretBytes) -> SecretBytes {
    SecretBytes::new(Box::new(secret.expose_secret().clone()))
}

impl KeyRing for Vault {
    fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        let elsewhere = || KeyError::Elsewhere(key.public_key.clone());
        let public = self.public(Request::Public(key.key_id)).ok_or_else(elsewhere)?;
        assert_eq!(public.public_key, key.public_key);
        Ok(Arc::new(Handle { key_id: key.key_id, public, vault: self.clone() }))
    }

    fn signer_at_hand(&mut self, key: &KeyRef) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        match self.at_hand.load(Ordering::SeqCst) {
            true => self.signer(key).map(Some),
            false => Ok(None),
        }
    }

    fn generate(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<NewKey, KeyError> {
        let public = self.public(Request::Generate(key_id, spec.kind)).ok_or(KeyError::Unsupported(spec.kind))?;
        Ok(NewKey { key_id, public, compartment: spec.compartment.clone() })
    }

    fn take(&mut self, key_id: KeyId, secret: &SecretBytes, compartment: &Label) -> Result<NewKey, KeyError> {
        let public = self.public(Request::Take(key_id, copied(secret)));
        let public = public.ok_or_else(|| KeyError::Invalid("this is no private key".into()))?;
        Ok(NewKey { key_id, public, compartment: compartment.clone() })
    }

    fn export(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        Err(KeyError::CannotLeave(key.public_key.clone()))
    }

    fn sealing(&mut self, _: &[KeyId]) -> Result<Option<Box<dyn Sealing + '_>>, KeyError> {
        Ok(None)
    }
}

struct Handle {
    key_id: KeyId,
    public: PublicFacts,
    vault: Vault,
}

impl Signer for Handle {
    fn public(&self) -> &PublicFacts {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.vault.absent.load(Ordering::SeqCst) {
            return Err(SignError::Failed("the card was taken out".into()));
        }
        self.vault.signed.lock().unwrap().push((self.key_id, message.to_vec()));
        match self.vault.ask(Request::Sign(self.key_id, message.to_vec())) {
            Answer::Signature(signature) => signature,
            Answer::Public(_) => Err(SignError::CannotSign),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.public.public_key)
    }
}
