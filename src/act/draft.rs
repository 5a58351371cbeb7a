//! An act under way: what is recorded, and what the act has led to so far.

use std::sync::Arc;

use cid::Cid;

use super::front::Question;
use super::policy::{Evidence, Policy, Verdict};
use super::port::Texts;
use super::signing::{ActSigner, Scope, Signed, Signers, SigningError};
use crate::events::{Actor, EventData, KeyEvent};
use crate::ids::{CorrelationId, EventId, KeyId};
use crate::keys::{KeyError, KeyRef, KeyRing, KeySpec, NewKey, SecretBytes, Signer};
use crate::ledger::{Command, EventDraft, Refusal, Rehearsal, View, ViewError};
use crate::text::Label;
use crate::time::Timestamp;

/// What is signed at the end of an act, once it was judged and confirmed.
type Sign = Box<dyn FnOnce(&mut Signing<'_, '_>) -> Result<Vec<SignedCommand>, SigningError>>;

/// A command with what was signed for it, and the data of the events that it leads to.
#[derive(Debug)]
pub struct SignedCommand {
    /// The command.
    pub command: Command,
    /// The data of its events, in order.
    pub data: Vec<EventData>,
}

/// Commands of a draft that still lack their signatures, and what signs them.
struct Unsigned {
    /// Their places among the decisions.
    decisions: Vec<usize>,
    sign: Sign,
}

/// A key of a draft, to be named in commands and asked for in the signing step.
pub type DraftKey = NewKey;

/// An act that is being drafted. Everything in it sees what it did before.
pub struct Draft<'d> {
    rehearsal: Rehearsal<'d>,
    pub(super) keys: &'d mut dyn KeyRing,
    texts: &'d dyn Texts,
    policy: &'d dyn Policy,
    pub(super) kept: &'d mut Kept,
    circumstances: Circumstances,
    pub(super) decisions: Vec<(Command, usize)>,
    pub(super) secrets: Vec<KeyId>,
    pub(super) new_texts: Vec<String>,
    pub(super) blobs: Vec<Vec<u8>>,
    unsigned: Vec<Unsigned>,
    pub(super) questions: Vec<Question>,
    judged: Judged,
}

/// What holds for all of an act.
#[derive(Debug, Clone)]
pub(super) struct Circumstances {
    pub(super) position: u64,
    pub(super) now: Timestamp,
    pub(super) actor: Actor,
    pub(super) correlation_id: CorrelationId,
    /// Which events the actor signs.
    pub(super) signed: Option<Scope>,
}

/// What a retry keeps of the attempt before.
#[derive(Default)]
pub(super) struct Kept {
    /// Keys that were generated, in order, with what was asked for.
    generated: Vec<(KeySpec, NewKey)>,
    /// How many of them the present attempt has used.
    used: usize,
    pub(super) signed: Signed,
    pub(super) answered: Vec<Question>,
}

impl Kept {
    /// Begins another attempt.
    pub(super) const fn rewind(&mut self) {
        self.used = 0;
    }
}

/// What the policy said so far.
pub(super) type Judged = Result<Option<Verdict>, ViewError>;

impl<'d> Draft<'d> {
    pub(super) fn new(
        view: &'d dyn View,
        keys: &'d mut dyn KeyRing,
        texts: &'d dyn Texts,
        policy: &'d dyn Policy,
        kept: &'d mut Kept,
        circumstances: Circumstances,
    ) -> Self {
        Self {
            rehearsal: Rehearsal::new(view),
            keys,
            texts,
            policy,
            kept,
            circumstances,
            decisions: Vec::new(),
            secrets: Vec::new(),
            new_texts: Vec::new(),
            blobs: Vec::new(),
            unsigned: Vec::new(),
            questions: Vec::new(),
            judged: Ok(None),
        }
    }

    /// What is recorded, and what this act has led to so far.
    #[must_use]
    pub fn view(&self) -> &dyn View {
        self.rehearsal.view()
    }

    /// The position of the ledger that the act is decided at.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.circumstances.position
    }

    /// When the act began. It stays the same when the act is tried again; events bear the time at which they are stamped, which
    /// is never before that of the last event.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.circumstances.now
    }

    /// What all events of the act bear.
    #[must_use]
    pub const fn correlation_id(&self) -> CorrelationId {
        self.circumstances.correlation_id
    }

    /// Gives a command: decides on it, has the policy judge what it leads to, and lets everything after it see that. Says how
    /// many events it leads to; none when the ledger is up to date already.
    ///
    /// # Errors
    /// The reason why it may not follow. The draft is then as it was.
    pub fn command(&mut self, command: Command) -> Result<usize, Refusal> {
        let drafts = self.rehearsal.decide(&command)?;
        let count = drafts.len();
        if count == 0 {
            return Ok(0);
        }
        let drafts: Vec<_> = drafts.into_iter().map(|draft| self.ask_policy(draft)).collect();
        self.rehearsal.take(drafts)?;
        self.decisions.push((command, count));
        Ok(count)
    }

    /// Gives commands, one after the other.
    ///
    /// # Errors
    /// The first reason why one may not follow.
    pub fn commands(&mut self, commands: impl IntoIterator<Item = Command>) -> Result<(), Refusal> {
        commands.into_iter().try_for_each(|command| self.command(command).map(|_| ()))
    }

    /// Asks the policy about an event, and gives it back.
    fn ask_policy(&mut self, draft: EventDraft) -> EventDraft {
        if !matches!(self.judged, Ok(None)) {
            return draft;
        }
        let EventDraft { data, causes } = draft;
        let Circumstances { now, actor, correlation_id, signed, .. } = &self.circumstances;
        let evidence = Evidence { signed: signed.is_some_and(|scope| scope.signs(&data)) };
        let event = KeyEvent {
            id: EventId::from_uuid(uuid::Uuid::nil()),
            data,
            occurred_at: *now,
            actor: actor.clone(),
            correlation_id: *correlation_id,
            causes: Vec::new(),
        };
        match self.policy.judge(self.rehearsal.view(), &event, &evidence) {
            Ok(Verdict::Allow) => {}
            Ok(verdict) => self.judged = Ok(Some(verdict)),
            Err(error) => self.judged = Err(error),
        }
        EventDraft { data: event.data, causes }
    }

    /// Generates a key, which is sealed when the act is recorded. A retry gets the same key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn generate(&mut self, spec: &KeySpec) -> Result<DraftKey, KeyError> {
        self.generate_with(None, spec)
    }

    /// The same under an identifier that was minted before. A retry gets the same key where it has the same identifier.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn generate_as(&mut self, key_id: KeyId, spec: &KeySpec) -> Result<DraftKey, KeyError> {
        self.generate_with(Some(key_id), spec)
    }

    fn generate_with(&mut self, key_id: Option<KeyId>, spec: &KeySpec) -> Result<DraftKey, KeyError> {
        let same = |kept: &&(KeySpec, NewKey)| kept.0 == *spec && key_id.is_none_or(|id| id == kept.1.key_id);
        let key = match self.kept.generated.get(self.kept.used).filter(same) {
            Some((_, key)) => key.clone(),
            None => {
                let key = self.keys.generate(key_id.unwrap_or_else(KeyId::mint), spec)?;
                self.kept.generated.truncate(self.kept.used);
                self.kept.generated.push((spec.clone(), key.clone()));
                key
            }
        };
        self.kept.used += 1;
        self.secrets.push(key.key_id);
        Ok(key)
    }

    /// Takes a private key in that was made elsewhere; it is sealed when the act is recorded.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn take_key(&mut self, key_id: KeyId, secret: &SecretBytes, compartment: &Label) -> Result<DraftKey, KeyError> {
        let key = self.keys.take(key_id, secret, compartment)?;
        self.secrets.push(key.key_id);
        Ok(key)
    }

    /// The secret of a recorded key, for it to leave. The caller records that in the same act, and hands it out when that is
    /// recorded.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn export_key(&mut self, key: &KeyRef) -> Result<SecretBytes, KeyError> {
        self.keys.export(key)
    }

    /// The restricted text of a content identifier; `None` where it is not kept here.
    ///
    /// # Errors
    /// When what keeps them fails.
    pub fn text(&self, cid: &Cid) -> Result<Option<String>, Box<dyn std::error::Error + Send + Sync>> {
        self.texts.get(cid)
    }

    /// Keeps a text in the restricted blocks.
    pub fn keep_text(&mut self, text: String) {
        self.new_texts.push(text);
    }

    /// Records a raw block that an event links to.
    pub fn keep_blob(&mut self, block: Vec<u8>) {
        self.blobs.push(block);
    }

    /// Asks before anything is signed.
    pub fn ask(&mut self, question: Question) {
        if !self.questions.contains(&question) {
            self.questions.push(question);
        }
    }

    /// Gives commands whose events hold something that is yet to be signed, and leaves that for the signing step. They are
    /// decided and judged with placeholders for it; `sign` gives them again with what was signed, in the same order, with the
    /// same number of events, and nothing else in them changed.
    ///
    /// # Errors
    /// The first reason why one may not follow.
    pub fn sign_commands(
        &mut self,
        placeholders: impl IntoIterator<Item = Command>,
        sign: impl FnOnce(&mut Signing<'_, '_>) -> Result<Vec<SignedCommand>, SigningError> + 'static,
    ) -> Result<(), Refusal> {
        let mut decisions = Vec::new();
        for placeholder in placeholders {
            if self.command(placeholder)? > 0 {
                decisions.push(self.decisions.len() - 1);
            }
        }
        if !decisions.is_empty() {
            self.unsigned.push(Unsigned { decisions, sign: Box::new(sign) });
        }
        Ok(())
    }

    /// Whether the act leads to nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// The signing step: puts what is signed in the place of the placeholders.
    pub(super) fn sign(&mut self) -> Result<(), SigningError> {
        let before = |sum: &mut usize, (_, count): &(Command, usize)| Some(std::mem::replace(sum, *sum + count));
        let firsts: Vec<usize> = self.decisions.iter().scan(0, before).collect();
        for Unsigned { decisions, sign } in std::mem::take(&mut self.unsigned) {
            let signed = sign(&mut Signing::new(self))?;
            if signed.len() != decisions.len() {
                return Err(SigningError::Content("another number of commands was signed than was drafted".to_owned()));
            }
            for (index, SignedCommand { command, data }) in decisions.into_iter().zip(signed) {
                if self.decisions[index].1 != data.len() {
                    return Err(SigningError::Content("something else was signed than was drafted".to_owned()));
                }
                self.decisions[index].0 = command;
                self.rehearsal.replace(firsts[index], data);
            }
        }
        Ok(())
    }

    /// What the policy said.
    pub(super) fn take_judged(&mut self) -> Judged {
        std::mem::replace(&mut self.judged, Ok(None))
    }

    /// The commands, each with the number of its events, and the events of all of them.
    pub(super) fn into_decided(self) -> (Vec<(Command, usize)>, Vec<EventDraft>) {
        (self.decisions, self.rehearsal.into_drafts())
    }
}

/// The signing step: what a use case left for the end of its act ([`Draft::sign_commands`]) is signed here.
pub struct Signing<'s, 'd>(&'s mut Draft<'d>);

impl<'s, 'd> Signing<'s, 'd> {
    const fn new(draft: &'s mut Draft<'d>) -> Self {
        Self(draft)
    }

    /// The signer of a key; see [`Signers::signer`].
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn signer(&mut self, key: &KeyRef) -> Result<Arc<dyn Signer>, KeyError> {
        Signers::new(&mut *self.0.keys, &self.0.kept.signed).signer(key)
    }

    /// The signer of an act, for the signing step: it does not sign bytes again that it signed in an earlier attempt.
    #[must_use]
    pub fn act_signer(&self, signer: &ActSigner) -> ActSigner {
        signer.remembering(&self.0.kept.signed)
    }

    /// The restricted text of a content identifier; `None` where it is not kept here.
    ///
    /// # Errors
    /// When what keeps them fails.
    pub fn text(&self, cid: &Cid) -> Result<Option<String>, SigningError> {
        self.0.text(cid).map_err(|error| SigningError::Content(error.to_string()))
    }

    /// Keeps a text in the restricted blocks.
    pub fn keep_text(&mut self, text: String) {
        self.0.keep_text(text);
    }
}
