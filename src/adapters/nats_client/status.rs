//! What the adapter tells about itself.

use crate::time::Timestamp;

/// How publishing goes, as `queue status` and `sync` show it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Whether there is a connection.
    pub connected: bool,
    /// The server that it leads to, without credentials.
    pub server: Option<String>,
    /// How many events wait.
    pub queued: u64,
    /// How many are parked.
    pub parked: u64,
    /// The last position that the stream has, since when; `None` before the first acknowledgement or reading.
    pub last_published: Option<LastPublished>,
    /// What went wrong last, until something goes right.
    pub last_error: Option<String>,
    /// What is being done, in a few words.
    pub state: &'static str,
    /// How many events were published since the adapter was made.
    pub published: u64,
}

/// The last position that the stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPublished {
    /// The position.
    pub position: u64,
    /// When that became known here.
    pub at: Timestamp,
}
