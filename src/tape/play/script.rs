//! What a recorded client did, as a list of steps: what it sent, after what, and what it got.
//!
//! Pure: the messages of one session in, its steps out; `interleaved` makes a [`Script`] of those of all sessions. A tape may be larger
//! than memory: of one that is read from its file, large messages stay there until they are needed.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use http::HeaderMap;

use crate::envelope::{Direction, Envelope, Outcome, Seq, SessionId, Via};
use crate::mcp::error_code::ErrorCode;
use crate::mcp::method;
use crate::mcp::{era, meta};
use crate::message::{Id, Kind, Message};
use crate::tape::play::order::SaidOrder;
use crate::tape::read::TapeFile;
use crate::tape::tokens::ServerTokens;

/// The clients' side of a tape.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// In the order of the tape, whoever's they are.
    pub(super) steps: Vec<ScriptStep>,
    /// The sessions that they belong to.
    pub(super) sessions: Vec<ScriptSession>,
    /// Where a session ended while others went on, and which, in the order of the tape.
    pub(super) ends: Vec<(usize, usize)>,
}

/// One session of a tape.
#[derive(Clone, Debug)]
pub(super) struct ScriptSession {
    pub(super) id: SessionId,
    /// What its client says, and where first.
    pub(super) said: ServerTokens,
    /// Whether it ended because its server was gone.
    pub(super) lost_server: bool,
}

/// Larger messages stay on the disk, in bytes.
const KEPT: usize = if cfg!(test) { 64 } else { 1 << 10 };

/// A message of a tape: in memory, or where its line stands in the file.
#[derive(Clone, Debug)]
pub(super) enum StoredMessage {
    Kept(Message),
    OnDisk(Arc<TapeFile>, Range<u64>),
}

impl StoredMessage {
    /// Returns the message as it stands on the tape; of a reply that was edited, what the server said.
    ///
    /// # Errors
    /// Where the file cannot be read any more.
    pub(super) fn load(&self) -> Result<Message, String> {
        match self {
            Self::Kept(message) => Ok(message.clone()),
            Self::OnDisk(file, place) => match file.envelope(place) {
                Ok(envelope) if envelope.direction == Direction::ToClient => {
                    Ok(envelope.original.unwrap_or(envelope.message))
                }
                Ok(envelope) => Ok(envelope.message),
                Err(why) => Err(format!("the tape cannot be read any more: {why}")),
            },
        }
    }
}

/// One message that reached the recorded server.
#[derive(Clone, Debug)]
pub(super) struct ScriptStep {
    pub(super) seq: Seq,
    /// Whose it is, of the sessions of the script.
    pub(super) session: usize,
    /// The message, or its head alone where it is large.
    pub(super) message: Message,
    /// The message as it stands on the tape.
    pub(super) body: StoredMessage,
    pub(super) headers: Option<Arc<HeaderMap>>,
    pub(super) kind: StepKind,
    /// Microseconds from the start of the tape.
    pub(super) at: u64,
    /// The operator or a replay said it, not the client.
    pub(super) is_ours: bool,
    /// Where on the tape it stands, counted in lines.
    pub(super) place: usize,
    /// What the client did or got right before.
    pub(super) after: Option<After>,
    /// Microseconds that it waited then.
    pub(super) pause: u64,
    /// Notifications of the server, other than progress and log lines, that came before.
    pub(super) news: usize,
    /// Where it cancels a request: the step of that, and how much progress of it had come before.
    pub(super) cancels: Option<(usize, usize)>,
    /// What the server said of its own accord until the reply.
    pub(super) said: SaidOrder,
}

/// What a step is to the protocol.
#[derive(Clone, Debug)]
pub(super) enum StepKind {
    /// Wants a reply; `None` where the tape has none. `progress` counts the notifications that came before it. `hung_up`: whether the client
    /// gave up waiting.
    Request { reply: Option<RecordedReply>, progress: usize, hung_up: bool },
    /// Wants no more than to be accepted.
    OneWay,
    /// A reply to this request of the server; `None` where that request is not on the tape.
    Answer { question: Option<Message> },
    /// The client let go of the request that it cancels.
    HangUp,
}

/// What a step came after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The client sent this step.
    Sent(usize),
    /// The client got the reply to this step.
    Answered(usize),
    /// The server sent the request that the step answers.
    Question,
}

/// The reply to a request, as it stands on the tape.
#[derive(Clone, Debug)]
pub(super) struct RecordedReply {
    pub(super) place: usize,
    /// When the client got it, in microseconds from the start of the tape.
    pub(super) at: u64,
    /// Microseconds from the request.
    pub(super) took: u64,
    /// What the server said, also where the client got something else.
    pub(super) message: StoredMessage,
    pub(super) status: Option<u16>,
    /// Whether it was tapline that answered: then the server's answer is not known.
    pub(super) ours: bool,
    /// Whether that was because the server failed.
    pub(super) lost_server: bool,
}

impl ScriptStep {
    /// The method, or for an answer what it answers.
    pub(super) fn method(&self) -> String {
        match &self.kind {
            StepKind::Answer { question } => {
                format!("reply to {}", question.as_ref().and_then(Message::method).unwrap_or("an unknown request"))
            }
            StepKind::HangUp if self.message.method().is_none() => "hang-up".to_owned(),
            _ if self.message.kind() == Kind::Batch => "batch".to_owned(),
            _ => self.message.method().unwrap_or("no JSON-RPC").to_owned(),
        }
    }

    pub(super) fn reply(&self) -> Option<&RecordedReply> {
        match &self.kind {
            StepKind::Request { reply, .. } => reply.as_ref(),
            _ => None,
        }
    }

    pub(super) fn is_answer(&self) -> bool {
        matches!(self.kind, StepKind::Answer { .. })
    }
}

/// Where a message stands in its file.
pub(super) type TapeLine = (Arc<TapeFile>, Range<u64>);

/// A step that is no part of the script yet.
struct WaitingStep {
    step: ScriptStep,
    progress_token: Option<Id>,
}

/// What is known of one session while a tape is gone through.
#[derive(Default)]
pub(super) struct SessionBuilder {
    pub(super) steps: Vec<ScriptStep>,
    pub(super) said: ServerTokens,
    /// How many messages of the tape were read so far.
    pub(super) place: usize,
    /// Microseconds from the start of the tape to that of the session.
    shift: u64,
    /// Where the line of this message stands; `None` for a tape in memory.
    line: Option<TapeLine>,
    /// Steps that are requests, by the number on the tape.
    by_seq: HashMap<Seq, usize>,
    /// Those without a reply so far, by id: for tapes that do not say which request a reply answers.
    open: HashMap<Id, usize>,
    by_progress_token: HashMap<Id, usize>,
    /// While a fresh process is told all again: what the client says to it then.
    waiting: Option<Vec<WaitingStep>>,
    /// The latest request, until it is answered.
    alone: Option<usize>,
    /// The server's requests, and when they came.
    questions_by_seq: HashMap<Seq, (Message, u64)>,
    questions_by_id: HashMap<Id, (Message, u64)>,
    /// The last thing the client did or got, and when, in microseconds from the start.
    last: Option<(After, u64)>,
    news: usize,
}

impl SessionBuilder {
    /// Of a session that began so many microseconds after the tape.
    pub(super) fn new(shift: u64) -> Self {
        Self { shift, ..Self::default() }
    }

    /// Takes in the next message of its tape; `line`: where that stands, of a tape that stays in its file.
    pub(super) fn envelope(&mut self, line: Option<TapeLine>, place: usize, envelope: &Envelope) {
        (self.line, self.place) = (line, place);
        match envelope.direction {
            Direction::ToServer if envelope.was_sent() => {
                let step = self.step(envelope);
                match &mut self.waiting {
                    Some(waiting) if !is_ours(envelope) => waiting.push(step),
                    _ => self.push(step),
                }
            }
            Direction::ToClient => self.received(self.place, envelope),
            Direction::ToServer => {}
        }
        self.place += 1;
    }

    /// A fresh process is told all again: only what follows is what the server knows in the end, and behind it what its client still
    /// waits for. What a play asked before it was broken off is waited for by no one.
    pub(super) fn begin_again(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        let cancelled: HashSet<_> = steps.iter().filter_map(|step| step.cancels.map(|(step, _)| step)).collect();
        let is_open = |step: &ScriptStep| matches!(step.kind, StepKind::Request { reply: None, hung_up: false, .. });
        let is_waiting = |(at, step): &(usize, ScriptStep)| is_open(step) && !step.is_ours && !cancelled.contains(at);
        let open = steps.into_iter().enumerate().filter(is_waiting);
        let waiting =
            open.map(|(_, step)| WaitingStep { progress_token: meta::requested_progress(&step.message), step });
        let waiting = Some(waiting.collect());
        *self = Self { place: self.place, shift: self.shift, waiting, ..Self::default() };
    }

    /// The fresh process has been told all: what the client had said meanwhile follows.
    pub(super) fn go_on(&mut self) {
        for WaitingStep { step, progress_token } in self.waiting.take().unwrap_or_default() {
            let after = self.last.map(|(after, _)| after);
            let step = ScriptStep { place: self.place, after, pause: 0, news: self.news, ..step };
            self.push(WaitingStep { step, progress_token });
        }
    }

    /// The client hung up on a request of its own; of one that is not played that says nothing.
    pub(super) fn hung_up(&mut self, request: Seq, at: u64) {
        let at = self.shift + at;
        let Some(request) = self.by_seq.get(&request).copied() else { return };
        let StepKind::Request { reply: None, progress, hung_up } = &mut self.steps[request].kind else { return };
        *hung_up = true;
        let progress = *progress;
        let message = Message::new("");
        self.steps.push(ScriptStep {
            seq: self.steps[request].seq,
            session: 0,
            body: StoredMessage::Kept(message.clone()),
            message,
            headers: None,
            kind: StepKind::HangUp,
            is_ours: false,
            at,
            place: self.place,
            after: self.last.map(|(after, _)| after),
            pause: self.last.map_or(0, |(_, last)| at.saturating_sub(last)),
            news: self.news,
            cancels: Some((request, progress)),
            said: SaidOrder::default(),
        });
        self.last = Some((After::Sent(self.steps.len() - 1), at));
    }

    /// Whether taking a request back means to hang up on it: a pipe of revision 2026-07-28 says so, and over HTTP, as everything is
    /// played, nothing is posted then (cancellation).
    fn hangs_up(&mut self, cancellation: &Envelope, request: usize) -> bool {
        let is_modern = |message: &Message| era::is_modern(message, || None);
        let is_meant = cancellation.transport.via == Via::Stdio
            && (is_modern(&self.steps[request].message) || is_modern(&cancellation.message));
        if let StepKind::Request { hung_up, .. } = &mut self.steps[request].kind {
            *hung_up |= is_meant;
        }
        is_meant
    }

    fn stored(&self, message: &Message) -> StoredMessage {
        match &self.line {
            Some((file, line)) if message.raw().len() > KEPT => StoredMessage::OnDisk(file.clone(), line.clone()),
            _ => StoredMessage::Kept(message.clone()),
        }
    }

    /// What the client sent, as a step, and the token under which it asks for progress.
    fn step(&mut self, envelope: &Envelope) -> WaitingStep {
        let message = envelope.message.clone();
        let mut last = self.last;
        let kind = self.kind_of(envelope, &mut last);
        let cancels = meta::cancelled_id(&message).and_then(|id| self.asked(&id));
        let kind = match cancels {
            Some((request, _)) if self.hangs_up(envelope, request) => StepKind::HangUp,
            _ => kind,
        };
        self.said.note(&message, self.place);
        let body = self.stored(&message);
        let progress_token = meta::requested_progress(&message);
        let at = self.shift + envelope.at;
        let step = ScriptStep {
            seq: envelope.seq,
            session: 0,
            message: if matches!(body, StoredMessage::Kept(_)) { message } else { head_of(&message) },
            body,
            headers: envelope.transport.headers.clone(),
            kind,
            at,
            is_ours: is_ours(envelope),
            place: self.place,
            after: last.map(|(after, _)| after),
            pause: last.map_or(0, |(_, last)| at.saturating_sub(last)),
            news: self.news,
            cancels,
            said: SaidOrder::default(),
        };
        WaitingStep { step, progress_token }
    }

    fn push(&mut self, WaitingStep { mut step, progress_token }: WaitingStep) {
        let index = self.steps.len();
        if matches!(step.kind, StepKind::Request { .. }) {
            step.said.is_shared = !self.open.is_empty();
            let before = self.alone.replace(index).filter(|_| step.said.is_shared);
            before.into_iter().for_each(|before| self.steps[before].said.is_shared = true);
            self.by_seq.insert(step.seq, index);
            self.open.extend(step.message.id().map(|id| (id.clone(), index)));
            self.by_progress_token.extend(progress_token.map(|token| (token, index)));
        }
        // Answers are given when they are asked for, whatever comes next.
        if !step.is_answer() {
            self.last = Some((After::Sent(index), step.at));
        }
        self.steps.push(step);
    }

    /// What a message is to the protocol; an answer comes after what it answers.
    fn kind_of(&mut self, envelope: &Envelope, last: &mut Option<(After, u64)>) -> StepKind {
        let asked = StepKind::Request { reply: None, progress: 0, hung_up: false };
        match envelope.kind() {
            Kind::Request => asked,
            Kind::Batch if envelope.message.elements().iter().any(|it| it.kind() == Kind::Request) => asked,
            Kind::Result | Kind::Error => {
                let question = self.question(envelope);
                *last = question.as_ref().map(|(_, at)| (After::Question, *at));
                StepKind::Answer { question: question.map(|(question, _)| question) }
            }
            Kind::Notification | Kind::Batch | Kind::Opaque => StepKind::OneWay,
        }
    }

    /// The request with this id that has no reply so far, and how much progress of it has come.
    fn asked(&self, id: &Id) -> Option<(usize, usize)> {
        let step = *self.open.get(&id.known(|id| self.open.contains_key(id))?)?;
        match self.steps[step].kind {
            StepKind::Request { reply: None, progress, .. } => Some((step, progress)),
            _ => None,
        }
    }

    fn question(&mut self, answer: &Envelope) -> Option<(Message, u64)> {
        match &answer.reply_to {
            Some(to) => self.questions_by_seq.get(&to.seq).cloned(),
            None => {
                let id = answer.message.id()?.known(|id| self.questions_by_id.contains_key(id))?;
                self.questions_by_id.remove(&id)
            }
        }
    }

    fn received(&mut self, place: usize, envelope: &Envelope) {
        if let (Some(waiting), Some(to)) = (&mut self.waiting, envelope.reply_to.as_ref().filter(|_| is_ours(envelope)))
        {
            // The process that is gone had it: tapline has said so to its client.
            waiting.retain(|it| it.step.seq != to.seq);
        }
        let message = envelope.original.as_ref().unwrap_or(&envelope.message);
        match message.kind() {
            Kind::Result | Kind::Error => {
                let step = match &envelope.reply_to {
                    Some(to) => self.by_seq.get(&to.seq),
                    None => {
                        let id = message.id().and_then(|id| id.known(|id| self.open.contains_key(id)));
                        id.and_then(|id| self.open.get(&id))
                    }
                };
                if let Some(step) = step.copied() {
                    self.replied(step, place, envelope);
                }
            }
            Kind::Batch => {
                let waits = |step: &ScriptStep| step.message.kind() == Kind::Batch && step.reply().is_none();
                let step =
                    self.steps.iter().position(|step| waits(step) && matches!(step.kind, StepKind::Request { .. }));
                if let Some(step) = step {
                    self.replied(step, place, envelope);
                }
            }
            Kind::Request if !is_ours(envelope) => {
                let question = (message.clone(), self.shift + envelope.at);
                self.questions_by_id.extend(message.id().map(|id| (id.clone(), question.clone())));
                self.questions_by_seq.insert(envelope.seq, question);
            }
            Kind::Notification if !is_ours(envelope) => self.notified(message),
            _ => {}
        }
    }

    fn replied(&mut self, step: usize, place: usize, envelope: &Envelope) {
        let message = envelope.original.as_ref().unwrap_or(&envelope.message);
        let (came, asked_at) = (self.shift + envelope.at, self.steps[step].at);
        // The client saw it when the operator let it go.
        let at = came + envelope.held.unwrap_or(0);
        let stored = self.stored(message);
        let StepKind::Request { reply: reply @ None, .. } = &mut self.steps[step].kind else {
            return;
        };
        *reply = Some(RecordedReply {
            place,
            at,
            took: envelope.reply_to.as_ref().map_or(came.saturating_sub(asked_at), |to| to.took),
            message: stored,
            status: envelope.transport.status,
            ours: is_ours(envelope),
            lost_server: is_ours(envelope) && ErrorCode::of(message) == Some(ErrorCode::UpstreamFailed),
        });
        if let Some(id) = self.steps[step].message.id().filter(|id| self.open.get(id) == Some(&step)) {
            self.open.remove(id);
        }
        self.alone.take_if(|alone| *alone == step);
        self.last = Some((After::Answered(step), at));
    }

    fn notified(&mut self, message: &Message) {
        if let Some(alone) = self.alone {
            self.steps[alone].said.note(message);
        }
        match message.method() {
            Some(method::PROGRESS) => {
                let step = meta::reported_progress(message)
                    .and_then(|token| Id::from_token(token).known(|token| self.by_progress_token.contains_key(token)))
                    .and_then(|token| self.by_progress_token.get(&token));
                if let Some(StepKind::Request { reply: None, progress, .. }) =
                    step.map(|step| &mut self.steps[*step].kind)
                {
                    *progress += 1;
                }
            }
            Some(method::LOG_MESSAGE) => {}
            _ => self.news += 1,
        }
    }
}

/// A message of the same kind, with the id, method, name and revision of another, and nothing else.
fn head_of(message: &Message) -> Message {
    let id = message.id().map(|id| format!(r#""id":{}"#, id.token()));
    let body = match message.kind() {
        Kind::Request | Kind::Notification => message.method().map(|method| {
            let mut params = serde_json::Map::new();
            if let Some(name) = message.name() {
                params.extend(["name", "uri"].map(|key| (key.to_owned(), name.into())));
            }
            if let Some(revision) = meta::protocol_version(message) {
                params.insert(meta::META.to_owned(), serde_json::json!({ meta::PROTOCOL_VERSION: revision }));
            }
            let (method, params) = (serde_json::Value::from(method), serde_json::Value::from(params));
            format!(r#""method":{method},"params":{params}"#)
        }),
        Kind::Result => Some(r#""result":{}"#.to_owned()),
        Kind::Error => Some(r#""error":{}"#.to_owned()),
        Kind::Batch => return Message::new("[]"),
        Kind::Opaque => return Message::new(""),
    };
    let members: Vec<_> = [Some(r#""jsonrpc":"2.0""#.to_owned()), id, body].into_iter().flatten().collect();
    Message::new(format!("{{{}}}", members.join(",")))
}

fn is_ours(envelope: &Envelope) -> bool {
    matches!(envelope.outcome, Outcome::Injected(_))
}
