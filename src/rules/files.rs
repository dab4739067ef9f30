//! Files of rules, and the ready sets that go by their names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::read::{RuleDraft, RuleFault, read};
use super::set::RuleSet;
use crate::filter::SavedFilters;

/// The ready sets: name and text.
const READY: [(&str, &str); 6] = [
    ("expired-session", include_str!("../../assets/rules/expired-session.toml")),
    ("flaky", include_str!("../../assets/rules/flaky.toml")),
    ("malformed", include_str!("../../assets/rules/malformed.toml")),
    ("rate-limited", include_str!("../../assets/rules/rate-limited.toml")),
    ("read-only", include_str!("../../assets/rules/read-only.toml")),
    ("slow", include_str!("../../assets/rules/slow.toml")),
];

/// Where rules come from, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct RuleFiles {
    /// Files, or names of ready sets.
    pub places: Vec<PathBuf>,
    /// What `@NAME` in their filters means.
    pub filters: SavedFilters,
}

impl RuleFiles {
    /// Reads all of them.
    ///
    /// # Errors
    /// Everything that is wrong with any, a line each, with file, line and column.
    pub fn read(&self) -> Result<RuleSet, String> {
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        for place in &self.places {
            let text = match text_of(place) {
                Ok(text) => text,
                Err(why) => {
                    faults.push(why);
                    continue;
                }
            };
            match read(&text, &self.filters) {
                Ok(draft) => rules.extend(draft.rules),
                Err(found) => faults.extend(found.iter().map(|fault| in_place(place, &text, fault))),
            }
        }
        if faults.is_empty() { Ok(RuleSet::new(rules)) } else { Err(faults.join("\n")) }
    }

    /// Those that are files, and may change.
    pub fn watched(&self) -> Vec<PathBuf> {
        self.places.iter().filter(|place| place.exists()).cloned().collect()
    }
}

/// The names of the ready sets, what each is for, and the names of its rules.
pub fn ready_sets() -> Vec<(&'static str, String, Vec<Arc<str>>)> {
    let sets = READY.iter().map(|(name, text)| {
        let RuleDraft { rules, about } = read(text, &SavedFilters::default()).unwrap_or_default();
        (*name, about, rules.into_iter().map(|rule| rule.name).collect())
    });
    sets.collect()
}

/// The text of a ready set.
pub fn ready_set(name: &str) -> Option<&'static str> {
    READY.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

fn text_of(place: &Path) -> Result<String, String> {
    let ready = place.to_str().filter(|_| !place.exists()).and_then(ready_set);
    if let Some(text) = ready {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(place).map_err(|why| {
        let names: Vec<_> = READY.iter().map(|(name, _)| *name).collect();
        format!("{}: {why}; the ready sets are `{}`", place.display(), names.join("`, `"))
    })
}

/// `rules.toml:3:8: what is wrong`; columns count characters.
fn in_place(place: &Path, text: &str, fault: &RuleFault) -> String {
    let at = (0..=fault.span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let begin = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let (line, column) = (text[..at].matches('\n').count() + 1, text[begin..at].chars().count() + 1);
    format!("{}:{line}:{column}: {}", place.display(), fault.why)
}
