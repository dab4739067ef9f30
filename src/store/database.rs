//! The file: opened, brought to this build's schema, or told why not.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::StoreError;

/// How the schema came to be what it is: a file of version `n` needs what stands after the first `n`.
pub(super) const MIGRATIONS: [&str; 6] = [
    include_str!("../../assets/schema/0001.sql"),
    include_str!("../../assets/schema/0002.sql"),
    include_str!("../../assets/schema/0003.sql"),
    include_str!("../../assets/schema/0004.sql"),
    include_str!("../../assets/schema/0005.sql"),
    include_str!("../../assets/schema/0006.sql"),
];

/// The version that this build writes, and the newest it reads.
const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// `tapl`: tells a database of ours from one that a user named by mistake.
const APPLICATION: i64 = 0x7461_706c;

/// How long a command waits for another program to let go of the database.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a tapline that opens the database waits for another program: its end must not wait for that.
const OPENING: Duration = Duration::from_millis(400);
/// How long a tapline waits for another program with the database open, where a client may wait for the answer.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);

/// An open database of this build's schema.
pub struct Database {
    path: PathBuf,
    pub(super) connection: Connection,
}

impl Database {
    /// Opens the database, which is created where it is missing, readable by this user alone. Another process that has it locked is waited
    /// for a moment only.
    ///
    /// # Errors
    /// Where it cannot be used; it is left as it is then.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let cannot_open = |why: io::Error| StoreError::CannotOpen { path: path.to_owned(), why: why.to_string() };
        make(path).map_err(cannot_open)?;
        let database = Self::connect(path, OPENING)?;
        database.connection.busy_timeout(SHORT_PATIENCE).map_err(|error| store_error(path, &error))?;
        Ok(database)
    }

    /// Opens the database as [`Database::open`] does, but creates none, and waits for other processes that have it locked.
    ///
    /// # Errors
    /// Where it is not there or cannot be used; it is left as it is then.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Self::connect(path, PATIENCE)
    }

    fn connect(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let store_error = |error| store_error(path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
        connection.busy_timeout(patience).map_err(store_error)?;
        let mut database = Self { path: path.to_owned(), connection };
        database.prepare()?;
        Ok(database)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is left, and closes the file.
    ///
    /// # Errors
    /// Where something could not be written.
    pub fn close(self) -> Result<(), StoreError> {
        let Self { path, connection } = self;
        connection.close().map_err(|(_, error)| store_error(&path, &error))
    }

    pub(super) fn store_error(&self, error: &rusqlite::Error) -> StoreError {
        store_error(&self.path, error)
    }

    fn prepare(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let store_error = |error| store_error(&path, &error);
        if self.version()? > SCHEMA {
            return Err(StoreError::Newer { path, version: self.version()?, known: SCHEMA });
        }
        // Readers and one writer of several processes beside each other; a commit waits for no disk.
        self.connection.pragma_update(None, "journal_mode", "WAL").map_err(store_error)?;
        self.connection.pragma_update(None, "synchronous", "NORMAL").map_err(store_error)?;
        // Kibibytes of pages in memory: sessions are written, and seldom read.
        self.connection.pragma_update(None, "cache_size", -256).map_err(store_error)?;
        if self.version()? < SCHEMA { self.migrate() } else { Ok(()) }
    }

    /// The version of the file; 0 where it is empty.
    fn version(&self) -> Result<i64, StoreError> {
        let number = |name: &str| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .map_err(|it| self.store_error(&it))
        };
        let tables = self.connection.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        let is_empty = tables.map_err(|it| self.store_error(&it))? == 0;
        if !is_empty && number("application_id")? != APPLICATION {
            return Err(StoreError::Foreign(self.path.clone()));
        }
        number("user_version")
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let store_error = |error| store_error(&path, &error);
        let migrating =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
        // Another tapline may have done it while we waited.
        let version =
            migrating.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map_err(store_error)?;
        for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
            migrating.execute_batch(migration).map_err(store_error)?;
        }
        migrating.pragma_update(None, "application_id", APPLICATION).map_err(store_error)?;
        migrating.pragma_update(None, "user_version", SCHEMA).map_err(store_error)?;
        migrating.commit().map_err(store_error)
    }
}

/// An empty file, where there is none: what SQLite puts beside it gets the same mode.
fn make(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

fn store_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    let (path, why) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(path),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { path, why },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            StoreError::CannotOpen { path, why }
        }
        _ => StoreError::Failed { path, why },
    }
}
