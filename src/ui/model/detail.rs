//! One message in full: as a tree, as text, beside what it was.

use std::sync::Arc;

use super::super::diff::{DiffLine, diff_json};
use super::super::json::{Folds, JsonCell, JsonRow, JsonTree, pretty};
use super::motion::{Motion, window};
use super::observed::outcome_words;
use crate::envelope::{Envelope, written_headers};
use crate::event::Comparison;

/// Ways to look at a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DetailTab {
    #[default]
    Tree,
    Text,
    Raw,
    /// The other message of the exchange.
    Pair,
    /// What an edit changed.
    Diff,
    /// What a shadow answered otherwise.
    Shadow,
    /// Carrier, headers, times, outcome.
    Facts,
}

impl DetailTab {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tree => "Tree",
            Self::Text => "Text",
            Self::Raw => "Raw",
            Self::Pair => "Pair",
            Self::Diff => "Diff",
            Self::Shadow => "Shadow",
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
    shown: Option<ShownMessage>,
}

struct ShownMessage {
    envelope: Arc<Envelope>,
    pair: Option<Arc<Envelope>>,
    shadow: Option<Arc<Comparison>>,
    tab: DetailTab,
    content: DetailContent,
}

pub(crate) enum DetailContent {
    Tree(JsonTree),
    Lines(Vec<String>),
    Diff(Vec<DiffLine>),
    Shadow(Arc<Comparison>),
}

impl Detail {
    /// Shows this message from now on, beside the other of its exchange and what a shadow made of that. Costs nothing while it
    /// stays the same one.
    pub(crate) fn show(
        &mut self,
        envelope: Option<Arc<Envelope>>,
        pair: Option<Arc<Envelope>>,
        shadow: Option<Arc<Comparison>>,
    ) {
        let Some(envelope) = envelope else {
            self.shown = None;
            return;
        };
        let mut next =
            ShownMessage { envelope, pair, shadow, tab: self.tab, content: DetailContent::Lines(Vec::new()) };
        if !next.tabs().contains(&next.tab) {
            next.tab = DetailTab::Tree;
        }
        if let Some(shown) = &mut self.shown {
            let same_pair = next.tab != DetailTab::Pair
                || shown.pair.as_ref().map(Arc::as_ptr) == next.pair.as_ref().map(Arc::as_ptr);
            if Arc::ptr_eq(&shown.envelope, &next.envelope) && shown.tab == next.tab && same_pair {
                // The reply may have come meanwhile, or the shadow's.
                (shown.pair, shown.shadow) = (next.pair, next.shadow);
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

    pub(crate) fn len(&self) -> usize {
        match self.content() {
            Some(DetailContent::Tree(tree)) => tree.row_count(&self.folds),
            Some(DetailContent::Lines(lines)) => lines.len(),
            Some(DetailContent::Diff(lines)) => lines.len(),
            // Two lines that sum it up, and three for each value.
            Some(DetailContent::Shadow(comparison)) => 2 + comparison.differences.len() * 3,
            None => 0,
        }
    }

    pub(crate) fn go(&mut self, motion: Motion) {
        self.cursor = motion.from(self.cursor, self.len(), self.height);
    }

    pub(crate) fn frame(&mut self, height: usize) {
        self.height = height;
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

    /// Whether the row under the cursor can be folded, and is.
    pub(crate) fn fold(&self) -> Option<bool> {
        self.row().filter(|row| row.foldable).map(|row| row.folded)
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
    fn tabs(&self) -> Vec<DetailTab> {
        let mut tabs = vec![DetailTab::Tree, DetailTab::Text, DetailTab::Raw];
        tabs.extend(self.pair.as_ref().map(|_| DetailTab::Pair));
        tabs.extend(self.envelope.original.as_ref().map(|_| DetailTab::Diff));
        tabs.extend(self.shadow.as_ref().map(|_| DetailTab::Shadow));
        tabs.push(DetailTab::Facts);
        tabs
    }

    fn content(&self) -> DetailContent {
        let (envelope, raw) = (&self.envelope, self.envelope.message.raw());
        match (self.tab, &self.shadow) {
            (DetailTab::Shadow, Some(comparison)) => DetailContent::Shadow(comparison.clone()),
            (DetailTab::Tree | DetailTab::Shadow, _) => DetailContent::Tree(JsonTree::new(raw)),
            (DetailTab::Text, _) => {
                DetailContent::Lines(lines(&pretty(raw).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned())))
            }
            (DetailTab::Raw, _) => DetailContent::Lines(lines(&String::from_utf8_lossy(raw))),
            (DetailTab::Pair, _) => {
                DetailContent::Tree(JsonTree::new(self.pair.as_ref().map_or(raw, |pair| pair.message.raw())))
            }
            (DetailTab::Diff, _) => {
                let original = envelope.original.as_ref().map_or(raw, |original| original.raw());
                DetailContent::Diff(diff_json(original, raw))
            }
            (DetailTab::Facts, _) => DetailContent::Lines(facts(envelope)),
        }
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
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
    lines.extend(envelope.held.map(|held| fact("held", &format!("{} ms", held / 1000))));
    lines.extend(
        envelope.reply_to.as_ref().map(|to| fact("answers", &format!("{} after {} ms", to.seq, to.took / 1000))),
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
