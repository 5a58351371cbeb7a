//! What speaks to the outside.

pub mod message;
pub mod object_store;
