//! One client's session, lived again at the shadow: what is said there and when, and how its replies compare.
//!
//! No I/O and no clock of its own: what the primary's session and the shadow say goes in, what is to be said to the shadow and
//! what was judged comes out. A message goes out when the shadow has answered everything that the client had got from the
//! primary before it, so that causes stay before effects however slow the shadow is.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::options::Options;
use super::policy::Policy;
use super::questions::Questions;
use super::verdict::{self, Primary};
use crate::envelope::{Author, Direction, Envelope, Outcome, Seq, SessionId, Subject};
use crate::event::{Comparison, ShadowVerdict};
use crate::mcp::error_code::ErrorCode;
use crate::mcp::meta::{self, cancelled_id};
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::tape::tokens::Tokens;

/// Requests that may wait for either of their replies.
const MOST_OPEN: usize = 256;
/// Requests without a reply in a row after which the shadow is taken to hang.
const MOST_SILENT: usize = 5;

pub(super) struct ShadowSession {
    session: SessionId,
    options: Arc<Options>,
    policy: Policy,
    phase: ShadowPhase,
    /// Messages that were not sent to the shadow yet.
    queue: VecDeque<Queued>,
    /// By the number of the client's request.
    open: BTreeMap<Seq, PendingComparison>,
    /// Requests at the shadow, by the ids they have there.
    at_shadow: HashMap<Id, Seq>,
    /// Replies of the primary so far.
    replies: usize,
    /// Requests that the primary has answered as the nth and the shadow not yet.
    behind: BTreeSet<(usize, Seq)>,
    deadlines: BTreeSet<(Instant, Seq)>,
    /// Requests in a row that the shadow has not answered.
    silent: usize,
    tokens: Tokens,
    questions: Questions,
    to_say: Vec<Message>,
    judged: Vec<Comparison>,
}

#[derive(Debug, PartialEq, Eq)]
enum ShadowPhase {
    Open,
    /// Nothing goes out before the reply to this.
    Initializing(Seq),
    /// Nothing goes out any more, and why. A request that needs no session (2026-07-28) may be retried after a while.
    Over {
        why: String,
        until: Instant,
    },
}

struct Queued {
    /// The number of the client's message, where it is a request.
    seq: Option<Seq>,
    message: Message,
    /// Replies of the primary that came before it.
    after: usize,
}

/// A request that is not judged yet.
struct PendingComparison {
    subject: Arc<Subject>,
    /// The id that the client gave the request.
    id: Id,
    /// When it went to the shadow, and under which id.
    sent: Option<(Instant, Id)>,
    primary: Option<Primary>,
    /// What the shadow said, and after how many microseconds.
    shadow: Option<(Message, u64)>,
}

impl ShadowSession {
    pub(super) fn new(session: SessionId, options: Arc<Options>) -> Self {
        Self {
            session,
            policy: Policy::new(options.writes),
            options,
            phase: ShadowPhase::Open,
            queue: VecDeque::new(),
            open: BTreeMap::new(),
            at_shadow: HashMap::new(),
            replies: 0,
            behind: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            silent: 0,
            tokens: Tokens::default(),
            questions: Questions::default(),
            to_say: Vec::new(),
            judged: Vec::new(),
        }
    }

    /// A message passed in the client's session.
    pub(super) fn on_primary(&mut self, envelope: &Envelope, now: Instant) {
        let sent = matches!(envelope.outcome, Outcome::Forwarded | Outcome::Edited(_));
        match (envelope.direction, envelope.kind()) {
            (Direction::ToServer, Kind::Request) if sent => self.asked(envelope, now),
            (Direction::ToServer, Kind::Notification) => self.notified(envelope, sent),
            (Direction::ToServer, Kind::Batch) if sent && envelope.message.asks() => {
                self.skip_unasked(envelope, "a batch is not taken apart");
            }
            (Direction::ToServer, Kind::Result | Kind::Error) if sent => {
                if let Some(to) = &envelope.reply_to {
                    self.questions.answered(to.seq, envelope.message.clone());
                }
            }
            (Direction::ToClient, Kind::Request) if sent => {
                self.questions.asked(envelope.seq, envelope.message.clone());
            }
            (Direction::ToClient, Kind::Result | Kind::Error) => self.replied(envelope, now),
            _ => {}
        }
        self.send_due(now);
    }

    /// The shadow's server said something.
    pub(super) fn on_shadow(&mut self, message: &Message, now: Instant) {
        match message.kind() {
            Kind::Request => self.questions.ask(message.clone(), now + self.options.patience),
            Kind::Result | Kind::Error => self.answered(message, now),
            Kind::Batch => message.elements().iter().for_each(|element| self.on_shadow(element, now)),
            Kind::Notification | Kind::Opaque => {}
        }
        self.send_due(now);
    }

    /// Judges as missing what has not come in time.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((deadline, seq)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.remove(&(deadline, seq));
            let why = format!("no reply within {:?} of the primary's", self.options.patience);
            let initializes = self.phase == ShadowPhase::Initializing(seq);
            self.take_back(seq, None);
            self.end(seq, ShadowVerdict::Missing, &why);
            self.silent += 1;
            if initializes || self.silent >= MOST_SILENT {
                self.over("the shadow hangs", now);
            }
        }
        self.send_due(now);
    }

    /// When [`ShadowSession::expire`] is to be called.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let reply = self.deadlines.first().map(|(deadline, _)| *deadline);
        reply.into_iter().chain(self.questions.next_deadline()).min()
    }

    /// The client's session has ended: what the primary has not answered it never will.
    pub(super) fn primary_closed(&mut self) {
        let unanswered: Vec<_> =
            self.open.iter().filter(|(_, open)| open.primary.is_none()).map(|(seq, _)| *seq).collect();
        unanswered.into_iter().for_each(|seq| self.end(seq, ShadowVerdict::Skipped, "the primary did not answer"));
    }

    /// Nothing can be said to the shadow any more, or is to be.
    pub(super) fn over(&mut self, why: &str, now: Instant) {
        if self.is_over() {
            return;
        }
        self.phase = ShadowPhase::Over { why: why.to_owned(), until: now + self.options.patience };
        self.to_say.clear();
        for seq in self.open.keys().copied().collect::<Vec<_>>() {
            let asked = self.open.get(&seq).is_some_and(|open| open.sent.is_some());
            self.end(seq, if asked { ShadowVerdict::Missing } else { ShadowVerdict::Skipped }, why);
        }
        self.queue.clear();
    }

    pub(super) fn is_over(&self) -> bool {
        self.over_because().is_some()
    }

    pub(super) fn over_because(&self) -> Option<&str> {
        if let ShadowPhase::Over { why, .. } = &self.phase { Some(why) } else { None }
    }

    /// Whether everything that was asked is judged.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty() && self.queue.is_empty()
    }

    pub(super) fn take_to_say(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.to_say)
    }

    pub(super) fn take_judged(&mut self) -> Vec<Comparison> {
        std::mem::take(&mut self.judged)
    }

    fn asked(&mut self, envelope: &Envelope, now: Instant) {
        if let ShadowPhase::Over { why, until } = &self.phase {
            if *until > now || meta::protocol_version(&envelope.message).is_none() {
                let why = why.clone();
                return self.skip_unasked(envelope, &why);
            }
            (self.phase, self.silent) = (ShadowPhase::Open, 0);
        }
        if let Err(why) = self.policy.admit(&envelope.message) {
            return self.skip_unasked(envelope, &why);
        }
        if self.open.len() >= MOST_OPEN && !self.make_room() {
            return self.skip_unasked(envelope, "the shadow is too far behind");
        }
        let Some(id) = envelope.message.id().cloned() else { return };
        let subject = envelope.message.head().subject.clone().unwrap_or_default();
        self.open.insert(envelope.seq, PendingComparison { subject, id, sent: None, primary: None, shadow: None });
        self.queue(Some(envelope.seq), envelope.message.clone());
    }

    fn queue(&mut self, seq: Option<Seq>, message: Message) {
        self.queue.push_back(Queued { seq, message, after: self.replies });
    }

    /// Lets the oldest go that the primary has not answered: its client may have hung up, which no message tells.
    fn make_room(&mut self) -> bool {
        let oldest = self.open.iter().find(|(_, open)| open.primary.is_none()).map(|(seq, _)| *seq);
        if let Some(seq) = oldest {
            self.take_back(seq, None);
            self.end(seq, ShadowVerdict::Skipped, "the primary has not answered");
        }
        oldest.is_some()
    }

    fn notified(&mut self, envelope: &Envelope, sent: bool) {
        // One that tapline makes for a client which hung up is the client's all the same.
        let for_client = envelope.outcome == Outcome::Injected(Author::Tapline);
        if let Some(id) = cancelled_id(&envelope.message).filter(|_| sent || for_client) {
            self.cancelled(&id, &envelope.message);
        } else if sent && !self.is_over() && self.policy.admits_news(&envelope.message) {
            self.queue(None, envelope.message.clone());
        }
    }

    fn cancelled(&mut self, id: &Id, message: &Message) {
        let mut open = self.open.iter().rev();
        let taken_back = open.find(|(_, open)| id.may_mean(&open.id) && open.primary.is_none()).map(|(seq, _)| *seq);
        if let Some(seq) = taken_back {
            self.take_back(seq, Some(message));
            self.end(seq, ShadowVerdict::Skipped, "the client took it back");
        }
    }

    /// Cancels a request at the shadow, with the client's own cancellation where there is one.
    fn take_back(&mut self, seq: Seq, words: Option<&Message>) {
        let Some((_, id)) = self.open.get(&seq).and_then(|open| open.sent.as_ref()) else { return };
        let ours = || {
            let (method, id) = (method::CANCELLED, id.token());
            let params = format!(r#"{{"requestId":{id},"reason":"it is not waited for any more"}}"#);
            Message::new(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#))
        };
        let theirs = words.and_then(|words| words.with_value(&["params", "requestId"], id.token()));
        self.to_say.push(theirs.unwrap_or_else(ours));
    }

    /// Notes the primary's reply.
    fn replied(&mut self, envelope: &Envelope, now: Instant) {
        let Some(to) = &envelope.reply_to else { return };
        // What the server said, also where the operator gave the client something else.
        let message = envelope.original.as_ref().unwrap_or(&envelope.message);
        let ours = matches!(envelope.outcome, Outcome::Injected(_));
        if &*to.subject.method == method::TOOLS_LIST && !ours {
            self.policy.learn(message);
        }
        let Some(open) = self.open.get_mut(&to.seq) else { return };
        if ours {
            self.take_back(to.seq, None);
            return self.end(to.seq, ShadowVerdict::Skipped, "tapline answered in the primary's place");
        }
        self.replies += 1;
        open.primary = Some(Primary { seq: envelope.seq, message: message.clone(), took: to.took });
        if open.shadow.is_some() {
            return self.judge(to.seq);
        }
        if open.sent.is_some() {
            self.deadlines.insert((now + self.options.patience, to.seq));
        }
        self.behind.insert((self.replies, to.seq));
    }

    /// Notes the shadow's reply.
    fn answered(&mut self, message: &Message, now: Instant) {
        let Some(seq) = self.asked_by(message) else { return };
        let Some(open) = self.open.get_mut(&seq) else { return };
        let took = open.sent.as_ref().map_or(0, |(sent, _)| micros(now - *sent));
        // One that goes by another id at the shadow is answered under it.
        let renamed = open.sent.as_ref().is_some_and(|(_, id)| *id != open.id && message.id() == Some(id));
        let own = message.with_id(&open.id).filter(|_| renamed);
        open.shadow = Some((own.unwrap_or_else(|| message.clone()), took));
        let both = open.primary.is_some();
        self.silent = 0;
        if self.phase == ShadowPhase::Initializing(seq) {
            self.phase = ShadowPhase::Open;
            if message.kind() == Kind::Error {
                return self.refused(seq, message, now);
            }
        }
        if both {
            self.judge(seq);
        }
    }

    /// Without a session at the shadow there is nothing more to ask.
    fn refused(&mut self, seq: Seq, error: &Message, now: Instant) {
        if self.open.get(&seq).is_some_and(|open| open.primary.is_some()) {
            self.judge(seq);
        }
        let why = verdict::error_text(error).unwrap_or_default();
        if ErrorCode::of(error).is_some() {
            self.over(&why, now);
        } else {
            self.over(&format!("the shadow refused `initialize`: {why}"), now);
        }
    }

    /// By its id; some servers give a number back as a string.
    fn asked_by(&mut self, reply: &Message) -> Option<Seq> {
        let known = reply.id()?.known(|id| self.at_shadow.contains_key(id))?;
        self.at_shadow.remove(&known)
    }

    /// Compares the two replies to a request.
    fn judge(&mut self, seq: Seq) {
        let Some(PendingComparison { subject, primary: Some(primary), shadow: Some((shadow, took)), .. }) =
            self.forget(seq)
        else {
            return;
        };
        let mut comparison = self.comparison(seq, &subject);
        (comparison.reply, comparison.took) = (Some(primary.seq), Some(primary.took));
        if ErrorCode::of(&shadow).is_some() {
            (comparison.verdict, comparison.why) = (ShadowVerdict::Missing, verdict::error_text(&shadow));
        } else {
            comparison.shadow_took = Some(took);
            let expected = self.tokens.apply(&primary.message);
            verdict::compare(&mut comparison, &expected, &shadow, &self.options.rules);
            self.tokens.learn(&primary.message, &shadow);
        }
        self.judged.push(comparison);
    }

    /// Judges without a reply of the shadow.
    fn end(&mut self, seq: Seq, verdict: ShadowVerdict, why: &str) {
        let Some(open) = self.forget(seq) else { return };
        let mut comparison = self.comparison(seq, &open.subject);
        (comparison.verdict, comparison.why) = (verdict, Some(why.to_owned()));
        if let Some(primary) = open.primary {
            (comparison.reply, comparison.took) = (Some(primary.seq), Some(primary.took));
        }
        self.judged.push(comparison);
    }

    /// Judges a request as skipped that is not sent to the shadow.
    fn skip_unasked(&mut self, envelope: &Envelope, why: &str) {
        let subject = envelope.message.head().subject.clone().unwrap_or_default();
        let mut comparison = self.comparison(envelope.seq, &subject);
        comparison.why = Some(why.to_owned());
        self.judged.push(comparison);
    }

    fn comparison(&self, seq: Seq, subject: &Subject) -> Comparison {
        Comparison {
            seq,
            session: self.session,
            method: subject.method.to_string(),
            name: subject.name.as_deref().map(str::to_owned),
            verdict: ShadowVerdict::Skipped,
            why: None,
            differences: Vec::new(),
            reply: None,
            took: None,
            shadow_took: None,
        }
    }

    fn forget(&mut self, seq: Seq) -> Option<PendingComparison> {
        let open = self.open.remove(&seq)?;
        match &open.sent {
            Some((_, id)) if self.at_shadow.get(id) == Some(&seq) => {
                self.at_shadow.remove(id);
            }
            Some(_) => {}
            None => self.queue.retain(|queued| queued.seq != Some(seq)),
        }
        self.behind.retain(|(_, waiting)| *waiting != seq);
        self.deadlines.retain(|(_, waiting)| *waiting != seq);
        Some(open)
    }

    /// Sends the shadow what is due.
    fn send_due(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        while let Some(next) = self.next_due() {
            self.send(&next, now);
        }
        let busy = self.open.values().any(|open| open.primary.is_none());
        for answer in self.questions.settle(busy, now) {
            self.to_say.push(self.tokens.apply(&answer));
        }
    }

    fn next_due(&mut self) -> Option<Queued> {
        let after = self.queue.front().filter(|_| self.phase == ShadowPhase::Open)?.after;
        let is_due = self.behind.first().is_none_or(|(nth, _)| *nth > after);
        if is_due { self.queue.pop_front() } else { None }
    }

    fn send(&mut self, next: &Queued, now: Instant) {
        let mut message = self.tokens.apply(&next.message);
        if let Some((seq, open)) = next.seq.and_then(|seq| Some((seq, self.open.get_mut(&seq)?))) {
            // Clients of one address share a session where the protocol knows none (2026-07-28), and may choose the same id.
            let id = if self.at_shadow.contains_key(&open.id) { Id::random() } else { open.id.clone() };
            if id != open.id {
                message = message.with_id(&id).unwrap_or(message);
            }
            self.at_shadow.insert(id.clone(), seq);
            open.sent = Some((now, id));
            if open.primary.is_some() {
                self.deadlines.insert((now + self.options.patience, seq));
            }
            if &*open.subject.method == method::INITIALIZE {
                self.phase = ShadowPhase::Initializing(seq);
            }
        }
        self.to_say.push(message);
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
