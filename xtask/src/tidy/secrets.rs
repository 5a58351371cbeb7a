//! No secret is ever committed, not even one made for a test: tests make theirs.

use super::{File, Finding};

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    let mut lines = file.text.lines().enumerate().peekable();
    while let Some((i, line)) = lines.next() {
        let next_is_base64 = lines.peek().is_some_and(|(_, next)| is_base64(next.trim()));
        if line.contains("-----BEGIN ") && line.contains(concat!("PRIVATE ", "KEY-----")) && next_is_base64 {
            findings.push(Finding::at(file, i + 1, "a private key"));
        }
        for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
            if is_nats_seed(word) {
                findings.push(Finding::at(file, i + 1, "a NATS seed"));
            }
            if word.starts_with(concat!("AGE-SECRET", "-KEY-1")) && word.len() > 60 {
                findings.push(Finding::at(file, i + 1, "an age identity"));
            }
        }
    }
}

fn is_base64(line: &str) -> bool {
    line.len() >= 32 && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

/// `S`, the kind, 56 characters of base32.
fn is_nats_seed(word: &str) -> bool {
    let kind = word.as_bytes().get(1);
    word.len() == 58
        && word.starts_with('S')
        && kind.is_some_and(|kind| b"OAUNCXPS".contains(kind))
        && word.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
}
