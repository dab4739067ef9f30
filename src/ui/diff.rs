//! What an edit changed: line by line for the eye, value by value for the summary.

use std::time::Duration;

use similar::ChangeTag;

use super::json::pretty;
use crate::event::Difference;
use crate::json::JsonPath;
use crate::json::diff::{NumberEquality, value_text, visit_differences};
use crate::line_diff::hunks;
use crate::text::sanitize;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 2;

/// A diff that takes longer gets coarser instead.
const PATIENCE: Duration = Duration::from_millis(100);

/// What became of a line.
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
    let mut lines = Vec::new();
    let mut shown = 0;
    for group in hunks(&old, &new, CONTEXT, PATIENCE) {
        let start = group.first().map_or(shown, |op| op.old_range().start);
        push_skipped(&mut lines, start - shown);
        shown = group.last().map_or(shown, |op| op.old_range().end);
        for change in group.iter().flat_map(|op| op.iter_changes(&old[..], &new[..])) {
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

/// The lines as text, each with its sign before it.
pub fn signed_text(lines: &[DiffLine]) -> String {
    let signed = lines.iter().map(|line| {
        let sign = match line.sign {
            Sign::Same => "  ",
            Sign::Skipped => "..",
            Sign::Removed => "- ",
            Sign::Added => "+ ",
        };
        format!("{sign}{}\n", line.text)
    });
    signed.collect()
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

/// Returns the values that differ, in the order of the original, new ones last in their container. Members may change
/// places and strings their escapes; numbers differ by spelling. Bodies that are not both JSON differ as a whole.
pub fn changed_paths(original: &[u8], edited: &[u8]) -> Vec<Difference> {
    let mut differences = Vec::new();
    match (value_text(original), value_text(edited)) {
        (Some(old), Some(new)) => {
            visit_differences(old, new, NumberEquality::Spelling, &mut |path, old, new| {
                let path = path.to_string();
                differences.push(Difference { path, expected: old.map(on_one_line), got: new.map(on_one_line) });
            });
        }
        _ if original == edited => {}
        _ => differences.push(Difference {
            path: JsonPath::default().to_string(),
            expected: Some(text_of(original)),
            got: Some(text_of(edited)),
        }),
    }
    differences
}

/// A JSON value on one line, spaced in one way.
fn on_one_line(value: &str) -> String {
    let indented = pretty(value.as_bytes()).unwrap_or_else(|| value.to_owned());
    indented.lines().map(str::trim_start).collect()
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
    fn changed_paths_name_values() {
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
    fn changed_paths_pass_over_respelling() {
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
    fn diff_json_shows_two_lines_around() {
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
    fn changed_paths_survive_depth() {
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(changed_paths(deep("1").as_bytes(), deep("2").as_bytes()).len(), 1);
    }
}
