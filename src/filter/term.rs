//! One test of an [`Envelope`], and the table of operators.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::context::{FilterPlace, MessageContext, ScanCost};
use super::cursor::{Cursor, FilterError, Word};
use super::moment::TimeTest;
use super::number::{NumberField, NumberTest};
use super::pattern::TextPattern;
use super::query::Query;
use super::summary::{has_own_words, row_gist};
use crate::envelope::{Author, Direction, Envelope, Outcome, Via};
use crate::json::scalar::unescaped;
use crate::mcp::method;
use crate::message::{Kind, Message};

/// Every operator: how it is written, and what it matches.
pub const OPERATORS: &[(&str, &str)] = &[
    ("~q", "requests"),
    ("~r", "replies, results and errors (also `~s`)"),
    ("~s", "replies, results and errors (also `~r`)"),
    ("~n", "notifications"),
    ("~e", "errors: of JSON-RPC, a tool result with `isError`, an HTTP status from 400"),
    ("~m RE", "method; a reply has that of its request"),
    ("~tool RE", "name of the tool that is called, or that answers"),
    ("~name RE", "name of the tool or prompt, or URI of the resource"),
    ("~c2s", "from the client to the server"),
    ("~s2c", "from the server to the client"),
    ("~id ID", "JSON-RPC id, exactly"),
    ("~sid RE", "session id (tapline's)"),
    ("~client RE", "name and version of the client"),
    ("~server RE", "name and version of the server, or its name in the configuration"),
    ("~u RE", "URL or command line of the server"),
    ("~via http|sse|stdio", "what carried it"),
    ("~b RE", "body"),
    ("~bq RE", "body of a request or notification"),
    ("~bs RE", "body of a reply"),
    ("~h RE", "a header, as `name: value`"),
    ("~hq RE", "a header of the client's"),
    ("~hs RE", "a header of the server's"),
    ("~t RE", "content type"),
    ("~c N|A..B|CMP", "HTTP status: `404`, `400..499`, `>=400`"),
    ("~code N|A..B|CMP", "JSON-RPC error code: `-32601`, `-32099..-32000`"),
    ("~err [RE]", "text of an error; alone, any"),
    ("~dur CMP|A..B", "time to the reply: `>500ms`, `<=2s`, `1s..5s`; replies only"),
    ("~size CMP|A..B", "bytes: `>10k`, `1k..1M`"),
    ("~age CMP|A..B", "time since it came: `<5m`, `>1h`"),
    ("~time T|A..B", "when it came: `10:04`, `10:04:30..10:05`, `>2026-11-28T10:00`; `Z` behind it is UTC"),
    ("~seq N|A..B|CMP", "number of the message: `1194`, `100..200`"),
    ("~j PATH [OP VALUE]", "JSON value: `.a.b[0]`, `[*]`, `..key`; OP one of = != < <= > >= =~ ^= $= *="),
    ("~rule [RE]", "a rule of this name did something to it; alone, any rule"),
    ("~held", "held, now or before"),
    ("~edited", "sent on changed"),
    ("~blocked", "answered here instead of sent on"),
    ("~dropped", "neither sent on nor answered"),
    ("~invalid", "not, or not quite, JSON-RPC"),
    ("~open", "requests that wait for a reply: without one, and not given up"),
    ("~orphan", "replies to no request that was seen"),
    ("~dup", "requests under an id that their session has used before"),
    ("~late", "replies to a request that had been cancelled"),
    ("~readonly", "calls of a tool that its server marks with `readOnlyHint`, and their replies"),
    ("~lint [RE]", "code of what is wrong with it; alone, anything"),
    ("~marked", "marked by hand"),
    ("~comment [RE]", "text that was written beside it; alone, any"),
    ("~near", "of the exchange under the cursor: request, reply, progress, cancellation"),
    ("~shadow", "requests that a shadow answered otherwise or not at all, and their replies; on the screen only"),
    ("~all", "everything"),
    ("@NAME", "the filter of this name in `[filters]` of tapline.toml"),
];

/// A test and how it is written. Small: a hundred rules are asked of each message, and what they look at has to be at hand.
#[derive(Clone, Debug)]
pub(super) struct Term {
    test: TermTest,
    written: Box<WrittenTerm>,
}

#[derive(Clone, Debug, PartialEq)]
struct WrittenTerm {
    /// Without `~`; empty for a bare word.
    name: Box<str>,
    argument: Box<str>,
}

#[derive(Clone, Debug)]
enum TermTest {
    All,
    Is(Kind),
    Reply,
    Failure,
    Toward(Direction),
    Via(Box<[Via]>),
    Id(Box<str>),
    Text(TextField, TextPattern),
    Number(Box<NumberTest>),
    Json(Box<Query>),
    Held,
    Became(fn(&Outcome) -> bool),
    Invalid,
    Orphan,
    Time(TimeTest),
    /// Something that only the place knows where the filter is asked.
    Asked(fn(&dyn MessageContext, &Envelope) -> bool),
}

/// A text of an envelope that a pattern is looked for in.
#[derive(Clone, Copy, Debug)]
enum TextField {
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
    Client,
    Server,
    Upstream,
    Comment,
    Lint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Request,
    Reply,
}

/// Two terms are one where they are written alike.
impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Term {
    /// A word that stands on the line of a tape of every message that it matches, in one case or another.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.test {
            TermTest::Text(
                // A bare word may be one that only the row of the list has.
                TextField::Method | TextField::Tool | TextField::Name | TextField::Body(_) | TextField::Error,
                pattern,
            ) => pattern.word(),
            TermTest::Json(query) => query.word(),
            _ => None,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.written.name, &*self.written.argument) {
            ("", word) => f.write_str(word),
            (name, "") => write!(f, "~{name}"),
            (name, argument) => write!(f, "~{name} {argument}"),
        }
    }
}

impl Term {
    pub(super) fn all() -> Self {
        Self::new(TermTest::All, "all", "")
    }

    fn new(test: TermTest, name: &str, argument: &str) -> Self {
        Self { test, written: Box::new(WrittenTerm { name: name.into(), argument: argument.into() }) }
    }

    pub(super) fn bare(cursor: &Cursor<'_>, word: &Word) -> Result<Self, FilterError> {
        let test = TermTest::Text(TextField::Word, TextPattern::read(cursor, word)?);
        Ok(Self::new(test, "", &word.source()))
    }

    /// The operator `name`, which began at `start`; reads its argument.
    pub(super) fn operator(cursor: &mut Cursor<'_>, start: usize, name: &str) -> Result<Self, FilterError> {
        let (test, argument) = match name {
            "j" => Query::read(cursor).map(|(query, argument)| (TermTest::Json(query.into()), argument))?,
            "id" => {
                let word = cursor.argument(name, "an id")?;
                (TermTest::Id(word.text.as_str().into()), word.source())
            }
            "via" => read_via(cursor)?,
            "time" => TimeTest::read(cursor).map(|(test, argument)| (TermTest::Time(test), argument))?,
            _ => {
                if let Some(test) = plain(name) {
                    (test, String::new())
                } else if let Some(text) = text(name).filter(|text| text.may_stand_alone() && !cursor.has_argument()) {
                    (TermTest::Text(text, TextPattern::anything()), String::new())
                } else if let Some(text) = text(name) {
                    let word = cursor.argument(name, "a pattern")?;
                    (TermTest::Text(text, TextPattern::read(cursor, &word)?), word.source())
                } else if let Some(number) = NumberField::of_operator(name) {
                    let (comparison, argument) = NumberTest::read(cursor, name, number)?;
                    (TermTest::Number(comparison.into()), argument)
                } else {
                    return Err(cursor.fail_at(start, unknown(name)));
                }
            }
        };
        Ok(Self::new(test, name, &argument))
    }

    pub(super) fn matches(&self, envelope: &Envelope, context: &dyn MessageContext) -> bool {
        match &self.test {
            TermTest::All => true,
            TermTest::Is(kind) => envelope.kind() == *kind,
            TermTest::Reply => envelope.kind().is_reply(),
            TermTest::Failure => envelope.is_failure(),
            TermTest::Toward(direction) => envelope.direction == *direction,
            TermTest::Via(via) => via.contains(&envelope.transport.via),
            TermTest::Id(id) => envelope.message.id().is_some_and(|it| it.display() == &**id || it.token() == &**id),
            TermTest::Text(text, pattern) => text.matches(envelope, context, pattern),
            TermTest::Number(comparison) => comparison.matches(envelope, context),
            TermTest::Json(query) => query.matches(&envelope.message),
            TermTest::Held => envelope.held.is_some(),
            TermTest::Became(what) => what(&envelope.outcome),
            TermTest::Invalid => envelope.message.head().flaw.is_some(),
            TermTest::Orphan => envelope.kind().is_reply() && envelope.reply_to.is_none(),
            TermTest::Time(test) => test.matches(envelope, context),
            TermTest::Asked(ask) => ask(context, envelope),
        }
    }

    /// What it says of every message of this outline, or of this one of them; `None` where that depends on more.
    pub(super) fn decides(&self, outline: &Outline<'_>, message: Option<&Message>) -> Option<bool> {
        let is_match =
            |pattern: &TextPattern, text: Option<&str>| text.is_some_and(|text| pattern.is_match(text.as_bytes()));
        match &self.test {
            TermTest::All => Some(true),
            TermTest::Is(kind) => Some(outline.kind == *kind),
            TermTest::Reply => Some(outline.kind.is_reply()),
            TermTest::Toward(direction) => Some(outline.direction == *direction),
            TermTest::Text(TextField::Method, pattern) => Some(is_match(pattern, outline.method)),
            TermTest::Text(TextField::Name, pattern) => Some(is_match(pattern, outline.name)),
            TermTest::Text(TextField::Tool, pattern) => {
                Some(outline.method == Some(method::TOOLS_CALL) && is_match(pattern, outline.name))
            }
            TermTest::Text(TextField::Body(side), pattern) if is_of_side(*side, outline.kind) => {
                message.map(|message| matches_body(message.raw(), pattern))
            }
            TermTest::Text(TextField::Body(_), _) => Some(false),
            TermTest::Json(query) => message.map(|message| query.matches(message)),
            _ => None,
        }
    }

    /// Where it stands: `~name argument`.
    pub(super) fn operator_name(&self) -> &str {
        &self.written.name
    }

    pub(super) fn cost(&self) -> ScanCost {
        match &self.test {
            TermTest::Failure
            | TermTest::Json(_)
            | TermTest::Text(TextField::Word | TextField::Body(_) | TextField::Error, _) => ScanCost::Body,
            TermTest::Text(TextField::Header(_) | TextField::ContentType, _) => ScanCost::Header,
            TermTest::Number(comparison) => comparison.cost(),
            _ => ScanCost::Index,
        }
    }

    /// Why it matches nothing in this place, where it cannot.
    pub(super) fn unknown_in(&self, place: FilterPlace) -> Option<&'static str> {
        match (&*self.written.name, place) {
            ("near" | "marked" | "comment" | "shadow" | "lint", FilterPlace::Wire) => {
                Some("it is not known yet when a message passes")
            }
            ("near" | "shadow", FilterPlace::Tape) => Some("a tape does not say it"),
            ("held" | "edited" | "blocked" | "dropped", FilterPlace::Wire) => {
                Some("it is not decided yet when a message passes")
            }
            _ => None,
        }
    }

    /// Whether it asks for what came before.
    pub(super) fn asks_history(&self) -> bool {
        matches!(&*self.written.name, "dup" | "late" | "readonly")
    }
}

/// What is the same of many messages, and decides most filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outline<'a> {
    pub direction: Direction,
    pub kind: Kind,
    pub method: Option<&'a str>,
    pub name: Option<&'a str>,
}

impl<'a> Outline<'a> {
    pub fn of(envelope: &'a Envelope) -> Self {
        Self { direction: envelope.direction, kind: envelope.kind(), method: envelope.method(), name: envelope.name() }
    }
}

/// Operators without an argument.
fn plain(name: &str) -> Option<TermTest> {
    Some(match name {
        "all" => TermTest::All,
        "q" => TermTest::Is(Kind::Request),
        "n" => TermTest::Is(Kind::Notification),
        "r" | "s" => TermTest::Reply,
        "e" => TermTest::Failure,
        "c2s" => TermTest::Toward(Direction::ToServer),
        "s2c" => TermTest::Toward(Direction::ToClient),
        "held" => TermTest::Held,
        "edited" => TermTest::Became(|outcome| matches!(outcome, Outcome::Edited(_))),
        "blocked" => TermTest::Became(|outcome| matches!(outcome, Outcome::Blocked(_) | Outcome::Answered(_))),
        "dropped" => TermTest::Became(|outcome| matches!(outcome, Outcome::Dropped(_))),
        "invalid" => TermTest::Invalid,
        "orphan" => TermTest::Orphan,
        "shadow" => TermTest::Asked(|context, envelope| context.diverged(envelope.seq)),
        "open" => TermTest::Asked(|context, envelope| context.is_open(envelope)),
        "dup" => TermTest::Asked(|context, envelope| context.is_duplicate(envelope)),
        "readonly" => TermTest::Asked(|context, envelope| context.is_read_only(envelope)),
        "late" => TermTest::Asked(|context, envelope| context.is_late(envelope)),
        "near" => TermTest::Asked(|context, envelope| context.is_near(envelope)),
        "marked" => TermTest::Asked(|context, envelope| context.is_marked(envelope.seq)),
        _ => return None,
    })
}

/// Operators with a pattern.
fn text(name: &str) -> Option<TextField> {
    Some(match name {
        "m" => TextField::Method,
        "tool" => TextField::Tool,
        "name" => TextField::Name,
        "sid" => TextField::Session,
        "b" => TextField::Body(None),
        "bq" => TextField::Body(Some(Side::Request)),
        "bs" => TextField::Body(Some(Side::Reply)),
        "h" => TextField::Header(None),
        "hq" => TextField::Header(Some(Side::Request)),
        "hs" => TextField::Header(Some(Side::Reply)),
        "t" => TextField::ContentType,
        "err" => TextField::Error,
        "rule" => TextField::Rule,
        "client" => TextField::Client,
        "server" => TextField::Server,
        "u" => TextField::Upstream,
        "comment" => TextField::Comment,
        "lint" => TextField::Lint,
        _ => return None,
    })
}

impl TextField {
    /// Whether a message has such a text or not is worth asking: most have none.
    fn may_stand_alone(self) -> bool {
        matches!(self, Self::Error | Self::Rule | Self::Comment | Self::Lint)
    }

    fn matches(self, envelope: &Envelope, context: &dyn MessageContext, pattern: &TextPattern) -> bool {
        let is_match = |text: Option<&str>| text.is_some_and(|text| pattern.is_match(text.as_bytes()));
        let any_match = |texts: Vec<String>| texts.iter().any(|text| is_match(Some(text)));
        match self {
            Self::Word => {
                let id = envelope.message.id().map(crate::message::Id::display);
                is_match(envelope.method())
                    || is_match(envelope.name())
                    || is_match(id)
                    || envelope
                        .message
                        .at(&["params", "arguments"])
                        .is_some_and(|it| matches_body(it.as_bytes(), pattern))
                    || is_shown(envelope, pattern)
            }
            Self::Method => is_match(envelope.method()),
            Self::Tool => envelope.method() == Some(method::TOOLS_CALL) && is_match(envelope.name()),
            Self::Name => is_match(envelope.name()),
            Self::Session => pattern.is_match(envelope.session.0.to_string().as_bytes()),
            Self::Body(side) => is_of_side(side, envelope.kind()) && matches_body(envelope.message.raw(), pattern),
            Self::Header(side) => {
                let this = if envelope.direction == Direction::ToServer { Side::Request } else { Side::Reply };
                side.is_none_or(|side| side == this) && matches_header(envelope, pattern)
            }
            Self::ContentType => matches_content_type(envelope, pattern),
            Self::Error => any_match(error_texts(&envelope.message)),
            Self::Rule => {
                is_match(rule(&envelope.outcome)) || envelope.rules.iter().flatten().any(|name| is_match(Some(name)))
            }
            Self::Client => is_match(context.client(envelope.session).as_deref()),
            Self::Server => any_match(context.server_names(envelope.session)),
            Self::Upstream => is_match(context.upstream(envelope.session).as_deref()),
            Self::Comment => is_match(context.comment(envelope.seq).as_deref()),
            Self::Lint => any_match(context.lints(envelope.seq)),
        }
    }
}

fn is_of_side(side: Option<Side>, kind: Kind) -> bool {
    side.is_none_or(|side| (side == Side::Reply) == kind.is_reply())
}

/// Whether the pattern is in the bytes of a body, or in what they say: `Straße` may be sent as `Stra\u00dfe`.
fn matches_body(raw: &[u8], pattern: &TextPattern) -> bool {
    pattern.is_match(raw) || matches!(unescaped(raw), Cow::Owned(text) if pattern.is_match(&text))
}

/// Characters of a message that a wide row has room for.
const MOST_SHOWN: usize = 200;

/// Whether the pattern is in what a row of the list shows of a message. What is not in the message itself is not in its row either, but
/// for the words that a row has of its own.
fn is_shown(envelope: &Envelope, pattern: &TextPattern) -> bool {
    let is_own = has_own_words(envelope) || (envelope.kind() == Kind::Result && pattern.may_be_own());
    (is_own || matches_body(envelope.message.raw(), pattern)) && {
        let mut shown = row_gist(envelope);
        let end = shown.char_indices().nth(MOST_SHOWN).map_or(shown.len(), |(at, _)| at);
        shown.truncate(end);
        matches_body(shown.as_bytes(), pattern)
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
        | Outcome::Answered(Author::Rule(name))
        | Outcome::Dropped(Author::Rule(name))
        | Outcome::Injected(Author::Rule(name)) => Some(name),
        _ => None,
    }
}

/// The result of a tool that says of itself that it failed.
fn failed_tool(message: &Message) -> Option<Value> {
    message.is_failed_result().then(|| serde_json::from_str(message.member("result")?).ok())?
}

/// What an error says, or a tool that failed.
pub(crate) fn error_texts(message: &Message) -> Vec<String> {
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

fn read_via(cursor: &mut Cursor<'_>) -> Result<(TermTest, String), FilterError> {
    const CARRIERS: [Via; 3] = [Via::Http, Via::Sse, Via::Stdio];
    let needs = "`http`, `sse` or `stdio`";
    let word = cursor.argument("via", needs)?;
    let carriers = word.text.split('|').map(|name| {
        let near = || nearest(name, CARRIERS.map(Via::word).into_iter());
        let hint = || near().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let known = CARRIERS.into_iter().find(|via| via.word() == name);
        known.ok_or_else(|| cursor.fail_at(word.at, format!("`~via` needs {needs}{}", hint())))
    });
    Ok((TermTest::Via(carriers.collect::<Result<_, _>>()?), word.text.clone()))
}

/// What people type for an operator that is called otherwise.
const MEANT: [(&str, &str); 16] = [
    ("method", "m"),
    ("request", "q"),
    ("reply", "r"),
    ("response", "r"),
    ("result", "r"),
    ("error", "e"),
    ("notification", "n"),
    ("body", "b"),
    ("header", "h"),
    ("type", "t"),
    ("status", "c"),
    ("duration", "dur"),
    ("session", "sid"),
    ("json", "j"),
    ("path", "j"),
    ("url", "u"),
];

fn unknown(name: &str) -> String {
    let known = OPERATORS.iter().filter_map(|(usage, _)| usage.strip_prefix('~')?.split(' ').next());
    let meant = MEANT.iter().find(|(word, _)| *word == name).map(|(_, meant)| *meant);
    match meant.or_else(|| nearest(name, known)) {
        Some(near) => format!("unknown operator `~{name}`; did you mean `~{near}`?"),
        None => format!("unknown operator `~{name}` (`tapline help filters` has all)"),
    }
}

/// The word that is near enough to be meant: of three letters, one is wrong.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|it| (strsim::osa_distance(it, word), it)).min_by_key(|(distance, _)| *distance)?;
    let letters = word.chars().count();
    (near.0 <= (letters / 3).max(1) && near.0 < letters.min(near.1.len())).then_some(near.1)
}
