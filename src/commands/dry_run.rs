//! What rules would have done to the messages of tapes, as text, as JSON and as JUnit.

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use crate::intercept::Verdict;
use crate::json::diff::{NumberEquality, value_text, visit_differences};
use crate::rules::{RuleSet, Ruling, as_it_came};
use crate::tape::TapeContext;
use crate::text::{counted, from_parting, sanitize};

/// Longer values are cut.
const SHOWN: usize = 60;

/// What was found on tapes so far.
#[derive(Default)]
pub(super) struct DryRun {
    seen: usize,
    touched: Vec<TouchedMessage>,
    /// For each rule: of how many messages that it matches another made an end before, and which did so first.
    hidden: Vec<(u64, Option<usize>)>,
}

/// A message that a rule did something to.
#[derive(Debug, Serialize)]
struct TouchedMessage {
    tape: String,
    seq: u64,
    direction: &'static str,
    method: Option<String>,
    name: Option<String>,
    rules: Vec<String>,
    /// What would have become of it.
    fate: String,
    differences: Vec<ChangedValue>,
}

/// A value before and after; texts of JSON.
#[derive(Debug, Serialize)]
struct ChangedValue {
    path: String,
    before: Option<String>,
    after: Option<String>,
}

/// What is to be told of one rule.
#[derive(Debug, Serialize)]
struct RuleTally {
    name: String,
    hits: u64,
    problem: Option<String>,
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct DryRunReport {
    file: String,
    tapes: usize,
    seen: usize,
    touched: usize,
    messages: Vec<TouchedMessage>,
    rules: Vec<RuleTally>,
    notes: Vec<String>,
    #[serde(skip)]
    shown_tapes: Vec<String>,
}

impl DryRun {
    pub(super) fn new(set: &RuleSet) -> Self {
        Self { hidden: vec![(0, None); set.len()], ..Self::default() }
    }

    /// Goes over a tape that was read.
    pub(super) fn tape(&mut self, set: &RuleSet, path: &str, tape: &TapeContext<'_>) {
        for envelope in tape.messages() {
            let Some(mut came) = as_it_came(&envelope) else { continue };
            self.seen += 1;
            let before = came.message.clone();
            let Ruling { verdict, ended_by, .. } = set.decide(&mut came, tape);
            if let Some(by) = ended_by {
                for hidden in set.hidden_by(by, &came, tape) {
                    let (count, first) = &mut self.hidden[hidden];
                    *count += 1;
                    first.get_or_insert(by);
                }
            }
            let Some(rules) = &came.rules else { continue };
            self.touched.push(TouchedMessage {
                tape: path.to_owned(),
                seq: came.seq.0,
                direction: came.direction.word(),
                method: came.method().map(str::to_owned),
                name: came.name().map(str::to_owned),
                rules: rules.iter().map(ToString::to_string).collect(),
                fate: described(&verdict, came.message != before),
                differences: differences(before.raw(), came.message.raw()),
            });
        }
    }

    /// All that was found in tapes with this file.
    pub(super) fn report(self, set: &RuleSet, file: &str) -> DryRunReport {
        let names: Vec<_> = set.hits().into_iter().map(|(name, _)| name).collect();
        let broken: Vec<_> = set.status().into_iter().map(|rule| rule.broken).collect();
        let shadows = set.shadows();
        let tallies = set.hits().into_iter().enumerate().map(|(at, (name, hits))| {
            let always = shadows.iter().find(|(hidden, _)| *hidden == at).map(|(_, by)| *by);
            let problem = match (hits, self.hidden[at], always) {
                (_, _, Some(by)) => {
                    Some(format!("it never has its turn: `{}` is asked before it, of the same messages", names[by]))
                }
                (0, (count, Some(by)), _) => {
                    Some(format!("it never had its turn: `{}` made an end of all {count} that it matches", names[by]))
                }
                (0, ..) if self.seen > 0 => Some("it never matched".to_owned()),
                _ => broken[at].as_ref().map(|why| format!("it failed on a message, which went on as it was: {why}")),
            };
            RuleTally { name: name.to_string(), hits, problem }
        });
        let rules = tallies.collect();
        let mut shown_tapes: Vec<_> = self.touched.iter().map(|it| it.tape.clone()).collect();
        shown_tapes.dedup();
        DryRunReport {
            file: file.to_owned(),
            tapes: shown_tapes.len(),
            seen: self.seen,
            touched: self.touched.len(),
            messages: self.touched,
            rules,
            notes: set.notes(),
            shown_tapes,
        }
    }
}

impl DryRunReport {
    /// Whether a rule never had its turn, or failed.
    pub(super) fn has_problem(&self) -> bool {
        self.rules.iter().any(|rule| rule.problem.is_some())
    }

    /// For a person. `strict`: a rule without its turn is a fault, and so is one that failed.
    pub(super) fn text(&self, strict: bool) -> String {
        let mut out = String::new();
        // A string takes everything.
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
        for tape in &self.shown_tapes {
            let _ = writeln!(out, "{}", sanitize(tape));
            self.messages.iter().filter(|it| it.tape == *tape).for_each(|message| message.write(&mut out));
        }
        if self.seen == 0 {
            let rules = counted(self.rules.len(), "rule");
            let _ = writeln!(out, "{rules}, all in order; `--on TAPE` shows what they would have done");
        } else {
            let _ = writeln!(out, "would have touched {} of {}", self.touched, counted(self.seen, "message"));
        }
        let told = self.rules.iter().filter(|rule| self.seen > 0 || rule.problem.is_some());
        for RuleTally { name, hits, problem } in told {
            let problem = problem.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            let _ = writeln!(out, "  {hits:>6} {}{}", sanitize(name), sanitize(&problem));
        }
        if strict && self.has_problem() {
            let _ = writeln!(
                out,
                "failed: each rule is to have its turn and to do its part; take away what is not needed, mend what fails, or change the order"
            );
        }
        out
    }

    /// The report as one JSON object.
    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// A test case a rule: it fails where it never had its turn, or could not do its part.
    pub(super) fn junit(&self) -> String {
        let cases = self.rules.iter().map(|rule| {
            let mut case = match &rule.problem {
                None => TestCase::new(sanitize(&rule.name), TestCaseStatus::success()),
                Some(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(sanitize(why));
                    TestCase::new(sanitize(&rule.name), status)
                }
            };
            let mut lines = String::new();
            let touched = self.messages.iter().filter(|message| message.rules.contains(&rule.name));
            touched.for_each(|message| message.write(&mut lines));
            case.set_classname(sanitize(&self.file)).set_system_out(lines);
            case
        });
        let mut suite = TestSuite::new(sanitize(&self.file));
        suite.add_test_cases(cases);
        let mut report = Report::new("tapline check");
        report.add_test_suite(suite);
        report.to_string().unwrap_or_default() + "\n"
    }
}

impl TouchedMessage {
    fn write(&self, out: &mut String) {
        let what: Vec<_> = [&self.method, &self.name].into_iter().flatten().map(String::as_str).collect();
        let sign = if self.direction == "c2s" { ">" } else { "<" };
        let (what, rules) = (what.join(" "), self.rules.join(", "));
        let (what, rules) = (sanitize(&what), sanitize(&rules));
        // A string takes everything.
        let _ = writeln!(out, "  #{} {sign} {what}: {} by {rules}", self.seq, self.fate);
        for ChangedValue { path, before, after } in &self.differences {
            let mut line = |sign: char, value: &Option<String>, other: &Option<String>| {
                let shown = value.iter().map(|text| cut(&from_parting(text, other.as_deref(), SHOWN)));
                out.extend(shown.map(|text| format!("      {sign} {}{text}\n", sanitize(path))));
            };
            line('-', before, after);
            line('+', after, before);
        }
    }
}

fn described(verdict: &Verdict, edited: bool) -> String {
    let edit = if edited { "changed" } else { "forwarded" };
    match verdict {
        Verdict::Continue | Verdict::Modify(..) => edit.to_owned(),
        Verdict::Block(..) => "blocked".to_owned(),
        Verdict::Pause(_) => "held".to_owned(),
        Verdict::Drop(_) => "dropped".to_owned(),
        Verdict::Answer(answer, _) => format!("answered {}", cut(&String::from_utf8_lossy(answer.raw()))),
        Verdict::Status(answer, _) => format!("answered with HTTP status {}", answer.status),
        Verdict::Disconnect(when, _) => format!("disconnected {when:?}").to_lowercase(),
        Verdict::Duplicate => "sent twice".to_owned(),
        Verdict::Delay(time, _, then) => format!("delayed {time:?}, then {}", described(then, edited)),
        Verdict::PauseFor(time, _, then) => format!("held for at most {time:?}, then {}", described(then, edited)),
        Verdict::Ask(late) => format!("left to: {}", sanitize(&late.reason())),
    }
}

/// The values that differ, or, of what is no JSON any more, the texts.
fn differences(before: &[u8], after: &[u8]) -> Vec<ChangedValue> {
    if before == after {
        return Vec::new();
    }
    let (Some(old), Some(new)) = (value_text(before), value_text(after)) else {
        let text = |bytes| Some(String::from_utf8_lossy(bytes).into_owned());
        return vec![ChangedValue { path: String::new(), before: text(before), after: text(after) }];
    };
    let mut changed = Vec::new();
    visit_differences(old, new, NumberEquality::Spelling, &mut |path, old, new| {
        let (before, after) = (old.map(str::to_owned), new.map(str::to_owned));
        changed.push(ChangedValue { path: format!("{path}: "), before, after });
    });
    changed
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let end = if short.len() < text.len() { ".." } else { "" };
    format!("{}{end}", sanitize(&short))
}
