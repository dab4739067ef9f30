//! Goes through tapes: what came of what the client said.
//!
//! What the client got counts, also where an operator or a rule had changed it: that is what the tape shows. A message of the server
//! that answers nothing belongs to the request whose progress or subscription it is, else to the one request that was open, else to
//! what the client had said last.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::path::Path;

use super::key::{MockedFields, RequestForm, RequestKey, client_of, hash_of, is_modern};
use super::script::{
    MockScript, MockedAct, MockedEvent, MockedExchange, MockedMessage, MockedTape, RedactedRequest, SessionBeginning,
};
use super::stored::{MessagePlace, StoredMessages, as_it_was};
use crate::envelope::{Direction, Envelope, Outcome, ReplyTo, Seq, SessionId};
use crate::mcp::{meta, method};
use crate::message::{Id, Kind, Message};
use crate::tape::format::{Mark, TapeError, TapeHeader};
use crate::tape::read::{Problems, TapeEntry, TapeFile, TapeReader, troubles};

/// Bytes of replies that are kept in memory, the first of the tapes: those of a small tape are never read again. As many of what
/// redacted requests are compared by.
const KEPT: usize = if cfg!(test) { 1 << 10 } else { 16 << 20 };
/// What a message in memory takes beside its bytes.
const HEAD: usize = 256;

/// A script as it grows.
pub(super) struct MockBuilder<'a> {
    script: MockScript,
    fields: &'a MockedFields,
    keys: Vec<(RequestKey, usize)>,
    /// When each exchange began, in microseconds from the start of the session.
    began: Vec<u64>,
    /// Events that were no part of their exchange.
    forgotten: HashSet<usize>,
    /// Redacted requests that were met.
    met: HashSet<RequestKey>,
    kept: usize,
    kept_forms: usize,
}

impl<'a> MockBuilder<'a> {
    pub(super) fn of(fields: &'a MockedFields) -> Self {
        let (script, keys, began, forgotten, met) = Default::default();
        Self { script, fields, keys, began, forgotten, met, kept: 0, kept_forms: 0 }
    }

    /// Goes through a tape.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub(super) fn add(&mut self, path: &Path) -> Result<(), TapeError> {
        let mut entries = TapeReader::open(path)?;
        let header = entries.header().clone();
        let messages = StoredMessages::of(TapeFile::open(path, header.session)?);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let (mut problems, mut missing, mut torn) = (Problems::default(), 0, false);
        let first_tape = self.script.tapes.len();
        // Each session on it is a conversation of its own.
        let mut sessions: HashMap<SessionId, MockedEnds> = HashMap::new();
        while let Some(entry) = entries.next() {
            match entry {
                TapeEntry::Message { envelope, .. } => {
                    let tapes = &mut self.script.tapes;
                    let begins = || MockedEnds::begin(tapes, &name, &header, &messages);
                    let open = sessions.entry(envelope.session).or_insert_with(begins);
                    MockedLines { builder: self, open }.envelope(*envelope, &entries.place());
                }
                TapeEntry::Mark(Mark::Gap { messages, .. }) => missing += messages,
                TapeEntry::Mark(_) => {}
                TapeEntry::Problem(problem) => problems.push(problem),
                TapeEntry::Torn => torn = true,
            }
        }
        if sessions.is_empty() {
            MockedEnds::begin(&mut self.script.tapes, &name, &header, &messages);
        }
        self.script.is_damaged |= !problems.is_empty();
        self.script.tapes[first_tape].troubles = troubles(&problems, missing, torn);
        Ok(())
    }

    /// Puts together what was found.
    pub(super) fn finish(mut self) -> MockScript {
        let script = &mut self.script;
        order_by_key(script, self.keys);
        let mut at = 0..;
        script.events.retain(|_| at.next().is_some_and(|at| !self.forgotten.contains(&at)));
        // What came of an exchange stays in its order.
        script.events.sort_by_key(|event| event.exchange);
        script.events.shrink_to_fit();
        script.exchanges.shrink_to_fit();
        let mut rest = script.events.iter_mut().peekable();
        let mut first = 0;
        for ((at, exchange), began) in script.exchanges.iter_mut().enumerate().zip(self.began) {
            let (mut clock, mut count) = (began, 0);
            while let Some(event) = rest.next_if(|event| event.exchange == at) {
                let when = event.gap;
                event.gap = when.saturating_sub(clock);
                clock = when.max(clock);
                count += 1;
            }
            exchange.events = (first, count);
            first += count;
            if exchange.is_request {
                script.tapes[exchange.tape].requests.push(at);
            }
        }
        self.script
    }

    fn keep(&mut self, message: &Message, place: MessagePlace) -> MockedMessage {
        let size = message.raw().len() + HEAD;
        if self.kept + size > KEPT {
            return MockedMessage::OnDisk(place);
        }
        self.kept += size;
        self.script.kept.push(message.clone());
        MockedMessage::Kept(self.script.kept.len() - 1)
    }

    /// Notes what a request is compared by that secrets were taken out of.
    fn note_secrets(&mut self, message: &Message, key: RequestKey, exchange: usize) {
        if !self.met.insert(key) {
            return;
        }
        let form = RequestForm::without_secret_numbers(message, self.fields);
        if form.is_redacted() || form.key() != key {
            let size = form.size() + HEAD;
            let is_kept = self.kept_forms + size <= KEPT;
            self.kept_forms += if is_kept { size } else { 0 };
            self.script.redacted.push(RedactedRequest { key, exchange, form: Some(form).filter(|_| is_kept) });
        }
    }

    fn push(&mut self, exchange: usize, when: u64, act: MockedAct) {
        // How long it was after the one before is known when all are.
        self.script.events.push(MockedEvent { exchange, gap: when, act });
    }
}

/// Puts the exchanges in the orders that they are looked up in.
fn order_by_key(script: &mut MockScript, mut keys: Vec<(RequestKey, usize)>) {
    let mut first_of = HashMap::new();
    for (at, tape) in script.tapes.iter_mut().enumerate() {
        tape.group = *first_of.entry(tape.client).or_insert(at);
    }
    let (exchanges, tapes) = (&script.exchanges, &script.tapes);
    keys.sort_unstable_by_key(|(key, at)| (*key, exchanges[*at].was_unknown, *at));
    script.keys = keys.iter().map(|(key, _)| *key).collect();
    script.by_key = keys.iter().map(|(_, at)| *at).collect();
    keys.sort_unstable_by_key(|(key, at)| {
        let MockedExchange { was_unknown, tape, .. } = exchanges[*at];
        (*key, was_unknown, tapes[tape].group, tape, *at)
    });
    script.by_tape = keys.into_iter().map(|(_, at)| at).collect();
}

/// A session of a tape that is gone through: what is not at its end yet.
struct MockedEnds {
    /// Which of the script's.
    tape: usize,
    /// Whether secrets were taken out of its messages.
    is_redacted: bool,
    by_seq: HashMap<Seq, usize>,
    /// Requests without a reply so far, in order.
    requests: Vec<(Id, usize)>,
    /// Requests that an answer without a name was taken for the reply of.
    refused: Vec<NamelessRefusal>,
    by_token: HashMap<u64, usize>,
    /// Requests of the server, by what they came of.
    questions: HashMap<Id, usize>,
    /// What the client said last.
    last: Option<usize>,
}

impl MockedEnds {
    fn begin(tapes: &mut Vec<MockedTape>, name: &str, header: &TapeHeader, messages: &StoredMessages) -> Self {
        let (requests, troubles, messages) = (Vec::new(), Vec::new(), messages.clone());
        tapes.push(MockedTape {
            name: name.to_owned(),
            requests,
            started: header.started,
            client: None,
            group: 0,
            troubles,
            messages,
        });
        let (by_seq, requests, refused, by_token, questions, last) = Default::default();
        let is_redacted = header.has_redacted_bodies();
        Self { tape: tapes.len() - 1, is_redacted, by_seq, requests, refused, by_token, questions, last }
    }

    /// The latest request of this id that no reply has come for.
    fn request(&self, id: &Id) -> Option<usize> {
        let waiting = self.requests.iter().rfind(|(open, _)| id.may_mean(open)).map(|(_, at)| *at);
        waiting.or_else(|| self.refused.iter().rfind(|it| id.may_mean(&it.id)).map(|it| it.at))
    }
}

struct NamelessRefusal {
    id: Id,
    at: usize,
    /// Which of all events it is.
    event: usize,
}

struct MockedLines<'a, 'f> {
    builder: &'a mut MockBuilder<'f>,
    open: &'a mut MockedEnds,
}

/// What a line says of its message.
struct LineFacts {
    seq: Seq,
    at: u64,
    reply_to: Option<ReplyTo>,
}

impl MockedLines<'_, '_> {
    fn envelope(&mut self, envelope: Envelope, line: &Range<u64>) {
        let direction = envelope.direction;
        let counts = match direction {
            Direction::ToServer => !matches!(envelope.outcome, Outcome::Injected(_)),
            Direction::ToClient => envelope.was_sent(),
        };
        if !counts {
            return;
        }
        let facts = LineFacts { seq: envelope.seq, at: envelope.at, reply_to: envelope.reply_to.clone() };
        let message = as_it_was(envelope);
        let mut one = |message: &Message, element| {
            let place = MessagePlace { line: line.clone(), element };
            match direction {
                Direction::ToServer => self.said(message, &facts, place),
                Direction::ToClient => self.heard(message, &facts, place),
            }
        };
        match message.kind() {
            Kind::Batch => message.elements().iter().zip(0..).for_each(|(element, at)| one(element, Some(at))),
            _ => one(&message, None),
        }
    }

    /// Something the client said.
    fn said(&mut self, message: &Message, facts: &LineFacts, place: MessagePlace) {
        match message.kind() {
            Kind::Request => self.began(message, facts, place),
            Kind::Notification => {
                let taken_back = meta::cancelled_id(message);
                if let Some(at) = taken_back.and_then(|id| self.open.request(&id)) {
                    self.builder.push(at, facts.at, MockedAct::AwaitCancel);
                }
                self.began(message, facts, place);
            }
            Kind::Result | Kind::Error => {
                let question = message.id().and_then(|id| id.known(|id| self.open.questions.contains_key(id)));
                if let Some(question) = question
                    && let Some(at) = self.open.questions.remove(&question)
                {
                    self.builder.push(at, facts.at, MockedAct::Await(question));
                    self.open.last = Some(at);
                }
            }
            Kind::Batch | Kind::Opaque => {}
        }
    }

    fn began(&mut self, message: &Message, facts: &LineFacts, place: MessagePlace) {
        let script = &mut self.builder.script;
        let at = script.exchanges.len();
        let key = RequestForm::of(message, self.builder.fields).key();
        let method = message.method().unwrap_or_default();
        script.exchanges.push(MockedExchange {
            tape: self.open.tape,
            seq: facts.seq,
            said: place,
            method: hash_of(method),
            name: message.name().map_or(0, hash_of),
            is_request: message.kind() == Kind::Request,
            is_modern: is_modern(message),
            is_answered: false,
            was_unknown: method == method::DISCOVER,
            events: (0, 0),
        });
        if method == method::INITIALIZE {
            script.beginnings.insert(at, SessionBeginning::of(message));
        }
        let tape = &mut script.tapes[self.open.tape];
        tape.client = tape.client.or_else(|| client_of(message));
        self.builder.keys.push((key, at));
        self.builder.began.push(facts.at);
        if self.open.is_redacted {
            self.builder.note_secrets(message, key, at);
        }
        // What takes a request back is no cause of what comes next.
        if method != method::CANCELLED {
            self.open.last = Some(at);
        }
        if let Some(id) = message.id() {
            self.open.by_seq.insert(facts.seq, at);
            self.open.requests.push((id.clone(), at));
            self.open.by_token.extend(meta::requested_progress(message).map(|token| (token_key(&token), at)));
        }
    }

    /// Something the client got.
    fn heard(&mut self, message: &Message, facts: &LineFacts, place: MessagePlace) {
        let at = match message.kind() {
            Kind::Result | Kind::Error => self.answered(message, facts),
            Kind::Request | Kind::Notification => self.cause(message),
            Kind::Batch | Kind::Opaque => None,
        };
        let Some(at) = at else { return };
        if let (Kind::Request, Some(id)) = (message.kind(), message.id()) {
            self.open.questions.insert(id.clone(), at);
        }
        let token = meta::reported_progress(message).map(Id::from_token);
        let is_its_own = token.is_some_and(|token| self.open.by_token.get(&token_key(&token)) == Some(&at));
        let stored = self.builder.keep(message, place);
        let act = if is_its_own { MockedAct::SayProgress(stored) } else { MockedAct::Say(stored) };
        self.builder.push(at, facts.at, act);
    }

    /// The request that a reply answers, which is open no more.
    fn answered(&mut self, reply: &Message, facts: &LineFacts) -> Option<usize> {
        let by_seq = facts.reply_to.as_ref().and_then(|to| self.open.by_seq.get(&to.seq).copied());
        let is_of = |(id, at): &(Id, usize)| match by_seq {
            Some(known) => known == *at && reply.id().is_none_or(|own| own.is_null() || own.may_mean(id)),
            None => reply.id().is_some_and(|own| own.may_mean(id)),
        };
        if let Some(position) = self.open.requests.iter().rposition(is_of) {
            let (_, at) = self.open.requests.remove(position);
            let exchange = &mut self.builder.script.exchanges[at];
            exchange.is_answered = true;
            exchange.was_unknown &= reply.id().is_none_or(Id::is_null);
            return Some(at);
        }
        if let Some(position) = self.open.refused.iter().rposition(|it| is_of(&(it.id.clone(), it.at))) {
            let NamelessRefusal { at, event, .. } = self.open.refused.remove(position);
            self.builder.forgotten.insert(event);
            self.builder.script.exchanges[at].was_unknown = false;
            return Some(at);
        }
        // An HTTP server that refuses a request as a whole may name none. So does one that refuses something else meanwhile, a GET for
        // example: it was meant as long as no reply of its own comes.
        let is_nameless = reply.id().is_none_or(Id::is_null) && self.open.requests.len() == 1;
        let (id, at) = is_nameless.then(|| self.open.requests.pop())??;
        let script = &mut self.builder.script;
        script.exchanges[at].is_answered = true;
        // What is pushed next is this answer.
        self.open.refused.push(NamelessRefusal { id, at, event: script.events.len() });
        Some(at)
    }

    fn cause(&self, message: &Message) -> Option<usize> {
        let token = meta::reported_progress(message).map(Id::from_token);
        let token = token.and_then(|token| token.known(|token| self.open.by_token.contains_key(&token_key(token))));
        if let Some(at) = token.and_then(|token| self.open.by_token.get(&token_key(&token))) {
            return Some(*at);
        }
        if let Some(at) = meta::subscription_id(message).and_then(|id| self.open.request(&id)) {
            return Some(at);
        }
        match &self.open.requests[..] {
            [(_, only)] => Some(*only),
            _ => self.open.last,
        }
    }
}

/// Tokens are compared by value, and no more of them is needed.
fn token_key(token: &Id) -> u64 {
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    hasher.finish()
}
