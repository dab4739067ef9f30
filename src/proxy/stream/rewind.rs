//! How a live session is taken back behind its client.
//!
//! A fresh process of its server is told what an earlier one had been told up to a message, and the client goes on with it. It is a
//! [`restart`](super::restart) in which the past is played in the place of the handshake. What that means for each of the three:
//!
//! - the fresh process hears each message of the past under an id that no client has, so that what it answers late is never taken for
//!   the reply to a request of the client's; its answers, and what it asks and says meanwhile, are the player's, and only shown;
//! - the client hears nothing of it, but for the lists it is told to look at again. What it had asked is answered by an error that names
//!   the rewind, or asked again where that cannot do harm; what it says meanwhile waits;
//! - on the tape stands a mark where the past begins once more, and a seam where the client goes on. Whoever plays the tape plays
//!   what follows the mark.
//!
//! What the client has agreed on stays agreed: the log level and subscriptions of later messages are asked for again. What only the
//! earlier process could know (a cursor, the id of a task) the fresh one may not.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::envelope::Seq;
use crate::upstream::Upstream;

/// Plays to a process what is to be said again. Returns what became of it, for people.
pub type SayAgain = Box<dyn FnOnce(Arc<dyn Upstream>) -> BoxFuture<'static, String> + Send + Sync>;

/// How far a session is taken back, and how.
pub struct SessionRewind {
    /// The last message that the fresh process is told.
    pub to: Seq,
    pub say_again: SayAgain,
}
