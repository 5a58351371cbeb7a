//! NATS identities: operators, accounts, users, their signing keys and tokens.

mod decide;
mod evolve;
mod facts;

pub(super) use decide::decide;
pub(super) use evolve::{concerns, evolve};
pub use facts::{AccountFacts, OperatorFacts, PushFacts, SignedFacts, TokenFacts, UserFacts};
