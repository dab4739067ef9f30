//! What a tape knows of its messages beside their envelopes, for a filter: the one way to pick messages of a tape.

use std::sync::Arc;

use super::Tape;
use crate::envelope::{Envelope, SessionId};
use crate::event::{Session, Timestamp};
use crate::filter::{Filter, MessageContext, MessageHistory};

/// A whole tape as the context of a filter.
pub struct TapeContext {
    session: Session,
    history: MessageHistory,
    now: Timestamp,
}

impl TapeContext {
    /// Goes over the tape once. `now`: the time that ages are told from.
    pub fn of(tape: &Tape, now: Timestamp) -> Self {
        let mut history = MessageHistory::default();
        tape.envelopes.iter().for_each(|envelope| history.observe(envelope));
        Self { session: tape.session(), history, now }
    }
}

impl Tape {
    /// The messages that a filter matches, in the order they passed.
    pub fn matching<'a>(&'a self, filter: &'a Filter, now: Timestamp) -> impl Iterator<Item = &'a Arc<Envelope>> {
        let context = TapeContext::of(self, now);
        self.envelopes.iter().filter(move |envelope| filter.matches_in(envelope, &context))
    }

    /// The session as it is known at the end of the tape.
    pub fn session(&self) -> Session {
        self.header.session(self.end.as_deref())
    }
}

impl MessageContext for TapeContext {
    fn client(&self, _session: SessionId) -> Option<String> {
        self.session.client_text()
    }

    fn server_names(&self, _session: SessionId) -> Vec<String> {
        self.session.server_names()
    }

    fn upstream(&self, _session: SessionId) -> Option<String> {
        Some(self.session.upstream.to_string())
    }

    fn started(&self, _session: SessionId) -> Option<u64> {
        Some(self.session.started.0)
    }

    fn now(&self) -> Option<u64> {
        Some(self.now.0)
    }

    fn is_open(&self, envelope: &Envelope) -> bool {
        self.history.is_open(envelope)
    }

    fn is_duplicate(&self, envelope: &Envelope) -> bool {
        self.history.is_duplicate(envelope)
    }

    fn is_late(&self, envelope: &Envelope) -> bool {
        self.history.is_late(envelope)
    }
}
