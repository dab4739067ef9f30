//! A client with one stream for everything it is told: a process with pipes, one of the HTTP+SSE transport, or tapline itself.
//!
//! Owns how such a client's messages reach the server. In front of a server with one stream, too, they are relayed one by one; in
//! front of one that answers HTTP exchanges, [`Bridge`] makes exchanges of them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::HeaderMap;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::envelope::{Direction, Transport, Via};
use crate::message::Message;
use crate::proxy::arrival::Arrival;
use crate::proxy::error::{self, ErrorReply, ProxyError};
use crate::proxy::exchange::bridge::Bridge;
use crate::proxy::exchange::{Connection, ServerLink, Submission};
use crate::proxy::spine::Disposition;
use crate::proxy::stream::{ClientStream, StreamServer};
use crate::upstream::{Item, Reply, Upstream as _, UpstreamError};

/// A client with one stream, connected with its server.
pub(in crate::proxy) struct StreamClient {
    connection: Arc<Connection>,
    route: ServerRoute,
}

/// How such a client's messages reach the server.
enum ServerRoute {
    /// One by one: the server has one stream, too.
    Relayed(Arc<StreamServer>),
    /// The server has HTTP exchanges: a bridge makes one of each message.
    Bridged(Arc<Bridge>),
}

impl StreamClient {
    /// Connects the client with its server. `headers`: what it came with, where that was a request.
    pub(in crate::proxy) fn attach(connection: &Arc<Connection>, stream: ClientStream, headers: HeaderMap) -> Self {
        let connection = connection.clone();
        let route = match &connection.link {
            ServerLink::Stream(server) => {
                server.attach(stream);
                ServerRoute::Relayed(server.clone())
            }
            ServerLink::Exchanges(_) | ServerLink::Shared(_) => {
                ServerRoute::Bridged(Bridge::new(connection.clone(), stream.items, headers))
            }
        };
        Self { connection, route }
    }

    pub(in crate::proxy) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// What carries its messages to a server that takes them as they come; `None` where a bridge makes exchanges of them.
    pub(in crate::proxy) fn carrier(&self) -> Option<Via> {
        match &self.route {
            ServerRoute::Relayed(server) => Some(server.carrier()),
            ServerRoute::Bridged(_) => None,
        }
    }

    /// Takes what the client posts to the server. Returns what the server says to having got it, where it says something.
    ///
    /// # Errors
    /// [`ProxyError::UnknownEndpoint`] where the session ends meanwhile, [`ProxyError::Upstream`] where the server takes nothing.
    pub(in crate::proxy) async fn post(
        &self,
        message: Message,
        mut headers: HeaderMap,
    ) -> Result<Option<Reply>, ProxyError> {
        let connection = &self.connection;
        let server = match &self.route {
            ServerRoute::Relayed(server) => server,
            ServerRoute::Bridged(bridge) => {
                bridge.submit(message, Some(headers)).await;
                return Ok(None);
            }
        };
        let posted = async {
            let recorded = connection.remember_headers(&headers);
            let transport = Transport { headers: Some(recorded), ..Transport::new(Via::Http) };
            let submission = connection.submit(Arrival::new(Direction::ToServer, transport, message));
            let span = submission.span().clone();
            let (message, edited) = match submission.disposition().await {
                Disposition::Send { message, edited, .. } => (message, edited),
                Disposition::Answer(answer) => {
                    server.send_to_client(Item::line(answer));
                    return Ok(None);
                }
                _ => return Ok(None),
            };
            if edited {
                connection.refresh(&mut headers, &message);
            }
            server.send(&message, None, Some(headers)).instrument(span).await
        };
        let posted = connection.session.closed().run_until_cancelled(posted).await;
        Ok(posted.ok_or(ProxyError::UnknownEndpoint)??)
    }

    /// Ends the server's side, and waits until all it had to say is out.
    pub(in crate::proxy) async fn disconnect(&self) {
        match &self.route {
            ServerRoute::Relayed(_) => self.connection.close().await,
            ServerRoute::Bridged(bridge) => bridge.disconnect().await,
        }
    }
}

/// The messages of a client that says one after the other, on their way to its server.
pub(in crate::proxy) struct LineSender {
    client: StreamClient,
    /// POSTs on their way: some servers answer one only when they have answered the request in it.
    posting: JoinSet<()>,
    /// Messages that wait for the operator's decision.
    held: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl LineSender {
    pub(in crate::proxy) fn new(client: StreamClient) -> Self {
        Self { client, posting: JoinSet::new(), held: FuturesUnordered::new() }
    }

    /// Takes a message to the server; `line`: what it came in. Returns when the next may be sent. A held message stands aside; it
    /// goes on in [`LineSender::next_held`].
    pub(in crate::proxy) async fn send(&mut self, message: Message, line: Bytes) {
        while self.posting.try_join_next().is_some() {}
        let connection = &self.client.connection;
        let server = match &self.client.route {
            ServerRoute::Relayed(server) => server,
            ServerRoute::Bridged(bridge) => return bridge.submit(message, None).await,
        };
        // A POST is answered when the server likes: only a notification must be there before what follows it.
        let may_wait = server.carrier() == Via::Sse && message.asks();
        let transport = Transport::new(connection.session.via());
        let submission = connection.submit(Arrival::new(Direction::ToServer, transport, message));
        if !submission.is_held() && !may_wait {
            return relay_line(connection, server, submission, line).await;
        }
        let is_held = submission.is_held();
        let (connection, server) = (connection.clone(), server.clone());
        let relayed = async move { relay_line(&connection, &server, submission, line).await };
        if is_held {
            self.held.push(relayed.boxed());
        } else {
            self.posting.spawn(relayed);
        }
    }

    /// Takes a line without a message to the server; only a pipe has a place for it.
    pub(in crate::proxy) async fn send_blank_line(&mut self, line: Bytes) {
        if let ServerRoute::Relayed(server) = &self.client.route {
            server.send_blank_line(line).await;
        }
    }

    /// Waits until a held message is decided, and carries that out. `None` where none is held.
    pub(in crate::proxy) async fn next_held(&mut self) -> Option<()> {
        self.held.next().await
    }

    /// The client says nothing more: ends its part, and waits until all is answered that it asked, or its server has gone.
    pub(in crate::proxy) async fn finish(&mut self) {
        while self.held.next().await.is_some() {}
        while self.posting.join_next().await.is_some() {}
        match &self.client.route {
            ServerRoute::Relayed(server) => server.finish(&self.client.connection.session).await,
            ServerRoute::Bridged(bridge) => bridge.finish().await,
        }
    }

    /// Hangs up on what is on its way. Returns the client, to be disconnected.
    pub(in crate::proxy) async fn stop(mut self) -> StreamClient {
        self.posting.shutdown().await;
        self.client
    }
}

/// Does what is decided of a line. A server that refuses it says so over HTTP, which a pipe has no place for: the client
/// is told in an error of its request. No reply guard: the reply comes on the client's stream, and is not waited for here.
async fn relay_line(connection: &Connection, server: &StreamServer, submission: Submission, line: Bytes) {
    let span = submission.span().clone();
    let (message, line) = match submission.disposition().await {
        Disposition::Send { message, edited, .. } => (message, (!edited).then_some(line)),
        Disposition::Answer(answer) => return server.send_to_client(Item::line(answer)),
        _ => return,
    };
    match server.send(&message, line, None).instrument(span).await {
        Ok(Some(reply)) if !reply.status.is_success() => {
            answer(connection, server, &message, error::server_refused(server.label(), &reply, message.id()));
        }
        Ok(_) => {}
        // A child that takes nothing any more is about to be heard of.
        Err(error) if server.carrier() == Via::Stdio && !is_refusal(&error) => {}
        Err(error) => answer(connection, server, &message, ProxyError::Upstream(error).reply_to(message.id())),
    }
}

/// Whether a child that lives on took nothing of a message: then its client must be told here.
fn is_refusal(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::TakesNothing { .. } | UpstreamError::ReadsNothing { .. })
}

/// Sends the client an error of tapline's where its message was a request; it is recorded either way.
fn answer(connection: &Connection, server: &StreamServer, request: &Message, reply: ErrorReply) {
    let Connection { proxy, session, .. } = connection;
    proxy.record_error(&reply, Some(session.id()));
    if request.asks() {
        let transport = Transport::new(session.via());
        server.send_to_client(Item::line(proxy.originate(session, Direction::ToClient, transport, reply.message)));
    }
}
