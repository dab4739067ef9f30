//! What a recorded server did, by what its client said: each request with everything that came of it, in order.
//!
//! What the client got counts, also where an operator or a rule had changed it: that is what the tape shows. A message of the server
//! that answers nothing belongs to the request whose progress or subscription it is, else to the one request that was open, else to
//! what the client had said last.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::key::{BoundSecrets, MockedFields, RequestKey, is_modern};
use crate::envelope::{Direction, Envelope, Outcome, Seq, SessionId};
use crate::event::Timestamp;
use crate::mcp::{meta, method};
use crate::message::{Id, Kind, Message};
use crate::tape::format::{Mark, TapeError};
use crate::tape::read::{TapeEntry, TapeFile, TapeReader, troubles};

/// Bytes of replies that are kept in memory; the rest stays on disk. Small ones always are: their lines are hardly larger than where
/// they stand.
const KEPT: usize = 256 << 20;
const SMALL: usize = 1 << 10;

/// Tapes by what their clients said.
#[derive(Debug, Default)]
pub(super) struct MockScript {
    pub(super) tapes: Vec<MockedTape>,
    pub(super) exchanges: Vec<MockedExchange>,
    by_key: HashMap<RequestKey, Vec<usize>>,
    /// Requests that secrets were taken out of, in the order of the tapes: what they are known by, and compared by.
    redacted: Vec<(RequestKey, RequestKey)>,
    kept: usize,
}

/// One of the tapes, or one session of several on it.
#[derive(Debug)]
pub(super) struct MockedTape {
    /// Its file, without the directory.
    pub(super) name: String,
    /// Its requests, in order.
    pub(super) requests: Vec<usize>,
    /// When its session began.
    pub(super) started: Timestamp,
    pub(super) troubles: Vec<String>,
}

impl MockedTape {
    fn begun(name: &str, started: Timestamp) -> Self {
        Self { name: name.to_owned(), requests: Vec::new(), started, troubles: Vec::new() }
    }
}

/// Something the client said, and what came of it.
#[derive(Debug)]
pub(super) struct MockedExchange {
    pub(super) tape: usize,
    pub(super) seq: Seq,
    /// A request or a notification.
    pub(super) said: Message,
    pub(super) modern: bool,
    pub(super) events: Vec<MockedEvent>,
    pub(super) is_answered: bool,
    /// The server refused it as a whole, by an answer that names no request.
    pub(super) is_refused: bool,
    /// When the last of it happened, in microseconds from the start of the session.
    clock: u64,
}

impl MockedExchange {
    /// This was no part of it; all others happen when they did.
    fn forget(&mut self, event: usize) {
        let MockedEvent { gap, .. } = self.events.remove(event);
        match self.events.get_mut(event) {
            Some(next) => next.gap += gap,
            None => self.clock -= gap,
        }
    }
}

/// One step of what came of it.
#[derive(Debug)]
pub(super) struct MockedEvent {
    /// Microseconds since the one before.
    pub(super) gap: u64,
    pub(super) act: MockedAct,
}

#[derive(Debug)]
pub(super) enum MockedAct {
    /// The server said this.
    Say(MockedMessage),
    /// The client answered the server's request of this id.
    Await(Id),
    /// The client took its request back.
    AwaitCancel,
}

/// A message of the server: in memory, or where its line stands.
#[derive(Debug)]
pub(super) enum MockedMessage {
    Kept(Message),
    OnDisk(Arc<TapeFile>, Range<u64>),
}

impl MockedMessage {
    /// # Errors
    /// Where the file cannot be read any more.
    pub(super) fn load(&self) -> Result<Message, String> {
        match self {
            Self::Kept(message) => Ok(message.clone()),
            Self::OnDisk(file, place) => match file.envelope(place) {
                Ok(envelope) => Ok(envelope.message),
                Err(why) => Err(format!("the tape cannot be read any more: {why}")),
            },
        }
    }
}

impl MockScript {
    /// Goes once through each tape.
    ///
    /// # Errors
    /// Where one cannot be read at all, is no tape, or is one of a newer format.
    pub(super) fn read<P: AsRef<Path>>(paths: &[P], fields: &MockedFields) -> Result<Self, TapeError> {
        let mut script = Self::default();
        for path in paths {
            script.add(path.as_ref(), fields)?;
        }
        Ok(script)
    }

    fn add(&mut self, path: &Path, fields: &MockedFields) -> Result<(), TapeError> {
        let mut entries = TapeReader::open(path)?;
        let header = entries.header().clone();
        let file = Arc::new(TapeFile::open(path, header.session)?);
        let (mut problems, mut missing, mut torn) = (Vec::new(), 0, false);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let (first, first_tape) = (self.exchanges.len(), self.tapes.len());
        let is_redacted = header.has_redacted_bodies();
        // Each session on it is a conversation of its own.
        let mut sessions: HashMap<SessionId, (usize, OpenEnds)> = HashMap::new();
        let tape = || MockedTape::begun(&name, header.started);
        while let Some(entry) = entries.next() {
            match entry {
                TapeEntry::Message { envelope, .. } => {
                    let (tape, open) = sessions.entry(envelope.session).or_insert_with(|| {
                        self.tapes.push(tape());
                        (self.tapes.len() - 1, OpenEnds::default())
                    });
                    let mut builder = TapeBuilder { tape: *tape, script: self, open, fields, is_redacted };
                    builder.envelope(&envelope, &file, entries.place());
                }
                TapeEntry::Mark(Mark::Gap { messages, .. }) => missing += messages,
                TapeEntry::Mark(_) => {}
                TapeEntry::Problem(problem) => problems.push(problem),
                TapeEntry::Torn => torn = true,
            }
        }
        if sessions.is_empty() {
            self.tapes.push(tape());
        }
        self.tapes[first_tape].troubles = troubles(&problems, missing, torn);
        for at in (first..self.exchanges.len()).filter(|at| self.exchanges[*at].said.kind() == Kind::Request) {
            self.tapes[self.exchanges[at].tape].requests.push(at);
        }
        Ok(())
    }

    /// What is on the tapes for what a client says, in the order of the tapes.
    pub(super) fn candidates(&self, key: &RequestKey) -> &[usize] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether any request of the tapes has a secret taken out of it.
    pub(super) fn has_secrets(&self) -> bool {
        !self.redacted.is_empty()
    }

    /// The recorded request that a live one is which has secrets in place of marks: one whose secrets are those that are known, else
    /// the first.
    pub(super) fn unredacted(
        &self,
        live: &RequestKey,
        known: &HashMap<String, String>,
    ) -> Option<(&RequestKey, BoundSecrets)> {
        let mut found = self.redacted.iter().filter_map(|(key, form)| Some((key, form.secrets_in(live)?)));
        let first = found.next()?;
        let is_known = |(_, secrets): &(&RequestKey, BoundSecrets)| {
            secrets.iter().all(|(mark, secret)| known.get(mark).is_none_or(|it| it == secret))
        };
        if is_known(&first) {
            return Some(first);
        }
        Some(found.find(is_known).unwrap_or(first))
    }

    /// Whether a recorded server knew what it was asked; one that speaks older revisions only refuses `server/discover` as a whole.
    pub(super) fn was_known(&self, at: usize) -> bool {
        let exchange = &self.exchanges[at];
        exchange.said.method() != Some(method::DISCOVER) || exchange.is_answered && !exchange.is_refused
    }

    /// Whether any of its clients spoke a revision without sessions, and whether any did not.
    pub(super) fn eras(&self) -> [bool; 2] {
        let has = |modern: bool| {
            let mut requests = (0..self.exchanges.len()).filter(|at| self.exchanges[*at].said.kind() == Kind::Request);
            requests.any(|at| self.exchanges[at].modern == modern && self.was_known(at))
        };
        [has(true), has(false)]
    }
}

/// What is not at its end yet while a tape is gone through.
#[derive(Default)]
struct OpenEnds {
    by_seq: HashMap<Seq, usize>,
    /// Requests without a reply so far, in order.
    requests: Vec<(Id, usize)>,
    /// Requests that an answer without a name was taken for the reply of.
    refused: Vec<NamelessRefusal>,
    by_token: HashMap<Id, usize>,
    /// Requests of the server, by what they came of.
    questions: HashMap<Id, usize>,
    /// What the client said last.
    last: Option<usize>,
}

impl OpenEnds {
    /// The latest request of this id that no reply has come for.
    fn request(&self, id: &Id) -> Option<usize> {
        let waiting = self.requests.iter().rfind(|(open, _)| id.may_mean(open)).map(|(_, at)| *at);
        waiting.or_else(|| self.refused.iter().rfind(|it| id.may_mean(&it.id)).map(|it| it.at))
    }
}

struct NamelessRefusal {
    id: Id,
    at: usize,
    /// Which of what came of it.
    event: usize,
}

struct TapeBuilder<'a> {
    script: &'a mut MockScript,
    /// Which of the script's.
    tape: usize,
    open: &'a mut OpenEnds,
    fields: &'a MockedFields,
    /// Whether secrets were taken out of its messages.
    is_redacted: bool,
}

impl TapeBuilder<'_> {
    fn envelope(&mut self, envelope: &Envelope, file: &Arc<TapeFile>, line: Range<u64>) {
        match envelope.direction {
            Direction::ToServer if !matches!(envelope.outcome, Outcome::Injected(_)) => {
                let message = envelope.original.as_ref().unwrap_or(&envelope.message);
                self.each(message, |builder, message| builder.said(message, envelope));
            }
            Direction::ToClient if envelope.was_sent() => {
                let is_batch = envelope.message.kind() == Kind::Batch;
                let place = (!is_batch).then(|| (file.clone(), line));
                self.each(&envelope.message, |builder, message| builder.heard(message, envelope, place.clone()));
            }
            Direction::ToServer | Direction::ToClient => {}
        }
    }

    fn each(&mut self, message: &Message, mut one: impl FnMut(&mut Self, &Message)) {
        match message.kind() {
            Kind::Batch => message.elements().iter().for_each(|element| one(self, element)),
            _ => one(self, message),
        }
    }

    /// Something the client said.
    fn said(&mut self, message: &Message, envelope: &Envelope) {
        match message.kind() {
            Kind::Request => self.began(message, envelope),
            Kind::Notification => {
                let taken_back = meta::cancelled_id(message);
                if let Some(at) = taken_back.and_then(|id| self.open.request(&id)) {
                    self.push(at, envelope.at, MockedAct::AwaitCancel);
                }
                self.began(message, envelope);
            }
            Kind::Result | Kind::Error => {
                let question = message.id().and_then(|id| id.known(|id| self.open.questions.contains_key(id)));
                if let Some(question) = question
                    && let Some(at) = self.open.questions.remove(&question)
                {
                    self.push(at, envelope.at, MockedAct::Await(question));
                    self.open.last = Some(at);
                }
            }
            Kind::Batch | Kind::Opaque => {}
        }
    }

    fn began(&mut self, message: &Message, envelope: &Envelope) {
        let at = self.script.exchanges.len();
        let key = RequestKey::of(message, self.fields);
        if self.is_redacted && !self.script.by_key.contains_key(&key) {
            let form = RequestKey::without_secret_numbers(message, self.fields);
            if form.is_redacted() || form != key {
                self.script.redacted.push((key.clone(), form));
            }
        }
        self.script.by_key.entry(key).or_default().push(at);
        self.script.exchanges.push(MockedExchange {
            tape: self.tape,
            seq: envelope.seq,
            said: message.clone(),
            modern: is_modern(message),
            events: Vec::new(),
            is_answered: false,
            is_refused: false,
            clock: envelope.at,
        });
        // What takes a request back is no cause of what comes next.
        if message.method() != Some(method::CANCELLED) {
            self.open.last = Some(at);
        }
        if let Some(id) = message.id() {
            self.open.by_seq.insert(envelope.seq, at);
            self.open.requests.push((id.clone(), at));
            self.open.by_token.extend(meta::requested_progress(message).map(|token| (token, at)));
        }
    }

    /// Something the client got; `place`: where the line stands that is all of it.
    fn heard(&mut self, message: &Message, envelope: &Envelope, place: Option<(Arc<TapeFile>, Range<u64>)>) {
        let at = match message.kind() {
            Kind::Result | Kind::Error => self.answered(message, envelope),
            Kind::Request | Kind::Notification => self.cause(message),
            Kind::Batch | Kind::Opaque => None,
        };
        let Some(at) = at else { return };
        if let (Kind::Request, Some(id)) = (message.kind(), message.id()) {
            self.open.questions.insert(id.clone(), at);
        }
        let size = message.raw().len();
        let stored = match place {
            Some((file, line)) if size > SMALL && self.script.kept + size > KEPT => MockedMessage::OnDisk(file, line),
            _ => {
                self.script.kept += size;
                MockedMessage::Kept(message.clone())
            }
        };
        self.push(at, envelope.at, MockedAct::Say(stored));
    }

    /// The request that a reply answers, which is open no more.
    fn answered(&mut self, reply: &Message, envelope: &Envelope) -> Option<usize> {
        let by_seq = envelope.reply_to.as_ref().and_then(|to| self.open.by_seq.get(&to.seq).copied());
        let is_of = |(id, at): &(Id, usize)| match by_seq {
            Some(known) => known == *at && reply.id().is_none_or(|own| own.is_null() || own.may_mean(id)),
            None => reply.id().is_some_and(|own| own.may_mean(id)),
        };
        if let Some(position) = self.open.requests.iter().rposition(is_of) {
            let (_, at) = self.open.requests.remove(position);
            self.script.exchanges[at].is_answered = true;
            self.script.exchanges[at].is_refused = reply.id().is_none_or(Id::is_null);
            return Some(at);
        }
        if let Some(position) = self.open.refused.iter().rposition(|it| is_of(&(it.id.clone(), it.at))) {
            let NamelessRefusal { at, event, .. } = self.open.refused.remove(position);
            self.script.exchanges[at].forget(event);
            self.script.exchanges[at].is_refused = false;
            return Some(at);
        }
        // An HTTP server that refuses a request as a whole may name none. So does one that refuses something else meanwhile, a GET for
        // example: it was meant as long as no reply of its own comes.
        let is_nameless = reply.id().is_none_or(Id::is_null) && self.open.requests.len() == 1;
        let (id, at) = is_nameless.then(|| self.open.requests.pop())??;
        let exchange = &mut self.script.exchanges[at];
        (exchange.is_answered, exchange.is_refused) = (true, true);
        self.open.refused.push(NamelessRefusal { id, at, event: exchange.events.len() });
        Some(at)
    }

    fn cause(&self, message: &Message) -> Option<usize> {
        let token = meta::reported_progress(message).map(Id::from_token);
        let of_token = token.and_then(|token| token.known(|token| self.open.by_token.contains_key(token)));
        if let Some(token) = of_token.filter(|_| message.method() == Some(method::PROGRESS)) {
            return self.open.by_token.get(&token).copied();
        }
        if let Some(at) = meta::subscription_id(message).and_then(|id| self.open.request(&id)) {
            return Some(at);
        }
        match &self.open.requests[..] {
            [(_, only)] => Some(*only),
            _ => self.open.last,
        }
    }

    fn push(&mut self, at: usize, when: u64, act: MockedAct) {
        let exchange = &mut self.script.exchanges[at];
        let gap = when.saturating_sub(exchange.clock);
        exchange.clock = when.max(exchange.clock);
        exchange.events.push(MockedEvent { gap, act });
    }
}
