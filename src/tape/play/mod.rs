//! Plays the clients of a tape at a live server, and judges what the server answers.
//!
//! Each session of the tape has a client and a connection of its own, and what is learned in one is known in no other
//! (`sessions`); all of them are played in the one order in which everything passed (`interleaved`).
//!
//! Everything runs in the caller's task: [`play`] owns all state, and dropping it hangs up every exchange. What was
//! sent is sent again, byte for byte, except for what only the live server can know: its session id, its cursors and
//! other tokens (`tokens`), and the ids of its own requests. A message goes out when everything that the recorded
//! client had got before it has come again, so causes stay before effects at any speed; calls that overlapped overlap.

mod answers;
mod interleaved;
mod on_reply;
mod order;
mod playable;
mod script;
mod sessions;
mod source;
mod stepping;
mod steps;
mod stored;
#[cfg(test)]
mod tests;
mod verdicts;
pub(super) mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, SelectAll, StreamExt as _};
use http::{HeaderMap, Method};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::answers::RecordedAnswers;
pub(super) use self::playable::PlayedPart;
pub use self::playable::{PlayableTape, SeqSet, TapeSelection};
use self::script::{After, Script, ScriptStep, StepKind};
pub use self::sessions::ClientConnection;
use self::sessions::PlayedSession;
pub use self::stepping::StepGate;
use self::steps::{OpenStep, PlayedStep, StepState};
use self::wire::{ExchangeEvent, exchange, outgoing};
use super::accept::LiveReply;
use super::compare::{Findings, Rules, RunClocks};
use crate::envelope::SessionId;
use crate::event::{ReplayEvent, ReplaySummary, Speed, StepVerdict, StepWait, Timestamp};
use crate::json::PathPattern;
use crate::mcp::{meta, method};
use crate::message::Message;
use crate::upstream::streamable::StreamPosition;
use crate::upstream::{Outgoing, UpstreamError};

/// How a tape is played: its speed, its target, what is compared.
#[derive(Clone, Debug)]
pub struct PlayOptions {
    pub speed: Speed,
    /// What is no difference.
    pub rules: Rules,
    /// Put on every request, over what was recorded: an `Authorization`, for one, which no tape has.
    pub headers: HeaderMap,
    /// How long a reply may take before the step fails; three times what it took when it was recorded, if that is more.
    pub patience: Duration,
    pub on_failure: OnFailure,
    /// What is no difference from the next reply on, in place of what [`Self::rules`] ignores.
    pub ignored: Option<watch::Receiver<Vec<PathPattern>>>,
    /// Where replies go that differ.
    pub replies: Option<mpsc::UnboundedSender<LiveReply>>,
    /// Who says when the next message goes out; if `None`, the tape does.
    pub steps: Option<StepGate>,
    /// Whether the session of the last message stays open at the server when all is played.
    pub keeps_session: bool,
}

/// What a failed step means for those after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    #[default]
    GoOn,
    Stop,
}

impl Default for PlayOptions {
    fn default() -> Self {
        Self {
            speed: Speed::Max,
            rules: Rules::default(),
            headers: HeaderMap::new(),
            patience: Duration::from_secs(60),
            on_failure: OnFailure::GoOn,
            ignored: None,
            replies: None,
            steps: None,
            keeps_session: false,
        }
    }
}

/// How long a listening stream may take to open before the next message goes out all the same.
const LISTEN: Duration = Duration::from_secs(1);
/// How long a notification, or a question, that once came before a message is waited for before that message.
const NEWS: Duration = Duration::from_secs(1);
/// How long a request that the tape has no reply to is watched at the end: its server may end over it.
const SILENCE: Duration = Duration::from_secs(1);
/// At full speed, the most that a notification stays behind the request it may be about.
const BEHIND: Duration = Duration::from_millis(20);

/// Why a step is skipped whose server is no more; why that is so is said where it happened, once.
const GONE: &str = "the server is gone";

/// Messages heard before the next one is sent, or before the play ends, however fast they come.
const AT_ONCE: usize = 64;
/// The longest pause: a clock can be added to without an overflow.
const AGES: Duration = Duration::from_secs(365 * 24 * 3600);

/// A message that waits for less is not worth telling.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// How long the server may take to end a session.
const GOODBYE: Duration = Duration::from_secs(2);

/// Plays a tape as its clients, and reports every step as it ends. `open` gives the client of a session its connection, before its
/// first message.
///
/// Dropping the future stops at once; `stop` ends the sessions at the server first, and reports what was not played.
pub async fn play(
    tape: PlayableTape,
    mut open: impl FnMut(SessionId) -> Result<ClientConnection, UpstreamError> + Send,
    mut options: PlayOptions,
    mut report: impl FnMut(ReplayEvent) + Send,
    stop: CancellationToken,
) -> ReplaySummary {
    let kept = tape.last_session();
    let PlayableTape { path, header, script, .. } = tape;
    let Some(first) = script.steps.first() else {
        // A test that tests nothing has not passed.
        let why = "there is nothing to play: no message of a client that reached its server is on the tape, or in the part of it that was \
                   asked for";
        report(ReplayEvent::Failed { why: why.to_owned() });
        return ReplaySummary::default();
    };
    let first = first.session();
    let connection = match open(script.sessions[first].id) {
        Ok(connection) => connection,
        Err(error) => {
            report(ReplayEvent::Failed { why: error.to_string() });
            return ReplaySummary::default();
        }
    };
    options.rules.clocks.get_or_insert(RunClocks { recorded: header.started, live: Timestamp::now() });
    let target = connection.upstream.label().to_string();
    report(ReplayEvent::Started { tape: path, target, steps: script.steps.len() });
    let mut player = Player::new(script, open, options, report);
    player.sessions[first].connection = Some(connection);
    player.run(&stop).await;
    player.finish(kept).await
}

/// What one of our exchanges with the live server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExchangePurpose {
    /// It plays this step of the script.
    Step(usize),
    /// It is the GET stream on which the server sends what answers no request, in this session.
    ListeningStream(usize),
    /// It carries an answer that is not on the tape, in this session.
    UnrecordedAnswer(usize),
}

/// How far the listening stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Listening {
    /// It was not asked for.
    #[default]
    No,
    /// It was asked for; nothing is sent before `until` unless the server answers.
    Opening { until: Instant },
    /// It is open, was refused, or is no longer waited for.
    Decided,
}

/// The listening stream, and how it is taken up again.
#[derive(Debug, Default)]
struct ListeningStream {
    position: StreamPosition,
    /// Whether the server has accepted the present one.
    is_open: bool,
    /// Whether something came on the present one.
    brought: bool,
    /// Streams in a row that brought nothing.
    in_vain: u32,
    /// When it was, or is, asked for again.
    resumes: Option<Instant>,
}

/// When the next step is to go out.
enum Due {
    Now,
    At(Instant),
    /// At the pace of the tape.
    Paced(Instant),
    /// When this session has ended, as it did here.
    AtEnd(usize),
    /// When something else has come.
    Later,
    /// All steps were sent.
    Never,
}

/// All state of one replay. Its methods stand in four files: what goes out here, what comes back in `on_reply`, how a step
/// and a session end in `verdicts`, what is known of steps in `steps`.
struct Player<R, O> {
    script: Arc<Script>,
    /// The clients of the tape.
    sessions: Vec<PlayedSession>,
    open: O,
    options: PlayOptions,
    report: R,
    played: Vec<PlayedStep>,
    /// Those without a verdict of which something is known.
    open_steps: BTreeMap<usize, OpenStep>,
    /// Hangs up on the exchange of a request, where the recorded client did.
    hang_ups: HashMap<usize, CancellationToken>,
    /// The next step to go out.
    next: usize,
    /// The next end of a session, of those on the tape.
    next_end: usize,
    exchanges: SelectAll<BoxStream<'static, (ExchangePurpose, ExchangeEvent)>>,
    /// Clients that hang up.
    leaving: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Where on the tape the reply stands that a step in flight waits for; no later message may go out before it.
    blockers: BTreeSet<(u32, usize)>,
    deadlines: BTreeSet<(Instant, usize)>,
    /// How many recorded answers are on their way to the server.
    answering: usize,
    /// Answers whose question is waited for, as it came before the next message.
    unasked: Vec<usize>,
    /// Since when.
    unasked_since: Option<Instant>,
    /// Since when the progress is waited for that the next step came after.
    progress_since: Option<Instant>,
    /// The step that was last told to wait for its time.
    told_to_wait: Option<usize>,
    /// The step that is not to wait for its time.
    hurried: Option<usize>,
    /// Why nothing more can be played.
    over: Option<String>,
    began: Instant,
    summary: ReplaySummary,
}

impl<R, O> Player<R, O>
where
    R: FnMut(ReplayEvent) + Send,
    O: FnMut(SessionId) -> Result<ClientConnection, UpstreamError> + Send,
{
    fn new(script: Arc<Script>, open: O, options: PlayOptions, report: R) -> Self {
        let answers = RecordedAnswers::of_each(&script).into_iter();
        Self {
            sessions: answers.map(|answers| PlayedSession { answers, ..PlayedSession::default() }).collect(),
            played: vec![PlayedStep::default(); script.steps.len()],
            open_steps: BTreeMap::new(),
            hang_ups: HashMap::new(),
            script,
            open,
            options,
            report,
            next: 0,
            next_end: 0,
            exchanges: SelectAll::new(),
            leaving: FuturesUnordered::new(),
            blockers: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            answering: 0,
            unasked: Vec::new(),
            unasked_since: None,
            progress_since: None,
            told_to_wait: None,
            hurried: None,
            over: None,
            began: Instant::now(),
            summary: ReplaySummary::default(),
        }
    }

    async fn run(&mut self, stop: &CancellationToken) {
        while self.over.is_none() {
            if stop.is_cancelled() {
                self.over = Some("stopped".to_owned());
                self.summary.stopped = true;
                return;
            }
            let due = self.due();
            let is_paced = matches!(due, Due::Paced(_));
            let due = match due {
                Due::Now => {
                    self.send_next(stop).await;
                    continue;
                }
                Due::AtEnd(session) => {
                    self.end(session).await;
                    continue;
                }
                Due::At(due) => Some(due),
                Due::Paced(due) => Some(self.tell_wait(due)),
                Due::Never if self.blockers.is_empty() && self.answering == 0 => return self.hear_the_rest(),
                Due::Later | Due::Never => None,
            };
            let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
            let wake = due.into_iter().chain(deadline).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some((purpose, event)) = self.exchanges.next() => self.on_reply(purpose, event),
                Some(()) = self.leaving.next() => {}
                () = StepGate::hurried(self.options.steps.clone()), if is_paced => self.hurried = Some(self.next),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.expire(),
            }
        }
    }

    /// What has come by now counts, too: a question that was asked before the last reply, on a stream of its own, is answered.
    fn hear_the_rest(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(Some((purpose, event))) = self.exchanges.next().now_or_never() else { return };
            self.on_reply(purpose, event);
        }
    }

    /// Sends the next message, if the operator lets it go.
    async fn send_next(&mut self, stop: &CancellationToken) {
        if !self.is_let_go(stop).await {
            return;
        }
        if self.is_connected(self.next) {
            self.start(self.next);
        }
        self.next += 1;
        self.send_in_order();
        // A server in memory may never make us wait.
        tokio::task::yield_now().await;
    }

    /// Waits until the operator, step by step, lets the next message go; what comes meanwhile is heard. `false` where it is all over.
    async fn is_let_go(&mut self, stop: &CancellationToken) -> bool {
        let Some(gate) = self.options.steps.clone().filter(|gate| gate.is_for_each) else { return true };
        self.report_wait(None);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                Some((purpose, event)) = self.exchanges.next() => self.on_reply(purpose, event),
                permit = gate.go.acquire() => {
                    permit.into_iter().for_each(SemaphorePermit::forget);
                    let session = self.script.steps[self.next].session();
                    return self.over.is_none() && self.sessions[session].over.is_none();
                }
            }
        }
    }

    /// Says once of a step that it waits for its time.
    fn tell_wait(&mut self, due: Instant) -> Instant {
        let Some(gate) = self.options.steps.as_ref().filter(|_| self.told_to_wait != Some(self.next)) else {
            return due;
        };
        if !gate.is_for_each {
            // What was let go before was not this.
            gate.go.forget_permits(Semaphore::MAX_PERMITS);
        }
        self.told_to_wait = Some(self.next);
        let left = due.saturating_duration_since(Instant::now());
        if left >= WORTH_TELLING {
            self.report_wait(Some(left.as_micros().try_into().unwrap_or(u64::MAX)));
        }
        due
    }

    fn report_wait(&mut self, left: Option<u64>) {
        let step = &self.script.steps[self.next];
        let name = step.outline.name().map(|name| format!(" {name}")).unwrap_or_default();
        let of = self.named_session(step).map(|id| format!(" of session {}", id.short())).unwrap_or_default();
        let next = format!("{} {}{name}{of}", step.seq, step.method());
        (self.report)(ReplayEvent::Waiting(StepWait { step: self.next + 1, next, left }));
    }

    /// Has what was just started written before the next message is.
    fn send_in_order(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(Some((purpose, event))) = self.exchanges.next().now_or_never() else {
                return;
            };
            self.on_reply(purpose, event);
        }
    }

    fn due(&mut self) -> Due {
        while let Some(step) = self.script.steps.get(self.next) {
            if let Some(why) = self.sessions[step.session()].over {
                self.conclude(self.next, StepVerdict::Skip, Some(why.to_owned()), Findings::default(), None);
            } else if step.is_answer() {
                self.unasked
                    .extend(Some(self.next).filter(|_| matches!(step.kind, StepKind::Answer { question: Some(_) })));
            } else {
                break;
            }
            self.next += 1;
        }
        let now = Instant::now();
        let asked = self.asked_until(now);
        let Some(step) = self.script.steps.get(self.next) else {
            let watched = self.sessions.iter().filter_map(|session| self.silent_until(session)).max();
            return asked.or(watched.filter(|until| *until > now)).map_or(Due::Never, Due::At);
        };
        if self.blockers.first().is_some_and(|(place, _)| *place < step.place) {
            return Due::Later;
        }
        if let Some((place, session)) = self.script.ends.get(self.next_end)
            && *place <= step.place
        {
            let until = asked.or_else(|| self.silent_until(&self.sessions[*session]));
            return until.filter(|until| *until > now).map_or(Due::AtEnd(*session), Due::At);
        }
        let (pause, news, cancels, recorded) = (self.pause_until(step), step.news as usize, step.cancels(), step.pause);
        let listening = self.sessions[step.session()].listening_until();
        let progress = cancels.and_then(|cancelled| self.progress_until(cancelled, recorded, now));
        let waits = [listening, Some(pause), self.news_until(news, now), progress, asked];
        let due = |until| if until == pause { Due::Paced(until) } else { Due::At(until) };
        waits.into_iter().flatten().find(|until| *until > now).map_or(Due::Now, due)
    }

    fn pause_until(&self, step: &ScriptStep) -> Instant {
        if self.hurried == Some(self.next) {
            return self.began;
        }
        let after = match step.after {
            Some(After::Sent(step)) => self.played[step as usize].sent,
            Some(After::Answered(step)) => self.played[step as usize].done,
            Some(After::Question) | None => None,
        };
        let after = after.map(|after| self.instant(after));
        let pause = match self.options.speed {
            // A cancellation must not overtake what it cancels.
            Speed::Max
                if matches!(step.kind, StepKind::OneWay | StepKind::HangUp)
                    && !self.sessions[step.session()].waiting.is_empty() =>
            {
                Duration::from_micros(step.pause).min(BEHIND)
            }
            _ => self.scaled(step.pause),
        };
        after.unwrap_or(self.began) + pause
    }

    /// A recorded time, in microseconds, at the speed of this replay.
    fn scaled(&self, micros: u64) -> Duration {
        match self.options.speed {
            Speed::Times(times) if times > 0.0 => {
                Duration::try_from_secs_f64(Duration::from_micros(micros).as_secs_f64() / times)
                    .unwrap_or(AGES)
                    .min(AGES)
            }
            Speed::Times(_) | Speed::Max => Duration::ZERO,
        }
    }

    /// Returns until when notifications are waited for that once came before the next step; past that time they are given up,
    /// with a note.
    fn news_until(&mut self, expected: usize, now: Instant) -> Option<Instant> {
        let session = &mut self.sessions[self.script.steps[self.next].session()];
        let absent = expected.saturating_sub(session.missed + session.news);
        if absent == 0 {
            return None;
        }
        let since = *session.news_since.get_or_insert(now);
        // What is said while there is no listening stream comes when the stream is taken up again.
        let until = session.listening_stream.resumes.map_or(since, |resumes| resumes.max(since)) + NEWS;
        if until <= now {
            session.missed += absent;
            session.news_since = None;
            let what = if absent == 1 { "a notification" } else { "notifications" };
            self.note(self.next, format!("{what} that once came before did not come ({absent})"));
        }
        Some(until)
    }

    /// Returns until when questions of the server are waited for that were answered before the next message.
    fn asked_until(&mut self, now: Instant) -> Option<Instant> {
        let played = &self.played;
        self.unasked.retain(|answer| played[*answer].state == StepState::Idle);
        if self.unasked.is_empty() {
            self.unasked_since = None;
            return None;
        }
        let until = *self.unasked_since.get_or_insert(now) + NEWS;
        if until <= now {
            self.unasked.clear();
            self.unasked_since = None;
        }
        (until > now).then_some(until)
    }

    /// Returns until when requests of a session are watched that nobody answered when it was recorded.
    fn silent_until(&self, session: &PlayedSession) -> Option<Instant> {
        let is_watched = |index: &&usize| {
            let step = &self.script.steps[**index];
            step.is_open()
                && !self.is_taken_back(**index)
                && step.outline.method() != Some(method::SUBSCRIPTIONS_LISTEN)
        };
        let sent = session.waiting.values().filter(is_watched).filter_map(|index| self.played[*index].sent);
        sent.max().map(|sent| self.instant(sent) + SILENCE)
    }

    /// Returns until when the progress of a request is waited for that had come before the client cancelled it. `pause`: how long the
    /// client had waited.
    fn progress_until(&mut self, (request, expected): (usize, usize), pause: u64, now: Instant) -> Option<Instant> {
        let came = self.open_steps.get(&request).map_or(0, |step| step.progress);
        if self.played[request].state != StepState::InFlight || came >= expected {
            return None;
        }
        let since = *self.progress_since.get_or_insert(now);
        since.checked_add(NEWS.max(Duration::from_micros(pause.saturating_mul(3))))
    }

    fn start(&mut self, index: usize) {
        self.progress_since = None;
        let script = self.script.clone();
        let step = &script.steps[index];
        if let (StepKind::HangUp, Some((request, _))) = (&step.kind, step.cancels()) {
            return self.hang_up(index, request);
        }
        if let Some((request, _)) = step.cancels() {
            self.open_step(request).into_iter().for_each(|request| request.is_taken_back = true);
        }
        let recorded = match step.body.load(&script.files) {
            Ok(recorded) => recorded,
            Err(why) => return self.fail(index, why),
        };
        let session = &mut self.sessions[step.session()];
        let message = session.tokens.apply(&recorded);
        session.news_since = None;
        match &step.kind {
            StepKind::Request { reply, .. } => {
                let other = !session.waiting.is_empty();
                let shared = session.alone.replace(index).into_iter().chain([index]).filter(|_| other);
                let token = meta::requested_progress(&message);
                session.waiting.extend(message.id().map(|id| (id.clone(), index)));
                session.by_progress_token.extend(token.iter().map(|token| (token.clone(), index)));
                for shared in shared.collect::<Vec<_>>() {
                    let said = self.open_step(shared).into_iter().flat_map(|step| &mut step.said);
                    said.for_each(|said| said.is_shared = true);
                }
                self.open_steps.entry(index).or_default().progress_token = token;
                self.blockers.extend(reply.as_ref().map(|reply| (reply.place, index)));
            }
            // The recorded client had the acceptance of one before it sent the next.
            StepKind::OneWay | StepKind::Answer { .. } | StepKind::HangUp => self.blockers.extend([(0, index)]),
        }
        self.post(index, message, Duration::ZERO);
    }

    fn post(&mut self, index: usize, message: Message, pause: Duration) {
        let script = self.script.clone();
        let step = &script.steps[index];
        let recorded = step.outline.headers.as_deref();
        let session = &mut self.sessions[step.session()];
        let headers = session.negotiated.post(recorded, &message, &session.tokens, &self.options.headers);
        let is_bounded = step.reply().is_some() || !matches!(step.kind, StepKind::Request { .. });
        let usual = step.reply().map_or(Duration::ZERO, |reply| Duration::from_micros(reply.took.saturating_mul(3)));
        let now = Instant::now();
        let deadline = now.checked_add(pause.saturating_add(self.options.patience.max(usual)));
        self.deadlines.extend(deadline.filter(|_| is_bounded).map(|deadline| (deadline, index)));
        session.last_headers.clone_from(&headers);
        self.played[index].state = StepState::InFlight;
        self.played[index].sent = Some(self.play_time(now + pause));
        self.open_steps.entry(index).or_default().id = message.id().cloned();
        self.push(index, outgoing(Method::POST, headers, Some(message)), pause);
    }

    /// Begins an exchange of a step; it ends early where the recorded client hung up.
    fn push(&mut self, index: usize, outgoing: Outgoing, pause: Duration) {
        let step = &self.script.steps[index];
        let is_hung_up = matches!(step.kind, StepKind::Request { hung_up: true, .. });
        let hang_up = is_hung_up.then(|| self.hang_ups.entry(index).or_default().clone());
        let Some(events) = self.exchange(step.session(), outgoing, pause, ExchangePurpose::Step(index)) else { return };
        self.exchanges.push(match hang_up {
            Some(hang_up) => events.take_until(hang_up.cancelled_owned()).boxed(),
            None => events,
        });
    }

    /// Begins an exchange of a session, which ends with that; `None` where it has ended already.
    fn exchange(
        &self,
        session: usize,
        outgoing: Outgoing,
        pause: Duration,
        purpose: ExchangePurpose,
    ) -> Option<BoxStream<'static, (ExchangePurpose, ExchangeEvent)>> {
        let session = &self.sessions[session];
        let upstream = session.connection.as_ref()?.upstream.clone();
        let events = exchange(upstream, outgoing, pause, purpose);
        // Of one session alone, all ends together.
        let is_only = self.sessions.len() == 1;
        Some(if is_only { events } else { events.take_until(session.hung_up.clone().cancelled_owned()).boxed() })
    }

    /// Gives the client of a step its connection, where it has none yet. `false` where it gets none.
    fn is_connected(&mut self, index: usize) -> bool {
        let session = self.script.steps[index].session();
        if self.sessions[session].connection.is_some() {
            return true;
        }
        match (self.open)(self.script.sessions[session].id) {
            Ok(connection) => {
                self.sessions[session].connection = Some(connection);
                true
            }
            Err(error) => {
                self.fail(index, error.to_string());
                self.sessions[session].over = Some(GONE);
                false
            }
        }
    }

    /// Whose a step is, for people, where there are several.
    fn named_session(&self, step: &ScriptStep) -> Option<SessionId> {
        (self.sessions.len() > 1).then(|| self.script.sessions[step.session()].id)
    }

    /// Lets go of a request, as the recorded client did.
    fn hang_up(&mut self, index: usize, request: usize) {
        self.hang_ups.remove(&request).inspect(CancellationToken::cancel);
        let came = self.played[request].state == StepState::Done;
        let is_said = self.script.steps[index].outline.method().is_some();
        let how = if is_said { "took it back" } else { "hung up here" };
        let why = format!("the client {how} when this was recorded");
        self.conclude(request, StepVerdict::Pass, Some(why), Findings::default(), None);
        let why = came.then(|| "the reply had come before".to_owned());
        self.conclude(index, StepVerdict::Pass, why, Findings::default(), None);
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((deadline, index)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.remove(&(deadline, index));
            let waited = self.played[index].sent.map_or(Duration::ZERO, |sent| now - self.instant(sent));
            let waited = match waited.as_secs() {
                0 => format!("{} ms", waited.as_millis()),
                seconds => format!("{seconds} s"),
            };
            self.fail(index, format!("no reply within {waited}"));
        }
        for session in &mut self.sessions {
            if session.listening_until().is_some_and(|until| until <= now) {
                session.listening = Listening::Decided;
            }
        }
    }
}
