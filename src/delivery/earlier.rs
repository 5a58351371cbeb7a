//! How far an earlier source of the same log got in a stream: behind that the source of now begins.

use cid::Cid;

/// The highest position that stands in a stream under an earlier source and is the log's own: the log has the same event there,
/// and it is not behind `through`, the last position that the earlier source may have published. What that published
/// besides was given up, and is no beginning for the source of now.
pub fn last_of_ours(
    stored: impl IntoIterator<Item = (u64, Cid)>,
    through: u64,
    ours: impl Fn(u64) -> Option<Cid>,
) -> Option<u64> {
    let is_ours = |(position, cid): &(u64, Cid)| *position <= through && ours(*position) == Some(*cid);
    stored.into_iter().filter(is_ours).map(|(position, _)| position).max()
}
