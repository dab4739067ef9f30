//! Content in rows of a width.

use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation as _;

use super::super::graphics::{Graphics, ImageFile};
use super::blocks::ContentBlock;
use super::markdown::{lines, verbatim};
use crate::text::{sanitize, width};

/// What a piece of text is to its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TextInk {
    #[default]
    Plain,
    Strong,
    Emphasis,
    Heading,
    Code,
    Link,
    Dim,
    Bad,
    /// What the screen says itself: the keys that do so are put before it.
    Hint,
}

/// A line before it is broken to a width.
#[derive(Clone, Debug, Default)]
pub(crate) struct InkLine {
    pub(crate) spans: Vec<(TextInk, String)>,
    /// Columns that its rows after the first are set in.
    pub(crate) hang: usize,
    /// Broken between words; else anywhere.
    pub(crate) by_words: bool,
}

impl InkLine {
    pub(super) fn new(ink: TextInk, text: &str) -> Self {
        Self { spans: vec![(ink, sanitize(text).into_owned())], hang: 0, by_words: false }
    }

    /// What the peer says in it.
    pub(crate) fn text(&self) -> String {
        self.spans.iter().filter(|(ink, _)| *ink != TextInk::Hint).map(|(_, text)| text.as_str()).collect()
    }

    pub(super) fn is_blank(&self) -> bool {
        self.spans.iter().all(|(_, text)| text.is_empty())
    }
}

enum PageLine {
    Words(InkLine),
    Image(Arc<ImageFile>),
}

/// One row.
#[derive(Debug)]
pub(crate) enum PageRow {
    Words(Vec<(TextInk, String)>),
    /// The row of a picture that is so many columns wide and so many rows high.
    Image {
        image: Arc<ImageFile>,
        row: u16,
        size: (u16, u16),
    },
}

/// All that a message says, laid out.
#[derive(Default)]
pub(crate) struct ContentPage {
    /// Each with the number of the block that it is of.
    lines: Vec<(usize, PageLine)>,
    rows: Vec<(usize, PageRow)>,
    blocks: Vec<ContentBlock>,
    width: usize,
    /// Columns and rows that a picture may have, and the terminal that draws it.
    room: (u16, u16),
    graphics: Option<Graphics>,
}

impl ContentPage {
    pub(crate) fn of(blocks: Vec<ContentBlock>) -> Self {
        let mut page = Self::default();
        for (at, block) in blocks.iter().enumerate() {
            // Apart from what was before it, which a note is about.
            let is_noted = at > 0 && matches!(blocks[at - 1], ContentBlock::Note(_));
            if at > 0 && !is_noted {
                page.lines.push((at - 1, PageLine::Words(InkLine::default())));
            }
            page.lines.extend(block_lines(block).into_iter().map(|line| (at, PageLine::Words(line))));
            if let ContentBlock::Media(media) = block
                && let Some(image) = media.facts().image
            {
                page.lines.push((at, PageLine::Image(image)));
            }
        }
        page.blocks = blocks;
        page
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn row(&self, row: usize) -> Option<&PageRow> {
        self.rows.get(row).map(|(_, row)| row)
    }

    /// The block that a row is of.
    pub(crate) fn block(&self, row: usize) -> Option<&ContentBlock> {
        let (line, _) = self.rows.get(row)?;
        self.blocks.get(self.lines[*line].0)
    }

    /// The words of a row.
    pub(crate) fn text(&self, row: usize) -> String {
        match self.row(row) {
            Some(PageRow::Words(spans)) => spans.iter().map(|(_, text)| text.as_str()).collect(),
            _ => String::new(),
        }
    }

    /// Whether there is room for a picture that turned out to be none.
    fn shows_broken(&self) -> bool {
        let is_broken = |row: &PageRow| matches!(row, PageRow::Image { image, row: 0, .. } if image.is_broken());
        self.rows.iter().any(|(_, row)| is_broken(row))
    }

    /// Lays all out again where the room changed; returns where the row at `cursor` is now.
    pub(crate) fn lay_out(&mut self, size: (usize, usize), graphics: Option<Graphics>, cursor: usize) -> Option<usize> {
        let width = size.0.max(8);
        let room = (narrow(width), narrow(size.1.saturating_sub(1)).max(1));
        let is_same = (self.width, self.graphics) == (width, graphics) && (self.room == room || graphics.is_none());
        if is_same && !self.shows_broken() {
            return None;
        }
        let stood = self.rows.get(cursor).map(|(line, _)| *line);
        (self.width, self.room, self.graphics) = (width, room, graphics);
        self.rows.clear();
        for (at, (_, line)) in self.lines.iter().enumerate() {
            match (line, graphics) {
                (PageLine::Words(line), _) => {
                    self.rows.extend(broken(line, width).into_iter().map(|row| (at, PageRow::Words(row))));
                }
                (PageLine::Image(image), Some(graphics)) => {
                    if let Some(why) = graphics.refuses(image) {
                        self.rows.push((at, PageRow::Words(vec![(TextInk::Dim, why.to_owned())])));
                        continue;
                    }
                    let size = graphics.cells(image.size, room);
                    let row = |row| (at, PageRow::Image { image: image.clone(), row, size });
                    self.rows.extend((0..size.1).map(row));
                }
                (PageLine::Image(_), None) => {}
            }
        }
        stood.map(|stood| self.rows.partition_point(|(line, _)| *line < stood))
    }
}

fn narrow(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Behind a picture or sound, with room for the keys that do so.
const HINT: &str = "     on it in the tree writes it to a file";

/// The lines of a block.
pub(crate) fn block_lines(block: &ContentBlock) -> Vec<InkLine> {
    match block {
        ContentBlock::Text(text) => lines(text),
        ContentBlock::Verbatim(text) => verbatim(text),
        ContentBlock::Note(text) => vec![InkLine { by_words: true, ..InkLine::new(TextInk::Dim, text) }],
        ContentBlock::Media(media) => {
            let facts = media.facts();
            let mut line = InkLine { by_words: true, ..InkLine::new(TextInk::Strong, &facts.words) };
            line.spans.extend(facts.fault.map(|why| (TextInk::Bad, format!(" {}", sanitize(&why)))));
            line.spans.push((TextInk::Hint, HINT.to_owned()));
            vec![line]
        }
    }
}

/// Rows of a line, none wider than so many cells.
fn broken(line: &InkLine, most: usize) -> Vec<Vec<(TextInk, String)>> {
    let hang = if line.hang * 2 < most { line.hang } else { 0 };
    let (mut rows, mut row, mut used, mut begin) = (Vec::new(), Vec::<(TextInk, String)>::new(), 0, 0);
    let mut put = |ink: TextInk, piece: &str, rows: &mut Vec<_>| {
        let cells = width(piece.trim_end_matches(' '));
        if used + cells > most && used > begin {
            rows.push(std::mem::take(&mut row));
            (used, begin) = (hang, hang);
            row.extend((hang > 0).then(|| (TextInk::Dim, " ".repeat(hang))));
        }
        used += width(piece);
        match row.last_mut() {
            Some((last, text)) if *last == ink => text.push_str(piece),
            _ => row.push((ink, piece.to_owned())),
        }
    };
    for (ink, text) in &line.spans {
        for word in text.split_inclusive(' ') {
            if line.by_words && width(word) + hang <= most {
                put(*ink, word, &mut rows);
            } else {
                word.graphemes(true).for_each(|cluster| put(*ink, cluster, &mut rows));
            }
        }
    }
    rows.push(row);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_rows(text: &str, width: usize) -> Vec<String> {
        let mut page = ContentPage::of(vec![ContentBlock::Text(text.to_owned())]);
        page.lay_out((width, 10), None, 0);
        (0..page.len()).map(|row| page.text(row)).collect()
    }

    #[test]
    fn page_breaks_between_words_and_sets_lists_in() {
        assert_eq!(text_rows("- one two three four", 12), ["- one two ", "  three four"]);
        assert_eq!(text_rows("abcdefghijklm no", 8), ["abcdefgh", "ijklm no"]);
        assert_eq!(text_rows("`a` `bb`", 8), ["a bb"]);
        assert_eq!(text_rows("```\n0123456789\n```", 8), ["  012345", "6789"]);
        assert_eq!(text_rows("家族家族家", 8), ["家族家族", "家"]);
    }

    #[test]
    fn page_keeps_its_place_and_knows_its_blocks() {
        let blocks = ["one two three four five", "six"].map(|text| ContentBlock::Text(text.to_owned()));
        let mut page = ContentPage::of(blocks.into());
        page.lay_out((8, 10), None, 0);
        let last = page.len() - 1;
        assert_eq!(page.text(last), "six");
        assert_eq!(page.lay_out((80, 10), None, last), Some(2));
        assert!(matches!(page.block(2), Some(ContentBlock::Text(text)) if text == "six"));
        assert_eq!(page.lay_out((80, 20), None, 2), None, "as it was");
    }
}
