//! Who sits in front: what is asked before an act, and what is answered.

use crate::time::Timestamp;

/// Who sits in front: asked before something is signed that can't be taken back.
pub trait Front {
    /// Asks a question.
    fn confirm(&mut self, question: &Question) -> Answer;

    /// Asks whether the clock is right, which is more than a day away from the last event.
    fn confirm_clock(&mut self, jump: &ClockJump) -> Answer;
}

/// A question before an act.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// What is asked, to be answered with yes or no.
    pub text: String,
    /// What has not happened when the answer is no: "nothing was revoked".
    pub otherwise: String,
    /// What the answer holds for, besides the text. It is not shown; where it changes, the question is asked again.
    pub about: String,
}

impl Question {
    /// A question, and what has not happened when the answer is no.
    pub fn new(text: impl Into<String>, otherwise: impl Into<String>) -> Self {
        Self { text: text.into(), otherwise: otherwise.into(), about: String::new() }
    }

    /// The same, for an answer that holds for exactly this.
    #[must_use]
    pub fn about(self, about: impl Into<String>) -> Self {
        Self { about: about.into(), ..self }
    }
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No.
    No,
    /// No person can answer.
    CannotAsk,
}

/// The clock is more than a day away from the last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock says {now}, and the last event is of {last}, {} {} it", self.span(), if self.now < self.last { "after" } else { "before" })]
pub struct ClockJump {
    /// The time of the last event.
    pub last: Timestamp,
    /// What the clock says.
    pub now: Timestamp,
}

impl ClockJump {
    /// A day, in microseconds: how far the clock may jump unasked.
    const DAY: u64 = 86_400_000_000;

    /// The jump from the last event to now, where it is one.
    #[must_use]
    pub fn between(last: Timestamp, now: Timestamp) -> Option<Self> {
        (now.unix_micros().abs_diff(last.unix_micros()) > Self::DAY).then_some(Self { last, now })
    }

    /// How far, in the largest unit that fits.
    fn span(&self) -> String {
        let seconds = self.now.unix_micros().abs_diff(self.last.unix_micros()) / 1_000_000;
        match seconds {
            0..=172_799 => format!("{} hours", seconds / 3_600),
            172_800..=63_071_999 => format!("{} days", seconds / 86_400),
            _ => format!("{} years", seconds / 31_536_000),
        }
    }
}

/// Without a front end: what would be asked is not done.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFront;

impl Front for NoFront {
    fn confirm(&mut self, _: &Question) -> Answer {
        Answer::CannotAsk
    }

    fn confirm_clock(&mut self, _: &ClockJump) -> Answer {
        Answer::CannotAsk
    }
}

impl<F: Front + ?Sized> Front for &mut F {
    fn confirm(&mut self, question: &Question) -> Answer {
        (**self).confirm(question)
    }

    fn confirm_clock(&mut self, jump: &ClockJump) -> Answer {
        (**self).confirm_clock(jump)
    }
}
