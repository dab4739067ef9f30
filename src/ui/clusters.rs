//! Clusters of several characters, whose width terminals count in different ways: flags, families, conjuncts, stacked marks.
//!
//! One counts two cells where another counts four. So that a cluster leaves nothing behind in cells that we take for empty, and moves
//! nothing beside it, its row is written whole in each frame, and once more in the first without it, and behind each of them the
//! cursor is put where the next cell is.

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::{Buffer, Cell, CellDiffOption};
use ratatui::layout::{Position, Size};

fn is_disputed(symbol: &str) -> bool {
    !symbol.is_ascii() && symbol.chars().nth(1).is_some()
}

/// Has rows written whole in which a width is disputed. In the frame after, their cells differ from these in that mark at least, so
/// that all are written once more.
pub(crate) fn settle(buffer: &mut Buffer) {
    let width = usize::from(buffer.area.width).max(1);
    for row in buffer.content.chunks_mut(width) {
        if row.iter().any(|cell| is_disputed(cell.symbol())) {
            for cell in row.iter_mut().filter(|cell| cell.diff_option == CellDiffOption::None) {
                cell.set_diff_option(CellDiffOption::AlwaysUpdate);
            }
        }
    }
}

/// A terminal's backend that says where the cell behind each such cluster is.
pub(crate) struct PlacedCells<B>(pub(crate) B);

impl<B: Backend> Backend for PlacedCells<B> {
    type Error = B::Error;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Self::Error>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        while content.peek().is_some() {
            // The backend puts the cursor at the first cell of what it is given.
            let mut is_placed = true;
            self.0.draw(std::iter::from_fn(|| {
                let next = is_placed.then(|| content.next()).flatten()?;
                is_placed = !is_disputed(next.2.symbol());
                Some(next)
            }))?;
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Self::Error> {
        self.0.hide_cursor()
    }

    fn show_cursor(&mut self) -> Result<(), Self::Error> {
        self.0.show_cursor()
    }

    fn get_cursor_position(&mut self) -> Result<Position, Self::Error> {
        self.0.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Self::Error> {
        self.0.set_cursor_position(position)
    }

    fn clear(&mut self) -> Result<(), Self::Error> {
        self.0.clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> Result<(), Self::Error> {
        self.0.clear_region(clear_type)
    }

    fn size(&self) -> Result<Size, Self::Error> {
        self.0.size()
    }

    fn window_size(&mut self) -> Result<WindowSize, Self::Error> {
        self.0.window_size()
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use ratatui::backend::CrosstermBackend;
    use ratatui::layout::Rect;

    use super::*;

    fn row(text: &str) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, text, ratatui::style::Style::default());
        settle(&mut buffer);
        buffer
    }

    fn written(before: &Buffer, now: &Buffer) -> Vec<(u16, u16)> {
        before.diff(now).into_iter().map(|(x, y, _)| (x, y)).collect()
    }

    #[test]
    fn row_of_a_cluster_is_written_whole_as_long_as_it_is_there_and_once_more() {
        let (flag, changed, plain) = (row("a🇩🇪b"), row("a🇩🇪c"), row("abc"));
        // The second cell of the flag is its own.
        let whole: Vec<_> = (0..12).filter(|x| *x != 2).map(|x| (x, 0)).collect();
        assert_eq!(written(&flag, &changed), whole);
        assert_eq!(written(&flag, &plain), (0..12).map(|x| (x, 0)).collect::<Vec<_>>());
        assert_eq!(written(&plain, &row("abd")), [(2, 0)], "and no other");
        assert_eq!(written(&row("日本é"), &row("日本e")), [(4, 0)], "nor where no width is disputed");
    }

    #[test]
    fn cursor_is_put_behind_each_cluster() {
        let mut written = Vec::new();
        let mut backend = PlacedCells(CrosstermBackend::new(&mut written));
        // One cell by our count: an e with two marks.
        let buffer = row("ae\u{301}\u{323}bc");
        let empty = Buffer::empty(buffer.area);
        backend.draw(empty.diff(&buffer).into_iter()).unwrap();
        let bytes = String::from_utf8_lossy(&written).into_owned();
        let behind = bytes.split("e\u{301}\u{323}").nth(1).unwrap_or_default();
        assert!(behind.contains("\x1b[1;3Hb"), "{bytes:?}");
    }
}
