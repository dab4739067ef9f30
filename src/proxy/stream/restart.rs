//! Another child in the place of one that is gone, while its client stays (revisions with a handshake).
//!
//! The new one is told what the old one was ([`HandshakeState`](super::handshake::HandshakeState)); what was asked of the old one is answered by us, or asked once more
//! where that cannot do harm; what the client says meanwhile waits. The client is told which lists to look at again.
//!
//! The server's own questions die with it. Their client is told so; a late answer is shown and not handed to the next
//! process, which may count from the same start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::envelope::{Direction, Transport};
use crate::event::{Event, Landmark, Level, LogLine};
use crate::message::{Id, Message};
use crate::proxy::Audience;
use crate::proxy::error::ProxyError;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::pending::{Lifecycle, PendingRequest, Recipient};
use crate::proxy::stream::pump::Pump;
use crate::proxy::stream::{StreamServer, Tenancy};
use crate::upstream::framing::one_line;
use crate::upstream::pipe::{Output, Pipe};
use crate::upstream::pool::{Pool, Restart};
use crate::upstream::stdio::ChildPipe;
use crate::upstream::{Framing, Incoming, Item, UpstreamError};

/// Children that are started within [`SPAN`] where the ones before were no good.
const MOST: usize = 5;
const SPAN: Duration = Duration::from_secs(60);
/// Pause before the second of them; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a new child may take to answer `initialize`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Carries what the children of a session say, one after the other, until no other follows. Gives why.
pub(in crate::proxy) async fn keep(mut pump: Pump, mut outputs: mpsc::Receiver<Output>) -> UpstreamError {
    let mut attempts = RestartAttempts::default();
    loop {
        let lost = pump.run(&mut outputs).await;
        let followed = pump.link.upgrade().and_then(|link| Some((link.followed(&lost)?, link)));
        let ended = match followed {
            None => lost,
            Some((cause, link)) => match pump.follow(&link, cause, lost, &mut attempts).await {
                Ok(next) => {
                    outputs = next;
                    continue;
                }
                Err(given_up) => given_up,
            },
        };
        if let Some(link) = pump.link.upgrade() {
            link.tell_broken(&ended);
            link.end(&ended);
        }
        return ended;
    }
}

/// Why another child takes the place of one.
pub(in crate::proxy) enum RestartCause {
    /// It ended like this.
    Crash(String),
    /// Somebody wanted it.
    Asked(String),
}

impl std::fmt::Display for RestartCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Crash(status) => write!(f, "{status}"),
            Self::Asked(why) => f.write_str(why),
        }
    }
}

/// When children were started one for the other.
#[derive(Default)]
pub(in crate::proxy) struct RestartAttempts(VecDeque<Instant>);

impl RestartAttempts {
    /// The pause before the next; `None`: there were too many.
    fn next(&mut self) -> Option<Duration> {
        self.0.retain(|at| at.elapsed() < SPAN);
        let before = self.0.len();
        self.0.push_back(Instant::now());
        match u32::try_from(before).ok()?.checked_sub(1) {
            None => Some(Duration::ZERO),
            Some(doublings) => (before < MOST).then(|| PAUSE * (1 << doublings)),
        }
    }
}

impl Pump {
    /// Puts another child in the place of the one that is lost. Gives what it says.
    ///
    /// # Errors
    /// Where none does: the last one's reason.
    pub(in crate::proxy) async fn follow(
        &mut self,
        link: &Arc<StreamServer>,
        cause: RestartCause,
        lost: UpstreamError,
        attempts: &mut RestartAttempts,
    ) -> Result<mpsc::Receiver<Output>, UpstreamError> {
        let (Tenancy::Dedicated(session), Some(pool)) = (&link.home, &link.pool) else { return Err(lost) };
        if let Some(failed) = session.fail(&lost.to_string()) {
            self.proxy.journal().publish(Event::SessionChanged(failed.into()));
        }
        let mut lost = lost;
        let mut free = matches!(cause, RestartCause::Asked(_));
        loop {
            link.lose(&lost);
            let pause = if std::mem::take(&mut free) { Some(Duration::ZERO) } else { attempts.next() };
            let Some(pause) = pause else { return Err(lost) };
            let attempt = async {
                self.meanwhile(sleep(pause)).await;
                self.attempt(link, pool).await
            };
            match session.closed().run_until_cancelled(attempt).await {
                None => return Err(lost),
                Some(Ok((outputs, told))) => {
                    link.followed_by_another(session, &cause, told);
                    return Ok(outputs);
                }
                Some(Err(error)) => {
                    let text = format!("another process in place of the server's is no good: {error}");
                    self.proxy.log(LogLine::new(Level::Error, "proxy", text).of(session.id()));
                    lost = error;
                }
            }
        }
    }

    async fn attempt(
        &mut self,
        link: &Arc<StreamServer>,
        pool: &Arc<Pool>,
    ) -> Result<(mpsc::Receiver<Output>, Vec<Message>), UpstreamError> {
        let child = self.meanwhile(pool.acquire()).await?;
        let mut outputs = child.outputs;
        let pipe = link.stage(child.pipe);
        match self.run_until(&mut outputs, timeout(PATIENCE, link.greet(&pipe))).await? {
            Ok(told) => Ok((outputs, told?)),
            Err(_) => Err(link.not_resumed("it does not answer `initialize`".to_owned())),
        }
    }
}

impl StreamServer {
    /// Has another child take the place of this one.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub(in crate::proxy) fn request_restart(&self, why: &str) -> Result<(), &'static str> {
        if self.pool.is_none() {
            return Err("its server is no command of this tapline");
        }
        let mut router = self.router.lock();
        let pipe = match &router.server {
            Lifecycle::Up(pipe) => pipe.clone(),
            Lifecycle::Starting(_) => return Err("its server is being started already"),
            Lifecycle::Gone(_) => return Err("its server is gone"),
        };
        let Pipe::Child(child) = &*pipe else { return Err("its server is no command of this tapline") };
        router.asked_anew = Some(why.to_owned());
        let restarting =
            UpstreamError::BrokenOff { upstream: self.label.clone(), why: "it is still being restarted".to_owned() };
        // What is asked from now on is for the next; what this one still says is heard.
        router.server = Lifecycle::Starting(restarting);
        child.leave();
        Ok(())
    }

    /// A child that is there from the beginning.
    pub(in crate::proxy) fn install(&self, child: ChildPipe) {
        let pipe = self.stage(child);
        self.open(&pipe);
    }

    /// The child that will take the client's messages, and takes none of them yet.
    pub(in crate::proxy) fn stage(&self, child: ChildPipe) -> Arc<Pipe> {
        let pipe = Arc::new(Pipe::Child(child));
        self.router.lock().pipe = Some(pipe.clone());
        pipe
    }

    pub(in crate::proxy) fn open(&self, pipe: &Arc<Pipe>) {
        self.router.lock().server = Lifecycle::Up(pipe.clone());
        self.changed.notify_waiters();
    }

    /// Why another child is to take the place of one that ended, where that is so.
    fn followed(&self, lost: &UpstreamError) -> Option<RestartCause> {
        let (Tenancy::Dedicated(session), Some(pool)) = (&self.home, &self.pool) else { return None };
        let mut router = self.router.lock();
        if router.leaving || session.closed().is_cancelled() {
            return None;
        }
        if let Some(why) = router.asked_anew.take() {
            return Some(RestartCause::Asked(why));
        }
        let code = match router.pipe.as_deref() {
            Some(Pipe::Child(child)) => child.exit_code(),
            Some(Pipe::Events(_)) | None => None,
        };
        // One that ends with 0 wanted to go. One that never was initialized would not be another time.
        let crashed = code != Some(0) && self.handshake.borrow().has_handshake();
        match lost {
            UpstreamError::Exited { status, .. } if crashed && pool.settings().restart == Restart::Crash => {
                Some(RestartCause::Crash(status.clone()))
            }
            _ => None,
        }
    }

    /// Goes through the handshake with a new child in the client's place, then lets the client's messages through. Gives what the
    /// client is to be told.
    async fn greet(&self, pipe: &Arc<Pipe>) -> Result<Vec<Message>, UpstreamError> {
        let handshake = self.handshake.borrow().clone();
        let mut told = Vec::new();
        if let (Tenancy::Dedicated(session), Some(greeting)) = (&self.home, handshake.greeting()) {
            let mut answers = self.say(session, pipe, greeting).await;
            let reply = match answers.recv().await {
                Some(Ok(Item::Message(reply))) => reply.message,
                Some(Err(error)) => return Err(error),
                Some(Ok(Item::Filler(_))) | None => return Err(self.gone()),
            };
            told = handshake.renew(&reply).map_err(|why| self.not_resumed(why))?;
            for message in handshake.rest() {
                drop(self.say(session, pipe, message).await);
            }
        }
        self.ask_again(pipe).await;
        self.open(pipe);
        Ok(told)
    }

    /// Says something to a child in the client's place; the answer is for tapline alone.
    pub(in crate::proxy) async fn say(
        &self,
        session: &Arc<LiveSession>,
        pipe: &Pipe,
        message: Message,
    ) -> mpsc::UnboundedReceiver<Result<Item, UpstreamError>> {
        let (items, answers) = mpsc::unbounded_channel();
        let Pipe::Child(child) = pipe else { return answers };
        let transport = Transport::new(self.carrier);
        let message = self.proxy.originate(session, Direction::ToServer, transport, message);
        if let Some(id) = message.id().cloned() {
            let waiting = PendingRequest {
                audience: Audience::OperatorOnly,
                ..PendingRequest::new(session.clone(), message.clone(), Some(items))
            };
            self.router.lock().pending.insert(id, waiting);
        }
        // A child that takes nothing any more is about to be heard of.
        child.write(one_line(&message)).await;
        answers
    }

    /// Sends what can be asked again.
    async fn ask_again(&self, pipe: &Pipe) {
        let (Tenancy::Dedicated(session), Pipe::Child(child)) = (&self.home, pipe) else { return };
        let again: Vec<Message> = {
            let router = self.router.lock();
            let unanswered =
                router.pending.values().filter(|waiting| !waiting.audience.is_operator_only() && !waiting.answered);
            unanswered.map(|waiting| waiting.request.clone()).collect()
        };
        for request in again {
            let text = format!("sent to the new process again: `{}`", request.method().unwrap_or_default());
            let line = LogLine::new(Level::Info, "proxy", text).of(session.id());
            self.proxy.log(line.as_landmark(Landmark::Attempt));
            child.write(one_line(&request)).await;
        }
    }

    /// A child is gone: who waits for it is told, where no other can be asked instead.
    fn lose(&self, error: &UpstreamError) {
        let Tenancy::Dedicated(session) = &self.home else { return };
        let greeted = self.handshake.borrow().has_handshake();
        let (lost, questions) = {
            let mut router = self.router.lock();
            router.server = Lifecycle::Starting(error.clone());
            let lost =
                router.pending.extract_if(|_, waiting| !waiting.answered && !waiting.can_be_asked_again(greeted));
            let lost: Vec<_> = lost.map(|(_, waiting)| waiting).filter(|waiting| !waiting.cancelled).collect();
            let questions: Vec<_> = router.questions.drain().collect();
            router.stale.extend(questions.iter().cloned());
            (lost, questions)
        };
        for waiting in lost {
            self.tell_lost(&waiting, error);
        }
        for id in questions {
            self.say_to_client(session, cancelled(&id));
        }
    }

    /// A response that has begun has no place for a status any more.
    fn tell_lost(&self, waiting: &PendingRequest, error: &UpstreamError) {
        match &waiting.items {
            Some(items) if !waiting.begun || waiting.audience.is_operator_only() => {
                drop(items.send(Err(error.clone())))
            }
            items => {
                let answer = ProxyError::Upstream(error.clone()).reply_to(waiting.id());
                self.proxy.record_error(&answer, Some(waiting.session.id()));
                let transport = Transport::new(waiting.session.via());
                let answer = self.proxy.originate(&waiting.session, Direction::ToClient, transport, answer.message);
                match items {
                    Some(items) => drop(items.send(Ok(Item::line(answer)))),
                    None => self.tell(Item::line(answer)),
                }
            }
        }
    }

    /// The new child is there.
    fn followed_by_another(&self, session: &Arc<LiveSession>, cause: &RestartCause, told: Vec<Message>) {
        if let Some(recovered) = session.recover() {
            self.proxy.journal().publish(Event::SessionChanged(recovered.into()));
        }
        let text = format!("new process after {cause}{}", self.handshake.borrow().described());
        self.proxy.log(LogLine::new(Level::Info, "proxy", text).of(session.id()).as_landmark(Landmark::Seam));
        for message in told {
            self.say_to_client(session, message);
        }
    }

    /// Says something to the client in the server's place.
    fn say_to_client(&self, session: &Arc<LiveSession>, message: Message) {
        let transport = Transport::new(self.carrier);
        let message = self.proxy.originate(session, Direction::ToClient, transport, message);
        let framing = Framing::Line { line: one_line(&message) };
        self.deliver(Recipient::Client, Incoming { message, framing });
    }

    fn tell_broken(&self, ended: &UpstreamError) {
        let is_news =
            ended.is_broken() || matches!(ended, UpstreamError::NotResumed { .. } | UpstreamError::Busy { .. });
        if !is_news {
            return;
        }
        let line = LogLine::new(Level::Error, "proxy", ended.to_string());
        self.proxy.log(LogLine { session: self.voice(), ..line });
    }

    fn not_resumed(&self, why: String) -> UpstreamError {
        UpstreamError::NotResumed { command: self.label.clone(), why }
    }
}

/// The server that asked this is gone.
fn cancelled(id: &Id) -> Message {
    let reason = "the server was started anew";
    Message::new(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"{reason}"}}}}"#,
        id.token()
    ))
}
