//! Work that several processors share.

/// Gives `work` the items in parts, in order: one part a processor, and none smaller than `least` unless it is the only one.
pub(crate) fn in_parts<'i, T: Sync, R: Send>(
    items: &'i [T],
    least: usize,
    work: impl Fn(&'i [T]) -> R + Sync,
) -> Vec<R> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = processors.min(items.len() / least.max(1));
    if parts < 2 {
        return vec![work(items)];
    }
    std::thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> =
            items.chunks(items.len().div_ceil(parts)).map(|part| scope.spawn(move || work(part))).collect();
        let join = |part: std::thread::ScopedJoinHandle<'_, R>| {
            part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        parts.into_iter().map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_in_order() {
        for count in [0, 1, 7, 64, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            for least in [0, 1, 10, 5_000] {
                assert_eq!(in_parts(&items, least, <[usize]>::to_vec).concat(), items);
            }
        }
    }
}
