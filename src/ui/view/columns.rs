//! Columns of the message list: which are shown, and how wide each is.
//!
//! The usual ones leave by the width of the window. Those that the operator chose stay as long as what a row says has room: then the
//! session goes first, then the size and the time.

use crate::ui::model::column_needs::ColumnNeeds;
use crate::ui::settings::ListColumn;

/// Widths of the columns, from the room there is and from what was shown so far.
pub(super) struct MessageColumns {
    shown: Vec<(ListColumn, usize)>,
    /// Methods stand in full; else all are shortened by one rule.
    pub(super) whole: bool,
}

/// Less room for name and content has a chosen column leave.
const ENOUGH: usize = 30;

impl MessageColumns {
    pub(super) fn of(width: usize, needs: ColumnNeeds, chosen: &[ListColumn]) -> Self {
        let mut shown: Vec<_> = if chosen.is_empty() { usual(width) } else { chosen.to_vec() }
            .into_iter()
            .map(|column| (column, fixed_width(column, width, needs)))
            .collect();
        let leaves = [ListColumn::Session, ListColumn::Size, ListColumn::Time];
        for column in leaves.iter().filter(|_| !chosen.is_empty()) {
            if room(&shown, width) < ENOUGH {
                shown.retain(|(it, _)| it != column);
            }
        }
        let mut columns = Self { shown, whole: false };
        columns.share(room(&columns.shown, width), needs);
        columns
    }

    /// Gives name and content what the others leave: what is said has half of it, and what the subject leaves.
    fn share(&mut self, room: usize, needs: ColumnNeeds) {
        let has = |wanted| self.shown.iter().any(|(column, _)| *column == wanted);
        let (has_name, has_content) = (has(ListColumn::Name), has(ListColumn::Content));
        let half = if has_content { room.div_ceil(2) } else { room };
        self.whole = needs.whole <= half;
        // In steps, so that not every longer one moves all others.
        let need = if self.whole { needs.whole } else { needs.brief }.next_multiple_of(4);
        let subject = match (has_name, has_content) {
            (false, _) => 0,
            (true, true) => need.clamp(12, half.max(12)),
            (true, false) => room,
        };
        for (column, width) in &mut self.shown {
            match column {
                ListColumn::Name => *width = subject,
                ListColumn::Content => *width = room.saturating_sub(subject),
                _ => {}
            }
        }
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = (ListColumn, usize)> {
        self.shown.iter().copied()
    }

    /// What stands before a column: numbers have room of their own.
    pub(super) fn gap(&self, column: ListColumn) -> &'static str {
        let is_first = self.shown.first().is_some_and(|(first, _)| *first == column);
        if is_first || is_number(column) { "" } else { " " }
    }
}

fn is_number(column: ListColumn) -> bool {
    matches!(column, ListColumn::Number | ListColumn::Size | ListColumn::Duration)
}

/// Cells that the columns of fixed width leave, with two for the marks and one between all but numbers.
fn room(shown: &[(ListColumn, usize)], width: usize) -> usize {
    let gaps = shown.iter().skip(1).filter(|(column, _)| !is_number(*column)).count();
    width.saturating_sub(2 + gaps + shown.iter().map(|(_, width)| width).sum::<usize>())
}

/// The columns of who chose none.
fn usual(width: usize) -> Vec<ListColumn> {
    let is_usual = |column: &ListColumn| match column {
        ListColumn::Session => false,
        ListColumn::Time => width >= 70,
        ListColumn::Size => width >= 88,
        _ => true,
    };
    ListColumn::ALL.into_iter().filter(is_usual).collect()
}

/// The width of a column; nothing for those that share what is left.
fn fixed_width(column: ListColumn, width: usize, needs: ColumnNeeds) -> usize {
    match column {
        ListColumn::Number => (needs.digits + 1).max(if width >= 88 { 5 } else { 4 }),
        ListColumn::Time => {
            if width >= 88 {
                12
            } else {
                8
            }
        }
        ListColumn::Session => {
            if width >= 120 {
                16
            } else {
                10
            }
        }
        ListColumn::Kind => 3,
        ListColumn::Id => needs.id.clamp(3, 6),
        ListColumn::Size => 6,
        ListColumn::Duration => 7,
        ListColumn::Name | ListColumn::Content => 0,
    }
}
