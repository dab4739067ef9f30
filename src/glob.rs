//! Patterns for names of methods and tools: `*` stands for any number of characters, everything else for itself.

use serde::Deserialize;

/// A pattern in which `*` stands for any number of characters; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Glob(Box<str>);

impl Glob {
    /// Returns whether the whole name is what the pattern says.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            Err("a pattern must not be empty; `*` matches everything".to_owned())
        } else {
            Ok(Self(text.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::try_from(text.to_owned()).expect("it is not empty")
    }

    #[test]
    fn glob_star_is_any_number_of_characters() {
        for (pattern, name, matches) in [
            ("tools/call", "tools/call", true),
            ("tools/call", "tools/calls", false),
            ("tools/*", "tools/call", true),
            ("tools/*", "tools/", true),
            ("tools/*", "resources/read", false),
            ("*", "", true),
            ("*/list", "tools/list", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**b", "ab", true),
            ("*é*", "caféx", true),
        ] {
            assert_eq!(glob(pattern).matches(name), matches, "{pattern} {name}");
        }
        assert!(Glob::try_from(String::new()).is_err());
    }

    proptest! {
        #[test]
        fn glob_means_what_its_regex_means(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            let regex = format!("^{}$", pattern.replace('*', ".*"));
            let expected = regex::Regex::new(&regex).expect("it is a regex").is_match(&name);
            prop_assert_eq!(glob(&pattern).matches(&name), expected);
        }
    }
}
