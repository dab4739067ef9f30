//! The names that peers give their requests and their progress: compared by JSON value, kept and sent on by their text.
//!
//! A peer need not spell a name as it was told it: `5` comes back as `5.0` or `5e0`, `"req+1"` as `"req\u002B1"`. Each spelling is
//! the same value, and one table finds them all. Numbers are compared as decimals, never as floats: 2^53 and 2^53+1 stay two. Some
//! servers give a number back as a string; such an id fits nothing exactly, and [`Id::known`] finds what it may mean.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Numbers of more digits are compared by their exponents: no peer can make us write out `1e999999999`.
const MOST_DIGITS: usize = 64;

/// A JSON-RPC id, or another name of the protocol that is a string or a number (a progress token, the id of a subscription).
/// Equal where the JSON value is: `5` and `5.0`, but not `"5"`.
#[derive(Clone, Debug)]
pub struct Id(Arc<str>);

impl Id {
    /// From a JSON token, quotes included where it is a string.
    pub fn from_token(token: &str) -> Self {
        Self(token.into())
    }

    /// The id of a request that tapline makes: a random string, so that it cannot meet one of the client's.
    pub fn random() -> Self {
        Self(format!("\"tapline-{}\"", uuid::Uuid::new_v4().simple()).into())
    }

    /// The exact JSON text.
    pub fn token(&self) -> &str {
        &self.0
    }

    /// For people: a string id without its quotes.
    pub fn display(&self) -> &str {
        self.0.strip_prefix('"').and_then(|s| s.strip_suffix('"')).unwrap_or(&self.0)
    }

    /// Whether it is the null by which an error says that it knows no id.
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }

    /// The id under which something is known, where this one may mean that: itself, or, where that is not known, the number of the
    /// digits in it, or the string of its digits. Clients take one for the other, too.
    pub fn known(&self, is_known: impl Fn(&Self) -> bool) -> Option<Self> {
        if is_known(self) {
            return Some(self.clone());
        }
        self.otherwise().filter(is_known)
    }

    /// Whether one may mean the other: they are equal, or one is a number and the other the string of its digits.
    pub fn may_mean(&self, other: &Self) -> bool {
        self == other || self.otherwise().is_some_and(|otherwise| otherwise == *other)
    }

    /// A number as the string of its digits, a string of digits as the number.
    fn otherwise(&self) -> Option<Self> {
        let value = self.value();
        let value = std::str::from_utf8(&value).ok()?;
        match value.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(digits) => DecimalNumber::of(digits).map(|_| Self::from_token(digits)),
            None => DecimalNumber::of(value).map(|_| Self(format!("\"{value}\"").into())),
        }
    }

    /// What is compared: the token, where it is the only spelling that needs no escapes or exponents; nearly all are.
    fn value(&self) -> Cow<'_, [u8]> {
        let token = self.0.as_bytes();
        if is_plain(token) {
            return Cow::Borrowed(token);
        }
        let normal = match token.first() {
            Some(b'"') => unescaped(&self.0),
            _ => DecimalNumber::of(&self.0).map(|decimal| decimal.normal().into_bytes()),
        };
        normal.map_or(Cow::Borrowed(token), Cow::Owned)
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
            || !(is_plain(self.0.as_bytes()) && is_plain(other.0.as_bytes())) && self.value() == other.value()
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value().hash(state);
    }
}

/// Whether a token is its own normal form: a string without escapes, an integer as everybody writes it.
fn is_plain(token: &[u8]) -> bool {
    match token {
        [b'"', rest @ ..] => memchr::memchr(b'\\', rest).is_none(),
        [b'0'] => true,
        [b'-', b'1'..=b'9', digits @ ..] | [b'1'..=b'9', digits @ ..] => {
            digits.len() < MOST_DIGITS && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// The text of a JSON string between quotes; a lone surrogate as the bytes it would have.
fn unescaped(token: &str) -> Option<Vec<u8>> {
    struct UnescapedText(Vec<u8>);
    struct AnyBytes;
    impl Visitor<'_> for AnyBytes {
        type Value = UnescapedText;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E>(self, text: &[u8]) -> Result<UnescapedText, E> {
            Ok(UnescapedText([b"\"", text, b"\""].concat()))
        }
    }
    impl<'de> Deserialize<'de> for UnescapedText {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(AnyBytes)
        }
    }
    serde_json::from_str::<UnescapedText>(token).ok().map(|text| text.0)
}

/// A JSON number: digits without zeros at either end, and the power of ten that they stand for.
struct DecimalNumber<'a> {
    negative: bool,
    digits: Cow<'a, str>,
    exponent: i64,
}

impl<'a> DecimalNumber<'a> {
    /// `None` for what is no JSON number (RFC 8259 §6), or has an exponent beyond all reason.
    fn of(token: &'a str) -> Option<Self> {
        let (negative, rest) = token.strip_prefix('-').map_or((false, token), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = is_digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(is_digits)
            && is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
        let exponent: i64 = exponent.parse().ok().filter(|_| is_number)?;
        let fraction = fraction.unwrap_or_default();
        let digits = if fraction.is_empty() { Cow::Borrowed(whole) } else { Cow::Owned(format!("{whole}{fraction}")) };
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Self { negative, digits, exponent }.trimmed()
    }

    fn trimmed(self) -> Option<Self> {
        let without_end = self.digits.trim_end_matches('0');
        let cut = i64::try_from(self.digits.len() - without_end.len()).ok()?;
        let digits = without_end.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits: "0".into(), exponent: 0 });
        }
        Some(Self { digits: digits.into(), exponent: self.exponent.checked_add(cut)?, ..self })
    }

    /// As an integer where it is one of a length that people write, as digits and exponent otherwise.
    fn normal(&self) -> String {
        let Self { negative, digits, exponent } = self;
        let sign = if *negative { "-" } else { "" };
        match usize::try_from(*exponent) {
            Ok(zeros) if zeros.saturating_add(digits.len()) <= MOST_DIGITS => {
                format!("{sign}{digits}{}", "0".repeat(zeros))
            }
            _ => format!("{sign}{digits}e{exponent}"),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.display())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(token) => token.serialize(serializer),
            Err(_) => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_token(Box::<RawValue>::deserialize(deserializer)?.get()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn id(token: &str) -> Id {
        Id::from_token(token)
    }

    #[test]
    fn id_is_its_value_and_no_spelling() {
        for same in [
            &["5", "5.0", "5e0", "50e-1", "0.5E+1", "5.000"][..],
            &["0", "-0", "0.0", "0e7", "-0.0e-3"],
            &["1e3", "1000", "10E2"],
            &["-12", "-1.2e1"],
            &["0.1", "1e-1", "0.10"],
            &["9007199254740993", "9007199254740993.0", "9.007199254740993e15"],
            &["1e80", "10e79"],
            &[r#""req/5""#, r#""req\/5""#, r#""\u0072eq/5""#],
            &[r#""req+1""#, r#""req\u002B1""#, r#""req\u002b1""#],
            &["\"é5\"", r#""\u00e95""#],
            &[r#""😀""#, r#""\ud83d\ude00""#, r#""\uD83D\uDE00""#],
            &[r#""\ud800""#, r#""\uD800""#],
            &[r#""\n""#, r#""\u000a""#],
        ] {
            for (one, other) in same.iter().flat_map(|one| same.iter().map(move |other| (one, other))) {
                assert_eq!(id(one), id(other));
            }
            assert_eq!(same.iter().map(|token| id(token)).collect::<HashSet<_>>().len(), 1, "{same:?}");
        }
        let others = [
            "5",
            "\"5\"",
            "\"5.0\"",
            "-5",
            "51",
            "0.5",
            "null",
            "\"null\"",
            "true",
            "[5]",
            "",
            "\"",
            "05",
            "5.",
            "1e",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993.1",
            "1e99999999999999999999",
            "1e999999999",
            r#""a""#,
            r#""\\u0061""#,
            r#""\"a\"""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""a\q""#,
        ];
        assert_eq!(others.iter().map(|token| id(token)).collect::<HashSet<_>>().len(), others.len());
        assert_eq!(id("5.0").token(), "5.0");
    }

    #[test]
    fn id_may_mean_the_string_of_its_digits() {
        for (one, other) in [("5", r#""5""#), ("5.0", r#""5""#), ("5", r#""\u0035""#), ("5", r#""5.0""#)] {
            assert!(
                id(one) != id(other) && (id(one).may_mean(&id(other)) || id(other).may_mean(&id(one))),
                "{one} {other}"
            );
        }
        for (one, other) in [("5", r#""6""#), ("null", r#""null""#), ("5", r#""5 ""#), ("5", r#""05""#), ("5", "6")] {
            assert!(!id(one).may_mean(&id(other)) && !id(other).may_mean(&id(one)), "{one} {other}");
        }
        let known: HashSet<_> = [id("5"), id(r#""5""#), id("6")].into();
        let find = |token: &str| id(token).known(|id| known.contains(id)).map(|id| id.token().to_owned());
        assert_eq!(find("5.0").as_deref(), Some("5.0"), "exactly first");
        assert_eq!(find(r#""6""#).as_deref(), Some("6"));
        assert_eq!(find("7"), None);
    }

    proptest! {
        #[test]
        fn id_of_an_integer_is_found_however_its_point_is_moved(number: i64, places in 0_usize..30) {
            let digits = number.unsigned_abs().to_string();
            let sign = if number < 0 { "-" } else { "" };
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            let point = if places > 0 { "." } else { "" };
            let whole = whole.trim_start_matches('0');
            let whole = if whole.is_empty() { "0" } else { whole };
            let moved = format!("{sign}{whole}{point}{fraction}e{places}");
            prop_assert_eq!(id(&moved), id(&number.to_string()));
            prop_assert!(id(&number.to_string()) != id(&(i128::from(number) + 1).to_string()));
        }

        #[test]
        fn id_is_compared_as_serde_json_reads_strings(one in "\"(a|\\\\u0061|\\\\n|\\\\\\\\|n|/|\\\\/){0,3}\"", other in "\"(a|\\\\u0061|\\\\n|\\\\\\\\|n|/|\\\\/){0,3}\"") {
            let read = |token: &str| serde_json::from_str::<String>(token).unwrap();
            prop_assert_eq!(id(&one) == id(&other), read(&one) == read(&other));
        }
    }
}
