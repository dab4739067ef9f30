//! What the core told: the part of the model that a resync rebuilds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::message_rows::{Put, RowState, Rows};
use super::session_list::{Seat, Sessions};
use super::traffic_stats::Stats;
use crate::envelope::{Author, Envelope, Outcome, Seq};
use crate::event::{Event, Held, Holding, ShadowCounts, ShadowEvent, Ticket, Timestamp};

/// Ended holds that are remembered.
const RELEASED: usize = 50;

#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) rows: Rows,
    pub(crate) sessions: Sessions,
    /// Oldest first: tickets count up.
    pub(crate) held: BTreeMap<Ticket, Arc<Held>>,
    /// Newest first.
    pub(crate) released: VecDeque<Released>,
    settling: BTreeMap<Seq, Ticket>,
    pub(crate) stats: Stats,
    pub(crate) holding: Holding,
    /// Where clients come in, and where it goes.
    pub(crate) front: Option<(String, String)>,
    /// Messages that nobody could keep up with.
    pub(crate) lost: u64,
    pub(crate) shadow: ShadowCounts,
}

/// A hold that ended.
pub(crate) struct Released {
    pub(crate) envelope: Arc<Envelope>,
}

/// What an event did to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) seq: Seq,
    pub(crate) new: bool,
}

impl Facts {
    /// Takes one event in. `seen`: the operator watches where it appears.
    pub(crate) fn apply(&mut self, event: Event, now: Timestamp, seen: bool) -> Option<Touched> {
        match event {
            Event::Listening { url, upstream } => self.front = Some((url, upstream)),
            Event::SessionOpened(session) | Event::SessionChanged(session) => {
                self.sessions.put(Arc::unwrap_or_clone(session));
            }
            Event::SessionClosed { session, reason } => self.sessions.close(session, reason),
            Event::Held(held) => return Some(self.hold(held, now, seen)),
            Event::Settled { ticket } => return self.settle(ticket),
            Event::Passed(envelope) => return Some(self.pass(&envelope, now, seen)),
            Event::Holding(holding) => self.holding = holding,
            Event::Gap { messages, .. } => self.lost += messages,
            Event::Shadow(ShadowEvent { counts, .. }) => self.shadow = counts,
            _ => {}
        }
        None
    }

    fn hold(&mut self, held: Arc<Held>, now: Timestamp, seen: bool) -> Touched {
        let envelope = Arc::new(held.envelope.clone());
        let state = RowState::Held(held.ticket);
        self.held.insert(held.ticket, held);
        self.put(&envelope, state, now, seen)
    }

    fn settle(&mut self, ticket: Ticket) -> Option<Touched> {
        let held = self.held.remove(&ticket)?;
        let seq = held.envelope.seq;
        self.settling.insert(seq, ticket);
        self.rows.settle(seq);
        Some(Touched { seq, new: false })
    }

    fn pass(&mut self, envelope: &Arc<Envelope>, now: Timestamp, seen: bool) -> Touched {
        // `Settled` may have been lost: what passed is not held.
        let held = match self.rows.of(envelope.seq).map(|row| row.state) {
            Some(RowState::Held(ticket)) => self.held.remove(&ticket).is_some(),
            _ => false,
        };
        if self.settling.remove(&envelope.seq).is_some() || held {
            self.released.push_front(Released { envelope: envelope.clone() });
            self.released.truncate(RELEASED);
        }
        self.put(envelope, RowState::Passed, now, seen)
    }

    fn put(&mut self, envelope: &Arc<Envelope>, state: RowState, now: Timestamp, seen: bool) -> Touched {
        let seq = envelope.seq;
        let new = self.rows.put(envelope.clone(), state) == Put::Arrived;
        if new {
            self.sessions.count(envelope, seen);
            // What a shadow is asked and says is no traffic of the clients'.
            if !self.sessions.get(envelope.session).is_some_and(Seat::is_shadow) {
                self.stats.count(envelope);
                self.stats.tick(now, 1);
            }
        }
        Touched { seq, new }
    }

    /// The held message of that number.
    pub(crate) fn held_as(&self, seq: Seq) -> Option<&Arc<Held>> {
        match self.rows.of(seq)?.state {
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
        Outcome::Dropped(author) => by("dropped", author),
        Outcome::Injected(author) => by("made", author),
        Outcome::Withheld => "shown only, not delivered".to_owned(),
        Outcome::Abandoned => "gone while held".to_owned(),
    }
}
