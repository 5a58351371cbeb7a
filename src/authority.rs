//! What an authority does, through the pipeline: keys are made, and NATS identities are issued with them.

pub mod keys;
pub mod nats;
