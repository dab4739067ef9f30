//! How one reply differs from another, value by value.
//!
//! Pure functions on JSON text. Numbers are compared by their text, so that none loses digits; the order of keys does
//! not matter, of duplicate keys the last counts (as for every JSON reader). What changes from run to run by its nature
//! is no difference ([`volatile`]), and neither is what the user chose to ignore ([`Pattern`]).

pub mod ignore;
pub mod volatile;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde_json::value::RawValue;

pub use self::ignore::{Pattern, PatternError};
use crate::event::Difference;
use crate::message::{Message, read_members};

/// Beyond this depth values are compared as text: a hostile reply must not exhaust the stack.
const DEPTH: usize = 128;

/// What a comparison passes over.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub ignore: Vec<Pattern>,
    pub volatile: Volatile,
}

/// Whether values that change from run to run count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Volatile {
    /// Two timestamps are the same, two uuids are, and so on; a uuid and the word `none` are not.
    #[default]
    Normalised,
    /// Every byte of a value counts.
    Exact,
}

/// One step from a JSON value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// Where a value stands in a message, in the notation of jq: `.result.content[0].text`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path<'a>(pub Vec<Step<'a>>);

impl Path<'_> {
    /// The nearest key: of `.a.b[0]` it is `b`.
    pub fn key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(&**key),
            Step::Index(_) => None,
        })
    }

    /// Whether the value is the message's own id.
    fn is_id(&self) -> bool {
        matches!(&self.0[..], [Step::Key(key)] if key == "id")
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        self.0.iter().try_for_each(|step| match step {
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) if is_plain(key) => write!(f, ".{key}"),
            Step::Key(key) => write!(f, "[{}]", serde_json::Value::from(&**key)),
        })
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

/// Every value of `got` that is not what was `expected`, in the order of the expected message.
pub fn compare(expected: &Message, got: &Message, rules: &Rules) -> Vec<Difference> {
    let mut differences = Vec::new();
    walk(expected, got, &mut |path, expected, got| {
        let passed_over = rules.ignore.iter().any(|pattern| pattern.covers(path))
            || rules.volatile == Volatile::Normalised && volatile::same(path, expected, got);
        if !passed_over {
            let own = |value: Option<&str>| value.map(str::to_owned);
            differences.push(Difference { path: path.to_string(), expected: own(expected), got: own(got) });
        }
    });
    differences
}

/// Which of several messages differs least from this one; of equals the first.
pub(crate) fn nearest<'a, T>(candidates: impl Iterator<Item = (T, &'a Message)>, to: &Message) -> Option<T> {
    let distance = |(_, candidate): &(T, &Message)| compare(candidate, to, &Rules::default()).len();
    candidates.min_by_key(distance).map(|(which, _)| which)
}

/// Is shown a place, and the JSON text that either side has there.
pub type See<'s> = dyn FnMut(&Path<'_>, Option<&str>, Option<&str>) + 's;

/// Shows every pair of unequal values that cannot be taken apart further, as JSON text; `None` where a side has none.
pub fn walk(expected: &Message, got: &Message, see: &mut See<'_>) {
    let mut path = Path::default();
    match (json(expected), json(got)) {
        (Some(expected), Some(got)) => descend(&mut path, expected, got, see),
        _ if expected.raw() == got.raw() => {}
        _ => see(&path, Some(&as_json(expected)), Some(&as_json(got))),
    }
}

fn json(message: &Message) -> Option<&str> {
    let text = std::str::from_utf8(message.raw()).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Some(serde_json::from_str::<&RawValue>(text).ok()?.get())
}

/// The text of a message as JSON; what is no JSON becomes a string.
fn as_json(message: &Message) -> Cow<'_, str> {
    match json(message) {
        Some(json) => Cow::Borrowed(json),
        None => Cow::Owned(serde_json::Value::from(String::from_utf8_lossy(message.raw())).to_string()),
    }
}

fn descend<'a>(path: &mut Path<'a>, expected: &'a str, got: &'a str, see: &mut See<'_>) {
    if expected == got {
        return;
    }
    let too_deep = path.0.len() >= DEPTH;
    match (expected.as_bytes().first(), got.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) if !too_deep => match (members(expected), members(got)) {
            (Some(expected), Some(got)) => objects(path, &expected, &got, see),
            _ => see(path, Some(expected), Some(got)),
        },
        (Some(b'['), Some(b'[')) if !too_deep => arrays(path, &elements(expected), &elements(got), see),
        _ if same_scalar(expected, got) => {}
        _ => see(path, Some(expected), Some(got)),
    }
}

/// Members in order, and where each stands; of duplicate keys the last counts.
struct Members<'a> {
    order: Vec<(Cow<'a, str>, &'a str)>,
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Members<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.places.get(key).map(|place| self.order[*place].1)
    }
}

/// `None` where a key is no Unicode text.
fn members(object: &str) -> Option<Members<'_>> {
    let mut members = Members { order: Vec::new(), places: HashMap::new() };
    for (key, value) in read_members(object.as_bytes())? {
        let next = members.order.len();
        match *members.places.entry(key.clone()).or_insert(next) {
            place if place < next => members.order[place].1 = value.get(),
            _ => members.order.push((key, value.get())),
        }
    }
    Some(members)
}

fn elements(array: &str) -> Vec<&str> {
    let elements: Vec<&RawValue> = serde_json::from_str(array).unwrap_or_default();
    elements.into_iter().map(RawValue::get).collect()
}

fn objects<'a>(path: &mut Path<'a>, expected: &Members<'a>, got: &Members<'a>, see: &mut See<'_>) {
    for (key, value) in &expected.order {
        path.0.push(Step::Key(key.clone()));
        match got.get(key) {
            Some(got) => descend(path, value, got, see),
            None => see(path, Some(value), None),
        }
        path.0.pop();
    }
    for (key, value) in got.order.iter().filter(|(key, _)| expected.get(key).is_none()) {
        path.0.push(Step::Key(key.clone()));
        see(path, None, Some(value));
        path.0.pop();
    }
}

fn arrays<'a>(path: &mut Path<'a>, expected: &[&'a str], got: &[&'a str], see: &mut See<'_>) {
    for index in 0..expected.len().max(got.len()) {
        path.0.push(Step::Index(index));
        match (expected.get(index), got.get(index)) {
            (Some(expected), Some(got)) => descend(path, expected, got, see),
            (expected, got) => see(path, expected.copied(), got.copied()),
        }
        path.0.pop();
    }
}

/// Whether two unequal tokens say the same: other escapes of one string, other digits of one number.
fn same_scalar(expected: &str, got: &str) -> bool {
    if let (Some(expected), Some(got)) = (string(expected), string(got)) {
        return expected == got;
    }
    let exact = |number: f64| number.abs() < 9_007_199_254_740_992.0;
    match (number(expected), number(got)) {
        (Some(expected), Some(got)) => expected == got && exact(expected),
        _ => false,
    }
}

/// The text of a JSON string token.
pub(crate) fn string(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(token).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

pub(crate) fn number(token: &str) -> Option<f64> {
    // A token that begins so can be nothing else; `parse` alone would take `nan` and `inf`.
    token.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| token.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn differences(expected: &str, got: &str, ignore: &[&str]) -> Vec<String> {
        let ignore = ignore.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let rules = Rules { ignore, volatile: Volatile::Normalised };
        let (expected, got) = (Message::new(expected.to_owned()), Message::new(got.to_owned()));
        let show = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        let differences = compare(&expected, &got, &rules).into_iter();
        differences.map(|it| format!("{} {} -> {}", it.path, show(it.expected), show(it.got))).collect()
    }

    #[test]
    fn values_count_and_spelling_does_not() {
        for (expected, got, found) in [
            (r#"{"a":1,"b":[1,2]}"#, r#"{ "b" : [1, 2], "a":1 }"#, &[][..]),
            (r#"{"a":"é/"}"#, r#"{"a":"\u00e9\/"}"#, &[]),
            (r#"{"a":1.10}"#, r#"{"a":11e-1}"#, &[]),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, &[]),
            (r#"{"a":1}"#, r#"{"a":"1"}"#, &[r#".a 1 -> "1""#]),
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
    fn a_deep_reply_does_not_exhaust_the_stack() {
        let deep = |inner: &str| "[".repeat(5_000) + inner + &"]".repeat(5_000);
        assert_eq!(differences(&deep("1"), &deep("2"), &[]).len(), 1);
    }

    #[test]
    fn what_is_ignored_is_no_difference() {
        let expected =
            r#"{"result":{"_meta":{"a":1},"content":[{"text":"a","x":1},{"text":"b"}],"t":{"timestamp":1}}}"#;
        let got = r#"{"result":{"content":[{"text":"c","x":2},{"text":"d"}],"t":{"timestamp":2}}}"#;
        assert_eq!(differences(expected, got, &[]).len(), 5);
        let ignored = [".result._meta", ".result.content[*].text", "..timestamp"];
        assert_eq!(differences(expected, got, &ignored), [".result.content[0].x 1 -> 2"]);
    }

    #[test]
    fn exact_means_exact() {
        let rules = Rules { ignore: Vec::new(), volatile: Volatile::Exact };
        let at = |time: &str| Message::new(format!(r#"{{"at":"2026-11-23T16:55:{time}Z"}}"#));
        assert_eq!(compare(&at("01"), &at("02"), &rules).len(), 1);
        assert_eq!(compare(&at("01"), &at("02"), &Rules::default()).len(), 0);
    }

    proptest! {
        #[test]
        fn a_message_is_itself(raw: Vec<u8>) {
            let message = Message::new(raw);
            prop_assert_eq!(compare(&message, &message, &Rules::default()), []);
        }

        #[test]
        fn no_pair_of_messages_is_too_odd(a in r#"[\[\]{}:,"\\\\a-c0-9e.\-é ]{0,40}"#, b in r#"[\[\]{}:,"\\\\a-c0-9e.\-é ]{0,40}"#) {
            let differences = compare(&Message::new(a.clone()), &Message::new(b.clone()), &Rules::default());
            prop_assert!(a != b || differences.is_empty());
        }

        #[test]
        fn no_text_is_too_odd_to_mask(text in r"[0-9a-f:TZ +.é\-]{0,60}|(localhost:[0-9]{1,6} ?){1,3}|.*") {
            prop_assert!(volatile::uuids(&text).iter().all(|uuid| volatile::mask(uuid) == "<uuid>"));
            volatile::mask(&text);
        }
    }
}
