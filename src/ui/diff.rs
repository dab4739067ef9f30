//! What an edit changed: line by line for the eye, value by value for the summary.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use similar::{Algorithm, ChangeTag, TextDiff};

use super::json::{Index, JsonTree, pretty, push_index, push_key};
use crate::event::Difference;
use crate::text::sanitize;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 2;

/// A diff that takes longer gets coarser instead.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Same,
    Removed,
    Added,
    /// Stands for lines that did not change; the text says how many.
    Skipped,
}

/// One line of a diff, sanitized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    pub sign: Sign,
    pub text: String,
}

/// The lines that differ, with two around them, once both sides are indented alike. Tokens keep their spelling, so
/// `1` and `1.0` differ. What is not JSON is compared by its own lines. Empty where nothing differs.
pub fn diff_json(original: &[u8], edited: &[u8]) -> Vec<DiffLine> {
    let (old, new) = (text_of(original), text_of(edited));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).timeout(PATIENCE).diff_slices(&old, &new);
    let mut lines = Vec::new();
    let mut shown = 0;
    for group in diff.grouped_ops(CONTEXT) {
        let start = group.first().map_or(shown, |op| op.old_range().start);
        push_skipped(&mut lines, start - shown);
        shown = group.last().map_or(shown, |op| op.old_range().end);
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => Sign::Same,
                ChangeTag::Delete => Sign::Removed,
                ChangeTag::Insert => Sign::Added,
            };
            lines.push(DiffLine { sign, text: sanitize(change.value()).into_owned() });
        }
    }
    if !lines.is_empty() {
        push_skipped(&mut lines, old.len() - shown);
    }
    lines
}

fn text_of(raw: &[u8]) -> String {
    pretty(raw).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned())
}

fn push_skipped(lines: &mut Vec<DiffLine>, count: usize) {
    if count > 0 {
        let text = if count == 1 { "1 line".to_owned() } else { format!("{count} lines") };
        lines.push(DiffLine { sign: Sign::Skipped, text });
    }
}

/// The values that differ, in the order of the original, new ones last in their container. Members may change places
/// and strings their escapes; numbers differ by spelling. Bodies that are not both JSON differ as a whole.
pub fn changed_paths(original: &[u8], edited: &[u8]) -> Vec<Difference> {
    let trees = [original, edited].map(|raw| JsonTree::new(&Bytes::copy_from_slice(raw)));
    let mut comparison = Comparison::default();
    match [trees[0].index(), trees[1].index()] {
        [Some((old_raw, old)), Some((new_raw, new))] => {
            let old = Side { raw: old_raw, index: old, node: 0, in_object: false };
            let new = Side { raw: new_raw, index: new, node: 0, in_object: false };
            comparison.compare(old, new);
        }
        _ if original == edited => {}
        _ => comparison.push(Some(text_of(original)), Some(text_of(edited))),
    }
    comparison.differences
}

/// A value on one side.
#[derive(Clone, Copy)]
struct Side<'a> {
    raw: &'a [u8],
    index: &'a Index,
    node: u32,
    in_object: bool,
}

#[derive(Default)]
struct Comparison {
    path: String,
    differences: Vec<Difference>,
}

impl Comparison {
    /// Recurses; the index ends at a depth that no stack minds.
    fn compare(&mut self, old: Side<'_>, new: Side<'_>) {
        match (old.container(), new.container()) {
            (Some((old_number, true)), Some((new_number, true))) => {
                self.compare_members(&old.members(old_number), &new.members(new_number));
            }
            (Some((old_number, false)), Some((new_number, false))) => {
                self.compare_elements(&old.elements(old_number), &new.elements(new_number));
            }
            _ if old.json() == new.json() => {}
            _ if old.text().is_some() && old.text() == new.text() => {}
            _ => self.push(Some(old.json()), Some(new.json())),
        }
    }

    fn compare_members(&mut self, old: &[(String, Side<'_>)], new: &[(String, Side<'_>)]) {
        let new_by_key: HashMap<&str, Side<'_>> = new.iter().map(|(key, side)| (key.as_str(), *side)).collect();
        let old_by_key: HashMap<&str, Side<'_>> = old.iter().map(|(key, side)| (key.as_str(), *side)).collect();
        for (key, side) in old {
            self.at(|path| push_key(path, key), Some(*side), new_by_key.get(key.as_str()).copied());
        }
        for (key, side) in new.iter().filter(|(key, _)| !old_by_key.contains_key(key.as_str())) {
            self.at(|path| push_key(path, key), None, Some(*side));
        }
    }

    fn compare_elements(&mut self, old: &[Side<'_>], new: &[Side<'_>]) {
        for index in 0..old.len().max(new.len()) {
            self.at(|path| push_index(path, index), old.get(index).copied(), new.get(index).copied());
        }
    }

    fn at(&mut self, push: impl FnOnce(&mut String), old: Option<Side<'_>>, new: Option<Side<'_>>) {
        let length = self.path.len();
        push(&mut self.path);
        match (old, new) {
            (Some(old), Some(new)) => self.compare(old, new),
            (old, new) => self.push(old.map(|side| side.json()), new.map(|side| side.json())),
        }
        self.path.truncate(length);
    }

    fn push(&mut self, expected: Option<String>, got: Option<String>) {
        let path = if self.path.is_empty() { ".".to_owned() } else { self.path.clone() };
        self.differences.push(Difference { path, expected, got });
    }
}

impl<'a> Side<'a> {
    /// The container that this is, and whether it is an object; `None` for scalars and empty ones.
    fn container(&self) -> Option<(u32, bool)> {
        let number = self.index.container_at(self.node)?;
        Some((number, self.index.container(number).is_object()))
    }

    /// Of keys that occur twice the last, as JSON readers do.
    fn members(&self, container: u32) -> Vec<(String, Self)> {
        let mut members: Vec<(String, Self)> = Vec::new();
        let mut places = HashMap::new();
        for child in self.index.children(container) {
            let key = self.index.key(self.raw, child.node);
            let side = Self { node: child.node, in_object: true, ..*self };
            match places.get(&key) {
                Some(place) => members[*place] = (key, side),
                None => {
                    places.insert(key.clone(), members.len());
                    members.push((key, side));
                }
            }
        }
        members
    }

    fn elements(&self, container: u32) -> Vec<Self> {
        let children = self.index.children(container);
        children.map(|child| Self { node: child.node, in_object: false, ..*self }).collect()
    }

    fn token(&self) -> &'a [u8] {
        self.index.token(self.raw, self.node, self.in_object)
    }

    /// As JSON on one line, spaced in one way.
    fn json(&self) -> String {
        let token = self.token();
        let indented = pretty(token).unwrap_or_else(|| String::from_utf8_lossy(token).into_owned());
        indented.lines().map(str::trim_start).collect()
    }

    /// The text of a string.
    fn text(&self) -> Option<String> {
        serde_json::from_slice(self.token()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(original: &str, edited: &str) -> Vec<String> {
        let none = || "-".to_owned();
        let line = |it: Difference| {
            format!("{} {} {}", it.path, it.expected.unwrap_or_else(none), it.got.unwrap_or_else(none))
        };
        changed_paths(original.as_bytes(), edited.as_bytes()).into_iter().map(line).collect()
    }

    fn lines(original: &str, edited: &str) -> String {
        let sign = |sign| match sign {
            Sign::Same => ' ',
            Sign::Removed => '-',
            Sign::Added => '+',
            Sign::Skipped => '@',
        };
        let lines = diff_json(original.as_bytes(), edited.as_bytes());
        lines.iter().map(|line| format!("{}{}\n", sign(line.sign), line.text)).collect()
    }

    #[test]
    fn changed_values_are_named_by_path() {
        let before = r#"{"id":1,"params":{"arguments":{"path":"/etc/hosts","list":[1,2],"a b":{}}}}"#;
        let after = r#"{"params":{"arguments":{"a b":null,"path":"\/tmp","list":[1,3,{"x": 1}],"new":true}},"id":1.0}"#;
        assert_eq!(
            changes(before, after),
            [
                ".id 1 1.0",
                r#".params.arguments.path "/etc/hosts" "\/tmp""#,
                ".params.arguments.list[1] 2 3",
                r#".params.arguments.list[2] - {"x": 1}"#,
                r#".params.arguments["a b"] {} null"#,
                ".params.arguments.new - true",
            ]
        );
    }

    #[test]
    fn the_same_value_written_differently_is_no_change() {
        for (before, after) in [
            (r#"{"a":1,"b":[]}"#, "{ \"b\": [ ], \"a\": 1 }"),
            (r#"["\u00e9\/"]"#, r#"["é/"]"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("not json", "not json"),
        ] {
            assert_eq!(changes(before, after), [""; 0], "{before}");
        }
        assert_eq!(changes("oops", "{}"), [". oops {}"]);
        assert_eq!(changes("[1]", "{}"), [". [1] {}"]);
    }

    #[test]
    fn lines_that_differ_are_shown_with_two_around() {
        let before = r#"{"a":1,"b":2,"c":3,"d":{"path":"/etc/hosts"},"e":5,"f":6,"g":7}"#;
        insta::assert_snapshot!(lines(before, &before.replace("/etc", "/tmp\u{202e}")), @r#"
        @3 lines
           "c": 3,
           "d": {
        -    "path": "/etc/hosts"
        +    "path": "/tmp\u{202e}/hosts"
           },
           "e": 5,
        @3 lines
        "#);
        assert_eq!(lines(before, before), "");
        assert_eq!(lines("a\nb", "a\nc"), " a\n-b\n+c\n");
    }

    #[test]
    fn depth_and_size_are_survived() {
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(changed_paths(deep("1").as_bytes(), deep("2").as_bytes()).len(), 1);
    }
}
