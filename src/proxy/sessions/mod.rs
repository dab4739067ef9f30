//! Which session a request belongs to, and the sessions' beginnings and ends.
//!
//! Those in memory are bounded: beyond that, one that nobody is at is set aside, and comes back from the store when its
//! client does. So does one of a tapline that has ended, or was killed.

mod cache;
mod children;
pub mod policy;
mod restore;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::envelope::{Author, SessionId, Via};
use crate::event::{Event, Level, LogLine, Origin};
use crate::headers;
use crate::message::Message;
use crate::proxy::Proxy;
use crate::proxy::error::ProxyError;
use crate::proxy::exchange::{Connection, Link};
use crate::proxy::session::LiveSession;
use crate::proxy::sessions::cache::{Key, Memory, Slot};
use crate::proxy::sessions::policy::Fate;
use crate::proxy::sessions::restore::Returning;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::shared::SharedServer;
use crate::proxy::stream::{StreamServer, Tenancy};
use crate::upstream::pipe::{Output, Pipe};
use crate::upstream::pool::Pool;
use crate::upstream::target::Target;
use crate::upstream::{Upstream as _, UpstreamError};

/// Who a session is begun for.
pub(in crate::proxy) struct Visitor<'a> {
    pub(in crate::proxy) via: Via,
    pub(in crate::proxy) origin: Origin,
    pub(in crate::proxy) author: Option<Author>,
    /// Of the request that begins it.
    pub(in crate::proxy) headers: HeaderMap,
    /// What that request had after the path of our endpoint.
    pub(in crate::proxy) tail: &'a str,
    /// Whether it follows revision 2026-07-28.
    pub(in crate::proxy) modern: bool,
}

impl Visitor<'_> {
    pub(in crate::proxy) fn new(via: Via, origin: Origin) -> Self {
        Self { via, origin, author: None, headers: HeaderMap::new(), tail: "", modern: false }
    }
}

/// A session that has begun.
pub(in crate::proxy) struct Begun {
    table: Arc<Table>,
    pub(in crate::proxy) connection: Arc<Connection>,
    start: Start,
}

/// What is to be done for a session to be served.
enum Start {
    /// Nothing: its server is asked when its client asks.
    Nothing,
    /// Its server is to be heard.
    Hear(mpsc::Receiver<Output>),
    /// It is to have a child as soon as there is one for it.
    Wait(Arc<Pool>),
}

impl Begun {
    /// Lets the server speak.
    pub(in crate::proxy) fn start(self) -> Arc<Connection> {
        let Self { table, connection, start } = self;
        if let Link::Pipe(link) = &connection.link {
            match start {
                Start::Nothing => {}
                Start::Hear(outputs) => drop(tokio::spawn(table.hear(&connection, link, outputs))),
                Start::Wait(pool) => {
                    drop(tokio::spawn(table.wait(connection.session.clone(), Arc::downgrade(link), pool)));
                }
            }
        }
        connection
    }
}

/// The owner of all live sessions.
pub struct Table {
    proxy: Arc<Proxy>,
    /// What its upstream is called, where there may be others.
    name: Option<String>,
    target: Target,
    /// Of a command: the child of those who may share one.
    shared: Option<Arc<SharedServer>>,
    memory: Mutex<Memory>,
    /// Taken by whoever opens a session for a client that is not known: of two requests at once, the second waits for it.
    opening: Mutex<()>,
    returning: Returning,
}

impl Table {
    pub fn new(proxy: Arc<Proxy>, target: Target) -> Arc<Self> {
        Self::named(proxy, None, target)
    }

    /// One of several.
    pub fn named(proxy: Arc<Proxy>, name: Option<String>, target: Target) -> Arc<Self> {
        let shared = match &target {
            Target::Command(pool) => Some(SharedServer::new(proxy.clone(), pool.clone())),
            Target::Server(_) | Target::Events(_) => None,
        };
        let (memory, opening, returning) = Default::default();
        Arc::new(Self { proxy, name, target, shared, memory, opening, returning })
    }

    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Says how the server is spoken to, where there was a choice.
    pub fn tell_target(&self) {
        let spoken = match &self.target {
            Target::Server(upstream) if upstream.site().is_some() => "Streamable HTTP",
            Target::Events(_) => "HTTP+SSE (revision 2024-11-05); `--transport http` speaks Streamable HTTP",
            Target::Server(_) | Target::Command(..) => return,
        };
        let text = format!("{} is spoken to over {spoken}", self.target.label());
        self.proxy.log(LogLine::new(Level::Info, "proxy", text));
    }

    /// The session of a request of an HTTP client; opened where this is its first.
    ///
    /// # Errors
    /// Where the session has ended, or its command cannot be started.
    pub async fn resolve(
        self: &Arc<Self>,
        headers: &HeaderMap,
        tail: &str,
        client: IpAddr,
        message: Option<&Message>,
    ) -> Result<Arc<Connection>, ProxyError> {
        let modern = self.shared.is_some() && message.is_some_and(|message| headers::is_modern(headers, message));
        let open = || {
            let visitor = Visitor { headers: headers.clone(), tail, modern, ..Visitor::new(Via::Http, Origin::Client) };
            Ok::<_, UpstreamError>(self.begin(visitor)?.start())
        };
        let initializes = message.and_then(Message::method) == Some("initialize");
        let key = match headers.get(headers::SESSION) {
            Some(id) => Key::of_header(id),
            None if initializes => return Ok(open()?),
            None if modern => Key::of_modern(headers, client),
            None => Key::of_client(headers, client),
        };
        if let Some(connection) = self.known(&key) {
            return Ok(connection);
        }
        if let Some(connection) = self.recall(&key).await {
            return Ok(connection);
        }
        match &key {
            // We minted the id, and know it no more: the child it named is gone.
            Key::Protocol(_) if self.target.is_pipe() => return Err(ProxyError::UnknownSession),
            Key::Client(..) if self.target.is_pipe() && message.is_none() => return Err(ProxyError::NoSession),
            _ => {}
        }
        let _opening = self.opening.lock();
        if let Some(connection) = self.known(&key) {
            return Ok(connection);
        }
        let connection = open()?;
        self.name(&connection, &key);
        Ok(connection)
    }

    fn known(&self, key: &Key) -> Option<Arc<Connection>> {
        self.memory.lock().by_key(key)
    }

    /// Learns, after the reply to `initialize`, how the session will be recognised from now on. A command knows no session ids:
    /// for one, the id is ours, and given back for the client.
    pub fn bind(
        &self,
        connection: &Arc<Connection>,
        request: &HeaderMap,
        reply: &HeaderMap,
        client: IpAddr,
    ) -> Option<String> {
        let (key, minted) = match (&self.target, reply.get(headers::SESSION)) {
            (_, Some(id)) => (Key::of_header(id), None),
            (target, None) if target.is_pipe() => {
                // Whoever has it has the session: nothing that is written down elsewhere.
                let id = uuid::Uuid::new_v4().simple().to_string();
                (Key::Protocol(id.as_str().into()), Some(id))
            }
            (_, None) => (Key::of_client(request, client), None),
        };
        self.name(connection, &key);
        minted
    }

    fn name(&self, connection: &Connection, key: &Key) {
        self.memory.lock().name(connection.session.id(), key.clone());
        self.save(connection, Some(key), None);
    }

    /// Begins a session.
    ///
    /// # Errors
    /// Where its command cannot be started.
    pub fn open(
        self: &Arc<Self>,
        via: Via,
        origin: Origin,
        author: Option<Author>,
    ) -> Result<Arc<Connection>, UpstreamError> {
        Ok(self.begin(Visitor { author, ..Visitor::new(via, origin) })?.start())
    }

    /// Begins a session in which nothing is said before it is started.
    ///
    /// # Errors
    /// Where its command cannot be started.
    pub(in crate::proxy) fn begin(self: &Arc<Self>, visitor: Visitor<'_>) -> Result<Begun, UpstreamError> {
        let upstream = (self.name.clone(), self.target.label());
        let session = LiveSession::new(upstream, visitor.via, visitor.origin, self.proxy.stop());
        self.proxy.journal().publish(Event::SessionOpened(session.info().into()));
        let author = visitor.author.clone();
        let (link, start) = self.connect(&session, visitor).inspect_err(|error| {
            self.proxy.log(LogLine::new(Level::Error, "proxy", error.to_string()).of(session.id()));
            let reason = "its command could not be started".to_owned();
            self.proxy.journal().publish(Event::SessionClosed { session: session.id(), reason });
        })?;
        let connection = Connection::new(self.proxy.clone(), session, link, author);
        self.take_in(&connection);
        self.save(&connection, None, None);
        self.follow_handshake(&connection);
        Ok(Begun { table: self.clone(), connection, start })
    }

    fn connect(&self, session: &Arc<LiveSession>, visitor: Visitor<'_>) -> Result<(Link, Start), UpstreamError> {
        let (proxy, session) = (self.proxy.clone(), session.clone());
        match (&self.target, &self.shared) {
            (Target::Server(upstream), _) => Ok((Link::Exchanges(upstream.clone()), Start::Nothing)),
            (Target::Events(upstream), _) => {
                let mut headers = visitor.headers;
                headers::towards_upstream(&mut headers);
                headers::without_message(&mut headers);
                let (events, outputs) = upstream.open(headers, visitor.tail, self.proxy.retry().clone());
                let link =
                    StreamServer::for_events(proxy, session, self.target.label(), Pipe::Events(Arc::new(events)));
                Ok((Link::Pipe(link), Start::Hear(outputs)))
            }
            (Target::Command(_), Some(shared)) if visitor.modern => Ok((Link::Shared(shared.clone()), Start::Nothing)),
            (Target::Command(pool), _) => {
                let child = pool.take()?;
                let link = StreamServer::for_command(
                    proxy,
                    Tenancy::Dedicated(session),
                    pool.clone(),
                    HandshakeState::default(),
                );
                let start = match child {
                    Some(child) => {
                        link.install(child.pipe);
                        Start::Hear(child.outputs)
                    }
                    None => Start::Wait(pool.clone()),
                };
                Ok((Link::Pipe(link), start))
            }
        }
    }

    fn take_in(&self, connection: &Arc<Connection>) {
        let max = self.proxy.session_policy().max;
        let surplus = {
            let mut memory = self.memory.lock();
            memory.put(connection.clone());
            memory.surplus(max)
        };
        for slot in surplus {
            let reason = format!("set aside: more than {max} sessions");
            self.leave(&slot, &reason, Fate::Aside);
        }
    }

    pub fn find(&self, id: SessionId) -> Option<Arc<Connection>> {
        self.memory.lock().get(id).map(|slot| slot.connection.clone())
    }

    pub fn live(&self) -> Vec<Arc<Connection>> {
        self.memory.lock().all().map(|slot| slot.connection.clone()).collect()
    }

    /// Ends a session: it is known no more, and its child leaves.
    pub async fn close(&self, id: SessionId, reason: &str) {
        self.dismiss(id, reason, Fate::Over).await;
    }

    /// Ends a session as far as this tapline is concerned; the next may go on with it.
    pub async fn set_aside(&self, id: SessionId, reason: &str) {
        self.dismiss(id, reason, Fate::Aside).await;
    }

    async fn dismiss(&self, id: SessionId, reason: &str, fate: Fate) {
        if let Some(connection) = self.forget(id, reason, fate) {
            connection.close().await;
        }
    }

    fn forget(&self, id: SessionId, reason: &str, fate: Fate) -> Option<Arc<Connection>> {
        let slot = self.memory.lock().remove(id)?;
        let connection = slot.connection.clone();
        self.end(&slot, reason, fate);
        Some(connection)
    }

    fn end(&self, Slot { connection, key, .. }: &Slot, reason: &str, fate: Fate) {
        if let Some(ending) = connection.session.end(reason) {
            self.proxy.journal().publish(Event::SessionChanged(ending.into()));
        }
        // Nobody could let its messages go any more.
        self.proxy.gate().resume(connection.session.id());
        self.save(connection, key.as_ref(), Some(fate));
    }

    /// Lets go of a session that nobody is at. What is left of its child ends beside it: the session itself is over at once,
    /// so that it can come back.
    fn leave(&self, slot: &Slot, reason: &str, fate: Fate) {
        self.end(slot, reason, fate);
        match &slot.connection.link {
            Link::Exchanges(_) => {}
            Link::Shared(shared) => shared.leave(&slot.connection.session),
            Link::Pipe(link) => {
                let link = link.clone();
                tokio::spawn(async move { link.close().await });
            }
        }
    }
}
