//! Delivery: exactly once, in order, however long the outage.

pub mod outbox;
