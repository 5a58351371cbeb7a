//! The ledger on disk: one SQLite file, `ledger.db`, that holds public facts only.
//!
//! - An **append** is one transaction: blocks, log positions, tree hashes and entities. What is appended comes from the
//!   [pipeline](crate::act), whose [`Journal`](crate::act::Journal) a store is. Appends that come from several threads at once
//!   share a transaction, one after the other.
//! - **A mirror** takes what was decided elsewhere: the log at once, the entities when they are looked at ([`Store::view`]).
//! - **Readers**, in this process and in others, go on while one writes. A second writer waits, then gets a clear error.
//! - **The right to write** is a token outside the folder: a copied folder reads, and writes only after it was handed over
//!   ([`HandingOver`]).
//! - **Time** never goes back, and a jump of more than a day is recorded only once it is confirmed.
//! - **Damage** is found by [`Store::verify`], named by position, and never panics.
//!
//! The tables are described byte by byte in `docs/design.md`.

mod acquire;
mod append;
mod backup;
mod behind;
mod copy;
mod epoch;
mod error;
mod follow;
mod founding;
mod gate;
mod group;
mod handover;
mod journal;
mod mirror;
mod notes;
mod outbox;
mod proofs;
mod read;
mod restricted;
mod schema;
mod signing;
mod tables;
mod token;
mod tree;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cid::Cid;
use rusqlite::Connection;

pub use crate::act::AppendedEvent;
pub use acquire::{Acquire, Acquiring};
pub use append::Clock;
pub use epoch::{Restoration, Restored, Rotation, mark_restored};
pub use error::{
    AppendError, CheckpointStoreError, CopyError, CreateError, DatabaseError, JournalError, NotTheWriter, OpenError,
    ReadError,
};
pub use follow::{FollowedEvent, Follower, MirrorError};
pub use founding::{Absent, Founding};
pub use handover::{Elsewhere, HandingOver};
pub use mirror::Mirror;
pub use notes::LastBackup;
pub use outbox::LedgerOutbox;
pub use read::{Events, Listing, Recorded, Which};
pub use restricted::{RestrictedBlocks, RestrictedError, RestrictedTexts};
pub use verify::{Demands, Extent};

use append::Writer;
use behind::Aside;
use gate::Gate;
use group::Group;
use mirror::is_mirror;
use read::{Log, Reader};
use schema::Access;
use tables::Tables;
use token::Token;

use crate::delivery::outbox::{Source, source_of};
use crate::ids::LedgerId;
use crate::keys::KeyRef;
use crate::log::NodeHash;
use crate::text::{Name, PublicKey};
use crate::time::Timestamp;

/// Where a ledger is and how it is opened.
#[derive(Clone)]
pub struct StoreOptions {
    path: PathBuf,
    tokens: PathBuf,
    wait: Duration,
    clock: Clock,
}

impl StoreOptions {
    /// The database file, and the folder outside the ledger where this machine keeps its rights to write.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, tokens: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), tokens: tokens.into(), wait: Duration::from_secs(5), clock: Arc::new(Timestamp::now) }
    }

    /// How long a write waits for another process that writes; 5 seconds when nothing is said.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Where the time of events comes from; this machine's clock when nothing is said.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

/// Which ledger it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Its name.
    pub name: Name,
    /// Its Ed25519 key: the one that `LedgerCreated` has, or that of the last `LedgerKeyRotated`.
    pub public_key: PublicKey,
    /// The key as a subject token: the source under which the ledger publishes.
    pub source: Source,
}

/// An open ledger.
pub struct Store {
    options: StoreOptions,
    identity: Identity,
    reader: Reader,
    aside: Mutex<Aside>,
    told: Box<behind::Told>,
    /// The ledger's own key, once it was looked up.
    ledger_key: OnceLock<KeyRef>,
    writing: Result<Writing, NotTheWriter>,
}

struct Writing {
    writer: Mutex<Writer>,
    group: Group,
    token: Mutex<Token>,
}

impl Store {
    /// Removes this machine's right to write to a ledger that a [`Founding`] made and that was given up before anybody
    /// could use it, with what else is kept of it beside that right.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget_right(tokens: &Path, ledger: LedgerId) -> std::io::Result<()> {
        token::forget(tokens, ledger)
    }

    /// Opens a ledger for writing where this machine has the right to, and for reading otherwise: [`Store::writable`]
    /// says which, and why.
    ///
    /// # Errors
    /// When there is no ledger, when it is another kind of file or of a newer version, or when the disk fails.
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        schema::check_sqlite()?;
        if !options.path.is_file() {
            return Err(OpenError::Missing(options.path));
        }
        let connection = match schema::connect(&options.path, Access::Write, options.wait) {
            Ok(connection) => connection,
            Err(OpenError::Database(DatabaseError::Sqlite { source, .. })) if is_permission(&source) => {
                let reason = NotTheWriter::Permissions(source.to_string());
                let connection = schema::connect(&options.path, Access::Read, options.wait)?;
                return Self::for_reading(options, connection, reason);
            }
            Err(error) => return Err(error),
        };
        let failed = |error| DatabaseError::new("opening the ledger", &options.path, error);
        if connection.is_readonly("main").map_err(failed)? {
            return Self::for_reading(options, connection, NotTheWriter::Permissions("the file is read-only".into()));
        }
        let identity = identity(&connection, &options.path)?;
        let token = match Self::right_to_write(&connection, &options, identity.ledger_id)? {
            Ok(token) => token,
            Err(reason) => {
                connection.pragma_update(None, "query_only", true).map_err(failed)?;
                return Self::for_reading(options, connection, reason);
            }
        };
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(failed)?;
        let reader = schema::connect(&options.path, Access::Write, options.wait)?;
        reader.pragma_update(None, "query_only", true).map_err(failed)?;
        let writer = Writer::new(connection, options.path.clone(), Arc::clone(&options.clock));
        let writing = Writing { writer: Mutex::new(writer), group: Group::default(), token: Mutex::new(token) };
        let reader = Reader::new(reader, &options, Access::Write);
        let store = Self {
            options,
            identity,
            reader,
            aside: Mutex::default(),
            told: Box::new(|_, _| {}),
            ledger_key: OnceLock::new(),
            writing: Ok(writing),
        };
        store.touch_token()?;
        Ok(store)
    }

    /// Opens a ledger for reading, whatever rights this machine has.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_read_only(options: StoreOptions) -> Result<Self, OpenError> {
        schema::check_sqlite()?;
        if !options.path.is_file() {
            return Err(OpenError::Missing(options.path));
        }
        let connection = schema::connect(&options.path, Access::Read, options.wait)?;
        Self::for_reading(options, connection, NotTheWriter::Asked)
    }

    fn for_reading(options: StoreOptions, connection: Connection, reason: NotTheWriter) -> Result<Self, OpenError> {
        let identity = identity(&connection, &options.path)?;
        let reader = Reader::new(connection, &options, Access::Read);
        Ok(Self {
            options,
            identity,
            reader,
            aside: Mutex::default(),
            told: Box::new(|_, _| {}),
            ledger_key: OnceLock::new(),
            writing: Err(reason),
        })
    }

    fn right_to_write(
        connection: &Connection,
        options: &StoreOptions,
        ledger: LedgerId,
    ) -> Result<Result<Token, NotTheWriter>, OpenError> {
        if is_mirror(connection, &options.path)? {
            return Ok(Err(NotTheWriter::Mirror));
        }
        if let Some(reason) = epoch::reason(connection, &options.path)? {
            return Ok(Err(reason));
        }
        let Some(token) = Token::read(&options.tokens, ledger)? else { return Ok(Err(NotTheWriter::NoToken)) };
        let nonce = schema::meta(connection, "writer")
            .map_err(|error| DatabaseError::new("opening the ledger", &options.path, error))?;
        let log = Log { connection, path: &options.path };
        let cid_at = |position| log.at(position).ok().flatten().map(|recorded| recorded.cid);
        Ok(token.allows(&options.path, nonce.as_deref(), cid_at).map(|()| token))
    }

    /// Lets the token remember how far the ledger is.
    fn touch_token(&self) -> Result<(), OpenError> {
        let Ok(writing) = &self.writing else { return Ok(()) };
        let last = self.reader.with(|log| log.list(Listing::newest(1))).ok().and_then(|mut last| last.pop());
        let mut token = writing.token.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            Some(last) if last.position > token.position => {
                token.position = last.position;
                token.cid = last.cid.to_string();
                token.write(&self.options.tokens)
            }
            _ => Ok(()),
        }
    }

    /// Which ledger it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// Whether events can be appended here, or why not.
    ///
    /// # Errors
    /// The reason.
    pub fn writable(&self) -> Result<(), NotTheWriter> {
        self.writing.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// The last position; 0 in an empty log.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn end(&self) -> Result<u64, ReadError> {
        self.reader.with(|log| log.end())
    }

    /// The events of a listing.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn events(&self, listing: Listing) -> Result<Vec<Recorded>, ReadError> {
        self.reader.with(|log| log.list(listing))
    }

    /// One event.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] where there is none; otherwise when the ledger can't be read.
    pub fn event(&self, which: &Which) -> Result<Recorded, ReadError> {
        self.reader.with(|log| log.find(which))
    }

    /// All events from a position on, in order, without holding them all.
    #[must_use]
    pub fn iter(&self, from: u64) -> Events<'_> {
        Events {
            fetch: Box::new(|next| self.events(Listing::from(next, 256))),
            next: from,
            page: Vec::new().into_iter(),
            failed: false,
        }
    }

    /// A raw block that an event links to.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn blob(&self, cid: &Cid) -> Result<Option<Vec<u8>>, ReadError> {
        self.reader.with(|log| log.blob(cid))
    }

    /// The root of the log as a Merkle tree (RFC 6962) of its first `size` events; of all when absent.
    ///
    /// # Errors
    /// When the log is shorter, or the ledger can't be read.
    pub fn root(&self, size: Option<u64>) -> Result<(u64, NodeHash), ReadError> {
        self.reader.with(|log| {
            let size = size.map_or_else(|| log.end(), Ok)?;
            let edge = log.try_read(|log| tree::read_edge(log.connection, size))?;
            Ok((size, edge.root()))
        })
    }

    /// The outbox, on a connection of its own: it can be moved to the thread that publishes. A mirror has one too: it
    /// publishes what its ledger recorded, in the ledger's name.
    ///
    /// # Errors
    /// When the ledger is open for reading only, or can't be opened once more.
    pub fn outbox(&self) -> Result<LedgerOutbox, OpenError> {
        let gate = match &self.writing {
            Ok(writing) => writing.writer.lock().unwrap_or_else(PoisonError::into_inner).gate(),
            Err(_) if self.pinned_key()?.is_some() => Arc::default(),
            Err(reason) => return Err(reason.clone().into()),
        };
        // Another process may append for long; a publisher has the time.
        self.outbox_with(Access::Write, self.options.wait * 6, gate)
    }

    /// The outbox for looking at only; changing it is an error.
    ///
    /// # Errors
    /// When the ledger can't be opened once more.
    pub fn outbox_read_only(&self) -> Result<LedgerOutbox, OpenError> {
        self.outbox_with(Access::Read, self.options.wait, Arc::default())
    }

    fn outbox_with(&self, access: Access, wait: Duration, gate: Arc<Gate>) -> Result<LedgerOutbox, OpenError> {
        let connection = schema::connect(&self.options.path, access, wait)?;
        // It reads the log from front to back: what it has read, it does not need again.
        let small = connection.pragma_update(None, "cache_size", -4_096);
        small.map_err(|error| DatabaseError::new("opening the ledger", &self.options.path, error))?;
        let path = self.options.path.clone();
        let rotations = self.rotations().map_err(|error| damaged(&path, error))?;
        let before =
            |rotation: &Rotation| Ok((source_of(&rotation.rotated.previous_public_key)?, rotation.position - 1));
        let before = rotations.iter().rev().map(before).collect::<Result<_, crate::text::InvalidText>>();
        let sources = outbox::Sources {
            now: self.identity.source.clone(),
            before: before.map_err(|error| damaged(&path, error))?,
        };
        Ok(LedgerOutbox::new(connection, path, sources, Arc::clone(&self.options.clock), gate))
    }

    /// Makes the tables of entities anew from the events.
    ///
    /// # Errors
    /// When an event can't be read, or the disk fails. The tables are then as they were.
    pub fn rebuild(&self) -> Result<(), AppendError> {
        let writing = self.writing.as_ref().map_err(Clone::clone)?;
        let work = |session: &mut append::Session<'_>| session.rebuild().map(|()| Vec::new());
        writing.group.submit(&writing.writer, Box::new(work)).map(|_| ())
    }

    /// Writes a copy that is whole in one file and opens on read-only media. It can be read anywhere and written nowhere
    /// until it is handed over.
    ///
    /// # Errors
    /// When there is a file already, or the disk fails.
    pub fn copy_to(&self, destination: &Path) -> Result<(), CopyError> {
        // A copy may lie where nothing can be written. What can't be followed here is followed there, in memory.
        let _ = self.catch_up();
        self.reader.with(|log| copy::copy(log, destination))
    }

    /// Closes the ledger, with everything in its one file.
    ///
    /// # Errors
    /// When the disk fails; what was appended is durable all the same.
    pub fn close(mut self) -> Result<(), OpenError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), OpenError> {
        self.touch_token()?;
        if let Ok(writing) = std::mem::replace(&mut self.writing, Err(NotTheWriter::Asked)) {
            let mut writer = writing.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
            writer.remember().map_err(|error| OpenError::Signed(Box::new(error)))?;
            checkpoint(writer.connection())
                .map_err(|error| DatabaseError::new("closing the ledger", &self.options.path, error))?;
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // What was appended is durable; a checkpoint that fails now is made at the next opening.
        let _ = self.finish();
    }
}

/// Moves the write-ahead log into the database and empties it.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn close(connection: Connection) -> rusqlite::Result<()> {
    checkpoint(&connection)?;
    connection.close().map_err(|(_, error)| error)
}

fn remove_database(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_permission(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(error.sqlite_error_code(), Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied))
}

fn identity(connection: &Connection, path: &Path) -> Result<Identity, DatabaseError> {
    let read = |key: &'static str| -> Result<String, DatabaseError> {
        let value = schema::meta(connection, key)
            .map_err(|error| DatabaseError::new("reading which ledger it is", path, error))?;
        value.ok_or_else(|| damaged(path, format!("the table meta has no {key}")))
    };
    let first_key: PublicKey = read("public_key")?.parse().map_err(|error| damaged(path, error))?;
    let ledger_id = read("ledger")?.parse().map_err(|error| damaged(path, error))?;
    let public_key = epoch::current_key(connection, ledger_id).unwrap_or(first_key);
    Ok(Identity {
        ledger_id,
        name: read("name")?.parse().map_err(|error| damaged(path, error))?,
        source: source_of(&public_key).map_err(|error| damaged(path, error))?,
        public_key,
    })
}

fn damaged(path: &Path, detail: impl ToString) -> DatabaseError {
    DatabaseError::Damaged { action: "reading which ledger it is", path: path.to_owned(), detail: detail.to_string() }
}
