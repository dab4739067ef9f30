//! Columns of the list of tapes: each as wide as what is in it needs, shared where there is too little room, and left out from the one that
//! tells the least.

use ratatui::text::{Line, Span};

use super::parts::{cell, right, styled};
use crate::ui::model::Model;
use crate::ui::model::tapes_screen::{TapeNeeds, TapeOrder};
use crate::ui::theme::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TapeColumn {
    Name,
    Client,
    Server,
    Tools,
    Note,
    Messages,
    Size,
}

impl TapeColumn {
    const ALL: [Self; 7] =
        [Self::Name, Self::Client, Self::Server, Self::Tools, Self::Note, Self::Messages, Self::Size];

    /// Those that there may be no room for, from the one that tells most: what a person wrote, what was done, by whom, and where, which
    /// the name of a tape often says.
    const BY_WORTH: [Self; 4] = [Self::Note, Self::Tools, Self::Client, Self::Server];

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Messages | Self::Size)
    }

    fn head(self) -> &'static str {
        match self {
            Self::Name => "tape",
            Self::Client => "client",
            Self::Server => "server",
            Self::Tools => "tools",
            Self::Note => "note",
            Self::Messages => "msgs",
            Self::Size => "size",
        }
    }

    /// The order that is by this column.
    fn order(self) -> TapeOrder {
        match self {
            Self::Name => TapeOrder::Name,
            Self::Client => TapeOrder::Client,
            Self::Server => TapeOrder::Server,
            Self::Tools => TapeOrder::Tools,
            Self::Note => TapeOrder::Note,
            Self::Messages => TapeOrder::Messages,
            Self::Size => TapeOrder::Size,
        }
    }

    /// Cells that it wants; nothing where it would be empty.
    fn need(self, needs: TapeNeeds) -> usize {
        let need = match self {
            Self::Name => needs.name,
            Self::Client => needs.client,
            Self::Server => needs.server,
            Self::Tools => needs.tools,
            Self::Note => needs.note,
            Self::Messages => needs.digits + (needs.digits.max(1) - 1) / 3 + 1,
            Self::Size => 6,
        };
        if need > 0 { need.max(self.head().len()) } else { 0 }
    }
}

/// Which are shown, and how wide each is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TapeColumns(Vec<(TapeColumn, usize)>);

/// With less room a column is left out, and the name has no less.
const LEAST: usize = 10;
const LEAST_NAME: usize = 18;

impl TapeColumns {
    pub(super) fn of(width: usize, needs: TapeNeeds) -> Self {
        // A mark before all, a blank behind.
        let numbers = [TapeColumn::Messages, TapeColumn::Size].map(|it| 1 + it.need(needs));
        let room = width.saturating_sub(2 + numbers.iter().sum::<usize>());
        let mut shown = vec![TapeColumn::Name];
        let least = |column: TapeColumn| match column {
            TapeColumn::Name => column.need(needs).min(LEAST_NAME),
            _ => 1 + column.need(needs).min(LEAST),
        };
        let mut used = least(TapeColumn::Name);
        for column in TapeColumn::BY_WORTH.into_iter().filter(|column| column.need(needs) > 0) {
            if used + least(column) <= room {
                used += least(column);
                shown.push(column);
            }
        }
        let mut widths: Vec<_> = shown.into_iter().map(|column| (column, least(column))).collect();
        let full = |column: TapeColumn| column.need(needs) + usize::from(column != TapeColumn::Name);
        share(room.saturating_sub(used), &mut widths, full);
        widths.extend([TapeColumn::Messages, TapeColumn::Size].into_iter().zip(numbers));
        let place = |column: &TapeColumn| TapeColumn::ALL.iter().position(|it| it == column);
        widths.sort_by_key(|(column, _)| place(column));
        // Numbers stand at the end of the row, so what is left over stands before them.
        let last = widths.len() - 3;
        widths[last].1 += (width.saturating_sub(2)).saturating_sub(widths.iter().map(|(_, width)| width).sum());
        Self(widths)
    }

    /// Each with its cells, without those before it.
    pub(super) fn shown(&self) -> impl Iterator<Item = (TapeColumn, usize)> {
        self.0.iter().map(|(column, width)| (*column, width.saturating_sub(self.gap(*column).len())))
    }

    /// What stands before a column.
    pub(super) fn gap(&self, column: TapeColumn) -> &'static str {
        if column == TapeColumn::Name { "" } else { " " }
    }

    pub(super) fn header(&self, model: &Model) -> Line<'static> {
        let is_sorted = model.tapes.order_words().is_some();
        let heads = self.shown().map(|(column, width)| {
            let head = if column.is_number() { right(column.head(), width) } else { cell(column.head(), width) };
            let role = if is_sorted && model.tapes.order == column.order() { Role::Accent } else { Role::Dim };
            styled(model, role, self.gap(column).to_owned() + &head)
        });
        Line::from_iter([Span::raw(" ")].into_iter().chain(heads))
    }
}

/// What the tapes are sorted by where the head in that cell of their first line is chosen.
pub(crate) fn tape_order_at(model: &Model, width: usize, cell: usize) -> Option<TapeOrder> {
    let columns = TapeColumns::of(width, model.tapes.needs);
    let mut end = 1;
    columns.shown().find_map(|(column, width)| {
        end += columns.gap(column).len() + width;
        (cell >= 1 && cell < end).then(|| column.order())
    })
}

/// Gives each as much of the rest as it wants, those that want least first, so that what they leave is the others'.
fn share(mut rest: usize, widths: &mut [(TapeColumn, usize)], full: impl Fn(TapeColumn) -> usize) {
    let wants = |(column, width): &(TapeColumn, usize)| full(*column).saturating_sub(*width);
    let mut order: Vec<_> = (0..widths.len()).collect();
    order.sort_by_key(|at| wants(&widths[*at]));
    let count = order.len();
    for (done, at) in order.into_iter().enumerate() {
        let given = wants(&widths[at]).min(rest / (count - done));
        widths[at].1 += given;
        rest -= given;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: TapeNeeds = TapeNeeds { name: 41, client: 10, server: 16, tools: 50, note: 20, digits: 6 };

    fn columns(width: usize, needs: TapeNeeds) -> String {
        let shown = TapeColumns::of(width, needs);
        assert!(shown.0.iter().map(|(_, width)| width).sum::<usize>() <= width.max(34), "{shown:?}");
        let text = |(column, width): (TapeColumn, usize)| format!("{} {width}", column.head());
        shown.shown().map(text).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn tape_columns_share_the_room_and_leave_by_what_they_tell() {
        for (width, expected) in [
            (198, "tape 41, client 10, server 16, tools 50, note 59, msgs 8, size 6"),
            (118, "tape 29, client 10, server 16, tools 21, note 20, msgs 8, size 6"),
            (80, "tape 18, client 10, server 10, tools 10, note 10, msgs 8, size 6"),
            (60, "tape 19, tools 11, note 10, msgs 8, size 6"),
            (40, "tape 22, msgs 8, size 6"),
            (10, "tape 18, msgs 8, size 6"),
        ] {
            assert_eq!(columns(width, NEEDS), expected, "{width}");
        }
        let bare = TapeNeeds { client: 0, note: 0, digits: 1, ..NEEDS };
        assert_eq!(columns(80, bare), "tape 28, server 16, tools 20, msgs 4, size 6", "what is empty takes no room");
    }

    #[test]
    fn tape_columns_fill_every_row() {
        for width in 40..220 {
            let shown = TapeColumns::of(width, NEEDS);
            assert_eq!(shown.0.iter().map(|(_, width)| width).sum::<usize>() + 2, width);
        }
    }
}
