//! What was decided elsewhere, recorded as it is where it may come next.

use cid::Cid;
use rusqlite::{CachedStatement, OptionalExtension};

use super::{Row, Session};
use crate::events::{EventData, Link};
use crate::ids::{EventId, InvalidId};
use crate::ipld_support::EventBlock;
use crate::store::error::AppendError;
use crate::text::SubjectPrefix;
use crate::time::{InvalidTimestamp, Timestamp};

/// An event as its ledger recorded it, with nothing of it decoded: what it is about is for those who look at it to say.
#[derive(Debug, Clone)]
pub struct FollowedEvent {
    /// Its content identifier, which the caller has checked against the block.
    pub cid: Cid,
    /// The aggregate in its subject.
    pub aggregate: SubjectPrefix,
    /// Its canonical bytes.
    pub block: EventBlock,
}

impl Session<'_> {
    /// Writes an event as it is into the log, and nothing else. Says whether it may change what is known of the ledger
    /// itself: one of a type that is not known here may change anything.
    pub(in crate::store) fn write_followed(
        &mut self,
        event: &FollowedEvent,
        insert: &mut CachedStatement<'_>,
    ) -> Result<bool, AppendError> {
        let unreadable = |detail: String| AppendError::Encoding(format!("{}: {detail}", event.cid));
        let envelope = event.block.envelope();
        let id: EventId = envelope.id.parse().map_err(|error: InvalidId| unreadable(error.to_string()))?;
        let at = envelope.occurred_at.parse();
        let occurred_at = at.map_err(|error: InvalidTimestamp| unreadable(error.to_string()))?;
        if self.admit(id, event.cid, occurred_at, envelope.causes.iter())?.is_some() {
            return Ok(false);
        }
        let row = Row {
            cid: &event.cid,
            id,
            occurred_at,
            aggregate: event.aggregate.as_str(),
            event_type: envelope.event_type,
            block: &event.block,
        };
        self.write_row(&row, insert)?;
        let of_itself = ["LedgerCreated", "LedgerKeyRotated", "LedgerHandedOver"].contains(&envelope.event_type);
        Ok(of_itself || EventData::aggregate_of(envelope.event_type, envelope.schema).is_none())
    }

    /// Whether an event may come next as it is; the position, where it is there already.
    fn admit(
        &self,
        id: EventId,
        cid: Cid,
        occurred_at: Timestamp,
        mut causes: impl Iterator<Item = Cid>,
    ) -> Result<Option<u64>, AppendError> {
        if self.tip.highest >= Some(id)
            && let Some((position, there)) = self.by_id(id)?
        {
            return match there == cid {
                true => Ok(Some(position)),
                false => Err(AppendError::Conflict { id, position, there: Box::new(there), here: Box::new(cid) }),
            };
        }
        if let Some(last) = self.tip.time.filter(|&last| occurred_at < last) {
            return Err(AppendError::OutOfOrder { id, occurred_at, last });
        }
        causes.try_for_each(|cause| match cause.codec() == Link::DAG_CBOR && !self.is_recorded(&cause)? {
            true => Err(AppendError::UnknownCause { id, cause: Box::new(cause) }),
            false => Ok(()),
        })?;
        Ok(None)
    }

    fn by_id(&self, id: EventId) -> Result<Option<(u64, Cid)>, AppendError> {
        let read = || -> rusqlite::Result<Option<(u64, Vec<u8>)>> {
            self.connection
                .prepare_cached("SELECT position, cid FROM log WHERE event_id = ?1")?
                .query_row([id.as_uuid().as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        let Some((position, bytes)) = read().map_err(|error| self.failed(error))? else { return Ok(None) };
        match Cid::read_bytes(bytes.as_slice()) {
            Ok(cid) => Ok(Some((position, cid))),
            Err(error) => Err(self.damaged(format!("the content identifier at position {position}: {error}"))),
        }
    }

    fn is_recorded(&self, cid: &Cid) -> Result<bool, AppendError> {
        let read = || {
            self.connection
                .prepare_cached("SELECT 1 FROM log WHERE substr(cid, 5, 8) = substr(?1, 5, 8) AND cid = ?1")?
                .exists([cid.to_bytes()])
        };
        read().map_err(|error| self.failed(error))
    }
}
