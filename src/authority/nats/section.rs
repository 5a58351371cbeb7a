//! The `[nats]` section of an apply file: what of it is recorded, and how its steps are taken.

mod act;
mod recorded;

use std::collections::HashMap;

use uuid::Uuid;

pub(crate) use act::Runner;

use crate::declare::{EntryPath, Fields, PlanError, Section};
use crate::ledger::{Entity, Kind, View};

/// The entries under `[nats]`: operators, accounts, roles and users.
pub(crate) struct NatsSection;

impl Section for NatsSection {
    fn owns(&self, kind: Kind) -> bool {
        crate::declare::nats::is_ours(kind)
    }

    fn recorded(
        &self,
        view: &dyn View,
        entity: &Entity,
        paths: &HashMap<Uuid, EntryPath>,
        entry: &Fields,
    ) -> Result<Fields, PlanError> {
        recorded::recorded(view, entity, paths, entry)
    }
}
