//! The shape of files: their length, their place, and what only some of them may name.

use std::collections::BTreeSet;

use super::{File, Finding};

/// A file reads in one sitting.
const LONGEST: usize = 600;

/// Where acts are recorded: only the pipeline and the stores that it records in give and take [`COMMITS`].
const RECORDS: [&str; 2] = ["src/act", "src/store"];

/// What the pipeline gives to a journal.
const COMMITS: &str = "Commit";

/// What is recorded in by whoever has it: a method of it that records goes around the pipeline.
const JOURNALS: [&str; 5] = ["store", "store()", "session", "journal", "ledger"];

/// Where private keys are: everything else asks a key ring for a signer.
const KEEPS_KEYS: [&str; 2] = ["src/keys", "src/custody"];

/// The types of private keys.
const PRIVATE: [&str; 2] = ["PrivateKey", "SoftwareKey"];

/// What made an act by hand before there was a pipeline.
const BY_HAND: [&str; 2] = ["fn act_in", "struct Work"];

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
        library_only(file, findings);
    }
    let product = file.path.starts_with("src/") || file.path.starts_with("crates/cim-keys-cli/src/");
    if product && file.is_rust() && !file.is_test() {
        one_pipeline(file, findings);
    }
}

/// Every act goes through the pipeline, and nothing outside of what keeps private keys holds one.
fn one_pipeline(file: &File, findings: &mut Vec<Finding>) {
    let within = |places: &[&str]| places.iter().any(|place| file.path.starts_with(place));
    let front = is_front(file);
    for (number, line) in file.product_lines() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let mut at = |problem: &dyn std::fmt::Display| findings.push(Finding::at(file, number, problem));
        if !within(&RECORDS) {
            // The adapters' own protocol has a commit, and they must not know the pipeline at all.
            let commits = !file.path.starts_with("src/adapters") && names(line, COMMITS);
            if commits || line.contains(".execute(") || records(line) {
                at(&"what is recorded goes through `act::Pipeline`, which alone commits");
            }
            if let Some(what) = BY_HAND.iter().find(|what| names(line, what)) {
                at(&format_args!("`{what}` makes acts by hand; `act::Pipeline` makes them"));
            }
            if names(line, "ClockJump") && !front {
                at(&"the pipeline asks about a jump of the clock, through the one front of the command line");
            }
        }
        let signing_key = line.contains("ed25519_dalek") && names(line, "SigningKey");
        if !within(&KEEPS_KEYS)
            && let Some(what) = PRIVATE.iter().find(|what| names(line, what)).or(signing_key.then_some(&"SigningKey"))
        {
            at(&format_args!("`{what}` is a private key; ask a `keys::KeyRing` for a signer"));
        }
    }
}

/// Whether a file is where the command line answers the pipeline's questions.
fn is_front(file: &File) -> bool {
    file.path.starts_with("crates/cim-keys-cli/src/") && file.product_lines().any(|(_, line)| implements_front(line))
}

fn implements_front(line: &str) -> bool {
    line.starts_with("impl") && (line.contains(" Front for ") || line.contains("::Front for "))
}

/// Whether a line names something as a whole word.
fn names(line: &str, what: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(what).any(|(at, _)| !line[..at].ends_with(part) && !line[at + what.len()..].starts_with(part))
}

/// Whether a line calls `record` or `record_…` of what acts are recorded in.
fn records(line: &str) -> bool {
    line.match_indices(".record").any(|(at, dot)| {
        let (before, after) = (&line[..at], &line[at + dot.len()..]);
        let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let called = after[name.len()..].starts_with('(') && (name.is_empty() || name.starts_with('_'));
        called && JOURNALS.iter().any(|journal| before.ends_with(journal))
    })
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
    one_front(files, findings);
}

/// The pipeline's questions are answered in one place.
fn one_front(files: &[File], findings: &mut Vec<Finding>) {
    for file in files.iter().filter(|file| file.is_rust() && !file.is_test() && is_front(file)).skip(1) {
        findings
            .push(Finding::of(file, "another file answers the pipeline's questions; the command line has one front"));
    }
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
            let places = ["servers/nats", "servers", "library"].map(|folder| format!("tests/{folder}/{module}.rs"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        one_pipeline(&File { path: path.to_owned(), text: text.to_owned() }, &mut findings);
        findings.len()
    }

    #[test]
    fn what_goes_around_the_pipeline_is_found() {
        let around = [
            "session.store().execute(context, commands)?;",
            "store.record(events, blobs)?;",
            "self.store.record_sealed(x)?;",
            "session.record(&look)?;",
            "fn commit(&self, act: Commit) {}",
            "use crate::act::{Commit, Journal};",
            "pub(super) fn act_in<T>(",
            "struct Work<'w> {",
            "Err(ActError::ClockJump { jump, .. }) => {}",
        ];
        for line in around {
            assert_eq!(findings("src/app/x.rs", line), 1, "{line}");
            assert_eq!(findings("crates/cim-keys-cli/src/x.rs", line), 1, "{line}");
            assert_eq!(findings("src/store/x.rs", line) + findings("src/act/x.rs", line), 0, "{line}");
        }
        let fine = [
            "mirror.record(first, events, blobs)?;",
            "self.record(signed)?;",
            "store.recorded(x); store.record_count",
            "pipeline.act_in_two_steps(x)",
            "Err(CommitError::Moved)",
            "// Store::execute(",
        ];
        for line in fine {
            assert_eq!(findings("src/app/x.rs", line), 0, "{line}");
        }
        assert_eq!(findings("src/adapters/x.rs", "Operation::Commit"), 0);
        let front = "impl Front for Terminal {\n    ActError::ClockJump\n}\n";
        assert_eq!(findings("crates/cim-keys-cli/src/front.rs", front), 0);
        assert_eq!(findings("src/app/x.rs", front), 1);
    }

    #[test]
    fn private_keys_outside_of_what_keeps_them_are_found() {
        for line in ["PrivateKey::parse(x)", "SoftwareKey::new(key)", "use ed25519_dalek::SigningKey;"] {
            assert_eq!(findings("src/app/x.rs", line), 1, "{line}");
            assert_eq!(findings("src/keys/x.rs", line) + findings("src/custody/x.rs", line), 0, "{line}");
        }
        for line in ["use ed25519_dalek::VerifyingKey;", "Kind::SigningKey", "NewSigningKey", "/// A PrivateKey"] {
            assert_eq!(findings("src/app/x.rs", line), 0, "{line}");
        }
    }
}
