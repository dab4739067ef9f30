//! What happened, in order: one thread takes every event from the core, writes tapes, remembers the latest messages, and
//! feeds its readers: screens, taplines that show this one, the shadow, the exporter of spans.
//!
//! The wire never waits for it. Publishing is one push to a queue; the thread is woken for the first event of a quiet
//! time, writes at once, and then looks again a moment later by itself, so that under load no message wakes it
//! (a wake costs more than the rest of a message's way: `cargo bench`). That moment, and the time that its batch takes
//! to be written, are the most that `kill -9` can cost a tape: less than 10 ms.

mod queue;
mod remembered;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use self::queue::{Queue, QueueReceiver};
use self::remembered::RememberedMessages;
use crate::envelope::{Envelope, Seq, SessionId};
use crate::event::figures::{Figures, JournalLoad};
use crate::event::{
    AnnotateRequest, Annotation, Comparison, Event, Feed, Finding, Held, Holding, Level, LogLine, Session,
    SessionState, ShadowCounts, ShadowEvent, TapeParent, Ticket,
};
use crate::logging;
use crate::tape::TapeError;
use crate::tape::record::{Recorder, RecordingNotice};

/// The time between two looks of the thread while something passes. Well below the 10 ms that are promised of tapes.
const MOMENT: Duration = Duration::from_millis(6);
/// Entries of a batch for which room is kept.
const MOST_KEPT: usize = 1_024;
/// Bytes of messages that may wait for the thread; beyond that they pass unrecorded, and the gap is marked.
const MOST_WAITING: usize = 256 << 20;
/// How many log lines are remembered for screens that come later.
const MOST_LINES: usize = 2_000;
/// Findings of lint remembered.
const MOST_FOUND: usize = 5_000;
/// Messages of which something is noted remembered.
const MOST_NOTED: usize = 10_000;
/// Divergences of a shadow remembered.
const MOST_DIVERGED: usize = 1_000;
/// Sessions remembered after their end; of those that live, all are.
const MOST_CLOSED: usize = 1_000;

/// The core's handle on the journal: publishes events, subscribes readers.
#[derive(Clone)]
pub struct Journal {
    queue: Queue<Entry>,
    load: Arc<Load>,
    last_reader: Arc<AtomicU64>,
    session_changes: Arc<AtomicU64>,
    stir: Arc<Notify>,
}

/// A reader's place: what it can ask for without disturbing the others.
#[derive(Clone)]
pub struct Subscription {
    queue: Queue<Entry>,
    reader: u64,
}

/// The thread; [`JournalThread::finish`] waits until everything is written.
pub struct JournalThread {
    queue: Queue<Entry>,
    thread: JoinHandle<Option<String>>,
}

#[derive(Default)]
struct Load {
    /// Bytes of messages in the queue.
    waiting: AtomicUsize,
    /// Messages refused because of it, since that was last marked and at all.
    refused: AtomicU64,
    lost: AtomicU64,
    /// The sessions they belong to, with their counts; touched on refusal only.
    gaps: Mutex<HashMap<SessionId, u64>>,
}

enum Entry {
    Event(Event),
    Subscribe(u64, Feed),
    Unsubscribe(u64),
    /// Sends the state again, to one reader or to all.
    Resync(Option<u64>),
    /// What the tape of a session branches off; before its first message.
    Branch(SessionId, TapeParent),
    /// Answered with those that no open tape takes, each with the tape that it belongs on.
    Annotate(AnnotateRequest, oneshot::Sender<Vec<Unwritten>>),
    /// Answered with whether a session is being recorded to this file.
    IsRecorded(PathBuf, oneshot::Sender<bool>),
    /// Answered once all before it is written.
    Flush(oneshot::Sender<()>),
    Finish,
}

/// What was noted of a message whose tape is closed, and the tape.
#[derive(Debug)]
pub struct Unwritten {
    pub tape: PathBuf,
    pub annotation: Annotation,
}

impl Journal {
    /// Starts the thread. `recorder`: what records sessions, if they are.
    pub fn start(recorder: Option<Recorder>) -> (Self, JournalThread) {
        let (unstarted, entries) = queue::queue();
        let (load, stir) = (Arc::new(Load::default()), Arc::new(Notify::new()));
        let writer = JournalWriter {
            load: load.clone(),
            stir: stir.clone(),
            recorder,
            feeds: Vec::new(),
            memory: Memory::default(),
            unrecorded: None,
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&entries))
            .expect("a process that cannot start a thread cannot do anything else either");
        let queue = unstarted.taken_by(thread.thread());
        (
            Self { queue: queue.clone(), load, last_reader: Arc::default(), session_changes: Arc::default(), stir },
            JournalThread { queue, thread },
        )
    }

    /// Hands an event over. Never waits; messages beyond the memory limit are counted instead of kept.
    pub fn publish(&self, event: Event) {
        if let Event::Passed(envelope) = &event {
            let size = weight(envelope);
            if self.load.waiting.fetch_add(size, Ordering::Relaxed) > MOST_WAITING {
                self.load.waiting.fetch_sub(size, Ordering::Relaxed);
                self.load.refused.fetch_add(1, Ordering::Relaxed);
                self.load.lost.fetch_add(1, Ordering::Relaxed);
                *self.load.gaps.lock().entry(envelope.session).or_default() += 1;
                return;
            }
        }
        if matches!(event, Event::SessionOpened(_) | Event::SessionChanged(_) | Event::SessionClosed { .. }) {
            self.session_changes.fetch_add(1, Ordering::Relaxed);
        }
        self.queue.put(Entry::Event(event));
    }

    /// How often a session was opened, changed or closed.
    pub fn session_changes(&self) -> u64 {
        self.session_changes.load(Ordering::Relaxed)
    }

    /// Hands a line over, to the log as well.
    pub fn log(&self, line: LogLine) {
        logging::log(&line);
        self.publish(Event::Log(line));
    }

    /// Has the tape of a session name what it branches off. In time before its first message passes.
    pub fn branch(&self, session: SessionId, parent: TapeParent) {
        self.queue.put(Entry::Branch(session, parent));
    }

    /// Feeds another reader, beginning with everything that is still remembered.
    pub fn subscribe(&self, feed: Feed) -> Subscription {
        let reader = self.last_reader.fetch_add(1, Ordering::Relaxed) + 1;
        self.queue.put_urgent(Entry::Subscribe(reader, feed));
        Subscription { queue: self.queue.clone(), reader }
    }

    /// Notes something of messages: on the tapes that are open, and for all readers. Ready with what belongs on tapes that are closed.
    pub fn annotate(&self, request: AnnotateRequest) -> oneshot::Receiver<Vec<Unwritten>> {
        let (answer, unwritten) = oneshot::channel();
        self.queue.put_urgent(Entry::Annotate(request, answer));
        unwritten
    }

    /// Whether a session is being recorded to this file.
    pub fn is_recorded(&self, path: PathBuf) -> oneshot::Receiver<bool> {
        let (answer, is_recorded) = oneshot::channel();
        self.queue.put_urgent(Entry::IsRecorded(path, answer));
        is_recorded
    }

    /// Waits until something was published since the last call, or is counted that is not published.
    pub async fn stirred(&self) {
        self.stir.notified().await;
    }

    /// Something was counted that is not published.
    pub fn stir(&self) {
        self.stir.notify_one();
    }

    /// What waits to be written, and what could not wait.
    pub fn load(&self) -> JournalLoad {
        JournalLoad {
            waiting: self.load.waiting.load(Ordering::Relaxed) as u64,
            refused: self.load.lost.load(Ordering::Relaxed),
        }
    }

    /// Ready when all that was published is written. An error where the thread is gone.
    pub fn flush(&self) -> oneshot::Receiver<()> {
        let (written, flushed) = oneshot::channel();
        self.queue.put_urgent(Entry::Flush(written));
        flushed
    }

    /// Tells all readers everything again.
    pub fn resync(&self) {
        self.queue.put_urgent(Entry::Resync(None));
    }
}

impl Subscription {
    /// Sends everything that is remembered again, to this reader only.
    pub fn resync(&self) {
        self.queue.put_urgent(Entry::Resync(Some(self.reader)));
    }

    /// Tells this reader nothing more, and gives its feed back; else that happens when the next event cannot be told.
    pub fn end(&self) {
        self.queue.put_urgent(Entry::Unsubscribe(self.reader));
    }
}

impl JournalThread {
    /// Waits until all that was published has been written and told. Returns the last reason why something could not be recorded.
    pub fn finish(self) -> Option<String> {
        self.queue.put_urgent(Entry::Finish);
        self.thread.join().unwrap_or_else(|_| {
            tracing::error!("the journal ended by a panic; the end of a tape may be missing");
            None
        })
    }
}

/// Names the file that a session is recorded to. Nearly always the session says so itself; then it stays shared and is not copied.
fn set_tape(session: &mut Arc<Session>, tape: Option<Arc<Path>>) {
    if session.tape != tape {
        Arc::make_mut(session).tape = tape;
    }
}

fn weight(envelope: &Envelope) -> usize {
    envelope.message.raw().len() + 256
}

struct JournalWriter {
    load: Arc<Load>,
    stir: Arc<Notify>,
    recorder: Option<Recorder>,
    feeds: Vec<(u64, Feed)>,
    memory: Memory,
    /// Why something could not be recorded, the last time that was so.
    unrecorded: Option<String>,
}

impl JournalWriter {
    fn run(mut self, entries: &QueueReceiver<Entry>) -> Option<String> {
        let mut batch = Vec::new();
        while entries.recv_all(&mut batch) {
            let mut finished = false;
            for entry in batch.drain(..) {
                finished |= matches!(entry, Entry::Finish);
                self.on_entry(entry);
            }
            // A burst is not remembered by the room it took.
            batch.shrink_to(MOST_KEPT);
            self.settle_gaps();
            self.flush();
            // Notified here, once a batch, and not for each message on the wire.
            self.stir.notify_one();
            if finished {
                break;
            }
            entries.gather(MOMENT);
        }
        self.unrecorded
    }

    fn on_entry(&mut self, entry: Entry) {
        match entry {
            Entry::Event(event) => self.event(event),
            Entry::Subscribe(reader, feed) => {
                self.memory.resync(&feed);
                self.feeds.push((reader, feed));
            }
            Entry::Unsubscribe(reader) => self.feeds.retain(|(it, _)| *it != reader),
            Entry::Resync(whom) => {
                let asked = self.feeds.iter().filter(|(reader, _)| whom.is_none_or(|whom| whom == *reader));
                asked.for_each(|(_, feed)| self.memory.resync(feed));
            }
            Entry::Branch(session, parent) => {
                if let Some(recorder) = &mut self.recorder {
                    // One that is not recorded needs no parent.
                    let _ = recorder.branch(session, parent);
                }
            }
            Entry::Annotate(request, answer) => {
                let unwritten =
                    request.annotations.into_iter().filter_map(|it| self.annotate(it, request.tape.as_deref()));
                // The caller may have stopped waiting.
                let _ = answer.send(unwritten.collect());
            }
            Entry::IsRecorded(path, answer) => {
                let _ = answer.send(self.recorder.as_ref().is_some_and(|recorder| recorder.records(&path)));
            }
            Entry::Flush(written) => {
                self.settle_gaps();
                self.flush();
                // The caller may have stopped waiting.
                let _ = written.send(());
            }
            Entry::Finish => {}
        }
    }

    fn event(&mut self, mut event: Event) {
        match &mut event {
            Event::Passed(envelope) => {
                self.load.waiting.fetch_sub(weight(envelope), Ordering::Relaxed);
                if let Some(recorder) = &mut self.recorder {
                    // Not open: it was closed a moment ago, and what trickles in after that is not lost from the screen.
                    let _ = recorder.append(envelope);
                }
            }
            Event::SessionOpened(session) => self.open_tape(session),
            Event::SessionChanged(session) => {
                if let Some(recorder) = &mut self.recorder {
                    set_tape(session, recorder.path(session.id));
                    let _ = recorder.observe(session);
                }
            }
            Event::Log(LogLine { landmark: Some(what), session: Some(session), seq, text, .. }) => {
                if let Some(recorder) = &mut self.recorder {
                    let _ = recorder.landmark(*session, *what, *seq, text);
                }
            }
            // First the tape, then the event: a reader of it may open the tape at once.
            Event::SessionClosed { session, reason } => self.close_tape(*session, reason),
            _ => {}
        }
        self.publish(event);
    }

    /// Takes in what was noted; `tape`: where it was noted, if not of what is shown live.
    fn annotate(&mut self, annotation: Annotation, tape: Option<&Path>) -> Option<Unwritten> {
        let is_written = self.recorder.as_mut().is_some_and(|recorder| recorder.annotate(&annotation).is_ok());
        let session = self.memory.sessions.get(annotation.session);
        let known = session.and_then(|session| session.tape.as_deref());
        let tape = tape.or(known).filter(|_| !is_written).map(Path::to_owned);
        if session.is_some() {
            self.publish(Event::Annotated(Arc::new(annotation.clone())));
        }
        tape.map(|tape| Unwritten { tape, annotation })
    }

    /// A line of this thread's own.
    fn log(&mut self, line: LogLine) {
        logging::log(&line);
        self.publish(Event::Log(line));
    }

    fn publish(&mut self, event: Event) {
        self.feeds.retain(|(_, feed)| feed.publish(event.clone()));
        self.memory.remember(event);
    }

    fn open_tape(&mut self, session: &mut Arc<Session>) {
        let Some(recorder) = &mut self.recorder else { return };
        // Where it cannot be made, the first message that is lost by it says so, once, and it is tried again.
        let tape = recorder.open(session).ok();
        set_tape(session, tape);
        // The recorder and the memory have one session between them: thousands are idle.
        let _ = recorder.observe(session);
    }

    fn close_tape(&mut self, session: SessionId, reason: &str) {
        let Some(recorder) = &mut self.recorder else { return };
        match recorder.close(session, reason) {
            Ok(meddled) => self.notices(meddled),
            Err(TapeError::NotOpen(_)) => {}
            Err(error) => {
                let text = format!("the end of a tape is missing: {error}");
                self.unrecorded = Some(text.clone());
                self.log(LogLine::new(Level::Error, "tape", text).of(session));
            }
        }
    }

    fn flush(&mut self) {
        let Some(recorder) = &mut self.recorder else { return };
        let notices = recorder.flush();
        self.notices(notices);
    }

    fn notices(&mut self, notices: impl IntoIterator<Item = RecordingNotice>) {
        for notice in notices {
            if let RecordingNotice::Failed { error, .. } = &notice {
                self.unrecorded = Some(error.to_string());
            }
            let level = match notice {
                RecordingNotice::Failed { .. } => Level::Error,
                RecordingNotice::Meddled { .. } => Level::Warn,
                RecordingNotice::Recovered { .. } => Level::Info,
            };
            self.log(LogLine::new(level, "tape", notice.to_string()).of(notice.session()));
        }
    }

    /// Marks what was refused since the last batch, on the tape and on the screen.
    fn settle_gaps(&mut self) {
        if self.load.refused.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        let gaps = std::mem::take(&mut *self.load.gaps.lock());
        for (session, messages) in gaps {
            if let Some(recorder) = &mut self.recorder {
                let _ = recorder.gap(session, messages);
            }
            self.publish(Event::Gap { session, messages });
        }
    }
}

/// What a late reader is told: the latest messages, and the present state of everything else.
#[derive(Default)]
struct Memory {
    listening: Vec<Event>,
    sessions: Sessions,
    messages: RememberedMessages,
    /// What people noted of messages.
    annotations: BTreeMap<(SessionId, Seq), Arc<Annotation>>,
    held: Vec<Arc<Held>>,
    holding: Holding,
    lines: VecDeque<LogLine>,
    figures: Option<Arc<Figures>>,
    shadow: ShadowCounts,
    /// What lint found last, oldest first.
    found: VecDeque<Arc<Finding>>,
    /// The latest replies of a shadow that were others, oldest first.
    diverged: VecDeque<Arc<Comparison>>,
}

impl Memory {
    fn remember(&mut self, event: Event) {
        match event {
            Event::Listening { .. } => self.listening.push(event),
            Event::SessionOpened(session) => self.sessions.opened(session),
            Event::SessionChanged(session) => self.sessions.changed(session),
            Event::SessionClosed { session, reason } => self.sessions.closed(session, reason),
            Event::Passed(envelope) => self.messages.put(envelope),
            Event::Held(held) => self.held.push(held),
            Event::Settled { ticket } => self.settled(ticket),
            Event::Holding(holding) => self.holding = holding,
            Event::Log(line) => {
                self.lines.push_back(line);
                if self.lines.len() > MOST_LINES {
                    self.lines.pop_front();
                }
            }
            Event::Figures(figures) => self.figures = Some(figures),
            Event::Found(finding) => {
                self.found.push_back(finding);
                if self.found.len() > MOST_FOUND {
                    self.found.pop_front();
                }
            }
            Event::Annotated(noted) => self.noted(noted),
            Event::Shadow(ShadowEvent { counts, compared }) => {
                self.shadow = counts;
                self.diverged.extend(compared.filter(|compared| compared.verdict.diverges()));
                if self.diverged.len() > MOST_DIVERGED {
                    self.diverged.pop_front();
                }
            }
            _ => {}
        }
    }

    fn shadow_events(&self) -> impl Iterator<Item = Event> {
        let counted = (!self.shadow.is_empty()).then_some(None);
        let compared = self.diverged.iter().cloned().map(Some).chain(counted);
        compared.map(|compared| Event::Shadow(ShadowEvent { counts: self.shadow.clone(), compared }))
    }

    fn noted(&mut self, noted: Arc<Annotation>) {
        let of = (noted.session, noted.seq);
        if noted.mark.is_empty() {
            self.annotations.remove(&of);
            return;
        }
        self.annotations.insert(of, noted);
        if self.annotations.len() > MOST_NOTED {
            self.annotations.pop_first();
        }
    }

    fn settled(&mut self, ticket: Ticket) {
        self.held.retain(|held| held.ticket != ticket);
    }

    fn resync(&self, feed: &Feed) {
        let events = std::iter::once(Event::ResyncStarted)
            .chain(self.listening.iter().cloned())
            .chain(self.sessions.in_order().cloned().map(Event::SessionOpened))
            .chain(self.messages.all().map(Event::Passed))
            .chain(self.held.iter().cloned().map(Event::Held))
            .chain(self.annotations.values().cloned().map(Event::Annotated))
            .chain(self.lines.iter().cloned().map(Event::Log))
            .chain(self.figures.iter().cloned().map(Event::Figures))
            .chain(self.found.iter().cloned().map(Event::Found))
            .chain(self.shadow_events())
            .chain([Event::Holding(self.holding.clone()), Event::ResyncDone]);
        for event in events {
            feed.publish(event);
        }
    }
}

/// All sessions that live, and the latest that have ended.
#[derive(Default)]
struct Sessions {
    known: foldhash::HashMap<SessionId, KnownSession>,
    ended: VecDeque<SessionId>,
    count: u64,
}

struct KnownSession {
    /// Sessions are told in the order in which they were opened.
    order: u64,
    session: Arc<Session>,
}

impl Sessions {
    fn opened(&mut self, session: Arc<Session>) {
        self.count += 1;
        self.known.insert(session.id, KnownSession { order: self.count, session });
    }

    fn changed(&mut self, session: Arc<Session>) {
        if let Some(known) = self.known.get_mut(&session.id) {
            known.session = session;
        }
    }

    fn closed(&mut self, id: SessionId, reason: String) {
        let Some(known) = self.known.get_mut(&id) else { return };
        Arc::make_mut(&mut known.session).state = SessionState::Closed { reason };
        self.ended.push_back(id);
        if self.ended.len() > MOST_CLOSED {
            // One that has come back since has another end before it.
            let oldest = self.ended.pop_front().filter(|oldest| !self.ended.contains(oldest));
            let is_closed = |known: &KnownSession| matches!(known.session.state, SessionState::Closed { .. });
            if let Some(oldest) = oldest.filter(|oldest| self.known.get(oldest).is_some_and(is_closed)) {
                self.known.remove(&oldest);
            }
        }
    }

    fn get(&self, id: SessionId) -> Option<&Session> {
        self.known.get(&id).map(|known| &*known.session)
    }

    fn in_order(&self) -> impl Iterator<Item = &Arc<Session>> {
        let mut known: Vec<_> = self.known.values().collect();
        known.sort_unstable_by_key(|known| known.order);
        known.into_iter().map(|known| &known.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{FeedReader, ShadowVerdict};

    /// The events up to the end of what is repeated, or up to the last.
    fn told(reader: &FeedReader) -> Vec<Event> {
        let mut told = Vec::new();
        for event in &reader.events {
            let done = matches!(event, Event::ResyncDone);
            told.push(event);
            if done {
                break;
            }
        }
        told
    }

    #[test]
    fn resync_reaches_one_reader_and_no_other() {
        let (journal, thread) = Journal::start(None);
        let ((one, lagged), (other, attentive)) = (Feed::bounded(64), Feed::bounded(64));
        let subscription = journal.subscribe(one);
        journal.subscribe(other);
        assert_eq!((told(&lagged).len(), told(&attentive).len()), (3, 3));
        journal.publish(Event::Log(LogLine::new(Level::Info, "test", "once")));
        subscription.resync();
        assert!(matches!(
            told(&lagged)[..],
            [Event::Log(_), Event::ResyncStarted, Event::Log(_), Event::Holding(_), Event::ResyncDone]
        ));
        thread.finish();
        assert!(matches!(told(&attentive)[..], [Event::Log(_)]));
    }

    #[test]
    fn memory_has_all_live_sessions_and_the_latest_that_ended() {
        let session = |id: u128| Session {
            id: SessionId(uuid::Uuid::from_u128(id)),
            upstream_name: None,
            upstream: "".into(),
            via: crate::envelope::Via::Http,
            started: crate::event::Timestamp(0),
            state: SessionState::Active,
            origin: crate::event::Origin::Client,
            client: None,
            server: None,
            protocol: None,
            tape: None,
        };
        let mut sessions = Sessions::default();
        let most = MOST_CLOSED as u128;
        (0..most + 10).for_each(|id| sessions.opened(session(id).into()));
        (5..most + 10).for_each(|id| sessions.closed(session(id).id, "done".to_owned()));
        let told: Vec<_> = sessions.in_order().map(|session| session.id.0.as_u128()).collect();
        let expected: Vec<_> = (0..5).chain(10..most + 10).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn late_reader_gets_divergences_of_the_shadow() {
        let comparison = |seq, verdict| {
            Arc::new(Comparison {
                seq: Seq(seq),
                session: SessionId::random(),
                method: "ping".to_owned(),
                name: None,
                verdict,
                why: None,
                differences: Vec::new(),
                reply: None,
                took: None,
                shadow_took: None,
            })
        };
        let (journal, thread) = Journal::start(None);
        let mut counts = ShadowCounts::default();
        for compared in [comparison(1, ShadowVerdict::Differs), comparison(2, ShadowVerdict::Same)] {
            counts.add(&compared);
            journal.publish(Event::Shadow(ShadowEvent { counts: counts.clone(), compared: Some(compared) }));
        }
        let (feed, late) = Feed::bounded(64);
        journal.subscribe(feed);
        let told: Vec<_> =
            told(&late).into_iter().filter_map(|it| if let Event::Shadow(it) = it { Some(it) } else { None }).collect();
        let seqs: Vec<_> = told.iter().map(|it| it.compared.as_ref().map(|it| it.seq.0)).collect();
        assert_eq!(seqs, [Some(1), None]);
        assert!(told.iter().all(|it| it.counts == counts));
        thread.finish();
    }
}
