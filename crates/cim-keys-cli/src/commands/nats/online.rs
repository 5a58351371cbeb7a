//! `nats push`, `nats diff` and `nats pull`: what servers hold, over their system account.

mod args;
#[cfg(feature = "nats-client")]
mod asking;
#[cfg(feature = "nats-client")]
mod delete;
#[cfg(feature = "nats-client")]
mod diff;
#[cfg(not(feature = "nats-client"))]
mod disabled;
#[cfg(feature = "nats-client")]
mod pull;
#[cfg(feature = "nats-client")]
mod push;

pub(crate) use args::{DiffArgs, PullArgs, PushArgs};
#[cfg(not(feature = "nats-client"))]
pub(crate) use disabled::{diff, pull, push};
#[cfg(feature = "nats-client")]
pub(crate) use {diff::diff, pull::pull, push::push};
