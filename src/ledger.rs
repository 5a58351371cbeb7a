//! What is recorded, and what may follow it: pure, without disk, clock or randomness.
//!
//! - An [`Entity`] is what the events so far say of one organisation, person, key and so on.
//! - A [`View`] looks entities up. The in-memory [`State`] is one, the store's tables are another, and an [`Overlay`] is
//!   one of them with changes that are not recorded yet.
//! - [`decide`] takes a [`Command`] and answers with the events that it leads to ([`EventDraft`]), or with a [`Refusal`]
//!   that says why not and what to do. No event means that all is as commanded already.
//! - [`evolve`] takes a recorded event and answers with the [`Change`]s of entities that it makes. State and tables apply
//!   the same changes, so that a replay equals them.
//!
//! Entities are looked up one by one: a decision costs the same in a ledger of ten events as in one of ten million.
//!
//! An event of an unknown type or schema changes no facts. It marks the entities that its causes concern, and no decision
//! is taken about an entity that bears such a mark.

mod attestation;
mod cid_text;
mod command;
mod decide;
mod entity;
mod evolve;
mod facts;
mod lifecycle;
pub mod lookup;
mod nats;
mod reference;
mod refusal;
mod rehearsal;
mod standing;
mod state;
mod stated;
mod view;

pub use attestation::{is_about_the_ledgers_key, may_be_required};
pub use command::{Cause, Command, EventDraft, NatsCommand};
pub use decide::decide;
pub use entity::{Ended, Entity, How};
pub use evolve::{concerns, evolve};
pub use facts::{AttestationFacts, Facts, KeyFacts, LedgerFacts, RecipientFacts, Revocation, Standing};
pub use nats::{AccountFacts, OperatorFacts, PushFacts, SignedFacts, TokenFacts, UserFacts};
pub use reference::{EntityRef, Index, Kind, NameKey};
pub use refusal::Refusal;
pub use rehearsal::{Rehearsal, decide_all};
pub use standing::standing;
pub use state::{Overlay, State};
pub use view::{Change, Entities, View, ViewError};
