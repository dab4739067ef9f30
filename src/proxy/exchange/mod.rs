//! One session on its upstream: each exchange of the client through the spine, there and back.
//!
//! Front doors, the player and the operator's own requests all come through here. A session is itself an
//! [`Upstream`], so whoever can talk to a server can talk to one through tapline.

pub mod bridge;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{Instrument as _, Span};

use crate::envelope::{Author, Direction, Seq, Transport, Via};
use crate::event::{Event, Landmark, Level, LogLine};
use crate::headers::{self, Latest, Packed, ParamHeaders};
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::proxy::error::ProxyError;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::StreamServer;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::shared::SharedServer;
use crate::proxy::{Arrival, Audience, Disposition, Pass, Proxy};
use crate::upstream::retry::{Attempt, may_resend};
use crate::upstream::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, Upstream, UpstreamError};

/// What a session is connected to.
pub enum Link {
    /// A server that answers each exchange by itself.
    Exchanges(Arc<dyn Upstream>),
    /// A server with one stream for everything it says.
    Pipe(Arc<StreamServer>),
    /// A command that several sessions share.
    Shared(Arc<SharedServer>),
}

/// A session together with its upstream.
pub struct Connection {
    pub proxy: Arc<Proxy>,
    pub session: Arc<LiveSession>,
    pub link: Link,
    /// Set for a replay or a shadow: its messages are not a client's own.
    author: Option<Author>,
    client_headers: Latest,
    /// Of the client's latest POST: what the operator's own requests go out with.
    last_headers: Mutex<Packed>,
    /// Of the same.
    tail: Mutex<String>,
    reply_headers: Latest,
    params: Mutex<ParamHeaders>,
}

/// A message that is past the spine.
struct Sent {
    seq: Seq,
    edited: bool,
}

/// Whose exchange it is.
pub(in crate::proxy) enum Sender {
    /// The client, or whoever plays its part.
    Client(Option<Author>),
    /// The operator: the answer is shown and goes no further.
    Operator,
}

impl Connection {
    pub fn new(proxy: Arc<Proxy>, session: Arc<LiveSession>, link: Link, author: Option<Author>) -> Arc<Self> {
        Arc::new(Self {
            proxy,
            session,
            link,
            author,
            client_headers: Latest::default(),
            last_headers: Mutex::default(),
            tail: Mutex::default(),
            reply_headers: Latest::default(),
            params: Mutex::default(),
        })
    }

    /// Takes one exchange of the client to the upstream and its answer back.
    ///
    /// # Errors
    /// Where the upstream does not answer. What the client is told then is `respond`'s part.
    pub async fn exchange(self: &Arc<Self>, outgoing: Outgoing) -> Result<Reply, UpstreamError> {
        self.exchange_since(Instant::now(), outgoing).await
    }

    /// The same of what came a moment ago.
    pub(in crate::proxy) async fn exchange_since(
        self: &Arc<Self>,
        came: Instant,
        outgoing: Outgoing,
    ) -> Result<Reply, UpstreamError> {
        self.admit(came, outgoing, self.sender()).proceed().await
    }

    /// Whoever this session is of.
    pub(in crate::proxy) fn sender(&self) -> Sender {
        Sender::Client(self.author.clone())
    }

    /// Has all its messages wait. `false` where it cannot be paused now.
    pub fn pause(&self) -> bool {
        let Some(paused) = self.session.pause() else { return false };
        self.proxy.gate().pause(self.session.id());
        self.proxy.journal().publish(Event::SessionChanged(paused.into()));
        true
    }

    /// Lets its messages go on.
    pub fn resume(&self) {
        if let Some(resumed) = self.session.resume() {
            self.proxy.journal().publish(Event::SessionChanged(resumed.into()));
        }
        self.proxy.gate().resume(self.session.id());
    }

    /// Whether no client of its own speaks in it.
    pub(in crate::proxy) fn is_replay(&self) -> bool {
        self.author.is_some()
    }

    /// Sends a request of the operator's. Its replies are shown, and kept from the client, which would not know the id.
    pub async fn inject(self: &Arc<Self>, message: Message) {
        let message = message.with_id(&Id::random()).unwrap_or(message);
        let mut headers = HeaderMap::from(&*self.last_headers.lock());
        headers::towards_upstream(&mut headers);
        headers::refresh(&mut headers, &message, &self.params.lock());
        let tail = self.tail.lock().clone();
        let outgoing = Outgoing { method: Method::POST, headers, message: Some(message), tail };
        let reply = self.admit(Instant::now(), outgoing, Sender::Operator).proceed().await;
        match reply {
            Ok(Reply { body: ReplyBody::Stream(mut items), .. }) => while items.next().await.is_some() {},
            Ok(_) => {}
            Err(error) => self.log(Level::Error, format!("the request you sent got no answer: {error}")),
        }
    }

    /// What a fresh child would be told for the session to go on; `None` where there is no such way.
    pub fn handshake_states(&self) -> Option<watch::Receiver<HandshakeState>> {
        match &self.link {
            Link::Pipe(link) => link.handshake_states(),
            Link::Exchanges(_) | Link::Shared(_) => None,
        }
    }

    /// The client leaves of its own accord: what it still waits for ends without an answer.
    pub(in crate::proxy) fn cancel_pending(&self) {
        if let Link::Pipe(link) = &self.link {
            link.cancel_pending();
        }
    }

    /// Takes what a client sends through the spine; what comes of it is in [`Admitted`]. `came`: when tapline had it.
    pub(in crate::proxy) fn admit(self: &Arc<Self>, came: Instant, mut outgoing: Outgoing, sender: Sender) -> Admitted {
        let audience = match sender {
            Sender::Client(_) => Audience::Client,
            Sender::Operator => Audience::OperatorOnly,
        };
        let request_headers = match &outgoing.message {
            Some(_) => {
                self.tail.lock().clone_from(&outgoing.tail);
                self.heard(&outgoing.headers)
            }
            None => Arc::new(outgoing.headers.clone()),
        };
        let message = outgoing.message.take();
        let span = self.span(message.as_ref());
        let awaits_reply = message.as_ref().is_some_and(Message::asks);
        let pass = message.map(|message| {
            let mut arrival = Arrival::new(Direction::ToServer, self.transport(&request_headers), message);
            arrival.came = Some(came);
            arrival.injected = match sender {
                Sender::Client(author) => author,
                Sender::Operator => Some(Author::Operator),
            };
            span.in_scope(|| self.proxy.pass(&self.session, arrival))
        });
        Admitted { connection: self.clone(), outgoing, pass, request_headers, audience, awaits_reply, span }
    }

    /// What the log knows an exchange by. Costs nothing where nobody logs.
    pub(in crate::proxy) fn span(&self, message: Option<&Message>) -> Span {
        tracing::info_span!(
            "exchange",
            session = self.session.id().short(),
            method = message.and_then(Message::method),
            id = message.and_then(Message::id).map(Id::display),
        )
    }

    /// Remembers what a message of the client came with.
    pub(in crate::proxy) fn heard(&self, headers: &HeaderMap) -> Arc<HeaderMap> {
        let (headers, are_others) = self.client_headers.keep(headers);
        if are_others {
            *self.last_headers.lock() = Packed::from(&*headers);
        }
        headers
    }

    /// What a message of the client came on.
    fn transport(&self, headers: &Arc<HeaderMap>) -> Transport {
        match self.session.via() {
            Via::Http => Transport { headers: Some(headers.clone()), ..Transport::new(Via::Http) },
            // The headers of a bridge are ours, not the client's.
            Via::Sse => Transport::new(Via::Http),
            Via::Stdio => Transport::new(Via::Stdio),
        }
    }

    /// Sends on an exchange; its message again, the same bytes, where the server did not answer and that can do no harm. To open
    /// a listening stream again, and to end a session, is the client's own affair.
    async fn deliver(
        &self,
        upstream: &Arc<dyn Upstream>,
        outgoing: Outgoing,
        headers: &HeaderMap,
        sent: Option<Sent>,
    ) -> Result<Reply, UpstreamError> {
        let retry = self.proxy.retry();
        let (Some(Sent { seq, edited }), Some(message)) = (sent.filter(|_| retry.is_on()), &outgoing.message) else {
            return upstream.send(outgoing).await;
        };
        let (message, method, tail) = (message.raw().clone(), outgoing.method.clone(), outgoing.tail.clone());
        let began = tokio::time::Instant::now();
        let error = match upstream.send(outgoing).await {
            Err(error) => error,
            answered => return answered,
        };
        let message = Message::new(message);
        let resend = |attempt: Attempt<'_>| {
            self.proxy.metrics().retried();
            let line = LogLine::new(Level::Warn, "proxy", attempt.to_string()).of(self.session.id()).about(seq);
            self.proxy.log(line.as_landmark(Landmark::Attempt));
            let mut headers = headers.clone();
            if edited {
                self.refresh(&mut headers, &message);
            }
            let (method, tail) = (method.clone(), tail.clone());
            upstream.send(Outgoing { method, headers, message: Some(message.clone()), tail })
        };
        retry.again(error, began, self.session.closed(), |error| may_resend(&message, error), resend).await
    }

    /// Something was dropped: the client is left to its patience, as if the server had said nothing.
    async fn say_nothing(&self) -> Reply {
        self.proxy.stop().listening.cancelled().await;
        // Nobody waits for what will not come.
        ProxyError::Ended.reply_to(None).into_reply()
    }

    /// A listening stream does not end by itself: it ends with its session.
    fn while_open(&self, mut reply: Reply) -> Reply {
        if let ReplyBody::Stream(items) = reply.body {
            reply.body = ReplyBody::Stream(items.take_until(self.session.closed().clone().cancelled_owned()).boxed());
        }
        reply
    }

    /// A stream is an exchange that goes on: the session is in use for as long as it is open.
    fn in_use_by(self: &Arc<Self>, mut reply: Reply) -> Reply {
        if let ReplyBody::Stream(items) = reply.body {
            let connection = self.clone();
            let held = move |item| {
                let _in_use = &connection;
                item
            };
            reply.body = ReplyBody::Stream(items.map(held).boxed());
        }
        reply
    }

    /// The answer of an upstream through the spine.
    async fn take_back(
        self: &Arc<Self>,
        mut reply: Reply,
        request_headers: Arc<HeaderMap>,
        audience: Audience,
        mut asked: Option<Asked>,
        awaited: bool,
        request: Option<Seq>,
    ) -> Reply {
        headers::strip_hop_by_hop(&mut reply.headers);
        if let Some(asked) = &mut asked {
            asked.failed = !reply.status.is_success();
        }
        let (headers, _) = self.reply_headers.keep(&reply.headers);
        let facts = Facts { status: reply.status, headers, audience, request };
        reply.body = match reply.body {
            ReplyBody::Empty => ReplyBody::Empty,
            ReplyBody::Whole(message) => {
                let arrival = facts.arrival(Via::Http, message, None);
                match self.proxy.pass(&self.session, arrival).disposition().await {
                    Disposition::Send { message, .. } => {
                        self.learn(&message);
                        ReplyBody::Whole(message)
                    }
                    Disposition::Discard if awaited => return self.say_nothing().await,
                    Disposition::Discard | Disposition::Answer(_) => ReplyBody::Empty,
                }
            }
            ReplyBody::Stream(upstream) => ReplyBody::Stream(
                Passing {
                    connection: self.clone(),
                    upstream,
                    facts,
                    request_headers,
                    held: FuturesUnordered::new(),
                    ended: false,
                    _asked: asked,
                }
                .boxed(),
            ),
        };
        reply
    }

    /// Sends the server an answer that we made in the client's place, because its request was blocked.
    fn answer_server(self: &Arc<Self>, answer: Message, client_headers: &HeaderMap) {
        let Link::Exchanges(upstream) = &self.link else { return };
        let mut headers = client_headers.clone();
        headers::towards_upstream(&mut headers);
        // The exchange it belongs to may be a GET: these are of a POST.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.remove(headers::LAST_EVENT_ID);
        let tail = self.tail.lock().clone();
        let outgoing = Outgoing { method: Method::POST, headers, message: Some(answer), tail };
        let (connection, upstream) = (self.clone(), upstream.clone());
        tokio::spawn(async move {
            if let Err(error) = upstream.send(outgoing).await {
                connection.log(Level::Error, format!("the server did not get the answer to its request: {error}"));
            }
        });
    }

    /// The headers that a message which came over a pipe needs over HTTP.
    pub(in crate::proxy) fn mirror(&self, message: &Message, headers: &mut HeaderMap) {
        headers::mirror(message, headers);
        if headers.contains_key(headers::VERSION) {
            self.params.lock().apply(message, headers);
        }
    }

    /// Brings the headers of an edited message in line with it.
    pub(in crate::proxy) fn refresh(&self, headers: &mut HeaderMap, message: &Message) {
        headers::refresh(headers, message, &self.params.lock());
    }

    /// A list of tools says which arguments their calls repeat in headers.
    fn learn(&self, reply: &Message) {
        if reply.kind() == Kind::Result {
            self.params.lock().learn(reply);
        }
    }

    pub(in crate::proxy) fn log(&self, level: Level, text: String) {
        self.proxy.log(LogLine::new(level, "proxy", text).of(self.session.id()));
    }
}

/// A session that is known no more is over when its last exchange is: only then is its tape complete.
impl Drop for Connection {
    fn drop(&mut self) {
        let reason = self.session.finish("tapline ended");
        self.proxy.journal().publish(Event::SessionClosed { session: self.session.id(), reason });
    }
}

/// What a client sent, past the spine or held at its gate, and not sent on yet.
pub(in crate::proxy) struct Admitted {
    connection: Arc<Connection>,
    /// Its message is in `pass`.
    outgoing: Outgoing,
    pass: Option<Pass>,
    request_headers: Arc<HeaderMap>,
    audience: Audience,
    awaits_reply: bool,
    span: Span,
}

/// Waits for the reply to a request. Dropped before it came, there is nobody any more whom it could reach here.
struct Asked {
    session: Arc<LiveSession>,
    request: Option<(Id, Seq)>,
    /// A status said that there would be no reply.
    failed: bool,
}

impl Asked {
    fn of(session: &Arc<LiveSession>, message: &Message, seq: Seq) -> Option<Self> {
        let id = message.id().filter(|_| message.kind() == Kind::Request)?;
        Some(Self { session: session.clone(), request: Some((id.clone(), seq)), failed: false })
    }
}

/// Of a server with one stream, a reply that has not come yet may come elsewhere: the client may come back for it, or cancel it.
fn goes_on(reply: Reply, asked: Option<Asked>) -> Reply {
    if let (ReplyBody::Stream(_), Some(mut asked)) = (&reply.body, asked) {
        asked.request = None;
    }
    reply
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some((id, seq)) = &self.request {
            if self.failed {
                self.session.fail_request(id, *seq);
            } else {
                self.session.abandon_request(Direction::ToServer, id, Some(*seq));
            }
        }
    }
}

impl Admitted {
    pub(in crate::proxy) fn is_held(&self) -> bool {
        matches!(self.pass, Some(Pass::Held(_)))
    }

    /// Waits for the operator where it is held, sends it on, and takes the answer back.
    pub(in crate::proxy) async fn proceed(self) -> Result<Reply, UpstreamError> {
        let span = self.span.clone();
        async {
            let answer = self.carry_out().await;
            match &answer {
                Ok(reply) => tracing::debug!(status = reply.status.as_u16(), "answered"),
                Err(error) => tracing::debug!(%error, "not answered"),
            }
            answer
        }
        .instrument(span)
        .await
    }

    async fn carry_out(mut self) -> Result<Reply, UpstreamError> {
        let (mut sent, mut asked) = (None, None);
        if let Some(pass) = self.pass {
            match pass.disposition().await {
                Disposition::Send { seq, message, edited } => {
                    sent = Some(Sent { seq, edited });
                    asked = Asked::of(&self.connection.session, &message, seq);
                    if edited {
                        headers::refresh(&mut self.outgoing.headers, &message, &self.connection.params.lock());
                    }
                    self.outgoing.message = Some(message);
                }
                Disposition::Answer(answer) => return Ok(Reply::whole(answer)),
                Disposition::Discard if self.awaits_reply => return Ok(self.connection.say_nothing().await),
                Disposition::Discard => return Ok(Reply::accepted()),
            }
        }
        let Self { connection, outgoing, request_headers, audience, awaits_reply, .. } = self;
        let listens = outgoing.method == Method::GET || outgoing.message.as_ref().is_some_and(method::is_subscription);
        let reply = match &connection.link {
            Link::Pipe(link) => {
                let reply = link.exchange(&connection.session, outgoing, audience).await?;
                connection.in_use_by(goes_on(reply, asked))
            }
            Link::Shared(shared) => {
                let reply = shared.exchange(&connection.session, outgoing, audience).await?;
                connection.in_use_by(goes_on(reply, asked))
            }
            Link::Exchanges(upstream) => {
                let request = sent.as_ref().map(|sent| sent.seq);
                let reply = connection.deliver(upstream, outgoing, &request_headers, sent).await?;
                connection.take_back(reply, request_headers, audience, asked, awaits_reply, request).await
            }
        };
        Ok(if listens { connection.while_open(reply) } else { reply })
    }

    /// Waits for the operator where it is held, and sends nothing on: whether it was to be.
    pub(in crate::proxy) async fn settle(self) -> bool {
        match self.pass {
            Some(pass) => matches!(pass.disposition().await, Disposition::Send { .. }),
            None => false,
        }
    }
}

impl Upstream for Arc<Connection> {
    fn label(&self) -> &str {
        match &self.link {
            Link::Exchanges(upstream) => upstream.label(),
            Link::Pipe(link) => link.label(),
            Link::Shared(shared) => shared.label(),
        }
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        self.exchange(outgoing).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            match &self.link {
                Link::Exchanges(upstream) => upstream.close().await,
                Link::Pipe(link) => link.close().await,
                Link::Shared(shared) => shared.leave(&self.session),
            }
        }
        .boxed()
    }
}

/// What all messages of one response have in common.
struct Facts {
    status: StatusCode,
    headers: Arc<HeaderMap>,
    audience: Audience,
    request: Option<Seq>,
}

impl Facts {
    fn arrival(&self, via: Via, message: Message, framing: Option<&Framing>) -> Arrival {
        let sse = match framing {
            Some(Framing::Sse { fields, .. }) => fields.clone(),
            _ => None,
        };
        let transport = Transport { via, status: Some(self.status.as_u16()), headers: Some(self.headers.clone()), sse };
        let Self { audience, request, .. } = *self;
        Arrival { audience, request, ..Arrival::new(Direction::ToClient, transport, message) }
    }
}

/// A stream of the upstream on its way through the spine. A held message stands aside; what comes after it flows on.
struct Passing {
    connection: Arc<Connection>,
    upstream: BoxStream<'static, Result<Item, UpstreamError>>,
    facts: Facts,
    request_headers: Arc<HeaderMap>,
    held: FuturesUnordered<BoxFuture<'static, (Disposition, Framing)>>,
    ended: bool,
    _asked: Option<Asked>,
}

impl Passing {
    fn finish(&self, disposition: Disposition, framing: Framing) -> Option<Item> {
        match disposition {
            Disposition::Send { .. } if self.facts.audience.is_operator_only() => None,
            Disposition::Send { message, edited, .. } => {
                self.connection.learn(&message);
                let framing = if edited { framing.around(&message) } else { framing };
                Some(Item::Message(Incoming { message, framing }))
            }
            Disposition::Answer(answer) => {
                self.connection.answer_server(answer, &self.request_headers);
                None
            }
            Disposition::Discard => None,
        }
    }

    fn admit(&mut self, incoming: Incoming) -> Option<Item> {
        let Incoming { message, framing } = incoming;
        let arrival = self.facts.arrival(Via::Sse, message, Some(&framing));
        match self.connection.proxy.pass(&self.connection.session, arrival) {
            Pass::Now(disposition) => self.finish(disposition, framing),
            Pass::Held(held) => {
                self.held.push(held.map(|disposition| (disposition, framing)).boxed());
                None
            }
        }
    }
}

impl Stream for Passing {
    type Item = Result<Item, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Poll::Ready(Some((disposition, framing))) = self.held.poll_next_unpin(context) {
                match self.finish(disposition, framing) {
                    Some(item) => return Poll::Ready(Some(Ok(item))),
                    None => continue,
                }
            }
            if self.ended {
                return if self.held.is_empty() { Poll::Ready(None) } else { Poll::Pending };
            }
            match self.upstream.poll_next_unpin(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) => {
                    self.connection.log(Level::Error, error.to_string());
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(Item::Filler(bytes)))) if self.facts.audience.is_operator_only() => drop(bytes),
                Poll::Ready(Some(Ok(Item::Filler(bytes)))) => return Poll::Ready(Some(Ok(Item::Filler(bytes)))),
                Poll::Ready(Some(Ok(Item::Message(incoming)))) => {
                    if let Some(item) = self.admit(incoming) {
                        return Poll::Ready(Some(Ok(item)));
                    }
                }
            }
        }
    }
}
