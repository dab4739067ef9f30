//! A live session: what is known of it, and how its messages belong together.
//!
//! [`LiveSession`] is what the spine and the doors ask. Each part of it is a type with a lock of its own, held for a moment and
//! never across a wait: where it is in its life ([`life`], over the states of [`state`] as types), which reply answers which
//! request ([`correlation`]), which requests are one operation ([`operations`]). How much it was used ([`usage`]) is counted
//! without a lock.

mod correlation;
mod life;
mod operations;
mod peer;
pub mod policy;
mod state;
mod usage;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::envelope::{Author, Direction, Envelope, Seq, SessionId, Via};
use crate::event::{Origin, Session, SessionState, StreamStanding, Timestamp};
use crate::filter::MessageContext;
use crate::mcp::meta::cancelled_id;
use crate::message::{Id, Kind};
use crate::metrics::{Metrics, RequestTimer, SessionMetrics};
use crate::proxy::session::correlation::Correlation;
use crate::proxy::session::life::SessionLife;
use crate::proxy::session::state::{New, State};
use crate::proxy::session::usage::UsageCounters;
use crate::proxy::{Arrival, Stop};
use crate::secret::Label;

pub(in crate::proxy) use crate::proxy::session::correlation::{Correlated, NearestCall, OpenResponse};
pub(in crate::proxy) use crate::proxy::session::usage::Usage;

/// Replies to nothing of which each is told; of more, every one that doubles their number. A server may send nothing else.
const MOST_ORPHANS_EACH: u32 = 20;

/// One session while it lives.
pub struct LiveSession {
    id: SessionId,
    via: Via,
    started: Timestamp,
    /// When this tapline took it up.
    start: Instant,
    /// Microseconds that it had lived before `start`, under another tapline.
    before: u64,
    usage: UsageCounters,
    life: SessionLife,
    /// The client that has it, where clients are known.
    owner: OnceLock<Arc<str>>,
    /// Whether its client was given its id, by the server or by us.
    acknowledged: AtomicBool,
    correlation: Correlation,
    /// Replies that answer no request.
    orphans: AtomicU32,
    metrics: SessionMetrics,
    /// What its token hangs from.
    ends_with: CancellationToken,
    /// Made when it is first asked for: most sessions have nothing that listens.
    closed: OnceLock<CancellationToken>,
}

impl LiveSession {
    /// A session that begins now. `upstream`: its name, where it has one, and its label.
    pub fn new((upstream_name, upstream): (Option<String>, Label), via: Via, origin: Origin, stop: &Stop) -> Arc<Self> {
        let id = SessionId::random();
        let info = Session {
            id,
            upstream_name,
            upstream: upstream.into(),
            via,
            started: Timestamp::now(),
            state: SessionState::New,
            origin,
            client: None,
            server: None,
            protocol: None,
            tape: None,
        };
        let usage = Usage { last: info.started, seq: Seq(0), messages: 0 };
        Self::with(info, State::default(), usage, OnceLock::new(), stop)
    }

    /// A session that was begun under another tapline, or has been out of memory, and goes on; `owner`: the client that had it.
    pub(in crate::proxy) fn restored(info: Session, usage: Usage, owner: Option<&str>, stop: &Stop) -> Arc<Self> {
        let owner = owner.map_or_else(OnceLock::new, |owner| OnceLock::from(Arc::from(owner)));
        Self::with(info, State::Active(New::default().restore()), usage, owner, stop)
    }

    fn with(info: Session, state: State, usage: Usage, owner: OnceLock<Arc<str>>, stop: &Stop) -> Arc<Self> {
        let Session { id, via, started, .. } = info;
        Arc::new(Self {
            id,
            via,
            started,
            start: Instant::now(),
            before: Timestamp::now().0.saturating_sub(started.0),
            usage: UsageCounters::new(usage, started),
            life: SessionLife::new(info, state),
            owner,
            acknowledged: AtomicBool::new(false),
            orphans: AtomicU32::default(),
            correlation: Correlation::new((via == Via::Sse).then(|| stop.calls.clone())),
            metrics: SessionMetrics::default(),
            // The stream of such a client carries the answers to its calls: it does more than listen.
            ends_with: if via == Via::Sse { stop.force.clone() } else { stop.listening.clone() },
            closed: OnceLock::new(),
        })
    }

    /// Returns the number of the session: on tapes, on screen and in the database.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Makes a client its owner where it has none yet, and returns whether this call did. The id of a session alone gives no client
    /// another's session (2025-11-25, security best practices: session hijacking).
    pub(in crate::proxy) fn claim(&self, name: &Arc<str>) -> bool {
        self.owner.get().is_none() && self.owner.set(name.clone()).is_ok()
    }

    /// Whether a client is its owner.
    pub(in crate::proxy) fn belongs_to(&self, name: &Arc<str>) -> bool {
        self.owner.get() == Some(name)
    }

    /// The client that has it, where one that is known has come.
    pub(in crate::proxy) fn owner(&self) -> Option<&Arc<str>> {
        self.owner.get()
    }

    /// Notes that the client was given the session's id, so that it did not make it up.
    pub(in crate::proxy) fn acknowledge(&self) {
        self.acknowledged.store(true, Ordering::Relaxed);
    }

    pub(in crate::proxy) fn is_acknowledged(&self) -> bool {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// How the client came in.
    pub fn via(&self) -> Via {
        self.via
    }

    /// The session as it is shown and recorded.
    pub fn info(&self) -> Arc<Session> {
        self.life.info()
    }

    /// Notes the file that it is recorded to.
    pub(in crate::proxy) fn record_to(&self, tape: Arc<Path>) {
        self.life.record_to(tape);
    }

    /// Where in its life it is, in a word.
    pub fn state_word(&self) -> &'static str {
        self.life.state_word()
    }

    /// The revision that it follows, as far as is known.
    pub(in crate::proxy) fn protocol(&self) -> Option<String> {
        self.life.protocol()
    }

    /// Microseconds since the session began.
    pub fn elapsed(&self) -> u64 {
        self.time_of(Instant::now())
    }

    /// Microseconds from the beginning of the session to a moment.
    pub fn time_of(&self, moment: Instant) -> u64 {
        self.before.saturating_add(u64::try_from(moment.duration_since(self.start).as_micros()).unwrap_or(u64::MAX))
    }

    /// How it has been used so far.
    pub(in crate::proxy) fn usage(&self) -> Usage {
        self.usage.read(self.started)
    }

    /// How many messages it had so far.
    pub(in crate::proxy) fn messages(&self) -> u64 {
        self.usage.messages()
    }

    /// Time since it was used last.
    pub(in crate::proxy) fn idle(&self) -> Duration {
        Duration::from_micros(self.elapsed().saturating_sub(self.usage.last()))
    }

    /// Notes that it is in use now, whether or not anything is said.
    pub(in crate::proxy) fn touch(&self) {
        self.usage.touch(self.elapsed());
    }

    /// Cancelled when the session is closed, or tapline stops: what only listens ends then.
    pub fn closed(&self) -> &CancellationToken {
        self.closed.get_or_init(|| self.ends_with.child_token())
    }

    /// Counts a message that came `at` microseconds after the beginning of the session, and relates it to the others: remembers
    /// a request, or finds the one that a reply answers.
    pub(in crate::proxy) fn correlate(&self, seq: Seq, at: u64, arrival: &Arrival, metrics: &Metrics) -> Correlated {
        self.usage.count(seq, at);
        let Arrival { direction, message, request, .. } = arrival;
        let upstream = self.metrics.upstream(|| metrics.upstream(self.info().upstream_name.clone()));
        match message.kind() {
            Kind::Request => {
                let timer = match self.is_told_again(arrival) {
                    true => RequestTimer::uncounted(),
                    false => upstream.start(*direction, message),
                };
                self.correlation.register((seq, at), *direction, message, timer)
            }
            _ if message.is_reply() => self.correlation.complete(at, *direction, message, *request),
            _ => {
                if *direction == Direction::ToServer && self.correlation.counts_calls() {
                    cancelled_id(message).inspect(|id| self.release_call(id));
                }
                let failed = arrival.transport.status.is_some_and(|status| status >= 400);
                let request = request.filter(|_| failed && message.kind() == Kind::Opaque);
                request.map(|request| self.correlation.answered_by_status(at, *direction, request)).unwrap_or_default()
            }
        }
    }

    /// Whether a request is no client's and no server's call: a fresh process is told what an earlier one was told, or asks meanwhile.
    fn is_told_again(&self, arrival: &Arrival) -> bool {
        let is_ours = match arrival.direction {
            Direction::ToServer => arrival.injected == Some(Author::Tapline),
            Direction::ToClient => arrival.audience.is_operator_only(),
        };
        is_ours && self.info().origin == Origin::Client
    }

    /// What a reply that answers no request may have been meant for; `None` where enough of them were asked about.
    pub(in crate::proxy) fn nearest_call(&self, orphan: &Arrival) -> Option<NearestCall> {
        let count = self.orphans.fetch_add(1, Ordering::Relaxed) + 1;
        let is_news = count <= MOST_ORPHANS_EACH || count.is_power_of_two();
        is_news.then(|| self.correlation.nearest(orphan.direction, &orphan.message, orphan.request))
    }

    /// Notes that a request was held for so many microseconds before it was sent on.
    pub(in crate::proxy) fn delay_request(&self, direction: Direction, id: &Id, seq: Seq, micros: u64) {
        self.correlation.delay(direction, id, seq, micros);
    }

    /// Notes that the sender of a request gave up waiting; where no number is given, of the latest request with that id.
    /// Returns whether it did wait.
    pub(in crate::proxy) fn abandon_request(&self, direction: Direction, id: &Id, seq: Option<Seq>) -> bool {
        self.correlation.abandon(direction, id, seq)
    }

    /// Notes that a request of the client ended without a reply of the server.
    pub(in crate::proxy) fn fail_request(&self, id: &Id, seq: Seq) {
        self.correlation.fail(Direction::ToServer, id, seq);
    }

    /// Notes that the answer to a request of the client has begun, as a stream.
    pub(in crate::proxy) fn note_response(&self, id: &Id, seq: Seq, response: Arc<OpenResponse>) {
        self.correlation.note_response(id, seq, response);
    }

    /// The stream with which a request of the client is being answered now.
    pub(in crate::proxy) fn response_to(&self, call: Seq) -> Option<StreamStanding> {
        self.correlation.response_to(call, self.elapsed())
    }

    /// Has the end of tapline wait no longer for the reply to this request of the client.
    pub(in crate::proxy) fn release_call(&self, id: &Id) {
        self.correlation.release_call(id);
    }

    /// Whether this request of the client has no reply yet.
    pub(in crate::proxy) fn awaits(&self, id: &Id) -> bool {
        self.correlation.is_pending(id)
    }

    /// How many requests of the client still wait for a reply.
    pub(in crate::proxy) fn open_requests(&self) -> usize {
        self.correlation.open_requests()
    }

    /// When the oldest request came that still waits for its reply.
    pub fn oldest_request(&self) -> Option<Timestamp> {
        self.correlation.oldest().map(|at| self.started.plus_micros(at))
    }

    /// What is counted of this session.
    pub fn metrics(&self) -> &SessionMetrics {
        &self.metrics
    }

    /// Learns names and revision from the handshake, or from a modern request's `_meta`. Returns the session where something
    /// new became known.
    pub(in crate::proxy) fn observe(&self, envelope: &Envelope) -> Option<Arc<Session>> {
        self.life.observe(envelope)
    }

    /// Releases memory that is not in use: thousands of sessions are idle.
    pub(in crate::proxy) fn shrink_to_fit(&self) {
        self.correlation.shrink_to_fit();
    }

    /// Has its messages wait from now on; `None` where it cannot be paused now.
    pub(in crate::proxy) fn pause(&self) -> Option<Arc<Session>> {
        self.life.pause()
    }

    /// Has its messages flow again; `None` where it was not paused.
    pub(in crate::proxy) fn resume(&self) -> Option<Arc<Session>> {
        self.life.resume()
    }

    /// Notes that its server is gone, and another is to take its place; `None` where the client has not met the server yet, or
    /// the session ends.
    pub(in crate::proxy) fn fail(&self, why: &str) -> Option<Arc<Session>> {
        self.life.fail(why)
    }

    /// Notes that the other server is there; `None` where none was missing.
    pub(in crate::proxy) fn recover(&self) -> Option<Arc<Session>> {
        self.life.recover()
    }

    /// Begins its end: what listens ends, and nothing new is learnt of it. `None` where that had begun before.
    pub(in crate::proxy) fn end(&self, reason: &str) -> Option<Arc<Session>> {
        let ending = self.life.end(reason);
        self.closed().cancel();
        ending
    }

    /// Completes its end, when all is said. Returns the reason: `reason` where it had none before.
    pub(in crate::proxy) fn finish(&self, reason: &str) -> String {
        self.life.finish(reason)
    }
}

/// What filters may know of the messages that pass in it.
impl MessageContext for LiveSession {
    fn client(&self, _session: SessionId) -> Option<String> {
        self.info().client_text()
    }

    fn server_names(&self, _session: SessionId) -> Vec<String> {
        self.info().server_names()
    }

    fn upstream(&self, _session: SessionId) -> Option<String> {
        Some(self.info().upstream.to_string())
    }

    fn started(&self, _session: SessionId) -> Option<u64> {
        Some(self.started.0)
    }

    fn now(&self) -> Option<u64> {
        Some(Timestamp::now().0)
    }
}
