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
mod identity;
mod journal;
mod mirror;
mod notes;
mod options;
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

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cid::Cid;
use rusqlite::Connection;

pub use crate::act::AppendedEvent;
pub use acquire::{Acquire, Acquiring};
pub use append::FollowedEvent;
pub use epoch::{Restored, Rotation};
pub use error::{
    AppendError, CheckpointStoreError, CopyError, CreateError, DatabaseError, JournalError, MirrorError, NotTheWriter,
    OpenError, OtherKey, ReadError,
};
pub use follow::Follower;
pub use founding::{Absent, Founding};
pub use handover::{Elsewhere, HandingOver};
pub use identity::{Identity, Restoration, mark_restored};
pub use mirror::Mirror;
pub use notes::LastBackup;
pub use options::{Clock, StoreOptions};
pub use outbox::LedgerOutbox;
pub use read::{Events, Listing, Recorded, Which};
pub use restricted::{RestrictedBlocks, RestrictedError, RestrictedTexts};
pub use verify::{Demands, Extent};

use append::Writer;
use behind::Aside;
use group::Group;
use identity::{identity, is_mirror};
use read::{Log, Reader};
use schema::{Access, checkpoint};
use token::Token;

use crate::ids::LedgerId;
use crate::keys::KeyRef;
use crate::log::NodeHash;

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
        if let Some(reason) = identity::reason(connection, &options.path)? {
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

fn is_permission(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(error.sqlite_error_code(), Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied))
}
