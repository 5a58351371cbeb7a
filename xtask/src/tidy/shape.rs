//! The shape of files: their length, their place, and which module may know which.

use std::collections::BTreeSet;

use super::{File, Finding};

/// A file reads in one sitting.
const LONGEST: usize = 600;

/// What a module must not import, so that data runs one way.
const LAYERS: &[(&str, &[&str])] = &[
    ("src/ids", &["events", "ipld_support", "ledger", "store", "queue", "delivery", "adapters", "custody", "app"]),
    ("src/events", &["ledger", "store", "queue", "delivery", "adapters", "custody", "keys", "app"]),
    ("src/ipld_support", &["ledger", "store", "queue", "delivery", "adapters", "custody", "keys", "app"]),
    ("src/ledger", &["store", "queue", "delivery", "adapters", "custody", "keys", "app"]),
    ("src/delivery", &["ledger", "store", "queue", "adapters", "custody", "keys", "app"]),
    ("src/queue", &["ledger", "store", "adapters", "custody", "keys", "app"]),
    ("src/store", &["queue", "adapters", "custody", "keys", "app"]),
    ("src/verify", &["store", "queue", "delivery", "adapters", "custody", "keys", "app"]),
    ("src/custody", &["ledger", "store", "queue", "delivery", "adapters", "keys", "app"]),
    ("src/keys", &["store", "queue", "delivery", "adapters", "app"]),
    ("src/adapters", &["ledger", "store", "custody", "keys", "app"]),
];

/// What only the programs do: the library reads no environment and prints nothing.
const PROGRAMS_ONLY: [&str; 7] =
    ["std::env::", "env::var", "println!(", "eprintln!(", "print!(", "std::io::stdin", "home_dir"];

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    if file.path.ends_with(".rs") && !file.is_test() {
        let lines = file.product_lines().count();
        if lines > LONGEST {
            findings.push(Finding::of(file, format_args!("{lines} lines before its tests; {LONGEST} at most")));
        }
    }
    let transcript = file.path.contains("/cmd/") || file.path.ends_with(".trycmd") || file.path.ends_with(".toml");
    for (i, line) in file.text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) && !transcript {
            findings.push(Finding::at(file, i + 1, "white space at the end of the line"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') && !transcript {
        findings.push(Finding::of(file, "no newline at the end of the file"));
    }
    if file.path.starts_with("src/") && file.is_rust() && !file.is_test() {
        layers(file, findings);
        library_only(file, findings);
    }
}

fn layers(file: &File, findings: &mut Vec<Finding>) {
    let Some((layer, forbidden)) = LAYERS.iter().find(|(layer, _)| file.path.starts_with(layer)) else { return };
    for (number, line) in file.product_lines() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for module in *forbidden {
            let import = format!("crate::{module}");
            let named = line.match_indices(&import).any(|(at, _)| {
                let rest = &line[at + import.len()..];
                !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
            });
            if named {
                findings.push(Finding::at(file, number, format_args!("{layer} must not know {module}")));
            }
        }
    }
}

fn library_only(file: &File, findings: &mut Vec<Finding>) {
    for (number, line) in file.product_lines() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        if let Some(what) = PROGRAMS_ONLY.iter().find(|what| line.contains(**what)) {
            findings.push(Finding::at(file, number, format_args!("the library does not use {what}; a program may")));
        }
    }
}

/// Rules over all files together.
pub(super) fn check_all(files: &[File], findings: &mut Vec<Finding>) {
    orphans(files, findings);
    manifests(files, findings);
    links(files, findings);
    named_tests(files, findings);
}

/// Each test that the table of faults names is there: `outages::a_slow_server_gets_everything_slowly`.
fn named_tests(files: &[File], findings: &mut Vec<Finding>) {
    for file in files.iter().filter(|file| file.path == "docs/NATS_INTEGRATION.md") {
        let table = file.text.lines().enumerate().filter(|(_, line)| line.starts_with('|'));
        for (number, name) in table.flat_map(|(i, line)| line.split('`').skip(1).step_by(2).map(move |n| (i + 1, n))) {
            let Some((module, test)) = name.split_once("::") else { continue };
            if !test.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
                continue;
            }
            let places = [format!("tests/nats/{module}.rs"), format!("tests/{module}.rs")];
            let function = format!("fn {test}(");
            let there = files.iter().any(|file| places.contains(&file.path) && file.text.contains(&function));
            if !there {
                findings.push(Finding::at(file, number, format_args!("there is no test {name}")));
            }
        }
    }
}

/// Every source file is a module of something: cargo does not see one that is not.
fn orphans(files: &[File], findings: &mut Vec<Finding>) {
    let roots = ["lib.rs", "main.rs", "build.rs", "mod.rs"];
    for file in files.iter().filter(|file| file.is_rust() && file.path.contains("src/")) {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        if roots.contains(&name) || folder.ends_with("/bin") || folder.ends_with("src/bin") {
            continue;
        }
        let module = name.trim_end_matches(".rs");
        let parents = [
            format!("{folder}.rs"),
            format!("{folder}/lib.rs"),
            format!("{folder}/main.rs"),
            format!("{folder}/mod.rs"),
        ];
        let declared = files.iter().filter(|parent| parents.contains(&parent.path)).any(|parent| {
            parent.text.lines().any(|line| {
                let line = line.trim();
                line == format!("mod {module};")
                    || (line.starts_with("#[") && line.contains("path = \"") && line.contains(&format!("{name}\"")))
                    || (line.ends_with(&format!(" mod {module};")) && !line.starts_with("//"))
            })
        });
        if !declared {
            findings.push(Finding::of(file, format_args!("no `mod {module};` names this file")));
        }
    }
}

/// Every package takes the workspace's lints, which forbid unsafe code.
fn manifests(files: &[File], findings: &mut Vec<Finding>) {
    for file in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let own = file.path == "Cargo.toml";
        if own && !file.text.contains("unsafe_code = \"forbid\"") {
            findings.push(Finding::of(file, "the workspace must forbid unsafe code"));
        }
        let outside = file.path.starts_with("fuzz/");
        if !outside && !file.text.contains("[lints]\nworkspace = true") {
            findings.push(Finding::of(file, "takes no `[lints] workspace = true`"));
        }
    }
}

/// A link in a document leads to a file that is there.
fn links(files: &[File], findings: &mut Vec<Finding>) {
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in file.text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let path = resolve(folder, target);
                let there = known.contains(path.as_str())
                    || known.iter().any(|known| known.starts_with(&format!("{}/", path.trim_end_matches('/'))))
                    || path.starts_with("LICENSE");
                if !there {
                    findings.push(Finding::at(file, number + 1, format_args!("the link to {target} leads nowhere")));
                }
            }
        }
    }
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
