//! The spine. Every message, on every transport, in both directions, goes through [`Proxy::pass`]:
//! decide, hold, record and publish, and only then is it sent on by whoever asked.

pub mod admission;
pub mod bridge;
mod client;
pub mod exchange;
pub mod guard;
pub mod http;
pub mod inner;
pub mod keeping;
pub mod mounts;
mod operations;
pub mod pipe;
mod pump;
pub mod recollection;
mod relay;
pub mod respond;
pub mod session;
pub mod shared;
pub mod sse;
pub mod stdio;
pub mod table;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::envelope::{Author, Direction, Envelope, Outcome, Seq, SessionId, Transport};
use crate::event::{BlockError, Decision, Event, Held, LogLine, Timestamp};
use crate::intercept::gate::{Gate, Hold};
use crate::intercept::{Chain, Verdict};
use crate::journal::Journal;
use crate::message::{Kind, Message};
use crate::upstream::retry::Retry;
use keeping::Keeping;
use respond::Answer;
use session::{LiveSession, Place};

/// What all sessions share.
pub struct Proxy {
    chain: Chain,
    gate: Gate,
    journal: Journal,
    last_seq: Arc<AtomicU64>,
    stop: Stop,
    retry: Retry,
    keeping: Keeping,
}

/// How open exchanges learn that tapline ends.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Streams that only listen end at once: they would never end by themselves.
    pub listening: CancellationToken,
    /// Everything else ends, finished or not.
    pub force: CancellationToken,
    /// What is waited for until then: clients' requests that have not got all of their answer yet.
    pub calls: TaskTracker,
    /// What takes leave of servers after that.
    pub leaving: TaskTracker,
}

/// A message at the moment it comes in.
pub struct Arrival {
    pub direction: Direction,
    pub transport: Transport,
    pub message: Message,
    /// Who made it, where it was not the peer.
    pub injected: Option<Author>,
    /// The reply to an injected request: shown, but for nobody.
    pub withheld: bool,
    /// The request whose own response it came on, where there is such a thing.
    pub request: Option<Seq>,
}

impl Arrival {
    pub fn new(direction: Direction, transport: Transport, message: Message) -> Self {
        Self { direction, transport, message, injected: None, withheld: false, request: None }
    }
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
        Arc::new(Self { chain, gate, journal, last_seq: Arc::default(), stop, retry, keeping })
    }

    /// A spine of its own with the same numbers, journal and end, on which nothing is held and whose sessions are not kept: for
    /// those that are not the operator's to decide.
    pub fn aside(&self) -> Arc<Self> {
        let (journal, last_seq, stop) = (self.journal.clone(), self.last_seq.clone(), self.stop.clone());
        let (chain, gate, retry) = (Chain::default(), Gate::default(), Retry::none());
        Arc::new(Self { chain, gate, journal, last_seq, stop, retry, keeping: Keeping::default() })
    }

    /// Takes one message through the spine. Dropping a held pass means that its sender or receiver has gone.
    pub fn pass(self: &Arc<Self>, session: &Arc<LiveSession>, arrival: Arrival) -> Pass {
        let injected = arrival.injected.is_some() || arrival.withheld;
        let mut envelope = self.envelope(session, arrival);
        // What the operator sends is not held by the operator's own breakpoints.
        let verdict = if injected { Verdict::Continue } else { self.chain.decide(&mut envelope) };
        match verdict {
            Verdict::Pause(reason) => Pass::Held(Box::new(self.hold(session, envelope, reason))),
            Verdict::Block(error, author) => Pass::Now(self.block(session, envelope, &error, author)),
            Verdict::Continue | Verdict::Modify(..) => Pass::Now(self.release(session, envelope)),
        }
    }

    /// Answers a request in the upstream's place: recorded and published like any other message, never held.
    pub fn answer(&self, session: &Arc<LiveSession>, to: Direction, transport: Transport, message: Message) -> Message {
        let mut arrival = Arrival::new(to, transport, message);
        arrival.injected = Some(Author::Tapline);
        let envelope = self.envelope(session, arrival);
        self.publish(session, envelope)
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
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
    fn number_above(&self, seq: Seq) {
        self.last_seq.fetch_max(seq.0, Ordering::Relaxed);
    }

    pub fn log(&self, line: LogLine) {
        self.journal.log(line);
    }

    /// Says that an error of ours is on its way to a client; of a session where it belongs to one. Every such error comes by here.
    pub fn note(&self, answer: &Answer, session: Option<SessionId>) {
        if let Some(text) = &answer.line {
            let mut line = LogLine::new(answer.level, "proxy", text.as_str());
            line.session = session;
            self.log(line);
        }
    }

    fn envelope(&self, session: &Arc<LiveSession>, arrival: Arrival) -> Envelope {
        let seq = Seq(self.last_seq.fetch_add(1, Ordering::Relaxed) + 1);
        let at = session.elapsed();
        let Place { reply_to, part_of } = session.place(seq, at, &arrival);
        Envelope {
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
                None if arrival.withheld => Outcome::Withheld,
                None => Outcome::Forwarded,
            },
            held: None,
        }
    }

    fn hold(self: &Arc<Self>, session: &Arc<LiveSession>, envelope: Envelope, reason: String) -> HeldPass {
        let since = Instant::now();
        let mut described = envelope.clone();
        described.held = Some(0);
        let hold = self.gate.hold(|ticket| Held { ticket, envelope: described, reason, since: Timestamp::now() });
        self.journal.publish(Event::Held(hold.held().clone()));
        let waiting = Some(Waiting { envelope, since });
        HeldPass { proxy: self.clone(), session: session.clone(), hold, waiting }
    }

    fn decided(&self, session: &Arc<LiveSession>, mut envelope: Envelope, decision: Decision) -> Passage {
        match decision {
            Decision::Forward => self.release(session, envelope),
            Decision::Edit(message) if message == envelope.message => self.release(session, envelope),
            Decision::Edit(message) => {
                envelope.edit(message, Author::Operator);
                self.release(session, envelope)
            }
            Decision::Block(error) => self.block(session, envelope, &error, Author::Operator),
            Decision::Drop => {
                envelope.outcome = Outcome::Dropped(Author::Operator);
                envelope.message.id().inspect(|id| session.give_up(id));
                self.publish(session, envelope);
                Passage::Nothing
            }
        }
    }

    fn release(&self, session: &Arc<LiveSession>, envelope: Envelope) -> Passage {
        let (seq, edited) = (envelope.seq, envelope.original.is_some());
        Passage::Send { seq, message: self.publish(session, envelope), edited }
    }

    fn block(&self, session: &Arc<LiveSession>, mut envelope: Envelope, error: &BlockError, author: Author) -> Passage {
        let answer = error.instead_of(&envelope.message);
        if let Some(answer) = answer.clone().filter(|_| envelope.message.answers()) {
            envelope.edit(answer, author);
            return self.release(session, envelope);
        }
        envelope.outcome = Outcome::Blocked(author.clone());
        let (direction, transport) = (envelope.direction.reverse(), Transport::new(envelope.transport.via));
        self.publish(session, envelope);
        let Some(answer) = answer else { return Passage::Nothing };
        let mut arrival = Arrival::new(direction, transport, answer);
        arrival.injected = Some(author);
        let envelope = self.envelope(session, arrival);
        Passage::Answer(self.publish(session, envelope))
    }

    /// The end of every road: what happened becomes a fact that nobody changes any more.
    fn publish(&self, session: &Arc<LiveSession>, envelope: Envelope) -> Message {
        let message = envelope.message.clone();
        if let Some(changed) = session.observe(&envelope) {
            self.journal.publish(Event::SessionChanged(changed));
        }
        self.journal.publish(Event::Passed(Arc::new(envelope)));
        message
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
    pub fn reply_to(&self, id: Option<&crate::message::Id>) -> Message {
        match self {
            Self::JsonRpc { code, message, data } => Message::error_reply(id, *code, message, data.as_deref()),
            Self::ToolResult { text } => {
                let id = id.map_or("null", crate::message::Id::token);
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
    envelope: Envelope,
    since: Instant,
}

impl HeldPass {
    /// The message as its hold ends, under the time it waited.
    fn end(&mut self) -> Option<Envelope> {
        let Waiting { mut envelope, since } = self.waiting.take()?;
        envelope.held = Some(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.proxy.journal.publish(Event::Settled { ticket: self.hold.held().ticket });
        Some(envelope)
    }
}

impl Future for HeldPass {
    type Output = Passage;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Passage> {
        let decision = ready!(Pin::new(&mut self.hold).poll(context));
        let envelope = self.end().expect("a future is not polled again after it is ready");
        Poll::Ready(self.proxy.decided(&self.session, envelope, decision))
    }
}

impl Drop for HeldPass {
    fn drop(&mut self) {
        if let Some(mut envelope) = self.end() {
            envelope.outcome = Outcome::Abandoned;
            self.proxy.publish(&self.session, envelope);
        }
    }
}
