//! Two values, member by member and element by element, and the verdict on each pair that is not alike.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::names::{Measure, is_handle_name, is_opaque_name, is_token, is_token_name, measure, names_a_time, words_of};
use super::text::{TextContext, match_texts};
use super::{Findings, LearnedValues, Rules, Volatile};
use crate::event::{Difference, Excused};
use crate::json::diff::members;
use crate::json::path::{JsonPath, PathStep};
use crate::json::scalar::{is_same_number, number, string};
use crate::message::items_of;
use crate::tape::redact::{is_secret_number, secrets_of};

/// Beyond this depth values are compared as text: a hostile message must not exhaust the stack.
const DEPTH: usize = 128;
/// So many members of a list are looked for at other places.
const MOST_MOVED: usize = 64;
/// So many pairs of members of lists are tried in one message.
const MOST_TRIED: usize = 20_000;
/// Longest value that is told of something excused, in bytes.
const MOST_TOLD: usize = 200;

/// Members of `_meta` that carry a trace (W3C Trace Context).
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

pub(super) struct Judge<'j> {
    rules: &'j Rules,
    known: &'j LearnedValues<'j>,
    findings: Findings,
    /// Pairs of list members that may still be tried; none inside a list that is tried.
    tries: usize,
}

impl<'j> Judge<'j> {
    pub(super) fn new(rules: &'j Rules, known: &'j LearnedValues<'j>) -> Self {
        Self { rules, known, findings: Findings::default(), tries: MOST_TRIED }
    }

    pub(super) fn findings(self) -> Findings {
        self.findings
    }

    /// Judges two values, each as JSON text.
    pub(super) fn values<'a>(&mut self, path: &mut JsonPath<'a>, expected: &'a str, got: &'a str) {
        if expected == got {
            return;
        }
        let too_deep = path.steps().len() >= DEPTH;
        match (expected.as_bytes().first(), got.as_bytes().first()) {
            (Some(b'{'), Some(b'{')) if !too_deep => self.objects(path, expected, got),
            (Some(b'['), Some(b'[')) if !too_deep => self.arrays(path, &items_of(expected), &items_of(got)),
            (Some(b'"'), Some(b'"')) => match (string(expected), string(got)) {
                (Some(text), Some(other)) if text == other => {}
                (Some(text), Some(other)) => self.strings(path, (expected, &text), (got, &other)),
                _ => self.differ(path, Some(expected), Some(got)),
            },
            _ => match (number(expected), number(got)) {
                (Some(value), Some(other)) if is_same_number(value, other) => {}
                (Some(value), Some(other)) => self.numbers(path, (expected, value), (got, other)),
                _ => self.differ(path, Some(expected), Some(got)),
            },
        }
    }

    fn objects<'a>(&mut self, path: &mut JsonPath<'a>, expected: &'a str, got: &'a str) {
        let (Some(left), Some(right)) = (members(expected), members(got)) else {
            return self.differ(path, Some(expected), Some(got));
        };
        for (key, value) in &left.order {
            self.at(path, PathStep::Key(key.clone()), Some(value), right.get(key));
        }
        for (key, value) in right.order.iter().filter(|(key, _)| left.get(key).is_none()) {
            self.at(path, PathStep::Key(key.clone()), None, Some(value));
        }
    }

    fn arrays<'a>(&mut self, path: &mut JsonPath<'a>, expected: &[&'a str], got: &[&'a str]) {
        let before = self.findings.mark();
        for index in 0..expected.len().max(got.len()) {
            self.at(path, PathStep::Index(index), expected.get(index).copied(), got.get(index).copied());
        }
        if self.findings.differences.len() == before.differences || expected.len() != got.len() {
            return;
        }
        if let Some(found) = self.same_members(path, expected, got) {
            self.findings.back_to(before);
            self.findings.add(found);
            self.excuse(path, "order", None);
        }
    }

    /// What is to be said of two lists that have the same members at other places; `None` where they have not.
    fn same_members<'a>(&mut self, path: &JsonPath<'a>, expected: &[&'a str], got: &[&'a str]) -> Option<Findings> {
        if self.tries == 0 || self.rules.volatile == Volatile::Exact {
            return None;
        }
        let mut unmatched: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, value) in got.iter().enumerate() {
            unmatched.entry(value).or_default().push(place);
        }
        let mut moved: Vec<(usize, &str)> = expected.iter().copied().enumerate().collect();
        moved.retain(|(_, value)| unmatched.get_mut(value).and_then(Vec::pop).is_none());
        let mut places: Vec<usize> = unmatched.into_values().flatten().collect();
        places.sort_unstable();
        if moved.len() > MOST_MOVED {
            return None;
        }
        let mut findings = Findings::default();
        for (index, value) in moved {
            let mut path = path.clone();
            path.push(PathStep::Index(index));
            let found = places.iter().position(|place| {
                self.tries = self.tries.saturating_sub(1);
                let mut judge = Judge { rules: self.rules, known: self.known, findings: Findings::default(), tries: 0 };
                judge.values(&mut path.clone(), value, got[*place]);
                let is_same = judge.findings.differences.is_empty();
                if is_same {
                    findings.add(judge.findings);
                }
                is_same
            });
            places.remove(found?);
        }
        Some(findings)
    }

    fn at<'a>(&mut self, path: &mut JsonPath<'a>, step: PathStep<'a>, expected: Option<&'a str>, got: Option<&'a str>) {
        path.push(step);
        match (expected, got) {
            (Some(expected), Some(got)) => self.values(path, expected, got),
            (expected, got) => self.differ(path, expected, got),
        }
        path.pop();
    }

    /// Judges two unequal strings, each as its token and what it says.
    fn strings(&mut self, path: &JsonPath<'_>, (token, expected): (&str, &str), (other, got): (&str, &str)) {
        if self.rules.volatile != Volatile::Exact
            && let (Some((around, inner)), Some((other_around, other_inner))) =
                (json_in_text(expected), json_in_text(got))
        {
            if around != other_around && !self.excuse_if_ignored(path, token, other) {
                self.texts(path, &around, &other_around, (token, other));
            }
            let mut path: JsonPath<'_> = path.clone();
            return self.values(&mut path, inner, other_inner);
        }
        if self.excuse_if_ignored(path, token, other) {
            return;
        }
        if let Some(secrets) = secrets_of(expected, got, |_| true).or_else(|| secrets_of(got, expected, |_| true)) {
            // What the server says now is what goes back to it.
            secrets.into_iter().for_each(|(mark, secret)| self.learn(true, mark, secret));
            return self.excuse(path, "secret", None);
        }
        let key = path.nearest_key().unwrap_or_default();
        if let Some((kind, is_handle)) = self.whole_string(path, key, expected, got) {
            self.learn(is_handle, expected, got);
            return self.excuse(path, kind, Some((token, other)));
        }
        // Known by the names that people give to what is handed back; whether it is the same is another question.
        if is_handle_name(key) && is_token(expected) && is_token(got) {
            self.learn(true, expected, got);
        }
        self.texts(path, expected, got, (token, other));
    }

    /// Why two strings as a whole are no difference, and whether the client may hand them back.
    fn whole_string(&self, path: &JsonPath<'_>, key: &str, expected: &str, got: &str) -> Option<(&'static str, bool)> {
        let is_both = |test: fn(&str) -> bool| test(expected) && test(got);
        if is_message_id(path) {
            return Some(("message id", false));
        }
        if is_opaque_name(key) && is_both(|text| !text.is_empty() && !text.contains(' '))
            || is_token_name(key) && is_both(is_token)
        {
            return Some(("token", true));
        }
        if TRACE.contains(&key) {
            return Some(("trace", false));
        }
        let epochs =
            || expected.parse().ok().zip(got.parse().ok()).is_some_and(|(left, right)| is_same_epoch(left, right));
        if names_a_time(key) && epochs() {
            return Some(("time", false));
        }
        let is_known = (self.known.live)(expected).is_some_and(|live| live == got);
        (is_known || is_both(is_token) && (self.known.is_sent_back)(expected)).then_some(("handle", true))
    }

    fn texts(&mut self, path: &JsonPath<'_>, expected: &str, got: &str, tokens: (&str, &str)) {
        let key = path.nearest_key().unwrap_or_default();
        let context = TextContext {
            key,
            around: measure_around(path),
            clocks: self.rules.clocks,
            live: self.known.live,
            is_sent_back: self.known.is_sent_back,
        };
        let found = match_texts(expected, got, context);
        for variation in found.variations.iter().filter(|it| it.is_handle) {
            self.learn(true, variation.expected, variation.got);
        }
        if found.is_same {
            for it in &found.variations {
                self.excuse_text(path, it.kind, it.expected, it.got);
            }
            return;
        }
        let lines = (expected.lines().collect::<Vec<_>>(), got.lines().collect::<Vec<_>>());
        if lines.0.len() > 1 && lines.0.len() == lines.1.len() && has_same_lines(lines.0, lines.1, context) {
            return self.excuse(path, "order", None);
        }
        self.differ_by_nature(path, Some(tokens.0), Some(tokens.1));
    }

    /// Judges two unequal numbers, each as its token and its value.
    fn numbers(&mut self, path: &JsonPath<'_>, (token, expected): (&str, f64), (other, got): (&str, f64)) {
        if self.excuse_if_ignored(path, token, other) {
            return;
        }
        let key = path.nearest_key().unwrap_or_default();
        let measure = measure(&words_of(key)).or_else(|| measure_around(path));
        let is_near = self.rules.clocks.is_some_and(|clocks| clocks.is_near(expected, got));
        let kind = if is_message_id(path) {
            Some("message id")
        } else if key == "progressToken" {
            Some("token")
        } else if is_secret_number(key, token) && is_secret_number(key, other) {
            Some("secret")
        } else if names_a_time(key) && is_same_epoch(expected, got) || is_near {
            Some("time")
        } else if let Some(measure) = measure.filter(|it| *it != Measure::Port || expected >= 1024.0 && got >= 1024.0) {
            Some(measure.word())
        } else if (self.known.live)(token).is_some_and(|live| live == other)
            || is_token(token) && is_token(other) && (self.known.is_sent_back)(token)
        {
            Some("handle")
        } else {
            None
        };
        let Some(kind) = kind else {
            return self.differ_by_nature(path, Some(token), Some(other));
        };
        self.learn(matches!(kind, "pid" | "port" | "handle") || (self.known.is_sent_back)(token), token, other);
        self.excuse(path, kind, Some((token, other)));
    }

    /// Whether the user chose to ignore this place; says so. Nothing is passed over where every byte counts.
    fn excuse_if_ignored(&mut self, path: &JsonPath<'_>, expected: &str, got: &str) -> bool {
        let is_ignored = self.is_ignored(path);
        if is_ignored {
            self.excuse(path, "ignored", Some((expected, got)));
        } else if self.rules.volatile == Volatile::Exact {
            self.differ_by_nature(path, Some(expected), Some(got));
            return true;
        }
        is_ignored
    }

    fn is_ignored(&self, path: &JsonPath<'_>) -> bool {
        self.rules.ignore.iter().any(|pattern| pattern.covers(path))
    }

    fn differ(&mut self, path: &JsonPath<'_>, expected: Option<&str>, got: Option<&str>) {
        if self.is_ignored(path) {
            let nothing = "nothing";
            self.excuse(path, "ignored", Some((expected.unwrap_or(nothing), got.unwrap_or(nothing))));
        } else {
            self.differ_by_nature(path, expected, got);
        }
    }

    fn differ_by_nature(&mut self, path: &JsonPath<'_>, expected: Option<&str>, got: Option<&str>) {
        let own = |value: Option<&str>| value.map(str::to_owned);
        let difference = Difference { path: path.to_string(), expected: own(expected), got: own(got) };
        self.findings.differences.push(difference);
    }

    fn learn(&mut self, is_handle: bool, expected: &str, got: &str) {
        if is_handle {
            self.findings.handles.push((expected.to_owned(), got.to_owned()));
        }
    }

    fn excuse_text(&mut self, path: &JsonPath<'_>, kind: &str, expected: &str, got: &str) {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        self.excuse(path, kind, Some((&quoted(expected), &quoted(got))));
    }

    /// Notes what is passed over: of each kind at each place one, and how many there were.
    fn excuse(&mut self, path: &JsonPath<'_>, kind: &str, values: Option<(&str, &str)>) {
        let path = path.to_string();
        let last = self.findings.excused.iter_mut().rev().take_while(|it| it.path == path);
        if let Some(known) = last.into_iter().find(|it| it.kind == kind) {
            known.count += 1;
            return;
        }
        let (expected, got) = values.map(|(expected, got)| (beginning(expected), beginning(got))).unzip();
        self.findings.excused.push(Excused { path, kind: kind.to_owned(), count: 1, expected, got });
    }
}

/// Whether the value is the message's own id.
fn is_message_id(path: &JsonPath<'_>) -> bool {
    matches!(path.steps(), [PathStep::Key(key)] if key == "id")
}

/// What the members around a number say: `.cpu.cores[0].total`, `.uptime.seconds`.
fn measure_around(path: &JsonPath<'_>) -> Option<Measure> {
    let keys = path.steps().iter().rev().filter_map(|step| match step {
        PathStep::Key(key) => Some(key),
        PathStep::Index(_) => None,
    });
    let mut around = keys.skip(1).filter_map(|key| measure(&words_of(key)));
    around.find(|it| matches!(it, Measure::Duration | Measure::Usage))
}

/// Two numbers since 1970 in the same unit, of the years 2001 to 2100.
fn is_same_epoch(expected: f64, got: f64) -> bool {
    let unit = |value: f64| [1.0, 1e3, 1e6, 1e9].into_iter().find(|unit| (1e9 * unit..4.2e9 * unit).contains(&value));
    unit(expected).is_some_and(|expected| unit(got) == Some(expected))
}

/// The object or list that a text is, or that begins at one of its lines, and the text around it.
fn json_in_text(text: &str) -> Option<(String, &str)> {
    let is_start =
        |at: &usize| text[..*at].trim_end_matches([' ', '\t']).ends_with('\n') || text[..*at].trim().is_empty();
    let start = text.match_indices(['{', '[']).map(|(at, _)| at).find(is_start)?;
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<&RawValue>();
    let json = values.next()?.ok()?.get();
    let (before, after) = (&text[..start], &text[start + values.byte_offset()..]);
    Some((format!("{}{}", before.trim_start(), after.trim_end()), json))
}

/// Whether two texts have the same lines in another order.
fn has_same_lines(mut expected: Vec<&str>, mut got: Vec<&str>, context: TextContext<'_>) -> bool {
    expected.sort_unstable();
    got.sort_unstable();
    let moved = expected.iter().zip(&got).filter(|(left, right)| left != right);
    let mut tries = 0;
    moved.into_iter().all(|(left, right)| {
        tries += 1;
        tries <= MOST_MOVED && match_texts(left, right, context).is_same
    })
}

fn beginning(value: &str) -> String {
    match (0..=MOST_TOLD).rev().find(|end| value.is_char_boundary(*end)) {
        Some(end) if value.len() > MOST_TOLD => format!("{}…", &value[..end]),
        _ => value.to_owned(),
    }
}
