//! The planner: from an apply file to the steps that bring a ledger to what the file declares.
//!
//! [`read()`](read::read) gives a [`Manifest`], a [`Plan`] compares it with what was applied last and with what is recorded, and
//! the steps say what is to be done. Each domain has a section of the file.

mod base;
mod check;
mod entries;
mod fields;
mod find;
pub mod manifest;
pub(crate) mod nats;
mod path;
mod plan;
mod planner;
pub mod read;
mod reader;
mod resolve;
mod saved;
mod section;
mod steps;

#[cfg(test)]
mod tests;

pub(crate) use base::Base;
pub use fields::Fields;
pub(crate) use fields::json;
pub use manifest::Manifest;
pub use path::{EntryPath, Ids, InvalidPath, NatsPath, UnknownEntry};
pub use plan::{Action, FieldChange, Minted, Options, Plan, PlanError, Remark, Request, Step};
pub(crate) use planner::{Planned, plan};
pub use read::{Files, InvalidManifest, read};
pub use reader::Problem;
pub use saved::{InvalidPlan, MAX_PLAN_BYTES, SavedPlan};
pub use section::{Section, SectionStep};
pub(crate) use steps::Act;
