//! Envelopes laid away: many in few bytes, for code that remembers thousands of them and looks at few.
//!
//! The messages of a session are much alike, and an envelope is mostly the room around its message (640 of 850 bytes): a few
//! hundred of them, one after the other and compressed, are a twentieth of what they were. Bodies that are large stay beside them as
//! they are: compressing them would cost more than the message did on its way, and they are counted in bytes anyway.
//!
//! This is no file format: what packs is what unpacks, in one process.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::{Author, Direction, Envelope, Outcome, ReplyTo, Seq, SessionId, SseFields, Transport, Via};
use crate::message::{Message, Subject};

/// Bodies above this size are not compressed: those below have bytes of their own (`Message::cut_from`).
const LARGE: usize = 4 << 10;
/// The fastest that finds what repeats.
const LEVEL: i32 = -1;
/// Values looked back on, when it is asked whether one came before.
const KNOWN: usize = 8;

/// Packs envelopes, again and again.
#[derive(Default)]
pub(crate) struct Packer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    plain: Vec<u8>,
}

/// Envelopes in the order in which they were given.
pub(crate) struct PackedEnvelopes {
    content: PackedContent,
    /// Bytes before they were compressed.
    length: usize,
    count: usize,
    /// With what was read of them: to read the head of a large one for each look at it would cost more than all the rest.
    large: Box<[Message]>,
}

enum PackedContent {
    Compressed(Box<[u8]>),
    /// It does not get smaller.
    Plain(Bytes),
}

impl Packer {
    pub(crate) fn pack(&mut self, envelopes: &[Arc<Envelope>]) -> PackedEnvelopes {
        let mut writing = PackedWriter { out: std::mem::take(&mut self.plain), ..PackedWriter::default() };
        writing.out.clear();
        envelopes.iter().for_each(|envelope| writing.envelope(envelope));
        let PackedWriter { out, large, .. } = writing;
        let packed = PackedEnvelopes {
            content: self.compressed(&out),
            length: out.len(),
            count: envelopes.len(),
            large: large.into(),
        };
        self.plain = out;
        packed
    }

    fn compressed(&mut self, plain: &[u8]) -> PackedContent {
        if self.compressor.is_none() {
            self.compressor = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        let compressed = self.compressor.as_mut().and_then(|compressor| compressor.compress(plain).ok());
        match compressed.filter(|compressed| compressed.len() < plain.len()) {
            Some(compressed) => PackedContent::Compressed(compressed.into()),
            None => PackedContent::Plain(Bytes::copy_from_slice(plain)),
        }
    }
}

impl PackedEnvelopes {
    /// Bytes that they keep in memory.
    pub(crate) fn size(&self) -> usize {
        let content = match &self.content {
            PackedContent::Compressed(bytes) => bytes.len(),
            PackedContent::Plain(bytes) => bytes.len(),
        };
        content + self.large.iter().map(|it| size_of::<Message>() + it.raw().len()).sum::<usize>() + size_of::<Self>()
    }

    /// Whether it is so of one of the texts in which all stands that they say: messages, methods, names.
    pub(crate) fn any_text(&self, mut is_it: impl FnMut(&[u8]) -> bool) -> bool {
        is_it(&self.plain()) || self.large.iter().any(|message| is_it(message.raw()))
    }

    fn plain(&self) -> Bytes {
        match &self.content {
            PackedContent::Plain(bytes) => bytes.clone(),
            PackedContent::Compressed(bytes) => {
                zstd::bulk::decompress(bytes, self.length).expect("it was compressed in this process").into()
            }
        }
    }

    /// Returns all envelopes of this part, as they were before they were packed.
    pub(crate) fn unpack(&self) -> Vec<Arc<Envelope>> {
        let mut reading = PackedReader { plain: self.plain(), at: 0, large: &self.large, ..PackedReader::default() };
        (0..self.count).map(|_| Arc::new(reading.envelope())).collect()
    }
}

/// What an envelope has beside what all have, a bit each.
mod has {
    pub(super) const TO_CLIENT: u64 = 1;
    pub(super) const STATUS: u64 = 1 << 1;
    pub(super) const HEADERS: u64 = 1 << 2;
    pub(super) const SSE: u64 = 1 << 3;
    pub(super) const ORIGINAL: u64 = 1 << 4;
    pub(super) const HELD: u64 = 1 << 5;
    pub(super) const REPLY_TO: u64 = 1 << 6;
    pub(super) const PART_OF: u64 = 1 << 7;
    pub(super) const OUTCOME: u64 = 1 << 8;
    pub(super) const HTTP: u64 = 1 << 9;
    pub(super) const STDIO: u64 = 1 << 10;
    pub(super) const STOOD_IN_BATCH: u64 = 1 << 11;
    pub(super) const RULES: u64 = 1 << 12;
}

#[derive(Default)]
struct PackedWriter {
    out: Vec<u8>,
    large: Vec<Message>,
    last: u64,
    sessions: Vec<SessionId>,
    headers: Vec<Arc<HeaderMap>>,
    subjects: Vec<Arc<Subject>>,
}

impl PackedWriter {
    fn envelope(&mut self, it: &Envelope) {
        let bits = [
            (it.direction == Direction::ToClient, has::TO_CLIENT),
            (it.transport.status.is_some(), has::STATUS),
            (it.transport.headers.is_some(), has::HEADERS),
            (it.transport.sse.is_some(), has::SSE),
            (it.original.is_some(), has::ORIGINAL),
            (it.held.is_some(), has::HELD),
            (it.reply_to.is_some(), has::REPLY_TO),
            (it.part_of.is_some(), has::PART_OF),
            (it.outcome != Outcome::Forwarded, has::OUTCOME),
            (it.transport.via == Via::Http, has::HTTP),
            (it.transport.via == Via::Stdio, has::STDIO),
            (it.message.is_batch_in_batch(), has::STOOD_IN_BATCH),
            (it.rules.is_some(), has::RULES),
        ];
        self.number(bits.into_iter().filter(|(has, _)| *has).map(|(_, bit)| bit).sum());
        self.number(it.seq.0.wrapping_sub(self.last));
        self.last = it.seq.0;
        self.session(it.session);
        self.number(it.at);
        self.transport(&it.transport);
        self.message(&it.message);
        it.original.iter().for_each(|original| self.message(original));
        if it.outcome != Outcome::Forwarded {
            self.outcome(&it.outcome);
        }
        it.held.iter().for_each(|held| self.number(*held));
        if let Some(ReplyTo { seq, took, subject }) = &it.reply_to {
            self.number(it.seq.0.wrapping_sub(seq.0));
            self.number(*took);
            self.subject(subject);
        }
        it.part_of.iter().for_each(|seq| self.number(seq.0));
        if let Some(rules) = &it.rules {
            self.number(rules.len() as u64);
            rules.iter().for_each(|rule| self.bytes(rule.as_bytes()));
        }
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.out.push(number.to_le_bytes()[0]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn maybe(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        text.into_iter().for_each(|text| self.bytes(text.as_bytes()));
    }

    /// How far back one of the latest of its kind is; 0: it is new, and follows.
    fn back<T>(&mut self, known: &[T], is_it: impl Fn(&T) -> bool) -> bool {
        let back = known.iter().rev().take(KNOWN).position(is_it);
        self.number(back.map_or(0, |back| back as u64 + 1));
        back.is_none()
    }

    fn session(&mut self, session: SessionId) {
        let known = std::mem::take(&mut self.sessions);
        let is_new = self.back(&known, |it| *it == session);
        self.sessions = known;
        if is_new {
            self.out.extend_from_slice(session.0.as_bytes());
            self.sessions.push(session);
        }
    }

    fn transport(&mut self, transport: &Transport) {
        transport.status.iter().for_each(|status| self.number(u64::from(*status)));
        if let Some(headers) = &transport.headers {
            let known = std::mem::take(&mut self.headers);
            let is_new = self.back(&known, |it| Arc::ptr_eq(it, headers));
            self.headers = known;
            if is_new {
                self.number(headers.len() as u64);
                for (name, value) in &**headers {
                    self.bytes(name.as_str().as_bytes());
                    self.number(u64::from(value.is_sensitive()));
                    self.bytes(value.as_bytes());
                }
                self.headers.push(headers.clone());
            }
        }
        if let Some(SseFields { id, event, retry }) = transport.sse.as_deref() {
            [id, event, retry].into_iter().for_each(|field| self.maybe(field.as_deref()));
        }
    }

    fn message(&mut self, message: &Message) {
        let raw = message.raw();
        self.number(raw.len() as u64);
        if raw.len() > LARGE {
            self.large.push(message.clone());
        } else {
            self.out.extend_from_slice(raw);
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let (number, author) = match outcome {
            Outcome::Forwarded => (0, None),
            Outcome::Edited(author) => (1, Some(author)),
            Outcome::Blocked(author) => (2, Some(author)),
            Outcome::Dropped(author) => (3, Some(author)),
            Outcome::Injected(author) => (4, Some(author)),
            Outcome::Withheld => (5, None),
            Outcome::Abandoned => (6, None),
        };
        self.number(number);
        match author {
            None => {}
            Some(Author::Operator) => self.number(0),
            Some(Author::Tapline) => self.number(1),
            Some(Author::Rule(rule)) => {
                self.number(2);
                self.bytes(rule.as_bytes());
            }
        }
    }

    fn subject(&mut self, subject: &Arc<Subject>) {
        let known = std::mem::take(&mut self.subjects);
        let is_new = self.back(&known, |it| it == subject);
        self.subjects = known;
        if is_new {
            self.bytes(subject.method.as_bytes());
            self.maybe(subject.name.as_deref());
            self.subjects.push(subject.clone());
        }
    }
}

#[derive(Default)]
struct PackedReader<'a> {
    plain: Bytes,
    at: usize,
    large: &'a [Message],
    last: u64,
    sessions: Vec<SessionId>,
    headers: Vec<Arc<HeaderMap>>,
    subjects: Vec<Arc<Subject>>,
}

/// Returns the value that stands so many places before the end of those seen; `None` where that is 0 or too far.
fn look_back<T: Clone>(known: &[T], back: u64) -> Option<T> {
    let back = usize::try_from(back).ok().filter(|back| *back > 0)?;
    known.len().checked_sub(back).map(|at| known[at].clone())
}

impl PackedReader<'_> {
    fn envelope(&mut self) -> Envelope {
        let bits = self.number();
        let has = |bit: u64| bits & bit != 0;
        self.last = self.last.wrapping_add(self.number());
        let seq = self.last;
        Envelope {
            seq: Seq(seq),
            session: self.session(),
            at: self.number(),
            direction: if has(has::TO_CLIENT) { Direction::ToClient } else { Direction::ToServer },
            transport: self.transport(bits),
            message: self.message(if has(has::STOOD_IN_BATCH) { Message::of_batch } else { Message::new }),
            original: has(has::ORIGINAL).then(|| self.message(Message::new)),
            outcome: if has(has::OUTCOME) { self.outcome() } else { Outcome::Forwarded },
            held: has(has::HELD).then(|| self.number()),
            reply_to: has(has::REPLY_TO).then(|| ReplyTo {
                seq: Seq(seq.wrapping_sub(self.number())),
                took: self.number(),
                subject: self.subject(),
            }),
            part_of: has(has::PART_OF).then(|| Seq(self.number())),
            rules: has(has::RULES).then(|| (0..self.length()).map(|_| Arc::from(&*self.text())).collect()),
        }
    }

    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.plain[self.at];
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    fn length(&mut self) -> usize {
        usize::try_from(self.number()).expect("it was in memory")
    }

    fn slice(&mut self, length: usize) -> Bytes {
        let slice = self.plain.slice(self.at..self.at + length);
        self.at += length;
        slice
    }

    fn bytes(&mut self) -> Bytes {
        let length = self.length();
        self.slice(length)
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn maybe(&mut self) -> Option<String> {
        (self.number() != 0).then(|| self.text())
    }

    fn session(&mut self) -> SessionId {
        let back = self.number();
        look_back(&self.sessions, back).unwrap_or_else(|| {
            let bytes = self.slice(size_of::<Uuid>());
            let session = SessionId(Uuid::from_slice(&bytes).expect("as many bytes as it has"));
            self.sessions.push(session);
            session
        })
    }

    fn transport(&mut self, bits: u64) -> Transport {
        let has = |bit: u64| bits & bit != 0;
        let via = match (has(has::HTTP), has(has::STDIO)) {
            (true, _) => Via::Http,
            (_, true) => Via::Stdio,
            _ => Via::Sse,
        };
        Transport {
            via,
            status: has(has::STATUS).then(|| u16::try_from(self.number()).expect("it was one")),
            headers: has(has::HEADERS).then(|| self.headers()),
            sse: has(has::SSE)
                .then(|| Box::new(SseFields { id: self.maybe(), event: self.maybe(), retry: self.maybe() })),
        }
    }

    fn headers(&mut self) -> Arc<HeaderMap> {
        let back = self.number();
        look_back(&self.headers, back).unwrap_or_else(|| {
            let mut headers = HeaderMap::new();
            for _ in 0..self.number() {
                let name = HeaderName::from_bytes(&self.bytes());
                let is_sensitive = self.number() != 0;
                let value = HeaderValue::from_maybe_shared(self.bytes());
                if let (Ok(name), Ok(mut value)) = (name, value) {
                    value.set_sensitive(is_sensitive);
                    headers.append(name, value);
                }
            }
            let headers = Arc::new(headers);
            self.headers.push(headers.clone());
            headers
        })
    }

    /// `read` makes it of its bytes, where it was not kept as it is.
    fn message(&mut self, read: impl FnOnce(Bytes) -> Message) -> Message {
        let length = self.length();
        if length <= LARGE {
            return read(self.slice(length));
        }
        let (first, rest) = self.large.split_first().expect("as many as there were");
        self.large = rest;
        first.clone()
    }

    fn outcome(&mut self) -> Outcome {
        match self.number() {
            1 => Outcome::Edited(self.author()),
            2 => Outcome::Blocked(self.author()),
            3 => Outcome::Dropped(self.author()),
            4 => Outcome::Injected(self.author()),
            5 => Outcome::Withheld,
            _ => Outcome::Abandoned,
        }
    }

    fn author(&mut self) -> Author {
        match self.number() {
            0 => Author::Operator,
            1 => Author::Tapline,
            _ => Author::Rule(self.text()),
        }
    }

    fn subject(&mut self) -> Arc<Subject> {
        let back = self.number();
        look_back(&self.subjects, back).unwrap_or_else(|| {
            let method = self.text().into();
            let subject = Arc::new(Subject { method, name: self.maybe().map(Into::into) });
            self.subjects.push(subject.clone());
            subject
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(seq: u64, session: u128, body: &str) -> Envelope {
        let session = SessionId(Uuid::from_u128(session));
        let message = Message::new(body.to_owned());
        let mut envelope = Envelope::forwarded(Seq(seq), session, Direction::ToServer, Via::Http, message);
        envelope.at = seq.wrapping_mul(1000);
        envelope
    }

    fn headers(secret: bool) -> Arc<HeaderMap> {
        let mut headers = HeaderMap::new();
        let mut key = HeaderValue::from_bytes(b"caf\xe9").expect("it may stand in a header");
        key.set_sensitive(secret);
        headers.append("x-key", key);
        headers.append("accept", HeaderValue::from_static("a"));
        headers.append("accept", HeaderValue::from_static("b"));
        Arc::new(headers)
    }

    /// One of everything that an envelope may have.
    fn varied() -> Vec<Envelope> {
        let shared = headers(false);
        let subject =
            |name: Option<&str>| Arc::new(Subject { method: "tools/call".into(), name: name.map(Into::into) });
        let reply_to = |seq, name: Option<&str>| Some(ReplyTo { seq: Seq(seq), took: 1 << 40, subject: subject(name) });
        let plain = |seq| envelope(seq, 1, r#"{"id":1,"method":"ping"}"#);
        let transport = |via, status, headers| Transport { via, status, headers, sse: None };
        let fields = SseFields { id: Some(String::new()), event: None, retry: Some("9\u{e9}".to_owned()) };
        let outcomes = [
            Outcome::Edited(Author::Operator),
            Outcome::Blocked(Author::Rule("r\u{fc}le".to_owned())),
            Outcome::Dropped(Author::Tapline),
            Outcome::Injected(Author::Operator),
            Outcome::Withheld,
            Outcome::Abandoned,
        ];
        let mut all = vec![
            plain(7),
            Envelope { transport: transport(Via::Http, Some(404), Some(shared.clone())), ..plain(8) },
            Envelope { transport: transport(Via::Sse, None, Some(shared)), direction: Direction::ToClient, ..plain(9) },
            Envelope { transport: transport(Via::Stdio, None, Some(headers(true))), ..envelope(6, 2, "\u{0}not json") },
            Envelope {
                transport: Transport { sse: Some(fields.into()), ..Transport::new(Via::Sse) },
                ..plain(u64::MAX)
            },
            Envelope {
                reply_to: reply_to(7, None),
                held: Some(0),
                part_of: Some(Seq(7)),
                rules: Some(["a".into(), "b".into()].into()),
                ..plain(20)
            },
            Envelope { reply_to: reply_to(30, Some("a")), original: Some(Message::new("")), ..plain(21) },
            Envelope {
                message: Message::new(vec![b'x'; LARGE + 1]),
                original: Some(Message::new(vec![0xff; LARGE])),
                ..plain(22)
            },
            Envelope { original: Some(Message::new(vec![b'y'; 3 * LARGE])), ..plain(23) },
        ];
        all.extend(outcomes.into_iter().zip(40..).map(|(outcome, seq)| Envelope { outcome, ..plain(seq) }));
        let batches = Message::new("[[1],{}]").elements();
        all.extend(batches.into_iter().zip(46..).map(|(message, seq)| Envelope { message, ..plain(seq) }));
        // More of each kind than are looked back on.
        all.extend((50..70).map(|seq| {
            let mut other = envelope(seq, u128::from(seq % 12), r#"{"id":1,"result":{}}"#);
            other.transport.headers = Some(headers(seq % 2 == 0));
            other.reply_to = reply_to(1, Some(&format!("tool {}", seq % 11)));
            other
        }));
        all
    }

    #[test]
    fn packed_envelopes_come_back_as_they_were() {
        let mut packer = Packer::default();
        let all: Vec<_> = varied().into_iter().map(Arc::new).collect();
        for envelopes in [&all[..], &all[3..5], &[]] {
            let packed = packer.pack(envelopes);
            let (before, after) = (format!("{envelopes:#?}"), format!("{:#?}", packed.unpack()));
            assert_eq!(after, before);
            let kinds = |all: &[Arc<Envelope>]| all.iter().map(|it| it.kind()).collect::<Vec<_>>();
            assert_eq!(kinds(&packed.unpack()), kinds(envelopes));
        }
        let unpacked = packer.pack(&all).unpack();
        let headers_of = |at: usize| unpacked[at].transport.headers.as_ref().expect("it has some");
        assert!(Arc::ptr_eq(headers_of(1), headers_of(2)), "what was shared is shared");
    }

    #[test]
    fn packed_envelopes_of_like_messages_are_a_fraction() {
        let call = |seq: u64| {
            let text = "x".repeat(100);
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{seq},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
            );
            Arc::new(envelope(seq, 1, &body))
        };
        let calls: Vec<_> = (0..256).map(call).collect();
        let size = Packer::default().pack(&calls).size();
        assert!(size < 256 * 40, "{size} bytes for 256 messages");
    }
}
