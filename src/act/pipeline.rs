//! The steps of an act, in order.

use std::error::Error;
use std::sync::Arc;

use super::commit::{AppendedEvent, Commit, CommitError, Decision, Signature, Stamped, stamp};
use super::draft::{Circumstances, Draft, Kept};
use super::front::{Answer, ClockJump, Front, NoFront};
use super::outcome::{ActError, Outcome};
use super::policy::{Policy, Verdict};
use super::port::{Head, Journal, NoTexts, Texts, Tip};
use super::prerequisite::Prerequisite;
use super::publication::{NoPublisher, Publication, Publisher};
use super::signing::{ActSigner, Signed, Signers, SigningError};
use crate::events::{Actor, KeyEvent, Link};
use crate::ids::{CorrelationId, KeyId};
use crate::ipld_support::ContentAddressedEvent;
use crate::keys::{KeyRing, NoKeys};
use crate::ledger::{Cause, Command, EventDraft, Overlay, View, ViewError, decide};
use crate::time::Timestamp;

/// How often an act is drafted when others write in between.
pub const ATTEMPTS: usize = 8;

/// Who acts, and what was said beforehand.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Who acts.
    pub actor: Actor,
    /// With which key the actor signs every event, where that is so.
    pub signer: Option<ActSigner>,
    /// What all events of the act bear.
    pub correlation_id: CorrelationId,
    /// Whether the clock is right although it may be more than a day away from the last event.
    pub accept_clock: bool,
    /// Whether the act names everything by identifier and asks nobody: then it need not be recorded at the position that it
    /// was drafted at, and is decided where it is recorded. It does not hold for an act that is signed or makes something.
    pub anywhere: bool,
}

impl Intent {
    /// A new act, unsigned.
    #[must_use]
    pub fn new(actor: Actor) -> Self {
        let correlation_id = CorrelationId::mint();
        Self { actor, signer: None, correlation_id, accept_clock: false, anywhere: false }
    }
}

/// The pipeline, with what it acts through.
pub struct Pipeline<'p, J> {
    journal: &'p J,
    policy: Arc<dyn Policy>,
    keys: Box<dyn KeyRing + 'p>,
    texts: Box<dyn Texts + 'p>,
    front: Box<dyn Front + 'p>,
    publisher: Box<dyn Publisher + 'p>,
}

/// An act that was drafted, judged, confirmed and signed.
struct Planned<T> {
    value: T,
    /// The position that it is to be recorded at; absent for an act that is decided where it is recorded.
    at: Option<u64>,
    decisions: Vec<Decision>,
    secrets: Vec<KeyId>,
    texts: Vec<String>,
    blobs: Vec<Vec<u8>>,
}

impl<'p, J: Journal> Pipeline<'p, J> {
    /// A pipeline that records, and does nothing besides: without keys, texts, questions, or publishing.
    #[must_use]
    pub fn new(journal: &'p J, policy: Arc<dyn Policy>) -> Self {
        let (keys, texts) = (Box::new(NoKeys), Box::new(NoTexts));
        let (front, publisher) = (Box::new(NoFront), Box::new(NoPublisher));
        Self { journal, policy, keys, texts, front, publisher }
    }

    /// Takes keys from a ring.
    #[must_use]
    pub fn with_keys(self, keys: impl KeyRing + 'p) -> Self {
        Self { keys: Box::new(keys), ..self }
    }

    /// Keeps restricted texts.
    #[must_use]
    pub fn with_texts(self, texts: impl Texts + 'p) -> Self {
        Self { texts: Box::new(texts), ..self }
    }

    /// Asks questions of the person in front.
    #[must_use]
    pub fn with_front(self, front: impl Front + 'p) -> Self {
        Self { front: Box::new(front), ..self }
    }

    /// Wakes a publisher after each act.
    #[must_use]
    pub fn with_publisher(self, publisher: impl Publisher + 'p) -> Self {
        Self { publisher: Box::new(publisher), ..self }
    }

    /// Does an act: all of it, or nothing.
    ///
    /// # Errors
    /// See [`ActError`].
    pub fn act<T, E: Error + 'static>(
        &mut self,
        intent: &Intent,
        mut build: impl FnMut(&mut Draft<'_>) -> Result<T, E>,
    ) -> Result<Outcome<T>, ActError<J::Error, E>> {
        self.act_after(intent, |_| Ok(()), |draft, ()| build(draft))
    }

    /// Does an act for which something has to be read from the journal that is no entity. It is read anew for each attempt,
    /// at the position that the act is recorded at.
    ///
    /// # Errors
    /// See [`ActError`].
    pub fn act_after<B, T, E: Error + 'static>(
        &mut self,
        intent: &Intent,
        read: impl FnMut(&J) -> Result<B, E>,
        build: impl FnMut(&mut Draft<'_>, B) -> Result<T, E>,
    ) -> Result<Outcome<T>, ActError<J::Error, E>> {
        let (value, events) = self.recorded(intent, read, build)?;
        Ok(self.end(value, events))
    }

    /// Takes an act as far as it being recorded.
    fn recorded<B, T, E: Error + 'static>(
        &mut self,
        intent: &Intent,
        mut read: impl FnMut(&J) -> Result<B, E>,
        mut build: impl FnMut(&mut Draft<'_>, B) -> Result<T, E>,
    ) -> Result<(T, Vec<AppendedEvent>), ActError<J::Error, E>> {
        self.journal.writable().map_err(ActError::Journal)?;
        let mut kept = Kept::default();
        let mut accepted = intent.accept_clock;
        let mut begun = None;
        for _ in 0..ATTEMPTS {
            let tip = self.journal.tip().map_err(ActError::Journal)?;
            let now = *begun.get_or_insert(tip.now);
            kept.rewind();
            let read = read(self.journal).map_err(ActError::Build)?;
            let planned = self.plan(intent, tip, now, &mut accepted, &mut kept, |draft| build(draft, read))?;
            match self.commit(intent, accepted, planned) {
                Ok(recorded) => return Ok(recorded),
                Err(Committing::Moved) => {}
                Err(Committing::Failed(error)) => return Err(error),
            }
        }
        Err(ActError::Contended { attempts: ATTEMPTS })
    }

    /// Does an act in two steps: what is announced is durable before `sign` is called, which is called once, and what it gives
    /// is recorded after it, however often the ledger moves. A false signature fails it, as in the signing step of any act.
    ///
    /// # Errors
    /// See [`ActError`]; [`ActError::Unfinished`] when the first step is recorded and the second is not.
    pub fn act_in_two_steps<T, S, U, E: Error + 'static>(
        &mut self,
        intent: &Intent,
        mut announce: impl FnMut(&mut Draft<'_>) -> Result<T, E>,
        sign: impl FnOnce(&T, &mut Signers<'_>) -> Result<S, E>,
        mut conclude: impl FnMut(&mut Draft<'_>, &T, &S) -> Result<U, E>,
    ) -> Result<Outcome<U>, ActError<J::Error, E>> {
        let (announced, mut begun) = self.recorded(intent, |_| Ok(()), |draft, ()| announce(draft))?;
        // A process that ends while `sign` waits leaves a signed head. The publisher is woken once, at the end.
        self.sign_head();
        let signed = Signed::default();
        let concluded = match sign(&announced, &mut Signers::new(&mut *self.keys, &signed)) {
            Ok(signed) => self.recorded(intent, |_| Ok(()), |draft, ()| conclude(draft, &announced, &signed)),
            Err(error) => Err(ActError::Build(error)),
        };
        match concluded {
            Ok((value, events)) => {
                begun.extend(events);
                Ok(self.end(value, begun))
            }
            Err(error) if begun.is_empty() => Err(error),
            Err(error) => Err(ActError::Unfinished { source: Box::new(error), begun: Box::new(self.end((), begun)) }),
        }
    }

    /// Drafts, asks the policy, asks the person in front, signs, and stamps.
    fn plan<T, E: Error + 'static>(
        &mut self,
        intent: &Intent,
        tip: Tip,
        now: Timestamp,
        accepted: &mut bool,
        kept: &mut Kept,
        build: impl FnOnce(&mut Draft<'_>) -> Result<T, E>,
    ) -> Result<Planned<T>, ActError<J::Error, E>> {
        let (journal, policy) = (self.journal, Arc::clone(&self.policy));
        let (keys, texts, front) = (&mut *self.keys, &*self.texts, &mut *self.front);
        let circumstances = Circumstances::of(intent, tip.position, now);
        let planned = journal.view(|view| {
            let mut draft = Draft::new(view, keys, texts, &*policy, kept, circumstances);
            let value = build(&mut draft).map_err(ActError::Build)?;
            judged(&mut draft)?;
            if !draft.is_empty() {
                confirm(&mut draft, front)?;
                confirm_clock(tip, accepted, front)?;
            }
            draft.sign().map_err(ActError::Sign)?;
            let (secrets, texts) = (std::mem::take(&mut draft.secrets), std::mem::take(&mut draft.new_texts));
            let blobs = std::mem::take(&mut draft.blobs);
            let floats = intent.anywhere && intent.signer.is_none() && secrets.is_empty() && texts.is_empty();
            let (commands, drafts) = draft.into_decided();
            let (at, decisions) = if floats {
                let undecided = |(command, _)| Decision { command, events: Vec::new() };
                (None, commands.into_iter().map(undecided).collect())
            } else {
                (Some(tip.position), stamped(view, intent, tip, commands, drafts)?)
            };
            Ok(Planned { value, at, decisions, secrets, texts, blobs })
        });
        planned.map_err(ActError::Journal)?
    }

    /// Records an act; its secrets and texts are written beside the transaction, which waits for them.
    fn commit<T, E: Error + 'static>(
        &mut self,
        intent: &Intent,
        accept_clock: bool,
        planned: Planned<T>,
    ) -> Result<(T, Vec<AppendedEvent>), Committing<J::Error, E>> {
        let Planned { value, at, decisions, secrets, texts, blobs } = planned;
        if decisions.is_empty() {
            return Ok((value, Vec::new()));
        }
        let mut act = Commit {
            at,
            decisions,
            actor: intent.actor.clone(),
            correlation_id: intent.correlation_id,
            accept_clock,
            blobs,
            prerequisite: None,
            policy: Arc::clone(&self.policy),
        };
        let (journal, keeper) = (self.journal, &*self.texts);
        let sealing = self.keys.sealing(&secrets).map_err(ActError::Key)?;
        if sealing.is_none() && texts.is_empty() {
            return Ok((value, journal.commit(act)?));
        }
        let (fulfilment, prerequisite) = Prerequisite::new();
        act.prerequisite = Some(prerequisite);
        let mut sealing = sealing;
        let (recorded, beside) = std::thread::scope(|scope| {
            let sealing = &mut sealing;
            let beside = scope.spawn(move || {
                let kept = if texts.is_empty() { Ok(()) } else { keeper.put(&texts).map_err(Beside::Texts) };
                let done = kept.and_then(|()| match sealing {
                    Some(sealing) => sealing.seal().map_err(Beside::Keys),
                    None => Ok(()),
                });
                if done.is_ok() {
                    fulfilment.done();
                }
                done
            });
            let recorded = journal.commit(act);
            (recorded, beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        match beside {
            Ok(()) => {}
            Err(Beside::Texts(error)) => return Err(ActError::Texts(error).into()),
            Err(Beside::Keys(error)) => return Err(ActError::Key(error).into()),
        }
        match recorded {
            Ok(events) => {
                sealing.iter_mut().for_each(|sealing| sealing.settled());
                Ok((value, events))
            }
            Err(error) => {
                let left = sealing.as_mut().map_or(0, |sealing| {
                    // Where it can't be told what is recorded, every secret stays, and so does what is known of the sealing.
                    let Some(absent) = unrecorded(journal, &secrets) else { return secrets.len() };
                    let left = sealing.undo(&absent);
                    if left == 0 {
                        sealing.settled();
                    }
                    left
                });
                match (Committing::from(error), left) {
                    (error, 0) => Err(error),
                    (Committing::Moved, left) => {
                        let source = Box::new(ActError::Contended { attempts: 1 });
                        Err(ActError::Left { source, left }.into())
                    }
                    (Committing::Failed(error), left) => Err(ActError::Left { source: Box::new(error), left }.into()),
                }
            }
        }
    }

    /// Signs the head, wakes the publisher, and says what holds.
    fn end<T>(&mut self, value: T, events: Vec<AppendedEvent>) -> Outcome<T> {
        let head = self.sign_head();
        let publication = match events.is_empty() {
            true => Publication::Nothing,
            false => self.publisher.wake(),
        };
        Outcome { value, events, head, publication }
    }

    /// Signs the head where the ledger's own key is at hand: no passphrase is asked for it once more.
    fn sign_head(&mut self) -> Head {
        let failed = |reason: &dyn Error, contradiction| Head::Failed { reason: reason.to_string(), contradiction };
        let signer = match self.journal.ledger_key() {
            Ok(Some(key)) => self.keys.signer_at_hand(&key),
            Ok(None) => Ok(None),
            Err(error) => return failed(&error, false),
        };
        match signer {
            Ok(Some(signer)) => match self.journal.sign_head(&*signer) {
                Ok(events) => Head::Signed { events },
                Err(error) => failed(&error, J::is_contradiction(&error)),
            },
            Ok(None) => self.journal.head().unwrap_or_else(|error| failed(&error, false)),
            Err(error) => failed(&error, false),
        }
    }
}

/// Drafts an act and has it judged on a state, without asking anybody, signing, or recording anything.
///
/// # Errors
/// See [`ActError`].
pub fn rehearse<T, J: Error + 'static, E: Error + 'static>(
    view: &dyn View,
    policy: &dyn Policy,
    keys: &mut dyn KeyRing,
    intent: &Intent,
    tip: Tip,
    build: impl FnOnce(&mut Draft<'_>) -> Result<T, E>,
) -> Result<T, ActError<J, E>> {
    let (mut kept, circumstances) = (Kept::default(), Circumstances::of(intent, tip.position, tip.now));
    let mut draft = Draft::new(view, keys, &NoTexts, policy, &mut kept, circumstances);
    let value = build(&mut draft).map_err(ActError::Build)?;
    judged(&mut draft)?;
    Ok(value)
}

impl Circumstances {
    fn of(intent: &Intent, position: u64, now: Timestamp) -> Self {
        let Intent { actor, correlation_id, signer, .. } = intent;
        let signed = signer.as_ref().map(|signer| signer.scope);
        Self { position, now, actor: actor.clone(), correlation_id: *correlation_id, signed }
    }
}

/// What the policy said of all that was drafted.
fn judged<J: Error + 'static, E: Error + 'static>(draft: &mut Draft<'_>) -> Result<(), ActError<J, E>> {
    match draft.take_judged()? {
        None | Some(Verdict::Allow) => Ok(()),
        Some(Verdict::Deny(denial)) => Err(ActError::Denied(denial)),
        Some(Verdict::NeedsApproval(denial)) => Err(ActError::NeedsApproval(denial)),
    }
}

/// Asks what is to be asked; what was answered with yes in an earlier attempt is not asked again.
fn confirm<J: Error + 'static, E: Error + 'static>(
    draft: &mut Draft<'_>,
    front: &mut dyn Front,
) -> Result<(), ActError<J, E>> {
    for question in std::mem::take(&mut draft.questions) {
        if draft.kept.answered.contains(&question) {
            continue;
        }
        match front.confirm(&question) {
            Answer::Yes => draft.kept.answered.push(question),
            Answer::No => return Err(ActError::Declined(question)),
            Answer::CannotAsk => return Err(ActError::CannotAsk(question)),
        }
    }
    Ok(())
}

fn confirm_clock<J: Error + 'static, E: Error + 'static>(
    tip: Tip,
    accepted: &mut bool,
    front: &mut dyn Front,
) -> Result<(), ActError<J, E>> {
    let jump = tip.last.and_then(|last| ClockJump::between(last, tip.now));
    let Some(jump) = jump.filter(|_| !*accepted) else { return Ok(()) };
    match front.confirm_clock(&jump) {
        Answer::Yes => {
            *accepted = true;
            Ok(())
        }
        Answer::No => Err(ActError::ClockJump { jump, asked: true }),
        Answer::CannotAsk => Err(ActError::ClockJump { jump, asked: false }),
    }
}

/// Gives the events of an act their identifiers, time and signatures.
fn stamped<J: Error + 'static, E: Error + 'static>(
    view: &dyn View,
    intent: &Intent,
    tip: Tip,
    commands: Vec<(Command, usize)>,
    drafts: Vec<EventDraft>,
) -> Result<Vec<Decision>, ActError<J, E>> {
    // All events of an act are of one moment, and time never goes back.
    let occurred_at = tip.last.map_or(tip.now, |last| tip.now.max(last));
    let make = |draft, earlier: &[cid::Cid]| {
        let earlier = |index: usize| earlier.get(index).copied();
        stamp(draft, occurred_at, &intent.actor, intent.correlation_id, earlier).map_err(ActError::Encoding)
    };
    // The state after each event, which only a signature asks for.
    let mut overlay = intent.signer.as_ref().map(|signer| (signer, Overlay::new(view)));
    let (mut cids, mut decisions) = (Vec::with_capacity(drafts.len()), Vec::with_capacity(commands.len()));
    let mut drafts = drafts.into_iter();
    for (command, count) in commands {
        let mut events = Vec::with_capacity(count);
        for draft in drafts.by_ref().take(count) {
            let event = make(draft, &cids)?;
            cids.push(event.cid);
            let signature = match &mut overlay {
                Some((signer, overlay)) => sign(signer, overlay, &event, occurred_at, |draft| make(draft, &[]))?,
                None => None,
            };
            events.push(Stamped { event, signature });
        }
        decisions.push(Decision { command, events });
    }
    Ok(decisions)
}

/// Signs an event in the name of the actor, unless it is a signature itself.
fn sign<J: Error + 'static, E: Error + 'static>(
    signer: &ActSigner,
    overlay: &mut Overlay<'_>,
    event: &ContentAddressedEvent<KeyEvent>,
    at: Timestamp,
    make: impl FnOnce(EventDraft) -> Result<ContentAddressedEvent<KeyEvent>, ActError<J, E>>,
) -> Result<Option<Signature>, ActError<J, E>> {
    overlay.fold(&event.event, event.cid)?;
    if !signer.scope.signs(&event.event.data) {
        return Ok(None);
    }
    let link = Link::new(event.cid).map_err(|error| ActError::Encoding(error.to_string()))?;
    let command = signer.scope.command(signer.attest(link).map_err(ActError::Sign)?, at);
    let drafts = decide(overlay, &command)?;
    let Some(draft) = drafts.into_iter().next() else { return Ok(None) };
    let recorded = draft.causes.iter().all(|cause| matches!(cause, Cause::Recorded(_)));
    if !recorded {
        let what = "a signature names an event that is not recorded".to_owned();
        return Err(ActError::Sign(SigningError::Content(what)));
    }
    let signature = make(draft)?;
    overlay.fold(&signature.event, signature.cid)?;
    Ok(Some(Signature { command, event: signature }))
}

/// The keys that are not recorded; `None` where that can't be told.
fn unrecorded<J: Journal>(journal: &J, keys: &[KeyId]) -> Option<Vec<KeyId>> {
    let absent = |view: &dyn View| -> Result<Vec<KeyId>, ViewError> {
        let mut absent = Vec::new();
        for key in keys {
            if view.get((*key).into())?.is_none() {
                absent.push(*key);
            }
        }
        Ok(absent)
    };
    journal.view(absent).ok()?.ok()
}

/// What was in the way beside the transaction.
enum Beside {
    Texts(Box<dyn Error + Send + Sync>),
    Keys(crate::keys::KeyError),
}

/// How recording an act failed.
enum Committing<J: Error + 'static, E: Error + 'static> {
    /// It is to be decided again.
    Moved,
    Failed(ActError<J, E>),
}

impl<J: Error + 'static, E: Error + 'static> From<ActError<J, E>> for Committing<J, E> {
    fn from(error: ActError<J, E>) -> Self {
        Self::Failed(error)
    }
}

impl<J: Error + 'static, E: Error + 'static> From<CommitError<J>> for Committing<J, E> {
    fn from(error: CommitError<J>) -> Self {
        match error {
            // A clock that was set while somebody was waited for: the next attempt sees it, and asks.
            CommitError::Moved { .. } | CommitError::ClockJump(_) => Self::Moved,
            CommitError::Unfulfilled => {
                let what = "what the act depends on could not be written, so nothing was recorded; try again";
                Self::Failed(ActError::Texts(what.into()))
            }
            CommitError::Refused(refusal) => Self::Failed(ActError::Refused(refusal)),
            CommitError::Denied(denial) => Self::Failed(ActError::Denied(denial)),
            CommitError::NeedsApproval(denial) => Self::Failed(ActError::NeedsApproval(denial)),
            CommitError::Journal(error) => Self::Failed(ActError::Journal(error)),
        }
    }
}
