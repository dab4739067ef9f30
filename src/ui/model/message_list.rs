//! What the message list shows: filter, place of the cursor, following. Owns no message.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::column_needs::ColumnNeeds;
use super::list_context::ListContext;
use super::message_rows::{MessageRow, MessageRows, RowState};
use super::motion::Motion;
use super::row_outlines::{OutlineId, OutlineVerdicts};
use super::seams::ListedLine;
use crate::envelope::{Seq, SessionId};
use crate::filter::{Filter, MessageHistory, NearFocus, NeededWord};
use crate::ui::settings::ListColumn;

/// Rows tested between two looks at the clock.
const CHUNK: usize = 256;

/// More rows are not sorted: each has to be looked at.
const MOST_SORTED: usize = 100_000;

/// By what the rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MessageOrder {
    #[default]
    Time,
    Duration,
    Size,
    Name,
}

impl MessageOrder {
    /// What a column shows, where one sorts by that.
    pub(crate) fn of(column: ListColumn) -> Option<Self> {
        match column {
            ListColumn::Number | ListColumn::Time => Some(Self::Time),
            ListColumn::Name => Some(Self::Name),
            ListColumn::Size => Some(Self::Size),
            ListColumn::Duration => Some(Self::Duration),
            ListColumn::Session | ListColumn::Kind | ListColumn::Id | ListColumn::Content => None,
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Time => Self::Duration,
            Self::Duration => Self::Size,
            Self::Size => Self::Name,
            Self::Name => Self::Time,
        }
    }

    /// Of numbers the greatest come first.
    fn begins_ascending(self) -> bool {
        matches!(self, Self::Time | Self::Name)
    }
}

/// Rows in another order than that of their numbers.
struct SortedRows {
    order: MessageOrder,
    /// The smallest first.
    ascending: bool,
    seqs: Vec<Seq>,
    /// Rows came or went since.
    stale: bool,
}

#[derive(Default)]
pub(crate) struct MessageList {
    /// The selected message, by number so that it stays on its message whatever comes and goes around it.
    pub(crate) cursor: Option<Seq>,
    /// First row on the screen.
    pub(crate) top: usize,
    /// Rows on the screen, known from the last drawing.
    pub(crate) height: usize,
    pub(crate) unfollowed: bool,
    /// Arrived since following stopped, and is below the window.
    pub(crate) unseen: usize,
    pub(crate) only: Option<SessionId>,
    /// Sessions that are shown only where nothing else is: those of a shadow.
    apart: HashSet<SessionId>,
    /// The numbers of their rows.
    apart_rows: Vec<Seq>,
    /// The last expression that parsed, as typed and as read.
    pub(crate) filter: Option<(String, Filter)>,
    /// The filter is kept but not applied.
    pub(crate) filter_off: bool,
    /// The numbers of the rows that pass; `None`: all do.
    index: Option<Vec<Seq>>,
    scan: Option<FilterScan>,
    /// What passed, where the filter asks for it.
    history: Option<MessageHistory>,
    /// What `~near` is near to: what was under the cursor when it was typed.
    focus: Option<NearFocus>,
    /// What was under the cursor before a filter was begun, while it is typed.
    pub(crate) anchor: Option<Seq>,
    /// One row for each exchange.
    pub(crate) pairs: bool,
    /// Room for what was shown so far.
    pub(crate) needs: ColumnNeeds,
    /// How often the rows that are shown became others.
    pub(crate) generation: u64,
    sorted: Option<SortedRows>,
}

/// A filter on its way through the rows.
struct FilterScan {
    /// Where to go on, by number since rows may come and go meanwhile.
    next: Seq,
    /// After a resync the old rows are shown until the new ones are complete, so that nothing flickers.
    hidden: Option<Vec<Seq>>,
    verdicts: OutlineVerdicts,
    /// Rows that lie together are not looked at where none of them has it.
    word: Option<NeededWord>,
    /// How many times rows lay together, and how many of those had the word.
    looked: usize,
    had: usize,
}

impl FilterScan {
    /// Whether it is worth the while to look for the word before the rows: not where most have it.
    fn needs(&self) -> Option<&NeededWord> {
        self.word.as_ref().filter(|_| self.looked < 16 || self.had * 4 < self.looked * 3)
    }
}

impl MessageList {
    pub(crate) fn follows(&self) -> bool {
        !self.unfollowed
    }

    pub(crate) fn len(&self, rows: &MessageRows) -> usize {
        match &self.sorted {
            Some(sorted) => sorted.seqs.len(),
            None => self.shown_len(rows),
        }
    }

    /// How many rows are shown, in whatever order.
    fn shown_len(&self, rows: &MessageRows) -> usize {
        self.index.as_ref().map_or(rows.len(), Vec::len)
    }

    pub(crate) fn row(&self, rows: &MessageRows, position: usize) -> Option<MessageRow> {
        match (&self.sorted, &self.index) {
            (None, None) => rows.at(position),
            _ => rows.get(self.seq(rows, position)?),
        }
    }

    /// The number of the message there.
    fn seq(&self, rows: &MessageRows, position: usize) -> Option<Seq> {
        match (&self.sorted, &self.index) {
            (Some(sorted), _) => sorted.seqs.get(position).copied(),
            (None, None) => rows.seq_at(position),
            (None, Some(index)) => index.get(position).copied(),
        }
    }

    /// Where a message is, or where it would be.
    fn place_of(&self, rows: &MessageRows, seq: Seq) -> Result<usize, usize> {
        match (&self.sorted, &self.index) {
            (Some(sorted), _) => sorted.seqs.iter().position(|it| *it == seq).ok_or(0),
            (None, None) => rows.find(seq),
            (None, Some(index)) => index.binary_search(&seq),
        }
    }

    /// Sorts by something else, or the other way around; returns `false` where there are too many rows for that.
    pub(crate) fn sort(&mut self, rows: &MessageRows, turn: bool) -> bool {
        let order = self.sorted.as_ref().map_or(MessageOrder::Time, |sorted| sorted.order);
        self.sort_by(rows, if turn { order } else { order.next() })
    }

    /// Sorts by this, the other way around where it is so sorted; returns `false` where there are too many rows for that.
    pub(crate) fn sort_by(&mut self, rows: &MessageRows, order: MessageOrder) -> bool {
        let (now, turned) = self.sorted.as_ref().map_or((MessageOrder::Time, true), |it| (it.order, it.ascending));
        let ascending = if order == now { !turned } else { order.begins_ascending() };
        self.generation += 1;
        self.sorted = None;
        if order == MessageOrder::Time && ascending {
            self.keep_cursor(rows);
            return true;
        }
        if self.shown_len(rows) > MOST_SORTED {
            return false;
        }
        self.sorted = Some(SortedRows { order, ascending, seqs: Vec::new(), stale: true });
        self.resort(rows);
        // After sorting, the first rows are of interest.
        (self.unfollowed, self.cursor) = (true, self.seq(rows, 0));
        true
    }

    /// How the rows are sorted, where it is not by their time.
    pub(crate) fn order_words(&self) -> Option<&'static str> {
        let sorted = self.sorted.as_ref()?;
        Some(match (sorted.order, sorted.ascending) {
            (MessageOrder::Time, _) => "newest first",
            (MessageOrder::Duration, false) => "slowest first",
            (MessageOrder::Duration, true) => "fastest first",
            (MessageOrder::Size, false) => "largest first",
            (MessageOrder::Size, true) => "smallest first",
            (MessageOrder::Name, true) => "by name",
            (MessageOrder::Name, false) => "by name, from z",
        })
    }

    /// Takes in what came and went since it was sorted.
    fn resort(&mut self, rows: &MessageRows) {
        let Some(mut sorted) = self.sorted.take().filter(|_| self.shown_len(rows) <= MOST_SORTED) else { return };
        if std::mem::take(&mut sorted.stale) {
            let shown = (0..self.shown_len(rows)).filter_map(|position| self.row(rows, position));
            let key = |row: &MessageRow| {
                let number = match sorted.order {
                    MessageOrder::Duration => rows.took(row).unwrap_or_default(),
                    MessageOrder::Size => row.envelope.message.raw().len() as u64,
                    MessageOrder::Time | MessageOrder::Name => 0,
                };
                let name = match sorted.order {
                    MessageOrder::Name => row.envelope.name().or(row.envelope.method()).unwrap_or_default().to_owned(),
                    _ => String::new(),
                };
                (number, name, row.envelope.seq)
            };
            let mut keys: Vec<_> = shown.map(|row| key(&row)).collect();
            keys.sort_unstable();
            if !sorted.ascending {
                keys.reverse();
            }
            sorted.seqs = keys.into_iter().map(|(.., seq)| seq).collect();
        }
        self.sorted = Some(sorted);
    }

    fn set_stale(&mut self) {
        if let Some(sorted) = &mut self.sorted {
            sorted.stale = true;
        }
    }

    /// Whether the message at a position says that something failed, without reading the message.
    pub(crate) fn is_failure(&self, rows: &MessageRows, position: usize) -> bool {
        self.seq(rows, position).is_some_and(|seq| rows.is_failure(seq))
    }

    pub(crate) fn selected(&self, rows: &MessageRows) -> Option<MessageRow> {
        rows.get(self.cursor?)
    }

    /// Where the cursor is; where its message is not shown, the nearest that is.
    pub(crate) fn position(&self, rows: &MessageRows) -> usize {
        let Some(seq) = self.cursor else { return 0 };
        let found = self.place_of(rows, seq);
        found.unwrap_or_else(|near| near).min(self.len(rows).saturating_sub(1))
    }

    pub(crate) fn go(&mut self, rows: &MessageRows, motion: Motion) {
        let len = self.len(rows);
        let to = motion.from(self.position(rows), len, self.height);
        self.go_to(rows, to);
    }

    pub(crate) fn go_to(&mut self, rows: &MessageRows, position: usize) {
        self.cursor = self.seq(rows, position).or(self.cursor);
        if position + 1 >= self.len(rows) && self.sorted.is_none() {
            self.follow(rows);
        } else {
            self.unfollowed = true;
        }
    }

    pub(crate) fn follow(&mut self, rows: &MessageRows) {
        self.unfollowed = false;
        self.unseen = 0;
        if let Some(last) = self.len(rows).checked_sub(1).and_then(|last| self.seq(rows, last)) {
            self.cursor = Some(last);
        }
    }

    /// Puts the cursor on a message; `false` where the filter hides it.
    pub(crate) fn jump(&mut self, rows: &MessageRows, seq: Seq) -> bool {
        let found = self.place_of(rows, seq);
        found.map(|position| self.go_to(rows, position)).is_ok()
    }

    /// A row came or changed: it is tested at once, whatever a scan still has to do.
    pub(crate) fn changed(&mut self, rows: &MessageRows, seq: Seq, new: bool) {
        let looks = self.is_limited() || self.history.is_some();
        let shown = !looks || rows.get(seq).is_some_and(|row| self.remember(&row).passes(rows, &row));
        if let Some(index) = &mut self.index {
            match index.binary_search(&seq) {
                Ok(position) if !shown => {
                    index.remove(position);
                }
                Err(position) if shown => index.insert(position, seq),
                _ => {}
            }
        }
        self.set_stale();
        let is_apart = new && !self.apart.is_empty() && rows.get(seq).is_some_and(|row| self.is_apart(&row));
        if let Some(at) = self.apart_rows.binary_search(&seq).err().filter(|_| is_apart) {
            self.apart_rows.insert(at, seq);
        }
        if new && shown {
            if self.follows() {
                self.follow(rows);
            } else {
                self.unseen += 1;
            }
        }
    }

    fn is_apart(&self, row: &MessageRow) -> bool {
        self.apart.contains(&row.envelope.session)
    }

    /// Leaves a session out where all are shown.
    pub(crate) fn set_apart(&mut self, rows: &MessageRows, session: SessionId) {
        let was_limited = self.is_limited();
        if self.apart.insert(session) && !was_limited {
            self.refilter(rows);
        }
    }

    /// How many rows are left out because they are of such a session.
    pub(crate) fn left_apart(&self) -> usize {
        if self.only.is_some() { 0 } else { self.apart_rows.len() }
    }

    /// A request was answered: it may not be shown, or be shown, because of that.
    pub(crate) fn answered(&mut self, rows: &MessageRows, request: Seq) {
        if self.pairs || self.filter.as_ref().is_some_and(|(_, filter)| filter.asks_replies()) {
            self.changed(rows, request, false);
        }
    }

    /// Takes a row into the history, where the filter asks for one.
    fn remember(&mut self, row: &MessageRow) -> &Self {
        if let Some(history) = &mut self.history {
            history.observe(&row.envelope);
        }
        self
    }

    /// Sets up what the filter asks for beside the rows.
    fn prepare(&mut self, rows: &MessageRows) {
        let filter = self.filter.as_ref().map(|(_, filter)| filter);
        self.history = filter.is_some_and(Filter::asks_history).then(MessageHistory::default);
        if !filter.is_some_and(Filter::asks_focus) {
            self.focus = None;
        } else if self.focus.is_none() {
            self.focus = self.anchor.or(self.cursor).and_then(|seq| rows.get(seq)).map(|row| {
                let request = rows.answered_by(row.envelope.seq).and_then(|seq| rows.get(seq));
                NearFocus::on(&row.envelope, request.as_ref().map(|row| &*row.envelope))
            });
        }
    }

    /// Whether the filter lets the message through, as far as it has been looked at.
    pub(crate) fn shows(&self, seq: Seq) -> bool {
        self.index.as_ref().is_none_or(|index| index.binary_search(&seq).is_ok())
    }

    fn passes(&self, rows: &MessageRows, row: &MessageRow) -> bool {
        if !self.pairs {
            return self.lets_through(rows, row, None);
        }
        // The row of an exchange is that of its request, and stands for its reply as well. What is held must be seen.
        let is_held = matches!(row.state, RowState::Held(_));
        let asked = row.envelope.reply_to.as_ref().and_then(|to| rows.get(to.seq));
        let reply = row.reply.and_then(|seq| rows.get(seq));
        (asked.is_none() || is_held) && self.lets_through(rows, row, reply.as_ref())
    }

    /// Whether a row passes, or an exchange as a whole.
    fn lets_through(&self, rows: &MessageRows, row: &MessageRow, reply: Option<&MessageRow>) -> bool {
        self.shows_session(row.envelope.session)
            && match &self.filter {
                Some((_, filter)) if !self.filter_off => {
                    let (history, focus) = (self.history.as_ref(), self.focus.as_ref());
                    let context = ListContext { rows, history, focus };
                    match reply {
                        Some(reply) => filter.matches_together(&row.envelope, &reply.envelope, &context),
                        None => filter.matches_in(&row.envelope, &context),
                    }
                }
                _ => true,
            }
    }

    fn is_limited(&self) -> bool {
        self.pairs || self.only.is_some() || !self.apart.is_empty() || (self.filter.is_some() && !self.filter_off)
    }

    /// Filter or session changed: results appear as they are found.
    pub(crate) fn refilter(&mut self, rows: &MessageRows) {
        self.generation += 1;
        self.scan = None;
        self.prepare(rows);
        self.index = self.is_limited().then(Vec::new);
        if self.is_limited() {
            self.scan = Some(self.new_scan(None));
            self.scan(rows, Duration::from_millis(4));
        }
        self.set_stale();
        self.resort(rows);
        self.keep_cursor(rows);
    }

    /// All rows were replaced by others.
    pub(crate) fn rows_replaced(&mut self, rows: &MessageRows) {
        self.prepare(rows);
        self.generation += 1;
        self.apart_rows.clear();
        if !self.apart.is_empty() {
            let apart = (0..rows.len()).filter_map(|at| rows.at(at)).filter(|row| self.is_apart(row));
            self.apart_rows = apart.map(|row| row.envelope.seq).collect();
        }
        if self.is_limited() {
            self.scan = Some(self.new_scan(Some(Vec::new())));
        }
        self.keep_cursor(rows);
    }

    fn new_scan(&self, hidden: Option<Vec<Seq>>) -> FilterScan {
        // Who asks what came before is shown every row; of a pair, the word may stand in either.
        let applied = self.filter.as_ref().filter(|_| !self.filter_off && !self.pairs && self.history.is_none());
        let word = applied.and_then(|(_, filter)| filter.needed_word());
        FilterScan { next: Seq(0), hidden, verdicts: OutlineVerdicts::default(), word, looked: 0, had: 0 }
    }

    /// Rows before this number are gone.
    pub(crate) fn trimmed(&mut self, first: Seq) {
        if let Some(index) = &mut self.index {
            index.drain(..index.partition_point(|seq| *seq < first));
        }
        self.apart_rows.drain(..self.apart_rows.partition_point(|seq| *seq < first));
        self.set_stale();
        self.top = 0;
    }

    /// Goes on with the scan for about `budget`; returns whether there was anything to do.
    pub(crate) fn scan(&mut self, rows: &MessageRows, budget: Duration) -> bool {
        let Some(mut scan) = self.scan.take() else { return false };
        let start = Instant::now();
        let mut position = rows.find(scan.next).unwrap_or_else(|near| near);
        while position < rows.len() && start.elapsed() < budget {
            let Some((end, may_match)) = rows.block_at(position, scan.needs()) else { break };
            (scan.looked, scan.had) = (scan.looked + 1, scan.had + usize::from(may_match));
            let end = end.min(if may_match { position + CHUNK } else { end });
            let found: Vec<Seq> = (position..end)
                .filter(|_| may_match)
                .filter_map(|position| self.found_at(rows, position, &mut scan.verdicts))
                .collect();
            match &mut scan.hidden {
                Some(hidden) => hidden.extend(found),
                None => self.merge(&found),
            }
            position = end;
        }
        match rows.seq_at(position) {
            Some(next) => {
                scan.next = next;
                self.scan = Some(scan);
            }
            None if scan.hidden.is_some() => self.index = scan.hidden,
            None => {}
        }
        self.set_stale();
        self.keep_cursor(rows);
        true
    }

    /// The number of the row at a position, where it passes. Most filters ask for what many rows have in common: those are answered
    /// without a look at the row.
    fn found_at(&mut self, rows: &MessageRows, position: usize, verdicts: &mut OutlineVerdicts) -> Option<Seq> {
        let outline = rows.outline_at(position).filter(|_| !self.pairs && self.history.is_none());
        let known = outline.and_then(|outline| {
            let decided = verdicts.of(outline, || self.decides(rows, outline));
            decided.or_else(|| self.decides_on(rows, outline, position))
        });
        match known {
            Some(passes) => rows.seq_at(position).filter(|_| passes),
            None => {
                let row = rows.at(position)?;
                self.remember(&row).passes(rows, &row).then_some(row.envelope.seq)
            }
        }
    }

    /// Whether all rows of an outline pass, or none does; `None`: each has to be looked at.
    fn decides(&self, rows: &MessageRows, outline: OutlineId) -> Option<bool> {
        let (session, outline) = rows.outlines().get(outline)?;
        match &self.filter {
            _ if !self.shows_session(session) => Some(false),
            Some((_, filter)) if !self.filter_off => filter.decides(&outline),
            _ => Some(true),
        }
    }

    /// Whether a row passes of which the outline decides nothing; `None`: its message does not either.
    fn decides_on(&self, rows: &MessageRows, outline: OutlineId, position: usize) -> Option<bool> {
        let (_, filter) = self.filter.as_ref().filter(|(_, filter)| filter.reads_body())?;
        let (_, outline) = rows.outlines().get(outline)?;
        filter.decides_on(&outline, &rows.packed_message_at(position)?)
    }

    fn shows_session(&self, session: SessionId) -> bool {
        self.only.map_or_else(|| !self.apart.contains(&session), |only| session == only)
    }

    /// Found numbers ascend; what arrived meanwhile stands behind them already.
    fn merge(&mut self, found: &[Seq]) {
        let (Some(index), Some(first)) = (&mut self.index, found.first()) else { return };
        let at = index.partition_point(|seq| seq < first);
        let later: Vec<Seq> = index.split_off(at);
        index.extend_from_slice(found);
        let last = index.last().copied();
        index.extend(later.into_iter().filter(|seq| Some(*seq) > last));
    }

    fn keep_cursor(&mut self, rows: &MessageRows) {
        if self.follows() {
            self.follow(rows);
        } else if self.len(rows) > 0 {
            let position = self.position(rows);
            self.cursor = self.seq(rows, position);
        }
    }

    /// How far the scan is, in percent.
    pub(crate) fn scanned(&self, rows: &MessageRows) -> Option<usize> {
        let scan = self.scan.as_ref()?;
        let position = rows.find(scan.next).unwrap_or_else(|near| near);
        Some(position * 100 / rows.len().max(1))
    }

    /// The lines on the screen: messages, and between them the seams. The cursor is on one of them.
    pub(crate) fn lines<'a>(&self, rows: &'a MessageRows) -> Vec<ListedLine<'a>> {
        let (cursor, mut lines, mut needed) = (self.position(rows), Vec::new(), 0);
        let seams = |from: Seq, to: Seq| rows.seams.behind(from..to, |session| self.shows_session(session));
        for position in self.top..self.top + self.height {
            let Some(seq) = self.seq(rows, position) else { break };
            let is_in_order = self.sorted.is_none();
            if position == 0 && is_in_order {
                lines.extend(seams(Seq(0), seq).map(ListedLine::Seam));
            }
            lines.push(ListedLine::Message(position));
            needed = if position <= cursor { lines.len() } else { needed };
            if is_in_order {
                let next = self.seq(rows, position + 1);
                lines.extend(seams(seq, next.unwrap_or(Seq(u64::MAX))).map(ListedLine::Seam));
                // What stands behind the last is seen with it.
                needed = if next.is_none() && position == cursor { lines.len() } else { needed };
            }
        }
        lines.drain(..needed.saturating_sub(self.height));
        lines.truncate(self.height);
        lines
    }

    /// Moves the window so that the cursor is in it.
    pub(crate) fn frame(&mut self, rows: &MessageRows, height: usize) {
        self.height = height;
        self.resort(rows);
        self.top = super::motion::window(self.top, self.position(rows), self.len(rows), height);
        let mut needs = self.needs;
        for row in (self.top..self.top + height).map_while(|position| self.row(rows, position)) {
            needs.grow(&row.envelope);
        }
        self.needs = needs;
        // What is on the screen is seen.
        self.unseen = self.unseen.min(self.len(rows).saturating_sub(self.top + height));
    }
}
