//! The `[nats]` part of an apply: operators, accounts, roles, users and fleets as entries of a manifest.

mod check;
pub(crate) mod claims;
pub(crate) mod entries;
mod read;

pub(super) use check::check;
pub(super) use entries::{copy, entry, find, leaves, paths};
pub(super) use read::read;

use crate::ledger::Kind;

/// Whether entries of a kind stand under `[nats]`.
pub(crate) const fn is_ours(kind: Kind) -> bool {
    matches!(kind, Kind::Operator | Kind::Account | Kind::SigningKey | Kind::User)
}
