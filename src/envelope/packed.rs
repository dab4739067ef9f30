//! Envelopes laid away: many in few bytes, for code that remembers thousands of them and looks at few.
//!
//! The messages of a session are much alike, and an envelope is mostly the room around its message (640 of 850 bytes): a few
//! hundred of them, one after the other and compressed, are a twentieth of what they were. Bodies that are large stay beside them as
//! they are: compressing them would cost more than the message did on its way, and they are counted in bytes anyway.
//!
//! The bodies stand together, before all the rest: who looks for something in them makes no envelopes of what has it not.
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
/// Values looked back on, when it is asked whether one came before: a request and a reply of each of thirty sessions that take turns.
const KNOWN: usize = 64;

/// Packs envelopes, again and again.
#[derive(Default)]
pub(crate) struct Packer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    bodies: Vec<u8>,
    lengths: Vec<u8>,
    rest: Vec<u8>,
}

/// Unpacks what a [`Packer`] packed, again and again.
#[derive(Default)]
pub(crate) struct Unpacker(Option<zstd::bulk::Decompressor<'static>>);

/// Envelopes in the order in which they were given.
pub(crate) struct PackedEnvelopes {
    content: PackedContent,
    /// Bytes before they were compressed.
    length: usize,
    count: usize,
    /// Where the lengths of the bodies begin, and where what is behind those: all the rest.
    lengths_at: usize,
    rest_at: usize,
    /// With what was read of them: to read the head of a large one for each look at it would cost more than all the rest.
    large: Box<[Message]>,
    /// Those that were edited, as they came.
    large_originals: Box<[Message]>,
}

/// Envelopes as they are packed, no longer compressed: their messages can be had one by one.
pub(crate) struct PlainEnvelopes {
    packed: Arc<PackedEnvelopes>,
    plain: Bytes,
    bodies: Vec<BodyPlace>,
}

/// Where the body of an envelope is.
#[derive(Clone, Copy)]
struct BodyPlace {
    /// Where it ends in what is plain, or its number among the large ones.
    end: usize,
    length: usize,
    stood_in_batch: bool,
}

enum PackedContent {
    Compressed(Box<[u8]>),
    /// It does not get smaller.
    Plain(Bytes),
}

impl Packer {
    pub(crate) fn pack(&mut self, envelopes: &[Arc<Envelope>]) -> Arc<PackedEnvelopes> {
        let mut writing = PackedWriter {
            out: std::mem::take(&mut self.rest),
            bodies: std::mem::take(&mut self.bodies),
            lengths: std::mem::take(&mut self.lengths),
            ..PackedWriter::default()
        };
        envelopes.iter().for_each(|envelope| writing.envelope(envelope));
        let PackedWriter { mut out, mut bodies, mut lengths, large, large_originals, .. } = writing;
        let lengths_at = bodies.len();
        bodies.append(&mut lengths);
        let rest_at = bodies.len();
        bodies.append(&mut out);
        let packed = Arc::new(PackedEnvelopes {
            content: self.compressed(&bodies),
            length: bodies.len(),
            count: envelopes.len(),
            lengths_at,
            rest_at,
            large: large.into(),
            large_originals: large_originals.into(),
        });
        bodies.clear();
        (self.rest, self.bodies, self.lengths) = (out, bodies, lengths);
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
        let large = self.large.iter().chain(&self.large_originals);
        content + large.map(|it| size_of::<Message>() + it.raw().len()).sum::<usize>() + size_of::<Self>()
    }
}

impl Unpacker {
    pub(crate) fn plain(&mut self, packed: &Arc<PackedEnvelopes>) -> PlainEnvelopes {
        let plain = match &packed.content {
            PackedContent::Plain(bytes) => bytes.clone(),
            PackedContent::Compressed(bytes) => self.decompressed(bytes, packed.length),
        };
        let mut lengths = PackedReader { plain: plain.clone(), at: packed.lengths_at, ..PackedReader::default() };
        let (mut end, mut large) = (0, 0);
        let bodies = (0..packed.count).map(|_| {
            let (length, stood_in_batch) = lengths.body_length();
            let at = if length > LARGE { &mut large } else { &mut end };
            *at += if length > LARGE { 1 } else { length };
            BodyPlace { end: *at, length, stood_in_batch }
        });
        PlainEnvelopes { bodies: bodies.collect(), packed: packed.clone(), plain }
    }

    fn decompressed(&mut self, bytes: &[u8], length: usize) -> Bytes {
        if self.0.is_none() {
            self.0 = zstd::bulk::Decompressor::new().ok();
        }
        let plain = self.0.as_mut().and_then(|decompressor| decompressor.decompress(bytes, length).ok());
        plain.expect("it was compressed in this process").into()
    }

    /// Returns all envelopes of this part, as they were before they were packed.
    pub(crate) fn unpack(&mut self, packed: &Arc<PackedEnvelopes>) -> Vec<Arc<Envelope>> {
        self.plain(packed).envelopes()
    }
}

impl PlainEnvelopes {
    /// Whether it is of these.
    pub(crate) fn is_of(&self, packed: &Arc<PackedEnvelopes>) -> bool {
        Arc::ptr_eq(&self.packed, packed)
    }

    /// Whether it is so of one of the texts in which all stands that they say: messages, methods, names.
    pub(crate) fn any_text(&self, mut is_it: impl FnMut(&[u8]) -> bool) -> bool {
        is_it(&self.plain) || self.packed.large.iter().any(|message| is_it(message.raw()))
    }

    /// The message of one of them, by its place.
    pub(crate) fn message(&self, place: usize) -> Message {
        let BodyPlace { end, length, stood_in_batch } = self.bodies[place];
        if length > LARGE {
            return self.packed.large[end - 1].clone();
        }
        let raw = self.plain.slice(end - length..end);
        if stood_in_batch { Message::of_batch(raw) } else { Message::new(raw) }
    }

    pub(crate) fn envelopes(&self) -> Vec<Arc<Envelope>> {
        let packed = &*self.packed;
        let mut reading = PackedReader {
            plain: self.plain.clone(),
            at: packed.rest_at,
            large_originals: &packed.large_originals,
            ..PackedReader::default()
        };
        (0..packed.count).map(|place| Arc::new(reading.envelope(self.message(place)))).collect()
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
    pub(super) const RULES: u64 = 1 << 11;
}

#[derive(Default)]
struct PackedWriter {
    out: Vec<u8>,
    bodies: Vec<u8>,
    /// Of the bodies, doubled: the lowest bit says whether it stood in a batch, and would be one itself.
    lengths: Vec<u8>,
    large: Vec<Message>,
    large_originals: Vec<Message>,
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
            (it.rules.is_some(), has::RULES),
        ];
        self.number(bits.into_iter().filter(|(has, _)| *has).map(|(_, bit)| bit).sum());
        self.number(it.seq.0.wrapping_sub(self.last));
        self.last = it.seq.0;
        self.session(it.session);
        self.number(it.at);
        self.transport(&it.transport);
        self.body(&it.message);
        it.original.iter().for_each(|original| self.original(original));
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

    fn number(&mut self, number: u64) {
        push_number(number, &mut self.out);
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

    fn body(&mut self, message: &Message) {
        let raw = message.raw();
        push_number((raw.len() as u64) << 1 | u64::from(message.is_batch_in_batch()), &mut self.lengths);
        if raw.len() > LARGE {
            self.large.push(message.clone());
        } else {
            self.bodies.extend_from_slice(raw);
        }
    }

    fn original(&mut self, message: &Message) {
        let raw = message.raw();
        self.number(raw.len() as u64);
        if raw.len() > LARGE {
            self.large_originals.push(message.clone());
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
            Outcome::Answered(author) => (7, Some(author)),
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

/// Seven bits a byte, the lowest first.
fn push_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[derive(Default)]
struct PackedReader<'a> {
    plain: Bytes,
    at: usize,
    large_originals: &'a [Message],
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
    fn envelope(&mut self, message: Message) -> Envelope {
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
            message,
            original: has(has::ORIGINAL).then(|| self.original()),
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

    /// How long the next body is, and whether it stood in a batch.
    fn body_length(&mut self) -> (usize, bool) {
        let number = self.number();
        (usize::try_from(number >> 1).expect("it was in memory"), number & 1 == 1)
    }

    fn original(&mut self) -> Message {
        let length = self.length();
        if length <= LARGE {
            return Message::new(self.slice(length));
        }
        let (first, rest) = self.large_originals.split_first().expect("as many as there were");
        self.large_originals = rest;
        first.clone()
    }

    fn outcome(&mut self) -> Outcome {
        match self.number() {
            1 => Outcome::Edited(self.author()),
            2 => Outcome::Blocked(self.author()),
            3 => Outcome::Dropped(self.author()),
            4 => Outcome::Injected(self.author()),
            5 => Outcome::Withheld,
            7 => Outcome::Answered(self.author()),
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
            Outcome::Answered(Author::Operator),
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
            let (before, after) = (format!("{envelopes:#?}"), format!("{:#?}", Unpacker::default().unpack(&packed)));
            assert_eq!(after, before);
            let kinds = |all: &[Arc<Envelope>]| all.iter().map(|it| it.kind()).collect::<Vec<_>>();
            assert_eq!(kinds(&Unpacker::default().unpack(&packed)), kinds(envelopes));
        }
        let unpacked = Unpacker::default().unpack(&packer.pack(&all));
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
