//! What a server's refusal means: one table.

/// What a refusal means for what is sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Someone else moved the head, or an acknowledgement was lost: read the stream before anything else.
    Moved,
    /// The event is too large for the stream: park it, once it stands alone in a batch.
    Event,
    /// The batch did not arrive whole: a new leader, or a message in it that the server dropped. Send it afresh, then
    /// split it.
    Broken,
    /// The stream is full. Wait; never park, never split: a smaller later event would overtake.
    Full,
    /// Another message was being stored at that moment, so that the stream's last sequence can't be what was expected.
    /// Wait a moment, then read the stream.
    Contended,
    /// The server lacks something for now: a leader, memory, room for one more open batch. Wait.
    Busy,
    /// The server will not take this however often it is sent. Stop, and say so.
    Never,
    /// Not in the table: the outcome is unknown.
    Unknown,
}

/// Reads an error code of the JetStream API (`err_code`), or a plain status (503, 429, 408).
///
/// | code | meaning |
/// |---|---|
/// | 10071 | wrong last sequence, of the stream or of the head's subject |
/// | 10070 | another message is the last, where messages go one after the other |
/// | 10164 | wrong last sequence while another batch of the stream is being stored |
/// | 10054 | message larger than the stream's `max_msg_size` |
/// | 10176 | the batch is incomplete |
/// | 10208 | the fast batch is not open any more |
/// | 10077 | the stream, or the subject, is full |
/// | 10002, 10023, 10028, 10047 | the account or the server lacks resources |
/// | 10008, 10009, 503 | no leader, no cluster quorum, JetStream not available for now |
/// | 10158 | the same id is being stored right now |
/// | 10210, 10211, 429 | too many batches or requests are open |
/// | 10060 | the message came to another stream than the expected one |
/// | 10174 | the stream takes no atomic batches |
/// | 10199 | more than 1,000 messages in the batch |
/// | 10201 | an id in the batch is a duplicate: someone copied our headers |
#[must_use]
pub const fn classify(code: u64) -> Refusal {
    match code {
        10070 | 10071 => Refusal::Moved,
        10164 => Refusal::Contended,
        10054 => Refusal::Event,
        10176 | 10208 => Refusal::Broken,
        10077 => Refusal::Full,
        10002 | 10008 | 10009 | 10023 | 10028 | 10047 | 10158 | 10210 | 10211 | 429 | 503 => Refusal::Busy,
        10060 | 10174 | 10199 | 10201 => Refusal::Never,
        _ => Refusal::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_one_event_can_park_it() {
        let parks: Vec<u64> = (0..20_000).filter(|code| classify(*code) == Refusal::Event).collect();
        assert_eq!(parks, [10054]);
        // A full stream is waited for: to park or split would let later events overtake.
        assert_eq!(classify(10077), Refusal::Full);
        assert_eq!(classify(0), Refusal::Unknown);
    }
}
