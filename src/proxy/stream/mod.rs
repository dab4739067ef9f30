//! A session whose server says everything on one stream: a child, or a server of the HTTP+SSE transport.
//!
//! A client with one stream of its own gets it all. For one with many HTTP exchanges, each message of the server finds the
//! response that carries it: a reply goes where its request came from, progress to the request that asked for it, the rest
//! to the client's listening stream, or, where it has none, along with a request in flight.
//!
//! A child may be followed by another while its client stays: what the client says meanwhile waits ([`StreamServer::server`]).

mod dispatch;
pub mod handshake;
mod pending;
pub(in crate::proxy) mod pump;
mod request;
pub(in crate::proxy) mod restart;
pub mod shared;
mod subscription;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::envelope::Via;
use crate::event::{Landmark, Level, LogLine};
use crate::message::{Id, Message};
use crate::proxy::Proxy;
use crate::proxy::session::LiveSession;
pub(in crate::proxy) use crate::proxy::stream::dispatch::Dispatched;
use crate::proxy::stream::handshake::HandshakeState;
pub(in crate::proxy) use crate::proxy::stream::pending::Recipient;
use crate::proxy::stream::pending::{Lifecycle, PendingRequest, Router};
pub(in crate::proxy) use crate::proxy::stream::subscription::FanoutSubscription;
use crate::upstream::framing::one_line;
use crate::upstream::pipe::Pipe;
use crate::upstream::pool::Pool;
use crate::upstream::sse::StreamAnswer;
use crate::upstream::{Item, Reply, UpstreamError};

/// Unbounded: a client that reads slowly must not hold up the child's other messages, nor lose its own.
pub(in crate::proxy) type Items = mpsc::UnboundedSender<Result<Item, UpstreamError>>;

/// How long a message waits for a server that is being started. A client that waits as long for nothing hears why.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The client's side of such a server.
pub struct StreamServer {
    proxy: Arc<Proxy>,
    home: Tenancy,
    label: String,
    carrier: Via,
    router: Mutex<Router>,
    /// There is another server, or none any more.
    changed: Notify,
    /// Where another child comes from; `None` where the server is none of ours.
    pool: Option<Arc<Pool>>,
    handshake: watch::Sender<HandshakeState>,
}

/// Whose server it is.
pub(in crate::proxy) enum Tenancy {
    Dedicated(Arc<LiveSession>),
    /// Of all clients that follow revision 2026-07-28.
    Shared,
}

/// The ends of a client that has one stream for everything, too.
pub(in crate::proxy) struct ClientStream {
    pub(in crate::proxy) items: Items,
    /// What its stream is made of. Bytes without a message pass where the server's is made of the same.
    pub(in crate::proxy) carrier: Via,
    /// Takes a child's stderr, as it came.
    pub(in crate::proxy) stderr: Option<mpsc::UnboundedSender<Bytes>>,
    /// Gives the address under which the client reaches the server's endpoint.
    pub(in crate::proxy) announce: Option<Announce>,
}

pub(in crate::proxy) type Announce = Box<dyn Fn(&Url) -> String + Send>;

impl StreamServer {
    /// To a server that is there.
    pub(in crate::proxy) fn for_events(
        proxy: Arc<Proxy>,
        session: Arc<LiveSession>,
        label: String,
        pipe: Pipe,
    ) -> Arc<Self> {
        let router = Router::new(Lifecycle::Up(Arc::new(pipe)));
        Self::build(proxy, Tenancy::Dedicated(session), label, Via::Sse, router, None)
    }

    /// To a child of a pool, which is still to come.
    pub(in crate::proxy) fn for_command(
        proxy: Arc<Proxy>,
        home: Tenancy,
        pool: Arc<Pool>,
        handshake: HandshakeState,
    ) -> Arc<Self> {
        let label = pool.command().to_string();
        let starting =
            UpstreamError::BrokenOff { upstream: label.clone(), why: "it is still being started".to_owned() };
        let link = Self::build(proxy, home, label, Via::Stdio, Router::new(Lifecycle::Starting(starting)), Some(pool));
        link.handshake.send_replace(handshake);
        link
    }

    fn build(
        proxy: Arc<Proxy>,
        home: Tenancy,
        label: String,
        carrier: Via,
        router: Router,
        pool: Option<Arc<Pool>>,
    ) -> Arc<Self> {
        let (router, changed, handshake) = (Mutex::new(router), Notify::new(), watch::Sender::default());
        Arc::new(Self { proxy, home, label, carrier, router, changed, pool, handshake })
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    /// What another process of the server would be told again. `None` where none can take its place.
    pub fn handshake_states(&self) -> Option<watch::Receiver<HandshakeState>> {
        self.pool.as_ref().map(|_| self.handshake.subscribe())
    }

    pub(in crate::proxy) fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// Ends the server's part. Another does not follow.
    pub async fn close(&self) {
        let pipe = {
            let mut router = self.router.lock();
            router.leaving = true;
            router.pipe.clone()
        };
        if let Some(pipe) = pipe {
            pipe.close().await;
        }
    }

    /// The client leaves of its own accord: what it still waits for ends without an answer.
    pub(in crate::proxy) fn cancel_pending(&self) {
        self.router.lock().pending.values_mut().for_each(|waiting| waiting.cancelled = true);
    }

    /// What the command exited with; `None` while it runs, or where there is none.
    pub fn exit_code(&self) -> Option<u8> {
        match self.router.lock().pipe.as_deref() {
            Some(Pipe::Child(child)) => child.exit_code(),
            Some(Pipe::Events(_)) | None => None,
        }
    }

    /// Passes a signal on to the child; `false` where there is none. A child that goes by it is not followed by another.
    pub fn signal(&self, signal: rustix::process::Signal) -> bool {
        let mut router = self.router.lock();
        let Lifecycle::Up(pipe) = &router.server else { return false };
        let Pipe::Child(child) = &**pipe else { return false };
        child.signal(signal);
        router.leaving = true;
        true
    }

    /// What carries the server's messages.
    pub(in crate::proxy) fn carrier(&self) -> Via {
        self.carrier
    }

    /// How a server of the HTTP+SSE transport answered the GET that is the session; nothing of a child.
    pub(in crate::proxy) async fn answered(&self) -> Option<Result<StreamAnswer, UpstreamError>> {
        let pipe = self.router.lock().pipe.clone();
        match pipe.as_deref() {
            Some(Pipe::Events(events)) => Some(events.answered().await),
            Some(Pipe::Child(_)) | None => None,
        }
    }

    /// Gives everything that the server says to a client with one stream, from now on.
    pub(in crate::proxy) fn attach(&self, client: ClientStream) {
        let mut router = self.router.lock();
        if !router.is_over() {
            for item in router.backlog.drain(..) {
                drop(client.items.send(Ok(item)));
            }
            router.client = Some(client);
        }
    }

    /// Tells a client with one stream something that the server did not say.
    pub(in crate::proxy) fn tell(&self, item: Item) {
        if let Some(client) = &self.router.lock().client {
            drop(client.items.send(Ok(item)));
        }
    }

    /// Hands a message of a client with one stream to the server, already through the spine. `line`: what it came in, where that
    /// was a line and nobody edited it; `headers`: what it came with, where that was a POST. Gives what the server says to having
    /// got it: a child says nothing.
    ///
    /// # Errors
    /// Where the server takes nothing any more.
    pub(in crate::proxy) async fn hand(
        &self,
        message: &Message,
        line: Option<Bytes>,
        headers: Option<HeaderMap>,
    ) -> Result<Option<Reply>, UpstreamError> {
        loop {
            let (pipe, is_stale) = self.server(|router| self.note(router, message)).await?;
            match &*pipe {
                Pipe::Events(events) => return events.post(message, headers).await.map(Some),
                Pipe::Child(_) if is_stale => return Ok(None),
                Pipe::Child(child) => {
                    if child.write(line.clone().unwrap_or_else(|| one_line(message))).await {
                        return Ok(None);
                    }
                    if self.forget(message).is_empty() && message.asks() {
                        // It was told that the server is gone.
                        return Ok(None);
                    }
                    self.other_than(&pipe).await?;
                }
            }
        }
    }

    /// Takes note of a message that goes to a child as it is. Gives whether it is for one that is gone.
    fn note(&self, router: &mut Router, message: &Message) -> bool {
        let (Some(_), Tenancy::Dedicated(session)) = (&self.pool, &self.home) else { return false };
        router.take_back(message);
        router.note(message, session);
        self.remember_begun(message);
        router.is_stale(message)
    }

    fn remember_begun(&self, message: &Message) {
        if message.method() == Some("notifications/initialized") {
            self.handshake.send_modify(HandshakeState::begun);
        }
    }

    /// Hands on a line without a message; only a pipe has a place for it.
    pub(in crate::proxy) async fn send_blank_line(&self, line: Bytes) {
        if let Ok((pipe, ())) = self.server(|_| ()).await
            && let Pipe::Child(child) = &*pipe
        {
            // A child that takes nothing any more is about to be heard of.
            child.write(line).await;
        }
    }

    /// The server, as soon as it is there. What `note` notes is noted of this very one: if it goes, so does the note.
    async fn server<T>(&self, mut note: impl FnMut(&mut Router) -> T) -> Result<(Arc<Pipe>, T), UpstreamError> {
        let mut try_now = || {
            let mut router = self.router.lock();
            match &router.server {
                Lifecycle::Up(pipe) => Some(Ok((pipe.clone(), note(&mut router)))),
                Lifecycle::Gone(error) => Some(Err(error.clone())),
                Lifecycle::Starting(_) => None,
            }
        };
        match try_now() {
            Some(now) => now,
            None => self.once(try_now).await,
        }
    }

    /// Waits until another server than this one is there.
    async fn other_than(&self, pipe: &Arc<Pipe>) -> Result<(), UpstreamError> {
        self.once(|| match &self.router.lock().server {
            Lifecycle::Up(now) if Arc::ptr_eq(now, pipe) => None,
            Lifecycle::Up(_) | Lifecycle::Starting(_) => Some(Ok(())),
            Lifecycle::Gone(error) => Some(Err(error.clone())),
        })
        .await
    }

    /// Waits until something is there; after a while, gives why it is not.
    async fn once<T>(&self, mut now: impl FnMut() -> Option<Result<T, UpstreamError>>) -> Result<T, UpstreamError> {
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(now) = now() {
                return now;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(self.gone());
            }
        }
    }

    /// Takes notes back: the server does not have the message. Gives those that there were.
    fn forget(&self, message: &Message) -> Vec<PendingRequest> {
        let mut router = self.router.lock();
        let elements = message.elements();
        let ids = elements.iter().chain([message]).filter_map(Message::id);
        ids.filter_map(|id: &Id| router.pending.remove(id)).collect()
    }

    /// Whether the server is gone for good.
    pub(in crate::proxy) fn is_over(&self) -> bool {
        self.router.lock().is_over()
    }

    /// Whether nobody waits for its answers.
    pub(in crate::proxy) fn is_idle(&self) -> bool {
        self.router.lock().pending.is_empty()
    }

    /// Lets a child go that others have taken the place of: subscriptions end, and what is asked already may still be answered.
    pub(in crate::proxy) fn retire(&self) {
        let mut router = self.router.lock();
        router.leaving = true;
        router.pending.values_mut().filter(|waiting| waiting.listens()).for_each(|waiting| waiting.cancelled = true);
        if let Some(Pipe::Child(child)) = router.pipe.as_deref() {
            child.leave();
        }
    }

    /// One of several clients is no more: nobody waits for its answers.
    pub(in crate::proxy) fn leave(&self, session: &LiveSession) {
        self.cancel_all(|waiting| waiting.session.id() == session.id());
    }

    fn cancel_all(&self, fits: impl Fn(&PendingRequest) -> bool) {
        let ids: Vec<_> = {
            let router = self.router.lock();
            let pending = router.pending.iter().filter(|(_, waiting)| fits(waiting));
            pending.map(|(id, _)| id.clone()).collect()
        };
        ids.iter().for_each(|id| self.cancel(id));
    }

    /// Whether a client waits here for the reply to its request.
    pub(in crate::proxy) fn awaits(&self, session: &LiveSession, id: &Id) -> bool {
        let router = self.router.lock();
        router.pending.values().any(|waiting| waiting.session.id() == session.id() && waiting.id() == Some(id))
    }

    pub(in crate::proxy) fn end(&self, error: &UpstreamError) {
        self.tell_many(error);
        let mut router = self.router.lock();
        router.server = Lifecycle::Gone(error.clone());
        router.listener = None;
        router.spoke_last = None;
        if let Some(client) = router.client.take().filter(|_| error.is_broken()) {
            // What broke for us must not look to the client as if it had ended in good order.
            drop(client.items.send(Err(error.clone())));
        }
        // Who has taken a request back does not expect an answer: some clients fail over one that comes as they leave.
        for (_, mut waiting) in router.pending.drain().filter(|(_, waiting)| !waiting.cancelled) {
            // What other children tell, too, goes on.
            let goes_on = waiting.leg.as_mut().is_some_and(|leg| !leg.end());
            // A client that has hung up does not need to know.
            if let Some(items) = waiting.items.filter(|_| !goes_on) {
                drop(items.send(Err(error.clone())));
            }
        }
        drop(router);
        self.changed.notify_waiters();
    }

    /// Sessions go on when the child that they share does not: their tapes say where.
    fn tell_many(&self, error: &UpstreamError) {
        if !matches!(self.home, Tenancy::Shared) {
            return;
        }
        let is_stateless = self.pool.as_ref().is_some_and(|pool| pool.settings().stateless);
        let next =
            if is_stateless { "another is started when it is needed" } else { "the next request starts another" };
        let sessions: BTreeMap<_, _> = {
            let router = self.router.lock();
            let waiting = router.pending.values().map(|waiting| &waiting.session);
            waiting.chain(&router.spoke_last).map(|session| (session.id(), session.clone())).collect()
        };
        for session in sessions.values().filter(|session| !session.closed().is_cancelled()) {
            let line = LogLine::new(Level::Warn, "proxy", format!("{error}; {next}"));
            self.proxy.log(line.of(session.id()).as_landmark(Landmark::Seam));
        }
    }

    fn gone(&self) -> UpstreamError {
        match &self.router.lock().server {
            Lifecycle::Gone(error) | Lifecycle::Starting(error) => error.clone(),
            Lifecycle::Up(_) => {
                UpstreamError::BrokenOff { upstream: self.label.clone(), why: "it is ending".to_owned() }
            }
        }
    }
}
