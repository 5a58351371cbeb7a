//! What must not stand in any file: unfinished work, and names of machines.

use super::{File, Finding};

/// Marks of unfinished work. Written apart, so that this file does not find itself.
const UNFINISHED: [&str; 5] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK:"), concat!("dbg", "!(")];

/// Folders of one person's machine.
const MACHINE: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/us", "r/local/"),
    concat!("C:", "\\\\"),
];

/// Package registries are named by the ordinary clients' settings, never by us.
const REGISTRIES: [&str; 7] = [
    concat!("py", "pi.org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.np", "mjs"),
    concat!("static.cra", "tes.io"),
    concat!("index.cra", "tes.io"),
    concat!("deb.deb", "ian.org"),
    concat!("proxy.gol", "ang.org"),
];

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    for (i, line) in file.text.lines().enumerate() {
        for word in UNFINISHED {
            if line.contains(word) {
                findings.push(Finding::at(file, i + 1, format_args!("\"{word}\": finish it, or leave it out")));
            }
        }
        for folder in MACHINE {
            let alone = line.match_indices(folder).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '>'))
            });
            if alone {
                findings.push(Finding::at(file, i + 1, format_args!("\"{folder}\" is a folder of one machine")));
            }
        }
        for host in REGISTRIES {
            if line.contains(host) {
                findings.push(Finding::at(file, i + 1, format_args!("\"{host}\" is a registry's host")));
            }
        }
    }
}
