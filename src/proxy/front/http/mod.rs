//! The HTTP front door: which upstream a request is for, and Streamable HTTP at `/mcp` of every upstream.
//!
//! Turns a request into an [`Outgoing`] and a [`Reply`] into a response, frame by frame as they came.
//!
//! The path of the server's own endpoint is one of ours, too: a client that only swaps the host of a URL must not be relayed unseen.

mod batch;
mod coalesce;
mod keep_alive;
mod legacy_sse;
mod passthrough;

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::once;
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::auth::Auth;
use crate::envelope::{Direction, SessionId, Transport, Via};
use crate::headers;
use crate::headers::rules::status_of;
use crate::mcp::method;
use crate::mcp::semantics;
use crate::message::{Id, Kind, Message};
use crate::net::read::{BodyReadError, read_whole};
use crate::proxy::error::{ErrorReply, ProxyError};
use crate::proxy::exchange::{ClientExchange, Connection, Initiator};
use crate::proxy::front::access::{Admission, Authenticated, Caller, SessionAdmission, SessionRequest};
use crate::proxy::front::http::coalesce::CoalescedFrames;
use crate::proxy::front::http::keep_alive::KeepAlive;
use crate::proxy::front::http::legacy_sse::SseClients;
use crate::proxy::front::http::passthrough::{reads_as_endpoint, wants_websocket};
use crate::proxy::front::origin_check::{AdmittedOrigin, OriginCheck, OwnAnswer, is_preflight, preflight};
use crate::proxy::front::routes::{MatchedMount, Mounts};
use crate::proxy::front::stream_client::StreamClient;
use crate::proxy::paths::{ENDPOINT, MESSAGES, STREAM};
use crate::proxy::sessions::{Requester, SessionTable};
use crate::sse;
use crate::upstream::http::is_event_stream;
use crate::upstream::site::{RequestTarget, Site};
use crate::upstream::target::Target;
use crate::upstream::{Outgoing, Reply, ReplyBody};

/// Bytes that are read of a request body that is not used, before its connection is given up.
const MOST_UNREAD: usize = 64 << 10;
/// How long such a body is waited for.
const UNREAD_FOR: Duration = Duration::from_millis(500);
/// Messages of a batch. Each costs what a message costs, and the others wait meanwhile.
const LONGEST_BATCH: usize = 10_000;

/// What the HTTP front door needs to know.
pub struct HttpFront {
    pub(in crate::proxy) mounts: Arc<Mounts>,
    origin_check: OriginCheck,
    pub(in crate::proxy) admission: Arc<Admission>,
    /// Largest request body in bytes.
    max_body: usize,
    /// Time between two comments on a stream of which something is held.
    keep_alive: Option<Duration>,
    pub(in crate::proxy) sse_clients: Arc<SseClients>,
}

/// What a request is for.
enum RequestRoute<'a> {
    /// An exchange of Streamable HTTP; with what stands after the path.
    Exchange(String),
    /// A client of HTTP+SSE opens its stream; with what stands after the path.
    Stream(String),
    /// A client of HTTP+SSE posts a message.
    Message(Arc<StreamClient>),
    /// Nothing of MCP's: it goes on as it is.
    Relay(&'a Site, RequestTarget),
}

/// A request of a client that was let in.
pub(in crate::proxy) struct ClientRequest<'a> {
    pub(in crate::proxy) caller: Caller,
    pub(in crate::proxy) parts: Parts,
    pub(in crate::proxy) body: Body,
    /// Set to the JSON-RPC id of a request as soon as it is known, for an error to name.
    pub(in crate::proxy) id: &'a mut Option<Id>,
}

impl HttpFront {
    /// Makes the front door of these servers, with the rules of admission.
    pub fn new(
        mounts: Arc<Mounts>,
        origin_check: OriginCheck,
        admission: Arc<Admission>,
        max_body: usize,
        keep_alive: Option<Duration>,
    ) -> Self {
        Self { mounts, origin_check, admission, max_body, keep_alive, sse_clients: Arc::default() }
    }

    /// Answers one HTTP request; every error becomes a response here.
    pub async fn handle(self: Arc<Self>, client: SocketAddr, request: Request<Body>) -> Response<Body> {
        let expects = request.headers().contains_key(EXPECT);
        let ((parts, body), mut id, mut page) = (request.into_parts(), None, None);
        let mut body = Some(body);
        let answer = self.answer(client.ip(), parts, &mut body, &mut id, &mut page).await;
        // A client that asks beforehand (`Expect`) is spared the sending.
        if let Some(unread) = body.filter(|_| !expects) {
            Box::pin(read_away(unread)).await;
        }
        let mut response = answer.unwrap_or_else(|error| self.refuse(&error, id.as_ref()));
        if let Some(page) = page
            && (self.admission.auth.is_some() || response.extensions().get::<OwnAnswer>().is_some())
        {
            page.expose(response.headers_mut());
        }
        response
    }

    /// Answers a request. `body` is taken where it is read; `id` is set to its JSON-RPC id as soon as that is known, for an error to
    /// name; `page` to the origin of a page that was let in, which may read what we answer.
    async fn answer(
        &self,
        client: IpAddr,
        mut parts: Parts,
        body: &mut Option<Body>,
        id: &mut Option<Id>,
        page: &mut Option<AdmittedOrigin>,
    ) -> Result<Response<Body>, ProxyError> {
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        self.origin_check.check(&parts.headers, authority).map_err(ProxyError::Forbidden)?;
        *page = AdmittedOrigin::of(&parts.headers);
        if wants_websocket(&parts.headers) {
            return Err(ProxyError::Websocket);
        }
        let own =
            parts.headers.get(HOST).and_then(|host| host.to_str().ok()).or(authority).unwrap_or_default().to_owned();
        let caller = match self.admission.authenticate(client, &own, &mut parts).await? {
            Authenticated::Caller(caller) => caller,
            Authenticated::Answered(response) => return Ok(response),
        };
        let (entry, route) = match self.route(&parts.method, &parts.uri) {
            // It asks for leave to send another request, which may be for a place of ours.
            Err(ProxyError::BadMethod(_) | ProxyError::NotFound { .. }) if is_preflight(&parts) => {
                return Ok(preflight(&parts.headers));
            }
            Ok((_, RequestRoute::Relay(..))) if is_preflight(&parts) && self.sse_clients.find(&parts.uri).is_some() => {
                return Ok(preflight(&parts.headers));
            }
            routed => routed?,
        };
        let table = entry.mount.table();
        let is_relay = matches!(route, RequestRoute::Relay(..));
        if let RequestRoute::Relay(site, _) = &route
            && self.slips_past_scopes(entry, site, &parts)
        {
            return Err(ProxyError::unclear());
        }
        let request = ClientRequest { caller, parts, body: body.take().unwrap_or_default(), id };
        let mut response = match route {
            RequestRoute::Exchange(tail) => self.exchange(table, tail, request).await,
            // Boxed, as all that few requests come to: a future is as large as the largest of its ways, and is moved.
            RequestRoute::Stream(tail) => Box::pin(self.open_stream(entry, &tail, request)).await,
            RequestRoute::Message(client) => Box::pin(self.post_message(&client, request)).await,
            RequestRoute::Relay(site, place) => Box::pin(self.relay(site, place, request)).await,
        }?;
        if table.target().is_pipe() && !is_relay {
            response.extensions_mut().insert(OwnAnswer);
        }
        if let Some(site) = table.target().site() {
            self.bring_home(entry, site, &own, &mut response);
        }
        Ok(response)
    }

    /// Whether a request that is relayed unread may be a message to the server, where messages need scopes.
    fn slips_past_scopes(&self, entry: MatchedMount<'_>, site: &Site, parts: &Parts) -> bool {
        let has_rules = self.admission.auth.as_ref().is_some_and(Auth::has_rules);
        has_rules && reads_as_endpoint(parts.uri.path(), &format!("{}{}", entry.prefix, site.path()))
    }

    /// What tapline waits for when it ends, for as long as it is kept.
    pub(in crate::proxy) fn call(&self) -> TaskTrackerToken {
        self.mounts.proxy().stop().calls.token()
    }

    /// What keeps the clients of a session patient, where the operator wants it.
    pub(in crate::proxy) fn keep_alive_for(&self, connection: &Connection) -> Option<KeepAlive> {
        let gate = self.mounts.proxy().gate().clone();
        self.keep_alive.map(|every| KeepAlive { every, gate, session: connection.session.id() })
    }

    /// The server's own path leads to it, too: a client that has our address in place of the server's, and no more, must not be
    /// relayed unseen.
    fn route(&self, method: &Method, uri: &Uri) -> Result<(MatchedMount<'_>, RequestRoute<'_>), ProxyError> {
        let nowhere = || ProxyError::NotFound { path: uri.path().to_owned(), endpoints: self.mounts.endpoints() };
        let (entry, path_and_query) = self.mounts.entry(uri).ok_or_else(nowhere)?;
        let target = entry.mount.table().target();
        let (site, path) = (target.site(), path_and_query.split('?').next().unwrap_or_default());
        let posts = method == Method::POST;
        if posts && let Some(client) = self.sse_clients.find(uri) {
            return Ok((entry, RequestRoute::Message(client)));
        }
        let streamable = site.filter(|_| matches!(target, Target::Server(_)));
        if let Some(tail) = tail(&path_and_query, ENDPOINT, streamable) {
            return Ok((entry, served(method, "POST, GET, DELETE", tail, RequestRoute::Exchange, streamable)?));
        }
        let events = site.filter(|_| matches!(target, Target::Events(_)));
        if let Some(tail) = tail(&path_and_query, STREAM, events) {
            return Ok((entry, served(method, "GET", tail, RequestRoute::Stream, events)?));
        }
        if posts && (path == MESSAGES || self.sse_clients.is_for_messages(uri.path())) {
            return Err(ProxyError::UnknownEndpoint);
        }
        let (site, place) = site.and_then(|site| Some((site, site.elsewhere(&path_and_query)?))).ok_or_else(nowhere)?;
        Ok((entry, RequestRoute::Relay(site, place)))
    }

    /// Carries out one exchange of Streamable HTTP. `tail`: what stands after the path.
    async fn exchange(
        &self,
        table: &Arc<SessionTable>,
        tail: String,
        request: ClientRequest<'_>,
    ) -> Result<Response<Body>, ProxyError> {
        let ClientRequest { caller, mut parts, body, id } = request;
        let reading = Instant::now();
        let message = match parts.method {
            // A byte order mark tells how a body is encoded. Where we are the transport's server, the message is what stands after it: on
            // a pipe few servers could read it.
            Method::POST if self.admission.keeps_rules_for(table) => Some(self.read_message(body).await?.without_bom()),
            Method::POST => Some(self.read_message(body).await?),
            _ => None,
        };
        // A client that sends slowly is not what tapline adds.
        let received = caller.received + reading.elapsed();
        // The id of a reply is the server's: no error of ours may answer to it.
        *id = message.as_ref().filter(|message| message.kind() == Kind::Request).and_then(|it| it.id().cloned());
        if let Some(message) = &message {
            self.authorize(table, &caller, &parts.headers, message)?;
        }
        let requester = Requester { address: caller.address, name: caller.name() };
        let request =
            SessionRequest { table, parts: &mut parts, tail: &tail, requester, message: message.as_ref(), received };
        match self.admission.admit(request).await? {
            SessionAdmission::Session(connection) => {
                let outgoing = Outgoing { method: parts.method, headers: parts.headers, message, tail };
                self.carry_out(table, &connection, outgoing, received, caller.address, id.as_ref()).await
            }
            SessionAdmission::Refused(answer) => Ok(refused(*answer)),
        }
    }

    /// Carries out an exchange whose session is known. `id`: of its request, for an error to name.
    async fn carry_out(
        &self,
        table: &Arc<SessionTable>,
        connection: &Arc<Connection>,
        mut outgoing: Outgoing,
        received: Instant,
        client: IpAddr,
        id: Option<&Id>,
    ) -> Result<Response<Body>, ProxyError> {
        let session_change = SessionChange::of(table, connection, &outgoing);
        headers::towards_upstream(&mut outgoing.headers);
        if session_change.deletes && table.target().is_pipe() {
            connection.end_pending();
            Box::pin(table.close(connection.session.id(), "the client ended it")).await;
            return Ok(Response::new(Body::empty()));
        }
        let message = outgoing.message.as_ref();
        if message.is_some_and(|message| message.kind() == Kind::Batch) && self.admission.keeps_rules_for(table) {
            return Ok(Box::pin(self.carry_batch(connection, &outgoing, received)).await);
        }
        let waited_for = message.is_some_and(|message| !semantics::is_subscription(message)).then(|| self.call());
        let is_sessionless = !session_change.in_session && self.admission.keeps_rules_for(table);
        let sessionless = message.filter(|it| is_sessionless && headers::is_modern(&outgoing.headers, it)).cloned();
        let until = &self.mounts.proxy().stop().force;
        let exchange = ClientExchange::admit(connection, received, outgoing, Initiator::Client);
        let mut reply = match reply_until(until, exchange).await {
            Ok(reply) => reply,
            Err(error) => {
                session_change.on_error(connection, &error);
                return Ok(self.failed(connection, &error, id));
            }
        };
        if let Some(request) = sessionless {
            set_status(table, &request, &mut reply);
        }
        session_change.apply(table, connection, client, &mut reply).await;
        let keep_alive = self.keep_alive_for(connection);
        let call = waited_for.map(|token| OpenCall { _token: token, connection: connection.clone(), id: id.cloned() });
        Ok(response(reply, until.clone(), keep_alive, call))
    }

    /// Whether a client may say that now, in the session that it names.
    fn authorize(
        &self,
        table: &Arc<SessionTable>,
        caller: &Caller,
        headers: &HeaderMap,
        message: &Message,
    ) -> Result<(), ProxyError> {
        let named = self.admission.counts_sessions().then(|| table.acknowledged(headers, caller.name())).flatten();
        self.admission.authorize(caller, headers, named.as_ref().map(|connection| &*connection.session), message)
    }

    /// Reads the message of a POST.
    pub(in crate::proxy) async fn read_message(&self, body: Body) -> Result<Message, ProxyError> {
        let message = Message::cut_from(self.read(body).await?);
        let is_long = message.has_more_items_than(LONGEST_BATCH);
        if is_long { Err(ProxyError::LongBatch(LONGEST_BATCH)) } else { Ok(message) }
    }

    async fn read(&self, body: Body) -> Result<Bytes, ProxyError> {
        read_whole(body, self.max_body).await.map_err(|error| match error {
            BodyReadError::TooLong => ProxyError::TooLarge(self.max_body),
            BodyReadError::Broken(error) => ProxyError::BadBody(error.to_string()),
        })
    }

    /// An upstream that does not answer is part of the session: the error that its client gets is recorded and shown.
    pub(in crate::proxy) fn failed(
        &self,
        connection: &Connection,
        error: &ProxyError,
        id: Option<&Id>,
    ) -> Response<Body> {
        refused(failure(connection, error, id))
    }

    fn refuse(&self, error: &ProxyError, id: Option<&Id>) -> Response<Body> {
        if let Some(by) = error.refused_by() {
            self.mounts.proxy().metrics().refused(by);
            self.mounts.proxy().journal().stir();
        }
        let answer = error.reply_to(id);
        self.mounts.proxy().record_error(&answer, None);
        refused(answer)
    }
}

/// The error that a client gets in place of an answer, shown and recorded.
fn failure(connection: &Connection, error: &ProxyError, id: Option<&Id>) -> ErrorReply {
    let Connection { proxy, session, .. } = connection;
    let answer = error.reply_to(id);
    proxy.record_error(&answer, Some(session.id()));
    let transport = Transport { status: Some(answer.status.as_u16()), ..Transport::new(Via::Http) };
    let message = proxy.originate(session, Direction::ToClient, transport, answer.message.clone());
    ErrorReply { message, ..answer }
}

/// Takes an exchange to the server and its answer back, unless tapline ends before that.
async fn reply_until(until: &CancellationToken, exchange: ClientExchange) -> Result<Reply, ProxyError> {
    tokio::select! {
        biased;
        reply = exchange.proceed() => reply.map_err(ProxyError::from),
        () = until.cancelled() => Err(ProxyError::Ended),
    }
}

/// Reads the body of a request that is answered without it, where that is small: it is on its way already, and a connection that is
/// closed over it takes the answer along.
async fn read_away(body: Body) {
    if !body.is_end_stream() && body.size_hint().lower() <= MOST_UNREAD as u64 {
        // Whatever becomes of it.
        let _ = tokio::time::timeout(UNREAD_FOR, Limited::new(body, MOST_UNREAD).collect()).await;
    }
}

/// A session whose client has not been told yet how to come back to it. Dropped before that, it is ended: no client could come back,
/// and its child would keep a place in the pool.
struct AbandonedSession(Option<(Arc<SessionTable>, SessionId)>);

impl AbandonedSession {
    fn of(table: &Arc<SessionTable>, connection: &Connection) -> Self {
        Self(Some((table.clone(), connection.session.id())))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbandonedSession {
    fn drop(&mut self) {
        if let Some((table, session)) = self.0.take() {
            tokio::spawn(async move {
                table.close(session, "it was never initialized: its client has left, or the server refused").await;
            });
        }
    }
}

/// What an exchange means for its session, once the server has answered.
struct SessionChange {
    /// The headers of an `initialize`.
    initialized: Option<HeaderMap>,
    /// The session that it begins.
    abandoned: Option<AbandonedSession>,
    deletes: bool,
    in_session: bool,
}

impl SessionChange {
    /// `request`: as it arrived.
    fn of(table: &Arc<SessionTable>, connection: &Connection, request: &Outgoing) -> Self {
        let Outgoing { method, headers, message, .. } = request;
        let initialize = message.as_ref().filter(|message| message.method() == Some(method::INITIALIZE));
        let initializes = initialize.is_some_and(|message| !headers::is_modern(headers, message));
        let in_session = headers.contains_key(headers::SESSION);
        Self {
            initialized: initializes.then(|| headers.clone()),
            abandoned: (initializes && !in_session).then(|| AbandonedSession::of(table, connection)),
            deletes: *method == Method::DELETE,
            in_session,
        }
    }

    /// The server has not answered.
    fn on_error(self, connection: &Connection, error: &ProxyError) {
        // The end of its server is the session's, with a reason of its own.
        let is_lost = matches!(error, ProxyError::Upstream(_)) && connection.has_lost_server();
        self.abandoned.filter(|_| is_lost).into_iter().for_each(AbandonedSession::disarm);
    }

    async fn apply(self, table: &Arc<SessionTable>, connection: &Arc<Connection>, client: IpAddr, reply: &mut Reply) {
        if let Some(abandoned) = self.abandoned.filter(|_| reply.status.is_success()) {
            abandoned.disarm();
        }
        if let Some(client_headers) = self.initialized.filter(|_| reply.status.is_success()) {
            let minted = table.bind(connection, &client_headers, &reply.headers, client);
            if let Some(id) = minted.and_then(|id| HeaderValue::from_str(&id).ok()) {
                reply.headers.insert(headers::SESSION, id);
            }
        }
        if self.deletes && reply.status.is_success() {
            Box::pin(table.close(connection.session.id(), "the client ended it")).await;
        } else if self.in_session && reply.status == StatusCode::NOT_FOUND {
            // Session management, 2025-03-26 on: the client starts a new session.
            Box::pin(table.close(connection.session.id(), "the server does not know it any more")).await;
        }
    }
}

/// Sets, on an answer to a request of a revision without sessions, the status that goes with it.
fn set_status(table: &SessionTable, request: &Message, reply: &mut Reply) {
    let ReplyBody::Whole(answer) = &reply.body else { return };
    if request.method() == Some(method::TOOLS_LIST) {
        table.learn_params(answer);
    }
    if let Some(status) = status_of(request, answer).filter(|_| reply.status.is_success()) {
        reply.status = status;
    }
}

/// What stands after a path of ours, or that of the server, where the request is for it: a slash, a query, both or nothing.
fn tail(path_and_query: &str, ours: &str, server: Option<&Site>) -> Option<String> {
    let is_tail = |rest: &&str| rest.split('?').next().is_some_and(|slash| matches!(slash, "" | "/"));
    let after = |path| path_and_query.strip_prefix(path).filter(is_tail);
    after(ours).or_else(|| after(server?.path())).map(str::to_owned)
}

/// A request for a place of ours. What we do not know how to answer there is the server's, if it has the place, too.
fn served<'a>(
    method: &Method,
    allowed: &'static str,
    tail: String,
    known: fn(String) -> RequestRoute<'a>,
    server: Option<&'a Site>,
) -> Result<RequestRoute<'a>, ProxyError> {
    match server {
        _ if allowed.split(", ").any(|name| name == method.as_str()) => Ok(known(tail)),
        Some(site) => Ok(RequestRoute::Relay(site, site.own(&tail))),
        None => Err(ProxyError::BadMethod(allowed)),
    }
}

fn refused(answer: ErrorReply) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.message.raw().clone()));
    (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
    response.extensions_mut().insert(OwnAnswer);
    response
}

/// A message of a client whose answer is on its way: what tapline waits for when it ends.
pub(in crate::proxy) struct OpenCall {
    _token: TaskTrackerToken,
    connection: Arc<Connection>,
    /// The JSON-RPC id of its request.
    id: Option<Id>,
}

impl OpenCall {
    /// What a client is told whose stream is cut before the reply was on it: the end of a stream alone says nothing.
    fn last_word(&self) -> Option<Bytes> {
        let (Connection { proxy, session, .. }, id) = (&*self.connection, self.id.as_ref()?);
        if !session.awaits(id) {
            return None;
        }
        let answer = ProxyError::Ended.reply_to(Some(id));
        proxy.record_error(&answer, Some(session.id()));
        let message = proxy.originate(session, Direction::ToClient, Transport::new(Via::Sse), answer.message);
        Some(sse::frame(message.raw()))
    }
}

/// `until`: what ends a stream that has not ended. `call`: what is over when the stream is.
pub(in crate::proxy) fn response(
    reply: Reply,
    until: CancellationToken,
    keep_alive: Option<KeepAlive>,
    call: Option<OpenCall>,
) -> Response<Body> {
    let Reply { status, mut headers, body } = reply;
    let body = match body {
        ReplyBody::Empty => Body::empty(),
        ReplyBody::Whole(message) => {
            fit_length(&mut headers, message.raw().len());
            Body::from(message.raw().clone())
        }
        ReplyBody::Stream(items) => {
            // Events may be edited or dropped on the way: the length is not known.
            headers.remove(CONTENT_LENGTH);
            let items = match keep_alive.filter(|_| is_event_stream(&headers)) {
                Some(keep_alive) => keep_alive.wrap(items),
                None => items,
            };
            let (events, cut) = (is_event_stream(&headers), until.clone());
            let last_word = once(async move { call.filter(|_| events && cut.is_cancelled())?.last_word() });
            let items = CoalescedFrames::new(items).take_until(until.cancelled_owned());
            Body::from_stream(items.chain(last_word.filter_map(|word| ready(word.map(Ok)))))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A length that the upstream gave must be that of what is sent, which may be an edit.
fn fit_length(headers: &mut HeaderMap, length: usize) {
    let Some(given) = headers.get(CONTENT_LENGTH) else { return };
    let given = given.to_str().ok().and_then(|given| given.parse().ok());
    if given != Some(length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
