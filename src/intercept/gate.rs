//! The owner of held messages: each waits here, alone, until the operator decides or its sender goes away.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::envelope::SessionId;
use crate::event::{Decision, Held, Ticket};

/// A handle on the held messages.
#[derive(Clone, Default)]
pub struct Gate {
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    last_ticket: u64,
    waiting: BTreeMap<Ticket, (Arc<Held>, oneshot::Sender<Decision>)>,
    /// Set on quit: who comes now does not wait.
    closed: Option<Decision>,
}

impl Gate {
    /// Takes in a message; `make` gets its ticket and describes it. The hold ends with a decision, or when it is dropped.
    pub fn hold(&self, make: impl FnOnce(Ticket) -> Held) -> Hold {
        let (sender, decision) = oneshot::channel();
        let mut state = self.shared.lock();
        state.last_ticket += 1;
        let ticket = Ticket(state.last_ticket);
        let held = Arc::new(make(ticket));
        match &state.closed {
            // The receiver is there: sending cannot fail.
            Some(decision) => drop(sender.send(decision.clone())),
            None => drop(state.waiting.insert(ticket, (held.clone(), sender))),
        }
        Hold { gate: self.clone(), held, decision }
    }

    /// Ends one hold. `None` where the ticket is settled already, or its sender is gone.
    pub fn settle(&self, ticket: Ticket, decision: Decision) -> Option<Arc<Held>> {
        let (held, sender) = self.shared.lock().waiting.remove(&ticket)?;
        sender.send(decision).ok().map(|()| held)
    }

    /// Forwards all that waits now; gives how many.
    pub fn forward_all(&self) -> usize {
        let waiting = std::mem::take(&mut self.shared.lock().waiting);
        waiting.into_values().filter_map(|(_, sender)| sender.send(Decision::Forward).ok()).count()
    }

    /// Ends every hold, now and from now on, with this decision.
    pub fn close(&self, decision: &Decision) {
        let waiting = {
            let mut state = self.shared.lock();
            state.closed = Some(decision.clone());
            std::mem::take(&mut state.waiting)
        };
        for (_, sender) in waiting.into_values() {
            // Whoever hung up in this instant is released by its own drop.
            drop(sender.send(decision.clone()));
        }
    }

    /// Whether anything of this session waits.
    pub fn holds_in(&self, session: SessionId) -> bool {
        self.shared.lock().waiting.values().any(|(held, _)| held.envelope.session == session)
    }

    /// All that waits, oldest first.
    pub fn held(&self) -> Vec<Arc<Held>> {
        self.shared.lock().waiting.values().map(|(held, _)| held.clone()).collect()
    }
}

/// One message waiting. Dropping it gives the ticket back.
pub struct Hold {
    gate: Gate,
    held: Arc<Held>,
    decision: oneshot::Receiver<Decision>,
}

impl Hold {
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }
}

impl Future for Hold {
    type Output = Decision;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Decision> {
        let decision = ready!(Pin::new(&mut self.decision).poll(context));
        // The gate owns the other end for as long as this lives, and never drops it unsent.
        Poll::Ready(decision.unwrap_or(Decision::Forward))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.shared.lock().waiting.remove(&self.held.ticket);
    }
}
