//! Which session a request belongs to, and the sessions' beginnings and ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::USER_AGENT;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Proxy;
use super::exchange::{Connection, Link};
use super::pipe::PipeLink;
use super::pump::pump;
use super::respond::Refusal;
use super::session::LiveSession;
use crate::envelope::{Author, SessionId, Via};
use crate::event::{Event, Level, LogLine, Origin};
use crate::headers;
use crate::message::Message;
use crate::upstream::guardian::Guardian;
use crate::upstream::pipe::{Output, Pipe};
use crate::upstream::site::Site;
use crate::upstream::sse::SseUpstream;
use crate::upstream::stdio::{ChildPipe, CommandLine};
use crate::upstream::{Upstream, UpstreamError};

/// What tapline stands in front of.
#[derive(Clone)]
pub enum Target {
    /// A server with sessions of its own.
    Server(Arc<dyn Upstream>),
    /// A server of the HTTP+SSE transport: each session has an event stream for its life.
    Events(Arc<SseUpstream>),
    /// A command: each session gets a child for its life.
    Command(CommandLine, Guardian),
}

impl Target {
    pub fn label(&self) -> String {
        match self {
            Self::Server(upstream) => upstream.label().to_owned(),
            Self::Events(upstream) => upstream.site().label().to_owned(),
            Self::Command(command, _) => command.to_string(),
        }
    }

    /// The label, and how it is spoken to where that is not what everybody expects.
    pub fn description(&self) -> String {
        match self {
            Self::Events(_) => format!("{} over HTTP+SSE", self.label()),
            Self::Server(_) | Self::Command(..) => self.label(),
        }
    }

    /// The place where it lives, if there are other things to ask for.
    pub fn site(&self) -> Option<&Site> {
        match self {
            Self::Server(upstream) => upstream.site(),
            Self::Events(upstream) => Some(upstream.site()),
            Self::Command(..) => None,
        }
    }

    /// Whether the server knows nothing of the ids that sessions have over Streamable HTTP: those are ours, then.
    pub(super) fn is_pipe(&self) -> bool {
        !matches!(self, Self::Server(_))
    }
}

/// Who a session is begun for.
pub(super) struct Visitor<'a> {
    pub(super) via: Via,
    pub(super) origin: Origin,
    pub(super) author: Option<Author>,
    /// Of the request that begins it.
    pub(super) headers: HeaderMap,
    /// What that request had after the path of our endpoint.
    pub(super) tail: &'a str,
}

impl Visitor<'_> {
    pub(super) fn new(via: Via, origin: Origin) -> Self {
        Self { via, origin, author: None, headers: HeaderMap::new(), tail: "" }
    }
}

/// A session that has begun.
pub(super) struct Begun {
    table: Arc<Table>,
    pub(super) connection: Arc<Connection>,
    outputs: Option<mpsc::Receiver<Output>>,
}

impl Begun {
    /// Lets the server speak.
    pub(super) fn start(self) -> Arc<Connection> {
        let Self { table, connection, outputs } = self;
        if let (Link::Pipe(link), Some(outputs)) = (&connection.link, outputs) {
            let pumping = pump(table.proxy.clone(), connection.session.clone(), Arc::downgrade(link), outputs);
            let id = connection.session.id();
            tokio::spawn(async move {
                let error = pumping.await;
                table.forget(id, &format!("its server is gone: {error}"));
            });
        }
        connection
    }
}

/// How a client's next request is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// By the session header.
    Protocol(String),
    /// By where it comes from and what it calls itself: revision 2026-07-28 has no sessions, and servers without them exist.
    Client(IpAddr, String),
}

/// The owner of all live sessions.
pub struct Table {
    proxy: Arc<Proxy>,
    /// What its upstream is called, where there may be others.
    name: Option<String>,
    target: Target,
    state: Mutex<State>,
    /// Taken by whoever opens a session for a client that is not known: of two requests at once, the second waits for it.
    opening: Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: HashMap<Key, Arc<Connection>>,
    live: HashMap<SessionId, Arc<Connection>>,
}

impl Table {
    pub fn new(proxy: Arc<Proxy>, target: Target) -> Arc<Self> {
        Self::named(proxy, None, target)
    }

    /// One of several.
    pub fn named(proxy: Arc<Proxy>, name: Option<String>, target: Target) -> Arc<Self> {
        Arc::new(Self { proxy, name, target, state: Mutex::default(), opening: Mutex::default() })
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
    pub fn resolve(
        self: &Arc<Self>,
        headers: &HeaderMap,
        tail: &str,
        client: IpAddr,
        message: Option<&Message>,
    ) -> Result<Arc<Connection>, Refusal> {
        let open = || {
            let visitor = Visitor { headers: headers.clone(), tail, ..Visitor::new(Via::Http, Origin::Client) };
            Ok::<_, UpstreamError>(self.begin(visitor)?.start())
        };
        let initializes = message.and_then(Message::method) == Some("initialize");
        let key = match headers.get(headers::SESSION) {
            Some(id) => Key::Protocol(String::from_utf8_lossy(id.as_bytes()).into_owned()),
            None if initializes => return Ok(open()?),
            None => client_key(headers, client),
        };
        if let Some(connection) = self.state.lock().keys.get(&key) {
            return Ok(connection.clone());
        }
        match &key {
            // We minted the id, and know it no more: the child it named is gone.
            Key::Protocol(_) if self.target.is_pipe() => return Err(Refusal::UnknownSession),
            Key::Client(..) if self.target.is_pipe() && message.is_none() => return Err(Refusal::NoSession),
            _ => {}
        }
        let _opening = self.opening.lock();
        if let Some(connection) = self.state.lock().keys.get(&key) {
            return Ok(connection.clone());
        }
        let connection = open()?;
        self.state.lock().keys.insert(key, connection.clone());
        Ok(connection)
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
            (_, Some(id)) => (Key::Protocol(String::from_utf8_lossy(id.as_bytes()).into_owned()), None),
            (target, None) if target.is_pipe() => {
                let id = connection.session.id().0.simple().to_string();
                (Key::Protocol(id.clone()), Some(id))
            }
            (_, None) => (client_key(request, client), None),
        };
        self.state.lock().keys.insert(key, connection.clone());
        minted
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
    pub(super) fn begin(self: &Arc<Self>, visitor: Visitor<'_>) -> Result<Begun, UpstreamError> {
        let upstream = (self.name.clone(), self.target.label());
        let session = LiveSession::new(upstream, visitor.via, visitor.origin, self.proxy.stop());
        self.proxy.journal().publish(Event::SessionOpened(session.info()));
        let author = visitor.author.clone();
        let (link, outputs) = self.connect(&session, visitor).inspect_err(|error| {
            self.proxy.log(LogLine::new(Level::Error, "proxy", error.to_string()).of(session.id()));
            let reason = "its command could not be started".to_owned();
            self.proxy.journal().publish(Event::SessionClosed { session: session.id(), reason });
        })?;
        let connection = Connection::new(self.proxy.clone(), session, link, author);
        self.state.lock().live.insert(connection.session.id(), connection.clone());
        Ok(Begun { table: self.clone(), connection, outputs })
    }

    fn connect(
        &self,
        session: &Arc<LiveSession>,
        visitor: Visitor<'_>,
    ) -> Result<(Link, Option<mpsc::Receiver<Output>>), UpstreamError> {
        let (pipe, outputs) = match &self.target {
            Target::Server(upstream) => return Ok((Link::Exchanges(upstream.clone()), None)),
            Target::Events(upstream) => {
                let mut headers = visitor.headers;
                headers::towards_upstream(&mut headers);
                headers::without_message(&mut headers);
                let (events, outputs) = upstream.open(headers, visitor.tail, self.proxy.retry().clone());
                (Pipe::Events(Arc::new(events)), outputs)
            }
            Target::Command(command, guardian) => {
                let (child, outputs) = ChildPipe::spawn(command, guardian)?;
                (Pipe::Child(child), outputs)
            }
        };
        let link = PipeLink::new(self.proxy.clone(), session.clone(), self.target.label(), pipe);
        Ok((Link::Pipe(link), Some(outputs)))
    }

    pub fn find(&self, id: SessionId) -> Option<Arc<Connection>> {
        self.state.lock().live.get(&id).cloned()
    }

    pub fn live(&self) -> Vec<Arc<Connection>> {
        self.state.lock().live.values().cloned().collect()
    }

    /// Ends a session: it is known no more, and its child leaves.
    pub async fn close(&self, id: SessionId, reason: &str) {
        if let Some(connection) = self.forget(id, reason) {
            connection.close().await;
        }
    }

    fn forget(&self, id: SessionId, reason: &str) -> Option<Arc<Connection>> {
        let connection = {
            let mut state = self.state.lock();
            state.keys.retain(|_, connection| connection.session.id() != id);
            state.live.remove(&id)?
        };
        if let Some(ending) = connection.session.end(reason) {
            self.proxy.journal().publish(Event::SessionChanged(ending));
        }
        Some(connection)
    }
}

fn client_key(headers: &HeaderMap, client: IpAddr) -> Key {
    let agent = headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
    Key::Client(client, agent.unwrap_or_default())
}
