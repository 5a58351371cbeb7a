//! One act on NATS identities, from what is recorded to what is to be recorded.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use cid::Cid;

use super::issue::Pending;
use crate::app::custody::{SealedError, record_kept};
use crate::app::lookup::LookupError;
use crate::custody::{Custody, SealError, SecretBytes};
use crate::events::{KeyImported, KeyPurpose, NKeyGenerated, NatsHolder, NkeyKind, Party, Validity};
use crate::ids::{KeyId, NatsAccountId};
use crate::keys::pair::{GenerateError, KeyKind, PrivateKey};
use crate::ledger::{
    Command, Entity, EntityRef, Facts, Index, KeyFacts, Kind, NameKey, NatsCommand, Refusal, Rehearsal, TokenFacts,
    View, ViewError,
};
use crate::nats::check::Finding;
use crate::nats::claims::{Body, Claims, UserPermissions};
use crate::nats::jwt::SignError;
use crate::store::{AppendContext, AppendError, AppendedEvent, ReadError, RestrictedBlocks, RestrictedError, Store};
use crate::text::{InvalidText, Label, Name, Note, PublicKey};

/// Gives what signing takes: private keys out of custody (asks for passphrases, opens a compartment once), and the texts of
/// tokens that stand inside others.
pub trait KeyAccess {
    /// The private key, checked to be the one that is recorded.
    ///
    /// # Errors
    /// Whatever was in the way: a wrong passphrase, a missing file.
    fn private_key(&mut self, key: &KeyFacts) -> Result<PrivateKey, KeyAccessError>;

    /// The text of a token, out of the restricted blocks; `None` where it is not kept here.
    ///
    /// # Errors
    /// Whatever was in the way.
    fn token_text(&mut self, token: &Cid) -> Result<Option<String>, KeyAccessError>;
}

/// Why a private key was not given.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct KeyAccessError(Box<dyn std::error::Error + Send + Sync>);

impl KeyAccessError {
    /// Wraps what was in the way.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }

    /// What was in the way.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.0
    }
}

/// Why an act on NATS identities did not take place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// There is no operator yet.
    #[error("this ledger has no NATS operator; make one with `cim-keys nats operator add NAME`")]
    NoOperator,
    /// Nothing of that name is there.
    #[error(
        "there is no {kind} \"{}\"; `cim-keys nats {noun} list` shows those that are there",
        crate::text::visible(text)
    )]
    NotFound {
        /// What was looked for, in words.
        kind: Kind,
        /// The command's noun.
        noun: &'static str,
        /// What was given.
        text: String,
    },
    /// A user is named without its account.
    #[error("\"{}\" does not say whose user it is; write ACCOUNT/USER, or the user's public key", crate::text::visible(.0))]
    UserWithoutAccount(String),
    /// A user that is cut off gets no credentials.
    #[error(
        "user {} is revoked: servers refuse its credentials; `cim-keys nats user add` makes another of that name",
        crate::text::visible(.0)
    )]
    UserEnded(String),
    /// The claims would be refused by a server, or silently break.
    #[error("{}", findings(.0))]
    Claims(Vec<Finding>),
    /// What is recorded of a token does not read as claims.
    #[error("the recorded claims of {what} do not read: {source}; run `cim-keys verify`")]
    Recorded {
        /// Whose claims.
        what: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It has no token yet.
    #[error("{0} has no token yet")]
    NoToken(String),
    /// The text of a token is not here.
    #[error(
        "the token of {0} is not kept here: only the ledger's own machine has it; issue it again there, or bring restricted.db back from a backup"
    )]
    TokenNotHere(String),
    /// The text of an activation is not here, and the importer's token can't be made without it.
    #[error(
        "the activation of import \"{}\" of account {} is not kept here; give it again with `cim-keys nats import edit … --activation FILE`, or bring restricted.db back from a backup",
        crate::text::visible(import),
        crate::text::visible(account)
    )]
    ActivationNotHere {
        /// The importing account.
        account: String,
        /// The subject that it imports.
        import: String,
    },
    /// Servers are asked to delete only what the ledger has deleted.
    #[error("account {0} is not deleted in the ledger; delete it there first, with `cim-keys nats account delete`")]
    NotDeleted(String),
    /// It was deleted without a request to servers.
    #[error(
        "no request to delete account {0} was signed; `cim-keys nats account delete` on the ledger's own machine signs one"
    )]
    NoDeletion(String),
    /// Nothing but an identity key signs, and that one is never replaced.
    #[error(
        "account {} has no signing key to replace: its identity key signs its users, and that key is the account itself, by which servers, imports and permissions know it; give it a signing key with `cim-keys nats signing-key add` and let users be signed with that, or move them to a new account",
        crate::text::visible(.0)
    )]
    IdentityKey(String),
    /// The role has no users to template for.
    #[error("{0}")]
    Usage(String),
    /// A key could not be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A private key was not given.
    #[error(transparent)]
    Key(#[from] KeyAccessError),
    /// A token could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A text is not acceptable.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// Something else that was named is not there.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Entities could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A secret could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Tokens could not be kept.
    #[error(transparent)]
    Restricted(#[from] RestrictedError),
    /// Nothing was recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Nothing was recorded, and secrets are left.
    #[error(transparent)]
    Left(Box<SealedError<AppendError>>),
}

fn findings(list: &[Finding]) -> String {
    let lines: Vec<_> = list.iter().map(|finding| format!("\n  {finding}")).collect();
    format!("servers would refuse this, or silently break it:{}", lines.concat())
}

/// What an act leads to.
#[derive(Debug, Default)]
pub struct Change {
    /// What is to be recorded.
    pub commands: Vec<Command>,
    /// The secrets that are to be sealed before.
    pub secrets: Vec<(Label, KeyId, SecretBytes)>,
    /// The signed tokens that are to be kept before.
    pub tokens: Vec<String>,
}

/// A key that was made in this act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its identifier.
    pub key_id: KeyId,
    /// Its public half.
    pub public_key: PublicKey,
}

/// An act under way: everything in it sees what it did before. Claims are edited as often as need be, and each token is
/// checked and signed once, in [`Work::finish`].
pub struct Work<'v, 'k> {
    rehearsal: Rehearsal<'v>,
    pub(super) keys: &'k mut dyn KeyAccess,
    now: u64,
    owner: Party,
    pub(super) opened: BTreeMap<KeyId, PrivateKey>,
    pub(super) change: Change,
    pub(super) pending: Pending,
    pub(super) known: RefCell<Known>,
    /// Activations that this act made or was given.
    pub(super) activations: BTreeMap<Cid, String>,
}

/// What every user of a fleet asks for again: which key signs, and what it gives. Good until something else than a key or a
/// user changes.
#[derive(Default)]
pub(super) struct Known {
    signers: HashMap<(EntityRef, Option<String>), Made>,
    pub(super) templates: HashMap<(NatsAccountId, PublicKey), Option<UserPermissions>>,
}

impl<'v, 'k> Work<'v, 'k> {
    /// Begins an act at a time (seconds since the Unix epoch); keys that it makes belong to `owner`.
    pub fn new(view: &'v dyn View, keys: &'k mut dyn KeyAccess, now: u64, owner: Party) -> Self {
        let (opened, change, pending) = (BTreeMap::new(), Change::default(), Pending::default());
        let known = RefCell::default();
        let activations = BTreeMap::new();
        Self { rehearsal: Rehearsal::new(view), keys, now, owner, opened, change, pending, known, activations }
    }

    /// What is recorded, and what this act has led to so far.
    #[must_use]
    pub fn view(&self) -> &dyn View {
        self.rehearsal.view()
    }

    /// The time of the act, in seconds since the Unix epoch.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn run(&mut self, command: NatsCommand) -> Result<(), NatsError> {
        self.run_any(Command::Nats(command))
    }

    pub(crate) fn run_any(&mut self, command: Command) -> Result<(), NatsError> {
        use NatsCommand::{AddKey, CreateUser, UpdateUser};
        if !matches!(command, Command::Nats(AddKey(_) | CreateUser(_) | UpdateUser(_))) {
            *self.known.get_mut() = Known::default();
        }
        if self.rehearsal.command(&command)? > 0 {
            self.change.commands.push(command);
        }
        Ok(())
    }

    /// Makes an nkey in a compartment.
    pub(super) fn make_key(&mut self, kind: NkeyKind, compartment: &str) -> Result<Made, NatsError> {
        self.make_key_as(KeyId::mint(), kind, compartment)
    }

    /// The same under an identifier that was minted before.
    pub(super) fn make_key_as(&mut self, key_id: KeyId, kind: NkeyKind, compartment: &str) -> Result<Made, NatsError> {
        let key = PrivateKey::generate(KeyKind::Nkey(kind))?;
        let made = Made { key_id, public_key: key.public().public_key };
        let compartment = Label::new(compartment)?;
        self.change.secrets.push((compartment.clone(), made.key_id, key.secret()));
        self.opened.insert(made.key_id, key);
        let (key_id, public_key, owner) = (made.key_id, made.public_key.clone(), self.owner.clone());
        self.run(NatsCommand::AddKey(NKeyGenerated { key_id, kind, public_key, compartment, owner }))?;
        Ok(made)
    }

    /// Takes a key that was made elsewhere, with its secret where that is known. A key that is recorded already is left
    /// as it is.
    pub(super) fn take_key(
        &mut self,
        public_key: &PublicKey,
        kind: NkeyKind,
        purpose: KeyPurpose,
        compartment: &str,
        secret: Option<SecretBytes>,
        origin: &Note,
    ) -> Result<Made, NatsError> {
        self.take_key_as(KeyId::mint(), public_key, kind, purpose, compartment, secret, origin)
    }

    /// The same under an identifier that was minted before.
    #[allow(clippy::too_many_arguments)] // they are the fields of one event
    pub(super) fn take_key_as(
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
        if let (Some(compartment), Some(secret)) = (compartment.clone(), secret) {
            self.change.secrets.push((compartment, key_id, secret));
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
        let mut after = None;
        loop {
            let page = self.view().referrers(EntityRef::holder(holder), Kind::SigningKey, after, 256)?;
            let Some(last) = page.last() else { break };
            after = Some(last.entity_ref().id);
            for key in page.into_iter().filter(Entity::is_active) {
                let Facts::SigningKey(facts) = key.facts else { continue };
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
        }
        match (found, role) {
            (Some(found), _) => Ok(found),
            (None, None) => Ok(identity),
            (None, Some(text)) => {
                Err(NatsError::NotFound { kind: Kind::SigningKey, noun: "signing-key", text: text.to_owned() })
            }
        }
    }
}

/// The claims of a recorded token.
pub(super) fn read_claims<B: Body>(what: &str, token: &TokenFacts) -> Result<Claims<B>, NatsError> {
    let mut claims: Claims<B> = serde_json::from_str(token.claims.as_str())
        .map_err(|source| NatsError::Recorded { what: crate::text::visible(what).into_owned(), source })?;
    // Events of before the first release held the texts of activations.
    claims.nats.take_texts();
    Ok(claims)
}

/// Records what an act leads to. Its tokens are kept and its secrets sealed before that is committed, so that nothing is
/// recorded that is not there. The ledger must still be at the position that the act was prepared at, or it is refused.
///
/// # Errors
/// When something was in the way; then nothing is recorded.
pub fn record(
    store: &Store,
    custody: &Custody,
    restricted: &mut RestrictedBlocks,
    context: AppendContext,
    change: Change,
) -> Result<Vec<AppendedEvent>, NatsError> {
    let Change { commands, secrets, tokens } = change;
    let keep = || restricted.put(tokens.iter().map(String::as_bytes));
    let recorded =
        record_kept(store, Some((custody, &secrets)), keep, context, |context| store.execute(context, commands));
    recorded.map_err(|error| match error {
        SealedError::Keep(error) => NatsError::Restricted(error),
        SealedError::Seal(error) => NatsError::Seal(error),
        SealedError::Record(error) => NatsError::Append(error),
        left @ SealedError::Left { .. } => NatsError::Left(Box::new(left)),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::nats::claims::{Account, ImportToken};
    use crate::text::Document;

    #[test]
    fn claims_that_hold_the_text_of_an_activation_are_read_as_its_reference() {
        let imports = r#"[{"subject":"a","account":"A","token":"an.old.text","type":"stream"}]"#;
        let token = TokenFacts {
            jti: Label::new("J").unwrap(),
            issued_at: 1,
            expires_at: None,
            issuer: PublicKey::new(&nkeys::KeyPair::new_operator().public_key()).unwrap(),
            claims: Document::new(&format!(r#"{{"sub":"A","nats":{{"imports":{imports}}}}}"#)).unwrap(),
            signed: None,
        };
        let claims: Claims<Account> = read_claims("A", &token).unwrap();
        let ImportToken::Reference(reference) = &claims.nats.imports[0].token else { panic!("{claims:?}") };
        assert_eq!(reference.cid, crate::ipld_support::cid_of_blob(b"an.old.text"));
        assert!(!serde_json::to_string(&claims).unwrap().contains("an.old.text"));
    }
}
