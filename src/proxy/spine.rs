//! The spine. Every message, on every transport, in both directions, goes through [`Proxy::pass`]:
//! decide, hold, record and publish, and only then is it sent on by the caller.
//!
//! It has three callers: `Connection::submit` for what clients say, the response of an
//! exchange and the pump of a server with one stream for what servers say.
//!
//! - Sequence numbers count for the whole process, so that the screen, the log and all tapes mean the same message by `#41`. The
//!   tape of one of several sessions has holes in its numbers; a real gap is marked by a line of its own.
//! - Metrics are counted here, and not by a reader of events, which may lose some.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::envelope::{Author, Direction, Envelope, Outcome, Seq, SessionId, Transport, Via};
use crate::event::{BlockError, Decision, Event, Held, HoldDeadline, Landmark, Level, LogLine, Timestamp};
use crate::intercept::gate::{Gate, Hold};
use crate::intercept::{BreakOff, Chain, HttpAnswer, LateRuling, LateVerdict, Verdict};
use crate::journal::Journal;
use crate::mcp::error_code::ErrorCode;
use crate::mcp::meta::cancelled_id;
use crate::message::{Id, Kind, Message};
use crate::metrics::{Metrics, RequestTimer};
use crate::proxy::arrival::Arrival;
use crate::proxy::error::ErrorReply;
use crate::proxy::session::policy::SessionPolicy;
use crate::proxy::session::{Correlated, LiveSession, NearestCall};
use crate::proxy::stop::Stop;
use crate::upstream::retry::Retry;

/// What all sessions share.
pub struct Proxy {
    chain: Chain,
    gate: Gate,
    journal: Journal,
    metrics: Arc<Metrics>,
    last_seq: Arc<AtomicU64>,
    stop: Stop,
    retry: Retry,
    policy: SessionPolicy,
}

/// A message on its way through the spine.
struct InFlight {
    envelope: Envelope,
    /// When tapline had it, put off by the time for which it was held.
    received: Instant,
    /// The timer of the request that it answers.
    timer: Option<RequestTimer>,
}

/// What is to be done with a message that passed the spine.
#[derive(Debug)]
pub enum Disposition {
    /// Send it on. `edited`: it is not what came, so its frame and the headers that repeat it must be rewritten. `breaks`: what
    /// an HTTP client gets for it breaks off there.
    Send { seq: Seq, message: Message, edited: bool, twice: bool, breaks: Option<BreakOff> },
    /// Send nothing on, and send this back to the sender.
    Answer(Message),
    /// Send nothing on, and answer an HTTP client with this.
    Status(Box<HttpAnswer>),
    /// Send nothing on, and break off the response to an HTTP client.
    Disconnect,
    /// Send nothing, in either direction.
    Discard,
}

/// The way of a message through the spine: at once, unless it is held.
pub enum Pass {
    Now(Disposition),
    Held(Box<HeldPass>),
}

impl Pass {
    /// Waits for the operator's decision where the message is held.
    pub async fn disposition(self) -> Disposition {
        match self {
            Self::Now(disposition) => disposition,
            Self::Held(held) => held.await,
        }
    }
}

impl Proxy {
    /// The spine of one tapline.
    pub fn new(chain: Chain, gate: Gate, journal: Journal, stop: Stop, retry: Retry) -> Arc<Self> {
        Self::with_policy(chain, gate, journal, stop, retry, SessionPolicy::default())
    }

    /// A spine whose sessions are kept for as long as `policy` says.
    pub fn with_policy(
        chain: Chain,
        gate: Gate,
        journal: Journal,
        stop: Stop,
        retry: Retry,
        policy: SessionPolicy,
    ) -> Arc<Self> {
        Arc::new(Self { chain, gate, journal, metrics: Arc::default(), last_seq: Arc::default(), stop, retry, policy })
    }

    /// Another spine that shares numbers, journal and shutdown with this one, on which no message is held or edited and whose
    /// sessions are not kept: for messages that are not the operator's to decide, such as a shadow's.
    pub fn without_interception(&self) -> Arc<Self> {
        let (journal, last_seq, stop) = (self.journal.clone(), self.last_seq.clone(), self.stop.clone());
        Arc::new(Self {
            chain: Chain::default(),
            gate: Gate::default(),
            journal,
            metrics: Arc::default(),
            last_seq,
            stop,
            retry: Retry::none(),
            policy: SessionPolicy::default(),
        })
    }

    /// Takes one message through the spine: decides on it, holds it where that is so decided, records and publishes it. Dropping a
    /// held pass means that its sender or receiver has gone.
    pub fn pass(self: &Arc<Self>, session: &Arc<LiveSession>, arrival: Arrival) -> Pass {
        let injected = arrival.injected.is_some() || arrival.audience.is_operator_only();
        let mut in_flight = self.admit(session, arrival);
        if let Some(id) = cancelled_id(&in_flight.envelope.message) {
            self.gate.take_back(session.id(), in_flight.envelope.direction, &id);
        }
        // What the operator sends is not held by the operator's own breakpoints.
        let verdict = if injected { Verdict::Continue } else { self.chain.decide(&mut in_flight.envelope, &**session) };
        match verdict {
            Verdict::Pause(reason) => Pass::Held(Box::new(self.hold(session, in_flight, reason, None, None))),
            Verdict::Delay(time, reason, then) => {
                let end = hold_deadline(time, &then);
                let deadline = match *then {
                    Verdict::Ask(late) => Deadline::Ruling(ask_after(time, late)),
                    then => {
                        Deadline::Due { timer: Box::pin(tokio::time::sleep(time)), then: Some(then), is_forward: true }
                    }
                };
                Pass::Held(Box::new(self.hold(session, in_flight, reason, end, Some(deadline))))
            }
            Verdict::PauseFor(time, reason, then) => {
                let timer = Box::pin(tokio::time::sleep(time));
                let end = hold_deadline(time, &then);
                let deadline = Deadline::Due { timer, then: Some(*then), is_forward: false };
                Pass::Held(Box::new(self.hold(session, in_flight, reason, end, Some(deadline))))
            }
            Verdict::Ask(late) => {
                let reason = late.reason();
                Pass::Held(Box::new(self.hold(session, in_flight, reason, None, Some(Deadline::Ruling(late.ask())))))
            }
            verdict => Pass::Now(self.carry_out(session, in_flight, verdict)),
        }
    }

    /// Does what was decided of a message, be it by a rule or by the operator.
    fn carry_out(&self, session: &Arc<LiveSession>, mut in_flight: InFlight, verdict: Verdict) -> Disposition {
        match verdict {
            // A message that waited does not wait again.
            Verdict::Continue | Verdict::Pause(_) | Verdict::PauseFor(..) | Verdict::Delay(..) | Verdict::Ask(_) => {
                self.release(session, in_flight)
            }
            Verdict::Modify(message, author) => {
                if message != in_flight.envelope.message {
                    in_flight.envelope.edit(message, author);
                }
                self.release(session, in_flight)
            }
            Verdict::Duplicate => self.release_as(session, in_flight, true, None),
            Verdict::Block(error, author) => {
                let answer = error.instead_of(&in_flight.envelope.message);
                self.answer(session, in_flight, answer, author)
            }
            Verdict::Answer(answer, author) => self.answer(session, in_flight, Some(answer), author),
            Verdict::Drop(author) => self.discard(session, in_flight, Outcome::Dropped(author)),
            Verdict::Status(answer, author) => self.answer_with_status(session, in_flight, answer, author),
            Verdict::Disconnect(when @ (BreakOff::Within | BreakOff::After), _) => {
                self.release_as(session, in_flight, false, Some(when))
            }
            Verdict::Disconnect(BreakOff::Before, author) => {
                let is_http = session.via() == Via::Http;
                self.discard(session, in_flight, Outcome::Dropped(author));
                if is_http { Disposition::Disconnect } else { Disposition::Discard }
            }
        }
    }

    /// Answers with an HTTP status; a client that knows none gets an error that says so.
    fn answer_with_status(
        &self,
        session: &Arc<LiveSession>,
        in_flight: InFlight,
        answer: Box<HttpAnswer>,
        author: Author,
    ) -> Disposition {
        if session.via() == Via::Http {
            self.discard(session, in_flight, Outcome::Blocked(author));
            return Disposition::Status(answer);
        }
        let message = format!("a rule answers with HTTP status {}", answer.status);
        let error = BlockError::JsonRpc { code: ErrorCode::Blocked.number(), message, data: None };
        self.carry_out(session, in_flight, Verdict::Block(error, author))
    }

    /// Neither sends a message on nor answers it.
    fn discard(&self, session: &Arc<LiveSession>, mut in_flight: InFlight, outcome: Outcome) -> Disposition {
        in_flight.envelope.outcome = outcome;
        in_flight.envelope.message.id().inspect(|id| session.release_call(id));
        self.publish(session, in_flight);
        Disposition::Discard
    }

    /// Records and publishes a message that tapline itself sends, in the place of a peer: it is never held. Returns what is to be
    /// sent.
    pub fn originate(
        &self,
        session: &Arc<LiveSession>,
        to: Direction,
        transport: Transport,
        message: Message,
    ) -> Message {
        let mut arrival = Arrival::new(to, transport, message);
        arrival.injected = Some(Author::Tapline);
        let in_flight = self.admit(session, arrival);
        self.publish(session, in_flight)
    }

    /// Refuses a message of a client in the server's place, before any interceptor decides on it: it is recorded and published as blocked, and
    /// so is the answer, which it returns. `transport`: what the answer goes out on.
    pub(in crate::proxy) fn refuse(
        &self,
        session: &Arc<LiveSession>,
        arrival: Arrival,
        transport: Transport,
        answer: Message,
    ) -> Message {
        let direction = arrival.direction.reverse();
        let mut refused = self.admit(session, arrival);
        refused.envelope.outcome = Outcome::Blocked(Author::Tapline);
        let request = Some(refused.envelope.seq);
        self.publish(session, refused);
        let arrival =
            Arrival { injected: Some(Author::Tapline), request, ..Arrival::new(direction, transport, answer) };
        let in_flight = self.admit(session, arrival);
        self.publish(session, in_flight)
    }

    /// Where everything that happens is put down.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Where held messages wait.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Returns the counters of this tapline.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// When a request that got no answer is sent again.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// How far tapline's end has come.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Which sessions are kept, and for how long.
    pub fn session_policy(&self) -> &SessionPolicy {
        &self.policy
    }

    /// Numbers messages above `seq` from now on: a restored session's tape has come so far.
    pub(in crate::proxy) fn number_above(&self, seq: Seq) {
        self.last_seq.fetch_max(seq.0, Ordering::Relaxed);
    }

    /// Says something to the operator.
    pub fn log(&self, line: LogLine) {
        self.journal.log(line);
    }

    /// Says to the operator and on the tape what becomes of a session between two of its messages.
    pub fn log_landmark(&self, line: LogLine, what: Landmark) {
        self.log(line.about(Seq(self.last_seq.load(Ordering::Relaxed))).as_landmark(what));
    }

    /// Counts and logs an error of ours that is on its way to a client, under its session where it belongs to one. Every such
    /// error comes by here.
    pub fn record_error(&self, reply: &ErrorReply, session: Option<SessionId>) {
        self.metrics.error(reply.label);
        if let Some(text) = &reply.log_text {
            let mut line = LogLine::new(reply.level, "proxy", text.as_str());
            line.session = session;
            self.log(line);
        }
    }

    fn admit(&self, session: &Arc<LiveSession>, arrival: Arrival) -> InFlight {
        let seq = Seq(self.last_seq.fetch_add(1, Ordering::Relaxed) + 1);
        let now = tokio::time::Instant::now();
        let (at, received) = (session.time_of(now), arrival.received.unwrap_or(now.into_std()));
        let Correlated { reply_to, part_of, timer } = session.correlate(seq, at, &arrival, &self.metrics);
        if reply_to.is_none() && arrival.message.is_reply() {
            self.log_orphan(session, seq, &arrival);
        } else if let (Some(status), Kind::Opaque, Some(to)) =
            (arrival.transport.status, arrival.message.kind(), &reply_to)
        {
            let text = format!("the server answers {} with HTTP status {status} and no reply", to.seq);
            self.log(LogLine::new(Level::Warn, "proxy", text).of(session.id()).about(seq));
        }
        let envelope = Envelope {
            seq,
            session: session.id(),
            at,
            direction: arrival.direction,
            transport: arrival.transport,
            reply_to,
            part_of,
            rules: None,
            message: arrival.message,
            original: None,
            outcome: match arrival.injected {
                Some(author) => Outcome::Injected(author),
                None if arrival.audience.is_operator_only() => Outcome::Withheld,
                None => Outcome::Forwarded,
            },
            held: None,
        };
        InFlight { envelope, received, timer }
    }

    /// Says which call waits on that a reply may have been meant for which answers none: its client would wait for ever without a word.
    fn log_orphan(&self, session: &LiveSession, seq: Seq, orphan: &Arrival) {
        let id = orphan.message.replied_id();
        // A status has an error without an id, where there is one.
        let is_status = orphan.transport.status.is_some() && id.is_none_or(Id::is_null);
        if orphan.injected.is_some() || orphan.audience.is_operator_only() || is_status {
            return;
        }
        let id = id.map_or("no id".to_owned(), |id| format!("the id `{}`", id.token()));
        let (level, text) = match session.nearest_call(orphan) {
            None => return,
            Some(NearestCall::None) => {
                (Level::Info, format!("a reply with {id} answers no open call, and none is open"))
            }
            Some(NearestCall::Open { seq, id: asked, method, is_sole }) => {
                let which = if is_sole { "only open call" } else { "nearest open call" };
                let asked = asked.token();
                let text = format!(
                    "a reply with {id} answers no open call; the {which}, {seq} `{method}` with the id `{asked}`, still waits"
                );
                (Level::Warn, text)
            }
        };
        self.log(LogLine::new(level, "proxy", text).of(session.id()).about(seq));
    }

    fn hold(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        in_flight: InFlight,
        reason: String,
        end: Option<HoldDeadline>,
        deadline: Option<Deadline>,
    ) -> HeldPass {
        let since = Instant::now();
        let mut described = in_flight.envelope.clone();
        described.held = Some(0);
        let is_asked = matches!(deadline, Some(Deadline::Ruling(_)));
        let hold = self.gate.hold(|ticket| Held {
            ticket,
            envelope: described,
            reason,
            since: Timestamp::now(),
            deadline: end,
            is_asked,
        });
        self.journal.publish(Event::Held(hold.held().clone()));
        let parked = Some(ParkedMessage { in_flight, since });
        HeldPass { proxy: self.clone(), session: session.clone(), hold, parked, deadline }
    }

    fn apply_decision(&self, session: &Arc<LiveSession>, mut in_flight: InFlight, decision: Decision) -> Disposition {
        match decision {
            Decision::Forward => self.release(session, in_flight),
            Decision::Edit(message) if message == in_flight.envelope.message => self.release(session, in_flight),
            Decision::Edit(message) => {
                in_flight.envelope.edit(message, Author::Operator);
                self.release(session, in_flight)
            }
            Decision::Block(error) => self.carry_out(session, in_flight, Verdict::Block(error, Author::Operator)),
            Decision::Drop => self.carry_out(session, in_flight, Verdict::Drop(Author::Operator)),
        }
    }

    fn release(&self, session: &Arc<LiveSession>, in_flight: InFlight) -> Disposition {
        self.release_as(session, in_flight, false, None)
    }

    fn release_as(
        &self,
        session: &Arc<LiveSession>,
        in_flight: InFlight,
        twice: bool,
        breaks: Option<BreakOff>,
    ) -> Disposition {
        let (seq, edited) = (in_flight.envelope.seq, in_flight.envelope.original.is_some());
        Disposition::Send { seq, message: self.publish(session, in_flight), edited, twice, breaks }
    }

    /// Answers a message in the place of its receiver, or puts the answer in the place of a reply.
    fn answer(
        &self,
        session: &Arc<LiveSession>,
        mut in_flight: InFlight,
        answer: Option<Message>,
        author: Author,
    ) -> Disposition {
        let envelope = &mut in_flight.envelope;
        if let Some(answer) = answer.clone().filter(|_| envelope.message.answers()) {
            envelope.edit(answer, author);
            return self.release(session, in_flight);
        }
        let is_result = |answer: &Message| answer.kind() == Kind::Result && !answer.is_failed_result();
        let outcome = if answer.as_ref().is_some_and(is_result) { Outcome::Answered } else { Outcome::Blocked };
        envelope.outcome = outcome(author.clone());
        let (direction, transport) = (envelope.direction.reverse(), Transport::new(envelope.transport.via));
        self.publish(session, in_flight);
        let Some(answer) = answer else { return Disposition::Discard };
        let mut arrival = Arrival::new(direction, transport, answer);
        arrival.injected = Some(author);
        let in_flight = self.admit(session, arrival);
        Disposition::Answer(self.publish(session, in_flight))
    }

    /// The end of every way through the spine: what happened becomes a fact that does not change any more.
    fn publish(&self, session: &Arc<LiveSession>, in_flight: InFlight) -> Message {
        let InFlight { envelope, received, timer } = in_flight;
        self.note_on_timer(session, &envelope);
        self.metrics.passed(&envelope, received, timer, session.metrics());
        let message = envelope.message.clone();
        if let Some(changed) = session.observe(&envelope) {
            self.journal.publish(Event::SessionChanged(changed));
        }
        self.journal.publish(Event::Passed(Arc::new(envelope)));
        message
    }

    /// Notes what a request's reply alone would not tell: that it was held, dropped or cancelled.
    fn note_on_timer(&self, session: &LiveSession, envelope: &Envelope) {
        let (direction, seq) = (envelope.direction, envelope.seq);
        match (envelope.kind(), &envelope.outcome, envelope.message.id()) {
            (Kind::Request, Outcome::Dropped(_) | Outcome::Abandoned, Some(id)) => {
                session.abandon_request(direction, id, Some(seq));
            }
            (Kind::Request, _, Some(id)) if envelope.held.is_some() => {
                let held = envelope.held.unwrap_or_default();
                session.delay_request(direction, id, seq, held);
            }
            (Kind::Notification, _, _) if envelope.was_sent() => {
                if let Some(id) = cancelled_id(&envelope.message) {
                    session.abandon_request(direction, &id, None);
                }
            }
            _ => {}
        }
    }
}

/// A message at the gate: a future of what is to be done with it.
pub struct HeldPass {
    proxy: Arc<Proxy>,
    session: Arc<LiveSession>,
    hold: Hold,
    /// `None` once it is decided.
    parked: Option<ParkedMessage>,
    deadline: Option<Deadline>,
}

/// When a message that waits goes on by itself, and what is done with it then.
enum Deadline {
    /// `is_forward`: that is done also where the operator forwards it sooner.
    Due { timer: Pin<Box<tokio::time::Sleep>>, then: Option<Verdict>, is_forward: bool },
    /// A decider decides.
    Ruling(oneshot::Receiver<LateRuling>),
}

impl Deadline {
    /// What is to be done by now; what is to be told of it goes to `tell`.
    fn poll(&mut self, context: &mut Context<'_>, tell: impl FnOnce(LogLine)) -> Option<Verdict> {
        match self {
            Self::Due { timer, then, .. } => match timer.as_mut().poll(context) {
                Poll::Ready(()) => then.take(),
                Poll::Pending => None,
            },
            Self::Ruling(ruling) => match Pin::new(ruling).poll(context) {
                Poll::Ready(Ok(LateRuling { verdict, line })) => {
                    if let Some(line) = line {
                        tell(line);
                    }
                    Some(verdict)
                }
                // The decider is gone.
                Poll::Ready(Err(_)) => Some(Verdict::Continue),
                Poll::Pending => None,
            },
        }
    }

    /// What is to be done where the operator forwards it before that.
    fn forwarded(&mut self) -> Option<Verdict> {
        match self {
            Self::Due { then, is_forward: true, .. } => then.take(),
            _ => None,
        }
    }
}

/// What a screen can say beforehand; `None` where somebody else is asked then.
fn hold_deadline(time: Duration, then: &Verdict) -> Option<HoldDeadline> {
    let sends = matches!(then, Verdict::Continue | Verdict::Modify(..) | Verdict::Duplicate);
    let after = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    (!matches!(then, Verdict::Ask(_))).then_some(HoldDeadline { after, sends })
}

/// Asks a decider when some time has passed.
fn ask_after(time: Duration, late: Arc<dyn LateVerdict>) -> oneshot::Receiver<LateRuling> {
    let (told, ruling) = oneshot::channel();
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        if let Ok(decided) = late.ask().await {
            // The operator may have let it go.
            let _ = told.send(decided);
        }
    });
    ruling
}

struct ParkedMessage {
    in_flight: InFlight,
    since: Instant,
}

impl HeldPass {
    /// Takes the message out as its hold ends, and writes down how long it waited.
    fn release_hold(&mut self) -> Option<InFlight> {
        let ParkedMessage { mut in_flight, since } = self.parked.take()?;
        let waited = since.elapsed();
        in_flight.received += waited;
        in_flight.envelope.held = Some(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        self.proxy.journal.publish(Event::Settled { ticket: self.hold.held().ticket });
        Some(in_flight)
    }
}

impl Future for HeldPass {
    type Output = Disposition;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Disposition> {
        let Self { proxy, hold, parked, deadline, .. } = &mut *self;
        let decided = Pin::new(hold).poll(context);
        let seq = parked.as_ref().map(|parked| (parked.in_flight.envelope.session, parked.in_flight.envelope.seq));
        let then = match &decided {
            Poll::Pending => {
                let tell = |line: LogLine| match seq {
                    Some((session, seq)) => proxy.log(line.of(session).about(seq)),
                    None => proxy.log(line),
                };
                let Some(then) = deadline.as_mut().and_then(|deadline| deadline.poll(context, tell)) else {
                    return Poll::Pending;
                };
                Some(then)
            }
            Poll::Ready(Some(_)) => deadline.as_mut().and_then(Deadline::forwarded),
            Poll::Ready(None) => None,
        };
        let in_flight = self.release_hold().expect("a future is not polled again after it is ready");
        let (proxy, session) = (&self.proxy, &self.session);
        Poll::Ready(match (decided, then) {
            // Sooner or in time, what was to be done with it is done.
            (Poll::Pending | Poll::Ready(Some(Decision::Forward)), Some(then)) => {
                proxy.carry_out(session, in_flight, then)
            }
            (Poll::Ready(Some(decision)), _) => proxy.apply_decision(session, in_flight, decision),
            (Poll::Ready(None), _) => proxy.discard(session, in_flight, Outcome::Abandoned),
            (Poll::Pending, None) => proxy.release(session, in_flight),
        })
    }
}

impl Drop for HeldPass {
    fn drop(&mut self) {
        if let Some(mut in_flight) = self.release_hold() {
            in_flight.envelope.outcome = Outcome::Abandoned;
            self.proxy.publish(&self.session, in_flight);
        }
    }
}
