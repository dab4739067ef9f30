//! Which values a comparison passes over: `.result._meta`, `.result.content[*].text`, `..timestamp`.

use std::fmt;
use std::str::FromStr;

use super::{Path, Step};

/// A place in a message; it covers what is inside as well.
///
/// `.key`, `["any key"]` and `[0]` are one step, `[*]` is any element, `.*` any member, `..key` that key at any depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Key(String),
    Index(usize),
    AnyKey,
    AnyIndex,
    /// Any number of steps, also none.
    Deep,
}

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a path such as `.result.content[*].text` or `..timestamp`: {why}")]
pub struct PatternError {
    pub pattern: String,
    pub why: &'static str,
}

impl Pattern {
    /// Whether the pattern names this place or one around it.
    pub fn covers(&self, path: &Path<'_>) -> bool {
        covers(&self.parts, &path.0)
    }
}

fn covers(parts: &[Part], steps: &[Step<'_>]) -> bool {
    match (parts, steps) {
        ([], _) => true,
        ([Part::Deep, rest @ ..], _) => (0..=steps.len()).any(|skipped| covers(rest, &steps[skipped..])),
        ([part, parts @ ..], [step, steps @ ..]) => part.is(step) && covers(parts, steps),
        (_, []) => false,
    }
}

impl Part {
    fn is(&self, step: &Step<'_>) -> bool {
        match (self, step) {
            (Self::Key(key), Step::Key(found)) => key == found,
            (Self::Index(index), Step::Index(found)) => index == found,
            (Self::AnyKey, Step::Key(_)) | (Self::AnyIndex, Step::Index(_)) => true,
            _ => false,
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let parts = parse(text).map_err(|why| PatternError { pattern: text.to_owned(), why })?;
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse(text: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text;
    if !rest.starts_with(['.', '[']) {
        rest = read_key(rest, &mut parts)?;
    }
    while !rest.is_empty() {
        rest = if let Some(after) = rest.strip_prefix("..") {
            parts.push(Part::Deep);
            if after.starts_with('[') { after } else { read_key(after, &mut parts)? }
        } else if let Some(after) = rest.strip_prefix('.') {
            if after.starts_with('[') { after } else { read_key(after, &mut parts)? }
        } else if let Some(after) = rest.strip_prefix('[') {
            read_bracket(after, &mut parts)?
        } else {
            return Err("a step begins with `.` or `[`");
        };
    }
    Ok(parts)
}

fn read_key<'a>(text: &'a str, parts: &mut Vec<Part>) -> Result<&'a str, &'static str> {
    let (key, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
    match key {
        "" => return Err("a key is missing"),
        "*" => parts.push(Part::AnyKey),
        _ => parts.push(Part::Key(key.to_owned())),
    }
    Ok(rest)
}

fn read_bracket<'a>(text: &'a str, parts: &mut Vec<Part>) -> Result<&'a str, &'static str> {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let Some(Ok(key)) = values.next() else {
            return Err("a quoted key does not end");
        };
        let rest = &text[values.byte_offset()..];
        parts.push(Part::Key(key));
        return rest.strip_prefix(']').ok_or("a `]` is missing");
    }
    let (index, rest) = text.split_once(']').ok_or("a `]` is missing")?;
    parts.push(match index {
        "*" => Part::AnyIndex,
        _ => Part::Index(index.parse().map_err(|_| "between `[` and `]` stands a number, `*` or a quoted key")?),
    });
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_a_place_and_what_is_inside() {
        let path = Path(vec![
            Step::Key("result".into()),
            Step::Key("content".into()),
            Step::Index(3),
            Step::Key("odd.key".into()),
        ]);
        assert_eq!(path.to_string(), r#".result.content[3]["odd.key"]"#);
        for (pattern, covers) in [
            (".result", true),
            ("result", true),
            (".result.content", true),
            (".result.content[3]", true),
            (".result.content[*]", true),
            (".result.*[3]", true),
            (r#".result.content[3]["odd.key"]"#, true),
            (r#"..["odd.key"]"#, true),
            ("..content", true),
            ("..content[3]", true),
            ("..[3]", true),
            (".*", true),
            (".", false),
            (".result.content[2]", false),
            (".content", false),
            ("..content[3].x", false),
            (".result.content.*", false),
            (".result.content[3].*.x", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().is_ok_and(|it| it.covers(&path)), covers, "{pattern}");
        }
    }

    #[test]
    fn a_bad_pattern_says_why() {
        for (pattern, why) in [
            (".", "a key is missing"),
            ("", "a key is missing"),
            (".a[", "a `]` is missing"),
            (".a[x]", "between `[` and `]` stands a number, `*` or a quoted key"),
            (".a[\"x]", "a quoted key does not end"),
            (".a[1]b", "a step begins with `.` or `[`"),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap_err().why, why, "{pattern}");
        }
    }
}
