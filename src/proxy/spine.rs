//! The spine. Every message, on every transport, in both directions, goes through [`Proxy::pass`]:
//! decide, hold, record and publish, and only then is it sent on by whoever asked.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::envelope::{Author, Direction, Envelope, Outcome, Seq, SessionId, Transport};
use crate::event::{BlockError, Decision, Event, Held, LogLine, Timestamp};
use crate::intercept::gate::{Gate, Hold};
use crate::intercept::{Chain, Verdict};
use crate::journal::Journal;
use crate::mcp::meta::cancelled_id;
use crate::message::{Id, Kind, Message};
use crate::metrics::{Flight, Metrics};
use crate::proxy::arrival::Arrival;
use crate::proxy::error::Answer;
use crate::proxy::session::{Correlated, LiveSession};
use crate::proxy::sessions::policy::Keeping;
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
    keeping: Keeping,
}

/// A message on its way through the spine.
struct Transit {
    envelope: Envelope,
    /// When it came, later by what it was held.
    came: Instant,
    /// Of the request that it answers.
    flight: Option<Flight>,
}

/// What is to be done with a message that passed.
#[derive(Debug)]
pub enum Passage {
    /// Send it on. `edited`: it is not what came, so frames and headers must be made anew.
    Send { seq: Seq, message: Message, edited: bool },
    /// Send nothing on, and answer the sender with this.
    Answer(Message),
    /// Send nothing to anybody.
    Nothing,
}

/// The way of a message through the spine: at once, unless it is held.
pub enum Pass {
    Now(Passage),
    Held(Box<HeldPass>),
}

impl Pass {
    /// Waits for the operator where the message is held.
    pub async fn settled(self) -> Passage {
        match self {
            Self::Now(passage) => passage,
            Self::Held(held) => held.await,
        }
    }
}

impl Proxy {
    pub fn new(chain: Chain, gate: Gate, journal: Journal, stop: Stop, retry: Retry) -> Arc<Self> {
        Self::keeping(chain, gate, journal, stop, retry, Keeping::default())
    }

    /// One that keeps sessions as it is told.
    pub fn keeping(
        chain: Chain,
        gate: Gate,
        journal: Journal,
        stop: Stop,
        retry: Retry,
        keeping: Keeping,
    ) -> Arc<Self> {
        Arc::new(Self { chain, gate, journal, metrics: Arc::default(), last_seq: Arc::default(), stop, retry, keeping })
    }

    /// A spine of its own with the same numbers, journal and end, on which nothing is held and whose sessions are not kept: for
    /// those that are not the operator's to decide.
    pub fn aside(&self) -> Arc<Self> {
        let (journal, last_seq, stop) = (self.journal.clone(), self.last_seq.clone(), self.stop.clone());
        let (chain, gate, retry) = (Chain::default(), Gate::default(), Retry::none());
        let metrics = Arc::default();
        Arc::new(Self { chain, gate, journal, metrics, last_seq, stop, retry, keeping: Keeping::default() })
    }

    /// Takes one message through the spine. Dropping a held pass means that its sender or receiver has gone.
    pub fn pass(self: &Arc<Self>, session: &Arc<LiveSession>, arrival: Arrival) -> Pass {
        let injected = arrival.injected.is_some() || arrival.audience.is_operator_only();
        let mut transit = self.take_in(session, arrival);
        // What the operator sends is not held by the operator's own breakpoints.
        let verdict = if injected { Verdict::Continue } else { self.chain.decide(&mut transit.envelope) };
        match verdict {
            Verdict::Pause(reason) => Pass::Held(Box::new(self.hold(session, transit, reason))),
            Verdict::Block(error, author) => Pass::Now(self.block(session, transit, &error, author)),
            Verdict::Continue | Verdict::Modify(..) => Pass::Now(self.release(session, transit)),
        }
    }

    /// Answers a request in the upstream's place: recorded and published like any other message, never held.
    pub fn answer(&self, session: &Arc<LiveSession>, to: Direction, transport: Transport, message: Message) -> Message {
        let mut arrival = Arrival::new(to, transport, message);
        arrival.injected = Some(Author::Tapline);
        let transit = self.take_in(session, arrival);
        self.publish(session, transit)
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// When what got no answer is sent again.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    pub fn kept(&self) -> &Keeping {
        &self.keeping
    }

    /// Numbers messages above this one from now on: a session goes on whose tape has come so far.
    pub(in crate::proxy) fn number_above(&self, seq: Seq) {
        self.last_seq.fetch_max(seq.0, Ordering::Relaxed);
    }

    pub fn log(&self, line: LogLine) {
        self.journal.log(line);
    }

    /// Says that an error of ours is on its way to a client; of a session where it belongs to one. Every such error comes by here.
    pub fn note(&self, answer: &Answer, session: Option<SessionId>) {
        self.metrics.error(answer.label);
        if let Some(text) = &answer.line {
            let mut line = LogLine::new(answer.level, "proxy", text.as_str());
            line.session = session;
            self.log(line);
        }
    }

    fn take_in(&self, session: &Arc<LiveSession>, arrival: Arrival) -> Transit {
        let seq = Seq(self.last_seq.fetch_add(1, Ordering::Relaxed) + 1);
        let now = tokio::time::Instant::now();
        let (at, came) = (session.time_of(now), arrival.came.unwrap_or(now.into_std()));
        let Correlated { reply_to, part_of, timer: flight } = session.correlate(seq, at, &arrival, &self.metrics);
        let envelope = Envelope {
            seq,
            session: session.id(),
            at,
            direction: arrival.direction,
            transport: arrival.transport,
            reply_to,
            part_of,
            message: arrival.message,
            original: None,
            outcome: match arrival.injected {
                Some(author) => Outcome::Injected(author),
                None if arrival.audience.is_operator_only() => Outcome::Withheld,
                None => Outcome::Forwarded,
            },
            held: None,
        };
        Transit { envelope, came, flight }
    }

    fn hold(self: &Arc<Self>, session: &Arc<LiveSession>, transit: Transit, reason: String) -> HeldPass {
        let since = Instant::now();
        let mut described = transit.envelope.clone();
        described.held = Some(0);
        let hold = self.gate.hold(|ticket| Held { ticket, envelope: described, reason, since: Timestamp::now() });
        self.journal.publish(Event::Held(hold.held().clone()));
        let waiting = Some(Waiting { transit, since });
        HeldPass { proxy: self.clone(), session: session.clone(), hold, waiting }
    }

    fn decided(&self, session: &Arc<LiveSession>, mut transit: Transit, decision: Decision) -> Passage {
        match decision {
            Decision::Forward => self.release(session, transit),
            Decision::Edit(message) if message == transit.envelope.message => self.release(session, transit),
            Decision::Edit(message) => {
                transit.envelope.edit(message, Author::Operator);
                self.release(session, transit)
            }
            Decision::Block(error) => self.block(session, transit, &error, Author::Operator),
            Decision::Drop => {
                transit.envelope.outcome = Outcome::Dropped(Author::Operator);
                transit.envelope.message.id().inspect(|id| session.release_call(id));
                self.publish(session, transit);
                Passage::Nothing
            }
        }
    }

    fn release(&self, session: &Arc<LiveSession>, transit: Transit) -> Passage {
        let (seq, edited) = (transit.envelope.seq, transit.envelope.original.is_some());
        Passage::Send { seq, message: self.publish(session, transit), edited }
    }

    fn block(&self, session: &Arc<LiveSession>, mut transit: Transit, error: &BlockError, author: Author) -> Passage {
        let envelope = &mut transit.envelope;
        let answer = error.instead_of(&envelope.message);
        if let Some(answer) = answer.clone().filter(|_| envelope.message.answers()) {
            envelope.edit(answer, author);
            return self.release(session, transit);
        }
        envelope.outcome = Outcome::Blocked(author.clone());
        let (direction, transport) = (envelope.direction.reverse(), Transport::new(envelope.transport.via));
        self.publish(session, transit);
        let Some(answer) = answer else { return Passage::Nothing };
        let mut arrival = Arrival::new(direction, transport, answer);
        arrival.injected = Some(author);
        let transit = self.take_in(session, arrival);
        Passage::Answer(self.publish(session, transit))
    }

    /// The end of every road: what happened becomes a fact that nobody changes any more.
    fn publish(&self, session: &Arc<LiveSession>, transit: Transit) -> Message {
        let Transit { envelope, came, flight } = transit;
        self.note_flight(session, &envelope);
        self.metrics.passed(&envelope, came, flight, session.tally());
        let message = envelope.message.clone();
        if let Some(changed) = session.observe(&envelope) {
            self.journal.publish(Event::SessionChanged(changed.into()));
        }
        self.journal.publish(Event::Passed(Arc::new(envelope)));
        message
    }

    /// What a request's reply does not tell of its way.
    fn note_flight(&self, session: &LiveSession, envelope: &Envelope) {
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

impl BlockError {
    /// What answers a request, or takes the place of a reply; of a batch, element by element. Nothing for what has no id.
    fn instead_of(&self, message: &Message) -> Option<Message> {
        match message.kind() {
            Kind::Notification | Kind::Opaque => None,
            Kind::Request | Kind::Result | Kind::Error => Some(self.reply_to(message.id())),
            Kind::Batch => {
                let answers: Vec<_> = message.elements().iter().filter_map(|it| self.instead_of(it)).collect();
                let answers: Vec<&[u8]> = answers.iter().map(|answer| answer.raw().as_ref()).collect();
                (!answers.is_empty()).then(|| Message::new([b"[", answers.join(&b',').as_slice(), b"]"].concat()))
            }
        }
    }

    /// The reply that this makes to a request with that id.
    pub fn reply_to(&self, id: Option<&Id>) -> Message {
        match self {
            Self::JsonRpc { code, message, data } => Message::error_reply(id, *code, message, data.as_deref()),
            Self::ToolResult { text } => {
                let id = id.map_or("null", Id::token);
                let text = serde_json::Value::from(text.as_str());
                Message::new(format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{text}}}],"isError":true}}}}"#
                ))
            }
        }
    }
}

/// A message at the gate.
pub struct HeldPass {
    proxy: Arc<Proxy>,
    session: Arc<LiveSession>,
    hold: Hold,
    /// Gone once it is decided.
    waiting: Option<Waiting>,
}

struct Waiting {
    transit: Transit,
    since: Instant,
}

impl HeldPass {
    /// The message as its hold ends, under the time it waited.
    fn end(&mut self) -> Option<Transit> {
        let Waiting { mut transit, since } = self.waiting.take()?;
        let waited = since.elapsed();
        transit.came += waited;
        transit.envelope.held = Some(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        self.proxy.journal.publish(Event::Settled { ticket: self.hold.held().ticket });
        Some(transit)
    }
}

impl Future for HeldPass {
    type Output = Passage;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Passage> {
        let decision = ready!(Pin::new(&mut self.hold).poll(context));
        let transit = self.end().expect("a future is not polled again after it is ready");
        Poll::Ready(self.proxy.decided(&self.session, transit, decision))
    }
}

impl Drop for HeldPass {
    fn drop(&mut self) {
        if let Some(mut transit) = self.end() {
            transit.envelope.outcome = Outcome::Abandoned;
            self.proxy.publish(&self.session, transit);
        }
    }
}
