//! JSON with holes that a message fills: `"${.params.arguments.path}"`.

use serde_json::Value;

use crate::json::path::PatternStep;
use crate::json::path::read_steps;

/// JSON in which strings may name values of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonTemplate(Value);

impl JsonTemplate {
    /// Takes a value whose strings may have holes.
    ///
    /// # Errors
    /// The first hole that names nothing.
    pub(super) fn new(value: Value) -> Result<Self, String> {
        check(&value)?;
        Ok(Self(value))
    }

    /// Fills the holes; `hit`: what `${n}` is.
    pub(super) fn fill(&self, message: Option<&Value>, hit: u64) -> Value {
        fill(&self.0, message, hit)
    }
}

fn check(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => holes(text).into_iter().try_for_each(|(_, name, _)| match name {
            "n" => Ok(()),
            path => steps(path)
                .map(drop)
                .ok_or_else(|| format!("`${{{path}}}` is neither `${{n}}` nor a path such as `${{.params.name}}`")),
        }),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(members) => members.values().try_for_each(check),
        _ => Ok(()),
    }
}

/// Where holes begin, what they name, and where they end.
fn holes(text: &str) -> Vec<(usize, &str, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("${").map(|start| at + start) {
        let Some(length) = text[start..].find('}') else { break };
        found.push((start, &text[start + 2..start + length], start + length + 1));
        at = start + length + 1;
    }
    found
}

fn steps(path: &str) -> Option<Vec<PatternStep>> {
    let (steps, length) = read_steps(path, |_| false).ok().filter(|_| path.starts_with(['.', '[']))?;
    let is_one = steps.iter().all(|step| matches!(step, PatternStep::Key(_) | PatternStep::Index(_)));
    (length == path.len() && is_one).then_some(steps)
}

fn fill(value: &Value, message: Option<&Value>, hit: u64) -> Value {
    match value {
        Value::String(text) => fill_text(text, message, hit),
        Value::Array(items) => items.iter().map(|item| fill(item, message, hit)).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), fill(value, message, hit))).collect(),
        other => other.clone(),
    }
}

/// A string that is one hole is what the hole names; else the hole is its text.
fn fill_text(text: &str, message: Option<&Value>, hit: u64) -> Value {
    let named = |name: &str| match name {
        "n" => Value::from(hit),
        path => look_up(message, path).cloned().unwrap_or_default(),
    };
    let found = holes(text);
    if let [(0, name, end)] = found[..]
        && end == text.len()
    {
        return named(name);
    }
    let (mut filled, mut at) = (String::new(), 0);
    for (start, name, end) in found {
        filled.push_str(&text[at..start]);
        match named(name) {
            Value::String(text) => filled.push_str(&text),
            other => filled.push_str(&other.to_string()),
        }
        at = end;
    }
    filled.push_str(&text[at..]);
    Value::String(filled)
}

fn look_up<'a>(message: Option<&'a Value>, path: &str) -> Option<&'a Value> {
    steps(path)?.iter().try_fold(message?, |value, step| match step {
        PatternStep::Key(key) => value.get(key),
        PatternStep::Index(index) => value.get(index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn template_is_filled_from_the_message() {
        let message = json!({"params": {"name": "x", "arguments": {"list": [1, {"a": true}]}}});
        for (template, filled) in [
            (json!("${.params.arguments.list[1]}"), json!({"a": true})),
            (
                json!({"text": "called ${.params.name} with ${.params.arguments.list}: ${n}"}),
                json!({"text": "called x with [1,{\"a\":true}]: 3"}),
            ),
            (json!(["${.nothing}", "${n}", 5, "$x }"]), json!([null, 3, 5, "$x }"])),
        ] {
            assert_eq!(JsonTemplate::new(template).unwrap().fill(Some(&message), 3), filled);
        }
        for wrong in ["${name}", "${.a[*]}", "x ${}"] {
            assert!(JsonTemplate::new(json!(wrong)).is_err(), "{wrong}");
        }
    }
}
