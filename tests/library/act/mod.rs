//! The pipeline of acts, and the use cases that go through it, on real stores with real custody.

mod support;

mod cannot_leave;
mod faulty;
mod order;
mod policies;
mod properties;
mod retry;
mod rollback;
mod two_steps;
