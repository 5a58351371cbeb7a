//! A build without the feature `nats-client`: events wait for one that has it.

use std::time::Instant;

use crate::act::{Obstacle, Publication};
use crate::config::NatsConfig;
use crate::store::Store;

pub(super) fn publish(_: &Store, _: &NatsConfig, _: Instant) -> Result<Publication, Obstacle> {
    Err(Obstacle::NoPublisher)
}
