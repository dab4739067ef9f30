//! The messages of one book, in the order of their numbers. Says which row a message is, not which rows are seen.
//!
//! Of a million messages a screen shows thirty: all but the latest lie packed in blocks, and a block is opened when one of its rows
//! is looked at. A row that changes long after it came has its block packed again; that is rare (a message that was held).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::row_block::{OpenBlocks, RowBlock};
use super::row_outlines::{OutlineId, RowOutlines};
use super::seams::SeamLines;
use crate::envelope::packed::Packer;
use crate::envelope::{Envelope, Outcome, Seq, SessionId};
use crate::event::{Annotation, Comparison, Finding, MessageMark, Session, Ticket, Timestamp};
use crate::filter::NeededWord;
use crate::mcp::meta::cancelled_id;
use crate::message::{Id, Kind, Message};

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
    /// Its sender waits for no reply any more, since so many microseconds after the beginning of its session.
    GivenUp(u64),
}

/// What [`MessageRows::put`] did with a message: a new row, or a known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    Arrived,
    Replaced,
}

/// The latest blocks are not packed: most rows change soon after they came, if at all.
const OPEN: usize = 2;

/// How far back a request is looked for that is taken back.
const MOST_BACK: usize = 2_000;

/// Packed messages that are at hand by their numbers.
const AT_HAND: usize = 512;

#[derive(Default)]
pub(crate) struct MessageRows {
    /// The rows in blocks, in order; no block is empty.
    blocks: VecDeque<RowBlock>,
    /// Bytes that all of them keep.
    bytes: usize,
    packer: Packer,
    /// The block that was asked for last.
    latest: Cell<usize>,
    opened: RefCell<OpenBlocks>,
    /// Those that were asked for by their numbers: where a filter finds few, each row on the screen is in a block of its own, and those
    /// are more than are kept open.
    at_hand: RefCell<HashMap<Seq, Arc<Envelope>>>,
    outlines: RowOutlines,
    /// How many left the front to stay within the budget.
    pub(crate) older: u64,
    /// Requests that were given up since somebody asked.
    given_up: Vec<Seq>,
    /// Those that are not simply passed.
    states: BTreeMap<Seq, RowState>,
    /// What a shadow answered otherwise, by the request and by its reply.
    diverged: BTreeMap<Seq, Arc<Comparison>>,
    /// What is wrong with them.
    found: BTreeMap<Seq, Vec<Arc<Finding>>>,
    /// The operator's comment, or that they are marked.
    marks: BTreeMap<Seq, Annotation>,
    /// Where sessions went on otherwise.
    pub(crate) seams: SeamLines,
    /// Whose messages they are.
    sessions: HashMap<SessionId, Arc<Session>>,
    /// When the last of them came, by the clock of the screen.
    pub(crate) now: Timestamp,
}

/// A row: its block, and its place there.
type RowPlace = (usize, usize);

impl MessageRows {
    /// For those of a tape.
    pub(crate) fn of_tape(session: Arc<Session>, now: Timestamp) -> Self {
        let mut rows = Self { now, ..Self::default() };
        rows.learn(session);
        rows
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.back().map_or(0, |last| last.end() - self.start())
    }

    /// Rows before the first, as blocks count.
    fn start(&self) -> usize {
        self.blocks.front().map_or(0, |first| first.start)
    }

    pub(crate) fn at(&self, position: usize) -> Option<MessageRow> {
        Some(self.row(self.place_at(position)?))
    }

    /// The number of the message there.
    pub(crate) fn seq_at(&self, position: usize) -> Option<Seq> {
        let (block, place) = self.place_at(position)?;
        Some(self.blocks[block].seq(place))
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<MessageRow> {
        let place = self.place_of(seq).ok()?;
        if !self.blocks[place.0].is_packed() {
            return Some(self.row(place));
        }
        let known = self.at_hand.borrow().get(&seq).cloned();
        Some(match known {
            Some(envelope) => self.row_of(place, envelope),
            None => self.take_to_hand(self.row(place)),
        })
    }

    fn take_to_hand(&self, row: MessageRow) -> MessageRow {
        let mut at_hand = self.at_hand.borrow_mut();
        if at_hand.len() >= AT_HAND {
            at_hand.clear();
        }
        at_hand.insert(row.envelope.seq, row.envelope.clone());
        row
    }

    /// Where the rows end that lie together with this one, and whether one of them may have a word.
    pub(super) fn block_at(&self, position: usize, word: Option<&NeededWord>) -> Option<(usize, bool)> {
        let (block, _) = self.place_at(position)?;
        let block = &self.blocks[block];
        Some((block.end() - self.start(), word.is_none_or(|word| block.may_have(word, &mut self.opened.borrow_mut()))))
    }

    /// The message there alone, which costs a fraction of its row; `None` where the row is at hand.
    pub(super) fn packed_message_at(&self, position: usize) -> Option<Message> {
        let (block, place) = self.place_at(position)?;
        self.blocks[block].packed_message(place, &mut self.opened.borrow_mut())
    }

    /// The messages of the session of a message that are `wanted`: at most so many, around it; and whether there are others. No block
    /// is opened that has none of the session.
    pub(crate) fn around(
        &self,
        near: Seq,
        most: usize,
        wanted: impl Fn(&MessageRow) -> bool,
    ) -> (Vec<MessageRow>, bool) {
        let Some(session) = self.get(near).map(|row| row.envelope.session) else { return (Vec::new(), false) };
        let at = self.find(near).unwrap_or_else(|at| at);
        let is_wanted = |row: &MessageRow| row.envelope.session == session && wanted(row);
        let row_of = |position: usize| {
            let known = self.outline_at(position).and_then(|outline| self.outlines.get(outline));
            let is_other = known.is_some_and(|(of, _)| of != session);
            (!is_other).then(|| self.at(position)).flatten().filter(is_wanted)
        };
        let mut before: Vec<_> = (0..=at).rev().filter_map(row_of).take(most + 1).collect();
        let mut after: Vec<_> = (at + 1..self.len()).filter_map(row_of).take(most + 1).collect();
        let is_cut = before.len() + after.len() > most;
        // Half of them before it, and what the other half leaves.
        before.truncate(most - after.len().min(most / 2));
        after.truncate(most - before.len());
        before.reverse();
        before.extend(after);
        (before, is_cut)
    }

    /// The newest message of the session of a message.
    pub(crate) fn newest_beside(&self, near: Seq) -> Option<Seq> {
        let session = self.get(near)?.envelope.session;
        let is_of_it = |position: usize| match self.outline_at(position).and_then(|outline| self.outlines.get(outline))
        {
            Some((of, _)) => of == session,
            None => self.at(position).is_some_and(|row| row.envelope.session == session),
        };
        (self.find(near).ok()?..self.len()).rev().find(|position| is_of_it(*position)).and_then(|at| self.seq_at(at))
    }

    /// What the row there has in common with others.
    pub(super) fn outline_at(&self, position: usize) -> Option<OutlineId> {
        let (block, place) = self.place_at(position)?;
        Some(self.blocks[block].outline(place))
    }

    pub(super) fn outlines(&self) -> &RowOutlines {
        &self.outlines
    }

    /// Whether a message says that something failed, without reading it.
    pub(crate) fn is_failure(&self, seq: Seq) -> bool {
        self.place_of(seq).is_ok_and(|(block, place)| self.blocks[block].is_failure(place))
    }

    /// Where it stands, without a look at the message.
    pub(crate) fn state(&self, seq: Seq) -> Option<RowState> {
        self.place_of(seq).ok().map(|_| self.states.get(&seq).copied().unwrap_or(RowState::Passed))
    }

    /// Position of a message, or where it would stand.
    pub(crate) fn find(&self, seq: Seq) -> Result<usize, usize> {
        let position =
            |(block, place): RowPlace| self.blocks.get(block).map_or(0, |block| block.start - self.start() + place);
        self.place_of(seq).map(position).map_err(position)
    }

    fn place_at(&self, position: usize) -> Option<RowPlace> {
        let position = position + self.start();
        // Most are asked for one after the other.
        let is_in = |block: &RowBlock| block.start <= position && position < block.end();
        let block = match self.latest.get() {
            latest if self.blocks.get(latest).is_some_and(is_in) => latest,
            _ => self.blocks.partition_point(|block| block.end() <= position),
        };
        self.latest.set(block);
        Some((block, position - self.blocks.get(block)?.start))
    }

    fn place_of(&self, seq: Seq) -> Result<RowPlace, RowPlace> {
        // By far the most look-ups are of what comes next.
        let after = match self.blocks.back() {
            Some(last) if last.seq(0) <= seq => self.blocks.len(),
            _ => self.blocks.partition_point(|block| block.seq(0) <= seq),
        };
        let block = after.saturating_sub(1);
        let place = self.blocks.get(block).map_or(Err(0), |it| it.find(seq));
        place.map(|place| (block, place)).map_err(|place| (block, place))
    }

    fn row(&self, (block, place): RowPlace) -> MessageRow {
        let envelope = self.blocks[block].envelope(place, &mut self.opened.borrow_mut());
        self.row_of((block, place), envelope)
    }

    fn row_of(&self, (block, place): RowPlace, envelope: Arc<Envelope>) -> MessageRow {
        let state = self.states.get(&envelope.seq).copied().unwrap_or(RowState::Passed);
        MessageRow { envelope, reply: self.blocks[block].reply(place), state }
    }

    /// A message by its number: replaced in place where it is known already, as a held one is that now passed.
    pub(crate) fn put(&mut self, envelope: Arc<Envelope>, state: RowState) -> PutOutcome {
        let (seq, outline) = (envelope.seq, self.outlines.learn(&envelope));
        if let Some(to) = &envelope.reply_to {
            self.pair(to.seq, seq);
        }
        self.set_state(seq, state);
        if let Some(id) = cancelled_id(&envelope.message) {
            self.take_back(&id, &envelope);
        }
        match self.place_of(seq) {
            Ok((block, place)) => {
                self.change(block, |it| it.replace(place, envelope, outline));
                PutOutcome::Replaced
            }
            Err(place) => {
                self.insert(place, envelope, outline);
                PutOutcome::Arrived
            }
        }
    }

    /// Notes what a notification takes back: the latest request of its sender under that id.
    fn take_back(&mut self, id: &Id, notice: &Envelope) {
        let is_meant = |row: &MessageRow| {
            let it = &row.envelope;
            let is_own = it.session == notice.session && it.direction == notice.direction;
            is_own && it.kind() == Kind::Request && it.message.id().is_some_and(|own| id.may_mean(own))
        };
        let mut latest = (0..self.len()).rev().take(MOST_BACK).filter_map(|position| self.at(position));
        if let Some(request) = latest.find(is_meant).map(|row| row.envelope.seq) {
            self.give_up(request, notice.at);
        }
    }

    /// Notes that the sender of a request that has no reply waits no longer.
    pub(crate) fn give_up(&mut self, request: Seq, at: u64) {
        let waits = |row: &MessageRow| row.reply.is_none() && row.state == RowState::Passed;
        if self.get(request).as_ref().is_some_and(waits) {
            self.states.insert(request, RowState::GivenUp(at));
            self.given_up.push(request);
        }
    }

    /// Requests that were given up since this was asked last.
    pub(crate) fn take_given_up(&mut self) -> Vec<Seq> {
        std::mem::take(&mut self.given_up)
    }

    fn insert(&mut self, (block, place): RowPlace, envelope: Arc<Envelope>, outline: OutlineId) {
        let is_next = self.blocks.back().is_none_or(|last| block + 1 == self.blocks.len() && place == last.len());
        if is_next && self.blocks.back().is_none_or(RowBlock::is_full) {
            let start = self.blocks.back().map_or(0, RowBlock::end);
            let block = RowBlock::new(start, envelope, outline);
            self.bytes += block.size();
            self.blocks.push_back(block);
            if let Some(done) = self.blocks.len().checked_sub(OPEN + 1) {
                self.change(done, |_| {});
            }
            return;
        }
        self.change(block, |it| it.insert(place, envelope, outline));
        self.blocks.range_mut(block + 1..).for_each(|later| later.start += 1);
    }

    /// Changes a block, and packs it where it is not among the latest.
    fn change(&mut self, block: usize, change: impl FnOnce(&mut RowBlock)) {
        let is_latest = block + OPEN >= self.blocks.len();
        let it = &mut self.blocks[block];
        if it.is_packed() {
            self.at_hand.get_mut().clear();
        }
        let before = it.size();
        change(it);
        if !is_latest {
            it.pack(&mut self.packer);
        }
        self.bytes = (self.bytes + it.size()).saturating_sub(before);
    }

    fn set_state(&mut self, seq: Seq, state: RowState) {
        if state != RowState::Passed {
            self.states.insert(seq, state);
        } else if !self.states.is_empty() {
            self.states.remove(&seq);
        }
    }

    fn pair(&mut self, request: Seq, reply: Seq) {
        if let Ok((block, place)) = self.place_of(request) {
            self.blocks[block].pair(place, reply);
        }
    }

    pub(crate) fn settle(&mut self, seq: Seq) {
        if self.place_of(seq).is_ok() {
            self.set_state(seq, RowState::Settled);
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

    /// Notes that something is wrong with a message; `false` where that is known.
    pub(crate) fn find_fault(&mut self, finding: &Arc<Finding>) -> bool {
        let found = self.found.entry(finding.seq).or_default();
        let is_new = !found.contains(finding);
        if is_new {
            found.push(finding.clone());
        }
        is_new
    }

    /// What is wrong with a message.
    pub(crate) fn findings(&self, seq: Seq) -> &[Arc<Finding>] {
        self.found.get(&seq).map_or(&[], Vec::as_slice)
    }

    /// Takes in a place from which on a session went on otherwise; the latest where no message is named.
    pub(crate) fn note_seam(&mut self, after: Option<Seq>, session: SessionId, text: String) {
        let last = || self.len().checked_sub(1).and_then(|last| self.seq_at(last));
        self.seams.put(after.or_else(last).unwrap_or_default(), session, text);
    }

    /// The operator's mark and comment on a message.
    pub(crate) fn mark(&self, seq: Seq) -> Option<&MessageMark> {
        self.marks.get(&seq).map(|noted| &noted.mark)
    }

    /// What is noted of a message now, be it nothing; `None` where there is no such message.
    pub(crate) fn annotation(&self, seq: Seq) -> Option<Annotation> {
        let nothing = || {
            let session = self.get(seq)?.envelope.session;
            Some(Annotation { session, seq, mark: MessageMark::default() })
        };
        self.marks.get(&seq).cloned().or_else(nothing)
    }

    /// Notes something of a message, or nothing any more.
    pub(crate) fn annotate(&mut self, noted: Annotation) {
        if noted.mark.is_empty() {
            self.marks.remove(&noted.seq);
        } else {
            self.marks.insert(noted.seq, noted);
        }
    }

    /// What is noted of those that are marked.
    pub(crate) fn marked(&self) -> Vec<Annotation> {
        self.marks.values().filter(|noted| noted.mark.is_marked).cloned().collect()
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

    /// Whether all together weigh more than `budget` bytes.
    pub(crate) fn is_full(&self, budget: usize) -> bool {
        self.bytes > budget
    }

    /// Lets the oldest eighth go when all together weigh more than `budget` bytes; returns the first number that stays.
    pub(crate) fn trim(&mut self, budget: usize) -> Option<Seq> {
        let len = self.len();
        if !self.is_full(budget) || len < 8 {
            return None;
        }
        let is_held = |(_, state): &(&Seq, &RowState)| matches!(state, RowState::Held(_));
        let held = self.states.iter().find(is_held).and_then(|(seq, _)| self.find(*seq).ok()).unwrap_or(usize::MAX);
        let count = (len / 8).min(held);
        let mut left = count;
        while left > 0 {
            if self.blocks[0].len() > left {
                self.change(0, |first| first.drop_front(left));
                break;
            }
            let Some(first) = self.blocks.pop_front() else { break };
            left -= first.len();
            self.bytes = self.bytes.saturating_sub(first.size());
        }
        self.older += count as u64;
        let first = self.seq_at(0)?;
        self.diverged = self.diverged.split_off(&first);
        self.found = self.found.split_off(&first);
        self.states = self.states.split_off(&first);
        self.seams.trim(first);
        Some(first)
    }

    /// The other message of the exchange.
    pub(crate) fn pair_of(&self, row: &MessageRow) -> Option<MessageRow> {
        self.get(row.reply.or(row.envelope.reply_to.as_ref().map(|to| to.seq))?)
    }

    /// Microseconds after which the sender of a request gave it up: told so, or hung up while it was held.
    pub(crate) fn given_up_after(row: &MessageRow) -> Option<u64> {
        match row.state {
            _ if row.envelope.kind() == Kind::Request && row.envelope.outcome == Outcome::Abandoned => {
                row.envelope.held
            }
            RowState::GivenUp(at) => Some(at.saturating_sub(row.envelope.at)),
            _ => None,
        }
    }

    /// Microseconds from a request to its reply, told on either of the two.
    pub(crate) fn took(&self, row: &MessageRow) -> Option<u64> {
        match row.reply {
            Some(seq) => self.get(seq)?.envelope.reply_to.as_ref().map(|to| to.took),
            None => row.envelope.reply_to.as_ref().map(|to| to.took),
        }
    }

    #[cfg(test)]
    pub(crate) fn has_opened_blocks(&self) -> bool {
        !self.opened.borrow().is_empty() || !self.at_hand.borrow().is_empty()
    }

    #[cfg(test)]
    pub(crate) fn close_blocks(&self) {
        self.opened.take();
        self.at_hand.take();
    }
}
