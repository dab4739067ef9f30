//! The tapes that are kept: listing them for the screen, reading one, and what a person does to their files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Executor;
use crate::event::{Command, Event, Level, LogLine, TapeEdit, TapeInfo};
use crate::store::{KnownTape, Store};
use crate::tape;

impl Executor {
    /// Carries out what is asked about tapes.
    pub(super) fn carry_out_with_tapes(&mut self, command: Command) {
        match command {
            Command::ListTapes => self.list_tapes(),
            Command::OpenTape(path) => self.open_tape(path),
            Command::CompareTapes(tapes) => self.compare_tapes(tapes),
            Command::TendTape { tape, edit } => self.tend_tape(tape, edit),
            Command::Replay { tape, speed } => self.play(tape, speed),
            Command::Fork(asked) => self.fork(asked),
            _ => {}
        }
    }

    fn list_tapes(&self) {
        let (journal, library) = (self.mounts.proxy().journal().clone(), self.library.clone());
        let store = self.mounts.proxy().session_policy().store.clone();
        tokio::task::spawn_blocking(move || {
            journal.publish(Event::Tapes(library.map(|dir| catalogue(&dir, store.as_ref())).unwrap_or_default()));
        });
    }

    fn tend_tape(&self, path: PathBuf, edit: TapeEdit) {
        let (journal, library) = (self.mounts.proxy().journal().clone(), self.library.clone());
        let store = self.mounts.proxy().session_policy().store.clone();
        tokio::task::spawn_blocking(move || {
            // No file but those that are listed, whoever the screen is of.
            let is_kept = path.parent() == library.as_deref();
            let done = if is_kept { tape::care::tend(&path, &edit) } else { Err("it is not kept here".to_owned()) };
            if let Err(why) = done {
                journal.log(LogLine::new(Level::Warn, "tape", format!("{}: {why}", path.display())));
            }
            journal.publish(Event::Tapes(library.map(|dir| catalogue(&dir, store.as_ref())).unwrap_or_default()));
        });
    }

    fn open_tape(&self, path: PathBuf) {
        let journal = self.mounts.proxy().journal().clone();
        tokio::task::spawn_blocking(move || tape::open(&path, |event| journal.publish(event)));
    }

    fn compare_tapes(&mut self, tapes: Option<[PathBuf; 2]>) {
        let journal = self.mounts.proxy().journal().clone();
        // What passed a moment ago is to be on the tapes; a journal that has ended has nothing left to write.
        let flushed = journal.flush();
        let before = move || drop(flushed.blocking_recv());
        self.comparer.compare(tapes, before, move |event| journal.publish(event));
    }
}

/// The tapes in a directory. What the store knows of one that has not changed since is not read again.
fn catalogue(dir: &Path, store: Option<&Store>) -> Vec<TapeInfo> {
    let known: HashMap<_, _> =
        store.map(Store::tapes).unwrap_or_default().into_iter().map(|it| (it.info.path.clone(), it)).collect();
    let as_it_was = |path: &Path, modified: u64, bytes: u64| {
        let tape = known.get(path)?;
        (tape.modified == modified && tape.info.bytes == bytes).then(|| tape.info.clone())
    };
    let (tapes, read) = tape::catalogue_knowing(dir, as_it_was);
    if let Some(store) = store {
        store.learn_tapes(read.into_iter().map(|(modified, info)| KnownTape { modified, info }).collect());
    }
    tapes
}
