//! Where two JSON texts differ, value by value.
//!
//! The order of members does not matter; of a key that occurs twice the last counts, as for every JSON reader. Strings are
//! compared by what they say, so `"\u00e9"` is `"é"`. Whether `1` is `1.0` depends on the caller ([`NumberEquality`]): a server
//! may spell a number as it likes, an operator who respells one means it.

use std::borrow::Cow;
use std::collections::HashMap;

use super::path::{JsonPath, PathStep};
use super::scalar::{is_same_number, number, string};
use serde_json::value::RawValue;

use crate::message::{items_of, read_members};

/// Beyond this depth values are compared as text: a hostile message must not exhaust the stack.
const DEPTH: usize = 128;

/// When two numbers are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberEquality {
    /// `1`, `1.0` and `1e0` are the same, as long as a float holds them exactly.
    Value,
    /// Values differ as soon as one character does: `1.0` is not `1`.
    Spelling,
}

/// Is shown a place, and the JSON text that either side has there; `None` where that side has no value.
pub type DifferenceVisitor<'v> = dyn FnMut(&JsonPath<'_>, Option<&str>, Option<&str>) + 'v;

/// Returns the one JSON value that `raw` is, without its byte order mark and the space around it; `None` for anything else.
pub fn value_text(raw: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(raw).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Some(serde_json::from_str::<&RawValue>(text).ok()?.get())
}

/// Shows every pair of values that differ and cannot be taken apart further, in the order of `expected`; members that only
/// `got` has come last in their object. Both texts are one JSON value each, as [`value_text`] returns it.
pub fn visit_differences(expected: &str, got: &str, numbers: NumberEquality, visit: &mut DifferenceVisitor<'_>) {
    Differ { path: JsonPath::default(), numbers, visit }.compare(expected, got);
}

struct Differ<'a, 'v, 'f> {
    path: JsonPath<'a>,
    numbers: NumberEquality,
    visit: &'v mut DifferenceVisitor<'f>,
}

impl<'a> Differ<'a, '_, '_> {
    fn compare(&mut self, expected: &'a str, got: &'a str) {
        if expected == got {
            return;
        }
        let too_deep = self.path.steps().len() >= DEPTH;
        match (expected.as_bytes().first(), got.as_bytes().first()) {
            (Some(b'{'), Some(b'{')) if !too_deep => match (members(expected), members(got)) {
                (Some(expected), Some(got)) => self.compare_objects(&expected, &got),
                _ => self.report(Some(expected), Some(got)),
            },
            (Some(b'['), Some(b'[')) if !too_deep => self.compare_arrays(&items_of(expected), &items_of(got)),
            _ if self.is_same_scalar(expected, got) => {}
            _ => self.report(Some(expected), Some(got)),
        }
    }

    fn compare_objects(&mut self, expected: &LastMembers<'a>, got: &LastMembers<'a>) {
        for (key, value) in &expected.order {
            self.compare_at(PathStep::Key(key.clone()), Some(value), got.get(key));
        }
        for (key, value) in got.order.iter().filter(|(key, _)| expected.get(key).is_none()) {
            self.compare_at(PathStep::Key(key.clone()), None, Some(value));
        }
    }

    fn compare_arrays(&mut self, expected: &[&'a str], got: &[&'a str]) {
        for index in 0..expected.len().max(got.len()) {
            self.compare_at(PathStep::Index(index), expected.get(index).copied(), got.get(index).copied());
        }
    }

    fn compare_at(&mut self, step: PathStep<'a>, expected: Option<&'a str>, got: Option<&'a str>) {
        self.path.push(step);
        match (expected, got) {
            (Some(expected), Some(got)) => self.compare(expected, got),
            (expected, got) => self.report(expected, got),
        }
        self.path.pop();
    }

    fn report(&mut self, expected: Option<&str>, got: Option<&str>) {
        (self.visit)(&self.path, expected, got);
    }

    /// Whether two unequal tokens say the same: other escapes of one string, other digits of one number.
    fn is_same_scalar(&self, expected: &str, got: &str) -> bool {
        if let (Some(expected), Some(got)) = (string(expected), string(got)) {
            return expected == got;
        }
        match (number(expected), number(got)) {
            (Some(expected), Some(got)) => self.numbers == NumberEquality::Value && is_same_number(expected, got),
            _ => false,
        }
    }
}

/// Members of an object in order, and where each stands; of a key that occurs twice, the last value at the first place.
pub(crate) struct LastMembers<'a> {
    pub(crate) order: Vec<(Cow<'a, str>, &'a str)>,
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> LastMembers<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.places.get(key).map(|place| self.order[*place].1)
    }
}

/// `None` where a key is no Unicode text.
pub(crate) fn members(object: &str) -> Option<LastMembers<'_>> {
    let mut members = LastMembers { order: Vec::new(), places: HashMap::new() };
    for (key, value) in read_members(object.as_bytes())? {
        let next = members.order.len();
        match *members.places.entry(key.clone()).or_insert(next) {
            place if place < next => members.order[place].1 = value,
            _ => members.order.push((key, value)),
        }
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(expected: &str, got: &str, numbers: NumberEquality) -> Vec<String> {
        let mut found = Vec::new();
        let show = |value: Option<&str>| value.unwrap_or("nothing").to_owned();
        visit_differences(expected, got, numbers, &mut |path, expected, got| {
            found.push(format!("{path} {} -> {}", show(expected), show(got)));
        });
        found
    }

    #[test]
    fn number_equality_is_by_value_or_by_spelling() {
        for (expected, got, by_value) in [
            ("1", "1.0", true),
            ("1.10", "11e-1", true),
            ("1", "2", false),
            ("123456789012345678901234567890", "123456789012345678901234567891", false),
            ("9007199254740993", "9007199254740993.0", false),
            ("1e400", "1e401", false),
        ] {
            let found = differences(expected, got, NumberEquality::Value);
            assert_eq!(found.is_empty(), by_value, "{expected} {got}");
            assert_eq!(differences(expected, got, NumberEquality::Spelling).len(), 1, "{expected} {got}");
        }
    }

    #[test]
    fn duplicate_keys_count_by_their_last_value() {
        let found = |expected, got| differences(expected, got, NumberEquality::Spelling);
        assert_eq!(found(r#"{"a":1,"b":3,"a":2}"#, r#"{"b":3,"a":2}"#), [""; 0]);
        assert_eq!(found(r#"{"a":1,"b":3,"a":2}"#, r#"{"b":4,"a":1}"#), [".a 2 -> 1", ".b 3 -> 4"]);
        assert_eq!(found(r#"{"a":1}"#, r#"{"a":1,"b":2,"b":3}"#), [".b nothing -> 3"]);
    }

    #[test]
    fn value_text_is_one_value_without_what_surrounds_it() {
        for (raw, text) in
            [("\u{feff} [1 ] \n", Some("[1 ]")), ("7", Some("7")), ("", None), ("{", None), ("1 2", None)]
        {
            assert_eq!(value_text(raw.as_bytes()), text, "{raw:?}");
        }
        assert_eq!(value_text(b"\"\xff\""), None);
    }
}
