//! Requests and their replies: ids, order, what is open, what was taken back.

use std::sync::Arc;

use foldhash::HashMap;

use super::catalogue::{
    CANCEL_INITIALIZE, ERROR_WITHOUT_ID, ID_FORM, ID_TOO_LARGE, ID_USED_TWICE, NEVER_ANSWERED, REPLY_AFTER_CANCEL,
    REPLY_ID_OTHER, REPLY_TWICE, REPLY_WITHOUT_ID, REPLY_WITHOUT_REQUEST, SLOW_REPLY,
};
use super::found::{FindingSink, JudgedMessage, named, quoted};
use crate::envelope::{Direction, Seq};
use crate::mcp::meta::{cancelled_id, requested_progress};
use crate::mcp::method::{INITIALIZE, PING, SUBSCRIPTIONS_LISTEN};
use crate::message::{Id, Kind};

/// Ids that are remembered; then all are forgotten, and replies to those are no findings.
const MOST_IDS: usize = 50_000;
/// A reply within this time of the cancellation of its request was on its way already, in microseconds.
const CROSSED: u64 = 1_000_000;
/// A request counts as never answered only where its client waited for so long, in microseconds.
const LONG_OPEN: u64 = 30_000_000;
/// The shortest patience of a client that is known: microseconds.
const LONG_WAIT: u64 = 60_000_000;
/// Beyond this a double does not tell neighbours apart.
const LARGEST_SAFE: u64 = 1 << 53;

/// A request without a reply.
#[derive(Debug)]
pub(super) struct UnansweredCall {
    pub(super) seq: Seq,
    pub(super) at: u64,
    pub(super) id: Id,
    pub(super) method: Box<str>,
    pub(super) name: Option<Box<str>>,
    pub(super) revision: Arc<str>,
    pub(super) is_modern: bool,
    pub(super) token: Option<Id>,
    /// Which page of a list it asks for.
    pub(super) cursor: Option<Box<str>>,
    /// It waited for the operator.
    was_held: bool,
    /// Messages were missed since.
    may_be_answered: bool,
    /// When it was taken back.
    cancelled: Option<u64>,
}

/// The requests of a session, both ways.
#[derive(Debug, Default)]
pub(super) struct CallTable {
    open: HashMap<(Direction, Id), Vec<UnansweredCall>>,
    used: HashMap<(Direction, Id), Seq>,
    /// How many ids had to be forgotten, or messages were missed: a reply may be to one of those.
    has_gaps: bool,
    last: u64,
}

impl CallTable {
    /// Messages are missing, or another process goes on with the session, which counts its ids anew.
    pub(super) fn miss(&mut self) {
        self.has_gaps = true;
        self.used.clear();
        self.open.values_mut().flatten().for_each(|call| call.may_be_answered = true);
    }

    /// A handshake begins, and with it the count of ids.
    pub(super) fn restart(&mut self) {
        self.used.clear();
    }

    /// Takes a request in; `is_counted`: whether its sender's ids are all its own.
    pub(super) fn ask(&mut self, judged: &JudgedMessage<'_>, is_counted: bool, out: &mut FindingSink) {
        let Some(id) = judged.message.id().cloned() else { return };
        check_id(&id, judged, out);
        if self.used.len() >= MOST_IDS {
            self.used.clear();
            self.open.clear();
            self.has_gaps = true;
        }
        let key = (judged.direction(), id.clone());
        let before = self.used.insert(key.clone(), judged.seq());
        let is_open = self.open.contains_key(&key);
        // Without a handshake an id may be used again once it is answered (2026-07-28, basic: requests).
        if let Some(before) = before.filter(|_| is_counted && (is_open || !judged.is_modern)) {
            let text = format!("id {} is that of {before}, too", quoted(id.token()));
            out.report(&ID_USED_TWICE, judged, text);
        }
        let cursor = judged.at(&["params", "cursor"]).map(Into::into);
        self.last = judged.envelope.at;
        self.open.entry(key).or_default().push(UnansweredCall {
            seq: judged.seq(),
            at: judged.envelope.at,
            id,
            method: judged.message.method().unwrap_or_default().into(),
            name: judged.message.name().map(Into::into),
            revision: judged.revision.clone(),
            is_modern: judged.is_modern,
            token: requested_progress(judged.message),
            cursor,
            was_held: judged.envelope.held.is_some(),
            may_be_answered: false,
            cancelled: None,
        });
    }

    /// The open request that a reply in this direction is to, without taking it out.
    pub(super) fn asked(&self, direction: Direction, id: Option<&Id>) -> Option<&UnansweredCall> {
        let key = |id: &Id| (direction.reverse(), id.clone());
        let id = id?.known(|id| self.open.contains_key(&key(id)))?;
        self.open.get(&key(&id))?.first()
    }

    /// Takes a reply in, and the request that it answers out.
    pub(super) fn answer(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) -> Option<UnansweredCall> {
        self.last = judged.envelope.at;
        let Some(id) = judged.message.id().filter(|id| !id.is_null()) else {
            self.report_nameless(judged, out);
            return None;
        };
        let call = self.complete(judged.direction(), id, judged.envelope.reply_to.as_ref().map(|to| to.seq));
        let Some(call) = call else {
            self.report_unasked(id, judged, out);
            return None;
        };
        if let Some(cancelled) = call.cancelled.filter(|cancelled| judged.envelope.at > cancelled + CROSSED) {
            let late = (judged.envelope.at - cancelled) / 1_000_000;
            let text = format!("{} was taken back {late} s ago", named(&call.method, call.name.as_deref()));
            out.report(&REPLY_AFTER_CANCEL, judged, text);
        }
        let took = judged.envelope.at.saturating_sub(call.at);
        if took > LONG_WAIT && !call.was_held && judged.envelope.held.is_none() && &*call.method != SUBSCRIPTIONS_LISTEN
        {
            let what = named(&call.method, call.name.as_deref());
            out.report(&SLOW_REPLY, judged, format!("{what} took {} s", took / 1_000_000));
        }
        if call.id != *id {
            let text = format!("the reply's id is {}, the request's {}", quoted(id.token()), quoted(call.id.token()));
            out.report(&REPLY_ID_OTHER, judged, text);
        }
        Some(call)
    }

    /// tapline answered it in place of its receiver.
    pub(super) fn answered_here(&mut self, direction: Direction, id: Option<&Id>, request: Option<Seq>) {
        if let Some(id) = id {
            self.complete(direction, id, request);
        }
        // The receiver may answer, too.
        self.has_gaps = true;
    }

    fn complete(&mut self, direction: Direction, id: &Id, request: Option<Seq>) -> Option<UnansweredCall> {
        let id = id.known(|id| self.open.contains_key(&(direction.reverse(), id.clone())))?;
        let key = (direction.reverse(), id);
        let calls = self.open.get_mut(&key)?;
        let at = calls.iter().position(|call| Some(call.seq) == request).unwrap_or_default();
        let call = calls.remove(at);
        if calls.is_empty() {
            self.open.remove(&key);
        }
        Some(call)
    }

    fn report_nameless(&self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let open = self.open.keys().filter(|(direction, _)| *direction == judged.direction().reverse()).count();
        if judged.message.kind() == Kind::Result {
            out.report(&REPLY_WITHOUT_ID, judged, "a result names no request".to_owned());
        } else if open > 0 {
            let text = format!("it may be the reply to any of {open} open requests");
            out.report(&ERROR_WITHOUT_ID, judged, text);
        }
    }

    fn report_unasked(&self, id: &Id, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let used = self.used.get(&(judged.direction().reverse(), id.clone()));
        match used {
            Some(request) if !self.has_gaps => {
                out.report(&REPLY_TWICE, judged, format!("{request} was answered before"));
            }
            None if !self.has_gaps && judged.envelope.reply_to.is_none() => {
                let text = format!("no request has the id {}", quoted(id.token()));
                out.report(&REPLY_WITHOUT_REQUEST, judged, text);
            }
            _ => {}
        }
    }

    /// Takes a `notifications/cancelled` in.
    pub(super) fn cancel(&mut self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let Some(id) = cancelled_id(judged.message) else { return };
        let calls = self.open.get_mut(&(judged.direction(), id)).into_iter().flatten();
        for call in calls {
            call.cancelled.get_or_insert(judged.envelope.at);
            if &*call.method == INITIALIZE {
                out.report(&CANCEL_INITIALIZE, judged, format!("{} was `initialize`", call.seq));
            }
        }
    }

    /// The session is over.
    pub(super) fn finish(&mut self, out: &mut FindingSink) {
        let is_over = |call: &&UnansweredCall| {
            let waits = !matches!(&*call.method, SUBSCRIPTIONS_LISTEN | PING) && call.cancelled.is_none();
            waits && !call.may_be_answered && self.last > call.at + LONG_OPEN
        };
        let mut open: Vec<_> =
            self.open.iter().flat_map(|(key, calls)| calls.iter().map(move |it| (key.0, it))).collect();
        open.retain(|(_, call)| is_over(call));
        open.sort_by_key(|(_, call)| call.seq);
        for (direction, call) in open {
            let text = format!("{} got no reply", named(&call.method, call.name.as_deref()));
            out.report_at(&NEVER_ANSWERED, (call.seq, direction.reverse()), &call.revision, text);
        }
    }
}

fn check_id(id: &Id, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let token = id.token();
    if token.starts_with('"') {
        return;
    }
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        out.report(&ID_FORM, judged, format!("the id is {}", quoted(token)));
    } else if digits.parse::<u64>().map_or(true, |number| number > LARGEST_SAFE) {
        out.report(&ID_TOO_LARGE, judged, format!("the id is {}", quoted(token)));
    }
}
