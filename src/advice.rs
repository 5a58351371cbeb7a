//! What kind of failure an error is, and what to do next about it: as data, for a front end to render. A command line renders
//! exit codes and commands, a page links.
//!
//! An error's own text says what was tried and why it failed. It names no command, and nothing is cut out of it.

/// What kind of failure an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something failed that is none of the others: a file, a disk, a lock.
    Failed,
    /// What was given is wrong: an argument, a file, a configuration.
    Usage,
    /// The domain or a policy says no.
    Refused,
    /// A check found something that is not as it was recorded, or not signed as it must be.
    Verification,
    /// A server can't be reached.
    Unreachable,
}

/// What to do next. No text from outside is in it, except in values that are named as such.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Something to do, in words of the program.
    Do(&'static str),
    /// An act of this program, and what it does for the user: "shows those that are there".
    Run(Action, &'static str),
    /// What was probably meant: a name from outside.
    Near(String),
}

/// An act of this program that an error may advise. Values in it are data: a front end quotes them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Listing what is recorded of a kind: the kind's word.
    List(&'static str),
    /// Recording an organisation.
    AddOrganization,
}

/// An error that a front end can explain.
pub trait Explained: std::error::Error {
    /// What kind of failure it is.
    fn kind(&self) -> ErrorKind;

    /// What to do next, the most likely first.
    fn advice(&self) -> Vec<Advice>;
}
