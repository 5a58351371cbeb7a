//! Backups of the database: whole in one file, made while others write.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::{CopyError, DatabaseError, ReadError};
use super::schema::{self, Access};
use super::{Store, copy};

/// How many pages are copied before progress is reported: 32 MiB.
const PAGES: i32 = 4_096;

impl Store {
    /// Copies the database as of now, with SQLite's backup, to a file that its caller has made, empty and private. Whoever
    /// writes goes on writing. Gives how many events are in the copy.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub fn back_up_to(&self, destination: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<u64, CopyError> {
        let source = schema::connect(self.path(), Access::Read, self.options.wait)
            .map_err(|error| CopyError::Open(Box::new(error)))?;
        let end = snapshot(&source, destination, progress)
            .map_err(|error| CopyError::from(DatabaseError::new("backing up the ledger", destination, error)))?;
        copy::finish(destination)?;
        Ok(end)
    }

    /// How many events of some types there are behind a position.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn count_after(&self, position: u64, types: &[&str]) -> Result<u64, ReadError> {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let types = serde_json::to_string(types).unwrap_or_default();
        self.reader.with(|log| {
            log.try_read(|log| {
                log.connection
                    .prepare_cached(
                        "SELECT count(*) FROM log
                         WHERE position > ?1 AND type IN (SELECT value FROM json_each(?2))",
                    )?
                    .query_row((position, types), |row| row.get(0))
            })
        })
    }
}

fn snapshot(source: &Connection, destination: &Path, progress: &mut dyn FnMut(u64, u64)) -> rusqlite::Result<u64> {
    // One read transaction around all steps: what others commit meanwhile is not seen, so no step begins anew.
    let reading = source.unchecked_transaction()?;
    let end = reading.query_row("SELECT coalesce(max(position), 0) FROM log", [], |row| row.get(0))?;
    let mut copy = Connection::open(destination)?;
    {
        let backup = Backup::new(source, &mut copy)?;
        loop {
            let step = backup.step(PAGES)?;
            let state = backup.progress();
            let all = u64::from(state.pagecount.unsigned_abs());
            progress(all - u64::from(state.remaining.unsigned_abs()).min(all), all);
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
    copy.close().map_err(|(_, error)| error)?;
    Ok(end)
}
