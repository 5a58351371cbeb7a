//! The rooms of the library, and what each may import: data runs one way, and imports run the other.

use super::Finding;
use super::imports::{Crate, Import};

/// What every room below the base itself may import.
const BASE: [&str; 6] = ["advice", "text", "time", "ids", "files", "parallel"];

/// Every room, lower ones first, with the lower ones that it may import besides [`BASE`].
const ROOMS: &[(&str, &[&str])] = &[
    ("advice", &[]),
    ("text", &[]),
    ("time", &["text"]),
    ("ids", &["text"]),
    ("files", &["ids"]),
    ("parallel", &[]),
    ("config", &[]),
    ("events", &[]),
    ("delivery", &[]),
    ("ipld_support", &["events"]),
    ("ledger", &["events"]),
    ("keys", &["events"]),
    ("queue", &["delivery", "events", "ipld_support"]),
    ("log", &["delivery", "events", "ipld_support", "keys"]),
    ("verify", &["events", "ipld_support", "log"]),
    ("archive", &["events", "ipld_support", "log"]),
    ("custody", &["keys"]),
    ("nats", &["events", "ipld_support", "keys"]),
    ("act", &["events", "ipld_support", "keys", "ledger"]),
    ("store", &["act", "delivery", "events", "ipld_support", "keys", "ledger", "log", "verify"]),
    ("policy", &["act", "events", "ledger"]),
    ("session", &["act", "custody", "events", "ipld_support", "keys", "ledger", "log", "policy", "store", "verify"]),
    ("declare", &["events", "ipld_support", "ledger", "nats"]),
    ("adapters", &["config", "delivery", "events", "ipld_support", "log", "queue"]),
    ("replica", &["adapters", "config", "delivery", "events", "ipld_support", "log", "session", "store", "verify"]),
    (
        "authority",
        &[
            "act",
            "adapters",
            "custody",
            "declare",
            "events",
            "ipld_support",
            "keys",
            "ledger",
            "nats",
            "session",
            "store",
        ],
    ),
    (
        "app",
        &[
            "act",
            "adapters",
            "archive",
            "authority",
            "config",
            "custody",
            "declare",
            "delivery",
            "events",
            "ipld_support",
            "keys",
            "ledger",
            "log",
            "nats",
            "policy",
            "replica",
            "session",
            "store",
            "verify",
        ],
    ),
    // Documentation alone.
    ("manual", &[]),
];

/// Parts of rooms that a room must not import, although it may import the room: those with private keys in them.
const NEVER: [(&str, &str, &str); 2] = [("store", "keys", "pair"), ("store", "keys", "xkey")];

pub(super) fn check(tree: &Crate<'_>, findings: &mut Vec<Finding>) {
    for (index, imports) in tree.imports.iter().enumerate() {
        let file = tree.files[index];
        let Some(room) = tree.module(index).first() else { continue };
        let Some(may) = may_import(room) else {
            findings.push(Finding::of(file, format_args!("the room {room} is not in the table of rooms")));
            continue;
        };
        for import in imports {
            let Some(to) = import.named.first().filter(|to| *to != room) else { continue };
            let named = import.named.join("::");
            if !may.contains(&to.as_str()) {
                let problem = format_args!("`{named}`: {room} must not import {to}");
                findings.push(Finding::at(file, import.line, problem));
            } else if let Some((_, _, part)) = NEVER.iter().find(|never| is_of(tree, import, room, never)) {
                let problem = format_args!("`{named}`: {room} must not import {to}::{part}");
                findings.push(Finding::at(file, import.line, problem));
            }
        }
    }
}

/// What a room may import; `None` for one that is not in the table.
fn may_import(room: &str) -> Option<Vec<&'static str>> {
    let (name, may) = ROOMS.iter().find(|(name, _)| *name == room)?;
    let base: &[&str] = if BASE.contains(name) { &[] } else { &BASE };
    Some(base.iter().chain(*may).copied().collect())
}

/// Whether an import is of such a part, by its own path or by a re-export.
fn is_of(tree: &Crate<'_>, import: &Import, room: &str, (of, from, part): &(&str, &str, &str)) -> bool {
    let is_part = |path: &[String]| matches!(path, [first, second, ..] if first == from && second == part);
    room == *of && (is_part(&import.named) || import.to.iter().any(|&file| is_part(tree.module(file))))
}

#[cfg(test)]
mod tests {
    use super::super::File;
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = File::all(files);
        let mut findings = Vec::new();
        check(&Crate::read(&files, "src", &mut findings), &mut findings);
        findings.into_iter().map(|Finding(finding)| finding).collect()
    }

    #[test]
    fn no_room_imports_one_that_stands_above_it() {
        for (index, (room, may)) in ROOMS.iter().enumerate() {
            let is_below = |other: &&str| ROOMS[..index].iter().any(|(below, _)| below == other);
            assert!(may.iter().all(is_below), "{room}");
            assert!(BASE.contains(room) || BASE.iter().all(is_below), "{room}");
        }
    }

    #[test]
    fn what_a_room_must_not_import_is_found_however_it_is_named() {
        let root = "pub mod custody;\npub mod events;\npub mod keys;\npub mod nats;\npub mod text;\n";
        let keys = ("src/keys.rs", "pub struct SecretBytes;\n");
        let custody = ("src/custody.rs", "pub use crate::keys::SecretBytes;\n");
        let others = [("src/lib.rs", root), keys, custody, ("src/events.rs", ""), ("src/text.rs", "")];
        let nats = |text| findings(&[&others[..], &[("src/nats.rs", text)]].concat());
        for wrong in [
            "use crate::custody::SecretBytes;\n",
            "use super::custody::SecretBytes;\n",
            "pub use crate::custody::SecretBytes;\n",
            "fn f(_: crate::custody::SecretBytes) {}\n",
            "mod a {\n use super::super::custody;\n}\n",
            "fn f() { print(matches!(x, crate::custody::SecretBytes)) }\n",
        ] {
            let found = nats(wrong);
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
            assert!(found[0].contains("nats must not import custody"), "{found:?}");
        }
        for right in [
            "use crate::keys::SecretBytes;\nuse crate::text;\n",
            "//! [`crate::custody`]\n// crate::custody::SecretBytes\n/// crate::custody\nfn f() {}\n",
            "#[cfg(test)]\nmod tests {\n use crate::custody::SecretBytes;\n}\n",
            "pub(in crate::custody) fn f() {}\n",
        ] {
            assert_eq!(nats(right), Vec::<String>::new(), "{right}");
        }
    }

    #[test]
    fn a_room_that_is_not_in_the_table_is_found() {
        let found = findings(&[("src/lib.rs", "mod attic;\n"), ("src/attic.rs", "")]);
        assert_eq!(found, ["src/attic.rs: the room attic is not in the table of rooms"]);
    }

    #[test]
    fn private_keys_are_found_behind_a_re_export() {
        let root = ("src/lib.rs", "mod keys;\nmod store;\n");
        let keys = ("src/keys.rs", "mod kind;\npub mod pair;\npub use kind::Kind;\npub use pair::generate;\n");
        let parts = [("src/keys/kind.rs", "pub enum Kind {}\n"), ("src/keys/pair.rs", "pub fn generate() {}\n")];
        let store = |text| findings(&[&[root, keys][..], &parts, &[("src/store.rs", text)]].concat());
        for wrong in ["use crate::keys::pair::generate;\n", "use crate::keys::generate;\n", "use crate::keys::pair;\n"]
        {
            assert_eq!(store(wrong).len(), 1, "{wrong}");
        }
        assert_eq!(store("use crate::keys::Kind;\n"), Vec::<String>::new());
    }
}
