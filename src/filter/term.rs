//! One test of an [`Envelope`], and the table of operators.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::number::{Number, NumberTest};
use super::parse::{Cursor, Word};
use super::query::Query;
use super::{FilterError, Marks, OPERATORS};
use crate::envelope::{Author, Direction, Envelope, Outcome, Via};
use crate::message::{Kind, Message};

/// A test and how it is written.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// Without `~`; empty for a bare word.
    name: Box<str>,
    argument: Box<str>,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    All,
    Is(Kind),
    Reply,
    Failure,
    Toward(Direction),
    Via(Vec<Via>),
    Id(Box<str>),
    Text(Text, TextPattern),
    Number(NumberTest),
    Json(Query),
    Held,
    Became(fn(&Outcome) -> bool),
    Invalid,
    Orphan,
    Shadow,
}

/// A text of an envelope that a pattern is looked for in.
#[derive(Clone, Copy, Debug)]
enum Text {
    Word,
    Method,
    Tool,
    Name,
    Session,
    Body(Option<Side>),
    Header(Option<Side>),
    ContentType,
    Error,
    Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Request,
    Reply,
}

/// A regular expression with smart case.
#[derive(Clone, Debug)]
pub(super) struct TextPattern {
    expression: Regex,
    /// The same where it is a plain word, as most are: in a short text it is found before an expression has started.
    word: Option<Literal>,
}

#[derive(Clone, Debug)]
struct Literal {
    text: Box<[u8]>,
    any_case: bool,
}

/// Longer texts are searched faster by the expression.
const SHORT: usize = 64;

/// Two terms are one where they are written alike.
impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.argument) == (&other.name, &other.argument)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.name, &*self.argument) {
            ("", word) => f.write_str(word),
            (name, "") => write!(f, "~{name}"),
            (name, argument) => write!(f, "~{name} {argument}"),
        }
    }
}

impl Term {
    pub(super) fn all() -> Self {
        Self { name: "all".into(), argument: "".into(), test: Test::All }
    }

    pub(super) fn bare(cursor: &Cursor<'_>, word: &Word) -> Result<Self, FilterError> {
        let test = Test::Text(Text::Word, TextPattern::read(cursor, word)?);
        Ok(Self { name: "".into(), argument: word.source().into(), test })
    }

    /// The operator `name`, which began at `start`; reads its argument.
    pub(super) fn operator(cursor: &mut Cursor<'_>, start: usize, name: &str) -> Result<Self, FilterError> {
        let (test, argument) = match name {
            "j" => Query::read(cursor).map(|(query, argument)| (Test::Json(query), argument))?,
            "id" => {
                let word = cursor.argument(name, "an id")?;
                (Test::Id(word.text.as_str().into()), word.source())
            }
            "via" => read_via(cursor)?,
            _ => {
                if let Some(test) = plain(name) {
                    (test, String::new())
                } else if let Some(text) = text(name) {
                    let word = cursor.argument(name, "a pattern")?;
                    (Test::Text(text, TextPattern::read(cursor, &word)?), word.source())
                } else if let Some(number) = Number::of_operator(name) {
                    let (comparison, argument) = NumberTest::read(cursor, name, number)?;
                    (Test::Number(comparison), argument)
                } else {
                    return Err(cursor.fail_at(start, unknown(name)));
                }
            }
        };
        Ok(Self { name: name.into(), argument: argument.into(), test })
    }

    pub(super) fn matches(&self, envelope: &Envelope, marks: Marks) -> bool {
        match &self.test {
            Test::All => true,
            Test::Is(kind) => envelope.kind() == *kind,
            Test::Reply => envelope.kind().is_reply(),
            Test::Failure => is_failure(envelope),
            Test::Toward(direction) => envelope.direction == *direction,
            Test::Via(via) => via.contains(&envelope.transport.via),
            Test::Id(id) => envelope.message.id().is_some_and(|it| it.display() == &**id || it.token() == &**id),
            Test::Text(text, pattern) => text.matches(envelope, pattern),
            Test::Number(comparison) => comparison.matches(envelope),
            Test::Json(query) => query.matches(&envelope.message),
            Test::Held => envelope.held.is_some(),
            Test::Became(what) => what(&envelope.outcome),
            Test::Invalid => envelope.message.head().flaw.is_some(),
            Test::Orphan => envelope.kind().is_reply() && envelope.reply_to.is_none(),
            Test::Shadow => marks.diverged,
        }
    }

    pub(super) fn reads_body(&self) -> bool {
        match &self.test {
            Test::Failure | Test::Json(_) | Test::Text(Text::Body(_) | Text::Error, _) => true,
            Test::Number(comparison) => comparison.reads_body(),
            _ => false,
        }
    }
}

/// Operators without an argument.
fn plain(name: &str) -> Option<Test> {
    Some(match name {
        "all" => Test::All,
        "q" => Test::Is(Kind::Request),
        "n" => Test::Is(Kind::Notification),
        "r" | "s" => Test::Reply,
        "e" => Test::Failure,
        "c2s" => Test::Toward(Direction::ToServer),
        "s2c" => Test::Toward(Direction::ToClient),
        "held" => Test::Held,
        "edited" => Test::Became(|outcome| matches!(outcome, Outcome::Edited(_))),
        "blocked" => Test::Became(|outcome| matches!(outcome, Outcome::Blocked(_))),
        "dropped" => Test::Became(|outcome| matches!(outcome, Outcome::Dropped(_))),
        "invalid" => Test::Invalid,
        "orphan" => Test::Orphan,
        "shadow" => Test::Shadow,
        _ => return None,
    })
}

/// Operators with a pattern.
fn text(name: &str) -> Option<Text> {
    Some(match name {
        "m" => Text::Method,
        "tool" => Text::Tool,
        "name" => Text::Name,
        "sid" => Text::Session,
        "b" => Text::Body(None),
        "bq" => Text::Body(Some(Side::Request)),
        "bs" => Text::Body(Some(Side::Reply)),
        "h" => Text::Header(None),
        "hq" => Text::Header(Some(Side::Request)),
        "hs" => Text::Header(Some(Side::Reply)),
        "t" => Text::ContentType,
        "err" => Text::Error,
        "rule" => Text::Rule,
        _ => return None,
    })
}

impl Text {
    fn matches(self, envelope: &Envelope, pattern: &TextPattern) -> bool {
        let is_match = |text: Option<&str>| text.is_some_and(|text| pattern.is_match(text.as_bytes()));
        match self {
            Self::Word => {
                let id = envelope.message.id().map(crate::message::Id::display);
                is_match(envelope.method()) || is_match(envelope.name()) || is_match(id)
            }
            Self::Method => is_match(envelope.method()),
            Self::Tool => envelope.method() == Some("tools/call") && is_match(envelope.name()),
            Self::Name => is_match(envelope.name()),
            Self::Session => pattern.is_match(envelope.session.0.to_string().as_bytes()),
            Self::Body(side) => {
                let this = if envelope.kind().is_reply() { Side::Reply } else { Side::Request };
                side.is_none_or(|side| side == this) && pattern.is_match(envelope.message.raw())
            }
            Self::Header(side) => {
                let this = if envelope.direction == Direction::ToServer { Side::Request } else { Side::Reply };
                side.is_none_or(|side| side == this) && matches_header(envelope, pattern)
            }
            Self::ContentType => matches_content_type(envelope, pattern),
            Self::Error => error_texts(&envelope.message).iter().any(|text| is_match(Some(text))),
            Self::Rule => is_match(rule(&envelope.outcome)),
        }
    }
}

fn matches_header(envelope: &Envelope, pattern: &TextPattern) -> bool {
    let Some(headers) = &envelope.transport.headers else {
        return false;
    };
    let mut line = Vec::new();
    headers.iter().any(|(name, value)| {
        line.clear();
        line.extend_from_slice(name.as_str().as_bytes());
        line.extend_from_slice(b": ");
        line.extend_from_slice(value.as_bytes());
        pattern.is_match(&line)
    })
}

fn matches_content_type(envelope: &Envelope, pattern: &TextPattern) -> bool {
    let headers = envelope.transport.headers.as_ref();
    headers.and_then(|headers| headers.get("content-type")).is_some_and(|value| pattern.is_match(value.as_bytes()))
}

fn rule(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Edited(Author::Rule(name))
        | Outcome::Blocked(Author::Rule(name))
        | Outcome::Dropped(Author::Rule(name))
        | Outcome::Injected(Author::Rule(name)) => Some(name),
        _ => None,
    }
}

/// An error of JSON-RPC, a tool that failed, or an HTTP status that says so.
fn is_failure(envelope: &Envelope) -> bool {
    match envelope.kind() {
        Kind::Error => true,
        Kind::Result if envelope.message.is_failed_result() => true,
        _ => envelope.transport.status.is_some_and(|status| status >= 400),
    }
}

/// The result of a tool that says of itself that it failed.
fn failed_tool(message: &Message) -> Option<Value> {
    message.is_failed_result().then(|| serde_json::from_str(message.member("result")?).ok())?
}

fn error_texts(message: &Message) -> Vec<String> {
    match message.kind() {
        Kind::Error => {
            let error: Value = message.member("error").and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
            let text = error.get("message").and_then(Value::as_str).map(str::to_owned);
            text.into_iter().chain(error.get("data").map(Value::to_string)).collect()
        }
        Kind::Result => {
            let content = failed_tool(message).and_then(|mut result| result.get_mut("content").map(Value::take));
            let Some(Value::Array(content)) = content else {
                return Vec::new();
            };
            content.iter().filter_map(|part| part.get("text")?.as_str()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn read_via(cursor: &mut Cursor<'_>) -> Result<(Test, String), FilterError> {
    let needs = "`http`, `sse` or `stdio`";
    let word = cursor.argument("via", needs)?;
    let carriers = word.text.split('|').map(|name| {
        let known = [Via::Http, Via::Sse, Via::Stdio].into_iter().find(|via| via.word() == name);
        known.ok_or_else(|| cursor.fail_at(word.at, format!("`~via` needs {needs}")))
    });
    Ok((Test::Via(carriers.collect::<Result<_, _>>()?), word.text.clone()))
}

impl TextPattern {
    pub(super) fn read(cursor: &Cursor<'_>, word: &Word) -> Result<Self, FilterError> {
        let any_case = !has_upper_case(&word.text);
        let expression = RegexBuilder::new(&word.text)
            .case_insensitive(any_case)
            .size_limit(1 << 20)
            .build()
            .map_err(|error| cursor.fail_at(word.at, format!("this pattern is none: {}", reason(&error))))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b':' | b'@');
        let literal = !word.text.is_empty() && word.text.bytes().all(plain);
        let word = literal.then(|| Literal { text: word.text.as_bytes().into(), any_case });
        Ok(Self { expression, word })
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match &self.word {
            // Beyond ASCII, letters of another alphabet may be the same in another case.
            Some(word) if text.len() <= SHORT && text.is_ascii() => word.is_in(text),
            _ => self.expression.is_match(text),
        }
    }
}

impl Literal {
    fn is_in(&self, text: &[u8]) -> bool {
        let mut places = text.windows(self.text.len());
        if self.any_case {
            places.any(|place| place.eq_ignore_ascii_case(&self.text))
        } else {
            places.any(|place| *place == *self.text)
        }
    }
}

/// The last line says what is wrong; those before draw where, in a font we do not have.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Escapes such as `\S` are no upper-case letters.
fn has_upper_case(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c.is_uppercase() {
            return true;
        }
    }
    false
}

fn unknown(name: &str) -> String {
    let known = OPERATORS.iter().filter_map(|(usage, _)| usage[1..].split(' ').next());
    let nearest = known.min_by_key(|known| strsim::levenshtein(known, name)).unwrap_or("all");
    format!("unknown operator `~{name}`; did you mean `~{nearest}`?")
}
