//! A tape that is put together from a recording of another program.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::envelope::{Direction, Envelope, ReplyTo, Seq, SessionId, Via};
use crate::event::{Origin, Peer, Session, SessionState, Timestamp};
use crate::mcp::method;
use crate::message::{Kind, Message};
use crate::secret::Label;
use crate::tape::format::{Mark, TapeHeader};

/// A recording of another program, as a tape.
#[derive(Debug)]
pub struct ImportedTape {
    /// The text of the tape.
    pub text: Vec<u8>,
    pub messages: usize,
    /// What it was.
    pub format: &'static str,
    /// What could not be taken over.
    pub left: Vec<String>,
}

/// A tape that is being put together.
pub(super) struct ImportBuilder {
    envelopes: Vec<Envelope>,
    /// What stands beside the messages, and before which of them.
    marks: Vec<(usize, Mark)>,
    session: Session,
    /// Requests that wait for a reply, by the connection, where the recording knows of several, direction and id.
    open: HashMap<(String, bool, String), usize>,
    /// The sessions, by what the recording calls them; the first is that of the header.
    sessions: HashMap<String, SessionId>,
    pub(super) left: Vec<String>,
}

/// A message as a recording has it.
#[derive(Default)]
pub(super) struct ImportedMessage<'a> {
    /// Microseconds from the start.
    pub(super) at: u64,
    pub(super) status: Option<u16>,
    /// Clients count their requests each for itself: the client's connection, where it is known.
    pub(super) connection: &'a str,
    /// What the recording calls the session, where it knows of several.
    pub(super) session: &'a str,
    pub(super) headers: Option<HeaderMap>,
}

impl ImportBuilder {
    pub(super) fn new(upstream: &str, via: Via, started: Timestamp) -> Self {
        let session = Session {
            id: SessionId::random(),
            upstream_name: None,
            upstream: Label::of_text(upstream).to_string().into(),
            via,
            started,
            state: SessionState::Closed { reason: "imported".to_owned() },
            origin: Origin::Client,
            client: None,
            server: None,
            protocol: None,
            tape: None,
        };
        let (envelopes, marks, open, sessions, left) = Default::default();
        Self { envelopes, marks, session, open, sessions, left }
    }

    /// How many messages there are so far.
    pub(super) fn count(&self) -> usize {
        self.envelopes.len()
    }

    /// Names what was in front, where that is said later than the first message.
    pub(super) fn set_upstream(&mut self, upstream: &str) {
        self.session.upstream = Label::of_text(upstream).to_string().into();
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.push((self.envelopes.len(), mark));
    }

    pub(super) fn push(&mut self, direction: Direction, via: Via, at: u64, status: Option<u16>, raw: impl Into<Bytes>) {
        self.push_with(direction, via, raw, ImportedMessage { at, status, ..ImportedMessage::default() });
    }

    pub(super) fn push_with(
        &mut self,
        direction: Direction,
        via: Via,
        raw: impl Into<Bytes>,
        facts: ImportedMessage<'_>,
    ) {
        let ImportedMessage { at, status, connection, session, headers } = facts;
        let message = Message::new(raw);
        if message.kind() == Kind::Opaque {
            self.left.push(format!("message {}: not JSON-RPC, taken over as it is", self.envelopes.len() + 1));
        }
        let seq = Seq(self.envelopes.len() as u64 + 1);
        let mut envelope =
            Envelope { at, ..Envelope::forwarded(seq, self.session_of(session), direction, via, message) };
        envelope.transport.status = status;
        envelope.transport.headers = headers.map(Arc::new);
        envelope.reply_to = self.correlate(&envelope, &format!("{session} {connection}"));
        self.learn(&envelope);
        self.envelopes.push(envelope);
    }

    /// The session that the recording calls so.
    fn session_of(&mut self, name: &str) -> SessionId {
        let first = self.session.id;
        let is_first = self.sessions.is_empty();
        let new = || if is_first { first } else { SessionId::random() };
        *self.sessions.entry(name.to_owned()).or_insert_with(new)
    }

    /// The client ended that session.
    pub(super) fn end(&mut self, name: &str, at: u64) {
        let session = self.session_of(name);
        let session = Some(session).filter(|session| *session != self.session.id);
        self.mark(Mark::End { at, reason: "the client ended it".to_owned(), session });
    }

    /// Remembers a request, or finds the one that a reply answers.
    fn correlate(&mut self, envelope: &Envelope, connection: &str) -> Option<ReplyTo> {
        let id = envelope.message.id().map(|id| id.token().to_owned()).unwrap_or_default();
        let key = |direction: Direction| (connection.to_owned(), direction == Direction::ToServer, id);
        match envelope.kind() {
            Kind::Request => {
                self.open.insert(key(envelope.direction), self.envelopes.len());
                None
            }
            Kind::Result | Kind::Error => {
                let request = &self.envelopes[self.open.remove(&key(envelope.direction.reverse()))?];
                let subject = request.message.head().subject.clone()?;
                Some(ReplyTo { seq: request.seq, took: envelope.at.saturating_sub(request.at), subject })
            }
            Kind::Notification | Kind::Batch | Kind::Opaque => None,
        }
    }

    /// What a handshake says of both sides.
    fn learn(&mut self, envelope: &Envelope) {
        if envelope.method() != Some(method::INITIALIZE) || envelope.session != self.session.id {
            return;
        }
        let Some(value) = envelope.message.value() else { return };
        let peer = |value: &Value| serde_json::from_value::<Peer>(value.clone()).ok().map(Arc::new);
        match envelope.direction {
            Direction::ToServer => self.session.client = peer(&value["params"]["clientInfo"]),
            Direction::ToClient => {
                self.session.server = peer(&value["result"]["serverInfo"]);
                self.session.protocol = value["result"]["protocolVersion"].as_str().map(str::to_owned);
            }
        }
    }

    pub(super) fn finish(self, format: &'static str) -> ImportedTape {
        let imported = Some(format.to_owned());
        let header = TapeHeader { redaction: Vec::new(), imported, ..TapeHeader::of(&self.session) };
        let mut text = serde_json::to_vec(&header).expect("all keys are strings");
        text.push(b'\n');
        let line = |mark: &Mark, text: &mut Vec<u8>| {
            serde_json::to_writer(&mut *text, mark).expect("a vector takes everything");
            text.push(b'\n');
        };
        let mut marks = self.marks.iter().peekable();
        for (place, envelope) in self.envelopes.iter().enumerate() {
            while let Some((_, mark)) = marks.next_if(|(before, _)| *before <= place) {
                line(mark, &mut text);
            }
            envelope.write_json(header.session_field(envelope.session), &mut text);
            text.push(b'\n');
        }
        marks.for_each(|(_, mark)| line(mark, &mut text));
        let at = self.envelopes.last().map_or(0, |it| it.at);
        let end = Mark::End { at, reason: format!("imported from {format}"), session: None };
        line(&end, &mut text);
        ImportedTape { text, messages: self.envelopes.len(), format, left: self.left }
    }
}

/// Microseconds since the Unix epoch of a written time.
pub(super) fn moment(written: &Value) -> Option<u64> {
    let at: jiff::Timestamp = written.as_str()?.parse().ok()?;
    u64::try_from(at.as_microsecond()).ok()
}
