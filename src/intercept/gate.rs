//! The owner of held messages: each waits here, alone, until the operator decides, or its sender goes away or takes it back.
//!
//! A whole session can be paused: all its messages wait then, but for those that take a request back. When it is resumed,
//! what waited goes on in order, and what comes meanwhile after it.
//!
//! The gate owns pauses: only under its lock is it certain that a message decided before the pause ended is not held
//! after it.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Interceptor, Verdict};
use crate::envelope::{Direction, Envelope, SessionId, Via};
use crate::event::{Decision, Held, Ticket};
use crate::filter::MessageContext;
use crate::mcp::meta::protocol_version;
use crate::mcp::method;
use crate::message::{Id, Kind};

/// Why the messages of a paused session are held.
pub const SESSION_PAUSED: &str = "session paused";

/// A handle on the held messages.
#[derive(Clone, Default)]
pub struct Gate {
    shared: Arc<SharedGate>,
}

#[derive(Default)]
struct SharedGate {
    /// Whether any session is paused: keeps the lock off the way of a message when none is.
    pauses: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    paused: HashMap<SessionId, PausedSession>,
    last_ticket: u64,
    waiting: BTreeMap<Ticket, (Arc<Held>, oneshot::Sender<Decision>)>,
    /// Set on quit: messages that come now are not held.
    closed: Option<Decision>,
}

/// A session whose messages wait.
#[derive(Default)]
struct PausedSession {
    /// Messages that wait because of it, or are on their way from here.
    messages: usize,
    /// It goes on: over as soon as the last of them has.
    resumed: bool,
}

impl Gate {
    /// Takes in a message; `make` gets its ticket and describes it. The hold ends with a decision, when its request is taken back, or
    /// when it is dropped.
    pub fn hold(&self, make: impl FnOnce(Ticket) -> Held) -> Hold {
        let (sender, decision) = oneshot::channel();
        let mut state = self.shared.state.lock();
        state.last_ticket += 1;
        let ticket = Ticket(state.last_ticket);
        let held = Arc::new(make(ticket));
        let at_once = match &state.closed {
            Some(decision) => Some(decision.clone()),
            None => state.passes_pause(&held).then_some(Decision::Forward),
        };
        match at_once {
            // The receiver is there: sending cannot fail.
            Some(decision) => {
                let _ = sender.send(decision);
            }
            None => {
                state.waiting.insert(ticket, (held.clone(), sender));
            }
        }
        Hold { gate: self.clone(), held, decision }
    }

    /// All messages of a session wait from now on.
    pub fn pause(&self, session: SessionId) {
        let mut state = self.shared.state.lock();
        state.paused.entry(session).or_default().resumed = false;
        self.shared.pauses.store(true, Ordering::Release);
    }

    /// Forwards what waits because its session is paused, in order, and then whatever comes.
    pub fn resume(&self, session: SessionId) {
        let mut state = self.shared.state.lock();
        let Some(paused) = state.paused.get_mut(&session) else { return };
        paused.resumed = true;
        let is_of_it = |held: &Held| held.envelope.session == session && held.reason == SESSION_PAUSED;
        let tickets: Vec<_> =
            state.waiting.iter().filter(|(_, (held, _))| is_of_it(held)).map(|(ticket, _)| *ticket).collect();
        for (_, sender) in tickets.iter().filter_map(|ticket| state.waiting.remove(ticket)) {
            // A client that hung up in this instant is released by its own drop.
            let _ = sender.send(Decision::Forward);
        }
        state.end_pause(session);
        self.shared.pauses.store(!state.paused.is_empty(), Ordering::Release);
    }

    /// Ends one hold. `None` where the ticket is settled already, or its sender is gone.
    pub fn settle(&self, ticket: Ticket, decision: Decision) -> Option<Arc<Held>> {
        let (held, sender) = self.shared.state.lock().waiting.remove(&ticket)?;
        sender.send(decision).ok().map(|()| held)
    }

    /// Ends the hold of a request whose sender waits for no reply any more: of several under that id, of the latest. Sent on later, it would
    /// be carried out for nobody, as the server was told of its end before it heard of it.
    pub fn take_back(&self, session: SessionId, direction: Direction, id: &Id) {
        let mut state = self.shared.state.lock();
        let latest = state.waiting.iter().rev().find(|(_, (held, _))| is_request(held, session, direction, id));
        if let Some(ticket) = latest.map(|(ticket, _)| *ticket) {
            state.waiting.remove(&ticket);
        }
    }

    /// Whether a request waits that can be taken back by this id.
    pub fn holds_request(&self, session: SessionId, direction: Direction, id: &Id) -> bool {
        self.shared.state.lock().waiting.values().any(|(held, _)| is_request(held, session, direction, id))
    }

    /// Forwards all that waits now; gives how many.
    pub fn forward_all(&self) -> usize {
        let waiting = std::mem::take(&mut self.shared.state.lock().waiting);
        waiting.into_values().filter_map(|(_, sender)| sender.send(Decision::Forward).ok()).count()
    }

    /// Ends every hold, now and from now on, with this decision.
    pub fn close(&self, decision: &Decision) {
        let waiting = {
            let mut state = self.shared.state.lock();
            state.closed = Some(decision.clone());
            std::mem::take(&mut state.waiting)
        };
        for (_, sender) in waiting.into_values() {
            // A client that hung up in this instant is released by its own drop.
            let _ = sender.send(decision.clone());
        }
    }

    /// Whether anything of this session waits.
    pub fn holds_in(&self, session: SessionId) -> bool {
        self.shared.state.lock().waiting.values().any(|(held, _)| held.envelope.session == session)
    }

    /// All that waits, oldest first.
    pub fn held(&self) -> Vec<Arc<Held>> {
        self.shared.state.lock().waiting.values().map(|(held, _)| held.clone()).collect()
    }
}

/// Whether a held message is the request that its sender takes back by this id. In revision 2026-07-28 an HTTP client does that by hanging
/// up: several share a session there, and the id that one of them names may be that of another's request.
fn is_request(held: &Held, session: SessionId, direction: Direction, id: &Id) -> bool {
    let envelope = &held.envelope;
    let is_its = envelope.session == session && envelope.direction == direction && envelope.kind() == Kind::Request;
    let is_meant = is_its && envelope.message.id().is_some_and(|own| id.may_mean(own));
    is_meant && (envelope.transport.via != Via::Http || protocol_version(&envelope.message).is_none())
}

impl State {
    /// Takes a message of a paused session in; whether it is only to stand behind those before it, as the session goes on.
    fn passes_pause(&mut self, held: &Held) -> bool {
        if held.reason != SESSION_PAUSED {
            return false;
        }
        // Resumed in the instant between the verdict and here: no later resume lets the message go.
        let Some(paused) = self.paused.get_mut(&held.envelope.session) else { return true };
        paused.messages += 1;
        paused.resumed
    }

    fn leaves_pause(&mut self, held: &Held) -> bool {
        let session = held.envelope.session;
        let Some(paused) = self.paused.get_mut(&session).filter(|_| held.reason == SESSION_PAUSED) else {
            return false;
        };
        paused.messages = paused.messages.saturating_sub(1);
        self.end_pause(session)
    }

    fn end_pause(&mut self, session: SessionId) -> bool {
        let over = self.paused.get(&session).is_some_and(|paused| paused.resumed && paused.messages == 0);
        if over {
            self.paused.remove(&session);
        }
        over
    }
}

/// Holds the messages of paused sessions. A request that is taken back is taken back at once.
impl Interceptor for Gate {
    fn inspect(&self, envelope: &mut Envelope, _session: &dyn MessageContext) -> Verdict {
        let is_paused = self.shared.pauses.load(Ordering::Acquire)
            && envelope.method() != Some(method::CANCELLED)
            && self.shared.state.lock().paused.contains_key(&envelope.session);
        if is_paused { Verdict::Pause(SESSION_PAUSED.to_owned()) } else { Verdict::Continue }
    }
}

/// One message waiting. Dropping it gives the ticket back.
pub struct Hold {
    gate: Gate,
    held: Arc<Held>,
    decision: oneshot::Receiver<Decision>,
}

impl Hold {
    /// What is held, as the operator sees it.
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }
}

/// `None`: its sender has taken it back.
impl Future for Hold {
    type Output = Option<Decision>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Decision>> {
        // For as long as this lives, the gate drops the other end unsent only where the message is taken back.
        let decision = ready!(Pin::new(&mut self.decision).poll(context));
        Poll::Ready(decision.ok())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let shared = &self.gate.shared;
        let mut state = shared.state.lock();
        state.waiting.remove(&self.held.ticket);
        if state.leaves_pause(&self.held) {
            shared.pauses.store(!state.paused.is_empty(), Ordering::Release);
        }
    }
}
