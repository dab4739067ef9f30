//! A client with one stream for everything in front of a server that answers HTTP exchanges.
//!
//! Does what a Streamable HTTP client does, in place of one that cannot: posts each message, with the headers that repeat what it
//! says; opens the listening stream; resumes broken streams; ends the session. What comes back, on whatever stream, goes down the
//! one stream, in the frame that the server put around it: a client that speaks SSE gets its ids and comments, too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::ExponentialBackoff;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use crate::envelope::{Direction, Transport};
use crate::event::Level;
use crate::headers::{self, LAST_EVENT_ID, SESSION};
use crate::mcp::meta;
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::net::backoff::doubling;
use crate::proxy::error::{ErrorReply, ProxyError, server_refused};
use crate::proxy::exchange::connection::Connection;
use crate::proxy::exchange::request::{ClientExchange, Initiator};
use crate::proxy::stream::Items;
use crate::sse::{self, Splitter};
use crate::upstream::framing::one_line;
use crate::upstream::streamable::{StreamPosition, StreamableSession};
use crate::upstream::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, UpstreamError};

/// Pause before a broken stream is resumed, where the server names none; it doubles up to [`LONGEST`].
const RETRY: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// How long the server may take to end the session.
const GOODBYE: Duration = Duration::from_secs(1);
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One client's bridge.
pub(in crate::proxy) struct Bridge {
    connection: Arc<Connection>,
    items: Items,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the client's latest message came with, where it came over HTTP: credentials, above all.
    client: HeaderMap,
    /// What the server gave at `initialize`, to be put on everything after it.
    session: StreamableSession,
    /// Requests that are not answered yet.
    in_flight: HashMap<Id, PostedRequest>,
    tasks: JoinSet<()>,
}

/// A request on its way to the server.
struct PostedRequest {
    task: AbortHandle,
    /// Whether its revision cancels a request by hanging up (2026-07-28).
    modern: bool,
}

impl Bridge {
    pub(in crate::proxy) fn new(connection: Arc<Connection>, items: Items, headers: HeaderMap) -> Arc<Self> {
        Arc::new(Self { connection, items, state: Mutex::new(State { client: headers, ..State::default() }) })
    }

    /// Takes one message of the client. Returns when the next may go: a notification is not overtaken by what follows
    /// it, unless it is held.
    pub(in crate::proxy) async fn submit(self: &Arc<Self>, message: Message, headers: Option<HeaderMap>) {
        if let Some(headers) = headers {
            self.state.lock().client = headers;
        }
        let headers = self.headers(&message);
        let outgoing = Outgoing { method: Method::POST, headers, message: Some(message.clone()), tail: String::new() };
        let cancelled = meta::cancelled_id(&message).filter(|id| self.is_modern(id));
        let exchange = ClientExchange::admit(&self.connection, Instant::now(), outgoing, Initiator::Client);
        if let Some(id) = cancelled {
            return self.cancel(exchange, &id).await;
        }
        if !message.asks() && !exchange.is_held() {
            return self.carry_out(exchange, &message).await;
        }
        let (bridge, id, modern) = (self.clone(), message.id().cloned(), meta::protocol_version(&message).is_some());
        let mut state = self.state.lock();
        while state.tasks.try_join_next().is_some() {}
        let task = state.tasks.spawn(async move { bridge.carry_out(exchange, &message).await });
        state.in_flight.extend(id.map(|id| (id, PostedRequest { task, modern })));
    }

    /// Hangs up on everything, and ends the session.
    pub(in crate::proxy) async fn disconnect(&self) {
        let mut tasks = std::mem::take(&mut self.state.lock().tasks);
        tasks.shutdown().await;
        let headers = self.bare();
        if headers.contains_key(SESSION) {
            let goodbye = Outgoing { method: Method::DELETE, ..listening(headers) };
            // A server that does not offer it answers 405; one that does not answer is left.
            let _ = tokio::time::timeout(GOODBYE, self.connection.exchange(goodbye)).await;
        }
    }

    fn is_modern(&self, id: &Id) -> bool {
        self.state.lock().in_flight.get(id).is_some_and(|request| request.modern)
    }

    /// Cancels a request by hanging up (revision 2026-07-28, cancellation): over HTTP nothing is posted.
    async fn cancel(&self, exchange: ClientExchange, id: &Id) {
        if exchange.withdraw().await
            && let Some(request) = self.state.lock().in_flight.remove(id)
        {
            request.task.abort();
        }
    }

    /// One exchange, from its POST to the last message of its answer.
    async fn carry_out(self: &Arc<Self>, exchange: ClientExchange, message: &Message) {
        match exchange.proceed().await {
            Ok(reply) => self.forward_reply(reply, message).await,
            Err(error) => self.fail(message, error),
        }
        if let Some(id) = message.id() {
            self.state.lock().in_flight.remove(id);
        }
    }

    /// Forwards everything of a reply to the client, the rest of a broken stream included.
    async fn forward_reply(self: &Arc<Self>, reply: Reply, message: &Message) {
        if message.method() == Some(method::INITIALIZE) {
            self.state.lock().session.note_headers(&reply.headers);
        }
        let (status, awaits_reply) = (reply.status, message.asks());
        let headers = HeaderMap::new();
        match reply.body {
            ReplyBody::Whole(body) if status.is_success() => self.deliver(line(body), message),
            ReplyBody::Stream(items) if status.is_success() => {
                let mut progress = StreamProgress::default();
                self.drain(items, message, &mut progress).await;
                self.resume(message, progress).await;
            }
            ReplyBody::Empty if status.is_success() && !awaits_reply => {}
            body => self.refuse(&Reply { status, headers, body }, message),
        }
        if message.method() == Some(method::INITIALIZED) && status.is_success() {
            let bridge = self.clone();
            self.state.lock().tasks.spawn(async move { bridge.listen().await });
        }
    }

    /// Forwards a message to the client, and learns from it.
    fn deliver(&self, incoming: Incoming, request: &Message) {
        if request.method() == Some(method::INITIALIZE) && incoming.message.kind() == Kind::Result {
            self.state.lock().session.note_result(&incoming.message);
        }
        // Who has hung up hears no more.
        let _ = self.items.send(Ok(Item::Message(incoming)));
    }

    /// Forwards everything of a stream to the client, until it ends or breaks.
    async fn drain(
        &self,
        mut items: futures_util::stream::BoxStream<'static, Result<Item, UpstreamError>>,
        request: &Message,
        progress: &mut StreamProgress,
    ) {
        while let Some(Ok(item)) = items.next().await {
            match item {
                // A priming event has an id and no message (2025-11-25, transports).
                Item::Filler(bytes) => {
                    Splitter::default().push(bytes).into_iter().for_each(|frame| progress.position.note(&frame.fields));
                }
                Item::Message(incoming) => {
                    if let Framing::Sse { fields: Some(fields), .. } = &incoming.framing {
                        progress.position.note(fields);
                    }
                    progress.replied |= incoming.message.answers() && incoming.message.id() == request.id();
                    progress.some = true;
                    self.deliver(without_byte_order_mark(incoming), request);
                }
            }
        }
    }

    /// Asks for the rest of a stream that ended before the reply (2025-11-25, transports: resumability).
    async fn resume(&self, request: &Message, mut progress: StreamProgress) {
        while !progress.replied {
            let Some(after) = progress.position.header() else {
                let why = "the answer ended without a reply".to_owned();
                return self.fail(request, UpstreamError::BrokenOff { upstream: self.label(), why });
            };
            tokio::time::sleep(progress.pause()).await;
            let mut headers = self.bare();
            headers.insert(LAST_EVENT_ID, after);
            progress.some = false;
            match self.connection.exchange(listening(headers)).await {
                Ok(Reply { status, body: ReplyBody::Stream(items), .. }) if status.is_success() => {
                    self.drain(items, request, &mut progress).await;
                }
                Ok(reply) => return self.refuse(&reply, request),
                Err(error) => return self.fail(request, error),
            }
        }
    }

    /// The stream for what the server says of its own accord; a server need not offer one.
    async fn listen(&self) {
        let nothing = Message::new("");
        let mut progress = StreamProgress::default();
        loop {
            let mut headers = self.bare();
            headers.extend(progress.position.header().map(|after| (LAST_EVENT_ID, after)));
            progress.some = false;
            match self.connection.exchange(listening(headers)).await {
                Ok(Reply { status, body: ReplyBody::Stream(items), .. }) if status.is_success() => {
                    self.drain(items, &nothing, &mut progress).await;
                }
                // Not offered, or the session is over.
                Ok(_) => return,
                Err(error) => self.connection.log(Level::Warn, format!("no listening stream: {error}")),
            }
            if self.connection.session.closed().is_cancelled() {
                return;
            }
            tokio::time::sleep(progress.pause()).await;
        }
    }

    /// Tells the client an HTTP error as the JSON-RPC error of its request: a stream has no place for a status.
    fn refuse(&self, reply: &Reply, request: &Message) {
        match &reply.body {
            ReplyBody::Whole(error) if error.kind() == Kind::Error && error.id() == request.id() && request.asks() => {
                self.deliver(line(error.clone()), request);
            }
            _ => self.answer(request, server_refused(&self.label(), reply, request.id())),
        }
    }

    fn fail(&self, request: &Message, error: UpstreamError) {
        self.answer(request, ProxyError::Upstream(error).reply_to(request.id()));
    }

    /// Sends the client an error of tapline's where its message was a request; it is recorded either way.
    fn answer(&self, request: &Message, answer: ErrorReply) {
        let Connection { proxy, session, .. } = &*self.connection;
        proxy.record_error(&answer, Some(session.id()));
        if request.asks() {
            let transport = Transport::new(session.via());
            let message = proxy.originate(session, Direction::ToClient, transport, answer.message);
            // Who has hung up hears no more.
            let _ = self.items.send(Ok(Item::line(message)));
        }
    }

    fn headers(&self, message: &Message) -> HeaderMap {
        let mut headers = self.state.lock().client.clone();
        headers::without_message(&mut headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        self.connection.mirror(message, &mut headers);
        if meta::protocol_version(message).is_none() {
            self.state.lock().session.add_to(&mut headers);
        }
        headers
    }

    fn bare(&self) -> HeaderMap {
        let mut headers = self.state.lock().client.clone();
        headers::without_message(&mut headers);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.state.lock().session.add_to(&mut headers);
        headers
    }

    fn label(&self) -> String {
        crate::upstream::Upstream::label(&self.connection).to_owned()
    }
}

/// A message that came without a frame, as a line.
fn line(message: Message) -> Incoming {
    let framing = Framing::Line { line: one_line(&message) };
    Incoming { message, framing }
}

/// Leaves out a byte order mark, which is one only at the beginning of a stream: the client's has begun.
fn without_byte_order_mark(incoming: Incoming) -> Incoming {
    let Incoming { message, framing } = incoming;
    let framing = match framing {
        Framing::Sse { frame, fields } if frame.starts_with(BYTE_ORDER_MARK) => {
            Framing::Sse { frame: sse::replace_data(&frame, message.raw()), fields }
        }
        framing => framing,
    };
    Incoming { message, framing }
}

/// An exchange without a message.
fn listening(headers: HeaderMap) -> Outgoing {
    Outgoing { method: Method::GET, headers, message: None, tail: String::new() }
}

/// How far a stream has come that may have to be resumed.
#[derive(Default)]
struct StreamProgress {
    replied: bool,
    /// Whether anything came since it was opened or resumed last.
    some: bool,
    position: StreamPosition,
    /// Pauses to come, where nothing has come since.
    pauses: Option<ExponentialBackoff>,
}

impl StreamProgress {
    fn pause(&mut self) -> Duration {
        if self.some {
            self.pauses = None;
        }
        let pause = self.pauses.get_or_insert_with(|| doubling(RETRY, LONGEST)).next().unwrap_or(LONGEST);
        self.position.retry.unwrap_or(pause)
    }
}
