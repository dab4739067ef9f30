//! A message at the moment it comes in: what the spine takes. Knows nothing of the rest of the proxy.

use std::time::Instant;

use crate::envelope::{Author, Direction, Seq, Transport};
use crate::message::Message;

/// The recipient of a message, beside the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// The client, or the server where the client sent it.
    #[default]
    Client,
    /// The operator alone: what belongs to a request of the operator's is recorded and shown, and kept from the client, which would
    /// not know its id.
    OperatorOnly,
    /// Tapline itself, in the client's place: recorded and shown, and kept from the client.
    Tapline,
}

impl Audience {
    /// Whether the client does not get it.
    pub fn is_operator_only(self) -> bool {
        self != Self::Client
    }
}

/// A message at the moment it comes in.
pub struct Arrival {
    pub direction: Direction,
    pub transport: Transport,
    pub message: Message,
    /// The author, where it was not the peer.
    pub injected: Option<Author>,
    /// Where it may go: the reply to a request of the operator's is recorded and shown, and not sent on.
    pub audience: Audience,
    /// When tapline had it, where that was before it reached the spine.
    pub received: Option<Instant>,
    /// The request whose own HTTP response it came on, where there is such a thing.
    pub request: Option<Seq>,
}

impl Arrival {
    /// A message that has just been read, from its client or server itself.
    pub fn new(direction: Direction, transport: Transport, message: Message) -> Self {
        Self {
            direction,
            transport,
            message,
            injected: None,
            audience: Audience::Client,
            received: None,
            request: None,
        }
    }
}
