//! A rule made of a message, being filled in: which messages it is for, and what it does to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::input_line::InputLine;
use super::list_context::ListContext;
use super::message_rows::MessageRows;
use crate::filter::SavedFilters;
use crate::rules::{PreviewCount, RuleProposal, preview};

/// The latest messages that a preview looks at, and for how long: it is made again with each key.
const LOOKED_AT: usize = 50_000;
const LOOK: Duration = Duration::from_millis(100);

/// The rule, being filled in.
pub(crate) struct RuleForm {
    /// What can be made of the message, the likeliest first.
    pub(crate) proposals: Vec<RuleProposal>,
    pub(crate) chosen: usize,
    pub(crate) when: InputLine,
    pub(crate) what: InputLine,
    pub(crate) field: RuleField,
    /// How many of the messages that were seen it would have touched, or all that is wrong with it.
    pub(crate) preview: Result<PreviewCount, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleField {
    Action,
    When,
    What,
}

impl RuleForm {
    /// `proposals`: one at least.
    pub(crate) fn new(proposals: Vec<RuleProposal>) -> Self {
        let (when, what) = (InputLine::new(&proposals[0].when), InputLine::new(&proposals[0].action));
        Self { proposals, chosen: 0, when, what, field: RuleField::Action, preview: Ok(PreviewCount::default()) }
    }

    pub(crate) fn choose(&mut self, by: isize) {
        let Some(chosen) = self.chosen.checked_add_signed(by).filter(|it| *it < self.proposals.len()) else { return };
        self.chosen = chosen;
        self.what = InputLine::new(&self.proposals[chosen].action);
    }

    pub(crate) fn next_field(&mut self, by: isize) {
        let all = [RuleField::Action, RuleField::When, RuleField::What];
        let at = all.iter().position(|field| *field == self.field).unwrap_or(0).cast_signed();
        self.field = all[(at + by).rem_euclid(3).cast_unsigned()];
    }

    pub(crate) fn line(&mut self) -> Option<&mut InputLine> {
        match self.field {
            RuleField::Action => None,
            RuleField::When => Some(&mut self.when),
            RuleField::What => Some(&mut self.what),
        }
    }

    /// Counts the messages that it would have touched.
    pub(crate) fn look(&mut self, rows: &MessageRows, saved: &SavedFilters) {
        self.preview = preview_of(&self.text(), rows, saved);
    }

    /// The rule as it stands in a file.
    pub(crate) fn text(&self) -> String {
        let (when, action) = (self.when.text().trim().to_owned(), self.what.text().trim().to_owned());
        RuleProposal { when, action, ..self.proposals[self.chosen].clone() }.text()
    }
}

/// What rules would have done to the messages of a list, the latest first.
pub(crate) fn preview_of(text: &str, rows: &MessageRows, saved: &SavedFilters) -> Result<PreviewCount, String> {
    let until = Instant::now() + LOOK;
    let latest = (0..rows.len()).rev().take(LOOKED_AT).enumerate();
    let latest = latest.take_while(|(count, _)| count % 64 != 0 || *count == 0 || Instant::now() < until);
    let seen = latest.filter_map(|(_, position)| rows.at(position)).map(|row| -> Arc<_> { row.envelope });
    preview(text, saved, seen, &ListContext { rows, history: None, focus: None })
}
