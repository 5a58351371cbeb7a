//! What a stream has from the sources that the same outbox published under before it had its key of now.

use super::keeper::Keeper;
use super::reads::{Info, ReadError, Reader};

impl Reader {
    /// As [`Reader::stream`], with how far earlier sources of the outbox got in it: their newest head, and what is behind it.
    /// Whatever they published beyond the end of their key was lost with them, and is no beginning for the new one.
    pub(super) async fn stream_and_earlier(&self, keeper: &Keeper) -> Result<Info, ReadError> {
        let mut info = self.stream().await?;
        let earlier = keeper.with(|kept| kept.outbox().predecessors().to_vec()).await;
        for (source, through) in earlier.unwrap_or_default() {
            let reader = self.of_source(source.clone());
            let Some((sequence, head)) = reader.head().await? else { continue };
            let (mut position, mut cid) = (head.position, head.cid);
            for event in reader.tail(&info.key, sequence, 0).await?.events {
                if event.position > position {
                    (position, cid) = (event.position, event.cid);
                }
            }
            if position <= through {
                let ours = keeper.with(move |kept| kept.outbox().cid_at(position)).await;
                if let Some(Ok(Some(ours))) = ours
                    && ours != cid
                {
                    return Err(ReadError::Refused(format!(
                        "two histories: under its earlier key {source} this ledger has {ours} at position {position}, and the stream has {cid}; keep both, they are the evidence"
                    )));
                }
            }
            info.base = info.base.max(position.min(through));
        }
        Ok(info)
    }
}
