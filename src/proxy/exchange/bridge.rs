//! A client with one stream for everything in front of a server that answers HTTP exchanges.
//!
//! Does what a Streamable HTTP client does, in place of one that cannot: posts each line, with the headers that say what
//! the line says; opens the listening stream; takes broken streams up again; ends the session. What comes back, on
//! whatever stream, goes down the one stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::ExponentialBackoff;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use crate::envelope::{Direction, SseFields, Transport};
use crate::event::Level;
use crate::headers::{self, LAST_EVENT_ID, SESSION, VERSION};
use crate::mcp::meta;
use crate::message::{Id, Kind, Message};
use crate::net::backoff::doubling;
use crate::proxy::error::{ErrorReply, ProxyError, server_refused};
use crate::proxy::exchange::{Admitted, Connection};
use crate::proxy::stream::Items;
use crate::sse::Splitter;
use crate::upstream::{Framing, Item, Outgoing, Reply, ReplyBody, UpstreamError};

/// Pause before a broken stream is taken up again, where the server names none; it doubles up to [`LONGEST`].
const RETRY: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// How long the server may take to end the session.
const GOODBYE: Duration = Duration::from_secs(1);

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
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// Requests on their way.
    in_flight: HashMap<Id, InFlight>,
    tasks: JoinSet<()>,
}

struct InFlight {
    task: AbortHandle,
    /// Of a revision in which hanging up is how a request is cancelled.
    modern: bool,
}

impl Bridge {
    pub(in crate::proxy) fn new(connection: Arc<Connection>, items: Items, headers: HeaderMap) -> Arc<Self> {
        Arc::new(Self { connection, items, state: Mutex::new(State { client: headers, ..State::default() }) })
    }

    /// Takes one message of the client. Returns when the next may go: a notification is not overtaken by what follows
    /// it, unless it is held.
    pub(in crate::proxy) async fn take(self: &Arc<Self>, message: Message, headers: Option<HeaderMap>) {
        if let Some(headers) = headers {
            self.state.lock().client = headers;
        }
        let headers = self.headers(&message);
        let outgoing = Outgoing { method: Method::POST, headers, message: Some(message.clone()), tail: String::new() };
        let cancelled = meta::cancelled_id(&message).filter(|id| self.is_modern(id));
        let admitted = self.connection.admit(Instant::now(), outgoing, self.connection.sender());
        if let Some(id) = cancelled {
            return self.cancel(admitted, &id).await;
        }
        if !message.asks() && !admitted.is_held() {
            return self.carry(admitted, &message).await;
        }
        let (bridge, id, modern) = (self.clone(), message.id().cloned(), meta::protocol_version(&message).is_some());
        let mut state = self.state.lock();
        while state.tasks.try_join_next().is_some() {}
        let task = state.tasks.spawn(async move { bridge.carry(admitted, &message).await });
        state.in_flight.extend(id.map(|id| (id, InFlight { task, modern })));
    }

    /// Hangs up on everything, and ends the session.
    pub(in crate::proxy) async fn leave(&self) {
        let mut tasks = std::mem::take(&mut self.state.lock().tasks);
        tasks.shutdown().await;
        let headers = self.bare();
        if headers.contains_key(SESSION) {
            let goodbye = Outgoing { method: Method::DELETE, ..listening(headers) };
            // A server that does not offer it answers 405; one that does not answer is left.
            drop(tokio::time::timeout(GOODBYE, self.connection.exchange(goodbye)).await);
        }
    }

    fn is_modern(&self, id: &Id) -> bool {
        self.state.lock().in_flight.get(id).is_some_and(|request| request.modern)
    }

    /// Revision 2026-07-28, cancellation: over HTTP it is the end of the response stream, and nothing is posted.
    async fn cancel(&self, admitted: Admitted, id: &Id) {
        if admitted.settle().await
            && let Some(request) = self.state.lock().in_flight.remove(id)
        {
            request.task.abort();
        }
    }

    /// One exchange, from its POST to the last message of its answer.
    async fn carry(self: &Arc<Self>, admitted: Admitted, message: &Message) {
        match admitted.proceed().await {
            Ok(reply) => self.bring(reply, message).await,
            Err(error) => self.fail(message, error),
        }
        if let Some(id) = message.id() {
            self.state.lock().in_flight.remove(id);
        }
    }

    async fn bring(self: &Arc<Self>, reply: Reply, message: &Message) {
        if message.method() == Some("initialize")
            && let Some(session) = reply.headers.get(SESSION)
        {
            self.state.lock().session = Some(session.clone());
        }
        let (status, asked) = (reply.status, message.asks());
        let headers = HeaderMap::new();
        match reply.body {
            ReplyBody::Whole(body) if status.is_success() => self.deliver(body, message),
            ReplyBody::Stream(items) if status.is_success() => {
                let mut taken = Taken::default();
                self.drain(items, message, &mut taken).await;
                self.take_up(message, taken).await;
            }
            ReplyBody::Empty if status.is_success() && !asked => {}
            body => self.refused(&Reply { status, headers, body }, message),
        }
        if message.method() == Some("notifications/initialized") && status.is_success() {
            let bridge = self.clone();
            self.state.lock().tasks.spawn(async move { bridge.listen().await });
        }
    }

    /// Gives a message to the client, and learns from it.
    fn deliver(&self, body: Message, request: &Message) {
        if request.method() == Some("initialize") && body.kind() == Kind::Result {
            self.state.lock().version =
                meta::agreed_version(&body).and_then(|version| HeaderValue::from_str(&version).ok());
        }
        drop(self.items.send(Ok(Item::line(body))));
    }

    /// Everything of a stream, until it ends or breaks.
    async fn drain(
        &self,
        mut items: futures_util::stream::BoxStream<'static, Result<Item, UpstreamError>>,
        request: &Message,
        taken: &mut Taken,
    ) {
        while let Some(Ok(item)) = items.next().await {
            match item {
                // A priming event has an id and no message (2025-11-25, transports).
                Item::Filler(bytes) => {
                    Splitter::default().push(bytes).into_iter().for_each(|frame| taken.note(&frame.fields));
                }
                Item::Message(incoming) => {
                    if let Framing::Sse { fields: Some(fields), .. } = &incoming.framing {
                        taken.note(fields);
                    }
                    taken.replied |= incoming.message.answers() && incoming.message.id() == request.id();
                    taken.some = true;
                    self.deliver(incoming.message, request);
                }
            }
        }
    }

    /// Asks for the rest of a stream that ended before the reply (2025-11-25, transports: resumability).
    async fn take_up(&self, request: &Message, mut taken: Taken) {
        while !taken.replied {
            let Some(after) = taken.cursor.clone() else {
                let why = "the answer ended without a reply".to_owned();
                return self.fail(request, UpstreamError::BrokenOff { upstream: self.label(), why });
            };
            tokio::time::sleep(taken.pause()).await;
            let mut headers = self.bare();
            headers.extend(HeaderValue::from_str(&after).ok().map(|after| (LAST_EVENT_ID, after)));
            taken.some = false;
            match self.connection.exchange(listening(headers)).await {
                Ok(Reply { status, body: ReplyBody::Stream(items), .. }) if status.is_success() => {
                    self.drain(items, request, &mut taken).await;
                }
                Ok(reply) => return self.refused(&reply, request),
                Err(error) => return self.fail(request, error),
            }
        }
    }

    /// The stream for what the server says of its own accord; a server need not offer one.
    async fn listen(&self) {
        let nothing = Message::new("");
        let mut taken = Taken::default();
        loop {
            let mut headers = self.bare();
            headers.extend(taken.cursor.as_ref().and_then(|id| Some((LAST_EVENT_ID, HeaderValue::from_str(id).ok()?))));
            taken.some = false;
            match self.connection.exchange(listening(headers)).await {
                Ok(Reply { status, body: ReplyBody::Stream(items), .. }) if status.is_success() => {
                    self.drain(items, &nothing, &mut taken).await;
                }
                // Not offered, or the session is over.
                Ok(_) => return,
                Err(error) => self.connection.log(Level::Warn, format!("no listening stream: {error}")),
            }
            if self.connection.session.closed().is_cancelled() {
                return;
            }
            tokio::time::sleep(taken.pause()).await;
        }
    }

    /// An HTTP error in the terms of a pipe: as the error that the request with this id gets.
    fn refused(&self, reply: &Reply, request: &Message) {
        match &reply.body {
            ReplyBody::Whole(error) if error.kind() == Kind::Error && error.id() == request.id() && request.asks() => {
                self.deliver(error.clone(), request);
            }
            _ => self.answer(request, server_refused(&self.label(), reply, request.id())),
        }
    }

    fn fail(&self, request: &Message, error: UpstreamError) {
        self.answer(request, ProxyError::Upstream(error).reply_to(request.id()));
    }

    /// Answers the client ourselves, where it asked.
    fn answer(&self, request: &Message, answer: ErrorReply) {
        let Connection { proxy, session, .. } = &*self.connection;
        proxy.record_error(&answer, Some(session.id()));
        if request.asks() {
            let transport = Transport::new(session.via());
            let message = proxy.originate(session, Direction::ToClient, transport, answer.message);
            drop(self.items.send(Ok(Item::line(message))));
        }
    }

    fn headers(&self, message: &Message) -> HeaderMap {
        let mut headers = self.state.lock().client.clone();
        headers::without_message(&mut headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        self.connection.mirror(message, &mut headers);
        if meta::protocol_version(message).is_none() {
            self.agreed(&mut headers);
        }
        headers
    }

    fn bare(&self) -> HeaderMap {
        let mut headers = self.state.lock().client.clone();
        headers::without_message(&mut headers);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.agreed(&mut headers);
        headers
    }

    fn agreed(&self, headers: &mut HeaderMap) {
        let state = self.state.lock();
        let known = [(SESSION, &state.session), (VERSION, &state.version)];
        for (name, value) in known.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))) {
            // A server may refuse a header that occurs twice.
            headers.entry(name).or_insert(value);
        }
    }

    fn label(&self) -> String {
        crate::upstream::Upstream::label(&self.connection).to_owned()
    }
}

/// An exchange without a message.
fn listening(headers: HeaderMap) -> Outgoing {
    Outgoing { method: Method::GET, headers, message: None, tail: String::new() }
}

/// What is known of a stream that may have to be taken up again.
#[derive(Default)]
struct Taken {
    replied: bool,
    /// Whether anything came since it was taken up last.
    some: bool,
    cursor: Option<String>,
    retry: Option<Duration>,
    /// Pauses to come, where nothing has come since.
    pauses: Option<ExponentialBackoff>,
}

impl Taken {
    fn note(&mut self, fields: &SseFields) {
        if let Some(id) = &fields.id {
            self.cursor = Some(id.clone());
        }
        if let Some(retry) = fields.retry.as_ref().and_then(|retry| retry.parse().ok()) {
            self.retry = Some(Duration::from_millis(retry));
        }
    }

    fn pause(&mut self) -> Duration {
        if self.some {
            self.pauses = None;
        }
        let pause = self.pauses.get_or_insert_with(|| doubling(RETRY, LONGEST)).next().unwrap_or(LONGEST);
        self.retry.unwrap_or(pause)
    }
}
