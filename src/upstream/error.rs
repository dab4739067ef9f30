//! Why an upstream did not answer, in kinds that tell what may be done about it: what may be sent again is decided by them
//! (`retry`), and so is the status that the client gets (`proxy::error`).

use std::time::Duration;

use crate::secret::Label;

/// Why an upstream did not answer. Named by what the reader can do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Nothing listens there, or the name does not resolve.
    #[error("cannot reach {upstream}: {why}")]
    Unreachable { upstream: Label, why: String },
    /// The command could not be started.
    #[error("cannot start `{command}`: {why}")]
    CannotStart { command: Label, why: String },
    /// Nothing is left to start the command with.
    #[error("cannot start `{command}`: {why}")]
    NoDescriptors { command: Label, why: String },
    /// The command ended; the last lines of its stderr say why.
    #[error("`{command}` ended with {status}{}", last_words(.stderr))]
    Exited { command: Label, status: String, stderr: Vec<String> },
    /// The command has closed its stdin, and lives on.
    #[error("`{command}` has closed its stdin: it takes no messages any more")]
    TakesNothing { command: Label },
    /// The command reads nothing, and as much as may wait for it does so already.
    #[error("`{command}` does not read: {waiting} MiB wait for it")]
    ReadsNothing { command: Label, waiting: usize },
    /// A message of it is longer than any may be, or has no end.
    #[error("{upstream} sent a message of more than {most} MiB, or without end")]
    TooLong { upstream: Label, most: usize },
    /// The client has ended its session while it waited for the answer.
    #[error("the session was ended before `{command}` answered")]
    SessionEnded { command: Label },
    /// The connection broke before the answer began. What was sent may have arrived.
    #[error("{upstream} broke off before it answered: {why}")]
    NoAnswer { upstream: Label, why: String },
    /// There are as many children as there may be, and none came free.
    #[error(
        "all {children} children of `{command}` are in use, and none came free in {waited:?}; `--pool-max` (`max` under `[pool]`) \
         allows more"
    )]
    Busy { command: Label, children: usize, waited: Duration },
    /// Another process of the command does not go on with the session.
    #[error("`{command}` was restarted and does not go on with the session: {why}")]
    NotResumed { command: Label, why: String },
    /// Its process was replaced on purpose, and what it had been asked is lost with it.
    #[error("`{command}` was restarted before it answered: {why}")]
    Restarted { command: Label, why: String },
    /// A command did not answer the question that revision 2026-07-28 begins with: it is older, or broken.
    #[error("`{command}` does not answer `server/discover`: {why}")]
    NotModern { command: Label, why: String },
    /// The connection broke in the middle of an answer.
    #[error("{upstream} broke off: {why}")]
    BrokenOff { upstream: Label, why: String },
    /// A redirection that is not followed.
    #[error("{upstream} {why}")]
    Redirected { upstream: Label, why: String },
    /// A request was lost with the session, and was not sent again, as it may do something.
    #[error("{upstream} had forgotten the session, which was begun again")]
    SessionForgotten { upstream: Label },
    /// The event stream that is the session was not given.
    #[error("{upstream} gave no event stream: {why}")]
    NoStream { upstream: Label, why: String },
    /// The event stream that is the session ended in good order.
    #[error("{upstream} ended the event stream")]
    StreamEnded { upstream: Label },
}

impl UpstreamError {
    /// Whether a connection broke, or was broken off by us, which is no way for a server to end anything.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::BrokenOff { .. } | Self::TooLong { .. })
    }
}

fn last_words(stderr: &[String]) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it last wrote: {}", stderr.join(" | ")) }
}
