//! What a client said and what it got: of this each form is made.

use std::collections::HashMap;
use std::sync::Arc;

use crate::envelope::{Direction, Envelope, Seq};

/// The messages of the client that reached the server, each with the reply.
pub(super) fn exchanges(envelopes: &[Arc<Envelope>]) -> Vec<(&Arc<Envelope>, Option<&Arc<Envelope>>)> {
    let replies: HashMap<Seq, &Arc<Envelope>> =
        envelopes.iter().filter_map(|it| Some((it.reply_to.as_ref()?.seq, it))).collect();
    let sent = envelopes.iter().filter(|it| it.direction == Direction::ToServer && it.was_sent());
    sent.map(|it| (it, replies.get(&it.seq).copied())).collect()
}

pub(super) fn text_of(envelope: &Envelope) -> String {
    String::from_utf8_lossy(envelope.message.raw()).into_owned()
}
