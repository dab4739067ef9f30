//! One client of a tape while it is played: its connection, and what only its own server knows of it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::answers::RecordedAnswers;
use super::wire::{NegotiatedHeaders, outgoing};
use super::{GOODBYE, Listening, ListeningStream};
use crate::message::Id;
use crate::tape::tokens::Tokens;
use crate::upstream::Upstream;

/// A connection for one client.
pub struct ClientConnection {
    pub upstream: Arc<dyn Upstream>,
    /// The client hangs up: what is behind it ends.
    pub close: BoxFuture<'static, ()>,
}

impl ClientConnection {
    /// One that somebody else closes.
    pub fn left_open(upstream: Arc<dyn Upstream>) -> Self {
        Self { upstream, close: std::future::ready(()).boxed() }
    }
}

/// All that is known of one client of the tape.
#[derive(Default)]
pub(super) struct PlayedSession {
    /// `None` before its first message, and when it has ended.
    pub(super) connection: Option<ClientConnection>,
    /// Ends what is left of its exchanges, where other sessions go on.
    pub(super) hung_up: CancellationToken,
    /// Requests in flight, by their id.
    pub(super) waiting: HashMap<Id, usize>,
    /// The only one of them, where it has been that from the start.
    pub(super) alone: Option<usize>,
    pub(super) by_progress_token: HashMap<Id, usize>,
    pub(super) answers: RecordedAnswers,
    pub(super) tokens: Tokens,
    pub(super) negotiated: NegotiatedHeaders,
    /// The headers of the last message, for the requests that carry none.
    pub(super) last_headers: HeaderMap,
    pub(super) listening: Listening,
    pub(super) listening_stream: ListeningStream,
    /// Notifications that came, other than progress and log lines.
    pub(super) news: usize,
    /// Notifications that are no longer waited for.
    pub(super) missed: usize,
    /// Since when a notification is waited for.
    pub(super) news_since: Option<Instant>,
    /// Why nothing more of it can be played.
    pub(super) over: Option<&'static str>,
}

impl PlayedSession {
    /// Until when its listening stream is waited for.
    pub(super) fn listening_until(&self) -> Option<Instant> {
        match self.listening {
            Listening::Opening { until } => Some(until),
            Listening::No | Listening::Decided => None,
        }
    }

    /// Ends the session at its server, where that has one. Returns what hangs up.
    pub(super) async fn end(&mut self, extra: &HeaderMap) -> BoxFuture<'static, ()> {
        self.over = Some("its session has ended");
        let Some(ClientConnection { upstream, close }) = self.connection.take() else {
            return std::future::ready(()).boxed();
        };
        if self.negotiated.session.id.is_some() {
            let headers = self.negotiated.bare(&self.last_headers, extra);
            // A server that refuses, or is gone, is rid of the session as well.
            let _ = timeout(GOODBYE, upstream.send(outgoing(Method::DELETE, headers, None))).await;
        }
        self.hung_up.cancel();
        close
    }
}
