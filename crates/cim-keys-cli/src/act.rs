//! The acts of a command: the pipeline of its ledger, with keys out of custody, questions at the terminal, and the publisher.

use std::error::Error;

use cim_keys::act::{
    ActError, ActSigner, Answer, ClockJump, Draft, Front, Head, Outcome, Publisher as _, Question, SigningError,
};
use cim_keys::advice::Explained;
use cim_keys::app::attest::{self, ActKey};
use cim_keys::app::publishing::LedgerPublisher;
use cim_keys::custody::{Custody, Ring, Unlock, Unlocked};
use cim_keys::events::Actor;
use cim_keys::keys::KeyError;
use cim_keys::session::{LedgerActError, LedgerPipeline, Session};
use cim_keys::store::{AppendedEvent, Store};
use cim_keys::text::Label;
use cim_keys::time::Timestamp;

use crate::commands::{publication, recorded};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::passphrase::{PassphraseArgs, Passphrases};
use crate::place;
use crate::ui::Ui;

/// The ledger of a command that records, with its keys.
pub(crate) struct Acting {
    session: Session,
    ring: Ring<'static>,
    ui: Ui,
}

impl Acting {
    /// The ledger that is meant, in the name of the actor; with `--as`, the person who signs.
    pub(crate) fn begin(global: &Global, passphrases: &PassphraseArgs, ui: Ui) -> Result<Self> {
        let mut acting = Self::on(ledger::write(global)?, passphrases, ui)?;
        if let Some((_, signer)) = acting.person(global)? {
            acting.session.sign_as(signer);
        }
        Ok(acting)
    }

    /// As [`Acting::begin`], for commands whose events are signatures themselves: the person acts, and signs nothing else.
    pub(crate) fn begin_with_signer(global: &Global, ui: Ui) -> Result<(Self, Option<(ActKey, ActSigner)>)> {
        let mut acting = Self::on(ledger::write(global)?, &global.passphrases, ui)?;
        let person = acting.person(global)?;
        if let Some((key, _)) = &person {
            acting.session.act_as(Actor::Person(key.person));
        }
        Ok((acting, person))
    }

    /// A ledger that is open.
    pub(crate) fn on(session: Session, passphrases: &PassphraseArgs, ui: Ui) -> Result<Self> {
        let ring = Ring::at(&session.place().custody(), Passphrases::new(passphrases)?);
        Ok(Self { session, ring, ui })
    }

    /// The same with a custody that was opened for the act already.
    pub(crate) fn with_custody(mut self, custody: Custody, passphrases: &PassphraseArgs) -> Result<Self> {
        self.ring = Ring::of(custody, Passphrases::new(passphrases)?);
        Ok(self)
    }

    /// The person of `--as`, with what signs. The passphrase is asked for before anything waits for it.
    fn person(&mut self, global: &Global) -> Result<Option<(ActKey, ActSigner)>> {
        let Some(who) = global.signer.as_ref().filter(|who| !who.is_empty()) else { return Ok(None) };
        let key = self.session.store().view(|view| attest::act_key(view, who, Timestamp::now()))??;
        let mut ring = Ring::at(&self.session.place().custody(), Passphrases::new(&global.passphrases)?);
        let signer = key.signer(&mut ring)?;
        Ok(Some((key, signer)))
    }

    /// The ledger.
    pub(crate) const fn session(&self) -> &Session {
        &self.session
    }

    /// The ledger, to say more of the actor.
    pub(crate) const fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The pipeline, with everything that this run of the program acts through, and the ledger.
    pub(crate) fn pipeline(&mut self) -> (LedgerPipeline<'_>, &Session) {
        let Self { session, ring, ui } = self;
        let (front, publisher) = (Terminal::new(*ui), publisher(session));
        (session.pipeline().with_keys(ring).with_front(front).with_publisher(publisher), session)
    }

    /// Does an act.
    pub(crate) fn act<T, E: Error + 'static>(
        &mut self,
        build: impl FnMut(&mut Draft<'_>) -> std::result::Result<T, E>,
    ) -> Result<Outcome<T>>
    where
        CliError: From<E>,
    {
        let intent = self.session.intent();
        Ok(self.pipeline().0.act(&intent, build)?)
    }

    /// Does an act that has to know something of the ledger which no entity tells. `front` asks instead of the terminal.
    pub(crate) fn act_after<B, T, E: Error + 'static>(
        &mut self,
        front: impl Front,
        read: impl FnMut(&Store) -> std::result::Result<B, E>,
        build: impl FnMut(&mut Draft<'_>, B) -> std::result::Result<T, E>,
    ) -> Result<Outcome<T>>
    where
        CliError: From<E>,
    {
        let intent = self.session.intent();
        Ok(self.pipeline().0.with_front(front).act_after(&intent, read, build)?)
    }

    /// Does an act, and reports what was recorded and what became of it.
    pub(crate) fn record<T, E: Error + 'static>(
        &mut self,
        build: impl FnMut(&mut Draft<'_>) -> std::result::Result<T, E>,
    ) -> Result
    where
        CliError: From<E>,
    {
        let done = self.act(build)?;
        self.report(&done.events)?;
        done.end(self.ui)
    }

    /// Publishes what was recorded before this began, and reports that: for acts that take the right to write themselves.
    pub(crate) fn publish(&self) -> Result {
        publication::tell(&publisher(&self.session).wake(), self.ui)
    }

    /// Reports the events of an act.
    pub(crate) fn report(&self, events: &[AppendedEvent]) -> Result {
        recorded::tell(events, &self.session, self.ui)
    }
}

fn publisher(session: &Session) -> LedgerPublisher<'_> {
    let configuration = place::config(Some(session.place().folder())).map_err(|error| error.in_one_line());
    LedgerPublisher::new(session.store(), configuration)
}

/// The end of a command that has done an act.
pub(crate) trait EndAct {
    /// Reports what became of the events, and a head that could not be signed, which is an error: the act is recorded.
    fn end(self, ui: Ui) -> Result;
}

impl<T> EndAct for Outcome<T> {
    fn end(self, ui: Ui) -> Result {
        publication::tell(&self.publication, ui)?;
        let unsigned = "it is recorded, and the head of the ledger could not be signed";
        match self.head {
            Head::Failed { reason, contradiction: true } => Err(CliError::verification(unsigned).detail(reason)),
            Head::Failed { reason, contradiction: false } => Err(CliError::failed(unsigned).detail(reason)),
            _ => Ok(()),
        }
    }
}

/// The person at the terminal.
pub(crate) struct Terminal<'a> {
    ui: Ui,
    show: Box<dyn FnMut() -> Result + 'a>,
}

impl<'a> Terminal<'a> {
    /// Asks a person.
    pub(crate) fn new(ui: Ui) -> Self {
        Self { ui, show: Box::new(|| Ok(())) }
    }

    /// Shows something before each question.
    pub(crate) fn showing(self, show: impl FnMut() -> Result + 'a) -> Self {
        Self { show: Box::new(show), ..self }
    }
}

impl Front for Terminal<'_> {
    fn confirm(&mut self, question: &Question) -> Answer {
        if (self.show)().is_err() {
            return Answer::CannotAsk;
        }
        match self.ui.confirm(&question.text) {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::No,
            Err(_) => Answer::CannotAsk,
        }
    }

    fn confirm_clock(&mut self, jump: &ClockJump) -> Answer {
        if !self.ui.can_ask() {
            return Answer::CannotAsk;
        }
        match self.ui.ask(&format!("{jump}. Is the clock right?")) {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::No,
            Err(_) => Answer::CannotAsk,
        }
    }
}

impl Unlock for Passphrases {
    fn unlock(
        &mut self,
        custody: &Custody,
        compartment: &Label,
    ) -> std::result::Result<Unlocked, Box<dyn Error + Send + Sync>> {
        Ok(Self::unlock(self, custody, compartment)?)
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Locked(source) => match source.downcast::<Self>() {
                Ok(told) => *told,
                Err(other) => Self::failed(other.to_string()),
            },
            KeyError::Failed(source) => match explained(&*source) {
                Some(error) => Self::explain(error),
                None => Self::failed(source.to_string()),
            },
            other => Self::explain(&other),
        }
    }
}

/// What custody says of itself, where that is why a key was not used.
fn explained<'e>(error: &'e (dyn Error + Send + Sync + 'static)) -> Option<&'e dyn Explained> {
    use cim_keys::custody::{OpenError, SealError, UseError};
    let seal = error.downcast_ref::<SealError>().map(|it| it as &dyn Explained);
    let open = error.downcast_ref::<OpenError>().map(|it| it as &dyn Explained);
    seal.or(open).or_else(|| error.downcast_ref::<UseError>().map(|it| it as &dyn Explained))
}

impl<E: Error + 'static> From<LedgerActError<E>> for CliError
where
    Self: From<E>,
{
    fn from(error: LedgerActError<E>) -> Self {
        let text = error.to_string();
        match error {
            ActError::Build(error) => error.into(),
            ActError::Refused(refusal) => refusal.into(),
            ActError::Denied(denial) | ActError::NeedsApproval(denial) => Self::explain(&denial),
            ActError::Declined(question) => Self::refused(question.otherwise),
            ActError::CannotAsk(question) => {
                Self::refused("this has to be confirmed, and there is no terminal to ask at")
                    .detail(question.text)
                    .hint("run it again with --yes, if that is what you want")
            }
            ActError::ClockJump { asked: true, .. } => {
                Self::refused("nothing was recorded").hint("set the clock right, and try again")
            }
            ActError::ClockJump { jump, .. } => Self::refused(jump.to_string())
                .hint("check the clock, and confirm if it is right")
                .hint("--accept-clock records it with this clock"),
            ActError::Key(error) => error.into(),
            ActError::Sign(SigningError::Key(error)) => error.into(),
            ActError::Sign(SigningError::Refused(error)) => Self::failed(text).advise(&*error),
            ActError::Sign(SigningError::Sign(error)) => Self::explain(&error),
            ActError::Journal(error) => error.into(),
            ActError::Contended { .. } => Self::refused(text).hint("try again"),
            ActError::Left { source, left } => <Self as From<LedgerActError<E>>>::from(*source)
                .detail(format!("secrets of {left} keys are in custody, and may belong to no recorded key"))
                .hint("`cim-keys custody check` tells"),
            ActError::Unfinished { source, .. } => {
                <Self as From<LedgerActError<E>>>::from(*source).detail("the act has begun, and is not finished")
            }
            _ => Self::failed(text),
        }
    }
}
