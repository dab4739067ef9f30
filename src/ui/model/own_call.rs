//! A call of the operator's own on its way: found again among the messages, and what came back.

use super::super::content::{block_lines, blocks};
use super::super::json::pretty;
use super::motion::Motion;
use super::observed::ObservedState;
use super::wrapped_text::WrappedText;
use crate::envelope::{Direction, Envelope, Seq, SessionId};
use crate::event::Timestamp;
use crate::mcp::method::PROGRESS;
use crate::message::Message;
use crate::text;

/// A message of the operator's that went out from the editor, which stays open to show what becomes of it.
pub(crate) struct OwnCall {
    session: SessionId,
    sent: Message,
    pub(crate) since: Timestamp,
    /// The message as it passed, once it did.
    request: Option<Seq>,
    pub(crate) progress: Option<String>,
    pub(crate) state: CallState,
    /// What the reply says.
    pub(crate) lines: WrappedText,
    pub(crate) top: usize,
    height: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallState {
    Waiting,
    /// A notification: nothing comes back.
    Told,
    /// The operator gave it up, after so long.
    Cancelled {
        after: u64,
    },
    Answered {
        seq: Seq,
        took: u64,
        failed: bool,
    },
}

impl OwnCall {
    pub(crate) fn new(session: SessionId, sent: Message, since: Timestamp) -> Self {
        let state = if sent.asks() { CallState::Waiting } else { CallState::Told };
        let (request, progress, lines) = (None, None, WrappedText::default());
        Self { session, sent, since, request, progress, state, lines, top: 0, height: 0 }
    }

    pub(crate) fn waits(&self) -> bool {
        self.state == CallState::Waiting
    }

    /// Waits no longer.
    pub(crate) fn cancel(&mut self, now: Timestamp) {
        self.state = CallState::Cancelled { after: now.0.saturating_sub(self.since.0) };
    }

    /// Its number, once it passed.
    pub(crate) fn request(&self) -> Option<Seq> {
        self.request
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// A message came or changed: it may be this call, its progress or its reply.
    pub(crate) fn follow(&mut self, observed: &ObservedState, seq: Seq) {
        let Some(row) = observed.rows.get(seq).filter(|row| row.envelope.session == self.session && self.waits())
        else {
            return;
        };
        if self.request.is_none() && self.is_it(&row.envelope) {
            self.request = Some(seq);
        }
        if self.is_progress(&row.envelope) {
            self.progress = Some(progress_words(&row.envelope.message));
        }
        let answer = self.request.and_then(|request| observed.rows.get(request)?.reply);
        if let Some(reply) = answer.and_then(|reply| observed.rows.get(reply)) {
            let took = reply.envelope.reply_to.as_ref().map_or(0, |to| to.took);
            self.state = CallState::Answered { seq: reply.envelope.seq, took, failed: reply.envelope.is_failure() };
            self.lines = WrappedText::of(reply_lines(&reply.envelope.message));
        }
    }

    /// It goes out under another id; a rule may have changed it then.
    fn is_it(&self, envelope: &Envelope) -> bool {
        let came = envelope.original.as_ref().unwrap_or(&envelope.message);
        let as_sent = came.id().and_then(|id| self.sent.with_id(id));
        envelope.direction == Direction::ToServer && as_sent.is_some_and(|sent| sent == *came)
    }

    fn is_progress(&self, envelope: &Envelope) -> bool {
        let asked = self.sent.at(&["params", "_meta", "progressToken"]);
        asked.is_some()
            && envelope.method() == Some(PROGRESS)
            && envelope.message.at(&["params", "progressToken"]) == asked
    }

    /// Fits the reply to the pane it is shown in.
    pub(crate) fn frame(&mut self, width: usize, height: usize) {
        self.height = height;
        self.top = self.lines.wrap(width, self.top).unwrap_or(self.top);
        self.top = self.top.min(self.lines.rows().len().saturating_sub(height));
    }

    pub(crate) fn go(&mut self, motion: Motion) {
        let tops = (self.lines.rows().len() + 1).saturating_sub(self.height);
        self.top = motion.from(self.top, tops, self.height);
    }

    /// There is more of the reply than is seen.
    pub(crate) fn can_scroll(&self) -> bool {
        self.lines.rows().len() > self.height
    }
}

/// `3/10 indexing`.
fn progress_words(message: &Message) -> String {
    let raw = |key: &str| message.at(&["params", key]).map(str::to_owned);
    let of = raw("total").map(|total| format!("/{total}")).unwrap_or_default();
    let said = raw("message").and_then(|text| serde_json::from_str::<String>(&text).ok()).unwrap_or_default();
    format!("{}{of} {said}", raw("progress").unwrap_or_default()).trim_end().to_owned()
}

/// What a reply says, for reading: its content, else its error or result as indented JSON.
fn reply_lines(message: &Message) -> Vec<String> {
    let content = blocks(message);
    if !content.is_empty() {
        return content.iter().flat_map(block_lines).map(|line| line.text()).collect();
    }
    let body = ["error", "result"].into_iter().find_map(|key| message.member(key));
    let body = body.map_or_else(|| String::from_utf8_lossy(message.raw()).into_owned(), str::to_owned);
    let said = pretty(body.as_bytes()).unwrap_or(body);
    said.lines().map(|line| text::sanitize(line).into_owned()).collect()
}
