//! The line at the bottom in which something is typed: a filter, a hold filter, a number.

use super::input_line::InputLine;
use crate::filter::{Filter, FilterError, SavedFilters};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromptKind {
    Filter,
    Hold,
    Goto,
}

pub(crate) struct Prompt {
    pub(crate) kind: PromptKind,
    pub(crate) line: InputLine,
    pub(crate) error: Option<FilterError>,
    /// What esc brings back.
    pub(crate) before: Option<(String, Filter)>,
    /// Place in the history of filters while going through it.
    pub(crate) history: Option<usize>,
}

impl Prompt {
    pub(crate) fn new(kind: PromptKind, text: &str) -> Self {
        Self { kind, line: InputLine::new(text), error: None, before: None, history: None }
    }

    pub(crate) fn label(&self) -> &'static str {
        match self.kind {
            PromptKind::Filter => "filter> ",
            PromptKind::Hold => "hold> ",
            PromptKind::Goto => ":",
        }
    }

    /// Reads what is typed. An error is kept for the screen; an empty line is no filter.
    pub(crate) fn parse(&mut self, saved: &SavedFilters) -> Option<Option<(String, Filter)>> {
        self.error = None;
        let text = self.line.text().trim();
        if text.is_empty() {
            return Some(None);
        }
        match Filter::parse_with(text, saved) {
            Ok(filter) => Some(Some((text.to_owned(), filter))),
            Err(error) => {
                // Columns are of the trimmed text.
                let column = error.column + self.line.text().chars().take_while(|c| c.is_whitespace()).count();
                self.error = Some(FilterError { column, ..error });
                None
            }
        }
    }
}
