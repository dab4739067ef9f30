//! Changes to JSON text that leave every byte as it was of what they do not name: order, escapes, spaces, digits.
//!
//! A Merge Patch (RFC 7396) and a JSON Patch (RFC 6902), done on the text. Where a member stands twice, the last one is meant.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize as _;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::diff::{NumberEquality, visit_differences};
use super::path::PathStep;
use super::scalar::string;

/// One change of a JSON Patch.
#[derive(Clone, Debug, PartialEq)]
pub enum PatchStep {
    /// `value` is JSON text.
    Add {
        path: JsonPointer,
        value: String,
    },
    Remove {
        path: JsonPointer,
    },
    Replace {
        path: JsonPointer,
        value: String,
    },
    Move {
        from: JsonPointer,
        path: JsonPointer,
    },
    Copy {
        from: JsonPointer,
        path: JsonPointer,
    },
    Test {
        path: JsonPointer,
        value: Value,
    },
}

/// A place in a JSON value (RFC 6901): its keys and indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonPointer(Vec<String>);

impl JsonPointer {
    /// Reads `/a/0/b~1c`.
    ///
    /// # Errors
    /// Where it is neither empty nor begins with a slash.
    pub fn read(text: &str) -> Result<Self, String> {
        match text.strip_prefix('/') {
            None if text.is_empty() => Ok(Self::default()),
            None => Err(format!("a path is empty or begins with `/`: `/{text}`")),
            Some(rest) => Ok(Self(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())),
        }
    }

    /// The pointer as it is written.
    pub fn text(&self) -> String {
        self.0.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

/// The steps that make the one text the other; both are one JSON value each. Order, escapes and spaces count for nothing, so that
/// what says the same is not touched.
pub fn differences(old: &str, new: &str, numbers: NumberEquality) -> Vec<PatchStep> {
    let (mut steps, mut removed) = (Vec::new(), Vec::new());
    visit_differences(old, new, numbers, &mut |path, old, new| {
        let step = |step: &PathStep<'_>| match step {
            PathStep::Key(key) => key.to_string(),
            PathStep::Index(index) => index.to_string(),
        };
        let path = JsonPointer(path.steps().iter().map(step).collect());
        match (old, new) {
            (Some(_), Some(value)) => steps.push(PatchStep::Replace { path, value: value.to_owned() }),
            (None, Some(value)) => steps.push(PatchStep::Add { path, value: value.to_owned() }),
            (Some(_), None) => removed.push(PatchStep::Remove { path }),
            (None, None) => {}
        }
    });
    // What goes out of an array goes from its end.
    removed.reverse();
    steps.extend(removed);
    steps
}

/// A child of an object or an array.
struct Child<'a> {
    /// Empty in an array.
    key: Cow<'a, str>,
    /// Where the key begins, or, in an array, the value.
    start: usize,
    value: Range<usize>,
}

/// Merges an object into JSON text: its members replace those of the same name, and null takes one away. `None` where it is no JSON.
pub fn merge(text: &str, patch: &Value) -> Option<String> {
    is_json(text).then(|| merged(text, patch))
}

fn merged(text: &str, patch: &Value) -> String {
    let Value::Object(changes) = patch else { return patch.to_string() };
    let start = text.len() - text.trim_ascii_start().len();
    let body = text.trim_ascii();
    let target = if body.starts_with('{') { body } else { "{}" };
    let mut now = target.to_owned();
    for (key, change) in changes {
        let known = children(&now).into_iter().rev().find(|child| child.key == key.as_str()).map(|child| child.value);
        now = match (change, known) {
            (Value::Null, Some(_)) => without(&now, |child| child.key == key.as_str()),
            (Value::Null, None) => now,
            (change, Some(place)) => spliced(&now, &place, &merged(&now[place.clone()], change)),
            (change, None) => with_member(&now, key, &merged("{}", change)),
        };
    }
    if target.len() == body.len() { format!("{}{now}{}", &text[..start], &text[start + body.len()..]) } else { now }
}

/// Carries out the steps one after the other.
///
/// # Errors
/// The first that cannot be done, and why; then nothing is to be changed.
pub fn patch(text: &str, steps: &[PatchStep]) -> Result<String, String> {
    if !is_json(text) {
        return Err("it is not JSON".to_owned());
    }
    let mut now = text.to_owned();
    for step in steps {
        now = match step {
            PatchStep::Add { path, value } => add(&now, path, value)?,
            PatchStep::Remove { path } => remove(&now, path)?,
            PatchStep::Replace { path, value } => spliced(&now, &find(&now, path)?, value),
            PatchStep::Copy { from, path } => {
                let value = now[find(&now, from)?].to_owned();
                add(&now, path, &value)?
            }
            PatchStep::Move { from, path } => {
                let value = now[find(&now, from)?].to_owned();
                add(&remove(&now, from)?, path, &value)?
            }
            PatchStep::Test { path, value } => {
                let is: Option<Value> = serde_json::from_str(&now[find(&now, path)?]).ok();
                if is.as_ref() != Some(value) {
                    return Err(format!("`{}` is not {value}", path.text()));
                }
                now
            }
        };
    }
    Ok(now)
}

fn is_json(text: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut reader).is_ok() && reader.end().is_ok()
}

fn spliced(text: &str, place: &Range<usize>, value: &str) -> String {
    [&text[..place.start], value, &text[place.end..]].concat()
}

/// Where the value at a pointer stands.
fn find(text: &str, path: &JsonPointer) -> Result<Range<usize>, String> {
    let start = text.len() - text.trim_ascii_start().len();
    let mut place = start..start + text.trim_ascii().len();
    for step in &path.0 {
        let inner = child_of(&text[place.clone()], step);
        let inner = inner.ok_or_else(|| format!("there is no `{}`", path.text()))?;
        place = place.start + inner.start..place.start + inner.end;
    }
    Ok(place)
}

fn child_of(text: &str, step: &str) -> Option<Range<usize>> {
    let all = children(text);
    if text.starts_with('[') {
        return all.into_iter().nth(step.parse().ok()?).map(|child| child.value);
    }
    all.into_iter().rev().find(|child| child.key == step).map(|child| child.value)
}

fn parent(path: &JsonPointer) -> Result<(JsonPointer, &str), String> {
    let (last, parent) = path.0.split_last().ok_or("the whole message cannot be taken away")?;
    Ok((JsonPointer(parent.to_vec()), last))
}

fn add(text: &str, path: &JsonPointer, value: &str) -> Result<String, String> {
    if path.0.is_empty() {
        return Ok(spliced(text, &find(text, path)?, value));
    }
    let (around, last) = parent(path)?;
    let place = find(text, &around)?;
    let inside = &text[place.clone()];
    let now = match inside.as_bytes().first() {
        Some(b'{') => match child_of(inside, last) {
            Some(known) => spliced(inside, &known, value),
            None => with_member(inside, last, value),
        },
        Some(b'[') => {
            let all = children(inside);
            let at = if last == "-" { Some(all.len()) } else { last.parse().ok().filter(|at| *at <= all.len()) };
            let at = at.ok_or_else(|| format!("there is no place for `{}`", path.text()))?;
            match all.get(at) {
                Some(next) => spliced(inside, &(next.start..next.start), &format!("{value},")),
                None => with_last(inside, value, all.last().map(|last| last.value.end)),
            }
        }
        _ => return Err(format!("`{}` is neither an object nor an array", around.text())),
    };
    Ok(spliced(text, &place, &now))
}

fn remove(text: &str, path: &JsonPointer) -> Result<String, String> {
    find(text, path)?;
    let (around, last) = parent(path)?;
    let place = find(text, &around)?;
    let inside = &text[place.clone()];
    let now = if inside.starts_with('[') {
        let gone = last.parse().ok().and_then(|at: usize| children(inside).get(at).map(|child| child.start));
        without(inside, |child| Some(child.start) == gone)
    } else {
        // What stands behind it moves to its place: it is known by its key.
        without(inside, |child| child.key == last)
    };
    Ok(spliced(text, &place, &now))
}

/// Takes children away, each with one comma.
fn without(text: &str, is_gone: impl Fn(&Child<'_>) -> bool) -> String {
    let mut now = text.to_owned();
    loop {
        let all = children(&now);
        let Some(at) = all.iter().rposition(&is_gone) else { return now };
        let range = match (all.get(at + 1), at.checked_sub(1).and_then(|before| all.get(before))) {
            (Some(next), _) => all[at].start..next.start,
            (None, Some(before)) => before.value.end..all[at].value.end,
            (None, None) => all[at].start..all[at].value.end,
        };
        drop(all);
        now = spliced(&now, &range, "");
        if text.starts_with('[') {
            return now;
        }
    }
}

fn with_member(object: &str, key: &str, value: &str) -> String {
    let member = format!("{}:{value}", Value::from(key));
    with_last(object, &member, children(object).last().map(|last| last.value.end))
}

/// Puts something behind the last child, which ends there.
fn with_last(container: &str, what: &str, end: Option<usize>) -> String {
    match end {
        Some(end) => spliced(container, &(end..end), &format!(",{what}")),
        None => spliced(container, &(1..1), what),
    }
}

/// The children of the container that stands at the beginning of a text which is JSON.
fn children(text: &str) -> Vec<Child<'_>> {
    let bytes = text.as_bytes();
    let is_object = match bytes.first() {
        Some(b'{') => true,
        Some(b'[') => false,
        _ => return Vec::new(),
    };
    let (mut all, mut at) = (Vec::new(), 1);
    loop {
        while bytes.get(at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b',') {
            at += 1;
        }
        if bytes.get(at).is_none_or(|byte| matches!(byte, b'}' | b']')) {
            return all;
        }
        let start = at;
        let mut key = Cow::Borrowed("");
        if is_object {
            let end = value_end(bytes, at);
            key = string(&text[at..end]).unwrap_or_default();
            at = end;
            while bytes.get(at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b':') {
                at += 1;
            }
        }
        let end = value_end(bytes, at);
        all.push(Child { key, start, value: at..end });
        at = end;
    }
}

/// Where the value ends that begins here.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                if depth == 0 {
                    return at.min(bytes.len());
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 1 => depth -= 1,
            b'}' | b']' => return if depth == 1 { at + 1 } else { at },
            b',' | b':' if depth == 0 => return at,
            byte if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const CALL: &str = "{ \"jsonrpc\":\"2.0\",\n \"n\" : 123456789012345678901234567890, \"params\": {\"a\":\"\\u00e9\", \"b\":[1, 2.50 ,3],\"c\":{}} }\n";

    #[test]
    fn merge_leaves_every_byte_that_it_does_not_name() {
        for (change, from, to) in [
            (json!({"params": {"a": "x"}}), "\"\\u00e9\"", "\"x\""),
            (json!({"params": {"a": null}}), "\"a\":\"\\u00e9\", ", ""),
            (json!({"params": {"c": null}}), ",\"c\":{}", ""),
            (json!({"params": {"c": {"d": {"e": 1, "f": null}}}}), "\"c\":{}", "\"c\":{\"d\":{\"e\":1}}"),
            (json!({"n": [1]}), "123456789012345678901234567890", "[1]"),
            (json!({"k\"": true}), "\"c\":{}}", "\"c\":{}},\"k\\\"\":true"),
            (json!({"params": {"b": {"x": 1}}}), "[1, 2.50 ,3]", "{\"x\":1}"),
            (json!({"gone": null}), "", ""),
        ] {
            assert_eq!(merge(CALL, &change).unwrap(), CALL.replacen(from, to, 1), "{change}");
        }
        assert_eq!(merge("{\"a\":1,\"a\":2}", &json!({"a": 3})).unwrap(), "{\"a\":1,\"a\":3}", "the last is meant");
        assert_eq!(merge("{\"a\":1,\"a\":2}", &json!({"a": null})).unwrap(), "{}");
        assert_eq!(merge("nonsense", &json!({})), None);
    }

    #[test]
    fn patch_does_what_rfc_6902_says() {
        let at = |path: &str| JsonPointer::read(path).unwrap();
        let add = |path: &str, value: &str| PatchStep::Add { path: at(path), value: value.to_owned() };
        for (step, from, to) in [
            (add("/params/b/1", "\"x\""), "2.50", "\"x\",2.50"),
            (add("/params/b/-", "4"), ",3]", ",3,4]"),
            (add("/params/c/d", "null"), "{}", "{\"d\":null}"),
            (PatchStep::Remove { path: at("/params/b/0") }, "1, ", ""),
            (PatchStep::Remove { path: at("/params/b/2") }, " ,3", ""),
            (PatchStep::Replace { path: at("/n"), value: "0".into() }, "123456789012345678901234567890", "0"),
            (
                PatchStep::Copy { from: at("/n"), path: at("/params/c/n") },
                "{}",
                "{\"n\":123456789012345678901234567890}",
            ),
            (PatchStep::Test { path: at("/params/b"), value: json!([1, 2.5, 3]) }, "", ""),
        ] {
            assert_eq!(patch(CALL, std::slice::from_ref(&step)).unwrap(), CALL.replacen(from, to, 1), "{step:?}");
        }
        let moved = patch("{\"a\":{\"b\":1e5},\"c\":[]}", &[PatchStep::Move { from: at("/a/b"), path: at("/c/0") }]);
        assert_eq!(moved.unwrap(), "{\"a\":{},\"c\":[1e5]}");
        for (step, why) in [
            (PatchStep::Remove { path: at("/x/y") }, "there is no `/x/y`"),
            (add("/params/b/9", "1"), "there is no place for `/params/b/9`"),
            (add("/n/x", "1"), "`/n` is neither an object nor an array"),
            (PatchStep::Test { path: at("/jsonrpc"), value: json!("1.0") }, "`/jsonrpc` is not \"1.0\""),
        ] {
            assert_eq!(patch(CALL, &[step]).unwrap_err(), why);
        }
        assert!(JsonPointer::read("a").is_err());
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c\"\\\\\u{e9}]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// RFC 7396 on trees.
    fn oracle(target: &Value, patch: &Value) -> Value {
        let Value::Object(changes) = patch else { return patch.clone() };
        let mut now = target.as_object().cloned().unwrap_or_default();
        for (key, change) in changes {
            if change.is_null() {
                now.shift_remove(key);
            } else {
                let merged = oracle(now.get(key).unwrap_or(&Value::Null), change);
                now.insert(key.clone(), merged);
            }
        }
        Value::Object(now)
    }

    proptest! {
        #[test]
        fn merge_means_what_rfc_7396_says(target in json_value(), change in json_value(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&target).unwrap() } else { target.to_string() };
            let merged: Value = serde_json::from_str(&merge(&text, &change).unwrap()).unwrap();
            prop_assert_eq!(merged, oracle(&target, &change));
        }
    }
}
