//! What belongs together: a request, its reply, its progress, and what takes it back.

use crate::envelope::{Direction, Envelope, Seq, SessionId};
use crate::mcp::meta::{cancelled_id, reported_progress, requested_progress};
use crate::message::{Id, Kind};

/// The exchange that a message is of, as a focus for `~near`.
#[derive(Clone, Debug)]
pub struct NearFocus {
    session: SessionId,
    /// The message itself, the request of its exchange, and the request that its operation began with.
    seqs: Vec<Seq>,
    /// The id under which the request can be taken back, and by whose side.
    id: Option<(Direction, Id)>,
    progress: Option<Id>,
}

impl NearFocus {
    /// The focus on a message; `request`: the one that it answers, where that is known.
    pub fn on(message: &Envelope, request: Option<&Envelope>) -> Self {
        let request = request.or(Some(message).filter(|it| it.kind() == Kind::Request));
        let asked = request.and_then(|it| Some((it.direction, it.message.id()?.clone())));
        let taken_back = || cancelled_id(&message.message).map(|id| (message.direction, id));
        let reported = || reported_progress(&message.message).map(Id::from_token);
        let parts = [Some(message.seq), request.map(|it| it.seq), message.reply_to.as_ref().map(|to| to.seq)];
        let began = [message.part_of, request.and_then(|it| it.part_of)];
        Self {
            session: message.session,
            seqs: parts.into_iter().chain(began).flatten().collect(),
            id: asked.or_else(taken_back),
            progress: request.and_then(|it| requested_progress(&it.message)).or_else(reported),
        }
    }

    /// Whether a message is of the exchange.
    pub fn covers(&self, envelope: &Envelope) -> bool {
        let is_of = |seq: Option<Seq>| seq.is_some_and(|seq| self.seqs.contains(&seq));
        let names = |id: Option<Id>| {
            id.zip(self.id.as_ref())
                .is_some_and(|(id, (direction, asked))| (envelope.direction, id) == (*direction, asked.clone()))
        };
        let progress = || {
            let message = &envelope.message;
            let token = match message.kind() {
                Kind::Notification => reported_progress(message).map(Id::from_token),
                Kind::Request => requested_progress(message),
                _ => None,
            };
            token.is_some() && token == self.progress
        };
        envelope.session == self.session
            && (is_of(Some(envelope.seq))
                || is_of(envelope.reply_to.as_ref().map(|to| to.seq))
                || is_of(envelope.part_of)
                || names(cancelled_id(&envelope.message))
                || (envelope.kind() == Kind::Request && names(envelope.message.id().cloned()))
                || progress())
    }
}
