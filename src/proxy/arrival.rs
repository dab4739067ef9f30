//! A message at the moment it comes in: what the spine takes.

use std::time::Instant;

use crate::envelope::{Author, Direction, Seq, Transport};
use crate::message::Message;

/// A message at the moment it comes in.
pub struct Arrival {
    pub direction: Direction,
    pub transport: Transport,
    pub message: Message,
    /// Who made it, where it was not the peer.
    pub injected: Option<Author>,
    /// The reply to an injected request: shown, but for nobody.
    pub withheld: bool,
    /// When tapline had it, where that was before it came to the spine.
    pub came: Option<Instant>,
    /// The request whose own response it came on, where there is such a thing.
    pub request: Option<Seq>,
}

impl Arrival {
    pub fn new(direction: Direction, transport: Transport, message: Message) -> Self {
        Self { direction, transport, message, injected: None, withheld: false, came: None, request: None }
    }
}
