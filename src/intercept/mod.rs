//! What decides on a message: interceptors, asked in order, before it is sent on.
//!
//! Deciding is synchronous and looks at values only; waiting for the operator is the [`gate`]'s part, and doing is
//! `Proxy::pass`'s.

pub mod breakpoints;
pub mod gate;
pub mod points;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::sync::oneshot;

pub(crate) use self::watch::Watch;
use crate::envelope::{Author, Envelope};
use crate::event::{BlockError, LogLine};
use crate::filter::MessageContext;
use crate::message::Message;

/// What an interceptor wants done with a message.
#[derive(Clone, Debug)]
pub enum Verdict {
    Continue,
    /// Send this instead; interceptors further on see the new message.
    Modify(Message, Author),
    /// Send nothing on; a request is answered with the error, a reply replaced by it.
    Block(BlockError, Author),
    /// Let the operator decide. The text says why.
    Pause(String),
    /// Send nothing on and answer nothing.
    Drop(Author),
    /// Send nothing on; a request is answered with this, a reply replaced by it.
    Answer(Message, Author),
    /// Send nothing on; an HTTP client gets this response, any other an error that says so.
    Status(Box<HttpAnswer>, Author),
    /// An HTTP client's response breaks off, any other gets no answer.
    Disconnect(BreakOff, Author),
    /// Send it on twice, where it goes down a stream.
    Duplicate,
    /// Hold for so long, and then do that, unless the operator decides otherwise meanwhile. The text says why.
    Delay(Duration, String, Box<Self>),
    /// Let the operator decide, but for no longer than this; then do that. The text says why.
    PauseFor(Duration, String, Box<Self>),
    /// Hold until a decider (such as a hook) has decided, or the operator has.
    Ask(Arc<dyn LateVerdict>),
}

/// Where a response breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakOff {
    /// Before the server has seen anything.
    Before,
    /// In the middle of the server's reply.
    Within,
    /// When the server has replied, and the client has got nothing of it.
    After,
}

/// A decider that takes time, such as a hook.
pub trait LateVerdict: fmt::Debug + Send + Sync {
    /// Why a message waits for it.
    fn reason(&self) -> String;

    /// Has it decide, on the runtime. Where the other end is dropped, the message goes on.
    fn ask(self: Arc<Self>) -> oneshot::Receiver<LateRuling>;
}

/// What was decided in the end, and what is to be told of it.
#[derive(Debug)]
pub struct LateRuling {
    pub verdict: Verdict,
    pub line: Option<LogLine>,
}

/// A response that is no answer of MCP's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: String,
}

/// Looks at one message and decides. It must not wait, and must not fail.
pub trait Interceptor: Send + Sync {
    /// `envelope` is the message as it would pass: outcome `Forwarded`, earlier edits applied; rules put theirs into it. `session`:
    /// what is known of its session.
    fn inspect(&self, envelope: &mut Envelope, session: &dyn MessageContext) -> Verdict;
}

/// Interceptors in order. The first that does not continue wins, except that an edit feeds the next one.
#[derive(Default)]
pub struct Chain {
    interceptors: Vec<Box<dyn Interceptor>>,
}

impl Chain {
    /// A chain that asks these interceptors in this order; the first that does not continue decides.
    pub fn new(interceptors: Vec<Box<dyn Interceptor>>) -> Self {
        Self { interceptors }
    }

    /// Asks all in order; edits are applied to `envelope`, anything else is returned for the spine to do.
    pub fn decide(&self, envelope: &mut Envelope, session: &dyn MessageContext) -> Verdict {
        for interceptor in &self.interceptors {
            match interceptor.inspect(envelope, session) {
                Verdict::Continue => {}
                Verdict::Modify(message, author) => envelope.edit(message, author),
                verdict => return verdict,
            }
        }
        Verdict::Continue
    }
}
