//! The written form of an [`Envelope`]: a line of a tape, an event of the control feed.
//!
//! By hand, as it is on the way of every message: what is known to be JSON goes in as it is, and headers, which seldom
//! change, are formatted once.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use lru::LruCache;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Envelope, Outcome, SessionField, written_headers};
use crate::message::Form;

/// How many header maps are remembered as text: a request's and a reply's of each of a hundred sessions that take turns.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(200).expect("it is not zero");

/// Header maps as text. Messages of a session share theirs, so that most are formatted already.
pub(crate) struct HeaderTexts {
    /// By the address of the map, which is kept with its text, so that no other takes its address.
    latest: LruCache<usize, WrittenHeaders>,
}

struct WrittenHeaders {
    text: Box<[u8]>,
    _headers: Arc<HeaderMap>,
}

impl Default for HeaderTexts {
    fn default() -> Self {
        Self { latest: LruCache::new(REMEMBERED) }
    }
}

impl HeaderTexts {
    fn of(&mut self, headers: &Arc<HeaderMap>) -> &[u8] {
        let written = || WrittenHeaders { text: text_of(headers).into(), _headers: headers.clone() };
        &self.latest.get_or_insert(Arc::as_ptr(headers) as usize, written).text
    }
}

/// An object of what is worth keeping; nothing where nothing is.
fn text_of(headers: &HeaderMap) -> Vec<u8> {
    let mut text = Vec::new();
    let headers = written_headers(headers);
    if !headers.is_empty() {
        push(&headers, &mut text);
    }
    text
}

/// Messages of this size stand beside the lines that they are in, and are not copied.
const LARGE: usize = 8 << 10;

/// Lines of a tape that wait to be written.
#[derive(Default)]
pub(crate) struct PendingLines {
    pub(crate) text: Vec<u8>,
    /// Large messages, each with its place in the text; there is no line end in them.
    bodies: Vec<(usize, Bytes)>,
}

impl PendingLines {
    /// The lines, in pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.bodies.iter().map(|(at, _)| *at));
        let ends = self.bodies.iter().map(|(at, _)| *at).chain([self.text.len()]);
        let bodies = self.bodies.iter().map(|(_, body)| &body[..]).chain([&[][..]]);
        let texts = starts.zip(ends).map(|(start, end)| &self.text[start..end]);
        texts.zip(bodies).flat_map(|(text, body)| [text, body]).filter(|piece| !piece.is_empty())
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.bodies.clear();
    }
}

impl Envelope {
    /// Appends the envelope as one line of JSON, without a line end.
    pub fn write_json(&self, session: SessionField, out: &mut Vec<u8>) {
        let headers = self.transport.headers.as_deref().map(text_of).unwrap_or_default();
        self.write(session, &headers, out, None);
    }

    /// Appends the envelope as a line of a tape. `texts` keeps headers that many envelopes share, so that they are
    /// written out once.
    pub(crate) fn write_line(&self, texts: &mut HeaderTexts, out: &mut PendingLines) {
        let headers = self.transport.headers.as_ref().map(|headers| texts.of(headers)).unwrap_or_default();
        self.write(SessionField::Omitted, headers, &mut out.text, Some(&mut out.bodies));
        out.text.push(b'\n');
    }

    /// `bodies`: where a large message may stand, that is not copied then.
    fn write(
        &self,
        session: SessionField,
        headers: &[u8],
        out: &mut Vec<u8>,
        bodies: Option<&mut Vec<(usize, Bytes)>>,
    ) {
        let bodies = bodies.filter(|_| self.message.raw().len() >= LARGE);
        let room = if bodies.is_some() { 0 } else { self.message.raw().len() };
        out.reserve(room + headers.len() + 256);
        out.extend_from_slice(br#"{"seq":"#);
        push(&self.seq, out);
        let mut line = LineMembers(out);
        if session == SessionField::Named {
            line.json("session", &self.session);
        }
        line.json("at", &self.at);
        line.word("dir", self.direction.word());
        line.word("via", self.transport.via.word());
        line.word("kind", self.kind().word());
        line.maybe("method", self.method());
        line.maybe("name", self.name());
        if let Some(id) = self.message.id() {
            line.token("id", id.token());
        }
        line.maybe("re", self.reply_to.as_ref().map(|to| to.seq));
        line.maybe("dt", self.reply_to.as_ref().map(|to| to.took));
        line.maybe("of", self.part_of);
        line.maybe("status", self.transport.status);
        if !headers.is_empty() {
            line.raw("headers", headers);
        }
        line.maybe("sse", self.transport.sse.as_deref());
        if self.outcome != Outcome::Forwarded {
            line.json("verdict", &self.outcome);
        }
        line.maybe("rules", self.rules.as_deref());
        line.maybe("held", self.held);
        line.maybe("flaw", self.message.head().flaw.as_deref());
        line.maybe("original", self.original.as_ref());
        match (self.message.form(), bodies) {
            (Form::Json(_), Some(bodies)) => {
                line.raw("msg", b"");
                bodies.push((line.0.len(), self.message.raw().clone()));
            }
            (Form::Json(json), None) => line.raw("msg", json),
            (Form::Text(text), _) => line.json("text", text),
            (Form::Base64(b64), _) => line.word("b64", &b64),
        }
        out.push(b'}');
    }
}

/// The members of an object after the first one.
struct LineMembers<'a>(&'a mut Vec<u8>);

impl LineMembers<'_> {
    fn raw(&mut self, key: &str, json: &[u8]) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(json);
    }

    fn json(&mut self, key: &str, value: &(impl Serialize + ?Sized)) {
        self.raw(key, b"");
        push(value, self.0);
    }

    fn maybe(&mut self, key: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.json(key, &value);
        }
    }

    /// A string that needs no escapes.
    fn word(&mut self, key: &str, word: &str) {
        self.raw(key, b"\"");
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(b'"');
    }

    /// A piece of a message; an odd one has line ends in it, and a line has none.
    fn token(&mut self, key: &str, token: &str) {
        match memchr::memchr2(b'\n', b'\r', token.as_bytes()) {
            None => self.raw(key, token.as_bytes()),
            Some(_) => self.json(key, token),
        }
    }
}

fn push(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a vector takes everything, and all keys are strings");
}

impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = Vec::new();
        self.write_json(SessionField::Named, &mut line);
        let line = String::from_utf8(line).map_err(serde::ser::Error::custom)?;
        RawValue::from_string(line).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}
