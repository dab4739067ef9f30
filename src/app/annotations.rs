//! What people note of messages whose tape is closed: written to the file, many at a time where a person is faster than the disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::control::recorder_elsewhere;
use crate::event::{Annotation, Level, LogLine};
use crate::journal::{Journal, Unwritten};
use crate::tape::care;

/// What waits to be written to closed tapes; one thread writes it, one tape after the other.
#[derive(Clone, Default)]
pub(super) struct ClosedTapes {
    waiting: Arc<Mutex<BTreeMap<PathBuf, Vec<Annotation>>>>,
    /// What could not be written, as to a disk that was full.
    unwritten: Arc<Mutex<BTreeMap<PathBuf, Vec<Annotation>>>>,
    writing: Arc<Mutex<()>>,
}

impl ClosedTapes {
    pub(super) fn add(&self, unwritten: Vec<Unwritten>) {
        let mut waiting = self.waiting.lock();
        for Unwritten { tape, annotation } in unwritten {
            let earlier = self.unwritten.lock().remove(&tape).unwrap_or_default();
            let annotations = waiting.entry(tape).or_default();
            annotations.splice(..0, earlier);
            annotations.push(annotation);
        }
    }

    /// Nothing else is written to a closed tape for as long as this is held.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// Writes all that waits. Whoever finds another at it waits, and finds less, or nothing.
    pub(super) fn write(&self, journal: &Journal) {
        let _one = self.alone();
        loop {
            // Not in the loop's head, where the lock would be held while it is written.
            let next = self.waiting.lock().pop_first();
            let Some((path, annotations)) = next else { return };
            let written = match recorder_elsewhere(&path) {
                Some(entry) => Err(format!("{} records to it", entry.words())),
                None => care::annotate(&path, &annotations).map_err(|error| error.to_string()),
            };
            if let Err(why) = written {
                self.unwritten.lock().entry(path).or_default().splice(..0, annotations);
                let text = format!("marks and comments are not on the tape, and are tried again with the next: {why}");
                journal.log(LogLine::new(Level::Warn, "tape", text));
            }
        }
    }
}
