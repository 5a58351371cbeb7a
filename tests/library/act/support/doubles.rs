//! A person in front, a publisher, and policies, as tests need them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cim_keys::act::*;
use cim_keys::events::KeyEvent;
use cim_keys::ledger::{View, ViewError};

/// What a person answers.
type Answers = Rc<RefCell<dyn FnMut(&Question) -> Answer>>;

/// Who answers, and what was asked. Clones share it.
#[derive(Clone)]
pub struct Person {
    asked: Rc<RefCell<Vec<String>>>,
    clocks: Rc<RefCell<Vec<ClockJump>>>,
    answer: Answers,
    clock: Answer,
}

impl Person {
    /// A person who answers like this.
    pub fn who(answer: impl FnMut(&Question) -> Answer + 'static) -> Self {
        let answer = Rc::new(RefCell::new(answer));
        Self { asked: Rc::default(), clocks: Rc::default(), answer, clock: Answer::CannotAsk }
    }

    /// A person who says yes.
    pub fn yes() -> Self {
        Self::who(|_| Answer::Yes)
    }

    /// What the person says about the clock.
    pub fn about_the_clock(self, clock: Answer) -> Self {
        Self { clock, ..self }
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// How often the clock was asked about.
    pub fn clocks(&self) -> usize {
        self.clocks.borrow().len()
    }
}

impl Front for Person {
    fn confirm(&mut self, question: &Question) -> Answer {
        self.asked.borrow_mut().push(question.text.clone());
        (self.answer.borrow_mut())(question)
    }

    fn confirm_clock(&mut self, jump: &ClockJump) -> Answer {
        self.clocks.borrow_mut().push(*jump);
        self.clock
    }
}

/// A publisher that counts, and says what a test wants.
#[derive(Clone)]
pub struct Counting {
    pub woken: Rc<RefCell<usize>>,
    pub says: Publication,
}

impl Counting {
    pub fn new(says: Publication) -> Self {
        Self { woken: Rc::default(), says }
    }

    pub fn times(&self) -> usize {
        *self.woken.borrow()
    }
}

impl Publisher for Counting {
    fn wake(&mut self) -> Publication {
        *self.woken.borrow_mut() += 1;
        self.says.clone()
    }
}

/// A policy about one type of events: its verdict from the given call on. Clones share the count.
#[derive(Clone)]
pub struct About {
    event_type: &'static str,
    needs_approval: bool,
    from: usize,
    judged: Arc<AtomicUsize>,
}

impl About {
    pub fn denies(event_type: &'static str) -> Self {
        Self { event_type, needs_approval: false, from: 0, judged: Arc::default() }
    }

    pub fn needs_approval(event_type: &'static str) -> Self {
        Self { needs_approval: true, ..Self::denies(event_type) }
    }

    /// Lets so many pass before.
    pub fn after(self, from: usize) -> Self {
        Self { from, ..self }
    }

    /// Whether it asks for an approval, and does not deny.
    pub fn asks_approval(&self) -> bool {
        self.needs_approval
    }

    /// How often it was asked about its type.
    pub fn judged(&self) -> usize {
        self.judged.load(Ordering::SeqCst)
    }
}

impl Policy for About {
    fn judge(&self, _: &dyn View, event: &KeyEvent, _: &Evidence) -> Result<Verdict, ViewError> {
        let event_type = event.data.event_type();
        if event_type != self.event_type || self.judged.fetch_add(1, Ordering::SeqCst) < self.from {
            return Ok(Verdict::Allow);
        }
        let denial = Denial {
            event_type: event_type.to_owned(),
            reason: "the test does not want it".to_owned(),
            next: cim_keys::advice::Advice::Do("change the test"),
        };
        Ok(if self.needs_approval { Verdict::NeedsApproval(denial) } else { Verdict::Deny(denial) })
    }
}

/// What a policy is told of each event: its type, and whether its actor signs it. Clones share it.
#[derive(Clone, Default)]
pub struct Told(pub Arc<std::sync::Mutex<Vec<(String, bool)>>>);

impl Policy for Told {
    fn judge(&self, _: &dyn View, event: &KeyEvent, evidence: &Evidence) -> Result<Verdict, ViewError> {
        self.0.lock().unwrap().push((event.data.event_type().to_owned(), evidence.signed));
        Ok(Verdict::Allow)
    }
}

impl Told {
    /// What it was told since it was last looked at.
    pub fn take(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
