//! One message in full: as a tree, as text, beside what it was.

use std::sync::Arc;

use regex::Regex;

use super::super::content::{ContentBlock, ContentPage, blocks, has_content};
use super::super::diff::{DiffLine, diff_json};
use super::super::graphics::Graphics;
use super::super::json::{Folds, JsonCell, JsonRow, JsonTree, pretty};
use super::motion::{Motion, window};
use super::observed::outcome_words;
use super::summary::status_hint;
use super::wrapped_text::WrappedText;
use crate::envelope::{Envelope, Seq, written_headers};
use crate::event::{Comparison, Finding};
use crate::text::sanitize;

/// Ways to look at a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DetailTab {
    #[default]
    Tree,
    /// What it says to people: Markdown, pictures, sounds.
    Content,
    Text,
    Raw,
    /// The other message of the exchange.
    Pair,
    /// What an edit changed.
    Diff,
    /// What a shadow answered otherwise.
    Shadow,
    /// What is wrong with it.
    Lint,
    /// Carrier, headers, times, outcome.
    Facts,
}

impl DetailTab {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tree => "Tree",
            Self::Content => "Content",
            Self::Text => "Text",
            Self::Raw => "Raw",
            Self::Pair => "Pair",
            Self::Diff => "Diff",
            Self::Shadow => "Shadow",
            Self::Lint => "Lint",
            Self::Facts => "Facts",
        }
    }
}

#[derive(Default)]
pub(crate) struct Detail {
    /// The side that was chosen; what is shown may differ where a message has no such side.
    tab: DetailTab,
    pub(crate) cursor: usize,
    pub(crate) top: usize,
    pub(crate) height: usize,
    /// Kept from message to message: what was folded once stays folded.
    pub(crate) folds: Folds,
    /// JSON in strings is shown as the text it is.
    pub(crate) strings_closed: bool,
    shown: Option<ShownMessage>,
}

/// What is known of a message beside it.
pub(crate) struct MessageNotes {
    /// What a shadow made of it.
    pub(crate) shadow: Option<Arc<Comparison>>,
    /// The text it is being edited as.
    pub(crate) draft: Option<Arc<Vec<String>>>,
    /// What is wrong with it.
    pub(crate) found: Vec<Arc<Finding>>,
}

struct ShownMessage {
    envelope: Arc<Envelope>,
    pair: Option<Arc<Envelope>>,
    notes: MessageNotes,
    has_content: bool,
    tab: DetailTab,
    strings_closed: bool,
    content: DetailContent,
}

pub(crate) enum DetailContent {
    Tree(JsonTree),
    Page(ContentPage),
    Lines(WrappedText),
    Diff(Vec<DiffLine>),
    Shadow(Arc<Comparison>),
}

impl Detail {
    /// Shows this message from now on, beside the other of its exchange and what a shadow made of that; where it is being
    /// edited, its tree is that of the draft. Costs nothing while it stays the same one.
    pub(crate) fn show(&mut self, envelope: Option<Arc<Envelope>>, pair: Option<Arc<Envelope>>, notes: MessageNotes) {
        let Some(envelope) = envelope else {
            self.shown = None;
            return;
        };
        let known = self.shown.as_ref().filter(|shown| Arc::ptr_eq(&shown.envelope, &envelope));
        let has_content = known.map_or_else(|| has_content(&envelope.message), |known| known.has_content);
        let mut next = ShownMessage {
            envelope,
            pair,
            notes,
            has_content,
            tab: self.tab,
            strings_closed: self.strings_closed,
            content: DetailContent::Lines(WrappedText::default()),
        };
        if !next.tabs().contains(&next.tab) {
            next.tab = DetailTab::Tree;
        }
        if let Some(shown) = &mut self.shown {
            if shown.is_as(&next) {
                // The reply may have come meanwhile, or the shadow's.
                (shown.pair, shown.notes) = (next.pair, next.notes);
                return;
            }
            if shown.envelope.seq != next.envelope.seq || shown.tab != next.tab {
                (self.cursor, self.top) = (0, 0);
            }
        }
        next.content = next.content();
        self.shown = Some(next);
    }

    pub(crate) fn envelope(&self) -> Option<&Arc<Envelope>> {
        self.shown.as_ref().map(|shown| &shown.envelope)
    }

    /// What is shown is not what came but what was made of it, and not sent yet.
    pub(crate) fn is_draft(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.notes.draft.is_some() && shown.tab == DetailTab::Tree)
    }

    pub(crate) fn content(&self) -> Option<&DetailContent> {
        self.shown.as_ref().map(|shown| &shown.content)
    }

    /// The sides this message has, and the one shown.
    pub(crate) fn tabs(&self) -> (Vec<DetailTab>, DetailTab) {
        match &self.shown {
            Some(shown) => (shown.tabs(), shown.tab),
            None => (Vec::new(), DetailTab::Tree),
        }
    }

    pub(crate) fn turn_tab(&mut self, by: isize) {
        let (tabs, current) = self.tabs();
        let Some(position) = tabs.iter().position(|tab| *tab == current) else { return };
        let len = tabs.len().cast_signed();
        let next = (position.cast_signed() + by).rem_euclid(len);
        self.tab = tabs[next.cast_unsigned()];
    }

    pub(crate) fn choose_tab(&mut self, tab: usize) {
        self.tab = self.tabs().0.get(tab).copied().unwrap_or(self.tab);
    }

    pub(crate) fn len(&self) -> usize {
        match self.content() {
            Some(DetailContent::Tree(tree)) => tree.row_count(&self.folds),
            Some(DetailContent::Page(page)) => page.len(),
            Some(DetailContent::Lines(lines)) => lines.rows().len(),
            Some(DetailContent::Diff(lines)) => lines.len(),
            // Two lines that sum it up, and three for each value.
            Some(DetailContent::Shadow(comparison)) => 2 + comparison.differences.len() * 3,
            None => 0,
        }
    }

    pub(crate) fn go(&mut self, motion: Motion) {
        self.cursor = motion.from(self.cursor, self.len(), self.height);
    }

    /// `graphics`: how the terminal shows pictures.
    pub(crate) fn frame(&mut self, width: usize, height: usize, graphics: Option<Graphics>) {
        self.height = height;
        let moved = match self.shown.as_mut().map(|shown| &mut shown.content) {
            Some(DetailContent::Lines(lines)) => lines.wrap(width, self.cursor),
            Some(DetailContent::Page(page)) => page.lay_out((width, height), graphics, self.cursor),
            _ => None,
        };
        self.cursor = moved.unwrap_or(self.cursor);
        self.cursor = self.cursor.min(self.len().saturating_sub(1));
        self.top = window(self.top, self.cursor, self.len(), height);
    }

    /// The row of the tree under the cursor.
    pub(crate) fn row(&self) -> Option<JsonRow> {
        match self.content() {
            Some(DetailContent::Tree(tree)) => tree.rows(&self.folds, self.cursor..self.cursor + 1).pop(),
            _ => None,
        }
    }

    /// The piece of content under the cursor, where content is shown.
    pub(crate) fn content_block(&self) -> Option<&ContentBlock> {
        match self.content() {
            Some(DetailContent::Page(page)) => page.block(self.cursor),
            _ => None,
        }
    }

    /// Whether there is something under the cursor that can be taken by itself.
    pub(crate) fn has_value(&self) -> bool {
        self.row().is_some() || self.content_block().is_some()
    }

    /// The single value under the cursor of the message's own tree.
    pub(crate) fn value(&self) -> Option<JsonRow> {
        self.row().filter(|row| is_value(row) && self.tabs().1 == DetailTab::Tree)
    }

    /// Shows the message as a tree.
    pub(crate) fn show_tree(&mut self) {
        self.tab = DetailTab::Tree;
    }

    /// Puts the cursor on the value that is most likely to be edited: the first argument of a call, what
    /// a result says.
    pub(crate) fn go_to_likely_value(&mut self) {
        let Some(DetailContent::Tree(tree)) = self.content() else { return };
        let rows = tree.rows(&all_open(), 0..SEARCHED);
        let first = |within: &str| rows.iter().position(|row| is_value(row) && row.path.starts_with(within));
        let found = LIKELY.iter().find_map(|within| first(within)).or_else(|| rows.iter().rposition(is_value));
        found.into_iter().for_each(|row| self.go_to(row));
    }

    /// Puts the cursor on the next single value, or the one before, and opens what hides it; returns `false` where there is none.
    pub(crate) fn go_to_next_value(&mut self, by: isize) -> bool {
        let Some(DetailContent::Tree(tree)) = self.content() else { return false };
        let here = tree.place_among_all(&self.folds, self.cursor);
        let range = if by < 0 { here.saturating_sub(SEARCHED)..here } else { here + 1..here + 1 + SEARCHED };
        let (from, rows) = (range.start, tree.rows(&all_open(), range));
        let found = if by < 0 { rows.iter().rposition(is_value) } else { rows.iter().position(is_value) };
        found.inspect(|at| self.go_to(from + at)).is_some()
    }

    /// To the container around the row under the cursor; returns `false` where there is none.
    pub(crate) fn go_to_parent(&mut self) -> bool {
        let Some(DetailContent::Tree(tree)) = self.content() else { return false };
        let from = self.cursor.saturating_sub(SEARCHED);
        let rows = tree.rows(&self.folds, from..self.cursor + 1);
        let Some(depth) = rows.last().map(|row| row.depth) else { return false };
        let found = rows.iter().rposition(|row| row.depth < depth);
        found.inspect(|at| self.cursor = from + at).is_some()
    }

    /// What is shown, in a form that tells it from all else.
    pub(crate) fn identity(&self) -> Option<(Seq, DetailTab, usize)> {
        let shown = self.shown.as_ref()?;
        let draft = shown.notes.draft.as_ref().map_or(0, |draft| Arc::as_ptr(draft) as usize);
        let width = match &shown.content {
            DetailContent::Lines(lines) => lines.width(),
            DetailContent::Page(page) => page.width(),
            _ => 0,
        };
        Some((shown.envelope.seq, shown.tab, draft ^ width ^ (shown.envelope.message.raw().len() << 16)))
    }

    /// Rows of what is shown, folded ones included.
    pub(crate) fn search_len(&self) -> usize {
        match self.content() {
            Some(DetailContent::Tree(tree)) => tree.all_rows(),
            Some(DetailContent::Lines(_) | DetailContent::Page(_)) => self.len(),
            Some(DetailContent::Diff(lines)) => lines.len(),
            _ => 0,
        }
    }

    /// Whether a match begins in a row, with the whole of a long string.
    pub(crate) fn is_match(&self, row: usize, pattern: &Regex) -> bool {
        match self.content() {
            Some(DetailContent::Tree(tree)) => pattern.is_match(&tree.words(row)),
            Some(DetailContent::Page(page)) => pattern.is_match(&page.text(row)),
            Some(DetailContent::Lines(lines)) => {
                let own = lines.row(row).map_or(0, str::len);
                // What begins in the row below is that row's.
                pattern.find(lines.with_end_of_next(row)).is_some_and(|found| found.start() < own)
            }
            Some(DetailContent::Diff(lines)) => lines.get(row).is_some_and(|line| pattern.is_match(&line.text)),
            _ => false,
        }
    }

    /// The row under the cursor, as a search counts them.
    pub(crate) fn search_row(&self) -> usize {
        match self.content() {
            Some(DetailContent::Tree(tree)) => tree.place_among_all(&self.folds, self.cursor),
            _ => self.cursor,
        }
    }

    /// Puts the cursor on a row as a search counts them, and opens what hides it.
    pub(crate) fn go_to(&mut self, row: usize) {
        self.cursor = match &self.shown {
            Some(ShownMessage { content: DetailContent::Tree(tree), .. }) => tree.reveal(&mut self.folds, row),
            _ => row,
        };
    }

    /// Puts the cursor on the value at a path; returns `false` where there is none.
    pub(crate) fn go_to_path(&mut self, path: &str) -> bool {
        let row = match self.content() {
            Some(DetailContent::Tree(tree)) => tree.row_at(path),
            _ => None,
        };
        row.inspect(|row| self.go_to(*row)).is_some()
    }

    /// Whether there is anything to fold.
    pub(crate) fn has_folds(&self) -> bool {
        matches!(self.content(), Some(DetailContent::Tree(tree)) if tree.is_json())
    }

    /// Whether the row under the cursor can be folded, and is.
    pub(crate) fn fold(&self) -> Option<bool> {
        self.row().filter(|row| row.foldable).map(|row| row.folded)
    }

    /// Whether a row that can be folded has its mark in that cell of that line.
    pub(crate) fn is_fold_mark(&self, line: usize, cell: usize) -> bool {
        let Some(DetailContent::Tree(tree)) = self.content() else { return false };
        let at = self.top + line;
        let row = tree.rows(&self.folds, at..at + 1).pop();
        row.is_some_and(|row| row.foldable && (row.mark_cell()..=row.mark_cell() + 1).contains(&cell))
    }

    pub(crate) fn toggle_fold(&mut self) {
        if let Some(row) = self.row().filter(|row| row.foldable) {
            self.folds.toggle(&row.path);
        }
    }

    /// The value at a path of the tree: a string as its text, anything else as JSON.
    pub(crate) fn value_text(&self, path: &str) -> Option<String> {
        match self.content() {
            Some(DetailContent::Tree(tree)) => tree.text_at(path),
            _ => None,
        }
    }

    /// The path of the row under the cursor, as jq understands it.
    pub(crate) fn jq_path(&self) -> Option<String> {
        let path = self.row()?.path;
        match self.content() {
            Some(DetailContent::Tree(tree)) => Some(tree.jq_path(&path)),
            _ => Some(path),
        }
    }

    /// The string under the cursor, where it is too long for a row.
    pub(crate) fn long_string(&self) -> Option<(String, String)> {
        let row = self.row()?;
        let JsonCell::String { chars, lines, .. } = row.value else { return None };
        if chars <= 40 && lines <= 1 {
            return None;
        }
        let text = self.value_text(&row.path)?;
        Some((row.path, text))
    }
}

impl ShownMessage {
    /// Whether what is shown of it is what `next` would show.
    fn is_as(&self, next: &Self) -> bool {
        let same_pair =
            next.tab != DetailTab::Pair || self.pair.as_ref().map(Arc::as_ptr) == next.pair.as_ref().map(Arc::as_ptr);
        let same_draft = self.notes.draft.as_ref().map(Arc::as_ptr) == next.notes.draft.as_ref().map(Arc::as_ptr);
        let same_found = next.tab != DetailTab::Lint || self.notes.found.len() == next.notes.found.len();
        let same_side = self.tab == next.tab && self.strings_closed == next.strings_closed;
        Arc::ptr_eq(&self.envelope, &next.envelope) && same_side && same_pair && same_draft && same_found
    }

    fn tabs(&self) -> Vec<DetailTab> {
        let mut tabs = vec![DetailTab::Tree];
        tabs.extend(self.has_content.then_some(DetailTab::Content));
        tabs.extend([DetailTab::Text, DetailTab::Raw]);
        tabs.extend(self.pair.as_ref().map(|_| DetailTab::Pair));
        tabs.extend(self.envelope.original.as_ref().map(|_| DetailTab::Diff));
        tabs.extend(self.notes.shadow.as_ref().map(|_| DetailTab::Shadow));
        tabs.extend(self.notes.found.first().map(|_| DetailTab::Lint));
        tabs.push(DetailTab::Facts);
        tabs
    }

    fn content(&self) -> DetailContent {
        let tree = if self.strings_closed { JsonTree::new } else { JsonTree::unfolded };
        let (envelope, raw) = (&self.envelope, self.envelope.message.raw());
        match (self.tab, &self.notes.shadow) {
            (DetailTab::Shadow, Some(comparison)) => DetailContent::Shadow(comparison.clone()),
            (DetailTab::Tree | DetailTab::Shadow, _) => match &self.notes.draft {
                Some(draft) => DetailContent::Tree(JsonTree::of_marked(&draft.join("\n"))),
                None => DetailContent::Tree(tree(raw)),
            },
            (DetailTab::Content, _) => DetailContent::Page(ContentPage::of(blocks(&envelope.message))),
            (DetailTab::Text, _) => {
                DetailContent::Lines(lines(&pretty(raw).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned())))
            }
            (DetailTab::Raw, _) => DetailContent::Lines(lines(&String::from_utf8_lossy(raw))),
            (DetailTab::Pair, _) => {
                DetailContent::Tree(tree(self.pair.as_ref().map_or(raw, |pair| pair.message.raw())))
            }
            (DetailTab::Diff, _) => {
                let original = envelope.original.as_ref().map_or(raw, |original| original.raw());
                DetailContent::Diff(diff_json(original, raw))
            }
            (DetailTab::Lint, _) => DetailContent::Lines(WrappedText::of(finding_lines(&self.notes.found))),
            (DetailTab::Facts, _) => DetailContent::Lines(WrappedText::of(facts(envelope))),
        }
    }
}

/// Rows that a key looks through for a value.
const SEARCHED: usize = 2_000;

/// Where what is edited mostly stands, the likeliest first.
const LIKELY: [&str; 6] = [
    ".params.arguments",
    ".result.structuredContent",
    ".result.content[0].text",
    ".params",
    ".result",
    ".error.message",
];

/// In which nothing is hidden.
fn all_open() -> Folds {
    Folds::new(usize::MAX)
}

/// Whether a row is one value that can be typed in a line.
fn is_value(row: &JsonRow) -> bool {
    matches!(row.value, JsonCell::String { .. } | JsonCell::Number(_) | JsonCell::Bool(_) | JsonCell::Null)
}

fn lines(text: &str) -> WrappedText {
    WrappedText::of(text.lines().map(|line| sanitize(line).into_owned()).collect())
}

/// What is wrong, why, who says so, and what clients do with it.
fn finding_lines(found: &[Arc<Finding>]) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in found {
        lines.push(format!("{} {}, by the {}", finding.level.word(), finding.code, finding.culprit()));
        lines.push(format!("  {}", finding.text));
        lines.push(format!("  hint: {}", finding.hint));
        lines.push(format!("  {} of revision {}", finding.section, finding.revision));
        lines.extend(finding.clients.iter().map(|client| format!("  {client}")));
        lines.push(String::new());
    }
    lines.into_iter().map(|line| sanitize(&line).into_owned()).collect()
}

fn facts(envelope: &Envelope) -> Vec<String> {
    let transport = &envelope.transport;
    let mut lines = vec![
        fact("outcome", &outcome_words(&envelope.outcome)),
        fact("kind", envelope.kind().word()),
        fact("carrier", transport.via.word()),
        fact("session", &envelope.session.short()),
    ];
    lines.extend(envelope.message.head().flaw.as_deref().map(|flaw| fact("flaw", flaw)));
    lines.extend(transport.status.map(|status| fact("status", &status.to_string())));
    lines.extend(status_hint(envelope).map(|hint| fact("hint", hint)));
    lines.extend(envelope.held.map(|held| fact("held", &crate::text::micros_with_unit(held))));
    lines.extend(
        envelope
            .reply_to
            .as_ref()
            .map(|to| fact("answers", &format!("{} after {}", to.seq, crate::text::micros_with_unit(to.took)))),
    );
    lines.extend(envelope.part_of.map(|began| fact("continues", &began.to_string())));
    if let Some(sse) = &transport.sse {
        let fields = [("sse id", &sse.id), ("sse event", &sse.event), ("sse retry", &sse.retry)];
        lines.extend(fields.into_iter().filter_map(|(name, value)| Some(fact(name, value.as_ref()?))));
    }
    if let Some(headers) = &transport.headers {
        lines.push(String::new());
        lines.extend(written_headers(headers).iter().map(|(name, value)| format!("{name}: {value}")));
    }
    lines
}

fn fact(name: &str, value: &str) -> String {
    format!("{name:<10} {value}")
}
