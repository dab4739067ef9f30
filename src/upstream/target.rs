//! What tapline stands in front of.
//!
//! The transport of a URL is never probed: the server would see it. A path that ends in `/sse` means HTTP+SSE, and
//! `--transport` overrides that. The upstream's own path is an endpoint of ours as well, so that a client that only
//! swaps the host is not passed through unseen.

use std::sync::Arc;

use crate::children::guardian::Guardian;
use crate::secret::Label;
use crate::upstream::Upstream;
use crate::upstream::pool::{self, Pool};
use crate::upstream::site::Site;
use crate::upstream::sse::SseUpstream;
use crate::upstream::stdio::CommandLine;

/// What tapline stands in front of.
#[derive(Clone)]
pub enum Target {
    /// A server with sessions of its own.
    Server(Arc<dyn Upstream>),
    /// A server of the HTTP+SSE transport: each session has an event stream for its life.
    Events(Arc<SseUpstream>),
    /// A command: each session gets a child for its life; clients of revision 2026-07-28 share one.
    Command(Arc<Pool>),
}

impl Target {
    /// A command as it is usually kept.
    pub fn command(command: CommandLine, guardian: Guardian) -> Self {
        Self::Command(Pool::new(command, guardian, pool::Settings::default()))
    }

    /// What is named to people.
    pub fn label(&self) -> Label {
        match self {
            Self::Server(upstream) => upstream.label().clone(),
            Self::Events(upstream) => upstream.site().label().clone(),
            Self::Command(pool) => pool.label(),
        }
    }

    /// The label, and how it is spoken to where that is not what everybody expects.
    pub fn description(&self) -> String {
        match self {
            Self::Events(_) => format!("{} over HTTP+SSE", self.label()),
            Self::Server(_) | Self::Command(..) => self.label().to_string(),
        }
    }

    /// The place where it lives, if there are other things to ask for.
    pub fn site(&self) -> Option<&Site> {
        match self {
            Self::Server(upstream) => upstream.site(),
            Self::Events(upstream) => Some(upstream.site()),
            Self::Command(..) => None,
        }
    }

    /// Whether the server knows nothing of the ids that sessions have over Streamable HTTP: those are ours, then.
    pub fn is_pipe(&self) -> bool {
        !matches!(self, Self::Server(_))
    }
}
