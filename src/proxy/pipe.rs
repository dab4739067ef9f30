//! A session whose server says everything on one stream: a child, or a server of the HTTP+SSE transport.
//!
//! A client with one stream of its own gets it all. For one with many HTTP exchanges, each message of the server finds the
//! response that carries it: a reply goes where its request came from, progress to the request that asked for it, the rest
//! to the client's listening stream, or, where it has none, along with a request in flight.

mod router;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::mpsc;

pub(super) use self::router::Address;
use self::router::{Router, SUBSCRIPTION, Waiting};
use super::Proxy;
use super::bridge::cancelled_id;
use super::exchange::{accepted, whole};
use super::respond::Refusal;
use super::session::LiveSession;
use crate::envelope::{Direction, Transport, Via};
use crate::headers;
use crate::message::{Id, Kind, Message};
use crate::sse;
use crate::upstream::pipe::Pipe;
use crate::upstream::sse::{Answer, EventPipe};
use crate::upstream::stdio::one_line;
use crate::upstream::{Incoming, Item, Outgoing, Reply, ReplyBody, UpstreamError};

/// Unbounded: a client that reads slowly must not hold up the child's other messages, nor lose its own.
pub(super) type Items = mpsc::UnboundedSender<Result<Item, UpstreamError>>;

/// The client's side of such a server.
pub struct PipeLink {
    proxy: Arc<Proxy>,
    session: Arc<LiveSession>,
    label: String,
    pipe: Pipe,
    router: Mutex<Router>,
}

/// The ends of a client that has one stream for everything, too.
pub(super) struct ClientPipe {
    pub(super) items: Items,
    /// What its stream is made of. Bytes without a message pass where the server's is made of the same.
    pub(super) carrier: Via,
    /// Takes a child's stderr, as it came.
    pub(super) stderr: Option<mpsc::UnboundedSender<Bytes>>,
    /// Gives the address under which the client reaches the server's endpoint.
    pub(super) announce: Option<Announce>,
}

pub(super) type Announce = Box<dyn Fn(&Url) -> String + Send>;

impl PipeLink {
    pub fn new(proxy: Arc<Proxy>, session: Arc<LiveSession>, label: String, pipe: Pipe) -> Arc<Self> {
        Arc::new(Self { proxy, session, label, pipe, router: Mutex::default() })
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub async fn close(&self) {
        self.pipe.close().await;
    }

    /// What the command exited with; `None` while it runs, or where there is none.
    pub fn exit_code(&self) -> Option<u8> {
        match &self.pipe {
            Pipe::Child(child) => child.exit_code(),
            Pipe::Events(_) => None,
        }
    }

    /// Passes a signal on to the child; `false` where there is none.
    pub fn signal(&self, signal: rustix::process::Signal) -> bool {
        match &self.pipe {
            Pipe::Child(child) => {
                child.signal(signal);
                true
            }
            Pipe::Events(_) => false,
        }
    }

    /// What carries the server's messages.
    pub(super) fn carrier(&self) -> Via {
        match &self.pipe {
            Pipe::Child(_) => Via::Stdio,
            Pipe::Events(_) => Via::Sse,
        }
    }

    /// How a server of the HTTP+SSE transport answered the GET that is the session; nothing of a child.
    pub(super) async fn answered(&self) -> Option<Result<Answer, UpstreamError>> {
        match &self.pipe {
            Pipe::Child(_) => None,
            Pipe::Events(events) => Some(events.answered().await),
        }
    }

    /// Gives everything that the server says to a client with one stream, from now on.
    pub(super) fn attach(&self, client: ClientPipe) {
        let mut router = self.router.lock();
        if router.ended.is_none() {
            for item in router.backlog.drain(..) {
                drop(client.items.send(Ok(item)));
            }
            router.client = Some(client);
        }
    }

    /// Tells a client with one stream something that the server did not say.
    pub(super) fn tell(&self, item: Item) {
        if let Some(client) = &self.router.lock().client {
            drop(client.items.send(Ok(item)));
        }
    }

    /// Hands a message to the server, already through the spine. `line`: what it came in, where that was a line and nobody
    /// edited it; `headers`: what it came with, where that was a POST. Gives what the server says to having got it:
    /// a child says nothing.
    ///
    /// # Errors
    /// Where the server takes nothing any more.
    pub(super) async fn hand(
        &self,
        message: &Message,
        line: Option<Bytes>,
        headers: Option<HeaderMap>,
    ) -> Result<Option<Reply>, UpstreamError> {
        match &self.pipe {
            Pipe::Events(events) => events.post(message, headers).await.map(Some),
            Pipe::Child(child) => {
                let written = child.write(line.unwrap_or_else(|| one_line(message))).await;
                if written { Ok(None) } else { Err(self.gone()) }
            }
        }
    }

    /// Hands on a line without a message; only a pipe has a place for it.
    pub(super) async fn hand_blank(&self, line: Bytes) {
        if let Pipe::Child(child) = &self.pipe {
            // A child that takes nothing any more is about to be heard of.
            child.write(line).await;
        }
    }

    /// One exchange of the client, already through the spine.
    pub(super) async fn exchange(self: &Arc<Self>, outgoing: Outgoing, withheld: bool) -> Result<Reply, UpstreamError> {
        match (&outgoing.method, outgoing.message) {
            (&Method::POST, Some(message)) => self.post(message, outgoing.headers, withheld).await,
            (&Method::GET, _) => Ok(self.listen()),
            _ => Ok(self.refuse(&Refusal::BadMethod("POST, GET"))),
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Reply {
        let answer = refusal.answer(None);
        self.proxy.note(&answer, Some(self.session.id()));
        answer.into_reply()
    }

    async fn post(
        self: &Arc<Self>,
        message: Message,
        headers: HeaderMap,
        withheld: bool,
    ) -> Result<Reply, UpstreamError> {
        let (items, answers) = mpsc::unbounded_channel();
        let is_modern = headers::modern_version(&message).is_some();
        if is_modern && headers.contains_key(headers::VERSION) && cancelled_id(&message).is_some() {
            // Revision 2026-07-28, cancellation: over HTTP, hanging up cancels, and this says it once more. For the server,
            // which several clients share, the id may be that of another client's request.
            return Ok(accepted());
        }
        let (message, requests) = self.expect_replies(message, &items, withheld)?;
        let id = message.id().filter(|_| is_modern && requests == 1).cloned();
        let mut answers = Answers { answers, _waited_for: id.map(|id| WaitedFor { link: self.clone(), id }) };
        // From here on the stream ends with the last reply.
        drop(items);
        let first = match self.hand_in(message, headers, &mut answers).await? {
            Handed::Refused(reply) => return Ok(reply),
            Handed::Taken if requests == 0 => return Ok(accepted()),
            Handed::Taken => answers.answers.recv().await,
            Handed::Answered(first) => Some(first),
        };
        match first {
            // Cancelled, and never answered: a stream without a reply, which is how servers of their own end it.
            None => Ok(event_stream(Vec::new(), answers)),
            Some(Err(error)) => Err(error),
            // Nothing came before the reply: no stream is needed to carry it.
            Some(Ok(Item::Message(first))) if requests == 1 && first.message.kind().is_reply() => {
                Ok(whole(first.message))
            }
            Some(Ok(first)) => Ok(event_stream(vec![first], answers)),
        }
    }

    /// Hands the message of an exchange to the server.
    async fn hand_in(
        &self,
        message: Message,
        mut headers: HeaderMap,
        answers: &mut Answers,
    ) -> Result<Handed, UpstreamError> {
        let Pipe::Events(events) = &self.pipe else {
            return self.hand(&message, None, None).await.map(|_| Handed::Taken);
        };
        headers::without_streamable(&mut headers);
        let (events, handed) = (events.clone(), message.clone());
        let mut posting = async move { events.post(&handed, Some(headers)).await }.boxed();
        let posted = tokio::select! {
            biased;
            posted = &mut posting => posted,
            // Some servers say that they have a request only when all is done; hanging up might undo it.
            Some(first) = answers.answers.recv() => {
                tokio::spawn(posting);
                return Ok(Handed::Answered(first));
            }
        };
        if !posted.as_ref().is_ok_and(|reply| reply.status.is_success()) {
            self.forget_replies(&message);
        }
        posted.map(|reply| if reply.status.is_success() { Handed::Taken } else { Handed::Refused(reply) })
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
        let waiting = || Waiting {
            items: items.clone(),
            progress_token: None,
            withheld,
            cancelled: false,
            own_id: None,
            own_token: None,
        };
        match message.kind() {
            Kind::Request => Ok((router.expect_reply(message, waiting()), 1)),
            // Batches are of a time when each client had a session, and a child, of its own: no name is taken.
            Kind::Batch => {
                let requests = message.elements().into_iter().filter(|element| element.kind() == Kind::Request);
                let count = requests.map(|request| router.expect_reply(request, waiting())).count();
                Ok((message, count))
            }
            _ => {
                if let Some(waiting) = cancelled_id(&message).and_then(|id| router.pending.get_mut(&id)) {
                    waiting.cancelled = true;
                }
                Ok((message, 0))
            }
        }
    }

    /// Takes the note back: the server does not have the message.
    fn forget_replies(&self, message: &Message) {
        let mut router = self.router.lock();
        for id in message.elements().iter().chain([message]).filter_map(Message::id) {
            router.pending.remove(id);
        }
    }

    fn listen(&self) -> Reply {
        let mut router = self.router.lock();
        if router.listener.as_ref().is_some_and(|listener| !listener.is_closed()) {
            return self.refuse(&Refusal::Listening);
        }
        let (items, answers) = mpsc::unbounded_channel();
        if router.ended.is_none() {
            router.listener = Some(items);
        }
        event_stream(router.backlog.drain(..).collect(), Answers { answers, _waited_for: None })
    }

    /// Gives a message of the child to whom it is for.
    pub(super) fn deliver(&self, address: Address, incoming: Incoming) {
        let mut router = self.router.lock();
        let items = match address {
            Address::Nobody => return,
            Address::Asker(id) => router.pending.remove(&id).map(|waiting| waiting.items),
            Address::Askers(ids) => {
                let waiting: Vec<_> = ids.iter().filter_map(|id| router.pending.remove(id)).collect();
                waiting.into_iter().next().map(|waiting| waiting.items)
            }
            Address::Progress(id) | Address::Subscriber(id) => {
                router.pending.get(&id).map(|waiting| waiting.items.clone())
            }
            Address::Client => router.open_stream(),
        };
        let item = Item::Message(incoming);
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
        let transport = Transport::new(self.carrier());
        let message = self.proxy.answer(&self.session, Direction::ToServer, transport, message);
        match &self.pipe {
            Pipe::Child(child) => {
                if !child.offer(one_line(&message)) {
                    tracing::debug!("a cancellation was not taken");
                }
            }
            Pipe::Events(events) => post_aside(events, message),
        }
    }

    pub(super) fn end(&self, error: &UpstreamError) {
        let mut router = self.router.lock();
        router.ended = Some(error.clone());
        router.listener = None;
        if let Some(client) = router.client.take().filter(|_| error.is_broken()) {
            // What broke for us must not look to the client as if it had ended in good order.
            drop(client.items.send(Err(error.clone())));
        }
        // Who has taken a request back does not expect an answer: some clients fail over one that comes as they leave.
        for (_, waiting) in router.pending.drain().filter(|(_, waiting)| !waiting.cancelled) {
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

/// What became of a message that was handed in.
enum Handed {
    Taken,
    /// The server answers already, and has not said yet that it has the message.
    Answered(Result<Item, UpstreamError>),
    Refused(Reply),
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

/// A message of the server, in the names of whom it is for.
pub(super) struct Recognized {
    pub(super) address: Address,
    pub(super) incoming: Incoming,
    pub(super) withheld: bool,
}

/// What the pump does with the rest of what a server says.
impl PipeLink {
    pub(super) fn recognize(&self, incoming: Incoming) -> Recognized {
        let router = self.router.lock();
        let message = &incoming.message;
        let address = router.address(message);
        let waiting = match &address {
            Address::Asker(id) | Address::Progress(id) | Address::Subscriber(id) => router.pending.get(id),
            _ => None,
        };
        let Some(waiting) = waiting else { return Recognized { address, incoming, withheld: false } };
        let restored = match &address {
            Address::Progress(_) => {
                waiting.own_token.as_ref().and_then(|own| message.with_value(&["params", "progressToken"], own))
            }
            Address::Subscriber(_) => waiting
                .own_id
                .as_ref()
                .and_then(|own| message.with_value(&["params", "_meta", SUBSCRIPTION], own.token())),
            _ => waiting.own_id.as_ref().and_then(|own| {
                let reply = message.with_id(own)?;
                // The last word of a subscription names it, too.
                Some(reply.with_value(&["result", "_meta", SUBSCRIPTION], own.token()).unwrap_or(reply))
            }),
        };
        let withheld = waiting.withheld;
        let incoming = match restored {
            Some(message) => Incoming { framing: incoming.framing.around(&message), message },
            None => incoming,
        };
        Recognized { address, incoming, withheld }
    }

    /// Bytes without a message: of no interest but to a client that gets every byte.
    pub(super) fn filler(&self, bytes: Bytes) {
        if let Some(client) = self.router.lock().client.as_ref().filter(|client| client.carrier == self.carrier()) {
            drop(client.items.send(Ok(Item::Filler(bytes))));
        }
    }

    /// The one event that changes on its way (revision 2024-11-05, transports: the `endpoint` event): it must name an
    /// address of ours. Where that is the one it names, it leaves in the frame it came in.
    pub(super) fn endpoint(&self, frame: &Bytes, reference: &str, url: &Url) {
        let router = self.router.lock();
        let Some(client) = &router.client else { return };
        let Some(announce) = &client.announce else { return };
        let address = announce(url);
        let frame = if address == reference { frame.clone() } else { sse::replace_data(frame, address.as_bytes()) };
        drop(client.items.send(Ok(Item::Filler(frame))));
    }

    pub(super) fn stderr(&self, line: Bytes) {
        if let Some(stderr) = self.router.lock().client.as_ref().and_then(|client| client.stderr.as_ref()) {
            drop(stderr.send(line));
        }
    }

    /// Hands the server an answer that we made in the client's place.
    pub(super) async fn answer_server(&self, answer: Message) {
        match &self.pipe {
            // A child that takes nothing any more is about to be heard of.
            Pipe::Child(child) => drop(child.write(one_line(&answer)).await),
            Pipe::Events(events) => post_aside(events, answer),
        }
    }
}

/// Posts a message of ours. What the server says meanwhile does not wait for its answer to a POST.
fn post_aside(events: &Arc<EventPipe>, message: Message) {
    let events = events.clone();
    tokio::spawn(async move {
        if let Err(error) = events.post(&message, None).await {
            tracing::debug!(%error, "a message of tapline was not taken");
        }
    });
}

fn event_stream(first: Vec<Item>, rest: Answers) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    let rest = futures_util::stream::unfold(rest, |mut rest| async move { Some((rest.answers.recv().await?, rest)) });
    let items = futures_util::stream::iter(first.into_iter().map(Ok)).chain(rest);
    Reply { status: StatusCode::OK, headers, body: ReplyBody::Stream(items.boxed()) }
}
