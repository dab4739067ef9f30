//! From the journal to the shadow's sessions: which event goes to which session.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::driver::{self, Beginning, DriverContext};
use crate::envelope::{Envelope, SessionId};
use crate::event::{Event, FeedReader, Origin, Session, SessionState};
use crate::journal::Subscription;

/// Messages that may wait for one session.
const WAITING: usize = 1024;

/// Reads the journal, and hands each message to the driver of its session.
pub(super) struct FeedRouter {
    context: DriverContext,
    runtime: Handle,
    subscription: Subscription,
    /// Clients' sessions that are open.
    sessions: HashMap<SessionId, mpsc::Sender<Arc<Envelope>>>,
    /// Between `ResyncStarted` and `ResyncDone`: what passed has been heard, or is lost.
    retelling: bool,
    /// A resync was asked for and has not begun.
    resyncing: bool,
}

impl FeedRouter {
    pub(super) fn new(context: DriverContext, runtime: Handle, subscription: Subscription) -> Self {
        Self { context, runtime, subscription, sessions: HashMap::new(), retelling: false, resyncing: false }
    }

    /// Hears until the journal ends, or the shadow does.
    pub(super) fn run(mut self, reader: &FeedReader) {
        for event in &reader.events {
            if self.context.end.is_cancelled() {
                return;
            }
            let dropped = reader.take_dropped();
            if dropped > 0 {
                self.resync_after_loss(dropped);
            }
            self.on_event(event);
        }
    }

    /// The end of a session may have been among it: sessions are asked for again.
    fn resync_after_loss(&mut self, events: u64) {
        self.context.tally.dropped(events);
        if !self.resyncing {
            self.resyncing = true;
            self.subscription.resync();
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::ResyncStarted => (self.retelling, self.resyncing) = (true, false),
            Event::ResyncDone => self.retelling = false,
            Event::SessionOpened(session) if self.is_shadowed(&session) => self.opened(&session),
            Event::SessionClosed { session, .. } => {
                self.sessions.remove(&session);
            }
            Event::Passed(envelope) if !self.retelling => self.passed(envelope),
            _ => {}
        }
    }

    fn is_shadowed(&self, session: &Session) -> bool {
        session.origin == Origin::Client && session.upstream_name == self.context.upstream
    }

    fn opened(&mut self, session: &Session) {
        if matches!(session.state, SessionState::Closed { .. }) {
            self.sessions.remove(&session.id);
        } else if let Entry::Vacant(vacant) = self.sessions.entry(session.id) {
            let beginning = if session.state == SessionState::New { Beginning::Heard } else { Beginning::Missed };
            let (sender, inbox) = mpsc::channel(WAITING);
            vacant.insert(sender);
            self.runtime.spawn(driver::run(self.context.clone(), session.id, beginning, inbox));
        }
    }

    fn passed(&mut self, envelope: Arc<Envelope>) {
        let Some(session) = self.sessions.get(&envelope.session) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = session.try_send(envelope) {
            self.context.tally.dropped(1);
        }
    }
}
