//! The tapes that are kept: listing them for the screen, reading one, and what a person does to their files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Executor;
use super::replays::{self, LatestReplay};
use crate::control::recorder_elsewhere;
use crate::envelope::Seq;
use crate::event::{
    AnnotateRequest, Command, Event, Level, LogLine, ReplayEvent, ReplayRequest, ServeRequest, TapeEdit, TapeInfo,
};
use crate::journal::Journal;
use crate::json::{PathPattern, PathPatternError};
use crate::proxy::front::routes::{Mount, Mounts};
use crate::store::{KnownTape, Store};
use crate::tape;
use crate::tape::Catalogue;
use crate::tape::accept::{AcceptedValues, accept};
use crate::tape::play::{PlayableTape, TapeSelection, play};

/// Reads what is to be played of a tape, and finds the server that it is played at: the one it was made of, or the default.
pub(super) async fn to_play<'m>(
    mounts: &'m Mounts,
    path: PathBuf,
    part: TapeSelection,
    stop: &CancellationToken,
) -> Result<(PlayableTape, &'m Mount), String> {
    let tape = read_part(mounts.proxy().journal(), path, part, stop).await?;
    let found = of_tape(mounts, &tape.header);
    let mount = found.ok_or_else(|| {
        let why = "the tape's upstream is not here, and none is at `/mcp`";
        format!("{why}: there are {}", mounts.label())
    })?;
    Ok((tape, mount))
}

/// Reads what is to be played of a tape; of a large one it is told how far that is, and it can be stopped.
pub(super) async fn read_part(
    journal: &Journal,
    tape: PathBuf,
    part: TapeSelection,
    stop: &CancellationToken,
) -> Result<PlayableTape, String> {
    let (journal, stop) = (journal.clone(), stop.clone());
    let read = tokio::task::spawn_blocking(move || {
        let watch = |read, of| {
            journal.publish(Event::Replay(ReplayEvent::Reading { tape: tape.clone(), read, of }));
            !stop.is_cancelled()
        };
        PlayableTape::open_part(&tape, &part, &watch)
    });
    let read = read.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    read.ok_or_else(|| "it was stopped while its tape was being read".to_owned())
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
            Command::Annotate(request) => self.annotate(request),
            Command::TendTape { tape, edit } => self.tend_tape(tape, edit),
            Command::Replay(asked) => self.play(asked),
            Command::StepReplay => self.latest.step(),
            Command::IgnoreInReplay { tape, paths } => self.latest.ignore(&tape, self.patterns(&paths)),
            Command::AcceptReply { tape, request } => self.accept_reply(tape, request),
            Command::Serve(asked) => self.serve(asked),
            Command::StopServing(tape) => self.stop_serving(tape),
            Command::Fork(asked) => self.fork(asked),
            Command::Rewind(asked) => self.rewind(asked),
            _ => {}
        }
    }

    fn list_tapes(&mut self) {
        self.list_tapes_after(|_, _| ());
    }

    fn tend_tape(&mut self, path: PathBuf, edit: TapeEdit) {
        self.change_tape(path, move |path, _| tape::care::tend(path, &edit));
    }

    fn accept_reply(&mut self, path: PathBuf, request: Seq) {
        let reply = self.latest.reply(&path, request);
        self.change_tape(path, move |path, journal| {
            let tape = path.to_owned();
            let reply = reply.ok_or("what the server answered is not known any more; play it again")?;
            let AcceptedValues { values, left } = accept(path, &[reply]).map_err(|error| error.to_string())?;
            journal.publish(Event::Replay(ReplayEvent::Accepted { tape, request, values, left }));
            Ok(())
        });
    }

    /// Changes a tape that is kept here and that nobody records to, one at a time; then lists all, or says why not.
    fn change_tape(
        &mut self,
        path: PathBuf,
        change: impl FnOnce(&Path, &Journal) -> Result<(), String> + Send + 'static,
    ) {
        let closed = self.closed_tapes.clone();
        self.list_tapes_after(move |journal, library| {
            let _one = closed.alone();
            // No file but those that are listed, whoever the screen is of.
            let is_kept = path.parent() == library;
            // A journal that has ended records nothing.
            let is_recorded = || journal.is_recorded(path.clone()).blocking_recv().unwrap_or_default();
            let done = match is_kept {
                true if is_recorded() => Err("a session is being recorded to it".to_owned()),
                true => match recorder_elsewhere(&path) {
                    Some(entry) => Err(format!("{} records to it; end that session first", entry.words())),
                    None => change(&path, journal),
                },
                false => Err("it is not kept here".to_owned()),
            };
            if let Err(why) = done {
                let tape = path.display().to_string();
                let text = if why.contains(&tape) { why } else { format!("{tape}: {why}") };
                journal.log(LogLine::new(Level::Warn, "tape", text));
            }
        });
    }

    /// What is on an open tape its recorder writes; what is on a closed one, a thread beside.
    fn annotate(&mut self, request: AnnotateRequest) {
        let journal = self.mounts.proxy().journal().clone();
        if request.tape.as_ref().is_some_and(|tape| tape.parent() != self.library.as_deref()) {
            let text = "marks and comments last while this is open, and are not on the tape: it is not kept here";
            return journal.log(LogLine::new(Level::Warn, "tape", text));
        }
        let (unwritten, closed) = (journal.annotate(request), self.closed_tapes.clone());
        self.annotating.retain(|task| !task.is_finished());
        self.annotating.push(tokio::task::spawn_blocking(move || {
            closed.add(unwritten.blocking_recv().unwrap_or_default());
            closed.write(&journal);
        }));
    }

    /// Does something to the tapes, and lists them then. A listing that still reads has an end: the new one goes on with it.
    fn list_tapes_after(&mut self, before: impl FnOnce(&Journal, Option<&Path>) + Send + 'static) {
        self.listing.cancel();
        self.listing = CancellationToken::new();
        let (journal, library, stop) =
            (self.mounts.proxy().journal().clone(), self.library.clone(), self.listing.clone());
        let store = self.mounts.proxy().session_policy().store.clone();
        tokio::task::spawn_blocking(move || {
            before(&journal, library.as_deref());
            let publish = |tapes| journal.publish(Event::Tapes(tapes));
            match library {
                Some(dir) => list(&dir, store.as_ref(), &stop, publish),
                None => publish(Vec::new()),
            }
        });
    }

    fn open_tape(&self, path: PathBuf) {
        let journal = self.mounts.proxy().journal().clone();
        tokio::task::spawn_blocking(move || tape::open(&path, tape::READ_AHEAD, |event| journal.publish(event)));
    }

    /// Stops what is being played, and plays the next when that has told its end: what is told of two at once would be taken for one.
    pub(super) fn play_next<P: Future<Output = ()> + Send + 'static>(
        &mut self,
        play: impl FnOnce(Arc<Mounts>, CancellationToken) -> P,
    ) {
        self.replay.cancel();
        self.replay = CancellationToken::new();
        let (before, next) = (self.playing.take(), play(self.mounts.clone(), self.replay.clone()));
        self.playing = Some(tokio::spawn(async move {
            if let Some(before) = before {
                // However it ended.
                let _ = before.await;
            }
            next.await;
        }));
    }

    fn play(&mut self, asked: ReplayRequest) {
        self.latest = LatestReplay::of(asked.tape.clone(), self.patterns(&asked.ignore));
        let (options, mut keep) = self.latest.options(&asked);
        let path = asked.tape;
        self.play_next(move |mounts, stop| async move {
            let journal = mounts.proxy().journal().clone();
            let failed = |why: String| journal.publish(Event::Replay(ReplayEvent::Failed { why }));
            let (tape, mount) = match to_play(&mounts, path, TapeSelection::default(), &stop).await {
                Ok(found) => found,
                Err(why) => return failed(why),
            };
            let report = |event| {
                keep();
                journal.publish(Event::Replay(event));
            };
            play(tape, replays::connect(mount.table(), |_| ()), options, report, stop).await;
        });
    }

    fn serve(&self, asked: ServeRequest) {
        let ignore = self.patterns(&asked.ignore);
        let (served, front, mounts) = (self.served.clone(), self.front.clone(), self.mounts.clone());
        tokio::spawn(async move { served.serve(&front, &mounts, asked, ignore).await });
    }

    fn stop_serving(&self, tape: PathBuf) {
        let (served, mounts) = (self.served.clone(), self.mounts.clone());
        tokio::spawn(async move { served.end(&mounts, &tape).await });
    }

    /// Those that are paths; of another it is said.
    fn patterns(&self, paths: &[String]) -> Vec<PathPattern> {
        let read =
            |path: &String| path.parse().map_err(|error: PathPatternError| self.warn("replay", error.to_string()));
        paths.iter().filter_map(|path| read(path).ok()).collect()
    }

    fn compare_tapes(&mut self, tapes: Option<[PathBuf; 2]>) {
        let journal = self.mounts.proxy().journal().clone();
        // What passed a moment ago is to be on the tapes; a journal that has ended has nothing left to write.
        let flushed = journal.flush();
        let before = move || drop(flushed.blocking_recv());
        self.comparer.compare(tapes, before, move |event| journal.publish(event));
    }
}

/// With more bytes to be read the list is shown before that.
const AT_ONCE: u64 = 8 << 20;
/// How long tapes are read before the list is shown, and then between two times that it is shown with what was read.
const FIRST_MOMENT: Duration = Duration::from_millis(50);
const MOMENT: Duration = Duration::from_millis(400);

/// Lists the tapes in a directory. What the store knows of one that has not changed since is not read again; the others are shown as
/// far as they are known, and again when they were read.
fn list(dir: &Path, store: Option<&Store>, stop: &CancellationToken, publish: impl Fn(Vec<TapeInfo>)) {
    let known: HashMap<_, _> =
        store.map(Store::tapes).unwrap_or_default().into_iter().map(|it| (it.info.path.clone(), it)).collect();
    let mut catalogue = Catalogue::of(dir, |path| known.get(path).map(|it| (it.modified, it.info.clone())));
    let mut moment = FIRST_MOMENT;
    if catalogue.unread_bytes() > AT_ONCE && !stop.is_cancelled() {
        publish(catalogue.tapes.clone());
        moment = MOMENT;
    }
    loop {
        let (began, mut read) = (Instant::now(), Vec::new());
        // A large one waits until what was read before it is shown.
        while began.elapsed() < moment
            && (read.is_empty() || catalogue.next_bytes() <= AT_ONCE)
            && let Some((modified, info)) = catalogue.read_next()
        {
            read.push(KnownTape { modified, info });
        }
        if let Some(store) = store {
            store.learn_tapes(read);
        }
        // A newer listing shows it all.
        if stop.is_cancelled() {
            return;
        }
        publish(catalogue.tapes.clone());
        if catalogue.is_read() {
            return;
        }
        moment = MOMENT;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn tapes_are_listed_at_once_and_filled_in() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, messages: usize| {
            let header = r#"{"tapline":1,"version":"0","session":"0190163d-8694-739b-aea5-966c26f8ad91","upstream":"cat","via":"stdio","started":7}"#;
            let call = r#"{"seq":1,"at":1,"dir":"c2s","via":"stdio","kind":"request","method":"tools/call","name":"a","msg":{}}"#;
            let lines = std::iter::once(header).chain(std::iter::repeat_n(call, messages));
            std::fs::write(dir.path().join(name), lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        };
        (0..10).for_each(|number| write(&format!("{number}.tape.jsonl"), 12_000));
        let shown = RefCell::new(Vec::new());
        list(dir.path(), None, &CancellationToken::new(), |tapes| shown.borrow_mut().push(tapes));
        let shown = shown.take();
        let calls = |tapes: &Vec<TapeInfo>| tapes.iter().filter(|it| it.tools.is_some()).count();
        assert!(shown.iter().all(|tapes| tapes.len() == 10 && tapes[0].upstream == "cat"));
        assert!(shown.is_sorted_by_key(calls), "{:?}", shown.iter().map(calls).collect::<Vec<_>>());
        assert_eq!((calls(&shown[0]), calls(shown.last().unwrap())), (0, 10), "they are shown before they are read");
        assert_eq!(shown.last().unwrap()[0].tools, Some(vec![("a".to_owned(), 12_000)]));
        // One that was asked for again says nothing more.
        let stop = CancellationToken::new();
        stop.cancel();
        list(dir.path(), None, &stop, |_| panic!("it is shown"));
    }
}
