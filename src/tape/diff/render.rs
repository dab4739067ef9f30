//! A comparison as text, JSON, JUnit XML, Markdown or a page, written call by call.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::{DiffedTapes, page};
use crate::event::{CallChange, ChangeKind, DefinitionChange, Difference, TimingChange};
use crate::tape::TapeOutputError;
use crate::tape::json_items::JsonItems;
use crate::text::{counted, counted_are, excerpt, harmless_json, sanitize};

/// Longest value that a line shows, in characters.
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

/// What is written.
struct DiffReport<'d> {
    title: String,
    definitions: &'d [DefinitionChange],
    calls: Option<&'d DiffedTapes>,
    times: Vec<String>,
    /// Those of them that count.
    failed_times: Vec<String>,
    summary: String,
}

impl DiffReport<'_> {
    fn each_item(&self, mut tell: impl FnMut(DiffItem) -> Result<(), TapeOutputError>) -> Result<(), TapeOutputError> {
        self.definitions.iter().map(definition_item).try_for_each(&mut tell)?;
        self.calls.map_or(Ok(()), |calls| calls.each_change(|change| tell(call_item(&change))))
    }

    fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.calls.is_none_or(|calls| calls.differing == 0)
    }
}

/// Writes what differs between two tapes; `names`: what they are called.
///
/// # Errors
/// Where it cannot be written, or one of the tapes was changed meanwhile.
pub fn render(
    diff: &DiffedTapes,
    names: [&str; 2],
    form: DiffForm,
    out: &mut dyn Write,
) -> Result<(), TapeOutputError> {
    if form == DiffForm::Json {
        return json(diff, names, out);
    }
    let excused = if diff.excused == 0 {
        String::new()
    } else {
        let verb = if diff.excused == 1 { "differs as it does" } else { "differ as they do" };
        format!("; {} {verb} from run to run", counted(diff.excused, "value"))
    };
    let summary = format!(
        "{} the same, {}, {}{excused}",
        counted_are(diff.same, "call"),
        differ("", diff.differing),
        differ(" definition", diff.definitions.len()),
    );
    if form == DiffForm::Html {
        return page::write(names, &summary, &diff.definitions, Some(diff), out);
    }
    let report = DiffReport {
        title: format!("{} and {}", sanitize(names[0]), sanitize(names[1])),
        definitions: &diff.definitions,
        calls: Some(diff),
        times: diff.timings.iter().map(time_line).collect(),
        failed_times: diff.too_slow().map(time_line).collect(),
        summary,
    };
    write(&report, form, out)
}

/// `1 definition differs`, `2 definitions differ`; without a thing, `1 differs`.
fn differ(thing: &str, number: usize) -> String {
    let (plural, verb) =
        if number == 1 { ("", "differs") } else { (if thing.is_empty() { "" } else { "s" }, "differ") };
    format!("{number}{thing}{plural} {verb}")
}

fn time_line(it: &TimingChange) -> String {
    let word = if it.is_slower() { "slower" } else { "faster" };
    let (left, right) = (milliseconds(it.left), milliseconds(it.right));
    format!("{word} {}: {left} -> {right} (median of {} and {} calls)", sanitize(&it.subject), it.calls.0, it.calls.1)
}

/// As if all of it were one value.
fn json(diff: &DiffedTapes, names: [&str; 2], out: &mut dyn Write) -> Result<(), TapeOutputError> {
    let [left, right] = names.map(Value::from);
    let head = format!(
        "{{\n  \"left\": {left},\n  \"right\": {right},\n  \"same\": {},\n  \"diff\": {{\n    \"same\": {},\n    \"calls\": ",
        diff.is_same(),
        diff.same
    );
    out.write_all(harmless_json(&head).as_bytes())?;
    let mut items = JsonItems::begin(out, 4)?;
    diff.each_change(|change| Ok::<_, TapeOutputError>(items.item(&pretty(&change))?))?;
    items.end()?;
    out.write_all(b",\n    \"definitions\": ")?;
    let mut items = JsonItems::begin(out, 4)?;
    diff.definitions.iter().try_for_each(|it| items.item(&pretty(it)))?;
    items.end()?;
    out.write_all(b",\n    \"timings\": ")?;
    let mut items = JsonItems::begin(out, 4)?;
    diff.timings.iter().try_for_each(|it| items.item(&pretty(it)))?;
    items.end()?;
    out.write_all(b",\n    \"excused\": ")?;
    let mut items = JsonItems::begin(out, 4)?;
    diff.each_excused(|it| Ok::<_, TapeOutputError>(items.item(&pretty(&it))?))?;
    items.end()?;
    Ok(out.write_all(b"\n  }\n}\n")?)
}

fn pretty(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_string_pretty(value).expect("all keys are strings");
    harmless_json(&json).into_owned()
}

/// What differs from a baseline.
pub fn render_definitions(changes: &[DefinitionChange], names: [&str; 2], form: DiffForm) -> String {
    if form == DiffForm::Json {
        let value = json!({ "left": names[0], "right": names[1], "same": changes.is_empty(), "definitions": changes });
        return harmless_json(&format!("{value:#}")).into_owned() + "\n";
    }
    let title = format!("{} and {}", sanitize(names[0]), sanitize(names[1]));
    let summary = differ(" definition", changes.len());
    let mut text = Vec::new();
    let written = if form == DiffForm::Html {
        page::write(names, &summary, changes, None, &mut text)
    } else {
        let (times, failed_times) = Default::default();
        let report = DiffReport { title, definitions: changes, calls: None, times, failed_times, summary };
        write(&report, form, &mut text)
    };
    written.expect("a vector takes everything");
    String::from_utf8(text).expect("all of it is text")
}

fn write(report: &DiffReport<'_>, form: DiffForm, out: &mut dyn Write) -> Result<(), TapeOutputError> {
    match form {
        DiffForm::Junit => junit(report, out),
        DiffForm::Markdown => markdown(report, out),
        DiffForm::Text | DiffForm::Json | DiffForm::Html => text(report, out),
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
        let value = |sign: char, value: &Option<String>, other: &Option<String>| {
            value.as_ref().map(|it| format!("  {sign} {}", excerpt(it, other.as_deref(), SHOWN)))
        };
        let (expected, got) = (value('-', &it.expected, &it.got), value('+', &it.got, &it.expected));
        sanitize(&format!("{}{}{}", it.path, expected.unwrap_or_default(), got.unwrap_or_default())).into_owned()
    });
    DiffItem { sign, title: format!("{word} {}", sanitize(title)), lines: lines.collect() }
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros / 100 % 10)
}

fn text(report: &DiffReport<'_>, out: &mut dyn Write) -> Result<(), TapeOutputError> {
    report.each_item(|item| Ok(item.write_plain(out)?))?;
    report.times.iter().try_for_each(|line| writeln!(out, "t {line}"))?;
    Ok(writeln!(out, "{}", report.summary)?)
}

impl DiffItem {
    fn write_plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} {}", self.sign, self.title)?;
        self.lines.iter().try_for_each(|line| writeln!(out, "    {line}"))
    }

    /// The most backticks that stand beside each other.
    fn longest_fence(&self) -> usize {
        let lines = std::iter::once(&self.title).chain(&self.lines);
        lines.flat_map(|line| line.split(|c| c != '`').map(str::len)).max().unwrap_or(0)
    }
}

fn markdown(report: &DiffReport<'_>, out: &mut dyn Write) -> Result<(), TapeOutputError> {
    let title = report.title.replace(['<', '`', '*', '_'], " ");
    writeln!(out, "### {title}\n\n{}", report.summary)?;
    if !report.is_empty() {
        // A fence longer than any in what it holds.
        let mut longest = 2;
        report.each_item(|item| {
            longest = longest.max(item.longest_fence());
            Ok(())
        })?;
        let fence = "`".repeat(longest + 1);
        writeln!(out, "\n{fence}diff")?;
        report.each_item(|item| Ok(item.write_plain(out)?))?;
        writeln!(out, "{fence}")?;
    }
    for line in &report.times {
        write!(out, "\n- {}", line.replace('<', "&lt;"))?;
    }
    Ok(if report.times.is_empty() { Ok(()) } else { writeln!(out) }?)
}

/// Its head counts the items: what is shown of each is in memory before it is written.
fn junit(report: &DiffReport<'_>, out: &mut dyn Write) -> Result<(), TapeOutputError> {
    let mut suite = TestSuite::new(&*report.title);
    report.each_item(|item| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(item.title.clone());
        status.set_description(item.lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        suite.add_test_case(TestCase::new(item.title, status));
        Ok(())
    })?;
    for line in &report.failed_times {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(line.as_str());
        suite.add_test_case(TestCase::new(line.as_str(), status));
    }
    if report.is_empty() && report.failed_times.is_empty() {
        suite.add_test_case(TestCase::new(&*report.summary, TestCaseStatus::success()));
    }
    let mut report = Report::new("tapline tape diff");
    report.add_test_suite(suite);
    Ok(out.write_all(report.to_string().expect("a string takes everything").as_bytes())?)
}
