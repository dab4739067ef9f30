//! Whatever answers a client: a server behind a URL, a command that speaks over its pipes, or a tape.
//!
//! Owns the trait and its values. A front door hands an [`Outgoing`] to [`Upstream::send`] and gets a [`Reply`], in the
//! terms of Streamable HTTP, the richest carrier; the others are mapped to it. Nothing here decides or records:
//! that is `proxy::pass`. A server with one stream for everything it says (a command, or the HTTP+SSE transport) is a
//! [`pipe::Pipe`] instead.

mod encoding;
pub mod framing;
pub mod guardian;
pub mod http;
pub mod orphans;
pub mod pipe;
pub mod pool;
pub mod reply;
pub mod retry;
pub mod site;
pub mod sse;
pub mod stdio;
pub mod streamable;
pub mod target;
pub mod watch;

use std::time::Duration;

use ::http::{HeaderMap, Method};
use futures_util::future::BoxFuture;

pub use self::framing::{Framing, Incoming, Item};
pub use self::reply::{Reply, ReplyBody};
use crate::message::Message;

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

/// Why an upstream did not answer. Named by what the reader can do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Nothing listens there, or the name does not resolve.
    #[error("cannot reach {upstream}: {why}")]
    Unreachable { upstream: String, why: String },
    /// The command could not be started.
    #[error("cannot start `{command}`: {why}")]
    CannotStart { command: String, why: String },
    /// Nothing is left to start the command with.
    #[error("cannot start `{command}`: {why}")]
    NoDescriptors { command: String, why: String },
    /// The command ended; the last lines of its stderr say why.
    #[error("`{command}` ended with {status}{}", last_words(.stderr))]
    Exited { command: String, status: String, stderr: Vec<String> },
    /// The command has closed its stdin, and lives on.
    #[error("`{command}` has closed its stdin: it takes no messages any more")]
    TakesNothing { command: String },
    /// The client has ended its session while it waited for the answer.
    #[error("the session was ended before `{command}` answered")]
    SessionEnded { command: String },
    /// The connection broke before the answer began. What was sent may have arrived.
    #[error("{upstream} broke off before it answered: {why}")]
    NoAnswer { upstream: String, why: String },
    /// There are as many children as there may be, and none came free.
    #[error(
        "all {children} children of `{command}` are in use, and none came free in {waited:?}; `--pool-max` (`max` under `[pool]`) \
         allows more"
    )]
    Busy { command: String, children: usize, waited: Duration },
    /// Another process of the command does not go on with the session.
    #[error("`{command}` was restarted and does not go on with the session: {why}")]
    NotResumed { command: String, why: String },
    /// The connection broke in the middle of an answer.
    #[error("{upstream} broke off: {why}")]
    BrokenOff { upstream: String, why: String },
    /// A redirection that is not followed.
    #[error("{upstream} {why}")]
    Redirected { upstream: String, why: String },
    /// A request was lost with the session, and was not sent again, as it may do something.
    #[error("{upstream} had forgotten the session, which was begun again")]
    SessionForgotten { upstream: String },
    /// The event stream that is the session was not given.
    #[error("{upstream} gave no event stream: {why}")]
    NoStream { upstream: String, why: String },
    /// The event stream that is the session ended in good order.
    #[error("{upstream} ended the event stream")]
    StreamEnded { upstream: String },
}

impl UpstreamError {
    /// Whether a connection broke, which is no way for a server to end anything.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::BrokenOff { .. })
    }
}

fn last_words(stderr: &[String]) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it last wrote: {}", stderr.join(" | ")) }
}

/// One upstream as one session sees it: shared by all sessions for HTTP, one child each for a command.
pub trait Upstream: Send + Sync + 'static {
    /// The URL or the command line, for people.
    fn label(&self) -> &str;

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
