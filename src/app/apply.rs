//! `apply`: brings a ledger to what a file declares.

mod base;
mod check;
mod entries;
mod execute;
mod find;
pub mod manifest;
mod nats;
mod plan;
pub mod read;
mod reader;
mod saved;
mod steps;

#[cfg(test)]
mod tests;

pub use execute::{
    ApplyError, Before, Prepared, Request, Reviewed, apply, before, prepare, prepare_new, prepare_saved,
};
pub use manifest::Manifest;
pub use plan::{Action, FieldChange, Minted, Options, Plan, PlanError, Remark, Step};
pub use read::{Files, InvalidManifest, read};
pub use reader::Problem;
pub use saved::{InvalidPlan, MAX_PLAN_BYTES, SavedPlan};
