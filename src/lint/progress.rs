//! Progress: under which token, until when, and that it increases.

use foldhash::HashMap;

use super::calls::UnansweredCall;
use super::catalogue::{PROGRESS_AFTER_END, PROGRESS_BACKWARDS, PROGRESS_TOKEN_TWICE, PROGRESS_UNKNOWN};
use super::found::{FindingSink, JudgedMessage, named, quoted};
use crate::envelope::{Direction, Seq};
use crate::mcp::meta::{reported_progress, requested_progress};
use crate::message::Id;

/// Tokens that are remembered.
const MOST_TOKENS: usize = 10_000;
/// Streams overtake each other: progress this much after the reply is none of the sender's doing. In microseconds.
const OVERTAKEN: u64 = 200_000;

/// The progress of one request.
#[derive(Debug)]
struct TokenState {
    request: Seq,
    what: String,
    /// Several requests had the token at once: whose a value is cannot be told.
    is_shared: bool,
    last: Option<f64>,
    /// When the reply came.
    ended: Option<u64>,
}

/// The tokens of a session.
#[derive(Debug, Default)]
pub(super) struct ProgressTable {
    tokens: HashMap<(Direction, Id), TokenState>,
    has_gaps: bool,
}

impl ProgressTable {
    /// Messages are missing.
    pub(super) fn miss(&mut self) {
        self.has_gaps = true;
    }

    /// Takes a request in; `is_counted`: whether its sender's tokens are all its own.
    pub(super) fn ask(&mut self, judged: &JudgedMessage<'_>, is_counted: bool, out: &mut FindingSink) {
        let Some(token) = requested_progress(judged.message) else { return };
        if self.tokens.len() >= MOST_TOKENS {
            self.tokens.clear();
            self.has_gaps = true;
        }
        let key = (judged.direction(), token);
        let open = self.tokens.get(&key).filter(|it| it.ended.is_none());
        let is_shared = open.is_some();
        if let Some(open) = open.filter(|_| is_counted) {
            let text = format!("token {} is that of {}, which is open", quoted(key.1.token()), open.request);
            out.report(&PROGRESS_TOKEN_TWICE, judged, text);
        }
        let what = named(judged.message.method().unwrap_or_default(), judged.message.name());
        self.tokens.insert(key, TokenState { request: judged.seq(), what, is_shared, last: None, ended: None });
    }

    /// A request was answered. A task goes on after that, and its progress with it (2025-11-25, tasks).
    pub(super) fn answer(&mut self, call: &UnansweredCall, judged: &JudgedMessage<'_>) {
        let direction = judged.direction().reverse();
        let state = call.token.clone().and_then(|token| self.tokens.get_mut(&(direction, token)));
        if let Some(state) = state.filter(|state| state.request == call.seq)
            && judged.at(&["result", "task"]).is_none()
        {
            state.ended = Some(judged.envelope.at);
        }
    }

    /// Takes a `notifications/progress` in.
    pub(super) fn report(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let Some(token) = reported_progress(judged.message) else { return };
        let known = self.tokens.get_mut(&(judged.direction().reverse(), Id::from_token(token)));
        let Some(state) = known else {
            if !self.has_gaps {
                out.report(&PROGRESS_UNKNOWN, judged, format!("no request gave the token {}", quoted(token)));
            }
            return;
        };
        if state.ended.is_some_and(|ended| judged.envelope.at > ended + OVERTAKEN || judged.is_stdio()) {
            let text = format!("{} {} had its reply", state.what, state.request);
            return out.report(&PROGRESS_AFTER_END, judged, text);
        }
        let now: Option<f64> = judged.read(&["params", "progress"]);
        if let (Some(now), Some(last)) = (now, state.last.filter(|_| !state.is_shared))
            && now <= last
        {
            let text = format!("{now} after {last}, for {} {}", state.what, state.request);
            out.report(&PROGRESS_BACKWARDS, judged, text);
        }
        state.last = now.or(state.last);
    }
}
