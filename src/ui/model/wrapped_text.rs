//! A text in rows of the width it is shown with.

use std::ops::Range;

use crate::text::width as cells;

#[derive(Default)]
pub(crate) struct WrappedText {
    lines: Vec<String>,
    /// Each row: its line, and which bytes of it.
    rows: Vec<(usize, Range<usize>)>,
    width: usize,
}

impl WrappedText {
    /// Takes lines that are safe to be drawn; each is one row until the text is wrapped.
    pub(crate) fn of(lines: Vec<String>) -> Self {
        let rows = lines.iter().enumerate().map(|(at, line)| (at, 0..line.len())).collect();
        Self { lines, rows, width: 0 }
    }

    pub(crate) fn rows(&self) -> &[(usize, Range<usize>)] {
        &self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn row(&self, row: usize) -> Option<&str> {
        let (line, range) = self.rows.get(row)?;
        Some(without_break(&self.lines[*line], range))
    }

    /// A row, and so much of the one below that a word broken between the two is whole.
    pub(crate) fn with_end_of_next(&self, row: usize) -> &str {
        let Some((line, range)) = self.rows.get(row) else { return "" };
        let text = &self.lines[*line];
        let mut end = (range.end + OVERLAP).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        &text[range.start..end]
    }

    /// Breaks the lines again where the width changed; returns where the row at `cursor` is now.
    pub(crate) fn wrap(&mut self, width: usize, cursor: usize) -> Option<usize> {
        let width = width.max(8);
        if self.width == width {
            return None;
        }
        let stood = self.rows.get(cursor).map(|(line, range)| (*line, range.start));
        self.width = width;
        self.rows =
            self.lines.iter().enumerate().flat_map(|(at, line)| broken(line, width).map(move |it| (at, it))).collect();
        let (line, byte) = stood?;
        Some(self.rows.partition_point(|(at, range)| (*at, range.start) <= (line, byte)).saturating_sub(1))
    }
}

/// Bytes of the next row that a match may reach into.
const OVERLAP: usize = 80;

/// A piece of a line as it is shown: the blank at which it was broken is not.
fn without_break<'a>(line: &'a str, range: &Range<usize>) -> &'a str {
    let piece = &line[range.clone()];
    if range.end < line.len() { piece.strip_suffix(' ').unwrap_or(piece) } else { piece }
}

/// A line in rows of at most so many cells.
pub(super) fn wrapped(line: &str, width: usize) -> impl Iterator<Item = &str> {
    broken(line, width).map(move |range| without_break(line, &range))
}

/// Pieces of a line, each at most so many cells wide beside the blank at which it ends; an empty line is one empty piece. A word
/// is broken where it would leave more than two thirds of the row empty.
fn broken(line: &str, width: usize) -> impl Iterator<Item = Range<usize>> + use<'_> {
    let mut from = 0;
    let mut first = true;
    std::iter::from_fn(move || {
        if from >= line.len() && !first {
            return None;
        }
        first = false;
        let start = from;
        let (mut used, mut word, mut is_indent) = (0, start, true);
        for (at, c) in line[start..].char_indices() {
            used += if c.is_ascii() { 1 } else { cells(c.encode_utf8(&mut [0; 4])) };
            if c == ' ' && !is_indent && used * 3 > width {
                word = start + at + 1;
            }
            is_indent &= c == ' ';
            if used > width {
                from = if word > start { word } else { start + at };
                return Some(start..from);
            }
        }
        from = line.len();
        Some(start..from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_keeps_its_place() {
        let mut text = WrappedText::of(vec![String::new(), "0123456789abcdef".to_owned(), "家族家族家".to_owned()]);
        text.wrap(8, 0);
        let rows: Vec<&str> = (0..text.rows().len()).filter_map(|row| text.row(row)).collect();
        assert_eq!(rows, ["", "01234567", "89abcdef", "家族家族", "家"]);
        assert_eq!(text.wrap(16, 2), Some(1));
        assert_eq!(text.wrap(8, 2), Some(3));
        assert_eq!(text.with_end_of_next(1), "0123456789abcdef");
        for (line, rows) in [
            ("the replay ended", vec!["the", "replay", "ended"]),
            ("a 0123456789", vec!["a 012345", "6789"]),
            ("01234567 9", vec!["01234567", "9"]),
            ("0123456  9", vec!["0123456 ", "9"]),
            ("      abcdef", vec!["      ab", "cdef"]),
        ] {
            assert_eq!(wrapped(line, 8).collect::<Vec<_>>(), rows, "{line}");
        }
    }
}
