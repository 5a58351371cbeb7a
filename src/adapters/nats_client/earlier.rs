//! What a stream has from the other sources of the same outbox: those that it published under before it had its key of now,
//! and the one that took its place.

use cid::Cid;

use super::keeper::{Keeper, Kept};
use super::reads::{Info, ReadError, Reader};
use crate::delivery::last_of_ours;

impl Reader {
    /// As [`Reader::stream`], with the source that took the place of the outbox's, and with how far earlier sources of the
    /// outbox got, where nothing stands under its own yet: the last position that is the outbox's. Whatever they published
    /// behind that was given up, and is no beginning for the new one.
    pub(super) async fn stream_and_others(&self, keeper: &Keeper) -> Result<Info, ReadError> {
        let mut info = self.stream().await?;
        // A file queue has no key that another could follow.
        let of_ledger = |kept: &mut Kept| match kept {
            Kept::Queue(_) => None,
            Kept::Ledger(outbox) => Some(outbox.predecessors().to_vec()),
        };
        let Some(earlier) = keeper.with(of_ledger).await.flatten() else { return Ok(info) };
        info.successor = self.successor(&earlier).await?;
        if info.successor.is_some() || earlier.is_empty() {
            return Ok(info);
        }
        if matches!(self.head().await, Ok(Some(_))) {
            return Ok(Info { base: None, ..info });
        }
        for (source, through) in earlier {
            let reader = self.of_source(source);
            let head = reader.head().await?;
            let after = head.as_ref().map_or(0, |(sequence, _)| *sequence);
            let mut ending: Vec<_> = head.iter().map(|(_, head)| (head.position, head.cid)).collect();
            // A first batch that tore has no head.
            ending.extend(reader.stored(&info, after).await?);
            let last = ending.iter().map(|(position, _)| *position).max();
            let mut ours = of_outbox(keeper, ending, through).await;
            if ours != last && after > 0 {
                // It went another way than the outbox: where, only the events tell.
                ours = of_outbox(keeper, reader.stored(&info, 0).await?, through).await;
            }
            info.base = info.base.max(ours);
            if head.is_some() {
                // It began behind those before it.
                break;
            }
        }
        Ok(info)
    }

    async fn stored(&self, info: &Info, after: u64) -> Result<Vec<(u64, Cid)>, ReadError> {
        let tail = self.tail(&info.key, after, 0).await?;
        Ok(tail.events.iter().map(|event| (event.position, event.cid)).collect())
    }
}

async fn of_outbox(keeper: &Keeper, stored: Vec<(u64, Cid)>, through: u64) -> Option<u64> {
    let last = keeper.with(move |kept| {
        let outbox = kept.outbox();
        last_of_ours(stored, through, |position| outbox.cid_at(position).ok().flatten())
    });
    last.await.flatten()
}
