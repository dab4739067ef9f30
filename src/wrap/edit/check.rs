//! Whether what an edit makes of a file reads as intended. What does not is not done: a file may be written in ways that
//! this code does not know.
//!
//! All servers are checked at once, and only where that fails are those sought who are to blame.

use super::super::doc::{ConfigDoc, Splice, apply};
use super::super::entry::{ServerEntry, entries};
use super::{EditSource, EntryText, OriginalServer};

/// What is to be done to one server.
pub(super) struct PlannedEdit {
    /// Which of the file's servers it is.
    pub(super) at: usize,
    pub(super) splices: Vec<Splice>,
    pub(super) was: OriginalServer,
}

/// A file with those of the planned edits that read as intended.
pub(super) struct CheckedEdit {
    pub(super) text: String,
    pub(super) changed: Vec<OriginalServer>,
    /// The servers whose edits do not.
    pub(super) odd: Vec<usize>,
}

/// What several edits together come to.
enum Reading {
    AsIntended,
    /// These servers, by their place among the edits, read otherwise; all others do not.
    Others(Vec<usize>),
    /// Something is wrong that no edit can be blamed for by itself.
    Unclear,
}

pub(super) struct EditCheck<'a> {
    pub(super) source: EditSource<'a>,
    pub(super) doc: &'a ConfigDoc<'a>,
    pub(super) entries: &'a [ServerEntry<'a>],
    /// What the edited servers shall be.
    pub(super) wrapped: bool,
}

impl EditCheck<'_> {
    pub(super) fn run(&self, planned: Vec<PlannedEdit>) -> CheckedEdit {
        let mut odd = Vec::new();
        let mut good = self.sort_out(Vec::new(), planned, &mut odd);
        good.sort_by_key(|edit| edit.at);
        let text = self.text(&good);
        if self.wrapped {
            self.note_texts(&text, &mut good);
        }
        CheckedEdit { text, changed: good.into_iter().map(|edit| edit.was).collect(), odd }
    }

    /// Adds to edits that read as intended together those of others that do so with them.
    fn sort_out(&self, good: Vec<PlannedEdit>, more: Vec<PlannedEdit>, odd: &mut Vec<usize>) -> Vec<PlannedEdit> {
        if more.is_empty() {
            return good;
        }
        let known = good.len();
        let mut all = good;
        all.extend(more);
        match self.reading(&all) {
            Reading::AsIntended => all,
            Reading::Others(wrong) if wrong.iter().all(|at| *at >= known) => {
                let mut rest = Vec::new();
                for (at, edit) in all.drain(known..).collect::<Vec<_>>().into_iter().enumerate() {
                    if wrong.binary_search(&(at + known)).is_ok() { odd.push(edit.at) } else { rest.push(edit) }
                }
                self.sort_out(all, rest, odd)
            }
            Reading::Others(_) | Reading::Unclear if all.len() == known + 1 => {
                odd.extend(all.pop().map(|edit| edit.at));
                all
            }
            Reading::Others(_) | Reading::Unclear => {
                let second = all.split_off(known + (all.len() - known) / 2);
                let first = all.split_off(known);
                let good = self.sort_out(all, first, odd);
                self.sort_out(good, second, odd)
            }
        }
    }

    fn reading(&self, edits: &[PlannedEdit]) -> Reading {
        let text = self.text(edits);
        let Ok(edited) = ConfigDoc::parse(&text, self.doc.format) else { return Reading::Unclear };
        let now = entries(&edited, self.source.containers, self.source.taplines);
        if now.len() != self.entries.len() || now.iter().zip(self.entries).any(|(now, was)| now.path != was.path) {
            return Reading::Unclear;
        }
        let mut edit_of = vec![None; now.len()];
        edits.iter().enumerate().for_each(|(at, edit)| edit_of[edit.at] = Some(at));
        let mut wrong = Vec::new();
        for ((now, was), edit) in now.iter().zip(self.entries).zip(edit_of) {
            let wrapped = if edit.is_some() { self.wrapped } else { was.wrapped };
            if (now.summary(), now.wrapped) != (was.summary(), wrapped) {
                match edit {
                    Some(edit) => wrong.push(edit),
                    None => return Reading::Unclear,
                }
            }
        }
        wrong.sort_unstable();
        if wrong.is_empty() { Reading::AsIntended } else { Reading::Others(wrong) }
    }

    fn text(&self, edits: &[PlannedEdit]) -> String {
        apply(self.doc.text, edits.iter().flat_map(|edit| edit.splices.iter().cloned()).collect())
    }

    /// Remembers the texts of entries on both sides, where all of one stands in one place.
    fn note_texts(&self, text: &str, edits: &mut [PlannedEdit]) {
        let Ok(edited) = ConfigDoc::parse(text, self.doc.format) else { return };
        let now = entries(&edited, self.source.containers, self.source.taplines);
        for edit in edits {
            let was = whole(self.doc, &self.entries[edit.at]);
            let became = now.get(edit.at).and_then(|entry| whole(&edited, entry));
            edit.was.entry = was.zip(became).map(|(was, became)| EntryText { was, became });
        }
    }
}

fn whole(doc: &ConfigDoc<'_>, entry: &ServerEntry<'_>) -> Option<String> {
    doc.in_braces(entry.node).then(|| doc.raw(&entry.node.span).to_owned())
}
