//! The rules screen: which rule the cursor is on, wherever that is moved to, and what is being written of one.

use super::motion::{ListCursor, Motion};
use super::rule_editor::RuleEditor;
use crate::event::RuleStatus;

#[derive(Default)]
pub(crate) struct RulesScreen {
    pub(crate) place: ListCursor,
    /// The rule under the cursor, which stays on it while the others change their places.
    name: Option<String>,
    /// A rule that is being written.
    pub(crate) editor: Option<Box<RuleEditor>>,
    /// What was written and not put in force: of which rule, and its lines.
    pub(crate) draft: Option<(Option<String>, Vec<String>)>,
}

impl RulesScreen {
    pub(crate) fn go(&mut self, motion: Motion, rules: &[RuleStatus]) {
        self.place.go(motion, rules.len());
        self.name = rules.get(self.place.cursor).map(|rule| rule.name.clone());
    }

    /// Puts the cursor on the rule in this row.
    pub(crate) fn select(&mut self, row: usize, rules: &[RuleStatus]) {
        self.place.cursor = row;
        self.name = rules.get(row).map(|rule| rule.name.clone());
    }

    /// Puts the cursor on the rule of this name as soon as there is one.
    pub(crate) fn expect(&mut self, name: String) {
        self.name = Some(name);
    }

    /// The cursor follows its rule.
    pub(crate) fn frame(&mut self, rules: &[RuleStatus], height: usize) {
        match rules.iter().position(|rule| Some(&rule.name) == self.name.as_ref()) {
            Some(row) => self.place.cursor = row,
            None if self.name.is_none() => self.name = rules.first().map(|rule| rule.name.clone()),
            None => {}
        }
        self.place.frame(rules.len(), height);
    }
}
