//! The line at the bottom in which something is typed: a filter, a hold filter, a number.

use super::input_line::Line;
use crate::filter::{Filter, FilterError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Filter,
    Hold,
    Goto,
}

pub(crate) struct Bar {
    pub(crate) asked: Asked,
    pub(crate) line: Line,
    pub(crate) error: Option<FilterError>,
    /// What esc brings back.
    pub(crate) before: Option<(String, Filter)>,
    /// Place in the history of filters while going through it.
    pub(crate) history: Option<usize>,
}

impl Bar {
    pub(crate) fn new(asked: Asked, text: &str) -> Self {
        Self { asked, line: Line::new(text), error: None, before: None, history: None }
    }

    pub(crate) fn label(&self) -> &'static str {
        match self.asked {
            Asked::Filter => "filter> ",
            Asked::Hold => "hold> ",
            Asked::Goto => ":",
        }
    }

    /// Reads what is typed. An error is kept for the screen; an empty line is no filter.
    pub(crate) fn parse(&mut self) -> Option<Option<(String, Filter)>> {
        self.error = None;
        let text = self.line.text().trim();
        if text.is_empty() {
            return Some(None);
        }
        match Filter::parse(text) {
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
