//! What a recorded client did, as a list of steps: what it sent, after what, and what it got.
//!
//! Pure: the messages of one session in, its steps out; `interleaved` makes a [`Script`] of those of all sessions. A tape may be larger
//! than memory: of one that is read from its file, all but the first small messages stay there until they are needed, and of a step no more
//! is in memory than some hundred bytes, whatever it says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::envelope::{Direction, Envelope, Outcome, Seq, SessionId, Via};
use crate::mcp::error_code::ErrorCode;
use crate::mcp::{meta, method};
use crate::message::{Id, Kind, Message};
use crate::tape::play::order::SaidOrder;
use crate::tape::play::stored::{MessageOutline, MessageOutlines, StoredMessage, TapeLine};
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
    pub(super) ends: Vec<(u32, usize)>,
    /// Where the messages are that are not in memory.
    pub(super) files: Vec<Arc<TapeFile>>,
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

/// One message that reached the recorded server.
#[derive(Clone, Debug)]
pub(super) struct ScriptStep {
    pub(super) seq: Seq,
    /// Whose it is, of the sessions of the script.
    session: u32,
    pub(super) outline: Arc<MessageOutline>,
    /// The message as it stands on the tape.
    pub(super) body: StoredMessage,
    pub(super) kind: StepKind,
    /// Microseconds from the start of the tape.
    pub(super) at: u64,
    /// The operator or a replay said it, not the client.
    pub(super) is_ours: bool,
    /// Another request was open meanwhile.
    pub(super) is_shared: bool,
    /// Where on the tape it stands, counted in lines.
    pub(super) place: u32,
    /// What the client did or got right before.
    pub(super) after: Option<After>,
    /// Microseconds that it waited then.
    pub(super) pause: u64,
    /// Notifications of the server, other than progress and log lines, that came before.
    pub(super) news: u32,
    /// What few steps have.
    pub(super) extra: Option<Box<StepExtra>>,
}

/// What few steps have.
#[derive(Clone, Debug, Default)]
pub(super) struct StepExtra {
    /// It cancels a request: the step of that, and how much progress of it had come before.
    pub(super) cancels: Option<(usize, usize)>,
    /// What the server said of its own accord until the reply.
    pub(super) said: SaidOrder,
}

/// What a step is to the protocol.
#[derive(Clone, Debug)]
pub(super) enum StepKind {
    /// Wants a reply; `None` where the tape has none. `progress` counts the notifications that came before it. `hung_up`: whether the client
    /// gave up waiting.
    Request { reply: Option<RecordedReply>, progress: u32, hung_up: bool },
    /// Wants no more than to be accepted.
    OneWay,
    /// A reply to this request of the server; `None` where that request is not on the tape.
    Answer { question: Option<Box<RecordedQuestion>> },
    /// The client let go of the request that it cancels.
    HangUp,
}

/// A request of the server's, as it stands on the tape.
#[derive(Clone, Debug)]
pub(super) struct RecordedQuestion {
    pub(super) outline: Arc<MessageOutline>,
    pub(super) message: StoredMessage,
}

/// What a step came after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The client sent this step.
    Sent(u32),
    /// The client got the reply to this step.
    Answered(u32),
    /// The server sent the request that the step answers.
    Question,
}

/// The reply to a request, as it stands on the tape.
#[derive(Clone, Debug)]
pub(super) struct RecordedReply {
    pub(super) place: u32,
    /// When the client got it, in microseconds from the start of the tape.
    pub(super) at: u64,
    /// Microseconds from the request.
    pub(super) took: u64,
    /// What the server said, also where the client got something else.
    pub(super) message: StoredMessage,
    pub(super) status: Option<NonZeroU16>,
    /// Whether it was tapline that answered: then the server's answer is not known.
    pub(super) ours: bool,
    /// Whether that was because the server failed.
    pub(super) lost_server: bool,
}

impl ScriptStep {
    /// Whose it is, of the sessions of the script.
    pub(super) fn session(&self) -> usize {
        self.session as usize
    }

    /// As one of another session of the script.
    pub(super) fn of_session(self, session: u32) -> Self {
        Self { session, ..self }
    }

    /// The method, or for an answer what it answers.
    pub(super) fn method(&self) -> String {
        match (&self.kind, self.outline.method()) {
            (StepKind::Answer { question }, _) => {
                let asked = question.as_ref().and_then(|question| question.outline.method());
                format!("reply to {}", asked.unwrap_or("an unknown request"))
            }
            (StepKind::HangUp, None) => "hang-up".to_owned(),
            _ if self.outline.kind == Kind::Batch => "batch".to_owned(),
            (_, method) => method.unwrap_or("no JSON-RPC").to_owned(),
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

    /// Whether the tape has no reply to it, for which its client waited to the end.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.kind, StepKind::Request { reply: None, hung_up: false, .. })
    }

    /// Where it cancels a request: the step of that, and how much progress of it had come before.
    pub(super) fn cancels(&self) -> Option<(usize, usize)> {
        self.extra.as_ref()?.cancels
    }

    /// What the server said of its own accord until the reply; nothing where that is not known.
    pub(super) fn said(&self) -> Option<&SaidOrder> {
        self.extra.as_ref().map(|extra| &extra.said).filter(|_| !self.is_shared)
    }
}

/// A step that is no part of the script yet, and how what comes of it is known.
struct WaitingStep {
    step: ScriptStep,
    names: StepNames,
}

/// How a message is known that others are about.
#[derive(Clone, Default)]
struct StepNames {
    id: Option<Id>,
    progress_token: Option<Id>,
}

/// A request of the server's without an answer so far.
struct UnansweredQuestion {
    question: RecordedQuestion,
    id: Option<Id>,
    /// When it came.
    at: u64,
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
    /// Where the line of this message stands; `None` for one that is kept.
    line: Option<TapeLine>,
    outlines: MessageOutlines,
    /// Steps that are requests without a reply so far, by the number on the tape.
    by_seq: HashMap<Seq, (usize, StepNames)>,
    /// The same by id: for tapes that do not say which request a reply answers.
    open: HashMap<Id, usize>,
    by_progress_token: HashMap<Id, usize>,
    /// Batches with requests, the first without a reply before all others.
    batches: VecDeque<usize>,
    /// While a fresh process is told all again: what the client says to it then.
    waiting: Option<Vec<WaitingStep>>,
    /// The latest request, until it is answered.
    alone: Option<usize>,
    /// The server's requests without an answer so far.
    questions: HashMap<Seq, UnansweredQuestion>,
    questions_by_id: HashMap<Id, Seq>,
    /// The last thing the client did or got, and when, in microseconds from the start.
    last: Option<(After, u64)>,
    news: u32,
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
        let cancelled: HashSet<_> = steps.iter().filter_map(|step| Some(step.cancels()?.0)).collect();
        let is_waiting = |(at, step): &(usize, ScriptStep)| step.is_open() && !step.is_ours && !cancelled.contains(at);
        let open = steps.into_iter().enumerate().filter(is_waiting);
        let mut names = std::mem::take(&mut self.by_seq);
        let mut names = |step: &ScriptStep| names.remove(&step.seq).map(|(_, names)| names).unwrap_or_default();
        let waiting = open.map(|(_, step)| WaitingStep { names: names(&step), step }).collect();
        *self = Self { place: self.place, shift: self.shift, waiting: Some(waiting), ..Self::default() };
    }

    /// The fresh process has been told all: what the client had said meanwhile follows.
    pub(super) fn go_on(&mut self) {
        for WaitingStep { step, names } in self.waiting.take().unwrap_or_default() {
            let after = self.last.map(|(after, _)| after);
            let step = ScriptStep { place: short(self.place), after, pause: 0, news: self.news, ..step };
            self.push(WaitingStep { step, names });
        }
    }

    /// The client hung up on a request of its own; of one that is not played that says nothing.
    pub(super) fn hung_up(&mut self, request: Seq, at: u64) {
        let at = self.shift + at;
        let Some((request, _)) = self.by_seq.get(&request) else { return };
        let request = *request;
        let StepKind::Request { reply: None, progress, hung_up } = &mut self.steps[request].kind else { return };
        *hung_up = true;
        let cancels = Some((request, *progress as usize));
        let message = Message::new("");
        self.steps.push(ScriptStep {
            seq: self.steps[request].seq,
            session: 0,
            outline: self.outlines.of(&message, None),
            body: StoredMessage::of(&message, None),
            kind: StepKind::HangUp,
            is_ours: false,
            is_shared: false,
            at,
            place: short(self.place),
            after: self.last.map(|(after, _)| after),
            pause: self.last.map_or(0, |(_, last)| at.saturating_sub(last)),
            news: self.news,
            extra: Some(Box::new(StepExtra { cancels, said: SaidOrder::default() })),
        });
        self.last = Some((After::Sent(short(self.steps.len() - 1)), at));
    }

    /// Whether taking a request back means to hang up on it: a pipe of revision 2026-07-28 says so, and over HTTP, as everything is
    /// played, nothing is posted then (cancellation).
    fn hangs_up(&mut self, cancellation: &Envelope, request: usize) -> bool {
        let is_meant = cancellation.transport.via == Via::Stdio
            && (self.steps[request].outline.is_modern || self.outlines.of(&cancellation.message, None).is_modern);
        if let StepKind::Request { hung_up, .. } = &mut self.steps[request].kind {
            *hung_up |= is_meant;
        }
        is_meant
    }

    /// What the client sent, as a step.
    fn step(&mut self, envelope: &Envelope) -> WaitingStep {
        let message = &envelope.message;
        let mut last = self.last;
        let kind = self.kind_of(envelope, &mut last);
        let cancels = meta::cancelled_id(message).and_then(|id| self.asked(&id));
        let kind = match cancels {
            Some((request, _)) if self.hangs_up(envelope, request) => StepKind::HangUp,
            _ => kind,
        };
        self.said.note(message, self.place);
        let at = self.shift + envelope.at;
        let step = ScriptStep {
            seq: envelope.seq,
            session: 0,
            outline: self.outlines.of(message, envelope.transport.headers.as_ref()),
            body: StoredMessage::of(message, self.line.as_ref()),
            kind,
            at,
            is_ours: is_ours(envelope),
            is_shared: false,
            place: short(self.place),
            after: last.map(|(after, _)| after),
            pause: last.map_or(0, |(_, last)| at.saturating_sub(last)),
            news: self.news,
            extra: cancels.is_some().then(|| Box::new(StepExtra { cancels, said: SaidOrder::default() })),
        };
        let names = StepNames { id: message.id().cloned(), progress_token: meta::requested_progress(message) };
        WaitingStep { step, names }
    }

    fn push(&mut self, WaitingStep { mut step, names }: WaitingStep) {
        let index = self.steps.len();
        if matches!(step.kind, StepKind::Request { .. }) {
            step.is_shared = !self.open.is_empty();
            let before = self.alone.replace(index).filter(|_| step.is_shared);
            before.into_iter().for_each(|before| self.steps[before].is_shared = true);
            self.batches.extend(Some(index).filter(|_| step.outline.kind == Kind::Batch));
            self.open.extend(names.id.iter().map(|id| (id.clone(), index)));
            self.by_progress_token.extend(names.progress_token.iter().map(|token| (token.clone(), index)));
            self.by_seq.insert(step.seq, (index, names));
        }
        // Answers are given when they are asked for, whatever comes next.
        if !step.is_answer() {
            self.last = Some((After::Sent(short(index)), step.at));
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
                *last = question.as_ref().map(|open| (After::Question, open.at));
                StepKind::Answer { question: question.map(|open| Box::new(open.question)) }
            }
            Kind::Notification | Kind::Batch | Kind::Opaque => StepKind::OneWay,
        }
    }

    /// The request with this id that has no reply so far, and how much progress of it has come.
    fn asked(&self, id: &Id) -> Option<(usize, usize)> {
        let step = *self.open.get(&id.known(|id| self.open.contains_key(id))?)?;
        match self.steps[step].kind {
            StepKind::Request { reply: None, progress, .. } => Some((step, progress as usize)),
            _ => None,
        }
    }

    fn question(&mut self, answer: &Envelope) -> Option<UnansweredQuestion> {
        let seq = match &answer.reply_to {
            Some(to) => to.seq,
            None => {
                let id = answer.message.id()?.known(|id| self.questions_by_id.contains_key(id))?;
                *self.questions_by_id.get(&id)?
            }
        };
        let question = self.questions.remove(&seq)?;
        if let Some(id) = question.id.as_ref().filter(|id| self.questions_by_id.get(id) == Some(&seq)) {
            self.questions_by_id.remove(id);
        }
        Some(question)
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
                    Some(to) => self.by_seq.get(&to.seq).map(|(step, _)| *step),
                    None => {
                        let id = message.id().and_then(|id| id.known(|id| self.open.contains_key(id)));
                        id.and_then(|id| self.open.get(&id)).copied()
                    }
                };
                if let Some(step) = step {
                    self.replied(step, place, envelope);
                }
            }
            Kind::Batch => {
                if let Some(step) = self.batches.front().copied() {
                    self.replied(step, place, envelope);
                }
            }
            Kind::Request if !is_ours(envelope) => {
                let (id, at) = (message.id().cloned(), self.shift + envelope.at);
                let outline = self.outlines.of(message, None);
                let question = RecordedQuestion { outline, message: StoredMessage::of(message, self.line.as_ref()) };
                self.questions_by_id.extend(id.iter().map(|id| (id.clone(), envelope.seq)));
                self.questions.insert(envelope.seq, UnansweredQuestion { question, id, at });
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
        let stored = StoredMessage::of(message, self.line.as_ref());
        let StepKind::Request { reply: reply @ None, .. } = &mut self.steps[step].kind else {
            return;
        };
        *reply = Some(RecordedReply {
            place: short(place),
            at,
            took: envelope.reply_to.as_ref().map_or(came.saturating_sub(asked_at), |to| to.took),
            message: stored,
            status: envelope.transport.status.and_then(NonZeroU16::new),
            ours: is_ours(envelope),
            lost_server: is_ours(envelope) && ErrorCode::of(message) == Some(ErrorCode::UpstreamFailed),
        });
        self.forget_names(step);
        self.alone.take_if(|alone| *alone == step);
        self.last = Some((After::Answered(short(step)), at));
    }

    /// What comes from here on is about another request.
    fn forget_names(&mut self, step: usize) {
        self.batches.retain(|batch| *batch != step);
        let seq = self.steps[step].seq;
        let Some((_, names)) = self.by_seq.get(&seq).filter(|(known, _)| *known == step) else { return };
        for (known, name) in [(&mut self.open, &names.id), (&mut self.by_progress_token, &names.progress_token)] {
            if let Some(name) = name.as_ref().filter(|name| known.get(name) == Some(&step)) {
                known.remove(name);
            }
        }
        self.by_seq.remove(&seq);
    }

    fn notified(&mut self, message: &Message) {
        if let Some(alone) = self.alone {
            let step = &mut self.steps[alone];
            if !step.is_shared {
                step.extra.get_or_insert_default().said.note(message);
            }
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

/// A number of messages of a tape, of which a tape of a hundred gigabytes has fewer.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn is_ours(envelope: &Envelope) -> bool {
    matches!(envelope.outcome, Outcome::Injected(_))
}
