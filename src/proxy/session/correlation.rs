//! Which request a message answers, and which operation it goes on with.
//!
//! Owns the requests of one session that have no reply yet, in both directions, from [`Correlation::register`] to
//! [`Correlation::complete`]. What else becomes of a request on its way is noted by [`Correlation::delay`] (it was held) and
//! [`Correlation::abandon`] (its sender gave up waiting; the reply may come all the same). For display and figures
//! only: what reaches whom is decided elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::envelope::{Direction, ReplyTo, Seq, Subject};
use crate::event::StreamStanding;
use crate::mcp::method;
use crate::message::{Id, Message};
use crate::metrics::RequestTimer;
use crate::proxy::session::operations::{OperationKey, Operations};

/// Requests without a reply that a session remembers; older ones are forgotten, so that a server that answers nothing
/// costs bounded memory.
const MOST_PENDING: usize = 10_000;

/// The requests of a session that wait for their replies, and the operations that may go on. Locked for a moment, and never
/// across a wait.
pub(super) struct Correlation {
    pending: Mutex<Pending>,
    operations: Mutex<Operations>,
    /// Counts the requests of a client whose stream ends with the session, not with them.
    calls: Option<TaskTracker>,
}

/// Nothing while a session waits for its client, as thousands do.
#[derive(Default)]
struct Pending(Option<Box<PendingCalls>>);

#[derive(Default)]
struct PendingCalls {
    latest: HashMap<(Direction, Id), PendingCall>,
    /// Those whose id was taken by a later one: clients that share a session (revision 2026-07-28 has none) count each for
    /// itself.
    overtaken: HashMap<(Direction, Id, Seq), PendingCall>,
}

/// A request that waits for its reply.
struct PendingCall {
    seq: Seq,
    /// When it came, in microseconds since the session began.
    at: u64,
    subject: Arc<Subject>,
    /// The request that its operation began with, itself as a rule.
    began: Seq,
    timer: RequestTimer,
    /// Held while its client waits for the reply, where such requests are counted.
    call: Option<TaskTrackerToken>,
    /// The stream with which its server answers it, once that is open.
    response: Option<Arc<OpenResponse>>,
}

/// A response that has begun, and is a stream.
pub(in crate::proxy) struct OpenResponse {
    status: u16,
    /// When anything came on it last, in microseconds since the session began.
    heard: AtomicU64,
}

impl OpenResponse {
    pub(in crate::proxy) fn new(status: u16, at: u64) -> Arc<Self> {
        Arc::new(Self { status, heard: AtomicU64::new(at) })
    }

    /// Notes that something came.
    pub(in crate::proxy) fn hear(&self, at: u64) {
        self.heard.store(at, Ordering::Relaxed);
    }
}

/// The request that a reply may have been meant for which answers none.
pub(in crate::proxy) enum NearestCall {
    None,
    Open {
        seq: Seq,
        id: Id,
        method: Box<str>,
        /// Nothing else waits for a reply.
        is_sole: bool,
    },
}

/// How a message relates to the others of its session.
#[derive(Default)]
pub(in crate::proxy) struct Correlated {
    /// The request that it answers, if it is a reply.
    pub(in crate::proxy) reply_to: Option<ReplyTo>,
    /// The request that began the operation it goes on with.
    pub(in crate::proxy) part_of: Option<Seq>,
    /// The running time of the request that it answers, if it is a reply.
    pub(in crate::proxy) timer: Option<RequestTimer>,
}

impl Correlation {
    /// `calls`: where the client's requests are counted while they wait, so that the end of tapline can wait for them.
    pub(super) fn new(calls: Option<TaskTracker>) -> Self {
        Self { pending: Mutex::default(), operations: Mutex::default(), calls }
    }

    /// Remembers a request until its reply comes.
    pub(super) fn register(
        &self,
        (seq, at): (Seq, u64),
        direction: Direction,
        request: &Message,
        timer: RequestTimer,
    ) -> Correlated {
        let Some(id) = request.id() else { return Correlated::default() };
        let subject = request.head().subject.clone().unwrap_or_default();
        let part_of = OperationKey::of_request(request).and_then(|key| self.operations.lock().find(&key));
        let call = self.calls.as_ref().filter(|_| direction == Direction::ToServer).map(TaskTracker::token);
        let began = part_of.unwrap_or(seq);
        self.pending
            .lock()
            .insert((direction, id), PendingCall { seq, at, subject, began, timer, call, response: None });
        Correlated { part_of, ..Correlated::default() }
    }

    /// What a reply that answers no request may have been meant for. `request`: that on whose own response it came, where there is
    /// such a thing.
    pub(super) fn nearest(&self, direction: Direction, reply: &Message, request: Option<Seq>) -> NearestCall {
        let pending = self.pending.lock();
        let asked = direction.reverse();
        let open = pending.all().filter(|(direction, _, call)| *direction == asked && call.timer.is_pending());
        let open: Vec<_> = open.map(|(_, id, call)| (id, call)).collect();
        let replied = reply.replied_id().map(|id| id.display().to_ascii_lowercase()).unwrap_or_default();
        let is_alike = |id: &Id| {
            let id = id.display().to_ascii_lowercase();
            !replied.is_empty() && (id.contains(&replied) || replied.contains(&id))
        };
        let likeness = |(id, call): &&(&Id, &PendingCall)| (Some(call.seq) == request, is_alike(id), call.seq);
        match open.iter().max_by_key(likeness) {
            None => NearestCall::None,
            Some((id, call)) => NearestCall::Open {
                seq: call.seq,
                id: (*id).clone(),
                method: call.subject.method.clone(),
                is_sole: open.len() == 1,
            },
        }
    }

    /// Finds the request that a reply answers, which waits no longer. `request`: that on whose own response the reply came,
    /// where there is such a thing; `at`: when the reply came, in microseconds since the session began.
    pub(super) fn complete(&self, at: u64, direction: Direction, reply: &Message, request: Option<Seq>) -> Correlated {
        let found = reply.replied_id().and_then(|id| self.pending.lock().remove((direction.reverse(), id), request));
        let Some(PendingCall { seq, at: asked_at, subject, began, timer, .. }) = found else {
            return Correlated::default();
        };
        if let Some(key) = OperationKey::of_result(reply, &subject) {
            self.operations.lock().continue_as(key, began);
        }
        Correlated {
            reply_to: Some(ReplyTo { seq, took: at.saturating_sub(asked_at + timer.held()), subject }),
            part_of: (began != seq).then_some(began),
            timer: Some(timer),
        }
    }

    /// What an HTTP error without a reply in it answers: the request on whose own response it came. That it failed is noted by
    /// the holder of the response.
    pub(super) fn answered_by_status(&self, at: u64, direction: Direction, request: Seq) -> Correlated {
        let pending = self.pending.lock();
        let asked = direction.reverse();
        let mut open = pending.all().filter(|(direction, ..)| *direction == asked);
        let found = open.find(|(.., call)| call.seq == request);
        let reply_to = found.map(|(.., call)| {
            let subject = call.subject.clone();
            ReplyTo { seq: request, took: at.saturating_sub(call.at + call.timer.held()), subject }
        });
        Correlated { reply_to, ..Correlated::default() }
    }

    /// Notes that a request was held for so many microseconds before it was sent on.
    pub(super) fn delay(&self, direction: Direction, id: &Id, seq: Seq, micros: u64) {
        self.with_timer(direction, id, Some(seq), |timer| timer.delay(micros));
    }

    /// Notes that the sender of a request gave up waiting; where no number is given, of the latest request with that id.
    /// Returns whether it did wait.
    pub(super) fn abandon(&self, direction: Direction, id: &Id, seq: Option<Seq>) -> bool {
        self.pending.lock().find((direction, id), seq).is_some_and(|request| request.timer.abandon())
    }

    /// Notes that a request ended without a reply of the peer.
    pub(super) fn fail(&self, direction: Direction, id: &Id, seq: Seq) {
        self.with_timer(direction, id, Some(seq), RequestTimer::fail);
    }

    /// Notes that the answer to a request has begun, as a stream.
    pub(super) fn note_response(&self, id: &Id, seq: Seq, response: Arc<OpenResponse>) {
        if let Some(request) = self.pending.lock().find((Direction::ToServer, id), Some(seq)) {
            request.response = Some(response);
        }
    }

    /// The stream with which a request is being answered, as it stands at a moment.
    pub(super) fn response_to(&self, call: Seq, at: u64) -> Option<StreamStanding> {
        let pending = self.pending.lock();
        let (.., request) = pending.all().find(|(.., request)| request.seq == call)?;
        let response = request.response.as_ref()?;
        let silent = at.saturating_sub(response.heard.load(Ordering::Relaxed));
        Some(StreamStanding { status: response.status, silent })
    }

    /// Counts a request of the client no longer among those that the end of tapline waits for.
    pub(super) fn release_call(&self, id: &Id) {
        if self.counts_calls()
            && let Some(request) = self.pending.lock().find((Direction::ToServer, id), None)
        {
            request.call = None;
        }
    }

    /// Whether the client's requests are counted while they wait.
    pub(super) fn counts_calls(&self) -> bool {
        self.calls.is_some()
    }

    /// Whether this request of the client has no reply yet.
    pub(super) fn is_pending(&self, id: &Id) -> bool {
        self.pending.lock().find((Direction::ToServer, id), None).is_some()
    }

    /// How many requests of the client have no reply yet that one is expected for.
    pub(super) fn open_requests(&self) -> usize {
        let pending = self.pending.lock();
        let open = pending.all().filter(|(direction, _, request)| {
            *direction == Direction::ToServer
                && request.timer.is_pending()
                && &*request.subject.method != method::SUBSCRIPTIONS_LISTEN
        });
        open.count()
    }

    /// When the oldest request came whose sender still waits, in microseconds since the session began.
    pub(super) fn oldest(&self) -> Option<u64> {
        let pending = self.pending.lock();
        pending.all().filter(|(_, _, request)| request.timer.is_pending()).map(|(_, _, request)| request.at).min()
    }

    /// Releases memory that is not in use.
    pub(super) fn shrink_to_fit(&self) {
        self.pending.lock().shrink_to_fit();
        self.operations.lock().shrink_to_fit();
    }

    fn with_timer(&self, direction: Direction, id: &Id, seq: Option<Seq>, note: impl FnOnce(&mut RequestTimer)) {
        if let Some(request) = self.pending.lock().find((direction, id), seq) {
            note(&mut request.timer);
        }
    }
}

impl Pending {
    fn insert(&mut self, asked: (Direction, &Id), request: PendingCall) {
        self.0.get_or_insert_default().insert(asked, request);
    }

    fn find(&mut self, asked: (Direction, &Id), seq: Option<Seq>) -> Option<&mut PendingCall> {
        self.0.as_mut()?.find(asked, seq)
    }

    fn remove(&mut self, asked: (Direction, &Id), seq: Option<Seq>) -> Option<PendingCall> {
        self.0.as_mut()?.remove(asked, seq)
    }

    fn all(&self) -> impl Iterator<Item = (Direction, &Id, &PendingCall)> {
        self.0.iter().flat_map(|calls| {
            let latest = calls.latest.iter().map(|((direction, id), call)| (*direction, id, call));
            let overtaken = calls.overtaken.iter().map(|((direction, id, _), call)| (*direction, id, call));
            latest.chain(overtaken)
        })
    }

    fn shrink_to_fit(&mut self) {
        match &mut self.0 {
            Some(calls) if !calls.latest.is_empty() || !calls.overtaken.is_empty() => {
                calls.latest.shrink_to_fit();
                calls.overtaken.shrink_to_fit();
            }
            none => *none = None,
        }
    }
}

impl PendingCalls {
    fn insert(&mut self, (direction, id): (Direction, &Id), request: PendingCall) {
        let seq = request.seq;
        let is_recent = |request: &mut PendingCall| seq.0.saturating_sub(request.seq.0) < MOST_PENDING as u64;
        if self.latest.len() >= MOST_PENDING {
            self.latest.retain(|_, request| is_recent(request));
        }
        if let Some(earlier) = self.latest.insert((direction, id.clone()), request) {
            if self.overtaken.len() >= MOST_PENDING {
                self.overtaken.retain(|_, request| is_recent(request));
            }
            self.overtaken.insert((direction, id.clone(), earlier.seq), earlier);
        }
    }

    /// The request with that id and number; without a number, the latest with that id.
    fn find(&mut self, (direction, id): (Direction, &Id), seq: Option<Seq>) -> Option<&mut PendingCall> {
        // As a rule the reply has come before it is asked whether it has.
        if self.latest.is_empty() {
            return None;
        }
        let id = id.known(|id| self.has((direction, id), seq))?;
        match (self.latest.get_mut(&(direction, id.clone())), seq) {
            (latest, None) => latest,
            (Some(request), Some(seq)) if request.seq == seq => Some(request),
            (_, Some(seq)) => self.overtaken.get_mut(&(direction, id, seq)),
        }
    }

    /// Takes out the request with that id, and of several the one with that number. Ids are matched by their value, each
    /// direction in its own space (mcp-wire.md §3, identifiers).
    fn remove(&mut self, (direction, id): (Direction, &Id), seq: Option<Seq>) -> Option<PendingCall> {
        let found = self.remove_exactly((direction, id), seq);
        found.or_else(|| {
            let meant = id.known(|id| self.has((direction, id), seq))?;
            self.remove_exactly((direction, &meant), seq)
        })
    }

    fn has(&self, (direction, id): (Direction, &Id), seq: Option<Seq>) -> bool {
        let is_overtaken = |seq: Seq| self.overtaken.contains_key(&(direction, id.clone(), seq));
        self.latest.contains_key(&(direction, id.clone())) || seq.is_some_and(is_overtaken)
    }

    fn remove_exactly(&mut self, (direction, id): (Direction, &Id), seq: Option<Seq>) -> Option<PendingCall> {
        let overtaken = seq.filter(|_| !self.overtaken.is_empty());
        if let Some(earlier) = overtaken.and_then(|seq| self.overtaken.remove(&(direction, id.clone(), seq))) {
            return Some(earlier);
        }
        self.latest.remove(&(direction, id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn register(correlation: &Correlation, seq: u64, request: &str) -> Correlated {
        let request = Message::new(request.to_owned());
        let timer = Metrics::default().upstream(None).start(Direction::ToServer, &request);
        correlation.register((Seq(seq), seq * 10), Direction::ToServer, &request, timer)
    }

    /// The request that a reply at 100 us answers, and how long that took.
    fn complete(correlation: &Correlation, reply: &str, request: Option<u64>) -> Option<(u64, u64)> {
        let reply = Message::new(reply.to_owned());
        let found = correlation.complete(100, Direction::ToClient, &reply, request.map(Seq));
        found.reply_to.map(|to| (to.seq.0, to.took))
    }

    #[test]
    fn register_and_complete_match_ids_by_their_value_and_direction() {
        let correlation = Correlation::new(None);
        register(&correlation, 1, r#"{"id":1,"method":"ping"}"#);
        register(&correlation, 2, r#"{"id":"1","method":"tools/list"}"#);
        assert_eq!(correlation.oldest(), Some(10));
        let back = Message::new(r#"{"id":1,"result":{}}"#);
        assert!(correlation.complete(100, Direction::ToServer, &back, None).reply_to.is_none(), "the other way");
        assert_eq!(complete(&correlation, r#"{"id":"1","result":{}}"#, None), Some((2, 80)));
        assert_eq!(complete(&correlation, r#"{"id":1.0,"result":{}}"#, None), Some((1, 90)));
        assert_eq!(complete(&correlation, r#"{"id":1,"result":{}}"#, None), None, "answered already");
        assert_eq!(correlation.oldest(), None);
        register(&correlation, 3, r#"{"id":9007199254740993,"method":"ping"}"#);
        assert_eq!(complete(&correlation, r#"{"id":9007199254740992,"result":{}}"#, None), None, "another number");
        assert_eq!(complete(&correlation, r#"{"id":"9007199254740993","result":NaN}"#, None), Some((3, 70)));
    }

    #[test]
    fn time_to_the_reply_leaves_out_what_the_request_was_held() {
        let correlation = Correlation::new(None);
        register(&correlation, 1, r#"{"id":1,"method":"ping"}"#);
        let request = Message::new(r#"{"id":1,"method":"ping"}"#);
        correlation.delay(Direction::ToServer, request.id().unwrap(), Seq(1), 60);
        let refused = correlation.answered_by_status(100, Direction::ToClient, Seq(1)).reply_to;
        assert_eq!(refused.map(|to| to.took), Some(30));
        assert_eq!(complete(&correlation, r#"{"id":1,"result":{}}"#, None), Some((1, 30)));
    }

    #[test]
    fn nearest_is_the_call_that_a_reply_may_have_been_meant_for() {
        let correlation = Correlation::new(None);
        let nearest = |reply: &str, request: Option<u64>| {
            let reply = Message::new(reply.to_owned());
            match correlation.nearest(Direction::ToClient, &reply, request.map(Seq)) {
                NearestCall::None => None,
                NearestCall::Open { seq, is_sole, .. } => Some((seq.0, is_sole)),
            }
        };
        assert_eq!(nearest(r#"{"id":7,"result":{}}"#, None), None);
        register(&correlation, 1, r#"{"id":"Call-7","method":"ping"}"#);
        assert_eq!(nearest(r#"{"id":8,"result":{}}"#, None), Some((1, true)));
        register(&correlation, 2, r#"{"id":2,"method":"ping"}"#);
        assert_eq!(nearest(r#"{"id":"call-7","result":{}}"#, None), Some((1, false)));
        assert_eq!(nearest(r#"{"id":null,"error":{}}"#, None), Some((2, false)), "the latest");
        assert_eq!(nearest(r#"{"id":2,"result":{}}"#, Some(1)), Some((1, false)), "its own response");
    }

    #[test]
    fn complete_finds_an_overtaken_request_by_its_number_however_its_id_is_spelt() {
        let correlation = Correlation::new(None);
        for (seq, id) in (1..).zip(["1", "1.0", "10e-1"]) {
            let _ = register(&correlation, seq, &format!(r#"{{"id":{id},"method":"ping"}}"#));
        }
        let id = Id::from_token("1");
        correlation.abandon(Direction::ToServer, &id, Some(Seq(1)));
        assert_eq!(correlation.oldest(), Some(20), "nobody waits for the first");
        assert_eq!(complete(&correlation, r#"{"id":1,"result":{}}"#, Some(2)), Some((2, 80)));
        assert_eq!(complete(&correlation, r#"{"id":1,"result":{}}"#, Some(3)), Some((3, 70)));
        assert_eq!(complete(&correlation, r#"{"id":1,"result":{}}"#, Some(1)), Some((1, 90)), "it comes all the same");
        assert!(!correlation.is_pending(&id));
    }
}
