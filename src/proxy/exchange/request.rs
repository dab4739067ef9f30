//! One HTTP exchange of a client: its message through the spine and to the server, and the beginning of the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use std::future::ready;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::once;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use tracing::{Instrument as _, Span};

use crate::envelope::{Author, Direction, Seq};
use crate::event::{Landmark, Level, LogLine};
use crate::intercept::{BreakOff, HttpAnswer};
use crate::mcp::era::is_modern_revision;
use crate::mcp::semantics;
use crate::message::{Id, Kind, Message};
use crate::proxy::arrival::{Arrival, Audience};
use crate::proxy::error::ProxyError;
use crate::proxy::exchange::connection::{Connection, ServerLink, Submission};
use crate::proxy::exchange::response::{ResponseContext, ResponseStream};
use crate::proxy::session::OpenResponse;
use crate::proxy::spine::{Disposition, Proxy};
use crate::secret::Label;
use crate::upstream::retry::{Attempt, may_resend};
use crate::upstream::{Item, Outgoing, Reply, ReplyBody, Upstream, UpstreamError};

/// Who began an exchange.
#[derive(Clone, Copy)]
pub(in crate::proxy) enum Initiator {
    /// The client.
    Client,
    /// A player or a shadow in its place, where the session has one.
    Player,
    /// The operator: the answer is shown and goes no further.
    Operator,
    /// Tapline in the client's place: the answer is shown, and is for tapline.
    Tapline,
    /// Tapline says again what the client said, whose the answer is.
    Again,
}

/// An exchange whose message is past the spine, or held at its gate, and was not sent on yet.
pub(in crate::proxy) struct ClientExchange {
    connection: Arc<Connection>,
    /// What is sent to the server, but for the message, which is in `submission` until it has passed the spine.
    outgoing: Outgoing,
    submission: Option<Submission>,
    span: Span,
    request: RequestContext,
}

/// What the answer to a request needs to know of it.
struct RequestContext {
    headers: Arc<HeaderMap>,
    audience: Audience,
    awaits_reply: bool,
    sent: Option<SentMessage>,
    guard: Option<ReplyGuard>,
}

/// A message that may be sent on.
#[derive(Clone, Copy)]
struct SentMessage {
    seq: Seq,
    edited: bool,
}

impl ClientExchange {
    /// Takes what a client sends into the spine. `received`: when tapline had it.
    pub(in crate::proxy) fn admit(
        connection: &Arc<Connection>,
        received: Instant,
        mut outgoing: Outgoing,
        initiator: Initiator,
    ) -> Self {
        let headers = match &outgoing.message {
            Some(_) => {
                connection.remember_tail(&outgoing.tail);
                connection.remember_headers(&outgoing.headers)
            }
            None => Arc::new(outgoing.headers.clone()),
        };
        let (injected, audience) = match initiator {
            Initiator::Client => (None, Audience::Client),
            Initiator::Player => (connection.author().cloned(), Audience::Client),
            Initiator::Operator => (Some(Author::Operator), Audience::OperatorOnly),
            Initiator::Tapline => (Some(Author::Tapline), Audience::Tapline),
            Initiator::Again => (Some(Author::Tapline), Audience::Client),
        };
        let message = outgoing.message.take();
        let awaits_reply = message.as_ref().is_some_and(Message::asks);
        let submission = message.map(|message| {
            let arrival = Arrival::new(Direction::ToServer, connection.transport(&headers), message);
            connection.submit(Arrival { injected, received: Some(received), ..arrival })
        });
        let span = submission.as_ref().map_or_else(|| connection.span(None), |submission| submission.span().clone());
        let request = RequestContext { headers, audience, awaits_reply, sent: None, guard: None };
        Self { connection: connection.clone(), outgoing, submission, span, request }
    }

    /// Whether its message waits for the operator's decision.
    pub(in crate::proxy) fn is_held(&self) -> bool {
        self.submission.as_ref().is_some_and(Submission::is_held)
    }

    /// Waits for the operator where its message is held, sends it on, and takes the answer back.
    ///
    /// # Errors
    /// Where the server does not answer.
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

    /// Waits for the operator where its message is held, and sends nothing on. Returns whether it was to be sent.
    pub(in crate::proxy) async fn withdraw(self) -> bool {
        match self.submission {
            Some(submission) => matches!(submission.disposition().await, Disposition::Send { .. }),
            None => false,
        }
    }

    async fn carry_out(self) -> Result<Reply, UpstreamError> {
        let Self { connection, mut outgoing, submission, mut request, .. } = self;
        let mut broken = None;
        if let Some(submission) = submission {
            match submission.disposition().await {
                Disposition::Send { seq, message, edited, breaks, .. } => {
                    broken = breaks;
                    request.sent = Some(SentMessage { seq, edited });
                    request.guard = ReplyGuard::new(&connection, &message, seq);
                    if edited {
                        connection.refresh(&mut outgoing.headers, &message);
                    }
                    outgoing.message = Some(message);
                }
                Disposition::Answer(answer) => return Ok(Reply::whole(answer)),
                Disposition::Status(answer) => return Ok(ruled(*answer)),
                Disposition::Disconnect => return Ok(broken_off()),
                Disposition::Discard if request.awaits_reply => return Ok(silence(&connection.proxy).await),
                Disposition::Discard => return Ok(Reply::accepted()),
            }
        }
        let reply = exchange(&connection, outgoing, request).await?;
        Ok(match broken {
            Some(when) => break_off(reply, when),
            None => reply,
        })
    }
}

/// Sends a message on, and takes the answer back.
async fn exchange(
    connection: &Arc<Connection>,
    outgoing: Outgoing,
    request: RequestContext,
) -> Result<Reply, UpstreamError> {
    let listens = outgoing.method == Method::GET || outgoing.message.as_ref().is_some_and(semantics::is_subscription);
    let reply = match &connection.link {
        ServerLink::Stream(server) => {
            let reply = Box::pin(server.exchange(&connection.session, outgoing, request.audience)).await?;
            in_use_by(connection, request.may_end_elsewhere(reply))
        }
        ServerLink::Shared(shared) => {
            let reply = Box::pin(shared.exchange(&connection.session, outgoing, request.audience)).await?;
            in_use_by(connection, request.may_end_elsewhere(reply))
        }
        ServerLink::Exchanges(upstream) => match request.deliver(connection, upstream, outgoing).await {
            Ok(reply) => request.take_back(connection, reply).await,
            Err(error) => {
                request.guard.into_iter().for_each(|mut guard| guard.is_over());
                return Err(error);
            }
        },
    };
    Ok(if listens { while_open(connection, reply) } else { reply })
}

impl RequestContext {
    /// Sends on an exchange; its message again, the same bytes, where the server did not answer and that can do no harm. To open
    /// a listening stream again, and to end a session, is the client's own affair.
    async fn deliver(
        &self,
        connection: &Connection,
        upstream: &Arc<dyn Upstream>,
        outgoing: Outgoing,
    ) -> Result<Reply, UpstreamError> {
        let retry = connection.proxy.retry();
        let (Some(SentMessage { seq, edited }), Some(message)) =
            (self.sent.filter(|_| retry.is_on()), &outgoing.message)
        else {
            return connection.send_on(upstream, outgoing).await;
        };
        let (message, method, tail) = (message.raw().clone(), outgoing.method.clone(), outgoing.tail.clone());
        let began = tokio::time::Instant::now();
        let error = match connection.send_on(upstream, outgoing).await {
            Err(error) => error,
            answered => return answered,
        };
        let message = Message::new(message);
        let resend = |attempt: Attempt<'_>| {
            connection.proxy.metrics().retried();
            let line = LogLine::new(Level::Warn, "proxy", attempt.to_string()).of(connection.session.id()).about(seq);
            connection.proxy.log(line.as_landmark(Landmark::Attempt));
            let mut headers = HeaderMap::clone(&self.headers);
            if edited {
                connection.refresh(&mut headers, &message);
            }
            let (method, tail) = (method.clone(), tail.clone());
            connection.send_on(upstream, Outgoing { method, headers, message: Some(message.clone()), tail })
        };
        let closed = connection.session.closed();
        Box::pin(retry.again(error, began, closed, |error| may_resend(&message, error), resend)).await
    }

    /// Takes the answer of a server through the spine.
    async fn take_back(mut self, connection: &Arc<Connection>, mut reply: Reply) -> Reply {
        crate::headers::strip_hop_by_hop(&mut reply.headers);
        if let Some(guard) = &mut self.guard {
            guard.failed = !reply.status.is_success();
        }
        let context = ResponseContext {
            status: reply.status,
            headers: connection.recorded_reply_headers(&reply.headers),
            audience: self.audience,
            request: self.sent.map(|sent| sent.seq),
        };
        reply.body = match reply.body {
            ReplyBody::Empty => ReplyBody::Empty,
            ReplyBody::Whole(message) => match context.pass(connection, message, None).disposition().await {
                Disposition::Send { message, .. } => {
                    connection.learn_params(&message);
                    ReplyBody::Whole(message)
                }
                Disposition::Discard if self.awaits_reply => return silence(&connection.proxy).await,
                _ => ReplyBody::Empty,
            },
            ReplyBody::Stream(items) => {
                let request_headers = self.headers;
                let stream = ResponseStream::new(connection.clone(), items, context, request_headers, self.guard);
                ReplyBody::Stream(stream.boxed())
            }
        };
        reply
    }

    /// A reply that has not come yet may come elsewhere, of a server with one stream: the client may come back for it, or cancel it.
    fn may_end_elsewhere(self, reply: Reply) -> Reply {
        if let (ReplyBody::Stream(_), Some(guard)) = (&reply.body, self.guard) {
            guard.disarm();
        }
        reply
    }
}

/// Waits for the reply to a request. Dropped before the reply came, it marks the request as abandoned by its client.
pub(super) struct ReplyGuard {
    connection: Arc<Connection>,
    request: Option<(Id, Seq)>,
    /// A status said that there would be no reply.
    failed: bool,
    /// The answer has ended: it is not the client who gives up.
    over: bool,
}

impl ReplyGuard {
    /// `None` for a message that is no request.
    fn new(connection: &Arc<Connection>, message: &Message, seq: Seq) -> Option<Self> {
        let id = message.id().filter(|_| message.kind() == Kind::Request)?;
        let request = Some((id.clone(), seq));
        Some(Self { connection: connection.clone(), request, failed: false, over: false })
    }

    /// Notes that the answer has begun, as a stream; returns what is to be told of all that comes on it.
    pub(super) fn has_begun(&self, status: u16) -> Option<Arc<OpenResponse>> {
        let (id, seq) = self.request.as_ref()?;
        let session = &self.connection.session;
        let response = OpenResponse::new(status, session.elapsed());
        session.note_response(id, *seq, response.clone());
        Some(response)
    }

    /// The server says nothing more.
    pub(super) fn is_over(&mut self) {
        self.over = true;
    }

    fn disarm(mut self) {
        self.request = None;
    }
}

impl ReplyGuard {
    /// Only where it means something (2026-07-28, cancellation): before, a client may hang up and come back for the reply.
    fn log_hang_up(&self, seq: Seq) {
        let session = &self.connection.session;
        if session.protocol().is_some_and(|revision| is_modern_revision(&revision)) {
            let line = LogLine::new(Level::Debug, "proxy", format!("the client hung up on {seq}")).of(session.id());
            self.connection.proxy.log(line.about(seq).as_landmark(Landmark::HangUp));
        }
    }
}

impl Drop for ReplyGuard {
    fn drop(&mut self) {
        if let Some((id, seq)) = &self.request {
            let session = &self.connection.session;
            if self.failed {
                session.fail_request(id, *seq);
            } else if session.abandon_request(Direction::ToServer, id, Some(*seq)) && !self.over {
                self.log_hang_up(*seq);
            }
        }
    }
}

/// The response that a rule has made up.
fn ruled(answer: HttpAnswer) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let body = if answer.body.is_empty() { ReplyBody::Empty } else { ReplyBody::Whole(Message::new(answer.body)) };
    Reply { status, headers: answer.headers.into_iter().collect(), body }
}

/// A response that ends before it is whole.
fn broken_off() -> Reply {
    let why = "a rule says so".to_owned();
    let error = UpstreamError::BrokenOff { upstream: Label::of_text("tapline"), why };
    Reply::event_stream(once(ready(Err(error))).boxed())
}

/// What was written is on its way to the client by then.
const LEAVES_IN: Duration = Duration::from_millis(20);

/// A response that breaks off in the middle of the server's message, or when that has come.
fn break_off(mut reply: Reply, when: BreakOff) -> Reply {
    let half = move |bytes: &[u8]| match when {
        BreakOff::Within => Bytes::copy_from_slice(&bytes[..bytes.len() / 2]),
        _ => Bytes::new(),
    };
    reply.headers.remove(CONTENT_LENGTH);
    let first = match reply.body {
        ReplyBody::Empty => once(ready(Ok(Item::Filler(Bytes::new())))).boxed(),
        ReplyBody::Whole(message) => once(ready(Ok(Item::Filler(half(message.raw()))))).boxed(),
        // What came before the message is there.
        ReplyBody::Stream(items) => items
            .scan(false, move |is_over, item| {
                let item = match item {
                    _ if *is_over => None,
                    Ok(Item::Message(incoming)) => {
                        *is_over = true;
                        let frame = [b"event: message\ndata: ".as_slice(), incoming.message.raw().as_ref()].concat();
                        Some(Ok(Item::Filler(half(&frame))))
                    }
                    other => Some(other),
                };
                ready(item)
            })
            .boxed(),
    };
    reply.body = ReplyBody::Stream(first.chain(once(late_end())).boxed());
    reply
}

/// The end of a body that a rule breaks off. What came before leaves first: a body that fails at once takes along what the connection
/// has not sent yet.
async fn late_end() -> Result<Item, UpstreamError> {
    tokio::time::sleep(LEAVES_IN).await;
    Err(UpstreamError::BrokenOff { upstream: Label::of_text("tapline"), why: "a rule says so".to_owned() })
}

/// What the client of a dropped message gets: nothing until tapline ends, as if the server had said nothing.
async fn silence(proxy: &Proxy) -> Reply {
    proxy.stop().listening.cancelled().await;
    // tapline ends, and with it the wait for what will not come.
    ProxyError::Ended.reply_to(None).into_reply()
}

/// Ends a listening stream, which does not end by itself, with its session.
fn while_open(connection: &Connection, mut reply: Reply) -> Reply {
    if let ReplyBody::Stream(items) = reply.body {
        let closed = connection.session.closed().clone().cancelled_owned();
        reply.body = ReplyBody::Stream(items.take_until(closed).boxed());
    }
    reply
}

/// Keeps the session in use for as long as a stream is open: it is an exchange that goes on.
fn in_use_by(connection: &Arc<Connection>, mut reply: Reply) -> Reply {
    if let ReplyBody::Stream(items) = reply.body {
        let connection = connection.clone();
        let held = move |item| {
            let _in_use = &connection;
            item
        };
        reply.body = ReplyBody::Stream(items.map(held).boxed());
    }
    reply
}
