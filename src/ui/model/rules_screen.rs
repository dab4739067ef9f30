//! The rules screen: which rule the cursor is on, wherever that is moved to, and what is being written of one.

use super::motion::{ListCursor, Motion};
use super::rule_editor::RuleEditor;
use crate::event::RuleStatus;

/// What tells a rule from all others: two taplines may each have one of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleKey {
    pub(crate) tapline: Option<String>,
    pub(crate) name: String,
}

impl RuleKey {
    pub(crate) fn of(rule: &RuleStatus) -> Self {
        Self { tapline: rule.tapline.clone(), name: rule.name.clone() }
    }

    /// Whether this is the rule; one that is expected is not known to be of a tapline.
    pub(crate) fn is(&self, rule: &RuleStatus) -> bool {
        self.name == rule.name && (self.tapline.is_none() || self.tapline == rule.tapline)
    }
}

#[derive(Default)]
pub(crate) struct RulesScreen {
    pub(crate) place: ListCursor,
    /// The rule under the cursor, which stays on it while the others change their places.
    key: Option<RuleKey>,
    /// A rule that is being written.
    pub(crate) editor: Option<Box<RuleEditor>>,
    /// What was asked for has not been answered: the answer is said on whichever screen is shown by then.
    pub(crate) awaits_answer: bool,
    /// What was written and not put in force: of which rule, and its lines.
    pub(crate) draft: Option<(Option<RuleKey>, Vec<String>)>,
}

impl RulesScreen {
    pub(crate) fn go(&mut self, motion: Motion, rules: &[RuleStatus]) {
        self.place.go(motion, rules.len());
        self.key = rules.get(self.place.cursor).map(RuleKey::of);
    }

    /// Puts the cursor on the rule in this row.
    pub(crate) fn select(&mut self, row: usize, rules: &[RuleStatus]) {
        self.place.cursor = row;
        self.key = rules.get(row).map(RuleKey::of);
    }

    /// Puts the cursor on this rule as soon as it is there.
    pub(crate) fn expect(&mut self, key: RuleKey) {
        self.key = Some(key);
    }

    /// The cursor follows its rule.
    pub(crate) fn frame(&mut self, rules: &[RuleStatus], height: usize) {
        match rules.iter().position(|rule| self.key.as_ref().is_some_and(|key| key.is(rule))) {
            Some(row) => self.place.cursor = row,
            None if self.key.is_none() => self.key = rules.first().map(RuleKey::of),
            None => {}
        }
        self.place.frame(rules.len(), height);
    }
}
