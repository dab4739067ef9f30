//! A rule as TOML, being written: all that is wrong with it at once, each where it stands.

use tui_textarea::{CursorMove, TextArea, WrapMode};

use super::message_rows::MessageRows;
use super::rule_form::preview_of;
use super::rules_screen::RuleKey;
use crate::event::RuleStatus;
use crate::filter::SavedFilters;
use crate::rules::{PreviewCount, RuleDocument, read};

pub(crate) struct RuleEditor {
    /// The rule that it is to take the place of; `None`: a new one.
    pub(crate) of: Option<RuleKey>,
    opened: Vec<String>,
    pub(crate) area: TextArea<'static>,
    pub(crate) faults: Vec<PlacedFault>,
    /// What it would have done to the messages seen.
    pub(crate) preview: PreviewCount,
}

/// Something that is wrong, with its line and column, both from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlacedFault {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) why: String,
}

/// What a new rule begins as.
const TEMPLATE: &str = "[[rule]]\nname = \"\"\nwhen = \"~q ~m tools/call\"\ndo = \"log\"";

impl RuleEditor {
    /// Opens it on a rule, or on a new one. `draft`: what was written the last time.
    pub(crate) fn open(rule: Option<&RuleStatus>, draft: Option<Vec<String>>) -> Self {
        let text = rule.map_or(TEMPLATE, |rule| rule.text.trim_end());
        let opened: Vec<_> = text.split('\n').map(str::to_owned).collect();
        let mut area = TextArea::new(draft.unwrap_or_else(|| opened.clone()));
        area.set_wrap_mode(WrapMode::Glyph);
        if rule.is_none() {
            area.move_cursor(CursorMove::Jump(1, 8));
        }
        Self { of: rule.map(RuleKey::of), opened, area, faults: Vec::new(), preview: PreviewCount::default() }
    }

    pub(crate) fn touched(&self) -> bool {
        self.area.lines() != self.opened
    }

    /// The `[[rule]]`, as a file takes it.
    pub(crate) fn text(&self) -> String {
        self.area.lines().join("\n") + "\n"
    }

    /// The name that it has in the text.
    pub(crate) fn name(&self) -> Option<String> {
        Some(RuleDocument::parse(&self.text()).ok()?.rules().first()?.name.clone())
    }

    /// Finds all that is wrong with the text, also beside the other rules.
    pub(crate) fn check(&mut self, others: &[RuleStatus], rows: &MessageRows, saved: &SavedFilters) {
        let text = self.text();
        self.faults = match read(&text, saved) {
            Err(faults) => faults.into_iter().map(|fault| placed(&text, fault.span.start, fault.why)).collect(),
            Ok(_) => Vec::new(),
        };
        if !self.faults.is_empty() {
            return;
        }
        let written = RuleDocument::parse(&text).map(|doc| doc.rules()).unwrap_or_default();
        let at = |what: &str| text.find(what).unwrap_or_default();
        match written.as_slice() {
            [rule] if rule.name.is_empty() => {
                self.faults.push(placed(&text, at("name"), "a rule needs a name, such as \"slow search\"".to_owned()));
            }
            [rule] => {
                // What another tapline calls one is no matter for a rule of this one.
                let is_beside = |other: &RuleStatus| self.of.as_ref().is_none_or(|of| of.tapline == other.tapline);
                let is_taken = |other: &RuleStatus| {
                    other.name == rule.name && is_beside(other) && self.of.as_ref().is_none_or(|of| !of.is(other))
                };
                if others.iter().any(is_taken) {
                    let why = format!("another rule is called `{}`", rule.name);
                    self.faults.push(placed(&text, at("name"), why));
                }
            }
            several => {
                self.faults.push(placed(&text, 0, format!("one `[[rule]]` is wanted here, not {}", several.len())));
            }
        }
        self.preview = preview_of(&text, rows, saved).unwrap_or_default();
    }

    /// Puts the cursor on the first fault below it, from the top again after the last.
    pub(crate) fn go_to_fault(&mut self) {
        let here = (self.area.cursor().0 + 1, self.area.cursor().1 + 1);
        let below = self.faults.iter().find(|fault| (fault.line, fault.column) > here);
        if let Some(fault) = below.or(self.faults.first()) {
            let at = |number: usize| u16::try_from(number.saturating_sub(1)).unwrap_or(u16::MAX);
            let to = CursorMove::Jump(at(fault.line), at(fault.column));
            self.area.cancel_selection();
            self.area.move_cursor(to);
        }
    }
}

fn placed(text: &str, at: usize, why: String) -> PlacedFault {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let begin = text[..at].rfind('\n').map_or(0, |at| at + 1);
    PlacedFault { line: text[..at].matches('\n').count() + 1, column: text[begin..at].chars().count() + 1, why }
}
