//! Two tapes side by side: what differs, as rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::motion::{ListCursor, Motion};
use super::state::Model;
use super::tapes_screen::tape_title;
use crate::envelope::Seq;
use crate::event::{CallChange, ChangeKind, DefinitionChange, Difference, TapeComparison, TapeDiff};

#[derive(Default)]
pub(crate) struct CompareScreen {
    /// The tape that another is to be compared with.
    pub(crate) marked: Option<PathBuf>,
    pub(crate) shown: Option<ShownComparison>,
    /// The tape that is open was opened from here.
    pub(crate) is_below_tape: bool,
}

/// A comparison that was asked for.
pub(crate) struct ShownComparison {
    pub(crate) tapes: [PathBuf; 2],
    /// `None` until it is through.
    pub(crate) found: Option<Arc<TapeComparison>>,
    pub(crate) rows: Vec<CompareRow>,
    pub(crate) place: ListCursor,
}

/// A row of what differs; numbers are places in the lists of [`TapeDiff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompareRow {
    /// What of a tape could not be read.
    Problem {
        side: usize,
        at: usize,
    },
    Definition(usize),
    Call(usize),
    /// A value of the call or definition above it.
    Value {
        of: ValueOwner,
        at: usize,
    },
    Timing(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueOwner {
    Definition(usize),
    Call(usize),
}

impl CompareScreen {
    pub(crate) fn go(&mut self, motion: Motion) {
        if let Some(shown) = &mut self.shown {
            shown.place.go(motion, shown.rows.len());
        }
    }

    pub(crate) fn go_to(&mut self, row: usize) {
        if let Some(shown) = &mut self.shown {
            shown.place.cursor = row;
        }
    }

    pub(crate) fn frame(&mut self, height: usize) {
        if let Some(shown) = &mut self.shown {
            shown.place.frame(shown.rows.len(), height);
        }
    }
}

impl ShownComparison {
    pub(crate) fn new(tapes: [PathBuf; 2]) -> Self {
        Self { tapes, found: None, rows: Vec::new(), place: ListCursor::default() }
    }

    pub(crate) fn runs(&self) -> bool {
        self.found.is_none()
    }

    /// Takes in what came of it; another comparison is none of ours.
    pub(crate) fn finish(&mut self, found: Arc<TapeComparison>) {
        if found.tapes == self.tapes {
            (self.rows, self.found) = (rows_of(&found), Some(found));
        }
    }

    pub(crate) fn diff(&self) -> Option<&TapeDiff> {
        self.found.as_ref()?.outcome.as_ref().ok()
    }

    /// Why there is nothing to show.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.found.as_ref()?.outcome.as_ref().err().map(String::as_str)
    }

    pub(crate) fn selected(&self) -> Option<CompareRow> {
        self.rows.get(self.place.cursor).copied()
    }

    pub(crate) fn problem(&self, side: usize, at: usize) -> &str {
        self.found.as_ref().and_then(|found| found.problems[side].get(at)).map_or("", String::as_str)
    }

    pub(crate) fn call(&self, at: usize) -> Option<&CallChange> {
        self.diff()?.calls.get(at)
    }

    pub(crate) fn definition(&self, at: usize) -> Option<&DefinitionChange> {
        self.diff()?.definitions.get(at)
    }

    pub(crate) fn value(&self, of: ValueOwner, at: usize) -> Option<&Difference> {
        match of {
            ValueOwner::Definition(owner) => self.definition(owner)?.differences.get(at),
            ValueOwner::Call(owner) => self.call(owner)?.differences.get(at),
        }
    }

    /// The value under the cursor; of a definition that only one tape has, all of it.
    pub(crate) fn selected_value(&self) -> Option<&Difference> {
        match self.selected()? {
            CompareRow::Value { of, at } => self.value(of, at),
            CompareRow::Definition(at) => {
                self.definition(at).filter(|it| it.kind != ChangeKind::Changed)?.differences.first()
            }
            _ => None,
        }
    }

    /// The call under the cursor, or the one that the value there is of.
    pub(crate) fn selected_call(&self) -> Option<&CallChange> {
        match self.selected()? {
            CompareRow::Call(at) | CompareRow::Value { of: ValueOwner::Call(at), .. } => self.call(at),
            _ => None,
        }
    }

    /// The message of the call under the cursor on one of the tapes.
    pub(crate) fn message(&self, side: usize) -> Option<(&Path, Seq)> {
        let call = self.selected_call()?;
        Some((&self.tapes[side], if side == 0 { call.left? } else { call.right? }))
    }

    /// What a row says, for the search.
    pub(crate) fn words_at(&self, row: usize) -> String {
        let Some(row) = self.rows.get(row) else { return String::new() };
        match *row {
            CompareRow::Problem { side, at } => self.problem(side, at).to_owned(),
            CompareRow::Definition(at) => {
                self.definition(at).map_or(String::new(), |it| format!("{} {}", it.what, it.name))
            }
            CompareRow::Call(at) => self.call(at).map_or(String::new(), call_words),
            CompareRow::Value { of, at } => self.value(of, at).map_or(String::new(), |it| {
                let side = |value: &Option<String>| value.clone().unwrap_or_default();
                format!("{} {} {}", it.path, side(&it.expected), side(&it.got))
            }),
            CompareRow::Timing(at) => {
                self.diff().and_then(|diff| diff.timings.get(at)).map_or(String::new(), |it| it.subject.clone())
            }
        }
    }

    /// Both tapes by their names.
    pub(crate) fn titles(&self) -> [String; 2] {
        self.tapes.each_ref().map(|path| tape_title(path))
    }
}

/// Method and name of a call.
pub(crate) fn call_words(call: &CallChange) -> String {
    format!("{} {}", call.method, call.name.as_deref().unwrap_or_default()).trim_end().to_owned()
}

fn rows_of(found: &TapeComparison) -> Vec<CompareRow> {
    let problems = [0, 1].into_iter().flat_map(|side| {
        let count = found.problems[side].len();
        (0..count).map(move |at| CompareRow::Problem { side, at })
    });
    let mut rows: Vec<_> = problems.collect();
    let Ok(diff) = &found.outcome else { return rows };
    let values = |of, differences: &[Difference]| {
        let count = differences.len();
        (0..count).map(move |at| CompareRow::Value { of, at })
    };
    for (at, definition) in diff.definitions.iter().enumerate() {
        rows.push(CompareRow::Definition(at));
        if definition.kind == ChangeKind::Changed {
            rows.extend(values(ValueOwner::Definition(at), &definition.differences));
        }
    }
    for (at, call) in diff.calls.iter().enumerate() {
        rows.push(CompareRow::Call(at));
        rows.extend(values(ValueOwner::Call(at), &call.differences));
    }
    rows.extend((0..diff.timings.len()).map(CompareRow::Timing));
    rows
}

impl Model {
    pub(crate) fn can_open_compared(&self) -> bool {
        let shown = self.compare.shown.as_ref();
        let is_problem = |shown: &ShownComparison| matches!(shown.selected(), Some(CompareRow::Problem { .. }));
        shown.is_some_and(|shown| {
            shown.selected_value().is_some() || shown.selected_call().is_some() || is_problem(shown)
        })
    }

    pub(crate) fn has_first_tape(&self) -> bool {
        self.compare.shown.as_ref().is_some_and(|shown| shown.message(0).is_some())
    }
}
