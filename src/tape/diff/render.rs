//! A comparison as text, JSON, JUnit XML or Markdown.

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;

use crate::event::{CallChange, ChangeKind, DefinitionChange, Difference, TapeDiff};
use crate::text::{escape_markup, harmless_json, sanitize};

/// Longest value that is shown, in characters.
const SHOWN: usize = 160;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffForm {
    Text,
    Json,
    Junit,
    Markdown,
    Html,
}

/// One thing that differs, or does not.
struct DiffItem {
    /// `+`, `-` or `~`.
    sign: char,
    title: String,
    lines: Vec<String>,
}

/// What differs between two tapes; `names`: what they are called.
pub fn render(diff: &TapeDiff, names: [&str; 2], form: DiffForm) -> String {
    let title = format!("{} and {}", sanitize(names[0]), sanitize(names[1]));
    if form == DiffForm::Json {
        let [left, right] = names;
        let value = json!({ "left": left, "right": right, "same": diff.is_same(), "diff": diff });
        return harmless_json(&format!("{value:#}")).into_owned() + "\n";
    }
    let mut items: Vec<_> = diff.definitions.iter().map(definition_item).collect();
    items.extend(diff.calls.iter().map(call_item));
    let times: Vec<_> = diff
        .timings
        .iter()
        .map(|it| {
            let word = if it.is_slower() { "slower" } else { "faster" };
            let (left, right) = (milliseconds(it.left), milliseconds(it.right));
            format!(
                "{word} {}: {left} -> {right} (median of {} and {} calls)",
                sanitize(&it.subject),
                it.calls.0,
                it.calls.1
            )
        })
        .collect();
    let excused = if diff.excused.is_empty() {
        String::new()
    } else {
        format!("; {} values differ as they do from run to run", diff.excused.len())
    };
    let summary = format!(
        "{} calls are the same, {} differ, {} definitions differ{excused}",
        diff.same,
        diff.calls.len(),
        diff.definitions.len()
    );
    write(&title, &items, &times, &summary, form)
}

/// What differs from a baseline.
pub fn render_definitions(changes: &[DefinitionChange], names: [&str; 2], form: DiffForm) -> String {
    if form == DiffForm::Json {
        let value = json!({ "left": names[0], "right": names[1], "same": changes.is_empty(), "definitions": changes });
        return harmless_json(&format!("{value:#}")).into_owned() + "\n";
    }
    let items: Vec<_> = changes.iter().map(definition_item).collect();
    let title = format!("{} and {}", sanitize(names[0]), sanitize(names[1]));
    write(&title, &items, &[], &format!("{} definitions differ", changes.len()), form)
}

fn write(title: &str, items: &[DiffItem], times: &[String], summary: &str, form: DiffForm) -> String {
    match form {
        DiffForm::Junit => junit(title, items, summary),
        DiffForm::Markdown => markdown(title, items, times, summary),
        DiffForm::Html => html(title, items, times, summary),
        DiffForm::Text | DiffForm::Json => text(items, times, summary),
    }
}

fn call_item(call: &CallChange) -> DiffItem {
    let number = |seq: Option<crate::envelope::Seq>| seq.map(|it| format!(" {it}")).unwrap_or_default();
    let name = call.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    let title = format!("{}{name}{}{}", call.method, number(call.left), number(call.right));
    item(call.kind, &title, &call.differences)
}

fn definition_item(change: &DefinitionChange) -> DiffItem {
    let within = if change.within { " (while the session went on)" } else { "" };
    item(change.kind, &format!("{} {}{within}", change.what, change.name), &change.differences)
}

fn item(kind: ChangeKind, title: &str, differences: &[Difference]) -> DiffItem {
    let (sign, word) = match kind {
        ChangeKind::Added => ('+', "added"),
        ChangeKind::Removed => ('-', "removed"),
        ChangeKind::Changed => ('~', "changed"),
    };
    let lines = differences.iter().map(|it| {
        let value = |sign: char, value: &Option<String>| value.as_ref().map(|it| format!("  {sign} {}", clip(it)));
        let (expected, got) = (value('-', &it.expected), value('+', &it.got));
        sanitize(&format!("{}{}{}", it.path, expected.unwrap_or_default(), got.unwrap_or_default())).into_owned()
    });
    DiffItem { sign, title: format!("{word} {}", sanitize(title)), lines: lines.collect() }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros / 100 % 10)
}

fn text(items: &[DiffItem], times: &[String], summary: &str) -> String {
    let mut text = String::new();
    for item in items {
        // A string takes everything.
        let _ = writeln!(text, "{} {}", item.sign, item.title);
        item.lines.iter().for_each(|line| {
            let _ = writeln!(text, "    {line}");
        });
    }
    times.iter().for_each(|line| {
        let _ = writeln!(text, "t {line}");
    });
    text + summary + "\n"
}

fn markdown(title: &str, items: &[DiffItem], times: &[String], summary: &str) -> String {
    // A fence longer than any in what it holds.
    let body: Vec<_> = items
        .iter()
        .flat_map(|item| {
            std::iter::once(format!("{} {}", item.sign, item.title))
                .chain(item.lines.iter().map(|line| format!("    {line}")))
        })
        .collect();
    let fence =
        "`".repeat(body.iter().flat_map(|line| line.split(|c| c != '`').map(str::len)).max().unwrap_or(0).max(2) + 1);
    let mut text = format!("### {}\n\n{summary}\n", title.replace(['<', '`', '*', '_'], " "));
    if !body.is_empty() {
        let _ = write!(text, "\n{fence}diff\n{}\n{fence}\n", body.join("\n"));
    }
    for line in times {
        let _ = write!(text, "\n- {}", line.replace('<', "&lt;"));
    }
    text.trim_end().to_owned() + "\n"
}

fn html(title: &str, items: &[DiffItem], times: &[String], summary: &str) -> String {
    let list = |lines: &[String]| {
        lines.iter().map(|line| format!("<li><code>{}</code></li>", escape_markup(line))).collect::<String>()
    };
    let body: String = items
        .iter()
        .map(|item| {
            format!(
                "<details open><summary class=\"c{}\">{}</summary><ul>{}</ul></details>",
                match item.sign {
                    '+' => 'a',
                    '-' => 'r',
                    _ => 'c',
                },
                escape_markup(&item.title),
                list(&item.lines)
            )
        })
        .collect();
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{0}</title><style>body{{font:14px system-ui;margin:2em;max-width:80em}}code{{white-space:pre-wrap;overflow-wrap:anywhere}}\
         .ca{{color:#176b2c}}.cr{{color:#a31515}}.cc{{color:#8a5a00}}</style><h1>{0}</h1><p>{1}</p>{body}<ul>{2}</ul>\n",
        escape_markup(title),
        escape_markup(summary),
        list(times),
    )
}

fn junit(title: &str, items: &[DiffItem], summary: &str) -> String {
    let mut suite = TestSuite::new(title);
    for item in items {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(item.title.clone());
        status.set_description(item.lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        suite.add_test_case(TestCase::new(item.title.clone(), status));
    }
    if items.is_empty() {
        suite.add_test_case(TestCase::new(summary, TestCaseStatus::success()));
    }
    let mut report = Report::new("tapline tape diff");
    report.add_test_suite(suite);
    report.to_string().expect("a string takes everything")
}
