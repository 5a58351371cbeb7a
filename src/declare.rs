//! The planner: from an apply file to the steps that bring a ledger to what the file declares.
//!
//! [`read()`](read::read) gives a [`Manifest`], [`plan()`] compares it with what was applied last and with what is recorded, and
//! the steps say what is to be done. Each domain has a section of the file.

mod base;
mod check;
pub(crate) mod entries;
mod find;
pub mod manifest;
pub(crate) mod nats;
mod plan;
pub mod read;
mod reader;
mod saved;
mod section;
mod steps;

#[cfg(test)]
mod tests;

pub(crate) use base::Base;
pub use entries::Fields;
pub(crate) use entries::Ids;
pub use manifest::Manifest;
pub use plan::{Action, FieldChange, Minted, Options, Plan, PlanError, Remark, Request, Step};
pub(crate) use plan::{Planned, plan};
pub use read::{Files, InvalidManifest, read};
pub use reader::Problem;
pub use saved::{InvalidPlan, MAX_PLAN_BYTES, SavedPlan};
pub use section::{Section, SectionStep};
pub(crate) use steps::Act;
