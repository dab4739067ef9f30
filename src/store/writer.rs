//! The thread that has the database: takes notes, writes them in batches, answers questions.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Database, KeyHash, KnownTape, LogFn, Owner, Record, RunningTaplines, StoreError};
use crate::envelope::SessionId;
use crate::event::Level;

/// Notes that may wait while the disk takes none; beyond that, other sessions are not saved.
const MOST_NOTES: usize = 100_000;

/// The least time between two batches.
const MOMENT: Duration = Duration::from_millis(2);

/// When a disk that took nothing is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What is to be saved: of each session the latest.
#[derive(Default)]
pub(super) struct Notes(Mutex<UnsavedRecords>);

#[derive(Default)]
struct UnsavedRecords {
    /// Each by itself: one table of thousands is a hole in memory when it has been written.
    records: HashMap<SessionId, Box<Record>>,
    /// The thread that writes them has ended: none is taken any more.
    off: bool,
}

/// What the thread is asked.
pub(super) enum Request {
    /// There are notes to write.
    Look,
    Find {
        key: KeyHash,
        /// The upstream: its name in the configuration, and its label.
        upstream: (Option<String>, String),
        reply: oneshot::Sender<Option<Record>>,
    },
    Tapes {
        reply: oneshot::Sender<Vec<KnownTape>>,
    },
    Learn(Vec<KnownTape>),
    Finish,
}

pub(super) struct StoreWriter {
    path: PathBuf,
    notes: Arc<Notes>,
    log: LogFn,
    /// What the disk did not take was told.
    failing: bool,
    /// That it cannot be read was told.
    unreadable: bool,
}

impl Notes {
    /// Keeps what is to be saved of a session. Returns whether the thread has to be woken for it.
    pub(super) fn insert(&self, record: Record) -> bool {
        let mut unsaved = self.0.lock();
        let first = unsaved.records.is_empty();
        let known = unsaved.records.contains_key(&record.session.id);
        if unsaved.off || !known && unsaved.records.len() >= MOST_NOTES {
            return false;
        }
        unsaved.records.insert(record.session.id, Box::new(record));
        first
    }

    /// A session that waits, and goes on when a client sends this id.
    fn find(&self, key: KeyHash, (name, upstream): &(Option<String>, String)) -> Option<Record> {
        let unsaved = self.0.lock();
        let found = unsaved.records.values().find(|record| {
            let session = &record.session;
            record.key == Some(key)
                && record.ended.is_none()
                && session.upstream_name == *name
                && *session.upstream == **upstream
        });
        found.map(|record| Record::clone(record))
    }

    fn all(&self) -> HashMap<SessionId, Box<Record>> {
        std::mem::take(&mut self.0.lock().records)
    }

    /// Puts back what could not be written, unless something newer is known.
    fn put_back(&self, records: HashMap<SessionId, Box<Record>>) {
        let mut unsaved = self.0.lock();
        for (id, record) in records {
            unsaved.records.entry(id).or_insert(record);
        }
    }

    fn turn_off(&self) {
        *self.0.lock() = UnsavedRecords { records: HashMap::new(), off: true };
    }
}

impl StoreWriter {
    pub(super) fn new(path: PathBuf, notes: Arc<Notes>, log: LogFn) -> Self {
        Self { path, notes, log, failing: false, unreadable: false }
    }

    /// The thread's whole life. Questions that come after it get no answer.
    pub(super) fn run(mut self, owner: Owner, living: &RunningTaplines, requests: &Receiver<Request>) {
        let mut told = false;
        loop {
            let opened = Database::open(&self.path).and_then(|mut database| {
                let running = || living().into_iter().chain([owner]).collect::<Vec<_>>();
                database.end_lost(&running()).map(|()| database)
            });
            match opened {
                Ok(database) => return self.serve(database, owner, living, requests),
                Err(error @ StoreError::Locked(_)) => {
                    if !std::mem::replace(&mut told, true) {
                        let text = format!("{error}; until then sessions are kept in memory, and it is tried again");
                        (self.log)(Level::Warn, text);
                    }
                    if matches!(requests.recv_timeout(AGAIN), Ok(Request::Finish) | Err(RecvTimeoutError::Disconnected))
                    {
                        break;
                    }
                }
                Err(error) => {
                    (self.log)(Level::Warn, format!("{error}; sessions end with this tapline"));
                    break;
                }
            }
        }
        self.notes.turn_off();
    }

    fn serve(&mut self, mut database: Database, owner: Owner, living: &RunningTaplines, requests: &Receiver<Request>) {
        loop {
            let request = match requests.recv_timeout(if self.failing { AGAIN } else { Duration::MAX }) {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) => Request::Look,
                Err(RecvTimeoutError::Disconnected) => Request::Finish,
            };
            let known =
                if let Request::Find { key, upstream, .. } = &request { self.notes.find(*key, upstream) } else { None };
            if known.is_none() {
                self.flush(&mut database);
            }
            match request {
                Request::Look => std::thread::sleep(MOMENT),
                Request::Find { key, upstream, reply } => {
                    // What waits for the disk is known; that of others is not, where the disk takes nothing.
                    let found = known.or_else(|| {
                        let found = database.find(key, (upstream.0.as_deref(), &upstream.1));
                        self.answer(found).into_iter().find(|it| is_free(it, owner, living))
                    });
                    // The caller may have hung up.
                    let _ = reply.send(found);
                }
                Request::Tapes { reply } => {
                    let _ = reply.send(self.answer(database.tapes()));
                }
                Request::Learn(tapes) => {
                    if let Err(error) = database.learn_tapes(&tapes) {
                        tracing::debug!(%error, "tapes were not noted");
                    }
                }
                Request::Finish => break,
            }
        }
        self.notes.turn_off();
        if let Err(error) = database.close() {
            tracing::warn!(%error, "the session database was not closed in order");
        }
    }

    fn answer<T>(&mut self, found: Result<Vec<T>, StoreError>) -> Vec<T> {
        match found {
            Ok(found) => {
                self.unreadable = false;
                found
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    (self.log)(Level::Warn, format!("the session database cannot be read: {error}"));
                }
                Vec::new()
            }
        }
    }

    /// Writes the notes. What the disk does not take waits, is told once, and tried again.
    pub(super) fn flush(&mut self, database: &mut Database) {
        let records = self.notes.all();
        if records.is_empty() {
            return;
        }
        match database.save(records.values().map(|record| &**record)) {
            Ok(()) if std::mem::take(&mut self.failing) => {
                (self.log)(Level::Info, format!("sessions are saved to {} again", self.path.display()));
            }
            Ok(()) => {}
            Err(error) => {
                self.notes.put_back(records);
                if !std::mem::replace(&mut self.failing, true) {
                    let text =
                        format!("sessions cannot be saved: {error}; messages pass all the same, and it is tried again");
                    (self.log)(Level::Error, text);
                }
            }
        }
    }
}

/// Whether no other tapline has it in memory.
fn is_free(record: &Record, owner: Owner, living: &RunningTaplines) -> bool {
    record.owner == owner || !living().contains(&record.owner)
}
