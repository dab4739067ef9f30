//! `~j PATH [OP VALUE]`: values inside a message.

use std::cmp::Ordering;

use serde_json::Value;

use super::cursor::{Cursor, FilterError, Word};
use super::pattern::TextPattern;
use crate::json::path::{PatternStep, read_steps};
use crate::message::Message;

/// Where to look, and what for. Unlike in a [`PathPattern`](crate::json::PathPattern), `[*]` and `.*` are one: any member or element.
#[derive(Clone, Debug)]
pub(super) struct Query {
    steps: Vec<PatternStep>,
    test: Option<ValueTest>,
}

/// What has to be true of a value that was found.
#[derive(Clone, Debug)]
enum ValueTest {
    Equal(Operand),
    Order(fn(Ordering) -> bool, Operand),
    /// Unlike the others, true also of values that do not compare.
    NotEqual(Operand),
    Matches(TextPattern),
    Text(fn(&str, &str) -> bool, Box<str>),
}

/// The value compared with. Unquoted, `5` is the number as well as the text; quoted it is the text only.
#[derive(Clone, Debug)]
struct Operand {
    text: Box<str>,
    json: Option<Value>,
}

/// Longest first, so that `=~` is not read as `=`.
const SIGNS: [&str; 10] = ["=~", "!=", "<=", ">=", "^=", "$=", "*=", "=", "<", ">"];

impl Query {
    /// The query, and its written form.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<(Self, String), FilterError> {
        cursor.skip_space();
        let start = cursor.at();
        let steps = read_path(cursor)?;
        let path = cursor.since(start).to_owned();
        cursor.skip_space();
        let Some(sign) = SIGNS.into_iter().find(|sign| cursor.eat_str(sign)) else {
            return Ok((Self { steps, test: None }, path));
        };
        let word = cursor.argument("j", &format!("a value after `{sign}`"))?;
        let test = read_test(cursor, sign, &word)?;
        Ok((Self { steps, test: Some(test) }, format!("{path} {sign} {}", word.source())))
    }

    pub(super) fn matches(&self, message: &Message) -> bool {
        if !self.may_match(message.raw()) {
            return false;
        }
        // Of a place that is named by keys alone, only the value that stands there is read.
        let keys: Option<Vec<_>> = self.steps.iter().map(PatternStep::key).collect();
        match keys.filter(|keys| !keys.is_empty()) {
            Some(keys) => message.at(&keys).is_some_and(|value| match &self.test {
                None => true,
                Some(test) => serde_json::from_str(value).is_ok_and(|value| test.holds(&value)),
            }),
            None => message.value().is_some_and(|value| self.find(&value, &self.steps)),
        }
    }

    /// A word that every message has that it matches: what is looked for, or the last key.
    pub(super) fn word(&self) -> Option<&str> {
        let key = self.last_key().filter(|key| key.bytes().all(is_plain));
        let value = self.test.as_ref().and_then(ValueTest::word);
        [key, value].into_iter().flatten().max_by_key(|word| word.len())
    }

    fn last_key(&self) -> Option<&str> {
        self.steps.iter().rev().find_map(PatternStep::key)
    }

    /// Spares parsing the messages that lack the last key: most of them.
    fn may_match(&self, raw: &[u8]) -> bool {
        self.last_key().is_none_or(|key| {
            memchr::memmem::find(raw, key.as_bytes()).is_some() || memchr::memchr(b'\\', raw).is_some()
        })
    }

    fn find(&self, value: &Value, steps: &[PatternStep]) -> bool {
        let Some((step, rest)) = steps.split_first() else {
            return self.test.as_ref().is_none_or(|test| test.holds(value));
        };
        match step {
            PatternStep::Key(key) => value.get(key).is_some_and(|value| self.find(value, rest)),
            PatternStep::Index(index) => value.get(index).is_some_and(|value| self.find(value, rest)),
            PatternStep::AnyKey | PatternStep::AnyIndex => children(value).any(|child| self.find(child, rest)),
            PatternStep::Deep => self.find(value, rest) || children(value).any(|child| self.find(child, steps)),
        }
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(elements) => Box::new(elements.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether a byte stands in JSON text as itself.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

impl ValueTest {
    /// A word that stands in the text of every value that it is true of.
    fn word(&self) -> Option<&str> {
        let text = match self {
            // A number may be spelled otherwise; of its text, no three letters are known.
            Self::Equal(Operand { text, json: None | Some(Value::Bool(_) | Value::Null) }) => text,
            Self::Text(_, text) if text.len() > 2 && !text.bytes().any(|byte| byte.is_ascii_digit()) => text,
            _ => return None,
        };
        Some(&**text).filter(|text| text.bytes().all(is_plain))
    }

    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equal(operand) => operand.compare(value) == Some(Ordering::Equal),
            Self::Order(holds, operand) => operand.compare(value).is_some_and(holds),
            Self::NotEqual(operand) => operand.compare(value) != Some(Ordering::Equal),
            Self::Matches(pattern) => pattern.is_match(text_of(value).as_bytes()),
            Self::Text(holds, text) => holds(&text_of(value), text),
        }
    }
}

impl Operand {
    fn new(word: &Word) -> Self {
        let json = (!word.quoted).then(|| serde_json::from_str(&word.text).ok()).flatten();
        Self { text: word.text.as_str().into(), json }
    }

    /// How `value` stands to this; `None` where they do not compare.
    fn compare(&self, value: &Value) -> Option<Ordering> {
        match (value, &self.json) {
            (Value::Number(left), Some(Value::Number(right))) => compare_numbers(left, right),
            (Value::String(text), _) => Some((**text).cmp(&*self.text)),
            (value, Some(json)) => (value == json).then_some(Ordering::Equal),
            _ => None,
        }
    }
}

/// Whole numbers exactly: ids and sizes go beyond what a float holds.
fn compare_numbers(left: &serde_json::Number, right: &serde_json::Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn text_of(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

fn read_test(cursor: &Cursor<'_>, sign: &str, word: &Word) -> Result<ValueTest, FilterError> {
    let order = |holds| ValueTest::Order(holds, Operand::new(word));
    let text = |holds| ValueTest::Text(holds, word.text.as_str().into());
    Ok(match sign {
        "=" => ValueTest::Equal(Operand::new(word)),
        "!=" => ValueTest::NotEqual(Operand::new(word)),
        "<" => order(Ordering::is_lt),
        "<=" => order(Ordering::is_le),
        ">" => order(Ordering::is_gt),
        ">=" => order(Ordering::is_ge),
        "^=" => text(|value, text| value.starts_with(text)),
        "$=" => text(|value, text| value.ends_with(text)),
        "*=" => text(|value, text| value.contains(text)),
        _ => ValueTest::Matches(TextPattern::read(cursor, word)?),
    })
}

fn read_path(cursor: &mut Cursor<'_>) -> Result<Vec<PatternStep>, FilterError> {
    if !cursor.rest().starts_with(['.', '[']) {
        return Err(cursor.fail("`~j` needs a path, such as `.params.name`"));
    }
    let (steps, length) =
        read_steps(cursor.rest(), ends_key).map_err(|fault| cursor.fail_at(cursor.at() + fault.at, fault.why))?;
    cursor.skip(length);
    Ok(steps)
}

/// Whether a key that is not quoted ends before `rest`: what follows means something to the filter.
fn ends_key(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_whitespace() || "]()&|\"'".contains(c))
        || SIGNS.iter().any(|sign| rest.starts_with(sign))
}
