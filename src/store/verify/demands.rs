//! What a ledger is held to, and who is told of what is found on the way.

use crate::log::{Policy, SignedCheckpoint};

/// How much is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent<'a> {
    /// Everything that can be checked event by event.
    #[default]
    Events,
    /// That, SQLite's own check of every page and index, and the tables of entities against a replay of all events.
    Deep,
    /// What came after a checkpoint that was verified before, and that it continues that.
    Since(&'a SignedCheckpoint),
}

/// What a ledger is held to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demands<'a> {
    /// How much is checked.
    pub extent: Extent<'a>,
    /// A checkpoint that came on another way: the ledger must have the same history.
    pub against: Option<&'a SignedCheckpoint>,
    /// Whose signatures are demanded: at least one head must satisfy it.
    pub policy: Option<&'a Policy>,
}

/// What this machine remembers of the ledger, outside of its folder.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest head that was signed here.
    pub(super) signed: Option<SignedCheckpoint>,
    /// What there is to say about it.
    pub(super) problem: Option<String>,
}

/// What is called now and then with how many events were checked, and how many there are.
pub(super) type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// What is called with the type and the actor of each event that reads, in order.
pub(super) type See<'a> = &'a mut dyn FnMut(&str, &str);
