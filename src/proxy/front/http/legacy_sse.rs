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
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use parking_lot::Mutex;
use reqwest::Url;
use tokio_util::sync::CancellationToken;

use crate::envelope::{SessionId, Via};
use crate::event::{Level, LogLine, Origin};
use crate::headers;
use crate::headers::rules::{ArrivedRequest, RuleBreak};
use crate::message::{Kind, Message};
use crate::net::backlog::backlog;
use crate::proxy::error::ProxyError;
use crate::proxy::exchange::{Connection, ServerLink};
use crate::proxy::front::access::refuse_in;
use crate::proxy::front::http::{ClientRequest, HttpFront, refused, response};
use crate::proxy::front::routes::MatchedMount;
use crate::proxy::front::stream_client::StreamClient;
use crate::proxy::paths::{ENDPOINT, MESSAGES};
use crate::proxy::sessions::{NewSession, SessionTable, Startup};
use crate::proxy::stream::{Announce, ClientStream};
use crate::upstream::site::{Site, split};
use crate::upstream::target::Target;
use crate::upstream::{Item, Reply, ReplyBody};

/// Most servers have one path for all messages. One with a path for each session is let go on like that.
const MOST_PATHS: usize = 16;

/// The clients of this transport that are connected, by where they post.
#[derive(Default)]
pub(in crate::proxy) struct SseClients(Mutex<State>);

#[derive(Default)]
struct State {
    clients: HashMap<SessionId, Arc<StreamClient>>,
    /// Sessions by the path and query that their clients post to.
    addresses: HashMap<String, SessionId>,
    /// Paths of addresses that were given out, up to [`MOST_PATHS`].
    paths: HashSet<String>,
}

impl SseClients {
    pub(in crate::proxy) fn find(&self, uri: &Uri) -> Option<Arc<StreamClient>> {
        let address = uri.path_and_query().map_or(uri.path(), http::uri::PathAndQuery::as_str);
        let state = self.0.lock();
        state.clients.get(state.addresses.get(address)?).cloned()
    }

    /// Whether addresses at this path were given out.
    pub(in crate::proxy) fn is_for_messages(&self, path: &str) -> bool {
        self.0.lock().paths.contains(path)
    }

    /// Assigns a client an address of ours to post to, and returns it.
    fn assign_own(&self, session: SessionId, prefix: &str) -> String {
        // A client that knows it can post: it must not be guessable.
        let address = format!("{prefix}{MESSAGES}?sessionId={}", uuid::Uuid::new_v4().simple());
        self.0.lock().addresses.insert(address.clone(), session);
        address
    }

    /// Assigns a client an address to post to, and returns it: the server's own where that can be.
    fn assign(&self, session: SessionId, url: &Url, site: &Site, prefix: &str) -> String {
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
        self.assign_own(session, prefix)
    }

    fn remove(&self, session: SessionId) {
        let mut state = self.0.lock();
        state.addresses.retain(|_, owner| *owner != session);
        state.clients.remove(&session);
    }
}

impl HttpFront {
    /// Opens a session; its stream is the response. `tail`: what stands after the path.
    pub(in crate::proxy) async fn open_stream(
        &self,
        entry: MatchedMount<'_>,
        tail: &str,
        request: ClientRequest<'_>,
    ) -> Result<Response<Body>, ProxyError> {
        let ClientRequest { caller, parts: Parts { mut headers, .. }, .. } = request;
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
        let (items, stream) = backlog();
        if !is_theirs {
            let address = self.sse_clients.assign_own(connection.session.id(), entry.prefix);
            let event = format!("event: endpoint\ndata: {address}\n\n");
            // The other end is below.
            let _ = items.send(Ok(Item::Filler(Bytes::from(event))));
        }
        let pipe =
            ClientStream { items, carrier: Via::Sse, stderr: None, announce: self.announcer(entry, &connection) };
        let here = self.welcome(table, (connection.clone(), startup), pipe, headers).drop_guard();
        let mut reply = match &connection.link {
            ServerLink::Stream(server) => match server.answered().await {
                Some(Ok(answer)) => answer.into_reply(),
                Some(Err(error)) => return Ok(self.failed(&connection, &error.into(), None)),
                None => our_stream(),
            },
            ServerLink::Exchanges(_) | ServerLink::Shared(_) => our_stream(),
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

    /// Lets a client post. Returns the token that ends its session.
    fn welcome(
        &self,
        table: &Arc<SessionTable>,
        (connection, startup): (Arc<Connection>, Startup),
        pipe: ClientStream,
        headers: HeaderMap,
    ) -> CancellationToken {
        let client = Arc::new(StreamClient::attach(&connection, pipe, headers));
        self.sse_clients.0.lock().clients.insert(connection.session.id(), client.clone());
        let hung_up = CancellationToken::new();
        let attending = attend(table.clone(), self.sse_clients.clone(), client, hung_up.clone());
        self.mounts.proxy().stop().leaving.spawn(attending);
        // Only now: the first thing that a server says is meant for a client that is there.
        startup.run();
        hung_up
    }

    fn announcer(&self, entry: MatchedMount<'_>, connection: &Arc<Connection>) -> Option<Announce> {
        let Target::Events(upstream) = entry.mount.table().target() else { return None };
        let (clients, upstream, proxy) = (self.sse_clients.clone(), upstream.clone(), self.mounts.proxy().clone());
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
            clients.assign(session, url, site, &prefix)
        }))
    }

    /// A server of this transport decides for itself what it refuses; one of HTTP, what a message is.
    fn check_post(&self, client: &StreamClient, headers: &HeaderMap, message: &Message) -> Result<(), RuleBreak> {
        let request = ArrivedRequest { method: &Method::POST, headers, message: Some(message) };
        match client.carrier() {
            Some(Via::Sse) => Ok(()),
            Some(_) if self.admission.lenient => Ok(()),
            Some(_) => request.check_sse_post(true),
            None => request.check_sse_post(false),
        }
    }

    /// Takes what a client posts. The server's word on it is the answer, where it says one.
    pub(in crate::proxy) async fn post_message(
        &self,
        client: &StreamClient,
        request: ClientRequest<'_>,
    ) -> Result<Response<Body>, ProxyError> {
        let ClientRequest { caller, parts: Parts { mut headers, .. }, body, id } = request;
        let (_call, received) = (self.call(), Instant::now());
        let message = self.read_message(body).await?;
        *id = message.id().filter(|_| message.kind() == Kind::Request).cloned();
        let connection = client.connection();
        if caller.name().is_some_and(|name| !connection.session.belongs_to(name)) {
            return Err(ProxyError::UnknownEndpoint);
        }
        self.admission.authorize(&caller, &headers, Some(&connection.session), &message)?;
        headers::towards_upstream(&mut headers);
        if let Err(rule) = self.check_post(client, &headers, &message) {
            return Ok(refused(refuse_in(connection, &headers, &message, received, rule)));
        }
        match client.post(message, headers).await {
            Ok(Some(mut reply)) => {
                headers::strip_hop_by_hop(&mut reply.headers);
                Ok(response(reply, self.mounts.proxy().stop().force.clone(), None, None))
            }
            Ok(None) => Ok(accepted()),
            Err(error @ ProxyError::Upstream(_)) => Ok(self.failed(connection, &error, id.as_ref())),
            Err(error) => Err(error),
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
async fn attend(
    table: Arc<SessionTable>,
    clients: Arc<SseClients>,
    client: Arc<StreamClient>,
    hung_up: CancellationToken,
) {
    let session = &client.connection().session;
    let reason = tokio::select! {
        () = hung_up.cancelled() => "the client hung up",
        () = session.closed().cancelled() => "tapline ended",
    };
    clients.remove(session.id());
    table.close(session.id(), reason).await;
    client.disconnect().await;
}

/// What the transport's servers answer to a GET.
fn our_stream() -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    Reply { status: StatusCode::OK, headers, body: ReplyBody::Empty }
}

/// What the SDK's servers answer to a POST.
fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::from("Accepted"));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    accepted.peek().is_none() || accepted.any(|value| value.contains("text/event-stream") || value.contains("*/*"))
}
