//! What comes back from the live server, and the verdict on it.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::script::StepKind;
use super::wire::{ExchangeEvent, outgoing};
use super::{AGES, ClientConnection, ExchangePurpose, GONE, LISTEN, Listening, Player, StepState};
use crate::envelope::SessionId;
use crate::event::{ReplayEvent, StepVerdict};
use crate::mcp::error_code::ErrorCode;
use crate::mcp::meta;
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::tape::accept::LiveReply;
use crate::tape::compare::{Findings, LearnedValues, Volatile, judge};
use crate::upstream::UpstreamError;

/// What excuses a server that is lost.
const LOST_THEN: &str = "the server was lost here when this was recorded, too";
/// When a stream is taken up again, unless the server says: what the SDK clients do.
const RETRY: Duration = Duration::from_secs(1);
/// The shortest pause before a stream is taken up again, whatever the server asks for.
const SOON: Duration = Duration::from_millis(50);
/// Listening streams in a row that brought nothing: then it is not asked for again.
const MOST_IN_VAIN: u32 = 20;

impl<R, O> Player<R, O>
where
    R: FnMut(ReplayEvent) + Send,
    O: FnMut(SessionId) -> Result<ClientConnection, UpstreamError> + Send,
{
    /// Takes in one event of an exchange.
    pub(super) fn on_reply(&mut self, purpose: ExchangePurpose, event: ExchangeEvent) {
        let session = match purpose {
            ExchangePurpose::Step(index) => self.script.steps[index].session(),
            ExchangePurpose::ListeningStream(session) | ExchangePurpose::UnrecordedAnswer(session) => session,
        };
        match (purpose, event) {
            (ExchangePurpose::Step(index), ExchangeEvent::Started { status, headers }) => {
                if let Some(step) = self.open_step(index) {
                    step.status = Some(status);
                    step.position.last_event_id.take_if(|_| !status.is_success());
                }
                if self.script.steps[index].outline.method() == Some(method::INITIALIZE) {
                    self.sessions[session].negotiated.session.note_headers(&headers);
                }
                self.accept(index, status);
            }
            (ExchangePurpose::Step(index), ExchangeEvent::Failed(error)) => self.on_failure(index, &error),
            (ExchangePurpose::Step(index), ExchangeEvent::Ended) => self.on_end(index),
            (ExchangePurpose::Step(index), ExchangeEvent::Message(message)) => {
                self.on_message(session, Some(index), &message);
            }
            (ExchangePurpose::ListeningStream(_), ExchangeEvent::Message(message)) => {
                self.sessions[session].listening_stream.brought = true;
                self.on_message(session, None, &message);
            }
            (ExchangePurpose::UnrecordedAnswer(_), ExchangeEvent::Message(message)) => {
                self.on_message(session, None, &message);
            }
            (ExchangePurpose::Step(index), ExchangeEvent::Resumable(fields)) => {
                self.open_step(index).into_iter().for_each(|step| step.position.note(&fields));
            }
            (ExchangePurpose::ListeningStream(_), event) => self.on_listening(session, event),
            (ExchangePurpose::UnrecordedAnswer(_), _) => {}
        }
    }

    /// Ends a step that wants no more than the acceptance of its message.
    fn accept(&mut self, index: usize, status: StatusCode) {
        let step = &self.script.steps[index];
        if matches!(step.kind, StepKind::Request { .. }) {
            return;
        }
        if !status.is_success() {
            return self.fail(index, http_status(status));
        }
        let (initialized, session) = (step.outline.method() == Some(method::INITIALIZED), step.session());
        self.conclude(index, StepVerdict::Pass, None, Findings::default(), None);
        if initialized && self.sessions[session].listening == Listening::No {
            self.listen(session);
        }
    }

    /// Opens the listening stream, as the SDK clients do here; a server without one answers 405.
    fn listen(&mut self, session: usize) {
        let client = &mut self.sessions[session];
        let headers = client.negotiated.bare(&client.last_headers, &self.options.headers);
        client.listening = Listening::Opening { until: Instant::now() + LISTEN };
        self.push_listening(session, headers, Duration::ZERO);
    }

    fn push_listening(&mut self, session: usize, headers: HeaderMap, pause: Duration) {
        let outgoing = outgoing(Method::GET, headers, None);
        let events = self.exchange(session, outgoing, pause, ExchangePurpose::ListeningStream(session));
        self.exchanges.extend(events);
    }

    /// Follows the listening stream; one that ends is taken up again where it was left, as a client does (2025-11-25, transports).
    fn on_listening(&mut self, session: usize, event: ExchangeEvent) {
        let client = &mut self.sessions[session];
        client.listening = Listening::Decided;
        let stream = &mut client.listening_stream;
        match event {
            ExchangeEvent::Started { status, .. } => {
                stream.is_open = status.is_success();
                stream.brought = false;
            }
            ExchangeEvent::Resumable(fields) => {
                stream.brought = true;
                stream.position.note(&fields);
            }
            ExchangeEvent::Ended if std::mem::take(&mut stream.is_open) => {
                stream.in_vain = if stream.brought { 0 } else { stream.in_vain + 1 };
                if stream.in_vain < MOST_IN_VAIN {
                    self.listen_again(session);
                }
            }
            ExchangeEvent::Message(_) | ExchangeEvent::Failed(_) | ExchangeEvent::Ended => {}
        }
    }

    fn listen_again(&mut self, session: usize) {
        let client = &mut self.sessions[session];
        let stream = &mut client.listening_stream;
        let pause = stream.position.retry.unwrap_or(RETRY).clamp(SOON, AGES);
        stream.resumes = Some(Instant::now() + pause);
        let (like, extra) = (&client.last_headers, &self.options.headers);
        let headers = match stream.position.header() {
            Some(after) => client.negotiated.resume(after, like, extra),
            None => client.negotiated.bare(like, extra),
        };
        self.push_listening(session, headers, pause);
    }

    fn on_message(&mut self, session: usize, index: Option<usize>, message: &Message) {
        match message.kind() {
            Kind::Request => self.answer_request(session, index, message),
            Kind::Notification => self.on_notification(session, index, message),
            Kind::Result | Kind::Error => {
                if let Some(index) = self.request_of(session, index, message) {
                    self.judge_reply(index, message);
                }
            }
            Kind::Batch => match index.filter(|index| self.script.steps[*index].outline.kind == Kind::Batch) {
                Some(index) => self.judge_reply(index, message),
                None => message.elements().iter().for_each(|element| self.on_message(session, index, element)),
            },
            Kind::Opaque => {
                if let Some(index) = index.filter(|index| self.is_asking(*index)) {
                    let status = self.status(index).map(http_status).unwrap_or_default();
                    let flaw = message.head().flaw.as_deref().unwrap_or("opaque");
                    self.fail(index, format!("{status}: the answer is not JSON-RPC ({flaw})"));
                }
            }
        }
    }

    fn is_asking(&self, index: usize) -> bool {
        self.played[index].state == StepState::InFlight
            && matches!(self.script.steps[index].kind, StepKind::Request { .. })
    }

    /// The request that a reply answers: the one of its exchange, where it has that id, or no id; else any with that id. Clients that
    /// share a tape (2026-07-28 has no sessions) count each for itself.
    fn request_of(&self, session: usize, index: Option<usize>, reply: &Message) -> Option<usize> {
        let id = reply.id();
        let asked = |index: usize| self.open_steps.get(&index).and_then(|step| step.id.as_ref());
        if let Some(own) = index.filter(|index| self.is_asking(*index) && id == asked(*index)) {
            return Some(own);
        }
        let waiting = &self.sessions[session].waiting;
        if let Some(known) = id.and_then(|id| id.known(|id| waiting.contains_key(id))) {
            return waiting.get(&known).copied();
        }
        index.filter(|index| self.is_asking(*index) && id.is_none_or(Id::is_null))
    }

    fn judge_reply(&mut self, index: usize, live: &Message) {
        let took = self.played[index].sent.map(|sent| self.instant(sent).elapsed());
        let script = self.script.clone();
        let step = &script.steps[index];
        let StepKind::Request { reply, progress, .. } = &step.kind else {
            return;
        };
        let came = self.open_steps.get(&index).map_or(0, |step| step.progress);
        if came < *progress as usize {
            self.note(index, format!("{came} of {progress} progress notifications came"));
        }
        let without = match reply {
            None => Some("the tape has no reply to compare with"),
            Some(reply) if reply.ours => Some("tapline answered this when it was recorded"),
            Some(_) => None,
        };
        let Some(reply) = reply.as_ref().filter(|_| without.is_none()) else {
            return self.conclude(index, StepVerdict::Pass, without.map(str::to_owned), Findings::default(), took);
        };
        let recorded = match reply.message.load(&script.files) {
            Ok(recorded) => recorded,
            Err(why) => return self.fail(index, why),
        };
        if let Some(ignored) = self.options.ignored.as_mut().filter(|it| it.has_changed().unwrap_or(false)) {
            self.options.rules.ignore.clone_from(&ignored.borrow_and_update());
        }
        let said = &script.sessions[step.session()].said;
        let session = &mut self.sessions[step.session()];
        let mut found = judge(
            &recorded,
            live,
            &self.options.rules,
            &LearnedValues {
                live: &|text| session.tokens.live_text(text),
                is_sent_back: &|word| said.is_only_after(word, reply.place as usize),
            },
        );
        session.tokens.know(std::mem::take(&mut found.handles));
        if let Some(replies) = self.options.replies.as_ref().filter(|_| !found.differences.is_empty()) {
            let (request, differences) = (step.seq, found.differences.clone());
            let _ = replies.send(LiveReply { request, reply: live.clone(), differences });
        }
        if step.outline.method() == Some(method::INITIALIZE) {
            session.negotiated.session.note_result(live);
            session.negotiated.recorded_version =
                meta::agreed_version(&recorded).and_then(|version| version.parse().ok());
        }
        let was_fine = reply.status.is_none_or(|status| (200..300).contains(&status.get()));
        let status = self.status(index).filter(|status| was_fine && !status.is_success()).map(http_status);
        let count = match found.differences.len() {
            0 => None,
            1 => Some("1 value differs".to_owned()),
            count => Some(format!("{count} values differ")),
        };
        let why: Vec<_> = status.into_iter().chain(count).chain(self.judge_order(index)).collect();
        let verdict = if why.is_empty() { StepVerdict::Pass } else { StepVerdict::Fail };
        self.conclude(index, verdict, (!why.is_empty()).then(|| why.join(", ")), found, took);
    }

    /// What the server said until the reply is to come in the order in which it once did. Returns why it fails, where every byte counts;
    /// else a note has it.
    fn judge_order(&mut self, index: usize) -> Option<String> {
        let once = self.script.steps[index].said()?;
        let differs = self.open_steps.get(&index)?.said.iter().find_map(|live| once.difference(live))?;
        let rules = &self.options.rules;
        if rules.volatile == Volatile::Exact && rules.only.is_empty() {
            return Some(differs);
        }
        self.note(index, differs);
        None
    }

    fn on_notification(&mut self, session: usize, index: Option<usize>, message: &Message) {
        if let Some(alone) = self.sessions[session].alone.filter(|alone| index.is_none_or(|index| index == *alone)) {
            let step = self.open_step(alone).into_iter();
            step.for_each(|step| step.said[usize::from(index.is_none())].note(message));
        }
        match message.method() {
            Some(method::PROGRESS) => self.on_progress(session, index, message),
            Some(method::LOG_MESSAGE) => {}
            _ => self.sessions[session].news += 1,
        }
    }

    fn on_progress(&mut self, session: usize, index: Option<usize>, message: &Message) {
        let token = meta::reported_progress(message).map(Id::from_token);
        let is_own = |index: &usize| self.open_steps.get(index).is_some_and(|step| step.progress_token == token);
        let own = index.filter(|index| token.is_some() && is_own(index));
        let known = &self.sessions[session].by_progress_token;
        let token = token.and_then(|token| token.known(|token| known.contains_key(token)));
        let step = own.or_else(|| token.and_then(|token| known.get(&token).copied()));
        let Some(played) = step.and_then(|step| self.open_step(step)) else {
            return;
        };
        let params = message.member("params").and_then(|params| serde_json::from_str(params).ok());
        let value = params.and_then(|params: serde_json::Value| params.get("progress")?.as_f64());
        if let (Some(last), Some(value)) = (played.last_progress, value)
            && value < last
        {
            played.notes.push(format!("progress went back from {last} to {value}"));
        }
        played.progress += 1;
        played.last_progress = value.or(played.last_progress);
    }

    /// Answers a request of the server's as the recorded client did.
    fn answer_request(&mut self, session: usize, index: Option<usize>, question: &Message) {
        let id = question.id().expect("a request has an id");
        let client = &mut self.sessions[session];
        if let Some(answer) = client.answers.take_nearest(&self.script, question) {
            let step = &self.script.steps[answer];
            let recorded = match step.body.load(&self.script.files) {
                Ok(recorded) => client.tokens.apply(&recorded),
                Err(why) => return self.fail(answer, why),
            };
            let pause = self.scaled(step.pause);
            self.answering += 1;
            self.post(answer, recorded.with_id(id).unwrap_or(recorded), pause);
            return;
        }
        let method = question.method().unwrap_or_default();
        let answer = if method == method::PING {
            // Every client must answer it, and it says nothing of the client (2025-11-25, utilities, ping).
            Message::new(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.token()))
        } else {
            let why = format!("the tape has no answer to `{method}`");
            if let Some(index) = index.or_else(|| client.waiting.values().copied().max()) {
                self.note(index, why.clone());
            }
            Message::error_reply(Some(id), ErrorCode::NotOnTape.number(), &format!("tapline: {why}"), None)
        };
        let client = &self.sessions[session];
        let headers =
            client.negotiated.post(Some(&client.last_headers), &answer, &client.tokens, &self.options.headers);
        let outgoing = outgoing(Method::POST, headers, Some(answer));
        let events = self.exchange(session, outgoing, Duration::ZERO, ExchangePurpose::UnrecordedAnswer(session));
        self.exchanges.extend(events);
    }

    fn on_failure(&mut self, index: usize, error: &UpstreamError) {
        let is_gone = !matches!(error, UpstreamError::BrokenOff { .. });
        let position = self.open_steps.get(&index).map(|step| &step.position);
        if !is_gone && position.is_some_and(|position| position.last_event_id.is_some()) {
            // It is taken up again when it has ended.
            return;
        }
        if self.played[index].state == StepState::InFlight {
            self.lose(index, &error.to_string());
        }
        if is_gone {
            self.summary.lost.get_or_insert_with(|| error.to_string());
            self.give_up(self.script.steps[index].session(), &error.to_string());
        }
    }

    /// Ends what is played of a session whose server is gone: what is in flight has failed, what was not sent is skipped.
    fn give_up(&mut self, session: usize, why: &str) {
        for index in self.in_flight(session) {
            self.lose(index, why);
        }
        self.sessions[session].over.get_or_insert(GONE);
    }

    /// Ends a step whose server was lost over it. As it is meant to, that passes where it was so when it was recorded, or where the
    /// client waits for no reply.
    fn lose(&mut self, index: usize, why: &str) {
        let step = &self.script.steps[index];
        let excuse = match &step.kind {
            StepKind::Request { .. } if self.is_taken_back(index) => "the client took it back",
            StepKind::Request { reply: Some(reply), .. } if reply.lost_server => LOST_THEN,
            StepKind::Request { reply: None, .. } if self.script.sessions[step.session()].lost_server => LOST_THEN,
            StepKind::Request { reply: None, .. } if step.outline.method() == Some(method::SUBSCRIPTIONS_LISTEN) => {
                "the tape has no end of it"
            }
            _ => return self.fail(index, why.to_owned()),
        };
        self.conclude(index, StepVerdict::Pass, Some(format!("{excuse}: {why}")), Findings::default(), None);
    }

    /// Asks for the rest of a stream that ended before the reply, as a client does (2025-11-25, transports, resumability).
    fn resume(&mut self, index: usize) -> bool {
        let position = self.open_steps.get(&index).map(|step| &step.position);
        let Some((position, after)) = position.and_then(|position| Some((position, position.header()?))) else {
            return false;
        };
        let session = &self.sessions[self.script.steps[index].session()];
        let headers = session.negotiated.resume(after, &session.last_headers, &self.options.headers);
        let pause = position.retry.unwrap_or(RETRY).clamp(SOON, AGES);
        self.push(index, outgoing(Method::GET, headers, None), pause);
        true
    }

    fn on_end(&mut self, index: usize) {
        if !self.is_asking(index) {
            return;
        }
        if self.resume(index) {
            return;
        }
        let step = &self.script.steps[index];
        let status = self.status(index);
        // HTTP+SSE (2024-11-05) answers on the listening stream.
        if status == Some(StatusCode::ACCEPTED) {
            return;
        }
        if step.outline.kind == Kind::Batch {
            let why = "the replies came one by one and were not compared".to_owned();
            return self.conclude(index, StepVerdict::Pass, Some(why), Findings::default(), None);
        }
        if step.reply().is_none() {
            let why = "the tape has no reply to compare with, and none came".to_owned();
            return self.conclude(index, StepVerdict::Pass, Some(why), Findings::default(), None);
        }
        let status = status.map(http_status).unwrap_or_default();
        self.fail(index, format!("{status}: the answer ended without a reply"));
    }
}

fn http_status(status: StatusCode) -> String {
    format!("HTTP {status}")
}
