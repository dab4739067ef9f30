//! Findings as reports: text for people, JSON lines, SARIF 2.1.0 for code scanning, JUnit for CI.
//!
//! The SARIF of the 111 findings in `tests/interop/README.md` was validated against the schema that OASIS publishes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::catalogue::LINTS;
use super::policy::LintPolicy;
use crate::event::{Finding, LintLevel};
use crate::text::sanitize;

/// The findings of one tape.
#[derive(Clone, Debug)]
pub struct LintedTape {
    /// As it was named.
    pub path: String,
    /// The line in the file of each message, by its number: editors and code scanning show that.
    pub lines: BTreeMap<u64, u64>,
    pub messages: usize,
    pub found: Vec<Finding>,
}

impl LintedTape {
    fn counting<'a>(&'a self, policy: &'a LintPolicy) -> impl Iterator<Item = &'a Finding> {
        self.found.iter().filter(|finding| policy.counts(finding))
    }

    fn line(&self, finding: &Finding) -> u64 {
        self.lines.get(&finding.seq.0).copied().unwrap_or(1)
    }
}

/// For people: a block a finding.
pub fn text(tapes: &[LintedTape], policy: &LintPolicy) -> String {
    let mut out = String::new();
    for tape in tapes {
        for finding in tape.counting(policy) {
            write_finding(tape, finding, &mut out);
        }
    }
    let (counted, less): (Vec<_>, Vec<_>) = tapes
        .iter()
        .flat_map(|tape| &tape.found)
        .filter(|finding| !policy.is_allowed(finding))
        .partition(|finding| policy.counts(finding));
    let messages: usize = tapes.iter().map(|tape| tape.messages).sum();
    let _ = write!(out, "{} in {}", plural(counted.len(), "finding"), plural(messages, "message"));
    if !less.is_empty() {
        let level = less.iter().map(|finding| finding.level).min().unwrap_or(LintLevel::Note).word();
        let _ = write!(out, "; {} below `{}`: `--level {level}` shows them", less.len(), policy.level.word());
    }
    out.push('\n');
    out
}

fn write_finding(tape: &LintedTape, finding: &Finding, out: &mut String) {
    let (level, culprit) = (finding.level.word(), finding.culprit());
    let _ = writeln!(
        out,
        "{}:{}: {level}[{}] {}: {}",
        sanitize(&tape.path),
        tape.line(finding),
        finding.code,
        finding.seq,
        sanitize(&finding.text)
    );
    let _ = writeln!(out, "    by the {culprit}; {} of {}", finding.section, sanitize(&finding.revision));
    for client in &finding.clients {
        let _ = writeln!(out, "    {client}");
    }
    let _ = writeln!(out, "    hint: {}", finding.hint);
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// One JSON object a line.
pub fn json_lines(tapes: &[LintedTape], policy: &LintPolicy) -> String {
    let mut out = String::new();
    for tape in tapes {
        for finding in tape.counting(policy) {
            let mut value = serde_json::to_value(finding).unwrap_or_default();
            value["tape"] = tape.path.as_str().into();
            value["line"] = tape.line(finding).into();
            value["culprit"] = finding.culprit().into();
            let _ = writeln!(out, "{value}");
        }
    }
    out
}

/// SARIF 2.1.0 (OASIS): one run, a rule for each lint that was found.
pub fn sarif(tapes: &[LintedTape], policy: &LintPolicy) -> String {
    let found: Vec<_> =
        tapes.iter().flat_map(|tape| tape.counting(policy).map(move |finding| (tape, finding))).collect();
    let rules: Vec<_> =
        LINTS.iter().filter(|rule| found.iter().any(|(_, finding)| finding.code == rule.code)).collect();
    let place = |code: &str| rules.iter().position(|rule| rule.code == code);
    let described: Vec<_> = rules
        .iter()
        .map(|rule| {
            json!({
                "id": rule.code,
                "shortDescription": {"text": rule.about},
                "help": {"text": rule.hint},
                "helpUri": help_uri(rule.section, "2025-11-25"),
                "defaultConfiguration": {"level": sarif_level(rule.level)},
            })
        })
        .collect();
    let results: Vec<_> =
        found.iter().map(|(tape, finding)| sarif_result(tape, finding, place(&finding.code))).collect();
    sarif_log(&described, &results)
}

/// The one run that tapline writes, whichever command found the results.
pub fn sarif_log(rules: &[Value], results: &[Value]) -> String {
    let driver = json!({
        "name": "tapline",
        "version": env!("CARGO_PKG_VERSION"),
        "informationUri": "https://modelcontextprotocol.io/specification",
        "rules": rules,
    });
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    });
    format!("{log:#}\n")
}

fn help_uri(section: &str, revision: &str) -> String {
    format!("https://modelcontextprotocol.io/specification/{revision}/{section}")
}

fn sarif_level(level: LintLevel) -> &'static str {
    match level {
        LintLevel::Error => "error",
        LintLevel::Warn => "warning",
        LintLevel::Info | LintLevel::Note => "note",
    }
}

fn sarif_result(tape: &LintedTape, finding: &Finding, rule: Option<usize>) -> Value {
    let clients: String = finding.clients.iter().map(|client| format!("\n{client}")).collect();
    let text = format!("{} {}{clients}\nhint: {}", finding.seq, finding.text, finding.hint);
    json!({
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": sarif_level(finding.level),
        "message": {"text": sanitize_lines(&text)},
        "locations": [sarif_location(&tape.path, tape.line(finding))],
        "partialFingerprints": {"tapline/v1": format!("{}/{}", finding.code, finding.text)},
        "properties": {
            "culprit": finding.culprit(),
            "revision": finding.revision,
            "section": help_uri(&finding.section, &finding.revision),
        },
    })
}

/// A line of a file, as code scanning shows it.
pub fn sarif_location(path: &str, line: u64) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&path.replace('\\', "/"))},
            "region": {"startLine": line},
        },
    })
}

fn sanitize_lines(text: &str) -> String {
    crate::text::sanitize_lines(text).into_owned()
}

/// A path as a URI reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// JUnit: a suite a tape, a case a finding; a tape without any is one case that passed.
pub fn junit(tapes: &[LintedTape], policy: &LintPolicy) -> String {
    let mut report = Report::new("tapline lint");
    for tape in tapes {
        let mut suite = TestSuite::new(&*sanitize(&tape.path));
        let cases: Vec<_> = tape.counting(policy).map(|finding| junit_case(tape, finding)).collect();
        if cases.is_empty() {
            suite.add_test_case(TestCase::new("lint", TestCaseStatus::success()));
        }
        suite.add_test_cases(cases);
        report.add_test_suite(suite);
    }
    report.to_string().expect("a string takes everything")
}

fn junit_case(tape: &LintedTape, finding: &Finding) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let mut detail = String::new();
    write_finding(tape, finding, &mut detail);
    status.set_message(&*sanitize(&finding.text)).set_type(finding.code.as_str()).set_description(detail);
    let mut case = TestCase::new(format!("{} {}", finding.code, finding.seq), status);
    case.set_classname(format!("{}.{}", finding.culprit(), finding.code));
    case
}
