//! A client with one stream for everything in front of a server that answers HTTP exchanges.
//!
//! Does what a Streamable HTTP client does, in place of one that cannot: posts each message, with the headers that repeat what it
//! says; opens the listening stream; resumes broken streams; ends the session. What comes back, on whatever stream, goes down the
//! one stream, in the frame that the server put around it: a client that speaks SSE gets its ids and comments, too.
//!
//! A server that has forgotten the session is told it again, in the client's place: such a client knows of no session, and cannot begin
//! another. What it says meanwhile waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backon::ExponentialBackoff;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::task::TaskTracker;

use crate::envelope::{Direction, Transport};
use crate::event::{Landmark, Level, LogLine};
use crate::headers::{self, LAST_EVENT_ID, SESSION};
use crate::mcp::meta;
use crate::mcp::method;
use crate::mcp::semantics;
use crate::message::{Id, Kind, Message};
use crate::net::backlog::{ByteRoom, RoomShare};
use crate::net::backoff::doubling;
use crate::proxy::error::{ErrorReply, ProxyError, server_refused};
use crate::proxy::exchange::connection::Connection;
use crate::proxy::exchange::request::{ClientExchange, Initiator};
use crate::proxy::stream::Items;
use crate::proxy::stream::handshake::HandshakeState;
use crate::secret::Label;
use crate::sse::{self, Splitter};
use crate::upstream::output::{MOST_UNREAD, STALLED, one_line, unread_by_its_only_client};
use crate::upstream::streamable::{StreamPosition, StreamableSession};
use crate::upstream::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, UpstreamError};

/// Pause before a broken stream is resumed, where the server names none; it doubles up to [`LONGEST`].
const RETRY: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// How long the server may take to end the session.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the server may take to answer what begins a session again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Streams in a row that were taken up again, ended at once and brought nothing: a call is not waited for any longer, and the
/// listening stream is asked for at [`LONGEST`] intervals. Some servers end such a stream in good order when they know nothing of it.
const MOST_IN_VAIN: u32 = 20;
/// A stream that was open for so long was not in vain: servers and what is between cut idle ones, and go on with the call.
const LIVELY: Duration = Duration::from_secs(10);
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Makes an HTTP exchange of each message of one client that has a single stream.
pub(in crate::proxy) struct Bridge {
    connection: Arc<Connection>,
    items: Items,
    /// What waits in `items` has so much; there is no more read of the server without it.
    room: ByteRoom,
    /// It was said that the client does not read.
    stall_told: AtomicBool,
    state: Mutex<State>,
    /// Held by the one exchange that begins the session again.
    turn: Semaphore,
    /// What the client asked and has no answer to yet, subscriptions left out.
    calls: TaskTracker,
}

#[derive(Default)]
struct State {
    /// What the client's latest message came with, where it came over HTTP: credentials, above all.
    client: HeaderMap,
    /// What the server gave at `initialize`, to be put on everything after it.
    session: StreamableSession,
    /// What another session is to be told.
    handshake: HandshakeState,
    /// How often the session was begun again.
    generation: u64,
    listener: Option<AbortHandle>,
    /// Requests that are not answered yet, by their id.
    in_flight: HashMap<Id, PostedRequest>,
    tasks: JoinSet<()>,
}

/// The session in which something was sent.
#[derive(Clone, Copy)]
struct SentIn {
    generation: u64,
    /// Whether its id was sent along.
    with_id: bool,
}

/// A request on its way to the server.
struct PostedRequest {
    task: AbortHandle,
    /// Whether its revision cancels a request by hanging up (2026-07-28).
    modern: bool,
}

impl Bridge {
    pub(in crate::proxy) fn new(connection: Arc<Connection>, items: Items, headers: HeaderMap) -> Arc<Self> {
        let state = Mutex::new(State { client: headers, ..State::default() });
        let (room, turn) = (ByteRoom::new(MOST_UNREAD), Semaphore::new(1));
        Arc::new(Self {
            connection,
            items,
            room,
            stall_told: AtomicBool::default(),
            state,
            turn,
            calls: TaskTracker::new(),
        })
    }

    /// Takes one message of the client. Returns when the next may go: a notification is not overtaken by what follows
    /// it, unless it is held.
    pub(in crate::proxy) async fn submit(self: &Arc<Self>, message: Message, headers: Option<HeaderMap>) {
        if let Some(headers) = headers {
            self.state.lock().client = headers;
        }
        // What is said while the session is begun again belongs in the new one.
        drop(self.turn.acquire().await);
        let (outgoing, sent) = self.post(&message);
        let cancelled = meta::cancelled_id(&message);
        let held = cancelled.clone().filter(|id| self.holds(id));
        let cancelled = cancelled.filter(|id| self.is_modern(id));
        let exchange = ClientExchange::admit(&self.connection, Instant::now(), outgoing, Initiator::Client);
        if let Some(id) = cancelled {
            return self.cancel(exchange, &id).await;
        }
        // The server never got it, and nobody waits for it.
        held.filter(|id| !self.holds(id)).inspect(|id| self.abort(id));
        if !message.asks() && !exchange.is_held() {
            return self.carry_out(exchange, &message, sent).await;
        }
        let (bridge, id, modern) = (self.clone(), message.id().cloned(), meta::protocol_version(&message).is_some());
        let call = (!semantics::is_subscription(&message)).then(|| self.calls.token());
        let mut state = self.state.lock();
        while state.tasks.try_join_next().is_some() {}
        let task = state.tasks.spawn(async move {
            bridge.carry_out(exchange, &message, sent).await;
            drop(call);
        });
        state.in_flight.extend(id.map(|id| (id, PostedRequest { task, modern })));
    }

    /// The client asks nothing more: waits until everything is answered.
    pub(in crate::proxy) async fn finish(&self) {
        self.calls.close();
        self.calls.wait().await;
    }

    /// Hangs up on everything, and ends the session.
    pub(in crate::proxy) async fn disconnect(&self) {
        let mut tasks = std::mem::take(&mut self.state.lock().tasks);
        tasks.shutdown().await;
        let (headers, sent) = self.bare();
        if sent.with_id {
            let goodbye = Outgoing { method: Method::DELETE, ..listening(headers) };
            // A server that does not offer it answers 405; one that does not answer is left.
            let _ = tokio::time::timeout(GOODBYE, self.connection.exchange(goodbye)).await;
        }
    }

    fn is_modern(&self, id: &Id) -> bool {
        let in_flight = &self.state.lock().in_flight;
        id.known(|id| in_flight.contains_key(id)).is_some_and(|id| in_flight[&id].modern)
    }

    fn holds(&self, id: &Id) -> bool {
        let Connection { proxy, session, .. } = &*self.connection;
        proxy.gate().holds_request(session.id(), Direction::ToServer, id)
    }

    /// Cancels a request by hanging up (revision 2026-07-28, cancellation): over HTTP nothing is posted.
    async fn cancel(&self, exchange: ClientExchange, id: &Id) {
        if exchange.withdraw().await {
            self.abort(id);
        }
    }

    fn abort(&self, id: &Id) {
        let in_flight = &mut self.state.lock().in_flight;
        let request = id.known(|id| in_flight.contains_key(id)).and_then(|id| in_flight.remove(&id));
        request.inspect(|request| request.task.abort());
    }

    /// One exchange, from its POST to the last message of its answer.
    async fn carry_out(self: &Arc<Self>, exchange: ClientExchange, message: &Message, sent: SentIn) {
        match exchange.proceed().await {
            Ok(refused) if self.is_forgotten(&refused, message, sent) => self.begin_again(refused, message, sent).await,
            Ok(reply) => self.forward_reply(reply, message).await,
            Err(error) => self.fail(message, error),
        }
        if let Some(id) = message.id() {
            self.state.lock().in_flight.remove(id);
        }
    }

    /// Forwards everything of a reply to the client, the rest of a broken stream included.
    async fn forward_reply(self: &Arc<Self>, reply: Reply, message: &Message) {
        if message.method() == Some(method::INITIALIZE) && reply.status.is_success() {
            let mut session = StreamableSession::default();
            session.note_headers(&reply.headers);
            self.state.lock().session = session;
        }
        let (status, awaits_reply) = (reply.status, message.asks());
        let headers = HeaderMap::new();
        match reply.body {
            ReplyBody::Whole(body) if status.is_success() => {
                let share = self.room_for(body.raw().len()).await;
                self.deliver(line(body), message, share);
            }
            ReplyBody::Stream(items) if status.is_success() => {
                let mut progress = StreamProgress::default();
                self.drain(items, message, &mut progress).await;
                self.resume(message, progress).await;
            }
            ReplyBody::Empty if status.is_success() && !awaits_reply => {}
            body => self.refuse(&Reply { status, headers, body }, message),
        }
        if message.method() == Some(method::INITIALIZED) && status.is_success() {
            self.state.lock().handshake.on_initialized();
            self.open_listener();
        }
    }

    /// Opens the listening stream, in place of the one of the session before.
    fn open_listener(self: &Arc<Self>) {
        let bridge = self.clone();
        let mut state = self.state.lock();
        let listener = state.tasks.spawn(async move { bridge.listen().await });
        if let Some(before) = state.listener.replace(listener) {
            before.abort();
        }
    }

    /// Room for so many bytes among what waits for the client: until it reads, its server is not read either.
    async fn room_for(&self, bytes: usize) -> RoomShare {
        if let Some(share) = self.room.try_acquire(bytes) {
            return share;
        }
        let mut share = std::pin::pin!(self.room.acquire(bytes));
        if let Ok(share) = tokio::time::timeout(STALLED, &mut share).await {
            return share;
        }
        if !self.stall_told.swap(true, Ordering::Relaxed) {
            self.connection.log(Level::Warn, unread_by_its_only_client());
        }
        share.await
    }

    /// Forwards a message to the client, and learns from it.
    fn deliver(&self, incoming: Incoming, request: &Message, share: RoomShare) {
        let message = &incoming.message;
        if message.kind() == Kind::Opaque && request.kind() != Kind::Opaque && !request.asks() {
            // `OK` and the like: it answers no request, and a stream of messages is no place for it.
            let text =
                "a notification was answered with something that is not a JSON-RPC message: the client does not get it";
            return self.connection.log(Level::Warn, text.to_owned());
        }
        if message.replies_to(request) && HandshakeState::is_relevant(request) {
            let mut state = self.state.lock();
            state.handshake.on_reply(request, message);
            if request.method() == Some(method::INITIALIZE) && message.kind() == Kind::Result {
                state.session.note_result(message);
            }
        }
        // The client may have hung up.
        let _ = self.items.send_in(Ok(Item::Message(incoming)), share);
    }

    /// Forwards everything of a stream to the client, until it ends or breaks.
    async fn drain(
        &self,
        mut items: BoxStream<'static, Result<Item, UpstreamError>>,
        request: &Message,
        progress: &mut StreamProgress,
    ) {
        let opened = Instant::now();
        progress.some = false;
        while let Some(item) = progress.next_of(&mut items).await {
            match item {
                // A priming event has an id and no message (2025-11-25, transports).
                Item::Filler(bytes) => {
                    let before = progress.position.clone();
                    Splitter::default().push(bytes).into_iter().for_each(|frame| progress.position.note(&frame.fields));
                    progress.some |= progress.position != before;
                }
                Item::Message(incoming) => {
                    if let Framing::Sse { fields: Some(fields), .. } = &incoming.framing {
                        progress.position.note(fields);
                    }
                    progress.replied |= match request.id() {
                        Some(_) => incoming.message.replies_to(request),
                        None => incoming.message.kind() == Kind::Batch && incoming.message.answers(),
                    };
                    progress.some = true;
                    let share = self.room_for(incoming.size()).await;
                    self.deliver(without_byte_order_mark(incoming), request, share);
                }
            }
        }
        let is_in_vain = !progress.some && opened.elapsed() < LIVELY;
        progress.in_vain = if is_in_vain { progress.in_vain + 1 } else { 0 };
    }

    /// Asks for the rest of a stream that ended before the reply (2025-11-25, transports: resumability).
    async fn resume(self: &Arc<Self>, request: &Message, mut progress: StreamProgress) {
        while !progress.replied {
            if let Some(error) = progress.too_long {
                // It would come again.
                return self.fail(request, error);
            }
            let Some(after) = progress.position.header() else {
                let why = "the answer ended without a reply".to_owned();
                return self.fail(request, UpstreamError::BrokenOff { upstream: self.label(), why });
            };
            if progress.in_vain >= MOST_IN_VAIN {
                let why = format!("the answer was asked for {MOST_IN_VAIN} times more, and nothing came");
                return self.fail(request, UpstreamError::BrokenOff { upstream: self.label(), why });
            }
            tokio::time::sleep(progress.pause()).await;
            let (mut headers, sent) = self.bare();
            headers.insert(LAST_EVENT_ID, after);
            match self.connection.exchange(listening(headers)).await {
                Ok(Reply { status, body: ReplyBody::Stream(items), .. }) if status.is_success() => {
                    self.drain(items, request, &mut progress).await;
                }
                Ok(reply) => {
                    self.note_refusal(&reply, sent);
                    return self.refuse(&reply, request);
                }
                Err(error) => return self.fail(request, error),
            }
        }
    }

    /// The stream for what the server says of its own accord; a server need not offer one.
    async fn listen(self: &Arc<Self>) {
        let (nothing, mut opened) = (Message::new(""), false);
        let mut progress = StreamProgress::default();
        loop {
            let (mut headers, sent) = self.bare();
            headers.extend(progress.position.header().map(|after| (LAST_EVENT_ID, after)));
            match self.connection.exchange(listening(headers)).await {
                Ok(Reply { status, body: ReplyBody::Stream(items), .. }) if status.is_success() => {
                    opened = true;
                    self.drain(items, &nothing, &mut progress).await;
                }
                // The session is over.
                Ok(reply) if opened => return self.note_refusal(&reply, sent),
                // Not offered.
                Ok(_) => return,
                Err(error) => self.connection.log(Level::Warn, format!("no listening stream: {error}")),
            }
            if self.connection.session.closed().is_cancelled() {
                return;
            }
            tokio::time::sleep(progress.pause()).await;
        }
    }

    /// Whether a server says that it does not know the session (2025-03-26 on, session management: 404; many say 400). Not where it says
    /// 400 of this very request.
    fn is_forgotten(&self, refused: &Reply, message: &Message, sent: SentIn) -> bool {
        let of_request = match &refused.body {
            ReplyBody::Whole(error) => error.kind() == Kind::Error && is_for(error, message),
            ReplyBody::Empty | ReplyBody::Stream(_) => false,
        };
        says_forgotten(refused.status, sent) && !(of_request && refused.status == StatusCode::BAD_REQUEST)
    }

    /// Begins the session again where a stream is refused for want of it.
    fn note_refusal(self: &Arc<Self>, refused: &Reply, sent: SentIn) {
        if says_forgotten(refused.status, sent) {
            let (bridge, status) = (self.clone(), refused.status);
            // In a task of its own: the one that found it out is replaced. A failure is logged there.
            self.state.lock().tasks.spawn(async move {
                let _ = bridge.renew(sent, status).await;
            });
        }
    }

    /// Begins the session again, and asks there once more what a forgotten one was asked, where that can do no harm.
    async fn begin_again(self: &Arc<Self>, refused: Reply, message: &Message, sent: SentIn) {
        if self.renew(sent, refused.status).await.is_err() {
            return self.refuse(&refused, message);
        }
        if !semantics::is_repeatable(message) {
            return self.fail(message, UpstreamError::SessionForgotten { upstream: self.label() });
        }
        let text = format!("sent in the new session again: `{}`", message.method().unwrap_or_default());
        let Connection { proxy, session, .. } = &*self.connection;
        proxy.log(LogLine::new(Level::Info, "proxy", text).of(session.id()).as_landmark(Landmark::Attempt));
        let (outgoing, _) = self.post(message);
        match ClientExchange::admit(&self.connection, Instant::now(), outgoing, Initiator::Again).proceed().await {
            Ok(reply) => self.forward_reply(reply, message).await,
            Err(error) => self.fail(message, error),
        }
    }

    /// Begins the session again, unless another exchange has: once for all that were refused.
    ///
    /// # Errors
    /// Where the server does not go on with it; that is logged.
    async fn renew(self: &Arc<Self>, sent: SentIn, status: StatusCode) -> Result<(), ()> {
        let _turn = self.turn.acquire().await;
        let handshake = {
            let state = self.state.lock();
            if state.generation != sent.generation {
                return Ok(());
            }
            state.handshake.clone()
        };
        let (session, changes) = self.shake_hands(&handshake).await.map_err(|why| {
            let text =
                format!("the server has forgotten the session (HTTP {status}), and does not begin it again: {why}");
            self.connection.log(Level::Error, text);
        })?;
        {
            let mut state = self.state.lock();
            state.session = session;
            state.generation += 1;
        }
        let text = format!("session begun again, forgotten by the server (HTTP {status}){}", handshake.summary());
        let Connection { proxy, session, .. } = &*self.connection;
        proxy.log_landmark(LogLine::new(Level::Info, "proxy", text).of(session.id()), Landmark::Seam);
        self.open_listener();
        changes.into_iter().for_each(|change| self.send_to_client(change));
        Ok(())
    }

    /// Goes through the handshake in the client's place. Returns the session, and what the client is to be told.
    async fn shake_hands(&self, handshake: &HandshakeState) -> Result<(StreamableSession, Vec<Message>), String> {
        let initialize = handshake.initialize().ok_or("there was no `initialize`")?;
        let mut session = StreamableSession::default();
        let (headers, reply) = self.ask(None, &initialize).await?;
        let reply = reply.ok_or("`initialize` was not answered")?;
        let changes = handshake.compare(&reply)?;
        session.note_headers(&headers);
        session.note_result(&reply);
        for message in handshake.after_initialize() {
            if let Err(why) = self.ask(Some(&session), &message).await {
                let method = message.method().unwrap_or_default();
                self.connection.log(Level::Warn, format!("`{method}` was refused in the new session: {why}"));
            }
        }
        Ok((session, changes))
    }

    /// Sends a message in the client's place. Returns the headers of the answer, and the reply where one came.
    async fn ask(
        &self,
        session: Option<&StreamableSession>,
        message: &Message,
    ) -> Result<(HeaderMap, Option<Message>), String> {
        let outgoing = self.post_in(session, message);
        let exchange = ClientExchange::admit(&self.connection, Instant::now(), outgoing, Initiator::Tapline);
        let answered = async {
            let Reply { status, headers, body } = exchange.proceed().await.map_err(|error| error.to_string())?;
            if !status.is_success() {
                return Err(format!("HTTP {status}"));
            }
            let reply = match body {
                ReplyBody::Empty => None,
                ReplyBody::Whole(reply) => Some(reply),
                ReplyBody::Stream(items) => reply_of(items, message).await,
            };
            Ok((headers, reply))
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap_or_else(|_| Err("it does not answer".to_owned()))
    }

    /// Tells the client an HTTP error as the JSON-RPC error of its request: a stream has no place for a status.
    fn refuse(&self, reply: &Reply, request: &Message) {
        match &reply.body {
            ReplyBody::Whole(error) if error.kind() == Kind::Error && is_for(error, request) => {
                self.deliver(line(error.clone()), request, RoomShare::default());
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
            self.send_to_client(answer.message);
        }
    }

    /// Sends the client a message of tapline's in the server's place.
    fn send_to_client(&self, message: Message) {
        let Connection { proxy, session, .. } = &*self.connection;
        let message = proxy.originate(session, Direction::ToClient, Transport::new(session.via()), message);
        // The client may have hung up.
        let _ = self.items.send(Ok(Item::line(message)));
    }

    /// A message of the client in the session that it has; what begins one is in none.
    fn post(&self, message: &Message) -> (Outgoing, SentIn) {
        let (generation, session) = {
            let state = self.state.lock();
            (state.generation, state.session.clone())
        };
        let session = Some(&session).filter(|_| message.method() != Some(method::INITIALIZE));
        let outgoing = self.post_in(session, message);
        let with_id = outgoing.headers.contains_key(SESSION);
        (outgoing, SentIn { generation, with_id })
    }

    fn post_in(&self, session: Option<&StreamableSession>, message: &Message) -> Outgoing {
        let mut headers = self.state.lock().client.clone();
        headers::without_message(&mut headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        self.connection.mirror(message, &mut headers);
        if let Some(session) = session.filter(|_| meta::protocol_version(message).is_none()) {
            session.add_to(&mut headers);
        }
        Outgoing { method: Method::POST, headers, message: Some(message.clone()), tail: String::new() }
    }

    /// The headers of what has no message.
    fn bare(&self) -> (HeaderMap, SentIn) {
        let state = self.state.lock();
        let mut headers = state.client.clone();
        headers::without_message(&mut headers);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        state.session.add_to(&mut headers);
        let sent = SentIn { generation: state.generation, with_id: headers.contains_key(SESSION) };
        (headers, sent)
    }

    fn label(&self) -> Label {
        crate::upstream::Upstream::label(&self.connection).clone()
    }
}

fn says_forgotten(status: StatusCode, sent: SentIn) -> bool {
    sent.with_id && matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST)
}

/// The reply to a request on the stream that answers it.
async fn reply_of(mut items: BoxStream<'static, Result<Item, UpstreamError>>, request: &Message) -> Option<Message> {
    while let Some(Ok(item)) = items.next().await {
        if let Item::Message(Incoming { message, .. }) = item
            && message.replies_to(request)
        {
            return Some(message);
        }
    }
    None
}

/// Whether an error is what a client that waits for the reply to its request can do something with.
fn is_for(error: &Message, request: &Message) -> bool {
    match request.id() {
        Some(_) => error.replies_to(request),
        None => error.id().is_none() && request.asks(),
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
    /// Whether anything came since it was opened or resumed last: a message, or a new place to resume from.
    some: bool,
    /// How often in a row it was resumed and brought nothing.
    in_vain: u32,
    /// It was ended over a message that is too long.
    too_long: Option<UpstreamError>,
    position: StreamPosition,
    /// Pauses to come, where nothing has come since.
    pauses: Option<ExponentialBackoff>,
}

impl StreamProgress {
    /// The next item of a stream that is opened; `None` where it has ended or broken.
    async fn next_of(&mut self, items: &mut BoxStream<'static, Result<Item, UpstreamError>>) -> Option<Item> {
        match items.next().await? {
            Ok(item) => Some(item),
            Err(error) => {
                self.too_long = Some(error).filter(|error| matches!(error, UpstreamError::TooLong { .. }));
                None
            }
        }
    }

    fn pause(&mut self) -> Duration {
        if self.some {
            self.pauses = None;
        }
        let pause = self.pauses.get_or_insert_with(|| doubling(RETRY, LONGEST)).next().unwrap_or(LONGEST);
        let named = self.position.retry.unwrap_or(pause);
        if self.in_vain < MOST_IN_VAIN { named } else { named.max(LONGEST) }
    }
}
