//! How one reply differs from another, value by value.
//!
//! Pure functions on messages, over the value diff of [`json::diff`](crate::json::diff): numbers are equal by value, and no
//! digit is lost. What changes from run to run by its nature is no difference ([`volatile`]), and neither is what the user
//! chose to ignore ([`PathPattern`]).

pub mod volatile;

use std::borrow::Cow;

use crate::event::Difference;
use crate::json::PathPattern;
use crate::json::diff::{self, DifferenceVisitor, NumberEquality, value_text};
use crate::json::path::JsonPath;
use crate::message::Message;

/// What a comparison passes over.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Places that the user chose to ignore, with everything inside them.
    pub ignore: Vec<PathPattern>,
    /// Whether values that change from run to run count.
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

/// Returns every value of `got` that is not what was `expected`, in the order of the expected message.
pub fn compare(expected: &Message, got: &Message, rules: &Rules) -> Vec<Difference> {
    let mut differences = Vec::new();
    visit_differences(expected, got, &mut |path, expected, got| {
        let passed_over = rules.ignore.iter().any(|pattern| pattern.covers(path))
            || rules.volatile == Volatile::Normalised && volatile::same(path, expected, got);
        if !passed_over {
            let own = |value: Option<&str>| value.map(str::to_owned);
            differences.push(Difference { path: path.to_string(), expected: own(expected), got: own(got) });
        }
    });
    differences
}

/// Returns which of several messages differs least from `to`; of those that differ equally, the first.
pub(crate) fn nearest<'a, T>(candidates: impl Iterator<Item = (T, &'a Message)>, to: &Message) -> Option<T> {
    let distance = |(_, candidate): &(T, &Message)| compare(candidate, to, &Rules::default()).len();
    candidates.min_by_key(distance).map(|(which, _)| which)
}

/// Shows every pair of unequal values of two messages that cannot be taken apart further, as JSON text. Messages that are
/// not both JSON differ as a whole.
pub(crate) fn visit_differences(expected: &Message, got: &Message, visit: &mut DifferenceVisitor<'_>) {
    match (value_text(expected.raw()), value_text(got.raw())) {
        (Some(expected), Some(got)) => diff::visit_differences(expected, got, NumberEquality::Value, visit),
        _ if expected.raw() == got.raw() => {}
        _ => visit(&JsonPath::default(), Some(&as_json(expected)), Some(&as_json(got))),
    }
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
        let rules = Rules { ignore, volatile: Volatile::Normalised };
        let (expected, got) = (Message::new(expected.to_owned()), Message::new(got.to_owned()));
        let show = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        let differences = compare(&expected, &got, &rules).into_iter();
        differences.map(|it| format!("{} {} -> {}", it.path, show(it.expected), show(it.got))).collect()
    }

    #[test]
    fn compare_is_by_value_and_not_by_spelling() {
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
        let rules = Rules { ignore: Vec::new(), volatile: Volatile::Exact };
        let at = |time: &str| Message::new(format!(r#"{{"at":"2026-11-23T16:55:{time}Z"}}"#));
        assert_eq!(compare(&at("01"), &at("02"), &rules).len(), 1);
        assert_eq!(compare(&at("01"), &at("02"), &Rules::default()).len(), 0);
    }

    proptest! {
        #[test]
        fn compare_finds_no_difference_to_itself(raw: Vec<u8>) {
            let message = Message::new(raw);
            prop_assert_eq!(compare(&message, &message, &Rules::default()), []);
        }

        #[test]
        fn compare_survives_any_pair(a in r#"[\[\]{}:,"\\\\a-c0-9e.\-é ]{0,40}"#, b in r#"[\[\]{}:,"\\\\a-c0-9e.\-é ]{0,40}"#) {
            let differences = compare(&Message::new(a.clone()), &Message::new(b.clone()), &Rules::default());
            prop_assert!(a != b || differences.is_empty());
        }

        #[test]
        fn mask_survives_any_text(text in r"[0-9a-f:TZ +.é\-]{0,60}|(localhost:[0-9]{1,6} ?){1,3}|.*") {
            prop_assert!(volatile::uuids(&text).iter().all(|uuid| volatile::mask(uuid) == "<uuid>"));
            volatile::mask(&text);
        }
    }
}
