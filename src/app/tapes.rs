//! The tapes that are kept: listing them for the screen, reading one, and what a person does to their files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Executor;
use crate::envelope::{Author, Via};
use crate::event::{Command, Event, Level, LogLine, Origin, ReplayEvent, Speed, TapeEdit, TapeInfo};
use crate::proxy::front::routes::{Mount, Mounts};
use crate::store::{KnownTape, Store};
use crate::tape;
use crate::tape::play::{PlayOptions, PlayableTape, TapeSelection, play};

/// Reads what is to be played of a tape, and finds the server that it is played at: the one it was made of, or the default.
pub(super) async fn to_play(
    mounts: &Mounts,
    path: PathBuf,
    part: TapeSelection,
) -> Result<(PlayableTape, &Mount), String> {
    let tape = read_part(path, part).await?;
    let found = of_tape(mounts, &tape.header);
    let mount = found.ok_or_else(|| {
        let why = "the tape's upstream is not here, and none is at `/mcp`";
        format!("{why}: there are {}", mounts.label())
    })?;
    Ok((tape, mount))
}

/// Reads what is to be played of a tape.
pub(super) async fn read_part(path: PathBuf, part: TapeSelection) -> Result<PlayableTape, String> {
    let read = tokio::task::spawn_blocking(move || PlayableTape::open_part(&path, &part, |_, _| ())).await;
    read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// The upstream that a tape was made of, or the default.
fn of_tape<'a>(mounts: &'a Mounts, header: &tape::TapeHeader) -> Option<&'a Mount> {
    let by_name = mounts.iter().find(|mount| mount.name().is_some() && mount.name() == header.upstream_name.as_deref());
    let is_alike = |mount: &&Mount| mount.table().target().label().as_str() == header.upstream;
    by_name.or_else(|| mounts.iter().find(is_alike)).or_else(|| mounts.default())
}

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
            Command::Rewind(asked) => self.rewind(asked),
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
        tokio::task::spawn_blocking(move || tape::open(&path, tape::READ_AHEAD, |event| journal.publish(event)));
    }

    /// Stops what is being played, and returns what will stop the next.
    pub(super) fn stop_for_next_play(&mut self) -> CancellationToken {
        self.replay.cancel();
        self.replay = CancellationToken::new();
        self.replay.clone()
    }

    fn play(&mut self, path: PathBuf, speed: Speed) {
        let (mounts, stop) = (self.mounts.clone(), self.stop_for_next_play());
        tokio::spawn(async move {
            let journal = mounts.proxy().journal().clone();
            let failed = |why: String| journal.publish(Event::Replay(ReplayEvent::Failed { why }));
            let (tape, mount) = match to_play(&mounts, path, TapeSelection::default()).await {
                Ok(found) => found,
                Err(why) => return failed(why),
            };
            let table = mount.table();
            match table.open(Via::Http, Origin::Replay, Some(Author::Tapline)) {
                Ok(connection) => {
                    let session = connection.session.id();
                    let options = PlayOptions { speed, ..PlayOptions::default() };
                    let report = |event| journal.publish(Event::Replay(event));
                    play(tape, Arc::new(connection), options, report, stop).await;
                    table.close(session, "the replay ended").await;
                }
                Err(error) => failed(error.to_string()),
            }
        });
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
