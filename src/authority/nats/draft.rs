//! NATS identities in an act: keys are made, claims edited and checked, and each token signed once, when the act ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use cid::Cid;

use super::error::NatsError;
use super::tokens::Pending;
use crate::act::{Draft, DraftKey, Question};
use crate::custody::SecretBytes;
use crate::events::{KeyImported, KeyPurpose, NKeyGenerated, NatsHolder, NkeyKind, Party, Validity};
use crate::ids::{KeyId, NatsAccountId};
use crate::keys::{KeyError, KeyKind, KeyRef, KeySpec};
use crate::ledger::{Command, Entity, EntityRef, Facts, Index, Kind, NameKey, NatsCommand, Refusal, View};
use crate::nats::claims::UserPermissions;
use crate::text::{Label, Name, Note, PublicKey};

/// A key of this act, or of before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its identifier.
    pub key_id: KeyId,
    /// Its public half.
    pub public_key: PublicKey,
}

/// The NATS part of an act. Claims are edited as often as need be, and each token is checked once, in [`NatsDraft::finish`],
/// and signed once, in the signing step of the act.
pub struct NatsDraft<'n, 'd> {
    pub(super) draft: &'n mut Draft<'d>,
    owner: Party,
    pub(super) pending: Pending,
    pub(super) known: RefCell<Known>,
    /// Texts of activations that this act was given.
    pub(super) activations: BTreeMap<Cid, String>,
    /// Texts of activations that this act signs, by the content identifiers of what is signed.
    pub(super) signed_activations: Rc<RefCell<BTreeMap<Cid, String>>>,
}

/// What every user of a fleet asks for again: which key signs, and what it gives. Good until something else than a key or a
/// user changes.
#[derive(Default)]
pub(super) struct Known {
    signers: HashMap<(EntityRef, Option<String>), Made>,
    pub(super) templates: HashMap<(NatsAccountId, PublicKey), Option<UserPermissions>>,
}

impl<'n, 'd> NatsDraft<'n, 'd> {
    /// Begins the NATS part of an act.
    ///
    /// # Errors
    /// Never for the owner that keys have here.
    pub fn on(draft: &'n mut Draft<'d>) -> Result<Self, NatsError> {
        let owner = Party::Service(Label::new("nats")?);
        let (pending, known) = (Pending::default(), RefCell::default());
        let (activations, signed_activations) = (BTreeMap::new(), Rc::default());
        Ok(Self { draft, owner, pending, known, activations, signed_activations })
    }

    /// What is recorded, and what this act has led to so far.
    #[must_use]
    pub fn view(&self) -> &dyn View {
        self.draft.view()
    }

    /// Asks before anything is signed.
    pub fn ask(&mut self, question: Question) {
        self.draft.ask(question);
    }

    /// The time of the act, in seconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.draft.now().unix_micros() / 1_000_000).unwrap_or_default()
    }

    pub(super) fn run(&mut self, command: NatsCommand) -> Result<(), NatsError> {
        self.run_any(Command::Nats(command))
    }

    pub(crate) fn run_any(&mut self, command: Command) -> Result<(), NatsError> {
        self.forget_known(&command);
        self.draft.command(command)?;
        Ok(())
    }

    fn forget_known(&mut self, command: &Command) {
        use NatsCommand::{AddKey, CreateUser, UpdateUser};
        if !matches!(command, Command::Nats(AddKey(_) | CreateUser(_) | UpdateUser(_))) {
            *self.known.get_mut() = Known::default();
        }
    }

    /// Makes an nkey in a compartment.
    pub(super) fn make_key(&mut self, kind: NkeyKind, compartment: &str) -> Result<Made, NatsError> {
        let made = self.draft.generate(&nkey(kind, compartment)?)?;
        self.add_key(kind, made)
    }

    /// The same under an identifier that was minted before.
    pub(super) fn make_key_as(&mut self, key_id: KeyId, kind: NkeyKind, compartment: &str) -> Result<Made, NatsError> {
        let made = self.draft.generate_as(key_id, &nkey(kind, compartment)?)?;
        self.add_key(kind, made)
    }

    fn add_key(&mut self, kind: NkeyKind, made: DraftKey) -> Result<Made, NatsError> {
        let (key_id, public_key, compartment) = (made.key_id, made.public.public_key, made.compartment);
        let made = Made { key_id, public_key: public_key.clone() };
        let owner = self.owner.clone();
        self.run(NatsCommand::AddKey(NKeyGenerated { key_id, kind, public_key, compartment, owner }))?;
        Ok(made)
    }

    /// Makes a key that is none of NATS, for the same act.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub(crate) fn generate_as(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<DraftKey, KeyError> {
        self.draft.generate_as(key_id, spec)
    }

    /// A key that signs, as a key ring is asked for it.
    pub(super) fn reference(&self, signer: &Made) -> Result<KeyRef, NatsError> {
        match self.view().get(signer.key_id.into())?.map(|key| key.facts) {
            Some(Facts::Key(facts)) => Ok(crate::authority::keys::reference(&facts)),
            _ => Err(Refusal::Unknown(signer.key_id.into()).into()),
        }
    }

    /// Takes a key that was made elsewhere, with its secret where that is known. A key that is recorded already is left
    /// as it is.
    #[allow(clippy::too_many_arguments)] // they are the fields of one event
    pub(super) fn take_key(
        &mut self,
        key_id: KeyId,
        public_key: &PublicKey,
        kind: NkeyKind,
        purpose: KeyPurpose,
        compartment: &str,
        secret: Option<SecretBytes>,
        origin: &Note,
    ) -> Result<Made, NatsError> {
        if let Some(Facts::Key(there)) = self.by_public_key(Kind::Key, public_key.as_str())?.map(|there| there.facts) {
            return Ok(Made { key_id: there.key_id, public_key: there.public_key });
        }
        let kind = KeyKind::Nkey(kind);
        let compartment = secret.as_ref().map(|_| Label::new(compartment)).transpose()?;
        let was_plaintext = secret.is_some();
        if let (Some(compartment), Some(secret)) = (&compartment, &secret) {
            self.draft.take_key(key_id, secret, compartment)?;
        }
        self.run_any(Command::ImportKey(KeyImported {
            key_id,
            name: Name::new(public_key.as_str())?,
            algorithm: kind.algorithm(),
            encoding: kind.encoding(),
            public_key: public_key.clone(),
            purpose,
            owner: self.owner.clone(),
            compartment,
            validity: Validity::ALWAYS,
            origin: origin.clone(),
            was_plaintext,
        }))?;
        Ok(Made { key_id, public_key: public_key.clone() })
    }

    /// The entity of a key in its role, by its public half.
    pub(super) fn by_public_key(&self, kind: Kind, key: &str) -> Result<Option<Entity>, NatsError> {
        let key = NameKey { kind, index: Index::PublicKey, scope: None, key: key.to_owned() };
        Ok(self.view().find(&key, 1)?.pop())
    }

    /// The key that signs for an operator or account: the newest active signing key that fits, else the identity key.
    pub(super) fn signer(&self, holder: &NatsHolder, role: Option<&str>) -> Result<Made, NatsError> {
        let key = (EntityRef::holder(holder), role.map(str::to_owned));
        if let Some(known) = self.known.borrow().signers.get(&key) {
            return Ok(known.clone());
        }
        let found = self.find_signer(holder, role)?;
        self.known.borrow_mut().signers.insert(key, found.clone());
        Ok(found)
    }

    fn find_signer(&self, holder: &NatsHolder, role: Option<&str>) -> Result<Made, NatsError> {
        let above = self.view().get(EntityRef::holder(holder))?;
        let identity = match above.map(|entity| entity.facts) {
            Some(Facts::Operator(facts)) => {
                Made { key_id: facts.operator.key_id, public_key: facts.operator.public_key }
            }
            Some(Facts::Account(facts)) => Made { key_id: facts.account.key_id, public_key: facts.account.public_key },
            _ => return Err(Refusal::Unknown(EntityRef::holder(holder)).into()),
        };
        let mut found = None;
        for key in self.view().all_referring(EntityRef::holder(holder), Kind::SigningKey).active() {
            let Facts::SigningKey(facts) = key?.facts else { continue };
            let fits = match (role, &facts.role) {
                (None, None) => true,
                (Some(wanted), Some(role)) => role.as_str().eq_ignore_ascii_case(wanted),
                (Some(wanted), None) => facts.public_key.as_str() == wanted,
                (None, Some(_)) => false,
            };
            if fits {
                found = Some(Made { key_id: facts.key_id, public_key: facts.public_key });
            }
        }
        match (found, role) {
            (Some(found), _) => Ok(found),
            (None, None) => Ok(identity),
            (None, Some(text)) => {
                Err(NatsError::NotFound { kind: Kind::SigningKey, text: text.to_owned(), near: None })
            }
        }
    }
}

fn nkey(kind: NkeyKind, compartment: &str) -> Result<KeySpec, NatsError> {
    Ok(KeySpec { kind: KeyKind::Nkey(kind), compartment: Label::new(compartment)? })
}

/// Does an act on NATS identities in a draft: `act` edits, and then all claims that it edited are checked, and left to be
/// signed.
///
/// # Errors
/// See [`NatsError`].
pub fn edit<T>(
    draft: &mut Draft<'_>,
    act: impl FnOnce(&mut NatsDraft<'_, '_>) -> Result<T, NatsError>,
) -> Result<T, NatsError> {
    let mut nats = NatsDraft::on(draft)?;
    let value = act(&mut nats)?;
    nats.finish()?;
    Ok(value)
}
