//! Values of a configuration that may be variables of the environment, written `${NAME}`; and headers with such values.
//!
//! Any of them may be a secret: no error says what a value is, and no header shows it.

use std::fmt;
use std::marker::PhantomData;

use http::{HeaderName, HeaderValue};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::secret::is_secret;

/// Headers of a section. All of them are sensitive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A secret stands in the file itself.
    pub has_inline_secret: bool,
}

/// A value that may come from the environment.
#[derive(Deserialize)]
#[serde(try_from = "String", bound = "Self: TryFrom<String, Error = String>")]
pub struct ExpandedValue<T> {
    pub value: T,
    /// Whether the value stands in the file as it is, without variables.
    pub is_inline: bool,
}

/// A value with variables of something that may never be used: one that is not set is a mistake only where it is used.
#[derive(Deserialize)]
#[serde(try_from = "String", bound = "ExpandedValue<T>: TryFrom<String, Error = String>")]
pub enum LazyValue<T> {
    Known(ExpandedValue<T>),
    /// This variable is not set.
    Unset(String),
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub struct HeaderKey(pub HeaderName);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read: Vec<(HeaderKey, ExpandedValue<HeaderValue>)> = pairs(deserializer)?;
        let has_inline_secret = read.iter().any(|(name, value)| value.is_inline && is_secret(name.0.as_str()));
        let headers = read.into_iter().map(|(name, value)| (name.0, value.value)).collect();
        Ok(Self { headers, has_inline_secret })
    }
}

impl TryFrom<String> for HeaderKey {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse().map(Self).map_err(|_| format!("`{name}` is not a header name"))
    }
}

impl TryFrom<String> for ExpandedValue<HeaderValue> {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let ExpandedValue { value, is_inline } = ExpandedValue::<String>::try_from(written)?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| "the value holds characters no header may hold")?;
        value.set_sensitive(true);
        Ok(Self { value, is_inline })
    }
}

impl TryFrom<String> for ExpandedValue<String> {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let value = expand(&written, |name| std::env::var(name).ok())?;
        // An error may be shown: it must not say what the value is.
        if value.contains('\0') {
            Err("the value holds a zero byte".to_owned())
        } else {
            Ok(Self { is_inline: value == written, value })
        }
    }
}

impl<T> TryFrom<String> for LazyValue<T>
where
    ExpandedValue<T>: TryFrom<String, Error = String>,
{
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let names = written.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
        match names.into_iter().find(|name| !is_set(name)) {
            Some(name) => Ok(Self::Unset(name.to_owned())),
            None => ExpandedValue::try_from(written).map(Self::Known),
        }
    }
}

/// Sorts out what is known; names a variable that is not set, where there is one.
pub fn known<K, T>(pairs: Vec<(K, LazyValue<T>)>) -> (Vec<(K, ExpandedValue<T>)>, Option<String>) {
    let (mut known, mut unset) = (Vec::new(), None);
    for (key, value) in pairs {
        match value {
            LazyValue::Known(value) => known.push((key, value)),
            LazyValue::Unset(name) => unset = unset.or(Some(name)),
        }
    }
    (known, unset)
}

/// Puts variables in their places.
///
/// # Errors
/// Where one is not set.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once("${") {
        let (name, after) = behind.split_once('}').ok_or("`${` without its `}`")?;
        let value = lookup(name).filter(|value| !value.is_empty());
        expanded += before;
        expanded += &value.ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
        rest = after;
    }
    Ok(expanded + rest)
}

/// A table as pairs.
pub fn pairs<'de, D, K, V>(deserializer: D) -> Result<Vec<(K, V)>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de>,
    V: Deserialize<'de>,
{
    struct Pairs<K, V>(PhantomData<(K, V)>);
    impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
        type Value = Vec<(K, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(Pairs(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_their_places() {
        let lookup = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("plain $A {A} $", Ok("plain $A {A} $")),
            ("${A}", Ok("1")),
            ("Bearer ${A}${A}.", Ok("Bearer 11.")),
            ("${B}", Err("the environment variable `B` is not set")),
            ("${EMPTY}", Err("the environment variable `EMPTY` is not set")),
            ("${A", Err("`${` without its `}`")),
        ] {
            let expanded = expand(text, lookup);
            assert_eq!(expanded.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }
}
