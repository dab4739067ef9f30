//! A real server behind a mock: it is asked what is on no tape, and a tape may be extended by what it says.
//!
//! It is reached through an [`Upstream`] of its own, opened with the first request that needs it. A client that began by `initialize` has
//! begun with the tape; the real server is told the same beginning before it is asked anything.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, SelectAll, StreamExt as _};
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::key::RequestKey;
use crate::envelope::{Direction, Envelope, ReplyTo, Seq, SessionField, SessionId, Via};
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::tape::care::{Packing, packing_of};
use crate::tape::format::{Mark, TapeError};
use crate::tape::play::wire::{ExchangeEvent, NegotiatedHeaders, exchange, outgoing};
use crate::tape::read::{TapeEntry, TapeReader};
use crate::tape::redact::{RedactRules, Redactor, line_without_secrets};
use crate::tape::tokens::Tokens;
use crate::upstream::{Upstream, UpstreamError};

/// Opens a session with the real server.
pub type OpenUpstream = Box<dyn Fn() -> Result<Arc<dyn Upstream>, UpstreamError> + Send + Sync>;

/// The real server behind a mock.
pub struct MockFallback {
    open: OpenUpstream,
    /// The tape that is extended by what it says.
    extension: Option<Mutex<TapeExtension>>,
    /// What it has answered so far.
    learned: Mutex<HashMap<RequestKey, Message>>,
}

impl MockFallback {
    /// A real server that is asked in place of the tapes; `extended`: the tape that gets what it says.
    ///
    /// # Errors
    /// Where that tape cannot be read, or not be written.
    pub fn new(open: OpenUpstream, extended: Option<&Path>) -> Result<Self, TapeError> {
        let extension = extended.map(TapeExtension::open).transpose()?.map(Mutex::new);
        Ok(Self { open, extension, learned: Mutex::default() })
    }

    /// What the real server has said to such a request before, where that is kept.
    pub(super) fn learned(&self, key: RequestKey, id: Option<&Id>) -> Option<Message> {
        self.learned.lock().get(&key)?.with_id(id?)
    }
}

/// One client's session with the real server.
pub(super) struct ForwardedSession {
    fallback: Arc<MockFallback>,
    upstream: Arc<dyn Upstream>,
    negotiated: NegotiatedHeaders,
    exchanges: SelectAll<BoxStream<'static, (usize, ExchangeEvent)>>,
    asked: HashMap<usize, ForwardedRequest>,
    next: usize,
}

/// A request that the real server has, and what it has said so far.
struct ForwardedRequest {
    request: Message,
    key: RequestKey,
    since: Instant,
    heard: Vec<(Duration, Message)>,
}

impl ForwardedSession {
    /// Opens a session, and begins it as the client has begun its own.
    ///
    /// # Errors
    /// Where the server cannot be reached, or does not begin: in words.
    pub(super) async fn open(fallback: &Arc<MockFallback>, initialize: Option<&Message>) -> Result<Self, String> {
        let upstream = (fallback.open)().map_err(|error| error.to_string())?;
        let (exchanges, asked) = Default::default();
        let negotiated = NegotiatedHeaders::default();
        let mut session = Self { fallback: fallback.clone(), upstream, negotiated, exchanges, asked, next: 0 };
        if let Some(initialize) = initialize {
            session.begin(initialize).await?;
        }
        Ok(session)
    }

    async fn begin(&mut self, initialize: &Message) -> Result<(), String> {
        let again = initialize.with_id(&Id::random()).unwrap_or_else(|| initialize.clone());
        let mut agreed = false;
        let mut events = self.exchange(again, 0);
        while let Some((_, event)) = events.next().await {
            match event {
                ExchangeEvent::Started { headers, .. } => self.negotiated.session.note_headers(&headers),
                ExchangeEvent::Message(message) if message.kind() == Kind::Result => {
                    self.negotiated.session.note_result(&message);
                    agreed = true;
                    break;
                }
                ExchangeEvent::Failed(error) => return Err(error.to_string()),
                _ => {}
            }
        }
        if !agreed {
            return Err("it did not take the client's `initialize`".to_owned());
        }
        let initialized = format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, method::INITIALIZED);
        let told: Vec<_> = self.exchange(Message::new(initialized), 0).collect().await;
        drop(told);
        Ok(())
    }

    fn exchange(&self, message: Message, tag: usize) -> BoxStream<'static, (usize, ExchangeEvent)> {
        let headers = self.negotiated.post(None, &message, &Tokens::default(), &HeaderMap::new());
        let outgoing = outgoing(Method::POST, headers, Some(message));
        exchange(self.upstream.clone(), outgoing, Duration::ZERO, tag)
    }

    /// Whether it owes no reply.
    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// Asks the real server.
    pub(super) fn ask(&mut self, request: &Message, key: RequestKey) {
        self.next += 1;
        let (since, heard) = (Instant::now(), Vec::new());
        self.asked.insert(self.next, ForwardedRequest { request: request.clone(), key, since, heard });
        self.exchanges.push(self.exchange(request.clone(), self.next));
    }

    /// Hands on what the client says beside its requests: the answer to a question of the server, or that a request is taken back.
    pub(super) fn tell(&mut self, message: &Message) {
        self.exchanges.push(self.exchange(message.clone(), 0));
    }

    /// The next thing that the client is to be told, and what the operator is; pends while nothing is asked.
    pub(super) async fn next(&mut self) -> ForwardedEvent {
        loop {
            let Some((tag, event)) = self.exchanges.next().await else { return std::future::pending().await };
            match event {
                ExchangeEvent::Message(message) => {
                    let note = self.heard(tag, &message).err();
                    return ForwardedEvent { message: Some(message), note };
                }
                ExchangeEvent::Failed(error) => return self.lost(tag, &error.to_string()),
                ExchangeEvent::Ended if self.asked.contains_key(&tag) => {
                    return self.lost(tag, "the answer ended without a reply");
                }
                ExchangeEvent::Started { .. } | ExchangeEvent::Resumable(_) | ExchangeEvent::Ended => {}
            }
        }
    }

    fn heard(&mut self, tag: usize, message: &Message) -> Result<(), String> {
        let Some(asked) = self.asked.get_mut(&tag) else { return Ok(()) };
        asked.heard.push((asked.since.elapsed(), message.clone()));
        if !message.replies_to(&asked.request) {
            return Ok(());
        }
        let Some(asked) = self.asked.remove(&tag) else { return Ok(()) };
        self.fallback.learned.lock().insert(asked.key, message.clone());
        let Some(extension) = &self.fallback.extension else { return Ok(()) };
        let written = extension.lock().write(&asked.request, &asked.heard);
        written.map_err(|error| format!("the tape was not extended: {error}"))
    }

    fn lost(&mut self, tag: usize, why: &str) -> ForwardedEvent {
        let Some(asked) = self.asked.remove(&tag) else { return ForwardedEvent { message: None, note: None } };
        let why =
            format!("tapline: {} is on no tape, and the real server did not answer: {why}", describe(&asked.request));
        let code = crate::mcp::error_code::ErrorCode::UpstreamFailed.number();
        ForwardedEvent { message: Some(Message::error_reply(asked.request.id(), code, &why, None)), note: Some(why) }
    }
}

fn describe(message: &Message) -> String {
    super::miss::describe(message)
}

/// What came of what the real server was asked.
pub(super) struct ForwardedEvent {
    pub(super) message: Option<Message>,
    pub(super) note: Option<String>,
}

/// A tape to which exchanges are added.
struct TapeExtension {
    file: File,
    session: SessionId,
    via: Via,
    seq: u64,
    /// The end of what is on the tape, in microseconds from its start.
    at: u64,
    opened: Instant,
    has_seam: bool,
    /// As the recorder does, where the tape is one without secrets.
    rules: Option<RedactRules>,
    redactor: Option<Box<Redactor>>,
}

impl TapeExtension {
    fn open(path: &Path) -> Result<Self, TapeError> {
        let entries = TapeReader::open(path)?;
        let cannot = |error| TapeError::CannotWrite { path: PathBuf::from(path), error };
        if packing_of(path) == Packing::Zstd {
            let why = "it is packed, and nothing can be added to it; `tapline tape pack --undo` makes it plain";
            return Err(cannot(std::io::Error::other(why)));
        }
        let (session, via) = (entries.header().session, entries.header().via);
        let rules = entries.header().has_redacted_bodies().then(RedactRules::default);
        let (mut seq, mut at) = (0, 0);
        for entry in entries {
            match entry {
                TapeEntry::Message { envelope, .. } => (seq, at) = (envelope.seq.0.max(seq), envelope.at.max(at)),
                TapeEntry::Mark(Mark::End { at: end, .. }) => at = end.max(at),
                _ => {}
            }
        }
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(cannot)?;
        Ok(Self { file, session, via, seq, at, opened: Instant::now(), has_seam: false, rules, redactor: None })
    }

    /// Adds a request and what came of it; the reply comes last.
    fn write(&mut self, request: &Message, heard: &[(Duration, Message)]) -> std::io::Result<()> {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let took = heard.last().map_or(Duration::ZERO, |(after, _)| *after);
        let asked_at = self.at + micros(self.opened.elapsed().saturating_sub(took));
        let mut lines = self.beginning(asked_at)?;
        let asked = Seq(self.seq + 1);
        let mut add = |seq: Seq, direction, message: &Message, after: Duration| {
            let mut envelope = Envelope::forwarded(seq, self.session, direction, self.via, message.clone());
            envelope.at = asked_at + micros(after);
            envelope.reply_to = message.replies_to(request).then(|| ReplyTo {
                seq: asked,
                took: micros(after),
                subject: request.head().subject.clone().unwrap_or_default(),
            });
            let redacted = self.rules.as_ref();
            match redacted.and_then(|rules| line_without_secrets(&mut self.redactor, rules, &envelope)) {
                Some(line) => lines.extend_from_slice(line.as_bytes()),
                None => envelope.write_json(SessionField::Omitted, &mut lines),
            }
            lines.push(b'\n');
        };
        add(asked, Direction::ToServer, request, Duration::ZERO);
        for (seq, (after, message)) in (asked.0 + 1..).zip(heard) {
            add(Seq(seq), Direction::ToClient, message, *after);
        }
        self.seq = asked.0 + heard.len() as u64;
        self.has_seam = true;
        self.file.write_all(&lines)
    }

    /// What comes before the first addition: the end of a line that was cut, and a mark.
    fn beginning(&mut self, at: u64) -> std::io::Result<Vec<u8>> {
        let mut lines = Vec::new();
        if self.has_seam {
            return Ok(lines);
        }
        let mut last = [b'\n'];
        if self.file.seek(SeekFrom::End(-1)).is_ok() {
            self.file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            lines.push(b'\n');
        }
        let text = "the tape had no more: what follows was asked of a real server by `tapline mock`".to_owned();
        serde_json::to_writer(&mut lines, &Mark::Seam { at, after: None, text })?;
        lines.push(b'\n');
        Ok(lines)
    }
}
