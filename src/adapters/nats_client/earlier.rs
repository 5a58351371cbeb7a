//! What a stream has from the sources that the same outbox published under before it had its key of now.

use super::keeper::Keeper;
use super::reads::{Info, ReadError, Reader, Stored};
use crate::delivery::outbox::Outbox;

impl Reader {
    /// As [`Reader::stream`], with how far earlier sources of the outbox got in it, where nothing stands under its own yet:
    /// the last position that is the outbox's. Whatever they published behind that was given up, and is no beginning for
    /// the new one.
    pub(super) async fn stream_and_earlier(&self, keeper: &Keeper) -> Result<Info, ReadError> {
        let mut info = self.stream().await?;
        let earlier = keeper.with(|kept| kept.outbox().predecessors().to_vec()).await.unwrap_or_default();
        if earlier.is_empty() || matches!(self.head().await, Ok(Some(_))) {
            return Ok(info);
        }
        for (source, through) in earlier {
            let reader = self.of_source(source);
            let Some((sequence, head)) = reader.head().await? else { continue };
            let newest = Stored { sequence, position: head.position, cid: head.cid };
            let mut ending = vec![newest];
            ending.extend(reader.tail(&info.key, sequence, 0).await?.events);
            let last = ending.iter().map(|event| event.position).max().unwrap_or(0);
            let mut ours = last_of_ours(keeper, ending, through).await;
            if ours != Some(last) {
                // It went another way than the outbox: where, only the events tell.
                let all = reader.tail(&info.key, 0, 0).await?.events;
                ours = last_of_ours(keeper, all, through).await;
            }
            info.base = info.base.max(ours.unwrap_or(0));
        }
        Ok(info)
    }
}

/// The last position up to which stored events are those of the outbox.
async fn last_of_ours(keeper: &Keeper, events: Vec<Stored>, through: u64) -> Option<u64> {
    let is_ours = move |outbox: &dyn Outbox, event: &Stored| {
        event.position <= through && matches!(outbox.cid_at(event.position), Ok(Some(cid)) if cid == event.cid)
    };
    let last = keeper.with(move |kept| {
        let outbox = kept.outbox();
        events.iter().filter(|event| is_ours(outbox, event)).map(|event| event.position).max()
    });
    last.await.flatten()
}
