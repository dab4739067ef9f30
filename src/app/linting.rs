//! Lint, live: judges what passes on a thread of its own, as one more reader of the journal, and tells what it finds as events.
//!
//! It is off the wire: no message waits for it, it runs at a lower priority than the wire, and looks once in a while for all that came
//! since. What waits for it is bounded; what finds no room is not judged, which is told once and counted. Of sessions it
//! remembers those that were last heard of: one that comes back after that is judged as one that began elsewhere.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;

use crate::envelope::{Envelope, SessionId};
use crate::event::figures::LintFigures;
use crate::event::{Event, Feed, FeedReader, Finding, Landmark, Level, LogLine, Origin, Session};
use crate::journal::Journal;
use crate::lint::{Section, SessionLint};

/// Events that may wait for it.
const MOST_WAITING: usize = 4_096;
/// Bytes of the messages in them.
const MOST_BYTES: usize = 16 << 20;
/// Sessions of which it is remembered what was said.
const MOST_JUDGED: NonZeroUsize = NonZeroUsize::new(1_000).expect("it is not zero");
/// Sessions that are known at all; those of more are not judged.
const MOST_KNOWN: NonZeroUsize = NonZeroUsize::new(20_000).expect("it is not zero");
/// Between two looks: calls that follow each other do not wake it one by one.
const MOMENT: Duration = Duration::from_millis(20);
/// Below the threads of the wire.
#[cfg(target_os = "linux")]
const PRIORITY: i32 = 10;

/// What was found so far, for the readers of figures.
#[derive(Clone)]
pub(super) struct LiveLint {
    tally: Arc<LintTotals>,
    waiting: crossbeam_channel::Receiver<Event>,
}

#[derive(Default)]
struct LintTotals {
    found: Mutex<BTreeMap<String, u64>>,
    count: AtomicU64,
    missed: AtomicU64,
}

impl LiveLint {
    /// Judges what a journal is told, from now on.
    pub(super) fn start(section: Section, journal: &Journal) -> std::io::Result<Self> {
        let (feed, reader) = Feed::bounded_in_bytes(MOST_WAITING, MOST_BYTES);
        let live = Self { tally: Arc::default(), waiting: reader.events.clone() };
        journal.subscribe(feed);
        let judge = LintJudge {
            section,
            journal: journal.clone(),
            tally: live.tally.clone(),
            known: LruCache::new(MOST_KNOWN),
            judged: LruCache::new(MOST_JUDGED),
        };
        std::thread::Builder::new().name("lint".to_owned()).spawn(move || judge.run(&reader))?;
        Ok(live)
    }

    /// Changes with what figures say; nothing while nothing was found.
    pub(super) fn changes(&self) -> Vec<u64> {
        let found = self.tally.count.load(Ordering::Relaxed);
        if found == 0 { Vec::new() } else { vec![found] }
    }

    /// What was found, by code, and what waits.
    pub(super) fn figures(&self) -> LintFigures {
        LintFigures {
            found: self.tally.found.lock().clone(),
            waiting: self.waiting.len() as u64,
            missed: self.tally.missed.load(Ordering::Relaxed),
        }
    }
}

/// The thread's own.
struct LintJudge {
    section: Section,
    journal: Journal,
    tally: Arc<LintTotals>,
    known: LruCache<SessionId, Arc<Session>>,
    judged: LruCache<SessionId, SessionLint>,
}

impl LintJudge {
    fn run(mut self, reader: &FeedReader) {
        #[cfg(target_os = "linux")] // elsewhere this is of the whole process
        let _ = rustix::process::setpriority_process(None, PRIORITY);
        while let Ok(event) = reader.events.recv() {
            let missed = reader.take_dropped();
            if missed > 0 {
                self.miss(missed);
            }
            if matches!(event, Event::Stopping) {
                return;
            }
            self.on_event(&event);
            reader.settle(&event);
            if reader.events.is_empty() {
                std::thread::sleep(MOMENT);
            }
        }
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::SessionOpened(session) | Event::SessionChanged(session) => {
                self.known.put(session.id, session.clone());
            }
            Event::Passed(envelope) => self.judge(envelope),
            Event::Gap { session, .. } => self.miss_in(*session),
            Event::Log(LogLine {
                landmark: Some(Landmark::Seam | Landmark::Rewind), session: Some(session), ..
            }) => {
                self.miss_in(*session);
            }
            Event::SessionClosed { session, .. } => {
                self.known.pop(session);
                if let Some(mut lint) = self.judged.pop(session) {
                    self.publish(lint.finish());
                }
            }
            _ => {}
        }
    }

    fn judge(&mut self, envelope: &Envelope) {
        let id = envelope.session;
        if !self.judged.contains(&id) {
            let Some(session) = self.known.get(&id).filter(|session| session.origin != Origin::Shadow) else { return };
            self.judged.put(id, SessionLint::new(session).seen_by(self.section.seen_by.as_deref()));
        }
        let found = self.judged.get_mut(&id).map(|lint| lint.judge(envelope)).unwrap_or_default();
        self.publish(found);
    }

    fn publish(&self, found: Vec<Finding>) {
        for finding in found.into_iter().filter(|finding| !self.section.allow.contains(&finding.code)) {
            self.tally.count.fetch_add(1, Ordering::Relaxed);
            *self.tally.found.lock().entry(finding.code.clone()).or_default() += 1;
            self.journal.publish(Event::Found(Arc::new(finding)));
        }
    }

    fn miss_in(&mut self, session: SessionId) {
        if let Some(lint) = self.judged.get_mut(&session) {
            lint.miss();
        }
    }

    fn miss(&mut self, events: u64) {
        self.judged.iter_mut().for_each(|(_, lint)| lint.miss());
        if self.tally.missed.fetch_add(events, Ordering::Relaxed) == 0 {
            let text = "more passes than lint can look at: some messages are not judged, and this is said once";
            self.journal.log(LogLine::new(Level::Warn, "lint", text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::envelope::{Direction, Seq, Via};
    use crate::event::Timestamp;
    use crate::message::Message;

    fn reply(session: SessionId, seq: u64) -> Event {
        let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":{seq},\"result\":{{}}}}");
        let message = Message::new(text);
        Event::Passed(Arc::new(Envelope::forwarded(Seq(seq), session, Direction::ToClient, Via::Http, message)))
    }

    #[test]
    fn overflow_of_what_waits_for_lint_is_bounded_counted_and_said_once() {
        let (journal, thread) = Journal::start(None);
        let (told, heard) = Feed::bounded(100);
        journal.subscribe(told);
        let (feed, reader) = Feed::bounded_in_bytes(4, 1 << 20);
        let live = LiveLint { tally: Arc::default(), waiting: reader.events.clone() };
        let judge = LintJudge {
            section: Section::default(),
            journal: journal.clone(),
            tally: live.tally.clone(),
            known: LruCache::new(MOST_KNOWN),
            judged: LruCache::new(MOST_JUDGED),
        };
        let id = SessionId::random();
        let session = Session {
            id,
            upstream_name: None,
            upstream: "x".into(),
            via: Via::Http,
            started: Timestamp::now(),
            state: crate::event::SessionState::Active,
            origin: Origin::Client,
            client: None,
            server: None,
            protocol: None,
            tape: None,
        };
        feed.publish(Event::SessionOpened(session.into()));
        // Nothing is looked at yet: what finds no room is dropped at once, and nobody waits.
        (1..=10).for_each(|seq| assert!(feed.publish(reply(id, seq))));
        assert_eq!((live.figures().waiting, live.figures().missed), (4, 0), "the lag is shown");
        let judging = std::thread::spawn(move || judge.run(&reader));
        let until = Instant::now() + Duration::from_secs(60);
        while live.figures().waiting > 0 {
            assert!(Instant::now() < until, "it is never through");
            std::thread::yield_now();
        }
        (11..=14).for_each(|seq| assert!(feed.publish(reply(id, seq))));
        drop(feed);
        judging.join().unwrap();
        assert_eq!((live.figures().waiting, live.figures().missed), (0, 7));
        assert!(live.figures().found.values().sum::<u64>() > 0, "what was looked at is judged: {:?}", live.figures());
        drop(journal);
        thread.finish();
        let lines = heard.events.iter().filter(
            |event| matches!(event, Event::Log(line) if line.text.contains("more passes than lint can look at")),
        );
        assert_eq!(lines.count(), 1);
    }
}
