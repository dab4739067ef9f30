//! A session whose server is a child: one pipe for everything, where the client has many HTTP exchanges.
//!
//! Reads the child's lines, takes each through the spine, and then finds the response that carries it: a reply goes
//! where its request came from, progress to the request that asked for it, the rest to the client's listening
//! stream, or, where it has none, along with a request in flight.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::exchange::{accepted, whole};
use super::session::LiveSession;
use super::{Arrival, Pass, Passage, Proxy};
use crate::envelope::{Direction, Transport, Via};
use crate::event::{Level, LogLine};
use crate::headers::modern_version;
use crate::message::{Id, Kind, Message};
use crate::upstream::stdio::{CommandLine, Output, Pipe};
use crate::upstream::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, UpstreamError};

/// Messages kept for a client that has no stream open to hear them on.
const MOST_WAITING: usize = 1_000;

/// Unbounded: a client that reads slowly must not hold up the child's other messages, nor lose its own.
pub(super) type Items = mpsc::UnboundedSender<Result<Item, UpstreamError>>;

/// The client's side of a child.
pub struct PipeLink {
    proxy: Arc<Proxy>,
    session: Arc<LiveSession>,
    label: String,
    pipe: Pipe,
    router: Mutex<Router>,
}

#[derive(Default)]
struct Router {
    /// Requests of the client that wait for their reply; the requests of a batch share one stream.
    pending: HashMap<Id, Waiting>,
    /// The client's GET stream.
    listener: Option<Items>,
    /// Set where the client has one pipe, too: what nobody asked for by an exchange is for it.
    client: Option<ClientPipe>,
    /// What nobody listened for yet.
    backlog: VecDeque<Item>,
    /// Why the child is gone.
    ended: Option<UpstreamError>,
}

/// The ends of a client that was started with pipes of its own.
pub(super) struct ClientPipe {
    pub(super) items: Items,
    /// Takes the child's stderr, as it came.
    pub(super) stderr: mpsc::UnboundedSender<Bytes>,
}

struct Waiting {
    items: Items,
    progress_token: Option<Box<str>>,
    /// Of the operator's own request: its stream is read by tapline alone.
    withheld: bool,
    /// What its client calls the request and its progress, where the child knows them by another name.
    own_id: Option<Id>,
    own_token: Option<Box<str>>,
}

impl PipeLink {
    pub fn new(proxy: Arc<Proxy>, session: Arc<LiveSession>, command: &CommandLine, pipe: Pipe) -> Arc<Self> {
        Arc::new(Self { proxy, session, label: command.to_string(), pipe, router: Mutex::default() })
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub async fn close(&self) {
        self.pipe.close().await;
    }

    /// What the command exited with; `None` while it runs.
    pub fn exit_code(&self) -> Option<u8> {
        self.pipe.exit_code()
    }

    /// Passes a signal on to the child.
    pub fn signal(&self, signal: rustix::process::Signal) {
        self.pipe.signal(signal);
    }

    /// Gives everything that the child says to a client with one pipe, from now on.
    pub(super) fn attach(&self, client: ClientPipe) {
        let mut router = self.router.lock();
        if router.ended.is_none() {
            for item in router.backlog.drain(..) {
                drop(client.items.send(Ok(item)));
            }
            router.client = Some(client);
        }
    }

    /// Writes a line of the client's, already through the spine.
    pub(super) async fn write(&self, line: Bytes) -> bool {
        self.pipe.write(line).await
    }

    /// One exchange of the client, already through the spine.
    pub(super) async fn exchange(self: &Arc<Self>, outgoing: Outgoing, withheld: bool) -> Result<Reply, UpstreamError> {
        match (&outgoing.method, outgoing.message) {
            (&Method::POST, Some(message)) => self.post(message, withheld).await,
            (&Method::GET, _) => Ok(self.listen()),
            _ => {
                Ok(Reply { status: StatusCode::METHOD_NOT_ALLOWED, headers: HeaderMap::new(), body: ReplyBody::Empty })
            }
        }
    }

    async fn post(self: &Arc<Self>, message: Message, withheld: bool) -> Result<Reply, UpstreamError> {
        let (items, answers) = mpsc::unbounded_channel();
        let is_modern = modern_version(&message).is_some();
        let (message, requests) = self.expect_replies(message, &items, withheld)?;
        let id = message.id().filter(|_| is_modern && requests == 1).cloned();
        let mut answers = Answers { answers, _waited_for: id.map(|id| WaitedFor { link: self.clone(), id }) };
        // From here on the stream ends with the last reply.
        drop(items);
        if !self.pipe.write(one_line(&message)).await {
            return Err(self.gone());
        }
        if requests == 0 {
            return Ok(accepted());
        }
        match answers.answers.recv().await {
            None => Err(self.gone()),
            Some(Err(error)) => Err(error),
            // Nothing came before the reply: no stream is needed to carry it.
            Some(Ok(Item::Message(first))) if requests == 1 && first.message.kind().is_reply() => {
                Ok(whole(first.message))
            }
            Some(Ok(first)) => Ok(event_stream(vec![first], answers)),
        }
    }

    /// Notes who waits for the replies to a message; gives it in the names the child is to know, and how many there will be.
    ///
    /// # Errors
    /// Where the child is gone: nobody would ever take the note up again.
    fn expect_replies(
        &self,
        message: Message,
        items: &Items,
        withheld: bool,
    ) -> Result<(Message, usize), UpstreamError> {
        let mut router = self.router.lock();
        if let Some(error) = &router.ended {
            return Err(error.clone());
        }
        let waiting =
            || Waiting { items: items.clone(), progress_token: None, withheld, own_id: None, own_token: None };
        match message.kind() {
            Kind::Request => Ok((router.expect_reply(message, waiting()), 1)),
            // Batches are of a time when each client had a session, and a child, of its own: no name is taken.
            Kind::Batch => {
                let requests = message.elements().into_iter().filter(|element| element.kind() == Kind::Request);
                let count = requests.map(|request| router.expect_reply(request, waiting())).count();
                Ok((message, count))
            }
            _ => Ok((message, 0)),
        }
    }

    fn listen(&self) -> Reply {
        let mut router = self.router.lock();
        if router.listener.as_ref().is_some_and(|listener| !listener.is_closed()) {
            // As the SDK servers do: one listening stream a session.
            return Reply { status: StatusCode::CONFLICT, headers: HeaderMap::new(), body: ReplyBody::Empty };
        }
        let (items, answers) = mpsc::unbounded_channel();
        if router.ended.is_none() {
            router.listener = Some(items);
        }
        event_stream(router.backlog.drain(..).collect(), Answers { answers, _waited_for: None })
    }

    /// Gives a message of the child to whom it is for.
    fn deliver(&self, address: Address, message: Message, line: Bytes) {
        let mut router = self.router.lock();
        let items = match address {
            Address::Nobody => return,
            Address::Asker(id) => router.pending.remove(&id).map(|waiting| waiting.items),
            Address::Askers(ids) => {
                let waiting: Vec<_> = ids.iter().filter_map(|id| router.pending.remove(id)).collect();
                waiting.into_iter().next().map(|waiting| waiting.items)
            }
            Address::Progress(id) => router.pending.get(&id).map(|waiting| waiting.items.clone()),
            Address::Client => router.open_stream(),
        };
        let item = Item::Message(Incoming { message, framing: Framing::Line { line } });
        let Some(items) = items else { return router.keep(item) };
        if let Err(mpsc::error::SendError(Ok(item))) = items.send(Ok(item)) {
            router.keep(item);
        }
    }

    /// Tells the child that nobody waits for this reply any more.
    fn cancel(&self, id: &Id) {
        if self.router.lock().pending.remove(id).is_none() {
            return;
        }
        let message = Message::new(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"the client hung up"}}}}"#,
            id.token()
        ));
        let message = self.proxy.answer(&self.session, Direction::ToServer, Transport::new(Via::Stdio), message);
        if !self.pipe.offer(one_line(&message)) {
            tracing::debug!("a cancellation was not taken");
        }
    }

    fn end(&self, error: &UpstreamError) {
        let mut router = self.router.lock();
        router.ended = Some(error.clone());
        router.listener = None;
        router.client = None;
        for (_, waiting) in router.pending.drain() {
            // A client that has hung up does not need to know.
            drop(waiting.items.send(Err(error.clone())));
        }
    }

    fn gone(&self) -> UpstreamError {
        let ended = self.router.lock().ended.clone();
        ended.unwrap_or_else(|| UpstreamError::BrokenOff {
            upstream: self.label.clone(),
            why: "it is ending".to_owned(),
        })
    }
}

/// The end of a stream that somebody reads.
struct Answers {
    answers: mpsc::UnboundedReceiver<Result<Item, UpstreamError>>,
    _waited_for: Option<WaitedFor>,
}

/// Dropped before the reply came, it cancels the request: for HTTP, revision 2026-07-28 has no other word for it.
/// In older ones a client that hangs up may come back for the reply.
struct WaitedFor {
    link: Arc<PipeLink>,
    id: Id,
}

impl Drop for WaitedFor {
    fn drop(&mut self) {
        self.link.cancel(&self.id);
    }
}

/// Whom a message of the child is for. Ids are those that the child knows.
enum Address {
    /// Who asked this.
    Asker(Id),
    /// Who asked these in one batch.
    Askers(Vec<Id>),
    /// Who asked this, and waits for more.
    Progress(Id),
    /// The client, on whatever stream there is.
    Client,
    /// Nobody but the screen.
    Nobody,
}

impl Router {
    /// Clients without sessions share a child, and each counts its ids and progress tokens from the same start: what is
    /// taken gets another name on the way to the child, and its own again on the way back.
    fn expect_reply(&mut self, mut request: Message, mut waiting: Waiting) -> Message {
        let taken = request.id().filter(|id| self.pending.contains_key(id)).cloned();
        if let Some(own) = taken
            && let Some(renamed) = request.with_id(&Id::random())
        {
            waiting.own_id = Some(own);
            request = renamed;
        }
        waiting.progress_token = progress_token(&request, "_meta");
        let taken = waiting.progress_token.clone().filter(|token| self.asked_with(token).is_some());
        if let Some(own) = taken {
            let other = Id::random();
            if let Some(renamed) = request.with_value(&["params", "_meta", "progressToken"], other.token()) {
                waiting.own_token = Some(own);
                waiting.progress_token = Some(other.token().into());
                request = renamed;
            }
        }
        if let Some(id) = request.id() {
            self.pending.insert(id.clone(), waiting);
        }
        request
    }

    fn asked_with(&self, token: &str) -> Option<&Id> {
        self.pending.iter().find(|(_, waiting)| waiting.progress_token.as_deref() == Some(token)).map(|(id, _)| id)
    }

    fn address(&self, message: &Message) -> Address {
        match message.kind() {
            Kind::Result | Kind::Error => message.id().cloned().map_or(Address::Client, Address::Asker),
            Kind::Batch if message.answers() => {
                Address::Askers(message.elements().iter().filter_map(|element| element.id().cloned()).collect())
            }
            Kind::Notification if message.method() == Some("notifications/progress") => {
                let asked = progress_token(message, "").and_then(|token| self.asked_with(&token).cloned());
                asked.map_or(Address::Client, Address::Progress)
            }
            Kind::Opaque if self.client.is_none() => Address::Nobody,
            Kind::Request | Kind::Notification | Kind::Batch | Kind::Opaque => Address::Client,
        }
    }

    /// A stream for something the child says of its own accord.
    fn open_stream(&self) -> Option<Items> {
        let in_flight = self.pending.values().filter(|waiting| !waiting.withheld).map(|waiting| &waiting.items);
        self.listener.iter().chain(in_flight).find(|items| !items.is_closed()).cloned()
    }

    /// Gives an item to a client with one pipe, or keeps it for one that listens later.
    fn keep(&mut self, item: Item) {
        if let Some(client) = &self.client {
            // Where it has gone, its session is about to end.
            drop(client.items.send(Ok(item)));
            return;
        }
        if self.backlog.len() == MOST_WAITING {
            self.backlog.pop_front();
        }
        self.backlog.push_back(item);
    }
}

/// Takes everything the child says through the spine, until it ends. Gives why it did.
pub(super) async fn pump(
    proxy: Arc<Proxy>,
    session: Arc<LiveSession>,
    link: std::sync::Weak<PipeLink>,
    mut outputs: mpsc::Receiver<Output>,
) -> UpstreamError {
    let mut held = FuturesUnordered::new();
    loop {
        let output = tokio::select! {
            output = outputs.recv() => output,
            Some((passage, address, line)) = held.next() => {
                finish(&link, passage, address, line).await;
                continue;
            }
        };
        match output {
            Some(Output::Line(line)) => {
                let Some(open) = link.upgrade() else { continue };
                let Some(message) = message_of(&line) else {
                    open.blank(line);
                    continue;
                };
                let Recognized { address, message, line, withheld } = open.recognize(message, line);
                drop(open);
                let mut arrival = Arrival::new(Direction::ToClient, Transport::new(Via::Stdio), message);
                arrival.withheld = withheld;
                match proxy.pass(&session, arrival) {
                    Pass::Now(passage) => finish(&link, passage, address, line).await,
                    Pass::Held(pass) => held.push(pass.map(|passage| (passage, address, line))),
                }
            }
            Some(Output::Stderr(line)) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                proxy.log(LogLine::new(Level::Info, "server", text).of(session.id()));
                link.upgrade().inspect(|link| link.stderr(line));
            }
            Some(Output::Ended(error)) => {
                if let Some(link) = link.upgrade() {
                    link.end(&error);
                }
                return error;
            }
            None => return UpstreamError::BrokenOff { upstream: session.info().upstream, why: "closed".to_owned() },
        }
    }
}

async fn finish(link: &std::sync::Weak<PipeLink>, passage: Passage, address: Address, line: Bytes) {
    let Some(link) = link.upgrade() else { return };
    match passage {
        Passage::Send { message, edited } => {
            let line = if edited { one_line(&message) } else { line };
            link.deliver(address, message, line);
        }
        // The server's request was blocked: the answer is for the server.
        Passage::Answer(answer) => drop(link.pipe.write(one_line(&answer)).await),
        Passage::Nothing => {}
    }
}

/// A message of the child, in the names of whom it is for.
struct Recognized {
    address: Address,
    message: Message,
    line: Bytes,
    withheld: bool,
}

impl PipeLink {
    /// A line without a message: of no interest but to a client that gets every byte.
    fn blank(&self, line: Bytes) {
        if let Some(client) = &self.router.lock().client {
            drop(client.items.send(Ok(Item::Filler(line))));
        }
    }

    fn stderr(&self, line: Bytes) {
        if let Some(client) = &self.router.lock().client {
            drop(client.stderr.send(line));
        }
    }

    fn recognize(&self, message: Message, line: Bytes) -> Recognized {
        let router = self.router.lock();
        let address = router.address(&message);
        let waiting = match &address {
            Address::Asker(id) | Address::Progress(id) => router.pending.get(id),
            _ => None,
        };
        let Some(waiting) = waiting else { return Recognized { address, message, line, withheld: false } };
        let restored = match &address {
            Address::Progress(_) => {
                waiting.own_token.as_ref().and_then(|own| message.with_value(&["params", "progressToken"], own))
            }
            _ => waiting.own_id.as_ref().and_then(|own| message.with_id(own)),
        };
        let withheld = waiting.withheld;
        match restored {
            Some(message) => Recognized { address, line: one_line(&message), message, withheld },
            None => Recognized { address, message, line, withheld },
        }
    }
}

/// The message of a line: without the line end, and nothing for an empty line.
pub(super) fn message_of(line: &Bytes) -> Option<Message> {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'))?;
    Some(Message::new(line.slice(..=end)))
}

/// A message as one line of a pipe. White space between tokens may hold line ends, strings may not: a blank does as well.
pub(super) fn one_line(message: &Message) -> Bytes {
    let raw = message.raw();
    let mut line = BytesMut::with_capacity(raw.len() + 1);
    if memchr::memchr2(b'\n', b'\r', raw).is_none() {
        line.put_slice(raw);
    } else {
        line.extend(raw.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    }
    line.put_u8(b'\n');
    line.freeze()
}

/// `progressToken` of a request's `params._meta`, or of a progress notification's `params` (`holder` empty).
fn progress_token(message: &Message, holder: &str) -> Option<Box<str>> {
    let params: HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(message.member("params")?).ok()?;
    if holder.is_empty() {
        return Some(params.get("progressToken")?.get().into());
    }
    let meta: HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(params.get(holder)?.get()).ok()?;
    Some(meta.get("progressToken")?.get().into())
}

fn event_stream(first: Vec<Item>, rest: Answers) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    let rest = futures_util::stream::unfold(rest, |mut rest| async move { Some((rest.answers.recv().await?, rest)) });
    let items = futures_util::stream::iter(first.into_iter().map(Ok)).chain(rest);
    Reply { status: StatusCode::OK, headers, body: ReplyBody::Stream(items.boxed()) }
}
