//! What came of a replay, as text, JSON, JUnit XML or a page.
//!
//! Plain functions on steps. The text is made for a terminal: nothing that a peer sent reaches it as a control byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::event::{Difference, Excused, ReplaySummary, StepReport, StepVerdict};
use crate::tape::page::{self, harmless};
use crate::text::{counted, excerpt, harmless_json, sanitize};

/// Whether text carries ANSI colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    #[default]
    Plain,
    Ansi,
}

/// Longest value that the text shows, in characters.
const SHOWN: usize = 120;

/// Columns of the method and name of a step.
const SUBJECT: usize = 32;

/// So many steps that have ended wait for one that has not: calls overlap, and a report is read in order.
const MOST_WAITING: usize = 256;
/// Steps that are test cases of their own; as many more where they fail.
const MOST_CASES: usize = 100_000;

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportForm {
    /// One line a step, the changed values below those that failed, and the [`summary_line`] last.
    Text(Colour),
    /// One JSON object, with the members `steps` and `summary`, or of several tapes `tapes`, each with these, and `summary`; times are in
    /// microseconds. A tape that is not whole has `warnings`, one that could not be played `error`.
    Json,
    /// JUnit XML, one test case a step, as CI systems read it; written at the end, as its head has the counts.
    Junit,
}

/// The page before and behind the report that it shows.
fn page() -> [String; 2] {
    page::page("tapline replay", page::REPLAY)
}

/// A report that is written while the replay goes on, so that a long one shows what it comes to and fills no memory.
#[derive(Debug)]
pub struct ReportStream {
    form: ReportForm,
    /// How far the page is that it stands in, where it does.
    page: Option<PageState>,
    /// Steps that have ended before an earlier one.
    waiting: BTreeMap<usize, StepReport>,
    /// The step that is to be written next.
    next: usize,
    cases: Vec<TestCase>,
    /// Steps that are no test cases of their own.
    unlisted: ReplaySummary,
    begun: bool,
    /// The tape that is played, where there are several.
    tape: Option<String>,
    /// What is not as it should be of the tape that is played, and why it could not be played, or not to its end.
    warnings: Vec<String>,
    error: Option<String>,
    /// How many could not be played.
    unplayed: usize,
    /// How many have ended of them, and what CI is told of them.
    ended: usize,
    suites: Vec<TestSuite>,
    /// Steps that were skipped for one reason, one after the other: text says so in one line.
    skipped: Option<SkippedSteps>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageState {
    Due,
    Begun,
}

#[derive(Debug)]
struct SkippedSteps {
    first: StepReport,
    count: usize,
}

impl ReportStream {
    pub fn new(form: ReportForm) -> Self {
        Self {
            form,
            page: None,
            waiting: BTreeMap::new(),
            next: 1,
            cases: Vec::new(),
            unlisted: ReplaySummary::default(),
            begun: false,
            tape: None,
            warnings: Vec::new(),
            error: None,
            unplayed: 0,
            ended: 0,
            suites: Vec::new(),
            skipped: None,
        }
    }

    /// The JSON of it in an HTML file that shows it and needs no network.
    pub fn page() -> Self {
        Self { page: Some(PageState::Due), ..Self::new(ReportForm::Json) }
    }

    /// The steps of this tape follow, which is one of several. Returns what is to be written now.
    pub fn begin_tape(&mut self, name: &str) -> String {
        self.tape = Some(name.to_owned());
        let text = match self.form {
            ReportForm::Text(_) => format!("{}\n", sanitize(name)),
            ReportForm::Json => {
                let begin = if self.ended == 0 { JSON_TAPES } else { ",\n" };
                format!("{begin}{{\n  \"tape\": {},\n", harmless_json(&serde_json::Value::from(name).to_string()))
            }
            ReportForm::Junit => String::new(),
        };
        self.in_page(text)
    }

    /// What is written of a report that is in a page: nothing in it ends the element that it stands in.
    fn in_page(&mut self, text: String) -> String {
        match self.page {
            Some(state) if !text.is_empty() => {
                self.page = Some(PageState::Begun);
                let [begin, _] = if state == PageState::Due { page() } else { Default::default() };
                begin + &harmless(&text)
            }
            _ => text,
        }
    }

    fn last(mut self, text: String) -> String {
        let [_, end] = if self.page.is_some() { page() } else { Default::default() };
        self.in_page(text) + &end
    }

    /// The tape is not as it should be: whoever has the report alone is to know what was not tested. Known before its first step.
    pub fn warn(&mut self, troubles: &[String]) {
        self.warnings.extend_from_slice(troubles);
    }

    /// The tape cannot be played, or not to its end.
    pub fn fail(&mut self, why: &str) {
        self.error = Some(why.to_owned());
        self.unplayed += 1;
    }

    /// All steps of one of several tapes have ended. Returns what is to be written now.
    pub fn end_tape(&mut self, summary: &ReplaySummary) -> String {
        let out = self.end_steps(summary);
        self.ended += 1;
        (self.next, self.begun) = (1, false);
        self.in_page(out)
    }

    /// Returns what is to be written when all of several tapes have ended; `total` is what they come to together.
    pub fn end_tapes(mut self, total: &ReplaySummary) -> String {
        let text = match self.form {
            ReportForm::Text(colour) => {
                let is_bad = total.failed > 0 || self.unplayed > 0;
                let verdict = if is_bad { StepVerdict::Fail } else { StepVerdict::Pass };
                let unplayed =
                    if self.unplayed > 0 { format!(", {} not played", self.unplayed) } else { String::new() };
                let line = format!("{}{unplayed}: {}", counted(self.ended, "tape"), summary_line(total));
                format!("{}\n", paint(&line, verdict, colour))
            }
            ReportForm::Json => {
                let begin = if self.ended == 0 { JSON_TAPES } else { "" };
                let total = serde_json::to_string(total).expect("all keys are strings");
                format!("{begin}],\n\"summary\": {total}\n}}\n")
            }
            ReportForm::Junit => junit(std::mem::take(&mut self.suites), total),
        };
        self.last(text)
    }

    /// Takes in a step that has ended, and returns what is to be written now.
    pub fn step(&mut self, step: StepReport) -> String {
        self.waiting.insert(step.step, step);
        let mut out = String::new();
        while let Some(first) = self.waiting.first_entry()
            && (*first.key() <= self.next || self.waiting.len() > MOST_WAITING)
            && let Some((number, step)) = self.waiting.pop_first()
        {
            self.next = self.next.max(number + 1);
            self.write(&step, &mut out);
        }
        self.in_page(out)
    }

    /// Returns what is to be written when all steps have ended.
    pub fn end(mut self, summary: &ReplaySummary) -> String {
        let out = self.end_steps(summary);
        match self.form {
            ReportForm::Junit => junit(self.suites, summary),
            ReportForm::Text(_) | ReportForm::Json => self.last(out),
        }
    }

    fn end_steps(&mut self, summary: &ReplaySummary) -> String {
        let mut out = String::new();
        for step in std::mem::take(&mut self.waiting).into_values() {
            self.write(&step, &mut out);
        }
        match self.form {
            ReportForm::Text(colour) => {
                self.skipped_text(&mut out, colour);
                for warning in self.warnings.drain(..) {
                    writeln!(out, "warning: {}", sanitize(&warning)).expect("a string takes everything");
                }
                if let Some(why) = self.error.take() {
                    return out + &paint(&format!("not played: {}", sanitize(&why)), StepVerdict::Fail, colour) + "\n";
                }
                let verdict = if summary.failed > 0 { StepVerdict::Fail } else { StepVerdict::Pass };
                out + &paint(&summary_line(summary), verdict, colour) + "\n"
            }
            ReportForm::Json => {
                let begin = if self.begun { "" } else { self.json_head() };
                let summary = serde_json::to_string(summary).expect("all keys are strings");
                let end = if self.tape.is_some() { "" } else { "\n" };
                let members = self.json_members();
                format!("{out}{begin}\n  ],\n{members}  \"summary\": {summary}\n}}{end}")
            }
            ReportForm::Junit => {
                self.end_suite(summary);
                out
            }
        }
    }

    fn end_suite(&mut self, summary: &ReplaySummary) {
        let mut suite = TestSuite::new(self.tape.as_deref().map_or("tapline replay".into(), sanitize));
        suite.set_time(Duration::from_micros(summary.took)).add_test_cases(std::mem::take(&mut self.cases));
        suite.add_test_cases(unlisted_cases(&std::mem::take(&mut self.unlisted)));
        suite.add_test_cases(self.error.take().map(|why| unplayed_case(&why)));
        if !self.warnings.is_empty() {
            let lines: Vec<_> = self.warnings.drain(..).map(|it| format!("warning: {}", sanitize(&it))).collect();
            suite.set_system_err(lines.join("\n"));
        }
        self.suites.push(suite);
    }

    fn write(&mut self, step: &StepReport, out: &mut String) {
        match self.form {
            ReportForm::Text(colour) => self.text(step, out, colour),
            ReportForm::Json => {
                out.push_str(if self.begun { ",\n" } else { self.json_head() });
                out.push_str(if self.begun { "    " } else { "\n    " });
                out.push_str(&harmless_json(&serde_json::to_string(step).expect("all keys are strings")));
            }
            ReportForm::Junit => self.add_case(step),
        }
        self.begun = true;
    }

    /// Takes a step into what CI is told, which is read as a whole: of a tape of millions the first, and as many more that failed.
    fn add_case(&mut self, step: &StepReport) {
        let (is_failure, most) = (step.verdict == StepVerdict::Fail, MOST_CASES);
        if self.cases.len() < if is_failure { 2 * most } else { most } {
            return self.cases.push(test_case(step));
        }
        let count = match step.verdict {
            StepVerdict::Pass => &mut self.unlisted.passed,
            StepVerdict::Fail => &mut self.unlisted.failed,
            StepVerdict::Skip => &mut self.unlisted.skipped,
        };
        *count += 1;
    }

    /// What else is said of a tape, where there is anything.
    fn json_members(&mut self) -> String {
        let warnings =
            Some(serde_json::json!(std::mem::take(&mut self.warnings))).filter(|it| *it != serde_json::json!([]));
        let error = self.error.take().map(serde_json::Value::from);
        let member = |(key, value): (&str, Option<serde_json::Value>)| {
            value.map(|value| format!("  \"{key}\": {},\n", harmless_json(&value.to_string())))
        };
        [("warnings", warnings), ("error", error)].into_iter().filter_map(member).collect()
    }

    fn json_head(&self) -> &'static str {
        if self.tape.is_some() { JSON_STEPS } else { JSON_HEAD }
    }

    fn text(&mut self, step: &StepReport, out: &mut String, colour: Colour) {
        let is_skipped = step.verdict == StepVerdict::Skip && step.why.is_some();
        match &mut self.skipped {
            Some(skipped) if is_skipped && skipped.first.why == step.why => return skipped.count += 1,
            _ => self.skipped_text(out, colour),
        }
        if is_skipped {
            self.skipped = Some(SkippedSteps { first: step.clone(), count: 1 });
        } else {
            step_text(out, step, SUBJECT, colour);
        }
    }

    fn skipped_text(&mut self, out: &mut String, colour: Colour) {
        let Some(SkippedSteps { first, count }) = self.skipped.take() else { return };
        step_text(out, &first, SUBJECT, colour);
        if count > 1 {
            let more = format!("{:>5}  {}  and {} more, for the same reason", "", word(StepVerdict::Skip), count - 1);
            out.push_str(&paint(&more, StepVerdict::Skip, colour));
            out.push('\n');
        }
    }
}

const JSON_HEAD: &str = "{\n  \"steps\": [";
const JSON_STEPS: &str = "  \"steps\": [";
const JSON_TAPES: &str = "{\n\"tapes\": [";

/// Returns the counts in one line: `58 passed, 2 failed, 1 skipped in 4.2 s; 7 values excused`.
pub fn summary_line(summary: &ReplaySummary) -> String {
    let ReplaySummary { passed, failed, skipped, excused, took, .. } = summary;
    let excused = match excused {
        0 => String::new(),
        1 => "; 1 value excused".to_owned(),
        count => format!("; {count} values excused"),
    };
    format!("{passed} passed, {failed} failed, {skipped} skipped in {}{excused}", duration(*took))
}

fn step_text(out: &mut String, step: &StepReport, width: usize, colour: Colour) {
    let verdict = paint(word(step.verdict), step.verdict, colour);
    let time = match (step.took, step.recorded) {
        (Some(took), Some(recorded)) => format!("{} (was {})", duration(took), duration(recorded)),
        (Some(took), None) => duration(took),
        (None, _) => String::new(),
    };
    let session = step.session.map(|id| format!("{}  ", id.short())).unwrap_or_default();
    let line = format!("{:>5}  {verdict}  {session}{:width$}  {time}", step.step, subject(step));
    out.push_str(line.trim_end());
    if let Some(why) = &step.why {
        write!(out, "  {}", sanitize(why)).expect("a string takes everything");
    }
    out.push('\n');
    for difference in &step.differences {
        writeln!(out, "             {}", difference_text(difference, colour)).expect("a string takes everything");
    }
    for excused in &step.excused {
        writeln!(out, "             {}", excused_text(excused)).expect("a string takes everything");
    }
    if let Some(hint) = hint(step) {
        writeln!(out, "             {hint}").expect("a string takes everything");
    }
}

/// `~ .result.content[0].text  2 × time  "9:16:01"  "9:16:04"`
fn excused_text(excused: &Excused) -> String {
    let count = if excused.count > 1 { format!("{} × ", excused.count) } else { String::new() };
    let side = |value: &Option<String>, other: &Option<String>| {
        value.as_ref().map_or(String::new(), |value| format!("  {}", excerpt(value, other.as_deref(), SHOWN)))
    };
    let (expected, got) = (side(&excused.expected, &excused.got), side(&excused.got, &excused.expected));
    sanitize(&format!("~ {}  {count}{}{expected}{got}", excused.path, excused.kind)).into_owned()
}

/// What settles a step that failed for values that are random.
fn hint(step: &StepReport) -> Option<String> {
    let options: Vec<_> =
        step.ignore.iter().map(|path| format!("--ignore '{}'", path.replace('\'', r"'\''"))).collect();
    (!options.is_empty())
        .then(|| sanitize(&format!("hint: if this changes from run to run: {}", options.join(" "))).into_owned())
}

/// `.result.content[0].text  - "250 ms"  + "300 ms"`
fn difference_text(difference: &Difference, colour: Colour) -> String {
    let Difference { path, expected, got } = difference;
    let side = |sign: char, value: &Option<String>, other: &Option<String>, verdict| {
        let shown = value.as_deref().map(|value| excerpt(value, other.as_deref(), SHOWN));
        let value = shown.map_or("(nothing)".to_owned(), |value| sanitize(&value).into_owned());
        paint(&format!("{sign} {value}"), verdict, colour)
    };
    let (was, is) = (side('-', expected, got, StepVerdict::Fail), side('+', got, expected, StepVerdict::Pass));
    format!("{}  {was}  {is}", sanitize(path))
}

fn subject(step: &StepReport) -> String {
    let name = step.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    sanitize(&excerpt(&format!("{}{name}", step.method), None, SHOWN)).into_owned()
}

fn word(verdict: StepVerdict) -> &'static str {
    match verdict {
        StepVerdict::Pass => "pass",
        StepVerdict::Fail => "FAIL",
        StepVerdict::Skip => "skip",
    }
}

fn paint(text: &str, verdict: StepVerdict, colour: Colour) -> String {
    let code = match (colour, verdict) {
        (Colour::Plain, _) => return text.to_owned(),
        (_, StepVerdict::Pass) => 32,
        (_, StepVerdict::Fail) => 31,
        (_, StepVerdict::Skip) => 33,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Writes microseconds as people read them: `352 µs`, `12 ms`, `4.2 s`.
fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

fn junit(suites: Vec<TestSuite>, summary: &ReplaySummary) -> String {
    let mut report = Report::new("tapline replay");
    report.set_time(Duration::from_micros(summary.took)).add_test_suites(suites);
    report.to_string().expect("a string takes everything")
}

/// What CI is told of steps that are no test cases of their own.
fn unlisted_cases(steps: &ReplaySummary) -> impl Iterator<Item = TestCase> {
    let failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let all = [
        (steps.passed, "passed", TestCaseStatus::success()),
        (steps.failed, "failed", failed),
        (steps.skipped, "were skipped", TestCaseStatus::skipped()),
    ];
    all.into_iter().filter(|(count, ..)| *count > 0).map(|(count, what, status)| {
        let mut case = TestCase::new(format!("{} more {what}", counted(count, "step")), status);
        case.set_classname("steps").set_time(Duration::ZERO);
        case
    })
}

/// What CI is told of a tape that could not be played.
fn unplayed_case(why: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(sanitize(why));
    let mut case = TestCase::new("the tape is played", status);
    case.set_classname("tape").set_time(Duration::ZERO);
    case
}

fn test_case(step: &StepReport) -> TestCase {
    let why = step.why.as_deref().map(sanitize);
    let status = match step.verdict {
        StepVerdict::Pass => TestCaseStatus::success(),
        StepVerdict::Skip => TestCaseStatus::skipped(),
        StepVerdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    let session = step.session.map(|id| format!(" of session {}", id.short())).unwrap_or_default();
    let mut case = TestCase::new(format!("{} {}{session}", step.step, subject(step)), status);
    case.set_classname(sanitize(&step.method)).set_time(Duration::from_micros(step.took.unwrap_or(0)));
    let excused = step.excused.iter().map(|it| format!("excused {}", excused_text(it)));
    let notes = why.as_deref().filter(|_| step.verdict == StepVerdict::Pass).map(str::to_owned);
    let notes: Vec<_> = notes.into_iter().chain(excused).collect();
    if !notes.is_empty() {
        case.set_system_out(notes.join("\n"));
    }
    if let Some(why) = why.filter(|_| step.verdict != StepVerdict::Pass) {
        case.status.set_message(why);
    }
    if step.verdict == StepVerdict::Fail {
        let lines = step.differences.iter().map(|it| difference_text(it, Colour::Plain)).chain(hint(step));
        case.status.set_description(lines.map(|line| line + "\n").collect::<String>());
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Seq;

    fn step(step: usize, verdict: StepVerdict, name: Option<&str>, why: Option<&str>) -> StepReport {
        StepReport {
            step,
            seq: Seq(step as u64),
            session: None,
            method: if name.is_some() { "tools/call" } else { "notifications/initialized" }.to_owned(),
            name: name.map(str::to_owned),
            verdict,
            took: name.map(|_| 352_400),
            recorded: name.map(|_| 900),
            why: why.map(str::to_owned),
            differences: Vec::new(),
            excused: Vec::new(),
            ignore: Vec::new(),
        }
    }

    fn steps() -> (Vec<StepReport>, ReplaySummary) {
        let difference = |path: &str, expected: Option<&str>, got: Option<&str>| Difference {
            path: path.to_owned(),
            expected: expected.map(str::to_owned),
            got: got.map(str::to_owned),
        };
        let mut failed = step(2, StepVerdict::Fail, Some("nap<\u{1b}[2J>"), Some("2 values differ"));
        failed.differences = vec![
            difference(".result.content[0].text", Some("\"250 ms\""), Some("\"300\u{9b} ms & more\"")),
            difference(".result.x", None, Some("1")),
        ];
        failed.ignore = vec![".result.content[*].text".to_owned()];
        let time = |at: &str| Some(format!("\"{at}\""));
        failed.excused = vec![Excused {
            path: ".result.at".to_owned(),
            kind: "time".to_owned(),
            count: 3,
            expected: time("9:16:01"),
            got: time("9:16:04"),
        }];
        let skipped = step(3, StepVerdict::Skip, Some("late"), Some("stopped"));
        let summary =
            ReplaySummary { passed: 1, failed: 1, skipped: 1, excused: 3, took: 4_210_000, ..ReplaySummary::default() };
        (vec![failed, step(1, StepVerdict::Pass, None, None), skipped], summary)
    }

    fn whole(form: ReportForm, steps: &[StepReport], summary: &ReplaySummary) -> String {
        let mut stream = ReportStream::new(form);
        let begun: String = steps.iter().map(|step| stream.step(step.clone())).collect();
        begun + &stream.end(summary)
    }

    #[test]
    fn report_stream_is_written_in_order_and_at_once() {
        let mut stream = ReportStream::new(ReportForm::Text(Colour::Plain));
        let mut written = |number| stream.step(step(number, StepVerdict::Pass, None, None)).lines().count();
        assert_eq!([3, 1, 2, 4].map(&mut written), [0, 1, 2, 1]);
        // A step that ends at the very end keeps no more than so many waiting.
        assert_eq!((6..=5 + MOST_WAITING).map(&mut written).sum::<usize>(), 0);
        assert_eq!([6 + MOST_WAITING, 5].map(&mut written), [MOST_WAITING + 1, 1]);
        let rest = stream.end(&ReplaySummary::default());
        assert_eq!(rest, "0 passed, 0 failed, 0 skipped in 0 µs\n");
    }

    #[test]
    fn text_is_a_line_a_step() {
        let (steps, summary) = steps();
        insta::assert_snapshot!(whole(ReportForm::Text(Colour::Plain), &steps, &summary), @r#"
            1  pass  notifications/initialized
            2  FAIL  tools/call nap<\x1b[2J>           352 ms (was 900 µs)  2 values differ
                     .result.content[0].text  - "250 ms"  + "300\x9b ms & more"
                     .result.x  - (nothing)  + 1
                     ~ .result.at  3 × time  "9:16:01"  "9:16:04"
                     hint: if this changes from run to run: --ignore '.result.content[*].text'
            3  skip  tools/call late                   352 ms (was 900 µs)  stopped
        1 passed, 1 failed, 1 skipped in 4.2 s; 3 values excused
        "#);
        let coloured = whole(ReportForm::Text(Colour::Ansi), &steps, &summary);
        assert!(coloured.contains("\x1b[31mFAIL\x1b[0m") && coloured.contains("\x1b[32m+ "));
    }

    #[test]
    fn junit_is_a_test_case_a_step() {
        let (steps, summary) = steps();
        insta::assert_snapshot!(whole(ReportForm::Junit, &steps, &summary), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="tapline replay" tests="3" skipped="1" failures="1" errors="0" time="4.210">
            <testsuite name="tapline replay" tests="3" skipped="1" errors="0" failures="1" time="4.210">
                <testcase name="1 notifications/initialized" classname="notifications/initialized" time="0.000"/>
                <testcase name="2 tools/call nap&lt;\x1b[2J&gt;" classname="tools/call" time="0.352">
                    <failure message="2 values differ">.result.content[0].text  - &quot;250 ms&quot;  + &quot;300\x9b ms &amp; more&quot;
        .result.x  - (nothing)  + 1
        hint: if this changes from run to run: --ignore &apos;.result.content[*].text&apos;
        </failure>
                    <system-out>excused ~ .result.at  3 × time  &quot;9:16:01&quot;  &quot;9:16:04&quot;</system-out>
                </testcase>
                <testcase name="3 tools/call late" classname="tools/call" time="0.352">
                    <skipped message="stopped"/>
                </testcase>
            </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn junit_of_very_many_steps_has_the_first_and_what_failed() {
        let mut stream = ReportStream::new(ReportForm::Junit);
        for at in 1..=MOST_CASES + 5 {
            let verdict = if at == MOST_CASES + 2 { StepVerdict::Fail } else { StepVerdict::Pass };
            stream.step(step(at, verdict, None, None));
        }
        let text = stream.end(&ReplaySummary::default());
        let end: Vec<_> = text.lines().rev().skip(2).take(3).map(str::trim).collect();
        assert!(text.contains(&format!("tests=\"{}\" skipped=\"0\" failures=\"1\"", MOST_CASES + 2)), "{end:?}");
        assert!(
            end[0].contains("4 steps more passed") && text.contains(&format!("name=\"{} ", MOST_CASES + 2)),
            "{end:?}"
        );
    }

    #[test]
    fn report_names_what_is_wrong_with_a_tape_and_why_one_was_not_played() {
        let whole = |form| {
            let (steps, summary) = steps();
            let mut stream = ReportStream::new(form);
            let mut out = stream.begin_tape("cut.tape.jsonl");
            stream.warn(&["line 7: not <JSON>\u{1b}".to_owned()]);
            out += &steps.into_iter().map(|step| stream.step(step)).collect::<String>();
            out += &stream.end_tape(&summary);
            out += &stream.begin_tape("gone.tape.jsonl");
            stream.fail("there is no tape gone.tape.jsonl");
            out += &stream.end_tape(&ReplaySummary::default());
            out + &stream.end_tapes(&summary)
        };
        let value: serde_json::Value = serde_json::from_str(&whole(ReportForm::Json)).unwrap();
        let tapes = &value["tapes"];
        assert_eq!(tapes[0]["warnings"], serde_json::json!(["line 7: not <JSON>\u{1b}"]));
        assert_eq!((&tapes[0]["error"], &tapes[1]["warnings"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        assert_eq!((&tapes[1]["tape"], &tapes[1]["steps"]), (&"gone.tape.jsonl".into(), &serde_json::json!([])));
        assert_eq!(tapes[1]["error"], "there is no tape gone.tape.jsonl");
        let junit = whole(ReportForm::Junit);
        for text in [
            r#"tests="4" skipped="1" failures="1" errors="1""#,
            "<system-err>warning: line 7: not &lt;JSON&gt;\\x1b</system-err>",
            r#"<testsuite name="gone.tape.jsonl" tests="1""#,
            r#"<error message="there is no tape gone.tape.jsonl"/>"#,
        ] {
            assert!(junit.contains(text), "{text}: {junit}");
        }
        let text = whole(ReportForm::Text(Colour::Plain));
        assert!(text.contains("\nwarning: line 7: not <JSON>\\x1b\n1 passed, 1 failed"), "{text}");
        assert!(
            text.contains(
                "gone.tape.jsonl\nnot played: there is no tape gone.tape.jsonl\n2 tapes, 1 not played: 1 passed"
            ),
            "{text}"
        );
    }

    #[test]
    fn json_has_every_step() {
        let (steps, summary) = steps();
        let value: serde_json::Value = serde_json::from_str(&whole(ReportForm::Json, &steps, &summary)).unwrap();
        assert_eq!(value["summary"]["failed"], 1);
        let nothing: serde_json::Value = serde_json::from_str(&whole(ReportForm::Json, &[], &summary)).unwrap();
        assert_eq!(nothing["steps"], serde_json::json!([]));
        assert_eq!(value["steps"][1]["differences"][0]["expected"], "\"250 ms\"");
        assert_eq!(value["steps"][2]["verdict"], "skip");
    }

    #[test]
    fn page_has_the_json_of_the_report_and_no_markup_of_a_peer() {
        let (mut steps, summary) = steps();
        steps[0].name = Some("</script><script>alert(1)</script>".to_owned());
        let data = |mut stream: ReportStream| {
            let mut page = stream.begin_tape("a<b");
            page += &steps.iter().map(|step| stream.step(step.clone())).collect::<String>();
            page += &stream.end_tape(&summary);
            page + &stream.end_tapes(&summary)
        };
        let (whole, json) = (data(ReportStream::page()), data(ReportStream::new(ReportForm::Json)));
        let [begin, end] = &page();
        let inner = whole.strip_prefix(begin).unwrap().strip_suffix(end).unwrap();
        assert!(!inner.contains('<'), "{inner}");
        let [inner, json] = [inner, &json].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(inner, json);
        let mut alone = ReportStream::page();
        let alone = alone.step(steps[1].clone()) + &alone.end(&summary);
        assert!(alone.starts_with(begin) && alone.ends_with(end), "{alone}");
        let nothing = ReportStream::page().end(&summary);
        assert!(nothing.starts_with(begin) && nothing.ends_with(end));
    }

    #[test]
    fn duration_is_readable() {
        for (micros, text) in
            [(0, "0 µs"), (999, "999 µs"), (1_000, "1 ms"), (999_999, "999 ms"), (61_050_000, "61.0 s")]
        {
            assert_eq!(duration(micros), text);
        }
    }
}
