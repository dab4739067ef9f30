//! Another child in the place of one that is gone, while its client stays (revisions with a handshake).
//!
//! The new one is told what the old one was ([`HandshakeState`](super::handshake::HandshakeState)); what was asked of the old one is
//! answered by us, or asked once more where that cannot do harm; what the client says meanwhile waits. The client is told which lists
//! to look at again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::envelope::{Direction, Transport};
use crate::event::{Event, Landmark, Level, LogLine, ReplayEvent};
use crate::message::Message;
use crate::net::backlog::RoomShare;
use crate::net::backoff::doubling;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::dispatch::Pump;
use crate::proxy::stream::pending::Recipient;
use crate::proxy::stream::rewind::SessionRewind;
use crate::proxy::stream::server::{Pipe, StreamServer, Succession, Tenancy, cancellation};
use crate::proxy::stream::told_again::FreshProcess;
use crate::upstream::output::{Output, one_line};
use crate::upstream::pool::{Pool, Restart};
use crate::upstream::{Framing, Incoming, Item, UpstreamError};

/// Children that are started within [`SPAN`] where the ones before were no good.
const MOST: usize = 5;
const SPAN: Duration = Duration::from_secs(60);
/// Pause before the second of them; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a new child may take to answer `initialize`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Carries what the processes of a server say, one after the other, until no other follows.
pub(in crate::proxy) struct Supervisor {
    pump: Pump,
    attempts: RestartAttempts,
}

impl Supervisor {
    pub(in crate::proxy) fn new(server: &Arc<StreamServer>) -> Self {
        Self::with_pump(Pump::new(server))
    }

    /// Goes on with a pump that has carried something of the first process already.
    pub(super) fn with_pump(pump: Pump) -> Self {
        Self { pump, attempts: RestartAttempts::default() }
    }

    /// Carries what the processes say, the first by `outputs`. Returns why none follows any more; waiting clients were told.
    pub(in crate::proxy) async fn run(mut self, mut outputs: mpsc::Receiver<Output>) -> UpstreamError {
        loop {
            let lost = self.pump.run(&mut outputs).await;
            let restart = self.pump.server().and_then(|server| ServerRestart::after(server, &lost));
            let ended = match restart {
                None => lost,
                Some(restart) => match restart.run(&mut self.pump, lost, &mut self.attempts).await {
                    Ok(next) => {
                        outputs = next;
                        continue;
                    }
                    Err(given_up) => given_up,
                },
            };
            if let Some(server) = self.pump.server() {
                log_end(&server, &ended);
                server.end(&ended);
            }
            return ended;
        }
    }
}

fn log_end(server: &StreamServer, ended: &UpstreamError) {
    let is_news = ended.is_broken() || matches!(ended, UpstreamError::NotResumed { .. } | UpstreamError::Busy { .. });
    if is_news {
        let line = LogLine::new(Level::Error, "proxy", ended.to_string());
        server.proxy.log(LogLine { session: server.log_session(), ..line });
    }
}

/// Why another child takes the place of one.
enum RestartCause {
    /// It ended like this.
    Crash(String),
    /// It was asked for, for this reason.
    Requested(String),
}

impl RestartCause {
    /// What a lost child is to those who asked it: that it ended by a signal says no more than that it was told to.
    fn told(&self, lost: UpstreamError) -> UpstreamError {
        match (self, lost) {
            (Self::Requested(why), UpstreamError::Exited { command, .. }) => {
                UpstreamError::Restarted { command, why: why.clone() }
            }
            (_, lost) => lost,
        }
    }
}

impl std::fmt::Display for RestartCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Crash(why) | Self::Requested(why) => f.write_str(why),
        }
    }
}

/// When children were started one for the other.
#[derive(Default)]
struct RestartAttempts(VecDeque<Instant>);

impl RestartAttempts {
    /// The pause before the next; `None`: there were too many.
    fn next_pause(&mut self) -> Option<Duration> {
        self.0.retain(|at| at.elapsed() < SPAN);
        let before = self.0.len();
        self.0.push_back(Instant::now());
        std::iter::once(Duration::ZERO).chain(doubling(PAUSE, SPAN)).take(MOST).nth(before)
    }
}

/// One restart: another child for the only session that the server has.
struct ServerRestart {
    server: Arc<StreamServer>,
    session: Arc<LiveSession>,
    pool: Arc<Pool>,
    cause: RestartCause,
    /// Where the session is to be taken back; the first process that is tried is.
    rewind: Option<SessionRewind>,
}

/// Another process, from which its client hears as from the one before.
struct RestartedServer {
    outputs: mpsc::Receiver<Output>,
    /// What the client is to be told.
    changes: Vec<Message>,
    /// What is to be told of it, where it was not told yet.
    text: Option<String>,
}

/// Starts the first child of a session that an earlier tapline, or another, had. Returns what it says.
///
/// # Errors
/// Where none goes on with the session: the reason of the last one.
pub(in crate::proxy) async fn resume_session(
    server: &Arc<StreamServer>,
) -> Result<mpsc::Receiver<Output>, UpstreamError> {
    let lost = UpstreamError::NotResumed { command: server.label().clone(), why: "tapline has ended".to_owned() };
    let cause = RestartCause::Requested("a restart of tapline".to_owned());
    match ServerRestart::new(server.clone(), cause, None) {
        Some(restart) => restart.run(&mut Pump::new(server), lost, &mut RestartAttempts::default()).await,
        None => Err(lost),
    }
}

impl ServerRestart {
    /// `None` where no other child can take the place of one: it has several clients, or comes from no pool.
    fn new(server: Arc<StreamServer>, cause: RestartCause, rewind: Option<SessionRewind>) -> Option<Self> {
        let (Tenancy::Dedicated(session), Some(pool)) = (&server.tenancy, &server.pool) else { return None };
        let (session, pool) = (session.clone(), pool.clone());
        Some(Self { server, session, pool, cause, rewind })
    }

    /// The restart that is due where a child ended like this; `None` where none is.
    fn after(server: Arc<StreamServer>, lost: &UpstreamError) -> Option<Self> {
        let (Tenancy::Dedicated(session), Some(pool)) = (&server.tenancy, &server.pool) else { return None };
        if session.closed().is_cancelled() {
            return None;
        }
        let succession = server.state.lock().server.succession();
        let (cause, rewind) = match (succession, lost) {
            (Succession::Requested(why, rewind), _) => (RestartCause::Requested(why), rewind),
            (Succession::Exited(code), UpstreamError::Exited { status, .. })
                // One that ends with 0 wanted to go. One that never was initialized would not be another time.
                if code != Some(0)
                    && pool.settings().restart == Restart::Crash
                    && server.handshake.borrow().has_handshake() =>
            {
                (RestartCause::Crash(status.clone()), None)
            }
            (Succession::Ends | Succession::Exited(_), _) => return None,
        };
        Self::new(server, cause, rewind)
    }

    /// Puts another child in the place of the one that is lost. Returns what it says.
    ///
    /// # Errors
    /// Where none does: the last one's reason.
    async fn run(
        mut self,
        pump: &mut Pump,
        lost: UpstreamError,
        attempts: &mut RestartAttempts,
    ) -> Result<mpsc::Receiver<Output>, UpstreamError> {
        let mut rewind = self.rewind.take();
        let Self { server, session, cause, .. } = &self;
        if let Some(failed) = session.fail(&lost.to_string()) {
            server.proxy.journal().publish(Event::SessionChanged(failed));
        }
        let mut lost = cause.told(lost);
        let mut not_rewound = String::new();
        let mut free = matches!(cause, RestartCause::Requested(_));
        loop {
            self.fail_lost(&lost);
            let pause = if std::mem::take(&mut free) { Some(Duration::ZERO) } else { attempts.next_pause() };
            let Some(pause) = pause else { return Err(lost) };
            let to = rewind.as_ref().map(|rewind| rewind.to);
            let attempt = async {
                pump.meanwhile(sleep(pause)).await;
                self.attempt(pump, rewind.take()).await
            };
            match session.closed().run_until_cancelled(attempt).await {
                None => {
                    to.into_iter().for_each(|_| self.tell_play_ended("the session has ended"));
                    return Err(lost);
                }
                Some(Ok(RestartedServer { outputs, changes, text })) => {
                    self.announce(changes, text.map(|text| not_rewound + &text));
                    return Ok(outputs);
                }
                Some(Err(error)) => {
                    let text = format!("the restarted server cannot go on with the session: {error}");
                    server.proxy.log(LogLine::new(Level::Error, "proxy", text).of(session.id()));
                    if let Some(to) = to {
                        not_rewound = format!("not rewound to {to}: ");
                        self.forget_past(&error);
                    }
                    lost = error;
                }
            }
        }
    }

    async fn attempt(&self, pump: &mut Pump, rewind: Option<SessionRewind>) -> Result<RestartedServer, UpstreamError> {
        let child = pump.meanwhile(self.pool.acquire()).await?;
        let mut outputs = child.outputs;
        let pipe = self.server.stage(child.pipe);
        if let Some(rewind) = rewind {
            let changes = pump.run_until(&mut outputs, self.go_through_past(rewind, &pipe)).await??;
            return Ok(RestartedServer { outputs, changes, text: None });
        }
        match pump.run_until(&mut outputs, timeout(PATIENCE, self.shake_hands(&pipe))).await? {
            Ok(changes) => {
                let changes = changes?;
                let text = format!("new process after {}{}", self.cause, self.server.handshake.borrow().summary());
                Ok(RestartedServer { outputs, changes, text: Some(text) })
            }
            Err(_) => Err(self.not_resumed("it does not answer `initialize`".to_owned())),
        }
    }

    /// The play to a fresh process was broken off, or never began: only the restart knows that it is over.
    fn tell_play_ended(&self, why: &str) {
        self.server.proxy.journal().publish(Event::Replay(ReplayEvent::Failed { why: why.to_owned() }));
    }

    /// A child could not be told the past: what it was told belongs to no history, and the next one is told the handshake alone.
    fn forget_past(&self, error: &UpstreamError) {
        self.server.state.lock().told_again = None;
        self.tell_play_ended(&error.to_string());
        let text = "the next process is told the handshake alone".to_owned();
        self.server
            .proxy
            .log_landmark(LogLine::new(Level::Info, "proxy", text).of(self.session.id()), Landmark::Rewind);
    }

    /// Has a new child told all that was said up to a message, then lets the client's messages through. Returns what the client is to be
    /// told.
    async fn go_through_past(&self, rewind: SessionRewind, pipe: &Arc<Pipe>) -> Result<Vec<Message>, UpstreamError> {
        let SessionRewind { to, say_again } = rewind;
        let text = format!("a fresh process is told what was said up to {to}");
        let line = LogLine::new(Level::Info, "proxy", text).of(self.session.id());
        self.server.proxy.log_landmark(line, Landmark::Rewind);
        let fresh = FreshProcess::new(&self.server, &self.session, pipe);
        let told = fresh.told();
        let said = say_again(Arc::new(fresh)).await;
        self.server.state.lock().told_again = None;
        let handshake = self.server.handshake.borrow().clone();
        let (greeting, beyond, said) = {
            let told = told.lock();
            (told.greeting.clone(), handshake.beyond(&told.handshake), said + &told.lacking())
        };
        let changes = match greeting {
            Some(greeting) if handshake.has_handshake() => {
                handshake.compare(&greeting).map_err(|why| self.not_resumed(why))?
            }
            None if handshake.has_handshake() => return Err(self.not_resumed(said)),
            _ => Vec::new(),
        };
        for message in beyond {
            let _ = self.server.ask(&self.session, pipe, message).await;
        }
        // On the tape, what the client says to the new child comes behind it.
        self.log_seam(format!("rewound to {to}: {said}"));
        self.resend(pipe).await;
        self.server.open(pipe);
        Ok(changes)
    }

    /// Goes through the handshake with a new child in the client's place, then lets the client's messages through. Returns what the
    /// client is to be told.
    async fn shake_hands(&self, pipe: &Arc<Pipe>) -> Result<Vec<Message>, UpstreamError> {
        let handshake = self.server.handshake.borrow().clone();
        let mut changes = Vec::new();
        if let Some(initialize) = handshake.initialize() {
            let mut answers = self.server.ask(&self.session, pipe, initialize).await;
            let reply = match answers.recv().await {
                Some(Ok(Item::Message(reply))) => reply.message,
                Some(Err(error)) => return Err(error),
                Some(Ok(Item::Filler(_))) | None => return Err(self.server.why_not_up()),
            };
            changes = handshake.compare(&reply).map_err(|why| self.not_resumed(why))?;
            for message in handshake.after_initialize() {
                let _ = self.server.ask(&self.session, pipe, message).await;
            }
        }
        self.resend(pipe).await;
        self.server.open(pipe);
        Ok(changes)
    }

    /// Sends what can be asked again.
    async fn resend(&self, pipe: &Pipe) {
        let Pipe::Child(child) = pipe else { return };
        let unanswered = self.server.state.lock().requests.unanswered();
        for request in unanswered {
            let text = format!("sent to the new process again: `{}`", request.method().unwrap_or_default());
            let line = LogLine::new(Level::Info, "proxy", text).of(self.session.id());
            self.server.proxy.log(line.as_landmark(Landmark::Attempt));
            // One that takes nothing any more is about to be heard of.
            let _ = child.write(one_line(&request)).await;
        }
    }

    /// A child is gone: clients that wait for it are told, where no other can be asked instead.
    fn fail_lost(&self, error: &UpstreamError) {
        let greeted = self.server.handshake.borrow().has_handshake();
        let (lost, questions) = {
            let mut state = self.server.state.lock();
            state.server.lose(error.clone());
            (state.requests.fail_lost(greeted), state.questions.fail_all())
        };
        for pending in lost.into_iter().filter_map(|pending| pending.fail_response(error)) {
            self.server.answer_lost(&pending, error);
        }
        for id in questions {
            self.send_to_client(cancellation(&id, "server restarted"));
        }
    }

    /// Tells that the new child is there.
    fn announce(&self, changes: Vec<Message>, text: Option<String>) {
        let Self { server, session, .. } = self;
        if let Some(recovered) = session.recover() {
            server.proxy.journal().publish(Event::SessionChanged(recovered));
        }
        text.into_iter().for_each(|text| self.log_seam(text));
        changes.into_iter().for_each(|message| self.send_to_client(message));
    }

    fn log_seam(&self, text: String) {
        let line = LogLine::new(Level::Info, "proxy", text).of(self.session.id());
        self.server.proxy.log_landmark(line, Landmark::Seam);
    }

    /// Says something to the client in the server's place.
    fn send_to_client(&self, message: Message) {
        let transport = Transport::new(self.server.carrier);
        let message = self.server.proxy.originate(&self.session, Direction::ToClient, transport, message);
        let framing = Framing::Line { line: one_line(&message) };
        self.server.deliver(&Recipient::Client, Incoming { message, framing }, RoomShare::default());
    }

    fn not_resumed(&self, why: String) -> UpstreamError {
        UpstreamError::NotResumed { command: self.server.label().clone(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn restart_attempts_pause_longer_each_time_and_are_five_a_minute() {
        let mut attempts = RestartAttempts::default();
        let pauses: Vec<_> = (0..MOST).map_while(|_| attempts.next_pause()).collect();
        assert_eq!(pauses, [0, 250, 500, 1000, 2000].map(Duration::from_millis));
        assert_eq!(attempts.next_pause(), None);
        tokio::time::advance(SPAN).await;
        assert_eq!(attempts.next_pause(), Some(Duration::ZERO));
    }
}
