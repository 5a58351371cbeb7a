//! Texts as tests write them down.
//!
//! Each of these panics when the text is none of its kind.
#![allow(clippy::missing_panics_doc)]

use cim_keys::text::{Label, Name, Note};

/// A label.
#[must_use]
pub fn label(text: &str) -> Label {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A name.
#[must_use]
pub fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A note.
#[must_use]
pub fn note(text: &str) -> Note {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
