//! A session together with its server, and the one way of a client's message into the spine.
//!
//! Keeps what outlives an exchange: the headers of the client's latest message, which the operator's own requests go out with, and
//! which arguments of tools are repeated in headers.
//!
//! A session is over when its last exchange is, not when it is closed: only then is its tape complete. It is in use for as long as
//! any exchange or stream holds its [`Connection`]; by that the session table knows what it must not evict, without a second count that could be
//! wrong.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::Span;

use crate::envelope::{Author, Seq, Transport, Via};
use crate::event::{CallStanding, Event, Level, LogLine};
use crate::headers::{self, Latest, Packed, ParamHeaders};
use crate::message::{Id, Kind, Message};
use crate::proxy::arrival::Arrival;
use crate::proxy::exchange::request::{ClientExchange, Initiator};
use crate::proxy::session::LiveSession;
use crate::proxy::spine::{Disposition, Pass, Proxy};
use crate::proxy::stream::StreamServer;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::shared::SharedServer;
use crate::secret::Label;
use crate::upstream::{Outgoing, Reply, ReplyBody, Upstream, UpstreamError};

/// What a session is connected to.
pub enum ServerLink {
    /// A server that answers each exchange by itself.
    Exchanges(Arc<dyn Upstream>),
    /// A server with one stream for everything it says.
    Stream(Arc<StreamServer>),
    /// A command that several sessions share.
    Shared(Arc<SharedServer>),
}

/// A session together with its server.
pub struct Connection {
    pub proxy: Arc<Proxy>,
    pub session: Arc<LiveSession>,
    pub link: ServerLink,
    /// Set for a replay or a shadow: what they send is not a client's own.
    author: Option<Author>,
    client_headers: Latest,
    /// The headers of the client's latest POST: what the operator's own requests go out with.
    last_headers: Mutex<Packed>,
    /// What stood after the endpoint's path in the client's latest POST.
    last_tail: Mutex<String>,
    reply_headers: Latest,
    params: Mutex<ParamHeaders>,
}

/// A message of a client that has passed the spine, or is held at its gate.
pub(in crate::proxy) struct Submission {
    pass: Pass,
    span: Span,
}

impl Submission {
    /// Whether it waits for the operator's decision.
    pub(in crate::proxy) fn is_held(&self) -> bool {
        matches!(self.pass, Pass::Held(_))
    }

    /// What the log knows its exchange by.
    pub(in crate::proxy) fn span(&self) -> &Span {
        &self.span
    }

    /// Waits for the operator's decision where it is held.
    pub(in crate::proxy) async fn disposition(self) -> Disposition {
        self.pass.disposition().await
    }
}

impl Connection {
    /// A session and the server that it is with; `author` makes its requests where no client does.
    pub fn new(proxy: Arc<Proxy>, session: Arc<LiveSession>, link: ServerLink, author: Option<Author>) -> Arc<Self> {
        Arc::new(Self {
            proxy,
            session,
            link,
            author,
            client_headers: Latest::default(),
            last_headers: Mutex::default(),
            last_tail: Mutex::default(),
            reply_headers: Latest::default(),
            params: Mutex::default(),
        })
    }

    /// Takes a client's message into the spine: the one way in, from every front door, from the player and from the operator.
    pub(in crate::proxy) fn submit(&self, arrival: Arrival) -> Submission {
        let span = self.span(Some(&arrival.message));
        let pass = span.in_scope(|| self.proxy.pass(&self.session, arrival));
        Submission { pass, span }
    }

    /// Takes one exchange of whoever speaks in the client's place to the server, or of the client, and its answer back.
    ///
    /// # Errors
    /// Where the server does not answer. What the client is told then is said by [`crate::proxy::error`].
    pub async fn exchange(self: &Arc<Self>, outgoing: Outgoing) -> Result<Reply, UpstreamError> {
        ClientExchange::admit(self, Instant::now(), outgoing, Initiator::Player).proceed().await
    }

    /// Has all its messages wait. `false` where it cannot be paused now.
    pub fn pause(&self) -> bool {
        let Some(paused) = self.session.pause() else { return false };
        self.proxy.gate().pause(self.session.id());
        self.proxy.journal().publish(Event::SessionChanged(paused));
        true
    }

    /// Lets its messages go on.
    pub fn resume(&self) {
        if let Some(resumed) = self.session.resume() {
            self.proxy.journal().publish(Event::SessionChanged(resumed));
        }
        self.proxy.gate().resume(self.session.id());
    }

    /// Sends on an exchange to the server: as the HTTP client that tapline is where no other is behind it.
    pub(super) fn send_on<'u>(
        &self,
        upstream: &'u Arc<dyn Upstream>,
        outgoing: Outgoing,
    ) -> BoxFuture<'u, Result<Reply, UpstreamError>> {
        let relays = self.session.via() == Via::Http && self.author.is_none();
        if relays { upstream.send(outgoing) } else { upstream.send_as_client(outgoing) }
    }

    /// Who speaks in it in the place of a client. One that goes on with a branch, by its session id, comes through the front door, and
    /// speaks for itself.
    pub(in crate::proxy) fn author(&self) -> Option<&Author> {
        self.author.as_ref()
    }

    /// Whether it began without a client of its own.
    pub(in crate::proxy) fn is_replay(&self) -> bool {
        self.author.is_some()
    }

    /// What there is to see of a call that has no reply yet.
    pub async fn standing(&self, call: Seq) -> CallStanding {
        let session = self.session.id();
        let server = match &self.link {
            ServerLink::Exchanges(_) => None,
            ServerLink::Stream(server) => Some(server.clone()),
            ServerLink::Shared(shared) => shared.asked_by(session),
        };
        match server {
            Some(server) => server.standing(session, call).await,
            None => {
                let stream = self.session.response_to(call);
                CallStanding { session, call, child: None, stream, unread_by_client: 0 }
            }
        }
    }

    /// Sends a request of the operator's, under an id that is known to nobody. Its replies are shown, and kept from the client, which would not know the id.
    pub async fn inject(self: &Arc<Self>, message: Message) {
        let mut headers = HeaderMap::from(&*self.last_headers.lock());
        headers::towards_upstream(&mut headers);
        self.refresh(&mut headers, &message);
        let outgoing = Outgoing { method: Method::POST, headers, message: Some(message), tail: self.last_tail() };
        let reply = ClientExchange::admit(self, Instant::now(), outgoing, Initiator::Operator).proceed().await;
        match reply {
            Ok(Reply { body: ReplyBody::Stream(mut items), .. }) => while items.next().await.is_some() {},
            Ok(_) => {}
            Err(error) => self.log(Level::Error, format!("the request you sent got no answer: {error}")),
        }
    }

    /// What a fresh child would be told for the session to go on; `None` where there is no such way.
    pub fn handshake_states(&self) -> Option<watch::Receiver<HandshakeState>> {
        match &self.link {
            ServerLink::Stream(server) => server.handshake_states(),
            ServerLink::Exchanges(_) | ServerLink::Shared(_) => None,
        }
    }

    /// Whether its server is gone for good.
    pub(in crate::proxy) fn has_lost_server(&self) -> bool {
        matches!(&self.link, ServerLink::Stream(server) if server.is_gone())
    }

    /// Whether its server was to leave, and had not left before.
    pub(in crate::proxy) fn has_let_server_go(&self) -> bool {
        matches!(&self.link, ServerLink::Stream(server) if server.is_let_go())
    }

    /// The client ends its session: what it still waits for there is answered by an error that says so.
    pub(in crate::proxy) fn end_pending(&self) {
        if let ServerLink::Stream(server) = &self.link {
            server.end_pending();
        }
    }

    /// The span that an exchange is logged in. Costs nothing where no log is written.
    pub(in crate::proxy) fn span(&self, message: Option<&Message>) -> Span {
        tracing::info_span!(
            "exchange",
            session = self.session.id().short(),
            method = message.and_then(Message::method),
            id = message.and_then(Message::id).map(Id::display),
        )
    }

    /// Releases memory that is not in use: thousands of sessions are idle.
    pub(in crate::proxy) fn shrink_to_fit(&self) {
        self.session.shrink_to_fit();
        self.client_headers.forget_dropped();
        self.reply_headers.forget_dropped();
    }

    /// Remembers the headers that a message of the client came with; returns them as they are recorded.
    pub(in crate::proxy) fn remember_headers(&self, headers: &HeaderMap) -> Arc<HeaderMap> {
        let (headers, are_others) = self.client_headers.keep(headers);
        if are_others {
            *self.last_headers.lock() = Packed::from(&*headers);
        }
        headers
    }

    /// The id of the session at its server, as the latest message to it named it.
    pub(in crate::proxy) fn id_at_server(&self) -> Option<HeaderValue> {
        HeaderMap::from(&*self.last_headers.lock()).remove(headers::SESSION)
    }

    /// The headers of a message that goes nowhere, as they are recorded.
    pub(in crate::proxy) fn refused_transport(&self, headers: &HeaderMap) -> Transport {
        self.transport(&self.client_headers.keep(headers).0)
    }

    /// Remembers what stood after the endpoint's path.
    pub(super) fn remember_tail(&self, tail: &String) {
        self.last_tail.lock().clone_from(tail);
    }

    /// What stood after the endpoint's path in the client's latest POST.
    pub(super) fn last_tail(&self) -> String {
        self.last_tail.lock().clone()
    }

    /// The headers of a response as they are recorded: shared with those of the response before where they are alike.
    pub(super) fn recorded_reply_headers(&self, headers: &HeaderMap) -> Arc<HeaderMap> {
        self.reply_headers.keep(headers).0
    }

    /// What a message of the client came on, where it came as an exchange.
    pub(super) fn transport(&self, headers: &Arc<HeaderMap>) -> Transport {
        match self.session.via() {
            Via::Http => Transport { headers: Some(headers.clone()), ..Transport::new(Via::Http) },
            // The headers of a bridge are ours, not the client's.
            Via::Sse => Transport::new(Via::Http),
            Via::Stdio => Transport::new(Via::Stdio),
        }
    }

    /// Adds the headers that a message which came over a stream needs over HTTP.
    pub(super) fn mirror(&self, message: &Message, headers: &mut HeaderMap) {
        headers::mirror(message, headers);
        if headers.contains_key(headers::VERSION) {
            self.params.lock().apply(message, headers);
        }
    }

    /// Brings the headers of an edited message in line with it.
    pub(in crate::proxy) fn refresh(&self, headers: &mut HeaderMap, message: &Message) {
        headers::refresh(headers, message, &self.params.lock());
    }

    /// Learns from a list of tools which arguments their calls repeat in headers.
    pub(super) fn learn_params(&self, reply: &Message) {
        if reply.kind() == Kind::Result {
            self.params.lock().learn(reply);
        }
    }

    /// Logs a line of the session.
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

impl Upstream for Arc<Connection> {
    fn label(&self) -> &Label {
        match &self.link {
            ServerLink::Exchanges(upstream) => upstream.label(),
            ServerLink::Stream(server) => server.label(),
            ServerLink::Shared(shared) => shared.label(),
        }
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        self.exchange(outgoing).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            match &self.link {
                ServerLink::Exchanges(upstream) => upstream.close().await,
                ServerLink::Stream(server) => server.close().await,
                ServerLink::Shared(shared) => shared.leave(&self.session),
            }
        }
        .boxed()
    }
}
