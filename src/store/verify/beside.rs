//! What stands beside the log: heads that are too large, which ledger the file says it is, raw blocks, the outbox, and what
//! this machine remembers.

use cid::Cid;

use super::demands::Memory;
use super::walk::Walked;
use crate::ipld_support::cid_of_blob;
use crate::store::identity::pinned;
use crate::store::read::Log;
use crate::store::schema::{self, CHECKPOINTS};
use crate::verify::{Layer, Report};

/// No head covers more than there is, and none that was kept is gone.
pub(super) fn check_heads(log: &Log<'_>, report: &mut Report) {
    let mut check = || -> rusqlite::Result<()> {
        let mut statement = log.connection.prepare("SELECT size FROM checkpoint WHERE size > ?1 OR size < 0")?;
        let mut rows = statement.query([report.last])?;
        while let Some(row) = rows.next()? {
            let size: i64 = row.get(0)?;
            let what = format!("the checkpoint of {size} events covers more events than there are");
            report.add(Layer::Checkpoint, u64::try_from(size).ok(), None, what);
        }
        let count: u64 = log.connection.query_row("SELECT count(*) FROM checkpoint", [], |row| row.get(0))?;
        let kept = schema::meta(log.connection, CHECKPOINTS)?.unwrap_or_else(|| "0".into());
        if kept != count.to_string() {
            let what = format!("{count} checkpoints are there, and {kept} were kept: one was taken away or put in");
            report.add(Layer::Checkpoint, None, None, what);
        }
        Ok(())
    };
    if let Err(error) = check() {
        report.add(Layer::Checkpoint, None, None, format!("the checkpoints can't be read: {error}"));
    }
}

/// The key that the file says is the ledger's is one that the history names.
pub(super) fn check_identity(log: &Log<'_>, walked: &Walked, report: &mut Report) {
    let Some(keys) = &walked.keys else { return };
    match schema::meta(log.connection, "public_key") {
        Ok(Some(key)) if keys.names(&key) => {}
        Ok(_) => report.add(
            Layer::Identity,
            Some(1),
            None,
            "the file says that it is another ledger than its events: its key is not theirs",
        ),
        Err(error) => report.add(Layer::Identity, None, None, format!("the table meta can't be read: {error}")),
    }
    match pinned(log.connection) {
        Ok(Some(key)) if !keys.keys().iter().any(|(_, known)| known.to_string() == key) => {
            report.add(Layer::Identity, None, None, "the mirror is pinned to a key that is not this ledger's");
        }
        _ => {}
    }
}

/// What this machine signed and recorded is still there.
pub(super) fn check_memory(log: &Log<'_>, walked: &Walked, memory: &Memory, report: &mut Report) {
    if let Some(problem) = &memory.problem {
        report.add(Layer::History, None, None, problem.clone());
    }
    let Some(signed) = memory.signed.as_ref() else { return };
    let size = signed.size();
    // A head of before a restore, beyond the end of the key that signed it, counts no more.
    let turn = walked.keys.as_ref().map(|keys| keys.at(size));
    if turn.is_some_and(|key| signed.verify(key).is_err()) {
        return;
    }
    if size <= report.last && super::nodes::stored_root(log.connection, size) != Some(signed.checkpoint().root) {
        let what = format!("this machine signed another head of {size} events: the history was rewritten since");
        report.add(Layer::History, Some(size), None, what);
    }
}

/// Raw blocks are what their identifiers name, and none of them is gone.
pub(super) fn check_blobs(log: &Log<'_>, report: &mut Report) {
    let mut check = || -> rusqlite::Result<()> {
        let mut statement = log.connection.prepare("SELECT number, cid, bytes FROM blob ORDER BY number")?;
        let mut rows = statement.query([])?;
        let mut expected = 1;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let recorded = row.get_ref(1)?.as_blob()?;
            report.blobs += 1;
            if cid_of_blob(row.get_ref(2)?.as_blob()?).to_bytes() != recorded {
                let what = format!("raw block {number} is not the one that its content identifier names");
                report.add(Layer::Blob, None, Cid::try_from(recorded).ok(), what);
            }
            if number != expected {
                report.add(Layer::Blob, None, None, format!("raw block {number} stands where {expected} should"));
            }
            expected = number.saturating_add(1);
        }
        Ok(())
    };
    if let Err(error) = check() {
        report.add(Layer::Blob, None, None, format!("the raw blocks can't be read: {error}"));
    }
}

/// What is remembered of publishing is of events that are there. How much a stream really holds, it alone says.
pub(super) fn check_outbox(log: &Log<'_>, report: &mut Report) {
    let mut check = || -> rusqlite::Result<()> {
        let mut statement = log.connection.prepare(
            "SELECT parked.position FROM outbox_parked AS parked LEFT JOIN log USING (position)
             WHERE log.cid IS NULL OR log.cid <> parked.cid ORDER BY 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let position: i64 = row.get(0)?;
            let what = "it is parked with another content identifier than the log has";
            report.add(Layer::Outbox, u64::try_from(position).ok(), None, what);
        }
        let mut statement = log.connection.prepare(
            "SELECT stream, position FROM outbox_cursor
             WHERE position > (SELECT coalesce(max(position), 0) FROM log) OR position < 0",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (stream, position): (String, i64) = (row.get(0)?, row.get(1)?);
            let what = format!("the stream {stream} is said to hold it, and the log ends before");
            report.add(Layer::Outbox, u64::try_from(position).ok(), None, what);
        }
        Ok(())
    };
    if let Err(error) = check() {
        report.add(Layer::Outbox, None, None, format!("the outbox can't be read: {error}"));
    }
}
