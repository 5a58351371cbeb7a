//! Policies: who may do what. The pipeline asks them ([`crate::act::Policy`]); what is recorded decides what they say.

mod signatures;

use std::sync::Arc;

pub use signatures::SignatureRequirement;

use crate::act::Policy;

/// The policy of every ledger: signatures where they are required.
#[must_use]
pub fn built_in() -> Arc<dyn Policy> {
    Arc::new(SignatureRequirement)
}
