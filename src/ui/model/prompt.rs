//! The line at the bottom in which something is typed: a filter, a hold filter, a command, what is searched for, one value.

use super::completion::Completions;
use super::input_line::InputLine;
use super::search::Search;
use super::value_edit::ValueEdit;
use crate::filter::{Filter, FilterError, SavedFilters};

/// Characters of a filter that is typed. One of more is no filter, but something else that was pasted.
pub(crate) const LONGEST_FILTER: usize = 4000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromptKind {
    Filter,
    Hold,
    /// The palette; also the number of a message.
    Command,
    Search,
    Value,
    /// A command that is handed the message.
    Pipe,
    /// What is noted of a message.
    Comment,
    /// Another name for a tape.
    TapeName,
    /// What is noted of a tape.
    TapeNote,
}

pub(crate) struct Prompt {
    pub(crate) kind: PromptKind,
    pub(crate) line: InputLine,
    pub(crate) error: Option<FilterError>,
    /// What esc brings back.
    pub(crate) before: Option<(String, Filter)>,
    /// Place in the history of filters while going through it.
    pub(crate) history: Option<usize>,
    /// What the word before the cursor may become, while that is gone through.
    pub(crate) completions: Option<Completions>,
    /// The row of the palette.
    pub(crate) choice: usize,
    /// What was searched for before.
    pub(crate) searched: Option<Search>,
    /// Why what is typed cannot be searched for.
    pub(crate) fault: Option<String>,
    /// What is edited, in the line of a value.
    pub(crate) value: Option<Box<ValueEdit>>,
}

impl Prompt {
    pub(crate) fn new(kind: PromptKind, text: &str) -> Self {
        let line = InputLine::new(text);
        let (before, history, searched, fault) = (None, None, None, None);
        let completions = None;
        Self { kind, line, error: None, before, history, completions, choice: 0, searched, fault, value: None }
    }

    /// For a value of a message: what is typed first replaces it.
    pub(crate) fn of_value(value: ValueEdit, line: &str) -> Self {
        let prompt = Self::new(PromptKind::Value, "");
        Self { line: InputLine::selected(line), value: Some(Box::new(value)), ..prompt }
    }

    /// The row of the palette that is chosen; before anything is typed, none.
    pub(crate) fn chosen(&self) -> Option<usize> {
        if self.line.text().trim().is_empty() { self.choice.checked_sub(1) } else { Some(self.choice) }
    }

    pub(crate) fn label(&self) -> String {
        match (self.kind, &self.value) {
            (PromptKind::Filter, _) => "filter> ".to_owned(),
            (PromptKind::Hold, _) => "hold> ".to_owned(),
            (PromptKind::Value, Some(value)) => format!("{} = ", value.path),
            (PromptKind::Search, _) => "/".to_owned(),
            (PromptKind::Pipe, _) => "| ".to_owned(),
            (PromptKind::Comment, _) => "comment> ".to_owned(),
            (PromptKind::TapeName, _) => "name> ".to_owned(),
            (PromptKind::TapeNote, _) => "note> ".to_owned(),
            (PromptKind::Command | PromptKind::Value, _) => ":".to_owned(),
        }
    }

    /// Reads what is typed. An error is kept for the screen; an empty line is no filter.
    pub(crate) fn parse(&mut self, saved: &SavedFilters) -> Option<Option<(String, Filter)>> {
        self.error = None;
        let text = self.line.text().trim();
        if text.is_empty() {
            return Some(None);
        }
        let filter = match text.char_indices().nth(LONGEST_FILTER) {
            // It is read at every key.
            Some(_) => Err(FilterError {
                column: LONGEST_FILTER + 1,
                why: format!("a filter has at most {LONGEST_FILTER} characters"),
            }),
            None => Filter::parse_with(text, saved),
        };
        match filter {
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
