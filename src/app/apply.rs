//! `apply`: brings a ledger to what a file declares.

mod base;
mod check;
mod entries;
mod find;
pub mod manifest;
mod plan;
pub mod read;
mod reader;
mod steps;

#[cfg(test)]
mod tests;

pub use manifest::Manifest;
pub use plan::{Action, FieldChange, Options, Plan, PlanError, Remark, Step};
pub use read::{Files, InvalidManifest, read};
pub use reader::Problem;
