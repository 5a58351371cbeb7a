//! How far the tables of entities are behind the log, and how they catch up.
//!
//! What is decided here changes the entities in the transaction that records it. What a mirror or a restored ledger takes in
//! bulk was decided elsewhere: it goes into the log, and the tables follow when somebody looks at entities. While they are
//! behind, the table `meta` says how far they are. The ledger's own entity, which names its keys, is never behind.

use std::sync::{Arc, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _};

use super::Store;
use super::append::{FollowedEvent, Session, Writer};
use super::error::{AppendError, DatabaseError, ReadError};
use super::read::Listing;
use super::schema::{self, Access};
use super::tables::{Cache, Tables};
use crate::ledger::{State, View};

/// The entry of the table `meta` that says up to which position the tables of entities follow the log.
const FOLDED: &str = "folded";

/// So few events are followed in the transaction that records them, where nothing is behind.
const FEW: usize = 256;

/// How many events one transaction follows.
const TOGETHER: u64 = 10_000;

/// Up to which position the tables of entities follow the log; `None` where that is its end.
pub(super) fn folded(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?1")?;
    statement.query_row([FOLDED], |row| row.get(0)).optional()
}

impl Session<'_> {
    /// Records events as they are, and lets the tables of entities follow later where there are many of them.
    pub(super) fn record_ahead(&mut self, events: &[FollowedEvent], blobs: &[Vec<u8>]) -> Result<(), AppendError> {
        let behind = self.folded().is_some();
        let few = events.len() <= FEW && !behind;
        self.savepoint()?;
        self.write_blobs(blobs)?;
        if !behind {
            self.set_folded(Some(self.end()));
        }
        let (mut insert, mut concerns_ledger) = (self.insert()?, false);
        for event in events {
            concerns_ledger |= self.write_followed(event, &mut insert)?;
        }
        drop(insert);
        match few || concerns_ledger {
            true => self.catch_up(u64::MAX),
            false if behind => Ok(()),
            false => self.fall_to(self.folded()),
        }
    }

    /// Lets the tables of entities follow so many events more, all when they are fewer.
    pub(super) fn catch_up(&mut self, most: u64) -> Result<(), AppendError> {
        let Some(folded) = self.folded() else { return Ok(()) };
        self.savepoint()?;
        let end = self.end();
        let last = folded.saturating_add(most).min(end);
        let mut next = folded + 1;
        while next <= last {
            let limit = usize::try_from(last - next + 1).map_or(512, |left| left.min(512));
            let page = self.log().list(Listing::from(next, limit)).map_err(|error| self.unread(error))?;
            let Some(highest) = page.last().map(|last| last.position) else { break };
            for recorded in page {
                let event = recorded.event().map_err(|error| self.unread(error))?;
                let folded = self.tables().fold(&event, recorded.position, recorded.cid);
                folded.map_err(|error| self.misapplied(error))?;
            }
            next = highest + 1;
        }
        self.fall_to((last < end).then_some(last))
    }

    fn fall_to(&mut self, folded: Option<u64>) -> Result<(), AppendError> {
        self.set_folded(folded);
        let connection = self.log().connection;
        let written = match folded {
            Some(position) => schema::set_meta(connection, FOLDED, &position.to_string()),
            None => schema::remove_meta(connection, FOLDED),
        };
        written.map_err(|error| self.failed(error))
    }

    /// Makes the tables of entities anew.
    pub(super) fn rebuild(&mut self) -> Result<(), AppendError> {
        self.savepoint()?;
        self.forget_entities()?;
        self.set_folded(Some(0));
        self.catch_up(u64::MAX)
    }
}

impl Writer {
    /// Lets the tables of entities follow to the end of the log, some events a transaction.
    fn catch_up(&mut self, tell: &dyn Fn(u64)) -> Result<(), AppendError> {
        while let Some(done) = folded(self.connection()).map_err(|error| self.failed(error))? {
            tell(done);
            for answer in self.run(vec![Box::new(|session| session.catch_up(TOGETHER).map(|()| Vec::new()))]) {
                answer?;
            }
        }
        Ok(())
    }
}

/// What is called with how many events the entities follow, and how many there are.
pub(super) type Told = dyn Fn(u64, u64) + Send + Sync;

/// The entities in memory, where they can't be brought up to date in the tables.
#[derive(Default)]
pub(super) struct Aside {
    position: u64,
    state: State,
}

impl Store {
    /// Tells how far entities follow, where a look at them has to wait for that: how many events they follow, and how many
    /// there are, now and then and at the end.
    pub fn on_catch_up(&mut self, tell: impl Fn(u64, u64) + Send + Sync + 'static) {
        self.told = Box::new(tell);
    }

    /// Looks entities up, all as of one moment.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn view<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, ReadError> {
        match self.catch_up()? {
            true => self.view_as_it_is(look),
            false => Ok(look(&self.aside()?.state)),
        }
    }

    /// The same, without bringing the tables up to date: of the ledger's own entity they always are.
    pub(super) fn view_as_it_is<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, ReadError> {
        self.reader.with(|log| {
            let transaction = log.connection.unchecked_transaction();
            let transaction = transaction.map_err(|error| DatabaseError::new("reading the ledger", log.path, error))?;
            Ok(look(&Tables::cached(&transaction, &Cache::default())))
        })
    }

    /// Brings the tables of entities up to date, where they are not. False where they can't be written; why does not matter
    /// to whoever reads.
    pub(super) fn catch_up(&self) -> Result<bool, ReadError> {
        if self.reader.with(|log| log.try_read(|log| folded(log.connection)))?.is_none() {
            return Ok(true);
        }
        let end = self.end()?;
        let tell = |done| (self.told)(done, end.max(done));
        let caught_up = match &self.writing {
            Ok(writing) => writing.writer.lock().unwrap_or_else(PoisonError::into_inner).catch_up(&tell).is_ok(),
            Err(_) => {
                let connection = schema::connect(&self.options.path, Access::Write, self.options.wait);
                connection.is_ok_and(|connection| {
                    let (path, clock) = (self.options.path.clone(), Arc::clone(&self.options.clock));
                    Writer::new(connection, path, clock).catch_up(&tell).is_ok()
                })
            }
        };
        tell(end);
        Ok(caught_up)
    }

    fn aside(&self) -> Result<MutexGuard<'_, Aside>, ReadError> {
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.end()?;
        for recorded in self.iter(aside.position + 1) {
            let recorded = recorded?;
            let position = recorded.position;
            let event = recorded.event()?;
            let folded = aside.state.fold(&event, recorded.cid);
            folded.map_err(|error| ReadError::Damaged { position, detail: error.to_string() })?;
            aside.position = position;
            if position.is_multiple_of(TOGETHER) {
                (self.told)(position, end.max(position));
            }
        }
        (self.told)(end, end);
        Ok(aside)
    }
}
