//! Policies: who may do what. The pipeline asks them ([`crate::act::Policy`]); what is recorded decides what they say.

mod signatures;

use std::sync::Arc;

pub use signatures::SignatureRequirement;

use crate::act::{Evidence, Policy, Verdict};
use crate::events::KeyEvent;
use crate::ledger::{View, ViewError};

/// Lets everything pass: for rehearsals, whose actor is not known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Policy for Open {
    fn judge(&self, _: &dyn View, _: &KeyEvent, _: &Evidence) -> Result<Verdict, ViewError> {
        Ok(Verdict::Allow)
    }
}

/// The policy of every ledger: signatures where they are required.
#[must_use]
pub fn built_in() -> Arc<dyn Policy> {
    Arc::new(SignatureRequirement)
}
