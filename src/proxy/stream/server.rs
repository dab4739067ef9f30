//! A server that says everything on one stream, as the rest of the proxy sees it: it takes messages, cancels requests, and ends.
//!
//! **A request and its server go together.** A request is registered under the lock under which the process to write to is
//! read: it is answered by the process it was registered for, told lost with it, or asked again; none hangs between two.
//!
//! A process may be followed by another while its client stays: what the client says meanwhile waits ([`StreamServer::when_up`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::envelope::{Direction, Transport, Via};
use crate::event::{Landmark, Level, LogLine};
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::net::backlog::{BacklogReader, RoomShare, backlog};
use crate::proxy::Proxy;
use crate::proxy::error::ProxyError;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::client::{ClientSide, Items};
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::pending::{Enclosure, PendingQuestions, PendingRequest, PendingRequests, ReplyReader};
use crate::proxy::stream::rewind::SessionRewind;
use crate::secret::Label;
use crate::upstream::output::{MOST_UNREAD, message_of, one_line};
use crate::upstream::pool::Pool;
use crate::upstream::sse::{EventPipe, StreamAnswer};
use crate::upstream::stdio::ChildPipe;
use crate::upstream::{Incoming, Item, UpstreamError};

/// How long a message waits for a server that is being started. A client that waits as long for nothing hears why.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A server that says everything on one stream: a child, or a server of the HTTP+SSE transport.
pub struct StreamServer {
    pub(super) proxy: Arc<Proxy>,
    pub(super) tenancy: Tenancy,
    label: Label,
    pub(super) carrier: Via,
    pub(super) state: Mutex<ServerState>,
    /// There is another process, or none any more.
    pub(super) changed: Notify,
    /// Where another child comes from; `None` where the server is none of ours.
    pub(super) pool: Option<Arc<Pool>>,
    pub(super) handshake: watch::Sender<HandshakeState>,
}

/// Whose server it is.
pub(in crate::proxy) enum Tenancy {
    /// The server belongs to one session alone.
    Dedicated(Arc<LiveSession>),
    /// That of all clients that follow revision 2026-07-28.
    Shared,
}

/// What changes of a server; each part keeps its own rules, and one lock guards them all.
pub(super) struct ServerState {
    pub(super) server: ServerSide,
    pub(super) client: ClientSide,
    /// What clients asked of the server.
    pub(super) requests: PendingRequests,
    /// What the server asked of its client.
    pub(super) questions: PendingQuestions,
    /// The session that spoke last, where several clients share the server.
    pub(super) last_session: Option<Arc<LiveSession>>,
    /// Takes what a process says of its own accord while it is told again what an earlier one was told.
    pub(super) told_again: Option<Items>,
}

/// The way to the server, and to its end. Dropping the last one ends it.
pub(in crate::proxy) enum Pipe {
    Child(ChildPipe),
    Events(Arc<EventPipe>),
}

impl Pipe {
    /// Ends the server's part, and waits until it is gone.
    async fn close(&self) {
        match self {
            Self::Child(child) => child.close().await,
            Self::Events(events) => events.close().await,
        }
    }
}

/// Whether messages can go to the server.
pub(super) enum Lifecycle {
    /// It is being started; with what its clients are told if it takes too long.
    Starting(UpstreamError),
    Up(Arc<Pipe>),
    /// It is gone for good, and why.
    Gone(UpstreamError),
}

/// What is to follow once the process has ended.
enum NextProcess {
    /// Another, if this one crashes and the settings say so.
    IfCrashed,
    /// Another, and why it was asked for; where it is to be taken back, how.
    Requested(String, Option<SessionRewind>),
    /// None: it was ended on purpose, and is not replaced.
    Unwanted,
}

/// The server, from its first process to its last.
pub(super) struct ServerSide {
    lifecycle: Lifecycle,
    /// The latest there was.
    pipe: Option<Arc<Pipe>>,
    next: NextProcess,
    /// It was to leave before it was gone.
    is_let_go: bool,
}

/// Whether another process follows one that ended, and why.
pub(super) enum Succession {
    /// The process ends, and none follows it.
    Ends,
    /// It was asked for, for this reason; where it is to be taken back, how.
    Requested(String, Option<SessionRewind>),
    /// It depends on how the process ended: with this exit code, where it has one.
    Exited(Option<u8>),
}

impl ServerSide {
    pub(super) fn new(lifecycle: Lifecycle) -> Self {
        let pipe = if let Lifecycle::Up(pipe) = &lifecycle { Some(pipe.clone()) } else { None };
        Self { lifecycle, pipe, next: NextProcess::IfCrashed, is_let_go: false }
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// The way to the latest process, whether it takes messages of clients or not.
    pub(super) fn pipe(&self) -> Option<&Arc<Pipe>> {
        self.pipe.as_ref()
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Gone(_))
    }

    /// What the command exited with; `None` while it runs, or where there is none.
    pub(super) fn exit_code(&self) -> Option<u8> {
        match self.pipe.as_deref() {
            Some(Pipe::Child(child)) => child.exit_code(),
            Some(Pipe::Events(_)) | None => None,
        }
    }

    /// Sets the process that will take the clients' messages, and takes none of them yet.
    pub(super) fn stage(&mut self, pipe: Arc<Pipe>) {
        self.pipe = Some(pipe);
    }

    /// Lets the clients' messages through.
    pub(super) fn open(&mut self, pipe: Arc<Pipe>) {
        self.lifecycle = Lifecycle::Up(pipe);
    }

    /// The process is gone, and another follows. `error`: what clients are told if that takes too long.
    pub(super) fn lose(&mut self, error: UpstreamError) {
        self.lifecycle = Lifecycle::Starting(error);
    }

    /// The server is gone for good.
    pub(super) fn end(&mut self, error: UpstreamError) {
        self.lifecycle = Lifecycle::Gone(error);
    }

    /// No other process follows this one.
    pub(super) fn leave(&mut self) {
        self.next = NextProcess::Unwanted;
        self.is_let_go |= !self.is_gone();
    }

    /// Has another process take the place of this one, which leaves. What it still says is heard. `meanwhile`: what clients are told if
    /// that takes too long.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub(super) fn request_restart(
        &mut self,
        why: &str,
        rewind: Option<SessionRewind>,
        meanwhile: UpstreamError,
    ) -> Result<(), &'static str> {
        let pipe = match &self.lifecycle {
            Lifecycle::Up(pipe) => pipe.clone(),
            Lifecycle::Starting(_) => return Err("its server is being started already"),
            Lifecycle::Gone(_) => return Err("its server is gone"),
        };
        let Pipe::Child(child) = &*pipe else { return Err("its server is not a command of this tapline") };
        if !matches!(self.next, NextProcess::Unwanted) {
            self.next = NextProcess::Requested(why.to_owned(), rewind);
        }
        self.lifecycle = Lifecycle::Starting(meanwhile);
        child.leave();
        Ok(())
    }

    /// Whether another process follows the one that has ended, and why. What was requested is requested once.
    pub(super) fn succession(&mut self) -> Succession {
        match std::mem::replace(&mut self.next, NextProcess::IfCrashed) {
            NextProcess::Unwanted => {
                self.next = NextProcess::Unwanted;
                Succession::Ends
            }
            NextProcess::Requested(why, rewind) => Succession::Requested(why, rewind),
            NextProcess::IfCrashed => Succession::Exited(self.exit_code()),
        }
    }
}

impl StreamServer {
    /// A server of the HTTP+SSE transport, which is there.
    pub(in crate::proxy) fn for_events(
        proxy: Arc<Proxy>,
        session: Arc<LiveSession>,
        label: Label,
        events: EventPipe,
    ) -> Arc<Self> {
        let lifecycle = Lifecycle::Up(Arc::new(Pipe::Events(Arc::new(events))));
        Self::build(proxy, Tenancy::Dedicated(session), label, Via::Sse, lifecycle, None)
    }

    /// A command, whose child of the pool is still to come.
    pub(in crate::proxy) fn for_command(
        proxy: Arc<Proxy>,
        tenancy: Tenancy,
        pool: Arc<Pool>,
        handshake: HandshakeState,
    ) -> Arc<Self> {
        let label = pool.label();
        let starting =
            UpstreamError::BrokenOff { upstream: label.clone(), why: "it is still being started".to_owned() };
        let server = Self::build(proxy, tenancy, label, Via::Stdio, Lifecycle::Starting(starting), Some(pool));
        server.handshake.send_replace(handshake);
        server
    }

    fn build(
        proxy: Arc<Proxy>,
        tenancy: Tenancy,
        label: Label,
        carrier: Via,
        lifecycle: Lifecycle,
        pool: Option<Arc<Pool>>,
    ) -> Arc<Self> {
        let state = Mutex::new(ServerState {
            server: ServerSide::new(lifecycle),
            client: ClientSide::default(),
            requests: PendingRequests::default(),
            questions: PendingQuestions::default(),
            last_session: None,
            told_again: None,
        });
        let (changed, handshake) = (Notify::new(), watch::Sender::default());
        Arc::new(Self { proxy, tenancy, label, carrier, state, changed, pool, handshake })
    }

    /// The URL or the command line, for people.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// What another process of the server would be told again. `None` where none can take its place.
    pub fn handshake_states(&self) -> Option<watch::Receiver<HandshakeState>> {
        self.pool.as_ref().map(|_| self.handshake.subscribe())
    }

    /// What carries the server's messages.
    pub(in crate::proxy) fn carrier(&self) -> Via {
        self.carrier
    }

    /// What the command exited with; `None` while it runs, or where there is none.
    pub fn exit_code(&self) -> Option<u8> {
        self.state.lock().server.exit_code()
    }

    /// Whether it ended because it was to, and not by itself.
    pub(in crate::proxy) fn is_let_go(&self) -> bool {
        self.state.lock().server.is_let_go
    }

    /// How a server of the HTTP+SSE transport answered the GET that is the session; nothing of a child.
    pub(in crate::proxy) async fn answered(&self) -> Option<Result<StreamAnswer, UpstreamError>> {
        match self.pipe().as_deref() {
            Some(Pipe::Events(events)) => Some(events.answered().await),
            Some(Pipe::Child(_)) | None => None,
        }
    }

    /// Whether the server is gone for good.
    pub(in crate::proxy) fn is_gone(&self) -> bool {
        self.state.lock().server.is_gone()
    }

    /// Whether no request waits for its reply.
    pub(super) fn is_idle(&self) -> bool {
        self.state.lock().requests.is_empty()
    }

    /// Whether a client waits here for the reply to its request.
    pub(super) fn awaits(&self, session: &LiveSession, id: &Id) -> bool {
        let state = self.state.lock();
        state
            .requests
            .iter()
            .any(|pending| pending.session().id() == session.id() && pending.id().is_some_and(|own| id.may_mean(own)))
    }

    fn pipe(&self) -> Option<Arc<Pipe>> {
        self.state.lock().server.pipe().cloned()
    }
}

/// Sending to its client.
impl StreamServer {
    /// Tells a client with one stream something that the server did not say.
    pub(in crate::proxy) fn send_to_client(&self, item: Item) {
        if let Some(stream) = self.state.lock().client.stream() {
            stream.send(item, RoomShare::default());
        }
    }

    /// Learns that a client has completed the handshake.
    pub(super) fn learn_initialized(&self, message: &Message) {
        if message.method() == Some(method::INITIALIZED) {
            self.handshake.send_modify(HandshakeState::on_initialized);
        }
    }

    /// The client ends its session: its pending requests are answered with an error that says so.
    pub(in crate::proxy) fn end_pending(&self) {
        let awaited = self.state.lock().requests.take_awaited();
        self.fail_each(awaited, &UpstreamError::SessionEnded { command: self.label.clone() });
    }

    /// Fails what was asked in lines that a child did not take: it has closed its stdin.
    pub(super) fn refuse_untaken(&self, lines: &[Bytes]) {
        let error = self.takes_nothing();
        self.proxy
            .log(LogLine { session: self.log_session(), ..LogLine::new(Level::Error, "proxy", error.to_string()) });
        let asked: Vec<_> = {
            let mut state = self.state.lock();
            let messages = lines.iter().filter_map(message_of);
            messages.flat_map(|message| state.requests.take_asked(&message)).collect()
        };
        self.fail_each(asked, &error);
        self.changed.notify_waiters();
    }

    fn fail_each(&self, requests: Vec<PendingRequest>, error: &UpstreamError) {
        for pending in requests.into_iter().filter_map(|pending| pending.fail_response(error)) {
            self.answer_lost(&pending, error);
        }
    }

    /// Answers a request that is lost by an error of ours: a response that has begun has no place for a status any more.
    pub(super) fn answer_lost(&self, pending: &PendingRequest, error: &UpstreamError) {
        let proxy = &self.proxy;
        let answer = ProxyError::Upstream(error.clone()).reply_to(pending.id());
        proxy.record_error(&answer, Some(pending.session().id()));
        let transport = Transport::new(pending.session().via());
        let answer = Item::line(proxy.originate(pending.session(), Direction::ToClient, transport, answer.message));
        match pending.response() {
            Some(items) => {
                let _ = items.send(Ok(answer));
            }
            None => self.send_to_client(answer),
        }
    }
}

/// The processes of a server: the one that is up, and the next.
impl StreamServer {
    /// The server as soon as it is up. What `register` registers is registered with this very process: if it goes, so does that.
    pub(super) async fn when_up<T>(
        &self,
        mut register: impl FnMut(&mut ServerState) -> T,
    ) -> Result<(Arc<Pipe>, T), UpstreamError> {
        let mut try_now = || {
            let mut state = self.state.lock();
            match state.server.lifecycle() {
                Lifecycle::Up(pipe) => {
                    let pipe = pipe.clone();
                    Some(Ok((pipe, register(&mut state))))
                }
                Lifecycle::Gone(error) => Some(Err(error.clone())),
                Lifecycle::Starting(_) => None,
            }
        };
        match try_now() {
            Some(now) => now,
            None => self.once(try_now).await,
        }
    }

    /// Why a message was not taken.
    pub(super) fn reads_nothing(&self) -> UpstreamError {
        UpstreamError::ReadsNothing { command: self.label().clone(), waiting: MOST_UNREAD >> 20 }
    }

    fn takes_nothing(&self) -> UpstreamError {
        UpstreamError::TakesNothing { command: self.label.clone() }
    }

    /// Waits until another process than this one is there.
    pub(super) async fn when_other_than(&self, pipe: &Arc<Pipe>) -> Result<(), UpstreamError> {
        self.once(|| match self.state.lock().server.lifecycle() {
            Lifecycle::Up(now) if Arc::ptr_eq(now, pipe) => is_deaf(now).then(|| Err(self.takes_nothing())),
            Lifecycle::Up(_) | Lifecycle::Starting(_) => Some(Ok(())),
            Lifecycle::Gone(error) => Some(Err(error.clone())),
        })
        .await
    }

    /// Waits until something is there; after a while, says why it is not.
    async fn once<T>(&self, mut now: impl FnMut() -> Option<Result<T, UpstreamError>>) -> Result<T, UpstreamError> {
        let mut deadline = Instant::now() + LONGEST_WAIT;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(now) = now() {
                return now;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                if self.state.lock().told_again.is_none() {
                    return Err(self.why_not_up());
                }
                // It answers: what it is told again takes as long as it took, and each message of it has an end.
                deadline = Instant::now() + LONGEST_WAIT;
            }
        }
    }

    /// Why nothing can be sent to the server.
    pub(super) fn why_not_up(&self) -> UpstreamError {
        match self.state.lock().server.lifecycle() {
            Lifecycle::Gone(error) | Lifecycle::Starting(error) => error.clone(),
            Lifecycle::Up(_) => self.broken_off("it is ending"),
        }
    }

    /// Withdraws what a message asks: the server never got it. Returns whether anything was pending.
    pub(super) fn withdraw(&self, message: &Message) -> bool {
        self.state.lock().requests.withdraw(message)
    }

    /// Installs a child that is there from the beginning.
    pub(in crate::proxy) fn install(&self, child: ChildPipe) {
        let pipe = self.stage(child);
        self.open(&pipe);
    }

    /// Sets the child that will take the clients' messages, and takes none of them yet.
    pub(super) fn stage(&self, child: ChildPipe) -> Arc<Pipe> {
        let pipe = Arc::new(Pipe::Child(child));
        let mut state = self.state.lock();
        state.server.stage(pipe.clone());
        state.told_again = None;
        drop(state);
        pipe
    }

    /// Lets the clients' messages through to a child.
    pub(super) fn open(&self, pipe: &Arc<Pipe>) {
        self.state.lock().server.open(pipe.clone());
        self.changed.notify_waiters();
    }

    /// Asks a child something in the client's place; the answer is for tapline alone.
    pub(super) async fn ask(
        &self,
        session: &Arc<LiveSession>,
        pipe: &Pipe,
        message: Message,
    ) -> BacklogReader<Result<Item, UpstreamError>> {
        let (items, answers) = backlog();
        let Pipe::Child(child) = pipe else { return answers };
        let transport = Transport::new(self.carrier);
        let message = self.proxy.originate(session, Direction::ToServer, transport, message);
        if message.kind() == Kind::Request {
            let reply_to = ReplyReader::Tapline(items);
            let pending = PendingRequest::new(session.clone(), message.clone(), reply_to, Enclosure::Single);
            self.state.lock().requests.register_as_is(pending);
        }
        // A child that takes nothing any more is about to be heard of.
        let _ = child.write(one_line(&message)).await;
        answers
    }

    /// Sends the server an answer that we made in the client's place.
    pub(super) async fn answer_server(&self, answer: Message) {
        match self.pipe().as_deref() {
            // A child that takes nothing any more is about to be heard of.
            Some(Pipe::Child(child)) => {
                let _ = child.write(one_line(&answer)).await;
            }
            Some(Pipe::Events(events)) => post_aside(events, answer),
            None => {}
        }
    }

    /// Passes a signal on to the child; `false` where there is none. A child that goes by it is not followed by another.
    pub fn signal(&self, signal: rustix::process::Signal) -> bool {
        let mut state = self.state.lock();
        let Lifecycle::Up(pipe) = state.server.lifecycle() else { return false };
        let Pipe::Child(child) = &**pipe else { return false };
        let is_process = child.signal(signal);
        state.server.leave();
        is_process
    }

    /// Passes a signal on to the child, whose end is as if it had come by itself.
    ///
    /// # Errors
    /// Where there is none: in words.
    pub(in crate::proxy) fn signal_child(&self, signal: rustix::process::Signal) -> Result<(), &'static str> {
        match self.pipe().as_deref() {
            Some(Pipe::Child(child)) => {
                child.signal(signal);
                Ok(())
            }
            Some(Pipe::Events(_)) => Err("its server is not a command of this tapline"),
            None => Err("its server is gone"),
        }
    }

    /// Tells its client something in its name.
    ///
    /// # Errors
    /// Where it would be for no client: in words.
    pub(in crate::proxy) fn speak(&self, message: Message) -> Result<(), &'static str> {
        let Item::Message(incoming) = Item::line(message) else { return Err("it is no message") };
        let said = self.resolve_recipient(incoming);
        let session = said.session.ok_or("no client waits for it")?;
        let Incoming { message, framing } = said.incoming;
        let message = self.proxy.originate(&session, Direction::ToClient, Transport::new(self.carrier), message);
        self.deliver(&said.recipient, Incoming { message, framing }, RoomShare::default());
        Ok(())
    }

    /// Has another child take the place of this one. `rewind`: how that is brought to where the session was before, if not merely
    /// through the handshake.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub(in crate::proxy) fn request_restart(
        &self,
        why: &str,
        rewind: Option<SessionRewind>,
    ) -> Result<(), &'static str> {
        if self.pool.is_none() {
            return Err("its server is not a command of this tapline");
        }
        self.state.lock().server.request_restart(why, rewind, self.broken_off("it is still being restarted"))
    }

    fn broken_off(&self, why: &str) -> UpstreamError {
        UpstreamError::BrokenOff { upstream: self.label.clone(), why: why.to_owned() }
    }
}

/// The end of a server, and of the requests that it did not answer.
impl StreamServer {
    /// Cancels a request where it fits: tells the server that its client does not wait for the reply any more.
    pub(super) fn cancel(&self, id: &Id, fits: impl FnOnce(&PendingRequest) -> bool) {
        let (pending, pipe) = {
            let mut state = self.state.lock();
            let pending = if state.requests.get(id).is_some_and(fits) { state.requests.complete(id) } else { None };
            (pending, state.server.pipe().cloned())
        };
        let (Some(pending), Some(pipe)) = (pending, pipe) else { return };
        let message = cancellation(pending.id().unwrap_or(id), "the client hung up");
        let transport = Transport::new(self.carrier);
        let message = self.proxy.originate(pending.session(), Direction::ToServer, transport, message);
        let message = message.with_value(&["params", "requestId"], id.token()).unwrap_or(message);
        match &*pipe {
            Pipe::Child(child) => {
                if !child.offer(one_line(&message)) {
                    tracing::debug!("a cancellation was not taken");
                }
            }
            Pipe::Events(events) => post_aside(events, message),
        }
    }

    /// Cancels the requests that fit.
    pub(super) fn cancel_where(&self, fits: impl Fn(&PendingRequest) -> bool) {
        let ids = self.state.lock().requests.ids_where(&fits);
        ids.iter().for_each(|id| self.cancel(id, &fits));
    }

    /// Cancels what one of several clients waits for: it is no more.
    pub(super) fn cancel_of(&self, session: &LiveSession) {
        self.cancel_where(|pending| pending.session().id() == session.id());
    }

    /// Lets a child go that others have taken the place of: subscriptions end, and what is asked already may still be answered.
    pub(super) fn retire(&self) {
        let mut state = self.state.lock();
        state.server.leave();
        state.requests.cancel_where(PendingRequest::is_subscription);
        if let Some(Pipe::Child(child)) = state.server.pipe().map(|pipe| &**pipe) {
            child.leave();
        }
    }

    /// Ends the server's part, and waits until it is gone. Another process does not follow.
    pub async fn close(&self) {
        let pipe = {
            let mut state = self.state.lock();
            state.server.leave();
            state.server.pipe().cloned()
        };
        if let Some(pipe) = pipe {
            pipe.close().await;
        }
    }

    /// The server is gone for good: pending requests are answered with an error that says why.
    pub(in crate::proxy) fn end(&self, error: &UpstreamError) {
        self.log_end_for_shared(error);
        let mut state = self.state.lock();
        state.server.end(error.clone());
        state.last_session = None;
        state.client.end(error);
        state.requests.fail_all(error);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Sessions go on when the child that they share does not: their tapes say where.
    fn log_end_for_shared(&self, error: &UpstreamError) {
        if !matches!(self.tenancy, Tenancy::Shared) {
            return;
        }
        let is_stateless = self.pool.as_ref().is_some_and(|pool| pool.settings().stateless);
        let next =
            if is_stateless { "another is started when it is needed" } else { "the next request starts another" };
        let sessions: BTreeMap<_, _> = {
            let state = self.state.lock();
            let waiting = state.requests.iter().map(PendingRequest::session);
            waiting.chain(&state.last_session).map(|session| (session.id(), session.clone())).collect()
        };
        for session in sessions.values().filter(|session| !session.closed().is_cancelled()) {
            let line = LogLine::new(Level::Warn, "proxy", format!("{error}; {next}"));
            self.proxy.log_landmark(line.of(session.id()), Landmark::Seam);
        }
    }
}

/// Whether a child has closed its stdin, and lives on.
fn is_deaf(pipe: &Pipe) -> bool {
    matches!(pipe, Pipe::Child(child) if child.is_deaf())
}

/// A `notifications/cancelled` of ours.
pub(super) fn cancellation(id: &Id, reason: &str) -> Message {
    let (method, id) = (method::CANCELLED, id.token());
    Message::new(format!(
        r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"requestId":{id},"reason":"{reason}"}}}}"#
    ))
}

/// Posts a message of ours. What the server says meanwhile does not wait for its answer to a POST.
fn post_aside(events: &Arc<EventPipe>, message: Message) {
    let events = events.clone();
    tokio::spawn(async move {
        if let Err(error) = events.post(&message, None).await {
            tracing::debug!(%error, "a message of tapline was not taken");
        }
    });
}
