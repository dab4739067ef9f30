//! The edge of a [`ShadowSession`]: what it is told, and the carrying out of what it wants.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::options::Options;
use super::session::ShadowSession;
use super::tally::ShadowTally;
use super::verdict;
use crate::envelope::{Envelope, SessionId};
use crate::event::{Comparison, Event, Level, LogLine, Origin};
use crate::message::Message;
use crate::proxy::front::internal::QueuedClient;
use crate::proxy::sessions::SessionTable;
use crate::upstream::Item;

/// Messages that wait for a shadow which does not take them.
const UNSAID: usize = 512;
/// Divergences of one session that get a line each.
const LINES: usize = 20;

/// A shadow that says so much in so long without being asked is not listened to any more.
const FLOOD_MESSAGES: usize = 20_000;
const FLOOD_BYTES: usize = 64 << 20;
const FLOOD_TIME: Duration = Duration::from_secs(10);

/// What the drivers of all sessions share.
#[derive(Clone)]
pub(super) struct DriverContext {
    pub(super) table: Arc<SessionTable>,
    pub(super) options: Arc<Options>,
    pub(super) tally: ShadowTally,
    /// The name of the upstream whose sessions are lived again, if it has one.
    pub(super) upstream: Option<String>,
    pub(super) running: Arc<watch::Sender<usize>>,
    pub(super) end: CancellationToken,
}

/// Whether the session was heard from its first message on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    Heard,
    Missed,
}

/// Lives a client's session again, until both it and its comparisons have ended.
pub(super) async fn run(
    context: DriverContext,
    session: SessionId,
    beginning: Beginning,
    mut inbox: mpsc::Receiver<Arc<Envelope>>,
) {
    let _running = RunningCount::begin(&context.running);
    let mut driver = ShadowDriver::new(context, session);
    if beginning == Beginning::Missed {
        driver.shadow.over("the beginning of this session was missed", Instant::now());
    }
    let mut primary_is_open = true;
    while primary_is_open || !driver.shadow.is_done() {
        let deadline = driver.shadow.next_deadline();
        tokio::select! {
            envelope = inbox.recv(), if primary_is_open => match envelope {
                Some(envelope) => driver.shadow.on_primary(&envelope, Instant::now()),
                None => {
                    primary_is_open = false;
                    driver.shadow.primary_closed();
                }
            },
            event = next_event(&mut driver.link) => driver.on_link_event(event),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                driver.shadow.expire(Instant::now());
            }
            () = driver.context.end.cancelled() => {
                driver.shadow.over("tapline ended", Instant::now());
                break;
            }
        }
        driver.carry_out();
    }
    driver.finish().await;
}

/// One running session in the count that the end of the shadow waits for; dropped, it is one less.
struct RunningCount(Arc<watch::Sender<usize>>);

impl RunningCount {
    fn begin(running: &Arc<watch::Sender<usize>>) -> Self {
        running.send_modify(|running| *running += 1);
        Self(running.clone())
    }
}

impl Drop for RunningCount {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// One session's I/O: feeds its [`ShadowSession`], and carries out what that wants.
struct ShadowDriver {
    context: DriverContext,
    session: SessionId,
    shadow: ShadowSession,
    /// Opened for the first message, and for the first after it was given up.
    link: Option<QueuedClient>,
    /// What is left of it.
    leaving: Option<JoinHandle<()>>,
    flood: Flood,
    divergences: usize,
}

/// What the shadow's server does.
enum LinkEvent {
    Item(Item),
    Stderr(usize),
    Ended,
}

impl ShadowDriver {
    fn new(context: DriverContext, session: SessionId) -> Self {
        let shadow = ShadowSession::new(session, context.options.clone());
        Self { context, session, shadow, link: None, leaving: None, flood: Flood::default(), divergences: 0 }
    }

    fn on_link_event(&mut self, event: LinkEvent) {
        let now = Instant::now();
        let weight = match &event {
            LinkEvent::Item(Item::Message(incoming)) if incoming.message.kind().is_reply() => None,
            LinkEvent::Item(Item::Message(incoming)) => Some(incoming.message.raw().len()),
            LinkEvent::Item(Item::Filler(bytes)) => Some(bytes.len()),
            LinkEvent::Stderr(bytes) => Some(*bytes),
            LinkEvent::Ended => None,
        };
        match event {
            LinkEvent::Item(Item::Message(incoming)) => self.shadow.on_shadow(&incoming.message, now),
            LinkEvent::Item(Item::Filler(_)) | LinkEvent::Stderr(_) => {}
            LinkEvent::Ended => self.shadow.over("the shadow has ended", Instant::now()),
        }
        if weight.is_some_and(|bytes| self.flood.rises(bytes, now)) {
            self.shadow.over("the shadow says too much unasked", Instant::now());
        }
    }

    fn carry_out(&mut self) {
        for message in self.shadow.take_to_say() {
            self.send(message);
        }
        for comparison in self.shadow.take_judged() {
            self.log_divergence(&comparison);
            self.context.tally.add(comparison);
        }
        if let Some(why) = self.shadow.over_because().map(str::to_owned) {
            self.abandon(&why);
        }
    }

    fn send(&mut self, message: Message) {
        if self.link.is_none() && !self.shadow.is_over() {
            match QueuedClient::open(&self.context.table, Origin::Shadow, UNSAID) {
                Ok(link) => self.link = Some(link),
                Err(error) => self.shadow.over(&error.to_string(), Instant::now()),
            }
        }
        if let Some(link) = &self.link
            && !link.send(message)
        {
            self.shadow.over("the shadow does not take what it is sent", Instant::now());
        }
    }

    /// The event log is no place for thousands of the same.
    fn log_divergence(&mut self, comparison: &Comparison) {
        if !comparison.verdict.diverges() {
            return;
        }
        self.divergences += 1;
        let text = match (self.divergences, comparison.differences.first()) {
            (LINES.., _) if self.divergences > LINES => return,
            (LINES, _) => "the shadow differs again; further divergences of this session are only counted".to_owned(),
            (_, Some(first)) => {
                let why = comparison.why.as_deref().unwrap_or_default();
                format!("{}: {why}: {}", comparison.subject(), verdict::line(first))
            }
            (_, None) => format!("{}: {}", comparison.subject(), comparison.what()),
        };
        self.log(LogLine::new(Level::Warn, "shadow", text).about(comparison.seq));
    }

    /// The shadow of this session is not asked any more.
    fn abandon(&mut self, why: &str) {
        if self.hang_up(why) && !self.context.end.is_cancelled() {
            let text = format!("a session is compared no more: {why}");
            self.log(LogLine::new(Level::Warn, "shadow", text));
        }
    }

    /// `false` where there is nothing to hang up on.
    fn hang_up(&mut self, reason: &str) -> bool {
        let Some(link) = self.link.take() else { return false };
        self.leaving = Some(link.hang_up(reason));
        true
    }

    async fn finish(mut self) {
        self.carry_out();
        if self.divergences > LINES {
            let text = format!("{} more divergences in this session", self.divergences - LINES);
            self.log(LogLine::new(Level::Warn, "shadow", text));
        }
        self.hang_up("the session it shadows has ended");
        if let Some(leaving) = self.leaving {
            let _ = leaving.await;
        }
    }

    fn log(&self, line: LogLine) {
        self.context.tally.journal().publish(Event::Log(line.of(self.session)));
    }
}

async fn next_event(link: &mut Option<QueuedClient>) -> LinkEvent {
    let Some(link) = link else { return std::future::pending().await };
    tokio::select! {
        item = link.heard.items.recv() => match item {
            Some(Ok(item)) => LinkEvent::Item(item),
            Some(Err(_)) | None => LinkEvent::Ended,
        },
        Some(piece) = link.heard.errors.recv() => LinkEvent::Stderr(piece.bytes.len()),
    }
}

/// How much came unasked lately.
#[derive(Default)]
struct Flood {
    since: Option<Instant>,
    messages: usize,
    bytes: usize,
}

impl Flood {
    /// Whether this is too much.
    fn rises(&mut self, bytes: usize, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since > FLOOD_TIME) {
            *self = Self { since: Some(now), ..Self::default() };
        }
        self.messages += 1;
        self.bytes += bytes;
        self.messages > FLOOD_MESSAGES || self.bytes > FLOOD_BYTES
    }
}
