//! How one reply differs from another, value by value.
//!
//! Pure functions on messages: numbers are equal by value, and no digit is lost. Where a text is JSON, as the content of most
//! tools is, it is compared as JSON, and a place inside it has a path as any other.
//!
//! What changes from run to run by its nature is no difference, and neither is what the user chose to ignore
//! ([`PathPattern`]); both are told, so that nothing is hidden ([`Findings::excused`]):
//!
//! - times, where both sides have one: written ones, epochs near the clocks of the runs, days and weekdays that moved as the
//!   clocks did; uuids, ids of parts of which one is made up, ports of this machine, temporary paths;
//! - numbers that their names, or the words before them in a text, say to be a pid, a port, a duration or the use of memory;
//! - opaque members of the protocol, and whatever the server makes up and the client sends back later ([`LearnedValues`]);
//! - a secret that was taken out of one of them, where the other has anything;
//! - the order of a list, where its members are the same.
//!
//! A pair is passed over only where both sides have the same shape: a uuid that became the word `none` is a difference. `names`
//! knows what names say, `written_time` how times are written, `text` reads two texts side by side, `judge` two values.

mod judge;
mod names;
mod text;
mod written_time;

use std::borrow::{Borrow, Cow};

use self::judge::Judge;
pub(crate) use self::names::is_token;
pub use crate::event::Volatile;
use crate::event::{Difference, Excused, Timestamp};
use crate::json::PathPattern;
use crate::json::diff::value_text;
use crate::json::path::{JsonPath, PathStep};
use crate::message::Message;

/// What a comparison passes over.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Places that the user chose to ignore, with everything inside them.
    pub ignore: Vec<PathPattern>,
    /// Places that alone count; all do where this is empty.
    pub only: Vec<PathPattern>,
    /// Whether values that change from run to run count.
    pub volatile: Volatile,
    /// When the two runs were; without it, a number or a day alone is never a time.
    pub clocks: Option<RunClocks>,
}

/// When two runs were that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunClocks {
    pub recorded: Timestamp,
    pub live: Timestamp,
}

/// How far from the clock of a run a time may be, in seconds: zones, and what was made shortly before.
const NEAR: f64 = 2.0 * DAY;
const DAY: f64 = 86_400.0;

impl RunClocks {
    /// Both runs are now.
    pub fn now() -> Self {
        let now = Timestamp::now();
        Self { recorded: now, live: now }
    }

    /// In seconds since the Unix epoch.
    fn seconds(self) -> [f64; 2] {
        [self.recorded, self.live].map(|it| std::time::Duration::from_micros(it.0).as_secs_f64())
    }

    /// In days since the Unix epoch.
    fn days(self) -> [i64; 2] {
        [self.recorded, self.live].map(|it| i64::try_from(it.0 / 86_400_000_000).unwrap_or(0))
    }

    /// Whether both numbers are times of either run, in the same unit.
    fn is_near(self, expected: f64, got: f64) -> bool {
        let is_time =
            |value: f64, unit: f64| self.seconds().into_iter().any(|clock| (value / unit - clock).abs() < NEAR);
        [1.0, 1e3, 1e6, 1e9].into_iter().any(|unit| is_time(expected, unit) && is_time(got, unit))
    }

    /// Whether both are days of either run.
    fn is_near_day(self, is_expected: impl Fn(i64) -> bool, is_got: impl Fn(i64) -> bool) -> bool {
        let any = |is: &dyn Fn(i64) -> bool| self.days().into_iter().any(|day| (day - 2..=day + 2).any(is));
        any(&is_expected) && any(&is_got)
    }

    /// Whether both are weekdays of their runs, give or take the zone.
    fn is_near_weekday(self, expected: i64, got: i64) -> bool {
        // The first day of 1970 was a Thursday.
        let is_near = |weekday: i64, day: i64| (day - 1..=day + 1).any(|day| (day + 4).rem_euclid(7) == weekday);
        let [recorded, live] = self.days();
        let moved = (got - expected - (live - recorded)).rem_euclid(7);
        recorded != live && is_near(expected, recorded) && is_near(got, live) && matches!(moved, 0 | 1 | 6)
    }
}

/// What is known of values that a server makes up for the client to hand back.
pub struct LearnedValues<'k> {
    /// What the live server says in place of a recorded text.
    pub live: &'k dyn Fn(&str) -> Option<String>,
    /// Whether the recorded client sent this back later, and the server had made it up.
    pub is_sent_back: &'k dyn Fn(&str) -> bool,
}

impl LearnedValues<'static> {
    /// Knows no values of a live session, so that every difference counts.
    pub const NOTHING: Self = Self { live: &|_| None, is_sent_back: &|_| false };
}

/// What came of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Every value that is not what was expected, in the order of the expected message.
    pub differences: Vec<Difference>,
    /// What differs and does not count.
    pub excused: Vec<Excused>,
    /// What the client may hand back: as expected, and as it came.
    pub handles: Vec<(String, String)>,
}

/// How much there was of each.
#[derive(Clone, Copy)]
struct FindingsMark {
    differences: usize,
    excused: usize,
    handles: usize,
}

impl Findings {
    fn mark(&self) -> FindingsMark {
        let Self { differences, excused, handles } = self;
        FindingsMark { differences: differences.len(), excused: excused.len(), handles: handles.len() }
    }

    fn back_to(&mut self, mark: FindingsMark) {
        self.differences.truncate(mark.differences);
        self.excused.truncate(mark.excused);
        self.handles.truncate(mark.handles);
    }

    fn add(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.excused.extend(other.excused);
        self.handles.extend(other.handles);
    }
}

/// Whether a member of this name holds the number of a process or of a port.
pub(crate) fn names_a_process(key: &str) -> bool {
    matches!(names::measure(&names::words_of(key)), Some(names::Measure::Pid | names::Measure::Port))
}

/// Returns every value of `got` that is not what was `expected`, in the order of the expected message.
pub fn compare(expected: &Message, got: &Message, rules: &Rules) -> Vec<Difference> {
    judge(expected, got, rules, &LearnedValues::NOTHING).differences
}

/// Returns what differs between two messages, what of it does not count, and what may be handed back. Messages that are not
/// both JSON differ as a whole.
pub fn judge(expected: &Message, got: &Message, rules: &Rules, known: &LearnedValues<'_>) -> Findings {
    let mut judge = Judge::new(rules, known);
    if expected.raw() != got.raw() {
        judge.values(&mut JsonPath::default(), &as_json(expected), &as_json(got));
    }
    settled(judge.findings(), rules)
}

/// Passes over what the user did not choose, and where shapes are compared over values; says so.
fn settled(mut found: Findings, rules: &Rules) -> Findings {
    if rules.only.is_empty() && rules.volatile != Volatile::Shape {
        return found;
    }
    for difference in std::mem::take(&mut found.differences) {
        match passed_over(&difference, rules) {
            None => found.differences.push(difference),
            Some(kind) => {
                let Difference { path, expected, got } = difference;
                found.excused.push(Excused { path, kind: kind.to_owned(), count: 1, expected, got });
            }
        }
    }
    found
}

/// Why a difference does not count, where it does not.
fn passed_over(difference: &Difference, rules: &Rules) -> Option<&'static str> {
    let path = difference.path.parse::<JsonPath<'_>>().ok()?;
    if !rules.only.is_empty() && !rules.only.iter().any(|pattern| pattern.covers(&path)) {
        return Some("not chosen");
    }
    if rules.volatile != Volatile::Shape {
        return None;
    }
    match (&difference.expected, &difference.got) {
        (Some(expected), Some(got)) => (type_of(expected) == type_of(got)).then_some("value"),
        _ => matches!(path.steps().last(), Some(PathStep::Index(_))).then_some("length"),
    }
}

/// What stands for the type of a value: how its text begins.
fn type_of(json: &str) -> u8 {
    match json.trim_start().bytes().next() {
        Some(b'-' | b'0'..=b'9') => b'0',
        Some(b't' | b'f') => b't',
        first => first.unwrap_or_default(),
    }
}

/// Returns which of several messages differs least from `to`; of those that differ equally, the first.
pub(crate) fn nearest<T, M: Borrow<Message>>(candidates: impl Iterator<Item = (T, M)>, to: &Message) -> Option<T> {
    let distance = |(_, candidate): &(T, M)| compare(candidate.borrow(), to, &Rules::default()).len();
    candidates.min_by_key(distance).map(|(which, _)| which)
}

/// The text of a message as JSON; what is no JSON becomes a string.
fn as_json(message: &Message) -> Cow<'_, str> {
    match value_text(message.raw()) {
        Some(json) => Cow::Borrowed(json),
        None => Cow::Owned(serde_json::Value::from(String::from_utf8_lossy(message.raw())).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn differences(expected: &str, got: &str, ignore: &[&str]) -> Vec<String> {
        let ignore = ignore.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let rules = Rules { ignore, ..Rules::default() };
        let (expected, got) = (Message::new(expected.to_owned()), Message::new(got.to_owned()));
        let show = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        let differences = compare(&expected, &got, &rules).into_iter();
        differences.map(|it| format!("{} {} -> {}", it.path, show(it.expected), show(it.got))).collect()
    }

    proptest! {
        /// Whichever side has more to say.
        #[test]
        fn text_that_goes_on_differs(text in "[a-zA-Z .!é]{0,12}", more in "[ .!?é]{1,3}[xyzé!]{1,4}") {
            let (short, long) = (serde_json::json!({ "a": text }).to_string(), serde_json::json!({ "a": text + &more }).to_string());
            prop_assert_eq!(differences(&short, &long, &[]).len(), 1);
            prop_assert_eq!(differences(&long, &short, &[]).len(), 1);
        }
    }

    #[test]
    fn compare_is_by_value_and_not_by_spelling() {
        for (expected, got, found) in [
            (r#"{"a":1,"b":[1,2]}"#, r#"{ "b" : [1, 2], "a":1 }"#, &[][..]),
            (r#"{"a":"é/"}"#, r#"{"a":"\u00e9\/"}"#, &[]),
            (r#"{"a":1.10}"#, r#"{"a":11e-1}"#, &[]),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, &[]),
            (r#"{"a":1}"#, r#"{"a":"1"}"#, &[r#".a 1 -> "1""#]),
            (r#"{"a":"hello"}"#, r#"{"a":"hello!"}"#, &[r#".a "hello" -> "hello!""#]),
            (r#"{"a":"hello!"}"#, r#"{"a":"hello"}"#, &[r#".a "hello!" -> "hello""#]),
            (r#"{"a":""}"#, r#"{"a":" and more"}"#, &[r#".a "" -> " and more""#]),
            (r#"{"a":null}"#, "{}", &[".a null -> nothing"]),
            ("{}", r#"{"a":{"b":1}}"#, &[r#".a nothing -> {"b":1}"#]),
            ("[1,2,3]", "[1,3]", &["[1] 2 -> 3", "[2] 3 -> nothing"]),
            (
                r#"{"n":123456789012345678901234567890}"#,
                r#"{"n":123456789012345678901234567891}"#,
                &[".n 123456789012345678901234567890 -> 123456789012345678901234567891"],
            ),
            (r#"{"s":"\ud83d"}"#, r#"{"s":"\ud83e"}"#, &[r#".s "\ud83d" -> "\ud83e""#]),
            (r#"{"odd key":{"":1}}"#, r#"{"odd key":{"":2}}"#, &[r#"["odd key"][""] 1 -> 2"#]),
            (r#"{"\ud83d":1}"#, r#"{"\ud83d":2}"#, &[r#". {"\ud83d":1} -> {"\ud83d":2}"#]),
            ("hello", "{}", &[r#". "hello" -> {}"#]),
            ("hello", "hello", &[]),
        ] {
            assert_eq!(differences(expected, got, &[]), found, "{expected} {got}");
        }
    }

    #[test]
    fn compare_survives_a_deep_reply() {
        let deep = |inner: &str| "[".repeat(5_000) + inner + &"]".repeat(5_000);
        assert_eq!(differences(&deep("1"), &deep("2"), &[]).len(), 1);
    }

    #[test]
    fn ignore_passes_over_its_places() {
        let expected =
            r#"{"result":{"_meta":{"a":1},"content":[{"text":"a","x":1},{"text":"b"}],"t":{"timestamp":1}}}"#;
        let got = r#"{"result":{"content":[{"text":"c","x":2},{"text":"d"}],"t":{"timestamp":2}}}"#;
        assert_eq!(differences(expected, got, &[]).len(), 5);
        let ignored = [".result._meta", ".result.content[*].text", "..timestamp"];
        assert_eq!(differences(expected, got, &ignored), [".result.content[0].x 1 -> 2"]);
    }

    #[test]
    fn volatile_exact_compares_every_byte() {
        let rules = Rules { volatile: Volatile::Exact, ..Rules::default() };
        let at = |time: &str| Message::new(format!(r#"{{"at":"2026-11-23T16:55:{time}Z"}}"#));
        assert_eq!(compare(&at("01"), &at("02"), &rules).len(), 1);
        assert_eq!(compare(&at("01"), &at("02"), &Rules::default()).len(), 0);
    }

    #[test]
    fn shape_is_of_members_and_types_and_only_chosen_places_count() {
        let [expected, got] = [r#"{"a":1,"b":["x"],"c":{"d":true}}"#, r#"{"a":2,"b":["y","z"],"c":{"d":"true"}}"#]
            .map(|json| Message::new(json.to_owned()));
        let paths = |rules: Rules| compare(&expected, &got, &rules).into_iter().map(|it| it.path).collect::<Vec<_>>();
        assert_eq!(paths(Rules::default()), [".a", ".b[0]", ".b[1]", ".c.d"]);
        assert_eq!(paths(Rules { volatile: Volatile::Shape, ..Rules::default() }), [".c.d"]);
        assert_eq!(paths(Rules { only: vec![".b".parse().unwrap()], ..Rules::default() }), [".b[0]", ".b[1]"]);
    }

    const UUID_A: &str = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
    const UUID_B: &str = "16fd2706-8baf-433b-82eb-8c7fada847da";

    fn is_same(key: &str, expected: &str, got: &str) -> bool {
        let message = |value: &str| Message::new(format!(r#"{{"result":{{"{key}":{value}}}}}"#));
        compare(&message(expected), &message(got), &Rules::default()).is_empty()
    }

    #[test]
    fn same_passes_over_what_changes_by_nature() {
        for (key, expected, got) in [
            ("text", r#""2026-11-23T16:55:01Z""#, r#""2027-01-02 03:04:05.678+01:00""#),
            ("text", r#""made 2026-11-23T16:55:01 by me""#, r#""made 2026-11-24T16:55:01 by me""#),
            ("text", r#""made at 5:15:58 PM""#, r#""made at 11:29:56 AM""#),
            ("text", "\"made at 5:15:58\u{202f}PM\"", "\"made at 17:29:56\""),
            ("createdAt", "1795452901000", "1795452999123"),
            ("mtime", "1795452901", "1795452999.5"),
            ("timestamp", r#""1795452901000""#, r#""1795452999123""#),
            ("url", r#""http://127.0.0.1:40123/x""#, r#""http://127.0.0.1:9/x""#),
            ("url", r#""http://localhost:1/a and http://[::1]:2/""#, r#""http://localhost:3/a and http://[::1]:4/""#),
            ("nextCursor", r#""eyJvZmZzZXQiOjF9""#, r#""eyJvZmZzZXQiOjJ9""#),
            ("nextCursor", r#""abcdefgh""#, r#""ijklmnop""#),
            ("taskId", r#""task-81""#, r#""task-1007""#),
            ("Mcp-Session-Id", r#""abcd1234abcd1234""#, r#""0123456789abcdef""#),
            ("progressToken", "1", "2"),
            ("traceparent", r#""00-1-2-01""#, r#""00-3-4-01""#),
        ] {
            assert!(is_same(key, expected, got), "{key}: {expected} {got}");
        }
        assert!(is_same("x", &format!("\"a {UUID_A}.\""), &format!("\"a {UUID_B}.\"")));
    }

    #[test]
    fn same_keeps_a_difference_of_shape() {
        for (key, expected, got) in [
            ("text", r#""2026-11-23T16:55:01Z""#, r#""yesterday""#),
            ("text", r#""at 2026-11-23T16:55:01Z""#, r#""on 2026-11-23T16:55:02Z""#),
            ("date", r#""2026-11-23""#, r#""2026-11-24""#),
            ("text", r#""won 3:1""#, r#""won 3:2""#),
            ("text", r#""1:2:3""#, r#""1:2:4""#),
            ("createdAt", "1795452901000", "1795452901"),
            ("createdAt", "1795452901000", "0"),
            ("createdAt", "1795452901000", r#""2026-11-23T16:55:01Z""#),
            ("count", "1795452901000", "1795452999123"),
            ("url", r#""http://example.com:1/""#, r#""http://example.com:2/""#),
            ("nextCursor", r#""eyJvZmZzZXQiOjF9""#, "null"),
            ("taskId", r#""task-81""#, r#""a task of mine""#),
            ("progressToken", "1", r#""1""#),
            ("text", r#""250 ms""#, r#""300 ms""#),
        ] {
            assert!(!is_same(key, expected, got), "{key}: {expected} {got}");
        }
        assert!(!is_same("x", &format!("\"{UUID_A}\""), "\"none\""));
        assert!(!is_same("x", &format!("\"{UUID_A}\""), &format!("\"{UUID_B}0\"")));
        assert!(!is_same("x", &format!("\"{UUID_A}\""), &format!("\"x{UUID_B}\"")));
    }

    /// Two runs a day apart, the second on 2026-11-28 at 09:20:00.
    fn day_apart() -> Rules {
        let live = Timestamp(1_795_857_600_000_000);
        let clocks = RunClocks { recorded: Timestamp(live.0 - 86_400_000_000), live };
        Rules { clocks: Some(clocks), ..Rules::default() }
    }

    fn judged(expected: &str, got: &str) -> Findings {
        let (expected, got) = (Message::new(expected.to_owned()), Message::new(got.to_owned()));
        judge(&expected, &got, &day_apart(), &LearnedValues::NOTHING)
    }

    /// What is excused of two texts of a tool: kind, recorded and live value; `None` where they differ.
    fn excused(expected: &str, got: &str) -> Option<Vec<String>> {
        let result = |text: &str| serde_json::json!({"id": 1, "result": {"content": [{"text": text}]}}).to_string();
        let found = judged(&result(expected), &result(got));
        let told = found.excused.iter().map(|it| it.kind.clone());
        found.differences.is_empty().then(|| told.collect())
    }

    #[test]
    fn text_passes_over_what_changes_by_nature() {
        for (expected, got, kinds) in [
            ("on 2026-11-27", "on 2026-11-28", &["time"][..]),
            (
                "Fri Nov 27 2026 09:16:01 GMT+0000 (Coordinated Universal Time)",
                "Sat Nov 28 2026 09:20:07 GMT+0000 (Coordinated Universal Time)",
                &["time"],
            ),
            ("it is Friday", "it is Saturday", &["time"]),
            ("Date: Fri, 27 Nov 2026 09:16:01 GMT", "Date: Sat, 28 Nov 2026 09:16:01 GMT", &["time"]),
            ("at 1795771200", "at 1795857600", &["time"]),
            ("at 1795771200123", "at 1795857600456", &["time"]),
            ("run search_1_1795771200123", "run search_1_1795857600456", &["id"]),
            ("Process started with PID 4242 (shell)", "Process started with PID 981 (shell)", &["pid"]),
            ("Runtime: 40ms, pid=7", "Runtime: 1.2s, pid=9", &["duration", "pid"]),
            ("Completed in 40ms", "Completed in 312 ms", &["duration"]),
            ("up: 12 ms elapsed", "up: 9 ms elapsed", &["duration"]),
            ("Uptime: 1 day, 2:03:04", "Uptime: 1 day, 3:13:00", &["time"]),
            ("Uptime: 2h 3m 4s", "Uptime: 40m 7s", &["duration"]),
            ("rss: 12.5 MB", "rss: 13 MB", &["usage"]),
            (
                "[566:566:1128/091601.123456:ERROR:x.cc(1)]",
                "[81:93:1129/100000.654321:ERROR:x.cc(1)]",
                &["pid", "time"],
            ),
            ("listening on port 40123", "listening on port 51001", &["port"]),
            ("task_3025aa9c queued", "task_99f0c1d2 queued", &["id"]),
            ("in /tmp/tmpab12cd_x/out", "in /tmp/tmpk3j9x2ab/out", &["temporary path"]),
            ("committed with hash 3025aa9c", "committed with hash 99f0c1d2", &["commit"]),
            ("3 minutes ago", "1 hour ago", &["time"]),
            ("b\na\nc", "a\nb\nc", &["order"]),
            (r#"{"pid":81,"at":"2026-11-27"}"#, r#"{"at":"2026-11-28","pid":93}"#, &["pid", "time"]),
            (r#"{"cpu":{"cores":[{"total":1}]}}"#, r#"{"cpu":{"cores":[{"total":2}]}}"#, &["usage"]),
            (r#"{"memory":{"external":"4.4 MB"}}"#, r#"{"memory":{"external":"4.5 MB"}}"#, &["usage"]),
            ("Found at 9:16:01:\n{\"pid\": 1}\n```", "Found at 9:20:07:\n{\"pid\":2}\n```", &["time", "pid"]),
            (r#"  {"a": 1, "b": [1, 2]}"#, r#"{"b":[1,2],"a":1}"#, &[]),
        ] {
            let kinds: Vec<_> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            assert_eq!(excused(expected, got), Some(kinds), "{expected} -> {got}");
        }
    }

    #[test]
    fn text_keeps_what_a_server_says_otherwise() {
        for (expected, got) in [
            ("250 ms", "300 ms"),
            ("on 2020-01-01", "on 2020-01-02"),
            ("it is Friday", "it is Monday"),
            ("id 1795771200", "id 1234567890"),
            ("count: 4242", "count: 981"),
            ("completed in 3 steps", "completed in 4 steps"),
            ("port 80", "port 443"),
            ("task_1", "task_2"),
            ("sha 3025aa9c", "sha 99f0c1d2"),
            ("/tmp/apples", "/tmp/grapes"),
            ("Uptime: 3 s", "Uptime: unknown"),
            ("a\nb\nc", "a\nb\nd"),
            (r#"{"pid":81,"n":1}"#, r#"{"pid":93,"n":2}"#),
            (r#"{"pid":81}"#, r#"{"pid":"none"}"#),
            ("one:\n{\"pid\":1}", "two:\n{\"pid\":1}"),
            ("one:\n{\"n\":1}", "one:\n{\"n\":2}"),
            ("PID 81", "no process"),
        ] {
            assert_eq!(excused(expected, got), None, "{expected} -> {got}");
        }
    }

    #[test]
    fn json_in_text_is_compared_by_its_values() {
        let result = |n: u8, at: u8| {
            let text = format!(r#"{{"list": [{{"n": {n}, "pid": {at}}}]}}"#);
            serde_json::json!({"id": 1, "result": {"content": [{"type": "text", "text": text}]}}).to_string()
        };
        let found = judged(&result(1, 1), &result(2, 2));
        let [difference] = &found.differences[..] else { panic!("{found:?}") };
        assert_eq!(difference.path, ".result.content[0].text.list[0].n");
        assert_eq!(found.excused[0].path, ".result.content[0].text.list[0].pid");
        assert_eq!(differences(&result(1, 1), &result(2, 1), &["..list[*].n"]), [""; 0]);
    }

    #[test]
    fn lists_with_the_same_members_are_the_same() {
        for (expected, got, count) in [
            (r#"["a","b","c"]"#, r#"["c","a","b"]"#, Some(1)),
            (r#"[{"pid":1,"n":"a"},{"pid":2,"n":"b"}]"#, r#"[{"n":"b","pid":7},{"pid":9,"n":"a"}]"#, Some(3)),
            (r#"["a","b","c"]"#, r#"["c","a","a"]"#, None),
            (r#"["a","b"]"#, r#"["b","a","c"]"#, None),
        ] {
            let found = judged(expected, got);
            let excused = found.excused.iter().map(|it| it.count).sum();
            assert_eq!(found.differences.is_empty().then_some(excused), count, "{expected} {got} {found:?}");
        }
    }

    #[test]
    fn lists_in_lists_are_compared_in_bounded_time() {
        let nested = |inner: &str| "[1,".repeat(100) + inner + &"]".repeat(100);
        assert!(!judged(&nested("2"), &nested("3")).differences.is_empty());
        let long = |first: u32| serde_json::to_string(&(first..first + 20_000).collect::<Vec<_>>()).unwrap();
        assert_eq!(judged(&long(0), &long(20_000)).differences.len(), 20_000);
    }

    #[test]
    fn handles_are_what_the_client_sends_back() {
        let known = LearnedValues { live: &|_| None, is_sent_back: &|word| word == "zq9x" };
        let found = |expected: &str, got: &str| {
            let message = |text: &str| Message::new(format!(r#"{{"result":{{"text":"use {text} now"}}}}"#));
            judge(&message(expected), &message(got), &Rules::default(), &known)
        };
        let handed = found("zq9x", "kk1r");
        assert_eq!((handed.differences.len(), handed.excused[0].kind.as_str()), (0, "handle"));
        assert_eq!(handed.handles, [("zq9x".to_owned(), "kk1r".to_owned())]);
        assert_eq!(found("zq9y", "kk1r").differences.len(), 1);
        assert_eq!(found("zq9x", "gone").differences.len(), 1);
    }

    #[test]
    fn same_passes_over_ids_of_one_kind() {
        let same = |expected: &str, got: &str| {
            let message = |id: &str| Message::new(format!(r#"{{"id":{id},"result":{{}}}}"#));
            compare(&message(expected), &message(got), &Rules::default()).is_empty()
        };
        assert!(same("1", "2") && same("\"a\"", "\"b\""));
        assert!(!same("1", "\"1\"") && !same("1", "null"));
    }

    proptest! {
        #[test]
        fn compare_finds_no_difference_to_itself(raw: Vec<u8>) {
            let message = Message::new(raw);
            prop_assert_eq!(compare(&message, &message, &Rules::default()), []);
        }

        #[test]
        fn text_is_the_same_as_itself_and_no_panic(a in r"[0-9a-f:TZ +.é_\-]{0,60}|(localhost:[0-9]{1,6} ?){1,3}|(Sat|Nov|28|2026|pid|in|ago|days|,| |:|-|/tmp/|up){0,20}|.*", b in r"[0-9a-f:TZ +.é_\-]{0,60}|(Sat|Nov|28|2026|pid|in|ago|days|,| |:|-|/tmp/|up){0,20}|.*") {
            prop_assert_eq!(excused(&a, &a), Some(Vec::new()));
            excused(&a, &b);
        }

        #[test]
        fn compare_survives_any_pair(a in r#"[\[\]{}:,"\\\\a-c0-9e.\-é ]{0,40}"#, b in r#"[\[\]{}:,"\\\\a-c0-9e.\-é ]{0,40}"#) {
            let differences = compare(&Message::new(a.clone()), &Message::new(b.clone()), &Rules::default());
            prop_assert!(a != b || differences.is_empty());
        }

    }
}
