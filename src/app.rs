//! Use cases: what the command line and any other front end can do, one file each.
//!
//! Nothing here prints, asks, or reads the environment; a front end does that and calls these functions.

pub mod apply;
