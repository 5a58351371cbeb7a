//! Putting the entries of a map that stands in a buffer into another order, in place.

/// One entry of a map in a buffer: where it and its key's end are. It ends where the next begins.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) start: u32,
    pub(super) key_end: u32,
}

impl Entry {
    /// The key as it stands in the buffer. An encoded CBOR key begins with its length, so that the order of these bytes is
    /// the canonical one: shorter first, then bytewise.
    #[inline]
    pub(super) fn key(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.key_end as usize).unwrap_or_default()
    }
}

/// Sorts the entries, of which the last reaches to the end of the buffer, by their keys.
///
/// On two equal keys it returns that key and leaves the buffer as it was.
pub(super) fn sort_entries(buffer: &mut Vec<u8>, entries: &mut [Entry], scratch: &mut Vec<u8>) -> Result<(), Vec<u8>> {
    let Some(first) = entries.first().map(|entry| entry.start as usize) else { return Ok(()) };
    scratch.clear();
    scratch.extend_from_slice(buffer.get(first..).unwrap_or_default());
    let end = buffer.len();
    // The end of each entry is found before the order changes: `key_end` keeps the key's length, `start` the place.
    let mut spans = [(Entry { start: 0, key_end: 0 }, 0u32); 32];
    let mut many;
    let spans = if let Some(few) = spans.get_mut(..entries.len()) {
        few
    } else {
        many = vec![(Entry { start: 0, key_end: 0 }, 0u32); entries.len()];
        &mut many[..]
    };
    let mut next = end as u32;
    for (span, entry) in spans.iter_mut().zip(entries.iter()).rev() {
        *span = (*entry, next);
        next = entry.start;
    }
    let before: &[u8] = buffer;
    spans.sort_unstable_by(|a, b| a.0.key(before).cmp(b.0.key(before)));
    for pair in spans.windows(2) {
        if let [a, b] = pair
            && a.0.key(before) == b.0.key(before)
        {
            return Err(a.0.key(before).to_vec());
        }
    }
    buffer.truncate(first);
    for (entry, entry_end) in spans.iter() {
        let span = entry.start as usize - first..*entry_end as usize - first;
        buffer.extend_from_slice(scratch.get(span).unwrap_or_default());
    }
    Ok(())
}
