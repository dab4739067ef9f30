//! What the filters of the wire know beside a message: its session, and what passed before it, where one asks for that.

use crate::envelope::{Envelope, SessionId};
use crate::filter::{Filter, MessageContext, MessageHistory};
use crate::message::Kind;

/// Ids that are remembered: sessions may last for weeks.
const MOST_IDS: usize = 200_000;

/// The messages that passed since it was made; nothing where no filter asks for them.
#[derive(Default)]
pub(crate) struct Watch(Option<MessageHistory>);

impl Watch {
    pub(crate) fn for_filters<'a>(mut filters: impl Iterator<Item = &'a Filter>) -> Self {
        Self(filters.any(Filter::asks_history).then(|| MessageHistory::bounded(MOST_IDS)))
    }

    pub(crate) fn observe(&mut self, envelope: &Envelope) {
        if let Some(history) = &mut self.0 {
            history.observe(envelope);
        }
    }

    /// What is known of a message that is about to pass.
    pub(crate) fn context<'a>(&'a self, session: &'a dyn MessageContext) -> PassingContext<'a> {
        PassingContext { session, history: self.0.as_ref() }
    }
}

/// What is known of a message that is about to pass: it has no reply yet.
pub(crate) struct PassingContext<'a> {
    session: &'a dyn MessageContext,
    history: Option<&'a MessageHistory>,
}

impl MessageContext for PassingContext<'_> {
    fn client(&self, session: SessionId) -> Option<String> {
        self.session.client(session)
    }

    fn server_names(&self, session: SessionId) -> Vec<String> {
        self.session.server_names(session)
    }

    fn upstream(&self, session: SessionId) -> Option<String> {
        self.session.upstream(session)
    }

    fn started(&self, session: SessionId) -> Option<u64> {
        self.session.started(session)
    }

    fn now(&self) -> Option<u64> {
        self.session.now()
    }

    fn is_open(&self, envelope: &Envelope) -> bool {
        envelope.kind() == Kind::Request
    }

    fn history(&self) -> Option<&MessageHistory> {
        self.history
    }
}
