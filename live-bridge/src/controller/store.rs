//! What outlives the controller: one SQLite file, written by one thread that commits in groups.
//!
//! | table | what is in it |
//! |---|---|
//! | `journal(number, line)` | the journal, a line a row |
//! | `inbox(id, batch)` | what devices said and nobody has dealt with yet: the messages of one commit a row |
//! | `marks(device, reports, events)` | how far each device's messages have been dealt with |
//! | `meta(key, value)` | epoch, the andon switch, who made which rollout |

use super::inbox::Marks;
use rusqlite::{Connection, OpenFlags, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Layout of the tables; raised when it changes.
const LAYOUT: i64 = 1;
/// Lines read from the journal at a time.
const LINES_AT_ONCE: i64 = 512;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no. The source says why; the text does not repeat it.
    #[error("store {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// Somebody has it open: only one program a store.
    #[error(
        "store {} is in use by a controller that runs; while it does, `--controller HOST:PORT --identity DIR` asks it for its journal",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is no store, is damaged, or is another's.
    #[error("store {}: {problem}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl StoreError {
    fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::InUse { path },
            _ => Self::Sqlite { path, source },
        }
    }
}

/// The file, open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    pub(super) connection: Connection,
}

impl Store {
    /// Opens a store, or makes one. It grows to `bytes_max` at most; as large as the disk lets it where that is `None`.
    ///
    /// # Errors
    /// When the file cannot be read or written, is damaged, of another layout, or in use by another controller.
    pub fn open(path: &Path, bytes_max: Option<u64>) -> Result<Self, StoreError> {
        let failed = |source| StoreError::sqlite(path, source);
        let unfit = |problem: String| StoreError::Unfit { path: path.to_owned(), problem };
        let connection = Connection::open(path).map_err(failed)?;
        // Only one controller a store: the lock is kept until the file is closed.
        let locked: Result<(), rusqlite::Error> = (|| {
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch("BEGIN IMMEDIATE; COMMIT")
        })();
        locked.map_err(failed)?;
        let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
        match layout {
            0 if tables == 0 => connection
                .execute_batch(&format!(
                    "BEGIN;
                     CREATE TABLE journal(number INTEGER PRIMARY KEY, line TEXT NOT NULL) STRICT;
                     CREATE TABLE inbox(id INTEGER PRIMARY KEY, batch BLOB NOT NULL) STRICT;
                     CREATE TABLE marks(device TEXT PRIMARY KEY, reports INTEGER NOT NULL, events INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                     CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
                     PRAGMA user_version = {LAYOUT};
                     COMMIT;"
                ))
                .map_err(failed)?,
            LAYOUT => {}
            other => return Err(unfit(format!("has layout {other}, and this program reads {LAYOUT}"))),
        }
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if sound != "ok" {
            return Err(unfit(format!("is damaged: {sound}")));
        }
        if let Some(bytes) = bytes_max {
            let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(failed)?;
            connection.pragma_update(None, "max_page_count", bytes as i64 / page).map_err(failed)?;
        }
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Opens the store of a controller that does not run, to read it.
    ///
    /// # Errors
    /// When there is none, or a controller has it open.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::sqlite(path, source);
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
        let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        if layout != LAYOUT {
            let problem = format!("is no controller's store of layout {LAYOUT}");
            return Err(StoreError::Unfit { path: path.to_owned(), problem });
        }
        Ok(Self { path: path.to_owned(), connection })
    }

    pub(super) fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, source)
    }

    pub(super) fn unfit(&self, problem: impl Into<String>) -> StoreError {
        StoreError::Unfit { path: self.path.clone(), problem: problem.into() }
    }

    /// The journal from a line on, in portions.
    ///
    /// # Errors
    /// When it cannot be read; or what `take` says.
    pub fn each_line(
        &self,
        from: u64,
        take: &mut dyn FnMut(u64, String) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut next = from as i64;
        loop {
            let lines = self.lines(next)?;
            let Some((last, _)) = lines.last() else { return Ok(()) };
            next = last + 1;
            for (number, line) in lines {
                take(number as u64, line)?;
            }
        }
    }

    /// The line the journal begins with; `None` when it has not begun.
    pub(super) fn first_line(&self) -> Result<Option<String>, StoreError> {
        Ok(self.lines(0)?.into_iter().next().map(|(_, line)| line))
    }

    fn lines(&self, from: i64) -> Result<Vec<(i64, String)>, StoreError> {
        let read = || {
            let mut statement = self
                .connection
                .prepare_cached("SELECT number, line FROM journal WHERE number >= ?1 ORDER BY number LIMIT ?2")?;
            let rows = statement.query_map(params![from, LINES_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<_>, rusqlite::Error>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// How far each device's messages have been dealt with.
    pub(super) fn marks(&self) -> Result<BTreeMap<String, Marks>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT device, reports, events FROM marks")?;
            let rows = statement.query_map([], |row| {
                let marks = Marks { reports: row.get::<_, i64>(1)? as u64, events: row.get::<_, i64>(2)? as u64 };
                Ok((row.get(0)?, marks))
            })?;
            rows.collect::<Result<_, rusqlite::Error>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// What devices said and nobody has dealt with yet, in the order it came.
    pub(super) fn inbox(&self) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT id, batch FROM inbox ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, rusqlite::Error>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// All of the table of odds and ends.
    pub(super) fn meta(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT key, value FROM meta")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, rusqlite::Error>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// The number of this start of a controller: one more than the last, and on disk before anybody hears it.
    pub(super) fn next_epoch(&self) -> Result<u64, StoreError> {
        let last = self.meta()?.get("epoch").map_or(Ok(0), |text| text.parse::<u64>());
        let epoch = last.map_err(|_| self.unfit("its epoch is no number"))? + 1;
        self.connection
            .execute("INSERT OR REPLACE INTO meta(key, value) VALUES('epoch', ?1)", [epoch.to_string()])
            .map_err(|source| self.failed(source))?;
        Ok(epoch)
    }
}
