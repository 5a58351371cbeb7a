//! `docs/NATS_INTEGRATION.md` says what the code does: its tables are made from the code, and its examples run.
//!
//! `CIM_KEYS_UPDATE_DOCS=1 cargo test --workspace --test nats_documentation` writes the tables anew.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::PathBuf;

use cim_keys::config::{Config, KEYS};
use cim_keys::events::{Aggregate, EventData};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/NATS_INTEGRATION.md")
}

/// What stands between two marks, without the line feeds at its ends.
fn section<'t>(text: &'t str, mark: &str) -> &'t str {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let start = text.find(&begin).unwrap_or_else(|| panic!("no mark {begin}")) + begin.len();
    &text[start..start + text[start..].find(&end).unwrap_or_else(|| panic!("no mark {end}"))]
}

/// The content of the first fenced block of a text.
fn fenced(text: &str) -> &str {
    let start = text.find("```").unwrap();
    let start = start + text[start..].find('\n').unwrap() + 1;
    &text[start..start + text[start..].find("\n```").unwrap() + 1]
}

#[track_caller]
fn is_made_from_the_code(mark: &str, expected: &str) {
    let text = std::fs::read_to_string(path()).unwrap();
    let there = section(&text, mark);
    if there == expected {
        return;
    }
    assert!(
        std::env::var_os("CIM_KEYS_UPDATE_DOCS").is_some(),
        "the table \"{mark}\" of docs/NATS_INTEGRATION.md is not what the code says; run this test with CIM_KEYS_UPDATE_DOCS=1"
    );
    let start = there.as_ptr() as usize - text.as_ptr() as usize;
    let new = format!("{}{expected}{}", &text[..start], &text[start + there.len()..]);
    std::fs::write(path(), new).unwrap();
}

#[test]
fn the_tables_are_made_from_the_code() {
    let mut keys = String::from("| key | default | what it does |\n|---|---|---|\n");
    for key in KEYS {
        let default = key.default().map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
        writeln!(keys, "| `{}` | {default} | {} |", key.name, key.doc.replace('|', "\\|")).unwrap();
    }
    is_made_from_the_code("keys", &keys);
    let mut subjects = String::from("| aggregate | last tokens |\n|---|---|\n");
    for aggregate in Aggregate::ALL {
        let types = EventData::KNOWN.iter().filter(|(of, _, _)| of == aggregate);
        let types: Vec<_> = types.map(|(_, event_type, _)| format!("`{}`", event_type.to_lowercase())).collect();
        writeln!(subjects, "| `{aggregate}` | {} |", types.join(", ")).unwrap();
    }
    is_made_from_the_code("subjects", &subjects);
}

#[test]
fn the_configuration_that_is_shown_loads() {
    let text = std::fs::read_to_string(path()).unwrap();
    let shown = &text[text.find("```toml").unwrap()..];
    let config = Config::from_toml(fenced(shown)).unwrap();
    assert_eq!(config.nats.credentials_file, Some(PathBuf::from("/path/to/nats.creds")));
}
