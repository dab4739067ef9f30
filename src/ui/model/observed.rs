//! What the core told: the part of the model that a resync rebuilds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::lint_screen::LintTally;
use super::message_rows::{MessageRows, PutOutcome, RowState};
use super::patience::{KnownClients, gave_up_after, says_timeout};
use super::session_list::{SessionList, SessionRow};
use super::traffic_stats::TrafficStats;
use crate::envelope::{Author, Direction, Envelope, Outcome, Seq};
use crate::event::{Event, Finding, Held, Holding, Origin, ShadowCounts, ShadowEvent, Ticket, Timestamp};
use crate::mcp::meta::{cancelled_id, reported_progress, requested_progress};
use crate::message::{Id, Kind};

/// Ended holds that are remembered.
const RELEASED: usize = 50;

#[derive(Default)]
pub(crate) struct ObservedState {
    pub(crate) rows: MessageRows,
    pub(crate) sessions: SessionList,
    /// Oldest first: tickets count up.
    pub(crate) held: BTreeMap<Ticket, Arc<Held>>,
    /// Holds that were released, newest first.
    pub(crate) released: VecDeque<ReleasedHold>,
    /// When the client of a held request was last told progress of it.
    heard: BTreeMap<Ticket, Timestamp>,
    /// How long the client had waited that has given up the request to which a reply is held.
    pub(crate) gave_up: BTreeMap<Ticket, u64>,
    /// Let go, and not passed yet.
    settling: BTreeMap<Seq, Arc<Held>>,
    pub(crate) stats: TrafficStats,
    pub(crate) holding: Holding,
    /// Where clients come in, and where it goes.
    pub(crate) front: Option<(String, String)>,
    /// Messages of the session that the journal could not keep up with.
    pub(crate) lost: u64,
    pub(crate) shadow: ShadowCounts,
    /// What lint found.
    pub(crate) found: LintTally,
    /// How long clients waited that gave up.
    pub(crate) clients: KnownClients,
}

/// A hold that ended.
pub(crate) struct ReleasedHold {
    pub(crate) envelope: Arc<Envelope>,
}

/// What an event did to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TouchedRow {
    pub(crate) seq: Seq,
    pub(crate) new: bool,
}

impl ObservedState {
    /// Takes one event in. `seen`: the operator watches where it appears.
    pub(crate) fn apply(&mut self, event: Event, now: Timestamp, seen: bool) -> Option<TouchedRow> {
        match event {
            Event::Listening { url, upstream } => self.front = Some((url, upstream)),
            Event::SessionOpened(session) | Event::SessionChanged(session) => {
                self.rows.learn(session.clone());
                self.sessions.put(Arc::unwrap_or_clone(session));
            }
            Event::SessionClosed { session, reason } => self.sessions.close(session, reason),
            Event::Held(held) => return Some(self.hold(held, now, seen)),
            Event::Settled { ticket } => return self.settle(ticket),
            Event::Passed(envelope) => return Some(self.pass(&envelope, now, seen)),
            Event::Holding(holding) => self.holding = holding,
            Event::Gap { messages, .. } => self.lost += messages,
            Event::Shadow(ShadowEvent { counts, .. }) => self.shadow = counts,
            Event::Found(finding) => return self.find_fault(&finding),
            _ => {}
        }
        None
    }

    fn find_fault(&mut self, finding: &Arc<Finding>) -> Option<TouchedRow> {
        if !self.rows.find_fault(finding) {
            return None;
        }
        let server = self.rows.session(finding.session).map(|session| {
            let name = session.server.as_ref().map(|server| server.text());
            let configured = || session.upstream_name.as_ref().map(ToString::to_string);
            name.or_else(configured).unwrap_or_else(|| session.upstream.to_string())
        });
        self.found.count(server.unwrap_or_else(|| finding.session.short()), finding);
        self.rows.state(finding.seq).map(|_| TouchedRow { seq: finding.seq, new: false })
    }

    fn hold(&mut self, held: Arc<Held>, now: Timestamp, seen: bool) -> TouchedRow {
        let envelope = Arc::new(held.envelope.clone());
        let state = RowState::Held(held.ticket);
        self.held.insert(held.ticket, held);
        self.put(&envelope, state, now, seen)
    }

    /// Held messages that a person can do something about, oldest first.
    pub(crate) fn awaiting(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Held>> {
        self.held.values().filter(move |held| held.awaits_person(now))
    }

    fn settle(&mut self, ticket: Ticket) -> Option<TouchedRow> {
        let held = self.held.remove(&ticket)?;
        let seq = held.envelope.seq;
        self.settling.insert(seq, held);
        self.rows.settle(seq);
        Some(TouchedRow { seq, new: false })
    }

    fn pass(&mut self, envelope: &Arc<Envelope>, now: Timestamp, seen: bool) -> TouchedRow {
        // `Settled` may have been lost: what passed is not held.
        let held = match self.rows.state(envelope.seq) {
            Some(RowState::Held(ticket)) => self.held.remove(&ticket),
            _ => None,
        };
        self.hear(envelope, now);
        if let Some(held) = self.settling.remove(&envelope.seq).or(held) {
            self.learn_patience(envelope);
            // What a rule delays by a moment does not push out what people decided.
            if held.awaits_person(now) {
                self.released.push_front(ReleasedHold { envelope: envelope.clone() });
                self.released.truncate(RELEASED);
            }
        }
        self.put(envelope, RowState::Passed, now, seen)
    }

    /// How a message was held that passes now.
    pub(crate) fn hold_before(&self, seq: Seq) -> Option<&Arc<Held>> {
        self.settling.get(&seq).or_else(|| self.held_as(seq))
    }

    fn hear(&mut self, progress: &Envelope, now: Timestamp) {
        if self.held.is_empty() || progress.direction != Direction::ToClient {
            return;
        }
        self.heard.retain(|ticket, _| self.held.contains_key(ticket));
        let Some(token) = reported_progress(&progress.message) else { return };
        let is_asker = |held: &Held| {
            let asked = || requested_progress(&held.envelope.message);
            held.envelope.session == progress.session && asked().is_some_and(|asked| asked.token() == token)
        };
        self.heard.extend(self.held.values().filter(|held| is_asker(held)).map(|held| (held.ticket, now)));
    }

    /// When the client of a held request was last told progress of it.
    pub(crate) fn heard(&self, held: Ticket) -> Option<Timestamp> {
        self.heard.get(&held).copied()
    }

    /// Takes in that a client waits no longer for what is held: a request, whose hold ends with that, or the reply to one.
    fn note_cancellation(&mut self, id: &Id, notice: &Envelope) {
        let is_of_sender = |it: &Envelope, direction| {
            it.session == notice.session
                && it.direction == direction
                && it.message.id().is_some_and(|own| id.may_mean(own))
        };
        let (there, back) = (notice.direction, notice.direction.reverse());
        let found = self.held.values().rev().find_map(|held| {
            let it = &held.envelope;
            let asked = match it.kind() {
                Kind::Request if is_of_sender(it, there) => it.at,
                Kind::Result | Kind::Error if is_of_sender(it, back) => {
                    self.rows.get(it.reply_to.as_ref()?.seq)?.envelope.at
                }
                _ => return None,
            };
            Some((held.ticket, it.kind(), notice.at.saturating_sub(asked)))
        });
        let Some((ticket, kind, waited)) = found else { return };
        if kind != Kind::Request {
            self.gave_up.retain(|ticket, _| self.held.contains_key(ticket));
            self.gave_up.entry(ticket).or_insert(waited);
        }
        let client = self.sessions.get(notice.session).and_then(|row| row.session.client.clone());
        if let Some(client) = client.filter(|_| there == Direction::ToServer && says_timeout(&notice.message)) {
            self.clients.learn_timeout(&client.name, waited);
        }
    }

    fn learn_patience(&mut self, envelope: &Envelope) {
        let asked = envelope.reply_to.as_ref().and_then(|to| self.rows.get(to.seq)).map(|row| row.envelope.at);
        let client = self.sessions.get(envelope.session).and_then(|row| row.session.client.clone());
        if let (Some(waited), Some(client)) = (gave_up_after(envelope, asked), client) {
            self.clients.learn(&client.name, waited);
        }
    }

    fn put(&mut self, envelope: &Arc<Envelope>, state: RowState, now: Timestamp, seen: bool) -> TouchedRow {
        let seq = envelope.seq;
        if let Some(id) = cancelled_id(&envelope.message) {
            self.note_cancellation(&id, envelope);
        }
        self.rows.now = now;
        let new = self.rows.put(envelope.clone(), state) == PutOutcome::Arrived;
        if new {
            self.sessions.count(envelope, seen);
            // What a shadow is asked and says is no traffic of the clients', nor what a fresh process is told again.
            let is_shadow = self.sessions.get(envelope.session).is_some_and(SessionRow::is_shadow);
            if !is_shadow && !self.is_told_again(envelope) {
                self.stats.count(envelope);
                self.stats.tick(now, 1);
            }
        }
        TouchedRow { seq, new }
    }

    /// Whether a message was said to a fresh process in the client's place, or is what that said to it.
    fn is_told_again(&self, envelope: &Envelope) -> bool {
        let is_replay = || self.sessions.get(envelope.session).is_some_and(|row| row.session.origin == Origin::Replay);
        let is_ours = |it: &Envelope| {
            it.direction == Direction::ToServer && it.outcome == Outcome::Injected(Author::Tapline) && !is_replay()
        };
        let asked = || envelope.reply_to.as_ref().and_then(|to| self.rows.get(to.seq));
        let is_withheld = envelope.direction == Direction::ToClient && envelope.outcome == Outcome::Withheld;
        is_ours(envelope)
            || is_withheld && (envelope.kind() == Kind::Request || asked().is_some_and(|row| is_ours(&row.envelope)))
    }

    /// The held message of that number.
    pub(crate) fn held_as(&self, seq: Seq) -> Option<&Arc<Held>> {
        match self.rows.state(seq)? {
            RowState::Held(ticket) => self.held.get(&ticket),
            _ => None,
        }
    }
}

/// One word for what became of a message, and by whom.
pub(crate) fn outcome_words(outcome: &Outcome) -> String {
    let by = |what: &str, author: &Author| match author {
        Author::Operator => format!("{what} by you"),
        Author::Rule(rule) => format!("{what} by rule {rule}"),
        Author::Tapline => format!("{what} by tapline"),
    };
    match outcome {
        Outcome::Forwarded => "forwarded".to_owned(),
        Outcome::Edited(author) => by("edited", author),
        Outcome::Blocked(author) => by("blocked", author),
        Outcome::Answered(author) => by("answered", author),
        Outcome::Dropped(author) => by("dropped", author),
        Outcome::Injected(author) => by("made", author),
        Outcome::Withheld => "shown only, not delivered".to_owned(),
        Outcome::Abandoned => "given up".to_owned(),
    }
}
