//! What happened to one message: an immutable fact, made by the spine and read by everyone else.
//!
//! Its JSON form is both a line of a tape and an event of the control feed.

pub(crate) mod packed;
pub(crate) mod shared;
mod written;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

pub use crate::message::Subject;
use crate::message::{Kind, Members, Message, members_of, unpack};
use crate::secret::{REDACTED, is_secret};
pub(crate) use written::{HeaderTexts, PendingLines};

/// Number of a message, one count for the whole process: the screen, the log and the tapes show the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Our own name of a session (the protocol's, where there is one, is a header).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// A new one, sorted by time (UUIDv7).
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// The random end of the id: enough to tell sessions of one day apart.
    pub fn short(self) -> String {
        let mut text = String::with_capacity(8);
        self.push_short(&mut text);
        text
    }

    /// Appends what [`Self::short`] returns.
    pub fn push_short(self, text: &mut String) {
        text.push_str(&self.0.as_simple().encode_lower(&mut [0; 32])[24..]);
    }
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    #[serde(rename = "c2s")]
    ToServer,
    #[serde(rename = "s2c")]
    ToClient,
}

impl Direction {
    /// Returns the opposite direction.
    pub fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// Returns the word for it on tapes and in filters: `c2s` or `s2c`.
    pub fn word(self) -> &'static str {
        match self {
            Self::ToServer => "c2s",
            Self::ToClient => "s2c",
        }
    }
}

/// What carried a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The whole body of an HTTP request or response.
    Http,
    /// One event of a `text/event-stream`.
    Sse,
    /// One line of a pipe.
    Stdio,
}

impl Via {
    /// Returns the word for it on tapes and in filters: `http`, `sse` or `stdio`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Sse => "sse",
            Self::Stdio => "stdio",
        }
    }
}

/// The fields of the SSE event that carried a message (WHATWG HTML §9.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SseFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}

/// Facts of the carrier.
#[derive(Clone, Debug)]
pub struct Transport {
    pub via: Via,
    /// HTTP status of the response that carried the message.
    pub status: Option<u16>,
    /// Headers of the HTTP request or response that are worth keeping; secrets among them are redacted when they are
    /// written.
    pub headers: Option<Arc<HeaderMap>>,
    pub sse: Option<Box<SseFields>>,
}

impl Transport {
    /// Carried by `via`, on no stream and with no status.
    pub fn new(via: Via) -> Self {
        Self { via, status: None, headers: None, sse: None }
    }
}

/// The author of a change, of a block, or of a whole message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// The person at the screen.
    Operator,
    /// A rule, by name.
    Rule(String),
    /// tapline itself: an upstream that did not answer, a replay.
    Tapline,
}

/// What became of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Sent on as it came.
    #[default]
    Forwarded,
    /// Sent on changed; [`Envelope::original`] has what came.
    Edited(Author),
    /// Not sent on; a request was answered with an error instead.
    Blocked(Author),
    /// Not sent on; a request was answered with a result instead.
    Answered(Author),
    /// Not sent on and not answered.
    Dropped(Author),
    /// Made here and sent as if its sender had: an error reply, a resent request, a step of a replay.
    Injected(Author),
    /// The reply to an injected request: shown, never delivered to the client.
    Withheld,
    /// Held when its sender or receiver went away; it was sent to neither.
    Abandoned,
}

impl Outcome {
    /// Whether the person at the screen made it so.
    pub fn is_of_operator(&self) -> bool {
        let author = match self {
            Self::Edited(author)
            | Self::Blocked(author)
            | Self::Answered(author)
            | Self::Dropped(author)
            | Self::Injected(author) => author,
            Self::Forwarded | Self::Withheld | Self::Abandoned => return false,
        };
        *author == Author::Operator
    }

    /// One word for a log; nothing for what went on as it came.
    pub fn word(&self) -> Option<&'static str> {
        Some(match self {
            Self::Forwarded => return None,
            Self::Edited(_) => "edited",
            Self::Blocked(_) => "blocked",
            Self::Answered(_) => "answered",
            Self::Dropped(_) => "dropped",
            Self::Injected(_) => "injected",
            Self::Withheld => "withheld",
            Self::Abandoned => "abandoned",
        })
    }
}

/// One message that passed, and everything known of it at that moment.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub seq: Seq,
    pub session: SessionId,
    /// Microseconds from the start of the session to the arrival of the message.
    pub at: u64,
    pub direction: Direction,
    pub transport: Transport,
    /// What was sent on, or, where nothing was, what came.
    pub message: Message,
    /// What came, where something else was sent on.
    pub original: Option<Message>,
    pub outcome: Outcome,
    /// Microseconds the message was held.
    pub held: Option<u64>,
    /// The request that a reply answers; `None` for anything else.
    pub reply_to: Option<ReplyTo>,
    /// The request that began the operation this message goes on with: a call sent again with the input it asked for, a
    /// question for a task.
    pub part_of: Option<Seq>,
    /// The rules that did something to it, in order.
    pub rules: Option<Box<[Arc<str>]>>,
}

/// The request that a reply answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub seq: Seq,
    /// Microseconds from the request to this reply, without those that the request was held.
    pub took: u64,
    pub subject: Arc<Subject>,
}

impl Envelope {
    /// Returns the envelope of a message that was forwarded as it came: at the start of its session, and no reply to anything
    /// that is known.
    pub fn forwarded(seq: Seq, session: SessionId, direction: Direction, via: Via, message: Message) -> Self {
        Self {
            seq,
            session,
            at: 0,
            direction,
            transport: Transport::new(via),
            message,
            original: None,
            outcome: Outcome::Forwarded,
            held: None,
            reply_to: None,
            part_of: None,
            rules: None,
        }
    }

    /// Request, reply, notification, or what it is instead.
    pub fn kind(&self) -> Kind {
        self.message.kind()
    }

    /// The method of the message, or, for a reply, of its request.
    pub fn method(&self) -> Option<&str> {
        self.message.method().or_else(|| self.reply_to.as_ref().map(|to| &*to.subject.method).filter(|m| !m.is_empty()))
    }

    /// The tool, prompt or resource of the message, or, for a reply, of its request.
    pub fn name(&self) -> Option<&str> {
        self.message.name().or_else(|| self.reply_to.as_ref().and_then(|to| to.subject.name.as_deref()))
    }

    /// Puts another message in place of this one; what came first stays beside it.
    pub fn edit(&mut self, message: Message, author: Author) {
        let came = std::mem::replace(&mut self.message, message);
        self.original.get_or_insert(came);
        self.outcome = Outcome::Edited(author);
    }

    /// Notes that a rule did something to it.
    pub fn hit_by(&mut self, rule: &Arc<str>) {
        let before = self.rules.take().map(<[_]>::into_vec).unwrap_or_default();
        self.rules = Some(before.into_iter().chain([rule.clone()]).collect());
    }

    /// Whether it says that something failed: an error of JSON-RPC, a tool's result with `isError`, an HTTP status from 400. The one
    /// measure of every count and colour: what `~e` finds.
    pub fn is_failure(&self) -> bool {
        let is_refused = || self.transport.status.is_some_and(|status| status >= 400);
        self.kind() == Kind::Error || self.message.is_failed_result() || is_refused()
    }

    /// Whether the message went on to its receiver.
    pub fn was_sent(&self) -> bool {
        matches!(self.outcome, Outcome::Forwarded | Outcome::Edited(_) | Outcome::Injected(_))
    }
}

/// Whether a written envelope names its session: an event does, a line of a tape has it in the header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SessionField {
    Named,
    Omitted,
}

impl Envelope {
    /// Reads back what [`Envelope::write_json`] wrote. Members that are not ours come back beside it, raw.
    ///
    /// # Errors
    /// One line that names the member at fault.
    pub fn read_json(text: &str, session: SessionId) -> Result<(Self, Unknown), String> {
        Self::read_json_among(text, session, &mut HeaderCache::default())
    }

    /// Reads one of many envelopes, as [`Envelope::read_json`] does; those with equal headers share them.
    ///
    /// # Errors
    /// One line that names the member at fault.
    pub fn read_json_among(text: &str, session: SessionId, known: &mut HeaderCache) -> Result<(Self, Unknown), String> {
        let mut members = members_of(text)
            .map_err(|error| format!("not a JSON object: {} at column {}", without_place(&error), error.column()))?;
        let session = take(&mut members, "session")?.unwrap_or(session);
        let msg = take_text(&mut members, "msg");
        let body: Option<String> = take(&mut members, "text")?;
        let b64: Option<String> = take(&mut members, "b64")?;
        let message = Message::new(unpack(msg, body.as_deref(), b64.as_deref())?);
        // What the head of the message says is read from the message again.
        members.retain(|(key, _)| !matches!(&**key, "kind" | "flaw" | "id"));
        let method: Option<Box<str>> = take(&mut members, "method")?;
        let name: Option<Box<str>> = take(&mut members, "name")?;
        let took = take(&mut members, "dt")?.unwrap_or_default();
        let reply_to = take(&mut members, "re")?.map(|seq| {
            let subject = Subject { method: method.unwrap_or_default(), name };
            ReplyTo { seq, took, subject: Arc::new(subject) }
        });
        let envelope = Self {
            seq: take(&mut members, "seq")?.ok_or("`seq` is missing")?,
            session,
            at: take(&mut members, "at")?.ok_or("`at` is missing")?,
            direction: take(&mut members, "dir")?.ok_or("`dir` is missing")?,
            transport: Transport {
                via: take(&mut members, "via")?.ok_or("`via` is missing")?,
                status: take(&mut members, "status")?,
                headers: take_text(&mut members, "headers").map(|headers| known.read(headers)).transpose()?.flatten(),
                sse: take(&mut members, "sse")?,
            },
            message,
            original: take(&mut members, "original")?,
            outcome: take(&mut members, "verdict")?.unwrap_or_default(),
            held: take(&mut members, "held")?,
            reply_to,
            part_of: take(&mut members, "of")?,
            rules: take(&mut members, "rules")?,
        };
        let unknown = members.into_iter().map(|(key, value)| match serde_json::from_str(value) {
            Ok(value) => Ok((key.into_owned(), value)),
            Err(error) => Err(format!("`{key}`: {}", without_place(&error))),
        });
        Ok((envelope, unknown.collect::<Result<_, _>>()?))
    }
}

/// What is wrong. Where it is counts from the beginning of what was parsed, always its line 1: who reads the message knows the line as
/// another one.
pub(crate) fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).map(str::to_owned).unwrap_or(text)
}

/// Members of a line that this version does not know: kept where a tape is rewritten.
pub type Unknown = BTreeMap<String, Box<RawValue>>;

fn take_text<'a>(members: &mut Members<'a>, key: &str) -> Option<&'a str> {
    let place = members.iter().rposition(|(known, _)| known == key)?;
    Some(members.remove(place).1)
}

fn take<'a, T: Deserialize<'a>>(members: &mut Members<'a>, key: &str) -> Result<Option<T>, String> {
    let Some(text) = take_text(members, key) else {
        return Ok(None);
    };
    serde_json::from_str(text).map_err(|error| format!("`{key}`: {}", without_place(&error)))
}

/// The headers read last, by their text: most messages of a session have the same few, a copy for each would weigh
/// more than the messages.
#[derive(Debug, Default)]
pub struct HeaderCache(VecDeque<(Box<str>, Arc<HeaderMap>)>);

impl HeaderCache {
    const KEPT: usize = 8;

    fn read(&mut self, text: &str) -> Result<Option<Arc<HeaderMap>>, String> {
        if let Some((_, headers)) = self.0.iter().find(|(known, _)| **known == *text) {
            return Ok(Some(headers.clone()));
        }
        let headers: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|error| format!("`headers`: {}", without_place(&error)))?;
        if headers.is_empty() {
            return Ok(None);
        }
        let headers = Arc::new(read_headers(&headers));
        self.0.truncate(Self::KEPT - 1);
        self.0.push_front((text.into(), headers.clone()));
        Ok(Some(headers))
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Self::read_json(text.get(), SessionId(Uuid::nil())).map(|(it, _)| it).map_err(serde::de::Error::custom)
    }
}

/// Headers that say nothing about MCP and would bury those that do.
const NOISE: [&str; 9] = [
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "date",
    "host",
    "keep-alive",
    "transfer-encoding",
];

/// The headers worth keeping, secrets replaced; the one road from a header map to a file or a screen.
pub fn written_headers(headers: &HeaderMap) -> BTreeMap<&str, Cow<'_, str>> {
    headers
        .iter()
        .filter(|(name, _)| !is_noise(name))
        .map(|(name, value)| {
            let secret = value.is_sensitive() || is_secret(name.as_str());
            let value = if secret { REDACTED.into() } else { String::from_utf8_lossy(value.as_bytes()) };
            (name.as_str(), value)
        })
        .collect()
}

/// Whether a header is not worth keeping.
pub(crate) fn is_noise(name: &HeaderName) -> bool {
    NOISE.contains(&name.as_str())
}

fn read_headers(headers: &BTreeMap<String, String>) -> HeaderMap {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?)))
        .collect()
}
