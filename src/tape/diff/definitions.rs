//! What a server says of its tools, prompts and templates: a change between two tapes, or within one, is what a rug pull looks like.
//! A baseline pins them in a file, for CI.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::calls::{RecordedCalls, canonical};
use crate::event::{ChangeKind, DefinitionChange, Difference};
use crate::json::diff::{NumberEquality, visit_differences};
use crate::mcp::method;
use crate::tape::TapeError;

/// What a method lists: the member of its result, the member that names one, and what one is called.
const LISTS: [(&str, &str, &str, &str); 3] = [
    (method::TOOLS_LIST, "tools", "name", "tool"),
    (method::PROMPTS_LIST, "prompts", "name", "prompt"),
    (method::RESOURCE_TEMPLATES_LIST, "resourceTemplates", "uriTemplate", "template"),
];
/// Which of them a method asks for.
pub(super) fn list_of(called: &str) -> Option<u8> {
    (0..).zip(LISTS).find(|(_, (listed, ..))| *listed == called).map(|(at, _)| at)
}

/// The version of the file.
const VERSION: u64 = 1;
const VERSION_KEY: &str = "tapline-baseline";

/// Definitions by kind and name, as canonical JSON text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    known: BTreeMap<(String, String), String>,
    /// Kinds that were listed: of the others nothing is known.
    listed: Vec<String>,
    /// Changes between two lists of one session.
    changed: Vec<DefinitionChange>,
}

impl Definitions {
    /// As they were at the end of a tape.
    ///
    /// # Errors
    /// Where the file was changed meanwhile.
    pub fn of(calls: &RecordedCalls) -> Result<Self, TapeError> {
        let mut definitions = Self::default();
        let replies =
            calls.calls.iter().filter_map(|call| Some((LISTS[usize::from(call.list?)], call.reply.as_ref()?)));
        for ((_, list, key, what), reply) in replies {
            let reply = calls.reply(reply)?;
            let result = reply.member("result").and_then(|it| serde_json::from_str::<Value>(it).ok());
            let Some(result) = result else { continue };
            for definition in result[list].as_array().into_iter().flatten() {
                let name = definition[key].as_str().unwrap_or_default();
                definitions.learn(what, name, &canonical(definition));
            }
            definitions.list(what);
        }
        Ok(definitions)
    }

    /// Reads what [`Definitions::baseline`] wrote.
    ///
    /// # Errors
    /// Where it is no baseline, or one of a newer version.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        match file[VERSION_KEY].as_u64() {
            Some(VERSION) => {}
            Some(newer) => return Err(format!("it is a baseline of version {newer}, this tapline reads {VERSION}")),
            None => return Err(format!("it is no baseline: `{VERSION_KEY}` is missing")),
        }
        let mut definitions = Self::default();
        for (_, list, key, what) in LISTS {
            let Some(listed) = file[list].as_array() else { continue };
            for definition in listed {
                let name = definition[key].as_str().unwrap_or_default();
                definitions.learn(what, name, &canonical(definition));
            }
            definitions.list(what);
        }
        Ok(definitions)
    }

    /// A file that pins them: in order of their names, so that git shows what changed.
    pub fn baseline(&self) -> String {
        let mut file = Map::new();
        file.insert(VERSION_KEY.to_owned(), VERSION.into());
        for (_, list, _, what) in LISTS {
            if self.listed.iter().any(|it| it == what) {
                let of_kind = self.known.iter().filter(|((kind, _), _)| kind == what);
                let values = of_kind.map(|(_, text)| serde_json::from_str::<Value>(text).unwrap_or_default());
                file.insert(list.to_owned(), values.collect());
            }
        }
        serde_json::to_string_pretty(&file).expect("all keys are strings") + "\n"
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    fn learn(&mut self, what: &str, name: &str, text: &str) {
        let key = (what.to_owned(), name.to_owned());
        if let Some(before) = self.known.insert(key, text.to_owned())
            && before != text
        {
            self.changed.push(change(what, name, Some(&before), Some(text), true));
        }
    }

    fn list(&mut self, what: &str) {
        if !self.listed.iter().any(|it| it == what) {
            self.listed.push(what.to_owned());
        }
    }

    /// What is not as it was; what either side never listed is not known, and no change.
    pub fn changes(&self, now: &Self) -> Vec<DefinitionChange> {
        let both = |what: &String| self.listed.contains(what) && now.listed.contains(what);
        let mut changes = Vec::new();
        for ((what, name), before) in self.known.iter().filter(|((what, _), _)| both(what)) {
            let after = now.known.get(&(what.clone(), name.clone()));
            if after != Some(before) {
                changes.push(change(what, name, Some(before), after.map(String::as_str), false));
            }
        }
        for ((what, name), after) in now.known.iter().filter(|((what, _), _)| both(what)) {
            if !self.known.contains_key(&(what.clone(), name.clone())) {
                changes.push(change(what, name, None, Some(after), false));
            }
        }
        // What changed within the first, too, was so before.
        changes.extend(now.changed.iter().filter(|it| !self.changed.contains(it)).cloned());
        changes
    }
}

fn change(what: &str, name: &str, before: Option<&str>, after: Option<&str>, within: bool) -> DefinitionChange {
    let kind = match (before, after) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        _ => ChangeKind::Changed,
    };
    let mut differences = Vec::new();
    match (before, after) {
        (Some(before), Some(after)) => {
            visit_differences(before, after, NumberEquality::Value, &mut |path, expected, got| {
                let (expected, got) = (expected.map(str::to_owned), got.map(str::to_owned));
                differences.push(Difference { path: path.to_string(), expected, got });
            });
        }
        // All of it: what only one side has is read by itself.
        (before, after) => {
            let (expected, got) = (before.map(str::to_owned), after.map(str::to_owned));
            differences.push(Difference { path: ".".to_owned(), expected, got });
        }
    }
    DefinitionChange { kind, what: what.to_owned(), name: name.to_owned(), differences, within }
}
