//! Verifying for an auditor: a ledger or an archive of one, in one report, and what the history is anchored to.

use std::io::Read;
use std::path::Path;

use super::archive::{self, Held, ImportError, Progress, VerifyError};
use crate::archive::{ArchiveError, CarError, Item};
use crate::log::{Policy, SignedCheckpoint, VerifierKey};
use crate::session::vouch::{self, Claims, Vouched};
use crate::store::{DatabaseError, Demands, Extent, OpenError, ReadError, Store};
use crate::verify::{HeadToJudge, Layer, Report, judge_head};

/// What a history is anchored to: who besides the ledger itself would notice if it were rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Anchor {
    /// The size of the newest head that the ledger's own key signed.
    pub signed: Option<u64>,
    /// How many events a stream has confirmed: subscribers may have seen them.
    pub published: u64,
    /// The heads that others have signed too, by size, with their names: the newest of each.
    pub cosigned: Vec<(u64, Vec<String>)>,
    /// The size of the newest head that satisfies the policy, where one was given.
    pub satisfied: Option<u64>,
    /// How many events no signed head covers.
    pub unsigned: u64,
}

impl Anchor {
    /// How many events somebody else has seen, or signed for: what whoever has the passphrase can't rewrite unnoticed.
    #[must_use]
    pub fn witnessed(&self) -> u64 {
        self.cosigned.iter().map(|(size, _)| *size).max().unwrap_or(0).max(self.published)
    }

    fn of(report: &Report, published: u64) -> Self {
        let mut cosigned: Vec<(u64, Vec<String>)> = Vec::new();
        let mut by_size: Vec<_> = report.heads.cosigned.iter().map(|(name, size)| (*size, name.clone())).collect();
        by_size.sort_unstable();
        for (size, name) in by_size {
            match cosigned.last_mut() {
                Some((same, names)) if *same == size => names.push(name),
                _ => cosigned.push((size, vec![name])),
            }
        }
        let signed = report.heads.signed;
        let satisfied = report.heads.satisfied.as_ref().map(|(size, _)| *size);
        Self { signed, published, cosigned, satisfied, unsigned: report.last.saturating_sub(signed.unwrap_or(0)) }
    }
}

/// What was found, and what it is anchored to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// What was found.
    pub report: Report,
    /// What the history is anchored to.
    pub anchor: Anchor,
    /// Who vouches for what; absent where something is wrong, and where only a part was verified.
    pub acts: Option<Vouched>,
}

/// Verifies a ledger, and where nothing is wrong looks at who signed what. What is damaged is not asked, nor is a part.
///
/// # Errors
/// When what was found to be whole can't be read a moment later.
pub fn ledger(store: &Store, demands: &Demands<'_>, progress: Progress<'_>) -> Result<Verified, ReadError> {
    let mut claims = Claims::default();
    let mut report = store.verify_seeing(demands, progress, &mut |event_type, actor| claims.see(event_type, actor));
    // What is damaged may not tell what was published.
    let anchor = Anchor::of(&report, store.published().unwrap_or(0));
    let mut acts = None;
    if report.ok() && !matches!(demands.extent, Extent::Since(_)) {
        let last = report.last;
        let vouched = vouch::vouched_among(store, &claims, &mut |done| progress(done, last))?;
        vouched.tell(&mut report);
        acts = Some(vouched);
    }
    Ok(Verified { report, anchor, acts })
}

/// A ledger that is too damaged to be opened, as a report; any other reason why it could not be opened is given back.
pub fn unreadable(error: OpenError) -> Result<Verified, OpenError> {
    let damaged = match &error {
        OpenError::NotALedger { .. } => true,
        OpenError::Database(error) => is_damage(error),
        _ => false,
    };
    if !damaged {
        return Err(error);
    }
    let mut report = Report::new(1);
    report.add(Layer::File, None, None, error.to_string());
    Ok(Verified { report, ..Verified::default() })
}

/// Whether it is about what the file holds, and not about the machine.
fn is_damage(error: &DatabaseError) -> bool {
    use rusqlite::ErrorCode;
    let DatabaseError::Sqlite { source, .. } = error else { return true };
    // A schema that does not parse has no code of its own.
    !matches!(
        source.sqlite_error_code(),
        Some(
            ErrorCode::PermissionDenied
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
                | ErrorCode::OperationInterrupted
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
        )
    )
}

/// What an archive is held to.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArchiveDemands<'a> {
    /// The ledger's key: at least one head must be signed with it.
    pub key: Option<&'a VerifierKey>,
    /// A checkpoint that came on another way: the archive must have the same history.
    pub against: Option<&'a SignedCheckpoint>,
    /// Whose signatures are demanded: at least one head must satisfy it.
    pub policy: Option<&'a Policy>,
}

/// What an archive was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveVerified {
    /// What was found.
    pub report: Report,
    /// What it is; absent where something is wrong.
    pub archive: Option<archive::Verified>,
    /// Who vouches for what; absent where something is wrong, and for a part, whose beginning would be needed.
    pub acts: Option<Vouched>,
}

/// Verifies an archive. Its damage is in the report; an error is only what keeps the file from being opened, or the disk from
/// holding a copy of it.
pub fn archive(
    path: &Path,
    demands: &ArchiveDemands<'_>,
    progress: Progress<'_>,
) -> Result<ArchiveVerified, ImportError> {
    let mut claims = Claims::default();
    let visit = |item: &Item<'_>| {
        if let Item::Event { envelope, .. } = item {
            claims.see(envelope.event_type, envelope.actor);
        }
    };
    let (mut report, archive) = examine(archive::open(path)?, demands, progress, visit);
    let mut acts = None;
    if let Some(verified) = archive.as_ref().filter(|verified| verified.first == 1 && report.ok()) {
        let vouched = match claims.unsigned() {
            Some(unsigned) => unsigned,
            None => archive::vouched(path, &mut |done| progress(done, verified.last))?,
        };
        vouched.tell(&mut report);
        acts = Some(vouched);
    }
    Ok(ArchiveVerified { report, archive, acts })
}

/// Verifies an archive that is read from anywhere. It ends at the first thing that is wrong.
pub fn archive_from(
    input: impl Read,
    demands: &ArchiveDemands<'_>,
    progress: Progress<'_>,
) -> (Report, Option<archive::Verified>) {
    examine(input, demands, progress, |_| {})
}

fn examine(
    input: impl Read,
    demands: &ArchiveDemands<'_>,
    progress: Progress<'_>,
    mut visit: impl FnMut(&Item<'_>),
) -> (Report, Option<archive::Verified>) {
    let held = Held { key: demands.key, against: demands.against };
    let mut events = 0;
    let mut report = Report::new(1);
    let mut told = |done, all| {
        events = done;
        progress(done, all);
    };
    let look = |item: &Item<'_>| {
        visit(item);
        Ok(())
    };
    let verified = match archive::verify(input, held, &mut told, look) {
        Ok(verified) => verified,
        Err(error) => {
            report.events = events;
            let (layer, position, cid) = place(&error);
            report.add(layer, position, cid, error.to_string());
            return (report, None);
        }
    };
    (report.first, report.last) = (verified.first, verified.last);
    report.events = verified.last + 1 - verified.first;
    report.blobs = verified.blobs;
    report.root = Some(verified.root);
    for ((event_type, schema), count) in &verified.unknown {
        (0..*count).for_each(|_| report.count_unknown(event_type, *schema));
    }
    heads(&verified, demands, &mut report);
    (report, Some(verified))
}

/// The heads of an archive whose roots agree with its events.
fn heads(verified: &archive::Verified, demands: &ArchiveDemands<'_>, report: &mut Report) {
    for head in verified.heads.iter().filter(|head| head.size() <= verified.last) {
        let root = Some(head.checkpoint().root);
        let to_judge = HeadToJudge { size: head.size(), note: head.to_string(), root };
        let verdict = judge_head(&to_judge, verified.keys.as_ref(), demands.policy);
        report.heads.take(&verdict);
        for (layer, what) in verdict.problems {
            report.add(layer, Some(verdict.size), None, what);
        }
    }
    if verified.keys.is_none() {
        report.heads.signed = verified.signed;
    }
    if demands.policy.is_some() {
        report.demand_policy();
    }
}

/// What an error of an archive concerns.
fn place(error: &VerifyError) -> (Layer, Option<u64>, Option<cid::Cid>) {
    match error {
        VerifyError::Archive(ArchiveError::Car(CarError::Changed { cid, .. })) => (Layer::Block, None, Some(**cid)),
        VerifyError::Archive(ArchiveError::History(error)) => (Layer::Order, Some(error.position), Some(*error.cid)),
        VerifyError::Archive(ArchiveError::Checkpoint { size }) => (Layer::Checkpoint, Some(*size), None),
        VerifyError::Event { position, cid, .. } => (Layer::Block, Some(*position), Some(**cid)),
        VerifyError::Ledger { position, cid, .. } => (Layer::Identity, Some(*position), Some(**cid)),
        VerifyError::Blob { position, blob } => (Layer::Blob, Some(*position), Some(**blob)),
        VerifyError::Checkpoint(_) | VerifyError::NotSigned(_) => (Layer::Signature, None, None),
        VerifyError::Against { size } | VerifyError::Beyond { size, .. } => (Layer::History, Some(*size), None),
        _ => (Layer::File, None, None),
    }
}
