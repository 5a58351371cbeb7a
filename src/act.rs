//! The pipeline: the one path of every act, from what a use case wants to what is recorded and published.
//!
//! ```text
//! note the position -> draft (decides as it is built) -> policy -> confirm -> sign -> commit at that position -> head -> publish
//! ```
//!
//! [`Pipeline::act`] takes these steps in this order and repeats them when the ledger moved in between. A use case only fills a
//! [`Draft`]: it looks things up, gives commands, has keys generated, and says what is to be signed at the end. It never
//! appends, opens custody, asks a person, or publishes.
//!
//! What holds for every act:
//! 1. Nothing is signed before all of the act was drafted, judged by the [`Policy`] and confirmed.
//! 2. Nothing is recorded whose secrets and texts are not durable: they are written beside the transaction, which waits for
//!    them before it commits ([`Prerequisite`]).
//! 3. No person, card or agent is waited for within the transaction. Events get their time, identifiers and signatures before
//!    it; within it every decision is taken once more, on what is recorded then, and must come out the same.
//! 4. A retry keeps what has not changed: generated keys, signatures over the same bytes, the answer to the same question.
//! 5. What was recorded stays recorded: that the head was not signed, or that nothing was published, is part of the
//!    [`Outcome`], never an error.

mod commit;
mod draft;
mod front;
mod outcome;
mod pipeline;
mod policy;
mod port;
mod prerequisite;
mod publication;
mod signing;

pub use commit::{AppendedEvent, Commit, CommitError};
pub(crate) use commit::{Decision, Signature, Stamped, stamp};
pub use draft::{Draft, DraftKey, SignedCommand, Signing};
pub use front::{Answer, ClockJump, Front, NoFront, Question};
pub use outcome::{ActError, Outcome};
pub use pipeline::{ATTEMPTS, Intent, Pipeline, rehearse};
pub use policy::{Denial, Evidence, Policy, Verdict};
pub use port::{Head, Journal, NoTexts, Texts, Tip};
pub use prerequisite::{Fulfilment, Prerequisite};
pub use publication::{NoPublisher, Obstacle, Publication, Publisher, RunningSync};
pub use signing::{ActSigner, Later, Scope, Signers, SigningError};
