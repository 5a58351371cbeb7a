//! The `[nats]` part of an apply: operators, accounts, roles, users and fleets as entries of a manifest.

mod act;
mod check;
mod claims;
mod entries;
mod read;
mod recorded;

pub(super) use act::{NatsStep, Runner};
pub(super) use check::check;
pub(super) use entries::{copy, entry, find, leaves, paths};
pub(super) use read::read;
pub(super) use recorded::recorded;

use crate::ledger::Kind;

/// Whether entries of a kind stand under `[nats]`.
pub(super) const fn is_ours(kind: Kind) -> bool {
    matches!(kind, Kind::Operator | Kind::Account | Kind::SigningKey | Kind::User)
}
