//! The front door of the HTTP+SSE transport (revision 2024-11-05, transports; deprecated since 2025-03-26): `GET /sse`
//! is a session, and its stream says first where the client is to post.
//!
//! In front of a server of the same transport all of it is the server's own: statuses, frames, comments, and the address
//! to post to, too, path and query, as long as that is one of its origin and no other session has it. So the client says
//! the same as without us, the query stays as it is byte for byte, and most servers' `endpoint` event leaves in the frame
//! it came in. Clients refuse an address of another origin than their stream's: for one of those, and for every other
//! kind of server, there is an address of ours.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::envelope::{Direction, SessionId, Transport, Via};
use crate::event::{Level, LogLine, Origin};
use crate::headers;
use crate::message::{Id, Kind, Message};
use crate::proxy::error::ProxyError;
use crate::proxy::exchange::{Connection, Link};
use crate::proxy::front::access::Caller;
use crate::proxy::front::http::{HttpFront, response};
use crate::proxy::front::paths::{ENDPOINT, MESSAGES};
use crate::proxy::front::routes::MatchedMount;
use crate::proxy::front::stream_client::StreamClient;
use crate::proxy::sessions::{NewSession, SessionTable, Startup};
use crate::proxy::stream::{Announce, ClientStream, StreamServer};
use crate::proxy::{Arrival, Disposition};
use crate::upstream::site::{Site, split};
use crate::upstream::target::Target;
use crate::upstream::{Item, Reply, ReplyBody};

/// Most servers have one path for all messages. One with a path for each session is let go on like that.
const MOST_PATHS: usize = 16;

/// The clients of this transport that are here, by where they post.
#[derive(Default)]
pub(in crate::proxy) struct SseClients(Mutex<State>);

#[derive(Default)]
struct State {
    clients: HashMap<SessionId, Arc<SseClient>>,
    /// By path and query.
    addresses: HashMap<String, SessionId>,
    /// Paths of addresses that were given out, up to [`MOST_PATHS`].
    paths: HashSet<String>,
}

/// One client.
pub(in crate::proxy) struct SseClient {
    connection: Arc<Connection>,
    client: StreamClient,
}

impl SseClients {
    pub(in crate::proxy) fn find(&self, uri: &Uri) -> Option<Arc<SseClient>> {
        let address = uri.path_and_query().map_or(uri.path(), http::uri::PathAndQuery::as_str);
        let state = self.0.lock();
        state.clients.get(state.addresses.get(address)?).cloned()
    }

    /// Whether addresses at this path were given out.
    pub(in crate::proxy) fn is_for_messages(&self, path: &str) -> bool {
        self.0.lock().paths.contains(path)
    }

    /// An address of ours.
    fn give(&self, session: SessionId, prefix: &str) -> String {
        // Whoever knows it can post: nothing that can be guessed.
        let address = format!("{prefix}{MESSAGES}?sessionId={}", uuid::Uuid::new_v4().simple());
        self.0.lock().addresses.insert(address.clone(), session);
        address
    }

    /// The address under which a client reaches the endpoint of its server.
    fn announce(&self, session: SessionId, url: &Url, site: &Site, prefix: &str) -> String {
        let theirs = split(url).1;
        let theirs = theirs.split('#').next().unwrap_or(theirs);
        let here = below(prefix, theirs);
        {
            let mut state = self.0.lock();
            let free = state.addresses.get(&here).is_none_or(|owner| *owner == session);
            if site.is_origin_of(url) && free && theirs != ENDPOINT {
                state.addresses.insert(here.clone(), session);
                if state.paths.len() < MOST_PATHS {
                    state.paths.insert(below(prefix, url.path()));
                }
                return here;
            }
        }
        self.give(session, prefix)
    }

    fn forget(&self, session: SessionId) {
        let mut state = self.0.lock();
        state.addresses.retain(|_, owner| *owner != session);
        state.clients.remove(&session);
    }
}

impl HttpFront {
    /// Opens a session; its stream is the response.
    pub(in crate::proxy) async fn open_stream(
        &self,
        caller: &Caller,
        entry: MatchedMount<'_>,
        mut headers: HeaderMap,
        tail: &str,
    ) -> Result<Response<Body>, ProxyError> {
        let table = entry.mount.table();
        let is_theirs = matches!(table.target(), Target::Events(_));
        if !is_theirs && !accepts_events(&headers) {
            return Err(ProxyError::NoEvents);
        }
        headers::towards_upstream(&mut headers);
        let new = NewSession { headers: headers.clone(), tail, ..NewSession::new(Via::Sse, Origin::Client) };
        let (connection, startup) = table.begin(new)?;
        if let Some(name) = caller.name() {
            connection.session.claim(name);
        }
        let (items, stream) = mpsc::unbounded_channel();
        if !is_theirs {
            let address = self.sse_clients.give(connection.session.id(), entry.prefix);
            let event = format!("event: endpoint\ndata: {address}\n\n");
            drop(items.send(Ok(Item::Filler(Bytes::from(event)))));
        }
        let pipe =
            ClientStream { items, carrier: Via::Sse, stderr: None, announce: self.announcer(entry, &connection) };
        let here = self.seat(table, (connection.clone(), startup), pipe, headers).drop_guard();
        let mut reply = match &connection.link {
            Link::Pipe(link) => match link.answered().await {
                Some(Ok(answer)) => answer.into_reply(),
                Some(Err(error)) => return Ok(self.failed(&connection, &error.into(), None)),
                None => our_stream(),
            },
            Link::Exchanges(_) | Link::Shared(_) => our_stream(),
        };
        headers::strip_hop_by_hop(&mut reply.headers);
        if matches!(reply.body, ReplyBody::Empty) && reply.status.is_success() {
            // The guard is dropped with the stream: that is how the session learns that its client has hung up.
            let items = futures_util::stream::unfold((stream, here), |(mut stream, here)| async move {
                Some((stream.recv().await?, (stream, here)))
            });
            reply.body = ReplyBody::Stream(items.boxed());
        } else {
            connection.log(Level::Warn, format!("the server refused the event stream: HTTP {}", reply.status));
        }
        // Nothing else ends it: what the server says as it leaves is still for the client.
        Ok(response(reply, CancellationToken::new(), self.keep_alive_for(&connection), None))
    }

    /// Takes a client in; what is given ends its session.
    fn seat(
        &self,
        table: &Arc<SessionTable>,
        (connection, startup): (Arc<Connection>, Startup),
        pipe: ClientStream,
        headers: HeaderMap,
    ) -> CancellationToken {
        let client = StreamClient::attach(&connection, pipe, headers);
        let seat = Arc::new(SseClient { connection, client });
        self.sse_clients.0.lock().clients.insert(seat.connection.session.id(), seat.clone());
        let hung_up = CancellationToken::new();
        let attending = attend(table.clone(), self.sse_clients.clone(), seat, hung_up.clone());
        self.mounts.proxy().stop().leaving.spawn(attending);
        // Only now: the first thing that a server says is meant for a client that is there.
        startup.run();
        hung_up
    }

    fn announcer(&self, entry: MatchedMount<'_>, connection: &Arc<Connection>) -> Option<Announce> {
        let Target::Events(upstream) = entry.mount.table().target() else { return None };
        let (seats, upstream, proxy) = (self.sse_clients.clone(), upstream.clone(), self.mounts.proxy().clone());
        let (session, prefix) = (connection.session.id(), entry.prefix.to_owned());
        Some(Box::new(move |url| {
            let site = upstream.site();
            if !site.is_origin_of(url) {
                let text = format!(
                    "the server's endpoint is at another origin, `{}`: clients refuse that without tapline; \
                     credentials are not sent there",
                    url.origin().ascii_serialization()
                );
                proxy.log(LogLine::new(Level::Warn, "proxy", text).of(session));
            }
            seats.announce(session, url, site, &prefix)
        }))
    }

    /// Takes what a client posts. `asked` is set to the id of a request, for an error to name.
    pub(in crate::proxy) async fn post_message(
        &self,
        caller: &Caller,
        seat: &SseClient,
        mut headers: HeaderMap,
        body: Body,
        asked: &mut Option<Id>,
    ) -> Result<Response<Body>, ProxyError> {
        let _call = self.call();
        let message = Message::cut_from(self.read(body).await?);
        *asked = message.id().filter(|_| message.kind() == Kind::Request).cloned();
        let session = &seat.connection.session;
        if caller.name().is_some_and(|name| !session.belongs_to(name)) {
            return Err(ProxyError::UnknownEndpoint);
        }
        self.admission.admit(caller, &headers, Some(session), &message)?;
        headers::towards_upstream(&mut headers);
        match &seat.client {
            StreamClient::Relayed(link) => {
                if link.carrier() != Via::Sse {
                    check(&headers, &message)?;
                }
                let closed = seat.connection.session.closed();
                let carried = closed.run_until_cancelled(self.carry(seat, link, headers, message, asked.as_ref()));
                carried.await.ok_or(ProxyError::UnknownEndpoint)
            }
            StreamClient::Bridged(bridge) => {
                check(&headers, &message)?;
                bridge.take(message, Some(headers)).await;
                Ok(taken())
            }
        }
    }

    /// Takes a message through the spine and to the server, whose word on it is the client's answer.
    async fn carry(
        &self,
        seat: &SseClient,
        link: &StreamServer,
        mut headers: HeaderMap,
        message: Message,
        asked: Option<&Id>,
    ) -> Response<Body> {
        let connection = &seat.connection;
        let transport = Transport { headers: Some(connection.heard(&headers)), ..Transport::new(Via::Http) };
        let arrival = Arrival::new(Direction::ToServer, transport, message);
        let message = match connection.proxy.pass(&connection.session, arrival).disposition().await {
            Disposition::Send { message, edited, .. } => {
                if edited {
                    connection.refresh(&mut headers, &message);
                }
                message
            }
            Disposition::Answer(answer) => {
                link.tell(Item::line(answer));
                return taken();
            }
            Disposition::Discard => return taken(),
        };
        let span = connection.span(Some(&message));
        match link.hand(&message, None, Some(headers)).instrument(span).await {
            Ok(Some(mut reply)) => {
                headers::strip_hop_by_hop(&mut reply.headers);
                response(reply, self.mounts.proxy().stop().force.clone(), None, None)
            }
            Ok(None) => taken(),
            Err(error) => self.failed(connection, &error.into(), asked),
        }
    }
}

/// A path of the server's below the prefix of a mount. A server that is itself below a path of that name says so already
/// (mcp-wire.md §2.2).
fn below(prefix: &str, path: &str) -> String {
    let is_there = path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    if is_there { path.to_owned() } else { format!("{prefix}{path}") }
}

/// Ends a session when its client has hung up, or when it is to end for whatever other reason.
async fn attend(table: Arc<SessionTable>, seats: Arc<SseClients>, seat: Arc<SseClient>, hung_up: CancellationToken) {
    let session = &seat.connection.session;
    let reason = tokio::select! {
        () = hung_up.cancelled() => "the client hung up",
        () = session.closed().cancelled() => "tapline ended",
    };
    seats.forget(session.id());
    table.close(session.id(), reason).await;
    seat.client.leave(&seat.connection).await;
}

/// What the transport's servers answer to a GET.
fn our_stream() -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    Reply { status: StatusCode::OK, headers, body: ReplyBody::Empty }
}

/// What the SDK's servers answer to a POST.
fn taken() -> Response<Body> {
    let mut response = Response::new(Body::from("Accepted"));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    accepted.peek().is_none() || accepted.any(|value| value.contains("text/event-stream") || value.contains("*/*"))
}

/// What a server of this transport refuses with 400. Where one stands behind us, it decides for itself.
fn check(headers: &HeaderMap, message: &Message) -> Result<(), ProxyError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(ProxyError::BadBody("its content type must be application/json".to_owned()));
    }
    if message.kind() == Kind::Opaque {
        return Err(ProxyError::BadBody("it is no JSON-RPC message".to_owned()));
    }
    Ok(())
}
