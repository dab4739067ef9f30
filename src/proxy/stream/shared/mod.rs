//! The children that clients of revision 2026-07-28 share: one for all, so that a subscription of one hears what the calls of another
//! change; of a command that is declared stateless, more where all are busy.
//!
//! These clients have no handshake, so any process of the server will do, and one that is gone is followed by the next as soon as
//! a request comes. Where the command is declared stateless, a child is chosen and what is in flight on it counted under
//! one lock; otherwise nothing is counted. Which message is whose is the business of the [`StreamServer`].

mod children;
mod fanout;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::timeout;

use crate::envelope::SessionId;
use crate::event::{Level, LogLine};
use crate::mcp::era::MODERN_REVISIONS;
use crate::mcp::meta::{CLIENT_CAPABILITIES, CLIENT_INFO, META, PROTOCOL_VERSION, cancelled_id};
use crate::mcp::{method, semantics};
use crate::message::{Id, Kind, Message};
use crate::proxy::session::LiveSession;
use crate::proxy::stream::dispatch::Pump;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::restart::Supervisor;
use crate::proxy::stream::server::{StreamServer, Tenancy};
use crate::proxy::stream::shared::children::{BusyChild, SharedChild, SharedChildren, dismiss_when_idle};
use crate::proxy::stream::subscription::FanoutSubscription;
use crate::proxy::{Audience, Proxy};
use crate::secret::Label;
use crate::upstream::pool::{Pool, PooledChild};
use crate::upstream::{Outgoing, Reply, ReplyBody, UpstreamError};

/// How long a spare may take to answer before it is given to a client, where that is asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a command may take to answer `server/discover` if it never did before. A server that is older than the question may say
/// nothing to it, and clients (Python's and Rust's SDKs) wait ten seconds for more than a silence, which they fail on: they need a status
/// within that to fall back to `initialize`. Shorter, and a server that is slow to start would be taken for an older one.
const PROBE: Duration = Duration::from_secs(8);

/// How long the next client waits for a command that was silent all that time: whatever it had to fetch or to compile, it has.
const NEXT_PROBE: Duration = Duration::from_secs(3);

/// The owner of what is shared.
pub struct SharedServer {
    proxy: Arc<Proxy>,
    pool: Arc<Pool>,
    label: Label,
    children: Arc<Mutex<SharedChildren>>,
    /// The command has answered `server/discover` once: if it does not another time, something broke.
    has_answered: AtomicBool,
    /// It was asked, and said nothing.
    was_silent: AtomicBool,
}

impl SharedServer {
    pub(in crate::proxy) fn new(proxy: Arc<Proxy>, pool: Arc<Pool>) -> Arc<Self> {
        let label = pool.label();
        Arc::new(Self {
            proxy,
            pool,
            label,
            children: Arc::default(),
            has_answered: AtomicBool::new(false),
            was_silent: AtomicBool::new(false),
        })
    }

    pub(in crate::proxy) fn label(&self) -> &Label {
        &self.label
    }

    /// The child on which a request of the session waits.
    pub(in crate::proxy) fn asked_by(&self, session: SessionId) -> Option<Arc<StreamServer>> {
        self.children.lock().servers().find(|server| server.has_request_of(session)).cloned()
    }

    /// One exchange of a client, already through the spine. What it asks first is whether the command knows the revision at all.
    pub(in crate::proxy) async fn exchange(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        audience: Audience,
    ) -> Result<Reply, UpstreamError> {
        let Some(message) = &outgoing.message else { return self.carry(session, outgoing, audience).await };
        if message.kind() != Kind::Request && !self.children.lock().has_one() {
            // Servers built with the SDKs take the first message of a pipe for a word on which revision it speaks.
            let text = "a notification came before any request, and was not sent: the server has not started";
            self.proxy.log(LogLine::new(Level::Info, "proxy", text).of(session.id()));
            return Ok(Reply::accepted());
        }
        let probes = message.method() == Some(method::DISCOVER) && message.kind() == Kind::Request;
        if !probes || self.has_answered.load(Ordering::Relaxed) {
            return self.carry(session, outgoing, audience).await;
        }
        self.probe(session, outgoing, audience).await
    }

    /// Carries the question by which a client finds out whether the command knows the revision, and which an older one may not survive.
    async fn probe(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        audience: Audience,
    ) -> Result<Reply, UpstreamError> {
        let patience = if self.was_silent.load(Ordering::Relaxed) { NEXT_PROBE } else { PROBE };
        let why = match timeout(patience, self.carry(session, outgoing, audience)).await {
            Ok(Ok(reply)) => {
                let is_result = matches!(&reply.body, ReplyBody::Whole(message) if message.kind() == Kind::Result);
                self.has_answered.fetch_or(is_result, Ordering::Relaxed);
                return Ok(reply);
            }
            Ok(Err(
                error @ (UpstreamError::Exited { .. }
                | UpstreamError::BrokenOff { .. }
                | UpstreamError::TakesNothing { .. }),
            )) => error.to_string(),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                // It may be stuck: the next client's question is for another.
                self.renew();
                self.was_silent.store(true, Ordering::Relaxed);
                format!("nothing came in {patience:?}")
            }
        };
        Err(UpstreamError::NotModern { command: self.label.clone(), why })
    }

    async fn carry(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        audience: Audience,
    ) -> Result<Reply, UpstreamError> {
        let is_stateless = self.pool.settings().stateless;
        match is_stateless.then(|| outgoing.message.clone()).flatten() {
            None => self.any(session)?.exchange(session, outgoing, audience).await,
            Some(message) if semantics::is_subscription(&message) => {
                self.subscribe(session, outgoing, FanoutSubscription::new(session.clone(), message, audience), audience)
                    .await
            }
            Some(message) if message.asks() => {
                let in_use = self.least_busy(session)?;
                let reply = in_use.server().exchange(session, outgoing, audience).await?;
                Ok(while_read(reply, in_use))
            }
            Some(message) => self.send_one_way(session, outgoing, &message, audience).await,
        }
    }

    /// Has other children take the place of these.
    pub(in crate::proxy) fn renew(&self) {
        let gone = std::mem::take(&mut *self.children.lock());
        gone.servers().for_each(|server| server.retire());
    }

    /// A client is no more.
    pub(in crate::proxy) fn leave(&self, session: &LiveSession) {
        let servers: Vec<_> = self.children.lock().servers().cloned().collect();
        servers.iter().for_each(|server| server.cancel_of(session));
    }

    /// Ends the children, and waits until they are gone.
    pub(in crate::proxy) async fn close(&self) {
        let gone = std::mem::take(&mut *self.children.lock());
        join_all(gone.servers().map(|server| server.close())).await;
    }

    fn any(self: &Arc<Self>, session: &Arc<LiveSession>) -> Result<Arc<StreamServer>, UpstreamError> {
        let mut children = self.children.lock();
        Ok(self.choose(&mut children, session, false)?.server.clone())
    }

    /// The child with the fewest requests in flight, which has one more from now on.
    fn least_busy(self: &Arc<Self>, session: &Arc<LiveSession>) -> Result<BusyChild, UpstreamError> {
        let mut children = self.children.lock();
        Ok(self.choose(&mut children, session, true)?.in_use())
    }

    /// `grow`: where all are busy, another is added if there may be one.
    fn choose(
        self: &Arc<Self>,
        children: &mut SharedChildren,
        session: &Arc<LiveSession>,
        grow: bool,
    ) -> Result<Arc<SharedChild>, UpstreamError> {
        let found = children.least_busy(&self.pool);
        let found = match found {
            Some(found) if !grow || found.load() == 0 => return Ok(found),
            found => found,
        };
        match (self.pool.try_acquire(), found) {
            (Ok(None), Some(found)) => Ok(found),
            (Err(error), Some(found)) => {
                let text = format!("a busy server is asked more, as no other can be started: {error}");
                self.proxy.log(LogLine::new(Level::Warn, "proxy", text).of(session.id()));
                Ok(found)
            }
            (child, _) => Ok(self.add(children, session, child?)),
        }
    }

    /// Adds a child, the next one of the pool if need be, in the place of those that are too old.
    fn add(
        self: &Arc<Self>,
        children: &mut SharedChildren,
        session: &Arc<LiveSession>,
        child: Option<PooledChild>,
    ) -> Arc<SharedChild> {
        let server = StreamServer::for_command(
            self.proxy.clone(),
            Tenancy::Shared,
            self.pool.clone(),
            HandshakeState::default(),
        );
        let since = child.as_ref().map_or_else(Instant::now, |child| child.since);
        let added = SharedChild::new(server.clone(), since);
        if self.pool.settings().stateless {
            tokio::spawn(dismiss_when_idle(&self.children, &added, &self.pool));
        }
        let (pump, pool, session) = (Pump::new(&server), self.pool.clone(), session.clone());
        match child {
            Some(child) if !must_answer(&pool, &child) => {
                server.install(child.pipe);
                tokio::spawn(Supervisor::with_pump(pump).run(child.outputs));
            }
            child => {
                tokio::spawn(bring(server, pump, pool, session, child));
            }
        }
        children.take_in(&added, &self.pool);
        added
    }

    /// Opens a subscription on one child, and as soon as that has said something, on all others.
    async fn subscribe(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        subscription: Arc<FanoutSubscription>,
        audience: Audience,
    ) -> Result<Reply, UpstreamError> {
        let server = self.any(session)?;
        let reply = server.exchange_with(session, outgoing, audience, Some(subscription.clone())).await?;
        if !matches!(reply.body, ReplyBody::Stream(_)) {
            return Ok(reply);
        }
        self.children.lock().open(&subscription, &server);
        Ok(while_read(reply, Subscribed { shared: self.clone(), subscription }))
    }

    /// What a client says without asking anything. What takes a request back goes where that went.
    async fn send_one_way(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        message: &Message,
        audience: Audience,
    ) -> Result<Reply, UpstreamError> {
        let mut asked = None;
        if let Some(id) = cancelled_id(message) {
            let mut children = self.children.lock();
            if let Some(subscription) = children.subscription(session, &id) {
                children.close(&subscription);
                return Ok(Reply::accepted());
            }
            asked = children.servers().find(|server| server.awaits(session, &id)).cloned();
        }
        let server = asked.map_or_else(|| self.any(session), Ok)?;
        server.exchange(session, outgoing, audience).await
    }
}

/// A subscription while its client reads.
struct Subscribed {
    shared: Arc<SharedServer>,
    subscription: Arc<FanoutSubscription>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.shared.children.lock().close(&self.subscription);
    }
}

/// Keeps something for as long as the reply is read.
fn while_read(mut reply: Reply, kept: impl Send + 'static) -> Reply {
    if let ReplyBody::Stream(items) = reply.body {
        let while_in_use = move |item| {
            let _kept = &kept;
            item
        };
        reply.body = ReplyBody::Stream(items.map(while_in_use).boxed());
    }
    reply
}

fn must_answer(pool: &Pool, child: &PooledChild) -> bool {
    pool.settings().ping && child.spare
}

/// Waits for a child that is fit for use.
async fn bring(
    server: Arc<StreamServer>,
    mut pump: Pump,
    pool: Arc<Pool>,
    session: Arc<LiveSession>,
    child: Option<PooledChild>,
) {
    let mut child = child;
    loop {
        let next = match child.take() {
            Some(child) => Ok(child),
            None => pool.acquire().await,
        };
        let found = match next {
            Ok(found) => found,
            Err(error) => return server.end(&error),
        };
        let must_answer = must_answer(&pool, &found);
        let (pipe, mut outputs) = (server.stage(found.pipe), found.outputs);
        let answering = async {
            if must_answer {
                server.ask(&session, &pipe, discover()).await.recv().await;
            }
        };
        if let Ok(Ok(())) = pump.run_until(&mut outputs, timeout(PATIENCE, answering)).await {
            server.open(&pipe);
            // The end of what is shared must not wait for what is heard of it.
            drop(server);
            Supervisor::with_pump(pump).run(outputs).await;
            return;
        }
        let text = "a spare did not answer, and is replaced";
        server.proxy.log(LogLine::new(Level::Warn, "proxy", text).of(session.id()));
    }
}

/// What every server of the revision answers, be it by an error (2026-07-28, `server/discover`; it has no `ping`).
fn discover() -> Message {
    let version = env!("CARGO_PKG_VERSION");
    let meta = json!({
        PROTOCOL_VERSION: MODERN_REVISIONS[0],
        CLIENT_CAPABILITIES: {},
        CLIENT_INFO: { "name": "tapline", "version": version },
    });
    let id = Id::random();
    let (method, id) = (method::DISCOVER, id.token());
    Message::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"{META}":{meta}}}}}"#))
}
