//! What the tests rely on.
#![allow(clippy::unwrap_used)]

mod check;
mod servers;
