//! Bytes and sections of an archive, and its table of contents made anew.

use cim_keys::archive::{CarReader, CarWriter};
use cim_keys::events::Link;
use cim_keys::ipld_support::{canonical_bytes, cid_of_blob, cid_of_block, decode_block};
use cim_keys::log::Checkpoint;
use ipld_core::ipld::Ipld;

use super::history::{History, invented, rewritten, secret, signer};
use super::random::Random;
use super::{Outcome, Told};

/// An archive in parts: its roots, then each section's identifier and block.
#[derive(Clone)]
struct Parts {
    roots: Vec<Link>,
    sections: Vec<(Link, Vec<u8>)>,
}

fn split(bytes: &[u8]) -> Option<Parts> {
    let mut reader = CarReader::new(bytes).ok()?;
    let roots = reader.roots().to_vec();
    let mut sections = Vec::new();
    while let Some((cid, block)) = reader.next_block().ok()? {
        sections.push((cid, block.to_vec()));
    }
    Some(Parts { roots, sections })
}

impl Parts {
    fn join(&self) -> Vec<u8> {
        let mut writer = CarWriter::new(Vec::new(), &self.roots).unwrap();
        for (cid, block) in &self.sections {
            writer.block(cid, block).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Changes the table of contents, and what names it, as somebody does who knows the format.
    fn contents(&mut self, change: impl FnOnce(&mut std::collections::BTreeMap<String, Ipld>)) {
        let Ok(Ipld::Map(mut contents)) = decode_block::<Ipld>(&self.sections[0].1) else { return };
        change(&mut contents);
        let head = contents.get("head").cloned();
        let block = canonical_bytes(&Ipld::Map(contents)).unwrap();
        let link = Link::new(cid_of_block(&block)).unwrap();
        self.sections[0] = (link, block);
        self.roots[1] = link;
        if let Some(Ipld::Link(head)) = head {
            self.roots[0] = Link::new(head).unwrap_or(self.roots[0]);
        }
    }
}

pub(crate) fn mutate(history: &History, random: &mut Random) -> Told {
    for _ in 0..200 {
        let (what, bytes) = act(history, random);
        if bytes != history.archive {
            return Told { what: format!("archive: {what}"), outcome: judge(history, &bytes) };
        }
    }
    Told { what: "archive".into(), outcome: Err("no act has any effect".into()) }
}

fn judge(history: &History, bytes: &[u8]) -> Result<Outcome, String> {
    let (report, verified) = history.verify_archive(bytes);
    if !report.ok() {
        return Ok(Outcome::Found(report.problems.iter().map(|problem| problem.layer.as_str()).collect()));
    }
    // What passes says the same: the same events, the same raw blocks, up to the same head with the same signatures.
    // What stands behind the newest head is signed by nobody, and the report says how much that is.
    let covered = history.events.len();
    let said = |bytes| split(bytes).map(|parts| parts.sections[1..=covered].to_vec());
    let raw = |bytes| split(bytes).map(|parts| blobs(&parts).cloned().collect::<Vec<_>>());
    let satisfied = report.heads.satisfied.as_ref().map(|(size, _)| *size);
    let same = said(bytes) == said(&history.archive) && raw(bytes) == raw(&history.archive);
    let same = same && satisfied == Some(covered as u64) && report.heads.signed == satisfied;
    if verified && same { Ok(Outcome::Nothing) } else { Err("it passes".into()) }
}

fn act(history: &History, random: &mut Random) -> (&'static str, Vec<u8>) {
    let mut bytes = history.archive.clone();
    match random.below(12) {
        0..3 => {
            random.flip(&mut bytes);
            return ("flip a bit", bytes);
        }
        3 => {
            bytes.truncate(random.below(bytes.len()));
            return ("truncate", bytes);
        }
        4 => {
            let at = random.below(bytes.len());
            let end = (at + 1 + random.below(100)).min(bytes.len());
            if random.below(2) == 0 {
                bytes.drain(at..end);
                return ("drop a run of bytes", bytes);
            }
            bytes.extend_from_within(at..end);
            return ("duplicate a run of bytes at the end", bytes);
        }
        _ => {}
    }
    let mut parts = split(&bytes).unwrap();
    let what = if random.below(2) == 0 { section(&mut parts, random) } else { remade(history, &mut parts, random) };
    (what, parts.join())
}

/// Whole sections, each of which is sound by itself.
fn section(parts: &mut Parts, random: &mut Random) -> &'static str {
    let count = parts.sections.len();
    match random.below(5) {
        0 => {
            parts.sections.remove(random.below(count));
            "drop a section"
        }
        1 => {
            let (one, other) = random.two(count);
            parts.sections.swap(one, other);
            "swap two sections"
        }
        2 => {
            let copy = parts.sections[random.below(count)].clone();
            parts.sections.insert(random.below(count + 1), copy);
            "duplicate a section"
        }
        3 => {
            parts.sections.truncate(random.below(count));
            "truncate at a section"
        }
        _ => {
            let blob = random.next().to_le_bytes().to_vec();
            parts.sections.insert(random.below(count + 1), (Link::new(cid_of_blob(&blob)).unwrap(), blob));
            "put a section in"
        }
    }
}

/// Events or promises are exchanged, and everything that has no signature is made anew around them.
fn remade(history: &History, parts: &mut Parts, random: &mut Random) -> &'static str {
    let events = history.events.len();
    let at = 1 + random.below(events);
    let what = match random.below(7) {
        0 => {
            let event = rewritten(&history.events[at - 1], random.next() % 1_000);
            parts.sections[at] = (Link::new(event.cid).unwrap(), event.block().to_vec());
            "re-make: rewrite an event"
        }
        1 => {
            let event = invented(random.next() % 1_000);
            parts.sections.insert(events + 1, (Link::new(event.cid).unwrap(), event.block().to_vec()));
            parts.contents(|contents| drop(contents.insert("last".into(), Ipld::Integer(events as i128 + 1))));
            "re-make: append an event"
        }
        2 => {
            parts.sections.drain(at..=events);
            parts.contents(|contents| drop(contents.insert("last".into(), Ipld::Integer(at as i128 - 1))));
            "re-make: cut the end off"
        }
        3 => {
            let number = Ipld::Integer(i128::from(random.next() % 200));
            let field = *random.choose(&["first", "last", "blobs", "version"]);
            parts.contents(|contents| drop(contents.insert(field.into(), number)));
            return "contents: another number";
        }
        4 => {
            let field = *random.choose(&["root", "edge", "head", "checkpoints", "format"]);
            parts.contents(|contents| drop(contents.remove(field)));
            return "contents: a field is gone";
        }
        5 => {
            // The newest heads are exchanged for one that an intruder signs in the ledger's name.
            let intruder = secret("an intruder");
            let head: &Checkpoint = history.newest.checkpoint();
            let key = cim_keys::log::VerifierKey::new(
                head.origin.clone(),
                cim_keys::log::KeyKind::Ledger,
                intruder.verifying_key(),
            );
            let forged = head.sign(&key, &*signer(&intruder)).unwrap().to_string();
            parts.contents(|contents| {
                drop(contents.insert("checkpoints".into(), Ipld::List(vec![Ipld::String(forged)])));
            });
            return "contents: re-sign the head";
        }
        _ => {
            let flip = random.next();
            parts.contents(|contents| {
                if let Some(Ipld::List(notes)) = contents.get_mut("checkpoints")
                    && let Some(Ipld::String(note)) = notes.first_mut()
                {
                    let at = flip as usize % note.len();
                    if note.is_char_boundary(at) && note.is_char_boundary(at + 1) {
                        let other = if note.as_bytes()[at] == b'A' { "B" } else { "A" };
                        note.replace_range(at..=at, other);
                    }
                }
            });
            return "contents: change a head";
        }
    };
    let end = parts.sections.len() - blobs(parts).count();
    let (edge, head) = tree(&parts.sections[1..end]);
    parts.contents(|contents| {
        contents.insert("root".into(), Ipld::Bytes(edge.to_vec()));
        if let Some(head) = head {
            contents.insert("head".into(), Ipld::Link(*head.cid()));
        }
    });
    what
}

fn blobs(parts: &Parts) -> impl Iterator<Item = &(Link, Vec<u8>)> {
    parts.sections.iter().filter(|(cid, _)| cid.cid().codec() == 0x55)
}

fn tree(events: &[(Link, Vec<u8>)]) -> ([u8; 32], Option<Link>) {
    let mut edge = cim_keys::log::Edge::default();
    for (cid, _) in events {
        edge.push(cid.cid());
    }
    (edge.root(), events.last().map(|(cid, _)| *cid))
}
