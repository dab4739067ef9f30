//! A live session: what is known of it, and which reply answers which request.

mod operations;
mod peer;
mod state;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::envelope::{Direction, Envelope, ReplyTo, Seq, SessionId, Subject, Via};
use crate::event::{Origin, Session, SessionState, Timestamp};
use crate::mcp::meta::cancelled_id;
use crate::message::{Id, Kind};
use crate::metrics::{Flight, Metrics, Tally};
use crate::proxy::session::operations::Operations;
use crate::proxy::session::state::{New, State};
use crate::proxy::{Arrival, Stop};

/// Requests without a reply that a session remembers; older ones are forgotten, so that a server that answers nothing
/// costs bounded memory.
const MOST_OPEN: usize = 10_000;

/// One session while it lives. Its parts lock for a moment and never across a wait.
pub struct LiveSession {
    id: SessionId,
    via: Via,
    start: Instant,
    /// Microseconds that it had lived before `start`, under another tapline.
    before: u64,
    used: Used,
    life: Mutex<Life>,
    /// Both peers and the revision are known: nothing more to look for in messages.
    settled: AtomicBool,
    /// The client that has it, where clients are known.
    owner: OnceLock<Arc<str>>,
    open: Mutex<HashMap<(Direction, Id), Open>>,
    /// Those whose id was taken by a later one: clients that share a session (revision 2026-07-28 has none) count each for
    /// itself.
    overtaken: Mutex<HashMap<(Direction, Id, Seq), Open>>,
    operations: Mutex<Operations>,
    tally: Tally,
    closed: CancellationToken,
    /// Counts the requests of a client whose stream ends with the session, not with them.
    calls: Option<TaskTracker>,
}

/// What is known of a session, and where in its life it is.
struct Life {
    state: State,
    /// Its state is that of `state`.
    info: Session,
}

/// What has passed, for whoever looks now and then.
struct Used {
    /// Of the latest message, in microseconds since the session began.
    at: AtomicU64,
    seq: AtomicU64,
    messages: AtomicU64,
}

/// How a session was used, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Usage {
    /// When its latest message came.
    pub(in crate::proxy) last: Timestamp,
    pub(in crate::proxy) seq: Seq,
    pub(in crate::proxy) messages: u64,
}

/// A request that waits for its reply.
struct Open {
    seq: Seq,
    at: u64,
    subject: Arc<Subject>,
    /// The request that its operation began with, itself as a rule.
    began: Seq,
    flight: Flight,
    call: Option<TaskTrackerToken>,
}

/// Where a message stands among the others.
#[derive(Default)]
pub(in crate::proxy) struct Place {
    pub(in crate::proxy) reply_to: Option<ReplyTo>,
    pub(in crate::proxy) part_of: Option<Seq>,
    /// Of a reply: its request's.
    pub(in crate::proxy) flight: Option<Flight>,
}

impl LiveSession {
    /// `upstream`: its name, where it has one, and its label.
    pub fn new(
        (upstream_name, upstream): (Option<String>, String),
        via: Via,
        origin: Origin,
        stop: &Stop,
    ) -> Arc<Self> {
        let id = SessionId::random();
        let info = Session {
            id,
            upstream_name,
            upstream,
            via,
            started: Timestamp::now(),
            state: SessionState::New,
            origin,
            client: None,
            server: None,
            protocol: None,
            tape: None,
        };
        let used = Usage { last: info.started, seq: Seq(0), messages: 0 };
        Self::with(info, State::default(), used, stop)
    }

    /// A session that was begun under another tapline, or has been out of memory, and goes on; `owner`: the client that had it.
    pub(in crate::proxy) fn recalled(info: Session, used: Usage, owner: Option<&str>, stop: &Stop) -> Arc<Self> {
        let session = Self::with(info, State::Active(New::default().go_on()), used, stop);
        if let Some(owner) = owner {
            session.is_of(&owner.into());
        }
        session
    }

    fn with(mut info: Session, state: State, used: Usage, stop: &Stop) -> Arc<Self> {
        info.state = state.described();
        let via = info.via;
        Arc::new(Self {
            id: info.id,
            via,
            start: Instant::now(),
            before: Timestamp::now().0.saturating_sub(info.started.0),
            used: Used {
                at: AtomicU64::new(used.last.0.saturating_sub(info.started.0)),
                seq: AtomicU64::new(used.seq.0),
                messages: AtomicU64::new(used.messages),
            },
            life: Mutex::new(Life { state, info }),
            settled: AtomicBool::new(false),
            owner: OnceLock::new(),
            open: Mutex::default(),
            overtaken: Mutex::default(),
            operations: Mutex::default(),
            tally: Tally::default(),
            // The stream of such a client carries the answers to its calls: it does more than listen.
            closed: if via == Via::Sse { stop.force.child_token() } else { stop.listening.child_token() },
            calls: (via == Via::Sse).then(|| stop.calls.clone()),
        })
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whether it is the session of a client, which is the first that is named here. An id alone gives nobody another's session
    /// (2025-11-25, security best practices: session hijacking).
    pub(in crate::proxy) fn is_of(&self, name: &Arc<str>) -> bool {
        self.owner.get_or_init(|| name.clone()) == name
    }

    /// The client that has it, where one that is known has come.
    pub(in crate::proxy) fn owner(&self) -> Option<&Arc<str>> {
        self.owner.get()
    }

    /// How the client came in.
    pub fn via(&self) -> Via {
        self.via
    }

    pub fn info(&self) -> Session {
        self.life.lock().info.clone()
    }

    /// Microseconds since the session began.
    pub fn elapsed(&self) -> u64 {
        self.time_of(Instant::now())
    }

    /// Microseconds from the beginning of the session.
    pub fn time_of(&self, moment: Instant) -> u64 {
        self.before.saturating_add(u64::try_from(moment.duration_since(self.start).as_micros()).unwrap_or(u64::MAX))
    }

    pub(in crate::proxy) fn usage(&self) -> Usage {
        let started = self.life.lock().info.started;
        Usage {
            last: started.plus_micros(self.used.at.load(Ordering::Relaxed)),
            seq: Seq(self.used.seq.load(Ordering::Relaxed)),
            messages: self.used.messages.load(Ordering::Relaxed),
        }
    }

    /// Messages so far.
    pub(in crate::proxy) fn messages(&self) -> u64 {
        self.used.messages.load(Ordering::Relaxed)
    }

    /// Time since it was used last.
    pub(in crate::proxy) fn idle(&self) -> Duration {
        Duration::from_micros(self.elapsed().saturating_sub(self.used.at.load(Ordering::Relaxed)))
    }

    /// It is in use now, whether or not anything is said.
    pub(in crate::proxy) fn touch(&self) {
        self.used.at.store(self.elapsed(), Ordering::Relaxed);
    }

    /// Cancelled when the session is closed, or tapline stops: what only listens ends then.
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Remembers a request, or finds the one that a reply answers.
    pub(in crate::proxy) fn place(&self, seq: Seq, at: u64, arrival: &Arrival, metrics: &Metrics) -> Place {
        self.used.note(seq, at);
        let Arrival { direction, message, request: asked, .. } = arrival;
        let ledger = self.tally.ledger(|| metrics.ledger(self.info().upstream_name));
        let Some(id) = message.id() else {
            if *direction == Direction::ToServer && self.calls.is_some() {
                cancelled_id(message).inspect(|id| self.give_up(id));
            }
            return Place::default();
        };
        match message.kind() {
            Kind::Request => {
                let subject = message.head().subject.clone().unwrap_or_default();
                let part_of = self.operations.lock().began(message);
                let call = self.calls.as_ref().filter(|_| *direction == Direction::ToServer).map(TaskTracker::token);
                let (began, flight) = (part_of.unwrap_or(seq), ledger.departs(*direction, message));
                self.remember((*direction, id), Open { seq, at, subject, began, flight, call });
                Place { part_of, ..Place::default() }
            }
            kind if kind.is_reply() => {
                let Some(request) = self.recall((direction.reverse(), id), *asked) else { return Place::default() };
                let Open { seq, subject, began, flight, .. } = request;
                self.operations.lock().note(message, began, (&subject.method, subject.name.as_deref()));
                let took = at.saturating_sub(request.at);
                let part_of = (began != seq).then_some(began);
                Place { reply_to: Some(ReplyTo { seq, took, subject }), part_of, flight: Some(flight) }
            }
            _ => Place::default(),
        }
    }

    /// Whether this request of the client has no reply yet.
    pub(in crate::proxy) fn awaits(&self, id: &Id) -> bool {
        self.open.lock().contains_key(&(Direction::ToServer, id.clone()))
    }

    /// Nobody waits for the reply to this request of the client any more.
    pub(in crate::proxy) fn give_up(&self, id: &Id) {
        if self.calls.is_some()
            && let Some(request) = self.open.lock().get_mut(&(Direction::ToServer, id.clone()))
        {
            request.call = None;
        }
    }

    fn remember(&self, (direction, id): (Direction, &Id), request: Open) {
        let seq = request.seq;
        let is_recent = |request: &mut Open| seq.0.saturating_sub(request.seq.0) < MOST_OPEN as u64;
        let earlier = {
            let mut open = self.open.lock();
            if open.len() >= MOST_OPEN {
                open.retain(|_, request| is_recent(request));
            }
            open.insert((direction, id.clone()), request)
        };
        if let Some(earlier) = earlier {
            let mut overtaken = self.overtaken.lock();
            if overtaken.len() >= MOST_OPEN {
                overtaken.retain(|_, request| is_recent(request));
            }
            overtaken.insert((direction, id.clone(), earlier.seq), earlier);
        }
    }

    /// The request with that id, and of several the one on whose own response the reply came. Ids are matched by their exact
    /// token, each direction in its own space (mcp-wire.md §3, identifiers).
    fn recall(&self, (direction, id): (Direction, &Id), asked: Option<Seq>) -> Option<Open> {
        let earlier = asked.and_then(|asked| {
            let mut overtaken = self.overtaken.lock();
            if overtaken.is_empty() { None } else { overtaken.remove(&(direction, id.clone(), asked)) }
        });
        if earlier.is_some() {
            return earlier;
        }
        let mut open = self.open.lock();
        let request = open.remove(&(direction, id.clone()));
        if open.is_empty() {
            // Thousands of sessions wait for their clients, and not for replies.
            *open = HashMap::new();
        }
        request
    }

    /// Notes what becomes of a request that waits for its reply, if it does; without a number, of the latest with that id.
    pub(in crate::proxy) fn with_flight(
        &self,
        direction: Direction,
        id: &Id,
        seq: Option<Seq>,
        note: impl FnOnce(&mut Flight),
    ) {
        let mut open = self.open.lock();
        match (open.get_mut(&(direction, id.clone())), seq) {
            (Some(request), None) => note(&mut request.flight),
            (Some(request), Some(seq)) if request.seq == seq => note(&mut request.flight),
            (_, None) => {}
            (_, Some(seq)) => {
                drop(open);
                if let Some(request) = self.overtaken.lock().get_mut(&(direction, id.clone(), seq)) {
                    note(&mut request.flight);
                }
            }
        }
    }

    /// When the oldest request came that still waits for its reply.
    pub fn oldest(&self) -> Option<Timestamp> {
        let aloft = |request: &Open| request.flight.is_aloft().then_some(request.at);
        let latest = self.open.lock().values().filter_map(aloft).min();
        let overtaken = self.overtaken.lock().values().filter_map(aloft).min();
        let oldest = [latest, overtaken].into_iter().flatten().min()?;
        Some(self.life.lock().info.started.plus_micros(oldest))
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Learns names and revision from the handshake, or from a modern request's `_meta`; gives the session where
    /// something new became known.
    pub(in crate::proxy) fn observe(&self, envelope: &Envelope) -> Option<Session> {
        if self.settled.load(Ordering::Relaxed) {
            return None;
        }
        let mut life = self.life.lock();
        if life.state.is_over() {
            return None;
        }
        let before = life.info.clone();
        let Life { state, info } = &mut *life;
        *state = match (std::mem::take(state), envelope.direction, envelope.kind(), envelope.method()) {
            (State::New(new), Direction::ToServer, Kind::Request, Some("initialize")) => {
                peer::learn_from_initialize(info, &envelope.message);
                State::Initializing(new.initialize())
            }
            (State::Active(active), Direction::ToServer, Kind::Request, Some("initialize")) => {
                peer::learn_from_initialize(info, &envelope.message);
                State::Initializing(active.initialize())
            }
            (State::Initializing(initializing), Direction::ToClient, Kind::Result, Some("initialize")) => {
                peer::learn_from_handshake(info, &envelope.message);
                self.settled.store(true, Ordering::Relaxed);
                State::Active(initializing.answered())
            }
            (State::New(new), Direction::ToServer, Kind::Request, _) => {
                peer::learn_from_request(info, &envelope.message);
                State::Active(new.speak())
            }
            (State::Active(active), Direction::ToServer, Kind::Request, _) => {
                peer::learn_from_request(info, &envelope.message);
                State::Active(active)
            }
            (State::Active(active), Direction::ToClient, Kind::Result, _) => {
                peer::learn_from_result(info, &envelope.message);
                // Whoever has not said its name by its first answer seldom will: stop looking.
                self.settled.store(true, Ordering::Relaxed);
                State::Active(active)
            }
            (state, ..) => state,
        };
        info.state = state.described();
        (*info != before).then(|| info.clone())
    }

    /// Gives back the room of what is not there.
    pub(in crate::proxy) fn rest(&self) {
        self.open.lock().shrink_to_fit();
        self.overtaken.lock().shrink_to_fit();
        self.operations.lock().shrink_to_fit();
    }

    /// Its messages wait from now on. Nothing where it cannot be paused now.
    pub(in crate::proxy) fn pause(&self) -> Option<Session> {
        self.change(|state| match state {
            State::Active(active) => State::Paused(active.pause()),
            state => state,
        })
    }

    /// Its messages flow again. Nothing where it was not paused.
    pub(in crate::proxy) fn resume(&self) -> Option<Session> {
        self.change(|state| match state {
            State::Paused(paused) => State::Active(paused.resume()),
            state => state,
        })
    }

    /// Its server is gone, and another is to take its place. Nothing where the client has not met the server yet, or the session
    /// ends.
    pub(in crate::proxy) fn fail(&self, why: &str) -> Option<Session> {
        self.change(|state| match state {
            State::Active(active) => State::Failed(active.fail(why.to_owned())),
            State::Paused(paused) => State::Failed(paused.fail(why.to_owned())),
            state => state,
        })
    }

    /// The other server is there.
    pub(in crate::proxy) fn recover(&self) -> Option<Session> {
        self.change(|state| match state {
            State::Failed(failed) => failed.recover(),
            state => state,
        })
    }

    /// The beginning of its end: what listens ends, and nothing new is learnt of it.
    pub(in crate::proxy) fn end(&self, reason: &str) -> Option<Session> {
        let ending = self.change(|state| state.end(reason));
        self.settled.store(true, Ordering::Relaxed);
        self.closed.cancel();
        ending
    }

    /// All is said. Gives the reason of its end: `reason` where it had none before.
    pub(in crate::proxy) fn finish(&self, reason: &str) -> String {
        self.change(|state| state.finish(reason));
        match &self.life.lock().info.state {
            SessionState::Closed { reason } => reason.clone(),
            _ => reason.to_owned(),
        }
    }

    /// The session, where it is another state now.
    fn change(&self, transition: impl FnOnce(State) -> State) -> Option<Session> {
        let mut life = self.life.lock();
        life.state = transition(std::mem::take(&mut life.state));
        let state = life.state.described();
        let changed = life.info.state != state;
        life.info.state = state;
        changed.then(|| life.info.clone())
    }
}

impl Used {
    fn note(&self, seq: Seq, at: u64) {
        self.at.store(at, Ordering::Relaxed);
        self.seq.store(seq.0, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
    }
}
