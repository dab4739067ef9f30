//! RuleBook as they stand in TOML; all that is wrong with a file is said at once, each where it stands.

mod actions;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) use self::actions::patch_steps;
use self::actions::{ACTIONS, json, list, unknown, with_argument, without_argument};
use super::action::RuleAction;
use super::document::RuleDocument;
use super::set::{Rule, RuleDraft, RuleFlags, RuleLimits};
use crate::filter::{Filter, SavedFilters};

/// Something that is wrong with a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// Where, in bytes.
    pub span: Range<usize>,
    pub why: String,
}

const FILE_KEYS: [&str; 3] = ["about", "seed", "rule"];
const RULE_KEYS: [&str; 14] = [
    "name",
    "about",
    "on",
    "tags",
    "when",
    "do",
    "probability",
    "times",
    "after",
    "every",
    "set",
    "clear",
    "when_set",
    "when_clear",
];
/// Reads the rules of a file.
///
/// # Errors
/// Everything that is wrong with it, in order.
pub fn read(text: &str, saved: &SavedFilters) -> Result<RuleDraft, Vec<RuleFault>> {
    read_among(text, saved, Beside::Nothing)
}

/// What else may stand in a file with rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    Nothing,
    /// All that tapline.toml has.
    Settings,
}

/// Reads the rules of a file in which other things may stand.
pub(super) fn read_among(text: &str, saved: &SavedFilters, beside: Beside) -> Result<RuleDraft, Vec<RuleFault>> {
    let (table, broken) = DeTable::parse_recoverable(text);
    let mut reader = RuleReader { faults: Vec::new(), saved, seed: 0, names: HashSet::new() };
    for error in broken {
        reader.fault(error.span().unwrap_or(0..0), error.message().to_owned());
    }
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let mut draft = reader.file(table.get_ref(), beside);
    reader.faults.sort_by_key(|fault| fault.span.start);
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let written = RuleDocument::parse(text).map(|doc| doc.rules()).unwrap_or_default();
    draft.rules.iter_mut().zip(written).for_each(|(rule, written)| rule.origin.written = written);
    Ok(draft)
}

struct RuleReader<'s> {
    faults: Vec<RuleFault>,
    saved: &'s SavedFilters,
    seed: u64,
    names: HashSet<String>,
}

type Given<'a> = Spanned<DeValue<'a>>;

impl RuleReader<'_> {
    fn fault(&mut self, span: Range<usize>, why: impl Into<String>) {
        self.faults.push(RuleFault { span, why: why.into() });
    }

    /// The value, or that it is wrong.
    fn keep<T>(&mut self, span: Range<usize>, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.fault(span, why)).ok()
    }

    fn file(&mut self, table: &DeTable<'_>, beside: Beside) -> RuleDraft {
        let mut about = String::new();
        if beside == Beside::Nothing {
            self.known_keys(table, &FILE_KEYS);
            self.seed = self.number(table, "seed").unwrap_or(0);
            about = self.text(table, "about").unwrap_or_default();
        }
        let mut rules = Vec::new();
        if let Some(given) = table.get("rule") {
            let Some(all) = given.get_ref().as_array() else {
                self.fault(given.span(), "rules are written as `[[rule]]`");
                return RuleDraft::default();
            };
            for given in all {
                match given.get_ref().as_table() {
                    Some(rule) => rules.extend(self.rule(rule, &given.span())),
                    None => self.fault(given.span(), "a rule is a table"),
                }
            }
        }
        RuleDraft { rules, about }
    }

    fn rule(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Rule> {
        self.known_keys(table, &RULE_KEYS);
        self.text(table, "about");
        let name = self.name(table, span);
        let when = self.when(table, span);
        let action = match table.get("do") {
            Some(given) => self.action(given),
            None => {
                self.fault(span.clone(), format!("a rule needs `do`: one of {}", list(&ACTIONS)));
                None
            }
        };
        let limits = RuleLimits {
            after: self.number(table, "after").unwrap_or(0),
            every: self.number_from_one(table, "every").unwrap_or(1),
            times: self.number_from_one(table, "times"),
            probability: self.probability(table),
        };
        let flags = RuleFlags {
            set: self.text(table, "set").map(Into::into),
            clear: self.text(table, "clear").map(Into::into),
            when_set: self.text(table, "when_set").map(Into::into),
            when_clear: self.text(table, "when_clear").map(Into::into),
        };
        let (is_on, tags) = (self.is_on(table), self.tags(table));
        let mut rule = Rule::new(name?, when?, action?, limits, flags, self.seed);
        (rule.origin.is_on, rule.origin.tags) = (is_on, tags);
        Some(rule)
    }

    fn name(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Arc<str>> {
        let Some(given) = table.get("name") else {
            self.fault(span.clone(), "a rule needs a `name`");
            return None;
        };
        let name = self.text(table, "name")?;
        if !self.names.insert(name.clone()) {
            self.fault(given.span(), format!("another rule is called `{name}`"));
        }
        Some(name.into())
    }

    fn when(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Filter> {
        let Some(given) = table.get("when") else {
            self.fault(span.clone(), "a rule needs `when`, a filter such as `~q ~tool search`");
            return None;
        };
        let read = Filter::parse_with(&self.text(table, "when")?, self.saved);
        self.keep(given.span(), read.map_err(|error| format!("`when`: {error}")))
    }

    fn action(&mut self, given: &Given<'_>) -> Option<RuleAction> {
        let span = given.span();
        let (name, argument) = match given.get_ref() {
            DeValue::String(name) => (name.to_string(), None),
            DeValue::Table(table) if table.len() == 1 => {
                let (key, value) = table.iter().next()?;
                (key.get_ref().to_string(), Some(value))
            }
            _ => {
                let why =
                    "`do` is a word such as `\"hold\"`, or one action with what it needs, such as `{ delay = \"2s\" }`";
                self.fault(span, why);
                return None;
            }
        };
        let argument_span = argument.map_or(span.clone(), Spanned::span);
        let read = match argument {
            Some(value) => with_argument(&name, value.get_ref()),
            None => without_argument(&name),
        };
        self.keep(argument_span, read)
    }

    fn known_keys(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                self.fault(key.span(), unknown("key", name, known));
            }
        }
    }

    fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let given = table.get(key)?;
        let read = match given.get_ref().as_str() {
            Some("") => Err(format!("`{key}` must not be empty")),
            read => read.map(str::to_owned).ok_or_else(|| format!("`{key}` is a text")),
        };
        self.keep(given.span(), read)
    }

    fn is_on(&mut self, table: &DeTable<'_>) -> bool {
        let Some(given) = table.get("on") else { return true };
        let read = given.get_ref().as_bool().ok_or_else(|| "`on` is `true` or `false`".to_owned());
        self.keep(given.span(), read).unwrap_or(true)
    }

    fn tags(&mut self, table: &DeTable<'_>) -> Vec<String> {
        let Some(given) = table.get("tags") else { return Vec::new() };
        let read: Option<Vec<String>> = given.get_ref().as_array().and_then(|tags| {
            tags.iter().map(|tag| tag.get_ref().as_str().filter(|tag| !tag.is_empty()).map(str::to_owned)).collect()
        });
        self.keep(given.span(), read.ok_or_else(|| "`tags` is a list of texts".to_owned())).unwrap_or_default()
    }

    fn number(&mut self, table: &DeTable<'_>, key: &str) -> Option<u64> {
        let given = table.get(key)?;
        let read = json(given.get_ref()).as_u64();
        self.keep(given.span(), read.ok_or_else(|| format!("`{key}` is a whole number from 0")))
    }

    fn number_from_one(&mut self, table: &DeTable<'_>, key: &str) -> Option<u64> {
        match self.number(table, key)? {
            0 => {
                let span = table.get(key)?.span();
                self.fault(span, format!("`{key}` is a whole number from 1"));
                None
            }
            number => Some(number),
        }
    }

    fn probability(&mut self, table: &DeTable<'_>) -> f64 {
        let Some(given) = table.get("probability") else { return 1.0 };
        let read = json(given.get_ref()).as_f64().filter(|it| (0.0..=1.0).contains(it));
        let read = read.ok_or_else(|| "`probability` is a number from 0 to 1, such as `0.1`".to_owned());
        self.keep(given.span(), read).unwrap_or(1.0)
    }
}
