//! What a filter that is being typed may go on with: operators, and what passed here, the most frequent first.

use std::collections::HashMap;

use serde_json::Value;

use super::Model;
use crate::filter::OPERATORS;
use crate::json::path::push_key;

/// Rows that are looked through: the latest.
const LOOKED_AT: usize = 4_000;
/// Of these, messages whose JSON is: it has to be read for that.
const READ: usize = 300;
/// Paths of one message.
const PATHS: usize = 500;
/// Completions that are offered.
const MOST: usize = 50;

/// What ends a word of a filter.
const ENDS: [char; 6] = [' ', '(', ')', '!', '&', '|'];

/// The completions of one word, being gone through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completions {
    /// What stands before the word, and behind it.
    around: (String, String),
    pub(crate) all: Vec<Completion>,
    pub(crate) at: usize,
}

/// A word, and what is to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) word: String,
    pub(crate) about: String,
}

impl Completions {
    /// For the word before the cursor; `None` where there is nothing to go on with.
    pub(crate) fn of(model: &Model, before: &str, after: &str) -> Option<Self> {
        let start = before.rfind(ENDS).map_or(0, |at| at + 1);
        let (head, word) = before.split_at(start);
        let operator = head.trim_end().rsplit(ENDS).next().filter(|it| takes_value(it));
        let mut all = match operator {
            _ if word.starts_with('~') => operators(word),
            _ if word.starts_with('@') => saved(model, word),
            Some(operator) => values(model, operator, word),
            None if word.is_empty() => operators("~"),
            None => ["~tool", "~m"].into_iter().flat_map(|operator| values(model, operator, word)).collect(),
        };
        all.truncate(MOST);
        (!all.is_empty()).then(|| Self { around: (head.to_owned(), after.to_owned()), all, at: 0 })
    }

    /// The line with the chosen word in it.
    pub(crate) fn line(&self) -> String {
        format!("{}{}{}", self.around.0, self.all[self.at].word, self.around.1)
    }

    pub(crate) fn step(&mut self, by: isize) {
        let len = self.all.len().cast_signed();
        self.at = (self.at.cast_signed() + by).rem_euclid(len).cast_unsigned();
    }
}

fn takes_value(operator: &str) -> bool {
    OPERATORS.iter().any(|(usage, _)| usage.split_once(' ').is_some_and(|(name, _)| name == operator))
}

fn operators(word: &str) -> Vec<Completion> {
    let of = OPERATORS.iter().filter(|(usage, _)| usage.starts_with(word));
    let row = |(usage, about): &(&str, &str)| Completion {
        word: usage.split(' ').next().unwrap_or(usage).to_owned(),
        about: (*about).to_owned(),
    };
    of.map(row).collect()
}

fn saved(model: &Model, word: &str) -> Vec<Completion> {
    let filters = &model.settings.filters;
    let of = filters.names().map(|name| (format!("@{name}"), filters.get(name).unwrap_or_default().to_owned()));
    of.filter(|(name, _)| name.starts_with(word)).map(|(word, about)| Completion { word, about }).collect()
}

/// What was seen of what an operator looks for, the most frequent first.
fn values(model: &Model, operator: &str, word: &str) -> Vec<Completion> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let (rows, _) = model.messages();
    let most = if operator == "~j" { READ } else { LOOKED_AT };
    for row in (rows.len().saturating_sub(most)..rows.len()).filter_map(|position| rows.at(position)) {
        let envelope = &row.envelope;
        let session = || model.observed.sessions.get(envelope.session).map(|row| &row.session);
        let found: Vec<String> = match operator {
            "~m" => envelope.method().map(str::to_owned).into_iter().collect(),
            "~tool" | "~name" => envelope.name().map(str::to_owned).into_iter().collect(),
            "~c" => envelope.transport.status.map(|status| status.to_string()).into_iter().collect(),
            "~id" => envelope.message.id().map(|id| id.display().to_string()).into_iter().collect(),
            "~via" => vec![envelope.transport.via.word().to_owned()],
            "~client" => session().and_then(|it| Some(it.client.as_ref()?.name.clone())).into_iter().collect(),
            "~server" => session().and_then(|it| Some(it.server.as_ref()?.name.clone())).into_iter().collect(),
            "~j" => paths(envelope.message.raw()),
            _ => return Vec::new(),
        };
        found.into_iter().for_each(|value| *seen.entry(value).or_default() += 1);
    }
    let lower = word.to_lowercase();
    let mut found: Vec<_> = seen.into_iter().filter(|(value, _)| value.to_lowercase().starts_with(&lower)).collect();
    found.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
    let about = |count| if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
    found.into_iter().map(|(value, count)| Completion { word: quoted(&value), about: about(count) }).collect()
}

/// In quotes where a filter would read it as several words.
fn quoted(value: &str) -> String {
    let is_plain = !value.is_empty() && !value.contains(ENDS) && !value.contains('"');
    if is_plain { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\\\"")) }
}

/// The paths of a message, each once; elements of arrays are alike.
fn paths(raw: &[u8]) -> Vec<String> {
    let Ok(value) = serde_json::from_slice::<Value>(raw) else { return Vec::new() };
    let (mut paths, mut path) = (Vec::new(), String::new());
    walk(&value, &mut path, &mut paths);
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn walk(value: &Value, path: &mut String, paths: &mut Vec<String>) {
    if paths.len() >= PATHS {
        return;
    }
    let len = path.len();
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                push_key(path, key);
                paths.push(path.clone());
                walk(value, path, paths);
                path.truncate(len);
            }
        }
        Value::Array(elements) => {
            path.push_str("[*]");
            elements.iter().take(20).for_each(|element| walk(element, path, paths));
            path.truncate(len);
        }
        _ => {}
    }
}
