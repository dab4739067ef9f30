//! Which session a request belongs to, and the sessions' beginnings and ends.
//!
//! Those in memory are bounded: beyond that, one that is not in use is suspended, and restored from the store when its
//! client comes back. So is one of a tapline that has ended, or was killed.
//!
//! A session is over when its last exchange is, not when it is closed: only then is its tape complete. It is in use
//! while any exchange or stream holds its `Connection`: that is how the cache knows what it must not evict, without a second count
//! that could be wrong.

mod children;
mod restore;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use foldhash::HashMap;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::envelope::{Author, SessionId, Via};
use crate::event::{Event, Level, LogLine, Origin};
use crate::headers::rules::{ArrivedRequest, RuleBreak};
use crate::headers::{self, ParamHeaders};
use crate::mcp::method::INITIALIZE;
use crate::message::Message;
use crate::proxy::Proxy;
use crate::proxy::error::ProxyError;
use crate::proxy::exchange::{Connection, ServerLink};
use crate::proxy::session::LiveSession;
use crate::proxy::session::policy::EndKind;
use crate::proxy::sessions::restore::Restoring;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::shared::SharedServer;
use crate::proxy::stream::{StreamServer, Tenancy};
use crate::store::KeyHash;
use crate::upstream::output::Output;
use crate::upstream::pool::Pool;
use crate::upstream::target::Target;
use crate::upstream::{Upstream as _, UpstreamError};

/// A session that is to be begun, and for whom.
pub(in crate::proxy) struct NewSession<'a> {
    pub(in crate::proxy) via: Via,
    pub(in crate::proxy) origin: Origin,
    /// The author of its messages, where that is not a client.
    pub(in crate::proxy) author: Option<Author>,
    /// Headers of the request that begins it.
    pub(in crate::proxy) headers: HeaderMap,
    /// What that request had after the path of our endpoint.
    pub(in crate::proxy) tail: &'a str,
    /// Whether its client follows a revision without a handshake (2026-07-28 and later).
    pub(in crate::proxy) modern: bool,
}

impl NewSession<'_> {
    pub(in crate::proxy) fn new(via: Via, origin: Origin) -> Self {
        Self { via, origin, author: None, headers: HeaderMap::new(), tail: "", modern: false }
    }
}

/// The sender of an HTTP request, as far as that says which session the request is for.
pub struct Requester<'a> {
    pub address: IpAddr,
    /// The name behind its token, where clients are known by tokens.
    pub name: Option<&'a Arc<str>>,
}

/// The server of a session that has begun, not heard yet: nothing that it says at once is lost, and nothing comes before its
/// client is there.
#[must_use = "a server is heard only after `Startup::run`"]
pub(in crate::proxy) struct Startup {
    table: Arc<SessionTable>,
    connection: Arc<Connection>,
    server: ServerStart,
}

/// How the server of a session comes to be heard.
enum ServerStart {
    /// It answers each request by itself, or is heard by others already: nothing is to be done.
    OnRequest,
    /// It is there, and says this.
    Output(mpsc::Receiver<Output>),
    /// It is to be a child, as soon as the pool has one.
    Queued(Arc<Pool>),
}

impl Startup {
    /// Lets the server speak.
    pub(in crate::proxy) fn run(self) {
        let Self { table, connection, server } = self;
        let ServerLink::Stream(link) = &connection.link else { return };
        match server {
            ServerStart::OnRequest => {}
            ServerStart::Output(outputs) => {
                tokio::spawn(table.relay_output(&connection, link, outputs));
            }
            ServerStart::Queued(pool) => {
                let (session, link) = (connection.session.clone(), Arc::downgrade(link));
                tokio::spawn(table.relay_next_child(session, link, pool));
            }
        }
    }
}

/// The owner of all live sessions of one upstream.
pub struct SessionTable {
    proxy: Arc<Proxy>,
    /// What its upstream is called, where there may be others.
    name: Option<String>,
    target: Target,
    /// The child of all clients that may share one, where the upstream is a command.
    shared: Option<Arc<SharedServer>>,
    memory: Mutex<SessionCache>,
    /// Held while a session is opened for a client that is not known: of two requests at once, the second waits for it.
    opening: Mutex<()>,
    restoring: Restoring,
    /// What the lists of tools say that its clients have seen.
    params: Mutex<ParamHeaders>,
}

impl SessionTable {
    /// A table without sessions, in front of one server.
    pub fn new(proxy: Arc<Proxy>, target: Target) -> Arc<Self> {
        Self::named(proxy, None, target)
    }

    /// The table of one upstream of several, under its name.
    pub fn named(proxy: Arc<Proxy>, name: Option<String>, target: Target) -> Arc<Self> {
        let shared = match &target {
            Target::Command(pool) => Some(SharedServer::new(proxy.clone(), pool.clone())),
            Target::Server(_) | Target::Events(_) => None,
        };
        let (memory, opening, restoring, params) = Default::default();
        Arc::new(Self { proxy, name, target, shared, memory, opening, restoring, params })
    }

    /// The spine that its messages pass.
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// The server that its sessions are with.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Logs the transport to the server, where there was a choice.
    pub fn log_transport(&self) {
        let transport = match &self.target {
            Target::Server(upstream) if upstream.site().is_some() => "Streamable HTTP",
            Target::Events(_) => "HTTP+SSE (revision 2024-11-05); `--transport http` speaks Streamable HTTP",
            Target::Server(_) | Target::Command(..) => return,
        };
        let text = format!("{}: transport {transport}", self.target.label());
        self.proxy.log(LogLine::new(Level::Info, "proxy", text));
    }

    /// The session of a request of an HTTP client, which is its client's from now on; opened where this is its first, and
    /// restored where it is on disk.
    ///
    /// # Errors
    /// [`ProxyError::UnknownSession`] where the session of that id has ended or is another client's; or where a command cannot be
    /// started.
    pub async fn resolve(
        self: &Arc<Self>,
        headers: &HeaderMap,
        tail: &str,
        requester: &Requester<'_>,
        message: Option<&Message>,
    ) -> Result<Arc<Connection>, ProxyError> {
        let modern = self.shared.is_some() && message.is_some_and(|message| headers::is_modern(headers, message));
        let open = || {
            let new =
                NewSession { headers: headers.clone(), tail, modern, ..NewSession::new(Via::Http, Origin::Client) };
            self.begin(new).map(started)
        };
        let key = match headers.get(headers::SESSION) {
            Some(id) => Some(SessionKey::of_header(id)),
            None if modern => Some(SessionKey::of_modern(headers, requester.address)),
            None if message.and_then(Message::method) == Some(INITIALIZE) => None,
            None => Some(SessionKey::of_client(headers, requester.address)),
        };
        let connection = match &key {
            None => open()?,
            Some(key) => match self.known(key) {
                Some(connection) => connection,
                None => Box::pin(self.restore_or_open(key, requester.name, message.is_some(), open)).await?,
            },
        };
        if let Some(name) = requester.name {
            self.claim(&connection.session, name);
            let is_by_id = matches!(key, Some(SessionKey::Protocol(_)));
            if is_by_id && !connection.session.belongs_to(name) {
                return Err(ProxyError::UnknownSession);
            }
        }
        Ok(connection)
    }

    /// The session of an id that a request names, restored where it is on disk; `None` where there is none, or it is another client's.
    ///
    /// # Errors
    /// Where it cannot be restored.
    pub(in crate::proxy) async fn find_named(
        self: &Arc<Self>,
        id: &HeaderValue,
        requester: &Requester<'_>,
    ) -> Result<Option<Arc<Connection>>, ProxyError> {
        let key = SessionKey::of_header(id);
        let found = match self.known(&key) {
            Some(connection) => Some(connection),
            None => Box::pin(self.restore(&key, requester.name)).await?,
        };
        let Some(name) = requester.name else { return Ok(found) };
        Ok(found.filter(|connection| {
            self.claim(&connection.session, name);
            connection.session.belongs_to(name)
        }))
    }

    /// The session that a refused request of no known session is shown in: the one that its client has without `initialize`. No server
    /// hears of it. `None` where there is none to be had.
    pub(in crate::proxy) fn for_refused(
        self: &Arc<Self>,
        headers: &HeaderMap,
        requester: &Requester<'_>,
    ) -> Option<Arc<Connection>> {
        self.shared.as_ref()?;
        let key = SessionKey::of_modern(headers, requester.address);
        let _opening = self.opening.lock();
        if let Some(connection) = self.known(&key) {
            return Some(connection);
        }
        let new = NewSession { headers: headers.clone(), modern: true, ..NewSession::new(Via::Http, Origin::Client) };
        let connection = self.begin(new).map(started).ok()?;
        self.bind_key(&connection, &key);
        Some(connection)
    }

    /// Learns from a list of tools which arguments their calls repeat in headers.
    pub(in crate::proxy) fn learn_params(&self, reply: &Message) {
        self.params.lock().learn(reply);
    }

    /// Whether a call repeats its arguments in headers as its tool wants them.
    ///
    /// # Errors
    /// That it does not.
    pub(in crate::proxy) fn check_params(&self, request: ArrivedRequest<'_>) -> Result<(), RuleBreak> {
        request.check_params(&self.params.lock())
    }

    async fn restore_or_open(
        self: &Arc<Self>,
        key: &SessionKey,
        name: Option<&Arc<str>>,
        has_message: bool,
        open: impl FnOnce() -> Result<Arc<Connection>, UpstreamError>,
    ) -> Result<Arc<Connection>, ProxyError> {
        if let Some(connection) = self.restore(key, name).await? {
            return Ok(connection);
        }
        match key {
            // We minted the id, and know it no more: the child it named is gone.
            SessionKey::Protocol(_) if self.target.is_pipe() => return Err(ProxyError::UnknownSession),
            SessionKey::Client(..) if self.target.is_pipe() && !has_message => return Err(ProxyError::NoSession),
            _ => {}
        }
        let _opening = self.opening.lock();
        if let Some(connection) = self.known(key) {
            return Ok(connection);
        }
        let connection = open()?;
        self.bind_key(&connection, key);
        Ok(connection)
    }

    /// The session in memory that a client names by the id it was given, where it is that client's. An id that was never given
    /// out is none, and opens no session by this.
    pub(in crate::proxy) fn acknowledged(
        &self,
        headers: &HeaderMap,
        name: Option<&Arc<str>>,
    ) -> Option<Arc<Connection>> {
        let connection = self.known(&SessionKey::of_header(headers.get(headers::SESSION)?))?;
        let session = &connection.session;
        let is_its_own = name.is_none_or(|name| session.belongs_to(name));
        (session.is_acknowledged() && is_its_own).then_some(connection)
    }

    fn known(&self, key: &SessionKey) -> Option<Arc<Connection>> {
        self.memory.lock().get_by_key(key)
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
            (_, Some(id)) => (SessionKey::of_header(id), None),
            (target, None) if target.is_pipe() => {
                // Its holder has the session: it is written down nowhere else.
                let id = uuid::Uuid::new_v4().simple().to_string();
                (SessionKey::Protocol(id.as_str().into()), Some(id))
            }
            (_, None) => (SessionKey::of_client(request, client), None),
        };
        if matches!(key, SessionKey::Protocol(_)) {
            connection.session.acknowledge();
        }
        self.bind_key(connection, &key);
        minted
    }

    /// Has a client find a session that began without one. Returns by which id: that of its server, or one of ours where that knows none.
    /// `None` where it is a server at a URL that gave none.
    pub fn hand_over(&self, connection: &Arc<Connection>) -> Option<String> {
        let at_server = connection.id_at_server().filter(|_| !self.target.is_pipe());
        if at_server.is_none() && !self.target.is_pipe() {
            return None;
        }
        let reply = at_server.iter().map(|id| (headers::SESSION, id.clone())).collect();
        let minted = self.bind(connection, &HeaderMap::new(), &reply, Ipv4Addr::LOCALHOST.into());
        minted.or_else(|| Some(at_server?.to_str().ok()?.to_owned()))
    }

    fn bind_key(&self, connection: &Connection, key: &SessionKey) {
        self.memory.lock().bind_key(connection.session.id(), key.clone());
        self.save(connection, Some(key), None);
    }

    /// Begins a session and lets its server speak.
    ///
    /// # Errors
    /// Where its command cannot be started.
    pub fn open(
        self: &Arc<Self>,
        via: Via,
        origin: Origin,
        author: Option<Author>,
    ) -> Result<Arc<Connection>, UpstreamError> {
        self.begin(NewSession { author, ..NewSession::new(via, origin) }).map(started)
    }

    /// Begins a session, in which the server says nothing before it is started.
    ///
    /// # Errors
    /// Where its command cannot be started.
    pub(in crate::proxy) fn begin(
        self: &Arc<Self>,
        new: NewSession<'_>,
    ) -> Result<(Arc<Connection>, Startup), UpstreamError> {
        let upstream = (self.name.clone(), self.target.label());
        let session = LiveSession::new(upstream, new.via, new.origin, self.proxy.stop());
        self.proxy.session_policy().record(&session);
        self.proxy.journal().publish(Event::SessionOpened(session.info()));
        let author = new.author.clone();
        let (link, server) = self.connect(&session, new).inspect_err(|error| {
            self.proxy.log(LogLine::new(Level::Error, "proxy", error.to_string()).of(session.id()));
            let reason = "its command could not be started".to_owned();
            self.proxy.journal().publish(Event::SessionClosed { session: session.id(), reason });
        })?;
        let connection = Connection::new(self.proxy.clone(), session, link, author);
        self.insert(&connection);
        self.save(&connection, None, None);
        self.save_handshakes(&connection);
        Ok((connection.clone(), Startup { table: self.clone(), connection, server }))
    }

    fn connect(
        &self,
        session: &Arc<LiveSession>,
        new: NewSession<'_>,
    ) -> Result<(ServerLink, ServerStart), UpstreamError> {
        let (proxy, session) = (self.proxy.clone(), session.clone());
        match (&self.target, &self.shared) {
            (Target::Server(upstream), _) => Ok((ServerLink::Exchanges(upstream.clone()), ServerStart::OnRequest)),
            (Target::Events(upstream), _) => {
                let mut headers = new.headers;
                headers::towards_upstream(&mut headers);
                headers::without_message(&mut headers);
                let (events, outputs) = upstream.open(headers, new.tail, self.proxy.retry().clone());
                let link = StreamServer::for_events(proxy, session, self.target.label(), events);
                Ok((ServerLink::Stream(link), ServerStart::Output(outputs)))
            }
            (Target::Command(_), Some(shared)) if new.modern => {
                Ok((ServerLink::Shared(shared.clone()), ServerStart::OnRequest))
            }
            (Target::Command(pool), _) => {
                let child = pool.try_acquire()?;
                let link = StreamServer::for_command(
                    proxy,
                    Tenancy::Dedicated(session),
                    pool.clone(),
                    HandshakeState::default(),
                );
                let server = match child {
                    Some(child) => {
                        link.install(child.pipe);
                        ServerStart::Output(child.outputs)
                    }
                    None => ServerStart::Queued(pool.clone()),
                };
                Ok((ServerLink::Stream(link), server))
            }
        }
    }

    fn insert(&self, connection: &Arc<Connection>) {
        let max = self.proxy.session_policy().max;
        let surplus = {
            let mut memory = self.memory.lock();
            memory.insert(connection.clone());
            memory.evict_surplus(max)
        };
        for slot in surplus {
            let reason = format!("suspended: more than {max} sessions");
            self.evict(&slot, &reason, EndKind::Suspended);
        }
    }

    /// The live session of that id.
    pub fn find(&self, id: SessionId) -> Option<Arc<Connection>> {
        self.memory.lock().get(id).map(|slot| slot.connection.clone())
    }

    /// All sessions in memory.
    pub fn live(&self) -> Vec<Arc<Connection>> {
        self.memory.lock().all().map(|slot| slot.connection.clone()).collect()
    }

    /// Ends a session: it is known no more, and its child leaves.
    pub async fn close(&self, id: SessionId, reason: &str) {
        self.close_as(id, reason, EndKind::Closed).await;
    }

    /// Ends a session as far as this tapline is concerned; the next may go on with it.
    pub async fn suspend(&self, id: SessionId, reason: &str) {
        self.close_as(id, reason, EndKind::Suspended).await;
    }

    async fn close_as(&self, id: SessionId, reason: &str, end: EndKind) {
        if let Some(connection) = self.remove(id, reason, end) {
            connection.close().await;
        }
    }

    fn remove(&self, id: SessionId, reason: &str, end: EndKind) -> Option<Arc<Connection>> {
        let slot = self.memory.lock().remove(id)?;
        let connection = slot.connection.clone();
        self.end(&slot, reason, end);
        Some(connection)
    }

    fn end(&self, CachedSession { connection, key, .. }: &CachedSession, reason: &str, end: EndKind) {
        if let Some(ending) = connection.session.end(reason) {
            self.proxy.journal().publish(Event::SessionChanged(ending));
        }
        // No screen could let its messages go any more.
        self.proxy.gate().resume(connection.session.id());
        self.save(connection, key.as_deref(), Some(end));
    }

    /// Drops a session that is not in use from memory. What is left of its child ends beside it: the session itself is over at once,
    /// so that it can come back.
    fn evict(&self, slot: &CachedSession, reason: &str, end: EndKind) {
        self.end(slot, reason, end);
        match &slot.connection.link {
            ServerLink::Exchanges(_) => {}
            ServerLink::Shared(shared) => shared.leave(&slot.connection.session),
            ServerLink::Stream(link) => {
                let link = link.clone();
                tokio::spawn(async move { link.close().await });
            }
        }
    }
}

/// Lets the server of a session that has just begun speak.
fn started((connection, startup): (Arc<Connection>, Startup)) -> Arc<Connection> {
    startup.run();
    connection
}

/// How many sessions in use are passed over in the search for one that may leave. Those are in use for a reason: they are
/// looked at again when all others have been.
const MOST_PASSED_OVER: usize = 64;

/// How a client's next request is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) enum SessionKey {
    /// By the session header.
    Protocol(Box<str>),
    /// By where it comes from and what it calls itself: revision 2026-07-28 has no sessions, and servers without them exist.
    Client(IpAddr, Box<str>),
    /// By where it comes from and what it calls itself, of a client that follows revision 2026-07-28 or later, where that matters.
    Modern(IpAddr, Box<str>),
}

impl SessionKey {
    fn of_header(id: &HeaderValue) -> Self {
        Self::Protocol(String::from_utf8_lossy(id.as_bytes()).into())
    }

    fn of_client(headers: &HeaderMap, client: IpAddr) -> Self {
        Self::Client(client, agent(headers))
    }

    fn of_modern(headers: &HeaderMap, client: IpAddr) -> Self {
        Self::Modern(client, agent(headers))
    }

    /// What is saved of it: of an address, which may be another client's by tomorrow, nothing.
    fn hash(&self) -> Option<KeyHash> {
        match self {
            Self::Protocol(id) => Some(KeyHash::of(id.as_bytes())),
            Self::Client(..) | Self::Modern(..) => None,
        }
    }
}

fn agent(headers: &HeaderMap) -> Box<str> {
    headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes())).unwrap_or_default().into()
}

/// One session in memory.
pub(in crate::proxy) struct CachedSession {
    connection: Arc<Connection>,
    key: Option<Arc<SessionKey>>,
    /// Messages it had when it was saved last.
    saved: u64,
}

impl CachedSession {
    /// Whether it is in use: an exchange, a stream and a client of its own all hold the connection, and none gets it
    /// but from this cache.
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.connection) > 1
    }
}

/// The sessions in memory. Owned by the table, under its lock.
pub(in crate::proxy) struct SessionCache {
    keys: HashMap<Arc<SessionKey>, SessionId>,
    live: LruCache<SessionId, CachedSession>,
}

impl Default for SessionCache {
    fn default() -> Self {
        // The bound is ours to keep: a cache would drop a session in use.
        Self { keys: HashMap::default(), live: LruCache::unbounded() }
    }
}

impl SessionCache {
    fn insert(&mut self, connection: Arc<Connection>) {
        self.live.put(connection.session.id(), CachedSession { connection, key: None, saved: 0 });
    }

    /// Has the session known by this key from now on.
    fn bind_key(&mut self, id: SessionId, key: SessionKey) {
        if let Some(slot) = self.live.get_mut(&id) {
            let key = Arc::new(key);
            slot.key = Some(key.clone());
            self.keys.insert(key, id);
        }
    }

    /// The session of a request, which becomes the one that was used last.
    fn get_by_key(&mut self, key: &SessionKey) -> Option<Arc<Connection>> {
        let id = self.keys.get(key)?;
        self.live.get(id).map(|slot| slot.connection.clone())
    }

    fn get(&self, id: SessionId) -> Option<&CachedSession> {
        self.live.peek(&id)
    }

    fn all(&self) -> impl Iterator<Item = &CachedSession> {
        self.live.iter().map(|(_, slot)| slot)
    }

    fn remove(&mut self, id: SessionId) -> Option<CachedSession> {
        let slot = self.live.pop(&id)?;
        if let Some(key) = &slot.key
            && self.keys.get(&**key) == Some(&id)
        {
            self.keys.remove(&**key);
        }
        Some(slot)
    }

    /// Takes out what is too much, the least recently used first, and nothing that is in use.
    fn evict_surplus(&mut self, max: usize) -> Vec<CachedSession> {
        let mut taken = Vec::new();
        for _ in 0..MOST_PASSED_OVER {
            if self.live.len() <= max {
                break;
            }
            let Some((id, oldest)) = self.live.peek_lru() else { break };
            let id = *id;
            if oldest.is_in_use() {
                self.live.promote(&id);
            } else {
                taken.extend(self.remove(id));
            }
        }
        taken
    }

    /// Looks at all sessions. Notes the use of those in use; returns those for which `is_idle`, and those with messages that were
    /// not saved.
    fn sweep(&mut self, is_idle: impl Fn(&Connection) -> bool) -> (Vec<SessionId>, Vec<UnsavedSession>) {
        let (mut idle, mut changed) = (Vec::new(), Vec::new());
        for (id, slot) in &mut self.live {
            let session = &slot.connection.session;
            let messages = session.messages();
            if slot.saved != messages {
                slot.saved = messages;
                changed.push((slot.connection.clone(), slot.key.clone()));
                continue;
            }
            slot.connection.shrink_to_fit();
            if slot.is_in_use() {
                session.touch();
            } else if is_idle(&slot.connection) {
                idle.push(*id);
            }
        }
        (idle, changed)
    }
}

/// A session, and how its client is known.
pub(in crate::proxy) type UnsavedSession = (Arc<Connection>, Option<Arc<SessionKey>>);
