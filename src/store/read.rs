//! Reading events: by position, by content identifier or the beginning of one, in order.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cid::Cid;
use rusqlite::{Connection, OptionalExtension, Row};

use super::error::{DatabaseError, ReadError};
use super::options::StoreOptions;
use super::schema::{self, Access};
use crate::events::KeyEvent;
use crate::ipld_support::{Envelope, decode_block, verify_block};

/// One event, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its position, from 1.
    pub position: u64,
    /// Its content identifier, as it was recorded; [`Recorded::verify`] says whether the block is its.
    pub cid: Cid,
    /// The aggregate, as it stands in the subject.
    pub aggregate: String,
    /// The canonical bytes.
    pub block: Vec<u8>,
}

impl Recorded {
    /// The event.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn event(&self) -> Result<KeyEvent, ReadError> {
        decode_block(&self.block)
            .map_err(|error| ReadError::Damaged { position: self.position, detail: error.to_string() })
    }

    /// The event's outer fields, without decoding its data.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn envelope(&self) -> Result<Envelope<'_>, ReadError> {
        Envelope::parse(&self.block)
            .map_err(|error| ReadError::Damaged { position: self.position, detail: error.to_string() })
    }

    /// Whether the block is the one that the content identifier names.
    #[must_use]
    pub fn verify(&self) -> bool {
        verify_block(&self.block, &self.cid)
    }
}

/// Which event somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one at a position.
    Position(u64),
    /// The one with a content identifier.
    Cid(Cid),
    /// The one whose content identifier, as text, begins like this.
    Prefix(String),
}

/// The text with which every content identifier of an event begins: version 1, dag-cbor, sha2-256, 32 bytes.
const COMMON: &str = "bafyrei";

impl std::str::FromStr for Which {
    type Err = ReadError;

    /// Reads a position, a content identifier, or at least nine characters of the beginning of one.
    fn from_str(text: &str) -> Result<Self, ReadError> {
        let invalid = || ReadError::NotAnEvent(text.chars().take(80).collect());
        if let Ok(position) = text.parse::<u64>() {
            return Ok(Self::Position(position));
        }
        let alphabet = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
        if !text.starts_with(COMMON) || text.len() > 59 || !text.bytes().all(alphabet) {
            return Err(invalid());
        }
        match text.len() {
            59 => crate::ipld_support::parse_cid(text).map(Self::Cid).map_err(|_| invalid()),
            9..=58 => Ok(Self::Prefix(text.to_owned())),
            _ => Err(invalid()),
        }
    }
}

/// Which events a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// From this position on, 1 or more.
    pub from: u64,
    /// Up to this position.
    pub to: u64,
    /// Whether the last comes first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
}

impl Listing {
    /// The newest events, the newest first.
    #[must_use]
    pub const fn newest(limit: usize) -> Self {
        Self { from: 1, to: u64::MAX, newest_first: true, limit }
    }

    /// The events from a position on, in order.
    #[must_use]
    pub const fn from(position: u64, limit: usize) -> Self {
        Self { from: position, to: u64::MAX, newest_first: false, limit }
    }
}

const COLUMNS: &str = "SELECT position, cid, aggregate, block FROM log";

/// The log behind a connection.
pub(super) struct Log<'a> {
    pub(super) connection: &'a Connection,
    pub(super) path: &'a Path,
}

impl Log<'_> {
    pub(super) fn end(&self) -> Result<u64, ReadError> {
        self.try_read(|log| {
            log.connection.prepare_cached("SELECT coalesce(max(position), 0) FROM log")?.query_row([], |row| row.get(0))
        })
    }

    /// The last position, and its time in microseconds.
    pub(super) fn newest(&self) -> Result<Option<(u64, i64)>, ReadError> {
        self.try_read(|log| {
            log.connection
                .prepare_cached("SELECT position, occurred_at FROM log ORDER BY position DESC LIMIT 1")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
    }

    pub(super) fn list(&self, listing: Listing) -> Result<Vec<Recorded>, ReadError> {
        let order = if listing.newest_first { "DESC" } else { "ASC" };
        let sql = format!("{COLUMNS} WHERE position BETWEEN ?1 AND ?2 ORDER BY position {order} LIMIT ?3");
        let bounded = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.rows(&sql, (bounded(listing.from), bounded(listing.to), bounded(listing.limit as u64)))
    }

    pub(super) fn at(&self, position: u64) -> Result<Option<Recorded>, ReadError> {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        Ok(self.rows(&format!("{COLUMNS} WHERE position = ?1"), [position])?.pop())
    }

    pub(super) fn find(&self, which: &Which) -> Result<Recorded, ReadError> {
        let not_found = |text: String| move || ReadError::NotFound(text);
        match which {
            Which::Position(position) => self.at(*position)?.ok_or_else(not_found(format!("at position {position}"))),
            Which::Cid(cid) => {
                let sql = format!("{COLUMNS} WHERE substr(cid, 5, 8) = substr(?1, 5, 8) AND cid = ?1");
                self.rows(&sql, [cid.to_bytes()])?.pop().ok_or_else(not_found(cid.to_string()))
            }
            Which::Prefix(prefix) => self.find_by_prefix(prefix),
        }
    }

    /// Content identifiers are in the index by the first eight bytes of their digest, of which a beginning of the text
    /// tells some bits: a range of the index holds all that fit, and their texts decide.
    fn find_by_prefix(&self, prefix: &str) -> Result<Recorded, ReadError> {
        let (low, high) = digest_range(prefix);
        let sql = format!("{COLUMNS} WHERE substr(cid, 5, 8) BETWEEN ?1 AND ?2 ORDER BY substr(cid, 5, 8)");
        let mut found: Option<Recorded> = None;
        self.each_row(&sql, (low, high), |recorded| {
            if !recorded.cid.to_string().starts_with(prefix) {
                return Ok(());
            }
            match &found {
                Some(first) => Err(ReadError::Ambiguous {
                    prefix: prefix.to_owned(),
                    first: Box::new(first.cid),
                    second: Box::new(recorded.cid),
                }),
                None => {
                    found = Some(recorded);
                    Ok(())
                }
            }
        })?;
        found.ok_or_else(|| ReadError::NotFound(format!("whose content identifier begins with {prefix}")))
    }

    pub(super) fn rows(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Recorded>, ReadError> {
        let mut recorded = Vec::new();
        self.each_row(sql, params, |row| {
            recorded.push(row);
            Ok(())
        })?;
        Ok(recorded)
    }

    fn each_row(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        mut visit: impl FnMut(Recorded) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let failed = |error| DatabaseError::new("reading the log", self.path, error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            visit(recorded(row).map_err(failed)??)?;
        }
        Ok(())
    }

    pub(super) fn try_read<T>(&self, read: impl FnOnce(&Self) -> rusqlite::Result<T>) -> Result<T, ReadError> {
        read(self).map_err(|error| DatabaseError::new("reading the log", self.path, error).into())
    }

    pub(super) fn blob(&self, cid: &Cid) -> Result<Option<Vec<u8>>, ReadError> {
        self.try_read(|log| {
            log.connection
                .prepare_cached("SELECT bytes FROM blob WHERE cid = ?1")?
                .query_row([cid.to_bytes()], |row| row.get(0))
                .optional()
        })
    }
}

/// A row of position, cid, aggregate, block.
pub(super) fn recorded(row: &Row<'_>) -> rusqlite::Result<Result<Recorded, ReadError>> {
    let position: u64 = row.get(0)?;
    let bytes = row.get_ref(1)?.as_blob()?;
    let cid = match read_cid(bytes) {
        Ok(cid) => cid,
        Err(detail) => return Ok(Err(ReadError::Damaged { position, detail })),
    };
    Ok(Ok(Recorded { position, cid, aggregate: row.get(2)?, block: row.get(3)? }))
}

/// A content identifier as the log keeps it: 36 bytes and no more.
pub(super) fn read_cid(bytes: &[u8]) -> Result<Cid, String> {
    let cid = Cid::read_bytes(bytes).map_err(|error| format!("its content identifier does not read: {error}"))?;
    match crate::events::Link::new(cid) {
        Ok(_) if bytes.len() == 36 => Ok(cid),
        Ok(_) => Err("its content identifier is too long".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The lowest and highest first eight bytes of the digest of content identifiers that begin with a text. The text is
/// base32 (RFC 4648) after the `b`; the first 32 of its bits are the same in all.
fn digest_range(prefix: &str) -> ([u8; 8], [u8; 8]) {
    let (mut low, mut high) = (0_u128, 0_u128);
    let mut characters = prefix.bytes().skip(1);
    // 20 characters are 100 bits: 32 common ones, and more than the 64 that are needed.
    for _ in 0..20 {
        let bits = characters.next().map(|b| u128::from(if b.is_ascii_lowercase() { b - b'a' } else { b - b'2' + 26 }));
        low = low << 5 | bits.unwrap_or(0);
        high = high << 5 | bits.unwrap_or(31);
    }
    // 100 bits: the digest's first 64 are those after the common 32, before 4 more.
    let bytes = |value: u128| ((value >> 4) as u64).to_be_bytes();
    (bytes(low), bytes(high))
}

/// Events in order, a page at a time: what is appended meanwhile comes too.
pub struct Events<'a> {
    pub(super) fetch: Box<dyn Fn(u64) -> Result<Vec<Recorded>, ReadError> + 'a>,
    pub(super) next: u64,
    pub(super) page: std::vec::IntoIter<Recorded>,
    pub(super) failed: bool,
}

impl Iterator for Events<'_> {
    type Item = Result<Recorded, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.page.len() == 0 {
            match (self.fetch)(self.next) {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        let recorded = self.page.next()?;
        self.next = recorded.position.saturating_add(1);
        Some(Ok(recorded))
    }
}

/// Connections that read: a reader that comes while another one reads, in another thread or within the first, gets its own.
pub(super) struct Reader {
    idle: Mutex<Vec<Connection>>,
    given_back: Condvar,
    pub(super) path: PathBuf,
    access: Access,
    wait: Duration,
}

impl Reader {
    /// How many connections are kept for later: as many as threads may well read at once.
    const KEPT: usize = 64;

    /// Reads through a connection first, and through more like it.
    pub(super) fn new(connection: Connection, options: &StoreOptions, access: Access) -> Self {
        let (path, wait) = (options.path.clone(), options.wait);
        Self { idle: Mutex::new(vec![connection]), given_back: Condvar::new(), path, access, wait }
    }

    pub(super) fn with<T>(&self, read: impl FnOnce(&Log<'_>) -> T) -> T {
        let connection = self.take();
        let result = read(&Log { connection: &connection, path: &self.path });
        let mut idle = self.idle();
        if idle.len() < Self::KEPT {
            idle.push(connection);
        }
        self.given_back.notify_one();
        result
    }

    /// One that nobody reads through, or another; where no other can be opened, the next that is given back.
    fn take(&self) -> Connection {
        let idle = self.idle().pop();
        if let Some(connection) = idle {
            return connection;
        }
        let another = schema::connect(&self.path, self.access, self.wait).ok();
        if let Some(connection) = another.filter(|another| another.pragma_update(None, "query_only", true).is_ok()) {
            return connection;
        }
        let idle = self.given_back.wait_while(self.idle(), |idle| idle.is_empty());
        idle.unwrap_or_else(PoisonError::into_inner).pop().expect("a connection was waited for")
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
