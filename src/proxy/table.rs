//! Which session a request belongs to, and the sessions' beginnings and ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::USER_AGENT;
use parking_lot::Mutex;

use super::Proxy;
use super::exchange::{Connection, Link};
use super::pipe::{self, PipeLink};
use super::respond::Refusal;
use super::session::LiveSession;
use crate::envelope::{Author, SessionId, Via};
use crate::event::{Event, Level, LogLine, Origin};
use crate::headers;
use crate::message::Message;
use crate::upstream::guardian::Guardian;
use crate::upstream::stdio::{CommandLine, Pipe};
use crate::upstream::{Upstream, UpstreamError};

/// What tapline stands in front of.
#[derive(Clone)]
pub enum Target {
    /// A server with sessions of its own.
    Server(Arc<dyn Upstream>),
    /// A command: each session gets a child for its life.
    Command(CommandLine, Guardian),
}

impl Target {
    pub fn label(&self) -> String {
        match self {
            Self::Server(upstream) => upstream.label().to_owned(),
            Self::Command(command, _) => command.to_string(),
        }
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
        Arc::new(Self { proxy, target, state: Mutex::default(), opening: Mutex::default() })
    }

    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The session of a request of an HTTP client; opened where this is its first.
    ///
    /// # Errors
    /// Where the session has ended, or its command cannot be started.
    pub fn resolve(
        self: &Arc<Self>,
        headers: &HeaderMap,
        client: IpAddr,
        message: Option<&Message>,
    ) -> Result<Arc<Connection>, Refusal> {
        let initializes = message.and_then(Message::method) == Some("initialize");
        let key = match headers.get(headers::SESSION) {
            Some(id) => Key::Protocol(String::from_utf8_lossy(id.as_bytes()).into_owned()),
            None if initializes => return Ok(self.open(Via::Http, Origin::Client, None)?),
            None => client_key(headers, client),
        };
        if let Some(connection) = self.state.lock().keys.get(&key) {
            return Ok(connection.clone());
        }
        match (&self.target, &key) {
            // We minted the id, and know it no more: the child it named is gone.
            (Target::Command(..), Key::Protocol(_)) => return Err(Refusal::UnknownSession),
            (Target::Command(..), Key::Client(..)) if message.is_none() => return Err(Refusal::NoSession),
            _ => {}
        }
        let _opening = self.opening.lock();
        if let Some(connection) = self.state.lock().keys.get(&key) {
            return Ok(connection.clone());
        }
        let connection = self.open(Via::Http, Origin::Client, None)?;
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
            (Target::Command(..), None) => {
                let id = connection.session.id().0.simple().to_string();
                (Key::Protocol(id.clone()), Some(id))
            }
            (Target::Server(_), None) => (client_key(request, client), None),
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
        let session = LiveSession::new(self.target.label(), via, origin, self.proxy.stop());
        self.proxy.journal().publish(Event::SessionOpened(session.info()));
        let (link, outputs) = match &self.target {
            Target::Server(upstream) => (Link::Exchanges(upstream.clone()), None),
            Target::Command(command, guardian) => match Pipe::spawn(command, guardian) {
                Ok((pipe, outputs)) => {
                    (Link::Pipe(PipeLink::new(self.proxy.clone(), session.clone(), command, pipe)), Some(outputs))
                }
                Err(error) => {
                    self.proxy.log(LogLine::new(Level::Error, "proxy", error.to_string()).of(session.id()));
                    let reason = "its command could not be started".to_owned();
                    self.proxy.journal().publish(Event::SessionClosed { session: session.id(), reason });
                    return Err(error);
                }
            },
        };
        let connection = Connection::new(self.proxy.clone(), session, link, author);
        self.state.lock().live.insert(connection.session.id(), connection.clone());
        if let (Link::Pipe(link), Some(outputs)) = (&connection.link, outputs) {
            let pumping = pipe::pump(self.proxy.clone(), connection.session.clone(), Arc::downgrade(link), outputs);
            let (table, id) = (self.clone(), connection.session.id());
            tokio::spawn(async move {
                let error = pumping.await;
                table.forget(id, &format!("its server is gone: {error}"));
            });
        }
        Ok(connection)
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
        connection.session.set_closed(reason);
        Some(connection)
    }
}

fn client_key(headers: &HeaderMap, client: IpAddr) -> Key {
    let agent = headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
    Key::Client(client, agent.unwrap_or_default())
}
