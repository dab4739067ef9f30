//! Whatever answers a client: a server behind a URL, a command that speaks over its pipes, or a tape.
//!
//! Owns the trait and its values. A front door hands an [`Outgoing`] to [`Upstream::send`] and gets a [`Reply`], in the
//! terms of Streamable HTTP, the richest carrier; the others are mapped to it. Nothing here decides or records:
//! that is `proxy::pass`. A server with one stream for everything it says (a command, [`stdio`], or the HTTP+SSE transport, [`sse`]) is
//! no such upstream: what it says is handed out as [`output::Output`].

pub mod embedded;
mod encoding;
mod error;
pub mod http;
pub mod output;
pub mod pool;
pub mod processes;
pub mod reply;
pub mod retry;
pub mod site;
pub mod sse;
pub mod stdio;
pub mod streamable;
pub mod target;
pub mod watch;

use ::http::{HeaderMap, Method};
use futures_util::future::BoxFuture;

pub use self::error::UpstreamError;
pub use self::output::{Framing, Incoming, Item};
pub use self::reply::{Reply, ReplyBody};
use crate::message::Message;
use crate::secret::Label;

/// One HTTP exchange of a client, ready to be sent on.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// POST carries [`Outgoing::message`]; GET opens the listening stream; DELETE ends the session.
    pub method: Method,
    /// End-to-end headers of the client.
    pub headers: HeaderMap,
    pub message: Option<Message>,
    /// What the client put after the path of the endpoint: a slash, a query, both or nothing.
    pub tail: String,
}

/// One upstream as one session sees it: shared by all sessions for HTTP, one child each for a command.
pub trait Upstream: Send + Sync + 'static {
    /// The URL or the command line, for people.
    fn label(&self) -> &Label;

    /// Where it lives, if that is a place with other things to ask for.
    fn site(&self) -> Option<&site::Site> {
        None
    }

    /// Sends on one exchange of the client. Dropping the future, or the stream in the reply, hangs up.
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>>;

    /// Sends on one exchange of which tapline itself is the HTTP client, and not a client that it stands in for: redirections are
    /// followed, and compressed answers are decoded.
    fn send_as_client(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        self.send(outgoing)
    }

    /// Ends the session's part of the upstream: a child is asked to leave, then made to.
    fn close(&self) -> BoxFuture<'_, ()>;
}
