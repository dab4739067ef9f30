//! The messages of one book, in the order of their numbers. Says which row a message is, not which rows are seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::envelope::{Envelope, Seq, SessionId};
use crate::event::{Comparison, Session, Ticket, Timestamp};

/// One message on the list.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    pub(crate) envelope: Arc<Envelope>,
    /// The reply to this request, once there is one.
    pub(crate) reply: Option<Seq>,
    pub(crate) state: RowState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    Passed,
    Held(Ticket),
    /// No longer held, and not yet told what became of it.
    Settled,
}

/// What [`MessageRows::put`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    Arrived,
    Replaced,
}

/// What a row costs beside its bytes: the envelope, its head, the row itself and the allocator's share.
const ROW_COST: usize = 540;

#[derive(Default)]
pub(crate) struct MessageRows {
    rows: Vec<MessageRow>,
    bytes: usize,
    /// How many left the front to stay within the budget.
    pub(crate) older: u64,
    /// What a shadow answered otherwise, by the request and by its reply.
    diverged: BTreeMap<Seq, Arc<Comparison>>,
    /// Whose messages they are.
    sessions: HashMap<SessionId, Arc<Session>>,
    /// When the last of them came, by the clock of the screen.
    pub(crate) now: Timestamp,
}

impl MessageRows {
    /// Sorts a whole tape in at once.
    pub(crate) fn of_tape(envelopes: Vec<Arc<Envelope>>, session: Arc<Session>, now: Timestamp) -> Self {
        let mut rows = Self { now, ..Self::default() };
        rows.learn(session);
        for envelope in envelopes {
            rows.put(envelope, RowState::Passed);
        }
        rows
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn at(&self, position: usize) -> Option<&MessageRow> {
        self.rows.get(position)
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&MessageRow> {
        self.find(seq).ok().map(|position| &self.rows[position])
    }

    /// Position of a message, or where it would stand.
    pub(crate) fn find(&self, seq: Seq) -> Result<usize, usize> {
        match self.rows.last() {
            None => Err(0),
            // By far the most look-ups are of what comes next.
            Some(last) if last.envelope.seq < seq => Err(self.rows.len()),
            Some(_) => self.rows.binary_search_by_key(&seq, |row| row.envelope.seq),
        }
    }

    /// A message by its number: replaced in place where it is known already, as a held one is that now passed.
    pub(crate) fn put(&mut self, envelope: Arc<Envelope>, state: RowState) -> PutOutcome {
        let (seq, cost) = (envelope.seq, cost(&envelope));
        if let Some(to) = &envelope.reply_to {
            self.pair(to.seq, seq);
        }
        match self.find(seq) {
            Ok(position) => {
                let row = &mut self.rows[position];
                self.bytes = (self.bytes + cost).saturating_sub(self::cost(&row.envelope));
                row.envelope = envelope;
                row.state = state;
                PutOutcome::Replaced
            }
            Err(position) => {
                self.bytes += cost;
                self.rows.insert(position, MessageRow { envelope, reply: None, state });
                PutOutcome::Arrived
            }
        }
    }

    fn pair(&mut self, request: Seq, reply: Seq) {
        if let Ok(position) = self.find(request) {
            self.rows[position].reply.get_or_insert(reply);
        }
    }

    pub(crate) fn settle(&mut self, seq: Seq) {
        if let Ok(position) = self.find(seq) {
            self.rows[position].state = RowState::Settled;
        }
    }

    /// Notes that a shadow answered otherwise; returns the messages that it is about.
    pub(crate) fn diverge(&mut self, comparison: &Arc<Comparison>) -> impl Iterator<Item = Seq> + use<> {
        let about = [Some(comparison.seq), comparison.reply];
        self.diverged.extend(about.into_iter().flatten().map(|seq| (seq, comparison.clone())));
        about.into_iter().flatten()
    }

    /// How a shadow answered otherwise, by the number of the request or of its reply.
    pub(crate) fn divergence(&self, seq: Seq) -> Option<&Arc<Comparison>> {
        self.diverged.get(&seq)
    }

    /// Takes over what is known of a session now.
    pub(crate) fn learn(&mut self, session: Arc<Session>) {
        self.sessions.insert(session.id, session);
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).map(Arc::as_ref)
    }

    /// The request that a message answers.
    pub(crate) fn answered_by(&self, seq: Seq) -> Option<Seq> {
        self.get(seq)?.envelope.reply_to.as_ref().map(|to| to.seq)
    }

    /// Lets the oldest eighth go when all together weigh more than `budget` bytes; returns the first number that stays.
    pub(crate) fn trim(&mut self, budget: usize) -> Option<Seq> {
        if self.bytes <= budget || self.rows.len() < 8 {
            return None;
        }
        let held = self.rows.iter().position(|row| matches!(row.state, RowState::Held(_))).unwrap_or(usize::MAX);
        let count = (self.rows.len() / 8).min(held);
        self.bytes -= self.rows.drain(..count).map(|row| cost(&row.envelope)).sum::<usize>();
        self.older += count as u64;
        let first = self.rows.first().map(|row| row.envelope.seq)?;
        self.diverged = self.diverged.split_off(&first);
        Some(first)
    }

    /// The other message of the exchange.
    pub(crate) fn pair_of(&self, row: &MessageRow) -> Option<&MessageRow> {
        self.get(row.reply.or(row.envelope.reply_to.as_ref().map(|to| to.seq))?)
    }

    /// Microseconds from a request to its reply, told on either of the two.
    pub(crate) fn took(&self, row: &MessageRow) -> Option<u64> {
        let reply_to = match row.reply {
            Some(seq) => self.get(seq)?.envelope.reply_to.as_ref(),
            None => row.envelope.reply_to.as_ref(),
        };
        reply_to.map(|to| to.took)
    }
}

fn cost(envelope: &Envelope) -> usize {
    let original = envelope.original.as_ref().map_or(0, |message| message.raw().len());
    envelope.message.raw().len() + original + ROW_COST
}
