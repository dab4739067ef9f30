//! Places in a JSON value, in the notation of jq: `.result.content[0].text`.
//!
//! One grammar for everything that names such a place. A [`JsonPath`] is the place of one value: a comparison reports it,
//! and the screen finds a row by it. A [`PathPattern`] names any number of places: the user types it for `--ignore`, in a
//! file of settings and after `~j` in a filter.
//!
//! | step | where it leads |
//! |---|---|
//! | `.key`, `["any key"]` | to the member of that name; between quotes, escapes are those of JSON |
//! | `[0]` | to that element, counted from 0 |
//! | `.*` | to any member (patterns only) |
//! | `[*]` | to any element (patterns only) |
//! | `..` before a step | to that step from this value and from every value inside it (patterns only) |
//!
//! A key is written plainly where it has only letters, digits and `_ - / $ : @`, and in quotes otherwise; typed plainly it
//! may also have whatever is no sign of ASCII and no space: what has one is no path as a rule, and would match nothing.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use crate::text::is_unsafe;

/// One step from a JSON value to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep<'a> {
    /// To the member of this name.
    Key(Cow<'a, str>),
    /// To the element of this number, from 0.
    Index(usize),
}

/// Where one value stands, as the steps that lead to it from the outermost value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonPath<'a>(Vec<PathStep<'a>>);

impl<'a> JsonPath<'a> {
    /// Makes the path lead one step further in.
    pub fn push(&mut self, step: PathStep<'a>) {
        self.0.push(step);
    }

    /// Takes the last step back.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// Returns the steps, outermost first; the outermost value has none.
    pub fn steps(&self) -> &[PathStep<'a>] {
        &self.0
    }

    /// Returns the pattern that covers this place, and the like of it in other elements: `.content[*].text`.
    pub fn pattern(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                PathStep::Key(key) => push_key(&mut text, key),
                PathStep::Index(_) => text.push_str("[*]"),
            }
        }
        text
    }

    /// Returns the key nearest to the value: `b` of `.a.b[0]`.
    pub fn nearest_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            PathStep::Key(key) => Some(&**key),
            PathStep::Index(_) => None,
        })
    }
}

impl<'a> FromIterator<PathStep<'a>> for JsonPath<'a> {
    fn from_iter<T: IntoIterator<Item = PathStep<'a>>>(steps: T) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl FromStr for JsonPath<'static> {
    type Err = PathPatternError;

    /// Reads what `Display` writes; `.` and the empty text are the outermost value.
    fn from_str(text: &str) -> Result<Self, PathPatternError> {
        let fail = |why| PathPatternError { pattern: text.to_owned(), why };
        let (steps, end) = read_steps(text, |_| false).map_err(|fault| fail(fault.why))?;
        if end < text.len() {
            return Err(fail(NO_STEP));
        }
        let concrete = steps.into_iter().map(|step| match step {
            PatternStep::Key(key) => Some(PathStep::Key(key.into())),
            PatternStep::Index(index) => Some(PathStep::Index(index)),
            PatternStep::AnyKey | PatternStep::AnyIndex | PatternStep::Deep => None,
        });
        concrete.collect::<Option<_>>().ok_or_else(|| fail("it names more than one value"))
    }
}

impl fmt::Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                PathStep::Key(key) => push_key(&mut text, key),
                PathStep::Index(index) => push_index(&mut text, *index),
            }
        }
        f.write_str(if text.is_empty() { "." } else { &text })
    }
}

/// Signs that a key may have that is not quoted.
const SIGNS: &str = "_-/$:@";

/// Appends the step to a member: `.key`, or `["key"]` where the key has other characters than words have. The result is
/// safe to draw on a terminal, and readable for [`JsonPath`], [`PathPattern`] and the filter language.
pub(crate) fn push_key(path: &mut String, key: &str) {
    if !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || SIGNS.contains(c)) {
        path.push('.');
        path.push_str(key);
        return;
    }
    path.push_str("[\"");
    for c in key.chars() {
        if matches!(c, '"' | '\\') {
            path.extend(['\\', c]);
        } else if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(path, "\\u{unit:04x}").expect("a string takes everything");
            }
        } else {
            path.push(c);
        }
    }
    path.push_str("\"]");
}

/// Appends the step to an element: `[0]`.
pub(crate) fn push_index(path: &mut String, index: usize) {
    write!(path, "[{index}]").expect("a string takes everything");
}

/// Names places in a JSON value, and covers what is inside them as well: `.result.content[*].text`, `..timestamp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    steps: Vec<PatternStep>,
}

/// One step of a [`PathPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternStep {
    Key(String),
    Index(usize),
    /// Any member of an object, `.*`.
    AnyKey,
    /// Any element of an array, `[*]`.
    AnyIndex,
    /// Any number of steps, also none; another step follows.
    Deep,
}

impl PatternStep {
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            _ => None,
        }
    }
}

/// A text that is no [`PathPattern`], and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a path such as `.result.content[*].text` or `..timestamp`: {why}")]
pub struct PathPatternError {
    /// The path as it was typed.
    pub pattern: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Where a text stops to be a path, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathFault {
    /// In bytes from the start of the path.
    pub(crate) at: usize,
    pub(crate) why: &'static str,
}

const NO_KEY: &str = "a key is missing";
const NO_STEP: &str = "a step begins with `.` or `[`";
const ODD_KEY: &str = "a key with spaces or signs is quoted: `.a[\"odd key\"].b`";
const POINTER: &str = "its steps begin with `.`, not with `/`";
const ROOT: &str = "the whole message has no name: leave out the `$`";

impl PathPattern {
    /// Returns whether the pattern names this place or one around it.
    pub fn covers(&self, path: &JsonPath<'_>) -> bool {
        covers(&self.steps, path.steps())
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    /// A first key may stand without its dot. A pattern of dots alone would cover everything, and is refused.
    fn from_str(text: &str) -> Result<Self, PathPatternError> {
        let fail = |why| PathPatternError { pattern: text.to_owned(), why };
        // Both name the same place in other notations, and no member of a message is called so.
        if text.starts_with('/') {
            return Err(fail(POINTER));
        }
        if text.strip_prefix('$').is_some_and(|rest| rest.starts_with(['.', '['])) {
            return Err(fail(ROOT));
        }
        let dotted = if text.starts_with(['.', '[']) { Cow::Borrowed(text) } else { Cow::Owned(format!(".{text}")) };
        let (steps, end) = read_steps(&dotted, |_| false).map_err(|fault| fail(fault.why))?;
        if end < dotted.len() {
            return Err(fail(NO_STEP));
        }
        if steps.is_empty() || dotted.ends_with('.') {
            return Err(fail(NO_KEY));
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn covers(pattern: &[PatternStep], steps: &[PathStep<'_>]) -> bool {
    match (pattern, steps) {
        ([], _) => true,
        ([PatternStep::Deep, rest @ ..], _) => (0..=steps.len()).any(|skipped| covers(rest, &steps[skipped..])),
        ([first, pattern @ ..], [step, steps @ ..]) => first.is_match(step) && covers(pattern, steps),
        (_, []) => false,
    }
}

impl PatternStep {
    fn is_match(&self, step: &PathStep<'_>) -> bool {
        match (self, step) {
            (Self::Key(key), PathStep::Key(found)) => key == found,
            (Self::Index(index), PathStep::Index(found)) => index == found,
            (Self::AnyKey, PathStep::Key(_)) | (Self::AnyIndex, PathStep::Index(_)) => true,
            _ => false,
        }
    }
}

/// Reads the steps at the start of `text`, and returns where they end, in bytes. A dot alone, or before a bracket, is no step.
///
/// A plain key ends at `.` and `[`, and where `ends_key` says so of what follows: a filter goes on after its path.
///
/// # Errors
/// Where a step is begun and makes no sense.
pub(crate) fn read_steps(text: &str, ends_key: impl Fn(&str) -> bool) -> Result<(Vec<PatternStep>, usize), PathFault> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        let at = text.len() - rest.len();
        let fail = |why| PathFault { at, why };
        rest = if let Some(after) = rest.strip_prefix("..") {
            steps.push(PatternStep::Deep);
            let (key, following) = split_key(after, &ends_key);
            match key {
                "" if following.starts_with('[') => {}
                "" => return Err(fail(NO_KEY)),
                key => steps.push(key_step(key).map_err(fail)?),
            }
            following
        } else if let Some(after) = rest.strip_prefix('.') {
            let (key, following) = split_key(after, &ends_key);
            if !key.is_empty() {
                steps.push(key_step(key).map_err(fail)?);
            }
            following
        } else if let Some(after) = rest.strip_prefix('[') {
            let (step, following) = read_bracket(after).map_err(fail)?;
            steps.push(step);
            following
        } else {
            return Ok((steps, at));
        };
    }
}

fn key_step(key: &str) -> Result<PatternStep, &'static str> {
    let is_odd =
        |c: char| if c.is_ascii() { !c.is_ascii_alphanumeric() && !SIGNS.contains(c) } else { c.is_whitespace() };
    match key {
        "*" => Ok(PatternStep::AnyKey),
        _ if key.contains(is_odd) => Err(ODD_KEY),
        _ => Ok(PatternStep::Key(key.to_owned())),
    }
}

fn split_key(text: &str, ends_key: impl Fn(&str) -> bool) -> (&str, &str) {
    let ends = |(at, c): &(usize, char)| matches!(c, '.' | '[') || ends_key(&text[*at..]);
    text.split_at(text.char_indices().find(ends).map_or(text.len(), |(at, _)| at))
}

/// The step between brackets, of which the first was read, and what follows it.
fn read_bracket(text: &str) -> Result<(PatternStep, &str), &'static str> {
    let (step, rest) = if let Some(rest) = text.strip_prefix('*') {
        (PatternStep::AnyIndex, rest)
    } else if text.starts_with('"') {
        let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let Some(Ok(key)) = strings.next() else {
            return Err("a quoted key does not end");
        };
        (PatternStep::Key(key), &text[strings.byte_offset()..])
    } else {
        let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        if digits.is_empty() && rest.is_empty() {
            return Err(NO_BRACKET);
        }
        let index = digits.parse().map_err(|_| "`[` needs a number, `*` or a quoted key")?;
        (PatternStep::Index(index), rest)
    };
    Ok((step, rest.strip_prefix(']').ok_or(NO_BRACKET)?))
}

const NO_BRACKET: &str = "a `]` is missing";

#[cfg(test)]
mod tests {
    use super::*;

    fn odd_path() -> JsonPath<'static> {
        let steps = [
            PathStep::Key("result".into()),
            PathStep::Key("content".into()),
            PathStep::Index(3),
            PathStep::Key("odd.key".into()),
        ];
        steps.into_iter().collect()
    }

    #[test]
    fn json_path_reads_what_it_writes() {
        assert_eq!(odd_path().to_string(), r#".result.content[3]["odd.key"]"#);
        for text in [".", ".a", "[0]", r#".a/b["c d"][7]"#, r#"["\"\\"]"#, r#"["\u202e\u0007"].x"#, r#"[""]"#] {
            assert_eq!(text.parse::<JsonPath<'_>>().map(|path| path.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("".parse(), Ok(JsonPath::default()));
        for text in ["nonsense", "..a", ".*", "[*]", "[0", "[\"a]", "[0]x"] {
            assert!(text.parse::<JsonPath<'_>>().is_err(), "{text}");
        }
    }

    #[test]
    fn json_path_knows_its_nearest_key() {
        for (path, key) in [(".a.b[0]", Some("b")), ("[0]", None), (".", None)] {
            assert_eq!(path.parse::<JsonPath<'_>>().unwrap().nearest_key(), key, "{path}");
        }
    }

    #[test]
    fn path_pattern_covers_a_place_and_what_is_inside() {
        for (pattern, covers) in [
            (".result", true),
            ("result", true),
            (".result.content", true),
            (".result.content[3]", true),
            (".result.content[*]", true),
            (".result.*[3]", true),
            (r#".result.content[3]["odd.key"]"#, true),
            (r#"..["odd.key"]"#, true),
            (".ünï.हिन्दी.👍", false),
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
            assert_eq!(pattern.parse::<PathPattern>().is_ok_and(|it| it.covers(&odd_path())), covers, "{pattern}");
        }
    }

    #[test]
    fn json_path_pattern_covers_its_place() {
        let pattern = odd_path().pattern();
        assert_eq!(pattern, r#".result.content[*]["odd.key"]"#);
        assert!(pattern.parse::<PathPattern>().unwrap().covers(&odd_path()));
    }

    #[test]
    fn path_pattern_error_says_why() {
        for (pattern, why) in [
            (".", "a key is missing"),
            ("", "a key is missing"),
            ("..", "a key is missing"),
            (".a.", "a key is missing"),
            (".a[", "a `]` is missing"),
            (".a[0", "a `]` is missing"),
            (".a[x]", "`[` needs a number, `*` or a quoted key"),
            (".a[\"x]", "a quoted key does not end"),
            (".a[1]b", "a step begins with `.` or `[`"),
            ("foo bar", ODD_KEY),
            (".result, .id", ODD_KEY),
            (".result.tool*", ODD_KEY),
            (".result\u{a0}.x", ODD_KEY),
            ("/result/content", POINTER),
            ("$.result", ROOT),
            ("$[0]", ROOT),
        ] {
            assert_eq!(pattern.parse::<PathPattern>().unwrap_err().why, why, "{pattern}");
        }
    }
}
