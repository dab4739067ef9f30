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
use crate::message::{Id, Kind, Message};
use crate::upstream::stdio::{CommandLine, Output, Pipe};
use crate::upstream::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, UpstreamError};

/// Messages kept for a client that has no stream open to hear them on.
const MOST_WAITING: usize = 1_000;

/// Unbounded: a client that reads slowly must not hold up the child's other messages, nor lose its own.
pub(super) type Items = mpsc::UnboundedSender<Result<Item, UpstreamError>>;

/// The client's side of a child.
pub struct PipeLink {
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
    /// Set where the client has one pipe, too: everything is for it.
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
}

impl PipeLink {
    pub fn new(command: &CommandLine, pipe: Pipe) -> Arc<Self> {
        Arc::new(Self { label: command.to_string(), pipe, router: Mutex::default() })
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
    pub(super) async fn exchange(&self, outgoing: Outgoing, withheld: bool) -> Result<Reply, UpstreamError> {
        match (&outgoing.method, outgoing.message) {
            (&Method::POST, Some(message)) => self.post(&message, withheld).await,
            (&Method::GET, _) => Ok(self.listen()),
            _ => {
                Ok(Reply { status: StatusCode::METHOD_NOT_ALLOWED, headers: HeaderMap::new(), body: ReplyBody::Empty })
            }
        }
    }

    async fn post(&self, message: &Message, withheld: bool) -> Result<Reply, UpstreamError> {
        let (items, mut answers) = mpsc::unbounded_channel();
        let requests = self.expect_replies(message, &items, withheld)?;
        // From here on the stream ends with the last reply.
        drop(items);
        if !self.pipe.write(one_line(message)).await {
            return Err(self.gone());
        }
        if requests == 0 {
            return Ok(accepted());
        }
        match answers.recv().await {
            None => Err(self.gone()),
            Some(Err(error)) => Err(error),
            // Nothing came before the reply: no stream is needed to carry it.
            Some(Ok(Item::Message(first))) if requests == 1 && first.message.kind().is_reply() => {
                Ok(whole(first.message))
            }
            Some(Ok(first)) => Ok(event_stream(vec![first], answers)),
        }
    }

    /// Notes who waits for the replies to a message; gives how many there will be.
    ///
    /// # Errors
    /// Where the child is gone: nobody would ever take the note up again.
    fn expect_replies(&self, message: &Message, items: &Items, withheld: bool) -> Result<usize, UpstreamError> {
        let elements = message.elements();
        let messages = if message.kind() == Kind::Batch { &elements[..] } else { std::slice::from_ref(message) };
        let mut router = self.router.lock();
        if let Some(error) = &router.ended {
            return Err(error.clone());
        }
        let requests = messages.iter().filter(|message| message.kind() == Kind::Request);
        let ids = requests.filter_map(|request| Some((request.id()?.clone(), progress_token(request, "_meta"))));
        let mut count = 0;
        for (id, progress_token) in ids {
            router.pending.insert(id, Waiting { items: items.clone(), progress_token, withheld });
            count += 1;
        }
        Ok(count)
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
        event_stream(router.backlog.drain(..).collect(), answers)
    }

    /// Finds the stream for a message that has passed.
    fn route(&self, message: Message, line: Bytes) {
        let mut router = self.router.lock();
        let target = router.target(&message);
        let item = Item::Message(Incoming { message, framing: Framing::Line { line } });
        match target {
            Some(Target::Nobody) => {}
            Some(Target::Stream(items)) => {
                if let Err(mpsc::error::SendError(Ok(item))) = items.send(Ok(item)) {
                    router.keep(item);
                }
            }
            None => router.keep(item),
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

enum Target {
    Stream(Items),
    Nobody,
}

impl Router {
    fn target(&mut self, message: &Message) -> Option<Target> {
        match message.kind() {
            kind if kind.is_reply() => Some(Target::Stream(self.pending.remove(message.id()?)?.items)),
            Kind::Batch => {
                let elements = message.elements();
                let replies = elements.iter().filter(|element| element.kind().is_reply());
                let waiting: Vec<Waiting> = replies.filter_map(|reply| self.pending.remove(reply.id()?)).collect();
                let asked = waiting.into_iter().next().map(|waiting| Target::Stream(waiting.items));
                asked.or_else(|| self.stream_for(message))
            }
            _ if self.client.is_some() => None,
            // Nobody's business but the screen's.
            Kind::Opaque => Some(Target::Nobody),
            Kind::Request | Kind::Notification => self.stream_for(message),
            Kind::Result | Kind::Error => None,
        }
    }

    /// The stream for something the server says of its own accord.
    fn stream_for(&self, message: &Message) -> Option<Target> {
        let open = || self.pending.values().filter(|waiting| !waiting.items.is_closed());
        if message.method() == Some("notifications/progress") {
            let token = progress_token(message, "");
            let asked = self.pending.values().find(|waiting| token.is_some() && waiting.progress_token == token);
            if let Some(waiting) = asked {
                return Some(Target::Stream(waiting.items.clone()));
            }
        }
        let listener = self.listener.as_ref().filter(|listener| !listener.is_closed());
        let in_flight = || open().find(|waiting| !waiting.withheld).map(|waiting| &waiting.items);
        listener.or_else(in_flight).map(|items| Target::Stream(items.clone()))
    }

    /// Gives an item to a client with one pipe, or keeps it for one that listens later.
    fn keep(&mut self, item: Item) {
        if let Some(client) = &self.client {
            // It has gone, and its session ends with it.
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
            Some((passage, line)) = held.next() => {
                finish(&link, passage, line).await;
                continue;
            }
        };
        match output {
            Some(Output::Line(line)) => {
                let Some(message) = message_of(&line) else {
                    link.upgrade().inspect(|link| link.blank(line));
                    continue;
                };
                let withheld = link.upgrade().is_some_and(|link| link.is_withheld(&message));
                let mut arrival = Arrival::new(Direction::ToClient, Transport::new(Via::Stdio), message);
                arrival.withheld = withheld;
                match proxy.pass(&session, arrival) {
                    Pass::Now(passage) => finish(&link, passage, line).await,
                    Pass::Held(pass) => held.push(pass.map(|passage| (passage, line))),
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

async fn finish(link: &std::sync::Weak<PipeLink>, passage: Passage, line: Bytes) {
    let Some(link) = link.upgrade() else { return };
    match passage {
        Passage::Send { message, edited } => {
            let line = if edited { one_line(&message) } else { line };
            link.route(message, line);
        }
        // The server's request was blocked: the answer is for the server.
        Passage::Answer(answer) => drop(link.pipe.write(one_line(&answer)).await),
        Passage::Nothing => {}
    }
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

    fn is_withheld(&self, message: &Message) -> bool {
        let Some(id) = message.id().filter(|_| message.kind().is_reply()) else { return false };
        self.router.lock().pending.get(id).is_some_and(|waiting| waiting.withheld)
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

fn event_stream(first: Vec<Item>, rest: mpsc::UnboundedReceiver<Result<Item, UpstreamError>>) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    let rest = futures_util::stream::unfold(rest, |mut rest| async move { Some((rest.recv().await?, rest)) });
    let items = futures_util::stream::iter(first.into_iter().map(Ok)).chain(rest);
    Reply { status: StatusCode::OK, headers, body: ReplyBody::Stream(items.boxed()) }
}
