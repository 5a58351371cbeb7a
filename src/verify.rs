//! Verification: what every copy of a history is held to, and the one report that says what was found.
//!
//! A ledger on disk, an archive and a stream are read in ways of their own. What they are judged by is here: [`Report`] and
//! its [`Problem`]s, each with the [`Layer`] and the position that it concerns; the judgement of one block; the keys that a
//! history says its heads are signed with; and the threads that the work is spread over.
//!
//! Nothing here reads a file or a database.

mod block;
mod heads;
mod layer;
mod pipeline;
mod report;

pub use heads::Heads;
pub use layer::Layer;
pub use report::{Problem, Report};

pub(crate) use block::{LedgerFact, Verdict, judge};
pub(crate) use heads::{HeadToJudge, HeadVerdict, judge_head};
pub(crate) use pipeline::{Stages, run};
