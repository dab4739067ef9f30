//! Sessions for the clients of a tape that is played, and what can be done about the tape that was played last.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::envelope::{Author, Seq, SessionId, Via};
use crate::event::{Origin, ReplayRequest};
use crate::json::PathPattern;
use crate::proxy::exchange::Connection;
use crate::proxy::sessions::SessionTable;
use crate::tape::accept::LiveReply;
use crate::tape::compare::Rules;
use crate::tape::play::{ClientConnection, OnFailure, PlayOptions, StepGate};
use crate::upstream::UpstreamError;

/// Begins a session of which a tape is the client.
///
/// # Errors
/// Where the server cannot be started.
pub(crate) fn begin(table: &Arc<SessionTable>) -> Result<Arc<Connection>, UpstreamError> {
    table.open(Via::Http, Origin::Replay, Some(Author::Tapline))
}

/// Gives each client of a tape a session of its own, which ends with what is played of it; `begun` is told of each.
pub(crate) fn connect<F: FnMut(SessionId) + Send>(
    table: &Arc<SessionTable>,
    mut begun: F,
) -> impl FnMut(SessionId) -> Result<ClientConnection, UpstreamError> + Send + use<F> {
    let table = table.clone();
    move |_| {
        let connection = begin(&table)?;
        let (table, session) = (table.clone(), connection.session.id());
        begun(session);
        let close = async move { table.close(session, "the replay ended").await };
        Ok(ClientConnection { upstream: Arc::new(connection), close: close.boxed() })
    }
}

/// The replay that a person began last.
pub(super) struct LatestReplay {
    tape: PathBuf,
    /// A permit has a message go.
    go: Arc<Semaphore>,
    ignored: watch::Sender<Vec<PathPattern>>,
    replies: Arc<Mutex<DifferingReplies>>,
}

impl Default for LatestReplay {
    fn default() -> Self {
        Self::of(PathBuf::new(), Vec::new())
    }
}

impl LatestReplay {
    pub(super) fn of(tape: PathBuf, ignored: Vec<PathPattern>) -> Self {
        Self { tape, go: Arc::new(Semaphore::new(0)), ignored: watch::Sender::new(ignored), replies: Arc::default() }
    }

    /// How it is to be played, and what is to be called whenever a step is told.
    pub(super) fn options(&self, asked: &ReplayRequest) -> (PlayOptions, impl FnMut() + Send + use<>) {
        let ((replies, mut replied), kept) = (mpsc::unbounded_channel(), self.replies.clone());
        let ignored = self.ignored.subscribe();
        let rules = Rules { ignore: ignored.borrow().clone(), volatile: asked.volatile, ..Rules::default() };
        let steps = Some(StepGate { go: self.go.clone(), is_for_each: asked.by_step });
        let (speed, ignored, replies) = (asked.speed, Some(ignored), Some(replies));
        let on_failure = if asked.stops_at_failure { OnFailure::Stop } else { OnFailure::GoOn };
        let options = PlayOptions { speed, steps, rules, on_failure, ignored, replies, ..PlayOptions::default() };
        let keep = move || {
            while let Ok(reply) = replied.try_recv() {
                kept.lock().keep(reply);
            }
        };
        (options, keep)
    }

    pub(super) fn step(&self) {
        self.go.add_permits(1);
    }

    pub(super) fn ignore(&self, tape: &Path, paths: Vec<PathPattern>) {
        if self.tape == tape {
            self.ignored.send_replace(paths);
        }
    }

    /// What the server answered to a request of that tape, where that was not what the tape has.
    pub(super) fn reply(&self, tape: &Path, request: Seq) -> Option<LiveReply> {
        (self.tape == tape).then(|| self.replies.lock().by_request.get(&request).cloned())?
    }
}

/// Bytes of replies that are kept.
const MOST_REPLIES: usize = 64 << 20;

/// Replies that differ, for as long as a person may want to accept them: the latest that fit.
#[derive(Default)]
struct DifferingReplies {
    by_request: HashMap<Seq, LiveReply>,
    /// Whose they are, the oldest first.
    order: VecDeque<Seq>,
    bytes: usize,
}

impl DifferingReplies {
    fn keep(&mut self, reply: LiveReply) {
        self.keep_within(reply, MOST_REPLIES);
    }

    /// The latest stays, however large.
    fn keep_within(&mut self, reply: LiveReply, most: usize) {
        self.forget(reply.request);
        self.bytes += reply.reply.raw().len();
        self.order.push_back(reply.request);
        self.by_request.insert(reply.request, reply);
        while self.bytes > most && self.order.len() > 1 {
            self.forget(self.order[0]);
        }
    }

    fn forget(&mut self, request: Seq) {
        if let Some(reply) = self.by_request.remove(&request) {
            self.bytes -= reply.reply.raw().len();
            self.order.retain(|other| *other != request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    #[test]
    fn replies_that_are_kept_are_the_latest() {
        let mut kept = DifferingReplies::default();
        let mut keep = |request, text: &str| {
            let reply = Message::new(text.to_owned());
            kept.keep_within(LiveReply { request: Seq(request), reply, differences: Vec::new() }, 10);
            kept.order.iter().map(|seq| seq.0).collect::<Vec<_>>()
        };
        assert_eq!(keep(1, "12345"), [1]);
        assert_eq!(keep(2, "12345"), [1, 2]);
        assert_eq!(keep(3, "12"), [2, 3]);
        assert_eq!(keep(2, "1234"), [3, 2], "another to the same request takes its place");
        assert_eq!(keep(4, "one that is larger than all"), [4]);
        assert_eq!((kept.by_request.len(), kept.bytes), (1, 27));
    }
}
