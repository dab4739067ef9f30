//! Which session a request belongs to, and the sessions' beginnings and ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use http::HeaderMap;
use http::header::USER_AGENT;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Proxy;
use super::exchange::{Connection, Link};
use super::pipe::anew::{Attempts, Cause, keep};
use super::pipe::{Home, PipeLink};
use super::pump::Pump;
use super::recollection::Recollection;
use super::respond::Refusal;
use super::session::LiveSession;
use super::shared::Shared;
use crate::envelope::{Author, SessionId, Via};
use crate::event::{Event, Level, LogLine, Origin};
use crate::headers;
use crate::message::Message;
use crate::upstream::guardian::Guardian;
use crate::upstream::pipe::{Output, Pipe};
use crate::upstream::pool::{self, Pool};
use crate::upstream::site::Site;
use crate::upstream::sse::SseUpstream;
use crate::upstream::stdio::CommandLine;
use crate::upstream::watch::{WatchError, Watched};
use crate::upstream::{Upstream, UpstreamError};

/// What tapline stands in front of.
#[derive(Clone)]
pub enum Target {
    /// A server with sessions of its own.
    Server(Arc<dyn Upstream>),
    /// A server of the HTTP+SSE transport: each session has an event stream for its life.
    Events(Arc<SseUpstream>),
    /// A command: each session gets a child for its life; clients of revision 2026-07-28 share one.
    Command(Arc<Pool>),
}

impl Target {
    /// A command as it is usually kept.
    pub fn command(command: CommandLine, guardian: Guardian) -> Self {
        Self::Command(Pool::new(command, guardian, pool::Settings::default()))
    }

    pub fn label(&self) -> String {
        match self {
            Self::Server(upstream) => upstream.label().to_owned(),
            Self::Events(upstream) => upstream.site().label().to_owned(),
            Self::Command(pool) => pool.command().to_string(),
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
    /// Whether it follows revision 2026-07-28.
    pub(super) modern: bool,
}

impl Visitor<'_> {
    pub(super) fn new(via: Via, origin: Origin) -> Self {
        Self { via, origin, author: None, headers: HeaderMap::new(), tail: "", modern: false }
    }
}

/// A session that has begun.
pub(super) struct Begun {
    table: Arc<Table>,
    pub(super) connection: Arc<Connection>,
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
    pub(super) fn start(self) -> Arc<Connection> {
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

/// How a client's next request is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// By the session header.
    Protocol(String),
    /// By where it comes from and what it calls itself: revision 2026-07-28 has no sessions, and servers without them exist.
    Client(IpAddr, String),
    /// The same, where it matters that the client follows that revision.
    Modern(IpAddr, String),
}

/// The owner of all live sessions.
pub struct Table {
    proxy: Arc<Proxy>,
    /// What its upstream is called, where there may be others.
    name: Option<String>,
    target: Target,
    /// Of a command: the child of those who may share one.
    shared: Option<Arc<Shared>>,
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
        let shared = match &target {
            Target::Command(pool) => Some(Shared::new(proxy.clone(), pool.clone())),
            Target::Server(_) | Target::Events(_) => None,
        };
        Arc::new(Self { proxy, name, target, shared, state: Mutex::default(), opening: Mutex::default() })
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

    /// Keeps spares of a command, and starts it anew where what is watched changes; until tapline stops.
    ///
    /// # Errors
    /// Where something cannot be watched.
    pub fn tend(self: &Arc<Self>) -> Result<(), WatchError> {
        let Target::Command(pool) = &self.target else { return Ok(()) };
        let stop = self.proxy.stop().listening.clone();
        let watch = &pool.settings().watch;
        if !watch.is_empty() {
            let watching = restart_on_change(Arc::downgrade(self), Watched::new(watch)?);
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(watching).await });
        }
        let (pool, proxy) = (pool.clone(), self.proxy.clone());
        let tell = move |text| proxy.log(LogLine::new(Level::Warn, "proxy", text));
        tokio::spawn(async move { pool.keep_warm(stop, tell).await });
        Ok(())
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
        let modern = self.shared.is_some() && message.is_some_and(|message| headers::is_modern(headers, message));
        let open = || {
            let visitor = Visitor { headers: headers.clone(), tail, modern, ..Visitor::new(Via::Http, Origin::Client) };
            Ok::<_, UpstreamError>(self.begin(visitor)?.start())
        };
        let initializes = message.and_then(Message::method) == Some("initialize");
        let key = match headers.get(headers::SESSION) {
            Some(id) => Key::Protocol(String::from_utf8_lossy(id.as_bytes()).into_owned()),
            None if initializes => return Ok(open()?),
            None if modern => Key::Modern(client, agent(headers)),
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
        let (link, start) = self.connect(&session, visitor).inspect_err(|error| {
            self.proxy.log(LogLine::new(Level::Error, "proxy", error.to_string()).of(session.id()));
            let reason = "its command could not be started".to_owned();
            self.proxy.journal().publish(Event::SessionClosed { session: session.id(), reason });
        })?;
        let connection = Connection::new(self.proxy.clone(), session, link, author);
        self.state.lock().live.insert(connection.session.id(), connection.clone());
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
                let link = PipeLink::to_events(proxy, session, self.target.label(), Pipe::Events(Arc::new(events)));
                Ok((Link::Pipe(link), Start::Hear(outputs)))
            }
            (Target::Command(_), Some(shared)) if visitor.modern => Ok((Link::Shared(shared.clone()), Start::Nothing)),
            (Target::Command(pool), _) => {
                let child = pool.take()?;
                let link = PipeLink::to_child(proxy, Home::One(session), pool.clone(), Recollection::default());
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

    /// Carries what the servers of a session say; their end is the session's.
    fn hear(
        self: Arc<Self>,
        connection: &Connection,
        link: &Arc<PipeLink>,
        outputs: mpsc::Receiver<Output>,
    ) -> impl Future<Output = ()> + use<> {
        let (pump, id) = (Pump::new(link), connection.session.id());
        async move {
            let error = keep(pump, outputs).await;
            self.forget(id, &format!("its server is gone: {error}"));
        }
    }

    /// Waits for a child, then is as [`Table::hear`].
    async fn wait(self: Arc<Self>, session: Arc<LiveSession>, link: Weak<PipeLink>, pool: Arc<Pool>) {
        let Some(acquired) = session.closed().run_until_cancelled(pool.acquire()).await else { return };
        let error = match (acquired, link.upgrade()) {
            (Ok(child), Some(link)) => {
                link.install(child.pipe);
                let pump = Pump::new(&link);
                drop(link);
                keep(pump, child.outputs).await
            }
            (Ok(child), None) => return pool.give_back(child),
            (Err(error), link) => {
                if let Some(link) = link {
                    link.end(&error);
                }
                error
            }
        };
        self.forget(session.id(), &format!("its server is gone: {error}"));
    }

    /// Goes on with a session, which another tapline or an earlier one had, on a child of its own. The session has been told of;
    /// who asks for this sees to it that the client's next request finds it.
    ///
    /// # Errors
    /// Where no child goes on with it.
    pub async fn revive(
        self: &Arc<Self>,
        session: Arc<LiveSession>,
        recollection: Recollection,
    ) -> Result<Arc<Connection>, UpstreamError> {
        let Target::Command(pool) = &self.target else {
            let why = "its server is no command".to_owned();
            return Err(UpstreamError::NotResumed { command: self.target.label(), why });
        };
        let link = PipeLink::to_child(self.proxy.clone(), Home::One(session.clone()), pool.clone(), recollection);
        let connection = Connection::new(self.proxy.clone(), session, Link::Pipe(link.clone()), None);
        let outputs = match follow_tapline(&link).await {
            Ok(outputs) => outputs,
            Err(error) => {
                link.end(&error);
                return Err(error);
            }
        };
        self.state.lock().live.insert(connection.session.id(), connection.clone());
        tokio::spawn(self.clone().hear(&connection, &link, outputs));
        Ok(connection)
    }

    /// Has another process of the server take the place of the one that a session has.
    pub fn restart(&self, id: SessionId, why: &str) {
        let told = match self.find(id).as_deref().map(|connection| &connection.link) {
            None => Err("its session has ended"),
            Some(Link::Exchanges(_)) => Err("its server is no command of this tapline"),
            Some(Link::Pipe(link)) => link.ask_anew(why),
            Some(Link::Shared(shared)) => {
                shared.renew();
                Ok(())
            }
        };
        if let Err(why) = told {
            self.proxy.log(LogLine::new(Level::Warn, "proxy", format!("the server is not started anew: {why}")).of(id));
        }
    }

    /// Has other processes take the place of all that run, and of those that wait.
    pub fn restart_all(&self, why: &str) {
        let Target::Command(pool) = &self.target else { return };
        pool.renew();
        if let Some(shared) = &self.shared {
            shared.renew();
        }
        for connection in self.live() {
            if let Link::Pipe(link) = &connection.link {
                // One that is being started already is new enough.
                let _ = link.ask_anew(why);
            }
        }
    }

    /// Ends the children that belong to no session.
    pub async fn close_spares(&self) {
        if let (Target::Command(pool), Some(shared)) = (&self.target, &self.shared) {
            tokio::join!(pool.close(), shared.close());
        }
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

/// The first child of a session under this tapline.
async fn follow_tapline(link: &Arc<PipeLink>) -> Result<mpsc::Receiver<Output>, UpstreamError> {
    let lost = UpstreamError::NotResumed { command: link.label().to_owned(), why: "tapline has ended".to_owned() };
    let cause = Cause::Asked("a restart of tapline".to_owned());
    Pump::new(link).follow(link, cause, lost, &mut Attempts::default()).await
}

async fn restart_on_change(table: Weak<Table>, mut watched: Watched) {
    while let Some(path) = watched.next().await {
        let Some(table) = table.upgrade() else { return };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        table.proxy.log(LogLine::new(
            Level::Info,
            "proxy",
            format!("`{name}` has changed: the server is started anew"),
        ));
        table.restart_all(&format!("a change of `{name}`"));
    }
}

fn client_key(headers: &HeaderMap, client: IpAddr) -> Key {
    Key::Client(client, agent(headers))
}

fn agent(headers: &HeaderMap) -> String {
    headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()).unwrap_or_default()
}
