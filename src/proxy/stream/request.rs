//! Exchanges of an HTTP client with a server that has one stream: what is asked, and the response that carries the answers.
//!
//! What waits for a server is bounded, and belongs to its sender: a client that leaves before the server has read anything of a request
//! takes that back.

use std::ops::Deref;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, Method};

use crate::headers;
use crate::mcp::meta::{self, cancelled_id};
use crate::message::{Id, Kind, Message};
use crate::net::backlog::{BacklogReader, EntryNumber, backlog};
use crate::proxy::Audience;
use crate::proxy::error::ProxyError;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::client::{ClientSide, Items};
use crate::proxy::stream::pending::{Enclosure, PendingRequest, QuestionAnswer, ReplyReader};
use crate::proxy::stream::server::{Pipe, ServerState, StreamServer, Tenancy};
use crate::proxy::stream::subscription::{FanoutSubscription, NewLeg};
use crate::upstream::stdio::{ChildPipe, ChildWriteError};
use crate::upstream::{Item, Outgoing, Reply, UpstreamError};

impl StreamServer {
    /// Takes one exchange of a client, already through the spine, to the server, and its answer back.
    ///
    /// # Errors
    /// Where the server takes nothing any more, or ends before it answers.
    pub(in crate::proxy) async fn exchange(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        audience: Audience,
    ) -> Result<Reply, UpstreamError> {
        self.exchange_with(session, outgoing, audience, None).await
    }

    /// Takes one exchange of a client to the server; where it opens a subscription that is open on other children as well, this child has
    /// a leg of that.
    ///
    /// # Errors
    /// Where the server takes nothing any more, or ends before it answers.
    pub(super) async fn exchange_with(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        audience: Audience,
        subscription: Option<Arc<FanoutSubscription>>,
    ) -> Result<Reply, UpstreamError> {
        match (&outgoing.method, outgoing.message) {
            (&Method::POST, Some(message)) => {
                let request = ExchangeRequest { session: session.clone(), message, audience, subscription };
                self.post(request, outgoing.headers).await
            }
            (&Method::GET, _) => Ok(self.listen(session)),
            _ => Ok(self.refuse(session, &ProxyError::BadMethod("POST, GET"))),
        }
    }

    fn refuse(&self, session: &LiveSession, refusal: &ProxyError) -> Reply {
        let answer = refusal.reply_to(None);
        self.proxy.record_error(&answer, Some(session.id()));
        answer.into_reply()
    }

    async fn post(self: &Arc<Self>, request: ExchangeRequest, headers: HeaderMap) -> Result<Reply, UpstreamError> {
        let is_modern = meta::protocol_version(&request.message).is_some();
        if is_modern && headers.contains_key(headers::VERSION) && cancelled_id(&request.message).is_some() {
            // Revision 2026-07-28, cancellation: over HTTP, hanging up cancels, and this says it once more. For the server,
            // which several clients share, the id may be that of another client's request.
            return Ok(Reply::accepted());
        }
        let (items, answers) = backlog();
        let mut answers = ResponseReader { answers, unsent: None, cancel_on_drop: None };
        let (written, requests) = loop {
            let (pipe, registered) = self.when_up(|state| self.register_exchange(state, &request, &items)).await?;
            let Registered::Requests(message, requests) = registered else { return Ok(Reply::accepted()) };
            let id = message.id().filter(|_| is_modern && requests == 1).cloned();
            answers.cancel_on_drop = id.map(|id| CancelOnDrop { server: self.clone(), id: Some(id) });
            match self.write(&pipe, &message, &headers, &mut answers).await? {
                // Who asked is gone, and another is not to be told.
                WriteOutcome::Gone if message.is_reply() => return Ok(Reply::accepted()),
                WriteOutcome::Gone if self.withdraw(&message) || requests == 0 => {
                    if let Some(cancel_on_drop) = answers.cancel_on_drop.take() {
                        cancel_on_drop.disarm();
                    }
                    self.when_other_than(&pipe).await?;
                }
                written => break (written, requests),
            }
        };
        // From here on the stream ends with the last reply.
        drop(items);
        let first = match written {
            WriteOutcome::Refused(reply) => return Ok(reply),
            WriteOutcome::Taken | WriteOutcome::Gone if requests == 0 => {
                // No reply is waited for: it goes on without its sender.
                answers.unsent.take().into_iter().for_each(UnsentRequest::disarm);
                return Ok(Reply::accepted());
            }
            WriteOutcome::Taken | WriteOutcome::Gone => answers.answers.recv().await,
            WriteOutcome::Answered(first) => Some(first),
        };
        // It was read, or its server is gone.
        answers.unsent = None;
        match first {
            // Cancelled, and never answered: a stream without a reply, which is how servers of their own end it.
            None => Ok(event_stream(Vec::new(), answers)),
            Some(Err(error)) => Err(error),
            // Nothing came before the reply: no stream is needed to carry it.
            Some(Ok(Item::Message(first))) if requests == 1 && first.message.is_reply() => {
                Ok(Reply::whole(first.message))
            }
            Some(Ok(first)) => Ok(event_stream(vec![first], answers)),
        }
    }

    /// Writes the message of an exchange to the server.
    async fn write(
        self: &Arc<Self>,
        pipe: &Arc<Pipe>,
        message: &Message,
        headers: &HeaderMap,
        answers: &mut ResponseReader,
    ) -> Result<WriteOutcome, UpstreamError> {
        let events = match &**pipe {
            Pipe::Child(child) => {
                let unsent = UnsentRequest::new(self.clone(), pipe, message);
                return self.write_to_child(child, message, unsent, answers).await;
            }
            Pipe::Events(events) => events.clone(),
        };
        let mut headers = headers.clone();
        headers::without_streamable(&mut headers);
        let posted = message.clone();
        let mut posting = async move { events.post(&posted, Some(headers)).await }.boxed();
        let posted = tokio::select! {
            biased;
            posted = &mut posting => posted,
            // Some servers say that they have a request only when all is done; hanging up might undo it.
            Some(first) = answers.answers.recv() => {
                tokio::spawn(posting);
                return Ok(WriteOutcome::Answered(first));
            }
        };
        if !posted.as_ref().is_ok_and(|reply| reply.status.is_success()) {
            self.withdraw(message);
        }
        posted.map(|reply| if reply.status.is_success() { WriteOutcome::Taken } else { WriteOutcome::Refused(reply) })
    }

    async fn write_to_child(
        &self,
        child: &ChildPipe,
        message: &Message,
        unsent: UnsentRequest<Arc<Self>>,
        answers: &mut ResponseReader,
    ) -> Result<WriteOutcome, UpstreamError> {
        match child.write_message(message).await {
            Ok(line) => {
                answers.unsent = Some(unsent.queued(line));
                Ok(WriteOutcome::Taken)
            }
            Err(ChildWriteError::Gone) => {
                unsent.disarm();
                Ok(WriteOutcome::Gone)
            }
            Err(ChildWriteError::TooMuchWaits) => Err(self.reads_nothing()),
        }
    }

    /// Registers the requests in a message; returns it in the names the server is to know, and how many there will be.
    fn register_exchange(&self, state: &mut ServerState, request: &ExchangeRequest, items: &Items) -> Registered {
        let ExchangeRequest { session, message, audience, subscription } = request;
        let pending = |request: Message, enclosure| {
            PendingRequest::new(session.clone(), request, ReplyReader::exchange(items.clone(), *audience), enclosure)
        };
        if matches!(self.tenancy, Tenancy::Shared) {
            state.last_session = Some(session.clone());
        }
        match message.kind() {
            Kind::Request => {
                let leg = subscription.as_ref().and_then(|subscription| subscription.open(items));
                let pending = match leg {
                    Some(NewLeg { leg, request, items }) => {
                        PendingRequest::of_leg(leg, request, items, message.id().cloned())
                    }
                    None => pending(message.clone(), Enclosure::Single),
                };
                Registered::Requests(state.requests.register(pending), 1)
            }
            // Batches are of a time when each client had a session, and a child, of its own: no name is taken.
            Kind::Batch => {
                let requests = message.elements().into_iter().filter(|element| element.kind() == Kind::Request);
                let count = requests.map(|it| state.requests.register(pending(it, Enclosure::Batch))).count();
                Registered::Requests(message.clone(), count)
            }
            _ => {
                state.requests.cancel(message);
                self.learn_initialized(message);
                match self.pool.as_ref().map(|_| state.questions.complete(message)) {
                    Some(QuestionAnswer::Stale) => Registered::Stale,
                    Some(QuestionAnswer::Renamed(answer)) => Registered::Requests(answer, 0),
                    _ => Registered::Requests(message.clone(), 0),
                }
            }
        }
    }

    /// Opens the client's listening stream (GET): one at a time, as the SDK servers have it.
    fn listen(&self, session: &LiveSession) -> Reply {
        let mut state = self.state.lock();
        let ServerState { server, client, .. } = &mut *state;
        let (items, answers) = backlog();
        let buffered = match client {
            ClientSide::Exchanges(client) if client.listener().is_none() => {
                if !server.is_gone() {
                    client.listen(items);
                }
                client.take_buffered()
            }
            ClientSide::Exchanges(_) | ClientSide::Stream(_) => return self.refuse(session, &ProxyError::Listening),
        };
        event_stream(buffered, ResponseReader { answers, unsent: None, cancel_on_drop: None })
    }
}

/// What a client sends in one exchange, and whose it is.
struct ExchangeRequest {
    session: Arc<LiveSession>,
    message: Message,
    audience: Audience,
    /// Set where it opens a subscription on more than one child.
    subscription: Option<Arc<FanoutSubscription>>,
}

/// What was registered of a message.
enum Registered {
    /// In the names the server is to know, and how many requests it has.
    Requests(Message, usize),
    /// It answers a server that is gone.
    Stale,
}

/// What became of a message that was written to the server.
enum WriteOutcome {
    Taken,
    /// The server takes nothing any more.
    Gone,
    /// The server answers already, and has not said yet that it has the message.
    Answered(Result<Item, UpstreamError>),
    Refused(Reply),
}

/// The end of a response that its client reads.
struct ResponseReader {
    /// Goes first: a request without a reader is one whose channel is closed.
    answers: BacklogReader<Result<Item, UpstreamError>>,
    /// Until something came: the request may be unread.
    unsent: Option<UnsentRequest<Arc<StreamServer>>>,
    /// Kept for its end.
    cancel_on_drop: Option<CancelOnDrop>,
}

/// A request on its way into a child's stdin, as long as its client wants it. Dropped before the child has read anything of it, it is
/// withdrawn.
pub(super) struct UnsentRequest<S: Deref<Target = StreamServer>> {
    server: S,
    pipe: Arc<Pipe>,
    message: Message,
    /// Where it stands in the queue, once it does.
    line: Option<EntryNumber>,
    armed: bool,
}

impl<S: Deref<Target = StreamServer>> UnsentRequest<S> {
    pub(super) fn new(server: S, pipe: &Arc<Pipe>, message: &Message) -> Self {
        Self { server, pipe: pipe.clone(), message: message.clone(), line: None, armed: true }
    }

    pub(super) fn queued(mut self, line: EntryNumber) -> Self {
        self.line = Some(line);
        self
    }

    /// Whatever becomes of it, it is not withdrawn here.
    pub(super) fn disarm(mut self) {
        self.armed = false;
    }
}

impl<S: Deref<Target = StreamServer>> Drop for UnsentRequest<S> {
    fn drop(&mut self) {
        let Pipe::Child(child) = &*self.pipe else { return };
        let is_unread = self.armed && self.line.is_none_or(|line| child.take_back(line));
        if is_unread && self.server.withdraw(&self.message) {
            tracing::debug!("a request was withdrawn that its server had not read");
        }
    }
}

/// Cancels a request where it is dropped before the reply came: for HTTP, revision 2026-07-28 has no other word for it.
/// In older ones a client that hangs up may come back for the reply.
struct CancelOnDrop {
    server: Arc<StreamServer>,
    id: Option<Id>,
}

impl CancelOnDrop {
    /// The server never had the request.
    fn disarm(mut self) {
        self.id = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // Its name is free as soon as the reply is here, and may be that of another's request by now.
            self.server.cancel(&id, PendingRequest::has_no_reader);
        }
    }
}

fn event_stream(first: Vec<Item>, rest: ResponseReader) -> Reply {
    let rest = futures_util::stream::unfold(rest, |mut rest| async move { Some((rest.answers.recv().await?, rest)) });
    let items = futures_util::stream::iter(first.into_iter().map(Ok)).chain(rest);
    Reply::event_stream(items.boxed())
}
