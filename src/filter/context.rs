//! What is known of a message beside its envelope. The caller of a filter provides it: a list knows which requests wait, a tape
//! knows who spoke, and at the moment in which a message passes much of it is not known yet.

use std::fmt;

use super::history::MessageHistory;
use crate::envelope::{Envelope, Seq, SessionId};

/// Answers of the place where a filter is asked. What it does not know is not so.
pub trait MessageContext {
    /// The client of a session: name and version.
    fn client(&self, _session: SessionId) -> Option<String> {
        None
    }

    /// What the server of a session is called: by itself, with its version, and in the configuration.
    fn server_names(&self, _session: SessionId) -> Vec<String> {
        Vec::new()
    }

    /// Where a session goes: a URL or a command line.
    fn upstream(&self, _session: SessionId) -> Option<String> {
        None
    }

    /// When a session began, in microseconds since the Unix epoch.
    fn started(&self, _session: SessionId) -> Option<u64> {
        None
    }

    /// What time it is, in microseconds since the Unix epoch.
    fn now(&self) -> Option<u64> {
        None
    }

    /// What passed before, where that was remembered.
    fn history(&self) -> Option<&MessageHistory> {
        None
    }

    /// Whether this is a request without a reply.
    fn is_open(&self, envelope: &Envelope) -> bool {
        self.history().is_some_and(|history| history.is_open(envelope))
    }

    /// Whether this is a request under an id that its session has used before.
    fn is_duplicate(&self, envelope: &Envelope) -> bool {
        self.history().is_some_and(|history| history.is_duplicate(envelope))
    }

    /// Whether this is a reply to a request that had been cancelled.
    fn is_late(&self, envelope: &Envelope) -> bool {
        self.history().is_some_and(|history| history.is_late(envelope))
    }

    /// Whether this calls a tool of which its server has said that it changes nothing.
    fn is_read_only(&self, envelope: &Envelope) -> bool {
        self.history().is_some_and(|history| history.is_read_only(envelope))
    }

    /// Whether this belongs to what the message under the cursor belongs to.
    fn is_near(&self, _envelope: &Envelope) -> bool {
        false
    }

    /// Whether a shadow answered otherwise, or not at all.
    fn diverged(&self, _seq: Seq) -> bool {
        false
    }

    /// Whether the message is marked.
    fn is_marked(&self, _seq: Seq) -> bool {
        false
    }

    /// The comment on the message.
    fn comment(&self, _seq: Seq) -> Option<String> {
        None
    }

    /// The codes of what is wrong with it.
    fn lints(&self, _seq: Seq) -> Vec<String> {
        Vec::new()
    }
}

/// The context of a message of which there is the envelope only.
pub struct NothingKnown;

impl MessageContext for NothingKnown {}

/// Where a filter is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterPlace {
    /// On a list of what has passed.
    List,
    /// On each message before it is sent on.
    Wire,
    /// On what a tape has, without a screen.
    Tape,
}

/// What has to be looked at to answer, the cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScanCost {
    /// What is kept of every message.
    Index,
    /// The headers that came with it.
    Header,
    /// The body, byte by byte or value by value.
    Body,
}

impl fmt::Display for ScanCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Index => "index",
            Self::Header => "header",
            Self::Body => "body scan",
        })
    }
}
