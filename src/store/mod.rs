//! Sessions on disk, so that they outlive the tapline that began them, and what is known of tapes.
//!
//! Owns the database. One thread has the connection; saving is a note for it and never waits: of several notes on one
//! session the latest counts. Reading is a question with an answer to wait for. A database that cannot be used costs one
//! warning and nothing else: everything goes on in memory. Knows nothing of live sessions, and removes nothing unasked.
//!
//! A fresh run numbers messages from `#1`; when a session is restored, numbers jump above what its tape has. Of a
//! client's session id the database has a hash; the ids that tapline gives out for commands are random.

mod database;
mod rows;
mod tapes;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use serde::Deserialize;
use tokio::sync::oneshot;

pub use self::database::Database;
pub use self::tapes::KnownTape;
use self::writer::{Notes, Request, StoreWriter};
use crate::envelope::Seq;
use crate::event::{Level, Session, Timestamp};
use crate::{tape, text};

/// Name of the database, beside the tapes.
const FILE: &str = "sessions.db";

/// Sessions in memory, unless the configuration says otherwise.
pub const MOST_SESSIONS: usize = 10_000;

/// How long a session may be idle, unless the configuration says otherwise; one that a process has launched may forever.
pub const LONGEST_IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// Questions that may wait. One more is answered as if nothing were known.
const MOST_QUESTIONS: usize = 4096;

/// How long a client waits for the database, and the end of tapline. Another program may have it for longer.
const PATIENCE: Duration = Duration::from_millis(500);
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// `[sessions]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// Sessions in memory; beyond that the one that was used least recently waits in the database.
    pub max: Option<usize>,
    /// How long a session may go without an exchange or an open stream before it is closed.
    #[serde(deserialize_with = "text::written_duration")]
    pub idle: Option<Duration>,
    /// The file to keep sessions in.
    pub database: Option<PathBuf>,
}

/// How sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file they are kept in; nowhere if `None`.
    pub database: Option<PathBuf>,
    /// Sessions of one upstream in memory.
    pub max: usize,
    /// How long one may be idle; forever if `None`.
    pub idle: Option<Duration>,
}

impl Default for Settings {
    /// Keeps sessions in memory, for as long as tapline runs.
    fn default() -> Self {
        Self { database: None, max: MOST_SESSIONS, idle: None }
    }
}

impl Section {
    /// What is to be done, where the defaults are these.
    ///
    /// # Errors
    /// Where a value makes no sense.
    pub fn over(&self, defaults: &Settings) -> Result<Settings, String> {
        if self.max == Some(0) {
            return Err("`max` is 0: no session could be opened; a number of at least 1".to_owned());
        }
        if self.idle == Some(Duration::ZERO) {
            return Err("`idle` is 0: every session would be closed at once; such as `24h`".to_owned());
        }
        Ok(Settings {
            database: self.database.clone().or_else(|| defaults.database.clone()),
            max: self.max.unwrap_or(defaults.max),
            idle: self.idle.or(defaults.idle),
        })
    }
}

/// Where sessions are kept unless the user says otherwise: beside the user's own tapes. Nowhere where there is no home.
pub fn default_path() -> Option<PathBuf> {
    let tapes = tape::default_dir().ok()?;
    Some(tapes.with_file_name(FILE))
}

/// The SHA-256 of the id that a client sends: enough to know it again, and of no use to a reader of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The SHA-256 of a client's session id.
    pub fn of(id: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, id);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// A process that has sessions in memory. The time tells it from another of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub process: u32,
    pub started: Timestamp,
}

/// A session as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The session. Its upstream is without secrets once it was on disk.
    pub session: Arc<Session>,
    /// How its client's next request is known; nothing where no other tapline could go on with it.
    pub key: Option<KeyHash>,
    /// When it ended for good.
    pub ended: Option<Timestamp>,
    pub last_used: Timestamp,
    /// Number of its latest message, at least.
    pub last_seq: Seq,
    pub messages: u64,
    /// What a fresh server process is to be told.
    pub handshake: Option<String>,
    /// The client that it belongs to, where clients are known.
    pub caller: Option<String>,
    pub owner: Owner,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open {}: {why}; `--database FILE` keeps sessions elsewhere", path.display())]
    CannotOpen { path: PathBuf, why: String },
    #[error("{} is locked by another program; end that one, or keep sessions elsewhere with `--database FILE`", .0.display())]
    Locked(PathBuf),
    #[error("{} is damaged, or no database: {why}; move it away, and the next tapline makes a new one", path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("{} is a database of another program; `--database FILE` keeps sessions elsewhere", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{} was written by a newer tapline (schema {version}, this one knows {known}); run that one, or keep sessions elsewhere \
         with `--database FILE`",
        path.display()
    )]
    Newer { path: PathBuf, version: i64, known: i64 },
    #[error("{}: {why}", path.display())]
    Failed { path: PathBuf, why: String },
}

/// Writes a line to the log: how grave it is, and its text.
pub type LogFn = Box<dyn Fn(Level, String) + Send>;

/// Which taplines run now.
pub type RunningTaplines = Box<dyn Fn() -> Vec<Owner> + Send>;

/// A handle on the sessions on disk.
#[derive(Clone)]
pub struct Store {
    notes: Arc<Notes>,
    requests: Sender<Request>,
    owner: Owner,
}

/// The thread; [`StoreThread::finish`] waits until everything is saved.
pub struct StoreThread {
    requests: Sender<Request>,
    /// Disconnected at its end.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Starts the thread, which opens the file. Nothing waits for that.
    pub fn start(path: PathBuf, owner: Owner, living: RunningTaplines, log: LogFn) -> (Self, StoreThread) {
        let (requests, received) = crossbeam_channel::bounded(MOST_QUESTIONS);
        let notes = Arc::new(Notes::default());
        let writer = StoreWriter::new(path, notes.clone(), log);
        let (ending, ended) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                writer.run(owner, &living, &received);
                drop(ending);
            })
            .expect("a process that cannot start a thread cannot do anything else either");
        (Self { notes, requests: requests.clone(), owner }, StoreThread { requests, ended, thread })
    }

    /// Whom the sessions of this process are saved under.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Has a session saved as it is now. Never waits, and never fails: what cannot be saved is told in the log.
    pub fn save(&self, record: Record) {
        if self.notes.insert(record) {
            // Full: the thread has enough to do, and finds the note when it has done it.
            let _ = self.requests.try_send(Request::Look);
        }
    }

    /// The session that goes on when a client sends this id: one of the same upstream, not ended, and not in the memory of
    /// another tapline that runs.
    /// `upstream`: its name, where it has one, and its label.
    pub async fn find(&self, key: KeyHash, upstream: (Option<String>, String)) -> Option<Record> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(Request::Find { key, upstream, reply }).ok()?;
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()?
    }

    /// What is known of tapes, from a thread that may wait.
    pub fn tapes(&self) -> Vec<KnownTape> {
        let (reply, answer) = oneshot::channel();
        match self.requests.try_send(Request::Tapes { reply }) {
            Ok(()) => answer.blocking_recv().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Has it known what was read of tapes.
    pub fn learn_tapes(&self, tapes: Vec<KnownTape>) {
        if !tapes.is_empty() {
            // Full: they are read again another time.
            let _ = self.requests.try_send(Request::Learn(tapes));
        }
    }
}

impl StoreThread {
    /// Waits until all is saved and the database is closed, or, where another program has it, for a moment.
    pub fn finish(self) {
        if self.requests.send_timeout(Request::Finish, LAST_PATIENCE).is_err() {
            return;
        }
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(LAST_PATIENCE) {
            tracing::warn!("the session database was not closed in order: it takes too long");
            return;
        }
        if self.thread.join().is_err() {
            tracing::error!("the store ended by a panic; the latest state of sessions may be missing");
        }
    }
}
