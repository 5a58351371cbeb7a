//! Bytes and pages of the database file.

use rusqlite::{Connection, OpenFlags};

use super::history::{History, content};
use super::random::Random;
use super::{Outcome, Told};

const PAGE: usize = 8_192;

pub(crate) fn mutate(history: &History, random: &mut Random) -> Told {
    let mut bytes = history.database.clone();
    let pages = bytes.len() / PAGE;
    let page = |n: usize| n * PAGE..(n + 1) * PAGE;
    let what = match random.below(12) {
        0..5 => {
            random.flip(&mut bytes);
            "flip a bit"
        }
        5 => {
            // The headers of the file and of pages are small, and say the most.
            let at = random.below(pages) * PAGE;
            random.flip(&mut bytes[at..at + 112]);
            "flip a bit of a header"
        }
        6 => {
            let at = random.below(bytes.len());
            let end = (at + 1 + random.below(64)).min(bytes.len());
            bytes[at..end].fill(0);
            "zero a run of bytes"
        }
        7 => {
            let (one, other) = random.two(pages);
            let copy = bytes[page(one)].to_vec();
            bytes.copy_within(page(other), one * PAGE);
            bytes[page(other)].copy_from_slice(&copy);
            "swap two pages"
        }
        8 => {
            let (one, other) = random.two(pages);
            bytes.copy_within(page(one), other * PAGE);
            "duplicate a page over another"
        }
        9 => {
            bytes.truncate(random.below(bytes.len()));
            "truncate"
        }
        10 => {
            let at = random.below(pages);
            bytes.drain(page(at));
            "drop a page"
        }
        _ => {
            let at = random.below(pages);
            bytes[page(at)].fill(0);
            "zero a page"
        }
    };
    std::fs::write(history.path(), &bytes).unwrap();
    let outcome = match history.verify() {
        Ok(report) if report.ok() => same(history),
        Ok(report) => Ok(Outcome::Found(report.problems.iter().map(|problem| problem.layer.as_str()).collect())),
        Err(error) => Ok(Outcome::Refused(error)),
    };
    Told { what: format!("pages: {what}"), outcome }
}

/// What passes says all that was said before: it is free space, a counter, or what a stream is remembered to hold.
fn same(history: &History) -> Result<Outcome, String> {
    let connection = Connection::open_with_flags(history.path(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    match content(&connection) {
        Ok(content) if content == history.content => Ok(Outcome::Nothing),
        Ok(content) => {
            let other = content.iter().find(|line| !history.content.contains(line));
            Err(format!("it passes, and the ledger says something else: {other:?}"))
        }
        Err(error) => Err(format!("it passes, and can't be read: {error}")),
    }
}
