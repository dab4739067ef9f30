//! One JSON-RPC message: the bytes that arrived, and a lazily read head.
//!
//! Owns reading. Never fails and never changes a byte: what is not JSON-RPC is [`Kind::Opaque`], shown
//! and forwarded all the same. Only [`Message::raw`] is ever sent on.

mod id;
mod known_words;
mod lenient;
mod members;
mod scan;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use bytes::Bytes;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

pub use self::id::Id;
pub(crate) use self::known_words::KnownWord;
use self::known_words::KnownWords;
use self::members::{HeadMembers, HeadValue, MemberKey, ParamMembers, head_members};
pub(crate) use self::members::{Members, items_of, members_of, read_members, read_members_with};
use self::scan::Scanned;
use crate::mcp::method::name_member;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Messages up to this size do not stay in the read buffer they came in.
const SMALL: usize = 4 << 10;
/// More members of `params` than this are looked for each time: how many there are is the peer's to say.
const MOST_SPANS: usize = 32;

/// A message as it travels: exact bytes, without the framing of its carrier (line end, `data:` prefix).
#[derive(Clone)]
pub struct Message {
    raw: Bytes,
    head: OnceLock<Head>,
}

/// What JSON-RPC 2.0 says a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Has a `method` and an `id` that is not null.
    Request,
    /// Has a `method` and no `id` (an `id` of null counts as none).
    Notification,
    /// A reply with a `result`.
    Result,
    /// A reply with an `error`.
    Error,
    /// A JSON array (allowed by revision 2025-03-26 only).
    Batch,
    /// Anything else; [`Head::flaw`] says why.
    Opaque,
}

impl Kind {
    /// A result or an error.
    pub fn is_reply(self) -> bool {
        matches!(self, Self::Result | Self::Error)
    }

    /// The lower-case word used on tapes and in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Notification => "notification",
            Self::Result => "result",
            Self::Error => "error",
            Self::Batch => "batch",
            Self::Opaque => "opaque",
        }
    }
}

/// What a message says of itself at its top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    /// The id; null for an error reply with a null id. Of what cannot be read, the id that it answers as far as one can tell.
    pub id: Option<Id>,
    /// What a request or notification is about; `None` for replies.
    pub subject: Option<Arc<Subject>>,
    /// Why this is not, or not quite, JSON-RPC.
    pub flaw: Option<Box<str>>,
    /// Where the members of `params` stand in a message that is too large to be read again for each of them.
    params: Option<Box<[MemberSpan]>>,
    words: KnownWords,
    /// It is known to be JSON in UTF-8, on one line, and nothing around it.
    is_line: bool,
}

/// A member of `params`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MemberSpan {
    key: Box<str>,
    /// Where its value stands in the message, in bytes.
    span: Range<usize>,
}

/// What an exchange is about; a reply borrows it from its request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    pub method: Box<str>,
    /// What the method is about: the tool or prompt name, the resource URI, or the task id.
    pub name: Option<Box<str>>,
}

impl Message {
    /// Never fails; reading happens on the first look.
    pub fn new(raw: impl Into<Bytes>) -> Self {
        Self { raw: raw.into(), head: OnceLock::new() }
    }

    /// A message that is part of a read buffer. A small one gets bytes of its own: messages are remembered for long, and
    /// would keep the buffer, many times their size, and its reader would have to get another for the next.
    pub fn cut_from(buffer: Bytes) -> Self {
        Self::new(if buffer.len() <= SMALL { Bytes::copy_from_slice(&buffer) } else { buffer })
    }

    /// What stands after a byte order mark, or the whole.
    #[must_use]
    pub fn without_bom(self) -> Self {
        if self.raw.starts_with(BOM) { Self::new(self.raw.slice(BOM.len()..)) } else { self }
    }

    /// The bytes, as they came and as they go.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// What it says of itself: kind, id, method, name.
    pub fn head(&self) -> &Head {
        self.head.get_or_init(|| read_head(&self.raw))
    }

    /// Request, reply, notification, or what it is instead.
    pub fn kind(&self) -> Kind {
        self.head().kind
    }

    /// Returns the JSON-RPC id of a request or a reply; `None` for notifications, batches and what cannot be read.
    pub fn id(&self) -> Option<&Id> {
        self.head().id.as_ref().filter(|_| self.kind() != Kind::Opaque)
    }

    /// The id that an error about this message names, read as it is needed: the only one that stands in it, also where it is no message
    /// otherwise (JSON-RPC 2.0 §5.1: null where none could be detected). `None` for what is no JSON, for replies, whose id is the other
    /// side's, and where ids contradict each other.
    pub(crate) fn asked_id(&self) -> Option<Id> {
        let members = read_members(&self.raw)?;
        let is_reply = members.iter().any(|(key, _)| matches!(&**key, "result" | "error"));
        let mut ids = members.iter().filter(|(key, _)| key == "id").map(|(_, token)| *token);
        let token = ids.next().filter(|_| !is_reply && ids.next().is_none())?;
        let is_integer = || token.parse::<f64>().is_ok_and(|number| number.fract() == 0.0);
        (token.starts_with('"') || is_integer()).then(|| Id::from_token(token))
    }

    /// The id of the request that it answers: it is a reply, or would be one if it could be read.
    pub fn replied_id(&self) -> Option<&Id> {
        self.head().id.as_ref().filter(|_| self.is_reply())
    }

    /// Whether it is a reply, or would be one if it could be read.
    pub fn is_reply(&self) -> bool {
        let Head { kind, id, .. } = self.head();
        kind.is_reply() || *kind == Kind::Opaque && id.is_some()
    }

    /// Whether it may be the reply to this request, by its id.
    pub fn replies_to(&self, request: &Self) -> bool {
        self.replied_id().zip(request.id()).is_some_and(|(id, asked)| id.may_mean(asked))
    }

    /// The JSON-RPC `method`; a reply has none.
    pub fn method(&self) -> Option<&str> {
        self.head().subject.as_ref().map(|subject| &*subject.method)
    }

    /// What is called, read or got: `params.name` or `params.uri`.
    pub fn name(&self) -> Option<&str> {
        self.head().subject.as_ref()?.name.as_deref()
    }

    /// The raw text of one top-level member, such as `params`, `result` or `error`.
    pub fn member(&self, key: &str) -> Option<&str> {
        self.at(&[key])
    }

    /// The raw text of the value at a path of members, the last where one stands twice; `None` where there is no such value.
    pub fn at(&self, path: &[&str]) -> Option<&str> {
        // Most messages have none, and many places ask for it.
        if matches!(path, [_, "_meta", ..]) && !self.has_word(KnownWord::Meta) {
            return None;
        }
        if let (["params", member, path @ ..], Some(known)) = (path, &self.head().params) {
            let known = known.iter().rev().find(|known| &*known.key == *member)?;
            return descend(std::str::from_utf8(&self.raw[known.span.clone()]).ok()?, path);
        }
        descend(std::str::from_utf8(without_bom(&self.raw)).ok()?, path)
    }

    /// The whole message as a tree, for looking only: numbers beyond 2^64 lose digits here.
    pub fn value(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(without_bom(&self.raw)).ok()
    }

    /// The messages of a batch, each with its own bytes; empty for anything else.
    pub fn elements(&self) -> Vec<Self> {
        if self.kind() != Kind::Batch {
            return Vec::new();
        }
        let elements: Vec<&RawValue> = serde_json::from_slice(without_bom(&self.raw)).unwrap_or_default();
        elements.into_iter().map(|element| self.element(element)).collect()
    }

    /// Whether it is an array of more than so many items. It is looked at no further than that.
    pub fn has_more_items_than(&self, most: usize) -> bool {
        let mut items = ItemCount { most, exceeded: false };
        let array = without_bom(&self.raw);
        if array.trim_ascii_start().starts_with(b"[") {
            // An error ends it, be it ours or that it is no JSON.
            let reader = &mut serde_json::Deserializer::from_slice(array);
            let _ = reader.deserialize_seq(&mut items);
        }
        items.exceeded
    }

    fn element(&self, element: &RawValue) -> Self {
        Self::of_batch(self.raw.slice_ref(element.get().as_bytes()))
    }

    /// What stood in a batch. That has messages in it, not batches (JSON-RPC 2.0 §6): a walk over them comes to an end.
    pub(crate) fn of_batch(raw: Bytes) -> Self {
        let message = Self::new(raw);
        if message.raw.starts_with(b"[") {
            let _ = message.head.set(opaque("a batch in a batch"));
        }
        message
    }

    /// Whether it is no batch, though it would be one if it had not stood in another.
    pub(crate) fn is_batch_in_batch(&self) -> bool {
        self.raw.starts_with(b"[") && self.kind() == Kind::Opaque && Self::new(self.raw.clone()).kind() == Kind::Batch
    }

    /// Whether it is a request, or has one in it.
    pub fn asks(&self) -> bool {
        match self.kind() {
            Kind::Batch => self.elements().iter().any(Self::asks),
            kind => kind == Kind::Request,
        }
    }

    /// Whether it is a reply, or has one in it.
    pub fn answers(&self) -> bool {
        match self.kind() {
            Kind::Batch => self.elements().iter().any(Self::answers),
            _ => self.is_reply(),
        }
    }

    /// Whether a word stands in it, as a string of its own.
    pub(crate) fn has_word(&self, word: KnownWord) -> bool {
        self.head().words.has(word)
    }

    /// Whether it is a tool result that says of itself that the tool failed. Most results say nothing of it, or that it did
    /// not: they are not read for it.
    pub fn is_failed_result(&self) -> bool {
        let is_true = |result: &str| {
            let members = read_members(result.as_bytes()).unwrap_or_default();
            members.iter().rev().find(|(key, _)| key == "isError").is_some_and(|(_, value)| *value == "true")
        };
        // A member further in may say so, too.
        self.has_word(KnownWord::FailedResult)
            && self.kind() == Kind::Result
            && self.member("result").is_some_and(is_true)
    }

    /// A JSON-RPC error reply to `id` (null where none is known), with `data` as raw JSON.
    pub fn error_reply(id: Option<&Id>, code: i64, text: &str, data: Option<&str>) -> Self {
        let id = id.map_or("null", Id::token);
        let text = serde_json::Value::from(text);
        let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
        Self::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{text}{data}}}}}"#))
    }

    /// This message with another id token and everything else byte for byte; `None` where there is no id to replace.
    pub fn with_id(&self, id: &Id) -> Option<Self> {
        self.with_value(&["id"], id.token())
    }

    /// This message with other JSON text for the value at a path of members and everything else byte for byte; `None`
    /// where there is no such value.
    pub fn with_value(&self, path: &[&str], text: &str) -> Option<Self> {
        let old = match self.at(path) {
            Some(old) => old.as_bytes(),
            None if path == ["id"] && self.is_reply() => &self.raw[lenient::replied_id(&self.raw)?],
            None => return None,
        };
        let start = old.as_ptr() as usize - self.raw.as_ptr() as usize;
        let mut raw = Vec::with_capacity(self.raw.len() + text.len());
        raw.extend_from_slice(&self.raw[..start]);
        raw.extend_from_slice(text.as_bytes());
        raw.extend_from_slice(&self.raw[start + old.len()..]);
        Some(Self::new(raw))
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", String::from_utf8_lossy(&self.raw))
    }
}

/// How a message stands in a line of JSON.
pub(crate) enum Form<'a> {
    /// Embedded: it is JSON, on one line, and nothing around it.
    Json(&'a [u8]),
    Text(&'a str),
    /// It is not UTF-8.
    Base64(String),
}

impl Message {
    pub(crate) fn form(&self) -> Form<'_> {
        if self.head().is_line {
            return Form::Json(&self.raw);
        }
        let Ok(text) = std::str::from_utf8(&self.raw) else {
            return Form::Base64(base64::engine::general_purpose::STANDARD.encode(&self.raw));
        };
        let one_line = memchr::memchr2(b'\n', b'\r', &self.raw).is_none();
        let bare = text.trim_ascii().len() == text.len() && !self.raw.starts_with(BOM);
        // What has a kind was read to its end as JSON; what has none may be JSON all the same.
        let is_json = || self.kind() != Kind::Opaque || serde_json::from_str::<&RawValue>(text).is_ok();
        if one_line && bare && is_json() { Form::Json(&self.raw) } else { Form::Text(text) }
    }
}

/// The bytes that [`Message::form`] put into a line.
///
/// # Errors
/// Where none of the three forms is there, or base64 is broken.
pub(crate) fn unpack(msg: Option<&str>, text: Option<&str>, b64: Option<&str>) -> Result<Bytes, String> {
    match (msg, text, b64) {
        (Some(msg), _, _) => Ok(Bytes::copy_from_slice(msg.as_bytes())),
        (_, Some(text), _) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        (_, _, Some(b64)) => base64::engine::general_purpose::STANDARD
            .decode(b64)
            .map(Bytes::from)
            .map_err(|error| format!("`b64` cannot be decoded: {error}")),
        (None, None, None) => Err("none of `msg`, `text`, `b64` is there".to_owned()),
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = serializer.serialize_struct("Message", 1)?;
        match self.form() {
            Form::Json(json) => {
                form.serialize_field("msg", &serde_json::from_slice::<&RawValue>(json).map_err(S::Error::custom)?)?;
            }
            Form::Text(text) => form.serialize_field("text", text)?,
            Form::Base64(b64) => form.serialize_field("b64", &b64)?,
        }
        form.end()
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Owned {
            msg: Option<Box<RawValue>>,
            text: Option<String>,
            b64: Option<String>,
        }
        let owned = Owned::deserialize(deserializer)?;
        unpack(owned.msg.as_deref().map(RawValue::get), owned.text.as_deref(), owned.b64.as_deref())
            .map(Self::new)
            .map_err(serde::de::Error::custom)
    }
}

/// The text of the value at a path of members; of those with one name the last.
pub(crate) fn descend<'a>(mut value: &'a str, path: &[&str]) -> Option<&'a str> {
    for member in path {
        value = members_of(value).ok()?.into_iter().rev().find(|(key, _)| key == member)?.1;
    }
    Some(value)
}

pub(crate) fn without_bom(raw: &[u8]) -> &[u8] {
    raw.strip_prefix(BOM).unwrap_or(raw)
}

fn read_head(raw: &[u8]) -> Head {
    match scan::scan(raw) {
        Some(Scanned { members: Some(members), words, is_line }) => Head { words, is_line, ..head_of(raw, &members) },
        Some(Scanned { members: None, words, is_line }) => {
            Head { kind: Kind::Batch, flaw: None, words, is_line, ..opaque("") }
        }
        None => Head { words: KnownWords::search(raw), ..read_with_care(raw) },
    }
}

fn read_with_care(raw: &[u8]) -> Head {
    let json = without_bom(raw);
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return opaque("empty"),
        Some(b'{') => {}
        Some(b'[') => {
            return match std::str::from_utf8(json).map(serde_json::from_str::<IgnoredAny>) {
                Ok(Ok(_)) => Head { kind: Kind::Batch, flaw: None, ..opaque("") },
                Ok(Err(error)) => opaque(format!("not JSON: {error}")),
                Err(_) => opaque("not UTF-8"),
            };
        }
        Some(_) => return opaque("not a JSON object"),
    }
    let Ok(text) = std::str::from_utf8(json) else {
        return Head { id: lenient_id(json), ..opaque("not UTF-8") };
    };
    match head_members(text) {
        Ok(members) => head_of(raw, &members),
        Err(error) => Head { id: lenient_id(json), ..opaque(format!("not JSON: {error}")) },
    }
}

fn head_of(raw: &[u8], members: &HeadMembers<'_>) -> Head {
    let params = members.iter().rev().find_map(|(_, value)| value.params());
    Head { params: params.and_then(|params| spans(raw, params)), ..classify(members) }
}

fn lenient_id(raw: &[u8]) -> Option<Id> {
    Some(Id::from_token(std::str::from_utf8(&raw[lenient::replied_id(raw)?]).ok()?))
}

/// Where the members of `params` stand in a large message; a small one is read again at once.
fn spans(raw: &[u8], params: &ParamMembers<'_>) -> Option<Box<[MemberSpan]>> {
    if raw.len() <= SMALL || params.len() > MOST_SPANS {
        return None;
    }
    let span = |(key, value): &(Cow<'_, str>, &[u8])| {
        let start = value.as_ptr() as usize - raw.as_ptr() as usize;
        MemberSpan { key: (&**key).into(), span: start..start + value.len() }
    };
    Some(params.iter().map(span).collect())
}

/// Counts the items of an array, up to a number.
struct ItemCount {
    most: usize,
    exceeded: bool,
}

impl<'de> Visitor<'de> for &mut ItemCount {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {} items", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut count = 0;
        while let Some(IgnoredAny) = items.next_element()? {
            count += 1;
            if count > self.most {
                self.exceeded = true;
                return Err(serde::de::Error::custom("too many items"));
            }
        }
        Ok(())
    }
}

fn opaque(why: impl Into<Box<str>>) -> Head {
    let (words, is_line) = (KnownWords::default(), false);
    Head { kind: Kind::Opaque, id: None, subject: None, flaw: Some(why.into()), params: None, words, is_line }
}

fn classify(members: &[(Cow<'_, str>, HeadValue<'_>)]) -> Head {
    let (mut id, mut method, mut params, mut result, mut error) = (None, None, None, None, None);
    let mut flaw: Option<Box<str>> = None;
    for (key, value) in members {
        let slot = match key.as_ref() {
            "id" => &mut id,
            "method" => &mut method,
            "params" => &mut params,
            "result" => &mut result,
            "error" => &mut error,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            flaw = Some(format!("`{key}` occurs twice").into());
        }
    }
    let id = id.and_then(HeadValue::token).map(Id::from_token);
    let null_id = id.as_ref().is_some_and(Id::is_null);
    let kind = match (method.is_some(), result.is_some(), error.is_some()) {
        (true, _, _) if id.is_some() && !null_id => Kind::Request,
        (true, _, _) => Kind::Notification,
        (false, _, true) => Kind::Error,
        (false, true, false) => Kind::Result,
        (false, false, false) => return opaque("neither `method`, `result` nor `error`"),
    };
    let subject = method.and_then(HeadValue::token).map(text_of).map(|method| {
        let params = params.and_then(HeadValue::params);
        let name = name_member(&method).zip(params).and_then(|(key, params)| string_member(params, key));
        Arc::new(Subject { method, name })
    });
    Head { kind, id, subject, flaw, ..opaque("") }
}

/// The text of a JSON string; of anything else, and of a string with a lone surrogate, the raw token.
fn text_of(value: &str) -> Box<str> {
    let within = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    if let Some(plain) = within.filter(|within| memchr::memchr(b'\\', within.as_bytes()).is_none()) {
        return plain.into();
    }
    serde_json::from_str::<MemberKey<'_>>(value).map_or_else(|_| value.into(), |key| key.0.into())
}

fn string_member(members: &ParamMembers<'_>, key: &str) -> Option<Box<str>> {
    let (_, value) = members.iter().rev().find(|(k, _)| k == key)?;
    std::str::from_utf8(value).ok().map(text_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Large enough that where its members stand is remembered.
    fn large(params: &str) -> Message {
        let filler = "x".repeat(SMALL);
        Message::new(format!(r#"{{"id":1,"method":"tools/call","params":{{"a":"{filler}",{params}}}}}"#))
    }

    #[test]
    fn head_is_the_same_whatever_stands_in_the_place_of_params() {
        for (params, name) in [
            (r#"{"name":"a"}"#, Some("a")),
            (r#"{"name":"a","n\u0061me":"b"}"#, Some("b")),
            (r#"{"name":"a","deep":{"name":"b"}}"#, Some("a")),
            (r#"{"name":"\ud800"}"#, Some(r#""\ud800""#)),
            (r#"{"\ud800":1,"name":"a"}"#, None),
            (r#"{"name":1e999,"n":-0}"#, Some("1e999")),
            ("{}", None),
            ("[1,[2,{}],\"x\"]", None),
            ("1e999", None),
            (r#""\ud800""#, None),
            ("\"x\"", None),
            ("-1", None),
            ("1.5", None),
            ("true", None),
            ("null", None),
        ] {
            let message = Message::new(format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#));
            assert_eq!((message.kind(), message.name()), (Kind::Request, name), "{params}");
            assert_eq!(message.member("params"), Some(params));
        }
        for broken in [r#"{"name":"a"#, "[1", "{1:2}", "nul", "1 2", "{\"a\":\"\u{1}\"}"] {
            let message = Message::new(format!(r#"{{"id":1,"method":"tools/call","params":{broken}}}"#));
            assert_eq!(message.kind(), Kind::Opaque, "{broken}");
        }
    }

    #[test]
    fn at_finds_the_same_in_a_large_message() {
        let message = large(r#" "_meta" : {"t":[1, 2]},"name":"b","_meta":{"t": 1.0,"u":null}, "l": 7 "#);
        assert!(message.head().params.is_some());
        let found = |path: &[&str]| message.at(path);
        assert_eq!(found(&["params", "_meta"]), Some(r#"{"t": 1.0,"u":null}"#), "the last of two");
        assert_eq!((found(&["params", "_meta", "t"]), found(&["params", "l"])), (Some("1.0"), Some("7")));
        assert_eq!(
            (found(&["params", "t"]), found(&["params", "l", "t"]), found(&["result", "l"])),
            (None, None, None)
        );
        assert_eq!((message.name(), found(&["method"])), (Some("b"), Some("\"tools/call\"")));
        let edited = message.with_value(&["params", "_meta", "t"], "2").expect("it is there");
        assert_eq!(edited.at(&["params", "_meta"]), Some(r#"{"t": 2,"u":null}"#));
        let many = (0..=MOST_SPANS).map(|at| format!(r#""k{at}":{at}"#)).collect::<Vec<_>>().join(",");
        assert_eq!((large(&many).head().params.as_ref(), large(&many).at(&["params", "k9"])), (None, Some("9")));
    }
}
