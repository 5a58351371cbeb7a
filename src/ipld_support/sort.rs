//! Putting the entries of a map that stands in a buffer into another order, in place.

/// One entry of a map in a buffer: where it begins, and where its key is. It ends where the next one begins.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry {
    pub(super) start: u32,
    pub(super) key: (u32, u32),
}

impl Entry {
    /// The key, in the buffer that holds the keys.
    #[inline]
    pub(super) fn key(self, keys: &[u8]) -> &[u8] {
        keys.get(self.key.0 as usize..self.key.1 as usize).unwrap_or_default()
    }
}

/// Sorts the entries, of which the last reaches to the end of the buffer, by their keys, which are in `keys` or, without
/// that, in the buffer itself. On two equal keys it returns that key and leaves the buffer as it was.
pub(super) fn sort_entries(
    buffer: &mut Vec<u8>,
    entries: &[Entry],
    keys: Option<&[u8]>,
    scratch: &mut Vec<u8>,
) -> Result<(), Vec<u8>> {
    let Some(first) = entries.first().map(|entry| entry.start as usize) else { return Ok(()) };
    let mut few = [Span::default(); 24];
    let mut many = Vec::new();
    let spans = match few.get_mut(..entries.len()) {
        Some(few) => few,
        None => {
            many.resize(entries.len(), Span::default());
            &mut many[..]
        }
    };
    let all_keys = keys.unwrap_or(buffer);
    // Buffers stay below 4 GiB: see the limits.
    let mut end = buffer.len() as u32;
    for (span, entry) in spans.iter_mut().zip(entries).rev() {
        *span = Span { prefix: prefix(entry.key(all_keys)), entry: *entry, end };
        end = entry.start;
    }
    spans.sort_unstable_by(|a, b| {
        a.prefix.cmp(&b.prefix).then_with(|| a.entry.key(all_keys).cmp(b.entry.key(all_keys)))
    });
    for pair in spans.windows(2) {
        if let [a, b] = pair
            && a.prefix == b.prefix
            && a.entry.key(all_keys) == b.entry.key(all_keys)
        {
            return Err(a.entry.key(all_keys).to_vec());
        }
    }
    scratch.clear();
    for span in spans.iter() {
        let bytes = buffer.get(span.entry.start as usize..span.end as usize);
        scratch.extend_from_slice(bytes.unwrap_or_default());
    }
    buffer.truncate(first);
    buffer.extend_from_slice(scratch);
    Ok(())
}

/// An entry while it is sorted: where it ends, and the beginning of its key, which decides most comparisons.
#[derive(Clone, Copy, Default)]
struct Span {
    prefix: u64,
    entry: Entry,
    end: u32,
}

/// The first eight bytes of a key as a number that orders as they do; a shorter key is filled with zeros.
fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(key) {
        *to = *from;
    }
    u64::from_be_bytes(first)
}
