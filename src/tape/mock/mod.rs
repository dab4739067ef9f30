//! The server of a tape, for a live client: every request gets what the recorded one got.
//!
//! A mock stands where a child of a command does ([`EmbeddedServer`]), so it has whatever transport, session and revision the client
//! wants, and screen, rules, limits and recording see it as any server. What goes out is what the tape has, byte for byte, under the
//! ids and tokens of the live client; notifications, progress and the server's own requests come at their place.
//!
//! Each client gets a session of its own, where the tapes have several: the next that was recorded of a client of its name
//! (`clientInfo.name`), or, where there is none, the next of all.
//!
//! Nothing is invented. A request that is on no tape gets an error that says what comes nearest and where it differs, and the operator
//! is told; three things are said without a tape, since they say nothing of the server: `ping` is answered, as every peer must;
//! a client that asks in a revision that no tape speaks is told that the method is not known, as a server of that age does; and
//! notifications are taken in silence.
//!
//! ```text
//! script.rs    tapes, by what their clients said
//! builder.rs   goes through them
//! stored.rs    messages that stay on the disk until they are said
//! fallback.rs  a real server, which is asked what is on no tape, and extends one
//! live.rs      values that are to be of the live session, where that is asked for
//! key.rs       which requests are the same
//! session.rs   one client: what it says, what it is told, and when
//! mutate.rs    replies that are rare, or wrong, where that is asked for
//! miss.rs      what is said of a request that is on no tape
//! ```

mod builder;
mod fallback;
mod key;
mod live;
mod miss;
mod mutate;
mod script;
mod session;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::fallback::ForwardedSession;
pub use self::fallback::{MockFallback, OpenUpstream};
pub use self::key::MockedFields;
pub use self::live::LiveValues;
pub use self::mutate::{MutationPlan, ReplyChange};
use self::script::MockScript;
use self::session::{MockEffect, MockSession};
use crate::event::Speed;
pub use crate::event::{MockOrder, MockRepeats};
use crate::secret::Label;
use crate::tape::format::TapeError;
use crate::upstream::embedded::{EmbeddedEnds, EmbeddedServer};
use crate::upstream::pool::{self, Pool, Restart};
use crate::upstream::target::Target;

/// How a mock answers.
#[derive(Clone, Debug)]
pub struct MockOptions {
    pub order: MockOrder,
    pub repeats: MockRepeats,
    /// Recorded times, divided by this; none at all for [`Speed::Max`].
    pub speed: Speed,
    /// What makes two requests the same.
    pub fields: MockedFields,
    /// Whether an error says what comes nearest.
    pub tells_nearest: bool,
    /// What is not as it was recorded.
    pub live: LiveValues,
    /// What is done to replies, to see how a client copes; nothing if `None`.
    pub mutations: Option<MutationPlan>,
}

impl Default for MockOptions {
    fn default() -> Self {
        Self {
            order: MockOrder::default(),
            repeats: MockRepeats::default(),
            speed: Speed::Max,
            fields: MockedFields::default(),
            tells_nearest: true,
            live: LiveValues::default(),
            mutations: None,
        }
    }
}

/// The server of one or several tapes.
pub struct TapeMock {
    script: MockScript,
    options: MockOptions,
    /// What is done to replies now.
    mutations: Mutex<Option<MutationPlan>>,
    label: Label,
    shared: MockShared,
    /// The server that is asked what is on no tape, if any.
    fallback: Option<Arc<MockFallback>>,
}

/// What all clients of a mock have in common.
#[derive(Default)]
struct MockShared {
    /// How often each request was asked, by the first exchange that is like it; see [`MockOrder::Any`].
    asked: Mutex<HashMap<usize, usize>>,
    /// How often a session was begun by each exchange that begins one.
    begun: Mutex<HashMap<usize, usize>>,
    answered: AtomicUsize,
    missed: AtomicUsize,
    forwarded: AtomicUsize,
    /// Whether each exchange was played.
    played: Mutex<Vec<bool>>,
    mutated: Mutex<MutatedReplies>,
    /// How often it has begun anew.
    begun_anew: AtomicUsize,
}

/// What was done to replies.
#[derive(Clone, Debug, Default)]
pub struct MutatedReplies {
    /// Replies that a session had, at most.
    pub most: u64,
    /// Each change that was made, in order.
    pub changes: Vec<ReplyChange>,
}

impl MockShared {
    /// Begins a session by the first of those by which fewest were begun. Returns which.
    fn begin(&self, beginnings: &[usize]) -> usize {
        let mut begun = self.begun.lock();
        let times = |at: &usize| begun.get(at).copied().unwrap_or_default();
        let found = beginnings.iter().enumerate().min_by_key(|(_, at)| times(at));
        let Some((nth, at)) = found else { return 0 };
        *begun.entry(*at).or_default() += 1;
        nth
    }
}

/// What a mock has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MockTally {
    /// Requests that were answered from a tape.
    pub answered: usize,
    /// Requests that are on no tape.
    pub missed: usize,
    /// Requests that are on no tape, and that a real server was asked.
    pub forwarded: usize,
    /// Requests on the tapes that no client made.
    pub unasked: usize,
}

impl TapeMock {
    /// Reads the tapes that are to be played.
    ///
    /// # Errors
    /// Where one cannot be read at all, is no tape, or is one of a newer format.
    pub fn open(
        paths: &[PathBuf],
        options: MockOptions,
        fallback: Option<MockFallback>,
    ) -> Result<Arc<Self>, TapeError> {
        let script = MockScript::read(paths, &options.fields)?;
        let mut names: Vec<_> = script.tapes.iter().map(|tape| tape.name.as_str()).collect();
        names.dedup();
        let label = Label::of_command(std::iter::once("mock").chain(names));
        let shared = MockShared { played: Mutex::new(vec![false; script.exchanges.len()]), ..MockShared::default() };
        let mutations = Mutex::new(options.mutations);
        Ok(Arc::new(Self { script, options, mutations, label, shared, fallback: fallback.map(Arc::new) }))
    }

    /// What stands behind a front door for it: of each client a session of its own, none of which is begun again.
    pub fn target(self: &Arc<Self>) -> Target {
        let kept = pool::Settings { restart: Restart::Never, ..pool::Settings::default() };
        Target::Command(Pool::embedded(self.clone(), kept))
    }

    /// Begins anew, and does something else to replies: who comes now is no client that was there before. Returns what was done so far,
    /// which is counted anew.
    pub fn begin_anew(&self, plan: MutationPlan) -> MutatedReplies {
        *self.mutations.lock() = Some(plan);
        self.shared.asked.lock().clear();
        self.shared.begun.lock().clear();
        self.shared.begun_anew.fetch_add(1, Ordering::Relaxed);
        std::mem::take(&mut *self.shared.mutated.lock())
    }

    /// Notes what was done to a reply of a session, if anything; `nth`: which it is, from 1.
    fn note_mutation(&self, nth: u64, change: Option<&ReplyChange>) {
        let mut mutated = self.shared.mutated.lock();
        mutated.most = mutated.most.max(nth);
        mutated.changes.extend(change.cloned());
    }

    /// Everything of its tapes that is not as it should be, for people.
    pub fn troubles(&self) -> impl Iterator<Item = String> {
        let of = |tape: &script::MockedTape| {
            let name = tape.name.clone();
            tape.troubles.clone().into_iter().map(move |trouble| format!("{name}: {trouble}"))
        };
        self.script.tapes.iter().flat_map(of)
    }

    /// Whether a line of a tape could not be read, other than the last that a crash cut short.
    pub fn is_damaged(&self) -> bool {
        self.script.is_damaged
    }

    /// Requests on its tapes.
    pub fn requests(&self) -> usize {
        self.script.tapes.iter().map(|tape| tape.requests.len()).sum()
    }

    pub fn tally(&self) -> MockTally {
        let played = self.shared.played.lock();
        let requests = self.script.tapes.iter().flat_map(|tape| &tape.requests);
        MockTally {
            answered: self.shared.answered.load(Ordering::Relaxed),
            missed: self.shared.missed.load(Ordering::Relaxed),
            forwarded: self.shared.forwarded.load(Ordering::Relaxed),
            unasked: requests.filter(|at| !played[**at]).count(),
        }
    }

    /// A recorded time, in microseconds, as it is kept now.
    fn scaled(&self, micros: u64) -> Duration {
        match self.options.speed {
            Speed::Times(times) if times > 0.0 => {
                let seconds = Duration::from_micros(micros).as_secs_f64() / times;
                Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)
            }
            Speed::Times(_) | Speed::Max => Duration::ZERO,
        }
    }
}

/// No recorded pause is kept for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl std::fmt::Display for MockTally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answered, missed, forwarded, unasked } = self;
        write!(f, "{answered} answered from the tape, {missed} not on it, ")?;
        if *forwarded > 0 {
            write!(f, "{forwarded} asked of the real server, ")?;
        }
        write!(f, "{unasked} of its requests never asked")
    }
}

impl EmbeddedServer for TapeMock {
    fn label(&self) -> Label {
        self.label.clone()
    }

    fn serve(self: Arc<Self>, ends: EmbeddedEnds) -> BoxFuture<'static, ()> {
        Box::pin(serve(self, ends))
    }
}

async fn serve(mock: Arc<TapeMock>, mut ends: EmbeddedEnds) {
    let (mut session, mut begun_anew) = (MockSession::new(&mock), 0);
    let mut effects = Vec::new();
    let mut forwarded = None;
    let (mut hears, closing) = (true, ends.closing());
    loop {
        let due = session.due();
        if !hears && due.is_none() && forwarded.as_ref().is_none_or(ForwardedSession::is_idle) {
            return;
        }
        tokio::select! {
            biased;
            message = ends.recv(), if hears => match message {
                Some(message) => {
                    // Clients without sessions of their own share one of ours.
                    let times = mock.shared.begun_anew.load(Ordering::Relaxed);
                    if std::mem::replace(&mut begun_anew, times) != times {
                        session = MockSession::new(&mock);
                    }
                    session.hear(&message, Instant::now(), &mut effects);
                }
                // What it has asked is answered all the same.
                None => hears = false,
            },
            () = closing.cancelled(), if !hears => return,
            () = wait_until(due) => session.play(Instant::now(), &mut effects),
            event = next_forwarded(&mut forwarded) => {
                effects.extend(event.note.map(MockEffect::Log));
                effects.extend(event.message.map(MockEffect::Say));
            }
        }
        for effect in effects.drain(..) {
            match effect {
                MockEffect::Say(message) => {
                    if !ends.say(message).await {
                        return;
                    }
                }
                MockEffect::Log(text) => ends.log(&text).await,
                MockEffect::Forward(request) => {
                    if let Some(error) = session.forward(&request, &mut forwarded).await {
                        ends.say(error).await;
                    }
                }
                MockEffect::Tell(message) => {
                    forwarded.iter_mut().for_each(|it: &mut ForwardedSession| it.tell(&message));
                }
            }
        }
    }
}

async fn next_forwarded(forwarded: &mut Option<ForwardedSession>) -> fallback::ForwardedEvent {
    match forwarded {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
